//! A child that hangs, ends or lies is its task's trouble alone.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::{Duration, Instant};

use dalston_engine_prepare::Limits;
use dalston_engine_sdk::batch::{TaskError, Watched};
use rustix::process::{Signal, getpid, kill_process};

use crate::support::{Out, encoded, engine, file, prepare, run, speech};

/// What the test's children do instead of reading.
pub fn misbehave(how: &str) -> ExitCode {
    match how {
        "hang" => loop {
            std::thread::park();
        },
        "abort" => std::process::abort(),
        "killed" => {
            kill_process(getpid(), Signal::KILL).expect("killed");
            ExitCode::SUCCESS
        }
        "babble" => {
            println!("hello");
            ExitCode::SUCCESS
        }
        // One that tells what it sees, in the only way there is.
        "environment" => {
            if std::env::vars_os().next().is_none() {
                kill_process(getpid(), Signal::ABORT).expect("aborted");
            }
            ExitCode::SUCCESS
        }
        _ => ExitCode::FAILURE,
    }
}

fn with(child: &str, limits: Limits, watched: &Watched) -> Result<Out, TaskError> {
    run(&engine(child, limits), &speech(16_000, 1), false, watched)
}

pub fn a_child_that_hangs_is_killed_when_the_task_is_cancelled() {
    let watched = Arc::new(Watched::default());
    let task = std::thread::spawn({
        let watched = watched.clone();
        move || with("hang", Limits::default(), &watched)
    });
    watched.cancel();
    let asked = Instant::now();
    assert_eq!(task.join().expect("ended").expect_err("not read"), TaskError::Cancelled);
    assert!(asked.elapsed() < Duration::from_secs(10), "{:?}", asked.elapsed());
}

pub fn a_child_that_hangs_is_given_up_after_its_time() {
    let limits = Limits { stall: Duration::from_millis(300), ..Limits::default() };
    let error = with("hang", limits, &Watched::default()).expect_err("not read");
    assert_eq!(error.code(), "corrupt_audio");
    assert!(error.to_string().contains("300ms"), "{error}");
}

pub fn a_child_that_aborts_means_a_damaged_file() {
    let error = with("abort", Limits::default(), &Watched::default()).expect_err("not read");
    assert_eq!(error.code(), "corrupt_audio");
}

pub fn a_child_that_is_killed_means_that_it_may_go_well_again() {
    let error = with("killed", Limits::default(), &Watched::default()).expect_err("not read");
    assert!(matches!(error, TaskError::Failed(_)), "{error:?}");
}

pub fn a_child_that_says_nothing_useful_is_an_error() {
    let error = with("babble", Limits::default(), &Watched::default()).expect_err("not read");
    assert!(matches!(error, TaskError::Failed(_)), "{error:?}");
}

pub fn a_child_sees_nothing_of_the_servers_environment() {
    assert!(std::env::vars_os().next().is_some());
    let error = with("environment", Limits::default(), &Watched::default()).expect_err("not read");
    assert_eq!(error.code(), "corrupt_audio", "{error}");
}

pub fn a_child_that_wants_all_memory_ends_alone() {
    // The decoder alone takes some 200 kB.
    let limits = Limits { memory: 0, ..Limits::default() };
    let opus = encoded(&speech(48_000, 2), "opus", &["-b:a", "128k"]);
    let error = run(&engine("prepare", limits), &opus, false, &Watched::default()).expect_err("not read");
    assert_eq!(error.code(), "corrupt_audio", "{error}");
    prepare(&file("well.wav", &std::fs::read(speech(16_000, 1)).expect("read"))).expect("the next one is read");
}
