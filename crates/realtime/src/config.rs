//! What an operator can set.

use std::time::Duration;

use dalston_audio::VadKind;
use dalston_engine_sdk::Profile;

use crate::LagLimits;

/// Settings of a realtime worker. The defaults suit a live caption on a laptop.
#[derive(Debug, Clone)]
pub struct RealtimeConfig {
    /// Sessions at once. More are refused, and the router tries the next worker.
    pub max_sessions: usize,
    /// Which detector decides what is speech.
    pub vad: VadKind,
    /// Speed against accuracy.
    pub profile: Profile,
    /// Audio between two partials of an utterance.
    pub partial_interval: Duration,
    /// When a client is warned of lag, and when its session ends.
    pub lag: LagLimits,
    /// The longest that an engine may take for one call, before the utterance is given up. Waits for a stream do not count.
    pub engine_deadline: Duration,
    /// The longest that answering may take after the last audio, beside waits for a stream of a full engine.
    pub drain_deadline: Duration,
    /// How long sessions go on after the worker is told to go down, before they are ended with 1012. None where the gateway is of
    /// the same process: it ends them itself.
    pub linger: Duration,
    /// The longest that a client may leave an event unread.
    pub write_deadline: Duration,
}

impl Default for RealtimeConfig {
    fn default() -> Self {
        Self {
            max_sessions: 1_000,
            vad: VadKind::default(),
            profile: Profile::default(),
            partial_interval: Duration::from_millis(300),
            lag: LagLimits::default(),
            engine_deadline: Duration::from_secs(20),
            drain_deadline: Duration::from_secs(30),
            linger: Duration::ZERO,
            write_deadline: Duration::from_secs(10),
        }
    }
}
