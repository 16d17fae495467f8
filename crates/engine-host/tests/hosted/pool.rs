//! The pool: bounded, fair, and never leaking.

use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use dalston_engine_host::{HostedEngine, Limits};
use dalston_engine_sdk::{EngineError, Hypothesis, StreamingEngine};
use futures_util::FutureExt;

use crate::support::{audio, children, config, hear, limits, open, tally as start};
use crate::tally;

fn one_stream(wait: Duration) -> Limits {
    Limits { max_streams: NonZeroUsize::MIN, wait, ..limits() }
}

pub async fn a_full_pool_makes_wait_and_then_says_busy() {
    let wait = Duration::from_millis(500);
    let engine = start(one_stream(wait), &[]).await;
    let (mut first, mut second) = (open(&engine), open(&engine));
    first.accept(&audio(1, 1), false).await.expect("accepted");
    assert_eq!(engine.stats().in_use, 1);
    assert_eq!(second.accept(&audio(1, 1), false).await, Err(EngineError::Busy(wait)));
    assert_eq!(engine.stats().waiting, 0);
    first.finish().await.expect("words");
    second.accept(&audio(1, 1), false).await.expect("the next utterance has its turn");
    engine.shutdown().await;
}

/// Its turn is taken apart from its audio, so that the time which audio may take does not run while one waits.
pub async fn an_utterance_that_has_begun_has_its_stream() {
    let engine = start(one_stream(Duration::from_secs(20)), &[]).await;
    let (mut first, mut second) = (open(&engine), open(&engine));
    first.begin().await.expect("a stream is free");
    first.begin().await.expect("and it is this one's");
    assert_eq!(engine.stats().in_use, 1);
    assert!(second.begin().now_or_never().is_none(), "it waits");
    assert_eq!(first.finish().await, Ok(Hypothesis::default()), "nothing was heard");
    second.begin().await.expect("the next utterance has its turn");
    hear(&mut *second, &audio(1, 1)).await.expect("words");
    engine.shutdown().await;
}

pub async fn who_waits_gets_the_stream_that_is_freed_in_turn() {
    let engine = Arc::new(start(one_stream(Duration::from_secs(20)), &[]).await);
    let mut holder = open(&engine);
    holder.accept(&audio(1, 1), false).await.expect("accepted");
    let order = Arc::new(Mutex::new(Vec::new()));
    let mut tasks = Vec::new();
    for number in 0..3 {
        let (engine, order) = (engine.clone(), order.clone());
        let waiting = number + 1;
        let watched = engine.clone();
        tasks.push(tokio::spawn(async move {
            let mut recognizer = open(&engine);
            recognizer.accept(&audio(1, 1), false).await.expect("its turn comes");
            order.lock().expect("no panic").push(number);
            recognizer.finish().await.expect("words");
        }));
        while watched.stats().waiting < waiting {
            tokio::task::yield_now().await;
        }
    }
    holder.reset();
    for task in tasks {
        task.await.expect("words");
    }
    assert_eq!(*order.lock().expect("no panic"), [0, 1, 2]);
}

pub async fn whoever_stops_waiting_gives_up_the_turn() {
    let engine = start(one_stream(Duration::from_secs(20)), &[]).await;
    let mut holder = open(&engine);
    holder.accept(&audio(1, 1), false).await.expect("accepted");
    let mut gone = open(&engine);
    assert!(gone.accept(&audio(1, 1), false).now_or_never().is_none(), "it waits");
    drop(gone);
    assert_eq!(engine.stats().waiting, 0);
    let mut next = open(&engine);
    drop(holder);
    next.accept(&audio(1, 1), false).await.expect("a turn");
    engine.shutdown().await;
}

pub async fn waiting_is_reported() {
    let waits = Arc::new(Mutex::new(Vec::new()));
    let mut config = config("tally", limits());
    let seen = waits.clone();
    config.on_granted = Some(Arc::new(move |wait| seen.lock().expect("no panic").push(wait)));
    let engine = HostedEngine::start(config, tally::capabilities());
    for _ in 0..3 {
        hear(&mut *open(&engine), &audio(1, 1)).await.expect("words");
    }
    assert_eq!(waits.lock().expect("no panic").len(), 3);
    assert_eq!(engine.capabilities().max_streams, Some(engine.stats().limit));
    engine.shutdown().await;
}

/// Every way to let go of an utterance, over and over: no process, slot or descriptor stays behind.
pub async fn two_hundred_utterances_leave_nothing_behind() {
    let engine = start(limits(), &[]).await;
    let host = engine.host_pid().expect("a host");
    let descriptors = |pid: u32| std::fs::read_dir(format!("/proc/{pid}/fd")).expect("its descriptors").count();
    hear(&mut *open(&engine), &audio(1, 1)).await.expect("words");
    all_free(&engine).await;
    let before = descriptors(host);
    let memory = resident(host);
    let mut kept = open(&engine);
    for round in 0..200 {
        let mut recognizer = open(&engine);
        recognizer.accept(&audio(1, round), false).await.expect("a stream is free");
        match round % 4 {
            0 => drop(recognizer.finish().await.expect("words")),
            1 => recognizer.reset(),
            2 => drop(recognizer.finish().now_or_never()),
            _ => drop(hear(&mut *kept, &audio(1, round)).await.expect("words")),
        }
    }
    drop(kept);
    all_free(&engine).await;
    assert!(children(host).is_empty(), "no stream, and no zombie");
    assert_eq!(descriptors(host), before);
    assert!(resident(host) < memory + 2_000, "{} kB, before {memory} kB", resident(host));
    assert_eq!(engine.stats().restarts, 0);
    engine.shutdown().await;
}

/// A slot is free when the process that used it is reaped.
async fn all_free(engine: &HostedEngine) {
    while engine.stats().in_use > 0 {
        tokio::task::yield_now().await;
    }
}

/// Resident memory in kB.
fn resident(pid: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).expect("its status");
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a resident size");
    line.trim().trim_end_matches(" kB").parse().expect("a number")
}
