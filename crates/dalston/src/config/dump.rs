//! What the server believes: every setting with its value and where it came from, as a file that it would read.

use std::fmt::Write;

use super::{
    layers::{Layers, Source},
    settings::GROUPS,
    table::Setting,
};

/// The effective configuration as TOML. Secrets are hidden, so these lines are comments.
pub fn dump(layers: &Layers) -> String {
    let mut text = String::new();
    for group in GROUPS {
        let _ = writeln!(text, "# {}", group.title);
        for setting in group.settings {
            text.push_str(&line(setting, layers));
        }
        text.push('\n');
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

fn line(setting: &Setting, layers: &Layers) -> String {
    let given = layers.get(setting);
    let source = match &given.source {
        Source::Default => String::new(),
        other => format!("  # {other}"),
    };
    let key = setting.key;
    if given.text.is_empty() {
        return format!("# {key} is unset\n");
    }
    if (setting.is_secret)() {
        return format!("# {key} = (hidden){source}\n");
    }
    format!("{key} = {}{source}\n", literal(&given.text))
}

/// Numbers and booleans as they are, all else quoted.
fn literal(text: &str) -> String {
    let is_bare = |value: &toml::Value| value.is_integer() || value.is_float() || value.is_bool();
    match text.parse::<toml::Value>() {
        Ok(value) if is_bare(&value) => text.to_owned(),
        _ => toml::Value::from(text).to_string(),
    }
}
