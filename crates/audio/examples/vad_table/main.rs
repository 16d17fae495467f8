//! Which voice activity detector should decide? Hears noise, music and speech with every candidate and prints the tables of
//! docs/vad.md.
//!
//! ```sh
//! cargo run --release -p dalston-audio --example vad_table -- [--speech FOLDER] [--music FOLDER]
//! ```
//!
//! The folders hold 16 kHz mono 16-bit WAV files: people speaking, with pauses; and music without singing. `material.sh` beside
//! this file makes both out of Debian's packages. Without them only what is synthesised is heard. Needs flite.

mod candidate;
mod cost;
mod gate;
mod music;
mod noise;
mod speech;

use std::path::PathBuf;

use anyhow::bail;
use dalston_audio::{FRAME_SAMPLES, Resampler, SAMPLE_RATE};

use candidate::{ALL, Candidate};
use gate::{Utterance, utterances};
use music::Piece;
use noise::Colour;
use speech::{Truth, at_level, mixed, normalised, quantised, truth};

/// The length of each piece of noise and music.
const MINUTE: usize = 60 * SAMPLE_RATE as usize;

/// Something to hear, and what its frames are; without truth there is no speech in it.
struct Clip {
    group: &'static str,
    samples: Vec<i16>,
    truth: Option<Vec<Truth>>,
}

fn main() -> anyhow::Result<()> {
    let bytes = cost::bytes();
    let (mut recorded_speech, mut recorded_music) = (Vec::new(), Vec::new());
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        let folder = arguments.next().map(PathBuf::from);
        match (argument.as_str(), folder) {
            ("--speech", Some(folder)) => recorded_speech = speech::folder(&folder)?,
            ("--music", Some(folder)) => recorded_music = speech::folder(&folder)?,
            _ => bail!("unknown argument {argument}; allowed are --speech FOLDER and --music FOLDER"),
        }
    }
    let mut others = noises();
    others.extend(pieces_of_music());
    others.extend(recordings_of_music(&recorded_music));
    let mut spoken = conditions(&speech::flite()?, &FLITE);
    spoken.extend(conditions(&recorded_speech, &RECORDED));

    print_what_is_not_speech(&others);
    print_speech(&spoken);
    cost::print(&bytes, &spoken.iter().map(|clip| clip.samples.as_slice()).collect::<Vec<_>>());
    Ok(())
}

fn noises() -> Vec<Clip> {
    let clip = |group, wave: &[f32], dbfs| Clip { group, samples: quantised(&normalised(wave, dbfs)), truth: None };
    let mut clips = vec![Clip { group: "silence", samples: vec![0; MINUTE], truth: None }];
    for colour in [Colour::White, Colour::Pink, Colour::Brown] {
        let wave = noise::noise(colour, MINUTE, 7);
        clips.extend([-70.0, -60.0, -50.0, -40.0].map(|dbfs| clip("noise to −40 dB", &wave, dbfs)));
        clips.extend([-30.0, -20.0, -10.0].map(|dbfs| clip("noise from −30 dB", &wave, dbfs)));
    }
    for dbfs in [-50.0, -40.0, -30.0, -20.0] {
        clips.push(clip("hum", &noise::hum(MINUTE), dbfs));
        clips.push(clip("keyboard, clicks", &noise::keyboard(MINUTE, 3), dbfs));
        clips.push(clip("keyboard, clicks", &noise::clicks(MINUTE, 4), dbfs));
        clips.push(clip("gusts, switched", &noise::gusts(MINUTE, 5), dbfs));
        clips.push(clip("gusts, switched", &noise::switched(MINUTE, 6), dbfs));
    }
    clips
}

fn pieces_of_music() -> Vec<Clip> {
    let pieces = [Piece::Organ, Piece::Orchestra, Piece::Band, Piece::ReedSolo, Piece::Drums];
    let clips = pieces.into_iter().flat_map(|piece| {
        let wave = music::play(piece, MINUTE, 9);
        [-40.0, -30.0, -20.0, -14.0].map(|dbfs| Clip {
            group: "music",
            samples: quantised(&normalised(&wave, dbfs)),
            truth: None,
        })
    });
    clips.collect()
}

