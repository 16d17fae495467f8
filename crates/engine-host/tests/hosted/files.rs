//! Files through a hosted engine, several utterances at once.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use dalston_engine_host::HostedEngine;
use dalston_engine_sdk::batch::{Engine, TaskContext, TaskError, TaskInput, Transcribed};
use dalston_engine_utterances::{Settings, Utterances};
use rustix::process::Signal;
use tempfile::TempDir;

use crate::claims::{pocketsphinx, recording};
use crate::support::{children, limits, signal};

/// A task that does something at its first sign of life.
struct Watched {
    at_first: Mutex<Option<Box<dyn FnOnce() + Send>>>,
    engine: Arc<HostedEngine>,
}

impl TaskContext for Watched {
    fn progress(&self, _: f64) {
        // Not before something is decoded: a stream is there then.
        if self.engine.stats().in_use > 0
            && let Some(act) = self.at_first.lock().expect("no panic").take()
        {
            act();
        }
    }

    fn is_cancelled(&self) -> bool {
        false
    }

    fn time_left(&self) -> Duration {
        Duration::from_secs(60)
    }

    fn traceparent(&self) -> Option<String> {
        None
    }

    fn request_id(&self) -> &str {
        "req_test"
    }
}

/// Three times the same sentence with two seconds between.
fn file(folder: &TempDir) -> TaskInput {
    let path = folder.path().join("audio.wav");
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: 16_000,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(&path, spec).expect("created");
    for _ in 0..3 {
        for sample in [recording("goforward.raw"), vec![0; 32_000]].concat() {
            writer.write_sample(sample).expect("written");
        }
    }
    writer.finalize().expect("finished");
    TaskInput { files: [("audio.wav".to_owned(), path)].into(), ..TaskInput::default() }
}

/// The file through PocketSphinx; `act` is done while it is heard.
async fn transcribe(act: impl FnOnce(&HostedEngine) + Send + 'static) -> Result<Transcribed, TaskError> {
    let engine = Arc::new(pocketsphinx(limits()).await);
    let watched = Watched {
        at_first: Mutex::new(Some(Box::new({
            let engine = engine.clone();
            move || act(&engine)
        }))),
        engine: engine.clone(),
    };
    let files = Utterances::new(engine.clone(), Settings::default());
    let task = tokio::task::spawn_blocking(move || {
        let folder = TempDir::new().expect("a folder");
        files.process(&file(&folder), &watched)
    });
    let output = task.await.expect("no panic");
    engine.shutdown().await;
    output.map(|output| serde_json::from_value(output.result).expect("a transcription"))
}

fn assert_whole(found: &Transcribed) {
    assert_eq!((found.language.as_str(), found.model.as_str()), ("en", "pocketsphinx/en-us"));
    let length = recording("goforward.raw").len() as f64 / 16_000.0 + 2.0;
    assert_eq!(found.segments.len(), 3, "{found:?}");
    for (number, segment) in found.segments.iter().enumerate() {
        assert_eq!(segment.text, "go forward ten meters");
        let starts: Vec<f64> = segment.words.iter().map(|word| word.start - number as f64 * length).collect();
        for (start, expected) in starts.iter().zip([0.46, 0.64, 1.16, 1.54]) {
            assert!((start - expected).abs() < 0.15, "{number}: {starts:?}");
        }
    }
}

pub async fn pocketsphinx_hears_a_file_with_the_times_of_its_words() {
    assert_whole(&transcribe(|_| {}).await.expect("words"));
}

pub async fn streams_killed_in_a_file_cost_no_word() {
    let found = transcribe(|engine| {
        for stream in children(engine.host_pid().expect("a host")) {
            signal(stream, Signal::KILL);
        }
    });
    assert_whole(&found.await.expect("words"));
}
