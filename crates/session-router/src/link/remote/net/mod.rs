//! The sockets of the link: the kernel's, and with the feature `simulation` those of a simulated network, inside of one.

mod kernel;
#[cfg(feature = "simulation")]
mod simulated;

#[cfg(not(feature = "simulation"))]
pub(super) use kernel::{Listener, Stream, connect};
#[cfg(feature = "simulation")]
pub(super) use simulated::{Listener, Stream, connect};
