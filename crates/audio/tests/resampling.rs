//! What the resampler promises, measured with sines: where samples stand in time, what passes, what does not come back as an
//! alias, and that nothing depends on how the input was cut.

use std::f64::consts::TAU;

use dalston_audio::{Resampler, SAMPLE_RATE};
use proptest::prelude::*;

const OUT: f64 = SAMPLE_RATE as f64;

/// Rates that clients use, and one that has no simple proportion to 16 kHz.
const RATES: [u32; 10] = [8_000, 11_025, 12_000, 16_000, 22_050, 24_000, 32_000, 44_099, 44_100, 48_000];

fn tone(hertz: f64, rate: f64, samples: usize) -> Vec<f64> {
    (0..samples).map(|i| 16_000.0 * (TAU * hertz * i as f64 / rate).sin()).collect()
}

fn quantised(wave: &[f64]) -> Vec<i16> {
    wave.iter().map(|sample| sample.round() as i16).collect()
}

fn resample(rate: u32, input: &[i16]) -> Vec<i16> {
    resample_in_pieces(rate, input, &[input.len()])
}

/// Cuts the input into pieces of these lengths, over and over.
fn resample_in_pieces(rate: u32, mut input: &[i16], pieces: &[usize]) -> Vec<i16> {
    let mut resampler = Resampler::new(rate);
    let mut output = Vec::new();
    let mut lengths = pieces.iter().cycle();
    while !input.is_empty() {
        let length = lengths.next().map_or(input.len(), |&length| length.clamp(1, input.len()));
        let (piece, rest) = input.split_at(length);
        resampler.process(piece, |samples| output.extend_from_slice(samples));
        input = rest;
    }
    resampler.finish(|samples| output.extend_from_slice(samples));
    output
}

fn power(wave: impl Iterator<Item = f64>) -> f64 {
    let (sum, count) = wave.fold((0.0, 0.0), |(sum, count), sample| (sum + sample * sample, count + 1.0));
    sum / count
}

/// Away from the ends, where the filter hears the tone start and stop.
fn middle<T>(wave: &[T]) -> &[T] {
    &wave[400..wave.len() - 400]
}

/// A tone as it came out, by least squares.
struct Heard {
    /// dB over what went in.
    gain: f64,
    /// How much later it is than it should be, in seconds.
    late: f64,
    /// dB over everything in the output that is not this tone: images, noise, rounding.
    purity: f64,
}

fn hear(rate: u32, hertz: f64) -> Heard {
    let output = resample(rate, &quantised(&tone(hertz, f64::from(rate), rate as usize)));
    let wave = |i: usize| (TAU * hertz * i as f64 / OUT).sin_cos();
    let range = 400..output.len() - 400;
    let mut m = [[0.0; 2]; 2];
    let mut v = [0.0; 2];
    for i in range.clone() {
        let (sin, cos) = wave(i);
        let sample = f64::from(output[i]);
        m = [[m[0][0] + sin * sin, m[0][1] + sin * cos], [m[1][0] + sin * cos, m[1][1] + cos * cos]];
        v = [v[0] + sample * sin, v[1] + sample * cos];
    }
    let determinant = m[0][0] * m[1][1] - m[0][1] * m[1][0];
    let in_phase = (v[0] * m[1][1] - v[1] * m[0][1]) / determinant;
    let quadrature = (v[1] * m[0][0] - v[0] * m[1][0]) / determinant;
    let error = power(range.map(|i| {
        let (sin, cos) = wave(i);
        f64::from(output[i]) - in_phase * sin - quadrature * cos
    }));
    let amplitude = in_phase.hypot(quadrature);
    Heard {
        gain: 20.0 * (amplitude / 16_000.0).log10(),
        late: -quadrature.atan2(in_phase) / (TAU * hertz),
        purity: 10.0 * (amplitude * amplitude / 2.0 / error).log10(),
    }
}

