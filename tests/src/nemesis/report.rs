//! What came of a run, for people and for programs.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
    time::Duration,
};

use serde_json::{Value, json};

use super::{End, Entry, Options, Schedule, Violation, What, World};

/// What a fault shows in may come this long after it was undone.
const AFTERMATH: Duration = Duration::from_secs(5);
/// Lines of the history that are printed with a violation.
const MOST_LINES: usize = 400;

/// A run and its judgement.
#[derive(Debug, Clone)]
pub struct Report {
    /// What was run.
    pub options: Options,
    /// The faults.
    pub schedule: Schedule,
    /// What was said.
    pub world: World,
    /// The history.
    pub entries: Vec<Entry>,
    /// When in it the faults begin.
    pub began: Duration,
    /// What is not as promised. None.
    pub violations: Vec<Violation>,
}

/// What clients saw of all faults of one kind, from its begin to a little after its end. Faults overlap, so what one row has may
/// be another one's doing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Row {
    /// How often it was done.
    pub times: usize,
    /// Live sessions at its begin.
    pub live: usize,
    /// Moves to another worker, which a client sees as a pause and a warning.
    pub moved: usize,
    /// Sessions closed in its time with another code than 1000, so that their clients were told.
    pub told: usize,
    /// Connections that broke without a code.
    pub broken: usize,
    /// Connections in its time that came to no session.
    pub refused: usize,
}

impl Report {
    /// The table.
    pub fn rows(&self) -> BTreeMap<String, Row> {
        let mut rows = BTreeMap::<String, Row>::new();
        for entry in &self.entries {
            let What::Fault { fault, lasts } = &entry.what else { continue };
            let row = rows.entry(fault.kind()).or_default();
            let until = entry.at + *lasts + AFTERMATH;
            let mut live = BTreeSet::new();
            row.times += 1;
            for other in self.entries.iter().take_while(|other| other.at <= until) {
                let is_before = other.at < entry.at;
                match &other.what {
                    What::Begun { session, .. } if is_before => drop(live.insert(*session)),
                    What::Ended { session, .. } if is_before => drop(live.remove(session)),
                    _ if is_before => {}
                    What::Moved { .. } => row.moved += 1,
                    What::Ended { how: End::Closed { code, .. }, .. } if *code != 1000 => row.told += 1,
                    What::Ended { how: End::Broken(_), .. } => row.broken += 1,
                    What::Refused { .. } => row.refused += 1,
                    _ => {}
                }
            }
            row.live += live.len();
        }
        rows
    }

    fn count(&self, is_one: impl Fn(&What) -> bool) -> usize {
        self.entries.iter().filter(|entry| is_one(&entry.what)).count()
    }

    /// How often what happened, so that a run in which nothing did is not taken for a good one.
    pub fn totals(&self) -> BTreeMap<&'static str, usize> {
        let closed = |normal: bool| {
            self.count(
                |what| matches!(what, What::Ended { how: End::Closed { code, .. }, .. } if (*code == 1000) == normal),
            )
        };
        let jobs: BTreeSet<&str> = self
            .entries
            .iter()
            .filter(|it| matches!(it.what, What::Accepted { .. }))
            .filter_map(|it| it.what.job())
            .collect();
        [
            ("faults", self.count(|what| matches!(what, What::Fault { .. }))),
            ("sessions", self.count(|what| matches!(what, What::Begun { .. }))),
            ("ended with 1000", closed(true)),
            ("ended with another code", closed(false)),
            ("broken with their gateway", self.count(|what| matches!(what, What::Ended { how: End::Broken(_), .. }))),
            ("left by their client", self.count(|what| matches!(what, What::Ended { how: End::Left, .. }))),
            ("finals", self.count(|what| matches!(what, What::Final { .. }))),
            ("moves", self.count(|what| matches!(what, What::Moved { .. }))),
            ("jobs", jobs.len()),
            ("tasks committed", self.count(|what| matches!(what, What::Committed { .. }))),
            ("webhooks told", self.count(|what| matches!(what, What::Told { .. }))),
        ]
        .into()
    }

    /// For programs.
    pub fn json(&self) -> Value {
        let row = |(kind, row): (String, Row)| {
            let Row { times, live, moved, told, broken, refused } = row;
            json!({ "fault": kind, "times": times, "live": live, "moved": moved, "told": told, "broken": broken,
                    "refused": refused })
        };
        json!({
            "seed": self.options.seed,
            "seconds": self.options.length.as_secs(),
            "totals": self.totals(),
            "faults": self.rows().into_iter().map(row).collect::<Vec<_>>(),
            "violations": self.violations.iter().map(ToString::to_string).collect::<Vec<_>>(),
        })
    }

    /// The seed, the schedule and what is wrong, with its part of the history.
    pub fn complaint(&self) -> String {
        let mut text = format!("seed {}, {:?}\n", self.options.seed, self.options.length);
        for planned in self.schedule.all() {
            text.push_str(&format!("  {planned}\n"));
        }
        text.push_str(&format!("the faults begin at {:.3}\n", self.began.as_secs_f64()));
        for violation in &self.violations {
            text.push_str(&format!("\nBROKEN {violation}\n"));
            for entry in violation.part(&self.entries).into_iter().take(MOST_LINES) {
                text.push_str(&format!("  {entry}\n"));
            }
        }
        text
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "seed {}, {} s of faults", self.options.seed, self.options.length.as_secs())?;
        for (what, count) in self.totals() {
            writeln!(f, "  {count:6} {what}")?;
        }
        writeln!(f, "| fault | times | live sessions | moved | told with a code | broken | refused |")?;
        writeln!(f, "| --- | --: | --: | --: | --: | --: | --: |")?;
        for (kind, Row { times, live, moved, told, broken, refused }) in self.rows() {
            writeln!(f, "| {kind} | {times} | {live} | {moved} | {told} | {broken} | {refused} |")?;
        }
        writeln!(f, "promises broken: {}", self.violations.len())
    }
}
