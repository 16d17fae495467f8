//! How a session ends: in exactly one way, told to the client, the trace and the log alike.

use std::time::{Duration, Instant, SystemTime};

use dalston_audio::AudioTime;
use dalston_engine_sdk::EngineError;
use dalston_protocol::{ApiError, Close, CloseCode, ErrorCode, realtime::ServerMessage};
use dalston_session_router::link::{Departure, FromWorker};
use dalston_store::{SessionRecord, SessionSummary, StoreError};
use dalston_telemetry::{Lap, SessionOutcome, SessionTotals};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::{LAG_TICK, Session};
use crate::inference::Outcome;

/// Why a session ends.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum End {
    /// The client said `end`.
    Requested,
    /// The client went away.
    Gone(Departure),
    /// The gateway asks for this close.
    Asked(Close),
    /// The worker is going down.
    Drained,
    /// The client does not read what it is sent.
    NotReading,
    /// A message asks for what is not allowed.
    BadRequest(ApiError),
    /// The engine fell too far behind.
    LagExceeded(Duration),
    /// No stream of the engine became free within this time.
    NoStream(Duration),
    /// The engine fails again and again.
    EngineFailed(EngineError),
    /// The engine did not answer for what was received within this time of the end.
    NotAnswered(Duration),
}

impl End {
    /// Whether what was received is answered first. Not where the client is at fault, and not where the engine is.
    fn answers_the_rest(&self) -> bool {
        match self {
            // Another worker answers for it.
            Self::Gone(Departure::MOVED) => false,
            Self::Requested | Self::Gone(_) | Self::Drained => true,
            // A limit of the client's own ends what it may send, not what it has sent: a longest duration is one.
            Self::Asked(close) => matches!(
                close.code,
                CloseCode::Normal
                    | CloseCode::Restart
                    | CloseCode::Timeout
                    | CloseCode::RateLimited
                    | CloseCode::Internal
            ),
            Self::NotReading
            | Self::BadRequest(_)
            | Self::LagExceeded(_)
            | Self::NoStream(_)
            | Self::EngineFailed(_)
            | Self::NotAnswered(_) => false,
        }
    }

    /// What the client is told before the close, if anything went wrong that it does not know of.
    fn error(&self) -> Option<ApiError> {
        let seconds = |d: &Duration| d.as_secs_f64();
        match self {
            Self::Requested | Self::Gone(_) | Self::Asked(_) | Self::Drained => None,
            Self::NotReading => {
                Some(ApiError::new(ErrorCode::ClientNotReading, "the client does not read what it is sent"))
            }
            Self::BadRequest(error) => Some(error.clone()),
            Self::LagExceeded(lag) => Some(ApiError::new(
                ErrorCode::LagExceeded,
                format!("recognition fell {:.1} s behind the audio; send less at once or add capacity", seconds(lag)),
            )),
            Self::NoStream(waited) => Some(
                ApiError::new(
                    ErrorCode::NoCapacity,
                    format!("every stream of the engine was in use for {:.0} s; try again later", seconds(waited)),
                )
                .retry_after(1.0),
            ),
            Self::EngineFailed(error) => {
                Some(ApiError::new(ErrorCode::EngineFailed, format!("the engine fails again and again: {error}")))
            }
            Self::NotAnswered(deadline) => Some(ApiError::new(
                ErrorCode::EngineFailed,
                format!("the engine did not answer for all audio within {:.0} s of the end", seconds(deadline)),
            )),
        }
    }

    fn close(&self) -> Close {
        match self {
            Self::Requested => Close::normal(),
            // Ends the link; the client has its own.
            Self::Gone(_) => Close::new(CloseCode::Normal, "the client went away"),
            Self::Asked(close) => close.clone(),
            Self::Drained => Close::new(CloseCode::Restart, "the server is going down; connect again"),
            other => other.error().map_or_else(Close::normal, |error| error.close()),
        }
    }

    /// What the WebSocket was closed with.
    fn close_code(&self) -> u16 {
        match self {
            Self::Gone(how) => how.close_code,
            other => other.close().code.as_u16(),
        }
    }

