//! Attempts that nobody could have made: the disk is full, or what keeps the artifacts does not answer.
//!
//! That is no fault of the task, so it does not count among its failures. It waits, longer each time, for somebody to make
//! room; how often is bounded all the same.

use std::time::Duration;

use dalston_protocol::{
    TaskId,
    job::{JobError, JobStatus, TaskStatus},
};

use super::{
    JobStore, TaskFailure,
    edit::Edit,
    query::statement,
    row::{Row, millis},
};
use crate::StoreError;

/// The first delay; it doubles each time …
const FIRST_DELAY: Duration = Duration::from_secs(30);
/// … up to here. Each is drawn anew between half of it and one and a half.
const LONGEST_DELAY: Duration = Duration::from_secs(600);
/// How often a task is put off: more than nine hours in all.
pub(super) const MOST: u32 = 60;

/// What became of [`put_off`](JobStore::put_off).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PutOff {
    /// The task waits, or is cancelled because its job is.
    Yes,
    /// It has waited long enough: whoever asks is to [fail](JobStore::fail) it. Nothing has changed.
    TooOften,
    /// It is not the caller's any more.
    Lost,
}

impl JobStore {
    /// Ends an attempt that could not be made here and now, and has the task wait. The error is what its owner sees meanwhile.
    ///
    /// # Errors
    /// When the database fails.
    pub async fn put_off(&self, task: &TaskId, attempt: u32, error: &TaskFailure) -> Result<PutOff, StoreError> {
        let mut edit = Edit::begin(self).await?;
        let Some((task, job)) = edit.attempt(task, attempt).await? else { return Ok(PutOff::Lost) };
        if job.status == JobStatus::Cancelling {
            edit.end(&task, TaskStatus::Cancelled, None).await?;
        } else {
            let query = statement("UPDATE tasks SET put_off = put_off + 1 WHERE id = $1 RETURNING id, put_off");
            let row = query.bind(task.id.as_str()).fetch_one(&mut edit.transaction).await?;
            let times: u32 = Row(&row).number("put_off")?;
            if times > MOST {
                return Ok(PutOff::TooOften);
            }
            let due_at = edit.now.saturating_add(millis(delay(times)));
            let (code, message) = (error.code.clone(), error.message.clone());
            let error = JobError { code, message, stage: Some(task.stage.clone()) };
            edit.retry(&task, task.failures, &error, due_at).await?;
            edit.publish_task(&job, &task, due_at).await?;
        }
        edit.publish_job(&job.id).await?;
        edit.finish().await?;
        Ok(PutOff::Yes)
    }
}

/// The delay of a task that is put off for so many times now.
fn delay(times: u32) -> Duration {
    let doublings = times.saturating_sub(1).min(16);
    FIRST_DELAY.saturating_mul(1 << doublings).min(LONGEST_DELAY).mul_f64(rand::random_range(0.5..1.5))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_task_is_put_off_for_minutes_at_a_time_and_hours_in_all() {
        for (times, middle) in [(1, 30), (2, 60), (3, 120), (6, 600), (MOST, 600), (u32::MAX, 600)] {
            let middle = Duration::from_secs(middle);
            let delay = delay(times);
            assert!(delay >= middle / 2 && delay < middle * 3 / 2, "{delay:?} for the {times}th time");
        }
        let all: Duration = (1..=MOST).map(delay).sum();
        assert!(all > Duration::from_secs(4 * 3600) && all < Duration::from_secs(15 * 3600), "{all:?}");
    }
}
