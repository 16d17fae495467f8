//! What an engine gives back becomes artifacts.

use std::{collections::BTreeMap, io, path::Path};

use dalston_engine_sdk::batch::TaskOutput;
use dalston_store::{StoreError, TaskOutputFile};

use crate::{attempt::Attempt, settings::OutputLimits, station::Station};

/// The artifact that a task is committed with.
const OUTPUT: &str = "output.json";

/// Why an output was not kept.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoOutput {
    /// The engine is at fault, and would be again.
    #[error("{0}")]
    Refused(String),
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("the files of the engine cannot be read: {0}")]
    Io(#[from] io::Error),
}

impl Station {
    /// Writes the artifacts of an attempt. Gives the key of the last, which tells of all others.
    pub(crate) async fn keep_output(
        &self,
        attempt: &Attempt,
        output: &TaskOutput,
        folder: &Path,
    ) -> Result<(String, u64), NoOutput> {
        let mut bytes = check_files(output, folder, &self.settings.output).await?;
        let (prefix, mut files) = (attempt.prefix(), BTreeMap::new());
        for (name, path) in &output.files {
            let key = format!("{prefix}/{name}");
            self.artifacts.put_file(&key, path).await?;
            files.insert(name.clone(), key);
        }
        let file = TaskOutputFile { result: output.result.clone(), files };
        let json = serde_json::to_vec(&file).map_err(io::Error::other)?;
        let limit = self.settings.output.result_bytes;
        if json.len() as u64 > limit {
            return Err(NoOutput::Refused(format!("the engine's result is longer than {limit} bytes")));
        }
        bytes += json.len() as u64;
        let key = format!("{prefix}/{OUTPUT}");
        self.artifacts.put(&key, json).await?;
        Ok((key, bytes))
    }
}

/// Nothing but files of the engine's own folder, under names that are safe everywhere, and not too many or too large.
/// How many bytes they have.
async fn check_files(output: &TaskOutput, folder: &Path, limits: &OutputLimits) -> Result<u64, NoOutput> {
    if output.files.len() > limits.files {
        return Err(NoOutput::Refused(format!("the engine gave back more than {} files", limits.files)));
    }
    if output.files.is_empty() {
        return Ok(0);
    }
    let folder = tokio::fs::canonicalize(folder).await?;
    let mut bytes = 0;
    for (name, path) in &output.files {
        let refused = |why: &str| NoOutput::Refused(format!("the engine's file `{}` {why}", name.escape_debug()));
        if !is_file_name(name) || name == OUTPUT {
            return Err(refused("has a name that it cannot have"));
        }
        let path = tokio::fs::canonicalize(path).await.map_err(|_| refused("is not there"))?;
        let meta = tokio::fs::metadata(&path).await.map_err(|_| refused("is not there"))?;
        if !path.starts_with(&folder) || !meta.is_file() {
            return Err(refused("is not a file of its folder"));
        }
        bytes += meta.len();
    }
    match bytes > limits.bytes {
        true => Err(NoOutput::Refused(format!("the engine's files have more than {} bytes", limits.bytes))),
        false => Ok(bytes),
    }
}

/// A name that means the same in every folder and every bucket, and leads nowhere else.
pub(crate) fn is_file_name(name: &str) -> bool {
    let safe = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
    (1..=128).contains(&name.len()) && !name.starts_with('.') && name.chars().all(safe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_name_leads_nowhere_else() {
        for right in ["audio.wav", "channel-0.wav", "a", "a..b", "A_1"] {
            assert!(is_file_name(right), "{right}");
        }
        for wrong in ["", ".", "..", ".hidden", "a/b", "/etc/passwd", "a b", "ä", "a\0", "a\\b", &"a".repeat(129)] {
            assert!(!is_file_name(wrong), "{wrong:?}");
        }
    }
}
