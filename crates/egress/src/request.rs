//! What is asked, and how much is taken for an answer.

use std::time::Duration;

use bytes::Bytes;
use dalston_telemetry::{Component, TraceContext};
use http::{HeaderMap, HeaderName, HeaderValue, Method};

/// A request to a place that somebody else named.
#[derive(Debug, Clone)]
pub struct Request<'a> {
    /// `GET`, `POST`, …
    pub method: Method,
    /// Where to.
    pub url: &'a str,
    /// Beside `host`, `user-agent`, `traceparent` and `x-request-id`, which are added.
    pub headers: HeaderMap,
    /// What is sent; sent again where a redirect says so.
    pub body: Bytes,
    /// How much is taken for an answer.
    pub limits: Limits,
    /// Who asks, and as part of what.
    pub origin: Origin<'a>,
}

impl<'a> Request<'a> {
    /// A `GET`.
    pub fn get(url: &'a str, limits: Limits, origin: Origin<'a>) -> Self {
        Self { method: Method::GET, url, headers: HeaderMap::new(), body: Bytes::new(), limits, origin }
    }

    /// A `POST` of this body.
    pub fn post(url: &'a str, body: Bytes, limits: Limits, origin: Origin<'a>) -> Self {
        Self { method: Method::POST, url, headers: HeaderMap::new(), body, limits, origin }
    }

    /// With one more header.
    #[must_use]
    pub fn header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.insert(name, value);
        self
    }
}

/// Who asks, and as part of what.
#[derive(Debug, Clone)]
pub struct Origin<'a> {
    /// In whose lane the spans stand.
    pub component: Component,
    /// Whose child they are.
    pub trace: TraceContext,
    /// The request that all this is for.
    pub request_id: &'a str,
}

/// How much is taken for an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// From the first lookup to the body's last byte, redirects included.
    pub total: Duration,
    /// Bytes of a body.
    pub body: u64,
    /// Redirects that are followed. Beyond that, or with none allowed, see [`Client::send`](crate::Client::send).
    pub redirects: u8,
}
