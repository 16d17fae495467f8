//! Real speech through the whole server, with the engine that a user gets, and with that engine killed.

use std::time::{Duration, Instant};

use dalston_protocol::realtime::SessionConfig;
use dalston_tests::{Server, session, speech, words};

/// How many words of `reference` are in `heard`, in order.
fn in_order(reference: &[String], heard: &[String]) -> usize {
    let mut row = vec![0; heard.len() + 1];
    for word in reference {
        let mut diagonal = 0;
        for (i, other) in heard.iter().enumerate() {
            let above = row[i + 1];
            row[i + 1] = if word == other { diagonal + 1 } else { above.max(row[i]) };
            diagonal = above;
        }
    }
    row[heard.len()]
}

fn assert_heard(heard: &session::Heard) {
    let text: Vec<&str> = heard.finals().iter().map(|said| said.text.as_str()).collect();
    let (reference, said) = (words::of(speech::DEMO_TEXT), words::of(&text.join(" ")));
    let right = in_order(&reference, &said);
    assert!(right * 10 >= reference.len() * 9, "{right} of {} words: {}", reference.len(), text.join(" / "));
    for pair in heard.finals().windows(2) {
        assert!(pair[0].end <= pair[1].start, "{pair:?}");
    }
}

/// The children of a process that are alive.
fn children(pid: u32) -> Vec<u32> {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
    tasks
        .filter_map(|task| std::fs::read_to_string(task.path().join("children")).ok())
        .flat_map(|list| list.split_ascii_whitespace().filter_map(|pid| pid.parse().ok()).collect::<Vec<_>>())
        .collect()
}

fn is_alive(pid: u32) -> bool {
    // A zombie has ended; it only waits for its parent to ask.
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit_once(')').is_some_and(|(_, rest)| !rest.trim_start().starts_with(['Z', 'X']))
}

fn kill(pid: u32) {
    let killed = std::process::Command::new("kill").args(["-s", "KILL", &pid.to_string()]).status();
    assert!(killed.is_ok_and(|status| status.success()));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_recording_gives_its_words_and_a_vocabulary_does_not_hurt() {
    let server = Server::with_engine("pocketsphinx").start();
    let heard = session::stream(&server.client(SessionConfig::default()), speech::demo(), 3_200, Duration::ZERO).await;
    assert_eq!(heard.code, 1000, "{}", heard.reason);
    assert_heard(&heard);

    let config =
        SessionConfig { vocabulary: vec!["Dalston".into()], word_timestamps: true, ..SessionConfig::default() };
    let heard = session::stream(&server.client(config), speech::demo(), 1_000, Duration::ZERO).await;
    assert_heard(&heard);
    for said in heard.finals() {
        assert!(!said.words.is_empty() && said.words.iter().all(|word| word.start < word.end), "{said:?}");
        assert!(said.confidence.is_some_and(|c| (0.0..=1.0).contains(&c)), "{said:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_engine_process_that_is_killed_mid_utterance_costs_no_word() {
    // How long a busy machine takes to load the model again is not what is tried here.
    let server = Server::with_engine("pocketsphinx")
        .env("DALSTON_LAG_LIMIT", "1m")
        .expect("host")
        .expect("stream")
        .expect("engine")
        .start();
    let host = children(server.pid())[0];
    let client = server.client(SessionConfig::default());
    let live =
        tokio::spawn(async move { session::stream(&client, speech::demo(), 3_200, Duration::from_millis(50)).await });
    let deadline = Instant::now() + Duration::from_secs(20);
    while children(host).is_empty() {
        assert!(Instant::now() < deadline, "no stream was forked");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    kill(host);
    let heard = live.await.expect("the session does not panic");
    assert_eq!(heard.code, 1000, "{}", heard.reason);
    assert_heard(&heard);
    assert_ne!(children(server.pid()), [host], "the host was started again");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_engine_process_outlives_a_server_that_is_killed() {
    let mut server = Server::with_engine("pocketsphinx").start();
    let client = server.client(SessionConfig { enable_vad: false, ..SessionConfig::default() });
    let (mut sink, _events, _) = session::open(&client).await;
    sink.send_audio(speech::demo()[..64_000].to_vec()).await.expect("the session is open");
    let host = children(server.pid())[0];
    let deadline = Instant::now() + Duration::from_secs(20);
    while children(host).is_empty() {
        assert!(Instant::now() < deadline, "no stream was forked");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    let mut engine_processes = children(host);
    engine_processes.push(host);
    server.signal("KILL");
    server.wait();
    for pid in engine_processes {
        while is_alive(pid) {
            assert!(Instant::now() < deadline + Duration::from_secs(20), "process {pid} outlives its server");
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }
}
