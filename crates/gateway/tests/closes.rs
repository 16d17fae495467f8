//! Every way in which a session ends: the close code the client sees, and the one terminal state that is recorded
//! (RT1).

mod support;

use dalston_protocol::{
    ApiError, Close, CloseCode, ErrorCode,
    realtime::{ClientMessage, ServerMessage},
};
use dalston_session_router::link::{Departure, Refusal, ToWorker};
use dalston_telemetry::SessionOutcome;
use support::{LONG, Server, partial, transcript, wire::Told};
use tokio::time::{Instant, timeout};
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

#[tokio::test]
async fn end_is_answered_and_closed_with_1000() {
    let mut server = Server::start("").await;
    let mut client = server.connect("?sample_rate=8000&encoding=mulaw&language=en").await;
    let mut session = server.session().await;
    assert_eq!(session.offer.config.sample_rate, 8000);
    assert_eq!(&*session.offer.tenant, "anonymous");
    client.audio([1, 2, 3]).await;
    client.text(r#"{"type":"end"}"#).await;
    let (audio, then) = session.audio().await;
    assert_eq!(audio, [1, 2, 3]);
    assert!(matches!(then, Some(ToWorker::Message(message)) if *message == ClientMessage::End));
    session.send(transcript(1, "go forward")).await;
    session.finish().await;

    assert!(matches!(client.event().await, ServerMessage::SessionBegin { .. }));
    assert_eq!(client.event().await, transcript(1, "go forward"));
    assert!(matches!(client.event().await, ServerMessage::SessionEnd(_)));
    assert_eq!(client.next().await, Told::Close(1000, String::new()));
    server.ended_once(SessionOutcome::Completed).await;
    server.stop().await;
}

#[tokio::test]
async fn a_workers_close_reaches_the_client_with_code_and_reason() {
    for code in CloseCode::ALL {
        let mut server = Server::start("").await;
        let mut client = server.connect("").await;
        let session = server.session().await;
        session.close(Close::new(code, "because")).await;
        let (_, closed, reason) = client.rest().await;
        assert_eq!((closed, reason.as_str()), (code.as_u16(), "because"));
        server.stop().await;
    }
}

#[tokio::test]
async fn the_error_that_a_worker_told_names_the_outcome() {
    let mut server = Server::start("").await;
    let mut client = server.connect("").await;
    let session = server.session().await;
    let error = ApiError::new(ErrorCode::EngineFailed, "the engine fell over");
    session.send(ServerMessage::error(&error, false)).await;
    session.close(error.close()).await;
    assert_eq!(client.refusal().await, ("engine_failed".into(), 1011));
    server.ended_once(SessionOutcome::EngineFailed).await;
}

#[tokio::test]
async fn a_bad_parameter_is_named() {
    let server = Server::start("").await;
    let mut client = server.connect("?sample_rate=7999").await;
    let (events, code, reason) = client.rest().await;
    assert!(matches!(&events[..], [ServerMessage::Error { code: ErrorCode::InvalidParameter, param: Some(param), .. }]
        if param == "sample_rate"));
    assert_eq!(code, 4400);
    assert!(reason.contains("sample_rate"), "{reason}");
    server.ended_once(SessionOutcome::BadRequest).await;
}

#[tokio::test]
async fn an_unknown_parameter_is_warned_of_and_served() {
    let mut server = Server::start("").await;
    let mut client = server.connect("?colour=red").await;
    let _session = server.session().await;
    assert!(matches!(client.event().await, ServerMessage::SessionBegin { .. }));
    assert!(matches!(client.event().await, ServerMessage::Warning { message, .. } if message.contains("colour")));
}

#[tokio::test]
async fn what_no_worker_has_is_4404() {
    for query in ["?model=nowhere", "?language=tlh"] {
        let server = Server::start("").await;
        let (error, code) = server.connect(query).await.refusal().await;
        assert_eq!(code, 4404, "{query}: {error}");
        server.ended_once(SessionOutcome::NotFound).await;
    }
}

#[tokio::test]
async fn a_full_server_is_4503_and_says_when_to_come_back() {
    let mut server = Server::with(support::config(""), dalston_telemetry::Tracers::off(), 1).await;
    let _first = server.connect("").await;
    let _session = server.session().await;
    let (events, code, _) = server.connect("").await.rest().await;
    assert!(matches!(&events[..], [ServerMessage::Error { code: ErrorCode::NoCapacity, retry_after: Some(_), .. }]));
    assert_eq!(code, 4503);
}

#[tokio::test]
async fn a_slot_is_free_again_when_the_client_hears_the_close() {
    let mut server = Server::with(support::config(""), dalston_telemetry::Tracers::off(), 1).await;
    for _ in 0..20 {
        let mut client = server.connect("").await;
        server.session().await.finish().await;
        let (_, code, _) = client.rest().await;
        assert_eq!((code, server.used().await), (1000, 0));
    }
}

#[tokio::test]
async fn a_worker_that_rejects_the_session_is_quoted() {
    let mut server = Server::start("").await;
    let connecting = async { server.connect("").await };
    let mut client = connecting.await;
    server.refuse_session(Refusal::Rejected(ApiError::param("vocabulary", "too many words"))).await;
    assert_eq!(client.refusal().await, ("invalid_parameter".into(), 4400));
}

#[tokio::test]
async fn a_worker_that_dies_is_1011() {
    let mut server = Server::start("").await;
    let mut client = server.connect("").await;
    drop(server.session().await);
    assert_eq!(client.refusal().await, ("internal".into(), 1011));
    server.ended_once(SessionOutcome::WorkerLost).await;
    assert_eq!(server.used().await, 0);
}

#[tokio::test]
async fn what_the_registry_forgets_ends_no_session() {
    let mut server = Server::start("").await;
    let mut client = server.connect("").await;
    let mut session = server.session().await;
    server.registry.deregister(&server.worker_id).await.unwrap();
    client.text(r#"{"type":"end"}"#).await;
    assert!(matches!(session.next().await, Some(ToWorker::Message(_))), "it is heard all the same");
    session.close(Close::normal()).await;
    let (_, closed, _) = client.rest().await;
    assert_eq!(closed, 1000);
    server.ended_once(SessionOutcome::Completed).await;
}

#[tokio::test]
async fn a_worker_that_never_answers_end_is_given_up() {
    let mut server = Server::start("[stream]\nworker_timeout = 0.2").await;
    let mut client = server.connect("").await;
    let mut session = server.session().await;
    client.text(r#"{"type":"end"}"#).await;
    assert!(session.next().await.is_some());
    assert_eq!(client.refusal().await, ("internal".into(), 1011));
    assert!(session.next().await.is_none(), "the worker sees that nobody waits");
    server.ended_once(SessionOutcome::WorkerLost).await;
}

#[tokio::test]
async fn an_idle_client_is_4408_unless_it_keeps_alive() {
    let mut server = Server::start("[stream]\nidle_timeout = 0.4").await;
    let mut client = server.connect("").await;
    let mut session = server.session().await;
    let began = Instant::now();
    for _ in 0..4 {
        tokio::time::sleep(std::time::Duration::from_millis(200)).await;
        client.text(r#"{"type":"keepalive"}"#).await;
    }
    assert_eq!(client.refusal().await, ("client_idle".into(), 4408));
    assert!(began.elapsed().as_millis() >= 1_200, "keepalive did not keep it: {:?}", began.elapsed());
    assert!(matches!(session.next().await, Some(ToWorker::Close(close)) if close.code == CloseCode::Timeout));
    session.close(Close::new(CloseCode::Timeout, "")).await;
    server.ended_once(SessionOutcome::ClientIdle).await;
}

#[tokio::test]
async fn a_session_that_lasts_too_long_is_answered_first() {
    let mut server = Server::start("[stream]\nmax_duration = 0.3").await;
    let mut client = server.connect("").await;
    let mut session = server.session().await;
    client.audio([7; 10]).await;
    let (audio, then) = session.audio().await;
    assert_eq!(audio, [7; 10]);
    let Some(ToWorker::Close(close)) = then else { panic!("{then:?}") };
    session.send(transcript(1, "so far")).await;
    session.close(*close).await;
    let (events, code, reason) = client.rest().await;
    assert_eq!(events.last(), Some(&transcript(1, "so far")));
    assert_eq!(code, 4429, "{reason}");
    server.ended_once(SessionOutcome::RateLimited).await;
}

#[tokio::test]
async fn a_client_that_closes_lets_the_worker_finish_and_know_how() {
    let mut server = Server::start("").await;
    let mut client = server.connect("").await;
    let mut session = server.session().await;
    client.audio([1; 100]).await;
    let frame = CloseFrame { code: 4999.into(), reason: "".into() };
    timeout(LONG, client.0.close(Some(frame))).await.unwrap().unwrap();
    let (audio, then) = session.audio().await;
    let how = Departure { outcome: SessionOutcome::ClientGone, close_code: 4999 };
    assert_eq!((audio.len(), then), (100, Some(ToWorker::Gone(how))));
    assert!(session.next().await.is_none(), "nothing follows");
    assert_eq!(server.used().await, 1, "the slot is taken as long as the worker works");
    session.finish().await;
    server.ended_once(SessionOutcome::ClientGone).await;
    assert_eq!(server.used().await, 0);
}

#[tokio::test]
async fn a_client_that_vanishes_in_mid_stream_loses_nothing_at_the_worker() {
    let mut server = Server::start("").await;
    let mut client = server.connect("").await;
    let mut session = server.session().await;
    for n in 0..100_u8 {
        client.audio([n; 1_000]).await;
    }
    drop(client);
    session.send(partial(1, "nobody reads this")).await;
    let (audio, then) = session.audio().await;
    assert!(then.is_none());
    let expected: Vec<u8> = (0..100_u8).flat_map(|n| [n; 1_000]).collect();
    assert!(audio == expected, "{} bytes arrived", audio.len());
    session.finish().await;
    server.ended_once(SessionOutcome::ClientGone).await;
}
