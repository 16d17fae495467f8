//! What goes wrong with servers.

use std::time::{Duration, Instant};

use dalston_engine_remote::{Key, Settings};
use dalston_engine_sdk::batch::TaskError;
use dalston_protocol::job::JobParameters;
use tokio::{net::TcpListener, sync::oneshot};

use crate::{
    LONG,
    support::{Context, Server, answer, fails, one_word, process, settings, transcript},
};

/// Tells when it is dropped.
struct Guard(Option<oneshot::Sender<()>>);

impl Drop for Guard {
    fn drop(&mut self) {
        let _ = self.0.take().map(|told| told.send(()));
    }
}

/// A server that never answers, and when its first caller has gone.
async fn hanging() -> (Server, oneshot::Receiver<()>) {
    let (gone, is_gone) = oneshot::channel();
    let gone = std::sync::Mutex::new(Some(gone));
    let server = Server::answering(move |_, _| {
        let guard = Guard(gone.lock().unwrap().take());
        async move {
            let _guard = guard;
            std::future::pending().await
        }
    });
    (server.await, is_gone)
}

#[tokio::test]
async fn what_only_an_operator_can_mend_is_not_tried_again_and_names_the_setting() {
    for (status, told) in [
        (301, "engine.remote.url"),
        (401, "engine.remote.api_key"),
        (403, "engine.remote.api_key"),
        (404, "engine.remote.model"),
        (405, "engine.remote.url"),
        (413, "engine.remote.longest"),
    ] {
        let body = r#"{"error":{"message":"wrong key sk-secret","code":"no_such_thing"}}"#.to_owned();
        let mut server = Server::always(status, &[("location", "/elsewhere")], body).await;
        let settings = Settings { key: Key::new("sk-secret"), ..server.settings() };
        let error = fails(settings).await;
        assert_eq!(error.code(), "engine_misconfigured", "{status}: {error}");
        let text = error.to_string();
        assert!(
            text.contains(told) && text.contains("no_such_thing") && !text.contains("sk-secret"),
            "{status}: {text}"
        );
        assert_eq!(server.count(), 1, "{status}");
    }
}

#[tokio::test]
async fn what_the_server_does_not_want_is_not_tried_again() {
    for status in [400, 415, 422] {
        let body = r#"{"error":{"message":"the words that were said","code":"audio_too_short"}}"#.to_owned();
        let mut server = Server::always(status, &[], body).await;
        let error = fails(server.settings()).await;
        assert_eq!(error.code(), "rejected_by_engine", "{status}: {error}");
        assert!(error.to_string().contains("audio_too_short") && !error.to_string().contains("words"), "{error}");
        assert_eq!(server.count(), 1, "{status}");
    }
}

#[tokio::test]
async fn what_may_pass_is_tried_again_and_left_to_the_runner_in_the_end() {
    for status in [408, 429, 500, 502, 503, 504] {
        let mut server = Server::always(status, &[("retry-after", "0")], "<html>".to_owned()).await;
        let error = fails(server.settings()).await;
        assert!(matches!(error, TaskError::Failed(_)), "{status}: {error}");
        assert_eq!(server.count(), 3, "{status}");
    }
}

#[tokio::test]
async fn a_server_that_says_when_is_asked_again_then() {
    let mut server = Server::answering(|number, _| async move {
        match number {
            0 => answer(429, &[("retry-after", "1")], ""),
            _ => transcript(&one_word()),
        }
    })
    .await;
    let began = Instant::now();
    process(server.settings(), 3, JobParameters::default(), Context::with_time(LONG)).await.unwrap();
    assert!(began.elapsed() >= Duration::from_secs(1));
    assert_eq!(server.count(), 2);
}

#[tokio::test]
async fn a_server_that_wants_long_is_not_waited_for() {
    let mut server = Server::always(503, &[("retry-after", "3600")], String::new()).await;
    let failed = process(server.settings(), 3, JobParameters::default(), Context::with_time(LONG)).await;
    assert!(matches!(failed, Err(TaskError::Failed(_))), "{failed:?}");
    assert_eq!(server.count(), 1);
}

#[tokio::test]
async fn a_cancelled_task_ends_at_once_and_hangs_up() {
    let (mut server, is_gone) = hanging().await;
    let ctx = Context::with_time(LONG);
    let task = tokio::spawn(process(server.settings(), 3, JobParameters::default(), ctx.clone()));
    server.asked.recv().await.unwrap();
    let began = Instant::now();
    ctx.cancel();
    assert_eq!(task.await.unwrap(), Err(TaskError::Cancelled));
    is_gone.await.unwrap();
    assert!(began.elapsed() < Duration::from_secs(1), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_server_that_hangs_is_given_up() {
    let (server, is_gone) = hanging().await;
    let settings = Settings { timeout: Duration::from_millis(200), ..server.settings() };
    let error = fails(settings).await;
    assert!(error.to_string().contains("in time"), "{error}");
    is_gone.await.unwrap();
}

#[tokio::test]
async fn nobody_there_is_a_failure_that_may_pass() {
    let address = TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap();
    let error = fails(settings(address)).await;
    assert!(matches!(&error, TaskError::Failed(text) if text.contains("takes no connection")), "{error}");
}

#[tokio::test]
async fn an_answer_that_is_none_is_refused() {
    for body in ["", "<html>welcome</html>", r#"{"text":7}"#, r#"{"segments":[]}"#] {
        let server = Server::always(200, &[], body.to_owned()).await;
        let error = fails(server.settings()).await;
        assert!(matches!(&error, TaskError::Failed(text) if text.contains("not a transcript")), "{body}: {error}");
    }
}

#[tokio::test]
async fn an_answer_without_end_is_refused() {
    let mut server = Server::always(200, &[], " ".repeat((32 << 20) + 1)).await;
    let error = fails(server.settings()).await;
    assert!(matches!(&error, TaskError::Failed(text) if text.contains("longer than")), "{error}");
    assert_eq!(server.count(), 1);
}

#[tokio::test]
async fn a_language_that_it_does_not_know_is_not_asked_for() {
    let mut server = Server::always(200, &[], String::new()).await;
    let settings = Settings { languages: vec!["en".into()], ..server.settings() };
    let parameters = JobParameters { language: "de".into(), ..JobParameters::default() };
    let error = process(settings, 3, parameters, Context::with_time(LONG)).await.unwrap_err();
    assert_eq!((error.code(), server.count()), ("unsupported_language", 0));
}
