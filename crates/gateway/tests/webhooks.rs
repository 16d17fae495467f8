//! Webhooks over HTTP: made, listed, given another secret, deleted; and what their receivers are told.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod support;

use std::time::Duration;

use dalston_protocol::key::Scope;
use support::{
    config,
    jobs::{BatchServer, Form, heard},
    keys::Keys,
    wire::Answer,
};
use tokio::io::AsyncWriteExt;

const WEBHOOKS: &str = "/v1/webhooks";
const HOOK: &str = r#"{"url": "https://example.org/hook"}"#;

async fn post(server: &BatchServer, body: &str) -> Answer {
    server.send(&format!("POST {WEBHOOKS}"), "application/json", body.as_bytes()).await
}

#[tokio::test]
async fn a_webhook_is_made_listed_and_deleted_and_its_secret_told_once() {
    let server = BatchServer::start().await;
    let answer = post(&server, HOOK).await;
    assert_eq!(answer.status, 201, "{answer:?}");
    let made = answer.json();
    let (id, secret) = (made["id"].as_str().unwrap(), made["secret"].as_str().unwrap());
    assert!(id.starts_with("whk_"));
    // 32 bytes in base64.
    assert_eq!((secret.starts_with("whsec_"), secret.len()), (true, 50), "{secret}");
    assert_eq!(made["events"], serde_json::json!(["job.completed", "job.failed", "job.cancelled"]));

    let listed = server.http(&format!("GET {WEBHOOKS}")).await;
    assert_eq!((&listed.json()["items"][0]["id"], listed.body.contains("whsec_")), (&id.into(), false));
    assert_eq!(server.http(&format!("DELETE {WEBHOOKS}/{id}")).await.status, 204);
    assert_eq!(server.http(&format!("DELETE {WEBHOOKS}/{id}")).await.status, 404);
    assert_eq!(server.http(&format!("GET {WEBHOOKS}")).await.json()["items"].as_array().unwrap().len(), 0);
}

#[tokio::test]
async fn a_wrong_webhook_is_refused_by_name() {
    let server = BatchServer::start().await;
    let check = async |body: &str, param: Option<&str>, told: &str| {
        let answer = post(&server, body).await;
        let error = &answer.json()["error"];
        assert_eq!((answer.status, error["param"].as_str()), (400, param), "{body}: {answer:?}");
        assert!(error["message"].as_str().unwrap().contains(told), "{body}: {error}");
        assert!(!answer.body.contains("hunter2"), "{answer:?}");
    };
    let url = |url: &str| format!(r#"{{"url": "{url}?token=hunter2"}}"#);
    for inward in
        ["http://127.0.0.2/", "http://0x7f.2/", "http://[::1]/", "http://169.254.169.254/", "http://10.0.0.1/"]
    {
        check(&url(inward), Some("url"), "has a host without a public address").await;
    }
    check(&url("file:///etc/passwd"), Some("url"), "must begin with https:// or http://").await;
    check(&url("https://user:hunter2@example.org/"), Some("url"), "user name or password").await;
    check(&url("hook"), Some("url"), "is not one").await;
    check(&url(&format!("https://example.org/{}", "a".repeat(2048))), Some("url"), "longer than").await;
    check(r#"{"url": "https://example.org/", "events": []}"#, Some("events"), "empty").await;
    check(r#"{"url": "https://example.org/", "events": ["job.began"]}"#, None, "job.completed").await;
    check(r#"{"url": "https://example.org/", "secret": "mine"}"#, None, "unknown field").await;
    check("{}", None, "missing field `url`").await;
    check("", None, "must be JSON").await;
    assert_eq!(server.http(&format!("DELETE {WEBHOOKS}/job_1")).await.status, 400);
}

#[tokio::test]
async fn there_are_only_so_many() {
    let server = BatchServer::start().await;
    for _ in 0..16 {
        assert_eq!(post(&server, HOOK).await.status, 201);
    }
    let refused = post(&server, HOOK).await;
    assert_eq!(refused.status, 409, "{refused:?}");
    assert!(refused.body.contains("16 webhooks"));
}

#[tokio::test]
async fn a_tenant_does_not_see_anothers_webhooks() {
    let keys = Keys::new().await;
    let [mine, other] = [keys.with(&[Scope::Batch]).await, keys.with(&[Scope::Batch]).await]
        .map(|key| format!("Authorization: Bearer {key}"));
    let server = BatchServer::with_keys(config(""), &keys).await;
    let request = format!("POST {WEBHOOKS}");
    let mut stream = server.request(&request, "application/json", HOOK.len(), &format!("{mine}\r\n")).await;
    stream.write_all(HOOK.as_bytes()).await.unwrap();
    let made = Answer::read(&mut stream).await;
    let id = made.json()["id"].as_str().unwrap().to_owned();
    let listed = async |key: &str| server.http(&format!("GET {WEBHOOKS}\r\n{key}")).await.json()["items"].clone();
    assert_eq!(listed(&mine).await.as_array().unwrap().len(), 1);
    assert_eq!(listed(&other).await.as_array().unwrap().len(), 0);
    assert_eq!(server.http(&format!("DELETE {WEBHOOKS}/{id}\r\n{other}")).await.status, 404);
    assert_eq!(server.http(&format!("DELETE {WEBHOOKS}/{id}\r\n{mine}")).await.status, 204);
    assert_eq!(server.http(&format!("GET {WEBHOOKS}")).await.status, 401);
}

#[tokio::test]
async fn a_jobs_end_is_left_for_its_webhooks_with_both_secrets_after_a_rotation() {
    let server = BatchServer::start().await;
    let made = post(&server, HOOK).await.json();
    let rotate = format!("POST {WEBHOOKS}/{}/rotate", made["id"].as_str().unwrap());
    let rotated = server.send(&rotate, "application/json", b"").await.json();
    assert_ne!(rotated["secret"], made["secret"]);
    let id = server.accepted(&Form::of(b"audio")).await;
    let due = async || server.worker.store.due_deliveries(Duration::from_secs(60), 10, &[]).await.unwrap();
    assert!(due().await.is_empty());
    server.worker.complete(&id, &heard()).await;
    let due = due().await.remove(0);
    assert_eq!((due.job, due.url.as_str()), (id, "https://example.org/hook"));
    assert_eq!(
        due.secrets.iter().map(|secret| secret.reveal()).collect::<Vec<_>>(),
        [&rotated["secret"], &made["secret"]]
    );
    assert!(!due.body.contains("ten meters"), "no word of what was said");
}
