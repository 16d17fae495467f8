//! What a client has sent and its worker has not answered for: another worker would have to hear it again.
//!
//! Pure. The clock is counted in bytes from the session's first; seconds are whole ones, where every sample rate has a sample.

use std::collections::VecDeque;

use bytes::{Buf, Bytes, BytesMut};
use dalston_protocol::realtime::ClientMessage;

/// Smaller audio is copied together once the worker has it: a client of tiny messages must not cost a handle for each.
const SMALL: usize = 1024;
/// … into pieces of this.
const PIECE: usize = 8 * 1024;
/// What a control message counts, so that a flood of them is bounded too.
const MESSAGE: usize = 256;

/// One thing that the client sent.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Entry {
    Audio(Bytes),
    Message(Box<ClientMessage>),
}

impl Entry {
    fn size(&self) -> usize {
        match self {
            Self::Audio(bytes) => bytes.len(),
            Self::Message(_) => MESSAGE,
        }
    }
}

/// Bounded in bytes. When it is full the oldest goes: it cannot be heard again then, and a client whose session has to move is
/// told which seconds are missing. What the worker has not got yet never goes; its reader waits instead.
#[derive(Debug)]
pub(super) struct Ring {
    /// Bytes of a second.
    rate: usize,
    limit: usize,
    /// Where on the clock the first kept byte stands.
    base: u64,
    /// … and the end of the last one that came.
    received: u64,
    sent: VecDeque<Entry>,
    /// The end of what was sent, while it is put together.
    tail: BytesMut,
    unsent: VecDeque<Entry>,
    size: usize,
}

impl Ring {
    /// For so many seconds of audio, the first of which stands at second `from`.
    pub(super) fn starting_at(from: u64, rate: usize, seconds: f64) -> Self {
        let mut ring = Self::new(rate, seconds);
        ring.base = from * ring.rate as u64;
        ring.received = ring.base;
        ring
    }

    /// For so many seconds of audio.
    pub(super) fn new(rate: usize, seconds: f64) -> Self {
        let mut ring = Self {
            rate: rate.max(1),
            limit: 0,
            base: 0,
            received: 0,
            sent: VecDeque::new(),
            tail: BytesMut::new(),
            unsent: VecDeque::new(),
            size: 0,
        };
        ring.keep(seconds);
        ring
    }

    /// Keeps so many seconds from now on, if that is more.
    pub(super) fn keep(&mut self, seconds: f64) {
        self.limit = self.limit.max((seconds * self.rate as f64) as usize);
    }

    /// Takes what the client sent.
    pub(super) fn push(&mut self, entry: Entry) {
        self.size += entry.size();
        if let Entry::Audio(bytes) = &entry {
            self.received += bytes.len() as u64;
        }
        self.unsent.push_back(entry);
    }

    /// Makes room. What goes of what was sent to a worker before is shown to `forgotten`.
    pub(super) fn trim(&mut self, forgotten: impl FnMut(&ClientMessage)) {
        if self.size > self.limit && self.has_sent() {
            // A second at a time, so that it is not done with every message.
            self.forget_until(self.base + (self.size - self.limit).max(self.rate) as u64, forgotten);
        }
    }

    fn has_sent(&self) -> bool {
        !self.sent.is_empty() || !self.tail.is_empty()
    }

    /// Whether more may be read from the client while it is not passed on at once.
    pub(super) fn has_room(&self) -> bool {
        self.size < self.limit
    }

    /// Whether something waits for the worker.
    pub(super) fn waits(&self) -> bool {
        !self.unsent.is_empty()
    }

    /// What the worker gets next. It is kept.
    pub(super) fn next(&mut self) -> Option<Entry> {
        let entry = self.unsent.pop_front()?;
        match &entry {
            Entry::Audio(bytes) if bytes.len() < SMALL => {
                if self.tail.len() + bytes.len() > PIECE {
                    self.seal();
                }
                self.tail.extend_from_slice(bytes);
            }
            other => {
                self.seal();
                self.sent.push_back(other.clone());
            }
        }
        Some(entry)
    }

    fn seal(&mut self) {
        if !self.tail.is_empty() {
            self.sent.push_back(Entry::Audio(self.tail.split().freeze()));
        }
    }

    /// What waits for the worker goes nowhere.
    pub(super) fn drop_unsent(&mut self) {
        self.size -= self.unsent.drain(..).map(|entry| entry.size()).sum::<usize>();
    }

    /// The worker has answered a flush: it is not asked for again.
    pub(super) fn answered(&mut self, id: Option<&str>) {
        let is_it = |entry: &Entry| {
            matches!(entry, Entry::Message(message)
            if matches!(&**message, ClientMessage::Flush { id: asked } if asked.as_deref() == id))
        };
        if let Some(found) = self.sent.iter().position(is_it) {
            self.sent.remove(found);
            self.size -= MESSAGE;
        }
    }

    /// The worker has answered for everything before this second. What it was told before then is shown to `forgotten`.
    pub(super) fn forget_before(&mut self, second: u64, forgotten: impl FnMut(&ClientMessage)) {
        self.forget_until(second * self.rate as u64, forgotten);
    }

