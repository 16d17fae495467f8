//! A transcript in OpenAI's shapes.

use axum::{
    Json,
    response::{IntoResponse, Response},
};
use dalston_protocol::{Segment, job::Transcript};
use http::header::CONTENT_TYPE;
use serde_json::{Value, json};

use super::{OpenAi, ResponseFormat};
use crate::batch::export::{Format, Layout, render};

/// The whole answer.
pub(crate) fn answer(openai: &OpenAi, transcript: &Transcript) -> Response {
    let file = |format: Format| {
        let body = render(transcript, format, Layout::default()).unwrap_or_default();
        ([(CONTENT_TYPE, "text/plain; charset=utf-8")], body).into_response()
    };
    match openai.format {
        ResponseFormat::Json => Json(json!({ "text": transcript.text, "usage": usage(transcript) })).into_response(),
        ResponseFormat::VerboseJson => Json(verbose(openai, transcript)).into_response(),
        ResponseFormat::Text => {
            ([(CONTENT_TYPE, "text/plain; charset=utf-8")], format!("{}\n", transcript.text)).into_response()
        }
        ResponseFormat::Srt => file(Format::Srt),
        ResponseFormat::Vtt => file(Format::Vtt),
    }
}

fn verbose(openai: &OpenAi, transcript: &Transcript) -> Value {
    let mut answer = json!({
        "task": if openai.translated { "translate" } else { "transcribe" },
        "language": transcript.language,
        "duration": transcript.duration,
        "text": transcript.text,
        "usage": usage(transcript),
    });
    if openai.words {
        let words = transcript.segments.iter().flat_map(|segment| &segment.words);
        answer["words"] =
            words.map(|word| json!({ "word": word.text, "start": word.start, "end": word.end })).collect();
    }
    if openai.segments {
        answer["segments"] = transcript.segments.iter().map(segment).collect();
    }
    answer
}

/// Their segments carry what Whisper's decoder knows about itself. Fields that only it has are there, since clients'
/// types want them, with the values that mean nothing in particular.
fn segment(segment: &Segment) -> Value {
    let logprob = segment.confidence.map_or(0.0, |confidence| f64::from(confidence.max(1e-9)).ln());
    json!({
        "id": segment.id,
        "seek": 0,
        "start": segment.start,
        "end": segment.end,
        "text": segment.text,
        "tokens": [],
        "temperature": 0.0,
        "avg_logprob": logprob,
        "compression_ratio": 1.0,
        "no_speech_prob": 0.0,
    })
}

/// Billed by duration, as their whisper-1 is; whole seconds, rounded up.
fn usage(transcript: &Transcript) -> Value {
    json!({ "type": "duration", "seconds": transcript.duration.ceil() as u64 })
}
