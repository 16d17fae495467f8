//! A runner that dies: whatever it had in hand is done by another, and committed once.

mod support;

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use dalston_engine_sdk::batch::{TaskContext, TaskError, TaskInput, TaskOutput};
use dalston_protocol::{JobId, TaskId};
use dalston_store::{JobStore, engine_queue};
use serde_json::json;
use sqlx::{Connection, Executor, SqliteConnection};
use support::{
    Does, Gate, Running, SOON, World,
    faulty::{Fault, Faulty},
};
use tokio::{sync::Notify, time::timeout};

/// Short, since what a dead runner had is waited for.
const LEASE: Duration = Duration::from_millis(300);

/// Writes a file and a result, and says which of its runs it was.
fn write(input: &TaskInput, _: &dyn TaskContext) -> Result<TaskOutput, TaskError> {
    let path = input.scratch.join("audio.wav");
    std::fs::copy(input.file("source")?, &path).map_err(TaskError::failed)?;
    Ok(TaskOutput::of(&json!({ "done": true }))?.with_file("audio.wav", path))
}

async fn world() -> World {
    let mut world = World::new().await;
    world.settings.lease = LEASE;
    world
}

impl World {
    /// What holds after any crash: the task is committed, once, and nothing else is left of it.
    async fn is_done_once(&self, job: &JobId, task: &TaskId, attempt: u32) {
        let record = self.completed(job, task).await;
        assert_eq!((record.attempt, record.crashes), (attempt, attempt - 1));
        assert_eq!(record.output, Some(format!("jobs/{job}/prepare/{attempt}/output.json")));
        let output = self.output(&record).await;
        assert_eq!(output.result, json!({ "done": true }));
        self.artifacts.get(&output.files["audio.wav"], 100).await.expect("its file is there");
        self.until_queue("engine", 0, 0).await;
        assert_eq!(self.attempts("completed"), 1, "it was committed once");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runner_that_dies_after_the_claim_has_not_begun_the_task() {
    let world = world().await;
    let (job, task) = world.task("engine").await;
    let faulty = Faulty::new(world.broker.clone(), Fault::Claimed);
    let dying = Running::new(world.runner_on(faulty.clone(), Arc::new(Does::new("engine", write))));
    faulty.reached().await;
    dying.crash().await;
    let next = world.run(Does::new("engine", write));
    world.is_done_once(&job, &task, 1).await;
    next.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runner_that_dies_at_work_is_replaced_and_its_engine_told() {
    let world = world().await;
    let (begun, told) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (begins, tells) = (begun.clone(), told.clone());
    let dying = world.run(Does::new("engine", move |_, ctx| {
        begins.notify_one();
        while !ctx.is_cancelled() {
            std::thread::yield_now();
        }
        tells.notify_one();
        Err(TaskError::Cancelled)
    }));
    let (job, task) = world.task("engine").await;
    timeout(SOON, begun.notified()).await.expect("the engine begins");
    dying.crash().await;
    timeout(SOON, told.notified()).await.expect("the engine is told");
    let next = world.run(Does::new("engine", write));
    world.is_done_once(&job, &task, 2).await;
    next.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runner_that_dies_between_artifact_and_commit_has_committed_nothing() {
    let world = world().await;
    let (begun, gate) = (Arc::new(Notify::new()), Gate::default());
    let (begins, at_gate) = (begun.clone(), gate.clone());
    let dying = world.run(Does::new("engine", move |input, ctx| {
        begins.notify_one();
        at_gate.pass();
        write(input, ctx)
    }));
    let (job, task) = world.task("engine").await;
    timeout(SOON, begun.notified()).await.expect("the engine begins");
    // Whoever holds this lock keeps every other writer out: the runner comes to its commit and no further.
    let url = format!("sqlite:{}", world.folder.path().join("jobs.db").display());
    let mut lock = SqliteConnection::connect(&url).await.expect("the database is there");
    lock.execute("PRAGMA busy_timeout = 10000; BEGIN IMMEDIATE").await.expect("the lock is free now and then");
    gate.open();
    let written = async {
        while !world.artifacts_of(&job).await.contains(&"prepare/1/output.json".to_owned()) {
            tokio::task::yield_now().await;
        }
    };
    timeout(SOON, written).await.expect("the artifacts are written");
    dying.crash().await;
    lock.execute("ROLLBACK").await.expect("the lock is held");
    let next = world.run(Does::new("engine", write));
    world.is_done_once(&job, &task, 2).await;
    next.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_runner_that_dies_between_commit_and_acknowledgement_has_done_its_task() {
    let world = world().await;
    let (job, task) = world.task("engine").await;
    let faulty = Faulty::new(world.broker.clone(), Fault::Acknowledge);
    let dying = Running::new(world.runner_on(faulty.clone(), Arc::new(Does::new("engine", write))));
    faulty.reached().await;
    dying.crash().await;
    let engine = Does::new("engine", write);
    let begun = engine.begun.clone();
    let next = world.run(engine);
    world.is_done_once(&job, &task, 1).await;
    next.stop().await;
    assert_eq!(begun.load(Ordering::SeqCst), 0, "it was not run again");
}

#[tokio::test(flavor = "multi_thread")]
async fn zombie_commit_is_refused() {
    let world = world().await;
    let gate = Gate::default();
    let at_gate = gate.clone();
    let faulty = Faulty::new(world.broker.clone(), Fault::Renew);
    // Alone, so that it cannot claim its own message again.
    let engine = Does::new("engine", move |input, ctx| {
        at_gate.pass();
        write(input, ctx)
    });
    let zombie = Running::new(world.runner_on(faulty.clone(), Arc::new(engine.alone())));
    let (job, task) = world.task("engine").await;
    faulty.reached().await;
    let next = world.run(Does::new("engine", write));
    world.is_done_once(&job, &task, 2).await;
    gate.open();
    zombie.stop().await;
    world.is_done_once(&job, &task, 2).await;
    assert_eq!(world.attempts("lost"), 1);
    let left = world.artifacts_of(&job).await;
    assert_eq!(left, ["prepare/2/audio.wav", "prepare/2/output.json", "source"], "the zombie's are removed");
    next.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_lost_a_lease_and_not_the_task_goes_on() {
    let world = world().await;
    let gate = Gate::default();
    let at_gate = gate.clone();
    let faulty = Faulty::new(world.broker.clone(), Fault::Renew);
    let engine = Does::new("engine", move |input, ctx| {
        at_gate.pass();
        write(input, ctx)
    });
    let running = Running::new(world.runner_on(faulty.clone(), Arc::new(engine)));
    let (job, task) = world.task("engine").await;
    faulty.reached().await;
    // The message comes again, to the same runner, and is dropped.
    world.until_queue("engine", 0, 0).await;
    gate.open();
    world.is_done_once(&job, &task, 1).await;
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_cannot_reach_the_store_gives_its_messages_back() {
    let mut world = world().await;
    (world.settings.lease, world.settings.pause) = (SOON, Duration::from_millis(20));
    let (job, task) = world.task("engine").await;
    let reachable = world.store.clone();
    let url = format!("sqlite:{}", world.folder.path().join("jobs.db").display());
    world.store = JobStore::open(&url).await.expect("the database is there");
    world.store.close().await;
    world.until_queue("engine", 1, 0).await;
    let cut_off = world.run(Does::new("engine", write));
    // Its lease is longer than the test, so it comes back only if it is given back.
    world.until_queue("engine", 0, 1).await;
    let queues = [engine_queue("engine")];
    let back = world.broker.claim(&queues, "test", SOON, SOON).await.expect("the broker answers").expect("it is back");
    assert!(back.claim.deliveries > 1);
    cut_off.stop().await;
    assert!(world.broker.release(&back.claim).await.expect("the broker answers"));
    world.store = reachable;
    let next = world.run(Does::new("engine", write));
    world.is_done_once(&job, &task, 1).await;
    next.stop().await;
}

/// Runners that die at moments that nobody chose, over tasks that take no time or some.
#[tokio::test(flavor = "multi_thread")]
async fn runners_may_die_at_any_moment() {
    let world = world().await;
    let mut tasks = Vec::new();
    for _ in 0..12 {
        tasks.push(world.task("engine").await);
    }
    let engine = || {
        Does::new("engine", |input, ctx| {
            for step in 0..20 {
                ctx.progress(f64::from(step) / 20.0);
                ctx.check()?;
                std::thread::sleep(Duration::from_millis(1));
            }
            write(input, ctx)
        })
    };
    // As many as a task may lose before it is a suspect.
    for millis in [7, 61, 33] {
        let dying = world.run(engine());
        tokio::time::sleep(Duration::from_millis(millis)).await;
        dying.crash().await;
    }
    let last = world.run(engine());
    for (job, task) in &tasks {
        let record = world.completed(job, task).await;
        assert_eq!(record.attempt, record.crashes + 1, "{record:?}");
        let output = world.output(&record).await;
        assert_eq!(output.files["audio.wav"], format!("jobs/{job}/prepare/{}/audio.wav", record.attempt));
    }
    world.until_queue("engine", 0, 0).await;
    last.stop().await;
}
