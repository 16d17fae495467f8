//! An error on its way to the client.

use axum::{
    Json,
    body::Body,
    response::{IntoResponse, Response},
};
use dalston_protocol::{ApiError, ErrorCode, RequestId};
use http::{HeaderValue, StatusCode, header};
use serde_json::json;

use crate::batch::JobsCode;

/// Answers with the error's status; the body is written where the request's id is known.
#[derive(Debug)]
pub(crate) struct Failure(pub(crate) ApiError);

impl IntoResponse for Failure {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = status(self.0.code);
        response.extensions_mut().insert(self.0);
        response
    }
}

/// Gives a failed response the documented body. A failure that is none of ours (axum's own 404, 405, 413 …) gets one
/// too. Returns the error's code, for the log.
pub(super) fn write_body(response: &mut Response, request_id: &RequestId) -> Option<ErrorCode> {
    let given = response.extensions_mut().remove::<ApiError>();
    let status = response.status();
    if given.is_none() && !(status.is_client_error() || status.is_server_error()) {
        return None;
    }
    let error = given.unwrap_or_else(|| unnamed(status));
    let mut told = json!(error.body(request_id));
    if let Some(JobsCode(code)) = response.extensions_mut().remove() {
        told["error"]["code"] = code.into();
    }
    let told = Json(told).into_response();
    let (parts, body) = told.into_parts();
    *response.body_mut() = body;
    let headers = response.headers_mut();
    headers.remove(header::CONTENT_LENGTH);
    headers.extend(parts.headers);
    if error.code == ErrorCode::MissingCredentials || error.code == ErrorCode::InvalidCredentials {
        headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    if let Some(seconds) = error.retry_after {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds.ceil() as u64));
    }
    Some(error.code)
}

fn unnamed(status: StatusCode) -> ApiError {
    let (code, message) = match status {
        StatusCode::NOT_FOUND => (ErrorCode::NotFound, "there is no such thing here"),
        StatusCode::METHOD_NOT_ALLOWED => {
            (ErrorCode::MethodNotAllowed, "this route has other methods; the Allow header lists them")
        }
        StatusCode::PAYLOAD_TOO_LARGE => (ErrorCode::TooLarge, "the request's body is larger than the limit"),
        status if status.is_client_error() => (ErrorCode::InvalidParameter, "the request could not be read"),
        _ => (ErrorCode::Internal, "the server failed; quote the request_id when asking for help"),
    };
    ApiError::new(code, message)
}

fn status(code: ErrorCode) -> StatusCode {
    StatusCode::from_u16(code.http_status()).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_is_an_error_status() {
        for code in ErrorCode::ALL {
            let status = status(*code);
            assert!(status.is_client_error() || status.is_server_error(), "{code:?}");
            assert_eq!(status.as_u16(), code.http_status());
        }
    }
}
