//! A client that lost its connection goes on with its session on another one: nothing is told twice, nothing is left
//! out.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod support;

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering::SeqCst},
    },
    time::Duration,
};

use dalston_protocol::{
    Close, SessionId,
    key::{KeyLimits, NewKey, Scope},
    realtime::{ClientMessage, FinalCause, Resumed, ServerMessage, SessionEnd, TranscriptFinal},
};
use dalston_session_router::{
    Claim, Epoch, InProcessResumeStore, Look, ResumeStore, Save, Saved, Taken, Unavailable,
    link::{FromWorker, ToWorker},
};
use dalston_telemetry::{Options, RingLimits, SessionOutcome, SpanCounters, SpanRecord, Tracers};
use futures_util::future::BoxFuture;
use serde_json::Value;
use support::{
    CAPACITY, LONG, Server, config,
    keys::{Keys, wanted},
    resuming::{SECOND, answered, begun, is_gone, is_let_go, number, query, resumed, said, send},
    wire::Told,
};
use tokio::time::{sleep, timeout};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, frame::coding::CloseCode as WireCode};

#[tokio::test]
async fn a_session_that_does_not_ask_gets_neither_token_nor_acknowledgements() {
    let mut server = Server::start("").await;
    let mut client = server.connect("").await;
    let session = server.session().await;
    assert!(matches!(client.event().await, ServerMessage::SessionBegin { resume: None, resumed: None, .. }));
    session.channel.to_client.send(FromWorker::Settled(Duration::from_secs(9))).await.unwrap();
    session.send(said(1, 1.0, 5.0)).await;
    assert_eq!(number(&client.event().await), Some("utt_1"));
    assert_eq!(client.next_within(Duration::from_millis(1_300)).await, None);
}

#[tokio::test]
async fn audio_is_acknowledged_after_its_finals_and_while_nothing_is_said() {
    let mut server = Server::start("").await;
    let (mut client, mut session, _) = answered(&mut server, 6).await;
    send(&mut client, &mut session, 8).await;
    session.channel.to_client.send(FromWorker::Settled(Duration::from_millis(12_700))).await.unwrap();
    assert_eq!(client.event().await, ServerMessage::AudioAck { bytes: 10 * SECOND });
    session.finish().await;
    assert_eq!(client.rest().await.1, 1000);
}

#[tokio::test]
async fn a_client_that_was_lost_goes_on_where_its_audio_is_not_answered_and_misses_no_final() {
    let mut server = Server::start("").await;
    let (client, session, token) = answered(&mut server, 10).await;
    drop(client);
    // Said to nobody.
    session.send(said(2, 6.0, 9.0)).await;
    while server.metrics.connections_open.get() > 0 {
        sleep(Duration::from_millis(2)).await;
    }
    let mut client = server.connect(&query(&token, 3 * SECOND, Some("utt_1"))).await;
    let next = server.session().await;
    assert_eq!(resumed(&mut client).await, Resumed { bytes: 7 * SECOND, finals: 1 });
    assert_eq!(number(&client.event().await), Some("utt_2"));
    is_let_go(session).await;

    assert_eq!(&next.offer.session_id, token.session_id());
    let continues = next.offer.continues.as_ref().unwrap();
    assert_eq!((continues.from, continues.utterances, continues.moves), (7, 2, 1));
    assert_eq!(continues.last_end[0], 9.0);
    let whole = continues.said.clone().into_end(next.offer.session_id.clone(), 10.0, 7.0);
    assert_eq!(whole.transcript, "word1 word2");
    // What was said before is passed over, and `session.begin` with it.
    next.send(said(2, 6.0, 9.0)).await;
    next.send(said(3, 10.0, 12.0)).await;
    assert_eq!(number(&client.event().await), Some("utt_3"));
    assert_eq!(client.event().await, ServerMessage::AudioAck { bytes: 10 * SECOND });
    next.finish().await;
    assert_eq!(client.rest().await.1, 1000);
    is_gone(&server, &token).await;
    assert_eq!(server.metrics.sessions_ended(SessionOutcome::Moved), 1);
    assert_eq!(server.metrics.sessions_ended(SessionOutcome::Completed), 1);
    assert_eq!(server.metrics.sessions_resumed.get(), 1);
}

