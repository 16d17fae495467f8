//! API keys: `dal_<id>_<secret>`, kept as the id and an HMAC-SHA256 of the secret.

use std::fmt;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use super::Scope;
use crate::GatewayError;

const PREFIX: &str = "dal_";
const ID_BYTES: usize = 6;
const SECRET_BYTES: usize = 32;
const HASH_BYTES: usize = 32;
/// More than any key has; the rest of a longer one is not hashed.
const LONGEST: usize = 256;

/// The server's own secret, which keys the hashes of API keys. Never printed.
#[derive(Clone)]
pub struct ServerSecret(Box<str>);

impl ServerSecret {
    /// Characters that a secret must have at least.
    pub const SHORTEST: usize = 32;

    /// A new secret.
    pub fn generate() -> Self {
        Self(BASE64.encode(random::<SECRET_BYTES>()).into())
    }

    /// The secret as it stands in configuration. For writing it there, nothing else.
    pub fn expose(&self) -> &str {
        &self.0
    }

    fn hash(&self, id: &str, secret: &str) -> [u8; HASH_BYTES] {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.0.as_bytes()).expect("HMAC takes a key of any length");
        // The id is hashed along, so that a hash is worth nothing under another id. Ids contain no `_`.
        mac.update(id.as_bytes());
        mac.update(b"_");
        mac.update(secret.as_bytes());
        mac.finalize().into_bytes().into()
    }
}

impl TryFrom<String> for ServerSecret {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        if text.len() >= Self::SHORTEST {
            return Ok(Self(text.into()));
        }
        Err(format!("server_secret has {} characters; at least {} are needed", text.len(), Self::SHORTEST))
    }
}

impl fmt::Debug for ServerSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ServerSecret(…)")
    }
}

impl<'de> Deserialize<'de> for ServerSecret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.try_into().map_err(serde::de::Error::custom)
    }
}

/// What the server keeps of a key.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KeyRecord {
    /// The public half. Stands in logs and traces as the tenant.
    pub id: Box<str>,
    /// Keyed hash of the secret half, base64url.
    pub hash: KeyHash,
    /// What the key may do.
    pub scopes: Vec<Scope>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Sessions open at once; `stream.sessions_per_key` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_sessions: Option<usize>,
}

/// HMAC-SHA256 of a key's secret half.
#[derive(Clone)]
pub struct KeyHash([u8; HASH_BYTES]);

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyHash(…)")
    }
}

impl Serialize for KeyHash {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64.encode(self.0))
    }
}

impl<'de> Deserialize<'de> for KeyHash {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let wrong =
            || serde::de::Error::custom("hash is not 32 bytes of base64url, as `dalston keys create` prints it");
        let bytes = BASE64.decode(String::deserialize(deserializer)?).map_err(|_| wrong())?;
        Ok(Self(bytes.try_into().map_err(|_| wrong())?))
    }
}

/// A new key, in full for the only time.
pub struct ApiKey {
    key: String,
    record: KeyRecord,
}

impl ApiKey {
    /// A new key for a server with this secret.
    pub fn generate(server: &ServerSecret, scopes: Vec<Scope>) -> Self {
        let id: String = random::<ID_BYTES>().iter().map(|byte| format!("{byte:02x}")).collect();
        let secret = BASE64.encode(random::<SECRET_BYTES>());
        let hash = KeyHash(server.hash(&id, &secret));
        Self {
            key: format!("{PREFIX}{id}_{secret}"),
            record: KeyRecord { id: id.into(), hash, scopes, name: None, max_sessions: None },
        }
    }

    /// The key itself, to be shown once.
    pub fn expose(&self) -> &str {
        &self.key
    }

    /// Its public half.
    pub fn id(&self) -> &str {
        &self.record.id
    }

    /// What the server keeps.
    pub fn record(&self) -> &KeyRecord {
        &self.record
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKey").field("id", &self.record.id).finish_non_exhaustive()
    }
}

/// The id of `given`, when it is a whole and right key.
///
/// Every way through does the same work: one hash and one comparison, also for an unknown id and for what is not a key.
pub(super) fn verify<'a, 'k>(
    server: &ServerSecret,
    given: &'a str,
    record_of: impl Fn(&str) -> Option<&'k KeyRecord>,
) -> Option<&'a str> {
    let short = &given.as_bytes()[..given.len().min(LONGEST)];
    let given = std::str::from_utf8(short).unwrap_or_default();
    let (id, secret) = given.strip_prefix(PREFIX).and_then(|rest| rest.split_once('_')).unwrap_or(("", given));
    let hash = server.hash(id, secret);
    let record = record_of(id);
    let expected = record.map_or(&[0; HASH_BYTES], |record| &record.hash.0);
    (bool::from(hash.ct_eq(expected)) && record.is_some()).then_some(id)
}

pub(super) fn check(keys: &[KeyRecord]) -> Result<(), GatewayError> {
    let problem = |problem: String| Err(GatewayError::Config { key: "auth.keys".into(), problem });
    for (at, key) in keys.iter().enumerate() {
        if key.id.is_empty() || !key.id.chars().all(|c| c.is_ascii_alphanumeric()) {
            return problem(format!("[{at}] has the id {:?}; letters and digits are needed", key.id));
        }
        if keys[..at].iter().any(|earlier| earlier.id == key.id) {
            return problem(format!("[{at}] has the id {:?} of an earlier key", key.id));
        }
    }
    Ok(())
}

pub(super) fn random<const N: usize>() -> [u8; N] {
    rand::random()
}
