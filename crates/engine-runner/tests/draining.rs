//! The end of a runner that is asked to go.

mod support;

use std::{sync::Arc, time::Duration};

use dalston_engine_sdk::batch::TaskError;
use dalston_protocol::job::TaskStatus;
use support::{Does, Gate, SOON, World, done};
use tokio::{sync::Notify, time::timeout};

#[tokio::test(flavor = "multi_thread")]
async fn what_runs_may_end_and_nothing_else_begins() {
    let world = World::new().await;
    let (begun, gate) = (Arc::new(Notify::new()), Gate::default());
    let (begins, at_gate) = (begun.clone(), gate.clone());
    let engine = Does::new("engine", move |_, ctx| {
        begins.notify_one();
        at_gate.pass();
        ctx.check()?;
        done()
    });
    let running = world.run(engine.alone());
    let (job, id) = world.task("engine").await;
    timeout(SOON, begun.notified()).await.expect("the engine begins");
    let (next_job, next) = world.task("engine").await;
    world.until_queue("engine", 1, 1).await;
    running.shut_down();
    gate.open();
    running.end().await;
    assert_eq!(world.get(&job, &id).await.status, TaskStatus::Completed);
    assert_eq!(world.get(&next_job, &next).await.status, TaskStatus::Ready);
    world.until_queue("engine", 1, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn what_does_not_end_in_time_is_given_back_at_once() {
    let mut world = World::new().await;
    world.settings.drain = Duration::from_millis(50);
    let begun = Arc::new(Notify::new());
    let begins = begun.clone();
    let running = world.run(Does::new("engine", move |_, ctx| {
        begins.notify_one();
        while !ctx.is_cancelled() {
            std::thread::yield_now();
        }
        Err(TaskError::Cancelled)
    }));
    let (job, id) = world.task("engine").await;
    timeout(SOON, begun.notified()).await.expect("the engine begins");
    running.stop().await;
    // Long before the lease of half a minute is over.
    world.until_queue("engine", 1, 0).await;
    let next = world.run(Does::new("engine", |_, _| done()));
    let record = world.completed(&job, &id).await;
    assert_eq!((record.attempt, record.failures, record.crashes), (2, 0, 0));
    next.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thread_that_hangs_does_not_hold_up_the_end() {
    let mut world = World::new().await;
    (world.settings.drain, world.settings.grace) = (Duration::from_millis(50), Duration::from_millis(50));
    let (begun, gate) = (Arc::new(Notify::new()), Gate::default());
    let (begins, at_gate) = (begun.clone(), gate.clone());
    let running = world.run(Does::new("engine", move |_, _| {
        begins.notify_one();
        at_gate.pass();
        done()
    }));
    let (job, id) = world.task("engine").await;
    timeout(SOON, begun.notified()).await.expect("the engine begins");
    running.stop().await;
    world.until_queue("engine", 1, 0).await;
    gate.open();
    let record = world.get(&job, &id).await;
    assert_eq!(
        (record.status, record.crashes),
        (TaskStatus::Ready, 0),
        "that the thread hangs is not the task's fault"
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runner_without_a_place_for_its_folders_claims_nothing() {
    let mut world = World::new().await;
    world.settings.scratch = world.folder.path().join("jobs.db/below-a-file");
    world.task("engine").await;
    let error = world.runner(Does::new("engine", |_, _| done())).run(Default::default()).await.unwrap_err();
    assert!(error.to_string().contains("below-a-file"), "{error}");
    world.until_queue("engine", 1, 0).await;
}
