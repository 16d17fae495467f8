//! Whether a history is one that is promised. Pure: what it sees is the history, and what an undisturbed server makes of the
//! same audio.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    fmt,
};

use super::history::{End, Entry, What};

/// What an undisturbed server hears.
#[derive(Debug, Clone)]
pub struct World {
    /// The finals of each voice, all of them different.
    pub voices: Vec<Vec<String>>,
    /// The text of each recording.
    pub recordings: Vec<String>,
}

/// What is promised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Rule {
    /// RT1: a session that began ends once, with a close code; unless its gateway was killed, or its client left.
    OneEnd,
    /// RT2, RT3: every word is in a final, or the client was told.
    NoWordLost,
    /// RT2: no final comes twice.
    NoFinalTwice,
    /// RT2: finals follow each other in the time of their audio.
    FinalsInOrder,
    /// Nothing is heard that was not said.
    NoStrangeWord,
    /// RT6: no session hears another one's words.
    NoCrossTalk,
    /// RT7: without sessions no slot is in use.
    NoSlotLeaked,
    /// JB1: an accepted job ends, with its transcript.
    NoJobLost,
    /// JB2: a task commits once.
    CommittedOnce,
    /// JB5: one key is one job.
    OneJobPerKey,
    /// JB7: a webhook is told of every end, under one id.
    WebhookTold,
    /// JB7: never before the result can be read.
    WebhookNotTooEarly,
    /// OP1: a process that is asked to end exits with 0.
    ExitsWell,
    /// OP2: all is well within its time after the last fault.
    Heals,
    /// Nothing panics.
    NoPanic,
}

/// A promise that was broken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Which.
    pub rule: Rule,
    /// How.
    pub how: String,
    /// In which session.
    pub session: Option<usize>,
    /// By which job.
    pub job: Option<String>,
}

impl Violation {
    fn new(rule: Rule, how: impl Into<String>) -> Self {
        Self { rule, how: how.into(), session: None, job: None }
    }

    fn of_session(rule: Rule, session: usize, how: impl Into<String>) -> Self {
        Self { session: Some(session), ..Self::new(rule, how) }
    }

    fn of_job(rule: Rule, job: &str, how: impl Into<String>) -> Self {
        Self { job: Some(job.to_owned()), ..Self::new(rule, how) }
    }

    /// The lines that it is about, and the faults.
    pub fn part<'h>(&self, history: &'h [Entry]) -> Vec<&'h Entry> {
        let is_about = |what: &What| {
            matches!(what, What::Fault { .. } | What::GatewayKilled { .. })
                || (self.session.is_some() && what.session() == self.session)
                || (self.job.is_some() && what.job() == self.job.as_deref())
        };
        history.iter().filter(|entry| is_about(&entry.what)).collect()
    }
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {}", self.rule, self.how)
    }
}

/// Every promise that the history breaks.
pub fn check(world: &World, history: &[Entry]) -> Vec<Violation> {
    let mut broken = Vec::new();
    let killed: BTreeSet<usize> = history.iter().filter_map(|entry| killed(&entry.what)).collect();
    let mut sessions = BTreeMap::<usize, Vec<&What>>::new();
    for entry in history {
        match &entry.what {
            What::Exited { who, well: false } => broken.push(Violation::new(Rule::ExitsWell, who)),
            What::Panicked { line } => broken.push(Violation::new(Rule::NoPanic, line)),
            What::Overdue { what } => broken.push(Violation::new(Rule::Heals, what)),
            What::Slots { worker, used: 1.. } => broken.push(Violation::new(Rule::NoSlotLeaked, worker)),
            what => {
                if let Some(session) = what.session() {
                    sessions.entry(session).or_default().push(what);
                }
            }
        }
    }
    for (session, events) in sessions {
        broken.extend(check_session(world, session, &events, &killed));
    }
    broken.extend(check_jobs(world, history));
    broken
}

fn killed(what: &What) -> Option<usize> {
    if let What::GatewayKilled { life } = what { Some(*life) } else { None }
}

fn check_session(world: &World, session: usize, events: &[&What], killed: &BTreeSet<usize>) -> Vec<Violation> {
    let broken = |rule, how: String| Violation::of_session(rule, session, format!("session {session}: {how}"));
    let Some((voice, gateways)) = events.iter().find_map(|what| match what {
        What::Begun { voice, gateways, .. } => Some((*voice, gateways)),
        _ => None,
    }) else {
        return vec![broken(Rule::OneEnd, "it never began".into())];
    };
    let mut violations = Vec::new();
    let ends: Vec<&End> = events.iter().filter_map(|what| end_of(what)).collect();
    match ends[..] {
        [End::Closed { code: 1000..=1003 | 1007..=1014 | 4000.., .. } | End::Left] => {}
        // Nobody was left to tell it.
        [End::Broken(_)] if gateways.iter().all(|life| killed.contains(life)) => {}
        _ => violations.push(broken(Rule::OneEnd, format!("it ended so: {ends:?}"))),
    }
    let is_whole = matches!(ends[..], [End::Closed { code: 1000, whole: true, .. }]);
    violations.extend(check_words(world, voice, events, is_whole).into_iter().map(|(rule, how)| broken(rule, how)));
    violations
}

