//! Which browser pages may use a server that asks nobody for a key.
//!
//! A page of any site can make a browser connect to a loopback address. Two headers that a page cannot forge tell:
//! `Origin` names the site of the page (cross-site WebSocket hijacking, CWE-1385), and `Host` names what the browser
//! believes it talks to, which is a foreign name when a site's DNS was pointed at this address (rebinding).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use dalston_protocol::{ApiError, ErrorCode};
use http::{HeaderMap, Uri, header};

use crate::GatewayError;

/// The sites that are let in: those of loopback, and the configured ones.
#[derive(Debug, Default)]
pub(crate) struct Origins {
    configured: Box<[Uri]>,
}

impl Origins {
    pub(crate) fn new(configured: &[String]) -> Result<Self, GatewayError> {
        let parse = |origin: &String| {
            let uri: Option<Uri> = origin.trim_end_matches('/').parse().ok();
            uri.filter(|uri| uri.scheme().is_some() && uri.host().is_some() && uri.path() == "/").ok_or_else(|| {
                GatewayError::Config {
                    key: "auth.allowed_origins".into(),
                    problem: format!("contains {origin:?}; scheme and host are needed, as in https://captions.example"),
                }
            })
        };
        Ok(Self { configured: configured.iter().map(parse).collect::<Result<_, _>>()? })
    }

    /// # Errors
    /// [`ErrorCode::OriginNotAllowed`] for a `Host` that is not this machine's, or an `Origin` of another site. No
    /// `Origin` means that no page is behind it.
    pub(crate) fn check(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        if let Some(host) = headers.get(header::HOST) {
            let uri: Option<Uri> = host.to_str().ok().and_then(|host| host.parse().ok());
            let known = uri.as_ref().and_then(Uri::host).is_some_and(|host| self.is_known_host(host));
            known.then_some(()).ok_or_else(|| refused("the Host header"))?;
        }
        if let Some(origin) = headers.get(header::ORIGIN) {
            let uri: Option<Uri> = origin.to_str().ok().and_then(|origin| origin.parse().ok());
            let known = uri.is_some_and(|uri| self.is_known_origin(&uri));
            known.then_some(()).ok_or_else(|| refused("the page's origin"))?;
        }
        Ok(())
    }

    fn is_known_host(&self, host: &str) -> bool {
        is_loopback(host) || self.configured.iter().filter_map(Uri::host).any(|known| known.eq_ignore_ascii_case(host))
    }

    fn is_known_origin(&self, origin: &Uri) -> bool {
        let is_web = origin.scheme_str().is_some_and(|scheme| scheme == "http" || scheme == "https");
        let same = |known: &Uri| known.scheme() == origin.scheme() && known.authority() == origin.authority();
        (is_web && origin.host().is_some_and(is_loopback)) || self.configured.iter().any(same)
    }
}

fn is_loopback(host: &str) -> bool {
    if let Some(v6) = host.strip_prefix('[').and_then(|rest| rest.strip_suffix(']')) {
        return v6.parse::<Ipv6Addr>().is_ok_and(|ip| IpAddr::V6(ip).is_loopback());
    }
    // Names below `localhost` never leave the machine (RFC 6761 §6.3).
    let name = host.trim_end_matches('.').to_ascii_lowercase();
    name == "localhost" || name.ends_with(".localhost") || name.parse::<Ipv4Addr>().is_ok_and(|ip| ip.is_loopback())
}

fn refused(what: &str) -> ApiError {
    let message =
        format!("{what} is not one that this server lets in; add it to gateway.auth.allowed_origins, or use keys");
    ApiError::new(ErrorCode::OriginNotAllowed, message)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn allowed(host: Option<&str>, origin: Option<&str>) -> bool {
        let origins = Origins::new(&["https://captions.example".into()]).unwrap();
        let value = |text: &str| HeaderValue::from_str(text).unwrap();
        let headers = host.map(|host| (header::HOST, value(host))).into_iter();
        let headers = headers.chain(origin.map(|origin| (header::ORIGIN, value(origin)))).collect();
        origins.check(&headers).is_ok()
    }

    #[test]
    fn programs_and_local_pages_are_let_in() {
        assert!(allowed(None, None));
        for host in ["127.0.0.1:8000", "localhost:8000", "LOCALHOST", "[::1]:8000", "127.9.9.9", "dalston.localhost:1"]
        {
            assert!(allowed(Some(host), None), "{host}");
            assert!(allowed(Some("127.0.0.1:8000"), Some(&format!("http://{host}"))), "{host}");
        }
    }

    #[test]
    fn a_configured_site_is_let_in_behind_its_proxy() {
        assert!(allowed(Some("captions.example"), Some("https://captions.example")));
        assert!(
            !allowed(Some("captions.example"), Some("http://captions.example")),
            "another scheme is another origin"
        );
        assert!(!allowed(Some("captions.example"), Some("https://captions.example:444")), "and so is another port");
    }

    #[test]
    fn a_foreign_page_is_kept_out() {
        for origin in [
            "https://evil.example",
            "http://localhost.evil.example",
            "http://127.0.0.1.evil.example",
            "http://evil.example:8000",
            "null",
            "",
            "file://",
            "chrome-extension://abcdef",
            "http://localhost@evil.example",
        ] {
            assert!(!allowed(Some("127.0.0.1:8000"), Some(origin)), "{origin}");
        }
    }

    #[test]
    fn a_rebound_name_is_kept_out() {
        for host in ["evil.example:8000", "127.0.0.1.evil.example", "localhost.evil.example", "0.0.0.0", ""] {
            assert!(!allowed(Some(host), None), "{host}");
            assert!(!allowed(Some(host), Some(&format!("http://{host}"))), "{host} as same origin");
        }
    }

    #[test]
    fn a_configured_origin_must_be_one() {
        for wrong in ["captions.example", "https://", "https://captions.example/path", "*", ""] {
            assert!(Origins::new(&[wrong.into()]).is_err(), "{wrong}");
        }
    }
}
