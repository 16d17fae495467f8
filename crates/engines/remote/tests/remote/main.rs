//! The engine against a server that does what a test says.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod faults;
mod live;
mod support;

use std::time::Duration;

use dalston_engine_remote::Key;
use dalston_protocol::job::JobParameters;
use serde_json::json;

use support::{Context, Server, answer, one_word, process, transcript};

const LONG: Duration = Duration::from_secs(60);

#[tokio::test]
async fn a_request_says_all_that_the_job_asks_for() {
    let mut server = Server::answering(|_, _| async { transcript(&one_word()) }).await;
    let settings = dalston_engine_remote::Settings { key: Key::new("sk-secret"), ..server.settings() };
    let vocabulary = vec!["Dalston".to_owned(), "Kingsland Road".to_owned()];
    let parameters = JobParameters { language: "en-GB".into(), vocabulary, ..JobParameters::default() };
    let heard = process(settings, 3, parameters, Context::with_time(LONG)).await.unwrap();

    let asked = server.asked.recv().await.unwrap();
    assert_eq!(asked.path, "/v1/audio/transcriptions");
    let header = |name: &str| asked.headers.get(name).map(|value| value.to_str().unwrap().to_owned());
    assert_eq!(header("authorization").as_deref(), Some("Bearer sk-secret"));
    assert_eq!(header("x-request-id").as_deref(), Some("ticket-4711"));
    for (name, values) in [
        ("model", &["whisper-1"][..]),
        ("language", &["en"]),
        ("prompt", &["Dalston, Kingsland Road"]),
        ("response_format", &["verbose_json"]),
        ("timestamp_granularities[]", &["word", "segment"]),
    ] {
        assert_eq!(asked.field(name), values, "{name}");
    }
    assert!((asked.seconds() - 3.0).abs() < 1e-9);

    assert_eq!((heard.language.as_str(), heard.model.as_str()), ("en-GB", "remote/whisper-1"));
    assert_eq!((heard.segments[0].text.as_str(), heard.segments[0].words[0].end), ("go", 1.8));
}

#[tokio::test]
async fn a_long_file_goes_in_parts_and_its_times_are_those_of_the_whole() {
    let mut server = Server::answering(|_, _| async { transcript(&one_word()) }).await;
    let settings = dalston_engine_remote::Settings { longest: Duration::from_secs(22), ..server.settings() };
    let heard = process(settings, 60, JobParameters::default(), Context::with_time(LONG)).await.unwrap();
    let mut begins = Vec::new();
    let mut at = 0.0;
    while let Ok(asked) = server.asked.try_recv() {
        assert!(asked.seconds() <= 22.0 && asked.field("language").is_empty(), "{asked:?}");
        begins.push(at);
        at += asked.seconds();
    }
    assert!(begins.len() >= 3 && (at - 60.0).abs() < 1e-9, "{begins:?}");
    // Cuts are in pauses, the last half second of every five.
    assert!(begins.iter().skip(1).all(|begin| begin % 5.0 >= 4.5), "{begins:?}");
    let starts: Vec<f64> = heard.segments.iter().map(|segment| segment.words[0].start).collect();
    let expected: Vec<f64> = begins.iter().map(|begin| begin + 1.2).collect();
    assert!(starts.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-6), "{starts:?} {expected:?}");
    assert_eq!((heard.language.as_str(), starts.len()), ("en", expected.len()));
}

#[tokio::test]
async fn a_server_that_tells_no_times_is_asked_for_text_in_short_parts() {
    let mut server = Server::answering(|_, asked| async move {
        if asked.field("response_format") != ["json"] {
            let error =
                json!({ "message": "it is not compatible", "param": "response_format", "code": "unsupported_value" });
            return answer(400, &[], json!({ "error": error }).to_string());
        }
        assert!(asked.seconds() <= 30.0 && asked.field("timestamp_granularities[]").is_empty(), "{asked:?}");
        transcript(&json!({ "text": "go" }))
    })
    .await;
    let heard = process(server.settings(), 70, JobParameters::default(), Context::with_time(LONG)).await.unwrap();
    assert!(server.count() >= 4);
    assert!(heard.segments.len() >= 3 && heard.segments.iter().all(|segment| segment.words.is_empty()), "{heard:?}");
    assert!((heard.segments.last().unwrap().end - 70.0).abs() < 1e-6, "{heard:?}");
    assert_eq!(heard.language, "und");
}

#[tokio::test]
async fn a_translation_goes_to_its_own_path_and_is_english() {
    let mut server =
        Server::answering(|_, _| async { transcript(&json!({ "text": "go", "language": "german" })) }).await;
    let parameters = JobParameters { translate: true, language: "de".into(), ..JobParameters::default() };
    let heard = process(server.settings(), 3, parameters, Context::with_time(LONG)).await.unwrap();
    let asked = server.asked.recv().await.unwrap();
    assert_eq!((asked.path.as_str(), heard.language.as_str()), ("/v1/audio/translations", "en"));
    for absent in ["language", "timestamp_granularities[]"] {
        assert!(asked.field(absent).is_empty(), "{absent}");
    }
}
