//! API keys: `dal_<id>_<secret>`, kept as the id and an HMAC-SHA256 of the secret.

use std::{fmt, time::Duration};

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD as BASE64};
use dalston_protocol::key::NewKey;
use dalston_store::{KeyHash, NewKeyRecord};
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Deserializer};
use sha2::Sha256;

const PREFIX: &str = "dal_";
const ID_BYTES: usize = 6;
const SECRET_BYTES: usize = 32;
/// More than any key has; the rest of a longer one is not hashed.
const LONGEST: usize = 256;
/// What a secret signs to tell which one it is.
const MARK: &[u8] = b"which server secret is this?";
const MARK_BYTES: usize = 8;

/// A keyed hash of the secret half of a key.
pub(super) type Hash = [u8; 32];

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

    /// Tells secrets apart and nothing about them: keys that were made with another one can be named as such.
    pub(super) fn mark(&self) -> String {
        let mark = self.sign([MARK]);
        mark[..MARK_BYTES].iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn hash(&self, id: &str, secret: &str) -> Hash {
        // The id is hashed along, so that a hash is worth nothing under another id. Ids contain no `_`.
        self.sign([id.as_bytes(), b"_", secret.as_bytes()])
    }

    fn sign<const N: usize>(&self, parts: [&[u8]; N]) -> Hash {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.0.as_bytes()).expect("HMAC takes a key of any length");
        parts.into_iter().for_each(|part| mac.update(part));
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

/// A new key, in full for the only time.
pub struct ApiKey {
    key: String,
    record: NewKeyRecord,
}

impl ApiKey {
    /// A new key for servers with this secret. Whether the wish makes sense was [checked](NewKey::check) before.
    pub fn generate(server: &ServerSecret, wanted: NewKey) -> Self {
        let id: String = random::<ID_BYTES>().iter().map(|byte| format!("{byte:02x}")).collect();
        let secret = BASE64.encode(random::<SECRET_BYTES>());
        let NewKey { name, mut scopes, tenant, limits, expires_in_days } = wanted;
        scopes.sort_unstable_by_key(|scope| *scope as u8);
        scopes.dedup();
        let record = NewKeyRecord {
            hash: KeyHash::new(BASE64.encode(server.hash(&id, &secret))),
            made_with: server.mark(),
            name,
            scopes,
            tenant: tenant.unwrap_or_else(|| id.clone()),
            limits,
            lasts: expires_in_days.map(|days| Duration::from_secs(u64::from(days) * 86_400)),
            id: id.clone(),
        };
        Self { key: format!("{PREFIX}{id}_{secret}"), record }
    }

    /// The key itself, to be shown once.
    pub fn expose(&self) -> &str {
        &self.key
    }

    /// Its public half.
    pub fn id(&self) -> &str {
        &self.record.id
    }

    /// What is kept of it.
    pub fn record(&self) -> &NewKeyRecord {
        &self.record
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ApiKey").field("id", &self.record.id).finish_non_exhaustive()
    }
}

/// What a caller brought, taken apart: an id to look for, and a hash that must be the one that is kept there.
///
/// It takes one hash of at most a few hundred bytes, also for what is not a key at all.
pub(super) fn parse<'a>(server: &ServerSecret, given: &'a str) -> (&'a str, Hash) {
    let short = &given.as_bytes()[..given.len().min(LONGEST)];
    let given = std::str::from_utf8(short).unwrap_or_default();
    let (id, secret) = given.strip_prefix(PREFIX).and_then(|rest| rest.split_once('_')).unwrap_or(("", given));
    (id, server.hash(id, secret))
}

/// A hash as it is kept; `None` for what this program does not write.
pub(super) fn kept(hash: &KeyHash) -> Option<Hash> {
    BASE64.decode(hash.reveal()).ok()?.try_into().ok()
}

pub(super) fn random<const N: usize>() -> [u8; N] {
    rand::random()
}
