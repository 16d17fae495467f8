//! What a trace comes to, lane by lane.

use std::collections::BTreeMap;
use std::fmt::Write;

use super::critical::{Step, critical_path, tops};
use super::duration;
use crate::names::key;
use crate::record::SpanRecord;

/// Nanoseconds of one lane.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Totals {
    /// In which at least one of its spans ran.
    busy: u64,
    /// Of its work on the critical path.
    critical: u64,
    /// In which the trace's end waited for it to begin.
    awaited: u64,
    /// That its tasks stood in queues, also beside the critical path.
    queued: u64,
}

/// A line for the critical path, one for each lane, and one for what is missing. No spans give an empty text.
pub fn summary(spans: &[SpanRecord]) -> String {
    let path = critical_path(spans);
    if path.is_empty() {
        return String::new();
    }
    let lanes = totals(spans, &path);
    let sum = |of: fn(&Totals) -> u64| lanes.values().map(of).sum::<u64>();
    let (work, waiting) = (sum(|lane| lane.critical), sum(|lane| lane.awaited));
    let mut text = format!(
        "critical path (●) {} = {} of work + {} of waiting (┄)\n",
        duration(work + waiting),
        duration(work),
        duration(waiting)
    );
    let width = lanes.keys().map(|lane| lane.chars().count()).max().unwrap_or(0).max(4);
    // Writing to a String cannot fail.
    let _ =
        writeln!(text, "{:<width$}  {:>9}  {:>9}  {:>9}  {:>9}", "lane", "busy", "critical", "awaited", "in queues");
    for (lane, Totals { busy, critical, awaited, queued }) in lanes {
        let lane: String = lane.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect();
        let [busy, critical, awaited, queued] = [busy, critical, awaited, queued].map(duration);
        let _ = writeln!(text, "{lane:<width$}  {busy:>9}  {critical:>9}  {awaited:>9}  {queued:>9}");
    }
    let parts = tops(spans);
    if parts > 1 {
        let _ = writeln!(
            text,
            "not whole: {parts} parts whose parents are not here; they run still, or went with their process"
        );
    }
    text
}

fn totals<'a>(spans: &'a [SpanRecord], path: &[Step<'a>]) -> BTreeMap<&'a str, Totals> {
    let mut lanes: BTreeMap<&str, Totals> = BTreeMap::new();
    let mut ran: BTreeMap<&str, Vec<(u64, u64)>> = BTreeMap::new();
    for span in spans {
        ran.entry(&span.service).or_default().push((span.start_unix_nanos, span.end_unix_nanos()));
        lanes.entry(&span.service).or_default().queued += queue_wait(span);
    }
    for (lane, times) in ran {
        lanes.entry(lane).or_default().busy = covered(times);
    }
    for step in path {
        let lane = lanes.entry(&step.span.service).or_default();
        *(if step.is_wait { &mut lane.awaited } else { &mut lane.critical }) += step.nanos();
    }
    lanes
}

/// How long its task was ready before the span began, in nanoseconds.
pub(super) fn queue_wait(span: &SpanRecord) -> u64 {
    let seconds = span.attributes.get(key::QUEUE_WAIT_SECONDS.as_str()).and_then(serde_json::Value::as_f64);
    // `as` saturates; what cannot be is nothing.
    (seconds.unwrap_or(0.0).max(0.0) * 1e9) as u64
}

/// The length of all these stretches together, each moment once.
fn covered(mut times: Vec<(u64, u64)>) -> u64 {
    times.sort_unstable();
    let (mut covered, mut until) = (0, 0);
    for (start, end) in times {
        covered += end.saturating_sub(start.max(until));
        until = until.max(end);
    }
    covered
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::super::tests::span;
    use super::*;

    #[test]
    fn each_lane_is_told_with_what_it_did_and_how_long_it_was_waited_for() {
        let mut process = span("process", "post", "engine", "process", 40, 100);
        process.attributes.insert(key::QUEUE_WAIT_SECONDS.as_str().to_owned(), json!(0.025));
        let spans =
            [span("post", "", "gateway", "post", 0, 10), process, span("inner", "process", "engine", "inner", 50, 60)];
        assert_eq!(
            summary(&spans),
            "\
critical path (●) 100 ms = 70.0 ms of work + 30.0 ms of waiting (┄)
lane          busy   critical    awaited  in queues
engine     60.0 ms    60.0 ms    30.0 ms    25.0 ms
gateway    10.0 ms    10.0 ms       0 ns       0 ns
"
        );
        assert_eq!(summary(&[]), "");
    }

    #[test]
    fn a_trace_whose_beginning_is_lost_says_so() {
        let spans =
            [span("process", "post", "engine", "process", 40, 100), span("look", "gone", "engine", "look", 100, 101)];
        assert!(
            summary(&spans).ends_with(
                "not whole: 2 parts whose parents are not here; they run still, or went with their process\n"
            )
        );
    }

    #[test]
    fn a_moment_counts_once() {
        assert_eq!(covered(vec![(0, 10), (5, 7), (8, 20), (30, 31)]), 21);
    }
}
