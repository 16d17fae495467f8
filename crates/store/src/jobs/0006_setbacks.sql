-- Tasks that their surroundings fail, and tasks under suspicion. Read by SQLite and by PostgreSQL.

-- How often the task was put off for want of room or of its storage.
ALTER TABLE tasks ADD COLUMN put_off BIGINT NOT NULL DEFAULT 0;

-- The suspects at work, of which there is one as a rule.
CREATE INDEX tasks_suspected ON tasks (seen_at) WHERE status = 'running' AND crashes >= 3;
