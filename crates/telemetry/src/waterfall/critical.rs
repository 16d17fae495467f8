//! What a trace's end waited for: the chain of spans that finished last, back to its beginning.
//!
//! From its end backwards, each span hands over to the child that finished last before that moment; what no child covers is the
//! span's own work, or waiting, where it had ended already and the next had not begun, as between a message and its receiver. The steps
//! tile the trace: they follow on one another without gap or overlap, and their lengths add up to its length.

use std::collections::{HashMap, HashSet};

use crate::names::span::DELIVER_WEBHOOK;
use crate::record::SpanRecord;

/// Deeper than any trace of ours; what lies below is its ancestor's work.
const MAX_DEPTH: usize = 64;

/// A stretch of the critical path. Times are nanoseconds since 1970.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Step<'a> {
    /// Who worked, or who was waited for.
    pub span: &'a SpanRecord,
    /// Whether nobody worked, and this span was yet to begin.
    pub is_wait: bool,
    /// Its beginning.
    pub start: u64,
    /// Its end.
    pub end: u64,
}

impl Step<'_> {
    /// How long it took.
    pub fn nanos(&self) -> u64 {
        self.end - self.start
    }
}

/// The critical path of one trace, in order. What cannot be reached from a root, or from a parent that has not ended, is left out,
/// and so are messages to webhooks: they are sent when the job has ended, and again for hours if nobody takes them.
pub fn critical_path(spans: &[SpanRecord]) -> Vec<Step<'_>> {
    let tops = Node::tops(spans);
    let mut path = Path::default();
    if let (Some(from), Some(to)) = (tops.iter().map(|top| top.from).min(), tops.iter().map(|top| top.to).max()) {
        path.walk(None, tops, from, to);
    }
    path.in_order()
}

/// How many spans stand alone: one, the root, in a trace that is whole.
pub(super) fn tops(spans: &[SpanRecord]) -> usize {
    Node::tops(spans).len()
}

/// A span with all that it led to.
struct Node<'a> {
    span: &'a SpanRecord,
    children: Vec<Node<'a>>,
    /// Its beginning.
    from: u64,
    /// The end of the last of it: a message's receiver begins when its sender has ended.
    to: u64,
}

impl<'a> Node<'a> {
    /// The roots, and those whose parents are not there.
    fn tops(spans: &'a [SpanRecord]) -> Vec<Self> {
        let known: HashSet<&str> = spans.iter().map(|span| span.span_id.as_str()).collect();
        let mut children: HashMap<&str, Vec<&SpanRecord>> = HashMap::new();
        let mut tops = Vec::new();
        for span in spans.iter().filter(|span| span.name != DELIVER_WEBHOOK) {
            match span.parent_span_id.as_deref().filter(|parent| known.contains(parent)) {
                Some(parent) => children.entry(parent).or_default().push(span),
                None => tops.push(span),
            }
        }
        tops.into_iter().map(|span| Self::of(span, &mut children, 0)).collect()
    }

    /// Children are taken out, so that an id that stands twice has them once.
    fn of(span: &'a SpanRecord, all: &mut HashMap<&str, Vec<&'a SpanRecord>>, depth: usize) -> Self {
        let children = if depth < MAX_DEPTH { all.remove(span.span_id.as_str()) } else { None };
        let children: Vec<Self> =
            children.unwrap_or_default().into_iter().map(|child| Self::of(child, all, depth + 1)).collect();
        let from = span.start_unix_nanos;
        let to = children.iter().map(|child| child.to).fold(span.end_unix_nanos(), u64::max);
        Self { span, children, from, to }
    }
}

/// Built from its end.
#[derive(Default)]
struct Path<'a> {
    backwards: Vec<Step<'a>>,
    /// What comes after all steps.
    last: Option<&'a SpanRecord>,
}

impl<'a> Path<'a> {
    /// Tiles what lies between two times with this span and its children.
    fn walk(&mut self, span: Option<&'a SpanRecord>, mut children: Vec<Node<'a>>, from: u64, to: u64) {
        children.sort_by(|a, b| (b.to, a.from).cmp(&(a.to, b.from)));
        let mut at = to;
        for child in children {
            // Begun later than what is already explained, or nothing of it left within.
            let (begun, ended) = (child.from.max(from), child.to.min(at));
            if begun >= ended {
                // A moment at the very end was waited for, though it took no time itself.
                if self.backwards.is_empty() && child.to >= to {
                    self.last = Some(child.span);
                }
                continue;
            }
            self.own(span, ended, at);
            self.walk(Some(child.span), child.children, begun, ended);
            at = begun;
        }
        self.own(span, from, at);
    }

