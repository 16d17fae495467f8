//! Planes of any rate to WAV files of 16 kHz.

use std::fs::File;
use std::io::BufWriter;
use std::path::Path;

use dalston_audio::{Resampler, SAMPLE_RATE};
use hound::{SampleFormat, WavSpec, WavWriter};

use crate::reading::Stop;

const SPEC: WavSpec =
    WavSpec { channels: 1, sample_rate: SAMPLE_RATE, bits_per_sample: 16, sample_format: SampleFormat::Int };

/// The file of the mix.
pub const MIX: &str = "audio.wav";

/// The file of a channel.
pub fn channel_file(channel: usize) -> String {
    format!("channel-{channel}.wav")
}

/// Every file that is written, in step.
pub struct Output {
    mix: Track,
    channels: Vec<Track>,
    rate: u32,
    mixed: Vec<f32>,
    /// Sum of the squares of the mix.
    energy: f64,
}

struct Track {
    name: String,
    writer: WavWriter<BufWriter<File>>,
    resampler: Resampler,
    /// Samples as the resampler takes them.
    block: Vec<i16>,
    written: u64,
}

/// What was written.
pub struct Written {
    /// Samples of each file.
    pub samples: u64,
    /// Root mean square of the mix in dB of full scale; `None` for digital silence.
    pub loudness_db: Option<f32>,
    pub files: Vec<String>,
}

impl Output {
    /// The mix, and as many channels.
    pub fn create(folder: &Path, channels: usize, rate: u32) -> Result<Self, Stop> {
        let mix = Track::create(folder, MIX.to_owned(), rate)?;
        let channels = (0..channels).map(|channel| Track::create(folder, channel_file(channel), rate));
        let channels = channels.collect::<Result<_, _>>()?;
        Ok(Self { mix, channels, rate, mixed: Vec::new(), energy: 0.0 })
    }

    /// Samples of each file so far.
    pub fn written(&self) -> u64 {
        self.mix.written
    }

    /// Writes one plane per channel of the upload, all of one length, at this rate. Should there be other channels than at
    /// first, which chained streams may have, the last one stands for those that are missing.
    pub fn write(&mut self, planes: &[Vec<f32>], rate: u32) -> Result<(), Stop> {
        let Some(first) = planes.first().filter(|plane| !plane.is_empty()) else { return Ok(()) };
        if rate != self.rate {
            self.rate = rate;
            for track in std::iter::once(&mut self.mix).chain(&mut self.channels) {
                track.drain()?;
                track.resampler = Resampler::at_any_rate(rate);
            }
        }
        self.mixed.clear();
        self.mixed.resize(first.len(), 0.0);
        for plane in planes {
            for (sum, sample) in self.mixed.iter_mut().zip(plane) {
                *sum += clean(*sample);
            }
        }
        let share = 1.0 / planes.len() as f32;
        self.mixed.iter_mut().for_each(|sample| *sample *= share);
        self.energy += self.mix.write(&self.mixed)?;
        for (channel, track) in self.channels.iter_mut().enumerate() {
            if let Some(plane) = planes.get(channel).or(planes.last()) {
                track.write(plane)?;
            }
        }
        Ok(())
    }

    /// Writes what the filters still hold and completes the files.
    pub fn finish(mut self) -> Result<Written, Stop> {
        let mut files = Vec::new();
        self.energy += self.mix.drain()?;
        let samples = self.mix.written;
        let mut tracks = vec![self.mix];
        tracks.extend(self.channels);
        for mut track in tracks {
            track.drain()?;
            track.writer.finalize().map_err(|error| disk(&error))?;
            files.push(track.name);
        }
        let power = if samples == 0 { 0.0 } else { self.energy / samples as f64 };
        let loudness_db = (power > 0.0).then(|| (10.0 * power.log10()) as f32);
        Ok(Written { samples, loudness_db, files })
    }
}

impl Track {
    fn create(folder: &Path, name: String, rate: u32) -> Result<Self, Stop> {
        let writer = WavWriter::create(folder.join(&name), SPEC).map_err(|error| disk(&error))?;
        Ok(Self { name, writer, resampler: Resampler::at_any_rate(rate), block: Vec::new(), written: 0 })
    }

    /// Returns the sum of the squares of what was written.
    fn write(&mut self, samples: &[f32]) -> Result<f64, Stop> {
        self.block.clear();
        self.block.extend(samples.iter().map(|&sample| to_i16(sample)));
        let block = std::mem::take(&mut self.block);
        let energy = self.sink(|resampler, sink| resampler.process(&block, sink));
        self.block = block;
        energy
    }

    fn drain(&mut self) -> Result<f64, Stop> {
        self.sink(|resampler, sink| resampler.finish(sink))
    }

    fn sink(&mut self, run: impl FnOnce(&mut Resampler, &mut dyn FnMut(&[i16]))) -> Result<f64, Stop> {
        let Self { writer, resampler, written, .. } = self;
        let mut energy = 0.0;
        let mut result = Ok(());
        run(resampler, &mut |samples| {
            for &sample in samples {
                if result.is_ok() {
                    result = writer.write_sample(sample);
                }
                let level = f64::from(sample) / 32_768.0;
                energy += level * level;
            }
            *written += samples.len() as u64;
        });
        result.map_err(|error| disk(&error))?;
        Ok(energy)
    }
}

/// What is not a number comes from a broken sender, and is silence so that it cannot poison the filter.
fn clean(sample: f32) -> f32 {
    if sample.is_finite() { sample.clamp(-1.0, 1.0) } else { 0.0 }
}

fn to_i16(sample: f32) -> i16 {
    // `as` saturates, which is the clamp.
    (clean(sample) * 32_768.0).round() as i16
}

fn disk(error: &hound::Error) -> Stop {
    Stop::Failed(format!("writing audio: {error}"))
}
