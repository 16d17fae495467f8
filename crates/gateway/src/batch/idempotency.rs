//! What makes two requests the same.

use dalston_protocol::{ApiError, job::JobParameters};
use dalston_store::Idempotency;
use http::HeaderMap;
use sha2::{Digest, Sha256};

use crate::api::header_text;

/// The header, as Stripe and the IETF's draft call it.
const HEADER: &str = "idempotency-key";
/// Tells that the job is an earlier request's.
pub(super) const REPLAYED: &str = "idempotency-replayed";
const LONGEST: usize = 255;

/// The key that the client chose, if it did.
///
/// # Errors
/// It cannot be printed, is too long, or there are several.
pub(super) fn key(headers: &HeaderMap) -> Result<Option<String>, ApiError> {
    if !headers.contains_key(HEADER) {
        return Ok(None);
    }
    if headers.get_all(HEADER).iter().count() > 1 {
        return Err(ApiError::param("Idempotency-Key", "there is more than one Idempotency-Key; send one"));
    }
    let key = header_text(headers, HEADER).filter(|key| (1..=LONGEST).contains(&key.len()));
    let message = || format!("an Idempotency-Key has 1 to {LONGEST} printable ASCII characters");
    key.map(|key| Some(key.to_owned())).ok_or_else(|| ApiError::param("Idempotency-Key", message()))
}

/// Equal for requests that ask for the same of the same audio, whatever the order of their fields.
pub(super) fn idempotency(key: String, parameters: &JobParameters, name: Option<&str>, sha256: &str) -> Idempotency {
    let asked = serde_json::to_vec(&(parameters, name, sha256)).expect("parameters have a form in JSON");
    let fingerprint = Sha256::digest(asked).iter().map(|byte| format!("{byte:02x}")).collect();
    Idempotency { key, fingerprint }
}