fn recordings_of_music(recordings: &[Vec<f32>]) -> Vec<Clip> {
    let clips = recordings.iter().flat_map(|recording| {
        [-40.0, -30.0, -20.0].map(|dbfs| Clip {
            group: "recorded music",
            samples: quantised(&normalised(recording, dbfs)),
            truth: None,
        })
    });
    clips.collect()
}

/// Names of the conditions in which the same speech is heard.
struct Conditions {
    clean: &'static str,
    quiet: &'static str,
    telephone: &'static str,
    noisy: [&'static str; 3],
    over_music: &'static str,
}

const FLITE: Conditions = Conditions {
    clean: "flite",
    quiet: "flite at −46 dB",
    telephone: "flite, 8 kHz",
    noisy: ["flite, SNR 20", "flite, SNR 10", "flite, SNR 5"],
    over_music: "flite over music",
};

const RECORDED: Conditions = Conditions {
    clean: "people",
    quiet: "people at −46 dB",
    telephone: "people, 8 kHz",
    noisy: ["people, SNR 20", "people, SNR 10", "people, SNR 5"],
    over_music: "people over music",
};

fn conditions(recordings: &[Vec<f32>], names: &Conditions) -> Vec<Clip> {
    let mut clips = Vec::new();
    for samples in recordings {
        let truth = truth(samples);
        let mut add = |group, wave: &[f32]| {
            clips.push(Clip { group, samples: quantised(wave), truth: Some(truth.clone()) });
        };
        let normal = at_level(samples, &truth, -26.0);
        for dbfs in [-16.0, -26.0, -36.0] {
            add(names.clean, &at_level(samples, &truth, dbfs));
        }
        add(names.quiet, &at_level(samples, &truth, -46.0));
        add(names.telephone, &over_telephone(&normal));
        for (name, ratio) in names.noisy.into_iter().zip([20.0, 10.0, 5.0]) {
            for colour in [Colour::White, Colour::Pink, Colour::Brown] {
                add(name, &mixed(&normal, &normalised(&noise::noise(colour, normal.len(), 11), -26.0 - ratio)));
            }
        }
        add(names.over_music, &mixed(&normal, &normalised(&music::play(Piece::Band, normal.len(), 12), -46.0)));
    }
    clips
}

fn over_telephone(wave: &[f32]) -> Vec<f32> {
    // Every other sample is no good low-pass, but neither is many a telephone.
    let narrow: Vec<i16> = quantised(wave).into_iter().step_by(2).collect();
    let mut resampler = Resampler::new(8_000);
    let mut wide = Vec::with_capacity(wave.len());
    let mut take = |samples: &[i16]| wide.extend(samples.iter().map(|&sample| f32::from(sample)));
    resampler.process(&narrow, &mut take);
    resampler.finish(&mut take);
    wide.resize(wave.len(), 0.0);
    wide
}

/// What a candidate made of a clip.
struct Heard {
    voiced: Vec<bool>,
    utterances: Vec<Utterance>,
}

fn hear(candidate: Candidate, samples: &[i16]) -> Heard {
    let mut hear = candidate.build();
    let decisions: Vec<_> = samples.as_chunks::<FRAME_SAMPLES>().0.iter().map(&mut hear).collect();
    Heard { voiced: decisions.iter().map(|&(speech, _)| speech).collect(), utterances: utterances(&decisions) }
}

fn groups(clips: &[Clip]) -> Vec<&'static str> {
    let mut groups = Vec::new();
    for clip in clips {
        if !groups.contains(&clip.group) {
            groups.push(clip.group);
        }
    }
    groups
}