    /// What no child covers: work as far as the span ran, else waiting.
    fn own(&mut self, span: Option<&'a SpanRecord>, from: u64, to: u64) {
        let ran = span.map_or((from, from), |span| {
            let began = span.start_unix_nanos.clamp(from, to);
            (began, span.end_unix_nanos().clamp(began, to))
        });
        self.wait(ran.1, to);
        if let Some(span) = span {
            self.push(Step { span, is_wait: false, start: ran.0, end: ran.1 });
        }
        self.wait(from, ran.0);
    }

    /// Whatever follows was waited for.
    fn wait(&mut self, start: u64, end: u64) {
        if let Some(span) = self.backwards.last().map(|next| next.span).or(self.last) {
            self.push(Step { span, is_wait: true, start, end });
        }
    }

    fn push(&mut self, step: Step<'a>) {
        if step.start == step.end {
            return;
        }
        match self.backwards.last_mut() {
            Some(next) if next.is_wait == step.is_wait && next.span.span_id == step.span.span_id => {
                next.start = step.start;
            }
            _ => self.backwards.push(step),
        }
    }

    fn in_order(self) -> Vec<Step<'a>> {
        let mut steps = self.backwards;
        steps.reverse();
        steps
    }
}

#[cfg(test)]
mod tests {
    use proptest::{collection::vec, prelude::*};

    use super::super::tests::span;
    use super::*;

    fn told(spans: &[SpanRecord]) -> Vec<(&str, bool, u64)> {
        critical_path(spans).iter().map(|step| (&*step.span.name, step.is_wait, step.nanos() / 1_000_000)).collect()
    }

    #[test]
    fn the_chain_that_finished_last_is_the_critical_path() {
        let spans = [
            span("root", "", "gateway", "root", 0, 100),
            span("short", "root", "engine", "short", 10, 40),
            span("long", "root", "engine", "long", 20, 90),
            span("inner", "long", "engine", "inner", 50, 60),
        ];
        // Before `long` began, `short` was running.
        let expected = [("root", 10), ("short", 10), ("long", 30), ("inner", 10), ("long", 30), ("root", 10)];
        assert_eq!(told(&spans), expected.map(|(name, length)| (name, false, length)));
    }

    #[test]
    fn what_lies_between_a_message_and_its_receiver_is_waiting_for_the_receiver() {
        let spans = [span("post", "", "gateway", "post", 0, 10), span("process", "post", "engine", "process", 40, 100)];
        assert_eq!(told(&spans), [("post", false, 10), ("process", true, 30), ("process", false, 60)]);
    }

    proptest! {
        #[test]
        fn steps_tile_the_trace_and_add_up_to_its_length(
            shape in vec((0..12_usize, 0..200_u64, 0..80_u64), 1..12),
        ) {
            // Each span's parent is an earlier one, itself (a cycle) or nobody; children may outlive and even precede parents.
            let spans: Vec<SpanRecord> = shape.iter().enumerate().map(|(n, (parent, start, length))| {
                let parent = if n == 0 || *parent > n { String::new() } else { format!("s{parent}") };
                span(&format!("s{n}"), &parent, "svc", &format!("s{n}"), *start, start + length)
            }).collect();
            let reached: Vec<&SpanRecord> = {
                let mut reached: Vec<&SpanRecord> = Vec::new();
                for span in &spans {
                    let parent = span.parent_span_id.as_deref();
                    if parent.is_none_or(|parent| reached.iter().any(|known| known.span_id == parent)) {
                        reached.push(span);
                    }
                }
                reached
            };
            let path = critical_path(&spans);
            let tops = reached.iter().filter(|span| span.parent_span_id.is_none());
            let from = tops.map(|span| span.start_unix_nanos).min().expect("the first is a root");
            let to = reached.iter().map(|span| span.end_unix_nanos()).max().expect("the first is there");
            prop_assert!(path.windows(2).all(|pair| pair[0].end == pair[1].start), "{:?}", path);
            prop_assert!(path.iter().all(|step| step.start < step.end));
            prop_assert_eq!(path.iter().map(Step::nanos).sum::<u64>(), to.saturating_sub(from));
            if let (Some(first), Some(last)) = (path.first(), path.last()) {
                prop_assert_eq!((first.start, last.end), (from, to));
            }
            for step in path.iter().filter(|step| !step.is_wait) {
                let span = step.span;
                prop_assert!(span.start_unix_nanos <= step.start && step.end <= span.end_unix_nanos());
            }
        }
    }
}
