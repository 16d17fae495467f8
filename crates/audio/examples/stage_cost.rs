//! Time and memory from a client's bytes to 16 kHz, per format: `cargo run --release -p dalston-audio --example stage_cost`.

use std::hint::black_box;
use std::time::Instant;

use dalston_audio::{Encoding, Format, Intake, Level};

/// Sessions that are made to see the memory of one.
const SESSIONS: usize = 500;
/// Chunks of 20 ms that are timed, so many at once.
const CHUNKS: usize = 40_000;
const STRETCH: usize = 20;

fn main() -> anyhow::Result<()> {
    println!("| format | ns per 20 ms | bytes a session |\n| --- | ---: | ---: |");
    for (encoding, rate, channels) in [
        (Encoding::PcmS16le, 16_000, 1),
        (Encoding::PcmF32le, 16_000, 1),
        (Encoding::Mulaw, 8_000, 1),
        (Encoding::PcmS16le, 8_000, 1),
        (Encoding::PcmS16le, 22_050, 1),
        (Encoding::PcmS16le, 24_000, 1),
        (Encoding::PcmS16le, 44_100, 1),
        (Encoding::PcmS16le, 48_000, 1),
        (Encoding::PcmS16le, 48_000, 2),
    ] {
        let format = Format::new(encoding, rate, channels)?;
        let chunk: Vec<u8> = (0..format.bytes_per_second() / 50).map(|n| (n * 37 % 61) as u8).collect();
        let bytes = bytes(format, &chunk).map_or("?".to_owned(), |bytes| bytes.to_string());
        let name = format!("{encoding}, {rate} Hz, {channels} channel(s)");
        println!("| {name} | {:.0} | {bytes} |", nanoseconds(format, &chunk));
    }
    let frame: Vec<i16> = (0..320).map(|n| (n * 37 % 61) as i16).collect();
    let begin = Instant::now();
    for _ in 0..CHUNKS {
        black_box(Level::of(black_box(&frame)));
    }
    println!("\nThe level of 20 ms: {:.0} ns", begin.elapsed().as_nanos() as f64 / CHUNKS as f64);
    Ok(())
}

/// The median over short stretches: others may be busy on the machine.
fn nanoseconds(format: Format, chunk: &[u8]) -> f64 {
    let mut intake = Intake::new(format);
    let mut stretches: Vec<u128> = (0..CHUNKS / STRETCH)
        .map(|_| {
            let begin = Instant::now();
            for _ in 0..STRETCH {
                intake.push(chunk, |_, samples| {
                    black_box(samples);
                });
            }
            begin.elapsed().as_nanos()
        })
        .collect();
    stretches.sort_unstable();
    stretches[stretches.len() / 2] as f64 / STRETCH as f64
}

/// Resident bytes of one session that has had 200 ms of audio, where the system tells.
fn bytes(format: Format, chunk: &[u8]) -> Option<usize> {
    let before = resident()?;
    let mut intakes: Vec<Intake> = (0..SESSIONS).map(|_| Intake::new(format)).collect();
    for intake in &mut intakes {
        for _ in 0..10 {
            intake.push(chunk, |_, samples| {
                black_box(samples);
            });
        }
    }
    let after = resident()?;
    // Kept, so that the next format cannot have this memory.
    std::mem::forget(intakes);
    Some(after.saturating_sub(before) / SESSIONS)
}

fn resident() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.split_whitespace().next()?.parse::<usize>().ok()? * 1024)
}
