//! Where a setting's text comes from: defaults < TOML file < environment < flags.

use std::{
    collections::BTreeMap,
    fmt,
    path::{Path, PathBuf},
};

use super::{
    problem::Problem,
    table::{self, Setting},
};

/// Where a value was found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Source {
    /// Nobody set it.
    Default,
    /// A TOML file.
    File(PathBuf),
    /// A variable.
    Environment(&'static str),
    /// A flag.
    Flag(&'static str),
}

impl fmt::Display for Source {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Default => f.write_str("default"),
            Self::File(path) => write!(f, "{}", path.display()),
            Self::Environment(name) | Self::Flag(name) => f.write_str(name),
        }
    }
}

impl Source {
    /// A value as the user wrote it, so that it can be found.
    pub fn place(&self, key: &str, value: &str) -> String {
        match self {
            Self::Default => format!("{key}={value}"),
            Self::File(path) => format!("{key} = {value:?} in {}", path.display()),
            Self::Environment(name) => format!("{name}={value}"),
            Self::Flag(name) => format!("{name} {value}"),
        }
    }
}

/// What was given for a setting.
#[derive(Clone, PartialEq, Eq)]
pub struct Given {
    /// As it was written.
    pub text: String,
    /// Where.
    pub source: Source,
}

/// The texts of all settings, the uppermost layer of each.
#[derive(Clone, Default)]
pub struct Layers {
    given: BTreeMap<&'static str, Given>,
}

/// Which settings were given and where; the texts may be secrets.
impl fmt::Debug for Layers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_map().entries(self.given.iter().map(|(key, given)| (key, &given.source))).finish()
    }
}

/// Variables of the clients, which a server leaves alone.
pub const CLIENT_VARIABLES: [&str; 3] = ["DALSTON_URL", "DALSTON_API_KEY", "DALSTON_CONFIG"];

impl Layers {
    /// The text of a setting, which is its default when nobody set it.
    pub fn get(&self, setting: &Setting) -> Given {
        let default = || Given { text: setting.default.to_owned(), source: Source::Default };
        self.given.get(setting.key).cloned().unwrap_or_else(default)
    }

    /// The text of the setting with this key; empty when there is no such setting or text.
    pub fn text(&self, key: &str) -> String {
        table::find(key).map(|setting| self.get(setting).text).unwrap_or_default()
    }

    /// A setting as the user wrote it.
    pub fn place(&self, setting: &Setting) -> String {
        let given = self.get(setting);
        let value = if (setting.is_secret)() { "(hidden)" } else { &given.text };
        given.source.place(setting.key, value)
    }

    /// The same, for the setting with this key.
    pub fn place_of(&self, key: &str) -> String {
        table::find(key).map_or_else(|| key.to_owned(), |setting| self.place(setting))
    }

    /// Puts a TOML file's text over what is there.
    pub fn add_file(&mut self, path: &Path, text: &str, problems: &mut Vec<Problem>) {
        let table: toml::Table = match text.parse() {
            Ok(table) => table,
            Err(error) => return problems.push(Problem::new(path.display().to_string(), error.to_string())),
        };
        self.add_table(path, "", table, problems);
    }

    fn add_table(&mut self, path: &Path, prefix: &str, table: toml::Table, problems: &mut Vec<Problem>) {
        for (name, value) in table {
            let key = format!("{prefix}{name}");
            let place = || format!("{key} in {}", path.display());
            match (table::find(&key), value) {
                (Some(setting), value) => match text_of(&value) {
                    Some(text) => self.set(setting, text, Source::File(path.to_owned())),
                    None => problems.push(Problem::new(place(), format!("expected {}", (setting.expected)()))),
                },
                (None, toml::Value::Table(inner)) => self.add_table(path, &format!("{key}."), inner, problems),
                (None, _) => {
                    let known = table::all().map(|setting| setting.key.to_owned());
                    problems.push(Problem::unknown(place(), "key", &key, known));
                }
            }
        }
    }

    /// Puts the environment over what is there. An empty variable counts as unset.
    pub fn add_environment(
        &mut self,
        variables: impl IntoIterator<Item = (String, String)>,
        problems: &mut Vec<Problem>,
    ) {
        for (name, value) in variables {
            let known = table::all().find(|setting| setting.variable == name);
            match known {
                Some(_) if value.trim().is_empty() => {}
                Some(setting) => {
                    self.set(setting, value.trim().to_owned(), Source::Environment(setting.variable));
                }
                None if name.starts_with("DALSTON_") && !CLIENT_VARIABLES.contains(&name.as_str()) => {
                    problems.push(Problem::unknown(
                        name.clone(),
                        "variable",
                        &name,
                        table::all().map(|s| s.variable.to_owned()),
                    ));
                }
                None => {}
            }
        }
    }

    /// Puts the flags that were given over what is there.
    pub fn add_flags(&mut self, flags: &[(&'static str, &'static str, Option<String>)]) {
        for (key, flag, text) in flags {
            if let (Some(setting), Some(text)) = (table::find(key), text) {
                self.set(setting, text.clone(), Source::Flag(flag));
            }
        }
    }

    fn set(&mut self, setting: &'static Setting, text: String, source: Source) {
        self.given.insert(setting.key, Given { text, source });
    }
}

/// A TOML value as the text that the environment would hold: tables, alone or in a list, are JSON there.
fn text_of(value: &toml::Value) -> Option<String> {
    match value {
        toml::Value::String(text) => Some(text.clone()),
        toml::Value::Integer(_) | toml::Value::Float(_) | toml::Value::Boolean(_) => Some(value.to_string()),
        toml::Value::Array(items) if items.iter().any(toml::Value::is_table) => serde_json::to_string(items).ok(),
        toml::Value::Array(items) => {
            let items: Option<Vec<String>> = items.iter().map(text_of).collect();
            Some(items?.join(","))
        }
        toml::Value::Datetime(_) | toml::Value::Table(_) => None,
    }
}
