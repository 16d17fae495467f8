//! A hosted engine is a streaming engine like any other.

use std::path::Path;

use dalston_engine_host::{HostedEngine, Limits};
use dalston_engine_pocketsphinx::Settings;
use dalston_engine_sdk::conformance::{Claim, Subject};

use crate::support::{audio, config, limits, options, tally};

/// What the real engine needs.
pub const NEEDS: &str = "apt-get install libpocketsphinx3 pocketsphinx-en-us pocketsphinx-testdata";

pub async fn tally_holds(claim: Claim) {
    let engine = tally(limits(), &[]).await;
    claim(&Subject { engine: &engine, options: options(), utterances: [audio(1, 3), audio(2, 8)] }).await;
    engine.shutdown().await;
}

pub async fn pocketsphinx_holds(claim: Claim) {
    let engine = pocketsphinx(limits()).await;
    let utterances = [recording("goforward.raw"), recording("cards/001.wav")];
    claim(&Subject { engine: &engine, options: options(), utterances }).await;
    engine.shutdown().await;
}

pub async fn pocketsphinx(limits: Limits) -> HostedEngine {
    let capabilities = Settings::default().probe().expect(NEEDS).capabilities();
    let engine = HostedEngine::start(config("pocketsphinx", limits), capabilities);
    engine.ready().await.expect(NEEDS);
    engine
}

/// A file of `pocketsphinx-testdata`; a WAV's header is 44 bytes.
pub fn recording(name: &str) -> Vec<i16> {
    let path = Path::new("/usr/share/pocketsphinx/test/data").join(name);
    let bytes = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}; {NEEDS}", path.display()));
    let (pairs, _) = bytes[if name.ends_with(".wav") { 44 } else { 0 }..].as_chunks::<2>();
    pairs.iter().map(|pair| i16::from_le_bytes(*pair)).collect()
}
