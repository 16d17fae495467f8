//! Connections, and what the two databases need to be told apart for.
//!
//! SQLite has one writer at a time, so one connection of this process writes and waiting for it is fair; reading goes on
//! beside it (WAL). A write begins as one (`BEGIN IMMEDIATE`), so that it can never be refused half-way for having read
//! first. PostgreSQL has one pool for both, and a transaction there locks the row of its job before anything else: two
//! that change the same job follow each other, and none wait for each other in a circle.

use std::{
    fs::{DirBuilder, OpenOptions},
    io::ErrorKind,
    os::unix::fs::{DirBuilderExt, OpenOptionsExt},
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use sqlx::{
    Any, AnyPool, AssertSqlSafe, ConnectOptions, Executor, SqlSafeStr, Transaction,
    any::{AnyConnectOptions, AnyPoolOptions},
    migrate::{MigrateError, Migration, MigrationType, Migrator},
};

use crate::StoreError;

/// Connections that read SQLite side by side.
const SQLITE_READERS: u32 = 4;
/// Connections to PostgreSQL.
const POSTGRES_CONNECTIONS: u32 = 16;
/// How long a caller waits for a connection, then it gets [`StoreError::Unavailable`]: the queue has no other bound.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(10);

/// Migrations in their order. One that was released is never changed: its checksum is kept in the database.
const MIGRATIONS: &[(&str, &str)] = &[
    ("jobs", include_str!("0001_jobs.sql")),
    ("webhooks", include_str!("0002_webhooks.sql")),
    ("keys", include_str!("0003_keys.sql")),
    ("attempts", include_str!("0004_attempts.sql")),
    ("engines", include_str!("0005_engines.sql")),
];

#[derive(Debug, Clone)]
pub(super) struct Database {
    writer: AnyPool,
    reader: AnyPool,
    begin: &'static str,
}

impl Database {
    pub(super) async fn open(url: &str) -> Result<Self, StoreError> {
        sqlx::any::install_default_drivers();
        let database = match url.split_once(':') {
            Some(("sqlite", path)) => sqlite(Path::new(path.strip_prefix("//").unwrap_or(path))).await?,
            Some(("postgres" | "postgresql", _)) => postgres(url).await?,
            _ => return Err(StoreError::UnknownDatabase),
        };
        database.migrate().await?;
        Ok(database)
    }

    pub(super) async fn close(&self) {
        // The writer last: the connection that closes last folds the log of SQLite into its file.
        self.reader.close().await;
        self.writer.close().await;
    }

    pub(super) fn reader(&self) -> &AnyPool {
        &self.reader
    }

    /// A transaction. Dropped without a commit, it never was.
    pub(super) async fn begin(&self) -> Result<Transaction<'static, Any>, StoreError> {
        Ok(self.writer.begin_with(self.begin).await?)
    }

    async fn migrate(&self) -> Result<(), StoreError> {
        let serial = match self.begin {
            POSTGRES_BEGIN => "BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY",
            // `AUTOINCREMENT`, because a number that comes again could be marked as sent by who saw the first.
            _ => "INTEGER PRIMARY KEY AUTOINCREMENT",
        };
        let migrations = (1..).zip(MIGRATIONS).map(|(version, (description, sql))| {
            let sql = AssertSqlSafe(sql.replace("{SERIAL}", serial)).into_sql_str();
            Migration::new(version, (*description).into(), MigrationType::Simple, sql, false)
        });
        let migrator = Migrator::with_migrations(migrations.collect());
        let wrong = |error: MigrateError| StoreError::Migration(error.into());
        if self.begin == POSTGRES_BEGIN {
            // The migrator has a lock there that lets one process in at a time.
            return migrator.run(&self.writer).await.map_err(wrong);
        }
        let mut alone = self.begin().await?;
        // `run` in a form whose future is `Send` here; a second process waits for the transaction of the first.
        migrator.run_direct(None, &mut *alone, false).await.map_err(wrong)?;
        Ok(alone.commit().await?)
    }
}

const SQLITE_BEGIN: &str = "BEGIN IMMEDIATE";
const POSTGRES_BEGIN: &str = "BEGIN";

async fn sqlite(path: &Path) -> Result<Database, StoreError> {
    let path = std::path::absolute(path).map_err(|error| StoreError::at(path, error))?;
    make_private(&path)?;
    let options = options(&format!("sqlite://{}", escaped(&path)?))?;
    // Closing idle connections would gain nothing and lose their prepared statements; asking one whether it is alive
    // before each use would double the work.
    let pool = || {
        let pool = AnyPoolOptions::new().acquire_timeout(ACQUIRE_TIMEOUT).idle_timeout(None).max_lifetime(None);
        pool.test_before_acquire(false)
    };
    let writer = pool().max_connections(1).after_connect(|connection, _| {
        Box::pin(async move {
            // A commit outlives the process at once, and a power cut once the log was next synced with the file.
            connection
                .execute("PRAGMA journal_mode = WAL; PRAGMA synchronous = NORMAL; PRAGMA foreign_keys = ON;")
                .await?;
            // Only another process can hold the lock: this one writes through one connection.
            connection.execute("PRAGMA busy_timeout = 10000;").await.map(drop)
        })
    });
    let writer = writer.connect_with(options.clone()).await?;
    let reader = pool().max_connections(SQLITE_READERS).after_connect(|connection, _| {
        Box::pin(
            async move { connection.execute("PRAGMA busy_timeout = 10000; PRAGMA query_only = ON;").await.map(drop) },
        )
    });
    // Lazy: the writer has shown that the file can be opened.
    let reader = reader.connect_lazy_with(options);
    Ok(Database { writer, reader, begin: SQLITE_BEGIN })
}

async fn postgres(url: &str) -> Result<Database, StoreError> {
    let pool = AnyPoolOptions::new().max_connections(POSTGRES_CONNECTIONS).acquire_timeout(ACQUIRE_TIMEOUT);
    let pool = pool.connect_with(options(url)?).await?;
    Ok(Database { writer: pool.clone(), reader: pool, begin: POSTGRES_BEGIN })
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

    use sqlx::Row;

    use super::*;

    #[tokio::test]
    async fn sqlite_is_private_durable_and_minds_foreign_keys() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("made on the way").join("jobs.db");
        let database = Database::open(&format!("sqlite:{}", path.display())).await.unwrap();
        let mut transaction = database.begin().await.unwrap();
        for (pragma, expected) in [("journal_mode", "wal"), ("synchronous", "1"), ("foreign_keys", "1")] {
            let query = sqlx::query(AssertSqlSafe(format!("SELECT CAST({pragma} AS TEXT) FROM pragma_{pragma}")));
            let value: String = query.fetch_one(&mut *transaction).await.unwrap().get(0);
            assert_eq!(value, expected, "{pragma}");
        }
        for file in fs::read_dir(path.parent().unwrap()).unwrap() {
            let file = file.unwrap();
            assert_eq!(file.metadata().unwrap().permissions().mode() & 0o077, 0, "{:?}", file.file_name());
        }
        let writing = sqlx::query("DELETE FROM jobs").execute(database.reader()).await;
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
