//! Which voice each unit is, and the turns that follow from it.

use dalston_engine_sdk::batch::Turn;

use crate::gaussian::{Judge, Voice};
use crate::units::{Unit, seconds};

/// What it costs that another voice goes on where speech did not pause, in log likelihood …
const SWITCH: f64 = 150.0;
/// … and after a pause.
const SWITCH_AFTER_PAUSE: f64 = 30.0;
/// Vectors of silence within a turn: half a second.
const WITHIN: u64 = 50;

/// How often voices are made anew of their units.
const ROUNDS: usize = 4;

/// The turns, with speakers numbered in the order of their first words.
pub fn turns(units: &[Unit], voices: &[Voice]) -> Vec<Turn> {
    let mut names: Vec<usize> = Vec::new();
    let mut turns: Vec<(u64, u64, usize)> = Vec::new();
    for (unit, voice) in units.iter().zip(assigned(units, voices)) {
        match turns.last_mut() {
            Some((_, end, same)) if *same == voice && unit.start.saturating_sub(*end) <= WITHIN => *end = unit.end,
            _ => turns.push((unit.start, unit.end, voice)),
        }
        if !names.contains(&voice) {
            names.push(voice);
        }
    }
    let speaker = |voice| names.iter().position(|name| *name == voice).unwrap_or(0) as u32;
    turns
        .into_iter()
        .map(|(start, end, voice)| Turn { start: seconds(start), end: seconds(end), speaker: speaker(voice) })
        .collect()
}

/// The voices as they are when each is made of the units that are likeliest its own, a few times over. One that is left
/// with none stays as it was.
pub fn refined(units: &[Unit], mut voices: Vec<Voice>) -> Vec<Voice> {
    for _ in 0..ROUNDS {
        let assigned = assigned(units, &voices);
        for (number, voice) in voices.iter_mut().enumerate() {
            let own = units.iter().zip(&assigned).filter(|(_, voice)| **voice == number);
            let again = Voice::of(own.map(|(unit, _)| &unit.sums));
            if again.count() > 0.0 {
                *voice = again;
            }
        }
    }
    voices
}

/// The likeliest sequence of voices (Viterbi's algorithm).
fn assigned(units: &[Unit], voices: &[Voice]) -> Vec<usize> {
    let judges: Vec<Judge> = voices.iter().map(Voice::judge).collect();
    let mut scores = vec![0.0; voices.len()];
    // For each unit and voice, the voice before. There are at most 255 of them.
    let mut from: Vec<Vec<u8>> = Vec::with_capacity(units.len());
    for unit in units {
        let cost = if unit.follows { SWITCH } else { SWITCH_AFTER_PAUSE };
        let best = likeliest(&scores);
        let came: Vec<usize> =
            scores.iter().enumerate().map(|(i, score)| if *score >= scores[best] - cost { i } else { best }).collect();
        scores = came
            .iter()
            .enumerate()
            .map(|(i, &before)| {
                let switch = if before == i { 0.0 } else { cost };
                scores[before] - switch + judges[i].log_likelihood(&unit.sums)
            })
            .collect();
        from.push(came.into_iter().map(|voice| u8::try_from(voice).unwrap_or(u8::MAX)).collect());
    }
    let mut voice = likeliest(&scores);
    let mut path: Vec<usize> = from
        .iter()
        .rev()
        .map(|came| {
            let here = voice;
            voice = came.get(here).copied().unwrap_or(0).into();
            here
        })
        .collect();
    path.reverse();
    path
}

fn likeliest(scores: &[f64]) -> usize {
    scores.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1)).map_or(0, |(i, _)| i)
}
