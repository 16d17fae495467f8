//! Configuration: defaults < TOML file < environment < flags. Every problem is reported at once, by the name under which the
//! value was given, and nothing is started.

mod artifacts;
mod choice;
mod cluster;
mod components;
mod dump;
mod layers;
mod pairs;
mod problem;
mod reference;
mod remote;
mod secret;
mod settings;
mod table;
mod tracing;
mod value;

use std::path::{Path, PathBuf};

use dalston_gateway::GatewayConfig;
use dalston_realtime::RealtimeConfig;
use dalston_telemetry::Options;

pub use choice::EngineName;
pub use cluster::{Role, Roles};
pub use components::OPEN_TO_ALL;
pub use dump::dump;
pub use layers::Layers;
pub use problem::{ConfigError, Problem};
pub use reference::{env_example, page as reference_page};
pub use settings::Settings;

/// A flag that sets a setting: its key, the flag as the user writes it, and its text when given.
pub type Flag = (&'static str, &'static str, Option<String>);

/// The variables of this process. What is not UTF-8 is made readable, so that it is refused like any other bad value.
pub fn environment() -> impl Iterator<Item = (String, String)> {
    std::env::vars_os().map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned()))
}

/// Whether there is a setting with this key.
pub fn is_setting(key: &str) -> bool {
    table::find(key).is_some()
}

/// A configuration that can be used.
#[derive(Debug, Clone)]
pub struct Config {
    /// The settings.
    pub settings: Settings,
    /// Their texts and where each was found.
    pub layers: Layers,
    /// Where the server keeps what must outlive it.
    pub data_dir: PathBuf,
    /// What the gateway is told.
    pub gateway: GatewayConfig,
    /// What the realtime worker is told.
    pub realtime: RealtimeConfig,
    /// What telemetry is told.
    pub telemetry: Options,
}

/// Reads every layer and checks the whole.
///
/// # Errors
/// Everything that is wrong: unknown names, values that cannot be read, and settings that do not fit each other.
pub fn load(
    file: Option<&Path>,
    variables: impl IntoIterator<Item = (String, String)>,
    flags: &[Flag],
) -> Result<Config, ConfigError> {
    let (settings, layers, mut problems) = read(file, variables, flags);
    problems.extend(settings.contradictions(&layers, &problems));
    problems.extend(settings.cluster_problems(&layers, &problems));
    let gateway = settings.gateway(&layers);
    let telemetry = tracing::options(&settings, &layers);
    let data_dir = settings.data_dir().map_err(|problem| problems.push(problem));
    if let Err(problem) = &gateway {
        let is_certain = !problems.iter().any(|earlier| earlier.is_unread("gateway.auth") || earlier.is_unread("bind"));
        problems.extend(is_certain.then(|| problem.clone()));
    }
    match (gateway, telemetry, data_dir) {
        (Ok(gateway), Ok(telemetry), Ok(data_dir)) if problems.is_empty() => {
            Ok(Config { realtime: settings.realtime(), settings, layers, data_dir, gateway, telemetry })
        }
        _ => Err(ConfigError(problems)),
    }
}

/// Reads every layer, and says what is wrong with each setting by itself. The default stands in for what cannot be read.
pub fn read(
    file: Option<&Path>,
    variables: impl IntoIterator<Item = (String, String)>,
    flags: &[Flag],
) -> (Settings, Layers, Vec<Problem>) {
    let mut layers = Layers::default();
    let mut problems = Vec::new();
    if let Some(path) = file {
        match std::fs::read_to_string(path) {
            Ok(text) => layers.add_file(path, &text, &mut problems),
            Err(error) => problems.push(Problem::new(path.display().to_string(), format!("cannot be read: {error}"))),
        }
    }
    layers.add_environment(variables, &mut problems);
    layers.add_flags(flags);
    (Settings::read(&layers, &mut problems), layers, problems)
}

#[cfg(test)]
mod tests;
