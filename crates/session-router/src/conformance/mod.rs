//! The suites that every implementation of this crate's seams must pass.
