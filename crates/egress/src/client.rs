//! Requests and their redirects, each hop checked like the first.

use std::{io, net::IpAddr};

use bytes::Bytes;
use dalston_telemetry::{Span, StepKind, TraceContext, Tracers, key};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, header};
use http_body_util::Full;
use tokio_rustls::TlsConnector;
use url::Host;

use crate::{
    EgressError, Request, Response, Settings,
    connection::Connection,
    names::Names,
    patience::Patience,
    target::{Target, may_reach},
    tls,
};

const USER_AGENT: &str = concat!("Dalston/", env!("CARGO_PKG_VERSION"));
const TRACEPARENT: HeaderName = HeaderName::from_static("traceparent");
const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Makes requests to places that others name. Cheap to clone.
///
/// Every request has a connection of its own: there is no pool in which one could wait that was checked for another name.
#[derive(Clone)]
pub struct Client {
    settings: std::sync::Arc<Settings>,
    names: Names,
    tls: TlsConnector,
    tracers: Tracers,
}

impl Client {
    /// A client that looks names up as this machine does. It reads no proxy from the environment: a proxy would look up names
    /// itself, and what it finds is not checked.
    ///
    /// # Errors
    /// [`EgressError::Certificates`].
    pub fn new(settings: Settings, tracers: Tracers) -> Result<Self, EgressError> {
        let tls = tls::connector(settings.ca_file.as_deref())?;
        Ok(Self { settings: settings.into(), names: Names::system(), tls, tracers })
    }

    /// With another way to look up names, which may block.
    #[must_use]
    pub fn with_names(mut self, lookup: impl Fn(&str) -> io::Result<Vec<IpAddr>> + Send + Sync + 'static) -> Self {
        self.names = Names::new(lookup);
        self
    }

    /// Whether a URL may be asked for, as far as it alone tells: what its name means is looked up when it is.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self, url: &str) -> Result<(), EgressError> {
        Target::parse(url, &self.settings).map(drop)
    }

    /// Makes a request, and follows its redirects as far as they may lead. Where none may be followed at all, a redirect is an
    /// answer like any other.
    ///
    /// # Errors
    /// As [`EgressError`] tells. No connection was opened to any address that must not be reached.
    pub async fn send(&self, request: Request<'_>) -> Result<Response, EgressError> {
        let limits = request.limits;
        let patience = Patience::new(self.settings.idle_timeout, limits.total);
        let mut hop = Hop {
            target: Target::parse(request.url, &self.settings)?,
            method: request.method.clone(),
            headers: request.headers.clone(),
            body: request.body.clone(),
        };
        for followed in 0..=limits.redirects {
            let is_first = followed == 0;
            let response = self.hop(&hop, &request, patience).await.map_err(|error| match error {
                EgressError::NotPublic if !is_first => EgressError::Redirected(Box::new(error)),
                error => error,
            })?;
            let Some(location) = redirect(&response).filter(|_| limits.redirects > 0) else { return Ok(response) };
            hop = hop.next(response.status(), location, &self.settings)?;
        }
        Err(EgressError::TooManyRedirects { limit: limits.redirects })
    }

    async fn hop(&self, hop: &Hop, request: &Request<'_>, patience: Patience) -> Result<Response, EgressError> {
        let span = self.span(hop, request);
        let sent = span.around(self.exchange(hop, request, &span.context(), patience)).await;
        match sent {
            Ok((response, connection)) => {
                let status = response.status();
                span.http_status(status.as_u16());
                if status.is_client_error() {
                    // Ours: to the one who asks it is a failure, though not of the one who answers.
                    span.fail("http_4xx", "the request was refused");
                }
                Ok(Response::new(response, request.limits.body, patience, connection.driver, span))
            }
            Err(error) => {
                span.fail(error.kind(), "the request failed");
                Err(error)
            }
        }
    }

    async fn exchange(
        &self,
        hop: &Hop,
        request: &Request<'_>,
        trace: &TraceContext,
        patience: Patience,
    ) -> Result<(http::Response<hyper::body::Incoming>, Connection), EgressError> {
        let limit = self.settings.connect_timeout;
        let addresses = patience.wait_for(limit, self.addresses(&hop.target)).await??;
        let mut connection = Connection::open(&hop.target, &addresses, &self.tls, limit, &patience).await?;
        let message = hop.message(request, trace)?;
        let response = patience.wait(connection.sender.send_request(message)).await?;
        Ok((response.map_err(EgressError::Broken)?, connection))
    }

    /// Those of the target's addresses that may be reached, of which there is at least one. Nobody looks the name up again
    /// afterwards, so it cannot mean another address by then.
    async fn addresses(&self, target: &Target) -> Result<Vec<IpAddr>, EgressError> {
        let host = target.host();
        let mut addresses = match (target.literal(), &host) {
            (Some(literal), _) => vec![literal],
            (None, Host::Domain(name)) => self.names.addresses(name.clone()).await,
            (None, _) => Vec::new(),
        };
        addresses.retain(|address| may_reach(&self.settings, &host, *address));
        if addresses.is_empty() { Err(EgressError::NotPublic) } else { Ok(addresses) }
    }

    fn span(&self, hop: &Hop, request: &Request<'_>) -> Span {
        let (origin, none) = (&request.origin, TraceContext::none());
        let method = hop.method.as_str();
        let span = self.tracers.step(origin.component, StepKind::Client, method.to_owned(), &origin.trace, &none);
        span.label(key::HTTP_REQUEST_METHOD, method);
        span.label(key::HTTP_METHOD, method);
        span.label(key::SERVER_ADDRESS, &hop.target.host().to_string());
        span.set(key::SERVER_PORT, hop.target.port());
        span.label(key::REQUEST_ID, origin.request_id);
        span
    }
}

