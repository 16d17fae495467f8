//! What waits for room at the worker.

use bytes::Bytes;
use dalston_protocol::{Close, realtime::ClientMessage};
use dalston_session_router::link::{Departure, ToWorker};

/// Audio goes on in slices of at most this: one second of 16 kHz audio. A slice keeps the whole frame in memory, so a
/// client of huge frames costs two of them and not a channel full.
const SLICE: usize = 32 * 1024;

/// At most one message of the client's, then our own last word. While a message waits, nothing more is read.
#[derive(Debug, Default)]
pub(super) struct Held {
    audio: Bytes,
    message: Option<Box<ClientMessage>>,
    close: Option<Box<Close>>,
    /// The last word is with the worker, and there is only one.
    closed: bool,
    gone: Option<Departure>,
    hang_up: bool,
}

impl Held {
    pub(super) fn audio(&mut self, audio: Bytes) {
        debug_assert!(!self.is_clients(), "nothing is read while a message waits");
        self.audio = audio;
    }

    pub(super) fn message(&mut self, message: ClientMessage) {
        debug_assert!(!self.is_clients(), "nothing is read while a message waits");
        self.message = Some(Box::new(message));
    }

    /// What waits is answered first, then the session ends with this close, unless it was given another one already.
    pub(super) fn then_close(&mut self, close: Close) {
        if !self.closed {
            self.close = Some(Box::new(close));
        }
    }

    /// What waits is answered first, then the worker sees that the client is gone, and how. One that was given a close has
    /// had its last word.
    pub(super) fn then_hang_up(&mut self, how: Departure) {
        self.hang_up = true;
        if !self.closed && self.close.is_none() && how != Departure::VANISHED {
            self.gone = Some(how);
        }
    }

    /// Forgets what waits.
    pub(super) fn clear(&mut self) {
        *self = Self { closed: self.closed, ..Self::default() };
    }

    /// Whether a message of the client's waits.
    pub(super) fn is_clients(&self) -> bool {
        !self.audio.is_empty() || self.message.is_some()
    }

    pub(super) fn is_empty(&self) -> bool {
        !self.is_clients() && self.close.is_none() && self.gone.is_none()
    }

    /// Whether the worker's sender is to be dropped, once nothing waits.
    pub(super) fn hangs_up(&self) -> bool {
        self.hang_up && self.is_empty()
    }

    pub(super) fn next(&mut self) -> Option<ToWorker> {
        if !self.audio.is_empty() {
            let slice = self.audio.split_to(self.audio.len().min(SLICE));
            return Some(ToWorker::Audio(slice));
        }
        if let Some(message) = self.message.take() {
            return Some(ToWorker::Message(message));
        }
        if let Some(close) = self.close.take() {
            self.closed = true;
            return Some(ToWorker::Close(close));
        }
        let how = self.gone.take()?;
        self.closed = true;
        Some(ToWorker::Gone(how))
    }
}

#[cfg(test)]
mod tests {
    use dalston_protocol::CloseCode;

    use super::*;

    #[test]
    fn large_audio_goes_in_slices_and_the_close_last() {
        let mut held = Held::default();
        let audio: Vec<u8> = (0..SLICE * 2 + 5).map(|n| n as u8).collect();
        held.audio(audio.clone().into());
        held.then_close(Close::normal());
        held.then_hang_up(Departure::VANISHED);
        let mut received = Vec::new();
        while held.is_clients() {
            let Some(ToWorker::Audio(slice)) = held.next() else { panic!("audio comes first") };
            assert!(slice.len() <= SLICE);
            received.extend_from_slice(&slice);
        }
        assert_eq!(received, audio);
        assert!(!held.hangs_up(), "the close goes first");
        assert!(matches!(held.next(), Some(ToWorker::Close(_))));
        assert!(held.hangs_up() && held.next().is_none());
    }

    #[test]
    fn a_client_that_says_how_it_leaves_is_passed_on_once_after_its_audio() {
        let how = Departure { close_code: 4999, ..Departure::VANISHED };
        let mut held = Held::default();
        held.audio(Bytes::from_static(&[1, 2]));
        held.then_hang_up(how);
        assert!(matches!(held.next(), Some(ToWorker::Audio(_))));
        assert!(!held.hangs_up());
        assert_eq!(held.next(), Some(ToWorker::Gone(how)));
        assert!(held.hangs_up());
        held.then_hang_up(how);
        held.then_close(Close::normal());
        assert_eq!(held.next(), None);
    }

    #[test]
    fn the_worker_is_closed_once() {
        let mut held = Held::default();
        held.then_close(Close::new(CloseCode::Restart, ""));
        held.then_close(Close::new(CloseCode::BadRequest, ""));
        assert!(matches!(held.next(), Some(ToWorker::Close(close)) if close.code == CloseCode::BadRequest));
        held.clear();
        held.then_close(Close::new(CloseCode::Timeout, ""));
        assert!(held.next().is_none());
    }
}
