//! A trace as an indented tree with lanes, bars and durations, for a terminal.
//!
//! * Bars share one time scale, from the earliest start to the end of the critical path. What comes after it, as messages to webhooks
//!   do, stands at the right edge.
//! * A span is known only once it has ended. While a session is open its parents are missing; then their children stand
//!   below a row `(still open)`.
//! * More than six siblings of one name and without children of their own fold into one row, which says how many spans
//!   there are, how many operations they stand for, and the longest.
//! * How long a task waited in its queue stands before its bar, as a light line.
//! * What is on the [critical path](critical_path) is marked at the end of its row.

mod critical;
mod summary;
mod tree;

pub use critical::{Step, critical_path};
pub use summary::summary;

use std::fmt::Write;

use crate::names::key;
use crate::record::SpanRecord;
use tree::{Row, What};

/// Below this a row has no bar.
const MIN_BAR: usize = 8;
const DURATION: usize = 9;
/// The mark of the critical path.
const MARK: usize = 2;

/// Draws `spans` (of one trace, in any order) in `width` columns; `colour` adds ANSI codes. No spans give an empty text.
pub fn render(spans: &[SpanRecord], width: usize, colour: bool) -> String {
    let path = critical_path(spans);
    let rows = tree::rows(spans, &path);
    let Some(start) = rows.iter().map(|row| row.ready).min() else { return String::new() };
    let last = || rows.iter().map(|row| row.end).max().unwrap_or(start);
    let end = path.last().map_or_else(last, |step| step.end).max(start);
    let canvas = Canvas::new(&rows, width, colour, start, end);
    let trace_id = spans.first().map_or("", |span| span.trace_id.as_str());
    let mut text = format!("trace {trace_id}  {}  {} spans\n", duration(end - start), spans.len());
    for row in &rows {
        canvas.draw(row, &mut text);
    }
    text
}

struct Canvas {
    service: usize,
    name: usize,
    bar: usize,
    colour: bool,
    start: u64,
    length: u64,
    lanes: Vec<String>,
}

impl Canvas {
    fn new(rows: &[Row<'_>], width: usize, colour: bool, start: u64, end: u64) -> Self {
        let mut lanes: Vec<String> = Vec::new();
        for row in rows {
            let lane = service(row);
            if !lane.is_empty() && !lanes.iter().any(|known| known == lane) {
                lanes.push(lane.to_owned());
            }
        }
        let service = lanes.iter().map(|lane| lane.chars().count()).max().unwrap_or(0);
        let widest = rows.iter().map(|row| label(row).chars().count()).max().unwrap_or(0);
        let room = width.saturating_sub(service + DURATION + 4 + MARK);
        // Names come first; a bar takes what they leave, and at least a third where there is room for both.
        let name = widest.min((room * 2 / 3).max(room.saturating_sub(40)));
        let bar = room.saturating_sub(name + 2);
        Self { service, name, bar, colour, start, length: (end - start).max(1), lanes }
    }

    fn draw(&self, row: &Row<'_>, text: &mut String) {
        let lane = service(row);
        let (tint, reset) = if self.colour { (self.tint(row), "\u{1b}[0m") } else { ("", "") };
        let label = clip(&label(row), self.name);
        let took = match row.what {
            What::Open => "…".to_owned(),
            What::Folded { longest, .. } => format!("≤{}", duration(longest)),
            What::Span(span) => duration(span.duration_nanos),
        };
        let _ = write!(text, "{tint}{lane:<0$}{reset}  {label:<1$}", self.service, self.name);
        if self.bar >= MIN_BAR {
            let _ = write!(text, "  {tint}{}{reset}", self.bar(row));
        }
        let mark = if row.is_critical { " ●" } else { "" };
        let _ = writeln!(text, " {took:>DURATION$}{mark}");
    }

    fn bar(&self, row: &Row<'_>) -> String {
        let column = |at: u64| {
            let at = (at - self.start).min(self.length);
            (u128::from(at) * self.bar as u128 / u128::from(self.length)) as usize
        };
        let from = column(row.start).min(self.bar - 1);
        let to = column(row.end).clamp(from + 1, self.bar);
        let mark = match row.what {
            What::Span(span) if span.duration_nanos < self.length / (self.bar as u64 * 2) => "▏",
            What::Span(_) => "█",
            What::Folded { .. } => "░",
            What::Open => "─",
        };
        let waiting = from - column(row.ready).min(from);
        let (before, after) = (" ".repeat(from - waiting), " ".repeat(self.bar - to));
        format!("{before}{}{}{after}", "┄".repeat(waiting), mark.repeat(to - from))
    }

    fn tint(&self, row: &Row<'_>) -> &'static str {
        const LANES: [&str; 5] = ["\u{1b}[36m", "\u{1b}[35m", "\u{1b}[32m", "\u{1b}[34m", "\u{1b}[33m"];
        let failed = match row.what {
            What::Span(span) => span.status == "error",
            What::Folded { errors, .. } => errors > 0,
            What::Open => false,
        };
        let lane = self.lanes.iter().position(|lane| lane == service(row));
        match (failed, lane) {
            (true, _) => "\u{1b}[31m",
            (false, Some(lane)) => LANES[lane % LANES.len()],
            (false, None) => "",
        }
    }
}

fn service<'a>(row: &Row<'a>) -> &'a str {
    match row.what {
        What::Span(span) | What::Folded { first: span, .. } => &span.service,
        What::Open => "",
    }
}

