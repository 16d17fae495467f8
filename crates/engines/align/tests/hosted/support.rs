//! What the tests share: audio, an engine and tasks.

use std::num::NonZeroUsize;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use dalston_engine_align::Align;
use dalston_engine_host::{HostConfig, HostedEngine, Limits};
use dalston_engine_pocketsphinx::Settings;
use dalston_engine_sdk::batch::{Aligned, Engine, Spoken, Stage, TaskError, TaskInput, Transcribed, Watched};
use tempfile::TempDir;
use tokio::runtime::Runtime;

const NEEDS: &str = "apt-get install libpocketsphinx3 pocketsphinx-en-us pocketsphinx-testdata";
pub const RATE: usize = 16_000;

/// A file of `pocketsphinx-testdata`; a WAV's header is 44 bytes.
pub fn recording(name: &str) -> Vec<i16> {
    let path = Path::new("/usr/share/pocketsphinx/test/data").join(name);
    let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}; {NEEDS}", path.display()));
    let (pairs, _) = bytes[if name.ends_with(".wav") { 44 } else { 0 }..].as_chunks::<2>();
    pairs.iter().map(|pair| i16::from_le_bytes(*pair)).collect()
}

pub fn said(start: f64, end: f64, text: &str) -> Spoken {
    Spoken { start, end, text: text.to_owned(), ..Spoken::default() }
}

pub fn transcribed(segments: Vec<Spoken>) -> Transcribed {
    Transcribed { language: "en".into(), model: "none/at-all".into(), segments }
}

/// An engine whose host is run by this program, with these arguments.
pub fn engine(runtime: &Runtime, args: &[&str]) -> Arc<HostedEngine> {
    let config = HostConfig {
        program: std::env::current_exe().expect("this program"),
        args: args.iter().map(Into::into).collect(),
        env: Vec::new(),
        // A test looks at results and not at how long a busy machine takes.
        limits: Limits { answer: Duration::from_secs(20), finish: Duration::from_secs(60), ..Limits::default() },
        on_granted: None,
    };
    let capabilities = Settings::default().probe().expect(NEEDS).capabilities();
    runtime.block_on(async { Arc::new(HostedEngine::start(config, capabilities)) })
}

pub fn runtime() -> Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().expect("a runtime")
}

/// One task over this audio, which is the mix, or a channel's.
pub fn align_on(
    args: &[&str],
    audio: &[i16],
    channel: Option<u8>,
    transcribed: &Transcribed,
    ctx: &Watched,
) -> Result<Aligned, TaskError> {
    let folder = TempDir::new().expect("a folder");
    let name = channel.map_or("audio.wav".to_owned(), |channel| format!("channel-{channel}.wav"));
    let path = folder.path().join(&name);
    let spec = hound::WavSpec {
        channels: 1,
        sample_rate: RATE as u32,
        bits_per_sample: 16,
        sample_format: hound::SampleFormat::Int,
    };
    let mut writer = hound::WavWriter::create(&path, spec).expect("created");
    audio.iter().for_each(|sample| writer.write_sample(*sample).expect("written"));
    writer.finalize().expect("finished");
    let runtime = runtime();
    let engine = engine(&runtime, args);
    let two = NonZeroUsize::new(2).expect("two");
    let align = runtime.block_on(async { Align::new(engine, two) }).expect("it can align");
    let result = serde_json::to_value(transcribed).expect("JSON");
    let input = TaskInput {
        files: [(name, path)].into(),
        results: [(Stage::TRANSCRIBE.node(channel), result)].into(),
        channel,
        ..TaskInput::default()
    };
    let output = align.process(&input, ctx)?;
    Ok(serde_json::from_value(output.result).expect("an alignment"))
}

pub fn align(audio: &[i16], segments: Vec<Spoken>) -> Aligned {
    let watched = Watched::default();
    let aligned =
        align_on(&["engine-host", "pocketsphinx"], audio, None, &transcribed(segments), &watched).expect("aligned");
    assert_eq!(watched.progress().last(), Some(&1.0));
    aligned
}
