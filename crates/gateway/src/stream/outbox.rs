//! Events on their way to the client, and what happens to them when it reads slowly.

use std::collections::VecDeque;

use dalston_protocol::realtime::ServerMessage;

/// Events that wait for the socket. When full, no more are taken from the worker, whose own channel then fills.
const ROOM: usize = 16;

/// A short queue in which a partial replaces the older one of its utterance, if that has not left yet: only the newest
/// matters. Everything else keeps its order and is never dropped.
#[derive(Debug, Default)]
pub(super) struct Outbox {
    queue: VecDeque<Box<ServerMessage>>,
    coalesced: u64,
}

impl Outbox {
    /// Whether no more should be taken from the worker. A single event more always fits.
    pub(super) fn is_full(&self) -> bool {
        self.queue.len() >= ROOM
    }

    pub(super) fn push(&mut self, event: Box<ServerMessage>) {
        if let ServerMessage::Partial { utterance_id, channel, .. } = &*event
            && let Some(older) = self.queue.iter_mut().find(|queued| is_partial_of(queued, utterance_id, *channel))
        {
            *older = event;
            self.coalesced += 1;
            return;
        }
        self.queue.push_back(event);
    }

    pub(super) fn pop(&mut self) -> Option<Box<ServerMessage>> {
        self.queue.pop_front()
    }

    /// Forgets everything: nobody is there to read it.
    pub(super) fn clear(&mut self) {
        self.queue = VecDeque::new();
    }

    /// Partials that were replaced before they left.
    pub(super) fn coalesced(&self) -> u64 {
        self.coalesced
    }
}

fn is_partial_of(event: &ServerMessage, utterance: &str, of_channel: Option<u8>) -> bool {
    matches!(event, ServerMessage::Partial { utterance_id, channel, .. }
        if utterance_id == utterance && *channel == of_channel)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn partial(utterance: &str, text: &str, channel: Option<u8>) -> Box<ServerMessage> {
        let (utterance_id, text) = (utterance.to_owned(), text.to_owned());
        Box::new(ServerMessage::Partial { utterance_id, text, start: 0.0, end: 1.0, channel })
    }

    fn flushed(id: &str) -> Box<ServerMessage> {
        Box::new(ServerMessage::Flushed { id: Some(id.into()) })
    }

    #[test]
    fn a_partial_replaces_only_the_waiting_one_of_its_own_utterance_and_channel() {
        let mut outbox = Outbox::default();
        let waiting =
            [partial("utt_1", "go", None), flushed("a"), partial("utt_1", "ja", Some(1)), partial("utt_2", "x", None)];
        waiting.into_iter().for_each(|event| outbox.push(event));
        outbox.push(partial("utt_1", "go forward", None));
        let order: Vec<_> = std::iter::from_fn(|| outbox.pop()).collect();
        let expected = [
            partial("utt_1", "go forward", None),
            flushed("a"),
            partial("utt_1", "ja", Some(1)),
            partial("utt_2", "x", None),
        ];
        assert_eq!(order, expected);
        assert_eq!(outbox.coalesced(), 1);
    }

    #[test]
    fn one_utterance_of_partials_never_fills_the_outbox() {
        let mut outbox = Outbox::default();
        (0..1_000).for_each(|n| outbox.push(partial("utt_1", &n.to_string(), None)));
        assert!(!outbox.is_full());
        assert_eq!(outbox.pop(), Some(partial("utt_1", "999", None)));
    }
}
