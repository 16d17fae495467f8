//! Errors in OpenAI's shape.

use axum::{
    Extension,
    response::{IntoResponse, Response},
};
use dalston_protocol::{ApiError, ErrorCode, JobId, RequestId, job::JobError};
use http::StatusCode;
use serde_json::{Value, json};

use crate::api::Failure;

/// Whose shape an error's body has. Put into the response beside the error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Dialect {
    OpenAi,
    /// For a job that failed, whose own code is told.
    OpenAiJob(String),
}

impl Dialect {
    /// The body that tells `error`.
    pub(crate) fn body(&self, error: &ApiError, request_id: &RequestId) -> Value {
        let code = match self {
            Self::OpenAi => error.code.as_str(),
            Self::OpenAiJob(code) => code,
        };
        json!({ "error": {
            "message": error.message,
            "type": kind(error.code),
            "param": error.param,
            "code": code,
            "request_id": request_id,
        }})
    }
}

/// The answer for a job that failed: 400 when the caller can do something about it, as they answer for a bad file, else 500.
pub(crate) fn failed(job: &JobError) -> Response {
    let (code, status) = match job.is_callers() {
        true => (ErrorCode::JobFailed, StatusCode::BAD_REQUEST),
        false => (ErrorCode::Internal, StatusCode::INTERNAL_SERVER_ERROR),
    };
    let error = ApiError::new(code, format!("the audio could not be transcribed: {}", job.message));
    (status, Extension(Dialect::OpenAiJob(job.code.clone())), Failure(error)).into_response()
}

/// The answer for a job that somebody cancelled: the caller's affair, and no reason to ask again.
pub(crate) fn cancelled(id: &JobId) -> Response {
    let error = ApiError::new(ErrorCode::JobFailed, format!("the job {id} was cancelled"));
    (StatusCode::BAD_REQUEST, Extension(Dialect::OpenAiJob("cancelled".into())), Failure(error)).into_response()
}

/// Their few types of error.
fn kind(code: ErrorCode) -> &'static str {
    match code.http_status() {
        401 => "authentication_error",
        403 => "permission_error",
        429 => "rate_limit_error",
        400..=499 => "invalid_request_error",
        _ => "server_error",
    }
}