#[tokio::test]
async fn a_half_open_connection_is_told_at_once_that_the_session_goes_on_elsewhere() {
    // One slot: what the first one has is what the second one gets.
    let mut server = Server::with(config(""), Tracers::off(), 1).await;
    let (mut before, session, token) = answered(&mut server, 6).await;
    let mut client = server.connect(&query(&token, 3 * SECOND, Some("utt_1"))).await;
    assert_eq!(before.refusal().await, ("resumed_elsewhere".to_owned(), 4409));
    is_let_go(session).await;
    let next = server.session().await;
    assert_eq!(resumed(&mut client).await, Resumed { bytes: 3 * SECOND, finals: 0 });
    next.finish().await;
    assert_eq!(client.rest().await.1, 1000);
}

#[tokio::test]
async fn of_two_that_resume_at_once_one_goes_on_and_the_other_is_told_why_not() {
    let mut server = Server::start("").await;
    let (client, _session, token) = answered(&mut server, 6).await;
    drop(client);
    let wish = query(&token, 3 * SECOND, Some("utt_1"));
    let mut both = [server.connect(&wish).await, server.connect(&wish).await];
    let _workers = [server.quiet_session().await, server.quiet_session().await];
    let mut told = Vec::new();
    for client in &mut both {
        let first = resumed(client).await;
        assert_eq!(first, Resumed { bytes: 3 * SECOND, finals: 0 });
        told.push(client.next_within(Duration::from_millis(500)).await);
    }
    told.sort_by_key(Option::is_some);
    let [None, Some(Told::Event(ServerMessage::Error { code, .. }))] = &told[..] else { panic!("{told:?}") };
    assert_eq!(code.as_str(), "resumed_elsewhere");
}

#[tokio::test]
async fn a_session_whose_client_does_not_come_back_in_time_ends_as_that_of_one_that_is_gone() {
    let mut server = Server::start("[stream]\nresume_window = 0.3").await;
    let (client, mut session, token) = answered(&mut server, 6).await;
    drop(client);
    let waiting = session.next();
    assert!(timeout(Duration::from_millis(150), waiting).await.is_err(), "it waits");
    assert_eq!(server.metrics.sessions_awaited.get(), 1);
    assert_eq!(session.next().await, None, "then its worker sees that nobody is there");
    session.finish().await;
    server.ended_once(SessionOutcome::ClientGone).await;
    assert_eq!(server.metrics.sessions_awaited.get(), 0);
    is_gone(&server, &token).await;
}

