-- Which engines work on jobs, by those that run them. Read by SQLite and by PostgreSQL.

CREATE TABLE engines (
    runner TEXT NOT NULL,
    engine_id TEXT NOT NULL,
    -- Its place among the engines of its runner, the preferred one first.
    place BIGINT NOT NULL,
    info TEXT NOT NULL,
    seen_at BIGINT NOT NULL,
    PRIMARY KEY (runner, engine_id)
);

CREATE INDEX engines_seen ON engines (seen_at);
