//! What tracing adds to a chunk of 20 ms, in every way that there is.
//!
//! The rows of `chunk` are the whole loop, the work of the chunk included: what a way adds is the difference to the first row.
#![allow(missing_docs, reason = "criterion's macros make public items")]

mod thread_time;

use std::net::TcpListener;
use std::time::Duration;

use criterion::{BenchmarkGroup, Criterion, criterion_group, criterion_main};
use dalston_benches::way::{Session, Way, ours::Exported};
use dalston_benches::work::Work;
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{TraceService, TraceServiceServer};
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use thread_time::{ThreadTime, short};
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status};

/// Chunks between two breaths: fewer than half of the exporter's queue, so that it neither fills nor wakes the exporter's thread
/// meanwhile.
const BURST: u64 = 2_000;

fn chunk(criterion: &mut Criterion<ThreadTime>) {
    let mut group = criterion.benchmark_group("chunk");
    for way in Way::ALL {
        let session = way.open().expect("it needs nothing from outside");
        measure(&mut group, &way.name(), session);
    }
    let exported = Exported::open(collector()).expect("the endpoint is a URL");
    measure(&mut group, "rate 1, to a collector", Box::new(exported));
    group.finish();
}

fn measure(group: &mut BenchmarkGroup<'_, ThreadTime>, name: &str, mut session: Box<dyn Session>) {
    let work = Work::new();
    group.bench_function(name, |bencher| {
        bencher.iter_custom(|chunks| {
            let mut total = Duration::ZERO;
            let mut left = chunks;
            while left > 0 {
                let burst = left.min(BURST);
                let begun = ThreadTime::now();
                session.chunks(&work, burst);
                total += ThreadTime::since(begun);
                session.settle();
                left -= burst;
            }
            total
        });
    });
}

/// Takes every span it is sent and forgets it.
struct Forgetful;

#[tonic::async_trait]
impl TraceService for Forgetful {
    async fn export(
        &self,
        _: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

/// An OTLP receiver on a thread of its own, which ends with the process. Returns its URL.
fn collector() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").expect("loopback has a free port");
    listener.set_nonblocking(true).expect("a socket can be non-blocking");
    let url = format!("http://{}", listener.local_addr().expect("it is bound"));
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
        runtime.block_on(async move {
            let listener = tokio::net::TcpListener::from_std(listener).expect("it is non-blocking");
            let server = tonic::transport::Server::builder().add_service(TraceServiceServer::new(Forgetful));
            server.serve_with_incoming(TcpIncoming::from(listener)).await.expect("the socket stays open");
        });
    });
    url
}

criterion_group! {
    name = benches;
    config = short();
    targets = chunk
}
criterion_main!(benches);
