//! How a session goes on at another worker: what a gateway counts of it, and what it hands over.
//!
//! Everything before [`Progress::settled`] is answered for. A worker that continues hears the audio from a whole second before
//! that, where every sample rate has a sample and the clock a frame; so its own frames are those of the worker before it. What
//! was answered only warms up its detector of speech: it begins no utterance before [`Continuation::answered`].

#[cfg(test)]
mod tests;

use std::time::Duration;

use dalston_protocol::realtime::{ServerMessage, SessionConfig, SessionTranscript, TranscriptFinal};
use serde::{Deserialize, Serialize};

use super::{FromWorker, Spoken};

/// Audio that a detector of speech hears before it has to decide anything, so that it decides as the last one did.
const WARM_UP: u64 = 2;
/// Times of the same frame are closer than this, however they were rounded on their way.
const HALF_A_FRAME: Duration = Duration::from_millis(10);
/// Two workers place an onset this far apart and mean the same.
const SAME: f64 = 0.1;

/// What a worker continues.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Continuation {
    /// How often a connection has taken the session, the first one included.
    #[serde(default = "first_epoch")]
    pub epoch: u64,
    /// How often the session has moved, this time included.
    pub moves: u32,
    /// The second of the session's clock at which the first audio stands that this worker hears.
    pub from: u64,
    /// By channel: up to here the audio is answered for.
    pub answered: [Duration; 2],
    /// By channel: the end of the last final in seconds, which no later one reaches back behind.
    pub last_end: [f64; 2],
    /// The highest number of an utterance that had a final.
    pub utterances: u64,
    /// Audio that comes at once, because it was heard before or kept meanwhile. It is no lag.
    pub replayed: Duration,
    /// Since the session began.
    pub lasted: Duration,
    /// Speech of the utterances that are answered for, whether there are words of them or not.
    pub speech: Duration,
    /// The finals.
    pub said: SessionTranscript,
}

fn first_epoch() -> u64 {
    1
}

/// How far a session has come, by what its worker said. Its text form has everything but the finals, which are kept
/// apart ([`Progress::with_finals`]).
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub struct Progress {
    settled: Duration,
    channels: [Channel; 2],
    several_channels: bool,
    utterances: u64,
    /// Of what is answered for.
    speech: Duration,
    /// By channel: utterances that ended and are not answered for. They are as few as a worker may be behind, and whoever
    /// goes on hears them again.
    #[serde(skip)]
    spoken: [Vec<Spoken>; 2],
    #[serde(skip)]
    said: SessionTranscript,
    /// The model that it was begun with, and the language of its last final.
    begun: Option<(String, String)>,
    #[serde(default = "first_epoch")]
    epoch: u64,
    moves: u32,
}

#[derive(Debug, Default, Clone, Copy, Serialize, Deserialize)]
struct Channel {
    last_end: f64,
    is_speaking: bool,
    /// The last beginning or end of speech.
    noticed: f64,
}

impl Progress {
    /// Of a session that begins.
    pub fn new(config: &SessionConfig) -> Self {
        Self { several_channels: config.channels > 1, epoch: first_epoch(), ..Self::default() }
    }

    /// To be written down.
    #[must_use]
    pub fn without_finals(&self) -> Self {
        let Self { settled, channels, several_channels, utterances, speech, spoken: _, said: _, begun, epoch, moves } =
            self;
        Self {
            settled: *settled,
            channels: *channels,
            several_channels: *several_channels,
            utterances: *utterances,
            speech: *speech,
            spoken: Default::default(),
            said: SessionTranscript::default(),
            begun: begun.clone(),
            epoch: *epoch,
            moves: *moves,
        }
    }

