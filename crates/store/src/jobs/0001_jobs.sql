-- Jobs, their tasks, and the messages that are still to be published. Read by SQLite and by PostgreSQL.
--
-- Times are milliseconds since 1970. `status` holds the words of the API. {SERIAL} is each database's number that counts
-- itself up and never comes twice: the one thing the two write differently.

CREATE TABLE jobs (
    id TEXT NOT NULL PRIMARY KEY,
    tenant TEXT NOT NULL,
    name TEXT,
    parameters TEXT NOT NULL,
    request_id TEXT NOT NULL,
    traceparent TEXT,
    source_key TEXT NOT NULL,
    source_file_name TEXT,
    source_bytes BIGINT NOT NULL,
    source_sha256 TEXT NOT NULL,
    idempotency_key TEXT,
    idempotency_fingerprint TEXT,
    status TEXT NOT NULL,
    version BIGINT NOT NULL,
    audio_duration DOUBLE PRECISION,
    result TEXT,
    error TEXT,
    created_at BIGINT NOT NULL,
    touched_at BIGINT NOT NULL,
    started_at BIGINT,
    ended_at BIGINT,
    expires_at BIGINT
);

-- One job for each key of a tenant.
CREATE UNIQUE INDEX jobs_by_idempotency ON jobs (tenant, idempotency_key) WHERE idempotency_key IS NOT NULL;
-- A tenant's jobs, newest first; with a status, those that have it.
CREATE INDEX jobs_by_tenant ON jobs (tenant, created_at, id);
CREATE INDEX jobs_by_status ON jobs (tenant, status, created_at, id);
-- What is open, longest untouched first. Holds no ended job, however many there are.
CREATE INDEX jobs_open ON jobs (touched_at) WHERE ended_at IS NULL;
-- What is to be removed, longest due first.
CREATE INDEX jobs_expiring ON jobs (expires_at) WHERE expires_at IS NOT NULL;

CREATE TABLE tasks (
    id TEXT NOT NULL PRIMARY KEY,
    job_id TEXT NOT NULL REFERENCES jobs (id) ON DELETE CASCADE,
    position BIGINT NOT NULL,
    node TEXT NOT NULL,
    stage TEXT NOT NULL,
    engine_id TEXT NOT NULL,
    channel BIGINT,
    depends_on TEXT NOT NULL,
    deadline BIGINT NOT NULL,
    max_attempts BIGINT NOT NULL,
    status TEXT NOT NULL,
    attempt BIGINT NOT NULL,
    failures BIGINT NOT NULL,
    crashes BIGINT NOT NULL,
    progress DOUBLE PRECISION NOT NULL,
    runner TEXT,
    seen_at BIGINT,
    output TEXT,
    error TEXT,
    traceparent TEXT,
    ready_at BIGINT,
    started_at BIGINT,
    ended_at BIGINT,
    UNIQUE (job_id, node)
);

-- The tasks of a job in the order of its graph.
CREATE UNIQUE INDEX tasks_by_job ON tasks (job_id, position);

CREATE TABLE outbox (
    seq {SERIAL},
    due_at BIGINT NOT NULL,
    message TEXT NOT NULL
);

CREATE INDEX outbox_due ON outbox (due_at, seq);
