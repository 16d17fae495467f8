//! A task from its message to its commit.

mod support;

use std::sync::Mutex;

use dalston_engine_sdk::batch::{TaskContext, TaskOutput};
use dalston_store::NewTask;
use serde_json::json;
use support::{Does, SOON, UPLOAD, World, done, ready, task};

#[tokio::test(flavor = "multi_thread")]
async fn the_upload_becomes_a_file_and_the_output_an_artifact() {
    let world = World::new().await;
    let running = world.run(Does::new("echo", |input, _| {
        assert_eq!(std::fs::read_dir(&input.scratch).unwrap().count(), 0, "its folder is empty");
        let said = std::fs::read(input.file("source")?).unwrap();
        assert_eq!(said, UPLOAD);
        let path = input.scratch.join("anything");
        std::fs::write(&path, said.to_ascii_uppercase()).unwrap();
        Ok(TaskOutput::of(&json!({ "length": said.len() }))?.with_file("audio.wav", path))
    }));
    let (job, id) = world.task("echo").await;
    let record = world.completed(&job, &id).await;
    assert_eq!((record.attempt, record.failures, record.crashes), (1, 0, 0));
    assert_eq!(record.output, Some(format!("jobs/{job}/prepare/1/output.json")));
    let output = world.output(&record).await;
    assert_eq!(output.result, json!({ "length": 13 }));
    let file = world.artifacts.get(&output.files["audio.wav"], 100).await.unwrap();
    assert_eq!(&file[..], b"WHAT WAS SAID");
    running.stop().await;
    world.until_queue("echo", 0, 0).await;
    assert_eq!(world.attempts("completed"), 1);
    let left: Vec<_> = std::fs::read_dir(&world.settings.scratch).unwrap().map(|e| e.unwrap().file_name()).collect();
    assert_eq!(left, ["door.lock"], "nothing is left of its folders");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_is_given_the_files_and_results_of_what_it_depends_on() {
    let world = World::new().await;
    let first = world.run(Does::new("first", |input, _| {
        let path = input.scratch.join("x");
        std::fs::write(&path, "prepared").unwrap();
        Ok(TaskOutput::of(&json!({ "duration": 1.5 }))?.with_file("audio.wav", path))
    }));
    let second = world.run(Does::new("second", |input, ctx| {
        assert_eq!(std::fs::read_to_string(input.audio()?).unwrap(), "prepared");
        assert!(input.file("source").is_err(), "the upload is for the first stage");
        assert_eq!(input.results["prepare"], json!({ "duration": 1.5 }));
        assert_eq!(ctx.request_id(), "req_7");
        assert!(ctx.time_left() <= SOON);
        done()
    }));
    let tasks = vec![task("first", "prepare", &[]), task("second", "transcribe", &["prepare"])];
    let [one, two] = [tasks[0].id.clone(), tasks[1].id.clone()];
    let job = world.job(tasks).await;
    world.completed(&job, &one).await;
    world.apply(&job, &[ready(&two)]).await;
    world.completed(&job, &two).await;
    first.stop().await;
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn progress_is_told_while_the_engine_works_and_watchers_are_woken() {
    let world = World::new().await;
    let (go_on, waits) = std::sync::mpsc::channel::<()>();
    let waits = Mutex::new(waits);
    let running = world.run(Does::new("slow", move |_, ctx: &dyn TaskContext| {
        for done in [0.5, f64::NAN, -1.0, 0.25] {
            ctx.progress(done);
        }
        waits.lock().unwrap().recv().unwrap();
        done()
    }));
    let (job, id) = world.task("slow").await;
    // It is woken by the news, since nobody else wakes it.
    let record = world.until(&job, &id, |record| record.progress > 0.0).await;
    assert_eq!(record.progress, 0.5, "it never goes back");
    go_on.send(()).unwrap();
    assert_eq!(world.completed(&job, &id).await.progress, 1.0);
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn as_many_tasks_run_at_once_as_the_engine_can_take() {
    let world = World::new().await;
    let (begun, begins) = std::sync::mpsc::channel();
    let (go_on, waits) = std::sync::mpsc::channel::<()>();
    let waits = Mutex::new(waits);
    let running = world.run(Does::new("pair", move |_, _| {
        begun.send(()).unwrap();
        waits.lock().unwrap().recv().unwrap();
        done()
    }));
    let mut tasks = Vec::new();
    for _ in 0..5 {
        tasks.push(world.task("pair").await);
    }
    let begins = tokio::task::spawn_blocking(move || {
        begins.recv_timeout(SOON).unwrap();
        begins.recv_timeout(SOON).unwrap();
        begins
    });
    let begins = begins.await.unwrap();
    // No message is claimed that there is no place for.
    world.until_queue("pair", 3, 2).await;
    assert!(begins.try_recv().is_err(), "a third began beside two");
    for _ in 0..5 {
        go_on.send(()).unwrap();
    }
    for (job, id) in &tasks {
        world.completed(job, id).await;
    }
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_may_block_on_futures() {
    let world = World::new().await;
    let running = world.run(Does::new("async", |input, _| {
        let path = input.file("source")?.to_owned();
        let read = tokio::runtime::Handle::current().block_on(tokio::fs::read(path));
        TaskOutput::of(&json!({ "bytes": read.unwrap().len() }))
    }));
    let (job, id) = world.task("async").await;
    let record = world.completed(&job, &id).await;
    assert_eq!(world.output(&record).await.result, json!({ "bytes": UPLOAD.len() }));
    running.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_message_without_a_task_is_dropped() {
    let world = World::new().await;
    for body in ["", "nonsense", "task_nobody_knows"] {
        world.broker.publish("engine.echo", body.into()).await.unwrap();
    }
    let running = world.run(Does::new("echo", |_, _| done()));
    let (job, id) = world.task("echo").await;
    world.completed(&job, &id).await;
    running.stop().await;
    world.until_queue("echo", 0, 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_task_with_two_messages_runs_once() {
    let world = World::new().await;
    let engine = Does::new("echo", |_, _| done());
    let begun = engine.begun.clone();
    let new = NewTask { max_attempts: 1, ..task("echo", "prepare", &[]) };
    let id = new.id.clone();
    let job = world.job(vec![new]).await;
    for _ in 0..3 {
        world.broker.publish("engine.echo", id.to_string()).await.unwrap();
    }
    let running = world.run(engine);
    world.completed(&job, &id).await;
    world.until_queue("echo", 0, 0).await;
    running.stop().await;
    assert_eq!(begun.load(std::sync::atomic::Ordering::SeqCst), 1);
}
