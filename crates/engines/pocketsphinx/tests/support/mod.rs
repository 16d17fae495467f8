//! The real library, recordings and synthetic speech. What these need: `make test` installs it, or see [`NEEDS`].

#![allow(dead_code, reason = "each test program uses a part of it")]

use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, MutexGuard};

use dalston_engine_pocketsphinx::{PocketSphinx, PocketSphinxStream, Settings};
use dalston_engine_sdk::{EngineError, Hypothesis, NativeModel, NativeStream, Profile, StreamOptions};

pub const NEEDS: &str = "apt-get install libpocketsphinx3 pocketsphinx-en-us pocketsphinx-testdata flite";

/// The library's log is global: one decoder of a process at a time.
static LIBRARY: Mutex<()> = Mutex::new(());

pub fn library() -> MutexGuard<'static, ()> {
    LIBRARY.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}

pub fn open(options: &StreamOptions) -> PocketSphinxStream {
    try_open(options).expect("a stream")
}

pub fn try_open(options: &StreamOptions) -> Result<PocketSphinxStream, EngineError> {
    let mut model = PocketSphinx::load(&Settings::default()).expect(NEEDS);
    model.prepare(options).expect(NEEDS);
    model.into_stream(options)
}

pub fn profile(profile: Profile) -> StreamOptions {
    StreamOptions { language: "en".into(), profile, ..StreamOptions::default() }
}

pub fn samples(bytes: &[u8]) -> Vec<i16> {
    let (pairs, _) = bytes.as_chunks::<2>();
    pairs.iter().map(|pair| i16::from_le_bytes(*pair)).collect()
}

/// A file of `pocketsphinx-testdata`; a WAV's header is 44 bytes.
pub fn recording(name: &str) -> Vec<i16> {
    let path = Path::new("/usr/share/pocketsphinx/test/data").join(name);
    let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}; {NEEDS}", path.display()));
    samples(&bytes[if name.ends_with(".wav") { 44 } else { 0 }..])
}

/// `flite` in its 16 kHz voice, with a little silence around.
pub fn spoken(text: &str) -> Vec<i16> {
    let file = std::env::temp_dir().join(format!("dalston-spoken-{}.wav", std::process::id()));
    let status = Command::new("flite").args(["-voice", "slt", "-t", text, "-o"]).arg(&file).status().expect(NEEDS);
    assert!(status.success(), "{NEEDS}");
    let bytes = std::fs::read(&file).expect("what flite wrote");
    std::fs::remove_file(&file).expect("a file of ours");
    let silence = [0i16; 4800];
    [&silence[..], &samples(&bytes[44..]), &silence[..]].concat()
}

pub fn hear(stream: &mut PocketSphinxStream, audio: &[i16], chunk: usize) -> Hypothesis {
    for part in audio.chunks(chunk) {
        stream.accept(part).expect("accepted");
    }
    stream.finish().expect("finished")
}
