//! The query of a request, read strictly: a parameter that nobody reads is an error, not silence.

use std::{fmt, ops::RangeInclusive, str::FromStr};

use dalston_protocol::ApiError;
use http::Uri;

/// `name=value` pairs, each of an allowed name and given once.
#[derive(Debug, Default)]
pub(super) struct Query(Vec<(String, String)>);

impl Query {
    /// # Errors
    /// Names the parameter that is not allowed here, or given twice.
    pub(super) fn read(uri: &Uri, allowed: &[&str]) -> Result<Self, ApiError> {
        let mut pairs: Vec<(String, String)> = Vec::new();
        for (name, value) in form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes()) {
            if !allowed.contains(&&*name) {
                let name: String = name.chars().filter(|c| !c.is_control()).take(60).collect();
                let known = if allowed.is_empty() { "none".to_owned() } else { allowed.join(", ") };
                let message = format!("there is no parameter {name} here; there are {known}");
                return Err(ApiError::param(name, message));
            }
            if pairs.iter().any(|(known, _)| *known == name) {
                return Err(ApiError::param(&*name, format!("{name} is given twice; give it once")));
            }
            pairs.push((name.into_owned(), value.into_owned()));
        }
        Ok(Self(pairs))
    }

    pub(super) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// A number within bounds, or `default`.
    ///
    /// # Errors
    /// Names the bounds.
    pub(super) fn number<T>(&self, name: &str, bounds: RangeInclusive<T>, default: T) -> Result<T, ApiError>
    where
        T: FromStr + PartialOrd + fmt::Display,
    {
        let Some(text) = self.get(name) else { return Ok(default) };
        text.parse().ok().filter(|number| bounds.contains(number)).ok_or_else(|| {
            let message = format!("{name} must be a whole number from {} to {}", bounds.start(), bounds.end());
            ApiError::param(name, message)
        })
    }

    /// `true` or `false`; not given is false.
    ///
    /// # Errors
    /// It is neither.
    pub(super) fn flag(&self, name: &str) -> Result<bool, ApiError> {
        match self.get(name).map(str::to_ascii_lowercase).as_deref() {
            Some("true" | "1") => Ok(true),
            Some("false" | "0") | None => Ok(false),
            Some(_) => Err(ApiError::param(name, format!("{name} must be true or false"))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_nobody_reads_is_an_error() {
        let check = |query: &str, told: &str| {
            let uri: Uri = format!("/jobs?{query}").parse().unwrap();
            let read = Query::read(&uri, &["limit", "wait"]);
            let error = read.and_then(|query| Ok((query.number("limit", 1..=9, 5)?, query.flag("wait")?)));
            let error = error.expect_err(query);
            assert!(error.message.contains(told), "{query}: {error}");
        };
        check("offset=1", "no parameter offset here; there are limit, wait");
        check("limit=1&limit=1", "twice");
        check("limit=0", "1 to 9");
        check("limit=1e999", "1 to 9");
        check("wait=perhaps", "true or false");
    }
}
