//! Clients and workers that are slow, flooded, or not there: memory stays bounded and nothing is lost (RT3, RT4).

mod support;

use std::time::Duration;

use dalston_protocol::realtime::ServerMessage;
use dalston_session_router::link::{Departure, FromWorker, ToWorker};
use dalston_telemetry::SessionOutcome;
use support::{
    LONG, Server, partial, transcript,
    wire::{frame, read_frames, read_until},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    time::{sleep, timeout},
};

#[tokio::test]
async fn a_flood_waits_in_the_clients_kernel_and_arrives_whole() {
    let mut server = Server::start("").await;
    let mut client = server.connect_raw("").await;
    let mut session = server.session().await;
    // The worker takes nothing. The flood must stop at some point that is far below its size.
    let flood: Vec<u8> = (0..4_000_u32).map(|n| frame(0x82, &[n as u8; 16_000])).collect::<Vec<_>>().concat();
    let mut sent = 0;
    while sent < flood.len()
        && let Ok(Ok(count)) = timeout(Duration::from_millis(300), client.write(&flood[sent..])).await
    {
        sent += count;
    }
    let metrics = server.http("GET /metrics").await.body;
    let payload =
        metrics.lines().find_map(|line| line.strip_prefix("dalston_websocket_payload_bytes_total{direction=\"in\"} "));
    let taken: usize = payload.unwrap_or_else(|| panic!("{metrics}")).parse().unwrap();
    assert!(taken < 12 * 16_000, "{taken} bytes are in a gateway that should hold nine messages");
    // The rest is in the two kernels.
    assert!(sent < 8 << 20, "{sent} bytes went into a worker that takes nothing");

    // Events still reach the client, and a paused client is not idle.
    session.send(transcript(1, "still here")).await;
    let rest = tokio::spawn(async move {
        client.write_all(&flood[sent..]).await.unwrap();
        client.write_all(&frame(0x81, br#"{"type":"end"}"#)).await.unwrap();
        client
    });
    let (audio, then) = session.audio().await;
    assert!(matches!(then, Some(ToWorker::Message(_))), "{then:?}");
    assert_eq!(audio.len(), 4_000 * 16_000);
    let frames = audio.chunks(16_000).enumerate();
    assert!(frames.into_iter().all(|(n, audio)| audio == [n as u8; 16_000]), "the flood arrived changed");
    session.finish().await;
    let (texts, code) = read_frames(&mut rest.await.unwrap()).await;
    assert!(texts.iter().any(|text| text.contains("still here")));
    assert_eq!(code, Some(1000));
}

#[tokio::test]
async fn events_and_pings_go_on_while_the_worker_takes_nothing_and_the_pause_is_not_idleness() {
    let mut server = Server::start("[stream]\nidle_timeout = 0.3\nping_interval = 0.2").await;
    let mut client = server.connect("").await;
    let mut session = server.session().await;
    for _ in 0..20 {
        client.audio([0; 1_000]).await;
    }
    // Eight of them wait at the worker, one in the gateway, the rest in the kernel.
    for n in 0..10 {
        sleep(Duration::from_millis(100)).await;
        session.send(transcript(n, "on")).await;
    }
    let finals = async {
        for _ in 0..11 {
            client.event().await;
        }
    };
    timeout(LONG, finals).await.expect("events do not pass a choked worker");
    for _ in 0..20 {
        assert!(matches!(session.next().await, Some(ToWorker::Audio(_))));
    }
    // Now the silence is the client's own.
    assert_eq!(client.refusal().await, ("client_idle".into(), 4408));
}

#[tokio::test]
async fn a_worker_that_takes_nothing_for_too_long_is_given_up() {
    let mut server = Server::start("[stream]\nworker_timeout = 0.3").await;
    let mut client = server.connect("").await;
    let _session = server.session().await;
    for _ in 0..20 {
        client.audio([0; 1_000]).await;
    }
    assert_eq!(client.refusal().await, ("internal".into(), 1011));
    server.ended_once(SessionOutcome::WorkerLost).await;
}

#[tokio::test]
async fn a_worker_that_says_why_it_takes_nothing_is_waited_for() {
    let mut server = Server::start("[stream]\nworker_timeout = 0.4").await;
    let mut client = server.connect("").await;
    let mut session = server.session().await;
    for _ in 0..20 {
        client.audio([0; 1_000]).await;
    }
    client.text(r#"{"type":"end"}"#).await;
    for n in 0..12 {
        sleep(Duration::from_millis(100)).await;
        session.send(partial(n, "wait")).await;
    }
    let (audio, _) = session.audio().await;
    assert_eq!(audio.len(), 20_000);
    session.finish().await;
    assert_eq!(client.rest().await.1, 1000);
}

#[tokio::test]
async fn a_client_that_reads_nothing_is_4408_and_the_worker_hears_of_it() {
    let mut server = Server::start("[stream]\nwrite_timeout = 0.3\nclose_timeout = 0.2").await;
    let client = server.connect_raw("").await;
    let mut session = server.session().await;
    let text = "word ".repeat(2_000);
    let mut sent = 0;
    // Finals are never dropped, so at some point no more are taken.
    let closed = loop {
        let event = FromWorker::Event(Box::new(transcript(sent, &text)));
        tokio::select! {
            taken = session.channel.to_client.send(event) => match taken {
                Ok(()) => sent += 1,
                Err(_) => break session.next().await,
            },
            told = session.channel.from_client.recv() => break told,
        }
        assert!(sent < 5_000, "{sent} finals of 10 kB went to a client that reads nothing");
    };
    let how = Departure { outcome: SessionOutcome::SlowReader, close_code: 4408 };
    assert_eq!(closed, Some(ToWorker::Gone(how)));
    drop(session);
    server.ended_once(SessionOutcome::SlowReader).await;
    drop(client);
}

#[tokio::test]
async fn a_client_that_reads_a_little_at_a_time_is_not_taken_for_one_that_reads_nothing() {
    const LITTLE: usize = 500;
    let mut server = Server::start("[stream]\nwrite_timeout = 1").await;
    // A small window: what is read is soon made room for. Ten thousand bytes a second are read, and our kernel takes more only
    // when a third of its own buffer is free, which is a matter of several seconds.
    let mut client = server.connect_raw_with_window(4_096).await;
    let mut session = server.session().await;
    let text = "word ".repeat(2_000);
    // Ends when the worker hears that the client is given up.
    let feeding = tokio::spawn(async move {
        for n in 0.. {
            let event = FromWorker::Event(Box::new(transcript(n, &text)));
            tokio::select! {
                _ = session.channel.to_client.send(event) => {}
                _ = session.channel.from_client.recv() => return,
            }
        }
    });
    let mut little = [0; LITTLE];
    for _ in 0..100 {
        client.read_exact(&mut little).await.expect("it is still sent to");
        sleep(Duration::from_millis(50)).await;
    }
    assert!(!feeding.is_finished(), "the session was ended");
    feeding.abort();
}

#[tokio::test]
async fn a_client_that_reads_slowly_gets_every_final_in_order_and_the_newest_partial() {
    let mut server = Server::start("").await;
    let mut client = server.connect_raw("").await;
    let session = server.session().await;
    let text = "word ".repeat(2_000);
    let feeding = tokio::spawn(async move {
        for utterance in 0..500 {
            for n in 0..20 {
                session.send(partial(utterance, &format!("{n} {text}"))).await;
            }
            session.send(transcript(utterance, &text)).await;
        }
        session.finish().await;
    });
    // Long enough that all buffers on the way are full.
    sleep(Duration::from_millis(500)).await;
    let (texts, code) = read_frames(&mut client).await;
    feeding.await.unwrap();
    assert_eq!(code, Some(1000));
    let events: Vec<ServerMessage> = texts.iter().map(|text| serde_json::from_str(text).unwrap()).collect();
    let finals: Vec<&str> = events
        .iter()
        .filter_map(|event| match event {
            ServerMessage::Final(heard) => Some(heard.utterance_id.as_str()),
            _ => None,
        })
        .collect();
    let expected: Vec<String> = (0..500).map(|utterance| format!("utt_{utterance}")).collect();
    assert_eq!(finals, expected);
    let partials = events.iter().filter(|event| matches!(event, ServerMessage::Partial { .. })).count();
    assert!(partials < 500 * 20, "no partial was replaced");
    let newest_came = |utterance: usize| {
        events.iter().rev().find_map(|event| match event {
            ServerMessage::Partial { utterance_id, text, .. } if *utterance_id == format!("utt_{utterance}") => {
                Some(text.starts_with("19 "))
            }
            _ => None,
        })
    };
    assert!((0..500).all(|utterance| newest_came(utterance) == Some(true)), "a newer partial lost to an older one");
}

#[tokio::test]
async fn a_client_that_is_gone_without_a_word_is_noticed() {
    let mut server = Server::start("[stream]\nping_interval = 0.2").await;
    // Never answers, as if its cable had been pulled: the kernel acknowledges, nobody is there.
    let mut client = server.connect_raw("").await;
    let mut session = server.session().await;
    client.write_all(&frame(0x82, &[1; 10])).await.unwrap();
    let (audio, then) = session.audio().await;
    assert_eq!((audio.len(), then.is_none()), (10, true));
    session.finish().await;
    server.ended_once(SessionOutcome::ClientGone).await;
    assert!(read_until(&mut client, &[0x89, 0x00]).await.contains("session.begin"), "it was asked");
}

#[tokio::test]
async fn a_client_that_answers_pings_stays() {
    let mut server = Server::start("[stream]\nping_interval = 0.1").await;
    let mut client = server.connect("").await;
    let mut session = server.session().await;
    client.event().await;
    // Reading is what makes the client's library answer.
    assert_eq!(client.next_within(Duration::from_secs(1)).await, None, "it was closed");
    client.audio([1]).await;
    assert!(matches!(session.next().await, Some(ToWorker::Audio(_))));
}

#[tokio::test]
async fn a_close_without_echo_is_not_awaited_for_ever() {
    let mut server = Server::start("[stream]\nclose_timeout = 0.2").await;
    let mut client = server.connect_raw("").await;
    server.session().await.finish().await;
    let (_, code) = read_frames(&mut client).await;
    assert_eq!(code, Some(1000));
    let mut rest = Vec::new();
    timeout(LONG, client.read_to_end(&mut rest)).await.expect("the socket stays open").unwrap();
    server.ended_once(SessionOutcome::Completed).await;
}

#[tokio::test]
async fn ten_flooding_clients_do_not_stop_an_eleventh() {
    let mut server = Server::start("").await;
    let mut floods = Vec::new();
    for _ in 0..10 {
        let mut client = server.connect_raw("").await;
        let mut session = server.session().await;
        floods.push(tokio::spawn(async move {
            let bytes = frame(0x82, &[0; 100]).repeat(1_000);
            while client.write_all(&bytes).await.is_ok() {}
        }));
        floods.push(tokio::spawn(async move { while session.channel.from_client.recv().await.is_some() {} }));
    }
    let mut client = server.connect("").await;
    let mut session = server.session().await;
    for _ in 0..100 {
        client.audio([1, 2]).await;
        assert!(matches!(session.next().await, Some(ToWorker::Audio(audio)) if *audio == [1, 2]));
    }
    floods.iter().for_each(|flood| flood.abort());
}
