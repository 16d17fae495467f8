//! The router among workers that behave in every way a worker can.

mod cancellation;
mod leases;
mod refusals;
mod spans;
mod stage;
mod watched;
