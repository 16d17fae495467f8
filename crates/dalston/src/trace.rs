//! `dalston trace`: one trace as a waterfall, of a job, a session, or by its own id.

mod subject;

use std::{
    io::{IsTerminal, Write, stdout},
    time::Duration,
};

use anyhow::{Context, Result};
use dalston_client::{ApiKey, Endpoint};
use dalston_telemetry::{SpanRecord, waterfall};
use serde::Deserialize;
use tokio::time::{Instant, sleep};

pub use self::subject::Subject;
use crate::{
    cli::{Output, Target},
    http, terminal,
};

#[derive(Deserialize)]
struct Trace {
    spans: Vec<SpanRecord>,
}

/// How long a session that has just ended may take until its last span has ended too.
const SETTLING: Duration = Duration::from_secs(3);
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

/// Prints a trace.
pub async fn run(target: &Target, subject: &Subject, output: Output) -> Result<()> {
    let trace_id = subject::trace_id(target, subject).await?;
    let spans = fetch(&target.endpoint, target.api_key().as_ref(), &trace_id).await?;
    output.print(&spans, |spans| drawn(spans))
}

/// Prints the trace of a session that has just ended. Its root ends a moment after the client hears of the close, and a server
/// tells nobody when, so this looks again until it is there.
pub async fn run_of_ended_session(target: &Target, trace_id: &str) -> Result<()> {
    let deadline = Instant::now() + SETTLING;
    loop {
        let spans = fetch(&target.endpoint, target.api_key().as_ref(), trace_id).await?;
        if has_root(&spans) || Instant::now() >= deadline {
            return show(&spans);
        }
        sleep(BETWEEN_LOOKS).await;
    }
}

async fn fetch(endpoint: &Endpoint, api_key: Option<&ApiKey>, trace_id: &str) -> Result<Vec<SpanRecord>> {
    let answer = http::get(endpoint, &format!("/v1/traces/{trace_id}"), api_key).await?;
    let trace: Trace = serde_json::from_slice(&answer).context("the server's answer is not a trace")?;
    Ok(trace.spans)
}

/// The root's parent is nobody, or a span of the caller's.
fn has_root(spans: &[SpanRecord]) -> bool {
    spans.iter().any(|span| span.parent_span_id.is_none() || span.parent_is_remote)
}

fn show(spans: &[SpanRecord]) -> Result<()> {
    Ok(stdout().lock().write_all(drawn(spans).as_bytes())?)
}

fn drawn(spans: &[SpanRecord]) -> String {
    let colour = stdout().is_terminal() && terminal::wants_colour();
    waterfall::render(spans, terminal::width(), colour) + &waterfall::summary(spans)
}
