//! Where a server is.

use std::{fmt, str::FromStr};

use dalston_protocol::realtime::STREAM_PATH;
use http::Uri;

use crate::InvalidEndpoint;

/// A server's address, out of `http://host:port`, `ws://host:port/prefix` or plain `host:port`.
///
/// A path in front of the API's own is kept, for servers behind a proxy, and so is a query. TLS is not built in: a server
/// behind a TLS proxy is reached through a local tunnel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Endpoint {
    host: String,
    port: u16,
    prefix: String,
    query: Option<String>,
}

impl Endpoint {
    /// Host and port, as in a `Host` header.
    pub fn authority(&self) -> String {
        format!("{}:{}", self.host, self.port)
    }

    /// What a TCP connection is made to. An IPv6 address has no brackets here.
    pub fn socket(&self) -> (&str, u16) {
        (self.host.trim_start_matches('[').trim_end_matches(']'), self.port)
    }

    /// The path of `route` on this server, with the prefix that its proxy needs.
    pub fn path(&self, route: &str) -> String {
        format!("{}{route}", self.prefix)
    }

    /// The query that stood in the URL.
    pub(crate) fn query(&self) -> Option<&str> {
        self.query.as_deref()
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "http://{}:{}{}", self.host, self.port, self.prefix)
    }
}

impl FromStr for Endpoint {
    type Err = InvalidEndpoint;

    fn from_str(given: &str) -> Result<Self, InvalidEndpoint> {
        let invalid = |why| InvalidEndpoint { given: shown(given), why };
        let url = if given.contains("://") { given.to_owned() } else { format!("http://{given}") };
        let uri: Uri = url.parse().map_err(|_| invalid("it is not a URL"))?;
        match uri.scheme_str() {
            Some("http" | "ws") => {}
            Some("https" | "wss") => return Err(invalid("TLS is not built in, so use a local tunnel")),
            _ => return Err(invalid("only http and ws are spoken")),
        }
        let authority = uri.authority().ok_or_else(|| invalid("it has no host"))?;
        if authority.as_str().contains('@') {
            return Err(invalid("a key is not part of the address"));
        }
        if authority.host().is_empty() {
            return Err(invalid("it has no host"));
        }
        let has_bad_port = authority.port().is_none() && authority.as_str() != authority.host();
        if has_bad_port || authority.port_u16() == Some(0) {
            return Err(invalid("its port is not a number from 1 to 65535"));
        }
        let path = uri.path().trim_end_matches('/');
        Ok(Self {
            host: authority.host().to_owned(),
            port: authority.port_u16().unwrap_or(80),
            prefix: path.strip_suffix(STREAM_PATH).unwrap_or(path).to_owned(),
            query: uri.query().filter(|query| !query.is_empty()).map(str::to_owned),
        })
    }
}

/// The address as it may be repeated: what stands before the host is a password.
fn shown(given: &str) -> String {
    given.rsplit_once('@').map_or_else(|| given.to_owned(), |(_, host)| format!("…@{host}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_way_to_write_an_address_is_read() {
        let check = |given: &str, authority: &str, path: &str| {
            let endpoint: Endpoint = given.parse().expect(given);
            assert_eq!(endpoint.authority(), authority, "{given}");
            assert_eq!(endpoint.path(STREAM_PATH), path, "{given}");
        };
        check("127.0.0.1:8000", "127.0.0.1:8000", STREAM_PATH);
        check("localhost", "localhost:80", STREAM_PATH);
        check("http://localhost:8000/", "localhost:8000", STREAM_PATH);
        check("ws://[::1]:8000", "[::1]:8000", STREAM_PATH);
        check("http://proxy/dalston/", "proxy:80", &format!("/dalston{STREAM_PATH}"));
        check(&format!("ws://a:1{STREAM_PATH}"), "a:1", STREAM_PATH);
        let v6: Endpoint = "http://[::1]:8000".parse().unwrap();
        assert_eq!(v6.socket(), ("::1", 8000));
    }

    #[test]
    fn what_is_no_address_is_refused_with_a_reason() {
        let check = |given: &str, why: &str| {
            let error = given.parse::<Endpoint>().expect_err(given).to_string();
            assert!(error.contains(why), "{given}: {error}");
        };
        check("https://example.org", "TLS");
        check("ftp://example.org", "http and ws");
        check("http://", "URL");
        check("", "URL");
        check("host:99999", "port");
        check("host:0", "port");
        check("http://user:secret@host:1", "a key");
        check("http://user:secret@host:1", "…@host:1");
        check("https://user:p@ss@host", "`…@host`");
    }
}