/// The name with what an operator wants to know at a glance.
fn label(row: &Row<'_>) -> String {
    let mut label = "  ".repeat(row.depth);
    match &row.what {
        What::Open => label.push_str("(still open)"),
        What::Span(span) => {
            label.push_str(&span.name);
            let told = [key::TRANSCRIPT_KIND, key::OUTCOME, key::SAMPLING_REASON];
            for word in told.iter().filter_map(|key| span.attributes.get(key.as_str())?.as_str()) {
                let _ = write!(label, " {word}");
            }
            if span.status == "error" {
                label.push_str(" ✗");
            }
        }
        What::Folded { first, spans, stands_for, errors, .. } => {
            label.push_str(&first.name);
            if let Some(kind) = first.attributes.get(key::TRANSCRIPT_KIND.as_str()).and_then(|kind| kind.as_str()) {
                let _ = write!(label, " {kind}");
            }
            let _ = write!(label, " ×{spans}");
            if stands_for.round() > *spans as f64 {
                let _ = write!(label, " (for ~{stands_for:.0})");
            }
            if *errors > 0 {
                let _ = write!(label, " ✗{errors}");
            }
        }
    }
    // Names may come from a server that is not ours.
    label.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c }).collect()
}

fn clip(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    text.chars().take(width.saturating_sub(1)).chain(['…']).take(width).collect()
}

