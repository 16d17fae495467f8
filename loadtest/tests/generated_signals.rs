//! What is generated, heard by the detector that the server uses.

use dalston_audio::{FRAME_SAMPLES, Framer, Vad, VadKind};
use dalston_loadtest::signal::{Phrase, Speech, quantised, speech};

/// Voiced or not, one for every 20 ms.
fn voiced(wave: &[f32], kind: VadKind) -> Vec<bool> {
    let mut vad = Vad::new(kind);
    let mut decisions = Vec::new();
    Framer::new().push(&quantised(wave), |frame| decisions.push(vad.is_speech(frame)));
    decisions
}

fn share(of: &[bool]) -> f64 {
    of.iter().filter(|voiced| **voiced).count() as f64 / of.len() as f64
}

/// Half a second after a phrase, when every detector has stopped ringing, until the next.
fn pauses(speech: &Speech) -> Vec<(usize, usize)> {
    let ends = speech.phrases.iter().map(|phrase| phrase.end + 8_000);
    let starts = speech.phrases.iter().skip(1).map(|phrase| phrase.start);
    ends.zip(starts.chain([speech.wave.len()])).collect()
}

#[test]
fn generated_speech_is_speech_to_the_detector_and_its_pauses_are_not() {
    let made = speech(20.0, 1);
    for kind in [VadKind::WebRtc, VadKind::Confirmed] {
        let voiced = voiced(&made.wave, kind);
        for Phrase { start, end } in &made.phrases {
            let heard = share(&voiced[start / FRAME_SAMPLES..end / FRAME_SAMPLES]);
            assert!(heard > 0.8, "{kind} hears only {heard:.2} of the phrase at sample {start}");
        }
        for (start, end) in pauses(&made) {
            let heard = share(&voiced[start.div_ceil(FRAME_SAMPLES)..end / FRAME_SAMPLES]);
            assert!(heard == 0.0, "{kind} hears {heard:.2} of the pause at sample {start}");
        }
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
