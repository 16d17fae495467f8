//! What a client has said and may have to say again: all that its server has not acknowledged.
//!
//! Pure. Audio is counted in bytes from the session's first, and messages stand between the bytes where they were said.

use std::collections::VecDeque;

use bytes::{Buf, Bytes};
use dalston_protocol::realtime::ClientMessage;

/// What a message counts, so that many of them are bounded too.
const MESSAGE: usize = 256;

/// One thing that is said.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Said {
    Audio(Bytes),
    Message(ClientMessage),
}

/// Bounded in bytes: when it is full, no more is taken until the server has acknowledged some.
#[derive(Debug)]
pub(crate) struct Replay {
    limit: usize,
    size: usize,
    /// Where the first kept byte stands.
    base: u64,
    said: VecDeque<Said>,
    /// How many of them this connection has carried.
    sent: usize,
}

impl Said {
    fn size(&self) -> usize {
        match self {
            Self::Audio(bytes) => bytes.len(),
            Self::Message(_) => MESSAGE,
        }
    }
}

impl Replay {
    pub(crate) fn new(limit: usize) -> Self {
        Self { limit, size: 0, base: 0, said: VecDeque::new(), sent: 0 }
    }

    pub(crate) fn has_room(&self) -> bool {
        self.size < self.limit
    }

    /// Whether this connection has carried everything.
    pub(crate) fn is_sent(&self) -> bool {
        self.sent == self.said.len()
    }

    pub(crate) fn push(&mut self, said: Said) {
        self.size += said.size();
        self.said.push_back(said);
    }

    /// What this connection is to carry next.
    pub(crate) fn next(&mut self) -> Option<Said> {
        let next = self.said.get(self.sent)?.clone();
        self.sent += 1;
        Some(next)
    }

    /// A flush has its answer.
    pub(crate) fn answered(&mut self, id: Option<&str>) {
        let is_it =
            |said: &Said| matches!(said, Said::Message(ClientMessage::Flush { id: asked }) if asked.as_deref() == id);
        if let Some(at) = self.said.iter().position(is_it) {
            self.said.remove(at);
            self.size -= MESSAGE;
            self.sent -= usize::from(at < self.sent);
        }
    }

    /// The server needs nothing before this byte any more, but a flush is still to be answered.
    pub(crate) fn forget_before(&mut self, byte: u64) {
        let mut unanswered = Vec::new();
        while let Some(first) = self.said.front_mut() {
            let left = usize::try_from(byte.saturating_sub(self.base)).unwrap_or(usize::MAX);
            match first {
                _ if left == 0 => break,
                Said::Audio(bytes) if bytes.len() > left => {
                    bytes.advance(left);
                    (self.base, self.size) = (self.base + left as u64, self.size - left);
                    break;
                }
                Said::Audio(bytes) => {
                    (self.base, self.size) = (self.base + bytes.len() as u64, self.size - bytes.len());
                }
                Said::Message(ClientMessage::Flush { .. }) => {
                    let was_sent = self.sent > 0;
                    unanswered.extend(self.said.pop_front().map(|flush| (flush, was_sent)));
                    self.sent -= usize::from(was_sent);
                    continue;
                }
                Said::Message(_) => self.size -= MESSAGE,
            }
            self.said.pop_front();
            self.sent = self.sent.saturating_sub(1);
        }
        for (flush, was_sent) in unanswered.into_iter().rev() {
            self.said.push_front(flush);
            self.sent += usize::from(was_sent);
        }
    }

    /// Gives up so many of the oldest bytes: should they be asked for, the session is lost.
    pub(crate) fn give_up(&mut self, bytes: u64) {
        self.forget_before(self.base + bytes);
    }

    /// Nothing that this connection has carried will be asked for again.
    pub(crate) fn forget_sent(&mut self) {
        for said in self.said.drain(..self.sent) {
            self.size -= said.size();
            self.base += if let Said::Audio(bytes) = &said { bytes.len() as u64 } else { 0 };
        }
        self.sent = 0;
    }

