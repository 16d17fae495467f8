//! Sessions that ask to be kept, over the real binary's own API.

use std::time::Duration;

use dalston_protocol::realtime::{Retention, SessionConfig};
use dalston_tests::{Server, session, speech};

#[tokio::test(flavor = "multi_thread")]
async fn a_kept_session_is_listed_read_heard_and_deleted() {
    let server = Server::loopback().start();
    let config = SessionConfig { retention: Retention::Days(7), store_audio: true, ..SessionConfig::default() };
    let heard = session::stream(&server.client(config), speech::demo(), 3_200, Duration::ZERO).await;
    assert_eq!(heard.code, 1000, "{}", heard.reason);
    let id = heard.begin().0;

    let listed = server.get("/v1/realtime/sessions?limit=5").json();
    assert_eq!(listed["sessions"][0]["session_id"], id, "{listed}");
    let path = format!("/v1/realtime/sessions/{id}");
    let kept = server.get(&path).json();
    let said: Vec<&str> = heard.finals().iter().map(|said| said.text.as_str()).collect();
    assert_eq!(kept["transcript"]["text"], said.join(" "));
    assert_eq!(kept["close_code"], 1000);
    let audio = server.request("HEAD", &format!("{path}/audio"), "");
    assert_eq!(audio.header("content-type"), Some("audio/wav"));
    let size: usize = audio.header("content-length").expect("its length").parse().expect("a number");
    assert!(size >= speech::demo().len(), "{size} bytes for {}", speech::demo().len());

    assert_eq!(server.request("DELETE", &path, "").status, 204);
    assert_eq!(server.get(&path).status, 404);
    assert_eq!(server.get("/v1/realtime/sessions/../../etc/passwd").status, 404);
    assert_eq!(server.get("/v1/realtime/sessions/ses_1?x").status, 404);
    assert_eq!(server.get("/v1/realtime/sessions/other").status, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_did_not_ask_is_not_kept() {
    let server = Server::loopback().start();
    let client = server.client(SessionConfig::default());
    let heard = session::stream(&client, speech::demo(), 3_200, Duration::ZERO).await;
    assert_eq!(server.get(&format!("/v1/realtime/sessions/{}", heard.begin().0)).status, 404);
    assert_eq!(server.get("/v1/realtime/sessions").json()["sessions"].as_array().map(Vec::len), Some(0));
}
