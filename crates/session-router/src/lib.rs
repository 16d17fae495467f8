//! Registry of realtime workers, allocation, leases and the link to the worker.

#![forbid(unsafe_code)]

pub mod link;
