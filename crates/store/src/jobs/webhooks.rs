//! Who is told of jobs' ends.

use std::{fmt, time::SystemTime};

use dalston_protocol::{WebhookEvent, WebhookId};

use super::{
    JobStore,
    edit::Edit,
    query::{SqlRow, statement},
    row::{Row, from_millis, now, to_json, to_millis},
};
use crate::StoreError;

/// Most webhooks of a tenant: each is told of each end.
pub const MAX_WEBHOOKS: u32 = 16;

/// What messages are signed with. It does not print.
#[derive(Clone, PartialEq, Eq)]
pub struct SigningSecret(String);

impl SigningSecret {
    /// A secret as its receiver is told it: `whsec_…`.
    pub fn new(text: String) -> Self {
        Self(text)
    }

    /// The secret itself.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for SigningSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SigningSecret(…)")
    }
}

/// A webhook as it is asked for.
#[derive(Debug, Clone)]
pub struct NewWebhook {
    /// Whose jobs.
    pub tenant: String,
    /// Where to. Whether it may be reached is for whoever sends.
    pub url: String,
    /// What it is told of.
    pub events: Vec<WebhookEvent>,
    /// What messages are signed with.
    pub secret: SigningSecret,
}

/// A webhook as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub struct WebhookRecord {
    /// Its id.
    pub id: WebhookId,
    /// Where to.
    pub url: String,
    /// What it is told of.
    pub events: Vec<WebhookEvent>,
    /// When it was made.
    pub created_at: SystemTime,
    /// Since when it is told nothing more.
    pub disabled_at: Option<SystemTime>,
}

/// By `webhooks_by_tenant`.
pub(super) const LIST: &str = "SELECT id, url, events, created_at, disabled_at FROM webhooks WHERE tenant = $1 \
     ORDER BY created_at, id LIMIT 1000";

impl JobStore {
    /// Keeps a webhook. `None`: the tenant has [as many as may be](MAX_WEBHOOKS).
    ///
    /// # Errors
    /// When the database fails, as everywhere here.
    pub async fn add_webhook(&self, new: NewWebhook) -> Result<Option<WebhookRecord>, StoreError> {
        let id = WebhookId::generate();
        let mut edit = Edit::begin(self).await?;
        // One statement: two that ask at once can pass the limit by one each, and no further.
        let query = statement(
            "INSERT INTO webhooks (id, tenant, url, events, secret, created_at) SELECT $1, $2, $3, $4, $5, $6 \
             WHERE (SELECT COUNT(*) FROM webhooks WHERE tenant = $2) < $7",
        );
        let query = query.bind(id.as_str()).bind(new.tenant.as_str()).bind(new.url.as_str());
        let query = query.bind(to_json(&new.events)).bind(new.secret.reveal()).bind(edit.now);
        let added = query.bind(i64::from(MAX_WEBHOOKS)).execute(&mut edit.transaction).await?;
        let created_at = from_millis(edit.now);
        edit.finish().await?;
        let record = WebhookRecord { id, url: new.url, events: new.events, created_at, disabled_at: None };
        Ok(Some(record).filter(|_| added > 0))
    }

    /// A tenant's webhooks, oldest first.
    ///
    /// # Errors
    /// As said.
    pub async fn webhooks(&self, tenant: &str) -> Result<Vec<WebhookRecord>, StoreError> {
        let query = statement(LIST).bind(tenant);
        query.fetch_all(self.database.reader()).await?.iter().map(record).collect()
    }

    /// Forgets a webhook, and what it was still to be told. `false`: there is none.
    ///
    /// # Errors
    /// As said.
    pub async fn remove_webhook(&self, tenant: &str, id: &WebhookId) -> Result<bool, StoreError> {
        let mut edit = Edit::begin(self).await?;
        let query = statement("DELETE FROM webhooks WHERE id = $1 AND tenant = $2");
        let removed = query.bind(id.as_str()).bind(tenant).execute(&mut edit.transaction).await?;
        edit.finish().await?;
        Ok(removed > 0)
    }

    /// Gives a webhook another secret; until `old_until` messages are signed with the one before, too. `false`: there is none.
    ///
    /// # Errors
    /// As said.
    pub async fn rotate_webhook(
        &self,
        tenant: &str,
        id: &WebhookId,
        secret: &SigningSecret,
        old_until: SystemTime,
    ) -> Result<bool, StoreError> {
        let mut edit = Edit::begin(self).await?;
        let query = statement(
            "UPDATE webhooks SET old_secret = secret, old_secret_until = $4, secret = $3 WHERE id = $1 AND tenant = $2",
        );
        let query = query.bind(id.as_str()).bind(tenant).bind(secret.reveal()).bind(to_millis(old_until));
        let rotated = query.execute(&mut edit.transaction).await?;
        edit.finish().await?;
        Ok(rotated > 0)
    }
}

fn record(row: &SqlRow) -> Result<WebhookRecord, StoreError> {
    let row = Row(row);
    Ok(WebhookRecord {
        id: row.word("id")?,
        url: row.get("url")?,
        events: row.json("events")?,
        created_at: from_millis(row.get("created_at")?),
        disabled_at: row.time("disabled_at")?,
    })
}

/// The secrets that sign a message now: the newest first.
pub(super) fn secrets(row: &Row<'_>) -> Result<Vec<SigningSecret>, StoreError> {
    let old: Option<String> = row.get("old_secret")?;
    let until: Option<i64> = row.get("old_secret_until")?;
    let old = old.filter(|_| until.is_some_and(|until| now() < until));
    Ok([Some(row.get("secret")?), old].into_iter().flatten().map(SigningSecret::new).collect())
}
