//! The units, as systemd reads them.

use std::{collections::BTreeMap, fs, path::Path, process::Command};

use dalston_tests::server::binary;
use tempfile::TempDir;

use crate::files::{accepted, documented, path, succeed, text};

const ROLES: [&str; 4] = ["gateway", "orchestrator", "engine", "realtime"];
const UNIT: &str = "deploy/systemd/dalston@.service";

/// The units in a folder, with a binary that is there.
fn installed() -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let unit = text(UNIT).replace("/usr/local/bin/dalston", &binary().display().to_string());
    fs::write(folder.path().join("dalston@.service"), unit).expect("it can be written");
    fs::copy(path("deploy/systemd/dalston.target"), folder.path().join("dalston.target")).expect("it is copied");
    folder
}

fn analyze(folder: &Path, verb: &[&str], units: &[&str]) -> String {
    let units = units.iter().map(|unit| folder.join(unit));
    let mut command = Command::new("systemd-analyze");
    succeed(command.args(verb).args(units).env("SYSTEMD_LOG_LEVEL", "warning"))
}

#[test]
fn systemd_finds_nothing_wrong() {
    let folder = installed();
    analyze(
        folder.path(),
        &["verify", "--man=no", "--recursive-errors=one"],
        &["dalston@all.service", "dalston@realtime.service"],
    );
    analyze(folder.path(), &["verify", "--man=no", "--recursive-errors=one"], &["dalston.target"]);
}

#[test]
fn a_unit_is_exposed_to_little() {
    // 0 is nothing, 10 everything. What is left is that it talks to networks and starts its own engines.
    analyze(installed().path(), &["security", "--offline=yes", "--threshold=20"], &["dalston@.service"]);
}

#[test]
fn the_server_takes_what_each_unit_tells_it() {
    let documented = documented();
    let shared = variables(&text("deploy/systemd/dalston.env.example"));
    for role in ROLES {
        let mut told = of_unit(role);
        told.extend(shared.clone());
        told.extend(variables(&text(&format!("deploy/systemd/roles/{role}.env"))));
        assert!(told.keys().all(|name| documented.contains(name)), "{role}: {told:?}");
        for secret in ["DALSTON_SERVER_SECRET", "DALSTON_CLUSTER_SECRET"] {
            assert_eq!(
                told.insert(secret.into(), "0123456789abcdef0123456789abcdef".into()).as_deref(),
                Some(""),
                "{secret}"
            );
        }
        assert!(accepted(&told).contains(&format!("role = \"{role}\"")), "{role}");
    }
    assert!(accepted(&of_unit("all")).contains("role = \"all\""));
}

#[test]
fn roles_on_one_machine_do_not_take_each_others_addresses() {
    let mut taken = Vec::new();
    for role in ROLES {
        let told = variables(&text(&format!("deploy/systemd/roles/{role}.env")));
        taken.extend(told.into_iter().filter(|(name, _)| name.ends_with("_BIND")).map(|(_, address)| address));
    }
    let all = taken.len();
    taken.sort();
    taken.dedup();
    assert_eq!((taken.len(), all), (5, 5), "{taken:?}");
}

/// What the unit itself sets.
fn of_unit(role: &str) -> BTreeMap<String, String> {
    let unit = text(UNIT);
    let line = unit.lines().find_map(|line| line.strip_prefix("Environment=")).expect("it sets some");
    line.replace("%i", role).split(' ').map(pair).collect()
}

fn variables(text: &str) -> BTreeMap<String, String> {
    text.lines().filter(|line| !line.starts_with('#') && !line.is_empty()).map(pair).collect()
}

fn pair(text: &str) -> (String, String) {
    let (name, value) = text.split_once('=').expect("NAME=value");
    (name.to_owned(), value.to_owned())
}
