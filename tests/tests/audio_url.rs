//! Audio that a whole server fetches: a real process asks a real server on loopback, which may be slow, large or hostile.

use std::{
    fs,
    time::{Duration, Instant},
};

use dalston_tests::{
    Server,
    http::Answer,
    jobs::{Form, PATH},
    receiver::{Does, Heard, Receiver},
    server::Builder,
    speech::DEMO,
};

/// A server that may call 127.0.0.1, and nothing else that is not public.
fn server() -> Builder {
    Server::loopback().env("DALSTON_EGRESS_ALLOW", "127.0.0.1")
}

fn fetch(url: &str) -> Form {
    Form::default().field("audio_url", url)
}

fn refused(server: &Server, url: &str, status: u16, told: &str) -> Answer {
    let answer = fetch(url).post(server).expect("the server answers");
    let error = &answer.json()["error"];
    assert_eq!((answer.status, &error["param"]), (status, &"audio_url".into()), "{told}: {}", answer.body);
    assert!(error["message"].as_str().is_some_and(|message| message.contains(told)), "{told}: {error}");
    assert!(!answer.body.contains("hunter2"), "the URL is told on: {}", answer.body);
    answer
}

/// Nothing of what was not accepted is kept.
fn nothing_is_kept(server: &Server) {
    let jobs = server.folder().join("artifacts").join("jobs");
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let left: Vec<_> = fs::read_dir(&jobs).into_iter().flatten().filter_map(Result::ok).collect();
        if left.is_empty() {
            break;
        }
        assert!(Instant::now() < deadline, "{left:?} stay");
        std::thread::sleep(Duration::from_millis(10));
    }
    assert_eq!(server.get(PATH).json()["items"], serde_json::json!([]));
}

#[test]
fn a_recording_is_fetched_and_transcribed_also_where_a_redirect_leads_to() {
    let recording = fs::read(DEMO).expect("the demo recording is part of the project");
    let store = {
        let recording = recording.clone();
        Receiver::start(move |_| Does::Answers(200, recording.clone()))
    };
    let real = store.url("/talks/real.wav?token=hunter2");
    let link = Receiver::start(move |_: &Heard| Does::Redirects(real.clone()));
    let server = server().start();
    for url in [store.url("/talks/go%20forward.wav?token=hunter2"), link.url("/s/abc")] {
        let id = fetch(&url).submit(&server);
        let job = server.ended(&id);
        assert_eq!(job["status"], "completed", "{job}");
        assert!(!job.to_string().contains("hunter2"), "the URL is kept: {job}");
        let seconds = job["transcript"]["duration"].as_f64().expect("a length");
        let audio = server.ask("GET", &id, "/export/json");
        assert_eq!(audio.status, 200);
        assert!((seconds - wav_seconds(&recording)).abs() < 0.1, "{seconds}");
        let heard = store.next();
        assert!(heard.header("authorization").is_empty() && heard.header("cookie").is_empty(), "{heard:?}");
    }
    assert!(!server.log().contains("hunter2"), "the URL is logged");
}

fn wav_seconds(bytes: &[u8]) -> f64 {
    let wav = hound::WavReader::new(bytes).expect("the demo is WAV");
    f64::from(wav.duration()) / f64::from(wav.spec().sample_rate)
}

#[test]
fn the_inside_is_asked_nothing_neither_by_its_address_nor_by_a_redirect() {
    // Another address of this machine, which is not among the allowed ones.
    let inside = Receiver::at("127.0.0.2:0", |_| Does::Answers(200, b"RIFF".to_vec()));
    let secret = inside.url("/latest/meta-data?token=hunter2");
    let to = secret.clone();
    let link = Receiver::start(move |_| Does::Redirects(to.clone()));
    let server = server().start();
    refused(&server, &secret, 400, "has a host without a public address");
    refused(&server, &link.url("/"), 400, "redirects to another, which has a host without a public address");
    for address in ["http://169.254.169.254/?hunter2", "http://[::1]/?hunter2", "http://0x7f.2/?hunter2"] {
        refused(&server, address, 400, "has a host without a public address");
    }
    assert!(inside.others().is_empty(), "the server asked inside");
    nothing_is_kept(&server);
}

#[test]
fn what_is_too_large_or_too_slow_is_given_up_in_time_and_others_go_on() {
    const LIMIT: u64 = 1 << 20;
    let flooding = Receiver::start(|_| Does::Floods(10 << 30));
    let dripping = Receiver::start(|_| Does::Drips(1_000_000));
    let hanging = Receiver::start(|_| Does::Hangs);
    let server = server().env("DALSTON_MAX_UPLOAD", LIMIT.to_string()).env("DALSTON_UPLOAD_TIMEOUT", "2s").start();
    refused(&server, &flooding.url("/"), 413, "more than 1048576 bytes");
    // What the kernels' buffers hold on top.
    assert!(flooding.sent() < LIMIT + (16 << 20), "{} bytes were taken", flooding.sent());

    let slow: Vec<_> = [&dripping, &hanging].map(|from| fetch(&from.url("/")).encoded()).into_iter().collect();
    std::thread::scope(|scope| {
        let waiting: Vec<_> = slow
            .iter()
            .map(|(headers, body)| {
                let server = &server;
                scope.spawn(move || {
                    let began = Instant::now();
                    let answer = server.send("POST", PATH, headers, body).expect("the server answers");
                    (answer, began.elapsed())
                })
            })
            .collect();
        // Beside them, somebody uploads.
        dripping.next();
        hanging.next();
        let id = Form::demo().submit(&server);
        assert_eq!(server.ended(&id)["status"], "completed");
        assert_eq!(server.ask("DELETE", &id, "").status, 204);
        for waited in waiting {
            let (answer, took) = waited.join().expect("no request panics");
            assert_eq!((answer.status, &answer.json()["error"]["param"]), (400, &"audio_url".into()), "{answer:?}");
            assert!(answer.body.contains("within 2 s"), "which limit is told: {}", answer.body);
            assert!(took < Duration::from_secs(10), "{took:?}");
        }
    });
    nothing_is_kept(&server);
}
