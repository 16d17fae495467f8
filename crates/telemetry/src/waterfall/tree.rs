//! From a flat list of spans to the rows of a waterfall.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::names::key;
use crate::record::SpanRecord;
use crate::waterfall::critical::Step;
use crate::waterfall::summary::queue_wait;

/// More siblings of one name than this are told in one row.
const FOLD_ABOVE: usize = 6;
/// Deeper than any trace of ours; what lies below is left out, since a file of spans may come from anywhere.
const MAX_DEPTH: usize = 64;

/// A line to draw.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row<'a> {
    pub(super) depth: usize,
    pub(super) what: What<'a>,
    pub(super) start: u64,
    pub(super) end: u64,
    /// When it could have started: earlier, if it stood in a queue.
    pub(super) ready: u64,
    /// Whether some of it is on the critical path.
    pub(super) is_critical: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub(super) enum What<'a> {
    Span(&'a SpanRecord),
    /// Many siblings of one name.
    Folded {
        first: &'a SpanRecord,
        spans: usize,
        /// How many operations they stand for.
        stands_for: f64,
        longest: u64,
        errors: usize,
    },
    /// A span that has not ended, known by its children only.
    Open,
}

/// Siblings are told apart by what an operator would call them.
type FoldKey<'a> = (&'a str, &'a str, &'a str);

struct Tree<'a> {
    critical: HashSet<&'a str>,
    children: HashMap<&'a str, Vec<&'a SpanRecord>>,
}

/// The rows of `spans`, whose critical path is `path`, depth first, siblings by start.
pub(super) fn rows<'a>(spans: &'a [SpanRecord], path: &[Step<'a>]) -> Vec<Row<'a>> {
    let known: HashSet<&str> = spans.iter().map(|span| span.span_id.as_str()).collect();
    let mut children: HashMap<&str, Vec<&SpanRecord>> = HashMap::new();
    let mut roots = Vec::new();
    for span in spans {
        match span.parent_span_id.as_deref() {
            Some(parent) if known.contains(parent) || !span.parent_is_remote => {
                children.entry(parent).or_default().push(span);
            }
            _ => roots.push(span),
        }
    }
    for siblings in children.values_mut() {
        siblings.sort_by_key(|span| (span.start_unix_nanos, span.end_unix_nanos()));
    }
    let mut open: Vec<&str> = children.keys().copied().filter(|parent| !known.contains(parent)).collect();
    let critical = path.iter().filter(|step| !step.is_wait).map(|step| step.span.span_id.as_str()).collect();
    let tree = Tree { critical, children };
    let first_start = |parent: &str| tree.children[parent][0].start_unix_nanos;
    open.sort_by_key(|parent| (first_start(parent), *parent));
    roots.sort_by_key(|span| span.start_unix_nanos);

    let mut rows = Vec::with_capacity(spans.len() + open.len());
    for root in roots {
        tree.walk(root, 0, &mut rows);
    }
    for parent in open {
        tree.walk_open(parent, &mut rows);
    }
    rows
}

impl<'a> Tree<'a> {
    fn walk(&self, span: &'a SpanRecord, depth: usize, rows: &mut Vec<Row<'a>>) {
        let (start, end) = (span.start_unix_nanos, span.end_unix_nanos());
        let ready = start.saturating_sub(queue_wait(span));
        rows.push(Row { depth, what: What::Span(span), start, end, ready, is_critical: self.is_critical(span) });
        self.walk_children(&span.span_id, depth + 1, rows);
    }

    fn walk_open(&self, parent: &'a str, rows: &mut Vec<Row<'a>>) {
        let orphans = &self.children[parent];
        let start = orphans.iter().map(|span| span.start_unix_nanos).min().unwrap_or_default();
        let end = orphans.iter().map(|span| span.end_unix_nanos()).max().unwrap_or_default();
        rows.push(Row { depth: 0, what: What::Open, start, end, ready: start, is_critical: false });
        self.walk_children(parent, 1, rows);
    }

    fn walk_children(&self, parent: &str, depth: usize, rows: &mut Vec<Row<'a>>) {
        let Some(siblings) = self.children.get(parent).filter(|_| depth <= MAX_DEPTH) else { return };
        let mut by_name: BTreeMap<FoldKey<'a>, Vec<&'a SpanRecord>> = BTreeMap::new();
        for span in siblings.iter().filter(|span| !self.children.contains_key(span.span_id.as_str())) {
            by_name.entry(fold_key(span)).or_default().push(span);
        }
        by_name.retain(|_, spans| spans.len() > FOLD_ABOVE);
        let mut folded: HashSet<FoldKey<'a>> = HashSet::new();
        for span in siblings {
            let key = fold_key(span);
            let is_leaf = !self.children.contains_key(span.span_id.as_str());
            match by_name.get(&key).filter(|_| is_leaf) {
                None => self.walk(span, depth, rows),
                Some(group) if folded.insert(key) => rows.push(self.fold(group, depth)),
                Some(_) => {}
            }
        }
    }

    fn is_critical(&self, span: &SpanRecord) -> bool {
        self.critical.contains(span.span_id.as_str())
    }

    fn fold(&self, group: &[&'a SpanRecord], depth: usize) -> Row<'a> {
        let start = group.iter().map(|span| span.start_unix_nanos).min().unwrap_or_default();
        let weight = |span: &&SpanRecord| span.attributes.get(key::ADJUSTED_COUNT.as_str())?.as_f64();
        Row {
            depth,
            what: What::Folded {
                first: group[0],
                spans: group.len(),
                stands_for: group.iter().map(|span| weight(span).unwrap_or(1.0)).sum(),
                longest: group.iter().map(|span| span.duration_nanos).max().unwrap_or_default(),
                errors: group.iter().filter(|span| span.status == "error").count(),
            },
            start,
            ready: start,
            is_critical: group.iter().any(|span| self.is_critical(span)),
            end: group.iter().map(|span| span.end_unix_nanos()).max().unwrap_or_default(),
        }
    }
}

fn fold_key(span: &SpanRecord) -> FoldKey<'_> {
    let kind = span.attributes.get(key::TRANSCRIPT_KIND.as_str()).and_then(|kind| kind.as_str());
    (&span.service, &span.name, kind.unwrap_or_default())
}
