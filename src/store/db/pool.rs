//! Pools of connections to either database, and what a connection goes through before it is lent out.

use std::fs::OpenOptions;
use std::io::ErrorKind;
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::Duration;

use futures_util::FutureExt;
use futures_util::future::BoxFuture;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgPoolOptions};
use sqlx::sqlite::{SqliteConnectOptions, SqlitePoolOptions, SqliteSynchronous};
use sqlx::{Connection as _, Executor, PgConnection, PgPool, Postgres, SqlitePool};
use tokio::time::timeout;

use crate::domain::connection_url;
use crate::store::error::{OWN_SESSION, StoreError};

/// Where the key of the hashes lives.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum HashKeySource {
    /// A file that a person looks after.
    File(PathBuf),
    /// A file beside the SQLite store, made on first use, readable by its owner alone.
    Beside(PathBuf),
    /// The database itself, made on first use: a reader of the hashes can read the key too.
    Database,
}

/// How to reach the database.
#[derive(Clone, Debug)]
pub struct Options {
    /// `sqlite://PATH` or `postgres://…`. May hold a password: never logged.
    pub url: String,
    /// The schema of our tables (PostgreSQL); none for whatever the session's search path says.
    pub schema: Option<String>,
    pub max_connections: u32,
    /// How long to wait for a connection.
    pub acquire_timeout: Duration,
    /// How long one statement may take (PostgreSQL).
    pub statement_timeout: Duration,
    /// Have a session remember the statements it has seen (PostgreSQL).
    pub prepared_statements: bool,
    /// How long to wait for the one writer (SQLite).
    pub busy_timeout: Duration,
    /// Make the SQLite file where there is none.
    pub create: bool,
    /// Where the key of the hashed addresses lives.
    pub hash_keys: HashKeySource,
    /// Do contacts that are created or changed leave as events?
    pub record_changes: bool,
}

/// What a connection at rest may take to show that somebody is there.
const PING: Duration = Duration::from_secs(2);

/// Rows that the thread of a SQLite connection puts ready before it waits for their reader: a batch of the default size, so
/// that neither waits for the other row by row.
const ROWS_AHEAD: usize = 500;

/// Connections to either database; connected on first use.
#[derive(Clone, Debug)]
pub enum Pool {
    Postgres(PgPool),
    /// SQLite has one writer. Where several connections write, each sleeps, looks again and sleeps for longer while nobody
    /// writes, and forgets what it has read whenever another one has written. So one writes, and whoever wants it
    /// stands in line.
    Sqlite {
        writer: SqlitePool,
        readers: SqlitePool,
    },
}

impl Pool {
    /// # Errors
    ///
    /// A URL that cannot be read. It is not repeated: it may hold a password.
    pub fn open(options: &Options) -> Result<Self, StoreError> {
        if options.url.starts_with("sqlite:") { Self::sqlite(options) } else { Self::postgres(options) }
    }

    fn sqlite(options: &Options) -> Result<Self, StoreError> {
        let connect = SqliteConnectOptions::from_str(&options.url)
            // Not its own words: they have the value that it does not understand.
            .map_err(|_| bad_url("it is no SQLite URL"))?
            .create_if_missing(options.create)
            .foreign_keys(true)
            .synchronous(SqliteSynchronous::Full)
            .busy_timeout(options.busy_timeout)
            .row_buffer_size(ROWS_AHEAD)
            .pragma("secure_delete", "ON");
        if options.create && !is_in_memory(&options.url) {
            make_private(connect.get_filename());
        }
        let create = options.create;
        let pool = |connections| {
            SqlitePoolOptions::new()
                .after_connect(move |connection, _| write_ahead(connection, create))
                .max_connections(connections)
                .acquire_timeout(options.acquire_timeout)
                .test_before_acquire(false)
                .before_acquire(|connection, _| roll_back_sqlite(connection))
                .connect_lazy_with(connect.clone())
        };
        let readers = options.max_connections.saturating_sub(1).max(1);
        Ok(Self::Sqlite { writer: pool(1), readers: pool(readers) })
    }

