//! Errors in the words of this command line: a server speaks of headers, its user of flags.

use dalston_client::JobsError;
use dalston_protocol::ErrorCode;

/// What a server that asks for keys is answered with.
pub(crate) const NO_KEY: &str = "the server asks for an API key: give one with --api-key or in DALSTON_API_KEY";
/// What a server that has not made the key is answered with.
pub(crate) const WRONG_KEY: &str = "the server does not take this API key: look at --api-key and DALSTON_API_KEY";

/// What the user is told of an error.
pub fn told(error: &anyhow::Error) -> String {
    match error.downcast_ref::<JobsError>() {
        Some(JobsError::Refused { status: 401, code, .. }) => unauthorized(*code).to_owned(),
        _ => format!("{error:#}"),
    }
}

/// What a 401 means here.
pub(crate) fn unauthorized(code: Option<ErrorCode>) -> &'static str {
    if code == Some(ErrorCode::MissingCredentials) { NO_KEY } else { WRONG_KEY }
}
