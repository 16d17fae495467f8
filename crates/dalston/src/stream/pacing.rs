//! Audio out, as fast as it was spoken.

use std::{io, thread, time::Duration};

use anyhow::{Context, Result};
use dalston_client::{Sink, StreamError};
use dalston_protocol::realtime::ClientMessage;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep_until},
};
use tokio_util::sync::CancellationToken;

use super::source::Source;

/// Chunks read ahead. When full, reading waits.
const READ_AHEAD: usize = 8;

type Chunk = io::Result<(Vec<u8>, f64)>;

/// Sends the source to its end, or until `stop`, and then `end`. `pace` is how many seconds of audio go out in a second; 0 is as
/// fast as the server takes them.
pub async fn send(source: Source, mut sink: Sink, pace: f64, stop: CancellationToken) -> Result<()> {
    let mut chunks = read(source)?;
    let began = Instant::now();
    let mut sent_seconds = 0.0;
    let mut outcome = Ok(());
    loop {
        let next = tokio::select! {
            () = stop.cancelled() => None,
            chunk = chunks.recv() => chunk,
        };
        let (bytes, seconds) = match next {
            None => break,
            Some(Ok(chunk)) => chunk,
            Some(Err(error)) => {
                outcome = Err(error).context("reading the audio failed");
                break;
            }
        };
        sent_seconds += seconds;
        // A chunk goes out when it has been spoken, not when it begins.
        if pace > 0.0 {
            let due = began + Duration::from_secs_f64(sent_seconds / pace);
            tokio::select! {
                () = stop.cancelled() => break,
                () = sleep_until(due) => {}
            }
        }
        if let Err(error) = sink.send_audio(bytes).await {
            return ended(error);
        }
    }
    if let Err(error) = sink.send(&ClientMessage::End).await {
        ended(error)?;
    }
    outcome
}

/// A session that the server has ended needs no more audio; its events say why it ended.
fn ended(error: StreamError) -> Result<()> {
    match error {
        StreamError::Ended | StreamError::Lost(_) => Ok(()),
        other => Err(other.into()),
    }
}

/// Reads on a thread of its own, because standard input blocks. The thread ends with its source, when nobody listens any more, or
/// with the process: one that waits for a microphone cannot be woken.
fn read(mut source: Source) -> Result<mpsc::Receiver<Chunk>> {
    let (sender, receiver) = mpsc::channel(READ_AHEAD);
    let work = move || {
        while let Some(chunk) = source.next_chunk().transpose() {
            let is_last = chunk.is_err();
            if sender.blocking_send(chunk).is_err() || is_last {
                return;
            }
        }
    };
    thread::Builder::new().name("audio-source".into()).spawn(work).context("cannot start a thread to read audio")?;
    Ok(receiver)
}
