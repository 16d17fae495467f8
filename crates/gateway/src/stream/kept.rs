//! A session as it is written down for whichever gateway goes on with it.

use std::time::{Duration, SystemTime};

use dalston_protocol::{
    ApiError, ErrorCode, RequestId, SessionId,
    realtime::{ConfigUpdate, Resume, ServerMessage, SessionConfig, SessionInfo, TranscriptFinal},
};
use dalston_session_router::{Look, Taken, link::Progress};
use dalston_telemetry::TraceContext;
use serde::{Deserialize, Serialize};

/// Seconds of audio that may have been acknowledged in a second, when a client sends a file as fast as it is heard.
const FASTEST: u64 = 60;
/// Finals that a store may have lost.
const MOST_UNWRITTEN: u64 = 1_000;

/// What never changes.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Begun {
    pub(super) request_id: RequestId,
    /// As the client asked.
    pub(super) config: SessionConfig,
    /// The span of the connection that it began with.
    pub(super) trace: Option<String>,
    /// By the clock of the gateway with which it began.
    pub(super) at: SystemTime,
}

impl Begun {
    pub(super) fn trace(&self) -> TraceContext {
        self.trace.as_deref().map_or_else(TraceContext::none, TraceContext::from_traceparent)
    }

    /// Since it began. A clock that is behind makes it no longer than it was.
    pub(super) fn lasted(&self) -> Duration {
        self.at.elapsed().unwrap_or_default()
    }
}

/// Where it stands.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Standing {
    /// Without the finals.
    pub(super) progress: Progress,
    /// What the client has changed in messages before [`Progress::from`].
    pub(super) settings: ConfigUpdate,
    /// Bytes of audio that had come.
    pub(super) received: u64,
    pub(super) at: SystemTime,
    /// Set once it has ended, for a client that has not heard that.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) ending: Option<Ending>,
}

impl Standing {
    /// Checks what a client says it has had of a session that began so. It may have had more than is written here,
    /// when the store has lost the newest: then it goes on there, with a gap.
    ///
    /// # Errors
    /// Names the parameter that cannot be right.
    pub(super) fn could_have_told(&self, begun: &Begun, wish: &Resume) -> Result<(), ApiError> {
        let Resume { received, last_final, .. } = wish;
        let rate = begun.config.bytes_per_second() as u64;
        let unwritten = FASTEST * (1 + self.at.elapsed().unwrap_or_default().as_secs());
        if *received > self.received.saturating_add(rate.saturating_mul(unwritten)) {
            let message = format!(
                "received={received} is more than the {} bytes of audio that came; give the bytes of the last audio.ack",
                self.received
            );
            return Err(ApiError::param("received", message));
        }
        if !received.is_multiple_of(rate) {
            let message = format!("received={received} was never acknowledged; give the bytes of the last audio.ack");
            return Err(ApiError::param("received", message));
        }
        let most = self.progress.utterances().saturating_add(MOST_UNWRITTEN);
        if let Some(last) = last_final.as_deref().filter(|last| number_of(last).is_none_or(|number| number > most)) {
            let message = format!(
                "last_final={last} is far beyond utt_{}, the last that was said; give the utterance_id of the last final",
                self.progress.utterances()
            );
            return Err(ApiError::param("last_final", message));
        }
        Ok(())
    }
}

/// The number of an utterance.
pub(super) fn number_of(utterance: &str) -> Option<u64> {
    utterance.strip_prefix("utt_")?.parse().ok()
}

/// How it ended.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
pub(super) struct Ending {
    pub(super) code: u16,
    pub(super) reason: String,
    /// What the client was told, or would have been.
    pub(super) error: Option<(ErrorCode, String)>,
    /// Seconds of audio and of speech, if `session.end` came.
    pub(super) totals: Option<(f64, f64)>,
}

/// A session that was taken over.
#[derive(Debug)]
pub(super) struct Kept {
    pub(super) epoch: u64,
    pub(super) begun: Begun,
    pub(super) begun_text: String,
    pub(super) standing: Standing,
    pub(super) dropped: u64,
    pub(super) finals: Vec<TranscriptFinal>,
    pub(super) finals_text: Vec<String>,
}

