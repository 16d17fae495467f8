//! What every [`WorkerLink`] must hold to.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use dalston_protocol::{
    ApiError, Close, CloseCode, LeaseId, RequestId, SessionId,
    realtime::{ClientMessage, ServerMessage, SessionConfig},
};
use dalston_telemetry::TraceContext;
use futures_util::future::join;
use tokio::time::timeout;

use crate::link::{
    Continuation, FromWorker, Incoming, Refusal, SessionChannel, SessionOffer, Spoken, ToWorker, WorkerChannel,
    WorkerLink, WorkerPort,
};

/// How long anything may take that must happen at all.
const SOON: Duration = Duration::from_secs(10);
/// After this long without progress a sender counts as held back.
const HELD_BACK: Duration = Duration::from_secs(1);

/// A link, and the port of the worker that it leads to.
pub struct Subject {
    /// The gateway's side.
    pub link: Arc<dyn WorkerLink>,
    /// The worker's side. Dropping it stops the worker.
    pub port: WorkerPort,
}

/// One test per claim. Takes the test attribute, and a path to an `async fn() -> Subject`.
#[macro_export]
macro_rules! worker_link_conformance {
    ($test:meta, $subject:path) => {
        $crate::worker_link_conformance! { @each $test, $subject:
            the_worker_sees_the_offer_as_it_was_made
            every_refusal_reaches_the_opener
            a_stopped_worker_is_unreachable
            a_worker_that_drops_an_offer_is_unreachable
            what_is_sent_arrives_in_order
            events_arrive_in_order_and_the_close_comes_last
            a_client_that_goes_is_seen_after_all_it_sent
            a_worker_that_dies_is_seen_without_a_close
            an_opener_that_gave_up_has_no_session
            a_worker_that_does_not_read_holds_the_gateway_back
            a_gateway_that_does_not_read_holds_the_worker_back
            sessions_do_not_mix
        }
    };
    (@each $test:meta, $subject:path: $($claim:ident)*) => {
        $(
            #[$test]
            async fn $claim() {
                $crate::conformance::link::$claim($subject().await).await;
            }
        )*
    };
}

fn offer() -> SessionOffer {
    SessionOffer {
        session_id: SessionId::generate(),
        request_id: RequestId::generate(),
        tenant: "key_1".into(),
        lease: LeaseId::generate(),
        config: SessionConfig { language: "en-GB".into(), vocabulary: vec!["Dalston".into()], ..Default::default() },
        trace: TraceContext::from_traceparent("00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"),
        continues: Some(Box::new(Continuation {
            epoch: 2,
            moves: 2,
            from: 7,
            answered: [Duration::from_millis(9_420), Duration::from_secs(9)],
            last_end: [9.42, 0.0],
            utterances: 3,
            ..Continuation::default()
        })),
    }
}

async fn soon<T>(what: &str, future: impl Future<Output = T>) -> T {
    timeout(SOON, future).await.unwrap_or_else(|_| panic!("{what} did not happen within {SOON:?}"))
}

impl Subject {
    async fn incoming(&mut self) -> Incoming {
        soon("an offer", self.port.next()).await.expect("a gateway is left")
    }

    /// Both ends of an open session.
    async fn session(&mut self) -> (SessionChannel, WorkerChannel) {
        let link = self.link.clone();
        let accept = async { self.incoming().await.accept().expect("the opener waits").1 };
        let (channel, worker) = join(soon("an answer", link.open(offer())), accept).await;
        (channel.expect("the worker accepts"), worker)
    }
}

fn audio(number: u32) -> Bytes {
    Bytes::copy_from_slice(&number.to_le_bytes())
}

fn event(number: u32) -> FromWorker {
    FromWorker::Event(Box::new(ServerMessage::SpeechStart { timestamp: number.into(), channel: None }))
}

fn settled(number: u32) -> FromWorker {
    FromWorker::Settled(Duration::from_millis(number.into()))
}

fn spoken(number: u32) -> FromWorker {
    let speech = Duration::from_micros(number.into());
    FromWorker::Spoken(Box::new(Spoken { channel: 1, until: speech + Duration::from_secs(1), speech }))
}

