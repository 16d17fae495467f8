//! What is lost while a session is resumed, and what is not: the store's newest writes, the last worker, the next one.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod support;

use dalston_protocol::realtime::{Resumed, ServerMessage};
use dalston_session_router::link::FromWorker;
use dalston_telemetry::Tracers;
use support::{
    Server, config,
    resuming::{SECOND, answered, is_let_go, number, query, resumed, said},
};

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
