//! Who is let in, as a gateway finds it when it starts.

use anyhow::{Result, bail};
use dalston_gateway::auth::{AuthMode, ServerSecret};
use dalston_store::{JobStore, KeyStore};

use crate::config::{Config, ConfigError, Problem};

/// Where keys are kept, and what they are made with.
pub struct Doors {
    /// The keys.
    pub keys: KeyStore,
    /// What their hashes are keyed with.
    pub secret: ServerSecret,
    /// How many can be used, where one is asked for.
    asked: Option<usize>,
}

impl Doors {
    /// Looks at the keys before an address is taken: one that others can reach is not served while nobody is asked for a key.
    ///
    /// # Errors
    /// That, and what is wrong with the secret or the database.
    pub async fn look(config: &Config, store: &JobStore) -> Result<Self> {
        let secret = config.settings.server_secret().map_err(|problem| ConfigError(vec![problem]))?;
        let keys = store.keys();
        let asks = match config.gateway.auth.mode {
            Some(mode) => mode == AuthMode::Keys,
            None => keys.version().await? != 0,
        };
        if !asks && !config.settings.bind.ip().is_loopback() {
            bail!(ConfigError(vec![Problem::new(config.layers.place_of("bind"), crate::config::OPEN_TO_ALL)]));
        }
        let asked = if asks { Some(keys.usable().await?.1.len()) } else { None };
        Ok(Self { keys, secret, asked })
    }

    /// In one line for the operator.
    pub fn describe(&self) -> String {
        match self.asked {
            None => "off, for this machine only; `dalston keys create` makes a key".to_owned(),
            Some(0) => "on, and nobody has a key; `dalston keys create` makes one".to_owned(),
            Some(1) => "on, 1 key".to_owned(),
            Some(count) => format!("on, {count} keys"),
        }
    }
}
