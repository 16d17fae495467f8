//! Where the keys are: in a database that is opened here, or at a server that is asked.

use std::path::Path;

use anyhow::{Context, Result, bail};
use dalston_client::{ApiKey, Endpoint};
use dalston_gateway::auth::{self, ServerSecret};
use dalston_protocol::key::{Key, KeyList, NewKey};
use dalston_store::{JobStore, MAX_KEYS};
use http::Method;

use crate::{
    config::{self, ConfigError},
    http as server,
};

const ROUTE: &str = "/auth/keys";

/// Where keys are made, listed and taken back.
pub(super) enum Place {
    /// The database of the server that these settings are for. It may be in use by that server, and by others.
    Database { store: JobStore, secret: ServerSecret },
    /// A server, by whoever has this key.
    Server { endpoint: Endpoint, api_key: Option<ApiKey> },
}

impl Place {
    /// Opens the database that a server with these settings has, and reads or makes its secret.
    pub(super) async fn open(file: Option<&Path>, data_dir: Option<String>) -> Result<Self> {
        let flags = [("data_dir", "--data-dir", data_dir)];
        let (settings, _, problems) = config::read(file, config::environment(), &flags);
        if !problems.is_empty() {
            return Err(ConfigError(problems).into());
        }
        let wrong = |problem| ConfigError(vec![problem]);
        let secret = settings.server_secret().map_err(wrong)?;
        let url = settings.database_url().map_err(wrong)?;
        let store = JobStore::open(&url).await.context("cannot open the database of the server")?;
        Ok(Self::Database { store, secret })
    }

    pub(super) async fn create(&self, wanted: NewKey) -> Result<Key> {
        match self {
            Self::Database { store, secret } => {
                let key = auth::ApiKey::generate(secret, wanted);
                match store.keys().add(key.record().clone()).await? {
                    Some(record) => Ok(Key { key: Some(key.expose().to_owned()), ..record.into() }),
                    None => bail!("there may be {MAX_KEYS} keys; take one back first"),
                }
            }
            Self::Server { endpoint, api_key } => {
                let body = serde_json::to_vec(&wanted)?;
                let made = server::send(endpoint, Method::POST, ROUTE, api_key.as_ref(), body).await?;
                serde_json::from_slice(&made).context("the server answers with something else than a key")
            }
        }
    }

    pub(super) async fn list(&self) -> Result<KeyList> {
        match self {
            Self::Database { store, .. } => {
                Ok(KeyList { items: store.keys().list().await?.into_iter().map(Key::from).collect() })
            }
            Self::Server { endpoint, api_key } => {
                let keys = server::get(endpoint, ROUTE, api_key.as_ref()).await?;
                serde_json::from_slice(&keys).context("the server answers with something else than keys")
            }
        }
    }

    pub(super) async fn revoke(&self, id: &str) -> Result<()> {
        match self {
            Self::Database { store, .. } => {
                if !store.keys().revoke(id).await? {
                    bail!("there is no key {id}, or it was taken back before");
                }
            }
            Self::Server { endpoint, api_key } => {
                if !id.bytes().all(|byte| byte.is_ascii_alphanumeric()) {
                    bail!("{id:?} is not the id of a key; `dalston keys list` shows them");
                }
                let route = format!("{ROUTE}/{id}");
                server::send(endpoint, Method::DELETE, &route, api_key.as_ref(), Vec::new()).await?;
            }
        }
        Ok(())
    }

    /// What was written is in the file itself, and not only in the log beside it.
    pub(super) async fn close(self) {
        if let Self::Database { store, .. } = self {
            store.close().await;
        }
    }
}
