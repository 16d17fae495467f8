//! Where models stand on the disk: `<data_dir>/models/<engine>/`.
//!
//! What stands there is whole. What is still coming is beside it in `.partial`, until its checksum was right.

use std::path::{Path, PathBuf};

use super::registry::{Model, Size, Source};

/// The folder of models.
#[derive(Debug, Clone)]
pub struct Shelf(PathBuf);

impl Shelf {
    /// The one of this data directory.
    pub fn of(data_dir: &Path) -> Self {
        Self(data_dir.join("models"))
    }

    /// Where a model is, or will be.
    pub fn place(&self, model: &Model) -> PathBuf {
        let engine = self.0.join(model.engine);
        match &model.source {
            Source::File(file) => engine.join(file.name),
            Source::Folder(_) => engine.join(model.name()),
            Source::System { folder, .. } => PathBuf::from(folder),
        }
    }

    /// Where it comes together.
    pub fn staging(&self, model: &Model) -> PathBuf {
        self.0.join(".partial").join(model.id.replace('/', "-"))
    }

    /// What is locked while it does.
    pub fn lock(&self, model: &Model) -> PathBuf {
        self.0.join(".partial").join(format!("{}.lock", model.id.replace('/', "-")))
    }

    /// Whether it is there, all of it. That it is whole was seen when it came.
    pub fn has(&self, model: &Model) -> bool {
        let place = self.place(model);
        let has_file = |path: &Path, size: Size| match (path.metadata(), size) {
            (Ok(data), Size::Bytes(bytes)) => data.is_file() && data.len() == bytes,
            (Ok(data), Size::About(_)) => data.is_file() && data.len() > 0,
            (Err(_), _) => false,
        };
        match &model.source {
            Source::File(file) => has_file(&place, file.size),
            Source::Folder(files) => files.iter().all(|file| has_file(&place.join(file.name), file.size)),
            Source::System { .. } => place.is_dir(),
        }
    }
}
