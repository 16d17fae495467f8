//! `dalston models`: models that are known, which of them are here, and getting them.

mod digest;
mod origin;
mod pull;
mod registry;
mod shelf;

use std::cell::RefCell;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use clap::{Args, Subcommand};
use indicatif::{HumanBytes, ProgressBar, ProgressStyle};
use serde::Serialize;

use self::origin::Origin;
use self::pull::Watcher;
use self::registry::{File, MODELS, Model, Source};
use self::shelf::Shelf;
use crate::cli::Output;
use crate::config::{self, ConfigError, Settings};

/// `dalston models`
#[derive(Debug, Subcommand)]
pub enum ModelsCommand {
    /// List the models that are known, and which of them are here.
    List(Common),
    /// Get a model, checked against what was published. One that broke off goes on where it stopped.
    Pull {
        /// Which: an id out of the list
        id: String,
        /// Get its files from this folder, or from under this URL, and not from where they were published
        #[arg(long, value_name = "DIR|URL")]
        from: Option<String>,
        /// Where and how.
        #[command(flatten)]
        common: Common,
    },
    /// Print where a model is, for a setting or a script. Fails if it is not here.
    Path {
        /// Which: an id out of the list
        id: String,
        /// Where and how.
        #[command(flatten)]
        common: Common,
    },
}

/// What all have in common.
#[derive(Debug, Args)]
pub struct Common {
    /// Where the server keeps what must outlive it; models are in `models` [default: ~/.local/share/dalston]
    #[arg(long, value_name = "DIR")]
    data_dir: Option<String>,
    /// The server's settings
    #[arg(long, value_name = "FILE", env = "DALSTON_CONFIG")]
    config: Option<PathBuf>,
    /// How to print it
    #[arg(long, value_enum, default_value_t = Output::Text)]
    output: Output,
}

/// A model as it is listed.
#[derive(Serialize)]
struct Listed {
    id: &'static str,
    engine: &'static str,
    about: &'static str,
    licence: &'static str,
    installed: bool,
    /// Where it is, or will be.
    path: PathBuf,
    /// Bytes, as published: rounded, for some.
    size: u64,
    /// What gets it, if not `pull`.
    #[serde(skip_serializing_if = "Option::is_none")]
    install: Option<&'static str>,
    files: Vec<ListedFile>,
}

#[derive(Serialize)]
struct ListedFile {
    name: &'static str,
    url: &'static str,
    checksum: digest::Digest,
}

impl Common {
    fn settings(&self) -> Result<Settings> {
        let flags = [("data_dir", "--data-dir", self.data_dir.clone())];
        let (settings, _, problems) = config::read(self.config.as_deref(), config::environment(), &flags);
        if problems.is_empty() { Ok(settings) } else { Err(ConfigError(problems).into()) }
    }
}

