//! Who calls, and what they may do.
//!
//! Where keys are asked for, every route but the public list wants one with a scope. Where nobody is asked for a key,
//! everybody who reaches the loopback address may do everything; since a browser reaches it too, on behalf of any page,
//! [`Origins`] keeps foreign pages out. Unless it is set, a server asks for keys from the moment there is one.
//!
//! Nothing of a credential ever stands in a log, a span or an error.

mod allowance;
mod credential;
mod key;
mod keyring;
mod origin;
mod principal;
mod token;

use std::{net::SocketAddr, sync::Arc, time::Instant};

use dalston_protocol::{ApiError, ErrorCode, key::KeyLimits};
use dalston_store::{KeyStore, StoreError};
use serde::Deserialize;

use self::keyring::Keyring;
pub use self::{
    allowance::Seat,
    key::{ApiKey, ServerSecret},
    token::{IssuedToken, TOKEN_LIFETIME},
};
pub(crate) use self::{credential::Credential, origin::Origins, principal::Principal, token::Ticket};
use crate::GatewayError;

/// Who is let in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AuthMode {
    /// Everybody, for everything. Served on loopback addresses only.
    None,
    /// Who has a key.
    Keys,
}

/// Who may do what.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct AuthConfig {
    /// Who is let in. Absent: who has a key, from the moment on that there is one.
    pub mode: Option<AuthMode>,
    /// Where nobody is asked for a key: origins of browser pages that may use the server, beside those of loopback:
    /// `https://captions.example`. Their hosts are also allowed as `Host`, for a proxy in front.
    pub allowed_origins: Vec<String>,
    /// What a key may have that says nothing of its own; and everybody together, where nobody is asked for a key.
    pub limits: KeyLimits,
}

impl AuthConfig {
    pub(crate) fn check(&self) -> Result<(), GatewayError> {
        if let Some((name, _)) = self.limits.named().into_iter().find(|(_, limit)| *limit == Some(0)) {
            let problem = "is 0; at least 1 is needed".to_owned();
            return Err(GatewayError::Config { key: format!("auth.limits.{name}"), problem });
        }
        Origins::new(&self.allowed_origins).map(drop)
    }
}

/// Finds the principal behind a credential.
#[derive(Debug)]
pub(crate) struct Authenticator {
    mode: Option<AuthMode>,
    anonymous: Principal,
    origins: Origins,
    keyring: Option<Keyring>,
    tokens: Arc<token::Tokens>,
}

impl Authenticator {
    pub(crate) fn new(config: &AuthConfig) -> Result<Self, GatewayError> {
        config.check()?;
        Ok(Self {
            mode: config.mode,
            anonymous: Principal::anonymous(config.limits),
            origins: Origins::new(&config.allowed_origins)?,
            keyring: None,
            tokens: Arc::default(),
        })
    }

    /// Has keys looked for there.
    pub(crate) fn with_keys(&mut self, store: KeyStore, secret: ServerSecret, limits: KeyLimits) {
        self.keyring = Some(Keyring::new(store, secret, limits));
    }

    /// Learns which keys there are, and refuses to serve an address that others can reach when nobody is asked for one.
    ///
    /// # Errors
    /// [`GatewayError::PublicWithoutAuth`], or a store that does not answer.
    pub(crate) async fn ready_for(&self, address: SocketAddr) -> Result<(), GatewayError> {
        match &self.keyring {
            Some(keyring) => keyring.refresh().await.map_err(GatewayError::Keys)?,
            None if self.mode == Some(AuthMode::Keys) => {
                let problem = "is keys, and this gateway has no store of them".to_owned();
                return Err(GatewayError::Config { key: "auth.mode".into(), problem });
            }
            None => {}
        }
        if self.asks_for_keys() || address.ip().is_loopback() {
            return Ok(());
        }
        Err(GatewayError::PublicWithoutAuth(address))
    }

    /// Whether one needs a key. Once it is so it stays so, for as long as this process lives.
    pub(crate) fn asks_for_keys(&self) -> bool {
        match self.mode {
            Some(mode) => mode == AuthMode::Keys,
            None => self.keyring.as_ref().is_some_and(Keyring::has_had_keys),
        }
    }

    /// Goes on knowing which keys there are, until it is dropped.
    pub(crate) async fn keep_fresh(&self) {
        match &self.keyring {
            Some(keyring) => keyring.keep_fresh().await,
            None => std::future::pending().await,
        }
    }

    /// Writes down what is not written yet of which keys were used.
    pub(crate) async fn note_uses(&self) {
        if let Some(keyring) = &self.keyring {
            keyring.note_uses().await;
        }
    }

    /// Where keys are kept, and what new ones are made with.
    pub(crate) fn keys(&self) -> Option<(&KeyStore, &ServerSecret)> {
        self.keyring.as_ref().map(|keyring| (keyring.store(), keyring.secret()))
    }

    /// Learns at once of what was changed just now.
    ///
    /// # Errors
    /// When the store does not answer; it is asked again soon anyway.
    pub(crate) async fn keys_changed(&self) -> Result<(), StoreError> {
        match &self.keyring {
            Some(keyring) => keyring.refresh().await,
            None => Ok(()),
        }
    }

    /// The origins that are let in, where nobody is asked for a key. A key is never sent by a browser on its own, so
    /// with keys any page may call.
    pub(crate) fn origins(&self) -> Option<&Origins> {
        (!self.asks_for_keys()).then_some(&self.origins)
    }

    /// Who this is, with one request less to send in this second.
    ///
    /// # Errors
    /// [`ErrorCode::MissingCredentials`] or [`ErrorCode::InvalidCredentials`]; which of a key's parts was wrong is not
    /// told. [`ErrorCode::RateLimited`] for too many requests a second, and [`ErrorCode::Unavailable`] when it cannot be
    /// known.
    pub(crate) fn authenticate(&self, credential: Option<&Credential<'_>>) -> Result<Principal, ApiError> {
        let principal = self.identify(credential)?;
        principal.is_used();
        principal.count_request()?;
        Ok(principal)
    }

    fn identify(&self, credential: Option<&Credential<'_>>) -> Result<Principal, ApiError> {
        if !self.asks_for_keys() {
            return Ok(self.anonymous.clone());
        }
        match (credential, &self.keyring) {
            (Some(Credential::Token(token)), _) => {
                let holder = self.tokens.holder(token, Instant::now());
                holder.filter(Principal::is_good_now).ok_or_else(unknown_token)
            }
            (Some(Credential::Key(given)), Some(keyring)) => {
                keyring.holder(given)?.ok_or_else(|| invalid("this API key is not known here"))
            }
            (Some(Credential::Key(_)), None) => Err(invalid("this API key is not known here")),
            (Some(Credential::Unreadable), _) => {
                Err(invalid("the Authorization header must be `Bearer KEY` or `Token KEY`"))
            }
            (None, _) => Err(ApiError::new(
                ErrorCode::MissingCredentials,
                "an API key is needed: send `Authorization: Bearer KEY` or `xi-api-key: KEY`",
            )),
        }
    }

    /// Takes the token with which `principal` came, if it did, so that nobody else can use it. It goes back unless it is
    /// [used up](Ticket::use_up).
    ///
    /// # Errors
    /// [`ErrorCode::InvalidCredentials`] when another was quicker.
    pub(crate) fn take_token(&self, principal: &Principal) -> Result<Option<Ticket>, ApiError> {
        let Some(ticket) = principal.ticket() else { return Ok(None) };
        self.tokens.take(ticket, Instant::now()).map(Some).ok_or_else(unknown_token)
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
mod tests;
