//! The process that tells speakers apart: one order, one answer, and the end.

use std::io::{self, Read, Write};
use std::panic;
use std::process::ExitCode;

use dalston_engine_sdk::SAMPLE_RATE;
use dalston_engine_sdk::batch::Turn;
use rustix::process::{Signal, set_parent_process_death_signal};
use sherpa_onnx::{OfflineSpeakerDiarization, OfflineSpeakerDiarizationConfig};

use crate::diarize::{Order, Said};

/// The longest file, all of whose samples are in memory at once: four hours, a gigabyte.
const LONGEST: u32 = 4 * 3600 * SAMPLE_RATE;

/// Runs this process for one file. `main` calls it for `engine-host sherpa-diarize`.
pub fn run_diarize() -> ExitCode {
    let mut text = String::new();
    let order =
        io::stdin().lock().read_to_string(&mut text).ok().and_then(|_| serde_json::from_str::<Order>(&text).ok());
    let Some(order) = order else {
        eprintln!("the engine host is started by the server; it cannot be used by hand");
        return ExitCode::from(2);
    };
    // The server sees how this process ends; nobody sees what it says of it.
    panic::set_hook(Box::new(|_| {}));
    if set_parent_process_death_signal(Some(Signal::KILL)).is_err() {
        return ExitCode::FAILURE;
    }
    let said = turns(&order).map_or_else(Said::Failed, Said::Turns);
    let told =
        serde_json::to_string(&said).map_err(io::Error::from).and_then(|text| io::stdout().write_all(text.as_bytes()));
    if told.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

fn turns(order: &Order) -> Result<Vec<Turn>, String> {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let threads = i32::try_from(cores).unwrap_or(1);
    let mut config = OfflineSpeakerDiarizationConfig::default();
    config.segmentation.pyannote.model = Some(order.models.segmentation.display().to_string());
    config.segmentation.num_threads = threads;
    config.embedding.model = Some(order.models.embedding.display().to_string());
    config.embedding.num_threads = threads;
    if let Some(speakers) = order.speakers {
        config.clustering.num_clusters = speakers.into();
    }
    let samples = read(order)?;
    let refused =
        || "sherpa-onnx refuses the models of engine.sherpa.segmentation and engine.sherpa.embedding".to_owned();
    let diarization = OfflineSpeakerDiarization::create(&config).ok_or_else(refused)?;
    // It finds nobody in nothing, but says so by an error.
    let Some(found) = diarization.process(&samples) else { return Ok(Vec::new()) };
    let turn = |segment: sherpa_onnx::OfflineSpeakerDiarizationSegment| Turn {
        start: segment.start.max(0.0).into(),
        end: segment.end.max(segment.start).max(0.0).into(),
        speaker: segment.speaker.unsigned_abs(),
    };
    Ok(found.sort_by_start_time().into_iter().map(turn).collect())
}

fn read(order: &Order) -> Result<Vec<f32>, String> {
    let unreadable = |error: hound::Error| format!("reading prepared audio: {error}");
    let mut reader = hound::WavReader::open(&order.audio).map_err(unreadable)?;
    let spec = reader.spec();
    if (spec.channels, spec.sample_rate, spec.bits_per_sample) != (1, SAMPLE_RATE, 16) {
        return Err(format!("prepared audio is {spec:?}"));
    }
    if reader.duration() > LONGEST {
        return Err("speakers are told apart in files of at most four hours".to_owned());
    }
    reader.samples::<i16>().map(|sample| Ok(f32::from(sample.map_err(unreadable)?) / 32_768.0)).collect()
}
