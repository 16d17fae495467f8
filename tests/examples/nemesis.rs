//! `make nemesis`: everything fails, from a seed, under live sessions and jobs, and whether what came of it is what is promised.
//!
//! ```text
//! nemesis --seconds 600 --seed 7      ten minutes of faults; a table of what clients saw, and of what is not as promised
//! nemesis --measure                   how long the loss of a worker and of Redis is felt
//!         --output json               the same for programs
//! ```

use std::{process::ExitCode, time::Duration};

use dalston_tests::nemesis::{Options, measure, run};

/// At one worker that is killed, and while Redis is away.
const SESSIONS: usize = 50;

#[tokio::main]
async fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |name: &str| arguments.iter().any(|argument| argument == name);
    let value = |name: &str| {
        let at = arguments.iter().position(|argument| argument == name)?;
        arguments.get(at + 1).cloned()
    };
    let number = |name: &str, otherwise: u64| {
        value(name).map_or(otherwise, |value| value.parse().unwrap_or_else(|_| panic!("{name} takes a whole number")))
    };
    let is_json = value("--output").is_some_and(|output| output == "json");
    if has("--measure") {
        let mut measures = measure::kill_a_worker(SESSIONS).await;
        measures.extend(measure::take_redis_away(SESSIONS).await);
        measures.extend(measure::split().await);
        if is_json {
            println!("{:#}", measure::json_of(&measures));
        } else {
            for (name, value, unit) in measures {
                println!("| {name} | {value:.3} {unit} |");
            }
        }
        return ExitCode::SUCCESS;
    }
    let options = Options { seed: number("--seed", 1), length: Duration::from_secs(number("--seconds", 600)) };
    let report = run(options).await;
    if is_json {
        println!("{:#}", report.json());
    } else {
        print!("{report}");
    }
    if report.violations.is_empty() {
        return ExitCode::SUCCESS;
    }
    eprintln!("{}", report.complaint());
    ExitCode::FAILURE
}
