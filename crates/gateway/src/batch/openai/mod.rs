//! OpenAI's way of asking for a transcript: one request, one answer, in their shapes
//! (<https://platform.openai.com/docs/api-reference/audio/createTranscription>), or for one in English. The job behind it is
//! like any other.

mod answer;
mod error;

use std::str::FromStr;

use dalston_protocol::ApiError;
use http::{HeaderMap, header};

pub(crate) use self::{
    answer::answer,
    error::{JobsCode, cancelled, failed},
};

/// Whether OpenAI's own client sends this, which reads no other answer: asked for an engine by its name here and for no
/// format, it would take a job for a transcript without text.
pub(crate) fn is_sdk(headers: &HeaderMap) -> bool {
    let is_theirs = |agent: &str| agent.split('/').next().is_some_and(|name| name.ends_with("OpenAI"));
    let agent = headers.get(header::USER_AGENT).and_then(|agent| agent.to_str().ok());
    agent.is_some_and(is_theirs) || headers.contains_key("x-stainless-lang")
}

/// What the answer is to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct OpenAi {
    pub(crate) format: ResponseFormat,
    /// Whether [`ResponseFormat::VerboseJson`] has words …
    pub(crate) words: bool,
    /// … and segments.
    pub(crate) segments: bool,
    /// What it says that was done: to translate, and not to transcribe.
    pub(crate) translated: bool,
}

/// `response_format`
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum ResponseFormat {
    #[default]
    Json,
    Text,
    Srt,
    Vtt,
    VerboseJson,
}

impl FromStr for ResponseFormat {
    type Err = ApiError;

    fn from_str(given: &str) -> Result<Self, ApiError> {
        match given {
            "json" => Ok(Self::Json),
            "text" => Ok(Self::Text),
            "srt" => Ok(Self::Srt),
            "vtt" => Ok(Self::Vtt),
            "verbose_json" => Ok(Self::VerboseJson),
            _ => Err(ApiError::param("response_format", "one of json, text, srt, vtt, verbose_json")),
        }
    }
}
