//! One request to the server and its answer.

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use dalston_egress::{Client, EgressError, Limits, Origin, Request, Response};
use dalston_engine_sdk::Caller;
use dalston_telemetry::{Component, TraceContext, Tracers};
use http::{HeaderMap, StatusCode, header};
use serde::Deserialize;
use tokio::sync::Semaphore;

use crate::{Settings, error::CallError, form::Form, recording, reply::Reply};

/// Bytes of an answer. An hour of speech with the times of all its words takes a tenth.
const MAX_ANSWER: u64 = 32 << 20;
/// Bytes that are read of what is said against a request.
const MAX_COMPLAINT: usize = 64 * 1024;
/// Longest audio of a request whose answer will be a single segment.
const LONGEST_SEGMENT: Duration = Duration::from_secs(30);
/// What is shorter has no word in it, and such servers refuse it.
const SHORTEST: usize = recording::RATE as usize / 10;

/// The server.
#[derive(Debug)]
pub struct Server {
    settings: Settings,
    client: Client,
    /// For who is not traced: a request of theirs must not become a trace of its own.
    untraced: Client,
    /// Requests at once. Whoever comes when all are under way waits in turn, as long as the caller bears it.
    places: Semaphore,
    /// It was found to tell no times, so it is not asked for them again.
    text_alone: AtomicBool,
}

/// What is asked of the server, for all parts of a file or all utterances of a stream.
#[derive(Debug, Clone)]
pub struct Question {
    /// A code, or `auto`.
    pub language: String,
    pub vocabulary: Vec<String>,
    pub translate: bool,
    pub caller: Caller,
    /// In whose lane the request stands.
    pub component: Component,
}

impl Server {
    pub fn new(settings: Settings, tracers: &Tracers) -> Result<Self, EgressError> {
        let egress = dalston_egress::Settings {
            allow: settings.endpoint.allowed().into_iter().collect(),
            // It is silent while it works.
            idle_timeout: settings.timeout,
            ca_file: settings.ca_file.clone(),
            ..dalston_egress::Settings::default()
        };
        let client = Client::new(egress.clone(), tracers.clone())?;
        let untraced = Client::new(egress, Tracers::off())?;
        let places = Semaphore::new(settings.requests.get());
        let text_alone = AtomicBool::new(!settings.words);
        Ok(Self { settings, client, untraced, places, text_alone })
    }

    /// Longest audio to be sent at once, in samples.
    pub fn longest(&self) -> usize {
        let longest = self.settings.longest;
        let longest = if self.is_text_alone() { longest.min(LONGEST_SEGMENT) } else { longest };
        (longest.as_secs_f64() * f64::from(recording::RATE)) as usize
    }

    fn is_text_alone(&self) -> bool {
        self.text_alone.load(Ordering::Relaxed)
    }

    /// What is said in these samples, within this time. Dropping it closes the connection.
    ///
    /// # Errors
    /// As [`CallError`] tells. After [`CallError::TextAlone`] the next request asks for less, so that comes once at most.
    pub async fn ask(&self, question: &Question, samples: Vec<i16>, time: Duration) -> Result<Reply, CallError> {
        if samples.len() < SHORTEST {
            return Ok(Reply::default());
        }
        // It is closed by nobody.
        let _place = self.places.acquire().await.map_err(|_| CallError::passing("the server ends"))?;
        let is_text_alone = self.is_text_alone();
        let answer = self.send(question, samples, is_text_alone, time).await?;
        let status = answer.status();
        if status.is_success() {
            let reply = Reply::read(&body(answer, usize::MAX).await?)?;
            self.text_alone.fetch_or(reply.is_bare() && !question.translate, Ordering::Relaxed);
            return Ok(reply);
        }
        let headers = answer.headers().clone();
        // What cannot be read of it was not worth knowing.
        let complaint = Complaint::read(&body(answer, MAX_COMPLAINT).await.unwrap_or_default());
        let error = refused(status, &headers, &complaint);
        let is_about_times = matches!(error, CallError::Refused(_)) && complaint.is_about("response_format");
        if is_about_times && !is_text_alone {
            self.text_alone.store(true, Ordering::Relaxed);
            return Err(CallError::TextAlone);
        }
        Err(error)
    }