fn print_header(first: &str, groups: &[&str]) {
    println!("| {first} | {} |", groups.join(" | "));
    println!("| --- |{}", " ---: |".repeat(groups.len()));
}

fn print_what_is_not_speech(clips: &[Clip]) {
    let groups = groups(clips);
    println!("Frames called speech, in percent, and utterances that reach the transcript, per minute:\n");
    print_header("detector", &groups);
    for candidate in ALL {
        let cells = groups.iter().map(|group| {
            let (mut voiced, mut frames, mut kept) = (0, 0, 0);
            for clip in clips.iter().filter(|clip| clip.group == *group) {
                let heard = hear(candidate, &clip.samples);
                voiced += heard.voiced.iter().filter(|voiced| **voiced).count();
                frames += heard.voiced.len();
                kept += heard.utterances.iter().filter(|utterance| utterance.kept).count();
            }
            format!("{:.0} · {:.1}", percent(voiced, frames), kept as f64 / (frames as f64 / 3_000.0))
        });
        println!("| {} | {} |", candidate.name(), cells.collect::<Vec<_>>().join(" | "));
    }
}

fn print_speech(clips: &[Clip]) {
    let groups = groups(clips);
    println!("\nFrames of speech that are missed, and that no utterance covers, in percent:\n");
    print_header("detector", &groups);
    let mut delays = Vec::new();
    for candidate in ALL {
        let mut onset_delays = Vec::new();
        let (mut pause_voiced, mut pauses) = (0, 0);
        let cells = groups.iter().map(|group| {
            let (mut missed, mut lost, mut spoken) = (0, 0, 0);
            for clip in clips.iter().filter(|clip| clip.group == *group) {
                let heard = hear(candidate, &clip.samples);
                let truth = clip.truth.as_deref().unwrap_or_default();
                for (at, (truth, voiced)) in truth.iter().zip(&heard.voiced).enumerate() {
                    match truth {
                        Truth::Speech => {
                            spoken += 1;
                            missed += usize::from(!voiced);
                            lost += usize::from(!heard.utterances.iter().any(|utterance| utterance.covers(at)));
                        }
                        Truth::Pause => {
                            pauses += 1;
                            pause_voiced += usize::from(*voiced);
                        }
                        Truth::Unclear => {}
                    }
                }
                onset_delays.extend(delays_of(truth, &heard.utterances));
            }
            format!("{:.1} · {:.1}", percent(missed, spoken), percent(lost, spoken))
        });
        println!("| {} | {} |", candidate.name(), cells.collect::<Vec<_>>().join(" | "));
        onset_delays.sort_unstable();
        delays.push((candidate, onset_delays, percent(pause_voiced, pauses)));
    }
    println!("\nFrom the first frame of speech after a pause to the utterance's begin, and pauses called speech:\n");
    println!("| detector | p50 ms | p95 ms | pauses % |\n| --- | ---: | ---: | ---: |");
    for (candidate, delays, pauses) in delays {
        let at = |share: usize| delays.get(delays.len() * share / 100).map_or(0, |frames| frames * 20);
        println!("| {} | {} | {} | {pauses:.1} |", candidate.name(), at(50), at(95));
    }
}

/// Frames from each onset of speech after a pause to the begin of the utterance that it is in. The frame itself counts.
fn delays_of(truth: &[Truth], utterances: &[Utterance]) -> Vec<usize> {
    let mut paused = true;
    let mut delays = Vec::new();
    for (at, truth) in truth.iter().enumerate() {
        match truth {
            Truth::Pause => paused = true,
            Truth::Speech if paused => {
                paused = false;
                let own = utterances.iter().find(|utterance| utterance.begun >= at && utterance.begun < at + 50);
                delays.extend(own.map(|utterance| utterance.begun - at + 1));
            }
            Truth::Speech | Truth::Unclear => {}
        }
    }
    delays
}

fn percent(part: usize, whole: usize) -> f64 {
    100.0 * part as f64 / whole.max(1) as f64
}
