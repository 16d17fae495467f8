//! `dalston trace`: one trace as a waterfall.

use std::{
    io::{IsTerminal, Write, stdout},
    time::Duration,
};

use anyhow::{Context, Result};
use dalston_client::{ApiKey, Endpoint};
use dalston_telemetry::{SpanRecord, waterfall};
use serde::Deserialize;
use tokio::time::{Instant, sleep};

use crate::{cli::Target, http, terminal};

#[derive(Deserialize)]
struct Trace {
    spans: Vec<SpanRecord>,
}

/// How long a session that has just ended may take until its last span has ended too.
const SETTLING: Duration = Duration::from_secs(3);
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

/// Prints a trace.
pub async fn run(target: &Target, trace_id: &str, as_json: bool) -> Result<()> {
    let spans = fetch(&target.endpoint, target.api_key().as_ref(), trace_id).await?;
    if as_json {
        serde_json::to_writer(stdout().lock(), &spans)?;
        return Ok(writeln!(stdout())?);
    }
    show(&spans)
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
    let colour = stdout().is_terminal() && terminal::wants_colour();
    let text = waterfall::render(spans, terminal::width(), colour);
    Ok(stdout().lock().write_all(text.as_bytes())?)
}
