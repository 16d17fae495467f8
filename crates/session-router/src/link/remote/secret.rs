//! What gateways and workers of one cluster know, and others do not.

use std::{fmt, sync::Arc};

use subtle::ConstantTimeEq;
use tokio_tungstenite::tungstenite::http::HeaderValue;

use super::RemoteError;

const SCHEME: &str = "Bearer ";

/// The secret of a cluster. Never printed.
#[derive(Clone)]
pub struct ClusterSecret(Arc<str>);

impl ClusterSecret {
    /// # Errors
    /// Too short to be one, or not fit for a header.
    pub fn new(secret: &str) -> Result<Self, RemoteError> {
        let fits = (16..=256).contains(&secret.len()) && secret.bytes().all(|byte| byte.is_ascii_graphic());
        if fits { Ok(Self(secret.into())) } else { Err(RemoteError::BadSecret) }
    }

    /// The header that proves it.
    pub(super) fn header(&self) -> HeaderValue {
        let text = format!("{SCHEME}{}", self.0);
        let mut value = HeaderValue::try_from(text).expect("a secret is printable ASCII");
        value.set_sensitive(true);
        value
    }

    /// Whether a header proves it. Takes the same time wherever a wrong one differs.
    pub(super) fn is_proven_by(&self, header: Option<&HeaderValue>) -> bool {
        let given = header.and_then(|value| value.as_bytes().strip_prefix(SCHEME.as_bytes())).unwrap_or_default();
        given.ct_eq(self.0.as_bytes()).into()
    }
}

impl fmt::Debug for ClusterSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClusterSecret(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECRET: &str = "0123456789abcdef";

    #[test]
    fn only_the_whole_secret_proves_it() {
        let secret = ClusterSecret::new(SECRET).unwrap();
        assert!(secret.is_proven_by(Some(&secret.header())));
        for wrong in ["", "Bearer ", "Bearer 0123456789abcde", "Bearer 0123456789abcdeF", "0123456789abcdef"] {
            assert!(!secret.is_proven_by(Some(&HeaderValue::from_str(wrong).unwrap())), "{wrong}");
        }
        assert!(!secret.is_proven_by(None));
    }

    #[test]
    fn it_is_never_printed_and_never_weak() {
        let secret = ClusterSecret::new(SECRET).unwrap();
        assert!(!format!("{secret:?} {:?}", secret.header()).contains("0123"));
        for bad in ["", "short", "sixteen letters ", "ümlaut-0123456789", &"x".repeat(257)] {
            assert!(ClusterSecret::new(bad).is_err(), "{bad}");
        }
    }
}
