//! The project's files, programs that read them, and what they have in common.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use dalston_tests::server::binary;
use serde_json::Value;

/// Who runs in every container of ours.
pub const USER: u64 = 10_001;

/// A file of the project.
pub fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(name)
}

/// The text of a file of the project.
pub fn text(name: &str) -> String {
    fs::read_to_string(path(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// What programs that are fetched for these tests lie in.
pub fn folder(name: &str) -> PathBuf {
    let folder = binary().ancestors().nth(2).expect("it lies in target/<profile>").join(name);
    fs::create_dir_all(&folder).expect("target can be written");
    folder
}

/// A program that checks files, fetched at the first run.
pub fn tool(name: &str) -> Command {
    let folder = folder("deploy-tools");
    succeed(Command::new(path("scripts/deploy-tools.sh")).arg(&folder));
    Command::new(folder.join(name))
}

/// Runs it to its end.
pub fn output(command: &mut Command) -> Output {
    command.stdin(Stdio::null()).output().unwrap_or_else(|error| panic!("{command:?}: {error}"))
}

/// What it prints. It must succeed.
pub fn succeed(command: &mut Command) -> String {
    let output = output(command);
    let printed = String::from_utf8(output.stdout).expect("it prints UTF-8");
    assert!(output.status.success(), "{command:?}\n{printed}{}", String::from_utf8_lossy(&output.stderr));
    printed
}

/// What it says about itself on standard error, and on standard output. It must fail.
pub fn fail(command: &mut Command) -> String {
    let output = output(command);
    assert!(!output.status.success(), "{command:?} succeeds");
    format!("{}{}", String::from_utf8_lossy(&output.stderr), String::from_utf8_lossy(&output.stdout))
}

/// The documents of a YAML text, as Debian's own reader sees them.
pub fn yaml(text: &str) -> Vec<Value> {
    let script = "import json, sys, yaml; json.dump([d for d in yaml.safe_load_all(sys.stdin) if d], sys.stdout)";
    let mut python = Command::new("/usr/bin/python3")
        .args(["-c", script])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 is a package of Debian");
    python.stdin.take().expect("it is piped").write_all(text.as_bytes()).expect("it reads");
    let output = python.wait_with_output().expect("our own child can be waited for");
    assert!(output.status.success(), "not YAML:\n{text}");
    serde_json::from_slice(&output.stdout).expect("it prints JSON")
}

/// The items of a list, or none.
pub fn items(value: &Value) -> &[Value] {
    value.as_array().map_or(&[], Vec::as_slice)
}

/// The names and values of a map, or none.
pub fn entries(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    value.as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), value))
}

/// A scalar as a shell would have it.
pub fn plain(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

/// Every variable that .env.example documents.
pub fn documented() -> BTreeSet<String> {
    let text = text(".env.example");
    let names = text.lines().filter_map(|line| Some(line.trim_start_matches('#').split_once('=')?.0));
    names.filter(|name| is_variable(name)).map(str::to_owned).collect()
}

fn is_variable(name: &str) -> bool {
    !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit() || byte == b'_')
}

/// The server takes this environment, the whole of it. Returns what it makes of it.
pub fn accepted(environment: &BTreeMap<String, String>) -> String {
    succeed(Command::new(binary()).args(["serve", "--dump-config"]).env_clear().envs(environment))
}
