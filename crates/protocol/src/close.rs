//! How a WebSocket session ends.

use serde::{Deserialize, Serialize};

/// The close codes of the native API. The number says who must act: `1xxx` nobody or the operator, `44xx` the client must
/// change something before it tries again, `45xx` and 1012 the client may try again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "u16", try_from = "u16")]
#[repr(u16)]
pub enum CloseCode {
    /// Done: everything received was answered.
    Normal = 1000,
    /// A message was larger than the limit.
    TooLarge = 1009,
    /// Our fault.
    Internal = 1011,
    /// This server is going down; connect again.
    Restart = 1012,
    /// The engine fell too far behind the audio.
    LagExceeded = 4010,
    /// A bad parameter or message, named in the reason.
    BadRequest = 4400,
    /// No key, or a wrong one.
    Unauthorized = 4401,
    /// The key lacks the scope.
    Forbidden = 4403,
    /// No such model or language, or no such session to resume.
    NotFound = 4404,
    /// The client sent nothing, or did not read.
    Timeout = 4408,
    /// The session goes on at another connection.
    Resumed = 4409,
    /// The client's own limit is reached.
    RateLimited = 4429,
    /// No worker is free.
    NoCapacity = 4503,
}

impl CloseCode {
    /// Every code there is.
    pub const ALL: [Self; 13] = [
        Self::Normal,
        Self::TooLarge,
        Self::Internal,
        Self::Restart,
        Self::LagExceeded,
        Self::BadRequest,
        Self::Unauthorized,
        Self::Forbidden,
        Self::NotFound,
        Self::Timeout,
        Self::Resumed,
        Self::RateLimited,
        Self::NoCapacity,
    ];

    /// The number on the wire.
    pub const fn as_u16(self) -> u16 {
        self as u16
    }

    /// A short name for metrics, logs and spans.
    pub const fn outcome(self) -> &'static str {
        match self {
            Self::Normal => "done",
            Self::TooLarge => "too_large",
            Self::Internal => "internal",
            Self::Restart => "restart",
            Self::LagExceeded => "lag_exceeded",
            Self::BadRequest => "bad_request",
            Self::Unauthorized => "unauthorized",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::Timeout => "timeout",
            Self::Resumed => "resumed",
            Self::RateLimited => "rate_limited",
            Self::NoCapacity => "no_capacity",
        }
    }
}

impl From<CloseCode> for u16 {
    fn from(code: CloseCode) -> u16 {
        code.as_u16()
    }
}

impl TryFrom<u16> for CloseCode {
    type Error = String;

    fn try_from(number: u16) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|code| code.as_u16() == number)
            .ok_or_else(|| format!("{number} is not a close code of this API"))
    }
}

/// The end of a session: a code, and a reason that the client sees.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Close {
    /// The code on the wire.
    pub code: CloseCode,
    /// Why, in words; empty for a normal end.
    pub reason: String,
}

impl Close {
    /// A close with its reason.
    pub fn new(code: CloseCode, reason: impl Into<String>) -> Self {
        Self { code, reason: reason.into() }
    }

    /// Everything was answered.
    pub const fn normal() -> Self {
        Self { code: CloseCode::Normal, reason: String::new() }
    }

    /// The reason cut to what a close frame can carry: 123 bytes of UTF-8 (RFC 6455 §5.5), on a character boundary.
    pub fn frame_reason(&self) -> &str {
        const LIMIT: usize = 123;
        let mut end = self.reason.len().min(LIMIT);
        while !self.reason.is_char_boundary(end) {
            end -= 1;
        }
        &self.reason[..end]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_survives_the_wire() {
        for code in CloseCode::ALL {
            assert_eq!(CloseCode::try_from(code.as_u16()), Ok(code));
        }
        assert!(CloseCode::try_from(1006).is_err(), "1006 never stands in a frame");
    }

    #[test]
    fn a_reason_is_cut_between_characters() {
        let close = Close::new(CloseCode::BadRequest, "ü".repeat(100));
        assert_eq!(close.frame_reason().len(), 122);
    }
}
