//! Frames, levels and the clock.

use dalston_audio::{AudioTime, FRAME_SAMPLES, Framer, Level, quietest};
use proptest::prelude::*;

fn sine(amplitude: f64) -> Vec<i16> {
    (0..1_600).map(|n| (amplitude * (n as f64 * 0.1 * std::f64::consts::PI).sin()).round() as i16).collect()
}

#[test]
fn a_sine_at_full_scale_is_3_db_below_it() {
    assert!((Level::of(&sine(32_767.0)).dbfs() + 3.01).abs() < 0.01);
    assert!((Level::of(&sine(3_276.7)).dbfs() + 23.01).abs() < 0.01);
}

#[test]
fn nothing_and_silence_have_the_lowest_level() {
    assert_eq!(Level::of(&[]), Level::SILENCE);
    assert_eq!(Level::of(&[0; 320]), Level::SILENCE);
    assert!(Level::of(&[0, 1, 0, -1]) > Level::SILENCE);
}

#[test]
fn an_offset_is_not_loud() {
    assert_eq!(Level::of(&[5_000; 320]), Level::SILENCE);
    let shifted: Vec<i16> = sine(1_000.0).iter().map(|sample| sample + 5_000).collect();
    assert!((Level::of(&shifted).dbfs() - Level::of(&sine(1_000.0)).dbfs()).abs() < 0.01);
}

#[test]
fn a_cut_falls_into_a_pause_and_not_into_a_closure() {
    let (loud, quiet) = (Level::of(&sine(10_000.0)), Level::of(&sine(50.0)));
    let mut levels = [loud; 50];
    levels[10] = Level::SILENCE;
    levels[30..37].fill(quiet);
    assert_eq!(quietest(&levels, 5), Some(34));
    assert_eq!(quietest(&levels, 1), Some(10));
}

#[test]
fn of_equal_places_the_last_is_taken() {
    assert_eq!(quietest(&[Level::SILENCE; 20], 5), Some(17));
    assert_eq!(quietest(&[Level::SILENCE; 3], 5), Some(1));
    assert_eq!(quietest(&[], 5), None);
}

#[test]
fn the_clock_counts_in_samples() {
    let time = AudioTime::from_millis(1_234) + AudioTime::from_samples(8);
    assert_eq!(time.samples(), 19_752);
    assert_eq!(time.seconds(), 1.2345);
    assert_eq!(time.duration().as_micros(), 1_234_500);
    assert_eq!(AudioTime::ZERO.saturating_sub(time), AudioTime::ZERO);
    assert_eq!(time - time, AudioTime::ZERO);
}

proptest! {
    #[test]
    fn frames_do_not_depend_on_how_samples_arrived(
        samples in prop::collection::vec(any::<i16>(), 0..3_000),
        pieces in prop::collection::vec(1usize..900, 1..6),
    ) {
        let mut framer = Framer::new();
        let mut heard = Vec::new();
        let (mut rest, mut lengths) = (samples.as_slice(), pieces.iter().cycle());
        while !rest.is_empty() {
            let length = lengths.next().map_or(1, |&length| length.min(rest.len()));
            framer.push(&rest[..length], |frame| heard.extend_from_slice(frame));
            rest = &rest[length..];
        }
        prop_assert_eq!(heard.len() % FRAME_SAMPLES, 0);
        prop_assert!(framer.pending().len() < FRAME_SAMPLES);
        heard.extend_from_slice(framer.pending());
        prop_assert_eq!(heard, samples);
    }
}
