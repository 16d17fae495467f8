//! A stream as the server holds it: a socket, and the word of its end.

use std::mem;
use std::os::fd::OwnedFd;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use dalston_engine_sdk::{EngineError, StreamOptions};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixStream;
use tokio::sync::{Notify, oneshot};

use super::patience::{Patience, Pid};
use super::pool::Slot;
use crate::wire::{Answer, Exit, LENGTH, MAX_FRAME, Message};

/// What the supervisor needs to have a stream forked.
pub struct ForkOrder {
    pub id: u64,
    pub options: Arc<StreamOptions>,
    /// The stream's end of its socket.
    pub socket: OwnedFd,
    pub slot: Slot,
    /// Set when it is forked.
    pub pid: Pid,
    pub ended: oneshot::Sender<Ending>,
}

/// Why a stream is no more.
#[derive(Debug)]
pub enum Ending {
    /// The host could not make it.
    Refused(EngineError),
    /// Its process ended.
    Exited(Exit),
    /// Its host is gone.
    HostGone(String),
}

/// Streams that must end at once. Holds each stream at most once, so no more than there are slots.
#[derive(Debug, Default)]
pub struct Kills {
    // A std mutex: no await happens under it.
    ids: Mutex<Vec<u64>>,
    pub wake: Notify,
}

impl Kills {
    fn push(&self, id: u64) {
        self.ids.lock().unwrap_or_else(PoisonError::into_inner).push(id);
        self.wake.notify_one();
    }

    pub fn take(&self) -> Vec<u64> {
        mem::take(&mut *self.ids.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// A forked stream. Dropping it ends the process: at once, or by itself when it has finished its utterance.
pub struct Stream {
    id: u64,
    pid: Pid,
    /// Its host's: what it waits for first.
    host: Pid,
    socket: UnixStream,
    ended: oneshot::Receiver<Ending>,
    kills: Arc<Kills>,
    finished: bool,
}

/// Why a stream gave no answer.
#[derive(Debug)]
pub enum Fault {
    /// The engine said so: nothing would change by trying again.
    Engine(EngineError),
    /// The process is lost; another may do better.
    Lost(EngineError),
}

impl Stream {
    /// A stream to be, and the order that makes it. Its socket takes requests at once.
    pub fn ordered(
        id: u64,
        options: Arc<StreamOptions>,
        slot: Slot,
        kills: Arc<Kills>,
        host: Pid,
    ) -> std::io::Result<(Self, ForkOrder)> {
        let (ours, theirs) = std::os::unix::net::UnixStream::pair()?;
        ours.set_nonblocking(true)?;
        let (ended, end) = oneshot::channel();
        let pid = Pid::default();
        let stream = Self {
            id,
            pid: pid.clone(),
            host,
            socket: UnixStream::from_std(ours)?,
            ended: end,
            kills,
            finished: false,
        };
        Ok((stream, ForkOrder { id, options, socket: theirs.into(), slot, pid, ended }))
    }

    /// Sends a request and waits for its answer, for so long of the time that the stream could have used.
    pub async fn ask(&mut self, request: &[u8], longest: Duration) -> Result<Answer, Fault> {
        let patience = Patience::new(longest, vec![self.host.clone(), self.pid.clone()]);
        let exchange = async {
            // A stream that failed has said why before it closed: read in any case.
            let _closed = self.socket.write_all(request).await;
            self.read().await
        };
        let read = tokio::select! {
            // An answer that is there counts, however late it is seen.
            biased;
            read = exchange => read,
            () = patience.exhausted() => return Err(Fault::Lost(EngineError::Stalled(longest))),
        };
        match read {
            Ok(Answer::Failed(error)) => Err(Fault::Engine(error)),
            Ok(answer) => Ok(answer),
            Err(Unread::Garbage) => Err(Fault::Lost(EngineError::Died("it answered garbage".to_owned()))),
            Err(Unread::Closed) => Err(self.reason().await),
        }
    }

    /// Its utterance is done: it may end by itself.
    pub fn finish(mut self) {
        self.finished = true;
    }

    async fn read(&mut self) -> Result<Answer, Unread> {
        let mut length = [0; LENGTH];
        self.socket.read_exact(&mut length).await.map_err(|_| Unread::Closed)?;
        let length = u32::from_le_bytes(length) as usize;
        if length > MAX_FRAME {
            return Err(Unread::Garbage);
        }
        let mut frame = vec![0; length];
        self.socket.read_exact(&mut frame).await.map_err(|_| Unread::Closed)?;
        Answer::decode(&frame).map_err(|_| Unread::Garbage)
    }

    /// Why the socket closed, as the host reports it a moment later.
    async fn reason(&mut self) -> Fault {
        /// The host reaps within milliseconds, unless it is what is wrong.
        const LONGEST: Duration = Duration::from_millis(500);
        match tokio::time::timeout(LONGEST, &mut self.ended).await {
            Ok(Ok(Ending::Refused(error))) => Fault::Engine(error),
            Ok(Ok(Ending::Exited(exit))) => Fault::Lost(EngineError::Died(format!("stream ended with {exit}"))),
            Ok(Ok(Ending::HostGone(reason))) => Fault::Lost(EngineError::Died(reason)),
            Ok(Err(_)) | Err(_) => Fault::Lost(EngineError::Died("its socket closed".to_owned())),
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        if !self.finished {
            self.kills.push(self.id);
        }
    }
}

enum Unread {
    Closed,
    Garbage,
}
