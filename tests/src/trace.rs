//! Traces as they arrived at a collector: trees, shown as short indented text.

use std::collections::BTreeMap;

use crate::collector::Received;

/// The spans of one trace.
#[derive(Debug, Clone)]
pub struct Trace {
    /// In the order they came.
    pub spans: Vec<Received>,
}

/// All spans, by trace.
pub fn by_trace(spans: Vec<Received>) -> Vec<Trace> {
    let mut traces: BTreeMap<Vec<u8>, Vec<Received>> = BTreeMap::new();
    for received in spans {
        traces.entry(received.span.trace_id.clone()).or_default().push(received);
    }
    traces.into_values().map(|spans| Trace { spans }).collect()
}

impl Trace {
    /// Spans without a parent in this trace, other than the one whose parent is the caller's.
    pub fn orphans(&self, caller: Option<&[u8]>) -> Vec<&str> {
        let known = |id: &[u8]| self.spans.iter().any(|r| r.span.span_id == id);
        self.spans
            .iter()
            .filter(|r| !r.span.parent_span_id.is_empty() && !known(&r.span.parent_span_id))
            .filter(|r| Some(r.span.parent_span_id.as_slice()) != caller)
            .map(|r| r.span.name.as_str())
            .collect()
    }

    /// Spans of this name.
    pub fn named(&self, name: &str) -> Vec<&Received> {
        self.spans.iter().filter(|r| r.span.name == name).collect()
    }

    /// The one span of this name.
    pub fn only(&self, name: &str) -> &Received {
        match self.named(name)[..] {
            [span] => span,
            ref spans => panic!("{} spans named {name}, not one, in\n{}", spans.len(), self.tree()),
        }
    }

    /// `[service] name` under its parent, two spaces a level; brothers with one name are shown as one, with the children of all.
    pub fn tree(&self) -> String {
        let mut text = String::new();
        let is_root = |r: &&Received| !self.spans.iter().any(|other| other.span.span_id == r.span.parent_span_id);
        let roots: Vec<&Received> = self.spans.iter().filter(is_root).collect();
        self.write(&mut text, roots, 0);
        text
    }

    fn write(&self, text: &mut String, mut brothers: Vec<&Received>, depth: usize) {
        brothers.sort_by_key(|r| r.span.start_time_unix_nano);
        while let Some(first) = brothers.first() {
            let (service, name) = (first.service.as_str(), first.span.name.as_str());
            text.push_str(&format!("{}[{service}] {name}\n", "  ".repeat(depth)));
            let (same, others): (Vec<&Received>, _) = brothers.into_iter().partition(|r| r.span.name == name);
            let is_child = |r: &&Received| same.iter().any(|parent| parent.span.span_id == r.span.parent_span_id);
            self.write(text, self.spans.iter().filter(is_child).collect(), depth + 1);
            brothers = others;
        }
    }
}