fn end_of<'w>(what: &&'w What) -> Option<&'w End> {
    if let What::Ended { how, .. } = what { Some(how) } else { None }
}

/// The finals of a session against what its voice says. One that was not heard to its end has said all until then, and may have
/// been cut short in its last.
fn check_words(world: &World, voice: usize, events: &[&What], is_whole: bool) -> Vec<(Rule, String)> {
    let (said, mut violations) = (&world.voices[voice], Vec::new());
    let (mut next, mut until) = (0, f64::MIN);
    let has_gap = events.iter().any(|what| matches!(what, What::Gap { .. }));
    let finals: Vec<_> = events
        .iter()
        .filter_map(|what| match what {
            What::Final { start, end, text, .. } => Some((*start, *end, text)),
            _ => None,
        })
        .collect();
    for (number, (start, end, text)) in finals.iter().enumerate() {
        if *start < until || end < start {
            violations.push((Rule::FinalsInOrder, format!("{start} to {end} after one that ended at {until}")));
        }
        until = until.max(*end);
        let is_last = number + 1 == finals.len();
        match said.iter().position(|one| one == *text) {
            Some(at) if at < next => violations.push((Rule::NoFinalTwice, format!("{text:?} again"))),
            Some(at) => {
                if at > next && !has_gap {
                    violations.push((Rule::NoWordLost, format!("{:?} is missing", &said[next..at])));
                }
                next = at + 1;
            }
            None if is_last && !is_whole && said.get(next).is_some_and(|one| is_begun_by(one, text)) => next += 1,
            None if has_gap => next += 1,
            None => {
                let others = world.voices.iter().enumerate().find(|(_, other)| other.contains(text));
                violations.push(match others {
                    Some((other, _)) => (Rule::NoCrossTalk, format!("voice {other} says {text:?}")),
                    None => (Rule::NoStrangeWord, format!("{text:?} in the place of {:?}", said.get(next))),
                });
                next += 1;
            }
        }
    }
    if is_whole && next < said.len() && !has_gap {
        violations.push((Rule::NoWordLost, format!("{:?} is missing at the end", &said[next..])));
    }
    violations
}

/// Whether `text` is the first words of `whole`, but for a last one that was cut in its middle.
fn is_begun_by(whole: &str, text: &str) -> bool {
    let (whole, text): (Vec<&str>, Vec<&str>) = (whole.split(' ').collect(), text.split(' ').collect());
    let sure = text.len().saturating_sub(1);
    text.len() <= whole.len() && whole[..sure] == text[..sure]
}

fn check_jobs(world: &World, history: &[Entry]) -> Vec<Violation> {
    let mut violations = Vec::new();
    let mut jobs = BTreeMap::<&str, usize>::new();
    let (mut keys, mut messages, mut committed) =
        (HashMap::<&str, &str>::new(), HashMap::<&str, &str>::new(), HashMap::<&str, u32>::new());
    let (mut ended, mut told) = (HashMap::new(), BTreeSet::new());
    for entry in history {
        match &entry.what {
            What::Accepted { key, recording, job } => {
                jobs.insert(job, *recording);
                let first = *keys.entry(key).or_insert(job);
                if first != job {
                    violations.push(Violation::of_job(Rule::OneJobPerKey, job, format!("{key} is {first} and {job}")));
                }
            }
            What::JobIs { job, status, text } => {
                ended.insert(job.as_str(), (status.as_str(), text.as_deref()));
            }
            What::Committed { task } => *committed.entry(task).or_default() += 1,
            What::Told { message, job, readable } => {
                let first = *messages.entry(job).or_insert(message);
                if first != message {
                    let how = format!("{job} was told of as {first} and as {message}");
                    violations.push(Violation::of_job(Rule::WebhookTold, job, how));
                }
                if *readable == Some(false) {
                    let how = format!("{job} could not be read when {message} told of it");
                    violations.push(Violation::of_job(Rule::WebhookNotTooEarly, job, how));
                }
                if *readable == Some(true) {
                    told.insert(job.as_str());
                }
            }
            _ => {}
        }
    }
    for (task, times) in committed.into_iter().filter(|(_, times)| *times > 1) {
        violations.push(Violation::new(Rule::CommittedOnce, format!("{task} was committed {times} times")));
    }
    for (job, recording) in jobs {
        let expected = &world.recordings[recording];
        match ended.get(job) {
            Some(("completed", Some(text))) if text == expected => {}
            other => violations.push(Violation::of_job(
                Rule::NoJobLost,
                job,
                format!("{job} is {other:?}, and should be completed with {expected:?}"),
            )),
        }
        if !told.contains(job) {
            violations.push(Violation::of_job(Rule::WebhookTold, job, format!("nobody was told of the end of {job}")));
        }
    }
    violations
}

#[cfg(test)]
mod tests;
