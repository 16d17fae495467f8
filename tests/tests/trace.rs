//! TL2, TL5: a session is one trace, with the right services, parents and counts, as an OTLP collector receives it.

use std::time::Duration;

use dalston_protocol::realtime::SessionConfig;
use dalston_tests::{Collector, Server, session, speech, trace};

const EXPECTED: &str = "\
[dalston-gateway] WebSocket /v1/audio/transcriptions/stream
  [dalston-session-router] session_router.allocate
    [dalston-realtime] realtime.session
      [dalston-realtime] realtime.session_start
      [dalston-realtime] realtime.process_audio_chunk
      [dalston-realtime] realtime.generate_transcript
      [dalston-realtime] realtime.vad_endpoint
      [dalston-realtime] realtime.session_close
";

fn every_span(collector: &Collector) -> dalston_tests::server::Builder {
    Server::loopback()
        .traced_to(&collector.endpoint)
        .env("DALSTON_TRACE_CHUNK_RATE", "1")
        .env("DALSTON_TRACE_VAD_RATE", "1")
        .env("DALSTON_TRACE_PARTIAL_RATE", "1")
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_one_trace_and_nothing_is_missing_from_it() {
    let collector = Collector::start();
    let mut server = every_span(&collector).start();
    let heard = session::stream(&server.client(SessionConfig::default()), speech::demo(), 3_200, Duration::ZERO).await;
    assert_eq!(heard.code, 1000, "{}", heard.reason);
    assert!(server.stop().success());

    let traces = trace::by_trace(collector.spans());
    let [trace] = &traces[..] else { panic!("{} traces for one session", traces.len()) };
    assert_eq!(trace.orphans(None), Vec::<&str>::new());
    assert_eq!(trace.tree(), EXPECTED);

    let session = trace.only("realtime.session").attributes();
    let count = |name: &str| trace.named(name).len().to_string();
    assert_eq!(session["dalston.session.chunks"], count("realtime.process_audio_chunk"));
    assert_eq!(session["dalston.session.chunks"], speech::demo().len().div_ceil(3_200).to_string());
    assert_eq!(session["dalston.session.vad_endpoints"], count("realtime.vad_endpoint"));
    let finals = trace.named("realtime.generate_transcript");
    let finals = finals.iter().filter(|r| r.attributes().values().any(|value| value == "final")).count();
    assert_eq!(finals, heard.finals().len());
    let (session_id, trace_id) = heard.begin();
    for received in &trace.spans {
        assert_eq!(
            received.attributes().get("session.id").map(String::as_str),
            Some(session_id),
            "{}",
            received.span.name
        );
    }
    let hex: String = trace.spans[0].span.trace_id.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(trace_id, Some(hex.as_str()));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_clients_traceparent_is_the_parent_and_cannot_force_sampling() {
    let parent = "00f067aa0ba902b7";
    let traceparent = format!("00-4bf92f3577b34da6a3ce929d0e0e4736-{parent}-01");
    let collector = Collector::start();
    let mut server = every_span(&collector).start();
    let client = server.client(SessionConfig::default()).traceparent(Some(traceparent.clone()));
    let heard = session::stream(&client, speech::silence(500), 3_200, Duration::ZERO).await;
    assert_eq!(heard.begin().1, Some("4bf92f3577b34da6a3ce929d0e0e4736"));
    assert!(server.stop().success());
    let traces = trace::by_trace(collector.spans());
    let root = traces[0].only("WebSocket /v1/audio/transcriptions/stream");
    let hex: String = root.span.parent_span_id.iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(hex, parent);
    assert_eq!(traces[0].orphans(Some(&root.span.parent_span_id)), Vec::<&str>::new());

    let collector = Collector::start();
    let mut server = every_span(&collector).env("OTEL_TRACES_SAMPLER", "always_off").start();
    let client = server.client(SessionConfig::default()).traceparent(Some(traceparent));
    let heard = session::stream(&client, speech::silence(500), 3_200, Duration::ZERO).await;
    assert_eq!(heard.begin().1, None, "a session that is not traced has no trace id");
    assert!(server.stop().success());
    assert!(collector.spans().is_empty(), "a stranger's flag made {} spans", collector.spans().len());
}

#[tokio::test(flavor = "multi_thread")]
async fn sampled_chunks_count_truly_over_many_sessions() {
    const SESSIONS: usize = 400;
    const CHUNKS: usize = 50;
    const RATE: f64 = 0.05;
    let collector = Collector::start();
    let mut server = every_span(&collector).env("DALSTON_TRACE_CHUNK_RATE", RATE.to_string()).start();
    let client = server.client(SessionConfig::default());
    for _ in 0..SESSIONS / 20 {
        let sessions = (0..20).map(|_| {
            let client = client.clone();
            tokio::spawn(
                async move { session::stream(&client, speech::silence(20 * CHUNKS), 640, Duration::ZERO).await },
            )
        });
        for session in sessions.collect::<Vec<_>>() {
            assert_eq!(session.await.expect("a session does not panic").code, 1000);
        }
    }
    assert!(server.stop().success());

    let traces = trace::by_trace(collector.spans());
    assert_eq!(traces.len(), SESSIONS);
    let (mut total, mut estimate, mut certain) = (0.0, 0.0, 0.0);
    for trace in &traces {
        assert_eq!(trace.orphans(None), Vec::<&str>::new());
        total += trace.only("realtime.session").attributes()["dalston.session.chunks"].parse::<f64>().unwrap();
        for chunk in trace.named("realtime.process_audio_chunk") {
            let attributes = chunk.attributes();
            let count: f64 = attributes["dalston.sampling.adjusted_count"].parse().unwrap();
            estimate += count;
            certain += if attributes.contains_key("dalston.sampling.reason") { count } else { 0.0 };
        }
    }
    assert_eq!(total, (SESSIONS * CHUNKS) as f64);
    // Sum of n Bernoulli(p) scaled by 1/p: variance n(1-p)/p. 2.576 standard deviations hold 99 %.
    let tolerance = 2.576 * ((total - certain) * (1.0 - RATE) / RATE).sqrt();
    println!("chunks {total}, estimate {estimate:.0}, 99 % interval ±{tolerance:.0}, always kept {certain}");
    assert!((estimate - total).abs() <= tolerance, "{estimate} is further than {tolerance} from {total}");
}

#[tokio::test(flavor = "multi_thread")]
async fn without_tracing_there_is_no_trace_id_anywhere() {
    let server = Server::loopback().start();
    let heard = session::stream(&server.client(SessionConfig::default()), speech::demo(), 3_200, Duration::ZERO).await;
    assert_eq!(heard.begin().1, None);
    assert!(server.get("/readyz").header("traceresponse").is_none());
    assert!(!server.log().contains("trace_id"), "{}", server.log());
}

#[tokio::test(flavor = "multi_thread")]
async fn log_lines_of_a_session_lead_to_its_trace_and_back() {
    let collector = Collector::start();
    let mut server = every_span(&collector).start();
    let request_id = "ticket-4711".to_owned();
    let client =
        server.client(SessionConfig::default()).request_id(dalston_protocol::RequestId::from_caller(&request_id));
    let heard = session::stream(&client, speech::demo(), 3_200, Duration::ZERO).await;
    let (session_id, trace_id) = heard.begin();
    assert!(server.stop().success());
    let lines: Vec<_> = server.log().records().into_iter().filter(|r| r["session_id"] == session_id).collect();
    assert!(!lines.is_empty(), "no line has the session's id");
    for line in &lines {
        assert_eq!(line["trace_id"].as_str(), trace_id, "{line}");
        assert_eq!(line["request_id"].as_str(), Some(request_id.as_str()), "{line}");
    }
    let services: std::collections::BTreeSet<_> = lines.iter().filter_map(|line| line["service"].as_str()).collect();
    assert!(services.contains("dalston-gateway") && services.contains("dalston-realtime"), "{services:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_collector_costs_two_seconds_at_shutdown_at_the_most() {
    // A port that nothing listens on, one that takes the connection and never answers.
    let refusing = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("it has one");
    let black_hole = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let silent = black_hole.local_addr().expect("it has one");
    for address in [refusing, silent] {
        let mut server =
            Server::loopback().traced_to(&format!("http://{address}")).expect("span").expect("otlp").start();
        let client = server.client(SessionConfig::default());
        let heard = session::stream(&client, speech::silence(2_000), 640, Duration::ZERO).await;
        assert_eq!(heard.code, 1000);
        let began = std::time::Instant::now();
        assert!(server.stop().success());
        let took = began.elapsed();
        assert!(took < Duration::from_secs(4), "shutdown took {took:?} with a collector that is dead");
    }
}
