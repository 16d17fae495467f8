//! What an operator may set of the batch API.

use std::{collections::BTreeMap, time::Duration};

use serde::Deserialize;

use crate::{
    GatewayError,
    config::{at_least, not_zero, seconds},
};

/// Stands for the default engine in [`JobSettings::model_aliases`].
const DEFAULT_ENGINE: &str = "default";

/// Limits of uploads and of waiting. In TOML, durations are seconds.
#[derive(Debug, Clone, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct JobSettings {
    /// Bytes of one file: 2 GiB. Then 413. Only the store's own buffers are ever in memory.
    pub max_upload: u64,
    /// Uploads at once: 64. Then 503, to be tried again a second later.
    pub max_uploads: usize,
    /// Longest silence of a client that uploads: 30 s. Then 408.
    #[serde(deserialize_with = "seconds")]
    pub read_timeout: Duration,
    /// Longest upload: an hour. Then 408.
    #[serde(deserialize_with = "seconds")]
    pub upload_timeout: Duration,
    /// Longest wait for a job's end within one request (`wait=true`, and OpenAI's way, whose clients wait for ten minutes):
    /// 590 s. Then 202 with the status, or in OpenAI's way 504.
    #[serde(deserialize_with = "seconds")]
    pub max_wait: Duration,
    /// Requests that follow a job at once, waits and event streams together: 1000. Then 503.
    pub max_followers: usize,
    /// An event stream that tells of changes says at least this often that it lives: 15 s.
    #[serde(deserialize_with = "seconds")]
    pub keepalive: Duration,
    /// Longest event stream: an hour. Then it ends, and a browser asks for it again by itself.
    #[serde(deserialize_with = "seconds")]
    pub max_events: Duration,
    /// Models' names that other services use, and what they mean here: an engine or model, or `default`. Asking for one of
    /// them asks for an answer in OpenAI's way.
    pub model_aliases: BTreeMap<String, String>,
}

impl Default for JobSettings {
    fn default() -> Self {
        let aliases = ["whisper-1", "gpt-4o-transcribe", "gpt-4o-mini-transcribe"];
        Self {
            max_upload: 2 << 30,
            max_uploads: 64,
            read_timeout: Duration::from_secs(30),
            upload_timeout: Duration::from_secs(3600),
            max_wait: Duration::from_secs(590),
            max_followers: 1000,
            keepalive: Duration::from_secs(15),
            max_events: Duration::from_secs(3600),
            model_aliases: aliases.map(|name| (name.to_owned(), DEFAULT_ENGINE.to_owned())).into(),
        }
    }
}

impl JobSettings {
    /// Checks what types cannot say.
    ///
    /// # Errors
    /// Names the key, its value and what is allowed.
    pub fn check(&self) -> Result<(), GatewayError> {
        at_least("jobs.max_upload", usize::try_from(self.max_upload).unwrap_or(usize::MAX), 1024)?;
        at_least("jobs.max_uploads", self.max_uploads, 1)?;
        at_least("jobs.max_followers", self.max_followers, 1)?;
        for (key, value) in [
            ("jobs.read_timeout", self.read_timeout),
            ("jobs.upload_timeout", self.upload_timeout),
            ("jobs.max_wait", self.max_wait),
            ("jobs.keepalive", self.keepalive),
            ("jobs.max_events", self.max_events),
        ] {
            not_zero(key, value)?;
        }
        Ok(())
    }

    /// What a name of another service's model means here: `Some(None)` is the default engine, `None` is no such name.
    pub(crate) fn alias(&self, name: &str) -> Option<Option<&str>> {
        self.model_aliases.get(name).map(|meant| Some(meant.as_str()).filter(|meant| *meant != DEFAULT_ENGINE))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn defaults_are_allowed_values() {
        JobSettings::default().check().expect("defaults work");
    }

    #[test]
    fn an_alias_means_a_model_or_the_default() {
        let settings: JobSettings =
            toml::from_str("[model_aliases]\nwhisper-1 = 'whisper/base'\nother = 'default'").unwrap();
        assert_eq!(settings.alias("whisper-1"), Some(Some("whisper/base")));
        assert_eq!(settings.alias("other"), Some(None));
        assert_eq!(settings.alias("pocketsphinx"), None);
    }
}
