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

    /// `[service] name` under its parent, two spaces a level; of brothers with one name only the first, with how many.
    pub fn tree(&self) -> String {
        let mut text = String::new();
        let is_root = |r: &&Received| !self.spans.iter().any(|other| other.span.span_id == r.span.parent_span_id);
        let mut roots: Vec<&Received> = self.spans.iter().filter(is_root).collect();
        roots.sort_by_key(|r| r.span.start_time_unix_nano);
        self.write(&mut text, &roots, 0);
        text
    }

    fn write(&self, text: &mut String, brothers: &[&Received], depth: usize) {
        let mut seen: Vec<&str> = Vec::new();
        for received in brothers {
            let name = received.span.name.as_str();
            if seen.contains(&name) {
                continue;
            }
            seen.push(name);
            text.push_str(&format!("{}[{}] {name}\n", "  ".repeat(depth), received.service));
            let mut children: Vec<&Received> =
                self.spans.iter().filter(|r| r.span.parent_span_id == received.span.span_id).collect();
            children.sort_by_key(|r| r.span.start_time_unix_nano);
            self.write(text, &children, depth + 1);
        }
    }
}
