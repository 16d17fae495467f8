//! A form means the same however the network cuts it.

#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod support;

use support::{
    jobs::{BOUNDARY, BatchServer, Form, JOBS},
    wire::Answer,
};
use tokio::io::AsyncWriteExt;

#[tokio::test]
async fn a_form_is_read_the_same_however_it_is_cut() {
    let server = BatchServer::start().await;
    // What looks like the boundary and is not, at the end too.
    let nearly = &BOUNDARY[..BOUNDARY.len() - 1];
    let audio = format!("\r\n--{nearly}x\r\n{BOUNDARY}\r\n--\r\n--{nearly}\r\n-");
    let form = Form::default().field("language", "en").file("talk.wav", audio.as_bytes()).field("name", "cut");
    let body = form.body();
    for size in [1, 2, 7, 64, body.len()] {
        let mut stream = server.request(&format!("POST {JOBS}"), &form.content_type(), body.len(), "").await;
        stream.set_nodelay(true).unwrap();
        for piece in body.chunks(size) {
            stream.write_all(piece).await.unwrap();
            tokio::task::yield_now().await;
        }
        let answer = Answer::read(&mut stream).await;
        assert_eq!(answer.status, 201, "in pieces of {size}: {answer:?}");
        let id = answer.json()["id"].as_str().unwrap().parse().unwrap();
        let (job, _) = server.worker.job(&id).await;
        assert_eq!((job.source.bytes, job.name.as_deref()), (audio.len() as u64, Some("cut")), "in pieces of {size}");
        let kept = server.worker.artifacts.get(&job.source.key, 10_000).await.unwrap();
        assert_eq!(kept, audio, "in pieces of {size}");
    }
}
