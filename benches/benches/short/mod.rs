//! The short form: all groups together within five minutes on two busy cores.
//!
//! For less noise, `cargo bench -p dalston-benches -- --measurement-time 10 --sample-size 100`.

use std::time::Duration;

use criterion::Criterion;

/// Half a second of samples for each row, after a tenth to warm up.
pub fn short() -> Criterion {
    Criterion::default()
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(500))
        .sample_size(30)
}
