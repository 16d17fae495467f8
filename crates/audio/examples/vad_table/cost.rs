//! What a detector costs: time per frame, bytes per session.

use std::hint::black_box;
use std::time::Instant;

use dalston_audio::{FRAME_SAMPLES, Frame};

use crate::candidate::{ALL, Candidate, Hear};
use crate::noise::Random;

/// Detectors that are made to see the memory of one.
const SESSIONS: usize = 500;
/// Frames that are timed at once: short against the turn that another process gets.
const STRETCH: usize = 25;

/// Resident bytes of one detector of each candidate. To be asked before anything else was allocated and freed, for what comes
/// from the free list is not seen; `None` where the system does not tell.
pub fn bytes() -> Vec<Option<usize>> {
    let mut random = Random::new(1);
    let frames: Vec<Frame> = (0..20).map(|_| std::array::from_fn(|_| (random.bipolar() * 9_000.0) as i16)).collect();
    ALL.into_iter().map(|candidate| bytes_of(candidate, &frames)).collect()
}

fn bytes_of(candidate: Candidate, frames: &[Frame]) -> Option<usize> {
    let before = resident()?;
    let mut sessions: Vec<Hear> = (0..SESSIONS).map(|_| candidate.build()).collect();
    for hear in &mut sessions {
        for frame in frames {
            black_box(hear(frame));
        }
    }
    let after = resident()?;
    // Kept, so that the next candidate cannot have this memory.
    std::mem::forget(sessions);
    Some(after.saturating_sub(before) / SESSIONS)
}

/// `speech` is heard end to end, pauses included.
pub fn print(bytes: &[Option<usize>], speech: &[&[i16]]) {
    let frames: Vec<Frame> =
        speech.iter().flat_map(|samples| samples.as_chunks::<FRAME_SAMPLES>().0).copied().take(60_000).collect();
    println!("\nCost over speech with its pauses, on one core, and resident memory of one detector:\n");
    println!("| detector | ns a frame of 20 ms | bytes |\n| --- | ---: | ---: |");
    for (candidate, bytes) in ALL.into_iter().zip(bytes) {
        let bytes = bytes.map_or("?".to_owned(), |bytes| bytes.to_string());
        println!("| {} | {:.0} | {bytes} |", candidate.name(), nanoseconds(candidate, &frames));
    }
}

/// Every stretch of frames is timed five times and its fastest run counts: others may be busy on the machine.
fn nanoseconds(candidate: Candidate, frames: &[Frame]) -> f64 {
    let mut fastest = vec![u128::MAX; frames.len().div_ceil(STRETCH)];
    for _ in 0..5 {
        let mut hear = candidate.build();
        for (stretch, fastest) in frames.chunks(STRETCH).zip(&mut fastest) {
            let begin = Instant::now();
            for frame in stretch {
                black_box(hear(frame));
            }
            *fastest = begin.elapsed().as_nanos().min(*fastest);
        }
    }
    fastest.iter().sum::<u128>() as f64 / frames.len() as f64
}

/// Resident bytes of this process, where the system tells.
fn resident() -> Option<usize> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    Some(line.split_whitespace().next()?.parse::<usize>().ok()? * 1024)
}
