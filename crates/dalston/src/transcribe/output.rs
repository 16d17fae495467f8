//! Where transcripts go.

use std::{
    fs,
    io::{Write, stdout},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::{
    Transcribed,
    args::{Format, TranscribeArgs},
};

/// Where transcripts go.
#[derive(Debug)]
pub(super) enum Destination {
    Stdout { format: Format, several: bool },
    Folder { folder: PathBuf, format: Format },
}

impl Destination {
    /// Found out before anything is uploaded.
    pub(super) fn new(args: &TranscribeArgs) -> Result<Self> {
        let (format, several) = (args.output, args.files.len() > 1);
        let Some(folder) = args.output_dir.clone() else {
            if several && matches!(format, Format::Srt | Format::Vtt) {
                bail!("subtitles of several files need a file each; say where with --output-dir");
            }
            return Ok(Self::Stdout { format, several });
        };
        fs::create_dir_all(&folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
        let mut targets: Vec<PathBuf> = args.files.iter().map(|file| target(&folder, file, format)).collect();
        targets.sort();
        if let Some(pair) = targets.windows(2).find(|pair| pair[0] == pair[1]) {
            bail!("two of the files would be written to {}", pair[0].display());
        }
        Ok(Self::Folder { folder, format })
    }

    pub(super) fn write(&self, file: &Path, transcribed: &Transcribed) -> Result<()> {
        match self {
            Self::Stdout { format, several } => {
                let mut out = stdout().lock();
                match format {
                    Format::Json => serde_json::to_writer(&mut out, &named(file, transcribed)?)?,
                    Format::Txt if *several => {
                        writeln!(out, "==> {} <==", file.display())?;
                        out.write_all(&transcribed.text)?;
                    }
                    _ => out.write_all(&transcribed.text)?,
                }
                if *several || *format == Format::Json {
                    writeln!(out)?;
                }
                Ok(out.flush()?)
            }
            Self::Folder { folder, format } => {
                let target = target(folder, file, *format);
                let mut text = transcribed.text.clone();
                if *format == Format::Json {
                    text = serde_json::to_vec_pretty(&named(file, transcribed)?)?;
                    text.push(b'\n');
                }
                fs::write(&target, text).with_context(|| format!("cannot write {}", target.display()))
            }
        }
    }
}

fn target(folder: &Path, file: &Path, format: Format) -> PathBuf {
    let name = file.file_stem().unwrap_or_default().to_string_lossy();
    folder.join(format!("{name}.{}", format.as_str()))
}

/// The transcript with the names of what it belongs to.
fn named(file: &Path, transcribed: &Transcribed) -> Result<Value> {
    let mut transcript: Value =
        serde_json::from_slice(&transcribed.text).context("the server's answer is no transcript")?;
    transcript["file"] = file.display().to_string().into();
    transcript["job_id"] = transcribed.job.as_str().into();
    Ok(transcript)
}
