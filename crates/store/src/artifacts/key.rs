//! Which keys an artifact can have.

use object_store::path::Path as Key;
use uuid::Uuid;

use super::INCOMING;
use crate::StoreError;

/// Longest key, and a bound to the depth of folders with it.
const MAX_LENGTH: usize = 512;

/// The place of an artifact. Only names that mean the same on every file system and in every bucket, and that lead nowhere
/// else, pass.
pub(super) fn of_artifact(key: &str) -> Result<Key, StoreError> {
    let is_reserved = key.split('/').next() == Some(INCOMING);
    if key.len() <= MAX_LENGTH && !is_reserved && key.split('/').all(is_name) {
        Ok(Key::from(key))
    } else {
        Err(StoreError::InvalidKey { key: key.chars().take(MAX_LENGTH).collect() })
    }
}

/// Whether it can stand between two `/` of a key.
pub(crate) fn is_name(name: &str) -> bool {
    let is_safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    !matches!(name, "" | "." | "..") && name.len() <= 128 && name.chars().all(is_safe)
}

/// A place of its own for an artifact that is being written, or for the note about it.
pub(super) fn of_upload() -> Key {
    Key::from_iter([INCOMING, &Uuid::new_v4().simple().to_string()])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_leads_nowhere_else() {
        for right in ["jobs/job_1/source", "jobs/job_1/prepare/1/channel-0.wav", "a", "a/..b", "incoming.x/a"] {
            assert_eq!(of_artifact(right).unwrap().as_ref(), right);
        }
        let long = "a/".repeat(300) + "a";
        for wrong in [
            "",
            "/",
            "/etc/passwd",
            "a/",
            "a//b",
            "..",
            "../x",
            "a/../b",
            "a/..",
            ".",
            "a/./b",
            "a\\b",
            "a b",
            "a%2e",
            "a#1",
            "a\0",
            "ä",
            "incoming/x",
            "incoming",
            &long,
        ] {
            assert!(of_artifact(wrong).is_err(), "{wrong:?} was taken for a key");
        }
    }
}
