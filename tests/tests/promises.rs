//! The page of promises names tests that exist, for every promise there is.

use std::{fs, path::Path};

const PAGE: &str = include_str!("../../docs/promises.md");
/// How many there are of each kind.
const PROMISES: [(&str, usize); 5] = [("RT", 7), ("JB", 7), ("TL", 5), ("SE", 4), ("OP", 4)];

/// What stands between backticks.
fn quoted(line: &str) -> Vec<&str> {
    line.split('`').skip(1).step_by(2).collect()
}

/// The lines of each promise, under its heading.
fn sections() -> Vec<(&'static str, Vec<&'static str>)> {
    let mut sections: Vec<(&str, Vec<&str>)> = Vec::new();
    for line in PAGE.lines() {
        if let Some(heading) = line.strip_prefix("### ") {
            sections.push((heading.split(' ').next().unwrap_or_default(), Vec::new()));
        } else if line.starts_with("## ") {
            sections.push(("", Vec::new()));
        } else if let Some((_, lines)) = sections.last_mut() {
            lines.push(line);
        }
    }
    sections.retain(|(id, _)| !id.is_empty());
    sections
}

/// Each test that a line such as "* `file.rs`: `one`, `other`" names.
fn tests<'l>(lines: &[&'l str]) -> Vec<(&'l str, &'l str)> {
    let mut named = Vec::new();
    for line in lines {
        let quoted = quoted(line);
        if let Some((file, tests)) =
            quoted.split_first().filter(|(file, _)| line.starts_with("* `") && file.ends_with(".rs"))
        {
            named.extend(tests.iter().map(|test| (*file, *test)));
        }
    }
    named
}

#[test]
fn every_promise_is_there_with_a_test_that_tries_to_break_it() {
    let ids: Vec<String> =
        PROMISES.iter().flat_map(|(kind, count)| (1..=*count).map(move |number| format!("{kind}{number}"))).collect();
    let sections = sections();
    assert_eq!(sections.iter().map(|(id, _)| *id).collect::<Vec<_>>(), ids);
    for (id, lines) in &sections {
        assert!(!tests(lines).is_empty(), "{id} has no test");
    }
}

#[test]
fn every_test_that_is_named_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for (id, lines) in sections() {
        for (file, test) in tests(&lines) {
            let text = fs::read_to_string(root.join(file)).unwrap_or_else(|error| panic!("{id}: {file}: {error}"));
            // A test, a claim of a suite, or one of a harness of its own.
            let is_there = text.contains(&format!("fn {test}(")) || text.contains(&format!("\"{test}\""));
            assert!(is_there, "{id}: {file} has no {test}");
        }
    }
}
