//! Who calls, and what they may do.
//!
//! With [`AuthConfig::None`] everybody who reaches the loopback address may do everything; since a browser reaches it
//! too, on behalf of any page, [`Origins`] keeps foreign pages out. With [`AuthConfig::Keys`] every route but the
//! public list wants a key with a scope. Nothing of a credential ever stands in a log, a span or an error.

mod credential;
mod key;
mod origin;
mod principal;
mod token;

use std::{collections::HashMap, net::SocketAddr, time::Instant};

use dalston_protocol::{ApiError, ErrorCode};
use serde::Deserialize;

pub(crate) use self::{credential::Credential, origin::Origins, principal::Principal};
pub use self::{
    key::{ApiKey, KeyRecord, ServerSecret},
    principal::{Scope, SessionSeat},
    token::{IssuedToken, TOKEN_LIFETIME},
};
use crate::{GatewayError, StreamLimits};

/// Who may do what.
#[derive(Debug, Clone, Deserialize)]
#[serde(tag = "mode", rename_all = "lowercase", deny_unknown_fields)]
pub enum AuthConfig {
    /// Everybody may do everything. Served on loopback addresses only.
    None {
        /// Origins of browser pages that may use the server, beside those of loopback: `https://captions.example`.
        /// Their hosts are also allowed as `Host`, for a proxy in front.
        #[serde(default)]
        allowed_origins: Vec<String>,
    },
    /// Only who has a key.
    Keys {
        /// Hashes of keys are keyed with it: a stolen configuration without it cannot be searched for keys.
        server_secret: ServerSecret,
        /// The keys there are.
        #[serde(default)]
        keys: Vec<KeyRecord>,
    },
}

impl Default for AuthConfig {
    fn default() -> Self {
        Self::None { allowed_origins: Vec::new() }
    }
}

impl AuthConfig {
    /// Refuses to serve an address that others can reach, when nobody is asked for a key.
    ///
    /// # Errors
    /// [`GatewayError::PublicWithoutAuth`].
    pub fn permits(&self, address: SocketAddr) -> Result<(), GatewayError> {
        match self {
            Self::None { .. } if !address.ip().is_loopback() => Err(GatewayError::PublicWithoutAuth(address)),
            _ => Ok(()),
        }
    }

    pub(crate) fn check(&self) -> Result<(), GatewayError> {
        match self {
            Self::None { allowed_origins } => Origins::new(allowed_origins).map(drop),
            Self::Keys { keys, .. } => key::check(keys),
        }
    }
}

/// Finds the principal behind a credential.
#[derive(Debug)]
pub(crate) struct Authenticator {
    mode: Mode,
    tokens: token::Tokens,
}

#[derive(Debug)]
enum Mode {
    Open { anonymous: Principal, origins: Origins },
    Keys { secret: ServerSecret, known: HashMap<Box<str>, (KeyRecord, Principal)> },
}

impl Authenticator {
    pub(crate) fn new(config: &AuthConfig, limits: &StreamLimits) -> Result<Self, GatewayError> {
        config.check()?;
        let mode = match config {
            AuthConfig::None { allowed_origins } => Mode::Open {
                anonymous: Principal::new("anonymous", &Scope::ALL, limits.sessions_per_key),
                origins: Origins::new(allowed_origins)?,
            },
            AuthConfig::Keys { server_secret, keys } => {
                let principal = |key: &KeyRecord| {
                    Principal::new(&key.id, &key.scopes, key.max_sessions.or(limits.sessions_per_key))
                };
                Mode::Keys {
                    secret: server_secret.clone(),
                    known: keys.iter().map(|key| (key.id.clone(), (key.clone(), principal(key)))).collect(),
                }
            }
        };
        Ok(Self { mode, tokens: token::Tokens::default() })
    }

    /// The origins that are let in, where nobody is asked for a key. A key is never sent by a browser on its own, so
    /// with keys any page may call.
    pub(crate) fn origins(&self) -> Option<&Origins> {
        match &self.mode {
            Mode::Open { origins, .. } => Some(origins),
            Mode::Keys { .. } => None,
        }
    }

    /// # Errors
    /// [`ErrorCode::MissingCredentials`] or [`ErrorCode::InvalidCredentials`]; which of a key's parts was wrong is not
    /// told.
    pub(crate) fn authenticate(&self, credential: Option<&Credential<'_>>) -> Result<Principal, ApiError> {
        match (&self.mode, credential) {
            (Mode::Open { anonymous, .. }, _) => Ok(anonymous.clone()),
            (Mode::Keys { .. }, Some(Credential::Token(token))) => {
                self.tokens.holder(token, Instant::now()).ok_or_else(unknown_token)
            }
            (Mode::Keys { secret, known }, Some(Credential::Key(given))) => {
                key::verify(secret, given, |id| known.get(id).map(|(record, _)| record))
                    .and_then(|id| known.get(id))
                    .map(|(_, principal)| principal.clone())
                    .ok_or_else(|| invalid("this API key is not known here"))
            }
            (Mode::Keys { .. }, Some(Credential::Unreadable)) => {
                Err(invalid("the Authorization header must be `Bearer KEY` or `Token KEY`"))
            }
            (Mode::Keys { .. }, None) => Err(ApiError::new(
                ErrorCode::MissingCredentials,
                "an API key is needed: send `Authorization: Bearer KEY` or `xi-api-key: KEY`",
            )),
        }
    }

