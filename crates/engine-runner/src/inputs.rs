//! The inputs of a task are local files, or become such.

use std::{collections::BTreeMap, io, path::PathBuf};

use dalston_engine_sdk::batch::TaskInput;
use dalston_protocol::job::TaskStatus;
use dalston_store::{StoreError, TaskOutputFile, TaskRecord, job_folder};

use crate::{attempt::Attempt, outputs::is_file_name, scratch::Folder, station::Station};

/// What a task without dependencies finds its job's upload under.
const SOURCE: &str = "source";

/// Why a task has no inputs. For the log: it names files of this machine.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NoInput {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("no folder could be made for them: {0}")]
    Folder(#[from] io::Error),
    #[error("`{node}` has not been completed")]
    NotDone { node: String },
    #[error("the output of `{node}` is not what a runner writes: {reason}")]
    Damaged { node: String, reason: String },
}

impl Station {
    /// Fetches what the task depends on; the upload, if it depends on nothing. And how many bytes that was.
    pub(crate) async fn inputs(&self, attempt: &Attempt, folder: &Folder) -> Result<(TaskInput, u64), NoInput> {
        let mut input = TaskInput {
            parameters: attempt.job.parameters.clone(),
            channel: attempt.task.channel,
            scratch: folder.work().to_owned(),
            ..TaskInput::default()
        };
        let mut bytes = 0;
        if attempt.task.depends_on.is_empty() {
            let (path, length) = self.file(&attempt.job.source.key, SOURCE, folder).await?;
            input.files.insert(SOURCE.into(), path);
            bytes += length;
        }
        for node in &attempt.task.depends_on {
            let done = attempt.dependencies.iter().find(|task| task.node == *node);
            let done = done.filter(|task| task.status == TaskStatus::Completed);
            let task = done.ok_or_else(|| NoInput::NotDone { node: node.clone() })?;
            let output = self.output_of(task).await?;
            bytes += self.fetch_files(attempt, task, &output.files, folder, &mut input).await?;
            input.results.insert(task.node.clone(), output.result);
        }
        Ok((input, bytes))
    }

    async fn output_of(&self, task: &TaskRecord) -> Result<TaskOutputFile, NoInput> {
        let key = task.output.as_deref().ok_or_else(|| NoInput::NotDone { node: task.node.clone() })?;
        // Its result and the names of its files.
        let limit = 2 * self.settings.output.result_bytes;
        let bytes = self.artifacts.get(key, limit).await?;
        // The place of the error, and not what stands there.
        let damaged = |error: serde_json::Error| NoInput::Damaged {
            node: task.node.clone(),
            reason: format!("{:?} error", error.classify()),
        };
        serde_json::from_slice(&bytes).map_err(damaged)
    }

    async fn fetch_files(
        &self,
        attempt: &Attempt,
        task: &TaskRecord,
        files: &BTreeMap<String, String>,
        folder: &Folder,
        input: &mut TaskInput,
    ) -> Result<u64, NoInput> {
        let mut bytes = 0;
        for (name, key) in files {
            let is_ours = is_file_name(name) && key.starts_with(&format!("{}/", job_folder(&attempt.job.id)));
            if !is_ours {
                let reason = format!("it has a file `{}`", name.escape_debug());
                return Err(NoInput::Damaged { node: task.node.clone(), reason });
            }
            if input.files.contains_key(name) {
                let reason = format!("another input has a file `{name}`, too");
                return Err(NoInput::Damaged { node: task.node.clone(), reason });
            }
            let (path, length) = self.file(key, name, folder).await?;
            input.files.insert(name.clone(), path);
            bytes += length;
        }
        Ok(bytes)
    }

    /// The artifact itself where it is a file of this machine, or else a copy; and how many bytes it has.
    async fn file(&self, key: &str, name: &str, folder: &Folder) -> Result<(PathBuf, u64), NoInput> {
        if let Some(place) = self.artifacts.place(key).await? {
            return Ok(place);
        }
        let path = folder.inputs()?.join(name);
        let bytes = self.artifacts.fetch(key, &path).await?;
        Ok((path, bytes))
    }
}
