-- Who may use the server. Read by SQLite and by PostgreSQL.

CREATE TABLE api_keys (
    id TEXT NOT NULL PRIMARY KEY,
    -- Keyed with the secret of the server, of which `made_with` says which one it was. The key itself is kept nowhere.
    hash TEXT NOT NULL,
    made_with TEXT NOT NULL,
    name TEXT NOT NULL,
    scopes TEXT NOT NULL,
    tenant TEXT NOT NULL,
    limits TEXT NOT NULL,
    created_at BIGINT NOT NULL,
    last_used_at BIGINT,
    expires_at BIGINT,
    revoked_at BIGINT
);

-- Those that can be used, newest first.
CREATE INDEX api_keys_usable ON api_keys (created_at, id) WHERE revoked_at IS NULL;
CREATE INDEX api_keys_revoked ON api_keys (revoked_at, id) WHERE revoked_at IS NOT NULL;

-- One row: counted up with each key that is made or taken back, so that who knows all keys asks for one number to know
-- whether they are still the same. 0 is a database that never had a key.
CREATE TABLE api_key_changes (version BIGINT NOT NULL);
INSERT INTO api_key_changes (version) VALUES (0);

-- What a webhook was told, newest first.
CREATE INDEX webhook_deliveries_newest ON webhook_deliveries (webhook_id, created_at, id);
DROP INDEX webhook_deliveries_by_webhook;
