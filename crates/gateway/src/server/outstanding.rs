//! What the kernel still holds of what was written to a socket.

#![allow(unsafe_code, reason = "rustix has the means for ioctls, but not this one")]

use std::{ffi::c_int, io, os::fd::AsFd};

use rustix::ioctl::{Getter, Opcode, ioctl};

/// tcp(7): bytes that are not sent, or sent and not acknowledged. It is Linux's other name for `TIOCOUTQ`.
const SIOCOUTQ: Opcode = 0x5411;

/// Bytes that the peer's kernel has not taken.
///
/// # Errors
/// A socket that has failed.
pub(super) fn outstanding(socket: impl AsFd) -> io::Result<u64> {
    // SAFETY: this opcode writes one `int` and reads nothing, on any file descriptor that knows it; others refuse it.
    let bytes = unsafe { ioctl(socket, Getter::<SIOCOUTQ, c_int>::new()) }?;
    Ok(bytes.unsigned_abs().into())
}
