//! Going on with a session on another connection.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::SessionId;

/// What a client shows to go on with its session: whoever has it, and the key of the same tenant, has the session. So
/// it is never logged, and never stands in an error.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ResumeToken {
    session_id: SessionId,
    secret: Box<str>,
}

/// A text that is no token. It does not repeat it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("not a token such as `session.begin` carries in `resume.token`")]
pub struct InvalidToken;

impl ResumeToken {
    /// Characters of a secret: 256 bits in base64 (RFC 4648 §5, without padding).
    pub const SECRET_CHARS: usize = 43;

    /// The token of this session with this secret; `None` when that is none.
    pub fn new(session_id: SessionId, secret: &str) -> Option<Self> {
        let is_base64 = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        (secret.len() == Self::SECRET_CHARS && secret.chars().all(is_base64))
            .then(|| Self { session_id, secret: secret.into() })
    }

    /// Whose token it says to be.
    pub fn session_id(&self) -> &SessionId {
        &self.session_id
    }

    /// What proves it.
    pub fn secret(&self) -> &str {
        &self.secret
    }
}

impl FromStr for ResumeToken {
    type Err = InvalidToken;

    fn from_str(given: &str) -> Result<Self, InvalidToken> {
        let (session, secret) = given.split_once('.').ok_or(InvalidToken)?;
        Self::new(session.parse().map_err(|_| InvalidToken)?, secret).ok_or(InvalidToken)
    }
}

impl TryFrom<String> for ResumeToken {
    type Error = InvalidToken;

    fn try_from(given: String) -> Result<Self, InvalidToken> {
        given.parse()
    }
}

impl From<ResumeToken> for String {
    fn from(token: ResumeToken) -> Self {
        format!("{}.{}", token.session_id, token.secret)
    }
}

impl fmt::Debug for ResumeToken {
    /// Without the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResumeToken").field("session_id", &self.session_id).finish_non_exhaustive()
    }
}

/// How a connection and its session come together.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Attachment {
    /// A new session, which ends with its connection.
    #[default]
    Begin,
    /// A new session, which the client may resume (`resumable=true`).
    BeginResumable,
    /// A session that began on another connection.
    Resume(Box<Resume>),
}

/// A wish to go on with a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resume {
    /// `resume=`: from `session.begin`.
    pub token: ResumeToken,
    /// `received=`: the last `audio.ack` that came, 0 when there was none.
    pub received: u64,
    /// `last_final=`: the utterance of the last final that came.
    pub last_final: Option<String>,
}

/// In the `session.begin` of a session that may be resumed.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ResumeOffer {
    /// For the `resume` parameter.
    pub token: ResumeToken,
    /// The session waits for its client so long, seconds.
    pub window_seconds: f64,
}

/// In the `session.begin` of a session that goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Resumed {
    /// The client sends its audio from this byte of the session on.
    pub bytes: u64,
    /// So many finals of before follow at once.
    pub finals: usize,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_survives_the_query_and_shows_no_secret() {
        let secret = "A-_9".repeat(10) + "abc";
        let token = ResumeToken::new(SessionId::generate(), &secret).expect("it is one");
        assert_eq!(String::from(token.clone()).parse(), Ok(token.clone()));
        assert!(!format!("{token:?}").contains(&secret));
    }

    #[test]
    fn what_is_no_token_is_refused_without_repeating_it() {
        let id = SessionId::generate();
        for wrong in ["", ".", "ses_1", &format!("{id}."), &format!("{id}.short"), &format!("{id}.{}", "/".repeat(43))]
        {
            let error = wrong.parse::<ResumeToken>().expect_err(wrong).to_string();
            assert!(wrong.len() < 5 || !error.contains(wrong), "{error}");
        }
    }
}
