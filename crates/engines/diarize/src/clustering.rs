//! Units to segments of one voice, and segments to voices.

use dalston_engine_sdk::batch::{TaskContext, TaskError};

use crate::gaussian::Voice;
use crate::units::Unit;

/// Units on each side of a place where the voice may change: 1.5 s.
const SIDE: usize = 6;
/// What a parameter costs when a change is looked for …
const CHANGE_PENALTY: f64 = 1.0;
/// … when voices are put together until so many are left as are there …
const KNOWN_PENALTY: f64 = 2.5;
/// … and until none are alike, where too small a value makes two voices of one. Fitted, as the others are, to mixes of a
/// handful of recorded voices. See [`Voice::distance`].
const UNKNOWN_PENALTY: f64 = 3.5;
/// Longest segment, in units: six seconds. More would hide a change that was missed.
const LONGEST: usize = 24;
/// Segments that are clustered at once: the work grows with the square.
const BLOCK: usize = 300;
/// Vectors of a voice that is found without being asked for: three seconds. Less is rather a cough, or a change that was missed.
const LEAST_VOICE: f64 = 300.0;

/// Segments within which, as far as can be told, one voice speaks.
pub fn segments(units: &[Unit]) -> Vec<Voice> {
    let mut segments = Vec::new();
    let mut begin = 0;
    for end in 1..=units.len() {
        let is_over = end == units.len()
            || !units[end].follows
            || end - begin >= LONGEST
            || (end - begin >= SIDE && changes(units, begin, end));
        if is_over {
            segments.push(Voice::of(units[begin..end].iter().map(|unit| &unit.sums)));
            begin = end;
        }
    }
    segments
}

/// Whether the voice changes here, more than at the next places.
fn changes(units: &[Unit], begin: usize, at: usize) -> bool {
    let score = |at: usize| {
        let until = (at + SIDE).min(units.len());
        let until = (at + 1..until).find(|&i| !units[i].follows).unwrap_or(until);
        let side = |units: &[Unit]| Voice::of(units.iter().map(|unit| &unit.sums));
        let before = side(&units[at.saturating_sub(SIDE).max(begin)..at]);
        before.distance(&side(&units[at..until]), CHANGE_PENALTY)
    };
    let here = score(at);
    let next = (at + 1).min(units.len() - 1);
    here > 0.0 && (next == at || !units[next].follows || here >= score(next))
}

/// The voices, as many as are asked for if there are so many segments.
pub fn voices(
    segments: &[Voice],
    wanted: Option<usize>,
    most: usize,
    ctx: &dyn TaskContext,
) -> Result<Vec<Voice>, TaskError> {
    let mut voices = segments.to_vec();
    while voices.len() > BLOCK {
        let before = voices.len();
        let mut fewer = Vec::new();
        for (number, block) in voices.chunks(BLOCK).enumerate() {
            ctx.progress(0.5 + 0.4 * (number * BLOCK) as f64 / before as f64);
            // Never fewer than may be wanted, in case a block has them all.
            fewer.extend(merged(block.to_vec(), wanted.unwrap_or(1), most.max(BLOCK / 4), ctx)?);
        }
        if fewer.len() == before {
            // Hours of nothing but different voices: the limit decides.
            return merged(fewer.into_iter().take(BLOCK).collect(), wanted.unwrap_or(1), most, ctx);
        }
        voices = fewer;
    }
    match wanted {
        Some(wanted) => merged(voices, wanted, wanted, ctx),
        None => {
            let voices = merged(voices, 1, most, ctx)?;
            let long: Vec<Voice> = voices.iter().filter(|voice| voice.count() >= LEAST_VOICE).cloned().collect();
            Ok(if long.is_empty() { merged(voices, 1, 1, ctx)? } else { long })
        }
    }
}

/// Puts the nearest two together until they are too far apart, down to `least`, and in any case down to `most`.
fn merged(mut voices: Vec<Voice>, least: usize, most: usize, ctx: &dyn TaskContext) -> Result<Vec<Voice>, TaskError> {
    let penalty = if least == most { KNOWN_PENALTY } else { UNKNOWN_PENALTY };
    let mut distances: Vec<Vec<f64>> = Vec::with_capacity(voices.len());
    for (row, voice) in voices.iter().enumerate() {
        ctx.check()?;
        distances.push(voices[..row].iter().map(|other| voice.distance(other, penalty)).collect());
    }
    while voices.len() > least.max(1) {
        ctx.check()?;
        let pairs =
            distances.iter().enumerate().flat_map(|(a, row)| row.iter().enumerate().map(move |(b, d)| (a, b, *d)));
        let Some((a, b, distance)) = pairs.min_by(|x, y| x.2.total_cmp(&y.2)) else { break };
        if distance > 0.0 && voices.len() <= most {
            break;
        }
        // `b` is the smaller index: `a` goes, and what has its number afterwards was after it.
        let gone = voices.remove(a);
        distances.remove(a);
        distances.iter_mut().skip(a).for_each(|row| {
            row.remove(a);
        });
        voices[b] = voices[b].with(&gone);
        for other in 0..voices.len() {
            let (row, column) = (other.max(b), other.min(b));
            if row != column {
                distances[row][column] = voices[row].distance(&voices[column], penalty);
            }
        }
    }
    Ok(voices)
}