    fn outcome(&self) -> SessionOutcome {
        match self {
            Self::Requested => SessionOutcome::Completed,
            Self::Gone(how) => how.outcome,
            Self::Drained => SessionOutcome::Drained,
            Self::NotReading => SessionOutcome::SlowReader,
            Self::BadRequest(_) => SessionOutcome::BadRequest,
            Self::LagExceeded(_) => SessionOutcome::LagExceeded,
            Self::NoStream(_) => SessionOutcome::NoCapacity,
            Self::EngineFailed(_) | Self::NotAnswered(_) => SessionOutcome::EngineFailed,
            Self::Asked(close) => asked_outcome(close.code),
        }
    }
}

/// The gateway knows better why it asked; this is what the code alone tells.
fn asked_outcome(code: CloseCode) -> SessionOutcome {
    match code {
        CloseCode::Normal => SessionOutcome::Completed,
        CloseCode::TooLarge => SessionOutcome::TooLarge,
        CloseCode::Restart => SessionOutcome::Drained,
        CloseCode::LagExceeded => SessionOutcome::LagExceeded,
        CloseCode::BadRequest => SessionOutcome::BadRequest,
        CloseCode::Unauthorized | CloseCode::Forbidden => SessionOutcome::Unauthorized,
        CloseCode::NotFound => SessionOutcome::NotFound,
        CloseCode::Timeout => SessionOutcome::ClientIdle,
        CloseCode::Resumed => SessionOutcome::Moved,
        CloseCode::RateLimited => SessionOutcome::RateLimited,
        CloseCode::NoCapacity => SessionOutcome::NoCapacity,
        CloseCode::Internal => SessionOutcome::Internal,
    }
}

impl Session {
    /// Answers the rest if that is due, says the last words and closes.
    pub(super) async fn end(
        mut self: Box<Self>,
        reason: End,
        outcomes: mpsc::Receiver<Box<Outcome>>,
        drain: &CancellationToken,
    ) -> Close {
        let began = Instant::now();
        let received = self.origin + self.intake.received();
        let reason = match reason {
            reason if reason.answers_the_rest() => self.answer_the_rest(reason, outcomes, drain).await,
            reason => reason,
        };
        let (close, close_code) = (reason.close(), reason.close_code());
        self.trace.close(Lap::between(began, Instant::now()), reason.outcome(), close_code);
        if let Some(error) = reason.error() {
            // Best effort: the reason stands in the close frame too.
            let _ = self.tell(ServerMessage::error(&error, false)).await;
        }
        let Self {
            trace,
            transcript,
            told,
            origin,
            is_addressed,
            recording,
            client,
            offer,
            lag,
            utterances,
            shared,
            ..
        } = *self;
        let trace_id = trace.trace_id();
        trace.end(&SessionTotals {
            outcome: reason.outcome(),
            close_code,
            audio: received.duration(),
            speech: told.speech,
            utterances,
            lag_max: lag.max(),
            dropped_events: told.dropped,
        });
        tracing::info!(
            outcome = reason.outcome().as_str(),
            close_code,
            audio_seconds = received.seconds(),
            utterances,
            "session ended"
        );
        let whole = transcript.into_end(offer.session_id.clone(), received.seconds(), told.speech.as_secs_f64());
        let mut last_words = Vec::with_capacity(4);
        // A session that another worker goes on with is kept there. So is one that its gateway has given up waiting to be
        // taken here, and that was never heard of: whatever it had before it was offered, this worker is not its last.
        let is_elsewhere =
            reason == End::Gone(Departure::MOVED) || reason == End::Gone(Departure::VANISHED) && !is_addressed;
        if let Some(recording) = recording.filter(|_| !is_elsewhere) {
            let outcome = reason.outcome().as_str().to_owned();
            let record =
                SessionRecord { outcome, close_code, end: whole.clone(), ended_at: SystemTime::now(), trace_id };
            // Before the last message, so that who has it can read what was kept. The archive bounds the wait.
            last_words.extend(loss(&recording.finish(record).await).map(FromWorker::Event));
            if origin != AudioTime::ZERO && offer.config.store_audio {
                last_words.push(FromWorker::Event(audio_left_behind()));
            }
        }
        if reason.answers_the_rest() {
            last_words.push(FromWorker::Event(Box::new(ServerMessage::SessionEnd(whole))));
        }
        last_words.push(FromWorker::Closed(Box::new(close.clone())));
        for message in last_words {
            // A client that is gone or does not read needs no last words.
            let _ = tokio::time::timeout(shared.config.write_deadline, client.send(message)).await;
        }
        close
    }

