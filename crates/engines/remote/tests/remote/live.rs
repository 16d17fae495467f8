//! Live sessions.

use dalston_engine_remote::Remote;
use dalston_engine_sdk::{Caller, EngineError, Recognizer, StreamOptions, StreamingEngine};
use dalston_telemetry::Tracers;
use futures_util::FutureExt;

use crate::support::{Server, one_word, speech, transcript};

fn open(server: &Server) -> Box<dyn Recognizer> {
    let engine = Remote::new(server.settings(), &Tracers::off()).unwrap();
    let caller = Caller { traceparent: None, request_id: "ticket-4711".into() };
    engine.open(StreamOptions { language: "auto".into(), caller, ..StreamOptions::default() }).unwrap()
}

#[tokio::test]
async fn an_utterance_is_one_request_at_its_end() {
    let mut server = Server::answering(|_, _| async { transcript(&one_word()) }).await;
    let mut recognizer = open(&server);
    for chunk in speech(3).chunks(1_600) {
        assert_eq!(recognizer.accept(chunk, true).await, Ok(None));
    }
    assert_eq!(server.count(), 0);
    let heard = recognizer.finish().await.unwrap();
    assert_eq!((heard.text.as_str(), heard.words[0].start), ("go", 1.2));
    let asked = server.asked.try_recv().unwrap();
    assert!((asked.seconds() - 3.0).abs() < 1e-9 && asked.headers["x-request-id"] == "ticket-4711", "{asked:?}");

    // A sound too short for a word, and none at all, are not worth a request.
    recognizer.accept(&[0; 1_000], false).await.unwrap();
    for _ in 0..2 {
        assert_eq!(recognizer.finish().await.unwrap().text, "");
    }
    assert_eq!(server.count(), 0);
}

#[tokio::test]
async fn an_utterance_that_is_abandoned_asks_for_nothing_more() {
    let mut server = Server::answering(|_, _| std::future::pending()).await;
    let mut recognizer = open(&server);
    recognizer.accept(&speech(1), false).await.unwrap();
    assert!(recognizer.finish().now_or_never().is_none(), "the server does not answer");
    recognizer.reset();
    assert_eq!(recognizer.finish().await.unwrap().text, "");
    assert!(server.count() <= 1);
}

#[tokio::test]
async fn a_failure_ends_the_utterance_and_not_the_stream() {
    let server = Server::answering(|number, _| async move {
        match number {
            0 => crate::support::answer(500, &[], ""),
            _ => transcript(&one_word()),
        }
    })
    .await;
    let mut recognizer = open(&server);
    recognizer.accept(&speech(1), false).await.unwrap();
    assert!(matches!(recognizer.finish().await, Err(EngineError::Failed(_))));
    recognizer.accept(&speech(2), false).await.unwrap();
    assert_eq!(recognizer.finish().await.unwrap().text, "go");
}

#[tokio::test]
async fn an_utterance_without_end_is_refused() {
    let server = Server::answering(|_, _| std::future::pending()).await;
    let mut recognizer = open(&server);
    let minute = vec![0; 60 * 16_000];
    for _ in 0..5 {
        recognizer.accept(&minute, false).await.unwrap();
    }
    assert!(matches!(recognizer.accept(&minute, false).await, Err(EngineError::Rejected(_))));
    assert_eq!(recognizer.finish().await.unwrap().text, "", "it is over");
}
