//! Settings of the engine that asks another server.

use dalston_engine_remote::{Endpoint, InvalidEndpoint, Key};

use super::value::Value;

impl Value for Endpoint {
    fn expected() -> String {
        InvalidEndpoint.to_string()
    }

    fn parse(text: &str) -> Option<Self> {
        text.parse().ok()
    }
}

impl Value for Key {
    fn expected() -> String {
        "a key without spaces in it".into()
    }

    fn parse(text: &str) -> Option<Self> {
        Self::new(text)
    }

    fn is_secret() -> bool {
        true
    }
}
