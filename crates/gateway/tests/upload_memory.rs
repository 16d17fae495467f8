//! What an upload costs. Alone in its binary: the process's memory is measured.

#![cfg(target_os = "linux")]
#![allow(clippy::unwrap_used, reason = "what fails here fails the test")]

mod support;

use support::{
    jobs::{BOUNDARY, BatchServer, JOBS},
    wire::Answer,
};
use tokio::io::AsyncWriteExt;

const MIB: usize = 1 << 20;
const UPLOAD: usize = 64 * MIB;
/// More than the store's own buffers, and far less than the upload.
const LIMIT: usize = 24 * MIB;

/// The most that was ever resident of this process.
fn peak() -> usize {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:")).unwrap();
    line.trim().trim_end_matches(" kB").parse::<usize>().unwrap() * 1024
}

async fn upload(server: &BatchServer, size: usize) {
    let head = format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"file\"; filename=\"long.wav\"\r\n\r\n");
    let tail = format!("\r\n--{BOUNDARY}--\r\n");
    let kind = format!("multipart/form-data; boundary={BOUNDARY}");
    let length = head.len() + size + tail.len();
    let mut stream = server.request(&format!("POST {JOBS}"), &kind, length, "").await;
    stream.write_all(head.as_bytes()).await.unwrap();
    let piece = vec![7; MIB];
    for _ in 0..size / MIB {
        stream.write_all(&piece).await.unwrap();
    }
    stream.write_all(tail.as_bytes()).await.unwrap();
    let answer = Answer::read(&mut stream).await;
    assert_eq!(answer.status, 201, "{answer:?}");
}

#[tokio::test]
async fn memory_does_not_grow_with_an_upload() {
    let server = BatchServer::start().await;
    upload(&server, MIB).await;
    let before = peak();
    upload(&server, UPLOAD).await;
    let grown = peak() - before;
    println!("an upload of {UPLOAD} bytes took {grown} bytes of memory more than one of {MIB}");
    assert!(grown < LIMIT, "{grown} bytes for an upload of {UPLOAD}");
}
