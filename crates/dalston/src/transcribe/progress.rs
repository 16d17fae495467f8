//! How far each file is, on a terminal. Anywhere else, nothing is shown.

use std::{path::Path, sync::Arc};

use dalston_protocol::job::{Job, TaskStatus};
use indicatif::{MultiProgress, ProgressBar, ProgressStyle};

/// Parts of the whole, as finely as a bar can show.
const WHOLE: u64 = 1000;
/// The upload's share of it.
const UPLOAD: u64 = 100;

/// The bars of all files. On standard error, so that the transcripts can go elsewhere.
pub(super) struct Bars(MultiProgress);

impl Bars {
    pub(super) fn new() -> Self {
        Self(MultiProgress::new())
    }

    pub(super) fn add(&self, file: &Path) -> Bar {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let style = ProgressStyle::with_template("{prefix:24!} {bar:28} {percent:>3}%  {wide_msg}")
            .expect("the template is well formed");
        Bar(self.0.add(ProgressBar::new(WHOLE)).with_style(style).with_prefix(name).with_message("waiting"))
    }

    /// A line that stands until it is ended.
    pub(super) fn note(&self, text: &'static str) -> Bar {
        let bar = self.0.add(ProgressBar::new_spinner()).with_message(text);
        bar.enable_steady_tick(std::time::Duration::from_millis(100));
        Bar(bar)
    }

    /// Prints without the bars in between.
    pub(super) fn suspended<T>(&self, print: impl FnOnce() -> T) -> T {
        self.0.suspend(print)
    }

    pub(super) fn clear(&self) {
        // A terminal that is gone has nothing left to clear.
        let _ = self.0.clear();
    }
}

/// The bar of one file.
pub(super) struct Bar(ProgressBar);

impl Bar {
    /// Is told how many bytes are out.
    pub(super) fn uploading(&self, file: &Path) -> impl Fn(u64) + Send + Sync + 'static {
        let bytes = std::fs::metadata(file).map_or(1, |metadata| metadata.len().max(1));
        let bar = Arc::new(self.0.clone());
        move |sent| {
            bar.set_message("uploading");
            bar.set_position(UPLOAD * sent.min(bytes) / bytes);
        }
    }

    pub(super) fn show(&self, job: &Job) {
        let done = (job.progress.clamp(0.0, 1.0) * (WHOLE - UPLOAD) as f64) as u64;
        self.0.set_position(UPLOAD + done);
        self.0.set_message(stages(job));
    }

    pub(super) fn end(self) {
        self.0.finish_and_clear();
    }
}

/// What is being done now.
pub(crate) fn stages(job: &Job) -> String {
    let named = |wanted: TaskStatus| {
        let of = job.stages.iter().filter(|stage| stage.status == wanted);
        let mut names: Vec<&str> = of.map(|stage| stage.stage.as_str()).collect();
        names.dedup();
        names.join(", ")
    };
    let running = named(TaskStatus::Running);
    if !running.is_empty() {
        return running;
    }
    match named(TaskStatus::Ready) {
        waiting if waiting.is_empty() => job.status.to_string(),
        waiting => format!("waiting for {waiting}"),
    }
}