/// What is seen of a session that nobody has taken over.
///
/// # Errors
/// It was written by a version that says it in another way.
pub(super) fn seen(look: &Look) -> serde_json::Result<(Begun, Standing)> {
    Ok((serde_json::from_str(&look.begun)?, serde_json::from_str(&look.state)?))
}

impl Kept {
    /// # Errors
    /// It was written by a version that says it in another way.
    pub(super) fn read(taken: Taken) -> serde_json::Result<Self> {
        let Taken { epoch, begun: begun_text, state, dropped, finals: finals_text } = taken;
        let finals = finals_text.iter().map(|text| serde_json::from_str(text)).collect::<Result<Vec<_>, _>>()?;
        let begun = serde_json::from_str(&begun_text)?;
        let mut standing: Standing = serde_json::from_str(&state)?;
        standing.progress = standing.progress.with_finals(&finals, dropped == 0);
        Ok(Self { epoch: epoch.number, begun, begun_text, standing, dropped, finals, finals_text })
    }

    pub(super) fn bytes_per_second(&self) -> u64 {
        self.begun.config.bytes_per_second() as u64
    }

    /// Where the client has to go on with its audio, in seconds: not before what was acknowledged to it, for it has
    /// that no longer.
    pub(super) fn goes_on_at(&self, received: u64) -> u64 {
        self.standing.progress.from().max(received / self.bytes_per_second())
    }

    /// How much audio is lost between what was answered and second `from`, when the store has forgotten more than the
    /// client.
    pub(super) fn missing(&self, from: u64) -> Duration {
        self.standing.progress.unanswered_before(from)
    }

    /// The finals that the client has not had. What it says of the last one is exact, also where the store has lost it;
    /// without that, some may come to it twice, but none that ends before what was acknowledged.
    pub(super) fn finals_after(&self, received: u64, last: Option<&str>) -> &[TranscriptFinal] {
        let known = last.and_then(|last| self.finals.iter().rposition(|said| said.utterance_id == last));
        let heard = received as f64 / self.bytes_per_second() as f64;
        let first = match (known, last.and_then(number_of)) {
            (Some(known), _) => Some(known + 1),
            // It was told after all that has a lower number. Of two channels one may overtake the other; but what is
            // not there, and did not have to go, came last.
            (None, Some(last)) if self.begun.config.channels == 1 || self.dropped == 0 => {
                self.finals.iter().position(|said| number_of(&said.utterance_id).is_none_or(|number| number > last))
            }
            (None, _) => self.finals.iter().position(|said| said.end > heard),
        };
        &self.finals[first.unwrap_or(self.finals.len())..]
    }

    /// As `session.begin` says it. `None` when it had not come so far as to have a worker.
    pub(super) fn info(&self) -> Option<SessionInfo> {
        let (model, language) = self.standing.progress.begun()?;
        let SessionConfig { sample_rate, encoding, channels, .. } = &self.begun.config;
        Some(SessionInfo {
            sample_rate: *sample_rate,
            encoding: encoding.clone(),
            channels: *channels,
            language: language.into(),
            model: model.into(),
        })
    }

    /// The last words of a session that has ended.
    pub(super) fn last_words(&self, session: &SessionId, ending: &Ending) -> Vec<ServerMessage> {
        let error = ending
            .error
            .as_ref()
            .map(|(code, message)| ServerMessage::error(&ApiError::new(*code, message.clone()), false));
        let end = ending.totals.map(|(audio, speech)| {
            let said = self.standing.progress.said().clone();
            ServerMessage::SessionEnd(said.into_end(session.clone(), audio, speech))
        });
        error.into_iter().chain(end).collect()
    }
}

#[cfg(test)]
mod tests {
    use dalston_protocol::realtime::FinalCause;
    use dalston_session_router::{Epoch, link::FromWorker};

    use super::*;

    fn said(number: u64) -> TranscriptFinal {
        TranscriptFinal {
            utterance_id: format!("utt_{number}"),
            text: "go".into(),
            start: number as f64 * 3.0,
            end: number as f64 * 3.0 + 2.0,
            confidence: None,
            language: "en".into(),
            words: Vec::new(),
            channel: None,
            cause: FinalCause::Endpoint,
            id: None,
        }
    }

