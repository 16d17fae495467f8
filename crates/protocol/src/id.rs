//! Ids with a printable prefix, so that one is never taken for another in a log or a URL.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};
use uuid::Uuid;

/// A string that is not an id of the wanted kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{given}` is not an id of the form `{prefix}` followed by letters, digits, `-` or `_` (at most {max} characters)"
)]
pub struct InvalidId {
    given: String,
    prefix: &'static str,
    max: usize,
}

const MAX_LENGTH: usize = 64;

macro_rules! id {
    ($(#[$doc:meta])* $name:ident, $prefix:literal, $uuid:expr, $is_valid:expr) => {
        $(#[$doc])*
        #[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
        #[serde(try_from = "String", into = "String")]
        pub struct $name(Box<str>);

        impl $name {
            /// What every id of this kind begins with.
            pub const PREFIX: &'static str = $prefix;

            /// A new id, unique without coordination.
            pub fn generate() -> Self {
                Self(format!(concat!($prefix, "{}"), $uuid.simple()).into())
            }

            /// The id as text.
            pub fn as_str(&self) -> &str {
                &self.0
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }

        impl FromStr for $name {
            type Err = InvalidId;

            fn from_str(given: &str) -> Result<Self, InvalidId> {
                if $is_valid(given, $prefix) { Ok(Self(given.into())) } else { Err(invalid(given, $prefix)) }
            }
        }

        impl TryFrom<String> for $name {
            type Error = InvalidId;

            fn try_from(given: String) -> Result<Self, InvalidId> {
                given.parse()
            }
        }

        impl From<$name> for String {
            fn from(id: $name) -> String {
                id.0.into()
            }
        }
    };
}

id!(
    /// One live session. Sorts by the time it was made.
    SessionId, "ses_", Uuid::now_v7(), is_valid
);
id!(
    /// One request of a client, carried to the last stage: the caller's `X-Request-ID` if it is safe for logs (any 1 to 64
    /// letters, digits, `-`, `_`, `.` or `:`, with or without the prefix), or made by the gateway.
    RequestId, "req_", Uuid::now_v7(), is_callers
);
id!(
    /// One batch job. Sorts by the time it was made.
    JobId, "job_", Uuid::now_v7(), is_valid
);
id!(
    /// One task of a job.
    TaskId, "task_", Uuid::now_v7(), is_valid
);
id!(
    /// A place that is told of jobs' ends.
    WebhookId, "whk_", Uuid::now_v7(), is_valid
);
id!(
    /// One message to such a place, the same however often it is sent.
    MessageId, "msg_", Uuid::now_v7(), is_valid
);
id!(
    /// One realtime worker process.
    WorkerId, "wrk_", Uuid::now_v7(), is_valid
);
id!(
    /// One reservation of a worker's slot. Random, so that holding one cannot be guessed.
    LeaseId, "lse_", Uuid::new_v4(), is_valid
);

impl RequestId {
    /// The id that a caller chose; `None` when it is not safe to print, and the gateway then makes one.
    pub fn from_caller(given: &str) -> Option<Self> {
        given.parse().ok()
    }
}

fn is_callers(given: &str, _: &str) -> bool {
    let safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.' | ':');
    (1..=MAX_LENGTH).contains(&given.len()) && given.chars().all(safe)
}

fn is_valid(given: &str, prefix: &str) -> bool {
    let safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    given.len() <= MAX_LENGTH
        && given.strip_prefix(prefix).is_some_and(|rest| !rest.is_empty() && rest.chars().all(safe))
}

fn invalid(given: &str, prefix: &'static str) -> InvalidId {
    InvalidId { given: given.chars().take(MAX_LENGTH).collect(), prefix, max: MAX_LENGTH }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_round_trip_and_refuse_other_kinds() {
        let id = SessionId::generate();
        assert_eq!(id.as_str().parse::<SessionId>(), Ok(id.clone()));
        assert_eq!(serde_json::to_string(&id).unwrap(), format!("\"{id}\""));
        for wrong in ["", "ses_", "req_1", "ses_../../etc/passwd", &format!("ses_{}", "a".repeat(99))] {
            assert!(wrong.parse::<SessionId>().is_err(), "{wrong} was taken for a session id");
        }
    }

    #[test]
    fn a_callers_request_id_is_kept_only_when_safe_to_print() {
        assert_eq!(RequestId::from_caller("abc-123.x:1").map(String::from).as_deref(), Some("abc-123.x:1"));
        for wrong in ["", "a b", "a\nb", "ü", "\"", &"a".repeat(65)] {
            assert_eq!(RequestId::from_caller(wrong), None, "{wrong:?}");
        }
        let own: RequestId = serde_json::from_str("\"ticket-4711\"").unwrap();
        assert_eq!(own.as_str(), "ticket-4711", "a client must be able to read back what it sent");
    }
}