#[tokio::test]
async fn what_cannot_be_right_is_refused_by_name_and_harms_nobody() {
    let mut server = Server::start("").await;
    let (mut client, session, token) = answered(&mut server, 6).await;
    let text = String::from(token.clone());
    let other = if text.ends_with('A') { 'B' } else { 'A' };
    let wrong = format!("{}{other}", &text[..text.len() - 1]);
    let elsewhere = wrong.replace(token.session_id().as_str(), "ses_unknown");
    for (query, code, close, param) in [
        (format!("?resume={wrong}"), "session_gone", 4404, "resume"),
        (format!("?resume={elsewhere}"), "session_gone", 4404, "resume"),
        ("?resume=".to_owned(), "invalid_parameter", 4400, "resume"),
        ("?received=0".to_owned(), "invalid_parameter", 4400, "received"),
        (format!("?resume={text}&received=one"), "invalid_parameter", 4400, "received"),
        (format!("?resume={text}&last_final=one"), "invalid_parameter", 4400, "last_final"),
        (format!("?resume={text}&last_final=utt_{}", u64::MAX), "invalid_parameter", 4400, "last_final"),
        (format!("?resume={text}&received={}", SECOND + 1), "invalid_parameter", 4400, "received"),
        (format!("?resume={text}&received={}", 900 * SECOND), "invalid_parameter", 4400, "received"),
    ] {
        let (events, code_of_close, reason) = server.connect(&query).await.rest().await;
        let Some(ServerMessage::Error { code: told, param: named, message, .. }) = events.last() else {
            panic!("{query}: {events:?}")
        };
        assert_eq!((told.as_str(), code_of_close, named.as_deref()), (code, close, Some(param)), "{query}");
        let secret = token.secret();
        assert!(!message.contains(&secret[..20]) && !reason.contains(&secret[..20]), "{message}");
    }
    session.send(said(2, 6.0, 9.0)).await;
    assert_eq!(number(&client.event().await), Some("utt_2"), "it was nobody's but its client's");
    drop(client);
    let mut client = server.connect(&query(&token, 3 * SECOND, Some("utt_2"))).await;
    let _next = server.session().await;
    assert_eq!(resumed(&mut client).await, Resumed { bytes: 7 * SECOND, finals: 0 });
}

#[tokio::test]
async fn a_store_that_lost_the_newest_costs_a_gap_that_is_told() {
    let mut server = Server::start("").await;
    let (client, _session, token) = answered(&mut server, 6).await;
    drop(client);
    // More than is written down, as after a restart of Redis; and an utterance that is not written down either.
    let mut client = server.connect(&query(&token, 8 * SECOND, Some("utt_3"))).await;
    let next = server.session().await;
    assert_eq!(resumed(&mut client).await, Resumed { bytes: 8 * SECOND, finals: 0 });
    let ServerMessage::Warning { code, message, .. } = client.event().await else { panic!("no warning") };
    assert_eq!(code, "audio_gap");
    assert!(message.starts_with("3.0 s of audio before 8 s"), "{message}");
    let continues = next.offer.continues.as_ref().unwrap();
    assert_eq!((continues.from, continues.utterances), (8, 3));
    assert_eq!(continues.answered[0], Duration::from_secs(10), "so far it was, or it had not been acknowledged");
}

#[tokio::test]
async fn a_flush_that_was_answered_while_its_client_was_gone_is_answered_once() {
    let mut server = Server::start("").await;
    let (mut client, mut session, token) = answered(&mut server, 10).await;
    let flush = r#"{"type":"flush","id":"now"}"#;
    client.text(flush).await;
    assert!(matches!(session.next().await, Some(ToWorker::Message(_))));
    drop(client);
    let ServerMessage::Final(answer) = said(2, 6.0, 9.0) else { unreachable!("it is a final") };
    session
        .send(ServerMessage::Final(TranscriptFinal { cause: FinalCause::Flush, id: Some("now".into()), ..answer }))
        .await;
    while server.metrics.connections_open.get() > 0 {
        sleep(Duration::from_millis(2)).await;
    }
    let mut client = server.connect(&query(&token, 3 * SECOND, Some("utt_1"))).await;
    let mut next = server.session().await;
    assert_eq!(resumed(&mut client).await, Resumed { bytes: 7 * SECOND, finals: 1 });
    assert_eq!(number(&client.event().await), Some("utt_2"));
    // In its place, as it did not know better; and then another one of the same name.
    send(&mut client, &mut next, 3).await;
    client.text(flush).await;
    send(&mut client, &mut next, 1).await;
    client.text(flush).await;
    let Some(ToWorker::Message(message)) = next.next().await else { panic!("a flush") };
    assert!(matches!(&*message, ClientMessage::Flush { id: Some(id) } if id == "now"));
}

