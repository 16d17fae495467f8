//! A small server that speaks the protocol without recognising anything, and that can be told to do it wrong.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use axum::{
    Json, Router,
    extract::{
        State,
        ws::{CloseFrame, Message, WebSocket, WebSocketUpgrade},
    },
    routing::get,
};
use serde_json::{Value, json};
use tokio::net::TcpListener;

/// What it does wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrong {
    Nothing,
    /// From the second session on, the first final is left out.
    LosesAFinal,
    Warns,
    /// Ends with 1011.
    Fails,
    /// Says afterwards that a slot is used.
    LeaksASlot,
}

#[derive(Clone)]
struct App {
    wrong: Wrong,
    sessions: Arc<AtomicUsize>,
    open: Arc<AtomicUsize>,
}

/// Where it serves, until the test ends.
pub async fn server(wrong: Wrong) -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let app = App { wrong, sessions: Arc::default(), open: Arc::default() };
    let router = Router::new()
        .route("/readyz", get(async || "ready"))
        .route("/v1/realtime/status", get(status))
        .route("/v1/audio/transcriptions/stream", get(stream))
        .with_state(app);
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    format!("ws://{address}")
}

async fn status(State(app): State<App>) -> Json<Value> {
    let leaked = usize::from(app.wrong == Wrong::LeaksASlot);
    Json(json!({"sessions": {"used": app.open.load(Relaxed) + leaked}}))
}

async fn stream(State(app): State<App>, upgrade: WebSocketUpgrade) -> axum::response::Response {
    upgrade.on_upgrade(async move |socket| {
        app.open.fetch_add(1, Relaxed);
        let number = app.sessions.fetch_add(1, Relaxed);
        // A client may vanish at any time.
        let _ = session(socket, app.wrong, number).await;
        app.open.fetch_sub(1, Relaxed);
    })
}

/// Every second of audio has a word in its first half, and half a second of endpointing after it.
async fn session(mut socket: WebSocket, wrong: Wrong, number: usize) -> Result<(), axum::Error> {
    const SECOND: usize = 2 * 16_000;
    let config =
        json!({"sample_rate": 16000, "encoding": "pcm_s16le", "channels": 1, "language": "en", "model": "test/test"});
    let begin = json!({"type": "session.begin", "session_id": "ses_1", "request_id": "req_1", "config": config});
    tell(&mut socket, begin).await?;
    if wrong == Wrong::Warns {
        tell(&mut socket, json!({"type": "warning", "code": "processing_lag", "message": "slow", "lag_seconds": 3.5}))
            .await?;
    }
    let (mut bytes, mut seconds, mut segments) = (0, 0, Vec::new());
    while let Some(message) = socket.recv().await {
        match message? {
            Message::Binary(audio) => bytes += audio.len(),
            Message::Text(text) if text.contains("end") => break,
            Message::Text(_) | Message::Ping(_) | Message::Pong(_) => {}
            Message::Close(_) => return Ok(()),
        }
        while bytes / SECOND > seconds {
            let (start, end) = (seconds as f64, seconds as f64 + 0.5);
            seconds += 1;
            let (id, text) = (format!("utt_{seconds}"), format!("word {seconds}"));
            tell(&mut socket, json!({"type": "vad.speech_start", "timestamp": start})).await?;
            let partial = json!({"type": "transcript.partial", "utterance_id": id, "text": "w", "start": start, "end": start + 0.3});
            tell(&mut socket, partial).await?;
            tell(&mut socket, json!({"type": "vad.speech_end", "timestamp": end})).await?;
            if wrong == Wrong::LosesAFinal && number > 0 && seconds == 1 {
                continue;
            }
            let said = json!({
                "type": "transcript.final", "utterance_id": id, "text": text, "start": start, "end": end,
                "language": "en", "cause": "endpoint",
            });
            tell(&mut socket, said).await?;
            segments.push(json!({"id": segments.len(), "start": start, "end": end, "text": text}));
        }
    }
    let texts: Vec<&str> = segments.iter().filter_map(|segment| segment["text"].as_str()).collect();
    let end = json!({
        "type": "session.end", "session_id": "ses_1", "total_audio_seconds": bytes as f64 / SECOND as f64,
        "total_speech_duration": 0.0, "transcript": texts.join(" "), "segments": segments,
    });
    tell(&mut socket, end).await?;
    let code = if wrong == Wrong::Fails { 1011 } else { 1000 };
    socket.send(Message::Close(Some(CloseFrame { code, reason: "".into() }))).await?;
    // The client's half of the closing handshake.
    while socket.recv().await.is_some_and(|message| message.is_ok()) {}
    Ok(())
}

async fn tell(socket: &mut WebSocket, message: Value) -> Result<(), axum::Error> {
    socket.send(Message::text(message.to_string())).await
}
