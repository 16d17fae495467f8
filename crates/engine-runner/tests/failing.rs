//! What an engine may do wrong, and what it costs.

mod support;

use std::{
    os::unix::fs::symlink,
    path::Path,
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use dalston_engine_runner::{OutputLimits, RunnerSettings};
use dalston_engine_sdk::batch::{TaskError, TaskOutput};
use dalston_protocol::{
    JobId, TaskId,
    job::{JobStatus, TaskStatus},
};
use dalston_store::{NewTask, TaskRecord};
use serde_json::json;
use support::{Does, Gate, TENANT, World, done, task};

/// The code and message of a task's last error.
fn error(record: &TaskRecord) -> (&str, &str) {
    let error = record.error.as_ref().expect("it has failed");
    (&error.code, &error.message)
}

impl World {
    async fn failed(&self, job: &JobId, task: &TaskId) -> TaskRecord {
        let record = self.ended(job, task).await;
        assert_eq!(record.status, TaskStatus::Failed);
        record
    }

    /// A job of one task that is changed first.
    async fn task_with(&self, change: impl FnOnce(&mut NewTask)) -> (JobId, TaskId) {
        let mut new = task("engine", "prepare", &[]);
        change(&mut new);
        let id = new.id.clone();
        (self.job(vec![new]).await, id)
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_panic_is_a_failure_that_is_tried_again_and_tells_nothing() {
    let world = World::new().await;
    let first = AtomicBool::new(true);
    let running = world.run(Does::new("engine", move |_, _| {
        assert!(!first.swap(false, Ordering::SeqCst), "the canary {} sings", "in the text");
        done()
    }));
    let (job, id) = world.task("engine").await;
    let record = world.completed(&job, &id).await;
    assert_eq!((record.attempt, record.failures, record.crashes), (2, 1, 0));
    assert_eq!(error(&record), ("engine_panicked", "the engine panicked"));
    assert_eq!((world.attempts("retried"), world.attempts("completed")), (1, 1));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_input_is_not_tried_again() {
    let world = World::new().await;
    let running = world.run(Does::new("engine", |_, _| Err(TaskError::rejected("empty_audio", "there is nothing"))));
    let (job, id) = world.task("engine").await;
    let record = world.failed(&job, &id).await;
    assert_eq!((record.attempt, error(&record)), (1, ("empty_audio", "there is nothing")));
    running.stop().await;
    world.until_queue("engine", 0, 0).await;
    assert_eq!(world.attempts("failed"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failure_is_tried_as_often_as_the_task_allows_and_its_message_is_bounded() {
    let world = World::new().await;
    let running = world.run(Does::new("engine", |_, _| Err(TaskError::failed("ä".repeat(10_000)))));
    let (job, id) = world.task_with(|task| task.max_attempts = 2).await;
    let record = world.failed(&job, &id).await;
    assert_eq!((record.attempt, record.failures), (2, 2));
    let (code, message) = error(&record);
    assert_eq!((code, message.len()), ("engine_failed", 500));
    assert_eq!((world.attempts("retried"), world.attempts("failed")), (1, 1));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_past_its_deadline_has_failed_whatever_the_engine_says_then() {
    let world = World::new().await;
    let running = world.run(Does::new("engine", |_, ctx| {
        while !ctx.is_cancelled() {
            std::thread::yield_now();
        }
        assert!(ctx.time_left().is_zero());
        done()
    }));
    let (deadline, max_attempts) = (Duration::from_millis(200), 2);
    let (job, id) = world.task_with(|task| (task.deadline, task.max_attempts) = (deadline, max_attempts)).await;
    let record = world.failed(&job, &id).await;
    assert_eq!((record.attempt, error(&record)), (2, ("deadline_exceeded", "the task was not done within 200ms")));
    assert_eq!(world.artifacts_of(&job).await, ["source"]);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_thread_that_does_not_return_is_given_up_and_its_place_replaced() {
    let mut world = World::new().await;
    world.settings.grace = Duration::from_millis(50);
    let (gate, first) = (Gate::default(), AtomicBool::new(true));
    let at_gate = gate.clone();
    let engine = Does::new("engine", move |_, _| {
        if first.swap(false, Ordering::SeqCst) {
            at_gate.pass();
        }
        done()
    });
    let running = world.run(engine.alone());
    let (job, id) = world.task_with(|task| (task.deadline, task.max_attempts) = (Duration::from_millis(100), 1)).await;
    let (next_job, next) = world.task("engine").await;
    assert_eq!(error(&world.failed(&job, &id).await).0, "deadline_exceeded");
    // There is one place, and the thread that has it is still at the gate.
    world.completed(&next_job, &next).await;
    gate.open();
    running.stop().await;
    assert_eq!(world.get(&job, &id).await.status, TaskStatus::Failed, "what it says then comes to nothing");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cancelled_job_stops_its_engine() {
    let world = World::new().await;
    let running = world.run(Does::new("engine", |_, ctx| {
        loop {
            ctx.check()?;
            std::thread::yield_now();
        }
    }));
    let (job, id) = world.task("engine").await;
    world.until(&job, &id, |task| task.status == TaskStatus::Running).await;
    assert_eq!(world.store.cancel(TENANT, &job).await.unwrap(), Some(JobStatus::Cancelling));
    assert_eq!(world.ended(&job, &id).await.status, TaskStatus::Cancelled);
    running.stop().await;
    world.until_queue("engine", 0, 0).await;
    assert_eq!(world.attempts("cancelled"), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_disk_puts_a_task_off_and_is_no_failure_of_it() {
    let world = World::new().await;
    let running = world.run(Does::new("engine", |input, _| {
        // Every write to it says that no space is left on the device: as for whoever looks whether there is any.
        symlink("/dev/full", input.scratch.join(".room")).map_err(TaskError::failed)?;
        Err(TaskError::failed("it could not be written"))
    }));
    let (job, id) = world.task_with(|task| task.max_attempts = 1).await;
    let record = world.until(&job, &id, |task| task.error.is_some()).await;
    assert_eq!((record.status, record.failures, record.crashes), (TaskStatus::Ready, 0, 0));
    assert_eq!(error(&record), ("storage_full", "a disk of the server is full; the task waits for room"));
    assert!(record.ready_at.expect("it waits") > std::time::SystemTime::now());
    running.stop().await;
    assert_eq!((world.attempts("put_off"), world.attempts("failed")), (1, 0));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_that_gives_up_without_being_asked_has_failed() {
    let world = World::new().await;
    let running = world.run(Does::new("engine", |_, _| Err(TaskError::Cancelled)));
    let (job, id) = world.task_with(|task| task.max_attempts = 1).await;
    let record = world.failed(&job, &id).await;
    assert_eq!(error(&record).1, "the engine gave up without being asked to");
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn inputs_that_are_gone_fail_the_attempt_without_telling_where_they_were() {
    let world = World::new().await;
    let (job, id) = world.task_with(|task| task.max_attempts = 1).await;
    world.artifacts.remove(&format!("jobs/{job}/source")).await.unwrap();
    let running = world.run(Does::new("engine", |_, _| done()));
    let record = world.failed(&job, &id).await;
    assert_eq!(error(&record), ("input_unavailable", "the inputs of the task could not be read"));
    running.stop().await;
}

type MakeOutput = fn(&Path) -> TaskOutput;

/// Runs an engine that writes into its folder and gives back what `output` makes of it.
async fn refused(limits: OutputLimits, output: MakeOutput) -> String {
    let mut world = World::new().await;
    world.settings = RunnerSettings { output: limits, ..world.settings.clone() };
    let running = world.run(Does::new("engine", move |input, _| {
        std::fs::write(input.scratch.join("file"), "twelve bytes").map_err(TaskError::failed)?;
        Ok(output(&input.scratch))
    }));
    let (job, id) = world.task("engine").await;
    let record = world.ended(&job, &id).await;
    running.stop().await;
    assert_eq!(record.attempt, 1, "it would be refused again");
    if record.status == TaskStatus::Completed {
        return "kept".into();
    }
    assert_eq!(world.artifacts_of(&job).await, ["source"], "nothing of it is left");
    assert_eq!(error(&record).0, "output_refused");
    error(&record).1.to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_output_is_kept_within_its_limits_only() {
    let limits = OutputLimits { files: 2, bytes: 20, result_bytes: 100 };
    let cases: [(MakeOutput, &str); 11] = [
        (|folder| TaskOutput::default().with_file("a.wav", folder.join("file")), "kept"),
        (
            |_| TaskOutput::default().with_file("a.wav", "/etc/hostname".into()),
            "the engine's file `a.wav` is not a file of its folder",
        ),
        (
            |folder| TaskOutput::default().with_file("a.wav", folder.join("../../door.lock")),
            "the engine's file `a.wav` is not a file of its folder",
        ),
        (
            |folder| {
                symlink("/etc/hostname", folder.join("link")).unwrap();
                TaskOutput::default().with_file("a.wav", folder.join("link"))
            },
            "the engine's file `a.wav` is not a file of its folder",
        ),
        (
            |folder| TaskOutput::default().with_file("a.wav", folder.into()),
            "the engine's file `a.wav` is not a file of its folder",
        ),
        (
            |folder| TaskOutput::default().with_file("a.wav", folder.join("nothing")),
            "the engine's file `a.wav` is not there",
        ),
        (
            |folder| TaskOutput::default().with_file("../a\n", folder.join("file")),
            "the engine's file `../a\\n` has a name that it cannot have",
        ),
        (
            |folder| TaskOutput::default().with_file("output.json", folder.join("file")),
            "the engine's file `output.json` has a name that it cannot have",
        ),
        (
            |folder| {
                let file = || folder.join("file");
                TaskOutput::default().with_file("a", file()).with_file("b", file()).with_file("c", file())
            },
            "the engine gave back more than 2 files",
        ),
        (
            |folder| TaskOutput::default().with_file("a", folder.join("file")).with_file("b", folder.join("file")),
            "the engine's files have more than 20 bytes",
        ),
        (
            |_| TaskOutput { result: json!("x".repeat(100)), ..TaskOutput::default() },
            "the engine's result is longer than 100 bytes",
        ),
    ];
    for (output, expected) in cases {
        assert_eq!(refused(limits, output).await, expected);
    }
}
