//! What tracing may cost a chunk, in instructions and allocations: both are the same in every run, so a limit can be held.
//!
//! The release build of `chunk-cost` is run under callgrind with two numbers of chunks. The difference is what the chunks
//! cost; what the process itself costs is in both. `cargo test -p dalston-benches -- --nocapture` shows the table.
#![allow(clippy::unwrap_used, reason = "in a test, a panic is the message")]

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

use dalston_benches::way::Way;

const FEW: u64 = 2_000;
/// So many more than `FEW` that a coin of 1 in 100 falls a hundred times.
const MORE: u64 = 12_000;

/// What one chunk costs in one way of tracing.
#[derive(Debug, Clone, Copy)]
struct Cost {
    instructions: f64,
    allocations: f64,
}

impl Cost {
    /// Beyond what the chunk costs without instrumentation.
    fn of(way: Way) -> Self {
        static BARE: OnceLock<Cost> = OnceLock::new();
        let bare = BARE.get_or_init(|| Self::measure(Way::Bare));
        let whole = Self::measure(way);
        let added = Self { instructions: whole.instructions - bare.instructions, ..whole };
        println!("{:40} {:8.1} instructions {:6.2} allocations", way.name(), added.instructions, added.allocations);
        added
    }

    fn measure(way: Way) -> Self {
        let (few, more) = (run(way, FEW), run(way, MORE));
        let a_chunk = |few: u64, more: u64| (more as f64 - few as f64) / (MORE - FEW) as f64;
        Self { instructions: a_chunk(few.0, more.0), allocations: a_chunk(few.1, more.1) }
    }
}

/// Instructions and allocations of a whole run.
fn run(way: Way, chunks: u64) -> (u64, u64) {
    let output = output(
        Command::new("valgrind")
            .args(["--tool=callgrind", "--callgrind-out-file=/dev/null", "--toggle-collect=*chunks*"])
            .arg(chunk_cost())
            .args([way.name(), chunks.to_string()]),
    );
    let report = String::from_utf8(output.stderr).unwrap();
    let instructions = report.lines().find_map(|line| line.split_once("Collected : ")).expect("callgrind says so").1;
    let allocations = String::from_utf8(output.stdout).unwrap();
    (instructions.trim().parse().unwrap(), allocations.trim().parse().unwrap())
}

/// The program, as it is shipped: an unoptimised build has other instructions.
fn chunk_cost() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let output = output(
            Command::new(env!("CARGO"))
                .args(["build", "--release", "--quiet", "--package", "dalston-benches", "--bin", "chunk-cost"])
                .arg("--message-format=json-render-diagnostics")
                .current_dir(env!("CARGO_MANIFEST_DIR")),
        );
        let messages = serde_json::Deserializer::from_slice(&output.stdout).into_iter::<serde_json::Value>();
        let mut built = messages.filter_map(|message| message.unwrap()["executable"].as_str().map(PathBuf::from));
        built.next().expect("cargo says where it is")
    })
}

fn output(command: &mut Command) -> Output {
    let program = command.get_program().to_owned();
    let output = command.output().unwrap_or_else(|error| panic!("{program:?} (apt-get install valgrind): {error}"));
    assert!(output.status.success(), "{program:?}: {}", String::from_utf8_lossy(&output.stderr));
    output
}

#[test]
fn off_costs_a_look_at_a_pointer() {
    for way in [Way::Off, Way::Unsampled] {
        let cost = Cost::of(way);
        assert_eq!(cost.allocations, 0.0, "{way:?}");
        assert!(cost.instructions <= 5.0, "{way:?}: {cost:?}");
    }
}

#[test]
fn off_reads_no_clock() {
    let cost = Cost::of(Way::OffStopwatch);
    assert_eq!(cost.allocations, 0.0);
    assert!(cost.instructions <= 16.0, "{cost:?}");
}

#[test]
fn a_chunk_that_is_not_kept_costs_a_coin() {
    let cost = Cost::of(Way::Rate(0.0));
    assert_eq!(cost.allocations, 0.0);
    assert!(cost.instructions <= 35.0, "{cost:?}");
}

#[test]
fn the_default_rate_costs_little_more_than_the_coin() {
    let cost = Cost::of(Way::Rate(0.01));
    assert!(cost.allocations <= 0.02, "{cost:?}");
    assert!(cost.instructions <= 60.0, "{cost:?}");
}

#[test]
fn a_chunk_span_with_its_attributes_costs_two_allocations_at_most() {
    let cost = Cost::of(Way::Rate(1.0));
    assert!(cost.allocations <= 2.0, "{cost:?}");
    assert!(cost.instructions <= 2_400.0, "{cost:?}");
}

#[test]
fn a_kept_chunk_costs_less_than_in_any_other_way_of_tracing() {
    let ours = Cost::of(Way::Rate(1.0));
    for way in [Way::OpenTelemetry, Way::Tracing, Way::TracingRefused, Way::Fastrace] {
        let theirs = Cost::of(way);
        assert!(ours.instructions < theirs.instructions, "{way:?}: {theirs:?}, ours {ours:?}");
        assert!(ours.allocations < theirs.allocations, "{way:?}: {theirs:?}, ours {ours:?}");
    }
}
