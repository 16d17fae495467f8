//! What a user is told about the configuration.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop there")]

mod support;

use std::{fs, net::TcpListener};

use support::{Ended, Home};

#[test]
fn a_wrong_configuration_is_reported_whole_before_a_port_is_bound() {
    let home = Home::new();
    // If the server went as far as binding, it would complain of this instead.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut serve = home.dalston(&["serve", "--bind", &address, "--engine", "siri", "--role", "gateway"]);
    let serve = serve.env("DALSTON_MAX_SESSIONS", "abc").env("DALSTON_BINT", "x").env("LOG_FORMAT", "xml");
    let ended = Ended::from(serve.output().unwrap());
    ended.failed_with(&[
        "8 problems",
        "--engine siri: expected pocketsphinx, remote, whisper, sherpa or loopback",
        "redis.url (REDIS_URL): is needed for --role gateway",
        "database.url (DATABASE_URL): is needed",
        "artifacts.url (DALSTON_ARTIFACTS_URL): is needed",
        "cluster.secret (DALSTON_CLUSTER_SECRET): is needed",
        "DALSTON_MAX_SESSIONS=abc: expected a whole number",
        "DALSTON_BINT: no such variable; did you mean DALSTON_BIND?",
        "LOG_FORMAT=xml: expected json or pretty",
    ]);
    assert!(!ended.err.contains("in use"), "{}", ended.err);
}

#[test]
fn a_public_address_without_keys_is_refused() {
    for bind in ["0.0.0.0:0", "[::]:0"] {
        Home::new().run(&["serve", "--bind", bind]).failed_with(&["nobody is asked for a key", "dalston keys create"]);
    }
}

#[test]
fn an_address_in_use_says_what_to_do() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    Home::new().run(&["serve", "--engine", "loopback", "--bind", &address]).failed_with(&["is in use", "--bind"]);
}

#[test]
fn a_data_directory_that_cannot_be_used_is_named_by_its_key_before_a_port_is_bound() {
    let home = Home::new();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let mut serve = home.dalston(&["serve", "--engine", "loopback", "--bind", &address]);
    let ended = Ended::from(serve.env("DALSTON_DATA_DIR", "/proc/none").output().unwrap());
    ended.failed_with(&["DALSTON_DATA_DIR=/proc/none: ", "No such file"]);
    assert_eq!(ended.err.matches("No such file").count(), 1, "said twice: {}", ended.err);
    assert!(!ended.err.contains("in use"), "{}", ended.err);
}

#[test]
fn an_engine_that_is_not_there_is_told_before_a_port_is_bound() {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let home = Home::new();
    let mut serve = home.dalston(&["serve", "--bind", &address]);
    let ended = Ended::from(serve.env("DALSTON_POCKETSPHINX_LIBRARY", "/nonexistent.so").output().unwrap());
    ended.failed_with(&["DALSTON_POCKETSPHINX_LIBRARY", "/nonexistent.so"]);
    assert!(!ended.err.contains("in use"), "{}", ended.err);
}

#[test]
fn the_dump_says_where_each_value_was_found_and_no_secret() {
    let home = Home::new();
    let file = home.path("dalston.toml");
    fs::write(&file, "engine.name = \"loopback\"\n").unwrap();
    let mut serve = home.dalston(&["serve", "--config", &file, "--bind", "127.0.0.1:1", "--dump-config"]);
    let serve = serve.env("DALSTON_SERVER_SECRET", "canary-canary-canary-canary-canary").env("LOG_LEVEL", "warn");
    let dumped = Ended::from(serve.output().unwrap()).succeeded().out;
    assert!(dumped.contains("bind = \"127.0.0.1:1\"  # --bind\n"), "{dumped}");
    assert!(dumped.contains(&format!("engine.name = \"loopback\"  # {file}\n")), "{dumped}");
    assert!(dumped.contains("log.level = \"warn\"  # LOG_LEVEL\n"), "{dumped}");
    assert!(dumped.contains("# gateway.auth.server_secret = (hidden)"), "{dumped}");
    assert!(!dumped.contains("canary"), "{dumped}");
}

#[test]
fn a_password_in_an_address_is_not_repeated() {
    let ended = Home::new().run(&["stream", "x.wav", "--url", "http://user:canary@host:1"]);
    assert_eq!(ended.code, Some(2));
    assert!(ended.err.contains("@host:1") && !ended.err.contains("canary"), "{}", ended.err);
}

#[test]
fn every_shell_gets_its_completions() {
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = Home::new().run(&["completions", shell]).succeeded().out;
        assert!(script.contains("dalston") && script.contains("doctor"), "{shell}");
        assert!(!script.contains("engine-host"), "{shell} offers what is hidden");
    }
}

#[test]
fn output_cut_off_by_its_reader_is_no_error() {
    let home = Home::new();
    let mut child = home.dalston(&["completions", "bash"]).stdout(std::process::Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    assert!(child.wait().unwrap().success());
}
