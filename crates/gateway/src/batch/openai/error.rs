//! Jobs that did not end well, for whoever asked for a transcript in OpenAI's way.

use axum::{
    Extension,
    response::{IntoResponse, Response},
};
use dalston_protocol::{ApiError, ErrorCode, JobId, job::JobError};
use http::StatusCode;

use crate::api::Failure;

/// What a job failed for, in the place of the error's own code. Put into the response beside the error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct JobsCode(pub(crate) String);

/// The answer for a job that failed: 400 when the caller can do something about it, as they answer for a bad file, else 500.
pub(crate) fn failed(job: &JobError) -> Response {
    let (code, status) = match job.is_callers() {
        true => (ErrorCode::JobFailed, StatusCode::BAD_REQUEST),
        false => (ErrorCode::Internal, StatusCode::INTERNAL_SERVER_ERROR),
    };
    let error = ApiError::new(code, format!("the audio could not be transcribed: {}", job.message));
    (status, Extension(JobsCode(job.code.clone())), Failure(error)).into_response()
}

/// The answer for a job that somebody cancelled: the caller's affair, and no reason to ask again.
pub(crate) fn cancelled(id: &JobId) -> Response {
    let error = ApiError::new(ErrorCode::JobFailed, format!("the job {id} was cancelled"));
    (StatusCode::BAD_REQUEST, Extension(JobsCode("cancelled".into())), Failure(error)).into_response()
}
