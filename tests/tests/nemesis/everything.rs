//! A minute in which everything fails, from a seed that is always the same: the faults are, what comes of them is up to the
//! machine. Longer, and with other seeds: `make nemesis`.

use std::time::Duration;

use dalston_tests::nemesis::{Options, run};

const SEED: u64 = 1;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_promise_holds_whatever_fails() {
    let report = run(Options { seed: SEED, length: Duration::from_secs(60) }).await;
    println!("{report}");
    let totals = report.totals();
    for (what, least) in [("faults", 25), ("sessions", 40), ("finals", 80), ("jobs", 30), ("tasks committed", 60)] {
        assert!(totals[what] >= least, "only {} {what}: that says nothing", totals[what]);
    }
    assert!(report.violations.is_empty(), "{}", report.complaint());
}
