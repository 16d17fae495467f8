//! Speech whose speech is known: made clean, judged by its energy while it is clean, then buried in noise.

use std::path::Path;
use std::process::Command;

use anyhow::{Context, ensure};
use dalston_audio::{FRAME_SAMPLES, Level, SAMPLE_RATE};

const VOICES: [&str; 4] = ["kal16", "awb", "rms", "slt"];

/// Many begin or end weakly: f, h, s, th.
const SENTENCES: [&str; 8] = [
    "He thought of the fish she had for supper.",
    "Five hundred and sixty seven.",
    "Please call Stella and ask her to bring these things with her from the store.",
    "Yes.",
    "Half of the people here have never heard the whole story.",
    "Sing the song softly for us.",
    "Thank you very much for the help, see you on Thursday.",
    "No, it is not.",
];

/// What a frame of clean speech is.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Truth {
    Speech,
    /// Too quiet to be held against anyone either way: closures, breath, decay.
    Unclear,
    Pause,
}

/// All sentences by every voice of flite, with pauses of a second and more.
pub fn flite() -> anyhow::Result<Vec<Vec<f32>>> {
    let folder = tempfile::tempdir()?;
    VOICES.iter().map(|voice| say(voice, folder.path())).collect()
}

fn say(voice: &str, folder: &Path) -> anyhow::Result<Vec<f32>> {
    let pause = |seconds: f32| vec![0.0f32; (seconds * SAMPLE_RATE as f32) as usize];
    let mut samples = pause(1.5);
    for (i, sentence) in SENTENCES.iter().enumerate() {
        let file = folder.join(format!("{voice}-{i}.wav"));
        let status = Command::new("flite")
            .args(["-voice", voice, "-t", sentence, "-o"])
            .arg(&file)
            .status()
            .context("flite makes the speech; on Debian: apt-get install flite")?;
        ensure!(status.success(), "flite -voice {voice} ended with {status}");
        samples.extend(read(&file)?);
        samples.extend(pause(1.0 + 0.15 * i as f32));
    }
    Ok(samples)
}

/// All WAV files of a folder, by name. 16 kHz mono 16-bit only.
pub fn folder(path: &Path) -> anyhow::Result<Vec<Vec<f32>>> {
    let entries = std::fs::read_dir(path).with_context(|| format!("cannot read the folder {}", path.display()))?;
    let mut files: Vec<_> = entries.map(|entry| entry.map(|entry| entry.path())).collect::<Result<_, _>>()?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "wav"));
    files.sort();
    files.iter().map(|file| read(file)).collect()
}

fn read(file: &Path) -> anyhow::Result<Vec<f32>> {
    let mut reader = hound::WavReader::open(file).with_context(|| format!("cannot open {}", file.display()))?;
    let spec = reader.spec();
    ensure!(
        (spec.sample_rate, spec.channels, spec.bits_per_sample) == (SAMPLE_RATE, 1, 16),
        "{} is {} Hz, {} channels, {} bits; it must be 16000 Hz, 1, 16",
        file.display(),
        spec.sample_rate,
        spec.channels,
        spec.bits_per_sample
    );
    Ok(reader.samples::<i16>().map(|sample| sample.map(f32::from)).collect::<Result<_, _>>()?)
}

/// Judges clean audio frame by frame: speech is what lies within 25 dB of the loudest tenth, a pause what lies more than 40 dB
/// below it and not within 200 ms of speech.
pub fn truth(clean: &[f32]) -> Vec<Truth> {
    let levels: Vec<f32> = frames(clean).map(|frame| Level::of(&quantised(frame)).dbfs()).collect();
    let mut sorted = levels.clone();
    sorted.sort_by(f32::total_cmp);
    let loud = sorted[sorted.len() * 9 / 10];
    let is_speech: Vec<bool> = levels.iter().map(|&level| level > loud - 25.0).collect();
    let near = |i: usize| is_speech[i.saturating_sub(10)..(i + 11).min(is_speech.len())].contains(&true);
    (0..levels.len())
        .map(|i| match () {
            () if is_speech[i] => Truth::Speech,
            () if levels[i] < loud - 40.0 && !near(i) => Truth::Pause,
            () => Truth::Unclear,
        })
        .collect()
}

/// Scales so that the frames of speech have this level.
pub fn at_level(samples: &[f32], truth: &[Truth], dbfs: f32) -> Vec<f32> {
    let speaking = frames(samples).zip(truth).filter(|(_, truth)| **truth == Truth::Speech);
    let (sum, count) = speaking.fold((0.0f32, 0.0f32), |(sum, count), (frame, _)| (sum + power(frame), count + 1.0));
    let gain = full_scale(dbfs) / (sum / count).sqrt();
    samples.iter().map(|sample| sample * gain).collect()
}

/// Scales to this RMS level over the whole.
pub fn normalised(samples: &[f32], dbfs: f32) -> Vec<f32> {
    let gain = full_scale(dbfs) / power(samples).sqrt().max(1e-9);
    samples.iter().map(|sample| sample * gain).collect()
}

pub fn mixed(speech: &[f32], noise: &[f32]) -> Vec<f32> {
    speech.iter().zip(noise.iter().cycle()).map(|(speech, noise)| speech + noise).collect()
}

pub fn quantised(samples: &[f32]) -> Vec<i16> {
    samples.iter().map(|sample| sample.round() as i16).collect()
}

fn frames(samples: &[f32]) -> impl Iterator<Item = &[f32]> {
    samples.chunks_exact(FRAME_SAMPLES)
}

fn power(samples: &[f32]) -> f32 {
    samples.iter().map(|sample| sample * sample).sum::<f32>() / samples.len() as f32
}

fn full_scale(dbfs: f32) -> f32 {
    32_768.0 * 10f32.powf(dbfs / 20.0)
}
