//! The log of committed pages, and how it gets into the file.
//!
//! Left to itself, SQLite folds the log into the file in the very commit that fills it, and syncs both while everybody
//! waits for the connection that writes. A thread with a connection of its own does that here while others go on
//! writing. The log begins anew only when it is folded to its end; where writing never pauses it may not come to that,
//! so when it is [`LONG`] the committer folds the rest itself.

use std::{
    cell::Cell,
    path::Path,
    sync::{Arc, mpsc},
    thread::{self, JoinHandle},
};

use parking_lot::Mutex;
use rusqlite::Connection;

/// Pages after which the log is folded: what SQLite does by default, so that a power cut takes no more than it would there.
const DUE: u64 = 1_000;
/// Pages after which writers wait for that: 32 MiB.
pub(super) const LONG: u64 = 8_192;

thread_local! {
    /// Pages of the log after the last commit of this thread.
    static PAGES: Cell<u64> = const { Cell::new(0) };
}

/// The thread that folds. It ends when this is dropped.
#[derive(Debug)]
pub(super) struct Folder {
    /// Held while one folds: two at once would only refuse each other.
    folding: Arc<Mutex<()>>,
    /// Has room for one: the thread sees all that was there when it comes.
    bell: mpsc::SyncSender<()>,
    thread: JoinHandle<()>,
}

impl Folder {
    /// For the log that `writer` writes, whose commits no longer fold it.
    pub(super) fn start(writer: &Connection, connection: Connection, path: &Path) -> std::io::Result<Self> {
        writer.wal_hook(Some(|_, pages| {
            PAGES.set(u64::try_from(pages).unwrap_or_default());
            Ok(())
        }));
        let (bell, rung) = mpsc::sync_channel(1);
        let path = path.to_owned();
        let folding = Arc::<Mutex<()>>::default();
        let alone = folding.clone();
        let thread = thread::Builder::new().name("store-log".into()).spawn(move || {
            while rung.recv().is_ok() {
                let _alone = alone.lock();
                fold(&connection, &path);
            }
        })?;
        Ok(Self { folding, bell, thread })
    }

    /// After a commit of this thread on `writer`, while nobody else writes.
    pub(super) fn committed(&self, writer: &Connection) {
        match PAGES.get() {
            // However long the thread takes that may be at it: meanwhile the log does not grow.
            LONG.. => {
                let _alone = self.folding.lock();
                fold(writer, Path::new(writer.path().unwrap_or_default()));
            }
            // Full: it was called and has not come yet.
            DUE.. => drop(self.bell.try_send(())),
            _ => {}
        }
    }

    /// Waits until its connection is closed.
    pub(super) fn end(self) {
        drop(self.bell);
        // A panic in there was logged.
        let _ = self.thread.join();
    }
}

/// As far as readers and writers let it: the rest comes with the next time.
fn fold(connection: &Connection, path: &Path) {
    if let Err(error) = connection.query_row("PRAGMA wal_checkpoint(PASSIVE)", [], |_| Ok(())) {
        tracing::warn!(%error, database = %path.display(), "the log of the database could not be folded into it");
    }
}
