//! Where a request goes, as far as its URL alone tells.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use http::{HeaderValue, Uri};
use percent_encoding::percent_decode_str;
use url::{Host, Url};

use crate::{EgressError, Settings, network::is_public};

/// Longest URL.
pub(crate) const MAX_URL: usize = 8 * 1024;

/// What `localhost` means.
fn loopback() -> [IpAddr; 2] {
    [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()]
}

/// A URL of an allowed scheme, without credentials, with a host.
///
/// It is read as browsers read it: `2130706433`, `0x7f.1` and `0177.0.0.1` are all the address 127.0.0.1 from then on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Target(Url);

impl Target {
    pub(crate) fn parse(text: &str, settings: &Settings) -> Result<Self, EgressError> {
        if text.len() > MAX_URL {
            return Err(EgressError::TooLong);
        }
        Self::new(Url::parse(text).map_err(EgressError::NotAUrl)?, settings)
    }

    fn new(url: Url, settings: &Settings) -> Result<Self, EgressError> {
        match url.scheme() {
            "https" => {}
            "http" if settings.plain_http => {}
            _ if settings.plain_http => return Err(EgressError::Scheme { allowed: "https:// or http://" }),
            _ => return Err(EgressError::Scheme { allowed: "https://" }),
        }
        if !url.username().is_empty() || url.password().is_some() {
            return Err(EgressError::Credentials);
        }
        let target = Self(url);
        // What a literal is needs no asking; a name's addresses are looked at when they are known.
        if let Some(literal) = target.literal()
            && !may_reach(settings, &target.host(), literal)
        {
            return Err(EgressError::NotPublic);
        }
        if target.is_this_machine() && !loopback().iter().any(|own| may_reach(settings, &target.host(), *own)) {
            return Err(EgressError::NotPublic);
        }
        Ok(target)
    }

    /// Where a redirect from here leads.
    pub(crate) fn redirect(&self, location: &HeaderValue, settings: &Settings) -> Result<Self, EgressError> {
        let location = location.to_str().map_err(|_| EgressError::BadRedirect("its location is no URL"))?;
        if location.len() > MAX_URL {
            return Err(EgressError::Redirected(Box::new(EgressError::TooLong)));
        }
        let url = self.0.join(location).map_err(|_| EgressError::BadRedirect("its location is no URL"))?;
        if self.is_secure() && url.scheme() == "http" {
            return Err(EgressError::BadRedirect("from https:// to http://"));
        }
        Self::new(url, settings).map_err(|error| EgressError::Redirected(Box::new(error)))
    }

    pub(crate) fn is_secure(&self) -> bool {
        self.0.scheme() == "https"
    }

    pub(crate) fn host(&self) -> Host<String> {
        self.0.host().expect("URLs of these schemes have a host").to_owned()
    }

    /// Whether the host is a name of this very machine, whatever is looked up (RFC 6761, 6.3).
    fn is_this_machine(&self) -> bool {
        let Host::Domain(name) = self.host() else { return false };
        let name = name.trim_end_matches('.');
        name == "localhost" || name.ends_with(".localhost")
    }

    /// The host, if it is an address.
    pub(crate) fn literal(&self) -> Option<IpAddr> {
        match self.host() {
            Host::Ipv4(address) => Some(address.into()),
            Host::Ipv6(address) => Some(address.into()),
            Host::Domain(_) => None,
        }
    }

    pub(crate) fn port(&self) -> u16 {
        self.0.port_or_known_default().expect("these schemes have a default port")
    }

    pub(crate) fn is_same_origin(&self, other: &Self) -> bool {
        self.0.origin() == other.0.origin()
    }

    /// What stands in the request's first line.
    pub(crate) fn path_and_query(&self) -> Option<Uri> {
        let query = self.0.query().map(|query| format!("?{query}")).unwrap_or_default();
        format!("{}{query}", self.0.path()).parse().ok()
    }

    /// What stands in its `host` header: the port only where it is not the scheme's own.
    pub(crate) fn authority(&self) -> Option<HeaderValue> {
        let host = self.host();
        match self.0.port() {
            Some(port) => format!("{host}:{port}").try_into().ok(),
            None => host.to_string().try_into().ok(),
        }
    }
}

/// What the file at a URL is called, as far as its path tells. It may hold anything that can be written in a URL.
pub fn file_name(url: &str) -> Option<String> {
    let url = Url::parse(url).ok()?;
    let last = url.path_segments()?.next_back().filter(|last| !last.is_empty())?;
    Some(percent_decode_str(last).decode_utf8_lossy().into_owned())
}

/// Whether a request to this host may go to this address.
pub(crate) fn may_reach(settings: &Settings, host: &Host<String>, address: IpAddr) -> bool {
    is_public(address) || settings.allow.iter().any(|allowed| allowed.covers(host, address))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_called_what_its_path_ends_in() {
        let check = |url: &str, expected: Option<&str>| assert_eq!(file_name(url).as_deref(), expected, "{url}");
        check("https://example.org/a/talk.wav?token=hunter2#t", Some("talk.wav"));
        check("https://example.org/go%20forward.wav", Some("go forward.wav"));
        check("https://example.org/", None);
        check("https://example.org", None);
        check("talk.wav", None);
    }
}
