//! The one closed list of error codes, and how each is shown over HTTP and WebSocket.

use serde::{Deserialize, Serialize};

use crate::{Close, CloseCode, RequestId};

macro_rules! error_codes {
    ($($(#[$doc:meta])* $name:ident = $text:literal, $status:literal, $close:ident;)*) => {
        /// Why a request failed. The text form is part of the API.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum ErrorCode {
            $($(#[$doc])* #[serde(rename = $text)] $name,)*
        }

        impl ErrorCode {
            /// Every code there is.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The code as clients see it.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// The HTTP status it is answered with.
            pub const fn http_status(self) -> u16 {
                match self { $(Self::$name => $status,)* }
            }

            /// The code that a WebSocket is closed with.
            pub const fn close_code(self) -> CloseCode {
                match self { $(Self::$name => CloseCode::$close,)* }
            }
        }
    };
}

/// The sort of an error, in the words of OpenAI's API, whose clients look at it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum ErrorKind {
    /// Who are you?
    #[serde(rename = "authentication_error")]
    Authentication,
    /// This is not yours to do.
    #[serde(rename = "permission_error")]
    Permission,
    /// Less, or later.
    #[serde(rename = "rate_limit_error")]
    RateLimit,
    /// The request is at fault.
    #[serde(rename = "invalid_request_error")]
    InvalidRequest,
    /// The server is.
    #[default]
    #[serde(rename = "server_error")]
    Server,
}

impl ErrorCode {
    /// Its sort, by its status.
    pub const fn kind(self) -> ErrorKind {
        match self.http_status() {
            401 => ErrorKind::Authentication,
            403 => ErrorKind::Permission,
            429 => ErrorKind::RateLimit,
            400..=499 => ErrorKind::InvalidRequest,
            _ => ErrorKind::Server,
        }
    }
}

error_codes! {
    /// A parameter has a value that is not allowed.
    InvalidParameter = "invalid_parameter", 400, BadRequest;
    /// A message is not one of this protocol.
    InvalidMessage = "invalid_message", 400, BadRequest;
    /// No credentials were given.
    MissingCredentials = "missing_credentials", 401, Unauthorized;
    /// The credentials are wrong, used up or expired.
    InvalidCredentials = "invalid_credentials", 401, Unauthorized;
    /// The key lacks the scope.
    InsufficientScope = "insufficient_scope", 403, Forbidden;
    /// A browser page of another origin.
    OriginNotAllowed = "origin_not_allowed", 403, Forbidden;
    /// Nothing is here.
    NotFound = "not_found", 404, NotFound;
    /// The route exists with another method.
    MethodNotAllowed = "method_not_allowed", 405, BadRequest;
    /// No worker has this model.
    ModelNotFound = "model_not_found", 404, NotFound;
    /// No worker's model has this language.
    LanguageNotSupported = "language_not_supported", 404, NotFound;
    /// No session can be resumed with this token.
    SessionGone = "session_gone", 404, NotFound;
    /// The session was resumed on another connection.
    ResumedElsewhere = "resumed_elsewhere", 409, Resumed;
    /// An idempotency key was used before, with another request.
    IdempotencyConflict = "idempotency_conflict", 409, BadRequest;
    /// The job is not where this can be done to it.
    WrongStatus = "wrong_status", 409, BadRequest;
    /// The request's body is of another kind than this route reads.
    UnsupportedMedia = "unsupported_media", 415, BadRequest;
    /// What is asked for lies outside of what there is.
    OutOfRange = "out_of_range", 416, BadRequest;
    /// The job failed: its own error says why.
    JobFailed = "job_failed", 422, Internal;
    /// The client sent nothing for too long.
    ClientIdle = "client_idle", 408, Timeout;
    /// The client does not read what it is sent.
    ClientNotReading = "client_not_reading", 408, Timeout;
    /// A message or body is larger than the limit.
    TooLarge = "too_large", 413, TooLarge;
    /// The caller's own limit is reached.
    RateLimited = "rate_limited", 429, RateLimited;
    /// The engine fell too far behind the audio.
    LagExceeded = "lag_exceeded", 503, LagExceeded;
    /// The engine failed on this utterance.
    EngineFailed = "engine_failed", 500, Internal;
    /// The server failed.
    Internal = "internal", 500, Internal;
    /// No worker is free.
    NoCapacity = "no_capacity", 503, NoCapacity;
    /// What the server keeps things in cannot be reached.
    Unavailable = "unavailable", 503, NoCapacity;
    /// The work takes longer than the answer may.
    Timeout = "timeout", 504, Timeout;
    /// The server is going down.
    Draining = "draining", 503, Restart;
}

/// An error as the client is told it. What the log is told is another thing and stands elsewhere.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[error("{}: {message}", code.as_str())]
pub struct ApiError {
    /// Which of the closed list.
    pub code: ErrorCode,
    /// What is wrong, with which value, and what would be right.
    pub message: String,
    /// The parameter or field at fault.
    pub param: Option<String>,
    /// Seconds after which trying again makes sense.
    pub retry_after: Option<f64>,
}

impl ApiError {
    /// An error without a parameter at fault.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), param: None, retry_after: None }
    }

    /// A parameter with a value that is not allowed; `message` says what would be right.
    pub fn param(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self { param: Some(param.into()), ..Self::new(ErrorCode::InvalidParameter, message) }
    }

    /// With the seconds after which trying again makes sense.
    #[must_use]
    pub fn retry_after(self, seconds: f64) -> Self {
        Self { retry_after: Some(seconds), ..self }
    }

    /// The close frame that tells the same.
    pub fn close(&self) -> Close {
        Close::new(self.code.close_code(), self.message.clone())
    }

    /// The body of an HTTP answer.
    pub fn body(&self, request_id: &RequestId) -> ErrorBody {
        ErrorBody {
            error: ErrorDetail {
                kind: self.code.kind(),
                code: self.code,
                message: self.message.clone(),
                param: self.param.clone(),
                request_id: request_id.clone(),
                retry_after: self.retry_after,
            },
        }
    }
}

/// The JSON body of every HTTP error.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ErrorBody {
    /// The one field.
    pub error: ErrorDetail,
}

/// What stands in [`ErrorBody`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ErrorDetail {
    /// Its sort. What stands between client and server may tell errors without one.
    #[serde(rename = "type", default)]
    pub kind: ErrorKind,
    /// Which of the closed list.
    pub code: ErrorCode,
    /// What is wrong and what would be right.
    pub message: String,
    /// The parameter or field at fault.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub param: Option<String>,
    /// The request, to be quoted when asking for help.
    pub request_id: RequestId,
    /// Seconds after which trying again makes sense.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_after: Option<f64>,
}
