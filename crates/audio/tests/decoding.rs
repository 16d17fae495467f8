//! Any bytes, cut anywhere, become the same samples.

use dalston_audio::{
    AudioError, AudioTime, Channels, Decoder, Encoding, Format, Intake, alaw_to_linear, mulaw_to_linear,
};
use proptest::prelude::*;

fn format(encoding: Encoding, rate: u32, channels: u32) -> Format {
    Format::new(encoding, rate, channels).expect("a good format")
}

/// Samples per channel, and the bytes left over.
fn decode(format: Format, bytes: &[u8]) -> (Vec<Vec<i16>>, usize) {
    let mut decoder = Decoder::new(format);
    let mut output = vec![Vec::new(); format.channels().count()];
    decoder.decode(bytes, |channel, samples| output[channel].extend_from_slice(samples));
    (output, decoder.leftover_bytes())
}

fn floats(samples: &[f32]) -> Vec<i16> {
    let bytes: Vec<u8> = samples.iter().flat_map(|sample| sample.to_le_bytes()).collect();
    decode(format(Encoding::PcmF32le, 16_000, 1), &bytes).0.remove(0)
}

#[test]
fn every_encoding_is_known_by_its_name() {
    for encoding in [Encoding::PcmS16le, Encoding::PcmF32le, Encoding::Mulaw, Encoding::Alaw] {
        assert_eq!(encoding.to_string().parse(), Ok(encoding));
    }
    assert_eq!("PCM".parse::<Encoding>(), Err(AudioError::UnknownEncoding("PCM".to_owned())));
}

#[test]
fn a_refusal_names_the_field_the_value_and_what_would_be_right() {
    let message = |error: AudioError| error.to_string();
    assert_eq!(
        message("mp3".parse::<Encoding>().expect_err("unknown")),
        r#"encoding is "mp3"; it must be one of pcm_s16le, pcm_f32le, mulaw, alaw"#
    );
    assert_eq!(
        message(Format::new(Encoding::PcmS16le, 7_999, 1).expect_err("too slow")),
        "sample_rate is 7999; it must be from 8000 to 48000"
    );
    assert_eq!(
        message(Format::new(Encoding::PcmS16le, 48_000, 3).expect_err("too many")),
        "channels is 3; it must be 1 or 2 (interleaved)"
    );
}

#[test]
fn the_default_is_16_khz_mono_16_bit() {
    assert_eq!(Format::default(), format(Encoding::PcmS16le, 16_000, 1));
    assert_eq!(Format::default().bytes_per_second(), 32_000);
    assert_eq!(Format::default().channels(), Channels::Mono);
}

#[test]
fn floats_round_and_clamp() {
    assert_eq!(
        floats(&[0.0, 0.5, -0.5, 1.0, -1.0, 3.0e9, -7.0]),
        [0, 16_384, -16_384, 32_767, -32_768, 32_767, -32_768]
    );
}

#[test]
fn what_is_not_a_finite_number_is_silence() {
    assert_eq!(floats(&[f32::NAN, f32::INFINITY, f32::NEG_INFINITY, -f32::NAN]), [0; 4]);
}

#[test]
fn stereo_is_left_before_right() {
    let bytes: Vec<u8> = [1i16, -1, 2, -2, 3, -3].iter().flat_map(|sample| sample.to_le_bytes()).collect();
    let (channels, leftover) = decode(format(Encoding::PcmS16le, 16_000, 2), &bytes);
    assert_eq!(channels, [vec![1, 2, 3], vec![-1, -2, -3]]);
    assert_eq!(leftover, 0);
}

#[test]
fn an_unfinished_frame_is_reported_and_gives_no_sample() {
    let (channels, leftover) = decode(format(Encoding::PcmF32le, 16_000, 2), &[0; 8 * 3 + 7]);
    assert_eq!(channels, [vec![0; 3], vec![0; 3]]);
    assert_eq!(leftover, 7);
}

