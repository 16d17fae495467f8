//! SQLite, in the thread of whoever asks.
//!
//! A statement takes microseconds and touches memory, so it is run where it is wanted; a thread of its own would cost more
//! than it does. What may wait for the disk has a thread: the commits, and what folds their [`log`] into the file.
//!
//! # Commits for many
//!
//! There is one connection that writes, and a line of those who want it. Each has a *part* of the transaction that is open: a
//! savepoint, so that what fails is undone alone. Who has finished its part leaves the connection to the next and waits to be
//! told. The order is:
//!
//! 1. Who finds no transaction open opens one and rings for the committer, which lines up like everybody else.
//! 2. Whoever stands before it in the line does its part, one after the other.
//! 3. The committer commits all of them at once, and only then tells each.
//!
//! So nothing is lost that somebody was told of: until the commit nobody knows of anything that was done, and readers, which
//! have connections of their own, do not see it. If the commit fails, or the database undoes a transaction by itself as it does
//! when the disk is full, each of them is told that it failed. A transaction holds as many parts as stood in line while the one
//! before was committed: one when there is little to do, dozens when there is much.

mod log;

use std::{
    borrow::Cow,
    collections::HashMap,
    path::Path,
    sync::{Arc, LazyLock, mpsc},
    thread,
    time::Duration,
};

use parking_lot::Mutex as Lock;
use rusqlite::{Connection, ErrorCode, OpenFlags, types::ValueRef};
use tokio::{
    sync::{Mutex, OwnedMutexGuard, Semaphore, oneshot},
    task::spawn_blocking,
    time::{Instant, sleep, timeout},
};

use self::log::Folder;
use super::query::{Outcome, Query, Run, SqlRow, Value};
use crate::StoreError;

/// Connections that read side by side.
const READERS: usize = 4;
/// Statements that each connection keeps prepared: all there are.
const PREPARED: usize = 128;
/// How long a caller waits for a connection, then it gets [`StoreError::Unavailable`]: the lines have no other bound.
const WAIT: Duration = Duration::from_secs(10);
/// How often a database that another process writes is tried again.
const RETRY: Duration = Duration::from_millis(5);

/// A database. A clone is the same.
#[derive(Debug, Clone)]
pub(super) struct Sqlite {
    writer: Arc<Mutex<Writer>>,
    /// Calls the committer, which goes with the last clone. Has room for one: it sees all that was there when it comes.
    bell: mpsc::SyncSender<()>,
    readers: Arc<Readers>,
}

/// The connection that writes, and those who wait for what they wrote to be committed.
#[derive(Debug)]
struct Writer {
    /// `None` once it was closed.
    connection: Option<Connection>,
    /// Gone with the connection.
    log: Option<Folder>,
    finished: Vec<oneshot::Sender<rusqlite::Result<()>>>,
}

/// Somebody's part of a transaction. Dropped without a [`commit`](Self::commit), it never was.
#[derive(Debug)]
pub(super) struct Part(Option<OwnedMutexGuard<Writer>>);

/// Where rows are read: in a thread for what may have to come from the disk, …
#[derive(Debug, Clone, Copy)]
enum Whence {
    Disk,
    /// … and here for what was written just now, and lies in memory.
    Memory,
}

/// Reads what is committed.
#[derive(Debug)]
pub(super) struct Reader<'d> {
    readers: &'d Arc<Readers>,
    whence: Whence,
}

#[derive(Debug)]
struct Readers {
    path: Box<Path>,
    /// At most [`READERS`], opened when they are needed first.
    idle: Lock<Vec<Connection>>,
    places: Semaphore,
}

impl Sqlite {
    /// A file that is there; its tables are made elsewhere.
    pub(super) async fn open(path: &Path) -> Result<Self, StoreError> {
        let mut connection = open(path)?;
        // Another process's lock is waited for elsewhere: here it would keep the caller's thread.
        connection.busy_timeout(Duration::ZERO)?;
        // Where processes begin at once, SQLite itself would not wait here: each of them reads what all want to change.
        let wal = "PRAGMA journal_mode = WAL";
        patiently(&mut connection, |connection| connection.query_row(wal, [], |_| Ok(()))).await?;
        // A commit outlives the process at once, and a power cut once the log was next synced with the file.
        connection.execute_batch("PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON;")?;
        let log = Folder::start(&connection, open(path)?, path).map_err(|error| StoreError::at(path, error))?;
        let writer = Writer { connection: Some(connection), log: Some(log), finished: Vec::new() };
        let writer = Arc::new(Mutex::new(writer));
        let (bell, rung) = mpsc::sync_channel(1);
        let committed = writer.clone();
        let committer = thread::Builder::new().name("store-commit".into()).spawn(move || {
            while rung.recv().is_ok() {
                committed.blocking_lock().commit();
            }
        });
        committer.map_err(|error| StoreError::at(path, error))?;
        let readers = Readers { path: path.into(), idle: Lock::default(), places: Semaphore::new(READERS) };
        Ok(Self { writer, bell, readers: Arc::new(readers) })
    }