    async fn send(
        &self,
        question: &Question,
        samples: Vec<i16>,
        is_text_alone: bool,
        time: Duration,
    ) -> Result<Response, CallError> {
        let (path, form) = self.form(question, samples, is_text_alone)?;
        let (kind, body) = form.finish();
        let caller = &question.caller;
        let trace = caller.traceparent.as_deref().map_or_else(TraceContext::none, TraceContext::from_traceparent);
        let client = if caller.traceparent.is_some() { &self.client } else { &self.untraced };
        let origin = Origin { component: question.component, trace, request_id: &caller.request_id };
        // A redirect would have the audio sent once more, to another place than was named.
        let limits = Limits { total: time.min(self.settings.timeout), body: MAX_ANSWER, redirects: 0 };
        let url = self.settings.endpoint.path(path);
        let mut request = Request::post(&url, body, limits, origin).header(header::CONTENT_TYPE, kind);
        if let Some(key) = &self.settings.key {
            request = request.header(header::AUTHORIZATION, key.header());
        }
        Ok(client.send(request).await?)
    }

    fn form(
        &self,
        question: &Question,
        samples: Vec<i16>,
        is_text_alone: bool,
    ) -> Result<(&'static str, Form), CallError> {
        let wav = recording::wav(samples).map_err(|error| CallError::passing(format!("no WAV came about: {error}")))?;
        let mut form = Form::new(wav.len()).field("model", &self.settings.model);
        if !question.vocabulary.is_empty() {
            form = form.field("prompt", &question.vocabulary.join(", "));
        }
        form = form.field("response_format", if is_text_alone { "json" } else { "verbose_json" });
        if question.translate {
            return Ok(("audio/translations", form.wav("file", &wav)));
        }
        // Regions are not known there.
        let base = question.language.split(['-', '_']).next().unwrap_or_default();
        if base != "auto" {
            form = form.field("language", &base.to_ascii_lowercase());
        }
        if !is_text_alone {
            form = form.field("timestamp_granularities[]", "word").field("timestamp_granularities[]", "segment");
        }
        Ok(("audio/transcriptions", form.wav("file", &wav)))
    }
}

/// An answer's body, or as much of it as is wanted.
async fn body(mut answer: Response, most: usize) -> Result<Vec<u8>, CallError> {
    let mut body = Vec::new();
    while let Some(piece) = answer.chunk().await? {
        body.extend_from_slice(&piece[..piece.len().min(most - body.len())]);
        if body.len() == most {
            break;
        }
    }
    Ok(body)
}

/// What is said against a request, in OpenAI's shape if it is in any.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Complaint {
    error: Details,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Details {
    code: Option<String>,
    param: Option<String>,
    message: Option<String>,
}

impl Complaint {
    fn read(body: &[u8]) -> Self {
        serde_json::from_slice(body).unwrap_or_default()
    }

    fn is_about(&self, field: &str) -> bool {
        let Details { param, message, .. } = &self.error;
        param.as_deref() == Some(field) || message.as_deref().is_some_and(|message| message.contains(field))
    }

    /// Its code. The message is left out: it may repeat what was sent.
    fn code(&self) -> Option<&str> {
        let is_word = |code: &&str| {
            (1..=64).contains(&code.len())
                && code.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
        };
        self.error.code.as_deref().filter(is_word)
    }
}

fn refused(status: StatusCode, headers: &HeaderMap, complaint: &Complaint) -> CallError {
    let number = status.as_u16();
    let shown = complaint.code().map_or_else(|| number.to_string(), |code| format!("{number}, {code}"));
    let misconfigured = |problem: &str, fix| {
        let problem = format!("the remote server {problem} ({shown})");
        CallError::Misconfigured { problem, fix }
    };
    match number {
        300..=399 => misconfigured("sends elsewhere", "set engine.remote.url to where it leads"),
        401 | 403 => misconfigured("does not let us in", "set engine.remote.api_key"),
        404 | 405 => misconfigured("has no such path or model", "correct engine.remote.url or engine.remote.model"),
        413 => misconfigured("takes no request of this size", "lower engine.remote.longest"),
        408 | 425 | 429 | 500.. => {
            let problem = format!("the remote server cannot answer now ({shown})");
            CallError::Passing { problem, after: retry_after(headers) }
        }
        _ => CallError::Refused(shown),
    }
}

/// In seconds, as everybody says it for a few of them; a date is not read.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    let seconds: f64 = headers.get(header::RETRY_AFTER)?.to_str().ok()?.trim().parse().ok()?;
    Duration::try_from_secs_f64(seconds).ok()
}
