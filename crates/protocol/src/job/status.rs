//! Where a job or task stands, and where it may go from there.

use std::{fmt, str::FromStr};

use serde::{Deserialize, Serialize};

/// A word that is no status.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{given}` is no status; there are {known}")]
pub struct UnknownStatus {
    given: String,
    known: String,
}

macro_rules! statuses {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $text:literal => [$($next:ident),*],)* }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
        pub enum $name {
            $($(#[$variant_doc])* #[serde(rename = $text)] $variant,)*
        }

        impl $name {
            /// Every status, in the order in which they usually follow each other.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The status as the API and the store write it.
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)* }
            }

            /// What it may become. Nothing, when it is terminal.
            pub const fn next(self) -> &'static [Self] {
                match self { $(Self::$variant => &[$(Self::$next,)*],)* }
            }

            /// Whether it stays as it is for ever, but for a replay by hand.
            pub const fn is_terminal(self) -> bool {
                self.next().is_empty()
            }

            /// Whether this change is allowed.
            pub fn may_become(self, next: Self) -> bool {
                self.next().contains(&next)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl FromStr for $name {
            type Err = UnknownStatus;

            fn from_str(given: &str) -> Result<Self, UnknownStatus> {
                Self::ALL.iter().copied().find(|status| status.as_str() == given).ok_or_else(|| UnknownStatus {
                    given: given.chars().take(32).collect(),
                    known: Self::ALL.iter().map(|status| status.as_str()).collect::<Vec<_>>().join(", "),
                })
            }
        }
    };
}

statuses! {
    /// Where a job stands. `cancelled` is final: nothing that was under way changes it.
    JobStatus {
        /// Accepted, not begun.
        Pending = "pending" => [Running, Cancelling, Cancelled, Failed],
        /// A task of it was given out.
        Running = "running" => [Completed, Failed, Cancelling, Cancelled],
        /// It is to end; a task still runs.
        Cancelling = "cancelling" => [Cancelled],
        /// The transcript is there.
        Completed = "completed" => [],
        /// A task failed for good.
        Failed = "failed" => [],
        /// It was cancelled.
        Cancelled = "cancelled" => [],
    }
}

statuses! {
    /// Where a task stands.
    TaskStatus {
        /// What it depends on is not done.
        Pending = "pending" => [Ready, Skipped, Cancelled],
        /// It waits for an engine, or for its next attempt.
        Ready = "ready" => [Running, Cancelled, Failed],
        /// An engine has it.
        Running = "running" => [Completed, Failed, Ready, Running, Cancelled],
        /// Its output is committed.
        Completed = "completed" => [],
        /// It failed for good.
        Failed = "failed" => [],
        /// Nothing needed it.
        Skipped = "skipped" => [],
        /// Its job was cancelled, or failed elsewhere.
        Cancelled = "cancelled" => [],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statuses_round_trip() {
        for status in JobStatus::ALL {
            assert_eq!(status.as_str().parse(), Ok(*status));
            assert_eq!(serde_json::to_string(status).unwrap(), format!("\"{status}\""));
        }
        let error = "done".parse::<JobStatus>().unwrap_err().to_string();
        assert_eq!(error, "`done` is no status; there are pending, running, cancelling, completed, failed, cancelled");
    }

    #[test]
    fn cancelled_is_final() {
        assert!(JobStatus::Cancelled.is_terminal());
        assert!(!JobStatus::Cancelling.may_become(JobStatus::Completed));
    }
}
