//! `dalston models`, and engines that need one.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on should stop there")]

mod support;

use serde_json::Value;
use support::Home;

#[test]
fn known_models_are_listed_with_what_they_must_be() {
    let ended = Home::new().run(&["models", "list", "--output", "json"]).succeeded();
    let models: Vec<Value> = serde_json::from_str(&ended.out).unwrap();
    let base = models.iter().find(|model| model["id"] == "whisper/base.en").unwrap();
    assert_eq!(base["installed"], false);
    assert_eq!(base["files"][0]["checksum"], "sha1:137c40403d78fd54d454da0f9bd998f78703390c");
    assert!(base["path"].as_str().unwrap().ends_with("/models/whisper/ggml-base.en.bin"));
}

#[test]
fn a_model_that_is_not_here_is_said_with_the_command_that_gets_it() {
    let ended = Home::new().run(&["models", "path", "base.en"]);
    assert_eq!((ended.code, ended.out.as_str()), (Some(1), ""));
    assert!(ended.err.contains("dalston models pull whisper/base.en"), "{}", ended.err);
    let ended = Home::new().run(&["models", "path", "whisper/bas.en"]);
    assert!(ended.err.contains("did you mean whisper/base.en?"), "{}", ended.err);
}

#[test]
fn a_file_that_is_not_the_model_is_not_installed() {
    let home = Home::new();
    let mirror = home.path("mirror");
    std::fs::create_dir(&mirror).unwrap();
    std::fs::write(format!("{mirror}/ggml-tiny.en.bin"), "not a model").unwrap();
    let ended = home.run(&["models", "pull", "tiny.en", "--from", &mirror]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.err.contains("sha1:c78c86eb1a8faa21b369bcd33207cc90d64ae9df"), "{}", ended.err);
    assert_eq!(home.run(&["models", "path", "tiny.en"]).code, Some(1));
}

#[test]
fn an_engine_that_is_not_built_in_says_how_to_build_it_and_one_that_is_how_to_get_a_model() {
    for (engine, is_built_in) in [("whisper", cfg!(feature = "whisper")), ("sherpa", cfg!(feature = "sherpa"))] {
        let home = Home::new();
        let ended = home.run(&["serve", "--bind", "127.0.0.1:0", "--engine", engine]);
        assert_eq!(ended.code, Some(1));
        let fix = if is_built_in { "models pull" } else { "`make engines`" };
        assert!(ended.err.contains(fix), "{}", ended.err);
        let ended = home.run(&["doctor", "--bind", "127.0.0.1:0", "--engine", engine]);
        assert!(ended.out.contains(fix), "{}", ended.out);
    }
}
