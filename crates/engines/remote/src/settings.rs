//! Which server is asked, and how.

use std::{fmt, num::NonZeroUsize, path::PathBuf, str::FromStr, time::Duration};

use dalston_egress::Allowed;
use http::HeaderValue;
use url::Url;

/// Which server is asked, and how.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where it is.
    pub endpoint: Endpoint,
    /// What it calls its model.
    pub model: String,
    /// What it lets in with.
    pub key: Option<Key>,
    /// Languages that it knows; any when there are none.
    pub languages: Vec<String>,
    /// Whether it tells when each word was said. Otherwise a file goes there in parts of half a minute at most, each of which
    /// becomes one segment.
    pub words: bool,
    /// Whether it has `/audio/translations` too.
    pub translates: bool,
    /// Requests at once. Files take half of them at most: the rest is for live sessions.
    pub requests: NonZeroUsize,
    /// Longest wait for one answer.
    pub timeout: Duration,
    /// Longest audio of one request: 32 kB a second.
    pub longest: Duration,
    /// A PEM file with certificates to trust besides those of the machine.
    pub ca_file: Option<PathBuf>,
}

impl Settings {
    /// Of a server that gives words' times and knows any language. A request carries ten minutes, which is 19 MB.
    pub fn new(endpoint: Endpoint, model: impl Into<String>) -> Self {
        Self {
            endpoint,
            model: model.into(),
            key: None,
            languages: Vec::new(),
            words: true,
            translates: false,
            requests: NonZeroUsize::MIN.saturating_add(7),
            timeout: Duration::from_secs(600),
            longest: Duration::from_secs(600),
            ca_file: None,
        }
    }
}

/// Where the server is: what stands before `/audio/transcriptions`.
#[derive(Clone, PartialEq, Eq)]
pub struct Endpoint(Url);

/// Not the URL of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a URL by http or https such as https://api.openai.com/v1, without a name, password, query or fragment in it")]
pub struct InvalidEndpoint;

impl FromStr for Endpoint {
    type Err = InvalidEndpoint;

    fn from_str(text: &str) -> Result<Self, InvalidEndpoint> {
        let url = Url::parse(text).map_err(|_| InvalidEndpoint)?;
        let is_plain = url.username().is_empty() && url.password().is_none();
        let is_whole = url.has_host() && url.query().is_none() && url.fragment().is_none();
        let is_http = matches!(url.scheme(), "http" | "https");
        if is_http && is_plain && is_whole { Ok(Self(url)) } else { Err(InvalidEndpoint) }
    }
}

impl Endpoint {
    /// A path below it.
    pub(crate) fn path(&self, path: &str) -> String {
        format!("{}/{path}", self.0.as_str().trim_end_matches('/'))
    }

    /// Its host may be private: an operator has named it, and nobody else can.
    pub(crate) fn allowed(&self) -> Option<Allowed> {
        let host = self.host().trim_start_matches('[').trim_end_matches(']');
        host.parse().ok()
    }

    /// Its host, for people.
    pub fn host(&self) -> &str {
        self.0.host_str().unwrap_or_default()
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.as_str())
    }
}

/// A key of the server, never shown.
#[derive(Clone)]
pub struct Key(HeaderValue);

impl Key {
    /// `None` when it cannot stand in a header.
    pub fn new(key: &str) -> Option<Self> {
        let is_visible = !key.is_empty() && key.bytes().all(|byte| byte.is_ascii_graphic());
        let mut header = HeaderValue::try_from(format!("Bearer {key}")).ok().filter(|_| is_visible)?;
        header.set_sensitive(true);
        Some(Self(header))
    }

    pub(crate) fn header(&self) -> HeaderValue {
        self.0.clone()
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(…)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_what_stands_before_the_paths() {
        let check = |text: &str, expected: &str| {
            let endpoint: Endpoint = text.parse().expect(text);
            assert_eq!(endpoint.path("audio/transcriptions"), expected);
        };
        check("https://api.openai.com/v1", "https://api.openai.com/v1/audio/transcriptions");
        check("http://gpu.intern:8000/v1/", "http://gpu.intern:8000/v1/audio/transcriptions");
        check("http://[::1]:8000", "http://[::1]:8000/audio/transcriptions");
        for wrong in
            ["", "gpu.intern", "ftp://a/v1", "https://me:secret@a/v1", "https://a/v1?key=secret", "https://a/#b"]
        {
            assert_eq!(wrong.parse::<Endpoint>(), Err(InvalidEndpoint), "{wrong}");
        }
    }

    #[test]
    fn the_host_that_an_operator_names_may_be_private() {
        for (text, expected) in
            [("http://10.0.0.7:9/v1", "10.0.0.7"), ("http://[::1]/v1", "::1"), ("http://GPU/", "gpu")]
        {
            let endpoint: Endpoint = text.parse().expect(text);
            assert_eq!(endpoint.allowed(), expected.parse().ok(), "{text}");
        }
    }

    #[test]
    fn a_key_does_not_show() {
        let key = Key::new("sk-canary").expect("a key");
        assert!(!format!("{key:?} {:?}", key.header()).contains("canary"));
        assert!(Key::new("").is_none() && Key::new("a b").is_none() && Key::new("a\r\nb").is_none());
    }
}
