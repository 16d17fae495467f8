//! Uploads made on the spot, and one task at a time.

use std::fmt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Mutex, OnceLock};

use dalston_engine_prepare::{Limits, Prepare};
use dalston_engine_sdk::batch::{Engine, Prepared, TaskError, TaskInput, Watched};
use dalston_protocol::job::{JobParameters, SpeakerDetection};
use tempfile::TempDir;

/// What came of an upload.
pub struct Out {
    pub prepared: Prepared,
    pub mix: Vec<i16>,
    pub channels: Vec<Vec<i16>>,
}

impl fmt::Debug for Out {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.prepared.fmt(f)
    }
}

impl Out {
    pub fn seconds(&self) -> f64 {
        self.mix.len() as f64 / 16_000.0
    }
}

/// The engine with this program as its child.
pub fn engine(child: &str, limits: Limits) -> Prepare {
    Prepare::with_program(std::env::current_exe().expect("a program"), ["engine-host", child], limits)
}

/// A task over this file, by an engine.
pub fn run(engine: &Prepare, source: &Path, per_channel: bool, ctx: &Watched) -> Result<Out, TaskError> {
    let scratch = TempDir::new().expect("a folder");
    run_in(scratch.path(), engine, source, per_channel, ctx)
}

/// The same with this folder for what it writes.
pub fn run_in(
    scratch: &Path,
    engine: &Prepare,
    source: &Path,
    per_channel: bool,
    ctx: &Watched,
) -> Result<Out, TaskError> {
    let speaker_detection = if per_channel { SpeakerDetection::PerChannel } else { SpeakerDetection::None };
    let input = TaskInput {
        parameters: JobParameters { speaker_detection, ..JobParameters::default() },
        files: [("source".to_owned(), source.to_owned())].into(),
        scratch: scratch.to_owned(),
        ..TaskInput::default()
    };
    let output = engine.process(&input, ctx)?;
    let read = |name: &str| samples(&output.files[name]);
    let channels = output.files.len() - 1;
    Ok(Out {
        prepared: serde_json::from_value(output.result).expect("a result"),
        mix: read("audio.wav"),
        channels: (0..channels).map(|channel| read(&format!("channel-{channel}.wav"))).collect(),
    })
}

pub fn prepare(source: &Path) -> Result<Out, TaskError> {
    run(&engine("prepare", Limits::default()), source, false, &Watched::default())
}

pub fn prepare_channels(source: &Path) -> Result<Out, TaskError> {
    run(&engine("prepare", Limits::default()), source, true, &Watched::default())
}

/// The code of the error, which must be the upload's fault.
pub fn refusal(source: &Path) -> (&'static str, String) {
    match prepare(source) {
        Err(TaskError::Rejected { code, message }) => (code, message),
        other => panic!("{other:?}"),
    }
}

/// The samples of a file that must be 16 kHz, mono, 16 bits.
pub fn samples(path: &Path) -> Vec<i16> {
    let mut reader = hound::WavReader::open(path).expect("a WAV");
    let spec = reader.spec();
    assert_eq!((spec.channels, spec.sample_rate, spec.bits_per_sample), (1, 16_000, 16));
    reader.samples().collect::<Result<_, _>>().expect("samples")
}

/// Files of this program's run.
pub fn folder() -> &'static Path {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    FOLDER.get_or_init(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("prepare");
        std::fs::create_dir_all(&folder).expect("a folder");
        folder
    })
}

pub fn file(name: &str, bytes: &[u8]) -> PathBuf {
    let path = folder().join(name);
    std::fs::write(&path, bytes).expect("written");
    path
}

pub fn command(program: &str, args: &[&str]) {
    let output = Command::new(program).args(args).output().unwrap_or_else(|error| panic!("{program}: {error}"));
    assert!(output.status.success(), "{program} {args:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Two voices, one left and one right, some four seconds at this rate; mono has the left one only.
pub fn speech(rate: u32, channels: u8) -> PathBuf {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _lock = ONE_AT_A_TIME.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
    let path = |name: String| folder().join(name);
    let text = |path: &PathBuf| path.to_str().expect("text").to_owned();
    let made = path(format!("speech-{rate}-{channels}.wav"));
    if made.exists() {
        return made;
    }
    let voices = [
        ("slt", "the quick brown fox jumps over the lazy dog beside the river bank"),
        ("rms", "she sells sea shells on the sea shore every summer afternoon"),
    ];
    let sides: Vec<String> = voices
        .iter()
        .map(|(voice, words)| {
            let raw = text(&path(format!("voice-{voice}.wav")));
            let side = text(&path(format!("side-{voice}-{rate}.wav")));
            command("flite", &["-voice", voice, "-t", words, "-o", &raw]);
            // -D: no dither, so that it is the same each time. All four seconds long.
            command(
                "sox",
                &["-D", &raw, "-r", &rate.to_string(), &side, "gain", "-3", "pad", "0", "4", "trim", "0", "4"],
            );
            side
        })
        .collect();
    // Whole or not at all, for a run that is interrupted.
    let unfinished = text(&path(format!("speech-{rate}-{channels}.part.wav")));
    match channels {
        1 => command("sox", &[&sides[0], &unfinished]),
        _ => command("sox", &["-M", &sides[0], &sides[1], &unfinished]),
    }
    std::fs::rename(unfinished, &made).expect("renamed");
    made
}

/// The same audio in another format, by ffmpeg.
pub fn encoded(source: &Path, extension: &str, options: &[&str]) -> PathBuf {
    let stem = source.file_stem().and_then(|stem| stem.to_str()).expect("a name");
    let tag: String = options.join("").chars().filter(char::is_ascii_alphanumeric).collect();
    let made = folder().join(format!("{stem}-{tag}.{extension}"));
    if !made.exists() {
        let part = folder().join(format!("{stem}-{tag}-{}.part.{extension}", rand::random::<u32>()));
        let (from, to) = (source.to_str().expect("text"), part.to_str().expect("text"));
        command("ffmpeg", &[&["-v", "error", "-y", "-i", from], options, &[to]].concat());
        std::fs::rename(part, &made).expect("renamed");
    }
    made
}

/// A WAV's bytes by hand: format tag, channels, rate, bits, claimed size of the data, data.
pub fn wav(tag: u16, channels: u16, rate: u32, bits: u16, claimed: u32, data: &[u8]) -> Vec<u8> {
    let block = channels * (bits / 8);
    let mut bytes = b"RIFF".to_vec();
    bytes.extend(claimed.saturating_add(36).to_le_bytes());
    bytes.extend(b"WAVEfmt ");
    bytes.extend(16u32.to_le_bytes());
    bytes.extend(tag.to_le_bytes());
    bytes.extend(channels.to_le_bytes());
    bytes.extend(rate.to_le_bytes());
    bytes.extend((rate.wrapping_mul(block.into())).to_le_bytes());
    bytes.extend(block.to_le_bytes());
    bytes.extend(bits.to_le_bytes());
    bytes.extend(b"data");
    bytes.extend(claimed.to_le_bytes());
    bytes.extend(data);
    bytes
}
