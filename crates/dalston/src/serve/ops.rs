//! `/healthz`, `/readyz` and `/metrics` of a process that is not a gateway.

use std::{convert::Infallible, sync::Arc, time::Duration};

use bytes::Bytes;
use dalston_telemetry::Metrics;
use http::{Method, Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::{body::Incoming, server::conn::http1, service::service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use serde_json::json;
use tokio::{
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
    time::{sleep, timeout},
};
use tokio_util::sync::CancellationToken;

/// Probes at once; the kernel queues more.
const MOST: usize = 32;
/// From accept to the end of the answer. Then it is cut.
const LONGEST: Duration = Duration::from_secs(5);
/// Wait after an accept that failed for want of something, such as file descriptors.
const PAUSE: Duration = Duration::from_millis(100);

/// What is answered.
#[derive(Clone)]
pub struct Ops {
    /// For `/metrics`.
    pub metrics: Arc<Metrics>,
    /// From here on `/readyz` says 503.
    pub draining: CancellationToken,
}

impl Ops {
    /// Answers until it is dropped: to its last moment, so that whoever asks sees that it drains. One request a connection.
    pub async fn serve(self, listener: TcpListener) {
        let places = Arc::new(Semaphore::new(MOST));
        let mut connections = JoinSet::new();
        loop {
            let arrival = async {
                let place = places.clone().acquire_owned().await.expect("the semaphore is never closed");
                (listener.accept().await, place)
            };
            tokio::select! {
                Some(_) = connections.join_next() => {}
                (accepted, place) = arrival => match accepted {
                    Ok((stream, _)) => {
                        let ops = self.clone();
                        connections.spawn(async move {
                            // Errors are the peer's doing, and it is not there any more to be told.
                            let _ = timeout(LONGEST, ops.answer_one(stream)).await;
                            drop(place);
                        });
                    }
                    Err(error) => {
                        tracing::warn!(%error, "cannot accept probes");
                        sleep(PAUSE).await;
                    }
                },
            }
        }
    }

    async fn answer_one(self, stream: TcpStream) -> Result<(), hyper::Error> {
        let service = service_fn(|request: Request<Incoming>| {
            let response = self.answer(request.method(), request.uri().path());
            async { Ok::<_, Infallible>(response) }
        });
        let mut http = http1::Builder::new();
        http.timer(TokioTimer::new()).header_read_timeout(LONGEST).keep_alive(false);
        http.serve_connection(TokioIo::new(stream), service).await
    }

    fn answer(&self, method: &Method, path: &str) -> Response<Full<Bytes>> {
        const JSON: &str = "application/json";
        let (status, content_type, body) = match path {
            _ if !matches!(*method, Method::GET | Method::HEAD) => {
                (StatusCode::METHOD_NOT_ALLOWED, JSON, error("method_not_allowed", "GET is all that is answered here"))
            }
            "/healthz" => (StatusCode::OK, JSON, json!({ "status": "ok" }).to_string()),
            "/readyz" if self.draining.is_cancelled() => {
                (StatusCode::SERVICE_UNAVAILABLE, JSON, error("draining", "the process is going down"))
            }
            "/readyz" => (StatusCode::OK, JSON, json!({ "status": "ready" }).to_string()),
            "/metrics" => (StatusCode::OK, Metrics::CONTENT_TYPE, self.metrics.encode()),
            _ => {
                let message = "this process is no gateway: it answers /healthz, /readyz and /metrics";
                (StatusCode::NOT_FOUND, JSON, error("not_found", message))
            }
        };
        let mut response = Response::new(Full::from(body));
        *response.status_mut() = status;
        response.headers_mut().insert(header::CONTENT_TYPE, header::HeaderValue::from_static(content_type));
        response
    }
}

fn error(code: &str, message: &str) -> String {
    json!({ "error": { "code": code, "message": message } }).to_string()
}
