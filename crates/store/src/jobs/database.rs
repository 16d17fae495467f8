//! Connections, and what the two databases need to be told apart for.
//!
//! SQLite has one writer at a time, so one connection of this process writes and waiting for it is fair; reading goes on
//! beside it (WAL). A write begins as one (`BEGIN IMMEDIATE`), so that it can never be refused half-way for having read
//! first. How several share a commit is told in [`sqlite`](super::sqlite). PostgreSQL has one pool for both, and whatever
//! changes a job there, in a transaction or in [one statement](Database::write), locks the row of the job before anything
//! else: two that change the same job follow each other, and none wait for each other in a circle.

use std::{
    fs::{DirBuilder, OpenOptions},
    io::ErrorKind,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use sqlx::{
    Any, AnyConnection, AnyPool, AssertSqlSafe, ConnectOptions, Connection, Executor, SqlSafeStr,
    any::{AnyConnectOptions, AnyPoolOptions},
    migrate::{MigrateError, Migration, MigrationType, Migrator},
};

use super::{
    query::{Outcome, Query, Run, in_one},
    sqlite::{self, Sqlite},
};
use crate::StoreError;

/// Connections to PostgreSQL.
const POSTGRES_CONNECTIONS: u32 = 16;
/// How long a connection that was used is taken for alive.
const TRUSTED: Duration = Duration::from_secs(1);
/// How long a caller waits for a connection, then it gets [`StoreError::Unavailable`]: the queue has no other bound.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);

/// Most statements that PostgreSQL gets as one: it plans each text once, and there are not many of so few.
const MOST_IN_ONE: usize = 8;

/// Migrations in their order. One that was released is never changed: its checksum is kept in the database.
const MIGRATIONS: &[(&str, &str)] = &[
    ("jobs", include_str!("0001_jobs.sql")),
    ("webhooks", include_str!("0002_webhooks.sql")),
    ("keys", include_str!("0003_keys.sql")),
    ("attempts", include_str!("0004_attempts.sql")),
    ("engines", include_str!("0005_engines.sql")),
    ("setbacks", include_str!("0006_setbacks.sql")),
    ("first_ready", include_str!("0007_first_ready.sql")),
];

#[derive(Debug, Clone)]
pub(super) enum Database {
    Sqlite(Sqlite),
    Postgres(AnyPool),
}

/// Dropped without a [`commit`](Self::commit), it never was.
#[derive(Debug)]
pub(super) enum Transaction {
    Sqlite(sqlite::Part),
    Postgres(Box<sqlx::Transaction<'static, Any>>),
}

/// Reads what is committed.
#[derive(Debug)]
pub(super) enum Reader<'d> {
    Sqlite(sqlite::Reader<'d>),
    Postgres(&'d AnyPool),
}

impl Database {
    pub(super) async fn open(url: &str) -> Result<Self, StoreError> {
        sqlx::any::install_default_drivers();
        match url.split_once(':') {
            Some(("sqlite", path)) => sqlite(Path::new(path.strip_prefix("//").unwrap_or(path))).await,
            Some(("postgres" | "postgresql", _)) => postgres(url).await,
            _ => Err(StoreError::UnknownDatabase),
        }
    }

    pub(super) async fn close(&self) {
        match self {
            Self::Sqlite(database) => database.close().await,
            Self::Postgres(pool) => pool.close().await,
        }
    }

    pub(super) fn reader(&self) -> Reader<'_> {
        match self {
            Self::Sqlite(database) => Reader::Sqlite(database.reader()),
            Self::Postgres(pool) => Reader::Postgres(pool),
        }
    }

    /// For a few rows that were written just now, by their keys.
    pub(super) fn reader_of_new(&self) -> Reader<'_> {
        match self {
            Self::Sqlite(database) => Reader::Sqlite(database.reader_of_new()),
            Self::Postgres(pool) => Reader::Postgres(pool),
        }
    }

    pub(super) async fn begin(&self) -> Result<Transaction, StoreError> {
        Ok(match self {
            Self::Sqlite(database) => Transaction::Sqlite(database.begin().await?),
            Self::Postgres(pool) => Transaction::Postgres(Box::new(pool.begin().await?)),
        })
    }

    /// Runs `first`, and if that changes a row, the `rest`: all of it or nothing. `false`: it changed none.
    ///
    /// PostgreSQL answers each statement for itself, so a few of them are one there, under the rules of [`in_one`].
    pub(super) async fn write(&self, first: Query, rest: Vec<Query>) -> Result<bool, StoreError> {
        if let Self::Postgres(pool) = self
            && rest.len() <= MOST_IN_ONE
        {
            let outcome = in_one(first, rest).through_sqlx(&mut *pool.acquire().await?).await?;
            return Ok(!outcome.rows.is_empty());
        }
        let mut transaction = self.begin().await?;
        if first.execute(&mut transaction).await? == 0 {
            // What was in the way may be another's part of the same transaction. Whoever is told of it is to find it.
            transaction.commit().await?;
            return Ok(false);
        }
        for query in rest {
            query.execute(&mut transaction).await?;
        }
        transaction.commit().await?;
        Ok(true)
    }
}

impl Transaction {
    pub(super) async fn commit(self) -> Result<(), StoreError> {
        match self {
            Self::Sqlite(part) => part.commit().await,
            Self::Postgres(transaction) => Ok(transaction.commit().await?),
        }
    }
}

impl Run for &mut Transaction {
    async fn run(self, query: Query) -> Result<Outcome, StoreError> {
        match self {
            Transaction::Sqlite(part) => part.run(query).await,
            Transaction::Postgres(transaction) => query.through_sqlx(transaction).await,
        }
    }
}

impl Run for Reader<'_> {
    async fn run(self, query: Query) -> Result<Outcome, StoreError> {
        match self {
            Reader::Sqlite(reader) => reader.run(query).await,
            Reader::Postgres(pool) => query.through_sqlx(&mut *pool.acquire().await?).await,
        }
    }
}

