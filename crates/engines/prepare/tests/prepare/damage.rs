//! Files with bytes changed, cut out, doubled and cut off, the same ones each time: read or refused, never a failure.

use std::path::Path;

use dalston_engine_prepare::Limits;
use dalston_engine_sdk::batch::{TaskError, Watched};
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use crate::support::{encoded, engine, file, run, speech};

/// By extension.
pub const FORMATS: &[&str] = &["wav", "flac", "mp3", "ogg", "opus", "webm", "m4a", "aac", "caf", "aiff"];

/// Damaged copies of each.
const COPIES: u64 = 40;

pub fn is_read_or_refused(extension: &str) {
    let options: &[&str] = match extension {
        // A page of Ogg is dropped when one bit of it is wrong, so there must be a few.
        "ogg" => &["-c:a", "libvorbis"],
        "opus" => &["-page_duration", "200000"],
        "webm" => &["-t", "1", "-c:a", "libopus"],
        _ => &["-t", "1"],
    };
    let whole = std::fs::read(encoded(&speech(16_000, 2), extension, options)).expect("read");
    let limits = Limits { memory: 256 << 20, ..Limits::default() };
    let engine = engine("prepare", limits);
    let mut read = 0;
    for seed in 0..COPIES {
        let damaged = damage(&whole, seed);
        let path = file(&format!("damaged.{extension}"), &damaged);
        match run(&engine, &path, seed % 2 == 0, &Watched::default()) {
            Ok(out) => {
                read += 1;
                assert!(out.seconds() < 3_600.0, "seed {seed}: {} s", out.seconds());
                assert!(out.channels.iter().all(|channel| channel.len() == out.mix.len()), "seed {seed}");
            }
            Err(TaskError::Rejected { message, .. }) => {
                // Neither panic nor abort: those would be bugs of a decoder that somebody should know of.
                assert!(
                    !message.contains("decoder failed") && !message.contains("signal"),
                    "{}: {message}",
                    kept(&path, seed)
                );
            }
            Err(other) => panic!("{}: {other:?}", kept(&path, seed)),
        }
    }
    assert!(read > 0, "damage is not always the end of a file");
}

/// Keeps the file that showed something.
fn kept(path: &Path, seed: u64) -> String {
    let kept = path.with_extension(format!("{seed}.kept"));
    let _copied = std::fs::copy(path, &kept);
    kept.display().to_string()
}

fn damage(whole: &[u8], seed: u64) -> Vec<u8> {
    let mut random = StdRng::seed_from_u64(seed);
    let mut bytes = whole.to_vec();
    // Headers are a small part of a file and most of its meaning: every other copy has all its damage there.
    let reach = if random.random() { 256 } else { usize::MAX };
    for _ in 0..random.random_range(1..=8) {
        let at = random.random_range(0..bytes.len().min(reach));
        match random.random_range(0..6) {
            0 => bytes[at] ^= 1 << random.random_range(0..8),
            1 => bytes[at] = random.random(),
            2 => bytes[at] = if random.random() { 0xff } else { 0x00 },
            3 => bytes.truncate(at.max(1)),
            4 => {
                let end = (at + random.random_range(1..64)).min(bytes.len());
                bytes.drain(at..end);
            }
            _ => {
                let end = (at + random.random_range(1..64)).min(bytes.len());
                let piece = bytes[at..end].to_vec();
                bytes.splice(at..at, piece);
            }
        }
        if bytes.is_empty() {
            bytes.push(0);
        }
    }
    bytes
}