    /// Read from its text, with the finals that were kept apart; `is_whole` says whether all of them are there. They may
    /// have been written down later than the text: what they answer for is answered for.
    #[must_use]
    pub fn with_finals<'a>(mut self, finals: impl IntoIterator<Item = &'a TranscriptFinal>, is_whole: bool) -> Self {
        self.said = SessionTranscript::default();
        for said in finals {
            self.reaches(said);
            self.said.push(said);
        }
        if !is_whole {
            self.said.lacks_its_beginning();
        }
        self
    }

    /// Utterances up to this number were told to the client, whoever remembers it: the next one has a higher number.
    pub fn skip_to(&mut self, utterance: u64) {
        self.utterances = self.utterances.max(utterance);
    }

    /// The client was told that its audio before this second need not be heard again, whoever remembers it. That is said
    /// only when [`WARM_UP`] seconds more are answered for.
    pub fn acknowledged(&mut self, second: u64) {
        if second > self.from() {
            self.settled = Duration::from_secs(second.saturating_add(WARM_UP));
        }
    }

    /// The highest number of an utterance that had a final.
    pub fn utterances(&self) -> u64 {
        self.utterances
    }

    /// Counts what the worker says. `false`: the client has heard it before, from the last worker.
    pub fn counts(&mut self, said: &FromWorker) -> bool {
        match said {
            FromWorker::Event(event) => self.counts_event(event),
            FromWorker::Settled(until) => {
                self.settled = self.settled.max(*until);
                self.count_speech();
                true
            }
            FromWorker::Spoken(spoken) => {
                self.spoken[usize::from(spoken.channel & 1)].push(**spoken);
                true
            }
            FromWorker::Leaving | FromWorker::Closed(_) => true,
        }
    }

    /// Counts the utterances that are answered for by now.
    fn count_speech(&mut self) {
        let answered = self.answered();
        for (spoken, answered) in self.spoken.iter_mut().zip(answered) {
            let is_answered = |spoken: &Spoken| spoken.until <= answered + HALF_A_FRAME;
            self.speech +=
                spoken.iter().filter(|spoken| is_answered(spoken)).map(|spoken| spoken.speech).sum::<Duration>();
            spoken.retain(|spoken| !is_answered(spoken));
        }
    }

    /// By channel.
    fn answered(&self) -> [Duration; 2] {
        self.channels.map(|channel| seconds(channel.last_end).max(self.settled))
    }

    fn counts_event(&mut self, event: &ServerMessage) -> bool {
        match event {
            ServerMessage::SessionBegin { config, .. } => {
                let is_first = self.begun.is_none();
                self.begun.get_or_insert_with(|| (config.model.clone(), config.language.clone()));
                is_first
            }
            ServerMessage::SpeechStart { timestamp, channel } => self.notices(*channel, *timestamp, true),
            ServerMessage::SpeechEnd { timestamp, channel } => self.notices(*channel, *timestamp, false),
            ServerMessage::Final(said) => self.counts_final(said),
            _ => true,
        }
    }

    fn notices(&mut self, channel: Option<u8>, at: f64, speaks: bool) -> bool {
        let has_moved = self.moves > 0;
        let channel = self.channel(channel);
        if has_moved && (channel.is_speaking == speaks || at < channel.noticed + SAME) {
            return false;
        }
        (channel.is_speaking, channel.noticed) = (speaks, at);
        true
    }

    fn counts_final(&mut self, said: &TranscriptFinal) -> bool {
        if !self.reaches(said) {
            return false;
        }
        self.said.push(said);
        self.count_speech();
        true
    }

    /// Notes what a final answers for. `false`: no more than those before it.
    fn reaches(&mut self, said: &TranscriptFinal) -> bool {
        let channel = self.channel(said.channel);
        if said.end <= channel.last_end {
            return false;
        }
        channel.last_end = said.end;
        let number = said.utterance_id.strip_prefix("utt_").and_then(|number| number.parse().ok());
        self.utterances = self.utterances.max(number.unwrap_or(0));
        // The client may have changed it.
        if let Some((_, language)) = &mut self.begun {
            language.clone_from(&said.language);
        }
        true
    }

    fn channel(&mut self, channel: Option<u8>) -> &mut Channel {
        &mut self.channels[usize::from(channel.unwrap_or(0) & 1)]
    }

    /// Up to here all channels are answered for.
    pub fn settled(&self) -> Duration {
        let channels = &self.channels[..if self.several_channels { 2 } else { 1 }];
        let finals = channels.iter().map(|channel| seconds(channel.last_end)).min();
        self.settled.max(finals.unwrap_or_default())
    }

    /// The second from which on the audio would have to be heard again.
    pub fn from(&self) -> u64 {
        self.settled().as_secs().saturating_sub(WARM_UP)
    }

    /// Audio before this second that is not answered for: lost, where nobody has it any more.
    pub fn unanswered_before(&self, second: u64) -> Duration {
        Duration::from_secs(second).saturating_sub(self.settled())
    }

    /// How often the session has moved.
    pub fn moves(&self) -> u32 {
        self.moves
    }

    /// The model and the language, once a worker has said them.
    pub fn begun(&self) -> Option<(&str, &str)> {
        self.begun.as_ref().map(|(model, language)| (model.as_str(), language.as_str()))
    }

    /// Speech of the utterances that are answered for.
    pub fn speech(&self) -> Duration {
        self.speech
    }

    /// The finals.
    pub fn said(&self) -> &SessionTranscript {
        &self.said
    }

    /// The next worker is to be one of the same model and language.
    pub fn pin(&self, config: &mut SessionConfig) {
        if let Some((model, language)) = &self.begun {
            config.model = Some(model.clone());
            config.language.clone_from(language);
        }
    }

    /// What the next worker is handed, which hears the audio from second `from`.
    pub fn continuation(&self, from: u64, replayed: Duration, lasted: Duration) -> Continuation {
        Continuation {
            epoch: self.epoch,
            moves: self.moves + 1,
            from,
            answered: self.answered(),
            last_end: self.channels.map(|channel| channel.last_end),
            utterances: self.utterances,
            replayed,
            lasted,
            speech: self.speech,
            said: self.said.clone(),
        }
    }

    /// Another worker goes on with it.
    pub fn moved(&mut self) {
        self.moves += 1;
        self.spoken = Default::default();
    }

    /// Another connection has taken it, the `epoch`-th one.
    pub fn taken(&mut self, epoch: u64) {
        self.epoch = epoch;
    }
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}