    /// Lets the recognisers finish and tells what they say. The reason to end, or the one that came instead.
    async fn answer_the_rest(
        &mut self,
        reason: End,
        mut outcomes: mpsc::Receiver<Box<Outcome>>,
        drain: &CancellationToken,
    ) -> End {
        let mut began = tokio::time::Instant::now();
        let noticed = self.hear_the_end();
        let mut told = self.notice(noticed, Instant::now()).await;
        // Without this one, the outcomes end when the last recogniser does.
        let (closed, _) = mpsc::channel(1);
        self.recognition.outcomes = closed;
        let deadline = self.shared.config.drain_deadline;
        let mut left = deadline;
        loop {
            // The deadline is the engine's, so it does not run while a recogniser waits for its turn: the engine bounds that
            // itself. A worker that goes down cannot wait so long.
            let runs = drain.is_cancelled() || !self.recognition.backlog.is_waiting();
            tokio::select! {
                outcome = outcomes.recv() => match outcome {
                    Some(outcome) => told = told.and(self.report(*outcome).await),
                    None => break,
                },
                () = tokio::time::sleep(LAG_TICK.min(left)) => told = told.and(self.watch_wait().await),
            }
            let now = tokio::time::Instant::now();
            if runs {
                left = left.saturating_sub(now - began);
            }
            began = now;
            if left.is_zero() {
                return End::NotAnswered(deadline);
            }
        }
        match told {
            // A client that went away meanwhile changes nothing for one that had said `end`.
            Ok(()) | Err(End::Gone(_)) => reason,
            Err(other) => other,
        }
    }
}

/// The audio of a session that has moved was with its first worker.
fn audio_left_behind() -> Box<ServerMessage> {
    Box::new(ServerMessage::Warning {
        code: "audio_lost".into(),
        message: "the session moved to another worker; its transcript is kept, its audio is not".into(),
        lag_seconds: None,
        warning_threshold_seconds: None,
        hard_threshold_seconds: None,
    })
}

/// What a client that asked for its session to be kept is told when less is.
fn loss(kept: &Result<SessionSummary, StoreError>) -> Option<Box<ServerMessage>> {
    let (code, message) = match kept {
        Ok(SessionSummary { audio: Some(audio), .. }) if !audio.complete => {
            ("audio_lost", format!("only the first {:.1} s of the audio were kept", audio.seconds))
        }
        Ok(_) => return None,
        // The error may name files, which are not the client's affair.
        Err(error) => {
            tracing::error!(%error, "a session was not kept");
            let what = match error {
                StoreError::TooSlow(_) => "this session may not have been kept",
                StoreError::Postponed(_) => "this session is kept, but cannot be found yet",
                _ => "this session was not kept",
            };
            ("not_kept", format!("{what}: the server's storage failed"))
        }
    };
    Some(Box::new(ServerMessage::Warning {
        code: code.into(),
        message,
        lag_seconds: None,
        warning_threshold_seconds: None,
        hard_threshold_seconds: None,
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_end_has_one_close_code_and_a_reason_unless_it_is_done() {
        let check = |end: End, code: CloseCode, outcome: SessionOutcome| {
            let close = end.close();
            assert_eq!((close.code, end.outcome()), (code, outcome), "{end:?}");
            assert_eq!(close.reason.is_empty(), end == End::Requested, "{end:?}");
        };
        let second = Duration::from_secs(1);
        check(End::Requested, CloseCode::Normal, SessionOutcome::Completed);
        check(End::Gone(Departure::VANISHED), CloseCode::Normal, SessionOutcome::ClientGone);
        check(End::Drained, CloseCode::Restart, SessionOutcome::Drained);
        check(End::NotReading, CloseCode::Timeout, SessionOutcome::SlowReader);
        check(End::BadRequest(ApiError::param("x", "y")), CloseCode::BadRequest, SessionOutcome::BadRequest);
        check(End::LagExceeded(second), CloseCode::LagExceeded, SessionOutcome::LagExceeded);
        let failed = EngineError::Failed("no".into());
        check(End::NoStream(second), CloseCode::NoCapacity, SessionOutcome::NoCapacity);
        check(End::EngineFailed(failed), CloseCode::Internal, SessionOutcome::EngineFailed);
        check(End::NotAnswered(second), CloseCode::Internal, SessionOutcome::EngineFailed);
        let asked = Close::new(CloseCode::Timeout, "idle");
        check(End::Asked(asked), CloseCode::Timeout, SessionOutcome::ClientIdle);
    }
}
