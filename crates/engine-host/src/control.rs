//! The control socket: whole messages, one at a time, with a file descriptor beside those that carry one.

use std::io::{self, IoSlice, IoSliceMut};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer, SendAncillaryMessage,
    SendFlags, SocketFlags, SocketType, recvmsg, sendmsg, socketpair,
};

use crate::wire::{MAX_MESSAGE, Message};

/// Both ends. Neither is inherited by programs that are started; the child's end is passed on as its standard input.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(socketpair(AddressFamily::UNIX, SocketType::SEQPACKET, SocketFlags::CLOEXEC, None)?)
}

/// Sends a message. A socket whose other end is gone gives an error and no signal.
pub fn send(socket: impl AsFd, message: &impl Message, beside: Option<BorrowedFd<'_>>) -> io::Result<()> {
    let bytes = message.encode();
    let descriptors: Vec<BorrowedFd<'_>> = beside.into_iter().collect();
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = SendAncillaryBuffer::new(&mut space);
    if !descriptors.is_empty() {
        ancillary.push(SendAncillaryMessage::ScmRights(&descriptors));
    }
    sendmsg(socket, &[IoSlice::new(&bytes)], &mut ancillary, SendFlags::NOSIGNAL)?;
    Ok(())
}

/// Receives a message and the descriptor beside it. `None` when the other end is gone.
///
/// # Errors
/// [`io::ErrorKind::InvalidData`] when the bytes are no message.
pub fn receive<M: Message>(socket: impl AsFd) -> io::Result<Option<(M, Option<OwnedFd>)>> {
    let mut bytes = vec![0; MAX_MESSAGE];
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
    let mut ancillary = RecvAncillaryBuffer::new(&mut space);
    let mut buffers = [IoSliceMut::new(&mut bytes)];
    let received = recvmsg(socket, &mut buffers, &mut ancillary, RecvFlags::CMSG_CLOEXEC)?;
    let mut beside = None;
    for part in ancillary.drain() {
        if let RecvAncillaryMessage::ScmRights(descriptors) = part {
            // Descriptors beyond the first are closed as they drop.
            descriptors.for_each(|descriptor| beside = beside.take().or(Some(descriptor)));
        }
    }
    if received.bytes == 0 {
        return Ok(None);
    }
    let message = M::decode(&bytes[..received.bytes]).map_err(|why| io::Error::new(io::ErrorKind::InvalidData, why))?;
    Ok(Some((message, beside)))
}
