//! JB1, JB2, JB3, JB4: `kill -9` of the server at every stage of a job. Whatever was accepted is done after the next start, as if
//! nothing had been.
//!
//! Each kill has jobs of its own: a task that has lost its runner too often is given up, and should be.

use std::{
    collections::BTreeMap,
    fs,
    path::Path,
    thread::{self, sleep},
    time::Duration,
};

use dalston_tests::{
    Server, http,
    jobs::{Form, PATH, wav},
    log::Log,
    server::{Builder, DataDir},
    speech,
};
use serde_json::Value;

const SEEDS: u64 = 20;
/// A part of a second of audio takes this long, so that there is a middle of the work.
const SLOW: &str = "delay=25ms";

/// A small generator: what a seed means is the same everywhere.
struct Dice(u64);

impl Dice {
    fn below(&mut self, end: u64) -> u64 {
        // xorshift64*; the seed is spread so that neighbours differ.
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        (self.0.wrapping_mul(0x2545_F491_4F6C_DD1D) >> 33) % end
    }

    fn new(seed: u64) -> Self {
        Self((seed + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15))
    }
}

/// Parts of the demo recording, and what an undisturbed server makes of them.
struct Recordings(Vec<(Form, Value)>);

impl Recordings {
    fn heard_undisturbed() -> Self {
        let server = Server::loopback().start();
        let samples = speech::demo();
        let recordings = (1..=4).map(|seconds| {
            let from = seconds * 48_000;
            let form = Form::file("part.wav", &wav(&samples[from..from + seconds * 32_000]));
            let job = server.ended(&form.submit(&server));
            assert!(job["transcript"]["text"].as_str().is_some_and(|text| !text.is_empty()), "{job}");
            (form, job["transcript"].clone())
        });
        Self(recordings.collect())
    }
}

/// One data folder, and the servers that come and go over it.
struct House {
    folder: DataDir,
    slow: &'static str,
    recordings: Recordings,
    /// Which recording each accepted job is of.
    accepted: BTreeMap<String, usize>,
    /// How often an attempt at a task was logged as completed.
    completions: BTreeMap<String, u32>,
}

impl House {
    fn new(slow: &'static str) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder").into();
        let recordings = Recordings::heard_undisturbed();
        Self { folder, slow, recordings, accepted: BTreeMap::new(), completions: BTreeMap::new() }
    }

    fn open(&self) -> Server {
        self.builder().start()
    }

    fn builder(&self) -> Builder {
        Server::loopback().in_folder(&self.folder).env("DALSTON_LOOPBACK", self.slow)
    }

    fn submit(&mut self, server: &Server, dice: &mut Dice) -> Vec<String> {
        let count = 1 + dice.below(4);
        let submitted = (0..count).map(|_| {
            let which = dice.below(self.recordings.0.len() as u64) as usize;
            let id = self.recordings.0[which].0.submit(server);
            self.accepted.insert(id.clone(), which);
            id
        });
        submitted.collect()
    }

    fn kill(&mut self, mut server: Server) {
        server.kill();
        self.read(&server.log());
    }

    fn read(&mut self, log: &Log) {
        for ended in log.of_event("an attempt at a task has ended") {
            if ended["outcome"] == "completed" {
                *self.completions.entry(ended["task_id"].as_str().expect("an id").to_owned()).or_default() += 1;
            }
        }
    }

    /// What was accepted is done, once, and rightly. Gives how many of its tasks lost their runner.
    fn assert_done(&self, server: &Server, id: &str) -> u64 {
        let job = server.ended(id);
        assert_eq!(job["status"], "completed", "{job}\n{}", server.log());
        assert_eq!(job["transcript"], self.recordings.0[self.accepted[id]].1, "{id}");
        let tasks = server.tasks(id);
        assert_eq!(tasks.len(), 2, "{tasks:?}");
        assert!(tasks[0]["completed_at"].as_str() <= tasks[1]["started_at"].as_str(), "{tasks:?}");
        let lost = tasks.iter().map(|task| {
            assert_eq!(task["status"], "completed", "{task}");
            let number = |field: &str| task[field].as_u64().expect("a number");
            // One kill, so one more of each at the most, and no failure.
            assert!(number("crashes") <= 1 && number("attempts") == number("crashes") + 1, "{task}");
            number("crashes")
        });
        lost.sum()
    }

    /// The end of a test: nothing lies about that belongs to nobody.
    fn close(mut self, mut server: Server) {
        let listed = server.get(&format!("{PATH}?status=completed&limit=100")).json();
        assert_eq!(listed["items"].as_array().map(Vec::len), Some(self.accepted.len()), "jobs that nobody asked for");
        // Uploads that never became jobs go soon after the start.
        let jobs = self.folder.path().join("artifacts/jobs");
        server.until("files of these jobs only", || entries(&jobs).iter().eq(self.accepted.keys()));
        assert_eq!(entries(&self.folder.path().join("artifacts/incoming")), Vec::<String>::new());
        for engine in ["prepare", "loopback"] {
            let place = self.folder.path().join("scratch").join(engine);
            let left: Vec<String> = entries(&place).into_iter().filter(|name| name != "door.lock").collect();
            let runner: Vec<&String> = left.iter().filter(|name| !name.ends_with(".held")).collect();
            assert!(left.len() == 2 && runner.len() == 1, "folders of dead runners are left: {left:?}");
            // A folder waits for the next task, and nothing of the last one is in it.
            let folders = place.join(runner[0]);
            let held: Vec<String> = entries(&folders).iter().flat_map(|task| entries(&folders.join(task))).collect();
            assert_eq!(held, Vec::<String>::new());
        }
        assert!(server.stop().success());
        self.read(&server.log());
        for (task, times) in &self.completions {
            assert_eq!(*times, 1, "{task} was committed more than once");
        }
    }
}

