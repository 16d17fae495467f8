-- When a task could first run, whatever became of its attempts since. Read by SQLite and by PostgreSQL.

ALTER TABLE tasks ADD COLUMN first_ready_at BIGINT;
UPDATE tasks SET first_ready_at = ready_at;
