//! The processes of a run, each with a wire of its own to Redis, and the doors where clients find the gateways.

use std::{sync::Arc, time::Duration};

use parking_lot::Mutex;
use serde_json::Value;
use tokio::{task::spawn_blocking, time::sleep};

use super::{
    history::{History, What},
    schedule::{Role, ToProcess},
};
use crate::{Server, cluster::Blueprint, log::Log, relay::Relay};

/// Between two starts of a process that cannot start.
const PAUSE: Duration = Duration::from_secs(1);
/// Longer than anything is away.
const MOST_STARTS: u32 = 40;

/// Where a gateway is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Door {
    /// Its life: one that is started again has another.
    pub life: usize,
    /// As `host:port`.
    pub address: String,
}

/// Where the gateways are that have not been ended.
#[derive(Debug, Clone, Default)]
pub struct Doors(Arc<Mutex<Vec<Option<Door>>>>);

impl Doors {
    /// That gateway, or another one.
    pub fn near(&self, number: usize) -> Option<Door> {
        let doors = self.0.lock();
        let from = number % doors.len().max(1);
        doors[from..].iter().chain(&doors[..from]).flatten().next().cloned()
    }

    /// All of them.
    pub fn all(&self) -> Vec<Door> {
        self.0.lock().iter().flatten().cloned().collect()
    }

    fn set(&self, number: usize, door: Option<Door>) {
        let mut doors = self.0.lock();
        if doors.len() <= number {
            doors.resize(number + 1, None);
        }
        doors[number] = door;
    }

    fn life_of(&self, number: usize) -> Option<usize> {
        self.0.lock().get(number)?.as_ref().map(|door| door.life)
    }
}

/// One place for a process.
struct Post {
    role: Role,
    number: usize,
    wire: Relay,
    process: Option<Server>,
}

/// All processes.
pub struct Town {
    blueprint: Blueprint,
    history: History,
    doors: Doors,
    posts: Vec<Post>,
    lives: usize,
    /// Of those that have ended.
    logs: Vec<Log>,
}

impl Town {
    /// Starts them all, each at its post.
    pub async fn start(blueprint: Blueprint, redis: &str, history: History, doors: Doors) -> Self {
        let mut town = Self { blueprint, history, doors, posts: Vec::new(), lives: 0, logs: Vec::new() };
        let mut starting = Vec::new();
        for role in Role::ALL {
            for number in 0..role.count() {
                let wire = Relay::to(redis).await;
                let process = town.process(role, &wire);
                starting.push(spawn_blocking(move || process.start()));
                town.posts.push(Post { role, number, wire, process: None });
            }
        }
        for (at, started) in starting.into_iter().enumerate() {
            town.is_there(at, started.await.expect("a process starts"));
        }
        town
    }

    fn process(&self, role: Role, wire: &Relay) -> crate::server::Builder {
        // Whatever a log says here is said for a reason; panics are looked for at the end.
        let process = self.blueprint.process(role.name()).expect("");
        process.env("REDIS_URL", format!("redis://{}", wire.address()))
    }

    fn is_there(&mut self, at: usize, process: Server) {
        let Post { role, number, .. } = self.posts[at];
        if role == Role::Gateway {
            let door = Door { life: self.lives, address: process.address().to_owned() };
            self.lives += 1;
            self.doors.set(number, Some(door));
        }
        self.posts[at].process = Some(process);
    }

    /// Does it, and undoes it after that time.
    pub async fn suffer(&mut self, what: ToProcess, role: Role, number: usize, lasts: Duration) {
        let at = self.posts.iter().position(|post| (post.role, post.number) == (role, number)).expect("it has a post");
        match what {
            ToProcess::Kill => {
                let life = self.doors.life_of(number).filter(|_| role == Role::Gateway);
                if let Some(life) = life {
                    // Before: whoever loses its connection for it finds it in the history.
                    self.history.push(What::GatewayKilled { life });
                    self.doors.set(number, None);
                }
                let mut process = self.posts[at].process.take().expect("it runs");
                let process = spawn_blocking(move || {
                    process.kill();
                    process
                });
                self.has_ended(&process.await.expect("our own child can be killed"));
                sleep(lasts).await;
                self.start_again(at).await;
            }
            ToProcess::Restart => {
                if role == Role::Gateway {
                    self.doors.set(number, None);
                }
                self.end(at).await;
                self.start_again(at).await;
            }
            ToProcess::Freeze => {
                self.signal(at, "STOP");
                sleep(lasts).await;
                self.signal(at, "CONT");
            }
            ToProcess::CutFromRedis | ToProcess::HoldRedis => {
                let wire = &self.posts[at].wire;
                match what {
                    ToProcess::HoldRedis => wire.hold(),
                    _ => wire.cut(),
                }
                sleep(lasts).await;
                wire.heal();
            }
        }
    }

    fn signal(&self, at: usize, name: &str) {
        if let Some(process) = &self.posts[at].process {
            process.signal(name);
        }
    }

    /// As whoever looks after processes does it: one that finds that it cannot start, because what it needs is away, is started
    /// once more.
    async fn start_again(&mut self, at: usize) {
        for _ in 0..MOST_STARTS {
            let process = self.process(self.posts[at].role, &self.posts[at].wire);
            match spawn_blocking(move || process.try_start()).await.expect("nobody panics") {
                Ok(started) => return self.is_there(at, started),
                Err(log) => self.logs.push(log),
            }
            sleep(PAUSE).await;
        }
        panic!("a process does not start: {}", self.logs.last().cloned().unwrap_or_default());
    }

    /// SIGTERM.
    async fn end(&mut self, at: usize) {
        let mut process = self.posts[at].process.take().expect("it runs");
        let (process, status) = spawn_blocking(move || {
            let status = process.stop();
            (process, status)
        })
        .await
        .expect("it ends in time");
        let Post { role, number, .. } = self.posts[at];
        let who = format!("{} {number} ended with {status}", role.name());
        self.history.push(What::Exited { who, well: status.success() });
        self.has_ended(&process);
    }

    fn has_ended(&mut self, process: &Server) {
        self.logs.push(process.log());
    }

    /// Ends them all, and writes down what their logs say.
    pub async fn close(mut self) {
        for at in 0..self.posts.len() {
            self.end(at).await;
        }
        for line in self.logs.iter().flat_map(Log::lines) {
            if line.contains("panicked") {
                self.history.push(What::Panicked { line: line.to_owned() });
            }
            // The last line of one that was killed may be half of one.
            let record: Value = serde_json::from_str(line).unwrap_or_default();
            let is_end = record["event"] == "an attempt at a task has ended" && record["outcome"] == "completed";
            if let Some(task) = record["task_id"].as_str().filter(|_| is_end) {
                self.history.push(What::Committed { task: task.to_owned() });
            }
        }
    }
}
