//! How a session ended: decided once, told everywhere the same.

use dalston_protocol::{ApiError, Close, CloseCode, ErrorCode};
use dalston_session_router::link::Departure;
use dalston_telemetry::SessionOutcome;

/// The one terminal state of a session (RT1).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Verdict {
    /// For metrics and the span.
    pub(super) outcome: SessionOutcome,
    /// The close code: the one that we send, the one that the client sent, or 1006 when there was none (RFC 6455
    /// §7.4.1).
    pub(super) code: u16,
    /// More exactly, in a word of the program.
    pub(super) cause: &'static str,
}

/// No close frame was exchanged.
const ABNORMAL: u16 = 1006;

impl Verdict {
    /// The client is not there any more.
    pub(super) const fn gone(cause: &'static str) -> Self {
        Self { outcome: SessionOutcome::ClientGone, code: ABNORMAL, cause }
    }

    /// The client closed before it had said `end`.
    pub(super) fn closed_by_client(code: Option<u16>) -> Self {
        // 1005: a close frame without a code.
        Self { outcome: SessionOutcome::ClientGone, code: code.unwrap_or(1005), cause: "client_closed" }
    }

    /// What the worker is told of it when its client is gone.
    pub(super) const fn departure(self) -> Departure {
        Departure { outcome: self.outcome, close_code: self.code }
    }

    /// The client broke the WebSocket protocol itself.
    pub(super) const fn violation(code: u16) -> Self {
        Self { outcome: SessionOutcome::BadRequest, code, cause: "websocket_violation" }
    }

    /// The worker died.
    pub(super) const fn worker_lost(cause: &'static str) -> Self {
        Self { outcome: SessionOutcome::WorkerLost, code: CloseCode::Internal.as_u16(), cause }
    }

    /// The client goes on with it on another connection.
    pub(super) const fn resumed_elsewhere() -> Self {
        Self { outcome: SessionOutcome::Moved, code: CloseCode::Resumed.as_u16(), cause: "resumed_elsewhere" }
    }

    /// A client that came back learns how its session had ended, which is counted where it did.
    pub(super) const fn told_later(code: u16) -> Self {
        Self { outcome: SessionOutcome::Moved, code, cause: "told_later" }
    }

    /// The client was sent to another gateway and did not go on there.
    pub(super) const fn sent_away() -> Self {
        Self { outcome: SessionOutcome::Drained, code: CloseCode::Restart.as_u16(), cause: "sent_away" }
    }

    /// The session's own task did not come to its end.
    pub(super) const fn failed() -> Self {
        Self { outcome: SessionOutcome::Internal, code: ABNORMAL, cause: "task_failed" }
    }

    /// We said no, or said stop.
    pub(super) fn error(error: &ApiError) -> Self {
        Self {
            outcome: outcome_of_error(error.code),
            code: error.code.close_code().as_u16(),
            cause: error.code.as_str(),
        }
    }

    /// The worker said that it is over. `fatal` is the error that it told the client before.
    pub(super) fn worker(close: &Close, fatal: Option<ErrorCode>) -> Self {
        let told = fatal.filter(|code| code.close_code() == close.code);
        Self {
            outcome: told.map_or_else(|| outcome_of_close(close.code), outcome_of_error),
            code: close.code.as_u16(),
            cause: told.map_or(close.code.outcome(), ErrorCode::as_str),
        }
    }
}

fn outcome_of_error(code: ErrorCode) -> SessionOutcome {
    match code {
        ErrorCode::EngineFailed => SessionOutcome::EngineFailed,
        ErrorCode::ClientNotReading => SessionOutcome::SlowReader,
        other => outcome_of_close(other.close_code()),
    }
}

fn outcome_of_close(code: CloseCode) -> SessionOutcome {
    match code {
        CloseCode::Normal => SessionOutcome::Completed,
        CloseCode::TooLarge => SessionOutcome::TooLarge,
        CloseCode::Internal => SessionOutcome::Internal,
        CloseCode::Restart => SessionOutcome::Drained,
        CloseCode::LagExceeded => SessionOutcome::LagExceeded,
        CloseCode::BadRequest => SessionOutcome::BadRequest,
        CloseCode::Unauthorized | CloseCode::Forbidden => SessionOutcome::Unauthorized,
        CloseCode::NotFound => SessionOutcome::NotFound,
        CloseCode::Timeout => SessionOutcome::ClientIdle,
        CloseCode::Resumed => SessionOutcome::Moved,
        CloseCode::RateLimited => SessionOutcome::RateLimited,
        CloseCode::NoCapacity => SessionOutcome::NoCapacity,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_worker_that_told_why_is_believed_only_if_its_close_says_the_same() {
        let internal = Close::new(CloseCode::Internal, "");
        let check = |close: &Close, fatal, expected| assert_eq!(Verdict::worker(close, fatal).outcome, expected);
        check(&internal, Some(ErrorCode::EngineFailed), SessionOutcome::EngineFailed);
        check(&internal, None, SessionOutcome::Internal);
        check(&Close::normal(), Some(ErrorCode::EngineFailed), SessionOutcome::Completed);
    }
}
