//! What a run found: figures, and claims that held or did not. One shape for all commands, so that a table, JSON and a
//! comparison need no knowledge of any.

mod html;
mod plot;
mod table;

use serde::{Serialize, Serializer};
use serde_json::{Map, Value as Json, json};

use crate::{
    fault::{Fault, Faults},
    latency::{Moment, Summary},
    server::Sample,
    tally::Tally,
};

pub use html::html;
pub use table::table;

/// All that one run found.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// The command.
    pub command: &'static str,
    /// What was done, in a line.
    pub about: String,
    /// What was measured, in the order to be shown.
    pub figures: Vec<Figure>,
    /// What must hold.
    pub checks: Vec<Check>,
    /// How the run went over time.
    pub series: Vec<Sample>,
    /// What the reader should know before believing a figure.
    pub notes: Vec<String>,
}

/// Something that was measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Figure {
    /// Its name in JSON, with its unit.
    pub key: String,
    /// Its name in a table.
    pub label: String,
    /// What it is.
    pub value: Value,
}

/// The value of a figure.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A number of things.
    Count(u64),
    /// A measure in a unit.
    Number(f64, &'static str),
    /// A number of bytes.
    Bytes(u64),
    /// 0 to 1.
    Share(f64),
    /// A distribution.
    Latency(Summary),
    /// A name.
    Text(String),
    /// Lines with columns of their own, for figures of many things of a kind: the heads, then the rows.
    Rows(Vec<&'static str>, Vec<Vec<Value>>),
}

/// A claim, and whether it held.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Check {
    /// What must hold.
    pub claim: String,
    /// Whether it did.
    pub ok: bool,
    /// Where it did not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub faults: Option<Faults>,
}

impl Report {
    /// A report of a command, without anything yet.
    #[must_use]
    pub fn new(command: &'static str, about: String) -> Self {
        Self { command, about, ..Self::default() }
    }

    /// Adds a figure.
    pub fn figure(&mut self, key: impl Into<String>, label: impl Into<String>, value: Value) {
        self.figures.push(Figure { key: key.into(), label: label.into(), value });
    }

    /// Adds a claim; `otherwise` says what was found instead.
    pub fn check(&mut self, claim: impl Into<String>, ok: bool, otherwise: impl FnOnce() -> String) {
        let faults = (!ok).then(|| Faults { count: 1, examples: vec![otherwise()] });
        self.checks.push(Check { claim: claim.into(), ok, faults });
    }

    /// Adds every latency that was counted.
    pub fn latencies(&mut self, tally: &Tally, moments: &[Moment]) {
        for moment in moments {
            if let Some(summary) = tally.latency(*moment).summary() {
                self.figure(moment.key(), moment.label(), Value::Latency(summary));
            }
        }
    }

    /// Adds what every session is held to.
    pub fn faults(&mut self, tally: &Tally, kinds: &[Fault]) {
        for kind in kinds {
            let faults = tally.faults(*kind);
            let ok = faults.count == 0;
            self.checks.push(Check { claim: kind.claim().into(), ok, faults: (!ok).then_some(faults) });
        }
    }

    /// Whether all claims held.
    #[must_use]
    pub fn ok(&self) -> bool {
        self.checks.iter().all(|check| check.ok)
    }

    /// As one JSON object.
    #[must_use]
    pub fn json(&self) -> Json {
        let figures: Map<String, Json> =
            self.figures.iter().map(|figure| (figure.key.clone(), json!(figure.value))).collect();
        json!({
            "command": self.command,
            "about": self.about,
            "ok": self.ok(),
            "figures": figures,
            "checks": self.checks,
            "notes": self.notes,
            "series": self.series,
        })
    }
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Count(count) | Self::Bytes(count) => serializer.serialize_u64(*count),
            Self::Number(number, _) | Self::Share(number) => serializer.serialize_f64(*number),
            Self::Latency(summary) => summary.serialize(serializer),
            Self::Text(text) => serializer.serialize_str(text),
            Self::Rows(heads, rows) => serializer.collect_seq(rows.iter().map(|row| {
                let cells = heads.iter().zip(row).map(|(head, cell)| ((*head).to_owned(), json!(cell)));
                cells.collect::<Map<String, Json>>()
            })),
        }
    }
}
