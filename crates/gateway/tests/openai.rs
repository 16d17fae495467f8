//! What OpenAI's clients send and what they read back.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod support;

use std::{sync::Arc, time::Duration};

use dalston_gateway::JobSettings;
use dalston_protocol::job::JobStatus;
use dalston_telemetry::Tracers;
use support::{
    LONG, config,
    jobs::{BatchServer, Form, JOBS, heard},
    wire::Answer,
};
use tokio::{io::AsyncWriteExt, time::timeout};

async fn start(max_wait: Duration) -> Arc<BatchServer> {
    let settings = JobSettings { max_wait, ..JobSettings::default() };
    Arc::new(BatchServer::with(config(""), settings, Tracers::off()).await)
}

/// Posts and does the work.
async fn answered(form: Form) -> Answer {
    let server = start(LONG).await;
    let posting = tokio::spawn({
        let server = server.clone();
        async move { server.post(&form).await }
    });
    let id = server.worker.next_job("anonymous").await;
    server.worker.complete(&id, &heard()).await;
    posting.await.unwrap()
}

fn whisper() -> Form {
    Form::of(b"audio").field("model", "whisper-1")
}

#[tokio::test]
async fn every_response_format_has_its_shape() {
    let json = answered(whisper()).await;
    assert_eq!((json.status, &json.json()["text"]), (200, &"go forward ten meters".into()));
    assert_eq!(json.json()["usage"]["seconds"], 2);
    let text = answered(whisper().field("response_format", "text")).await;
    assert_eq!(
        (&*text.body, text.header("content-type")),
        ("go forward ten meters\n", Some("text/plain; charset=utf-8"))
    );
    let srt = answered(Form::of(b"a").field("response_format", "srt")).await;
    assert!(srt.body.starts_with("1\n00:00:00,000 --> 00:00:01,000\n"), "{srt:?}");
    let vtt = answered(whisper().field("response_format", "vtt")).await;
    assert!(vtt.body.starts_with("WEBVTT\n\n"), "{vtt:?}");
}

#[tokio::test]
async fn verbose_json_has_what_its_granularities_ask_for() {
    let check = async |granularities: &[&str], words: bool, segments: bool| {
        let mut form = whisper().field("response_format", "verbose_json").field("temperature", "0.2");
        for granularity in granularities {
            form = form.field("timestamp_granularities[]", granularity);
        }
        let answer = answered(form).await.json();
        assert_eq!(
            (&answer["task"], &answer["language"], answer["duration"].as_f64()),
            (&"transcribe".into(), &"en".into(), Some(2.0))
        );
        assert_eq!((answer.get("words").is_some(), answer.get("segments").is_some()), (words, segments));
        answer
    };
    let answer = check(&[], false, true).await;
    assert_eq!((&answer["segments"][1]["id"], &answer["segments"][1]["text"]), (&1.into(), &"ten meters".into()));
    assert!(answer["segments"][0]["avg_logprob"].as_f64().unwrap() < 0.0);
    let answer = check(&["word"], true, false).await;
    assert_eq!(answer["words"][3]["word"], "meters");
    check(&["word", "segment"], true, true).await;
}

#[tokio::test]
async fn errors_have_openais_shape() {
    let server = start(Duration::from_millis(50)).await;
    let check = async |form: Form, status: u16, kind: &str, code: &str, param: Option<&str>| {
        let answer = server.post(&form).await;
        assert_eq!(answer.status, status, "{answer:?}");
        let error = &answer.json()["error"];
        assert_eq!(
            (&error["type"], &error["code"], error["param"].as_str()),
            (&kind.into(), &code.into(), param),
            "{error}"
        );
        assert!(error["message"].is_string());
    };
    check(whisper().field("temperature", "7"), 400, "invalid_request_error", "invalid_parameter", Some("temperature"))
        .await;
    check(whisper().field("stream", "true"), 400, "invalid_request_error", "invalid_parameter", Some("stream")).await;
    check(Form::default().field("model", "whisper-1"), 400, "invalid_request_error", "invalid_parameter", Some("file"))
        .await;
    check(whisper().field("language", "de"), 404, "invalid_request_error", "language_not_supported", Some("language"))
        .await;
    check(whisper(), 504, "server_error", "timeout", None).await;
}

#[tokio::test]
async fn a_job_that_fails_is_an_error_of_the_caller_or_of_the_server() {
    let server = start(LONG).await;
    for (code, status, kind) in
        [("unsupported_audio", 400, "invalid_request_error"), ("engine_failed", 500, "server_error")]
    {
        let posting = tokio::spawn({
            let server = server.clone();
            async move { server.post(&whisper()).await }
        });
        let id = server.worker.next_job("anonymous").await;
        let task = server.worker.begin(&id).await;
        server.worker.fail(&task, code, "it says why").await;
        let answer = posting.await.unwrap();
        let error = &answer.json()["error"];
        assert_eq!((answer.status, &error["code"], &error["type"]), (status, &code.into(), &kind.into()));
        assert!(
            error["message"].as_str().unwrap().contains("it says why") && error["request_id"].is_string(),
            "{error}"
        );
    }
}

