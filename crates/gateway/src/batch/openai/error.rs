//! Errors in OpenAI's shape.

use dalston_protocol::{ApiError, ErrorCode, RequestId};
use serde_json::{Value, json};

/// Whose shape an error's body has. Put into the response beside the error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    OpenAi,
}

impl Dialect {
    /// The body that tells `error`.
    pub(crate) fn body(self, error: &ApiError, request_id: &RequestId) -> Value {
        json!({ "error": {
            "message": error.message,
            "type": kind(error.code),
            "param": error.param,
            "code": error.code.as_str(),
            "request_id": request_id,
        }})
    }
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
