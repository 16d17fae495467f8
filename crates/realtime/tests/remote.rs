//! A worker that is reached over a socket, as from another machine.

mod support;

use std::{sync::Arc, time::Duration};

use dalston_protocol::{Close, CloseCode, RequestId, SessionId, realtime::SessionConfig};
use dalston_realtime::RealtimeConfig;
use dalston_session_router::{
    InProcessRegistry, Links, Registry, RouterSettings, SessionRequest, SessionRouter,
    link::{Liveness, Refusal, ToWorker},
};
use dalston_telemetry::{Metrics, Options, RingLimits, SpanCounters, SpanRecord, TraceContext, TraceRing, Tracers};
use support::{Client, Scripted, Stage, noise, secret, speech, stream, without_vad};
use tokio::time::timeout;

const TRACE: &str = "4bf92f3577b34da6a3ce929d0e0e4736";

/// The spans of one process.
fn process() -> (Tracers, TraceRing) {
    let options = Options { trace_ring: Some(RingLimits::default()), ..Options::new("dalston") };
    let (tracers, _guard) = Tracers::start(&options, SpanCounters::default()).expect("a ring needs nothing");
    let ring = tracers.ring().expect("it was asked for").clone();
    (tracers, ring)
}

fn span(ring: &TraceRing, name: &str) -> SpanRecord {
    let spans = ring.get(TRACE).expect("the trace reached this process");
    spans.into_iter().find(|span| span.name == name).expect("the span has ended")
}

#[tokio::test]
async fn a_session_on_another_machine_stands_under_its_allocation_in_one_trace() {
    let (gateway, worker) = (process(), process());
    let stage = Stage::remote(Scripted::working(), RealtimeConfig::default(), worker.0).await;
    let registry: Arc<dyn Registry> = Arc::new(InProcessRegistry::default());
    registry.register(stage.record.clone()).await.unwrap();
    let links = Links::new().across_machines(secret(), Liveness::default());
    let router = SessionRouter::new(registry, RouterSettings::default(), gateway.0, Arc::new(Metrics::new()));
    let request = SessionRequest {
        session_id: SessionId::generate(),
        request_id: RequestId::from_caller("ticket-4711").unwrap(),
        tenant: "test".into(),
        config: without_vad(),
    };
    let parent = TraceContext::from_traceparent(&format!("00-{TRACE}-00f067aa0ba902b7-01"));
    let allocated = router.with_links(links).allocate(request, &parent).await.expect("the worker takes it");
    let heard = Client { channel: allocated.channel }.stream(std::iter::once(noise(1.0))).await;
    assert_eq!(heard.close, Close::normal());

    let (allocate, session) = (span(&gateway.1, "session_router.allocate"), span(&worker.1, "realtime.session"));
    assert_eq!(session.parent_span_id.as_deref(), Some(allocate.span_id.as_str()));
    assert_eq!(allocate.parent_span_id.as_deref(), Some("00f067aa0ba902b7"));
    let request_id = session.attributes.get("dalston.request_id").map(ToString::to_string).unwrap_or_default();
    assert!(request_id.contains("ticket-4711"), "{request_id}");
}

#[tokio::test]
async fn a_client_hears_the_same_from_near_and_far() {
    let near = Stage::new(Scripted::working()).await;
    let far = Stage::remote(Scripted::working(), RealtimeConfig::default(), Tracers::default()).await;
    let config = || SessionConfig { word_timestamps: true, interim_results: false, ..SessionConfig::default() };
    let near = stream(&near, config(), speech(), 3_200).await;
    let far = stream(&far, config(), speech(), 3_200).await;
    assert!(near.finals().len() > 1);
    assert_eq!(near.finals(), far.finals());
    assert_eq!(near.session_end().map(|end| &end.segments), far.session_end().map(|end| &end.segments));
    assert_eq!(near.close, far.close);
}

/// It may finish what it says; only then is it asked to come back.
#[tokio::test]
async fn a_worker_that_goes_down_leaves_its_sessions_their_time() {
    let linger = Duration::from_millis(600);
    let config = RealtimeConfig { linger, ..RealtimeConfig::default() };
    let stage = Stage::remote(Scripted::working(), config, Tracers::default()).await;
    let (quick, slow) = (stage.open(without_vad()).await, stage.open(without_vad()).await);
    slow.audio(noise(0.5)).await;
    let began = std::time::Instant::now();
    stage.drain();
    let refused = async { while !matches!(stage.try_open(without_vad()).await, Err(Refusal::Draining)) {} };
    timeout(linger, refused).await.expect("it takes no more");
    let quick = quick.stream(std::iter::once(noise(1.0))).await;
    assert_eq!((quick.close, began.elapsed() < linger), (Close::normal(), true));
    let slow = slow.rest().await;
    assert_eq!(slow.close.code, CloseCode::Restart);
    assert!(began.elapsed() >= linger, "{:?}", began.elapsed());
    assert_eq!(slow.samples(), 8_000, "what it had received is answered");
    timeout(Duration::from_secs(10), stage.gone()).await.expect("nothing is left to wait for");
}

/// The link holds a client back as the worker's own queue does, and nothing is lost for it.
#[tokio::test]
async fn a_flood_over_a_socket_is_heard_to_its_last_sample() {
    let stage = Stage::remote(Scripted::working(), RealtimeConfig::default(), Tracers::default()).await;
    let client = stage.open(without_vad()).await;
    let sender = client.channel.to_worker.clone();
    let sending = tokio::spawn(async move {
        for second in noise(60.0).chunks(32_000) {
            sender.send(ToWorker::Audio(second.to_vec().into())).await.expect("the worker lives");
        }
    });
    let ending = client.channel.to_worker.clone();
    sending.await.unwrap();
    let end = Box::new(dalston_protocol::realtime::ClientMessage::End);
    ending.send(ToWorker::Message(end)).await.expect("the worker lives");
    drop(ending);
    let heard = client.rest().await;
    assert_eq!((heard.samples(), heard.close), (60 * 16_000, Close::normal()));
}