async fn sqlite(path: &Path) -> Result<Database, StoreError> {
    let path = std::path::absolute(path).map_err(|error| StoreError::at(path, error))?;
    make_private(&path)?;
    let database = Sqlite::open(&path).await?;
    let options = options(&format!("sqlite://{}", escaped(&path)?))?;
    let mut connection = AnyConnection::connect_with(&options).await?;
    connection.execute("PRAGMA busy_timeout = 10000;").await?;
    let mut alone = connection.begin_with("BEGIN IMMEDIATE").await?;
    // `AUTOINCREMENT`, because a number that comes again could be marked as sent by who saw the first.
    let migrator = migrator("INTEGER PRIMARY KEY AUTOINCREMENT");
    // `run` in a form whose future is `Send` here; a second process waits for the transaction of the first.
    migrator.run_direct(None, &mut *alone, false).await.map_err(wrong)?;
    alone.commit().await?;
    connection.close().await?;
    Ok(Database::Sqlite(database))
}

async fn postgres(url: &str) -> Result<Database, StoreError> {
    let pool = AnyPoolOptions::new()
        .max_connections(POSTGRES_CONNECTIONS)
        .acquire_timeout(ACQUIRE_TIMEOUT)
        .test_before_acquire(false)
        .before_acquire(|connection, had| {
            Box::pin(async move {
                // A question whether it is alive is one round trip more for every statement.
                if had.idle_for > TRUSTED {
                    connection.ping().await?;
                }
                Ok(true)
            })
        });
    let pool = pool.connect_with(options(url)?).await?;
    // The migrator has a lock there that lets one process in at a time.
    migrator("BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY").run(&pool).await.map_err(wrong)?;
    Ok(Database::Postgres(pool))
}

fn migrator(serial: &str) -> Migrator {
    let migrations = (1..).zip(MIGRATIONS).map(|(version, (description, sql))| {
        let sql = AssertSqlSafe(sql.replace("{SERIAL}", serial)).into_sql_str();
        Migration::new(version, (*description).into(), MigrationType::Simple, sql, false)
    });
    Migrator::with_migrations(migrations.collect())
}

fn wrong(error: MigrateError) -> StoreError {
    StoreError::Migration(error.into())
}

/// Statements are not logged: they would stand in the log with every job, and their failures are logged where handled.
fn options(url: &str) -> Result<AnyConnectOptions, StoreError> {
    // The error is not told on: it may hold the URL, and that a password.
    let options = AnyConnectOptions::from_str(url).map_err(|_| StoreError::UnknownDatabase)?;
    Ok(options.disable_statement_logging())
}

/// Makes file and folder if need be, for this user alone. SQLite gives the files beside it the same mode.
///
/// A file that is there is not touched: closing it would take from this process the locks that SQLite has on it.
fn make_private(path: &Path) -> Result<(), StoreError> {
    let wrong = |error| StoreError::at(path, error);
    if let Some(folder) = path.parent() {
        DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(wrong)?;
    }
    match OpenOptions::new().create_new(true).write(true).mode(0o600).open(path) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(wrong(error)),
        _ => Ok(()),
    }
}

/// A path as a part of a URL.
fn escaped(path: &Path) -> Result<String, StoreError> {
    let text = path.to_str().ok_or_else(|| StoreError::Damaged {
        path: PathBuf::from(path),
        reason: "the path of a database must be UTF-8".into(),
    })?;
    Ok(text.bytes().fold(String::new(), |mut url, byte| {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'-' | b'_' => url.push(byte.into()),
            _ => url.push_str(&format!("%{byte:02x}")),
        }
        url
    }))
}

#[cfg(test)]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt};

    use super::{
        super::query::{statement, statement_of},
        *,
    };

    #[tokio::test]
    async fn sqlite_is_private_durable_and_minds_foreign_keys() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("made on the way").join("jobs.db");
        let database = Database::open(&format!("sqlite:{}", path.display())).await.unwrap();
        let mut transaction = database.begin().await.unwrap();
        for (pragma, expected) in [("journal_mode", "wal"), ("synchronous", "1"), ("foreign_keys", "1")] {
            let query = statement_of(format!("SELECT CAST({pragma} AS TEXT) AS value FROM pragma_{pragma}"));
            let row = query.fetch_one(&mut transaction).await.unwrap();
            let value: String = row.get("value").unwrap();
            assert_eq!(value, expected, "{pragma}");
        }
        for file in fs::read_dir(path.parent().unwrap()).unwrap() {
            let file = file.unwrap();
            assert_eq!(file.metadata().unwrap().permissions().mode() & 0o077, 0, "{:?}", file.file_name());
        }
        let writing = statement("DELETE FROM jobs").execute(database.reader()).await;
        assert!(writing.is_err(), "a reader would have to wait for the writer half-way");
    }

    #[tokio::test]
    async fn what_is_no_database_is_refused_without_its_password() {
        for url in ["", "jobs.db", "mysql://root:secret@localhost/jobs", "postgres://user:secret@host:port/jobs"] {
            let error = Database::open(url).await.unwrap_err();
            assert!(matches!(error, StoreError::UnknownDatabase), "{url}: {error}");
            assert!(!error.to_string().contains("secret"));
        }
    }

    #[tokio::test]
    async fn a_folder_is_no_database() {
        let folder = tempfile::tempdir().unwrap();
        let error = Database::open(&format!("sqlite:{}", folder.path().display())).await.unwrap_err();
        assert!(matches!(error, StoreError::Database(_)), "{error:?}");
    }
}
