//! What the tests share: engines, audio, and a look at processes.

use std::ffi::OsString;
use std::num::NonZeroUsize;
use std::path::PathBuf;
use std::time::Duration;

use dalston_engine_host::{HostConfig, HostedEngine, Limits};
use dalston_engine_sdk::{EngineError, Hypothesis, Recognizer, StreamOptions, StreamingEngine};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, kill_process, pidfd_open};

use crate::tally;

/// A tenth of a second.
pub const CHUNK: usize = 1600;

/// Limits for tests: short, but not so short that a busy machine meets them.
pub fn limits() -> Limits {
    Limits {
        max_streams: NonZeroUsize::new(3).expect("three"),
        wait: Duration::from_secs(10),
        answer: Duration::from_secs(10),
        ..Limits::default()
    }
}

pub fn config(engine: &str, limits: Limits) -> HostConfig {
    let program = std::env::current_exe().expect("this program");
    HostConfig { program, args: vec!["engine-host".into(), engine.into()], env: Vec::new(), limits, on_granted: None }
}

/// A host of the tally engine that is ready.
pub async fn tally(limits: Limits, env: &[(&str, OsString)]) -> HostedEngine {
    let mut config = config("tally", limits);
    config.env = env.iter().map(|(name, value)| ((*name).into(), value.clone())).collect();
    let engine = HostedEngine::start(config, tally::capabilities());
    engine.ready().await.expect("the tally engine loads");
    engine
}

/// A file that is not there, for [`tally::ONCE`].
pub fn once(test: &str) -> (PathBuf, OsString) {
    let path = std::env::temp_dir().join(format!("dalston-{test}-{}", std::process::id()));
    let _absent = std::fs::remove_file(&path);
    (path.clone(), path.into_os_string())
}

pub fn options() -> StreamOptions {
    StreamOptions { language: "en".into(), ..StreamOptions::default() }
}

pub fn open(engine: &HostedEngine) -> Box<dyn Recognizer> {
    engine.open(options()).expect("a recogniser")
}

/// Audio without trouble in it.
pub fn audio(seconds: u32, seed: u32) -> Vec<i16> {
    (0..seconds * 16_000).map(|i| (i.wrapping_mul(seed * 2 + 1) % 20_000) as i16).collect()
}

/// The same with trouble in the middle.
pub fn troubled(seconds: u32, seed: u32, trouble: i16) -> Vec<i16> {
    let mut audio = audio(seconds, seed);
    let middle = audio.len() / 2;
    audio[middle] = trouble;
    audio
}

pub async fn hear(recognizer: &mut dyn Recognizer, audio: &[i16]) -> Result<Hypothesis, EngineError> {
    for chunk in audio.chunks(CHUNK) {
        recognizer.accept(chunk, false).await?;
    }
    recognizer.finish().await
}

/// The processes whose parent is this one.
pub fn children(parent: u32) -> Vec<u32> {
    let processes =
        std::fs::read_dir("/proc").expect("/proc").filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok());
    processes.filter(|&pid| parent_of(pid) == Some(parent)).collect()
}

fn parent_of(pid: u32) -> Option<u32> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything; state and parent come behind the last of them.
    let mut fields = stat.rsplit_once(") ")?.1.split(' ');
    let _state = fields.next();
    fields.next()?.parse().ok()
}

/// The one stream of an engine, once those before it are reaped.
pub async fn only_stream(engine: &HostedEngine) -> u32 {
    while engine.stats().in_use > 1 {
        tokio::task::yield_now().await;
    }
    let streams = children(engine.host_pid().expect("a host"));
    assert_eq!(streams.len(), 1, "{streams:?}");
    streams[0]
}

pub fn signal(pid: u32, signal: Signal) {
    kill_process(as_pid(pid), signal).expect("a process of ours");
}

fn as_pid(pid: u32) -> Pid {
    Pid::from_raw(pid.cast_signed()).expect("a process number")
}

/// Watches processes, so that their end is an event.
pub struct Watch(Vec<(u32, std::os::fd::OwnedFd)>);

impl Watch {
    pub fn new(pids: &[u32]) -> Self {
        let open = |&pid: &u32| (pid, pidfd_open(as_pid(pid), PidfdFlags::empty()).expect("a running process"));
        Self(pids.iter().map(open).collect())
    }

    /// Waits until all are gone.
    pub fn assert_gone(&self, within: Duration) {
        for (pid, process) in &self.0 {
            let limit = Timespec::try_from(within).expect("a short time");
            let ready = poll(&mut [PollFd::new(process, PollFlags::IN)], Some(&limit)).expect("a poll");
            assert_eq!(ready, 1, "process {pid} is still there");
        }
    }
}