#[tokio::test]
async fn another_tenants_key_is_answered_as_if_there_were_no_session() {
    let keys = Keys::new().await;
    let (mine, other) = (keys.with(&[Scope::Realtime]).await, keys.with(&[Scope::Realtime]).await);
    let mut server = Server::with_keys(config(""), &keys).await;
    let (client, session, token) = begun(&mut server, &[("xi-api-key", &mine)]).await;
    drop(client);
    let query = query(&token, 0, None);
    let refusal = server.connect_with(&query, &[("xi-api-key", &other)]).await.refusal().await;
    assert_eq!(refusal, ("session_gone".to_owned(), 4404));
    let mut client = server.connect_with(&query, &[("xi-api-key", &mine)]).await;
    let _next = server.session().await;
    assert_eq!(resumed(&mut client).await, Resumed { bytes: 0, finals: 0 });
    is_let_go(session).await;
}

#[tokio::test]
async fn a_key_with_one_seat_is_enough_to_come_back() {
    let keys = Keys::new().await;
    let limits = KeyLimits { max_sessions: Some(1), ..KeyLimits::default() };
    let key = keys.make(NewKey { limits, ..wanted(&[Scope::Realtime]) }).await;
    let key = [("xi-api-key", key.expose())];
    let mut server = Server::with_keys(config(""), &keys).await;
    // Half-open: its seat is taken until it is told.
    let (_client, _session, token) = begun(&mut server, &key).await;
    let mut client = server.connect_with(&query(&token, 0, None), &key).await;
    let _next = server.session().await;
    assert_eq!(resumed(&mut client).await, Resumed { bytes: 0, finals: 0 });
    let (error, code) = server.connect_with("", &key).await.refusal().await;
    assert_eq!((error.as_str(), code), ("rate_limited", 4429));
    // While a session waits for its client, another one may begin.
    drop(client);
    let another = async {
        loop {
            let mut client = server.connect_with("", &key).await;
            let told = client.next_within(Duration::from_millis(100)).await;
            if !matches!(told, Some(Told::Event(ServerMessage::Error { .. }))) {
                return client;
            }
        }
    };
    timeout(LONG, another).await.expect("its seat is free");
}

