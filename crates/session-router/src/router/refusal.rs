//! What a client is told when it gets no worker.

use std::time::Duration;

use dalston_protocol::{ApiError, ErrorCode};

use crate::{ReserveError, Wanted};

/// When the registry or all tried workers failed, which others may not.
const RETRY_AFTER: Duration = Duration::from_secs(1);
/// Names listed in a message; a close frame carries 123 bytes of it.
const LISTED: usize = 20;
/// Characters of the client's own words that are repeated to it.
const QUOTED: usize = 64;

/// Why nothing could be reserved, in the client's terms.
pub(super) fn explain(error: ReserveError, wanted: &Wanted) -> ApiError {
    match error {
        ReserveError::NoSuchModel { available } => {
            let model = quoted(wanted.model.as_deref().unwrap_or("any"));
            let message = format!("there is no model {model}; there is {}", listed(&available));
            ApiError { param: Some("model".into()), ..ApiError::new(ErrorCode::ModelNotFound, message) }
        }
        ReserveError::NoSuchLanguage { available } => {
            let language = quoted(&wanted.language);
            let of = wanted.model.as_deref().map(|model| format!(" of model {}", quoted(model))).unwrap_or_default();
            let message = format!("there is no language {language}{of}; there is {}", listed(&available));
            ApiError { param: Some("language".into()), ..ApiError::new(ErrorCode::LanguageNotSupported, message) }
        }
        ReserveError::NoCapacity { retry_after } => no_capacity("no worker is free", retry_after),
        ReserveError::Draining => ApiError::new(ErrorCode::Draining, "the server is going down; connect again")
            .retry_after(seconds(RETRY_AFTER)),
        ReserveError::Unavailable(_) => no_capacity("workers cannot be looked up", RETRY_AFTER),
    }
}

/// Every worker that was tried refused.
pub(super) fn all_refused(tried: usize) -> ApiError {
    no_capacity(&format!("{tried} workers were tried and none took the session"), RETRY_AFTER)
}

fn no_capacity(what: &str, retry_after: Duration) -> ApiError {
    let seconds = seconds(retry_after);
    ApiError::new(ErrorCode::NoCapacity, format!("{what}; retry_after={seconds}")).retry_after(seconds)
}

/// Tenths: a client waits no better for more digits.
fn seconds(duration: Duration) -> f64 {
    (duration.as_secs_f64() * 10.0).ceil() / 10.0
}

fn quoted(words: &str) -> String {
    let short: String = words.chars().take(QUOTED).collect();
    format!("`{}`", short.escape_default())
}

fn listed(names: &[String]) -> String {
    match names {
        [] => "none".into(),
        names => names.iter().take(LISTED).map(String::as_str).collect::<Vec<_>>().join(", "),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wanted() -> Wanted {
        Wanted { language: "tlh".into(), model: Some("nowhere".into()) }
    }

    #[test]
    fn a_wrong_name_is_told_with_the_right_ones() {
        let available = vec!["en-us".to_owned(), "pocketsphinx".to_owned()];
        let error = explain(ReserveError::NoSuchModel { available: available.clone() }, &wanted());
        assert_eq!(error.to_string(), "model_not_found: there is no model `nowhere`; there is en-us, pocketsphinx");
        let error = explain(ReserveError::NoSuchLanguage { available }, &wanted());
        assert_eq!(error.message, "there is no language `tlh` of model `nowhere`; there is en-us, pocketsphinx");
        assert_eq!(error.param.as_deref(), Some("language"));
    }

    #[test]
    fn no_capacity_says_when_to_come_back() {
        let error = explain(ReserveError::NoCapacity { retry_after: Duration::from_millis(1234) }, &wanted());
        assert_eq!(error.retry_after, Some(1.3));
        assert_eq!(error.close().code.as_u16(), 4503);
        assert_eq!(error.message, "no worker is free; retry_after=1.3");
    }

    #[test]
    fn long_or_strange_words_are_not_echoed_as_they_are() {
        let wanted = Wanted { language: "\n".repeat(1_000), model: None };
        let error = explain(ReserveError::NoSuchLanguage { available: Vec::new() }, &wanted);
        assert!(error.message.len() < 200 && !error.message.contains('\n'), "{}", error.message);
    }
}