/// Every field of it.
pub async fn the_worker_sees_the_offer_as_it_was_made(mut subject: Subject) {
    let (link, made) = (subject.link.clone(), offer());
    let see = async { subject.incoming().await.accept().expect("the opener waits") };
    let (_channel, (seen, _worker)) = join(soon("an answer", link.open(made.clone())), see).await;
    assert_eq!(seen.session_id, made.session_id);
    assert_eq!(seen.request_id, made.request_id);
    assert_eq!(seen.tenant, made.tenant);
    assert_eq!(seen.lease, made.lease);
    assert_eq!(seen.config, made.config);
    assert_eq!(seen.trace.to_traceparent(), made.trace.to_traceparent());
    assert_eq!(seen.continues, made.continues);
}

/// As it was said.
pub async fn every_refusal_reaches_the_opener(mut subject: Subject) {
    let rejected = ApiError::param("vocabulary", "too many terms").retry_after(1.5);
    let reasons = [Refusal::Full, Refusal::Draining, Refusal::Unreachable("tired".into()), Refusal::Rejected(rejected)];
    for refusal in reasons {
        let link = subject.link.clone();
        let refuse = async { subject.incoming().await.refuse(refusal.clone()) };
        let (answer, ()) = join(soon("an answer", link.open(offer())), refuse).await;
        assert_eq!(answer.err(), Some(refusal));
    }
}

/// Nobody has to wait for a deadline to learn it.
pub async fn a_stopped_worker_is_unreachable(subject: Subject) {
    drop(subject.port);
    let answer = soon("an answer", subject.link.open(offer())).await;
    assert!(matches!(answer, Err(Refusal::Unreachable(_))), "{answer:?}");
}

/// A worker that panics while it looks at an offer is as good as stopped.
pub async fn a_worker_that_drops_an_offer_is_unreachable(mut subject: Subject) {
    let link = subject.link.clone();
    let ignore = async { drop(subject.incoming().await) };
    let (answer, ()) = join(soon("an answer", link.open(offer())), ignore).await;
    assert!(matches!(answer, Err(Refusal::Unreachable(_))), "{answer:?}");
}

/// Audio, messages and the close are one sequence.
pub async fn what_is_sent_arrives_in_order(mut subject: Subject) {
    let (channel, mut worker) = subject.session().await;
    let close = || ToWorker::Close(Box::new(Close::new(CloseCode::Timeout, "client idle")));
    let sequence = || {
        let flush = |id: u32| ToWorker::Message(Box::new(ClientMessage::Flush { id: Some(id.to_string()) }));
        (0..100).flat_map(move |n| [ToWorker::Audio(audio(n)), flush(n)]).chain([close()])
    };
    let send = async {
        for message in sequence() {
            soon("sending", channel.to_worker.send(message)).await.expect("the worker lives");
        }
    };
    let receive = async {
        for expected in sequence() {
            assert_eq!(soon("a message", worker.from_client.recv()).await, Some(expected));
        }
    };
    join(send, receive).await;
}

/// Nothing is lost before it, and nothing follows.
pub async fn events_arrive_in_order_and_the_close_comes_last(mut subject: Subject) {
    let (mut channel, worker) = subject.session().await;
    let close = Close::new(CloseCode::Restart, "going down");
    let send = async {
        for number in 0..100 {
            soon("sending", worker.to_client.send(event(number))).await.expect("the gateway lives");
            soon("sending", worker.to_client.send(settled(number))).await.expect("the gateway lives");
            soon("sending", worker.to_client.send(spoken(number))).await.expect("the gateway lives");
        }
        worker.close(close.clone()).await;
    };
    let receive = async {
        for number in 0..100 {
            assert_eq!(soon("an event", channel.from_worker.recv()).await, Some(event(number)));
            assert_eq!(soon("a report", channel.from_worker.recv()).await, Some(settled(number)));
            assert_eq!(soon("a report", channel.from_worker.recv()).await, Some(spoken(number)));
        }
        let last = soon("the close", channel.from_worker.recv()).await;
        assert_eq!(last, Some(FromWorker::Closed(Box::new(close.clone()))));
        assert_eq!(soon("the end", channel.from_worker.recv()).await, None);
    };
    join(send, receive).await;
}

