//! API keys: who may use the server, what for, and how much.
//!
//! A key that was made or taken back counts up one number, the [version](KeyStore::version) of all keys. Whoever knows the
//! keys asks for that number now and then, and for the keys only when it has changed; no request has to ask the database.
//! A revoked key stays as a row, so that what its id stands for in old logs can be looked up.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

use dalston_protocol::key::{Key, KeyLimits, Scope};

use super::{
    JobStore,
    database::Database,
    query::{SqlRow, statement},
    row::{Row, from_millis, millis, now, to_json, to_millis},
};
use crate::StoreError;

/// Most keys that can be used at a time: everybody who checks keys knows them all.
pub const MAX_KEYS: u32 = 10_000;
/// Most revoked keys in a list.
const MAX_REVOKED: i64 = 1_000;

/// The keyed hash of a key's secret half, as text. It does not print.
#[derive(Clone, PartialEq, Eq)]
pub struct KeyHash(String);

impl KeyHash {
    /// A hash in its text form.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The text.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyHash(…)")
    }
}

/// A key as it is to be kept.
#[derive(Debug, Clone)]
pub struct NewKeyRecord {
    /// The public half.
    pub id: String,
    /// What is kept of the other half.
    pub hash: KeyHash,
    /// Which server secret the hash was keyed with.
    pub made_with: String,
    /// For whom or what it is.
    pub name: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// Whose jobs, sessions and webhooks it sees.
    pub tenant: String,
    /// How much of it.
    pub limits: KeyLimits,
    /// How long it is good for.
    pub lasts: Option<Duration>,
}

/// A key as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct KeyRecord {
    /// The public half.
    pub id: String,
    /// What is kept of the other half.
    pub hash: KeyHash,
    /// Which server secret the hash was keyed with.
    pub made_with: String,
    /// For whom or what it is.
    pub name: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// Whose jobs, sessions and webhooks it sees.
    pub tenant: String,
    /// How much of it.
    pub limits: KeyLimits,
    /// When it was made.
    pub created_at: SystemTime,
    /// When it was last used, as far as that was told.
    pub last_used_at: Option<SystemTime>,
    /// From when on it is worth nothing.
    pub expires_at: Option<SystemTime>,
    /// Since when it is worth nothing.
    pub revoked_at: Option<SystemTime>,
}

/// As it is shown to people and programs.
impl From<KeyRecord> for Key {
    fn from(record: KeyRecord) -> Self {
        let time = |at| humantime::format_rfc3339_millis(at).to_string();
        Self {
            id: record.id,
            name: record.name,
            scopes: record.scopes,
            tenant: record.tenant,
            limits: record.limits,
            created_at: time(record.created_at),
            last_used_at: record.last_used_at.map(time),
            expires_at: record.expires_at.map(time),
            revoked_at: record.revoked_at.map(time),
            key: None,
        }
    }
}

/// The API keys. A clone is the same store.
#[derive(Clone)]
pub struct KeyStore {
    database: Database,
}

impl fmt::Debug for KeyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeyStore").finish_non_exhaustive()
    }
}

macro_rules! select {
    ($condition:literal) => {
        concat!(
            "SELECT id, hash, made_with, name, scopes, tenant, limits, created_at, last_used_at, expires_at, revoked_at ",
            "FROM api_keys WHERE ",
            $condition,
        )
    };
}

/// By `api_keys_usable`.
pub(super) const USABLE: &str = select!("revoked_at IS NULL ORDER BY created_at DESC, id DESC LIMIT $1");
/// By `api_keys_revoked`.
pub(super) const REVOKED: &str = select!("revoked_at IS NOT NULL ORDER BY revoked_at DESC, id DESC LIMIT $1");
/// By `jobs_by_status`.
pub(super) const OPEN_OF_TENANT: &str = "SELECT COUNT(*) AS open FROM (SELECT 1 FROM jobs WHERE tenant = $1 AND status IN ('pending', 'running', 'cancelling') \
     LIMIT $2) AS of_tenant";

/// Locks its row until the end, so that versions are committed in their order.
const COUNT_UP: &str = "UPDATE api_key_changes SET version = version + 1";

impl KeyStore {
    pub(super) fn new(database: Database) -> Self {
        Self { database }
    }

