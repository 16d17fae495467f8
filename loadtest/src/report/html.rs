//! A report as one HTML file that needs nothing else: no script, no font, no network.

use std::fmt::Write;

use super::{Report, Value, plot::Plot, table::shown};
use crate::server::Sample;

const STYLE: &str = "
:root { color-scheme: light dark; --ink: #1b1f24; --soft: #6a737d; --line: #d0d7de; --page: #fff; --good: #1a7f37; --bad: #cf222e }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e6edf3; --soft: #8b949e; --line: #30363d; --page: #0d1117; --good: #3fb950; --bad: #f85149 }
}
body { font: 15px/1.5 system-ui, sans-serif; color: var(--ink); background: var(--page); max-width: 62rem; margin: 2rem auto; padding: 0 1rem }
h1 { font-size: 1.5rem } h2 { font-size: 1.1rem; margin-top: 2rem } p { color: var(--soft) }
table { border-collapse: collapse; font-variant-numeric: tabular-nums }
th, td { padding: .2rem .8rem .2rem 0; border-bottom: 1px solid var(--line); text-align: right; font-weight: normal }
th:first-child, td:first-child { text-align: left } th { color: var(--soft) }
ul { list-style: none; padding: 0 } .good::before { content: '✓ '; color: var(--good) } .bad::before { content: '✗ '; color: var(--bad) }
.bad ul { padding-left: 1.2rem; color: var(--soft) }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(28rem, 1fr)); gap: 1.5rem }
figure { margin: 0 } figcaption { color: var(--soft) }
svg { width: 100%; height: auto; font: 11px system-ui, sans-serif } svg text { fill: var(--soft) } svg .grid { stroke: var(--line) }
";

/// Lays out all that a report holds.
#[must_use]
pub fn html(report: &Report) -> String {
    let mut page = String::from("<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\">\n");
    let title = format!("Load test: {}", escaped(report.command));
    let _ = write!(page, "<title>{title}</title>\n<style>{STYLE}</style>\n<h1>{title}</h1>\n");
    let _ = writeln!(page, "<p>{}</p>", escaped(&report.about));
    checks(&mut page, report);
    plots(&mut page, &report.series);
    figures(&mut page, report);
    for note in &report.notes {
        let _ = writeln!(page, "<p>Note: {}</p>", escaped(note));
    }
    page.push_str("</html>\n");
    page
}

fn checks(page: &mut String, report: &Report) {
    page.push_str("<h2>What must hold</h2>\n<ul>\n");
    for check in &report.checks {
        let class = if check.ok { "good" } else { "bad" };
        let _ = write!(page, "<li class=\"{class}\">{}", escaped(&check.claim));
        if let Some(faults) = &check.faults {
            let _ = write!(page, " ({} times)<ul>", faults.count);
            faults.examples.iter().for_each(|example| {
                let _ = write!(page, "<li>{}</li>", escaped(example));
            });
            page.push_str("</ul>");
        }
        page.push_str("</li>\n");
    }
    page.push_str("</ul>\n");
}

fn figures(page: &mut String, report: &Report) {
    let mut latencies = String::new();
    let mut plain = String::new();
    for figure in &report.figures {
        let label = escaped(&figure.label);
        match &figure.value {
            Value::Latency(summary) => {
                row(&mut latencies, "td", &[vec![label], summary.cells().to_vec()].concat());
            }
            Value::Rows(heads, rows) => {
                let mut table = String::new();
                row(&mut table, "th", &heads.iter().map(|head| head.replace('_', " ")).collect::<Vec<_>>());
                rows.iter().for_each(|cells| {
                    row(&mut table, "td", &cells.iter().map(|cell| escaped(&shown(cell))).collect::<Vec<_>>());
                });
                let _ = writeln!(page, "<h2>By {label}</h2>\n<table>\n{table}</table>");
            }
            other => row(&mut plain, "td", &[label, escaped(&shown(other))]),
        }
    }
    if !latencies.is_empty() {
        let mut head = String::new();
        row(&mut head, "th", &["", "count", "p50", "p95", "p99", "p99.9", "max"].map(str::to_owned));
        let _ = writeln!(page, "<h2>Latencies</h2>\n<table>\n{head}{latencies}</table>");
    }
    if !plain.is_empty() {
        let _ = writeln!(page, "<h2>Figures</h2>\n<table>\n{plain}</table>");
    }
}

fn row(table: &mut String, cell: &str, cells: &[String]) {
    let cells: String = cells.iter().map(|text| format!("<{cell}>{text}</{cell}>")).collect();
    let _ = writeln!(table, "<tr>{cells}</tr>");
}

fn plots(page: &mut String, series: &[Sample]) {
    if series.len() < 2 {
        return;
    }
    let over_time = |of: &dyn Fn(&Sample) -> Option<f64>| -> Vec<(f64, f64)> {
        series.iter().filter_map(|sample| Some((sample.at, of(sample)?))).collect()
    };
    let mebibytes = |sample: &Sample| sample.server_rss_bytes.map(|bytes| bytes as f64 / f64::from(1 << 20));
    let plots = [
        Plot::new("end of speech → final, beyond the endpointing time", "ms")
            .line("p50", over_time(&|sample| sample.final_p50_ms))
            .line("p99", over_time(&|sample| sample.final_p99_ms)),
        Plot::new("sessions open", "").line("open", over_time(&|sample| Some(sample.open as f64))),
        Plot::new("CPU; 100 % is one core", "%")
            .line("server", over_time(&|sample| sample.server_cpu_percent))
            .line("generator", over_time(&|sample| Some(sample.generator_cpu_percent))),
        Plot::new("memory of the server's processes", "MiB").line("resident", over_time(&mebibytes)),
    ];
    page.push_str("<h2>Over time</h2>\n<div class=\"plots\">\n");
    plots.iter().filter_map(Plot::svg).for_each(|svg| page.push_str(&svg));
    page.push_str("</div>\n");
}

/// Text that came from a server stays text.
pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_server_says_cannot_become_markup() {
        let mut report = Report::new("pace", "1 session".into());
        report.check("all is well", false, || "<script>alert(1)</script>".into());
        let page = html(&report);
        assert!(!page.contains("<script"), "{page}");
        assert!(page.contains("&lt;script&gt;"), "{page}");
    }

    #[test]
    fn a_run_is_plotted_over_its_time() {
        let sample = |at: f64| Sample {
            at,
            open: 10,
            frames: 0,
            server_cpu_percent: Some(50.0),
            server_rss_bytes: None,
            generator_cpu_percent: 5.0,
            final_p50_ms: None,
            final_p99_ms: Some(at),
        };
        let report = Report { series: vec![sample(1.0), sample(2.0), sample(3.0)], ..Report::default() };
        let page = html(&report);
        assert_eq!(page.matches("<svg").count(), 3, "memory is not known: {page}");
        assert_eq!(page.matches("<polyline").count(), 4, "{page}");
    }
}
