//! Whose trace is meant, and which one that is.

use std::{fmt, str::FromStr};

use anyhow::{Context, Result, bail};
use dalston_protocol::{JobId, SessionId};
use dalston_telemetry::key;
use serde::Deserialize;

use super::Trace;
use crate::{cli::Target, http};

/// Traces that are looked through for a session that was not kept, newest first.
const LOOKED_THROUGH: usize = 50;

/// Whose trace is meant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Subject {
    /// By its own id.
    Trace(String),
    /// Of a job.
    Job(JobId),
    /// Of a session, kept or recent.
    Session(SessionId),
}

impl FromStr for Subject {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.starts_with("job_") {
            return text.parse().map(Self::Job).map_err(|invalid| format!("{invalid}"));
        }
        if text.starts_with("ses_") {
            return text.parse().map(Self::Session).map_err(|invalid| format!("{invalid}"));
        }
        let is_trace = text.len() == 32 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
        let wrong = || "a job (job_…), a session (ses_…), or a trace id of 32 hex digits".to_owned();
        is_trace.then(|| Self::Trace(text.to_ascii_lowercase())).ok_or_else(wrong)
    }
}

impl fmt::Display for Subject {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Trace(id) => write!(f, "trace {id}"),
            Self::Job(id) => write!(f, "{id}"),
            Self::Session(id) => write!(f, "{id}"),
        }
    }
}

/// A job or session, of which only this matters here.
#[derive(Deserialize)]
struct Traced {
    trace_id: Option<String>,
}

#[derive(Deserialize)]
struct Recent {
    traces: Vec<Listed>,
}

#[derive(Deserialize)]
struct Listed {
    trace_id: String,
}

/// The id of its trace.
pub(super) async fn trace_id(target: &Target, subject: &Subject) -> Result<String> {
    let (route, what) = match subject {
        Subject::Trace(id) => return Ok(id.clone()),
        Subject::Job(id) => (format!("/v1/audio/transcriptions/{id}"), "a job"),
        Subject::Session(id) => (format!("/v1/realtime/sessions/{id}"), "a session"),
    };
    let found = match http::find(&target.endpoint, &route, target.api_key().as_ref()).await? {
        Some(answer) => {
            serde_json::from_slice::<Traced>(&answer).with_context(|| format!("the answer is not {what}"))?
        }
        None => match subject {
            Subject::Session(id) => return of_recent_session(target, id).await,
            _ => bail!("no job {subject} is on {}: it was deleted, has expired, or is another's", target.endpoint),
        },
    };
    found.trace_id.with_context(|| {
        format!("{subject} has no trace: tracing was off. `dalston serve --trace-ring` keeps recent traces in memory")
    })
}

/// Most sessions are not kept; their traces name them.
async fn of_recent_session(target: &Target, id: &SessionId) -> Result<String> {
    let key = target.api_key();
    let recent = http::get(&target.endpoint, &format!("/v1/traces?limit={LOOKED_THROUGH}"), key.as_ref()).await?;
    let recent: Recent = serde_json::from_slice(&recent).context("the server's answer is not a list of traces")?;
    for Listed { trace_id } in recent.traces {
        let Some(trace) = http::find(&target.endpoint, &format!("/v1/traces/{trace_id}"), key.as_ref()).await? else {
            continue;
        };
        let trace: Trace = serde_json::from_slice(&trace).context("the server's answer is not a trace")?;
        let is_its = |value: &serde_json::Value| value.as_str() == Some(id.as_str());
        if trace.spans.iter().any(|span| span.attributes.get(key::SESSION_ID.as_str()).is_some_and(is_its)) {
            return Ok(trace_id);
        }
    }
    bail!(
        "{id} is not kept on {}, and none of the newest {LOOKED_THROUGH} traces there is its: it was too long ago, or is \
         not there",
        target.endpoint
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_job_a_session_and_a_trace_are_told_apart() {
        let job = JobId::generate();
        assert_eq!(job.as_str().parse(), Ok(Subject::Job(job)));
        let session = SessionId::generate();
        assert_eq!(session.as_str().parse(), Ok(Subject::Session(session)));
        assert_eq!("AB".repeat(16).parse(), Ok(Subject::Trace("ab".repeat(16))));
        for wrong in ["", "job_", "ses_../x", "abc", &"g".repeat(32)] {
            assert!(wrong.parse::<Subject>().is_err(), "{wrong}");
        }
    }
}
