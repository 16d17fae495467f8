//! Jobs of a run, and the webhook that is told of them.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU8, Ordering::SeqCst},
    },
    thread::sleep,
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{
    history::{History, What},
    town::{Door, Doors},
};
use crate::{
    http::{self, Answer},
    jobs::{Form, PATH, wav},
    receiver::{Does, Receiver},
    speech,
};

/// Between two jobs, and between two tries.
const PAUSE: Duration = Duration::from_millis(700);
/// How long what must come about may take when no fault is left.
const PATIENCE: Duration = Duration::from_secs(60);

/// Parts of the demo recording, some seconds each.
pub fn recordings() -> Vec<Form> {
    let samples = speech::demo();
    (1..=3).map(|s| Form::file("part.wav", &wav(&samples[s * 48_000..s * 48_000 + s * 32_000]))).collect()
}

/// What the receiver of webhooks does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Mood {
    /// Looks whether the result can be read, and takes the message.
    Well,
    /// Answers 500.
    Fails,
    /// Says nothing.
    Hangs,
}

/// Sets the receiver's mood.
#[derive(Debug, Clone)]
pub struct Switch(Arc<AtomicU8>);

impl Switch {
    /// From now on.
    pub fn set(&self, mood: Mood) {
        self.0.store(mood as u8, SeqCst);
    }
}

/// What jobs share.
#[derive(Clone)]
pub struct Work {
    /// Where it is written down.
    pub history: History,
    /// Where jobs are sent.
    pub doors: Doors,
    /// What is sent.
    pub recordings: Arc<[Form]>,
}

impl Work {
    /// A receiver of webhooks, registered for the ends of jobs.
    pub fn receive(&self) -> (Receiver, Switch) {
        let switch = Switch(Arc::new(AtomicU8::new(Mood::Well as u8)));
        let (work, mood) = (self.clone(), switch.0.clone());
        let receiver = Receiver::start(move |message| match mood.load(SeqCst) {
            0 => work.is_told(message.header("webhook-id"), &message.body),
            1 => Does::Answers(500, b"not now".to_vec()),
            _ => Does::Hangs,
        });
        let body = json!({ "url": receiver.url("/ends"), "events": ["job.completed", "job.failed"] }).to_string();
        let door = self.doors.near(0).expect("a gateway is there");
        let answer = http::exchange(&door.address, "POST", "/v1/webhooks", "", body.as_bytes()).expect("it answers");
        assert_eq!(answer.status, 201, "{}", answer.body);
        (receiver, switch)
    }

    /// Asked before the message is taken.
    fn is_told(&self, message: &str, body: &str) -> Does {
        let body: Value = serde_json::from_str(body).unwrap_or_default();
        let job = body["data"]["id"].as_str().unwrap_or_default().to_owned();
        let answered = self.ask(&job, "").map(|answer| answer.status);
        let readable = match answered {
            Some(200) => self.ask(&job, "/export/json").map(|answer| answer.status).filter(|status| *status < 500),
            Some(500..) | None => None,
            other => other,
        };
        let readable = readable.map(|status| status == 200);
        self.history.push(What::Told { message: message.to_owned(), job, readable });
        Does::Answers(if readable == Some(true) { 200 } else { 503 }, Vec::new())
    }

    /// At any gateway that answers.
    fn ask(&self, job: &str, what: &str) -> Option<Answer> {
        let get = |door: Door| http::exchange(&door.address, "GET", &format!("{PATH}/{job}{what}"), "", &[]).ok();
        self.doors.all().into_iter().find_map(|door| get(door).filter(|answer| answer.status < 500))
    }

    /// One job after another, until `stop`; each is asked for until it is accepted, and now and then once more.
    pub fn post(&self, stop: Instant) {
        for number in 0.. {
            if Instant::now() > stop {
                return;
            }
            let (key, recording) = (format!("key-{number}"), number % self.recordings.len());
            let form = self.recordings[recording].clone().header("Idempotency-Key", &key);
            let (headers, body) = form.encoded();
            let mut wanted = 1 + usize::from(number % 4 == 0);
            let deadline = stop + PATIENCE;
            while wanted > 0 && Instant::now() < deadline {
                let turn = number + wanted;
                let answer =
                    self.doors.near(turn).map(|door| http::exchange(&door.address, "POST", PATH, &headers, &body));
                match answer {
                    Some(Ok(answer)) if matches!(answer.status, 200 | 201) => {
                        let job = answer.json()["id"].as_str().expect("a job has an id").to_owned();
                        self.history.push(What::Accepted { key: key.clone(), recording, job });
                        wanted -= 1;
                    }
                    Some(Ok(answer)) if answer.status < 500 && answer.status != 429 && answer.status != 0 => {
                        let what = format!("{key} was refused with {}: {}", answer.status, answer.body);
                        self.history.push(What::Overdue { what });
                        return;
                    }
                    _ => sleep(PAUSE),
                }
            }
            if wanted > 0 {
                self.history.push(What::Overdue { what: format!("{key} was never accepted") });
            }
            sleep(PAUSE);
        }
    }

    /// Every job at its end, and what its webhook was told.
    pub fn finish(&self) {
        let deadline = Instant::now() + PATIENCE;
        let mut jobs: Vec<String> = Vec::new();
        for entry in self.history.entries() {
            if let What::Accepted { job, .. } = entry.what
                && !jobs.contains(&job)
            {
                jobs.push(job);
            }
        }
        for job in &jobs {
            loop {
                let is = self.ask(job, "").map(|answer| answer.json()).unwrap_or_default();
                let is_over = matches!(is["status"].as_str(), Some("completed" | "failed" | "cancelled"));
                if is_over || Instant::now() > deadline {
                    let status = is["status"].as_str().unwrap_or("not there").to_owned();
                    let text = is["transcript"]["text"].as_str().map(str::to_owned);
                    let status = is["error"]["code"].as_str().map(|code| format!("{status}: {code}")).unwrap_or(status);
                    self.history.push(What::JobIs { job: job.clone(), status, text });
                    break;
                }
                sleep(Duration::from_millis(50));
            }
        }
        let is_told = |job: &String| {
            let of = |what: &What| matches!(what, What::Told { job: told, readable: Some(true), .. } if told == job);
            self.history.entries().iter().any(|entry| of(&entry.what))
        };
        while !jobs.iter().all(is_told) && Instant::now() < deadline {
            sleep(Duration::from_millis(100));
        }
    }
}
