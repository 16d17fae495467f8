//! Where transcripts go.

use std::{
    collections::HashSet,
    fs,
    io::{Write, stdout},
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use super::{
    Transcribed,
    args::{Format, TranscribeArgs},
    input::{Input, Inputs},
};

/// Where transcripts go.
#[derive(Debug)]
pub(super) enum Destination {
    Stdout { format: Format, several: bool },
    Folder { files: Vec<PathBuf>, format: Format },
}

impl Destination {
    /// Found out before anything is uploaded.
    pub(super) fn new(args: &TranscribeArgs, inputs: &Inputs) -> Result<Self> {
        let (format, several) = (args.output, inputs.len() > 1);
        let Some(folder) = args.output_dir.clone() else {
            if several && matches!(format, Format::Srt | Format::Vtt) {
                bail!("subtitles of several files need a file each; say where with --output-dir");
            }
            return Ok(Self::Stdout { format, several });
        };
        fs::create_dir_all(&folder).with_context(|| format!("cannot make the folder {}", folder.display()))?;
        let names = unique(inputs.iter().map(|input| stem(&input.path)), format);
        Ok(Self::Folder { files: names.iter().map(|name| folder.join(name)).collect(), format })
    }

    /// Writes what came of the input at this place among them.
    pub(super) fn write(&self, at: usize, file: &Input, transcribed: &Transcribed) -> Result<()> {
        match self {
            Self::Stdout { format, several } => {
                let mut out = stdout().lock();
                match format {
                    Format::Json => serde_json::to_writer(&mut out, &named(file, transcribed)?)?,
                    Format::Txt if *several => {
                        writeln!(out, "==> {} <==", file.name)?;
                        out.write_all(&transcribed.text)?;
                    }
                    _ => out.write_all(&transcribed.text)?,
                }
                if *several || *format == Format::Json {
                    writeln!(out)?;
                }
                Ok(out.flush()?)
            }
            Self::Folder { files, format } => {
                let target = files.get(at).context("a file that was not asked for")?;
                let mut text = transcribed.text.clone();
                if *format == Format::Json {
                    text = serde_json::to_vec_pretty(&named(file, transcribed)?)?;
                    text.push(b'\n');
                }
                fs::write(target, text).with_context(|| format!("cannot write {}", target.display()))
            }
        }
    }
}

fn stem(file: &Path) -> String {
    file.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// A file's name for each, in their order: `talk.txt`, and `talk-2.txt` where another folder has a `talk` too.
fn unique(stems: impl Iterator<Item = String>, format: Format) -> Vec<String> {
    let mut taken = HashSet::new();
    let named = |stem: String| {
        let numbered = (2_u32..).map(|number| format!("{stem}-{number}"));
        let mut free = std::iter::once(stem.clone()).chain(numbered).filter(|name| taken.insert(name.clone()));
        format!("{}.{}", free.next().unwrap_or_default(), format.as_str())
    };
    stems.map(named).collect()
}

/// The transcript with the names of what it belongs to.
fn named(file: &Input, transcribed: &Transcribed) -> Result<Value> {
    let mut transcript: Value =
        serde_json::from_slice(&transcribed.text).context("the server's answer is no transcript")?;
    transcript["file"] = file.name.clone().into();
    transcript["job_id"] = transcribed.job.as_str().into();
    Ok(transcript)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_one_name_are_written_side_by_side() {
        let names = unique(["x", "y", "x", "x-2", "x"].map(str::to_owned).into_iter(), Format::Txt);
        assert_eq!(names, ["x.txt", "y.txt", "x-2.txt", "x-2-2.txt", "x-3.txt"]);
    }
}
