//! OpenAI's own Python SDK against the server. The SDK comes from PyPI at the first run; where it cannot be had, the test
//! fails and says so.

use std::{path::Path, process::Command};

use dalston_tests::{
    Server,
    receiver::{Does, Heard, Receiver},
    server::binary,
    speech,
};
use serde_json::{Value, json};

/// What is behind a server that translates: no engine here does so without a model, so this one knows one sentence.
fn translates(request: &Heard) -> Does {
    if request.path != "/v1/audio/translations" || request.body.contains("name=\"language\"") {
        return Does::Answers(400, b"{}".to_vec());
    }
    let segment = json!({ "id": 0, "start": 0.5, "end": 2.0, "text": " Go forward ten metres." });
    let text = "Go forward ten metres.";
    let answer = json!({ "task": "translate", "language": "english", "text": text, "segments": [segment] });
    Does::Answers(200, answer.to_string().into_bytes())
}

#[test]
fn openais_sdk_gets_every_form_of_answer_and_errors_that_it_understands() {
    let server = Server::loopback().expect("an attempt at a task failed").start();
    let folder = binary().ancestors().nth(2).expect("it lies in target/<profile>").join("openai");
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("openai/run.sh");
    let url = format!("http://{}", server.address());
    let behind = Receiver::start(translates);
    let translator = Server::with_engine("remote")
        .env("DALSTON_REMOTE_URL", behind.url("/v1"))
        .env("DALSTON_REMOTE_TRANSLATES", "true")
        .start();
    let translator_url = format!("http://{}", translator.address());
    let run = Command::new(script)
        .arg(folder)
        .args([&url, speech::DEMO, &translator_url])
        .output()
        .expect("bash runs the script");
    assert!(run.status.success(), "{}\n{}", run.status, String::from_utf8_lossy(&run.stderr));
    let got: Value = serde_json::from_slice(&run.stdout).expect("the script prints JSON");

    let text = got["json"].as_str().expect("a text");
    assert!(text.split(' ').count() > 20, "{text}");
    assert_eq!(got["text"].as_str().map(str::trim_end), Some(text));
    assert!(got["srt"].as_str().is_some_and(|srt| srt.starts_with("1\n00:00:")), "{}", got["srt"]);
    assert!(got["vtt"].as_str().is_some_and(|vtt| vtt.starts_with("WEBVTT\n\n")), "{}", got["vtt"]);

    let verbose = &got["verbose"];
    assert_eq!((&verbose["type"], &verbose["text"]), (&"TranscriptionVerbose".into(), &text.into()));
    assert_eq!(verbose["language"], "en");
    assert!((verbose["duration"].as_f64().expect("a number") - 17.8).abs() < 0.01, "{verbose}");
    for list in ["words", "segments"] {
        let parts = verbose[list].as_array().expect("a list");
        let texts: Vec<&str> = parts.iter().filter_map(|part| part[0].as_str()).collect();
        assert_eq!(texts.join(" "), text);
        assert!(parts.iter().all(|part| part[1].as_f64() < part[2].as_f64()), "{list}: {parts:?}");
    }

    let translation = &got["translation"];
    let english = "Go forward ten metres.";
    assert_eq!((&translation["json"], &translation["text"]), (&english.into(), &format!("{english}\n").into()));
    assert_eq!(translation["srt"], format!("1\n00:00:00,500 --> 00:00:02,000\n{english}\n\n"));
    assert!(translation["vtt"].as_str().is_some_and(|vtt| vtt.starts_with("WEBVTT\n\n")), "{translation}");
    assert_eq!(translation["verbose"], json!(["TranslationVerbose", english, "en", 1]));

    for (what, kind, status, word) in [
        ("no_translator", "NotFoundError", 404, "translates"),
        ("not_audio", "BadRequestError", 400, "WAV"),
        ("bad_format", "BadRequestError", 400, "verbose_json"),
        ("bad_model", "NotFoundError", 404, "no-such-model"),
    ] {
        let error = &got[what];
        assert_eq!((&error["type"], &error["status"]), (&kind.into(), &status.into()), "{what}: {error}");
        assert!(error["message"].as_str().is_some_and(|message| message.contains(word)), "{what}: {error}");
        assert!(error["code"].is_string() && error["request_id"].is_string(), "{what}: {error}");
    }
}
