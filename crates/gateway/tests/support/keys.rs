//! Keys that a gateway knows from its start.

use std::sync::Arc;

use dalston_gateway::auth::{ApiKey, ServerSecret};
use dalston_protocol::key::{KeyLimits, NewKey, Scope};
use dalston_store::{JobStore, KeyStore};
use tempfile::TempDir;

pub struct Keys {
    pub store: KeyStore,
    pub secret: ServerSecret,
    /// A server that looks for keys there holds it, too.
    pub folder: Arc<TempDir>,
}

/// A key of its own tenant, with no limits.
pub fn wanted(scopes: &[Scope]) -> NewKey {
    let (scopes, limits) = (scopes.to_vec(), KeyLimits::default());
    NewKey { name: "test".into(), scopes, tenant: None, limits, expires_in_days: None }
}

impl Keys {
    pub async fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let url = format!("sqlite:{}", folder.path().join("keys.db").display());
        let store = JobStore::open(&url).await.unwrap().keys();
        Self { store, secret: ServerSecret::generate(), folder: Arc::new(folder) }
    }

    pub async fn make(&self, wanted: NewKey) -> ApiKey {
        let key = ApiKey::generate(&self.secret, wanted);
        self.store.add(key.record().clone()).await.unwrap().unwrap();
        key
    }

    /// A key, as a client has it.
    pub async fn with(&self, scopes: &[Scope]) -> String {
        self.make(wanted(scopes)).await.expose().to_owned()
    }
}

/// The public half of a key, which is also the tenant of one that asked for no other.
pub fn id(key: &str) -> &str {
    key.split('_').nth(1).unwrap()
}
