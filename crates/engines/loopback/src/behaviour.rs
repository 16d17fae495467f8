//! What loopback is told to do beside making words.

use std::{
    str::FromStr,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use dalston_engine_sdk::SAMPLE_RATE;

/// How it behaves. Written as `name=value` parted by commas: `delay=20ms,error_every=7`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Behaviour {
    /// `delay`: time that each call takes.
    pub delay: Duration,
    /// `delay_per_second`: time that each second of audio takes.
    pub delay_per_second: Duration,
    /// `stall_every`: each so-manieth utterance hangs for ever.
    pub stall_every: Option<u64>,
    /// `error_every`: each so-manieth utterance fails.
    pub error_every: Option<u64>,
    /// `panic_every`: each so-manieth utterance panics.
    pub panic_every: Option<u64>,
    /// `word_times=no`: says what was said, but not when each word was.
    pub untimed: bool,
}

/// A text that is no behaviour.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is not a behaviour of the loopback engine; delay and delay_per_second take a time such as 20ms or 1s, \
     stall_every, error_every and panic_every a number of utterances from 1, word_times yes or no"
)]
pub struct InvalidBehaviour(String);

impl Behaviour {
    /// What decoding so many samples takes.
    pub(crate) fn time_for(&self, samples: usize) -> Duration {
        self.delay + self.delay_per_second.mul_f64(samples as f64 / f64::from(SAMPLE_RATE))
    }
}

impl FromStr for Behaviour {
    type Err = InvalidBehaviour;

    fn from_str(text: &str) -> Result<Self, InvalidBehaviour> {
        let mut behaviour = Self::default();
        for part in text.split(',').map(str::trim).filter(|part| !part.is_empty()) {
            let invalid = || InvalidBehaviour(part.to_owned());
            let (name, value) = part.split_once('=').ok_or_else(invalid)?;
            match name {
                "delay" => behaviour.delay = duration(value).ok_or_else(invalid)?,
                "delay_per_second" => behaviour.delay_per_second = duration(value).ok_or_else(invalid)?,
                "stall_every" => behaviour.stall_every = Some(ordinal(value).ok_or_else(invalid)?),
                "error_every" => behaviour.error_every = Some(ordinal(value).ok_or_else(invalid)?),
                "word_times" if matches!(value, "yes" | "no") => behaviour.untimed = value == "no",
                "panic_every" => behaviour.panic_every = Some(ordinal(value).ok_or_else(invalid)?),
                _ => return Err(invalid()),
            }
        }
        Ok(behaviour)
    }
}

fn duration(text: &str) -> Option<Duration> {
    let (number, unit) = text.split_at(text.find(|c: char| !c.is_ascii_digit())?);
    let number = number.parse().ok()?;
    match unit {
        "ms" => Some(Duration::from_millis(number)),
        "s" => Some(Duration::from_secs(number)),
        _ => None,
    }
}

fn ordinal(text: &str) -> Option<u64> {
    text.parse().ok().filter(|&n| n > 0)
}

/// What an utterance comes to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Deed {
    Words,
    Stall,
    Fail,
    Panic,
}

/// Counts the utterances of all streams of an engine.
#[derive(Debug, Clone, Default)]
pub(crate) struct Utterances(Arc<AtomicU64>);

impl Utterances {
    pub(crate) fn begin(&self, behaviour: &Behaviour) -> Deed {
        let number = self.0.fetch_add(1, Ordering::Relaxed) + 1;
        let is_due = |every: Option<u64>| every.is_some_and(|every| number.is_multiple_of(every));
        if is_due(behaviour.stall_every) {
            Deed::Stall
        } else if is_due(behaviour.panic_every) {
            Deed::Panic
        } else if is_due(behaviour.error_every) {
            Deed::Fail
        } else {
            Deed::Words
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_behaviour_is_read_and_a_wrong_one_is_named() {
        let read: Behaviour = "delay=20ms, delay_per_second=1s,error_every=7".parse().expect("it is right");
        let expected = Behaviour {
            delay: Duration::from_millis(20),
            delay_per_second: Duration::from_secs(1),
            error_every: Some(7),
            ..Behaviour::default()
        };
        assert_eq!(read, expected);
        assert_eq!("word_times=no".parse(), Ok(Behaviour { untimed: true, ..Behaviour::default() }));
        assert_eq!("".parse(), Ok(Behaviour::default()));
        for wrong in
            ["delay", "delay=", "delay=5", "delay=5h", "error_every=0", "error_every=x", "word_times=0", "speed=1"]
        {
            assert_eq!(wrong.parse::<Behaviour>(), Err(InvalidBehaviour(wrong.into())));
        }
    }

    #[test]
    fn every_third_utterance_fails() {
        let behaviour: Behaviour = "error_every=3".parse().expect("it is right");
        let utterances = Utterances::default();
        let deeds: Vec<Deed> = (0..6).map(|_| utterances.begin(&behaviour)).collect();
        assert_eq!(deeds, [Deed::Words, Deed::Words, Deed::Fail, Deed::Words, Deed::Words, Deed::Fail]);
    }
}