    /// Waits for what is under way.
    pub(super) async fn close(&self) {
        // Whoever reads comes to its end; whoever comes then is refused.
        if let Ok(all) = self.readers.places.acquire_many(READERS as u32).await {
            all.forget();
        }
        self.readers.places.close();
        let mut writer = self.writer.lock().await;
        writer.commit();
        let (readers, connection, log) = (self.readers.clone(), writer.connection.take(), writer.log.take());
        // The writer last: the connection that closes last folds the log into the file. It waits for the disk.
        let closing = spawn_blocking(move || {
            readers.idle.lock().clear();
            log.into_iter().for_each(Folder::end);
            drop(connection);
        });
        // A panic in there was logged, and there is nothing left to close.
        let _ = closing.await;
    }

    pub(super) fn reader(&self) -> Reader<'_> {
        Reader { readers: &self.readers, whence: Whence::Disk }
    }

    pub(super) fn reader_of_new(&self) -> Reader<'_> {
        Reader { readers: &self.readers, whence: Whence::Memory }
    }

    /// Takes part in a transaction.
    pub(super) async fn begin(&self) -> Result<Part, StoreError> {
        let mut writer = timeout(WAIT, self.writer.clone().lock_owned()).await.map_err(|_| busy())?;
        if writer.connection()?.is_autocommit() {
            patiently(&mut *writer, |writer| writer.say("BEGIN IMMEDIATE")).await?;
            // Full: the committer was called and has not come yet.
            let _ = self.bell.try_send(());
        }
        writer.say("SAVEPOINT part")?;
        Ok(Part(Some(writer)))
    }
}

impl Writer {
    fn connection(&self) -> Result<&Connection, StoreError> {
        self.connection.as_ref().ok_or_else(closed)
    }

    /// A word about the transaction itself.
    fn say(&self, sql: &'static str) -> rusqlite::Result<()> {
        let Some(connection) = &self.connection else { return Err(undone()) };
        connection.prepare_cached(sql)?.execute([]).map(drop)
    }

    /// Commits what is finished, and tells those who wait for it.
    fn commit(&mut self) {
        let result = match &self.connection {
            Some(connection) if !connection.is_autocommit() => self.say("COMMIT"),
            _ => Err(undone()),
        };
        if result.is_err() {
            self.undo();
        }
        for finished in self.finished.drain(..) {
            // Who has gone does not want to know.
            let _ = finished.send(match &result {
                Ok(()) => Ok(()),
                Err(error) => Err(again(error)),
            });
        }
        if let (Ok(()), Some(log), Some(connection)) = (result, &self.log, &self.connection) {
            log.committed(connection);
        }
    }

    fn undo(&mut self) {
        if let Some(connection) = self.connection.as_ref().filter(|connection| !connection.is_autocommit()) {
            // What cannot even be undone fails at the next beginning.
            let _ = connection.execute_batch("ROLLBACK");
        }
    }
}

impl Part {
    /// Ends it, and waits until it is committed with the others.
    pub(super) async fn commit(mut self) -> Result<(), StoreError> {
        let Some(writer) = &mut self.0 else { return Ok(()) };
        writer.say("RELEASE part")?;
        let (finished, committed) = oneshot::channel();
        writer.finished.push(finished);
        self.0 = None;
        Ok(committed.await.unwrap_or_else(|_| Err(undone()))?)
    }
}

/// Undoes it, alone if that is possible.
impl Drop for Part {
    fn drop(&mut self) {
        let Some(writer) = &mut self.0 else { return };
        let is_whole = writer.connection.as_ref().is_some_and(|connection| !connection.is_autocommit());
        if !is_whole || writer.say("ROLLBACK TO part").and_then(|()| writer.say("RELEASE part")).is_err() {
            // The database has undone all of it. Dropped, each of the others is told.
            writer.undo();
            writer.finished.clear();
        }
    }
}

impl Run for &mut Part {
    async fn run(self, query: Query) -> Result<Outcome, StoreError> {
        let writer = self.0.as_ref().ok_or_else(undone)?;
        let connection = writer.connection()?;
        if connection.is_autocommit() {
            // It would be committed without the rest.
            return Err(undone().into());
        }
        Ok(run(connection, &query)?)
    }
}

impl Run for Reader<'_> {
    async fn run(self, query: Query) -> Result<Outcome, StoreError> {
        let place = timeout(WAIT, self.readers.places.acquire()).await.map_err(|_| busy())?;
        let _place = place.map_err(|_| closed())?;
        match self.whence {
            Whence::Memory => self.readers.run(&query),
            Whence::Disk => {
                let readers = self.readers.clone();
                let read = spawn_blocking(move || readers.run(&query)).await;
                read.map_err(|error| StoreError::Unavailable(error.into()))?
            }
        }
    }
}

