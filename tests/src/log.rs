//! A server's log, line by line.

use std::fmt;

use serde_json::Value;

/// Every line that a server has written to standard error.
#[derive(Debug, Clone, Default)]
pub struct Log(Vec<String>);

impl Log {
    /// One more line.
    pub fn push(&mut self, line: String) {
        self.0.push(line);
    }

    /// The lines as they are.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    /// The lines as JSON. A line that is none fails the test: one JSON object a line is the log's contract.
    pub fn records(&self) -> Vec<Value> {
        self.0.iter().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
    }

    /// The records of one event.
    pub fn of_event(&self, event: &str) -> Vec<Value> {
        self.records().into_iter().filter(|record| record["event"] == event).collect()
    }

    /// Whether any line has this in it.
    pub fn contains(&self, text: &str) -> bool {
        self.0.iter().any(|line| line.contains(text))
    }

    /// Warnings and errors that have none of these in them.
    pub fn unexpected(&self, expected: &[&str]) -> Vec<String> {
        let is_loud = |line: &str| {
            serde_json::from_str::<Value>(line)
                .map_or(true, |record| matches!(record["level"].as_str(), Some("WARN" | "ERROR")))
        };
        let is_expected = |line: &str| expected.iter().any(|part| line.contains(part));
        self.0.iter().filter(|line| is_loud(line) && !is_expected(line)).cloned().collect()
    }
}

impl fmt::Display for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join("\n"))
    }
}
