//! A place in a list of jobs.

use std::{fmt, str::FromStr};

use dalston_protocol::JobId;

use super::{JobRecord, row::to_millis};
use crate::StoreError;

/// Behind this job, in the order of acceptance.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Cursor {
    pub(super) created_at: i64,
    pub(super) id: String,
}

impl Cursor {
    /// Before the newest job there will ever be.
    pub(super) const START: Self = Self { created_at: i64::MAX, id: String::new() };

    pub(super) fn after(job: &JobRecord) -> Self {
        Self { created_at: to_millis(job.created_at), id: job.id.to_string() }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:x}.{}", self.created_at, self.id)
    }
}

impl FromStr for Cursor {
    type Err = StoreError;

    fn from_str(given: &str) -> Result<Self, StoreError> {
        let parsed = given.split_once('.').and_then(|(created_at, id)| {
            let created_at = i64::from_str_radix(created_at, 16).ok()?;
            Some(Self { created_at, id: id.parse::<JobId>().ok()?.into() })
        });
        parsed.ok_or(StoreError::InvalidCursor)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_page_gave_is_no_cursor() {
        let cursor = Cursor { created_at: 1_750_000_000_123, id: "job_1".into() };
        assert_eq!(cursor.to_string().parse::<Cursor>().unwrap(), cursor);
        for wrong in ["", ".", "1", "1.", "x.job_1", "1.ses_1", "1.job_1'--", "1.2.job_1"] {
            assert!(wrong.parse::<Cursor>().is_err(), "{wrong} was taken for a cursor");
        }
    }
}
