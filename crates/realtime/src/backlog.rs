//! The audio that waits for a recogniser: bounded in seconds, not in messages.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, Ordering},
};

use dalston_audio::AudioTime;
use tokio::sync::Notify;

/// Audio that one channel's recogniser may be behind. More than the lag budget bears, so that a stalled engine is told from a
/// fast client; when it is full the session takes nothing more from the client, and TCP slows it.
const LIMIT: AudioTime = AudioTime::from_millis(10_000);

/// Counts the audio between a session and its recognisers, one per channel.
#[derive(Debug, Clone, Default)]
pub(crate) struct Backlog(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    samples: [AtomicU64; 2],
    /// Whose recogniser waits for its turn at the engine.
    waiting: [AtomicBool; 2],
    shrunk: Notify,
}

impl Backlog {
    /// Audio under way, of the channel that is further behind.
    pub(crate) fn audio(&self) -> AudioTime {
        // Relaxed: a count, nothing is published by it.
        let waiting = self.0.samples.iter().map(|samples| samples.load(Ordering::Relaxed)).max();
        AudioTime::from_samples(waiting.unwrap_or(0))
    }

    /// Whether there is room for more.
    pub(crate) fn has_room(&self) -> bool {
        self.audio() < LIMIT
    }

    /// Whether a recogniser waits for its turn at the engine.
    pub(crate) fn is_waiting(&self) -> bool {
        self.0.waiting.iter().any(|waiting| waiting.load(Ordering::Relaxed))
    }

    /// Whether all that this channel's recogniser was sent is done.
    pub(crate) fn is_done(&self, channel: u8) -> bool {
        self.0.samples[usize::from(channel)].load(Ordering::Relaxed) == 0
    }

    /// The channel's recogniser waits for its turn until the guard is dropped.
    pub(crate) fn wait(&self, channel: u8) -> Waiting<'_> {
        let waiting = &self.0.waiting[usize::from(channel)];
        waiting.store(true, Ordering::Relaxed);
        Waiting(waiting)
    }

    /// Audio was sent to the recogniser.
    pub(crate) fn add(&self, channel: u8, samples: usize) {
        self.0.samples[usize::from(channel)].fetch_add(samples as u64, Ordering::Relaxed);
    }

    /// The recogniser is done with audio.
    pub(crate) fn sub(&self, channel: u8, samples: usize) {
        self.0.samples[usize::from(channel)].fetch_sub(samples as u64, Ordering::Relaxed);
    }

    /// The recogniser took something off its queue.
    pub(crate) fn moved(&self) {
        self.0.shrunk.notify_one();
    }

    /// Waits until a recogniser has taken something off its queue since the last call. Cancel-safe.
    pub(crate) async fn shrunk(&self) {
        self.0.shrunk.notified().await;
    }
}

/// A recogniser that waits for its turn.
pub(crate) struct Waiting<'a>(&'a AtomicBool);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}