    /// With finals that end at 5, 8, 11 and 14 s, of a session of which 20 s had come. It is settled at 14 s.
    fn kept() -> Kept {
        let config = SessionConfig::default();
        let finals: Vec<_> = (1..5).map(said).collect();
        let mut progress = Progress::new(&config);
        for said in &finals {
            assert!(progress.counts(&FromWorker::Event(Box::new(ServerMessage::Final(said.clone())))));
        }
        let at = SystemTime::now();
        let begun = Begun { request_id: RequestId::generate(), config, trace: None, at };
        let standing = Standing { progress, settings: ConfigUpdate::default(), received: 640_000, at, ending: None };
        let json = |finals: &TranscriptFinal| serde_json::to_string(finals).unwrap();
        let taken = Taken {
            epoch: Epoch { number: 2, ..Epoch::first() },
            begun: serde_json::to_string(&begun).unwrap(),
            state: serde_json::to_string(&standing).unwrap(),
            dropped: 0,
            finals: finals.iter().map(json).collect(),
        };
        Kept::read(taken).unwrap()
    }

    #[test]
    fn audio_goes_on_where_it_is_not_answered_and_never_before_an_acknowledgement() {
        let kept = kept();
        assert_eq!(kept.goes_on_at(0), 12);
        assert_eq!(kept.goes_on_at(12 * 32_000), 12);
        assert_eq!(kept.missing(12), Duration::ZERO);
        assert_eq!(kept.goes_on_at(17 * 32_000), 17, "the store has forgotten what it had acknowledged");
        assert_eq!(kept.missing(17), Duration::from_secs(3));
    }

    #[test]
    fn a_client_may_have_been_told_more_than_is_written_but_not_anything() {
        let kept = kept();
        let token = "ses_a.0123456789012345678901234567890123456789012".parse().unwrap();
        let wish = Resume { token, received: 0, last_final: None };
        let told = |received, last: &str| {
            let wish = Resume { received, last_final: Some(last.to_owned()), ..wish.clone() };
            kept.standing.could_have_told(&kept.begun, &wish).map_err(|error| error.param.unwrap_or_default())
        };
        for (seconds, last) in [(0, "utt_0"), (12, "utt_4"), (21, "utt_5"), (80, "utt_1004")] {
            assert_eq!(told(seconds * 32_000, last), Ok(()), "{seconds} {last}");
        }
        for wrong in [12 * 32_000 + 1, 200 * 32_000, u64::MAX / 32_000 * 32_000, u64::MAX] {
            assert_eq!(told(wrong, "utt_4"), Err("received".to_owned()), "{wrong}");
        }
        for wrong in [1_005, u64::MAX - 1, u64::MAX] {
            assert_eq!(told(0, &format!("utt_{wrong}")), Err("last_final".to_owned()), "{wrong}");
        }
    }

    #[test]
    fn finals_are_told_from_where_the_client_says_or_from_what_was_acknowledged() {
        let kept = kept();
        let check = |received: u64, last: Option<&str>, expected: &[&str]| {
            let finals = kept.finals_after(received * 32_000, last);
            assert_eq!(finals.iter().map(|said| &*said.utterance_id).collect::<Vec<_>>(), expected);
        };
        check(0, None, &["utt_1", "utt_2", "utt_3", "utt_4"]);
        check(6, None, &["utt_2", "utt_3", "utt_4"]);
        check(6, Some("utt_3"), &["utt_4"]);
        check(0, Some("utt_4"), &[]);
        check(12, Some("utt_9"), &[]);
        check(0, Some("utt_9"), &[]);
        check(0, Some("utt_0"), &["utt_1", "utt_2", "utt_3", "utt_4"]);
    }

    #[test]
    fn what_it_said_is_whole_again() {
        let kept = kept();
        let ending = Ending { totals: Some((20.0, 8.0)), ..Ending::default() };
        let words = kept.last_words(&SessionId::generate(), &ending);
        let [ServerMessage::SessionEnd(end)] = &words[..] else { panic!("{words:?}") };
        assert_eq!((end.transcript.as_str(), end.segments.len()), ("go go go go", 4));
    }
}
