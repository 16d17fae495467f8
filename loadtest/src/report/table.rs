//! A report for people.

use std::fmt::Write;

use indicatif::{HumanBytes, HumanCount};

use super::{Check, Figure, Report, Value};
use crate::latency::Summary;

/// Lays out all that a report holds.
#[must_use]
pub fn table(report: &Report) -> String {
    let mut out = format!("{}: {}\n", report.command, report.about);
    let (latencies, others): (Vec<&Figure>, Vec<&Figure>) =
        report.figures.iter().partition(|figure| matches!(figure.value, Value::Latency(_)));
    let (rows, plain): (Vec<&Figure>, Vec<&Figure>) =
        others.into_iter().partition(|figure| matches!(figure.value, Value::Rows(..)));

    for Figure { label, value, .. } in &rows {
        if let Value::Rows(heads, rows) = value {
            section(&mut out);
            let heads =
                heads.iter().enumerate().map(|(n, head)| if n == 0 { label.clone() } else { head.replace('_', " ") });
            let lines = rows.iter().map(|row| row.iter().map(shown).collect());
            grid(&mut out, &std::iter::once(heads.collect()).chain(lines).collect::<Vec<_>>());
        }
    }
    if !plain.is_empty() {
        section(&mut out);
        grid(
            &mut out,
            &plain.iter().map(|figure| vec![figure.label.clone(), shown(&figure.value)]).collect::<Vec<_>>(),
        );
    }
    if !latencies.is_empty() {
        section(&mut out);
        let head = ["latency", "count", "p50", "p95", "p99", "p99.9", "max"].map(str::to_owned).to_vec();
        let lines = latencies.iter().filter_map(|figure| match &figure.value {
            Value::Latency(summary) => Some([vec![figure.label.clone()], summary.cells().to_vec()].concat()),
            _ => None,
        });
        grid(&mut out, &std::iter::once(head).chain(lines).collect::<Vec<_>>());
    }
    if !report.checks.is_empty() {
        section(&mut out);
    }
    report.checks.iter().for_each(|check| verdict(&mut out, check));
    for note in &report.notes {
        let _ = write!(out, "\n  note: {note}\n");
    }
    out
}

fn section(out: &mut String) {
    out.push('\n');
}

/// The first column to the left, the others to the right.
fn grid(out: &mut String, lines: &[Vec<String>]) {
    let columns = lines.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| lines.iter().filter_map(|line| line.get(column)).map(|cell| cell.chars().count()).max();
    let widths: Vec<usize> = (0..columns).map(|column| width(column).unwrap_or(0)).collect();
    for line in lines {
        let mut text = String::from("  ");
        for (n, cell) in line.iter().enumerate() {
            let _ =
                if n == 0 { write!(text, "{cell:<0$}", widths[0]) } else { write!(text, "  {cell:>0$}", widths[n]) };
        }
        out.push_str(text.trim_end());
        out.push('\n');
    }
}

/// A value as a cell.
pub(super) fn shown(value: &Value) -> String {
    match value {
        Value::Count(count) => HumanCount(*count).to_string(),
        Value::Number(number, "") => digits(*number),
        Value::Number(number, unit) => format!("{} {unit}", digits(*number)),
        Value::Bytes(bytes) => HumanBytes(*bytes).to_string(),
        Value::Share(share) => format!("{:.1} %", share * 100.0),
        Value::Latency(Summary { p50, .. }) => format!("{} ms", digits(*p50)),
        Value::Text(text) => text.clone(),
        Value::Rows(_, rows) => format!("{} lines", rows.len()),
    }
}

/// Three digits that matter.
fn digits(number: f64) -> String {
    match number.abs() {
        n if n >= 10_000.0 => HumanCount(number.round() as u64).to_string(),
        n if n >= 100.0 => format!("{number:.0}"),
        n if n >= 10.0 => format!("{number:.1}"),
        n if n >= 1.0 => format!("{number:.2}"),
        _ => format!("{number:.3}"),
    }
}

fn verdict(out: &mut String, check: &Check) {
    let Some(faults) = &check.faults else {
        let _ = writeln!(out, "  ✓ {}", check.claim);
        return;
    };
    let times = if faults.count == 1 { String::new() } else { format!(", {} times", HumanCount(faults.count)) };
    let _ = writeln!(out, "  ✗ {}: it did not hold{times}", check.claim);
    for example in &faults.examples {
        let _ = writeln!(out, "      {example}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_is_laid_out_in_columns() {
        let mut report = Report::new("pace", "2 sessions".into());
        report.figure("cpu_ms", "CPU", Value::Number(1.234, "ms"));
        report.figure("memory_bytes", "memory", Value::Bytes(2048));
        let summary = Summary { count: 2, p50: 0.5, p95: 1.0, p99: 120.0, p999: 1.0, max: 1_500.0 };
        report.figure("begin_ms", "begin", Value::Latency(summary));
        report.check("all is well", true, String::new);
        report.check("nothing is lost", false, || "session 1: gone".into());
        let expected = "\
pace: 2 sessions

  CPU      1.23 ms
  memory  2.00 KiB

  latency  count     p50     p95     p99   p99.9     max
  begin        2  500 µs  1.0 ms  120 ms  1.0 ms  1.50 s

  ✓ all is well
  ✗ nothing is lost: it did not hold
      session 1: gone
";
        assert_eq!(table(&report), expected);
        assert!(!report.ok());
    }

    #[test]
    fn json_has_the_same_under_stable_keys() {
        let mut report = Report::new("wer", "1 file".into());
        report.figure("rate", "rate", Value::Share(0.25));
        let rows = vec![vec![Value::Text("a.wav".into()), Value::Count(3)]];
        report.figure("files", "file", Value::Rows(vec!["file", "words"], rows));
        let json = report.json();
        assert_eq!(json["figures"]["rate"], 0.25);
        assert_eq!(json["figures"]["files"][0]["words"], 3);
        assert_eq!(json["ok"], true);
    }
}
