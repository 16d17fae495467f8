//! The parts of a server as processes of their own, over a real Redis, PostgreSQL and S3.

use std::{collections::BTreeSet, time::Duration};

use dalston_protocol::realtime::SessionConfig;
use dalston_tests::{
    Collector,
    cluster::{Cluster, Plan},
    jobs::Form,
    session, speech,
    trace::{self, Trace},
};

const DEMO_GAP: Duration = Duration::from_millis(5);

async fn heard(cluster: &Cluster, gateway: usize) -> session::Heard {
    let client = cluster.gateways[gateway].client(SessionConfig::default());
    session::stream(&client, speech::demo(), 3_200, DEMO_GAP).await
}

fn services(trace: &Trace) -> BTreeSet<&str> {
    trace.spans.iter().map(|received| received.service.as_str()).collect()
}

fn holding<'t>(traces: &'t [Trace], name: &str) -> &'t Trace {
    let mut having = traces.iter().filter(|trace| !trace.named(name).is_empty());
    let found = having.next().unwrap_or_else(|| panic!("no trace has {name}"));
    assert!(having.next().is_none(), "two traces have {name}");
    found
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_and_a_job_are_one_trace_each_across_processes() {
    let collector = Collector::start();
    let plan = Plan::loopback().gateways(2).realtime(2).for_jobs(2, 2).traced_to(&collector.endpoint);
    let mut cluster = plan.start().await;

    let heard = heard(&cluster, 0).await;
    assert_eq!(heard.code, 1000, "{}", heard.reason);
    assert!(heard.has_end() && !heard.finals().is_empty());
    let (made, read) = (&cluster.gateways[0], &cluster.gateways[1]);
    let id = Form::demo().field("timestamps_granularity", "word").submit(made);
    // Any gateway knows of it.
    let job = read.ended(&id);
    assert_eq!(job["status"], "completed", "{job}");
    assert_eq!(read.ask("GET", &id, "/export/srt").status, 200);

    for process in cluster.processes() {
        assert!(process.stop().success(), "{}", process.log());
        assert!(!process.log().contains("already exists"), "what PostgreSQL remarks is no news: {}", process.log());
    }
    let traces = trace::by_trace(collector.spans());
    let live = holding(&traces, "realtime.session");
    assert_eq!(live.orphans(None), Vec::<&str>::new(), "{}", live.tree());
    let expected = BTreeSet::from(["dalston-gateway", "dalston-session-router", "dalston-realtime"]);
    assert_eq!(services(live), expected, "{}", live.tree());
    let batch = holding(&traces, "engine.prepare.process");
    assert_eq!(batch.orphans(None), Vec::<&str>::new(), "{}", batch.tree());
    let expected =
        ["dalston-gateway", "dalston-orchestrator", "dalston-engine-prepare", "dalston-engine-transcribe"].into();
    assert!(services(batch).is_superset(&expected), "{}", batch.tree());
    batch.only("orchestrator.mark_job_completed");
}

#[tokio::test(flavor = "multi_thread")]
async fn forty_sessions_at_once_over_two_empty_workers_split_evenly() {
    let cluster = Plan::loopback().gateways(2).realtime(2).for_jobs(0, 0).start().await;
    let mut open = Vec::new();
    let connecting = (0..40).map(|number| {
        let client = cluster.gateways[number % 2].client(SessionConfig::default());
        async move { session::open(&client).await }
    });
    open.extend(futures_util::future::join_all(connecting).await);
    let workers = cluster.gateway().get("/v1/realtime/workers").json();
    let used: Vec<u64> =
        workers["workers"].as_array().unwrap().iter().map(|worker| worker["used"].as_u64().unwrap()).collect();
    assert_eq!(used, [20, 20], "{workers}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_worker_and_an_engine_that_join_later_are_found() {
    let mut cluster = Plan::loopback().realtime(0).for_jobs(1, 0).start().await;
    let start = |process: dalston_tests::server::Builder| tokio::task::spawn_blocking(move || process.start());
    assert_eq!(cluster.gateway().get("/readyz").status, 503);
    let (realtime, engine) = (start(cluster.process("realtime")), start(cluster.process("engine")));
    cluster.realtime.push(realtime.await.unwrap());
    cluster.engines.push(engine.await.unwrap());
    assert_eq!(cluster.gateway().get("/readyz").status, 200);
    assert_eq!(heard(&cluster, 0).await.code, 1000);
    let gateway = cluster.gateway();
    gateway.until("the engines are known", || gateway.get("/v1/engines").body.contains("\"prepare\""));
    let id = Form::demo().submit(gateway);
    assert_eq!(gateway.ended(&id)["status"], "completed");
}