/// Three digits and a unit.
fn duration(nanos: u64) -> String {
    let value = nanos as f64;
    let (value, unit) = match nanos {
        0..1_000 => (value, "ns"),
        1_000..1_000_000 => (value / 1e3, "µs"),
        1_000_000..1_000_000_000 => (value / 1e6, "ms"),
        _ => (value / 1e9, "s"),
    };
    let digits = if unit == "ns" || value >= 99.95 { 0 } else { usize::from(value < 9.995) + 1 };
    format!("{value:.digits$} {unit}")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    /// `id parent service name start end`, times in milliseconds.
    pub(super) fn span(id: &str, parent: &str, service: &str, name: &str, from: u64, to: u64) -> SpanRecord {
        SpanRecord {
            trace_id: "4bf92f3577b34da6a3ce929d0e0e4736".to_owned(),
            span_id: id.to_owned(),
            parent_span_id: (!parent.is_empty()).then(|| parent.to_owned()),
            parent_is_remote: parent == "client",
            name: name.to_owned(),
            service: service.to_owned(),
            kind: "internal".to_owned(),
            start_unix_nanos: from * 1_000_000,
            duration_nanos: (to - from) * 1_000_000,
            status: "unset".to_owned(),
            status_message: None,
            attributes: Default::default(),
            events: Vec::new(),
            links: Vec::new(),
        }
    }

    fn check(spans: &[SpanRecord], width: usize, expected: &str) {
        let drawn = render(spans, width, false);
        let trimmed = |text: &str| text.trim().lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>();
        assert_eq!(trimmed(&drawn), trimmed(expected), "\n{drawn}");
        assert!(drawn.lines().skip(1).all(|line| line.chars().count() <= width), "wider than {width}:\n{drawn}");
    }

    fn session() -> Vec<SpanRecord> {
        let mut last = span("final", "session", "realtime", "generate_transcript", 900, 950);
        last.attributes.insert(key::TRANSCRIPT_KIND.as_str().to_owned(), json!("final"));
        let mut failed = span("allocate", "ws", "router", "allocate", 0, 1);
        failed.status = "error".to_owned();
        vec![
            last,
            span("session", "allocate", "realtime", "session", 1, 999),
            failed,
            span("start", "session", "realtime", "session_start", 1, 1),
            span("ws", "client", "gateway", "WebSocket /stream", 0, 1000),
        ]
    }

    #[test]
    fn a_session_is_a_tree_with_lanes_and_bars() {
        check(
            &session(),
            80,
            "
trace 4bf92f3577b34da6a3ce929d0e0e4736  1.00 s  5 spans
gateway   WebSocket /stream                ████████████████████████    1.00 s ●
router      allocate ✗                     ▏                          1.00 ms ●
realtime      session                      ███████████████████████     998 ms ●
realtime        session_start              ▏                             0 ns
realtime        generate_transcript final                       █     50.0 ms ●",
        );
    }

    #[test]
    fn an_open_session_shows_what_it_did_so_far() {
        let open: Vec<_> = session().into_iter().filter(|span| !["ws", "session"].contains(&&*span.span_id)).collect();
        check(
            &open,
            80,
            "
trace 4bf92f3577b34da6a3ce929d0e0e4736  950 ms  3 spans
          (still open)                 ─                                    …
router      allocate ✗                 ▏                              1.00 ms ●
          (still open)                 ────────────────────────────         …
realtime    session_start              ▏                                 0 ns
realtime    generate_transcript final                            ██   50.0 ms ●",
        );
    }

    #[test]
    fn many_siblings_fold_and_say_how_many_they_stand_for() {
        let mut spans = vec![span("session", "", "realtime", "session", 0, 1000)];
        for n in 0..10 {
            let mut chunk = span(&format!("c{n}"), "session", "realtime", "chunk", n * 100, n * 100 + n);
            chunk.attributes.insert(key::ADJUSTED_COUNT.as_str().to_owned(), json!(100.0));
            spans.push(chunk);
        }
        check(
            &spans,
            72,
            "
trace 4bf92f3577b34da6a3ce929d0e0e4736  1.00 s  11 spans
realtime  session                  ████████████████████████    1.00 s ●
realtime    chunk ×10 (for ~1000)  ░░░░░░░░░░░░░░░░░░░░░     ≤9.00 ms ●",
        );
    }

    #[test]
    fn a_wait_stands_before_the_bar_and_the_critical_path_is_marked() {
        let mut process = span("process", "post", "engine", "process", 600, 1000);
        process.attributes.insert(key::QUEUE_WAIT_SECONDS.as_str().to_owned(), json!(0.5));
        check(
            &[
                span("post", "", "gateway", "post", 0, 100),
                span("aside", "process", "engine", "aside", 650, 650),
                process,
            ],
            60,
            "
trace 4bf92f3577b34da6a3ce929d0e0e4736  1.00 s  3 spans
gateway  post       ██                             100 ms ●
engine     process    ┄┄┄┄┄┄┄┄┄┄┄┄┄┄███████████    400 ms ●
engine       aside                   ▏               0 ns",
        );
    }

    #[test]
    fn messages_to_webhooks_stretch_neither_the_scale_nor_the_critical_path() {
        check(
            &[
                span("post", "", "gateway", "post", 0, 500),
                span("done", "post", "engine", "done", 500, 1000),
                span("deliver", "done", "engine", "orchestrator.deliver_webhook", 1000, 9000),
                span("http", "deliver", "engine", "POST", 1000, 9000),
            ],
            60,
            "
trace 4bf92f3577b34da6a3ce929d0e0e4736  1.00 s  4 spans
gateway  post                       █████          500 ms ●
engine     done                          ██████    500 ms ●
engine       orchestrator.deliver…            █    8.00 s
engine         POST                           █    8.00 s",
        );
    }

    #[test]
    fn a_narrow_terminal_gets_no_bars_and_a_hostile_name_moves_no_cursor() {
        let evil = span("1", "", "svc", "\u{1b}[2Jname that is much too long for this", 0, 1);
        check(
            &[evil],
            36,
            "trace 4bf92f3577b34da6a3ce929d0e0e4736  1.00 ms  1 spans\nsvc  \u{fffd}[2Jname th…   1.00 ms ●",
        );
    }

    #[test]
    fn durations_have_three_digits() {
        let cases =
            [(0, "0 ns"), (999, "999 ns"), (1_500, "1.50 µs"), (12_340_000, "12.3 ms"), (3_600_000_000_000, "3600 s")];
        for (nanos, expected) in cases {
            assert_eq!(duration(nanos), expected);
        }
    }

    #[test]
    fn nothing_is_drawn_of_nothing() {
        assert_eq!(render(&[], 80, true), "");
    }

    #[test]
    fn a_cycle_of_parents_is_left_out() {
        assert_eq!(render(&[span("1", "1", "svc", "loop", 0, 1)], 80, false), "");
    }
}