/// dB of what comes out over what went in, for a tone that 16 kHz cannot hold.
fn alias(rate: u32, hertz: f64) -> f64 {
    let input = quantised(&tone(hertz, f64::from(rate), rate as usize / 2));
    let output = resample(rate, &input);
    let leaked = power(middle(&output).iter().map(|&sample| f64::from(sample)));
    10.0 * (leaked.max(1e-3) / power(input.iter().map(|&sample| f64::from(sample)))).log10()
}

#[test]
fn a_tone_comes_out_as_if_it_had_been_recorded_at_16_khz() {
    for rate in RATES {
        let nyquist = f64::from(rate).min(OUT) / 2.0;
        for share in [0.02, 0.1, 0.25, 0.5, 0.75, 0.85] {
            let hertz = share * nyquist;
            let Heard { gain, late, purity } = hear(rate, hertz);
            let said = format!(
                "{rate} Hz, tone at {hertz:.0} Hz: {gain:+.3} dB, {:.2} µs late, {purity:.1} dB pure",
                late * 1e6
            );
            println!("{said}");
            assert!(gain.abs() < 0.1, "{said}");
            assert!(late.abs() < 2e-6, "{said}");
            assert!(purity > 75.0, "{said}");
        }
    }
}

#[test]
fn what_16_khz_cannot_hold_does_not_come_back_as_an_alias() {
    for rate in RATES.into_iter().filter(|&rate| rate > SAMPLE_RATE) {
        let highest = f64::from(rate) / 2.0;
        for hertz in [8_400.0, 9_000.0, 10_000.0, 12_000.0, 15_900.0, 20_000.0] {
            if hertz < highest * 0.98 {
                let leaked = alias(rate, hertz);
                println!("{rate} Hz, tone at {hertz} Hz: {leaked:.1} dB");
                assert!(leaked < -72.0, "{rate} Hz, tone at {hertz} Hz: {leaked:.1} dB");
            }
        }
    }
}

#[test]
fn a_click_stays_where_it_was() {
    for rate in RATES {
        let mut input = vec![0; rate as usize];
        let at = rate as usize / 2;
        input[at - 1..=at + 1].fill(20_000);
        let output = resample(rate, &input);
        let loudest = (0..output.len()).max_by_key(|&i| output[i].unsigned_abs()).expect("there is output");
        assert!(loudest.abs_diff(8_000) <= 1, "{rate} Hz: half a second is at sample {loudest}");
    }
}

#[test]
fn at_16_khz_the_callers_own_slice_comes_out() {
    let input: Vec<i16> = (0..5_000).map(|i| i as i16).collect();
    let mut same = false;
    Resampler::new(SAMPLE_RATE).process(&input, |samples| same = std::ptr::eq(samples, input.as_slice()));
    assert!(same);
}

#[test]
fn a_finished_resampler_begins_another_stream() {
    let input = quantised(&tone(500.0, 44_100.0, 10_000));
    let mut resampler = Resampler::new(44_100);
    let mut run = || {
        let mut output = Vec::new();
        resampler.process(&input, |samples| output.extend_from_slice(samples));
        resampler.finish(|samples| output.extend_from_slice(samples));
        output
    };
    assert_eq!(run(), run());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn output_does_not_depend_on_how_the_input_was_cut(
        rate in 8_000u32..=48_000,
        input in prop::collection::vec(any::<i16>(), 0..4_000),
        pieces in prop::collection::vec(1usize..1_500, 1..8),
    ) {
        prop_assert_eq!(resample_in_pieces(rate, &input, &pieces), resample(rate, &input));
    }

    #[test]
    fn output_is_exactly_as_long_as_the_input(rate in 8_000u32..=48_000, length in 0usize..20_000) {
        let output = resample(rate, &vec![1_000; length]);
        let exact = (length as f64 * OUT / f64::from(rate)).round() as usize;
        prop_assert_eq!(output.len(), exact);
    }

    #[test]
    fn silence_stays_silence(rate in 8_000u32..=48_000, length in 0usize..20_000) {
        prop_assert!(resample(rate, &vec![0; length]).iter().all(|&sample| sample == 0));
    }
}