#[tokio::test]
async fn a_translation_that_no_engine_makes_is_refused_before_anything_is_kept() {
    let server = start(LONG).await;
    for form in [Form::of(b"audio"), whisper(), Form::of(b"audio").field("model", "scripted")] {
        let answer = server.post_to("/v1/audio/translations", &form, "").await;
        let error = &answer.json()["error"];
        assert_eq!((answer.status, &error["code"], &error["param"]), (404, &"model_not_found".into(), &"model".into()));
        assert!(error["message"].as_str().unwrap().contains("translates"), "{error}");
    }
    server.nothing_stays().await;
}

#[tokio::test]
async fn the_job_of_a_client_that_has_gone_is_cancelled() {
    let server = start(LONG).await;
    let form = whisper();
    let mut stream = server.request(&format!("POST {JOBS}"), &form.content_type(), form.body().len(), "").await;
    stream.write_all(&form.body()).await.unwrap();
    let id = server.worker.next_job("anonymous").await;
    drop(stream);
    let cancelled = async {
        while server.worker.job(&id).await.0.status != JobStatus::Cancelled {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(LONG, cancelled).await.expect("it goes on");
}

#[tokio::test]
async fn a_job_with_an_idempotency_key_outlives_the_client_that_made_it() {
    const KEY: &str = "Idempotency-Key: K3\r\n";
    let server = start(LONG).await;
    let form = whisper();
    let mut first = server.request(&format!("POST {JOBS}"), &form.content_type(), form.body().len(), KEY).await;
    first.write_all(&form.body()).await.unwrap();
    let id = server.worker.next_job("anonymous").await;
    drop(first);
    let noticed = async {
        while server.server.metrics.connections_open.get() > 0 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(LONG, noticed).await.expect("nobody notices that it has gone");
    let second = tokio::spawn({
        let (server, form) = (server.clone(), form.clone());
        async move { server.post_to(JOBS, &form, KEY).await }
    });
    server.worker.complete(&id, &heard()).await;
    for answer in [second.await.unwrap(), server.post_to(JOBS, &form, KEY).await] {
        assert_eq!((answer.status, &answer.json()["text"]), (200, &"go forward ten meters".into()), "{answer:?}");
    }
}

#[tokio::test]
async fn a_job_that_was_cancelled_by_hand_is_the_callers_error() {
    let server = start(LONG).await;
    let posting = tokio::spawn({
        let server = server.clone();
        async move { server.post(&whisper()).await }
    });
    let id = server.worker.next_job("anonymous").await;
    assert_eq!(server.http(&format!("POST {JOBS}/{id}/cancel")).await.status, 200);
    let answer = posting.await.unwrap();
    assert_eq!((answer.status, &answer.json()["error"]["code"]), (400, &"cancelled".into()), "{answer:?}");
}

#[tokio::test]
async fn openais_sdk_is_answered_in_openais_way_whatever_the_model_is_called() {
    for sdk in
        ["User-Agent: OpenAI/Python 2.8.0\r\n", "User-Agent: AsyncOpenAI/Python 2.8.0\r\n", "X-Stainless-Lang: js\r\n"]
    {
        let server = start(LONG).await;
        let form = Form::of(b"audio").field("model", "scripted").field("chunking_strategy", "auto");
        let posting = tokio::spawn({
            let server = server.clone();
            async move { server.post_to(JOBS, &form, sdk).await }
        });
        let id = server.worker.next_job("anonymous").await;
        server.worker.complete(&id, &heard()).await;
        let answer = posting.await.unwrap();
        assert_eq!((answer.status, &answer.json()["text"]), (200, &"go forward ten meters".into()), "{answer:?}");
        let refused = server.post_to(JOBS, &whisper().field("include[]", "logprobs"), sdk).await;
        assert_eq!((refused.status, &refused.json()["error"]["param"]), (400, &"include[]".into()), "{refused:?}");
    }
}

#[tokio::test]
async fn one_model_is_read_as_openais_sdk_reads_it() {
    let server = start(LONG).await;
    for id in ["scripted", "whisper-1"] {
        let model = server.http(&format!("GET /v1/models/{id}")).await.json();
        assert_eq!((&model["id"], &model["object"], model["created"].is_u64()), (&id.into(), &"model".into(), true));
    }
    let listed = server.http("GET /v1/models").await.json();
    assert!(listed["data"].as_array().unwrap().iter().all(|model| model["created"].is_u64()), "{listed}");
    let unknown = server.http("GET /v1/models/nobody").await;
    assert_eq!((unknown.status, &*unknown.code()), (404, "model_not_found"));
}
