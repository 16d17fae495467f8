//! What clients may send to make a job, and what becomes of everything else.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod support;

use std::time::Duration;

use dalston_gateway::JobSettings;
use dalston_telemetry::Tracers;
use support::{
    LONG, config,
    jobs::{BOUNDARY, BatchServer, Form, JOBS},
    wire::Answer,
};
use tokio::{io::AsyncWriteExt, time::timeout};

async fn limited(settings: JobSettings) -> BatchServer {
    BatchServer::with(config(""), settings, Tracers::off()).await
}

#[tokio::test]
async fn fields_may_come_before_and_after_the_file() {
    let server = BatchServer::start().await;
    let before = Form::default().field("name", "a").field("language", "en").file("talk.wav", b"audio");
    let after = Form::of(b"audio").field("name", "a").field("language", "en");
    for form in [before, after] {
        let id = server.accepted(&form).await;
        let (job, _) = server.worker.job(&id).await;
        assert_eq!((job.name.as_deref(), &*job.parameters.language), (Some("a"), "en"));
        assert_eq!((job.source.bytes, job.source.file_name.as_deref()), (5, Some("talk.wav")));
    }
}

#[tokio::test]
async fn a_wrong_form_is_refused_by_name_and_leaves_nothing_behind() {
    let server = BatchServer::start().await;
    let check = async |form: Form, param: &str, told: &str| {
        let answer = server.post(&form).await;
        let error = &answer.json()["error"];
        assert_eq!((answer.status / 100, &error["param"]), (4, &param.into()), "{answer:?}");
        assert!(error["message"].as_str().unwrap().contains(told), "{error}");
    };
    check(Form::default().field("language", "en"), "file", "no file").await;
    check(Form::of(b""), "file", "empty").await;
    check(Form::of(b"a").file("b.wav", b"b"), "file", "twice").await;
    check(Form::of(b"a").field("speed", "2"), "speed", "there is no field speed").await;
    check(Form::of(b"a").field("retention", "1e999"), "retention", "-1 to 3650").await;
    check(Form::of(b"a").field("language", "en").field("language", "en"), "language", "twice").await;
    check(Form::of(b"a").field("model", "whisper/large"), "model", "scripted").await;
    check(Form::of(b"a").field("language", "de"), "language", "recognises de").await;
    check(Form::of(b"a").field("name", &"x".repeat(40_000)), "name", "more than 32768 bytes").await;
    server.nothing_stays().await;
    assert_eq!(server.http(&format!("GET {JOBS}")).await.json()["items"].as_array().unwrap().len(), 0);
}

#[tokio::test]
async fn a_body_that_is_no_form_is_refused() {
    let server = BatchServer::start().await;
    let check = async |kind: &str, body: &[u8], status: u16, told: &str| {
        let answer = server.send(&format!("POST {JOBS}"), kind, body).await;
        assert_eq!(answer.status, status, "{answer:?}");
        assert!(answer.body.contains(told), "{answer:?}");
    };
    let form = format!("multipart/form-data; boundary={BOUNDARY}");
    check("application/json", b"{}", 415, "multipart/form-data").await;
    check("multipart/form-data", b"", 415, "boundary").await;
    check(&form, b"", 400, "closing boundary").await;
    check(&form, b"not a form at all", 400, "form").await;
    let whole = Form::of(b"audio").body();
    check(&form, &whole[..whole.len() - 10], 400, "closing boundary").await;
    let nameless = format!("--{BOUNDARY}\r\nContent-Disposition: form-data\r\n\r\nx\r\n--{BOUNDARY}--\r\n");
    check(&form, nameless.as_bytes(), 400, "no name").await;
    let long_head = format!("--{BOUNDARY}\r\nX-Long: {}", "x".repeat(1 << 20));
    check(&form, long_head.as_bytes(), 400, "head of more than").await;
    server.nothing_stays().await;
}

#[tokio::test]
async fn ten_thousand_parts_are_not_read() {
    let server = BatchServer::start().await;
    let mut form = Form::of(b"audio").field("response_format", "verbose_json");
    for _ in 0..10_000 {
        form = form.field("timestamp_granularities[]", "word");
    }
    let answer = server.post(&form).await;
    assert_eq!(answer.status, 400, "{answer:?}");
    assert!(answer.body.contains("more than 64 parts"), "{answer:?}");
}

#[tokio::test]
async fn a_file_beyond_the_limit_is_refused_whether_it_says_so_or_not() {
    let server = limited(JobSettings { max_upload: 100_000, ..JobSettings::default() }).await;
    let answer = server.post(&Form::of(&vec![0; 100_001])).await;
    assert_eq!((answer.status, &*answer.code()), (413, "too_large"));
    let answer = server.post(&Form::of(&vec![0; 5_000_000])).await;
    assert_eq!((answer.status, &*answer.code()), (413, "too_large"));
    server.nothing_stays().await;
    server.accepted(&Form::of(&vec![0; 100_000])).await;
}

