//! Why a request was not made, or came to nothing.

use std::{io, time::Duration};

use crate::target::MAX_URL;

/// Why a request was not made, or came to nothing.
///
/// The text may be shown to whoever named the URL: it goes on after "the URL …", repeats nothing of the URL, and does not tell
/// what there is in a private network: a name that has private addresses alone reads like one that has none. What else is
/// known is in [`source`](std::error::Error::source), and for the log.
#[derive(Debug, thiserror::Error)]
pub enum EgressError {
    /// It cannot be read.
    #[error("is not one: {0}")]
    NotAUrl(url::ParseError),
    /// It is longer than any that is taken.
    #[error("is longer than {MAX_URL} bytes")]
    TooLong,
    /// Another scheme than these.
    #[error("must begin with {allowed}")]
    Scheme {
        /// Those that would do.
        allowed: &'static str,
    },
    /// A name or password stands in it, which would end in logs.
    #[error("must not have a user name or password in it")]
    Credentials,
    /// The host has no address at all, or none that may be reached.
    #[error("has a host without a public address")]
    NotPublic,
    /// Nobody answered at any address.
    #[error("has a host that takes no connection")]
    Connect(#[source] io::Error),
    /// No secure connection came about.
    #[error("has a host that could not be trusted: no secure connection came about")]
    Tls(#[source] io::Error),
    /// Silence.
    #[error("was not answered for {} s", .0.as_secs_f64())]
    Idle(Duration),
    /// It went on for too long altogether.
    #[error("was not answered in full within {} s", .0.as_secs_f64())]
    Timeout(Duration),
    /// The other side is not HTTP, or broke off.
    #[error("was answered with something broken off or other than HTTP")]
    Broken(#[source] hyper::Error),
    /// More than the limit.
    #[error("was answered with more than {limit} bytes")]
    TooLarge {
        /// The limit.
        limit: u64,
    },
    /// As often as may be, and once more.
    #[error("redirects more than {limit} times")]
    TooManyRedirects {
        /// The limit.
        limit: u8,
    },
    /// To nowhere that can be read, or from a secure place to one that is not.
    #[error("redirects to where it must not: {0}")]
    BadRedirect(&'static str),
    /// To a place that must not be reached.
    #[error("redirects to another, which {0}")]
    Redirected(#[source] Box<EgressError>),
    /// The file with certificates to trust cannot be used.
    #[error("ca_file {path} cannot be used: {reason}")]
    Certificates {
        /// The file.
        path: String,
        /// What is wrong with it.
        reason: String,
    },
}

impl EgressError {
    /// In one word, for metrics and spans.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::NotAUrl(_) | Self::TooLong | Self::Scheme { .. } | Self::Credentials => "invalid_url",
            Self::NotPublic => "not_public",
            Self::Connect(_) => "connect",
            Self::Tls(_) => "tls",
            Self::Idle(_) | Self::Timeout(_) => "timeout",
            Self::Broken(_) => "broken",
            Self::TooLarge { .. } => "too_large",
            Self::TooManyRedirects { .. } | Self::BadRedirect(_) => "redirect",
            Self::Redirected(error) => error.kind(),
            Self::Certificates { .. } => "certificates",
        }
    }
}
