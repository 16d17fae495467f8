//! A minute in which everything fails, from a seed that is always the same: the faults are, what comes of them is up to the
//! machine. Longer, and with other seeds: `make nemesis`.

use std::time::Duration;

use dalston_tests::nemesis::{Options, run};

const SEED: u64 = 1;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_promise_holds_whatever_fails() {
    let report = run(Options { seed: SEED, length: Duration::from_secs(60) }).await;
    println!("{report}");
    assert!(report.violations.is_empty(), "{}", report.complaint());
}
