-- The span of the first attempt at a task, which later attempts are linked to. Read by SQLite and by PostgreSQL.

ALTER TABLE tasks ADD COLUMN first_attempt TEXT;
