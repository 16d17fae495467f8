//! Bodies of JSON.

use dalston_protocol::{ApiError, ErrorCode};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use super::Failure;

/// The object that a body of JSON is, or an error that shows an `example` of one.
///
/// # Errors
/// What is no object is refused, although serde would read a struct from an array as well.
pub(crate) fn object<T: DeserializeOwned>(body: &[u8], example: &str) -> Result<T, Failure> {
    serde_json::from_slice::<Map<String, Value>>(body).and_then(T::deserialize).map_err(|error| {
        Failure(ApiError::new(ErrorCode::InvalidMessage, format!("the body must be JSON such as {example}: {error}")))
    })
}
