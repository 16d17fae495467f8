//! One module for each command: what it is told, what it does, what it reports.

pub mod churn;
pub mod compare;
pub mod frames;
pub mod idle;
pub mod jobs;
pub mod max;
pub mod noise;
pub mod pace;
pub mod start;
pub mod wer;

use std::time::Duration;

use crate::{latency::Moment, report::Report, tally::Tally};

/// Holds a latency to a limit, if there is one.
fn limit(report: &mut Report, what: &str, tally: &Tally, moment: Moment, most_ms: Option<f64>) {
    if let Some(most) = most_ms {
        let p99 = tally.latency(moment).quantile(0.99).as_secs_f64() * 1_000.0;
        report.check(format!("p99 of {what} is at most {most} ms"), p99 <= most, || format!("it is {p99:.1} ms"));
    }
}

/// A generator that is late itself measures itself.
fn generator_note(report: &mut Report, tally: &Tally) {
    /// A timer's tick is a millisecond; beyond some of them it is the machine.
    const PUNCTUAL: Duration = Duration::from_millis(10);
    let late = tally.latency(Moment::Wake).quantile(0.99);
    if late > PUNCTUAL {
        report.notes.push(format!(
            "the generator itself was late by {late:?} at the 99th percentile: the machine is full, and the latencies are those \
             of both"
        ));
    }
}

/// The value in the middle.
fn median(values: &[f64]) -> Option<f64> {
    let mut values = values.to_vec();
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied()
}

/// A number above 0, infinity too.
fn positive(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(number) if number > 0.0 => Ok(number),
        _ => Err(format!("`{text}` is not a number above 0")),
    }
}
