//! Processes that die in the middle.

use std::{
    env,
    io::{BufRead, BufReader},
    process::{Command, Stdio},
};

use dalston_protocol::{JobId, TaskId, job::TaskStatus};
use dalston_store::{Change, JobStore, Outgoing, Started};

use crate::{
    fixture::{Fixture, REDELIVERED, RUNNER, new_job, new_task, ready},
    of_both_databases,
};

/// Set in the process that is to be killed: the database it works on.
const DATABASE: &str = "DALSTON_TEST_DATABASE";
/// Jobs it has acknowledged before it is killed.
const ACKNOWLEDGED: usize = 40;

of_both_databases!(reopening_after_a_kill_keeps_all);

/// Not a claim, but the process that is killed below: makes jobs, commits a task of each, and says so.
#[tokio::test]
async fn work_until_killed() {
    let Ok(url) = env::var(DATABASE) else { return };
    let store = JobStore::open(&url).await.unwrap();
    loop {
        let dalston_store::Created::New(job) = store.create(new_job()).await.unwrap() else { panic!("no key") };
        let task = new_task("prepare", &[]);
        let id = task.id.clone();
        let changes = [Change::Insert(task), ready(&id)];
        assert!(store.apply(&job, &[], &changes).await.unwrap());
        assert!(matches!(store.start(&id, RUNNER, REDELIVERED).await.unwrap(), Started::Run(_)));
        assert!(store.commit(&id, 1, "out").await.unwrap());
        println!("done {} {id}", job.id);
    }
}

async fn reopening_after_a_kill_keeps_all(fixture: Fixture) {
    let mut worker = Command::new(env::current_exe().unwrap())
        .args(["--exact", "killing::work_until_killed", "--nocapture"])
        .env(DATABASE, &fixture.url)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let acknowledged: Vec<(JobId, TaskId)> = BufReader::new(worker.stdout.take().unwrap())
        .lines()
        .filter_map(|line| {
            let line = line.unwrap();
            // The harness writes its own before the first.
            let (job, task) = line.split_once("done ")?.1.split_once(' ')?;
            Some((job.parse().unwrap(), task.parse().unwrap()))
        })
        .take(ACKNOWLEDGED)
        .collect();
    worker.kill().unwrap();
    worker.wait().unwrap();
    assert_eq!(acknowledged.len(), ACKNOWLEDGED);

    let fixture = fixture.reopened().await;
    let published = fixture.published().await;
    for (job, task) in acknowledged {
        assert_eq!(fixture.task(&job, &task).await.status, TaskStatus::Completed);
        let of_job = published.iter().filter(|message| **message == Outgoing::Job(job.clone())).count();
        assert_eq!(of_job, 2, "its beginning and its commit are still to be told");
    }
    let (_, task) = fixture.job_with_task().await;
    fixture.start(&task).await;
}