#[tokio::test]
async fn a_client_that_was_lost_after_its_end_comes_back_for_the_last_words() {
    let mut server = Server::start("").await;
    let (mut client, mut session, token) = answered(&mut server, 6).await;
    client.text(r#"{"type":"end"}"#).await;
    assert!(matches!(session.next().await, Some(ToWorker::Message(message)) if *message == ClientMessage::End));
    drop(client);
    while server.metrics.connections_open.get() > 0 {
        sleep(Duration::from_millis(2)).await;
    }
    session.send(said(2, 5.5, 6.0)).await;
    let end = SessionEnd {
        session_id: session.offer.session_id.clone(),
        total_audio_seconds: 6.0,
        total_speech_duration: 4.5,
        transcript: String::new(),
        segments: Vec::new(),
        truncated: false,
    };
    session.send(ServerMessage::SessionEnd(end)).await;
    session.close(Close::normal()).await;
    server.ended_once(SessionOutcome::Completed).await;

    let mut client = server.connect(&query(&token, 3 * SECOND, Some("utt_1"))).await;
    let (events, code, _) = client.rest().await;
    assert_eq!(code, 1000);
    let [ServerMessage::SessionBegin { .. }, ServerMessage::Final(last), ServerMessage::SessionEnd(end)] = &events[..]
    else {
        panic!("{events:?}")
    };
    assert_eq!(last.utterance_id, "utt_2");
    assert_eq!((end.transcript.as_str(), end.total_audio_seconds, end.segments.len()), ("word1 word2", 6.0, 2));
    is_gone(&server, &token).await;
}

#[tokio::test]
async fn a_client_that_says_goodbye_is_not_waited_for_and_one_whose_proxy_does_is() {
    let mut server = Server::start("").await;
    for (code, is_awaited) in [(1000, false), (4000, false), (1001, true), (1012, true)] {
        let (mut client, mut session, token) = answered(&mut server, 6).await;
        let frame = CloseFrame { code: WireCode::from(code), reason: "".into() };
        client.0.close(Some(frame)).await.unwrap();
        while !matches!(client.next().await, Told::Gone | Told::Close(..)) {}
        if is_awaited {
            let mut client = server.connect(&query(&token, 3 * SECOND, Some("utt_1"))).await;
            let mut next = server.session().await;
            resumed(&mut client).await;
            client.0.close(None).await.unwrap();
            assert!(matches!(next.next().await, Some(ToWorker::Gone(_))), "this one means it");
            next.finish().await;
        } else {
            let last = session.next().await;
            assert!(matches!(last, Some(ToWorker::Gone(how)) if how.close_code == code), "{code}: {last:?}");
            is_gone(&server, &token).await;
            session.finish().await;
        }
    }
}

#[tokio::test]
async fn what_the_client_has_changed_before_it_was_lost_stays_so() {
    let mut server = Server::start("").await;
    let (mut client, mut session, token) = begun(&mut server, &[]).await;
    client.text(r#"{"type":"config","endpointing_ms":800,"interim_results":false}"#).await;
    assert!(matches!(session.next().await, Some(ToWorker::Message(_))));
    send(&mut client, &mut session, 6).await;
    session.send(said(1, 1.0, 5.0)).await;
    assert_eq!(number(&client.event().await), Some("utt_1"));
    assert_eq!(client.event().await, ServerMessage::AudioAck { bytes: 3 * SECOND });
    drop(client);
    let _client = server.connect(&query(&token, 3 * SECOND, Some("utt_1"))).await;
    let config = server.session().await.offer.config;
    assert_eq!((config.endpointing.endpointing_ms, config.interim_results), (800, false));
    assert_eq!((config.model.as_deref(), config.language.as_str()), (Some("scripted/en"), "en"), "and what it had got");
}

#[tokio::test]
async fn without_a_word_of_the_last_final_some_may_come_twice_but_none_before_what_was_acknowledged() {
    let mut server = Server::start("").await;
    let (mut client, session, token) = answered(&mut server, 12).await;
    session.send(said(2, 6.0, 9.0)).await;
    assert_eq!(number(&client.event().await), Some("utt_2"));
    assert_eq!(client.event().await, ServerMessage::AudioAck { bytes: 7 * SECOND });
    drop(client);
    let mut client = server.connect(&query(&token, 7 * SECOND, None)).await;
    let _next = server.session().await;
    assert_eq!(resumed(&mut client).await, Resumed { bytes: 7 * SECOND, finals: 1 });
    assert_eq!(number(&client.event().await), Some("utt_2"));
}

#[tokio::test]
async fn a_server_that_has_no_other_to_send_its_clients_to_answers_them_before_it_ends() {
    let mut server = Server::start("").await;
    let (mut client, mut session, _) = answered(&mut server, 6).await;
    server.begin_drain();
    assert!(matches!(session.audio().await.1, Some(ToWorker::Close(_))));
    session.close(Close::new(dalston_protocol::CloseCode::Restart, "connect again")).await;
    assert_eq!(client.rest().await.1, 1012);
    server.drained().await;
}

#[tokio::test]
async fn the_session_stays_one_trace_to_which_the_new_connection_is_linked() {
    let options = Options { trace_ring: Some(RingLimits::default()), ..Options::new("dalston-gateway") };
    let (tracers, _guard) = Tracers::start(&options, SpanCounters::default()).unwrap();
    let mut server = Server::with(config(""), tracers, CAPACITY).await;
    let (client, session, token) = answered(&mut server, 6).await;
    let first = session.offer.trace.trace_id().unwrap();
    drop(client);
    let mut client = server.connect(&query(&token, 3 * SECOND, Some("utt_1"))).await;
    let next = server.session().await;
    assert_eq!(next.offer.trace.trace_id().as_deref(), Some(first.as_str()));
    let begin = client.event().await;
    assert!(matches!(begin, ServerMessage::SessionBegin { trace_id: Some(id), .. } if id == first));
    next.finish().await;
    assert_eq!(client.rest().await.1, 1000);
    let both = async {
        loop {
            let answer = server.http(&format!("GET /v1/traces/{first}")).await;
            if answer.status == 200 {
                let spans: Vec<SpanRecord> = serde_json::from_value(answer.json()["spans"].clone()).unwrap();
                if spans.iter().filter(|span| span.name == "session_router.allocate").count() == 2 {
                    return spans;
                }
            }
            tokio::task::yield_now().await;
        }
    };
    let spans = timeout(LONG, both).await.expect("both allocations stand in it");
    let root = spans.iter().find(|span| span.name.starts_with("WebSocket")).unwrap();
    let parents: Vec<Option<&String>> = spans
        .iter()
        .filter(|span| span.name == "session_router.allocate")
        .map(|span| span.parent_span_id.as_ref())
        .collect();
    assert_eq!(parents, [Some(&root.span_id); 2]);
    assert_eq!(root.attributes.get("dalston.outcome"), Some(&Value::from("moved")));
}

/// A store, of this process or another one, at which it takes a while to forget something.
#[derive(Debug, Default)]
struct Slow {
    inner: InProcessResumeStore,
    outlives_process: bool,
    has_forgotten: AtomicBool,
}

impl ResumeStore for Slow {
    fn outlives_process(&self) -> bool {
        self.outlives_process
    }

    fn save(&self, save: Save) -> BoxFuture<'_, Result<Saved, Unavailable>> {
        self.inner.save(save)
    }

    fn look<'a>(&'a self, claim: &'a Claim) -> BoxFuture<'a, Result<Option<Look>, Unavailable>> {
        self.inner.look(claim)
    }

    fn take<'a>(&'a self, claim: &'a Claim, ttl: Duration) -> BoxFuture<'a, Result<Option<Taken>, Unavailable>> {
        self.inner.take(claim, ttl)
    }

    fn forget<'a>(&'a self, id: &'a SessionId, epoch: Epoch, ttl: Duration) -> BoxFuture<'a, Result<(), Unavailable>> {
        Box::pin(async move {
            sleep(Duration::from_millis(700)).await;
            self.inner.forget(id, epoch, ttl).await?;
            self.has_forgotten.store(true, SeqCst);
            Ok(())
        })
    }
}

#[tokio::test]
async fn a_gateway_that_goes_down_says_its_last_words_first() {
    let store = Arc::new(Slow::default());
    let mut server = Server::with_resume_store(config(""), store.clone()).await;
    let (mut client, mut session, _) = begun(&mut server, &[]).await;
    client.0.close(Some(CloseFrame { code: WireCode::Normal, reason: "".into() })).await.unwrap();
    assert!(matches!(session.next().await, Some(ToWorker::Gone(_))));
    // Its worker is done long before the store.
    session.finish().await;
    server.stop().await;
    assert!(store.has_forgotten.load(SeqCst), "nobody is to come back for it");
}

#[tokio::test]
async fn a_session_that_was_sent_away_is_over_in_time_whatever_its_worker_does() {
    let store = Arc::new(Slow { outlives_process: true, ..Slow::default() });
    let mut server = Server::with_resume_store(config("[http]\ndrain_timeout = 0.6"), store).await;
    let (mut client, _hangs, _) = begun(&mut server, &[]).await;
    server.begin_drain();
    assert_eq!(client.rest().await.1, 1012);
    let metrics = server.metrics.clone();
    server.drained().await;
    let [drained, failed] = [SessionOutcome::Drained, SessionOutcome::Internal].map(|end| metrics.sessions_ended(end));
    assert_eq!((drained, failed), (1, 0));
}
