//! The audio of open sessions on its way to the disk.
//!
//! One thread writes for all sessions: a thread, because writing to a disk blocks, and one, because a disk that hangs must
//! not hang more than that. A session never waits for it. Its audio is gathered in pages; a full page is handed over if
//! there is room for it, and if there is none the rest of that session's audio is given up. What was written before stays
//! and is the true beginning of the session.

use std::{io, path::PathBuf, sync::Arc, thread, time::Duration};

use dalston_protocol::SessionId;
use parking_lot::Mutex;
use tokio::sync::{
    OwnedSemaphorePermit, Semaphore,
    mpsc::{self, OwnedPermit},
    oneshot,
};

use crate::{
    StoredAudio,
    reel::{Loss, Reel},
    wav::{self, WavFormat},
};

/// Bytes handed over at once. What a session holds back, and loses in a crash.
const PAGE: usize = 32 * 1024;

/// Orders that may wait: every open tape holds one for its end, and the rest are pages, whose bytes are limited elsewhere.
/// When full, a new tape is not begun and a page is given up.
const ORDERS: usize = 16 * 1024;

/// What the thread is told.
enum Order {
    Write {
        reel: Arc<Reel>,
        page: Vec<u8>,
        _room: OwnedSemaphorePermit,
    },
    /// With nobody to tell, the tape is thrown away.
    End {
        reel: Arc<Reel>,
        tell: Option<oneshot::Sender<u64>>,
    },
}

/// Where tapes come from.
#[derive(Debug, Clone)]
pub(crate) struct Writer {
    orders: mpsc::Sender<Order>,
    /// Bytes of pages that may wait for the disk.
    room: Arc<Semaphore>,
    /// Bytes of audio that one session may keep.
    limit: u64,
}

impl Writer {
    /// Starts the thread. It ends, and the receiver with it, when the writer and all tapes are gone.
    pub(crate) fn start(room: Arc<Semaphore>, limit: u64) -> io::Result<(Self, oneshot::Receiver<()>)> {
        let (orders, received) = mpsc::channel(ORDERS);
        let (alive, ended) = oneshot::channel();
        thread::Builder::new().name("archive-audio".into()).spawn(move || {
            let _alive = alive;
            carry_out(received);
        })?;
        Ok((Self { orders, room, limit: limit.min(wav::MAX_DATA) }, ended))
    }

    /// A tape for one session. Nothing is on the disk until it holds a page.
    pub(crate) fn tape(&self, id: &SessionId, format: WavFormat, path: PathBuf) -> Tape {
        let reel = Arc::new(Reel::new(id, format, path));
        let last = self.orders.clone().try_reserve_owned().ok();
        if last.is_none() {
            reel.give_up(Loss::Backlog);
        }
        Tape { reel, last, writer: self.clone(), gathered: Mutex::default() }
    }
}

/// What the thread does, until nobody is left to tell it anything.
fn carry_out(mut orders: mpsc::Receiver<Order>) {
    while let Some(order) = orders.blocking_recv() {
        match order {
            Order::Write { reel, page, _room } => reel.write(&page),
            Order::End { reel, tell: None } => reel.throw_away(),
            Order::End { reel, tell: Some(tell) } => {
                if tell.send(reel.complete()).is_err() {
                    reel.throw_away();
                }
            }
        }
    }
}

/// The end of a tape that a live session holds. Dropped, it takes what was written with it.
#[derive(Debug)]
pub(crate) struct Tape {
    reel: Arc<Reel>,
    /// The place of the last order, kept from the beginning: whatever the disk does, the end can be told without waiting.
    last: Option<OwnedPermit<Order>>,
    writer: Writer,
    /// A lock, because no wait happens under it.
    gathered: Mutex<Gathered>,
}

#[derive(Debug, Default)]
struct Gathered {
    page: Vec<u8>,
    /// Bytes of the whole session so far.
    total: u64,
}

impl Tape {
    /// Takes audio, and never waits. It is copied, since a slice of a socket's buffer would hold all of that buffer.
    pub(crate) fn push(&self, audio: &[u8]) {
        if self.reel.is_given_up() {
            return;
        }
        let mut gathered = self.gathered.lock();
        gathered.total += audio.len() as u64;
        if gathered.total > self.writer.limit {
            self.reel.give_up(Loss::Length(self.writer.limit));
        } else {
            gathered.page.extend_from_slice(audio);
        }
        // Once given up, nothing comes that could fill the page.
        if gathered.page.len() >= PAGE || self.reel.is_given_up() {
            self.turn(&mut gathered.page);
        }
    }

    fn turn(&self, page: &mut Vec<u8>) {
        let page = std::mem::take(page);
        if page.is_empty() {
            return;
        }
        let bytes = u32::try_from(page.len()).unwrap_or(u32::MAX);
        let room = self.writer.room.clone().try_acquire_many_owned(bytes);
        let handed_over = room.ok().and_then(|room| {
            self.writer.orders.try_send(Order::Write { reel: self.reel.clone(), page, _room: room }).ok()
        });
        if handed_over.is_none() {
            self.reel.give_up(Loss::Backlog);
        }
    }

    /// No more audio comes.
    pub(crate) fn end(mut self) -> EndedTape {
        let mut gathered = std::mem::take(&mut *self.gathered.lock());
        if !self.reel.is_given_up() {
            self.turn(&mut gathered.page);
        }
        let told = self.last.take().map(|last| {
            let (tell, told) = oneshot::channel();
            last.send(Order::End { reel: self.reel.clone(), tell: Some(tell) });
            told
        });
        EndedTape { reel: self.reel.clone(), told }
    }
}

impl Drop for Tape {
    fn drop(&mut self) {
        if let Some(last) = self.last.take() {
            last.send(Order::End { reel: self.reel.clone(), tell: None });
        }
    }
}

/// A tape whose last pages may still wait for the disk.
#[derive(Debug)]
pub(crate) struct EndedTape {
    reel: Arc<Reel>,
    told: Option<oneshot::Receiver<u64>>,
}

impl EndedTape {
    /// What is on the disk once all of it is, or nothing when that takes too long.
    pub(crate) async fn stored(mut self, patience: Duration) -> StoredAudio {
        let data = match self.told.take() {
            None => 0,
            Some(told) => self.wait(told, patience).await,
        };
        let format = self.reel.format();
        StoredAudio {
            complete: !self.reel.is_given_up(),
            bytes: if data == 0 { 0 } else { format.file_len(data) },
            seconds: format.seconds(data),
        }
    }

    async fn wait(&self, mut told: oneshot::Receiver<u64>, patience: Duration) -> u64 {
        if let Ok(Ok(data)) = tokio::time::timeout(patience, &mut told).await {
            return data;
        }
        // From here on the thread finds nobody to tell, and throws the tape away; unless it has just told.
        told.close();
        told.try_recv().unwrap_or_else(|_| {
            self.reel.give_up(Loss::TooSlow(patience));
            0
        })
    }
}
