//! The realtime worker: session loop, endpointing, lag.