/// Does what was asked for.
pub async fn run(command: &ModelsCommand) -> Result<ExitCode> {
    match command {
        ModelsCommand::List(common) => {
            let shelf = shelf(&common.settings()?)?;
            let list: Vec<Listed> = MODELS.iter().map(|model| listed(&shelf, model)).collect();
            common.output.print(&list, |list| table(list))?;
        }
        ModelsCommand::Path { id, common } => {
            let shelf = shelf(&common.settings()?)?;
            let model = known(id)?;
            if !shelf.has(model) {
                bail!("{} is not here; {}", model.id, how_to_get(model));
            }
            common.output.print(&listed(&shelf, model), |model| format!("{}\n", model.path.display()))?;
        }
        ModelsCommand::Pull { id, from, common } => {
            let settings = common.settings()?;
            let shelf = shelf(&settings)?;
            let model = known(id)?;
            if !shelf.has(model) {
                let origin = Origin::new(from.as_deref(), settings.egress())?;
                let bar = Bar::default();
                pull::pull(&shelf, model, &origin, &bar).await?;
            }
            common
                .output
                .print(&listed(&shelf, model), |model| format!("{} is at {}\n", model.id, model.path.display()))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The file or folder that a setting means: a known model that is here, by its id, or else a path.
///
/// # Errors
/// With the command that gets it, for a model that is known and not here.
pub fn resolve(settings: &Settings, engine: &str, asked: &str) -> Result<PathBuf, dalston_engine_sdk::EngineError> {
    let Some(model) = registry::find(asked).filter(|model| model.engine == engine) else { return Ok(asked.into()) };
    let unavailable =
        |fix: String| dalston_engine_sdk::EngineError::Unavailable { what: format!("the model {}", model.id), fix };
    let shelf = shelf(settings).map_err(|error| unavailable(format!("{error:#}")))?;
    if shelf.has(model) { Ok(shelf.place(model)) } else { Err(unavailable(how_to_get(model))) }
}

fn shelf(settings: &Settings) -> Result<Shelf> {
    let data_dir = settings.data_dir().map_err(|problem| ConfigError(vec![problem]))?;
    Ok(Shelf::of(&data_dir))
}

fn known(id: &str) -> Result<&'static Model> {
    registry::find(id).with_context(|| {
        let ids = MODELS.iter().map(|model| (strsim::jaro_winkler(id, model.id), model.id));
        let like = ids.max_by(|a, b| a.0.total_cmp(&b.0)).filter(|(likeness, _)| *likeness > 0.8);
        let hint = like.map_or_else(String::new, |(_, id)| format!(" (did you mean {id}?)"));
        format!("no model `{id}` is known{hint}; `dalston models list` lists those that are")
    })
}

fn how_to_get(model: &Model) -> String {
    match model.source {
        Source::System { install, .. } => install.to_owned(),
        _ => format!("`dalston models pull {}` gets it", model.id),
    }
}

fn listed(shelf: &Shelf, model: &Model) -> Listed {
    let install = match model.source {
        Source::System { install, .. } => Some(install),
        _ => None,
    };
    let file = |file: &File| ListedFile { name: file.name, url: file.url, checksum: file.digest };
    Listed {
        id: model.id,
        engine: model.engine,
        about: model.about,
        licence: model.licence,
        installed: shelf.has(model),
        path: shelf.place(model),
        size: model.size(),
        install,
        files: model.files().iter().map(file).collect(),
    }
}

fn table(models: &[Listed]) -> String {
    let width = models.iter().map(|model| model.id.len()).max().unwrap_or_default();
    let line = |model: &Listed| {
        let here = if model.installed { "here" } else { "-" };
        let size = if model.size == 0 { String::new() } else { HumanBytes(model.size).to_string() };
        format!("{:width$}  {here:4}  {size:>10}  {:12}  {}\n", model.id, model.licence, model.about)
    };
    models.iter().map(line).collect()
}

/// A bar on standard error, where that is a terminal.
#[derive(Default)]
struct Bar(RefCell<Option<ProgressBar>>);

impl Watcher for Bar {
    fn begins(&self, file: &File, have: u64, length: Option<u64>) {
        let template = "{prefix} {bar:28} {bytes}/{total_bytes} {bytes_per_sec} {eta}";
        let style = ProgressStyle::with_template(template).expect("the template is well formed");
        let bar = ProgressBar::new(length.unwrap_or(file.size.bytes())).with_style(style).with_prefix(file.name);
        bar.set_position(have);
        // Speed and what is left are of what comes now.
        bar.reset_eta();
        if let Some(before) = self.0.replace(Some(bar)) {
            before.finish_and_clear();
        }
    }

    fn has(&self, bytes: u64) {
        if let Some(bar) = &*self.0.borrow() {
            bar.set_position(bytes);
        }
    }
}

impl Drop for Bar {
    fn drop(&mut self) {
        if let Some(bar) = self.0.take() {
            bar.finish_and_clear();
        }
    }
}

#[cfg(test)]
mod tests;
