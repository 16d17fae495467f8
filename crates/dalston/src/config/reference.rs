//! The page that documents every setting, written out of the settings themselves.

use std::fmt::Write;

use super::{settings::GROUPS, table::Setting};

const HEAD: &str = "\
# Configuration

<!-- Written by `make docs` out of crates/dalston/src/config/settings.rs; a test compares. -->

Every setting has a default that works. A value is taken from the uppermost of these that has one:

1. a flag of `dalston serve` (`dalston serve --help`)
2. an environment variable
3. a key in the TOML file named by `--config` or `DALSTON_CONFIG`
4. the default

`dalston serve --dump-config` prints what came out, with where each value was found and no secret. Every problem is
reported at once, by the name under which the value was given, and before any port is bound. A key or a `DALSTON_` variable that
means nothing is a problem too.

Times carry their unit: `250ms`, `1.5s`, `2m`, `1h`. Lists are parted by commas, or arrays in TOML.
";

/// The whole page.
pub fn page() -> String {
    let mut page = HEAD.to_owned();
    for group in GROUPS {
        let _ = writeln!(page, "\n## {}\n", group.title);
        page.push_str("| key | variable | default | allowed | meaning |\n| --- | --- | --- | --- | --- |\n");
        for setting in group.settings {
            page.push_str(&row(setting));
        }
    }
    page
}

fn row(setting: &Setting) -> String {
    let default = if setting.default.is_empty() { "unset".to_owned() } else { format!("`{}`", setting.default) };
    let meaning: Vec<&str> = setting.docs.iter().map(|line| line.trim()).collect();
    let cells = [
        format!("`{}`", setting.key),
        format!("`{}`", setting.variable),
        default,
        (setting.expected)(),
        meaning.join(" "),
    ];
    format!("| {} |\n", cells.map(|cell| cell.replace('|', "\\|")).join(" | "))
}
