//! What is to be transcribed: files, and standard input.

use std::{
    ffi::OsStr,
    fs::File,
    io::{self, IsTerminal, stdin},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use tempfile::TempDir;

/// Means standard input.
const STDIN: &str = "-";

/// What is to be transcribed. Found out before anything is uploaded.
#[derive(Debug)]
pub(super) struct Inputs {
    files: Vec<Input>,
    /// What came by standard input, as long as it is needed.
    _spool: Option<TempDir>,
}

/// One file.
#[derive(Debug)]
pub(super) struct Input {
    /// Where it is.
    pub(super) path: PathBuf,
    /// As the user named it.
    pub(super) name: String,
}

impl Inputs {
    /// Standard input is written to a file: an upload says how long it is before it begins.
    pub(super) fn find(named: &[PathBuf]) -> Result<Self> {
        let mut files = Vec::with_capacity(named.len());
        let mut spool = None;
        for path in named {
            let name = path.display().to_string();
            if path.as_os_str() == OsStr::new(STDIN) {
                if spool.is_some() {
                    bail!("standard input (-) can be read only once");
                }
                let folder = tempfile::tempdir().context("no folder for temporary files")?;
                let path = spooled(folder.path())?;
                spool = Some(folder);
                files.push(Input { path, name: "stdin".to_owned() });
            } else if path.is_dir() {
                bail!("{name} is a folder: name the files in it, as in {}", path.join("*.wav").display());
            } else {
                files.push(Input { path: path.clone(), name });
            }
        }
        Ok(Self { files, _spool: spool })
    }

    pub(super) fn iter(&self) -> std::slice::Iter<'_, Input> {
        self.files.iter()
    }

    pub(super) fn len(&self) -> usize {
        self.files.len()
    }
}

fn spooled(folder: &Path) -> Result<PathBuf> {
    if stdin().is_terminal() {
        bail!("standard input (-) is a terminal; pipe a file into it, as in `dalston transcribe - < talk.mp3`");
    }
    let path = folder.join("stdin");
    let written = File::create(&path).and_then(|mut file| io::copy(&mut stdin().lock(), &mut file));
    written.context("cannot keep standard input")?;
    Ok(path)
}