    /// Keeps a key. `None`: there are [as many as may be](MAX_KEYS).
    ///
    /// # Errors
    /// When the database fails, as everywhere here.
    pub async fn add(&self, new: NewKeyRecord) -> Result<Option<KeyRecord>, StoreError> {
        let mut transaction = self.database.begin().await?;
        statement(COUNT_UP).execute(&mut transaction).await?;
        let created_at = now();
        let expires_at = new.lasts.map(|lasts| created_at.saturating_add(millis(lasts)));
        let query = statement(
            "INSERT INTO api_keys (id, hash, made_with, name, scopes, tenant, limits, created_at, expires_at) \
             SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9 \
             WHERE (SELECT COUNT(*) FROM api_keys WHERE revoked_at IS NULL) < $10",
        );
        let query = query.bind(new.id.as_str()).bind(new.hash.reveal()).bind(new.made_with.as_str());
        let query = query.bind(new.name.as_str()).bind(to_json(&new.scopes)).bind(new.tenant.as_str());
        let query = query.bind(to_json(&new.limits)).bind(created_at).bind(expires_at).bind(i64::from(MAX_KEYS));
        if query.execute(&mut transaction).await? == 0 {
            return Ok(None);
        }
        transaction.commit().await?;
        let NewKeyRecord { id, hash, made_with, name, scopes, tenant, limits, lasts: _ } = new;
        Ok(Some(KeyRecord {
            id,
            hash,
            made_with,
            name,
            scopes,
            tenant,
            limits,
            created_at: from_millis(created_at),
            last_used_at: None,
            expires_at: expires_at.map(from_millis),
            revoked_at: None,
        }))
    }

    /// Takes a key back for good. `false`: there is none, or it was taken back before.
    ///
    /// # Errors
    /// As said.
    pub async fn revoke(&self, id: &str) -> Result<bool, StoreError> {
        let mut transaction = self.database.begin().await?;
        statement(COUNT_UP).execute(&mut transaction).await?;
        let query = statement("UPDATE api_keys SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL");
        let revoked = query.bind(id).bind(now()).execute(&mut transaction).await? > 0;
        if revoked {
            transaction.commit().await?;
        }
        Ok(revoked)
    }

    /// Changes whenever a key is made or taken back; 0 while there never was one.
    ///
    /// # Errors
    /// As said.
    pub async fn version(&self) -> Result<i64, StoreError> {
        let query = statement("SELECT version FROM api_key_changes");
        Row(&query.fetch_one(self.database.reader()).await?).get("version")
    }

    /// The keys that were not taken back, and the version they are of, or of a later one.
    ///
    /// # Errors
    /// As said.
    pub async fn usable(&self) -> Result<(i64, Vec<KeyRecord>), StoreError> {
        // The version first: what changes in between is then seen twice rather than never.
        let version = self.version().await?;
        Ok((version, self.select(USABLE, i64::from(MAX_KEYS)).await?))
    }

    /// The keys that can be used, then those that were taken back last; each newest first.
    ///
    /// # Errors
    /// As said.
    pub async fn list(&self) -> Result<Vec<KeyRecord>, StoreError> {
        let mut keys = self.select(USABLE, i64::from(MAX_KEYS)).await?;
        keys.extend(self.select(REVOKED, MAX_REVOKED).await?);
        Ok(keys)
    }

    /// Notes when keys were last used. What is noted already and later stays.
    ///
    /// # Errors
    /// As said.
    pub async fn used(&self, uses: &[(String, SystemTime)]) -> Result<(), StoreError> {
        if uses.is_empty() {
            return Ok(());
        }
        let mut transaction = self.database.begin().await?;
        for (id, at) in uses {
            let query = statement(
                "UPDATE api_keys SET last_used_at = $2 WHERE id = $1 AND (last_used_at IS NULL OR last_used_at < $2)",
            );
            query.bind(id.as_str()).bind(to_millis(*at)).execute(&mut transaction).await?;
        }
        transaction.commit().await
    }

    async fn select(&self, sql: &'static str, limit: i64) -> Result<Vec<KeyRecord>, StoreError> {
        statement(sql).bind(limit).fetch_all(self.database.reader()).await?.iter().map(record).collect()
    }
}

impl JobStore {
    /// How many jobs of a tenant have not ended; of more than `most`, `most`.
    ///
    /// # Errors
    /// As everywhere here.
    pub async fn open_jobs_of(&self, tenant: &str, most: u32) -> Result<u32, StoreError> {
        let query = statement(OPEN_OF_TENANT).bind(tenant).bind(i64::from(most));
        Row(&query.fetch_one(self.database.reader()).await?).number("open")
    }
}

fn record(row: &SqlRow) -> Result<KeyRecord, StoreError> {
    let row = Row(row);
    Ok(KeyRecord {
        id: row.get("id")?,
        hash: KeyHash::new(row.get("hash")?),
        made_with: row.get("made_with")?,
        name: row.get("name")?,
        scopes: row.json("scopes")?,
        tenant: row.get("tenant")?,
        limits: row.json("limits")?,
        created_at: from_millis(row.get("created_at")?),
        last_used_at: row.time("last_used_at")?,
        expires_at: row.time("expires_at")?,
        revoked_at: row.time("revoked_at")?,
    })
}
