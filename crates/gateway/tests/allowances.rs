//! How much a key may have of jobs and uploads at once. Sessions and requests a second: `access.rs`.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod support;

use dalston_protocol::key::{KeyLimits, NewKey, Scope};
use support::{
    config,
    jobs::{BatchServer, Form, JOBS, heard},
    keys::{Keys, wanted},
    wire::Answer,
};
use tokio::{io::AsyncWriteExt, task::JoinSet};

async fn limited(limits: KeyLimits) -> (BatchServer, String, String) {
    let keys = Keys::new().await;
    let key = keys.make(NewKey { limits, ..wanted(&[Scope::Batch]) }).await;
    let other = keys.with(&[Scope::Batch]).await;
    let header = |key: &str| format!("xi-api-key: {key}\r\n");
    let headers = (header(key.expose()), header(&other));
    (BatchServer::with_keys(config(""), &keys).await, headers.0, headers.1)
}

fn refused(answer: &Answer, limit: &str) {
    assert_eq!((answer.status, &*answer.code()), (429, "rate_limited"), "{answer:?}");
    assert!(answer.header("retry-after").is_some() && answer.body.contains(limit), "{answer:?}");
}

#[tokio::test]
async fn a_key_has_no_more_open_jobs_than_its_limit_and_room_again_when_one_has_ended() {
    let (server, key, other) = limited(KeyLimits { max_jobs: Some(1), ..KeyLimits::default() }).await;
    let post = async |header: &str| server.post_to(JOBS, &Form::of(b"audio"), header).await;
    let first = post(&key).await;
    assert_eq!(first.status, 201, "{first:?}");
    refused(&post(&key).await, "max_jobs");
    assert_eq!(post(&other).await.status, 201);

    let id = first.json()["id"].as_str().unwrap().parse().unwrap();
    let task = server.worker.begin(&id).await;
    server.worker.fail(&task, "unsupported_audio", "no").await;
    assert_eq!(post(&key).await.status, 201);
    // Another try is an open job like any other.
    refused(&server.server.send(&format!("POST {JOBS}/{id}/retry"), &key, b"").await, "max_jobs");
}

#[tokio::test]
async fn of_many_uploads_at_once_no_more_become_jobs_than_may() {
    const MOST: usize = 3;
    let (server, key, _) = limited(KeyLimits { max_jobs: Some(MOST as u32), ..KeyLimits::default() }).await;
    let server = std::sync::Arc::new(server);
    let mut posting = JoinSet::new();
    for _ in 0..20 {
        let (server, key) = (server.clone(), key.clone());
        posting.spawn(async move { server.post_to(JOBS, &Form::of(b"audio"), &key).await.status });
    }
    let statuses = posting.join_all().await;
    let accepted = statuses.iter().filter(|status| **status == 201).count();
    assert!((1..=MOST).contains(&accepted), "{statuses:?}");
    assert!(statuses.iter().all(|status| [201, 429].contains(status)), "{statuses:?}");
    while server.post_to(JOBS, &Form::of(b"audio"), &key).await.status == 201 {}
    let list = server.http(&format!("GET {JOBS}\r\n{key}")).await.json();
    assert_eq!(list["items"].as_array().unwrap().len(), MOST, "refused uploads keep no place");
}

#[tokio::test]
async fn a_key_has_no_more_uploads_under_way_than_its_limit() {
    let (server, key, other) = limited(KeyLimits { max_uploads: Some(1), ..KeyLimits::default() }).await;
    let form = Form::of(b"audio");
    let body = form.body();
    let mut slow = server.request(&format!("POST {JOBS}"), &form.content_type(), body.len(), &key).await;
    slow.write_all(&body[..body.len() / 2]).await.unwrap();
    let refusal = loop {
        // Until the first one has been seen to begin, this one may be quicker.
        let answer = server.post_to(JOBS, &form, &key).await;
        if answer.status != 201 {
            break answer;
        }
    };
    refused(&refusal, "max_uploads");
    assert_eq!(server.post_to(JOBS, &form, &other).await.status, 201);
    slow.write_all(&body[body.len() / 2..]).await.unwrap();
    let answer = Answer::read(&mut slow).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    server.worker.complete(&answer.json()["id"].as_str().unwrap().parse().unwrap(), &heard()).await;
    assert_eq!(server.post_to(JOBS, &form, &key).await.status, 201);
}

#[tokio::test]
async fn a_replayed_key_gives_its_job_even_at_the_limit_of_jobs() {
    let (server, key, _) = limited(KeyLimits { max_jobs: Some(1), ..KeyLimits::default() }).await;
    let post = async |key: &str, name: &str| {
        server.post_to(JOBS, &Form::of(b"audio"), &format!("{key}Idempotency-Key: {name}\r\n")).await
    };
    let first = post(&key, "ZZ").await;
    assert_eq!(first.status, 201, "{first:?}");
    let again = post(&key, "ZZ").await;
    assert_eq!((again.status, &again.json()["id"]), (200, &first.json()["id"]), "{again:?}");
    refused(&post(&key, "YY").await, "max_jobs");
}

#[tokio::test]
async fn one_caller_leaves_places_for_the_uploads_of_others() {
    let keys = Keys::new().await;
    let header = async || format!("xi-api-key: {}\r\n", keys.with(&[Scope::Batch]).await);
    let (greedy, other) = (header().await, header().await);
    // 64 places by default.
    let server = BatchServer::with_keys(config(""), &keys).await;
    let form = Form::of(b"audio");
    let body = form.body();
    let mut held = Vec::new();
    for _ in 0..32 {
        let mut slow = server.request(&format!("POST {JOBS}"), &form.content_type(), body.len(), &greedy).await;
        slow.write_all(&body[..body.len() / 2]).await.unwrap();
        held.push(slow);
    }
    let refusal = loop {
        // Until all have been seen to begin, this one may be quicker.
        let answer = server.post_to(JOBS, &form, &greedy).await;
        if answer.status != 201 {
            break answer;
        }
    };
    refused(&refusal, "share");
    assert_eq!(server.post_to(JOBS, &form, &other).await.status, 201);
}
