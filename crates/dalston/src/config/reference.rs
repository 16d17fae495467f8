//! The pages that document every setting, written out of the settings themselves: docs/configuration.md and .env.example.

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

const ENV_HEAD: &str = "\
# Every environment variable of Dalston, with its default. Written by `make docs`; a test compares.
#
# docker-compose.yml reads a copy of this file named .env. `scripts/deploy-env.sh` writes that copy, with a random secret for every
# name that has nothing behind its equals sign.
#
# Times carry their unit: 250ms, 1.5s, 2m, 1h. Lists are parted by commas. An empty value counts as unset.
";

/// What docker-compose.yml asks for and the server has no default for. `None` is a secret to be made.
const NEEDED: &[(&str, Option<&str>, &str)] = &[
    (
        "DALSTON_SERVER_SECRET",
        None,
        "What the hashes of API keys are keyed with: whoever changes it makes every key worthless.",
    ),
    ("DALSTON_CLUSTER_SECRET", None, "What gateways and realtime workers prove to each other."),
    ("POSTGRES_PASSWORD", None, "The database's. PostgreSQL takes it over at its first start only."),
    ("REDIS_PASSWORD", None, "Redis's."),
    ("AWS_ACCESS_KEY_ID", Some("dalston"), "The S3 server's, and what Dalston shows it."),
    ("AWS_SECRET_ACCESS_KEY", None, "The S3 server's, and what Dalston shows it."),
    ("GRAFANA_PASSWORD", None, "Of Grafana's user `admin`, in the profile `observability`."),
];

/// What the S3 client reads besides, by the names that all of them use.
const BUCKET: &[(&str, &str, &str)] = &[
    ("AWS_REGION", "us-east-1", "The bucket's region."),
    ("AWS_ENDPOINT_URL", "", "An S3 server that is not Amazon's: `http://host:port`. docker-compose.yml sets it."),
];

/// The whole of .env.example. What is set by default stands behind a `#`.
pub fn env_example() -> String {
    let mut page = ENV_HEAD.to_owned();
    page.push_str("\n## Secrets, and what docker-compose.yml does not start without\n");
    for (variable, value, meaning) in NEEDED {
        let _ = write!(page, "\n# {meaning}\n{variable}={}\n", value.unwrap_or_default());
    }
    page.push_str("\n## Bucket, when DALSTON_ARTIFACTS_URL names one\n");
    for (variable, value, meaning) in BUCKET {
        let _ = write!(page, "\n# {meaning}\n#{variable}={value}\n");
    }
    let is_above = |setting: &Setting| NEEDED.iter().any(|(variable, ..)| *variable == setting.variable);
    for group in GROUPS {
        let _ = writeln!(page, "\n## {}", group.title);
        for setting in group.settings.iter().filter(|setting| !is_above(setting)) {
            page.push('\n');
            for line in setting.docs {
                let _ = writeln!(page, "# {}", line.trim());
            }
            let _ = writeln!(page, "# Allowed: {}", (setting.expected)());
            let _ = writeln!(page, "#{}={}", setting.variable, setting.default);
        }
    }
    page
}
