//! What a session tells its client.

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use dalston_audio::AudioTime;
use dalston_engine_sdk::{EngineError, Hypothesis};
use dalston_protocol::{
    ApiError, ErrorCode, Word,
    realtime::{ServerMessage, TranscriptFinal},
    round_ms,
};
use dalston_session_router::link::{Continuation, Departure, FromWorker};
use dalston_telemetry::{Lap, Transcript, TranscriptKind};
use tokio::sync::mpsc::error::TrySendError;

use super::{End, Session};
use crate::inference::{Ended, Flush, Outcome, Took, Utterance};

/// Utterances in a row that an engine may fail before its session is given up.
const MOST_FAILURES: u32 = 3;

/// What the client was told so far, and what the trace sums up.
#[derive(Debug)]
pub(super) struct Told {
    several_channels: bool,
    /// End of the last final of each channel, seconds: the next one does not begin before it.
    last_end: [f64; 2],
    /// The utterance of each channel whose first partial is still to come, and when it began.
    first_partial: [Option<(u64, Instant)>; 2],
    failures_in_a_row: u32,
    /// Speech of all utterances.
    pub(super) speech: Duration,
    /// Partials that were dropped because the client does not read fast enough.
    pub(super) dropped: u64,
}

impl Told {
    pub(super) fn new(channels: u8) -> Self {
        Self {
            several_channels: channels > 1,
            last_end: [0.0; 2],
            first_partial: [None; 2],
            failures_in_a_row: 0,
            speech: Duration::ZERO,
            dropped: 0,
        }
    }

    /// What another worker told before.
    pub(super) fn continues(&mut self, continues: &Continuation) {
        (self.last_end, self.speech) = (continues.last_end, continues.speech);
    }

    pub(super) fn began(&mut self, channel: u8, utterance: u64, at: Instant) {
        self.first_partial[usize::from(channel)] = Some((utterance, at));
    }

    /// The channel as events show it.
    fn shown(&self, channel: u8) -> Option<u8> {
        self.several_channels.then_some(channel)
    }
}

impl Session {
    /// Sends an event that the client must get. Waits while the client does not read, up to the limit.
    pub(super) async fn tell(&mut self, message: ServerMessage) -> Result<(), End> {
        self.send(FromWorker::Event(Box::new(message))).await
    }