impl Readers {
    fn run(&self, query: &Query) -> Result<Outcome, StoreError> {
        let idle = self.idle.lock().pop();
        let connection = idle.map_or_else(|| self.open(), Ok)?;
        let outcome = run(&connection, query);
        self.idle.lock().push(connection);
        Ok(outcome?)
    }

    fn open(&self) -> rusqlite::Result<Connection> {
        let connection = open(&self.path)?;
        connection.execute_batch("PRAGMA query_only = ON;")?;
        Ok(connection)
    }
}

/// Tries it until no other process is in the way, for at most [`WAIT`].
async fn patiently<C>(on: &mut C, work: impl Fn(&C) -> rusqlite::Result<()>) -> rusqlite::Result<()> {
    let begun = Instant::now();
    loop {
        match work(on) {
            Err(error) if error.sqlite_error_code() == Some(ErrorCode::DatabaseBusy) && begun.elapsed() < WAIT => {
                sleep(RETRY).await;
            }
            done => return done,
        }
    }
}

/// A file that is there: who made it has made it private.
fn open(path: &Path) -> rusqlite::Result<Connection> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    connection.busy_timeout(WAIT)?;
    connection.set_prepared_statement_cache_capacity(PREPARED);
    Ok(connection)
}

fn run(connection: &Connection, query: &Query) -> rusqlite::Result<Outcome> {
    match &query.sql {
        Cow::Borrowed(sql) => {
            let mut prepared = connection.prepare_cached(sql)?;
            let columns = columns_of(sql, &prepared);
            step(&mut prepared, &columns, query, connection)
        }
        Cow::Owned(sql) => {
            let mut prepared = connection.prepare(sql)?;
            let columns = names(&prepared);
            step(&mut prepared, &columns, query, connection)
        }
    }
}

type Columns = Arc<[String]>;

/// The names of a constant statement's columns: asked for once, because each is a piece of memory, and a job has twenty.
fn columns_of(sql: &'static str, prepared: &rusqlite::Statement<'_>) -> Columns {
    /// By where the text stands, which is sooner compared than the text. As many as there are statements in the program.
    static KNOWN: LazyLock<Lock<HashMap<(usize, usize), Columns>>> = LazyLock::new(Lock::default);
    let place = (sql.as_ptr().addr(), sql.len());
    KNOWN.lock().entry(place).or_insert_with(|| names(prepared)).clone()
}

fn names(prepared: &rusqlite::Statement<'_>) -> Columns {
    prepared.column_names().into_iter().map(str::to_owned).collect()
}

fn step(
    statement: &mut rusqlite::Statement<'_>,
    columns: &Columns,
    query: &Query,
    on: &Connection,
) -> rusqlite::Result<Outcome> {
    for place in 1..=statement.parameter_count() {
        // SQLite takes `$2` for a name, and numbers names in the order in which they come.
        let number = statement.parameter_name(place).and_then(|name| name[1..].parse::<usize>().ok());
        let argument = number.and_then(|number| query.arguments.get(number.checked_sub(1)?));
        match argument {
            Some(Value::Integer(number)) => statement.raw_bind_parameter(place, number)?,
            Some(Value::Real(number)) => statement.raw_bind_parameter(place, number)?,
            Some(Value::Text(text)) => statement.raw_bind_parameter(place, text)?,
            Some(Value::Odd) | None => {
                return Err(rusqlite::Error::InvalidParameterCount(query.arguments.len(), place));
            }
        }
    }
    let mut found = Vec::new();
    let mut rows = statement.raw_query();
    while let Some(row) = rows.next()? {
        let values = (0..columns.len()).map(|at| row.get_ref(at).map(value)).collect::<Result<_, _>>()?;
        found.push(SqlRow { columns: columns.clone(), values });
    }
    Ok(Outcome { rows: found, changed: on.changes() })
}

fn value(value: ValueRef<'_>) -> Value {
    match value {
        ValueRef::Null => Value::Text(None),
        ValueRef::Integer(number) => Value::Integer(Some(number)),
        ValueRef::Real(number) => Value::Real(Some(number)),
        ValueRef::Text(text) => str::from_utf8(text).map_or(Value::Odd, |text| text.into()),
        ValueRef::Blob(_) => Value::Odd,
    }
}

/// The same error for another who is told of it.
fn again(error: &rusqlite::Error) -> rusqlite::Error {
    match error {
        rusqlite::Error::SqliteFailure(code, message) => rusqlite::Error::SqliteFailure(*code, message.clone()),
        _ => undone(),
    }
}

/// The transaction was undone for what another did in it.
fn undone() -> rusqlite::Error {
    let aborted = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_BUSY);
    rusqlite::Error::SqliteFailure(aborted, Some("the transaction was undone".into()))
}

fn busy() -> StoreError {
    StoreError::Unavailable("no connection was free in time".into())
}

fn closed() -> StoreError {
    StoreError::Unavailable("the database was closed".into())
}

#[cfg(test)]
mod tests;
