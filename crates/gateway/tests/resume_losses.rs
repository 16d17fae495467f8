//! What is lost while a session is resumed, and what is not: the store's newest writes, the last worker, the next one.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod support;

use std::time::Duration;

use dalston_protocol::realtime::{ResumeToken, Resumed, ServerMessage};
use dalston_session_router::link::{Departure, FromWorker, Refusal, ToWorker};
use dalston_telemetry::Tracers;
use support::{
    LONG, Server, config,
    resuming::{SECOND, answer, answered, begins, is_let_go, number, query, resumed, said},
};
use tokio::time::timeout;

#[tokio::test]
async fn a_final_that_the_store_has_lost_tells_that_its_client_has_those_before_it() {
    let mut server = Server::start("").await;
    let (client, _session, token) = answered(&mut server, 6).await;
    drop(client);
    let mut client = server.connect(&query(&token, 0, Some("utt_2"))).await;
    let _next = server.session().await;
    assert_eq!(resumed(&mut client).await, Resumed { bytes: 3 * SECOND, finals: 0 });
}

#[tokio::test]
async fn a_worker_that_goes_down_and_has_no_heir_is_written_down_as_any_other() {
    // One slot, which it has itself.
    let mut server = Server::with(config(""), Tracers::off(), 1).await;
    let (mut client, session, token) = answered(&mut server, 10).await;
    session.channel.to_client.send(FromWorker::Leaving).await.unwrap();
    session.send(said(2, 6.0, 9.0)).await;
    assert_eq!(number(&client.event().await), Some("utt_2"));
    assert_eq!(client.event().await, ServerMessage::AudioAck { bytes: 7 * SECOND });
    drop(client);
    let mut client = server.connect(&query(&token, 7 * SECOND, Some("utt_2"))).await;
    let next = server.session().await;
    assert_eq!(resumed(&mut client).await, Resumed { bytes: 7 * SECOND, finals: 0 });
    let continues = next.offer.continues.as_ref().unwrap();
    assert_eq!((continues.from, continues.utterances, continues.last_end[0]), (7, 2, 9.0));
    is_let_go(session).await;
}

/// A session that is to be kept, and whose client has come back and been refused: every worker was full.
async fn refused(server: &mut Server) -> ResumeToken {
    let client = server.connect("?resumable=true&retention=1").await;
    let (mut client, mut session, token) = begins(server, client).await;
    answer(&mut client, &mut session, 6).await;
    drop(client);
    let mut client = server.connect(&query(&token, 3 * SECOND, Some("utt_1"))).await;
    let full = async {
        loop {
            server.refuse_session(Refusal::Full).await;
        }
    };
    let refusal = tokio::select! {
        refusal = client.refusal() => refusal,
        () = full => unreachable!("it goes on"),
    };
    assert_eq!(refusal, ("no_capacity".to_owned(), 4503));
    is_let_go(session).await;
    token
}

#[tokio::test]
async fn a_session_that_was_refused_a_worker_is_kept_when_its_client_stays_away() {
    let mut server = Server::start("[stream]\nallocate_timeout = 0.2\nresume_window = 0.5").await;
    let token = refused(&mut server).await;
    let mut heir = server.session().await;
    assert_eq!(&heir.offer.session_id, token.session_id());
    let continues = heir.offer.continues.as_ref().unwrap();
    assert_eq!((continues.epoch, continues.moves, continues.from), (2, 1, 6));
    let whole = continues.said.clone().into_end(token.session_id().clone(), 6.0, 4.0);
    assert_eq!(whole.transcript, "word1");
    assert_eq!(heir.next().await, Some(ToWorker::Gone(Departure::VANISHED)));
    heir.finish().await;
    let is_free = async {
        while server.used().await > 0 {
            tokio::task::yield_now().await;
        }
    };
    timeout(LONG, is_free).await.expect("its slot is given back");
}

#[tokio::test]
async fn a_session_that_was_refused_a_worker_waits_for_its_client_as_before() {
    let mut server = Server::start("[stream]\nallocate_timeout = 0.2\nresume_window = 0.6").await;
    let token = refused(&mut server).await;
    let mut client = server.connect(&query(&token, 3 * SECOND, Some("utt_1"))).await;
    let next = server.session().await;
    assert_eq!(resumed(&mut client).await, Resumed { bytes: 3 * SECOND, finals: 0 });
    assert_eq!(next.offer.continues.as_ref().unwrap().epoch, 3);
    let another = timeout(Duration::from_millis(800), server.quiet_session()).await;
    assert!(another.is_err(), "who has it keeps it");
    next.finish().await;
    assert_eq!(client.rest().await.1, 1000);
}