    /// As [`Session::tell`], for what may be the gateway's own affair.
    pub(super) async fn send(&mut self, said: FromWorker) -> Result<(), End> {
        let waiting = match self.client.try_send(said) {
            Ok(()) => return Ok(()),
            Err(TrySendError::Closed(_)) => return Err(End::Gone(Departure::VANISHED)),
            Err(TrySendError::Full(said)) => self.client.send(said),
        };
        match tokio::time::timeout(self.shared.config.write_deadline, waiting).await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(End::Gone(Departure::VANISHED)),
            Err(_) => Err(End::NotReading),
        }
    }

    pub(super) async fn tell_speech_start(&mut self, channel: u8, at: AudioTime) -> Result<(), End> {
        let (timestamp, channel) = (round_ms(at.seconds()), self.told.shown(channel));
        self.tell(ServerMessage::SpeechStart { timestamp, channel }).await
    }

    pub(super) async fn tell_speech_end(&mut self, channel: u8, at: AudioTime) -> Result<(), End> {
        let (timestamp, channel) = (round_ms(at.seconds()), self.told.shown(channel));
        self.tell(ServerMessage::SpeechEnd { timestamp, channel }).await
    }

    pub(super) async fn warn_of_lag(&mut self, lag: Duration) -> Result<(), End> {
        self.shared.metrics.lag_warnings.inc();
        let limits = self.shared.config.lag;
        let lag_seconds = round_ms(lag.as_secs_f64());
        self.tell(ServerMessage::Warning {
            code: "processing_lag".into(),
            message: format!("recognition is {lag_seconds:.1} s behind the audio"),
            lag_seconds: Some(lag_seconds),
            warning_threshold_seconds: Some(limits.warning.as_secs_f64()),
            hard_threshold_seconds: Some(limits.hard.as_secs_f64()),
        })
        .await
    }

    pub(super) async fn warn_of_wait(&mut self) -> Result<(), End> {
        let seconds = self.recognition.backlog.audio().seconds();
        self.tell(ServerMessage::Warning {
            code: "waiting_for_stream".into(),
            message: format!("every stream of the engine is in use; {seconds:.1} s of audio wait for one"),
            lag_seconds: None,
            warning_threshold_seconds: None,
            hard_threshold_seconds: None,
        })
        .await
    }

    /// Tells what a recogniser has to say.
    pub(super) async fn report(&mut self, outcome: Outcome) -> Result<(), End> {
        match outcome {
            Outcome::Partial { utterance, heard, hypothesis, took } => {
                self.report_partial(utterance, heard, hypothesis, took);
                Ok(())
            }
            Outcome::Final { utterance, ended, hypothesis, language, took } => {
                self.settled.answered(utterance, ended.at);
                self.report_final(utterance, ended, hypothesis, language, took).await?;
                self.report_settled(true);
                Ok(())
            }
            Outcome::Failed { utterance, error, took, flush } => {
                self.settled.answered(utterance, utterance.start);
                self.report_failure(utterance, error, took).await?;
                self.settle(flush).await
            }
            Outcome::Flushed { flush } => self.settle(Some(flush)).await,
        }
    }

    /// A partial is worth nothing once it is late, so it is dropped rather than waited with.
    fn report_partial(&mut self, utterance: Utterance, heard: AudioTime, hypothesis: Hypothesis, took: Took) {
        let metrics = &self.shared.metrics;
        metrics.decode.observe(took.duration());
        let first = self.told.first_partial[usize::from(utterance.channel)].take_if(|(n, _)| *n == utterance.number);
        if let Some((_, began)) = first {
            metrics.first_partial.observe(began.elapsed());
        }
        self.trace_transcript(TranscriptKind::Partial, utterance, heard, &hypothesis, took, false);
        let message = ServerMessage::Partial {
            utterance_id: utterance_id(utterance),
            text: hypothesis.text,
            start: round_ms(utterance.start.seconds()),
            end: round_ms(heard.seconds()),
            channel: self.told.shown(utterance.channel),
        };
        if self.client.try_send(FromWorker::Event(Box::new(message))).is_err() {
            self.told.dropped += 1;
        }
    }

    async fn report_final(
        &mut self,
        utterance: Utterance,
        ended: Ended,
        hypothesis: Hypothesis,
        language: String,
        took: Took,
    ) -> Result<(), End> {
        self.told.failures_in_a_row = 0;
        self.shared.metrics.decode.observe(took.duration());
        self.shared.metrics.speech_to_final.observe(ended.asked.elapsed());
        self.trace_transcript(TranscriptKind::Final, utterance, ended.at, &hypothesis, took, false);
        if hypothesis.text.is_empty() {
            // Noise that the engine took for nothing is nothing to the client, but a flush wants its answer.
            return self.settle(ended.flush).await;
        }
        let said = self.place(utterance, &ended, hypothesis, language);
        self.transcript.push(&said);
        self.tell(ServerMessage::Final(said)).await?;
        if let Some(flush) = &ended.flush {
            flush.answer();
        }
        self.settle(ended.flush).await
    }

    /// A channel has said what it has to say to a flush. The last one tells the client when there was nothing.
    pub(super) async fn settle(&mut self, flush: Option<Arc<Flush>>) -> Result<(), End> {
        match flush.and_then(Flush::settle) {
            Some(Flush { id, .. }) => self.tell(ServerMessage::Flushed { id }).await,
            None => Ok(()),
        }
    }

    /// Puts an utterance's words on the session's clock.
    fn place(
        &mut self,
        utterance: Utterance,
        ended: &Ended,
        hypothesis: Hypothesis,
        language: String,
    ) -> TranscriptFinal {
        let last_end = &mut self.told.last_end[usize::from(utterance.channel)];
        let origin = utterance.start.seconds();
        let on_clock = |seconds: f64| round_ms((origin + seconds).max(*last_end));
        let words: Vec<Word> = hypothesis
            .words
            .into_iter()
            .map(|word| Word {
                start: on_clock(word.start),
                end: on_clock(word.end),
                word: word.text.clone(),
                text: word.text,
                confidence: word.confidence,
            })
            .collect();
        let start = words.first().map_or(on_clock(0.0), |word| word.start);
        let last_word = words.last().map_or(start, |word| word.end);
        let end = round_ms(ended.at.seconds()).max(last_word);
        *last_end = end;
        TranscriptFinal {
            utterance_id: utterance_id(utterance),
            text: hypothesis.text,
            start,
            end,
            confidence: hypothesis.confidence,
            language,
            words: if self.offer.config.word_timestamps { words } else { Vec::new() },
            channel: self.told.shown(utterance.channel),
            cause: ended.cause,
            id: ended.flush.as_ref().and_then(|flush| flush.id.clone()),
        }
    }

    /// The words of one utterance are lost; the client is told which. An engine that fails again and again ends the session.
    async fn report_failure(&mut self, utterance: Utterance, error: EngineError, took: Took) -> Result<(), End> {
        tracing::warn!(
            utterance = utterance.number,
            error = %error,
            "an utterance was lost"
        );
        let nothing = Hypothesis::default();
        self.trace_transcript(TranscriptKind::Final, utterance, utterance.start, &nothing, took, true);
        if let EngineError::Busy(longest) = error {
            return Err(End::NoStream(longest));
        }
        self.told.failures_in_a_row += 1;
        if self.told.failures_in_a_row >= MOST_FAILURES {
            return Err(End::EngineFailed(error));
        }
        let id = utterance_id(utterance);
        let from = utterance.start.seconds();
        let message = format!("{id} from {from:.2} s was lost: {error}; the session goes on with the next one");
        self.tell(ServerMessage::error(&ApiError::new(ErrorCode::EngineFailed, message), true)).await
    }

    fn trace_transcript(
        &mut self,
        kind: TranscriptKind,
        utterance: Utterance,
        until: AudioTime,
        hypothesis: &Hypothesis,
        took: Took,
        failed: bool,
    ) {
        let made = Transcript {
            kind,
            utterance: utterance.number,
            audio: until.saturating_sub(utterance.start).duration(),
            words: hypothesis.text.split_ascii_whitespace().count(),
            failed,
        };
        self.trace.transcript(Lap::between(took.began, took.ended), made);
    }
}

fn utterance_id(utterance: Utterance) -> String {
    format!("utt_{}", utterance.number)
}
