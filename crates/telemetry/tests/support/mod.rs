//! An OTLP receiver in this process, on a thread and a port of its own.
#![allow(dead_code, reason = "each test binary uses its part of it")]

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex};
use std::time::{Duration, Instant};

use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

/// A span as it arrived.
#[derive(Clone, Debug)]
pub struct Received {
    pub service: String,
    pub span: Span,
}

impl Received {
    pub fn attributes(&self) -> BTreeMap<String, String> {
        let pair = |kv: &opentelemetry_proto::tonic::common::v1::KeyValue| {
            let value = kv.value.as_ref().and_then(|any| any.value.as_ref());
            (kv.key.clone(), value.map_or_else(String::new, text))
        };
        self.span.attributes.iter().map(pair).collect()
    }
}

fn text(value: &Value) -> String {
    match value {
        Value::StringValue(text) => text.clone(),
        Value::BoolValue(value) => value.to_string(),
        Value::IntValue(value) => value.to_string(),
        Value::DoubleValue(value) => value.to_string(),
        other => format!("{other:?}"),
    }
}

#[derive(Clone, Default)]
struct Inbox(Arc<(Mutex<Vec<Received>>, Condvar)>);

#[tonic::async_trait]
impl TraceService for Inbox {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let mut spans = self.0.0.lock().unwrap();
        for resource in request.into_inner().resource_spans {
            let attributes = resource.resource.unwrap_or_default().attributes;
            let name = attributes.iter().find(|kv| kv.key == "service.name");
            let value = name.and_then(|kv| kv.value.as_ref()).and_then(|any| any.value.as_ref());
            let service = value.map_or_else(String::new, text);
            let scopes = resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
            spans.extend(scopes.map(|span| Received { service: service.clone(), span }));
        }
        self.0.1.notify_all();
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

/// Takes every span it is sent. It ends with the test's process.
pub struct Collector {
    inbox: Inbox,
    pub endpoint: String,
}

impl Collector {
    pub fn start() -> Self {
        Self::start_on(std::net::TcpListener::bind("127.0.0.1:0").unwrap())
    }

    pub fn start_on(listener: std::net::TcpListener) -> Self {
        let address: SocketAddr = listener.local_addr().unwrap();
        listener.set_nonblocking(true).unwrap();
        let inbox = Inbox::default();
        let service = TraceServiceServer::new(inbox.clone());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        std::thread::spawn(move || {
            runtime.block_on(async move {
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                let server = tonic::transport::Server::builder().add_service(service);
                server.serve_with_incoming(TcpIncoming::from(listener)).await.unwrap();
            });
        });
        Self { inbox, endpoint: format!("http://{address}") }
    }

    pub fn spans(&self) -> Vec<Received> {
        self.inbox.0.0.lock().unwrap().clone()
    }

    /// Waits until `enough` spans have come, at most ten seconds.
    pub fn wait_for(&self, enough: usize) -> Vec<Received> {
        let deadline = Instant::now() + Duration::from_secs(10);
        let mut spans = self.inbox.0.0.lock().unwrap();
        while spans.len() < enough {
            let left = deadline.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{} of {enough} spans after ten seconds", spans.len());
            spans = self.inbox.0.1.wait_timeout(spans, left).unwrap().0;
        }
        spans.clone()
    }
}