fn id_of(job: &Value) -> String {
    job["id"].as_str().expect("a job has an id").to_owned()
}

/// The names in a folder, sorted.
fn entries(folder: &Path) -> Vec<String> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut names: Vec<String> =
        entries.map(|entry| entry.expect("it can be read").file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

/// Twenty times: jobs of their own, what the kill waits for, up to `spread` milliseconds more, the kill, and the start after it.
/// Gives how many tasks were begun twice for it.
fn killed_when(spread: u64, trigger: impl Fn(&Server, &[String])) -> u64 {
    let mut house = House::new(SLOW);
    let mut server = house.open();
    let mut lost = 0;
    for seed in 0..SEEDS {
        let mut dice = Dice::new(seed);
        let ids = house.submit(&server, &mut dice);
        trigger(&server, &ids);
        sleep(Duration::from_millis(dice.below(spread + 1)));
        house.kill(server);
        server = house.open();
        for id in &ids {
            lost += house.assert_done(&server, id);
        }
    }
    let jobs = house.accepted.len();
    println!("{SEEDS} kills hit {jobs} jobs, of which {lost} tasks were begun again");
    house.close(server);
    lost
}

#[test]
fn killed_after_the_upload_was_answered() {
    killed_when(30, |server, _| {
        // And one upload that is not whole yet: it becomes nothing, and leaves nothing.
        let (headers, body) = Form::demo().encoded();
        let headers = format!("{headers}Content-Length: {}\r\n", body.len());
        let mut half = http::begin(server.address(), "POST", PATH, &headers).expect("the server takes connections");
        std::io::Write::write_all(&mut half, &body[..body.len() / 2]).expect("the server reads");
    });
}

#[test]
fn killed_while_files_come_in() {
    let mut house = House::new(SLOW);
    let mut server = house.open();
    for seed in 0..SEEDS {
        let mut dice = Dice::new(seed);
        let (which, wait) = (dice.below(4) as usize, Duration::from_millis(dice.below(100)));
        let form = &house.recordings.0[which].0;
        let answered = thread::scope(|scope| {
            let address = server.address().to_owned();
            let posting = scope.spawn(move || {
                let (headers, body) = form.encoded();
                let mut answered = Vec::new();
                while let Ok(answer) = http::exchange(&address, "POST", PATH, &headers, &body)
                    && answer.status == 201
                {
                    answered.push(answer.json()["id"].as_str().expect("a job has an id").to_owned());
                }
                answered
            });
            sleep(wait);
            server.kill();
            posting.join().expect("it does not panic")
        });
        house.read(&server.log());
        server = house.open();
        // One more may be there, whose answer did not get through.
        let listed = server.get(&format!("{PATH}?limit=100")).json();
        let listed: Vec<String> = listed["items"].as_array().expect("a list").iter().map(id_of).collect();
        for id in &answered {
            assert!(listed.contains(id), "{id} was accepted and is lost");
        }
        for id in listed {
            if !house.accepted.contains_key(&id) {
                house.accepted.insert(id.clone(), which);
                house.assert_done(&server, &id);
            }
        }
    }
    house.close(server);
}

#[test]
fn killed_after_a_task_was_claimed() {
    let lost = killed_when(30, |server, ids| server.begins(&ids[0], "prepare"));
    assert!(lost > 0, "no kill hit a task that ran");
}

#[test]
fn killed_in_the_middle_of_the_work() {
    let lost = killed_when(100, |server, ids| server.begins(&ids[0], "transcribe"));
    assert!(lost > 0, "no kill hit a task that ran");
}

#[test]
fn killed_when_the_artifact_is_written() {
    killed_when(3, |server, ids| {
        let output = server.folder().join("artifacts/jobs").join(&ids[0]).join("transcribe/1/output.json");
        server.until("the artifact", || output.exists());
    });
}

#[test]
fn killed_when_the_task_is_committed() {
    killed_when(3, |server, ids| server.completes(&ids[0], "transcribe"));
}

#[test]
fn a_job_survives_ten_kills_is_given_up_at_the_eleventh_and_can_be_tried_again() {
    let mut house = House::new("delay=200ms");
    let open = |house: &House| house.builder().expect("a task has lost its runners too often").start();
    let mut server = open(&house);
    let form = &house.recordings.0[3].0;
    let id = form.submit(&server);
    house.accepted.insert(id.clone(), 3);
    for crashes in 0..11 {
        server.until("an attempt", || {
            server.task(&id, "transcribe").is_some_and(|task| task["status"] == "running" && task["crashes"] == crashes)
        });
        server.kill();
        server = open(&house);
    }
    let job = server.ended(&id);
    assert_eq!((&job["status"], &job["error"]["code"]), (&"failed".into(), &"poison".into()), "{job}");
    let dead = server.get(&format!("{PATH}/dead")).json();
    assert_eq!(dead["items"][0]["job_id"], *id, "{dead}");

    assert_eq!(server.ask("POST", &id, "/retry").status, 200);
    let job = server.ended(&id);
    assert_eq!(job["transcript"], house.recordings.0[3].1, "{job}");
}
