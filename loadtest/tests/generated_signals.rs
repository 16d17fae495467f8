//! What is generated, heard by the detector that the server uses.

use dalston_audio::{FRAME_SAMPLES, Framer, Vad, VadKind, Verdict};
use dalston_loadtest::signal::{Colour, Phrase, Piece, Speech, at_level, hum, noise, play, quantised, speech};

/// Whether each 20 ms are voiced, and what is thought of the sound by then.
fn heard(wave: &[f32]) -> Vec<(bool, Verdict)> {
    let mut vad = Vad::new(VadKind::default());
    let mut decisions = Vec::new();
    Framer::new().push(&quantised(wave), |frame| decisions.push((vad.is_speech(frame), vad.verdict())));
    decisions
}

fn voiced(heard: &[(bool, Verdict)]) -> f64 {
    heard.iter().filter(|(voiced, _)| *voiced).count() as f64 / heard.len() as f64
}

/// Half a second after a phrase, when every detector has stopped ringing, until the next.
fn pauses(speech: &Speech) -> impl Iterator<Item = (usize, usize)> {
    let ends = speech.phrases.iter().map(|phrase| phrase.end + 8_000);
    let starts = speech.phrases.iter().skip(1).map(|phrase| phrase.start);
    ends.zip(starts.chain([speech.wave.len()]))
}

#[test]
fn generated_speech_is_taken_for_speech_and_its_pauses_are_not() {
    let made = speech(30.0, 1);
    let heard = heard(&made.wave);
    for Phrase { start, end } in &made.phrases {
        let share = voiced(&heard[start / FRAME_SAMPLES..end / FRAME_SAMPLES]);
        assert!(share > 0.8, "only {share:.2} of the phrase at sample {start} is voiced");
        // What it is found to be when the endpointing time has passed.
        let (_, verdict) = heard[end / FRAME_SAMPLES + 25];
        assert_eq!(verdict, Verdict::Speech, "the phrase at sample {start}");
    }
    for (start, end) in pauses(&made) {
        let share = voiced(&heard[start.div_ceil(FRAME_SAMPLES)..end / FRAME_SAMPLES]);
        assert_eq!(share, 0.0, "the pause at sample {start} is voiced");
    }
}

#[test]
fn generated_speech_is_the_same_for_the_same_seed_and_not_clipped() {
    let (first, second, other) = (speech(20.0, 7), speech(20.0, 7), speech(20.0, 8));
    assert_eq!(quantised(&first.wave), quantised(&second.wave));
    assert_ne!(quantised(&first.wave), quantised(&other.wave));
    let loudest = first.wave.iter().fold(0f32, |loudest, sample| loudest.max(sample.abs()));
    assert!((0.2..1.0).contains(&loudest), "the loudest sample is {loudest}");
}

#[test]
fn generated_noise_and_music_are_never_found_to_be_speech() {
    const SAMPLES: usize = 10 * 16_000;
    let sounds = [
        ("white", noise(Colour::White, SAMPLES, 1)),
        ("pink", noise(Colour::Pink, SAMPLES, 1)),
        ("brown", noise(Colour::Brown, SAMPLES, 1)),
        ("hum", hum(SAMPLES)),
        ("organ", play(Piece::Organ, SAMPLES, 1)),
        ("guitar", play(Piece::Guitar, SAMPLES, 1)),
        ("drums", play(Piece::Drums, SAMPLES, 1)),
        ("band", play(Piece::Band, SAMPLES, 1)),
    ];
    for (name, wave) in sounds {
        let found = heard(&at_level(wave, -20.0)).iter().any(|(_, verdict)| *verdict == Verdict::Speech);
        assert!(!found, "{name} is found to be speech");
    }
}
