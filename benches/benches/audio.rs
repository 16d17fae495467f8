//! The stages between a client's bytes and the endpointer, each by itself, per 20 ms of one channel unless the name says more.
//!
//! The audio is the demo's recording: a detector of speech costs more where there is some.
#![allow(missing_docs, reason = "criterion's macros make public items")]

mod thread_time;

use std::hint::black_box;
use std::iter::Cycle;
use std::slice::ChunksExact;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use dalston_audio::{Decoder, Encoding, FRAME_SAMPLES, Format, Frame, Intake, Resampler, SAMPLE_RATE, Vad, VadKind};
use thread_time::{ThreadTime, short};

/// The recording as it is, 16 kHz.
fn recording() -> Vec<i16> {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../demo/demo.wav");
    let wav = hound::WavReader::open(path).expect("the recording is part of the project");
    assert_eq!(wav.spec().sample_rate, SAMPLE_RATE);
    wav.into_samples().collect::<Result<_, _>>().expect("it is whole")
}

/// The recording again and again, in pieces of `size`.
fn pieces<T>(of: &[T], size: usize) -> Cycle<ChunksExact<'_, T>> {
    of.chunks_exact(size).cycle()
}

fn vad(criterion: &mut Criterion<ThreadTime>) {
    let recording = recording();
    let mut group = criterion.benchmark_group("vad");
    for kind in [VadKind::WebRtc, VadKind::Earshot, VadKind::Confirmed] {
        let mut vad = Vad::new(kind);
        let mut frames = pieces(&recording, FRAME_SAMPLES);
        group.bench_function(kind.name(), |bencher| {
            bencher.iter(|| {
                let frame: &Frame = frames.next().and_then(|f| f.try_into().ok()).expect("a piece is a frame long");
                vad.is_speech(black_box(frame))
            });
        });
    }
    group.finish();
}

fn resampling(criterion: &mut Criterion<ThreadTime>) {
    // What the samples say does not matter to a filter, so they need not be at their own rate.
    let recording = recording();
    let mut group = criterion.benchmark_group("resampling");
    for rate in [8_000, 11_025, 16_000, 22_050, 24_000, 32_000, 44_100, 48_000] {
        let mut resampler = Resampler::new(rate);
        let mut input = pieces(&recording, rate as usize / 50);
        group.bench_function(BenchmarkId::from_parameter(rate), |bencher| {
            bencher.iter(|| {
                let piece = input.next().expect("it has no end");
                resampler.process(black_box(piece), |samples| _ = black_box(samples));
            });
        });
    }
    group.finish();
}

fn decoding(criterion: &mut Criterion<ThreadTime>) {
    let bytes: Vec<u8> = recording().iter().flat_map(|sample| sample.to_le_bytes()).collect();
    let mut group = criterion.benchmark_group("decoding");
    for encoding in [Encoding::PcmS16le, Encoding::PcmF32le, Encoding::Mulaw, Encoding::Alaw] {
        let format = Format::new(encoding, SAMPLE_RATE, 1).expect("it is a format");
        let mut decoder = Decoder::new(format);
        let mut input = pieces(&bytes, format.bytes_per_second() / 50);
        group.bench_function(encoding.name(), |bencher| {
            bencher.iter(|| {
                let piece = input.next().expect("it has no end");
                decoder.decode(black_box(piece), |_, samples| _ = black_box(samples));
            });
        });
    }
    group.finish();
}

fn intake(criterion: &mut Criterion<ThreadTime>) {
    let bytes: Vec<u8> = recording().iter().flat_map(|sample| sample.to_le_bytes()).collect();
    let mut group = criterion.benchmark_group("intake");
    for (encoding, rate, channels) in [
        (Encoding::PcmS16le, 16_000, 1),
        (Encoding::Mulaw, 8_000, 1),
        (Encoding::PcmS16le, 44_100, 1),
        (Encoding::PcmF32le, 48_000, 2),
    ] {
        let format = Format::new(encoding, rate, channels).expect("it is a format");
        let mut intake = Intake::new(format);
        let mut input = pieces(&bytes, format.bytes_per_second() / 50);
        let name = format!("{} {rate} Hz, {channels} channel(s)", encoding.name());
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let piece = input.next().expect("it has no end");
                intake.push(black_box(piece), |_, samples| _ = black_box(samples));
            });
        });
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = short();
    targets = vad, resampling, decoding, intake
}
criterion_main!(benches);
