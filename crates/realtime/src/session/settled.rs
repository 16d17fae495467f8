//! How far a session's audio has been answered for: from there on it would have to be heard again, if this worker died.

use dalston_audio::AudioTime;
use dalston_session_router::link::{Continuation, FromWorker};

use super::Session;
use crate::{
    ear::{Ear, audio_time},
    inference::Utterance,
};

/// Audio between two reports while nothing is said.
const EVERY: AudioTime = AudioTime::from_millis(1_000);

/// Per channel, as far as the recogniser has come with what it was asked.
#[derive(Debug, Default)]
pub(super) struct Settled {
    /// The last utterance that was answered, and where it ended.
    answered: [(u64, AudioTime); 2],
    reported: AudioTime,
}

impl Settled {
    /// As another worker has left it.
    pub(super) fn continuing(continues: &Continuation) -> Self {
        let answered = continues.answered.map(|until| (continues.utterances, audio_time(until)));
        Self { answered, reported: answered.iter().map(|(_, until)| *until).min().unwrap_or_default() }
    }

    /// The recogniser has said the last it has to say of an utterance, which ended there.
    pub(super) fn answered(&mut self, utterance: Utterance, until: AudioTime) {
        let (last, end) = &mut self.answered[usize::from(utterance.channel)];
        *last = utterance.number.max(*last);
        *end = until.max(*end);
    }
}

impl Session {
    /// Tells the gateway how far it is, if it is further by enough, or if there was a final. Best effort: when the link is full,
    /// a later report says the same and more.
    pub(super) fn report_settled(&mut self, after_final: bool) {
        let settled = self.settled();
        let reported = &mut self.settled.reported;
        let step = if after_final { AudioTime::from_samples(1) } else { EVERY };
        if settled.saturating_sub(*reported) >= step
            && self.client.try_send(FromWorker::Settled(settled.duration())).is_ok()
        {
            *reported = settled;
        }
    }

    /// The least of all channels.
    fn settled(&self) -> AudioTime {
        let channel = |(ear, (last, end)): (&Ear, &(u64, AudioTime))| {
            // With something still to be said, what was said last is all that is certain.
            if ear.asked() > *last { *end } else { ear.unheard_since() }
        };
        self.ears.iter().zip(&self.settled.answered).map(channel).min().unwrap_or(AudioTime::ZERO)
    }
}