    /// Another connection carries everything from this byte on. `false`: it is not there any more.
    pub(crate) fn rewind(&mut self, byte: u64) -> bool {
        if byte < self.base {
            return false;
        }
        self.forget_before(byte);
        self.sent = 0;
        self.base == byte
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn audio(from: u64, len: usize) -> Said {
        Said::Audio((from..from + len as u64).map(|n| n as u8).collect::<Vec<_>>().into())
    }

    fn flush(id: &str) -> Said {
        Said::Message(ClientMessage::Flush { id: Some(id.into()) })
    }

    fn rest(replay: &mut Replay) -> (Vec<u8>, Vec<ClientMessage>) {
        let (mut bytes, mut messages) = (Vec::new(), Vec::new());
        while let Some(said) = replay.next() {
            match said {
                Said::Audio(audio) => bytes.extend_from_slice(&audio),
                Said::Message(message) => messages.push(message),
            }
        }
        (bytes, messages)
    }

    #[test]
    fn messages_are_said_again_where_they_stood_and_flushes_until_they_are_answered() {
        let mut replay = Replay::new(10_000);
        for said in [audio(0, 100), flush("a"), flush("b"), Said::Message(ClientMessage::Clear), audio(100, 100)] {
            replay.push(said);
        }
        replay.push(Said::Message(ClientMessage::End));
        rest(&mut replay);
        replay.answered(Some("a"));
        replay.forget_before(150);
        assert!(replay.is_sent());
        assert!(replay.rewind(150));
        let Said::Message(b) = flush("b") else { unreachable!() };
        let Said::Audio(expected) = audio(150, 50) else { unreachable!() };
        assert_eq!(rest(&mut replay), (expected.to_vec(), vec![b, ClientMessage::End]));
    }

    #[test]
    fn what_stands_at_the_byte_itself_is_said_again() {
        let mut replay = Replay::new(10_000);
        replay.push(audio(0, 100));
        replay.push(Said::Message(ClientMessage::Clear));
        rest(&mut replay);
        assert!(replay.rewind(100));
        assert_eq!(rest(&mut replay).1, [ClientMessage::Clear]);
    }

    #[test]
    fn what_was_given_up_cannot_be_said_again() {
        let mut replay = Replay::new(100);
        replay.push(audio(0, 100));
        rest(&mut replay);
        assert!(!replay.has_room());
        replay.give_up(10);
        assert!(replay.has_room() && !replay.rewind(0) && !replay.rewind(200) && replay.rewind(100));
    }

    proptest! {
        /// However it is cut, acknowledged and interrupted, the server gets every byte from where it asks.
        #[test]
        fn every_connection_carries_what_is_missing(
            sizes in prop::collection::vec(1_usize..50, 1..60),
            steps in prop::collection::vec((0_usize..20, 0_u64..200, any::<bool>()), 1..40),
        ) {
            let total: usize = sizes.iter().sum();
            let mut replay = Replay::new(usize::MAX);
            let mut at = 0;
            for size in sizes {
                replay.push(audio(at, size));
                at += size as u64;
            }
            let (mut got, mut acked) = (Vec::<u8>::new(), 0);
            for (count, ack, is_lost) in steps {
                for _ in 0..count {
                    if let Some(Said::Audio(bytes)) = replay.next() {
                        got.extend_from_slice(&bytes);
                    }
                }
                acked = (acked + ack).min(got.len() as u64);
                replay.forget_before(acked);
                if is_lost {
                    prop_assert!(replay.rewind(acked));
                    got.truncate(acked as usize);
                }
            }
            got.extend(rest(&mut replay).0);
            let Said::Audio(expected) = audio(0, total) else { unreachable!() };
            prop_assert_eq!(got, expected.to_vec());
        }
    }
}
