//! What the detectors promise. How well they do in numbers is in docs/vad.md; here is what must never break.

use std::f32::consts::TAU;

use dalston_audio::{AudioError, FRAME_SAMPLES, Frame, Vad, VadKind, Verdict};
use proptest::prelude::*;

const KINDS: [VadKind; 3] = [VadKind::WebRtc, VadKind::Earshot, VadKind::Confirmed];

/// The recording of the demo: four sentences with pauses, spoken by flite.
fn demo() -> Vec<i16> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../demo/demo.wav");
    let mut reader = hound::WavReader::open(path).expect("the demo's recording is in the repository");
    assert_eq!((reader.spec().sample_rate, reader.spec().channels), (16_000, 1));
    reader.samples::<i16>().collect::<Result<_, _>>().expect("16-bit samples")
}

/// Noise of this amplitude, the same in every run.
fn noise(frames: usize, amplitude: f32) -> Vec<i16> {
    let mut state = 1u32;
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        state as i32 as f32 / i32::MAX as f32
    };
    (0..frames * FRAME_SAMPLES).map(|_| (next() * amplitude) as i16).collect()
}

/// Chords that change every second and a half, each note with its overtones and a decay.
fn chords(frames: usize) -> Vec<i16> {
    const CHORDS: [[f32; 3]; 4] =
        [[220.0, 277.2, 329.6], [196.0, 246.9, 293.7], [174.6, 220.0, 261.6], [164.8, 207.7, 246.9]];
    let sample = |n: usize| {
        let (t, chord) = (n as f32 / 16_000.0, CHORDS[n / 24_000 % CHORDS.len()]);
        let decay = (-2.0 * (n % 24_000) as f32 / 24_000.0).exp();
        let note = |hertz: f32| (1..6).map(|k| (TAU * hertz * k as f32 * t).sin() / k as f32).sum::<f32>();
        (decay * 3_000.0 * chord.into_iter().map(note).sum::<f32>()) as i16
    };
    (0..frames * FRAME_SAMPLES).map(sample).collect()
}

fn hear(vad: &mut Vad, samples: &[i16]) -> Vec<(bool, Verdict)> {
    samples.as_chunks::<FRAME_SAMPLES>().0.iter().map(|frame| (vad.is_speech(frame), vad.verdict())).collect()
}

#[test]
fn the_default_confirms() {
    assert_eq!(VadKind::default(), VadKind::Confirmed);
}

#[test]
fn every_kind_is_known_by_its_name() {
    for kind in KINDS {
        assert_eq!(kind.to_string().parse(), Ok(kind));
    }
    let refusal = "silero".parse::<VadKind>().expect_err("unknown");
    assert_eq!(refusal, AudioError::UnknownVad("silero".to_owned()));
    assert_eq!(refusal.to_string(), r#"vad is "silero"; it must be one of webrtc, earshot, confirmed"#);
}

#[test]
fn a_session_may_take_its_detector_to_another_thread() {
    let speech = demo();
    for kind in KINDS {
        let (here, mut vad) = (hear(&mut Vad::new(kind), &speech), Vad::new(kind));
        let (first, second) = speech.split_at(100 * FRAME_SAMPLES);
        let mut there = hear(&mut vad, first);
        let second = second.to_vec();
        there.extend(std::thread::spawn(move || hear(&mut vad, &second)).join().expect("no panic"));
        assert!(here == there, "{kind} decides otherwise on another thread");
    }
}

#[test]
fn a_reset_detector_is_a_new_one() {
    let speech = demo();
    for kind in KINDS {
        let mut vad = Vad::new(kind);
        hear(&mut vad, &noise(200, 20_000.0));
        vad.reset();
        assert!(hear(&mut vad, &speech) == hear(&mut Vad::new(kind), &speech), "{kind} remembers");
    }
}

#[test]
fn silence_is_not_speech() {
    for kind in KINDS {
        let heard = hear(&mut Vad::new(kind), &vec![0; 3_000 * FRAME_SAMPLES]);
        assert!(heard.iter().all(|(speech, _)| !speech), "{kind} hears speech in silence");
    }
}

#[test]
fn the_demo_is_found_to_be_speech_sentence_by_sentence() {
    let heard = hear(&mut Vad::new(VadKind::Confirmed), &demo());
    let found = heard.windows(2).filter(|pair| pair[0].1 != Verdict::Speech && pair[1].1 == Verdict::Speech).count();
    assert_eq!(found, 4, "one verdict a sentence");
    assert!(heard.iter().all(|&(_, verdict)| verdict != Verdict::NotSpeech));
}

#[test]
fn confirmation_changes_no_decision_on_a_voice() {
    let speech = demo();
    let decisions = |kind| hear(&mut Vad::new(kind), &speech).into_iter().map(|(speech, _)| speech).collect::<Vec<_>>();
    assert!(decisions(VadKind::Confirmed) == decisions(VadKind::WebRtc));
}

/// A minute of it never gets a verdict of speech, and is shut out within five seconds.
#[track_caller]
fn check_shut_out(samples: &[i16]) {
    let heard = hear(&mut Vad::new(VadKind::Confirmed), samples);
    assert!(heard.iter().all(|&(_, verdict)| verdict != Verdict::Speech));
    assert!(heard[..50].iter().any(|&(speech, _)| speech), "it is loud enough to be taken for speech at first");
    assert!(heard[250..].iter().all(|&(speech, _)| !speech));
}

#[test]
fn loud_noise_is_shut_out() {
    check_shut_out(&noise(3_000, 8_000.0));
}

#[test]
fn music_is_shut_out() {
    check_shut_out(&chords(3_000));
}

#[test]
fn speech_after_noise_is_heard_again() {
    let mut vad = Vad::new(VadKind::Confirmed);
    hear(&mut vad, &noise(500, 8_000.0));
    hear(&mut vad, &[0; 50 * FRAME_SAMPLES]);
    assert_eq!(vad.verdict(), Verdict::NotSpeech, "the verdict on the last sound stands until the next");
    let heard = hear(&mut vad, &demo());
    let found = heard.windows(2).filter(|pair| pair[0].1 != Verdict::Speech && pair[1].1 == Verdict::Speech).count();
    assert_eq!(found, 4, "one verdict a sentence");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    #[test]
    fn any_samples_can_be_heard(seed in any::<u64>(), amplitude in 1i32..=32_768) {
        let mut state = seed;
        let mut frame: Frame = [0; FRAME_SAMPLES];
        for kind in KINDS {
            let mut vad = Vad::new(kind);
            for _ in 0..60 {
                for sample in &mut frame {
                    state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                    *sample = ((state >> 48) as i16 as i32 * amplitude / 32_768) as i16;
                }
                vad.is_speech(&frame);
            }
        }
    }
}
