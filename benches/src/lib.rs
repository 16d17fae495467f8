//! What the benchmarks and the tests of costs share: a chunk of work, and the ways of tracing it.
//!
//! | what | run by | gives |
//! | --- | --- | --- |
//! | `benches/*.rs` | `cargo bench -p dalston-benches` | nanoseconds, by criterion |
//! | `bench-tables` | after it | the tables of docs/performance.md |
//! | `tests/off_means_off.rs` | `cargo test -p dalston-benches` | instructions and allocations of `chunk-cost`, held to limits |

pub mod counting;
pub mod way;
pub mod work;