#[tokio::test]
async fn a_client_that_stops_sending_is_let_go() {
    let server = limited(JobSettings { read_timeout: Duration::from_millis(200), ..JobSettings::default() }).await;
    let form = Form::of(&[0; 1000]);
    let mut stream = server.request(&format!("POST {JOBS}"), &form.content_type(), 10_000, "").await;
    stream.write_all(&form.body()[..500]).await.unwrap();
    let answer = timeout(LONG, Answer::read(&mut stream)).await.unwrap();
    assert_eq!((answer.status, &*answer.code()), (408, "client_idle"));
    server.nothing_stays().await;
}

#[tokio::test]
async fn an_upload_that_breaks_off_leaves_nothing_behind() {
    let server = BatchServer::start().await;
    let form = Form::of(&vec![0; 500_000]);
    let body = form.body();
    let mut stream = server.request(&format!("POST {JOBS}"), &form.content_type(), body.len(), "").await;
    stream.write_all(&body[..300_000]).await.unwrap();
    drop(stream);
    server.nothing_stays().await;
    assert_eq!(server.http(&format!("GET {JOBS}")).await.json()["items"].as_array().unwrap().len(), 0);
}

#[tokio::test]
async fn more_uploads_than_allowed_are_told_to_come_again() {
    let server = limited(JobSettings { max_uploads: 1, ..JobSettings::default() }).await;
    let form = Form::of(&[0; 1000]);
    let mut first = server.request(&format!("POST {JOBS}"), &form.content_type(), form.body().len(), "").await;
    first.write_all(&form.body()[..500]).await.unwrap();
    let refused = async {
        loop {
            // The first one holds the place once its head is read.
            let answer = server.post(&form).await;
            if answer.status == 503 {
                return answer;
            }
        }
    };
    let answer = timeout(LONG, refused).await.unwrap();
    assert_eq!((&*answer.code(), answer.header("retry-after")), ("no_capacity", Some("1")));
    first.write_all(&form.body()[500..]).await.unwrap();
    assert_eq!(Answer::read(&mut first).await.status, 201);
}

#[tokio::test]
async fn the_same_idempotency_key_gives_the_same_job() {
    let server = BatchServer::start().await;
    let post = async |form: &Form, key: &str| server.post_to(JOBS, form, &format!("Idempotency-Key: {key}\r\n")).await;
    let form = Form::of(b"audio").field("language", "en");
    let first = post(&form, "a-1").await;
    assert_eq!((first.status, first.header("idempotency-replayed")), (201, None));
    let second = post(&Form::default().field("language", "en").file("talk.wav", b"audio"), "a-1").await;
    assert_eq!((second.status, second.header("idempotency-replayed")), (200, Some("true")));
    assert_eq!(first.json()["id"], second.json()["id"]);
    assert_eq!(server.stored_files().len(), 1, "the second upload is not kept");

    for other in [Form::of(b"other audio").field("language", "en"), form.clone().field("name", "b")] {
        let answer = post(&other, "a-1").await;
        assert_eq!((answer.status, &*answer.code()), (409, "idempotency_conflict"));
    }
    assert_ne!(post(&form, "a-2").await.json()["id"], first.json()["id"]);
    assert_eq!(post(&form, &"k".repeat(256)).await.status, 400);
    assert_eq!(post(&form, "").await.status, 400);
}

#[tokio::test]
async fn two_idempotency_keys_are_none() {
    let server = BatchServer::start().await;
    let answer = server.post_to(JOBS, &Form::of(b"a"), "Idempotency-Key: a\r\nIdempotency-Key: b\r\n").await;
    assert_eq!((answer.status, &answer.json()["error"]["param"]), (400, &"Idempotency-Key".into()), "{answer:?}");
    server.nothing_stays().await;
}

#[tokio::test]
async fn an_encoded_body_is_refused_by_name() {
    let server = BatchServer::start().await;
    let answer = server.post_to(JOBS, &Form::of(b"a"), "Content-Encoding: gzip\r\n").await;
    assert_eq!((answer.status, answer.body.contains("Content-Encoding")), (415, true), "{answer:?}");
    let plain = server.post_to(JOBS, &Form::of(b"a"), "Content-Encoding: identity\r\n").await;
    assert_eq!(plain.status, 201, "{plain:?}");
}

#[tokio::test]
async fn an_upload_whose_job_may_exist_is_left_to_the_sweep() {
    let server = BatchServer::start().await;
    // From here on nobody can say whether a job was made.
    server.worker.store.close().await;
    let answer = server.post(&Form::of(b"audio")).await;
    assert_eq!(answer.status, 503, "{answer:?}");
    assert_eq!(server.stored_files().len(), 1, "{:?}", server.stored_files());
}
