//! Audio for tests.

/// The project's demo recording.
pub const DEMO: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../demo/demo.wav");
/// What is said in it.
pub const DEMO_TEXT: &str = include_str!("../../demo/demo.txt");

/// The samples of the demo recording: four sentences with pauses, 16 kHz, 16-bit, mono.
pub fn demo() -> Vec<u8> {
    let reader = hound::WavReader::open(DEMO).expect("the demo recording is part of the project");
    reader.into_samples::<i16>().flat_map(|sample| sample.expect("it is whole").to_le_bytes()).collect()
}

/// So many milliseconds of 16 kHz silence.
pub fn silence(millis: usize) -> Vec<u8> {
    vec![0; millis * 32]
}
