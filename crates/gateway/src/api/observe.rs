//! What happens to every request: an id, a span, a time limit, a body for errors, a count and a log line.

use std::{
    panic::AssertUnwindSafe,
    time::{Duration, Instant},
};

use axum::{
    extract::{MatchedPath, Request, State},
    middleware::Next,
    response::{IntoResponse, Response},
};
use dalston_protocol::{ApiError, ErrorCode, JobId, RequestId};
use dalston_telemetry::{Span, TraceContext, key};
use futures_util::FutureExt;
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version, header};
use tokio::time::timeout;
use tracing::{Instrument, debug, error, info};

use super::{Failure, failure};
use crate::{gateway::App, server::MayOpenSession};

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const TRACEPARENT: &str = "traceparent";
const TRACERESPONSE: HeaderName = HeaderName::from_static("traceresponse");

/// Asked every few seconds by machines; neither traced nor logged at the usual level.
const PROBES: [&str; 3] = ["/healthz", "/readyz", "/metrics"];

pub(super) async fn observe(State(app): State<App>, mut request: Request, next: Next) -> Response {
    let began = Instant::now();
    let request_id = request_id(request.headers());
    let route = request.extensions().get::<MatchedPath>().cloned();
    let route = route.as_ref().map_or("unmatched", MatchedPath::as_str);
    let method = known_method(request.method());
    let may_linger = request.extensions().get::<MayOpenSession>().is_none_or(|may| may.0);
    let is_probe = PROBES.contains(&route);

    // A WebSocket's span is made with its session and lives as long.
    let span = if is_probe || is_upgrade(request.headers()) {
        Span::none()
    } else {
        app.tracers.http_server(method, route, header_text(request.headers(), TRACEPARENT))
    };
    span.label(key::REQUEST_ID, request_id.as_str());

    request.extensions_mut().insert(request_id.clone());
    request.extensions_mut().insert(span.context());
    let scope = dalston_telemetry::scope(request_id.as_str(), None);
    let mut response = span.around(answer(request, next)).instrument(scope.clone()).await;

    if let Some(job) = response.extensions().get::<JobId>() {
        span.label(key::JOB_ID, job.as_str());
    }
    let code = failure::write_body(&mut response, &request_id);
    let status = response.status();
    let headers = response.headers_mut();
    headers.insert(REQUEST_ID, header_value(request_id.as_str()));
    if let Some(trace) = trace_response(&span.context()) {
        headers.insert(TRACERESPONSE, trace);
    }
    if status != StatusCode::SWITCHING_PROTOCOLS {
        if !may_linger || app.draining.is_cancelled() {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        let took = began.elapsed();
        app.metrics.http_request(method, route, status.as_u16(), took);
        span.http_status(status.as_u16());
        let (status, seconds, code) = (status.as_u16(), took.as_secs_f64(), code.map(ErrorCode::as_str));
        span.in_scope(|| {
            scope.in_scope(|| {
                if is_probe {
                    debug!(method, route, status, seconds, code, "request answered");
                } else {
                    info!(method, route, status, seconds, code, "request answered");
                }
            });
        });
    }
    response
}

/// A panic is an answer like any other: it must not take the connection's other requests along.
async fn answer(request: Request, next: Next) -> Response {
    if let Err(error) = has_host(&request) {
        return Failure(error).into_response();
    }
    AssertUnwindSafe(next.run(request)).catch_unwind().await.unwrap_or_else(|_panic| {
        error!("a handler panicked");
        Failure(ApiError::new(ErrorCode::Internal, "the server failed")).into_response()
    })
}

/// Around every handler that does not keep a time of its own.
pub(super) async fn in_time(State(limit): State<Duration>, request: Request, next: Next) -> Response {
    timeout(limit, next.run(request)).await.unwrap_or_else(|_elapsed| {
        let message = format!("no answer within {} s; try again", limit.as_secs_f64());
        Failure(ApiError::new(ErrorCode::NoCapacity, message).retry_after(1.0)).into_response()
    })
}

/// RFC 9112 §3.2.
fn has_host(request: &Request) -> Result<(), ApiError> {
    let hosts = request.headers().get_all(header::HOST).iter().count();
    if request.version() != Version::HTTP_11 || hosts == 1 {
        return Ok(());
    }
    Err(ApiError::param("Host", format!("{hosts} Host headers; HTTP/1.1 asks for one")))
}

/// The caller's own id, if it is safe to print, or a new one.
fn request_id(headers: &HeaderMap) -> RequestId {
    header_text(headers, REQUEST_ID.as_str()).and_then(RequestId::from_caller).unwrap_or_else(RequestId::generate)
}

pub(crate) fn header_text<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

/// Tells the client which trace its request became (W3C Trace Context Level 2, draft).
pub(crate) fn trace_response(context: &TraceContext) -> Option<HeaderValue> {
    context.to_traceparent().map(|text| header_value(&text))
}

pub(crate) fn traced(mut response: Response, context: &TraceContext) -> Response {
    if let Some(trace) = trace_response(context) {
        response.headers_mut().insert(TRACERESPONSE, trace);
    }
    response
}

pub(crate) fn is_upgrade(headers: &HeaderMap) -> bool {
    headers.contains_key(header::UPGRADE)
}

fn header_value(safe: &str) -> HeaderValue {
    HeaderValue::from_str(safe).expect("ids and trace contexts are printable ASCII")
}

/// Methods are a client's invention; series and span names are not.
fn known_method(method: &Method) -> &'static str {
    match *method {
        Method::GET => "GET",
        Method::POST => "POST",
        Method::PUT => "PUT",
        Method::PATCH => "PATCH",
        Method::DELETE => "DELETE",
        Method::HEAD => "HEAD",
        Method::OPTIONS => "OPTIONS",
        _ => "_OTHER",
    }
}
