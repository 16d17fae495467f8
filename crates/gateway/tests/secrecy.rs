//! A canary in every place where a secret or a spoken word can be, and then every log line read (TL3).

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod support;

use std::{
    io,
    sync::{Arc, Mutex},
};

use dalston_gateway::GatewayConfig;
use dalston_protocol::key::Scope;
use support::{
    Server,
    keys::{Keys, wanted},
    partial, transcript,
};
use tracing_subscriber::fmt::{MakeWriter, format::FmtSpan};

#[derive(Clone, Default)]
struct Lines(Arc<Mutex<Vec<u8>>>);

impl io::Write for Lines {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[tokio::test]
async fn no_key_no_token_no_query_and_no_word_is_logged() {
    let lines = Lines::default();
    let everything = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::TRACE)
        .with_span_events(FmtSpan::FULL)
        .with_writer(lines.clone())
        .with_ansi(false);
    tracing::subscriber::set_global_default(everything.finish()).unwrap();

    let keys = Keys::new().await;
    let key = keys.make(wanted(&[Scope::Realtime, Scope::Read, Scope::Admin])).await;
    let canary_secret = keys.secret.expose().to_owned();
    let config = GatewayConfig::default();
    let kept = keys.store.list().await.unwrap();
    let debugged = format!("{config:?} {key:?} {:?} {kept:?} {:?}", key.record(), keys.secret);
    let mut server = Server::with_keys(config, &keys).await;

    let header = format!("xi-api-key: {}", key.expose());
    let issued = server.http(&format!("POST /auth/tokens?canary-query=1\r\n{header}")).await.json();
    let token = issued["token"].as_str().unwrap().to_owned();
    server.http(&format!("GET /v1/realtime/status?canary-query=1\r\n{header}")).await;
    server.http("GET /canary-path?canary-query=1\r\nAuthorization: Bearer canary-key").await;
    server.http("GET /v1/traces/canary-path\r\nAuthorization: Basic canary-key").await;
    server.connect("?api_key=canary-key&canary-query=1").await.refusal().await;
    server.connect("?token=canary-key").await.refusal().await;
    server.connect(&format!("?api_key={}&language=canary-query", key.expose())).await.refusal().await;

    let made = server.send("POST /auth/keys", &header, br#"{"name": "canary", "scopes": ["read"]}"#).await.json();
    let made = made["key"].as_str().unwrap().splitn(3, '_').nth(2).unwrap().to_owned();
    let listed = server.http(&format!("GET /auth/keys\r\n{header}")).await.body;

    let mut client = server.connect(&format!("?token={token}&vocabulary=%5B%22canary-word%22%5D&canary-query=1")).await;
    let mut session = server.session().await;
    client.audio(*b"canary-audio").await;
    client.text(r#"{"type":"flush","id":"canary-word"}"#).await;
    session.next().await;
    session.next().await;
    session.send(partial(1, "canary-word")).await;
    session.send(transcript(1, "canary-word")).await;
    client.text("canary-word is no message").await;
    assert_eq!(client.refusal().await.1, 4400);
    drop(session);
    let metrics = server.http(&format!("GET /metrics\r\n{header}")).await.body;
    server.stop().await;

    let log = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
    assert!(log.matches("session ended").count() >= 4, "{log}");
    let half = key.expose().splitn(3, '_').nth(2).unwrap();
    for canary in ["canary-", half, &token, &canary_secret, "canary-audio", &made] {
        for (place, text) in
            [("the log", &log), ("the metrics", &metrics), ("a debug form", &debugged), ("a list", &listed)]
        {
            let line = text.lines().find(|line| line.contains(canary));
            assert_eq!(line, None, "{canary} is in {place}");
        }
    }
}