    /// Uses up the token with which `principal` came, if it did: now it has what it came for.
    ///
    /// # Errors
    /// [`ErrorCode::InvalidCredentials`] when another was quicker.
    pub(crate) fn use_up_token(&self, principal: &Principal) -> Result<(), ApiError> {
        match principal.ticket() {
            Some(ticket) if !self.tokens.use_up(ticket, Instant::now()) => Err(unknown_token()),
            _ => Ok(()),
        }
    }

    /// A token that opens one session in the name of `principal`.
    ///
    /// # Errors
    /// [`ErrorCode::RateLimited`] when too many are waiting to be used.
    pub(crate) fn issue_token(&self, principal: &Principal) -> Result<IssuedToken, ApiError> {
        self.tokens.issue(principal, Instant::now())
    }
}

fn unknown_token() -> ApiError {
    invalid("this token is wrong, used up or older than 60 s; ask for a new one")
}

fn invalid(message: &str) -> ApiError {
    ApiError::new(ErrorCode::InvalidCredentials, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_public_address_needs_keys() {
        let check = |address: &str, open: bool| {
            let address: SocketAddr = address.parse().unwrap();
            assert_eq!(AuthConfig::default().permits(address).is_ok(), open, "{address}");
            let keys = AuthConfig::Keys { server_secret: ServerSecret::generate(), keys: Vec::new() };
            assert!(keys.permits(address).is_ok(), "{address} with keys");
        };
        check("127.0.0.1:8000", true);
        check("127.1.2.3:8000", true);
        check("[::1]:8000", true);
        check("0.0.0.0:8000", false);
        check("[::]:8000", false);
        check("192.168.1.2:8000", false);
    }

    #[test]
    fn the_configuration_of_a_new_key_lets_that_key_in_and_no_other() {
        let secret = ServerSecret::generate();
        let key = ApiKey::generate(&secret, vec![Scope::Realtime]);
        let record = toml::to_string(key.record()).unwrap();
        assert!(!record.contains(key.expose().splitn(3, '_').nth(2).unwrap()), "the secret is in the record");
        let text = format!("mode = \"keys\"\nserver_secret = \"{}\"\n[[keys]]\n{record}", secret.expose());
        let config: AuthConfig = toml::from_str(&text).unwrap();
        let auth = Authenticator::new(&config, &StreamLimits::default()).unwrap();

        let principal = auth.authenticate(Some(&Credential::Key(key.expose().into()))).unwrap();
        assert_eq!(&*principal.tenant(), key.id());
        assert!(principal.require(Scope::Realtime).is_ok());
        assert_eq!(principal.require(Scope::Admin).unwrap_err().code, ErrorCode::InsufficientScope);

        let other = ApiKey::generate(&secret, vec![Scope::Realtime]);
        let swapped = other.expose().replace(other.id(), key.id());
        for wrong in [other.expose(), &swapped, "", "dal_", "dal__", key.id(), &key.expose()[1..], &"x".repeat(100_000)]
        {
            let error = auth.authenticate(Some(&Credential::Key(wrong.into()))).unwrap_err();
            assert_eq!(error.code, ErrorCode::InvalidCredentials);
        }
        assert_eq!(auth.authenticate(None).unwrap_err().code, ErrorCode::MissingCredentials);
    }

    #[test]
    fn a_token_opens_one_session_in_the_name_of_its_key() {
        let secret = ServerSecret::generate();
        let key = ApiKey::generate(&secret, vec![Scope::Realtime, Scope::Admin]);
        let config = AuthConfig::Keys { server_secret: secret, keys: vec![key.record().clone()] };
        let auth = Authenticator::new(&config, &StreamLimits::default()).unwrap();
        let owner = auth.authenticate(Some(&Credential::Key(key.expose().into()))).unwrap();

        let issued = auth.issue_token(&owner).unwrap();
        let token = Credential::Token(issued.token.as_str().into());
        let bearer = auth.authenticate(Some(&token)).unwrap();
        assert_eq!(bearer.tenant(), owner.tenant());
        assert!(bearer.require(Scope::Realtime).is_ok());
        assert!(bearer.require(Scope::Admin).is_err(), "a token carries no more than it needs");
        let second = auth.authenticate(Some(&token)).expect("nothing has come of the first yet");
        auth.use_up_token(&bearer).unwrap();
        assert_eq!(auth.use_up_token(&second).unwrap_err().code, ErrorCode::InvalidCredentials, "used twice");
        assert_eq!(auth.authenticate(Some(&token)).unwrap_err().code, ErrorCode::InvalidCredentials);
        assert!(auth.use_up_token(&owner).is_ok(), "a key is not used up");
    }
}