    fn forget_until(&mut self, until: u64, mut forgotten: impl FnMut(&ClientMessage)) {
        let mut flushes = Vec::new();
        while let Some(first) = self.sent.front_mut() {
            let left = until.saturating_sub(self.base) as usize;
            match first {
                Entry::Audio(bytes) if bytes.len() > left => {
                    bytes.advance(left);
                    (self.base, self.size) = (self.base + left as u64, self.size - left);
                    break;
                }
                Entry::Audio(bytes) => {
                    (self.base, self.size) = (self.base + bytes.len() as u64, self.size - bytes.len());
                    self.sent.pop_front();
                }
                Entry::Message(_) if left == 0 => break,
                Entry::Message(message) => {
                    // An answer is still owed, whatever has become of the audio before it.
                    if matches!(**message, ClientMessage::Flush { .. } | ClientMessage::End) {
                        flushes.extend(self.sent.pop_front());
                        continue;
                    }
                    forgotten(message);
                    self.size -= MESSAGE;
                    self.sent.pop_front();
                }
            }
        }
        if self.sent.is_empty() {
            let left = (until.saturating_sub(self.base) as usize).min(self.tail.len());
            self.tail.advance(left);
            (self.base, self.size) = (self.base + left as u64, self.size - left);
        }
        flushes.into_iter().rev().for_each(|flush| self.sent.push_front(flush));
    }

    /// The first second of which everything is kept.
    pub(super) fn first_second(&self) -> u64 {
        self.base.div_ceil(self.rate as u64)
    }

    /// Bytes of audio since the session's first.
    pub(super) fn received(&self) -> u64 {
        self.received
    }

    /// How much audio is kept, in seconds.
    pub(super) fn seconds(&self) -> f64 {
        let audio = |entry: &Entry| if let Entry::Audio(bytes) = entry { bytes.len() } else { 0 };
        let bytes: usize = self.sent.iter().chain(&self.unsent).map(audio).sum();
        (bytes + self.tail.len()) as f64 / self.rate as f64
    }

    /// Another worker gets all that is kept.
    pub(super) fn rewind(&mut self) {
        self.seal();
        self.sent.append(&mut self.unsent);
        std::mem::swap(&mut self.sent, &mut self.unsent);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RATE: usize = 100;

    fn audio(from: usize, len: usize) -> Entry {
        Entry::Audio((from..from + len).map(|n| n as u8).collect::<Vec<_>>().into())
    }

    fn message(message: ClientMessage) -> Entry {
        Entry::Message(Box::new(message))
    }

    fn flush(id: &str) -> ClientMessage {
        ClientMessage::Flush { id: Some(id.into()) }
    }

    /// Everything that the worker would get now.
    fn rest(ring: &mut Ring) -> (Vec<u8>, Vec<ClientMessage>) {
        let (mut bytes, mut messages) = (Vec::new(), Vec::new());
        while let Some(entry) = ring.next() {
            match entry {
                Entry::Audio(audio) => bytes.extend_from_slice(&audio),
                Entry::Message(message) => messages.push(*message),
            }
        }
        (bytes, messages)
    }

    #[test]
    fn another_worker_gets_every_byte_from_the_second_on_however_it_was_cut() {
        for size in [1, 7, 100, 1_500, 5_000] {
            let mut ring = Ring::new(RATE, 1_000.0);
            for from in (0..20_000).step_by(size) {
                ring.push(audio(from, size.min(20_000 - from)));
                ring.trim(|_| {});
                if from % 3 == 0 {
                    rest(&mut ring);
                }
            }
            ring.forget_before(17, |_| {});
            assert_eq!(ring.first_second(), 17);
            ring.rewind();
            assert_eq!(ring.seconds(), 183.0);
            let Entry::Audio(expected) = audio(1_700, 20_000 - 1_700) else { unreachable!() };
            assert_eq!(rest(&mut ring).0, expected, "in pieces of {size}");
            assert!(ring.sent.len() < 20_000, "small pieces are put together");
        }
    }

    #[test]
    fn one_that_starts_later_counts_from_there() {
        let mut ring = Ring::starting_at(7, RATE, 1_000.0);
        assert_eq!((ring.first_second(), ring.received()), (7, 700));
        ring.push(audio(700, 250));
        ring.push(message(ClientMessage::Clear));
        rest(&mut ring);
        ring.forget_before(8, |_| {});
        assert_eq!((ring.first_second(), ring.received(), ring.seconds()), (8, 950, 1.5));
    }

    #[test]
    fn what_was_answered_is_not_asked_again_and_what_was_not_is() {
        let mut ring = Ring::new(RATE, 1_000.0);
        ring.push(audio(0, 150));
        ring.push(message(flush("a")));
        ring.push(message(flush("b")));
        ring.push(message(ClientMessage::Clear));
        ring.push(audio(150, 500));
        rest(&mut ring);
        ring.answered(Some("a"));
        let mut forgotten = Vec::new();
        ring.forget_before(4, |message| forgotten.push(message.clone()));
        assert_eq!(forgotten, [ClientMessage::Clear]);
        ring.rewind();
        let Entry::Audio(expected) = audio(400, 250) else { unreachable!() };
        assert_eq!(rest(&mut ring), (expected.to_vec(), vec![flush("b")]));
    }

    #[test]
    fn it_is_bounded_whatever_comes_and_knows_what_is_missing() {
        let mut ring = Ring::new(RATE, 10.0);
        for n in 0..500 {
            ring.push(audio(n * 30, 30));
            ring.push(message(ClientMessage::Clear));
            rest(&mut ring);
            ring.trim(|_| {});
            assert!(ring.size <= 10 * RATE + RATE, "{}", ring.size);
        }
        assert!(ring.first_second() > 0);
        ring.rewind();
        let kept = ring.seconds();
        assert!(((500.0 * 0.3) - kept - ring.base as f64 / RATE as f64).abs() < 1e-9);
    }

    #[test]
    fn what_no_worker_has_got_is_never_forgotten() {
        let mut ring = Ring::new(RATE, 10.0);
        ring.push(audio(0, 2_000));
        assert!(!ring.has_room() && ring.waits());
        assert_eq!(ring.first_second(), 0);
        ring.drop_unsent();
        assert!(ring.has_room() && !ring.waits());
    }
}