/// The worker may then still answer for what it received.
pub async fn a_client_that_goes_is_seen_after_all_it_sent(mut subject: Subject) {
    let (channel, mut worker) = subject.session().await;
    let SessionChannel { to_worker, mut from_worker } = channel;
    to_worker.send(ToWorker::Audio(audio(1))).await.expect("the worker lives");
    drop(to_worker);
    assert_eq!(soon("the audio", worker.from_client.recv()).await, Some(ToWorker::Audio(audio(1))));
    assert_eq!(soon("the end", worker.from_client.recv()).await, None);
    worker.to_client.send(event(1)).await.expect("the gateway still listens");
    assert_eq!(soon("the answer", from_worker.recv()).await, Some(event(1)));
}

/// The gateway must tell a death from an end.
pub async fn a_worker_that_dies_is_seen_without_a_close(mut subject: Subject) {
    let (mut channel, worker) = subject.session().await;
    worker.to_client.send(event(1)).await.expect("the gateway lives");
    drop(worker);
    assert_eq!(soon("the event", channel.from_worker.recv()).await, Some(event(1)));
    assert_eq!(soon("the end", channel.from_worker.recv()).await, None);
    soon("the other direction's end", channel.to_worker.closed()).await;
}

/// Whatever the worker then says to the offer, no session without a client stays.
pub async fn an_opener_that_gave_up_has_no_session(mut subject: Subject) {
    let link = subject.link.clone();
    let incoming = tokio::select! {
        answer = link.open(offer()) => panic!("nobody had answered: {answer:?}"),
        incoming = subject.incoming() => incoming,
    };
    if let Some((_, mut worker)) = incoming.accept() {
        assert_eq!(soon("the end", worker.from_client.recv()).await, None);
    }
}

/// Memory is bounded, and nothing is dropped for it.
pub async fn a_worker_that_does_not_read_holds_the_gateway_back(mut subject: Subject) {
    let (channel, mut worker) = subject.session().await;
    let chunk = Bytes::from(vec![0; 32 * 1024]);
    let mut sent = 0;
    // At most 128 MiB: more than any buffer that is meant to be there.
    while sent < 4096 {
        let send = channel.to_worker.send(ToWorker::Audio(chunk.clone()));
        match timeout(HELD_BACK, send).await {
            Ok(taken) => taken.expect("the worker lives"),
            Err(_held_back) => break,
        }
        sent += 1;
    }
    assert!(sent < 4096, "the gateway was never held back");
    for _ in 0..sent {
        assert_eq!(soon("audio", worker.from_client.recv()).await, Some(ToWorker::Audio(chunk.clone())));
    }
    soon("room", channel.to_worker.send(ToWorker::Audio(chunk))).await.expect("the worker lives");
}

/// The other way, too.
pub async fn a_gateway_that_does_not_read_holds_the_worker_back(mut subject: Subject) {
    let (mut channel, worker) = subject.session().await;
    let long = || {
        let text = "x".repeat(32 * 1024);
        let partial =
            ServerMessage::Partial { utterance_id: "utt_1".into(), text, start: 0.0, end: 1.0, channel: None };
        FromWorker::Event(Box::new(partial))
    };
    let mut sent = 0;
    while sent < 4096 {
        match timeout(HELD_BACK, worker.to_client.send(long())).await {
            Ok(taken) => taken.expect("the gateway lives"),
            Err(_held_back) => break,
        }
        sent += 1;
    }
    assert!(sent < 4096, "the worker was never held back");
    for _ in 0..sent {
        assert_eq!(soon("an event", channel.from_worker.recv()).await, Some(long()));
    }
    soon("room", worker.to_client.send(event(1))).await.expect("the gateway lives");
}

/// Two at once, each with its own words.
pub async fn sessions_do_not_mix(mut subject: Subject) {
    let mut sessions = [subject.session().await, subject.session().await];
    for round in 0..10 {
        for (number, (channel, worker)) in (0..).zip(&mut sessions) {
            let number = round * 2 + number;
            soon("sending", channel.to_worker.send(ToWorker::Audio(audio(number)))).await.expect("the worker lives");
            soon("sending", worker.to_client.send(event(number))).await.expect("the gateway lives");
        }
        for (number, (channel, worker)) in (0..).zip(&mut sessions) {
            let number = round * 2 + number;
            assert_eq!(soon("audio", worker.from_client.recv()).await, Some(ToWorker::Audio(audio(number))));
            assert_eq!(soon("an event", channel.from_worker.recv()).await, Some(event(number)));
        }
    }
}
