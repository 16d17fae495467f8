//! What a server of S3 refuses, in words that say what to mend.
//!
//! Nothing that the server wrote is repeated but the name of its error: what it says about a signature holds the key id and
//! what was signed.

use std::{error::Error, path::PathBuf};

use object_store::client::{HttpError, HttpErrorKind};

use crate::StoreError;

const KEYS: &str = "see AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN";
const RIGHTS: &str = "let the key read, write, delete and list there, and abort uploads";
const REGION: &str = "see AWS_REGION and AWS_ENDPOINT_URL";

/// What an error of the server means.
#[derive(Debug, PartialEq, Eq)]
enum Fault {
    Denied(&'static str),
    NoBucket,
    Full,
    Unreachable(&'static str),
    Other,
}

/// The error as this crate tells it.
pub(super) fn told(path: PathBuf, has_keys: bool, error: &object_store::Error) -> StoreError {
    let text = chain(error);
    let transport = transport(error);
    let code = between(&text, "<Code>", "</Code>");
    let status = between(&text, "status code: ", " ").and_then(|digits| digits.parse().ok());
    // The address at which a machine of Amazon's asks for its own keys.
    let asks_for_keys = !has_keys && (text.contains("169.254.") || text.contains("security-credentials"));
    let fault = match transport {
        Some(_) if asks_for_keys => Fault::Denied(
            "no keys are set, and this machine was given none; set AWS_ACCESS_KEY_ID \
                                                   and AWS_SECRET_ACCESS_KEY",
        ),
        Some(kind) => Fault::Unreachable(kind),
        None => Fault::of(code.unwrap_or_default(), status, error),
    };
    let said = match (code, status) {
        (Some(code), _) => format!("it says {code}; "),
        (None, Some(status)) => format!("it answers {status}; "),
        (None, None) => String::new(),
    };
    let told = |what: &str| format!("{said}{what}").into();
    match fault {
        Fault::Denied(mend) => StoreError::Denied { path, source: told(mend) },
        Fault::NoBucket => StoreError::NoBucket { path },
        Fault::Full => StoreError::Full { path, source: told("raise the limit, or delete something") },
        Fault::Unreachable(what) => StoreError::Unreachable { path, source: told(what) },
        Fault::Other if said.is_empty() => StoreError::Io { path, source: "its answer cannot be understood".into() },
        Fault::Other => StoreError::Io { path, source: said.trim_end_matches("; ").into() },
    }
}

impl Fault {
    /// By the name of the error, which not every answer has, or by its status.
    fn of(code: &str, status: Option<u16>, error: &object_store::Error) -> Self {
        use object_store::Error::{PermissionDenied, Unauthenticated};
        match (code, status) {
            ("NoSuchBucket", _) => Self::NoBucket,
            ("AccessDenied" | "AllAccessDisabled", _) => Self::Denied(RIGHTS),
            ("RequestTimeTooSkewed", _) => Self::Denied("the clock of this machine or of the server is wrong"),
            ("AuthorizationHeaderMalformed" | "PermanentRedirect" | "IllegalLocationConstraintException", _) => {
                Self::Denied(REGION)
            }
            ("InvalidAccessKeyId" | "SignatureDoesNotMatch" | "ExpiredToken" | "InvalidToken" | "NotSignedUp", _) => {
                Self::Denied(KEYS)
            }
            ("QuotaExceeded" | "XMinioStorageFull" | "StorageFull", _) | (_, Some(507)) => Self::Full,
            ("SlowDown" | "InternalError" | "ServiceUnavailable" | "RequestTimeout", _) => {
                Self::Unreachable("try again")
            }
            (_, Some(301 | 307)) => Self::Denied(REGION),
            (_, Some(401 | 403)) => Self::Denied(KEYS),
            (_, Some(408 | 429 | 500..=599)) => Self::Unreachable("try again"),
            _ if matches!(error, PermissionDenied { .. } | Unauthenticated { .. }) => Self::Denied(KEYS),
            _ => Self::Other,
        }
    }
}

/// Whether the bucket is missing, rather than the object.
pub(super) fn is_of_bucket(error: &object_store::Error) -> bool {
    between(&chain(error), "<Code>", "</Code>") == Some("NoSuchBucket")
}

/// Whether the server has never heard of what it was asked for.
pub(super) fn is_not_implemented(error: &object_store::Error) -> bool {
    between(&chain(error), "<Code>", "</Code>") == Some("NotImplemented")
}

/// What every level of the error says, to look into and never to show.
fn chain(error: &object_store::Error) -> String {
    let mut text = error.to_string();
    let mut level = error.source();
    while let Some(error) = level {
        text.push('\n');
        text.push_str(&error.to_string());
        level = error.source();
    }
    text
}

/// What kept the request from being answered.
fn transport(error: &object_store::Error) -> Option<&'static str> {
    let mut level: Option<&(dyn Error + 'static)> = Some(error);
    while let Some(error) = level {
        if let Some(error) = error.downcast_ref::<HttpError>() {
            return Some(match error.kind() {
                HttpErrorKind::Connect => "no connection can be made; see AWS_ENDPOINT_URL and AWS_REGION",
                HttpErrorKind::Timeout => "it did not answer in time",
                _ => "the connection broke",
            });
        }
        level = error.source();
    }
    None
}

fn between<'a>(text: &'a str, before: &str, after: &str) -> Option<&'a str> {
    let (_, rest) = text.split_once(before)?;
    let (found, _) = rest.split_once(after)?;
    // A name or a number, and not a page of some proxy.
    (found.len() <= 40 && found.chars().all(|c| c.is_ascii_alphanumeric())).then_some(found)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> object_store::Error {
        let source = format!("Server returned non-2xx status code: {status} Something: {body}").into();
        object_store::Error::Generic { store: "S3", source }
    }

    #[test]
    fn what_is_refused_says_what_to_mend_and_repeats_no_key() {
        let body =
            |code: &str| format!("<Error><Code>{code}</Code><AWSAccessKeyId>AKIASECRET</AWSAccessKeyId></Error>");
        for (status, code, part) in [
            (403, "InvalidAccessKeyId", "AWS_ACCESS_KEY_ID"),
            (403, "SignatureDoesNotMatch", "AWS_SECRET_ACCESS_KEY"),
            (400, "ExpiredToken", "AWS_SESSION_TOKEN"),
            (403, "AccessDenied", "let the key read"),
            (400, "AuthorizationHeaderMalformed", "AWS_REGION"),
            (403, "RequestTimeTooSkewed", "clock"),
        ] {
            let error = told("s3://b/k".into(), true, &answer(status, &body(code)));
            let StoreError::Denied { .. } = error else { panic!("{error:?}") };
            let text = error.to_string();
            assert!(text.contains(part) && text.contains(code) && text.contains("s3://b/k"), "{text}");
            assert!(!format!("{error:?}").contains("AKIASECRET"), "{error:?}");
        }
        assert!(matches!(told("".into(), true, &answer(404, &body("NoSuchBucket"))), StoreError::NoBucket { .. }));
        assert!(matches!(told("".into(), true, &answer(503, "busy")), StoreError::Unreachable { .. }));
        assert!(matches!(told("".into(), true, &answer(507, "")), StoreError::Full { .. }));
        assert!(matches!(told("".into(), true, &answer(418, "")), StoreError::Io { .. }));
    }
}
