-- Who is told of jobs' ends, and what is still to be told. Read by SQLite and by PostgreSQL.

CREATE TABLE webhooks (
    id TEXT NOT NULL PRIMARY KEY,
    tenant TEXT NOT NULL,
    url TEXT NOT NULL,
    events TEXT NOT NULL,
    secret TEXT NOT NULL,
    -- Signs along until then, for receivers that do not know the new one yet.
    old_secret TEXT,
    old_secret_until BIGINT,
    created_at BIGINT NOT NULL,
    disabled_at BIGINT
);

CREATE INDEX webhooks_by_tenant ON webhooks (tenant, created_at, id);

-- A job may be gone before its end was told, so this holds all that is needed.
CREATE TABLE webhook_deliveries (
    id TEXT NOT NULL PRIMARY KEY,
    webhook_id TEXT NOT NULL REFERENCES webhooks (id) ON DELETE CASCADE,
    job_id TEXT NOT NULL,
    request_id TEXT NOT NULL,
    traceparent TEXT,
    body TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    -- When it is to be sent, or sent again; nothing, once it has ended.
    due_at BIGINT,
    attempts BIGINT NOT NULL,
    ended_at BIGINT,
    -- What the last attempt came to.
    status BIGINT,
    problem TEXT
);

-- What is to be sent, longest due first. Holds nothing that has ended.
CREATE INDEX webhook_deliveries_due ON webhook_deliveries (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX webhook_deliveries_by_webhook ON webhook_deliveries (webhook_id);
CREATE INDEX webhook_deliveries_ended ON webhook_deliveries (ended_at) WHERE ended_at IS NOT NULL;