    fn postgres(options: &Options) -> Result<Self, StoreError> {
        let url = connection_url::postgres(&options.url).map_err(|complaint| bad_url(&complaint.problem))?;
        // Nothing but parameters that it has: it logs, with its value, each that it does not know.
        let mut connect = PgConnectOptions::from_str(&format!("postgres:///?{}", url.parameters))
            .map_err(|_| bad_url("it is no PostgreSQL URL"))?
            .application_name("contact-reaper")
            // No number with a fraction is read, and poolers refuse what they do not know.
            .extra_float_digits(None);
        if options.prepared_statements {
            connect = connect.options([(OWN_SESSION, "yes")]);
        }
        Ok(Self::Postgres(
            PgPoolOptions::new()
                .max_connections(options.max_connections)
                .acquire_timeout(options.acquire_timeout)
                .test_before_acquire(false)
                .before_acquire(|connection, _| roll_back_postgres(connection))
                .connect_lazy_with(connect),
        ))
    }
}

/// A connection. Where there was none in time because none can be made, the error says why: the pool tries again until then
/// where a connection is refused, as by a server that starts.
pub(super) async fn acquire(pool: &PgPool) -> Result<PoolConnection<Postgres>, sqlx::Error> {
    match pool.acquire().await {
        Err(sqlx::Error::PoolTimedOut) if pool.size() == 0 => {
            match timeout(PING, PgConnection::connect_with(&pool.connect_options())).await {
                Ok(Err(cause)) => Err(cause),
                _ => Err(sqlx::Error::PoolTimedOut),
            }
        }
        acquired => acquired,
    }
}

fn bad_url(problem: &str) -> StoreError {
    StoreError::Failed(format!("store.url cannot be used: {problem}; write sqlite://PATH or postgres://…"))
}

fn is_in_memory(url: &str) -> bool {
    url.contains(":memory:") || url.contains("mode=memory")
}

/// Makes the file, where there is none, so that nobody but its owner reads it; what SQLite puts beside it gets the same
/// mode. Where that fails SQLite fails as well, and says why. One that is there is not opened: closing it would end the
/// locks that this process has on it.
fn make_private(file: &Path) {
    if !file.exists() {
        drop(OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(file));
    }
}

/// Has a file of ours, or a new one, keep a write-ahead log, so that readers do not wait for the writer. The mode is written
/// into the file: another program's is left as it is.
fn write_ahead(
    connection: &mut sqlx::SqliteConnection,
    create: bool,
) -> BoxFuture<'_, Result<(), sqlx::Error>> {
    async move {
        let sql = "SELECT (SELECT count(*) FROM sqlite_schema), \
                   (SELECT count(*) FROM pragma_table_info('schema_migrations') \
                    WHERE name IN ('version', 'name', 'applied_at'))";
        let (tables, columns): (i64, i64) = sqlx::query_as(sql).fetch_one(&mut *connection).await?;
        if columns == 3 || (create && tables == 0) {
            connection.execute("PRAGMA journal_mode = WAL").await?;
        }
        Ok(())
    }
    .boxed()
}

/// Ends whatever transaction was left open: by a dropped future, or by an error that hit the very statement that begins
/// or ends one. Outside of one PostgreSQL only warns. A connection that is silent is closed.
fn roll_back_postgres(connection: &mut sqlx::PgConnection) -> BoxFuture<'_, Result<bool, sqlx::Error>> {
    async move {
        let answer = timeout(PING, connection.execute("ROLLBACK")).await;
        answer.map_err(|_| sqlx::Error::Io(ErrorKind::TimedOut.into()))?.map(|_| true)
    }
    .boxed()
}

/// As for PostgreSQL; SQLite calls a rollback outside of a transaction an error, which is the usual case.
fn roll_back_sqlite(connection: &mut sqlx::SqliteConnection) -> BoxFuture<'_, Result<bool, sqlx::Error>> {
    async move {
        match connection.execute("ROLLBACK").await {
            Ok(_) => Ok(true),
            Err(sqlx::Error::Database(error)) if error.message().contains("no transaction is active") => {
                Ok(true)
            }
            Err(error) => Err(error),
        }
    }
    .boxed()
}
