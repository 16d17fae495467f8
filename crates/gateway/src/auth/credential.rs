//! Where a caller may put its key.

use std::borrow::Cow;

use http::{HeaderMap, header};

/// What a request brought to say who it is from.
#[derive(Clone, PartialEq, Eq)]
pub(crate) enum Credential<'a> {
    /// An API key.
    Key(Cow<'a, str>),
    /// A single-use token.
    Token(Cow<'a, str>),
    /// An `Authorization` header that is neither.
    Unreadable,
}

impl std::fmt::Debug for Credential<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Key(_) => "Key(…)",
            Self::Token(_) => "Token(…)",
            Self::Unreadable => "Unreadable",
        })
    }
}

impl<'a> Credential<'a> {
    /// `Authorization: Bearer`, `Authorization: Token` or `xi-api-key`.
    pub(crate) fn in_headers(headers: &'a HeaderMap) -> Option<Self> {
        if let Some(value) = headers.get(header::AUTHORIZATION) {
            let key =
                value.to_str().ok().and_then(|text| text.split_once(' ')).filter(|(scheme, _)| {
                    scheme.eq_ignore_ascii_case("bearer") || scheme.eq_ignore_ascii_case("token")
                });
            return Some(key.map_or(Self::Unreadable, |(_, key)| Self::Key(key.trim().into())));
        }
        let value = headers.get("xi-api-key")?;
        Some(value.to_str().map_or(Self::Unreadable, |key| Self::Key(key.trim().into())))
    }

    /// `token=` or `api_key=`, for what cannot send headers. Only WebSockets are asked.
    pub(crate) fn in_query(pairs: &'a [(String, String)]) -> Option<Self> {
        let value_of = |wanted: &str| pairs.iter().find(|(name, _)| name == wanted).map(|(_, value)| value.as_str());
        let token = value_of("token").map(|token| Self::Token(token.into()));
        token.or_else(|| value_of("api_key").map(|key| Self::Key(key.into())))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_found_wherever_clients_put_it() {
        let check = |name: &'static str, value: &'static str, expected: Credential<'_>| {
            let headers = HeaderMap::from_iter([(name.parse().unwrap(), http::HeaderValue::from_static(value))]);
            assert!(Credential::in_headers(&headers) == Some(expected), "{name}: {value}");
        };
        check("authorization", "Bearer k", Credential::Key("k".into()));
        check("authorization", "bearer  k ", Credential::Key("k".into()));
        check("authorization", "Token k", Credential::Key("k".into()));
        check("authorization", "Basic a2V5", Credential::Unreadable);
        check("authorization", "k", Credential::Unreadable);
        check("xi-api-key", "k", Credential::Key("k".into()));
        let pair = |name: &str| vec![(name.to_owned(), "k".to_owned())];
        assert!(Credential::in_query(&pair("token")) == Some(Credential::Token("k".into())));
        assert!(Credential::in_query(&pair("api_key")) == Some(Credential::Key("k".into())));
        assert!(Credential::in_query(&pair("key")).is_none());
    }

    #[test]
    fn a_credential_does_not_print() {
        assert!(!format!("{:?}", Credential::Key("canary".into())).contains("canary"));
    }
}
