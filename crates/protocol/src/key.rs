//! API keys as they are asked for and shown: who has them, what they may do, and how much of it.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::ApiError;

/// What a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Scope {
    /// Open live sessions, make tokens for them, see their traces.
    Realtime,
    /// Upload files, and do everything with the jobs made of them; see their traces.
    Batch,
    /// See what runs: workers, models, status, metrics.
    Read,
    /// Everything, also what concerns others: their keys.
    Admin,
}

impl Scope {
    /// Every scope there is.
    pub const ALL: [Self; 4] = [Self::Realtime, Self::Batch, Self::Read, Self::Admin];

    /// The scope as clients see it.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Realtime => "realtime",
            Self::Batch => "batch",
            Self::Read => "read",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Scope {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = || format!("one of {}", Self::ALL.map(Self::as_str).join(", "));
        Self::ALL.into_iter().find(|scope| scope.as_str() == text).ok_or_else(known)
    }
}

/// What the holder of a key may have at once. Absent is what the server's settings say, which is no limit unless they do.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct KeyLimits {
    /// Live sessions open at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_sessions: Option<u32>,
    /// Jobs that have not ended, of the key's whole tenant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_jobs: Option<u32>,
    /// Files that are being uploaded at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_uploads: Option<u32>,
    /// Requests a second, in the long run; a second's worth may come at once.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub requests_per_second: Option<u32>,
}

impl KeyLimits {
    /// These, and for what they leave open, those.
    #[must_use]
    pub fn or(self, others: Self) -> Self {
        Self {
            max_sessions: self.max_sessions.or(others.max_sessions),
            max_jobs: self.max_jobs.or(others.max_jobs),
            max_uploads: self.max_uploads.or(others.max_uploads),
            requests_per_second: self.requests_per_second.or(others.requests_per_second),
        }
    }

    /// Whether nothing is said.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }

    /// Each limit by its name.
    pub fn named(&self) -> [(&'static str, Option<u32>); 4] {
        [
            ("max_sessions", self.max_sessions),
            ("max_jobs", self.max_jobs),
            ("max_uploads", self.max_uploads),
            ("requests_per_second", self.requests_per_second),
        ]
    }
}

/// A key that is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NewKey {
    /// For whom or what it is.
    pub name: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// Whose jobs, sessions and webhooks it sees. Absent: its own alone.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// How much of it.
    #[serde(default, skip_serializing_if = "KeyLimits::is_empty")]
    pub limits: KeyLimits,
    /// Days after which it is worth nothing. Absent: never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_in_days: Option<u32>,
}

/// Longest name of a key, and of a tenant, in bytes.
const MAX_NAME: usize = 100;
const MAX_TENANT: usize = 64;
/// Longest life of a key that has an end: ten years.
const MAX_DAYS: u32 = 3650;

impl NewKey {
    /// Checks what types cannot say.
    ///
    /// # Errors
    /// Names the field and what is allowed.
    pub fn check(&self) -> Result<(), ApiError> {
        if !(1..=MAX_NAME).contains(&self.name.len()) || self.name.chars().any(char::is_control) {
            return Err(ApiError::param("name", format!("name must have 1 to {MAX_NAME} bytes that can be printed")));
        }
        if self.scopes.is_empty() {
            let known = Scope::ALL.map(Scope::as_str).join(", ");
            return Err(ApiError::param("scopes", format!("scopes is empty; give some of {known}")));
        }
        if self.tenant.as_deref().is_some_and(|tenant| !is_tenant(tenant)) {
            let message =
                format!("tenant must have 1 to {MAX_TENANT} letters, digits, `-`, `_` or `.`, a letter or digit first");
            return Err(ApiError::param("tenant", message));
        }
        if let Some((name, _)) = self.limits.named().into_iter().find(|(_, limit)| *limit == Some(0)) {
            return Err(ApiError::param(name, format!("{name} is 0; at least 1 is needed")));
        }
        if self.expires_in_days.is_some_and(|days| !(1..=MAX_DAYS).contains(&days)) {
            return Err(ApiError::param("expires_in_days", format!("expires_in_days must be from 1 to {MAX_DAYS}")));
        }
        Ok(())
    }
}

fn is_tenant(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_alphanumeric() || ['-', '_', '.'].contains(&c);
    text.len() <= MAX_TENANT && text.chars().all(plain) && text.starts_with(|c: char| c.is_ascii_alphanumeric())
}

/// A key as it is shown. What it is made of is not kept, and told in the answer that made it alone.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Key {
    /// The public half, which stands in logs.
    pub id: String,
    /// For whom or what it is.
    pub name: String,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// Whose jobs, sessions and webhooks it sees.
    pub tenant: String,
    /// How much of it; what the server's settings say is not repeated here.
    #[serde(default)]
    pub limits: KeyLimits,
    /// When it was made, in RFC 3339.
    pub created_at: String,
    /// When it was last used, to within a minute or two.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_used_at: Option<String>,
    /// From when on it is worth nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// Since when it is worth nothing, because it was taken back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub revoked_at: Option<String>,
    /// The key itself. Told once, when it is made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key").field("id", &self.id).field("name", &self.name).finish_non_exhaustive()
    }
}

/// The keys of a server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyList {
    /// Those that can be used first, each newest first.
    pub items: Vec<Key>,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn new() -> NewKey {
        let scopes = vec![Scope::Batch];
        NewKey { name: "laptop".into(), scopes, tenant: None, limits: KeyLimits::default(), expires_in_days: None }
    }

    #[test]
    fn a_wrong_wish_is_refused_by_the_name_of_its_field() {
        let check = |wish: NewKey, field: Option<&str>| {
            assert_eq!(wish.check().err().and_then(|error| error.param).as_deref(), field, "{wish:?}");
        };
        check(new(), None);
        check(NewKey { name: String::new(), ..new() }, Some("name"));
        check(NewKey { name: "two\nlines".into(), ..new() }, Some("name"));
        check(NewKey { name: "x".repeat(101), ..new() }, Some("name"));
        check(NewKey { scopes: vec![], ..new() }, Some("scopes"));
        for tenant in ["", "../jobs", ".hidden", "a b", "ä"] {
            check(NewKey { tenant: Some(tenant.into()), ..new() }, Some("tenant"));
        }
        check(NewKey { tenant: Some("team-1_a.b".into()), ..new() }, None);
        let limits = KeyLimits { max_jobs: Some(0), ..KeyLimits::default() };
        check(NewKey { limits, ..new() }, Some("max_jobs"));
        check(NewKey { expires_in_days: Some(0), ..new() }, Some("expires_in_days"));
    }

    #[test]
    fn a_scope_is_read_as_it_is_written() {
        for scope in Scope::ALL {
            assert_eq!(scope.to_string().parse(), Ok(scope));
            assert_eq!(serde_json::to_value(scope).unwrap(), scope.as_str());
        }
        assert!("Admin".parse::<Scope>().is_err());
    }
}
