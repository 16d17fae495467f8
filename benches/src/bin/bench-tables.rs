//! `bench-tables [DIR]`: the tables of docs/performance.md out of what criterion left behind in `target/criterion`.
//!
//! Medians, rows in the order in which they were measured. Where a group has a first row that the others stand beside, a column
//! says how much more they take.

use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::Context;
use serde::Deserialize;

/// A group of benchmarks and how it is shown.
struct Table {
    group: &'static str,
    title: &'static str,
    /// Whether the first row is what the others are held against.
    has_baseline: bool,
}

const TABLES: [Table; 11] = [
    Table { group: "chunk", title: "Tracing a chunk of 20 ms", has_baseline: true },
    Table { group: "ten seconds of a session", title: "Ten seconds of a session", has_baseline: false },
    Table { group: "vad", title: "Voice activity, per frame of 20 ms", has_baseline: false },
    Table { group: "resampling", title: "Resampling 20 ms to 16 kHz, by rate in Hz", has_baseline: false },
    Table { group: "decoding", title: "Decoding 20 ms at 16 kHz", has_baseline: false },
    Table { group: "intake", title: "From bytes to 16 kHz, 20 ms", has_baseline: false },
    Table { group: "event to JSON", title: "Writing an event", has_baseline: false },
    Table { group: "message from JSON", title: "Reading a client's message", has_baseline: false },
    Table { group: "handshake", title: "Reading a session's parameters", has_baseline: false },
    Table { group: "reserve and release", title: "A slot in the registry, by number of workers", has_baseline: false },
    Table { group: "allocate and release", title: "A whole allocation, by number of workers", has_baseline: false },
];

/// One row.
struct Measured {
    name: String,
    nanos: f64,
    at: SystemTime,
}

#[derive(Deserialize)]
struct Benchmark {
    group_id: String,
    function_id: Option<String>,
    value_str: Option<String>,
}

#[derive(Deserialize)]
struct Estimates {
    median: Estimate,
}

#[derive(Deserialize)]
struct Estimate {
    point_estimate: f64,
}

fn main() -> anyhow::Result<()> {
    let given = std::env::args().nth(1).map(PathBuf::from);
    let folder = given.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/criterion"));
    let mut measured = Vec::new();
    collect(&folder, &mut measured)
        .with_context(|| format!("{} (made by `cargo bench -p dalston-benches`)", folder.display()))?;
    for table in TABLES {
        let mut rows: Vec<&Measured> =
            measured.iter().filter(|(group, _)| group == table.group).map(|(_, row)| row).collect();
        rows.sort_by_key(|row| row.at);
        print(&table, &rows);
    }
    Ok(())
}

/// Finds every `new` folder: there criterion keeps the latest results of a benchmark.
fn collect(folder: &Path, measured: &mut Vec<(String, Measured)>) -> anyhow::Result<()> {
    for entry in std::fs::read_dir(folder)? {
        let path = entry?.path();
        if path.ends_with("new") {
            measured.push(read(&path)?);
        } else if path.is_dir() {
            collect(&path, measured)?;
        }
    }
    Ok(())
}

fn read(folder: &Path) -> anyhow::Result<(String, Measured)> {
    let benchmark: Benchmark = serde_json::from_slice(&std::fs::read(folder.join("benchmark.json"))?)?;
    let estimates = folder.join("estimates.json");
    let at = estimates.metadata()?.modified()?;
    let estimates: Estimates = serde_json::from_slice(&std::fs::read(estimates)?)?;
    let name = benchmark.function_id.or(benchmark.value_str).unwrap_or_default();
    Ok((benchmark.group_id, Measured { name, nanos: estimates.median.point_estimate, at }))
}

fn print(table: &Table, rows: &[&Measured]) {
    let Some(first) = rows.first() else { return };
    println!("### {}\n", table.title);
    if table.has_baseline {
        println!("| | median | added |\n| --- | ---: | ---: |");
    } else {
        println!("| | median |\n| --- | ---: |");
    }
    for row in rows {
        let added = if table.has_baseline { format!(" {} |", time(row.nanos - first.nanos)) } else { String::new() };
        println!("| {} | {} |{added}", row.name, time(row.nanos));
    }
    println!();
}

/// Three digits and a unit.
fn time(nanos: f64) -> String {
    match nanos.abs() {
        0.0..1e3 => format!("{} ns", digits(nanos)),
        1e3..1e6 => format!("{} µs", digits(nanos / 1e3)),
        _ => format!("{} ms", digits(nanos / 1e6)),
    }
}

fn digits(value: f64) -> String {
    let decimals = match value.abs() {
        0.0..10.0 => 2,
        10.0..100.0 => 1,
        _ => 0,
    };
    format!("{value:.decimals$}")
}
