//! Secrets in the configuration: API keys and what their hashes are keyed with.

use dalston_gateway::auth::{KeyRecord, ServerSecret};

use super::value::Value;

/// The API keys that a server knows.
#[derive(Debug, Clone, Default)]
pub struct ApiKeys(pub Vec<KeyRecord>);

impl Value for ApiKeys {
    fn expected() -> String {
        "keys as `dalston keys create` prints them, each with id, hash and scopes".into()
    }

    fn parse(text: &str) -> Option<Self> {
        if text.is_empty() { Some(Self::default()) } else { serde_json::from_str(text).ok().map(Self) }
    }

    fn is_secret() -> bool {
        true
    }
}

impl Value for ServerSecret {
    fn expected() -> String {
        format!("{} characters or more", Self::SHORTEST)
    }

    fn parse(text: &str) -> Option<Self> {
        Self::try_from(text.to_owned()).ok()
    }

    fn is_secret() -> bool {
        true
    }
}
