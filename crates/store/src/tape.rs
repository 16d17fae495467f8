//! The audio of open sessions on its way to the disk.
//!
//! One thread writes for all sessions: a thread, because writing to a disk blocks, and one, because a disk that hangs must
//! not hang more than that. A session never waits for it. Its audio is gathered in pages; a full page is handed over if
//! there is room for it, and if there is none the rest of that session's audio is given up. What was written before stays
//! and is the true beginning of the session.
//!
//! No file is kept open between two pages: a page is about a second of audio, and file descriptors are for sockets.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Write},
    path::PathBuf,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    thread,
    time::Duration,
};

use dalston_protocol::SessionId;
use parking_lot::Mutex;
use tokio::sync::{
    OwnedSemaphorePermit, Semaphore,
    mpsc::{self, OwnedPermit},
    oneshot,
};

use crate::{
    StoreError, StoredAudio,
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
    /// Bytes that may wait for the disk.
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
        let reel =
            Arc::new(Reel { id: id.clone(), path, format, given_up: OnceLock::new(), written: AtomicU64::new(0) });
        let last = self.orders.clone().try_reserve_owned().ok();
        if last.is_none() {
            reel.give_up(Loss::Backlog);
        }
        Tape { reel, last, writer: self.clone(), gathered: Mutex::default() }
    }
}

/// Why the rest of a session's audio is not kept.
#[derive(Debug, thiserror::Error)]
enum Loss {
    #[error("too much waits for the disk already")]
    Backlog,
    #[error("the disk did not take it within {0:?} of the end")]
    TooSlow(Duration),
    #[error("it is longer than the {0} bytes that one session may keep")]
    Length(u64),
    #[error(transparent)]
    Disk(StoreError),
}

/// What the two ends of a tape share.
#[derive(Debug)]
struct Reel {
    id: SessionId,
    path: PathBuf,
    format: WavFormat,
    given_up: OnceLock<Loss>,
    /// Bytes of audio in the file. Only the thread counts here.
    written: AtomicU64,
}

impl Reel {
    /// The first reason counts, and is the one that is logged.
    fn give_up(&self, loss: Loss) {
        if self.given_up.set(loss).is_ok()
            && let Some(loss) = self.given_up.get()
        {
            tracing::warn!(
                event = "audio_given_up",
                session_id = %self.id,
                reason = %loss,
                "the rest of a session's audio is not kept"
            );
        }
    }

    fn is_given_up(&self) -> bool {
        self.given_up.get().is_some()
    }

    fn is_broken(&self) -> bool {
        matches!(self.given_up.get(), Some(Loss::Disk(_)))
    }

    /// Removes the file, too: on a full disk the transcripts need the room.
    fn break_off(&self, error: io::Error) {
        self.give_up(Loss::Disk(StoreError::at(&self.path, error)));
        self.remove();
    }

    fn remove(&self) {
        // What cannot be removed now is, when the archive is opened the next time.
        let _ = fs::remove_file(&self.path);
        self.written.store(0, Ordering::Relaxed);
    }

    fn append(&self, page: &[u8]) -> io::Result<()> {
        let written = self.written.load(Ordering::Relaxed);
        let mut file = match written {
            0 => File::create(&self.path)?,
            _ => OpenOptions::new().append(true).open(&self.path)?,
        };
        if written == 0 {
            file.write_all(&self.format.header(0))?;
        }
        file.write_all(page)?;
        self.written.store(written + page.len() as u64, Ordering::Relaxed);
        Ok(())
    }

    /// Makes the file one that can be played. The bytes of audio in it.
    fn complete(&self) -> io::Result<u64> {
        let written = self.written.load(Ordering::Relaxed);
        let data = self.format.whole_frames(written);
        if data == 0 {
            if written > 0 {
                self.remove();
            }
            return Ok(0);
        }
        let mut file = OpenOptions::new().write(true).open(&self.path)?;
        file.write_all(&self.format.header(data))?;
        // Cuts off half a frame, or adds the byte of padding.
        file.set_len(self.format.file_len(data))?;
        Ok(data)
    }
}

/// What the thread does, until nobody is left to tell it anything.
fn carry_out(mut orders: mpsc::Receiver<Order>) {
    while let Some(order) = orders.blocking_recv() {
        match order {
            Order::Write { reel, page, _room } => {
                if !reel.is_broken()
                    && let Err(error) = reel.append(&page)
                {
                    reel.break_off(error);
                }
            }
            Order::End { reel, tell: None } => reel.remove(),
            Order::End { reel, tell: Some(tell) } => {
                let data = match reel.complete() {
                    Ok(data) => data,
                    Err(error) => {
                        reel.break_off(error);
                        0
                    }
                };
                if tell.send(data).is_err() {
                    reel.remove();
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
        if gathered.page.len() >= PAGE || self.reel.is_given_up() {
            self.turn(&mut gathered.page);
        }
    }

    fn turn(&self, page: &mut Vec<u8>) {
        let page = std::mem::take(page);
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
        if !gathered.page.is_empty() && !self.reel.is_given_up() {
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
        let format = self.reel.format;
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
