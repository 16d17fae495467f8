//! How a session goes on at another worker: what a gateway counts of it, and what it hands over.
//!
//! Everything before [`Progress::settled`] is answered for. A worker that continues hears the audio from a whole second before
//! that, where every sample rate has a sample and the clock a frame; so its own frames are those of the worker before it. What
//! was answered only warms up its detector of speech: it begins no utterance before [`Continuation::answered`].

use std::time::Duration;

use dalston_protocol::realtime::{ServerMessage, SessionConfig, SessionTranscript, TranscriptFinal};
use serde::{Deserialize, Serialize};

use super::FromWorker;

/// Audio that a detector of speech hears before it has to decide anything, so that it decides as the last one did.
const WARM_UP: u64 = 2;
/// Two workers place an onset this far apart and mean the same.
const SAME: f64 = 0.1;

/// What a worker continues.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Continuation {
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
    /// Speech in the finals.
    pub speech: Duration,
    /// The finals.
    pub said: SessionTranscript,
}

/// How far a session has come, by what its worker said. Its text form has everything but the finals, which are kept
/// apart ([`Progress::with_finals`]).
#[derive(Debug, Default, Clone, Serialize, Deserialize)]
pub struct Progress {
    settled: Duration,
    channels: [Channel; 2],
    several_channels: bool,
    utterances: u64,
    speech: Duration,
    #[serde(skip)]
    said: SessionTranscript,
    /// The model that it was begun with, and the language of its last final.
    begun: Option<(String, String)>,
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
        Self { several_channels: config.channels > 1, ..Self::default() }
    }

    /// To be written down.
    #[must_use]
    pub fn without_finals(&self) -> Self {
        let Self { settled, channels, several_channels, utterances, speech, said: _, begun, moves } = self;
        Self {
            settled: *settled,
            channels: *channels,
            several_channels: *several_channels,
            utterances: *utterances,
            speech: *speech,
            said: SessionTranscript::default(),
            begun: begun.clone(),
            moves: *moves,
        }
    }

    /// Read from its text, with the finals that were kept apart; `is_whole` says whether all of them are there.
    #[must_use]
    pub fn with_finals<'a>(mut self, finals: impl IntoIterator<Item = &'a TranscriptFinal>, is_whole: bool) -> Self {
        self.said = SessionTranscript::default();
        finals.into_iter().for_each(|said| self.said.push(said));
        if !is_whole {
            self.said.lacks_its_beginning();
        }
        self
    }

    /// Utterances up to this number were told to the client, whoever remembers it: the next one has a higher number.
    pub fn skip_to(&mut self, utterance: u64) {
        self.utterances = self.utterances.max(utterance);
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
                true
            }
            FromWorker::Leaving | FromWorker::Closed(_) => true,
        }
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
        self.speech += Duration::try_from_secs_f64(said.end - said.start).unwrap_or_default();
        self.said.push(said);
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

    /// Speech in the finals.
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
            moves: self.moves + 1,
            from,
            answered: self.channels.map(|channel| seconds(channel.last_end).max(self.settled)),
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
    }
}

fn seconds(seconds: f64) -> Duration {
    Duration::try_from_secs_f64(seconds).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use dalston_protocol::realtime::FinalCause;

    use super::*;

    fn said(number: u64, start: f64, end: f64, channel: Option<u8>) -> FromWorker {
        FromWorker::Event(Box::new(ServerMessage::Final(TranscriptFinal {
            utterance_id: format!("utt_{number}"),
            text: "go".into(),
            start,
            end,
            confidence: None,
            language: "en".into(),
            words: Vec::new(),
            channel,
            cause: FinalCause::Endpoint,
            id: None,
        })))
    }

    fn speech(starts: bool, timestamp: f64) -> FromWorker {
        FromWorker::Event(Box::new(match starts {
            true => ServerMessage::SpeechStart { timestamp, channel: None },
            false => ServerMessage::SpeechEnd { timestamp, channel: None },
        }))
    }

    #[test]
    fn a_final_settles_its_audio_before_its_worker_says_so() {
        let mut progress = Progress::new(&SessionConfig::default());
        assert!(progress.counts(&FromWorker::Settled(Duration::from_millis(1_500))));
        assert!(progress.counts(&said(3, 5.2, 9.7, None)));
        assert_eq!(progress.settled(), Duration::from_secs_f64(9.7));
        let continuation = progress.continuation(progress.from(), Duration::ZERO, Duration::ZERO);
        assert_eq!((continuation.from, continuation.utterances, continuation.moves), (7, 3, 1));
        assert_eq!(continuation.answered[0], Duration::from_secs_f64(9.7));
        assert!(!progress.counts(&said(4, 5.2, 9.7, None)), "nothing is said twice");
    }

    #[test]
    fn written_down_and_read_again_it_is_the_same() {
        let mut progress = Progress::new(&SessionConfig::default());
        let said = [said(1, 1.0, 2.5, None), said(2, 3.0, 4.5, None)];
        let finals: Vec<TranscriptFinal> = said
            .iter()
            .map(|said| match said {
                FromWorker::Event(event) => match &**event {
                    ServerMessage::Final(said) => said.clone(),
                    other => panic!("{other:?}"),
                },
                other => panic!("{other:?}"),
            })
            .collect();
        assert!(said.iter().all(|said| progress.counts(said)) && progress.counts(&speech(true, 5.0)));
        let text = serde_json::to_string(&progress).expect("it has a JSON form");
        let read: Progress = serde_json::from_str(&text).expect("it is its own");
        let zero = Duration::ZERO;
        let again = read.clone().with_finals(&finals, true);
        assert_eq!(again.continuation(2, zero, zero), progress.continuation(2, zero, zero));
        let end = |progress: &Progress| progress.said().clone().into_end("ses_1".parse().expect("an id"), 6.0, 3.0);
        assert!(!end(&again).truncated);
        assert!(end(&read.with_finals(&finals[1..], false)).truncated);
    }

    #[test]
    fn the_slower_channel_says_from_where_and_each_is_answered_for_itself() {
        let mut progress = Progress::new(&SessionConfig { channels: 2, ..SessionConfig::default() });
        progress.counts(&FromWorker::Settled(Duration::from_secs(4)));
        progress.counts(&said(1, 1.0, 20.0, Some(0)));
        assert_eq!(progress.from(), 2);
        let continuation = progress.continuation(2, Duration::ZERO, Duration::ZERO);
        assert_eq!(continuation.answered, [20, 4].map(Duration::from_secs));
        assert_eq!(continuation.last_end, [20.0, 0.0]);
    }

    #[test]
    fn the_client_is_not_told_again_that_somebody_speaks() {
        let mut progress = Progress::new(&SessionConfig::default());
        assert!(progress.counts(&speech(true, 1.0)) && progress.counts(&speech(false, 2.0)));
        assert!(progress.counts(&speech(true, 3.0)));
        progress.moved();
        assert!(!progress.counts(&speech(true, 3.02)), "the one that goes on");
        assert!(progress.counts(&speech(false, 4.0)));
        progress.moved();
        assert!(!progress.counts(&speech(true, 3.0)) && !progress.counts(&speech(false, 4.0)), "the one that is over");
        assert!(progress.counts(&speech(true, 5.0)));
    }
}
