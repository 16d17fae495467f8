//! Calls as an operator sees them in a trace.

use dalston_redis::{Redis, Script, Settings, cmd, testing::RedisServer};
use dalston_telemetry::{Component, Options, RingLimits, SpanCounters, StepKind, TraceContext, Tracers};

#[tokio::test]
async fn a_call_is_a_client_span_of_what_it_is_made_for_and_tells_no_value() {
    let server = RedisServer::start();
    let options = Options { trace_ring: Some(RingLimits::default()), ..Options::new("dalston") };
    let (tracers, _guard) = Tracers::start(&options, SpanCounters::default()).unwrap();
    let settings = Settings { component: Component::Orchestrator, tracers: tracers.clone(), ..Settings::default() };
    let redis = Redis::open(&server.url(), settings).unwrap();

    // Belongs to nothing.
    redis.ping().await.unwrap();

    let none = TraceContext::none();
    let job = tracers.step(Component::Orchestrator, StepKind::Internal, "orchestrator.handle_job", &none, &none);
    let script = Script::new("test.echo", "#!lua\nreturn ARGV[1]");
    job.around(async {
        let _: () = redis.query(cmd("SET").arg("canary-key").arg("canary-value")).await.unwrap();
        let _: String = redis.run(&script.call().key("canary-key").arg("canary-value")).await.unwrap();
        redis.query::<u64>(cmd("INCR").arg("canary-key")).await.unwrap_err();
    })
    .await;
    let trace_id = job.context().trace_id().unwrap();
    drop(job);

    let mut spans = tracers.ring().unwrap().get(&trace_id).unwrap();
    spans.sort_by_key(|span| span.start_unix_nanos);
    let root = spans.iter().find(|span| span.parent_span_id.is_none()).unwrap();
    let calls: Vec<_> = spans.iter().filter(|span| span.span_id != root.span_id).collect();
    let names: Vec<_> = calls.iter().map(|span| (span.name.as_str(), span.status.as_str())).collect();
    assert_eq!(names, [("SET", "unset"), ("EVALSHA", "unset"), ("INCR", "error")]);
    for span in &calls {
        assert_eq!(span.parent_span_id.as_ref(), Some(&root.span_id));
        assert_eq!((span.kind.as_str(), span.service.as_str()), ("client", "dalston-orchestrator"));
        assert_eq!(span.attributes["db.system.name"], "redis");
        assert_eq!(span.attributes["db.operation.name"], span.name.as_str());
        assert_eq!(span.attributes["server.address"], "127.0.0.1");
        assert_eq!(span.attributes["server.port"], server.port());
        assert!(!format!("{span:?}").contains("canary"), "{span:?}");
    }
    assert_eq!(calls[1].attributes["db.stored_procedure.name"], "test.echo");
    assert_eq!(calls[2].attributes["error.type"], "error_answer");
    assert_eq!(tracers.ring().unwrap().recent(10).len(), 1, "what belongs to nothing makes no trace");
}
