//! Jobs as a client sees them.

use std::{
    io,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{Server, http::Answer, speech};

/// Where jobs are.
pub const PATH: &str = "/v1/audio/transcriptions";
/// How long a job may take.
const PATIENCE: Duration = Duration::from_secs(60);
const BOUNDARY: &str = "a-boundary-that-no-recording-has-in-it";

/// A multipart form.
#[derive(Debug, Clone, Default)]
pub struct Form {
    body: Vec<u8>,
    headers: String,
}

impl Form {
    /// With a file.
    pub fn file(name: &str, bytes: &[u8]) -> Self {
        let mut form = Self::default();
        form.part(&format!("name=\"file\"; filename=\"{name}\""), bytes);
        form
    }

    /// With the demo recording.
    pub fn demo() -> Self {
        Self::file("demo.wav", &std::fs::read(speech::DEMO).expect("the demo recording is part of the project"))
    }

    /// A field.
    #[must_use]
    pub fn field(mut self, name: &str, value: &str) -> Self {
        self.part(&format!("name=\"{name}\""), value.as_bytes());
        self
    }

    /// A header of the request.
    #[must_use]
    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push_str(&format!("{name}: {value}\r\n"));
        self
    }

    fn part(&mut self, disposition: &str, bytes: &[u8]) {
        let head = format!("--{BOUNDARY}\r\nContent-Disposition: form-data; {disposition}\r\n\r\n");
        self.body.extend(head.as_bytes());
        self.body.extend(bytes);
        self.body.extend(b"\r\n");
    }

    /// The header lines and the body.
    pub fn encoded(&self) -> (String, Vec<u8>) {
        let headers = format!("{}Content-Type: multipart/form-data; boundary={BOUNDARY}\r\n", self.headers);
        (headers, [&self.body[..], format!("--{BOUNDARY}--\r\n").as_bytes()].concat())
    }

    /// Posts it.
    pub fn post(&self, server: &Server) -> io::Result<Answer> {
        let (headers, body) = self.encoded();
        server.send("POST", PATH, &headers, &body)
    }

    /// Posts it, and gives the id of the job that it has become.
    pub fn submit(&self, server: &Server) -> String {
        let answer = self.post(server).expect("the server answers");
        assert_eq!(answer.status, 201, "{}", answer.body);
        answer.json()["id"].as_str().expect("a job has an id").to_owned()
    }
}

/// 16 kHz mono samples as a WAV file.
pub fn wav(samples: &[u8]) -> Vec<u8> {
    let mut file = io::Cursor::new(Vec::new());
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 16_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::new(&mut file, spec).expect("memory takes it");
    for sample in samples.as_chunks::<2>().0 {
        writer.write_sample(i16::from_le_bytes(*sample)).expect("memory takes it");
    }
    writer.finalize().expect("memory takes it");
    file.into_inner()
}

impl Server {
    /// A job as it stands.
    pub fn job(&self, id: &str) -> Value {
        let answer = self.get(&format!("{PATH}/{id}"));
        assert_eq!(answer.status, 200, "{id}: {}", answer.body);
        answer.json()
    }

    /// The tasks of a job.
    pub fn tasks(&self, id: &str) -> Vec<Value> {
        let answer = self.get(&format!("{PATH}/{id}/tasks"));
        assert_eq!(answer.status, 200, "{id}: {}", answer.body);
        answer.json()["tasks"].as_array().cloned().expect("a list")
    }

    /// The one task of a stage.
    pub fn task(&self, id: &str, stage: &str) -> Option<Value> {
        self.tasks(id).into_iter().find(|task| task["stage"] == stage)
    }

    /// Asks something of a job.
    pub fn ask(&self, method: &str, id: &str, what: &str) -> Answer {
        self.request(method, &format!("{PATH}/{id}{what}"), "")
    }

    /// A job at its end, which its events lead to.
    pub fn ended(&self, id: &str) -> Value {
        let deadline = Instant::now() + PATIENCE;
        loop {
            self.get(&format!("{PATH}/{id}/events"));
            let job = self.job(id);
            if matches!(job["status"].as_str(), Some("completed" | "failed" | "cancelled")) {
                return job;
            }
            assert!(Instant::now() < deadline, "{job} has not ended; the log:\n{}", self.log());
        }
    }

    /// Waits for what nothing tells of, a millisecond between two looks.
    pub fn until(&self, what: &str, mut is_so: impl FnMut() -> bool) {
        let deadline = Instant::now() + PATIENCE;
        while !is_so() {
            assert!(Instant::now() < deadline, "{what} did not come about; the log:\n{}", self.log());
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Waits until a task of this stage was begun, which may be over by then.
    pub fn begins(&self, id: &str, stage: &str) {
        self.until(&format!("{stage} of {id}"), || {
            self.task(id, stage).is_some_and(|task| task["attempts"].as_u64() > Some(0))
        });
    }

    /// Waits until a task of this stage is completed.
    pub fn completes(&self, id: &str, stage: &str) {
        self.until(&format!("the end of {stage} of {id}"), || {
            self.task(id, stage).is_some_and(|task| task["status"] == "completed")
        });
    }
}