/// G.711 table 2: an interval's value is its decision value's mirror, in 14-bit units: (2·step + 33)·2^segment − 33.
#[test]
fn mulaw_follows_the_formula_of_g711() {
    for byte in 0..=255u8 {
        let code = u32::from(!byte);
        let (segment, step) = (code >> 4 & 7, f64::from(code & 15));
        let magnitude = (2.0 * step + 33.0) * f64::from(1 << segment) - 33.0;
        let sign = if code & 128 == 0 { 1.0 } else { -1.0 };
        assert_eq!(f64::from(mulaw_to_linear(byte)), sign * magnitude * 4.0, "byte {byte:#04x}");
    }
    assert_eq!([mulaw_to_linear(0x00), mulaw_to_linear(0x80), mulaw_to_linear(0xff)], [-32_124, 32_124, 0]);
}

/// G.711 table 1, in 13-bit units: the middle of a step, 2·step + 1, in the lowest two segments; above, (2·step + 33)·2^(segment − 1).
#[test]
fn alaw_follows_the_formula_of_g711() {
    for byte in 0..=255u8 {
        let code = u32::from(byte ^ 0x55);
        let (segment, step) = (code >> 4 & 7, f64::from(code & 15));
        let magnitude = match segment {
            0 => 2.0 * step + 1.0,
            _ => (2.0 * step + 33.0) * f64::from(1 << (segment - 1)),
        };
        let sign = if code & 128 == 0 { -1.0 } else { 1.0 };
        assert_eq!(f64::from(alaw_to_linear(byte)), sign * magnitude * 8.0, "byte {byte:#04x}");
    }
    assert_eq!([alaw_to_linear(0x2a), alaw_to_linear(0xaa), alaw_to_linear(0xd5)], [-32_256, 32_256, 8]);
}

#[test]
fn the_clock_counts_what_was_received_before_the_filter_gives_it_out() {
    let mut intake = Intake::new(format(Encoding::Mulaw, 8_000, 1));
    let mut given = 0;
    intake.push(&[0xff; 8_000], |_, samples| given += samples.len() as u64);
    assert_eq!(intake.received(), AudioTime::from_millis(1_000));
    assert!(given < 16_000);
    intake.finish(|_, samples| given += samples.len() as u64);
    assert_eq!(given, 16_000);
}

fn any_format() -> impl Strategy<Value = Format> {
    let encoding = prop::sample::select(vec![Encoding::PcmS16le, Encoding::PcmF32le, Encoding::Mulaw, Encoding::Alaw]);
    let rate = prop_oneof![Just(16_000u32), Just(8_000), Just(44_100), Just(48_000), 8_000u32..=48_000];
    (encoding, rate, 1u32..=2).prop_map(|(encoding, rate, channels)| format(encoding, rate, channels))
}

/// Samples per channel and bytes cut off, from these bytes in pieces of these lengths, over and over.
fn take_in(format: Format, mut bytes: &[u8], pieces: &[usize]) -> (Vec<Vec<i16>>, usize) {
    let mut intake = Intake::new(format);
    let mut output = vec![Vec::new(); format.channels().count()];
    let mut lengths = pieces.iter().cycle();
    while !bytes.is_empty() {
        let length = lengths.next().map_or(bytes.len(), |&length| length.clamp(1, bytes.len()));
        let (piece, rest) = bytes.split_at(length);
        intake.push(piece, |channel, samples| {
            assert!((1..=512).contains(&samples.len()), "bounded, and never empty");
            output[channel].extend_from_slice(samples);
        });
        bytes = rest;
    }
    let leftover = intake.finish(|channel, samples| output[channel].extend_from_slice(samples));
    (output, leftover)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn any_bytes_cut_anywhere_become_the_same_samples(
        format in any_format(),
        bytes in prop::collection::vec(any::<u8>(), 0..20_000),
        pieces in prop::collection::vec(1usize..4_000, 1..8),
    ) {
        let whole = take_in(format, &bytes, &[bytes.len()]);
        prop_assert_eq!(&take_in(format, &bytes, &pieces), &whole);
        let (channels, leftover) = whole;
        let frames = bytes.len() / format.bytes_per_frame();
        let exact = (frames as f64 * 16_000.0 / f64::from(format.sample_rate())).round() as usize;
        prop_assert!(channels.iter().all(|samples| samples.len() == exact));
        prop_assert_eq!(leftover, bytes.len() % format.bytes_per_frame());
    }

    #[test]
    fn a_byte_at_a_time_is_enough(format in any_format(), bytes in prop::collection::vec(any::<u8>(), 0..600)) {
        prop_assert_eq!(take_in(format, &bytes, &[1]), take_in(format, &bytes, &[bytes.len()]));
    }
}