impl std::fmt::Debug for Client {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Client").field("settings", &self.settings).finish_non_exhaustive()
    }
}

/// One request of a chain of redirects.
struct Hop {
    target: Target,
    method: Method,
    headers: HeaderMap,
    body: Bytes,
}

impl Hop {
    /// <https://www.rfc-editor.org/rfc/rfc9110#section-15.4>: 307 and 308 repeat the request; 303 asks with `GET`, and so do
    /// 301 and 302, as everybody does, for what was a `POST`.
    fn next(self, status: StatusCode, location: &HeaderValue, settings: &Settings) -> Result<Self, EgressError> {
        let target = self.target.redirect(location, settings)?;
        let Self { mut headers, mut method, mut body, .. } = self;
        if !target.is_same_origin(&self.target) {
            // What was meant for one place is not another's to know.
            for name in [header::AUTHORIZATION, header::PROXY_AUTHORIZATION, header::COOKIE] {
                headers.remove(name);
            }
        }
        let keeps = matches!(status, StatusCode::TEMPORARY_REDIRECT | StatusCode::PERMANENT_REDIRECT);
        if !keeps && method != Method::GET && method != Method::HEAD {
            method = Method::GET;
            body = Bytes::new();
            for name in [header::CONTENT_TYPE, header::CONTENT_ENCODING] {
                headers.remove(name);
            }
        }
        Ok(Self { target, method, headers, body })
    }

    fn message(&self, request: &Request<'_>, trace: &TraceContext) -> Result<http::Request<Full<Bytes>>, EgressError> {
        let not_a_url = || EgressError::NotAUrl(url::ParseError::InvalidDomainCharacter);
        let mut message = http::Request::new(Full::new(self.body.clone()));
        *message.method_mut() = self.method.clone();
        *message.uri_mut() = self.target.path_and_query().ok_or_else(not_a_url)?;
        let headers = message.headers_mut();
        headers.clone_from(&self.headers);
        headers.insert(header::HOST, self.target.authority().ok_or_else(not_a_url)?);
        headers.insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        // What is counted is what arrives; a kilobyte must not become a gigabyte.
        headers.insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        if let Some(traceparent) = trace.to_traceparent().and_then(|text| text.try_into().ok()) {
            headers.insert(TRACEPARENT, traceparent);
        }
        if let Ok(request_id) = request.origin.request_id.try_into() {
            headers.insert(REQUEST_ID, request_id);
        }
        Ok(message)
    }
}

/// Where an answer sends on to, if it does.
fn redirect(response: &Response) -> Option<&HeaderValue> {
    let sends_on = matches!(response.status().as_u16(), 301 | 302 | 303 | 307 | 308);
    response.headers().get(header::LOCATION).filter(|_| sends_on)
}
