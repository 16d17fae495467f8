//! Between rows and records.
//!
//! Whatever a row holds that this program does not write is [`StoreError::DamagedRow`].

use std::{
    str::FromStr,
    time::{Duration, SystemTime, UNIX_EPOCH},
};

use serde::{Serialize, de::DeserializeOwned};

use super::{
    Idempotency, JobRecord, Source, TaskRecord,
    query::{FromValue, SqlRow},
};
use crate::StoreError;

/// The columns of a job, as [`job`] reads them. A macro, because `concat!` takes nothing else.
macro_rules! job_columns {
    () => {
        "id, tenant, name, parameters, request_id, traceparent, source_key, source_file_name, source_bytes, \
         source_sha256, idempotency_key, idempotency_fingerprint, status, version, audio_duration, result, \
         error, created_at, started_at, ended_at, expires_at"
    };
}

/// How many these are.
pub(super) const JOB_COLUMNS: usize = 21;

/// The columns of a task, as [`task`] reads them.
macro_rules! task_columns {
    () => {
        "id, job_id, node, stage, engine_id, channel, depends_on, deadline, max_attempts, status, attempt, \
         failures, crashes, progress, runner, output, error, traceparent, first_attempt, first_ready_at, \
         ready_at, started_at, ended_at"
    };
}

pub(super) use {job_columns, task_columns};

pub(super) fn job(row: &SqlRow) -> Result<JobRecord, StoreError> {
    let row = Row(row);
    let key: Option<String> = row.get("idempotency_key")?;
    let fingerprint: Option<String> = row.get("idempotency_fingerprint")?;
    Ok(JobRecord {
        id: row.word("id")?,
        tenant: row.get("tenant")?,
        name: row.get("name")?,
        parameters: row.json("parameters")?,
        request_id: row.word("request_id")?,
        traceparent: row.get("traceparent")?,
        source: Source {
            key: row.get("source_key")?,
            file_name: row.get("source_file_name")?,
            bytes: row.number("source_bytes")?,
            sha256: row.get("source_sha256")?,
        },
        idempotency: key.zip(fingerprint).map(|(key, fingerprint)| Idempotency { key, fingerprint }),
        status: row.word("status")?,
        version: row.get("version")?,
        audio_duration: row.get("audio_duration")?,
        result: row.get("result")?,
        error: row.optional_json("error")?,
        created_at: from_millis(row.get("created_at")?),
        started_at: row.time("started_at")?,
        ended_at: row.time("ended_at")?,
        expires_at: row.time("expires_at")?,
    })
}

pub(super) fn task(row: &SqlRow) -> Result<TaskRecord, StoreError> {
    let row = Row(row);
    Ok(TaskRecord {
        id: row.word("id")?,
        job_id: row.word("job_id")?,
        node: row.get("node")?,
        stage: row.get("stage")?,
        engine_id: row.get("engine_id")?,
        channel: row.optional_number("channel")?,
        depends_on: row.json("depends_on")?,
        status: row.word("status")?,
        attempt: row.number("attempt")?,
        failures: row.number("failures")?,
        crashes: row.number("crashes")?,
        max_attempts: row.number("max_attempts")?,
        deadline: Duration::from_millis(row.number("deadline")?),
        progress: row.get("progress")?,
        runner: row.get("runner")?,
        output: row.get("output")?,
        error: row.optional_json("error")?,
        traceparent: row.get("traceparent")?,
        first_attempt: row.get("first_attempt")?,
        first_ready_at: row.time("first_ready_at")?,
        ready_at: row.time("ready_at")?,
        started_at: row.time("started_at")?,
        ended_at: row.time("ended_at")?,
    })
}

/// A row, read by the names of its columns.
pub(super) struct Row<'r>(pub(super) &'r SqlRow);

impl<'r> Row<'r> {
    pub(super) fn get<T: FromValue<'r>>(&self, column: &str) -> Result<T, StoreError> {
        self.0.get(column).map_err(|error| self.damaged(column, &error))
    }

    /// An id or a status.
    pub(super) fn word<T: FromStr<Err: ToString>>(&self, column: &str) -> Result<T, StoreError> {
        self.get::<&str>(column)?.parse().map_err(|error: T::Err| self.damaged(column, &error.to_string()))
    }

    pub(super) fn json<T: DeserializeOwned>(&self, column: &str) -> Result<T, StoreError> {
        serde_json::from_str(self.get(column)?).map_err(|error| self.damaged_json(column, &error))
    }

    fn optional_json<T: DeserializeOwned>(&self, column: &str) -> Result<Option<T>, StoreError> {
        let text: Option<&str> = self.get(column)?;
        text.map(serde_json::from_str).transpose().map_err(|error| self.damaged_json(column, &error))
    }

    /// A truth value, which is read as 0 or 1.
    pub(super) fn is(&self, column: &str) -> Result<bool, StoreError> {
        Ok(self.get::<i64>(column)? != 0)
    }

    pub(super) fn number<T: TryFrom<i64, Error: ToString>>(&self, column: &str) -> Result<T, StoreError> {
        self.get::<i64>(column)?.try_into().map_err(|error: T::Error| self.damaged(column, &error.to_string()))
    }

    pub(super) fn optional_number<T: TryFrom<i64, Error: ToString>>(
        &self,
        column: &str,
    ) -> Result<Option<T>, StoreError> {
        let number: Option<i64> = self.get(column)?;
        number.map(T::try_from).transpose().map_err(|error| self.damaged(column, &error.to_string()))
    }

    pub(super) fn time(&self, column: &str) -> Result<Option<SystemTime>, StoreError> {
        Ok(self.get::<Option<i64>>(column)?.map(from_millis))
    }

    /// Says where, and not what stands there: that may be what people said.
    fn damaged_json(&self, column: &str, error: &serde_json::Error) -> StoreError {
        self.damaged(column, &format!("{:?} error in column {} of its JSON", error.classify(), error.column()))
    }

    fn damaged(&self, column: &str, reason: &impl ToString) -> StoreError {
        let id = self.0.get::<&str>("id").unwrap_or("a row without id");
        StoreError::DamagedRow { id: id.into(), column: column.into(), reason: reason.to_string() }
    }
}

/// A length of time as it is kept.
pub(super) fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// What a column holds for a value of this program.
pub(super) fn to_json(value: &impl Serialize) -> String {
    serde_json::to_string(value).expect("records have string keys and no failing implementations")
}

/// The clock of the store.
pub(super) fn now() -> i64 {
    to_millis(SystemTime::now())
}

/// Times before 1970 are 1970.
pub(super) fn to_millis(time: SystemTime) -> i64 {
    let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

pub(super) fn from_millis(millis: i64) -> SystemTime {
    UNIX_EPOCH + Duration::from_millis(millis.try_into().unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_columns_of_a_job_are_as_many_as_is_said() {
        assert_eq!(job_columns!().split(',').count(), JOB_COLUMNS);
    }
}
