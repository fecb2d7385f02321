//! Connections and transactions: the thin layer that makes two databases look like one.
//!
//! sqlx 0.9.0 can lose work that looked committed when a future that begins a transaction is dropped half-way
//! (its issues 4385 and 4393): the connection goes back to the pool inside an open transaction. Two rules
//! answer it: every pool rolls back before it lends a connection out, and no future of the store is dropped
//! half-way (no `select!`, no `timeout` around it) but here, where the connection is closed with it.

pub(super) mod batch;
pub(super) mod dialect;
pub(super) mod locks;
pub(super) mod pool;
pub(super) mod preconditions;
pub mod query;
pub(super) mod values;

use std::path::PathBuf;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::PgArguments;
use sqlx::query::Query;
use sqlx::sqlite::{SqliteArguments, SqliteConnectOptions};
use sqlx::{AssertSqlSafe, Executor, Postgres, Row as _, Sqlite};
use tokio::time::error::Elapsed;
use tokio::time::timeout;

use super::error::{Conflict, StoreError, is_of_connection};
use crate::domain::time::{Time, format_time};
use batch::{List, Lists};
use dialect::Dialect;
use pool::{Options, Pool};
use values::{Arg, Row};

/// What PostgreSQL may take, beyond the longest statement, to say how it ended.
const RESPONSE_GRACE: Duration = Duration::from_secs(3);

/// A pool of connections to either database.
#[derive(Clone, Debug)]
pub struct Db {
    pool: Pool,
    statement_timeout: Duration,
    /// A session of PostgreSQL remembers the statements it has seen.
    prepares: bool,
    /// Where PostgreSQL keeps our tables, unless where it would by itself.
    schema: Option<Arc<str>>,
}

impl Db {
    /// Opens a pool; connects on first use.
    ///
    /// # Errors
    ///
    /// A URL that cannot be read. It is not repeated: it may hold a password.
    pub fn open(options: &Options) -> Result<Self, StoreError> {
        Ok(Self {
            pool: Pool::open(options)?,
            statement_timeout: options.statement_timeout,
            prepares: options.prepared_statements,
            schema: options.schema.as_deref().map(Arc::from),
        })
    }

    /// The file of a SQLite store.
    pub fn file(url: &str) -> Option<PathBuf> {
        let options =
            url.starts_with("sqlite:").then(|| SqliteConnectOptions::from_str(url).ok()).flatten()?;
        Some(options.get_filename().to_owned())
    }

    /// Which database it is.
    pub fn dialect(&self) -> Dialect {
        match self.pool {
            Pool::Postgres(_) => Dialect::Postgres,
            Pool::Sqlite { .. } => Dialect::Sqlite,
        }
    }

    /// Connections open, and those of them at rest.
    pub fn connections(&self) -> (u32, usize) {
        // The pool counts a connection as idle a moment after it was taken again: its counter may be below zero by then, and
        // wraps.
        let idle = |size: u32, idle: usize| if idle > size as usize { 0 } else { idle };
        match &self.pool {
            Pool::Postgres(pool) => (pool.size(), idle(pool.size(), pool.num_idle())),
            Pool::Sqlite { writer, readers } => (
                writer.size() + readers.size(),
                idle(writer.size(), writer.num_idle()) + idle(readers.size(), readers.num_idle()),
            ),
        }
    }

    /// Begins a transaction that writes. It must be [finished](Tx::commit_or_rollback), whatever happens in it.
    pub async fn begin(&self) -> Result<Tx, StoreError> {
        self.open_transaction(self.dialect().begin(self.statement_timeout.as_millis()), true).await
    }

    /// Begins a transaction that only reads. It must be finished like any other.
    pub async fn begin_read(&self) -> Result<Tx, StoreError> {
        self.open_transaction(self.dialect().begin_read(self.statement_timeout.as_millis()), false).await
    }

    async fn open_transaction(&self, mut begin: String, writes: bool) -> Result<Tx, StoreError> {
        if self.prepares {
            begin.push_str(self.dialect().assert_own_session());
        }
        if let Some(schema) = &self.schema {
            begin.push_str(&self.dialect().within(schema));
        }
        let connection = match &self.pool {
            Pool::Postgres(pool) => Connection::Postgres(super::db::pool::acquire(pool).await?),
            Pool::Sqlite { writer, .. } if writes => Connection::Sqlite(writer.acquire().await?),
            Pool::Sqlite { readers, .. } => Connection::Sqlite(readers.acquire().await?),
        };
        let response_timeout = self.statement_timeout + RESPONSE_GRACE;
        let (prepares, schema) = (self.prepares, self.schema.clone());
        let mut tx = Tx { connection, writes, prepares, schema, response_timeout, timed_out: false };
        tx.run(begin).await?;
        Ok(tx)
    }

    /// SQLite: rewrites the file without what was deleted and empties the write-ahead log. PostgreSQL: nothing.
    pub async fn scrub(&self) -> Result<(), StoreError> {
        if let Pool::Sqlite { writer, .. } = &self.pool {
            let mut connection = writer.acquire().await?;
            connection.execute("VACUUM").await?;
            // A checkpoint that readers kept from its end is no error to SQLite: it says so in its answer.
            let answer = connection.fetch_one("PRAGMA wal_checkpoint(TRUNCATE)").await?;
            if answer.try_get::<i64, _>(0)? != 0 {
                return Err(StoreError::Contended(Conflict::Reader));
            }
        }
        Ok(())
    }

    /// Closes all connections, waiting for those at work.
    pub async fn close(&self) {
        match &self.pool {
            Pool::Postgres(pool) => pool.close().await,
            Pool::Sqlite { writer, readers } => {
                readers.close().await;
                writer.close().await;
            }
        }
    }
}

#[derive(Debug)]
enum Connection {
    Postgres(PoolConnection<Postgres>),
    Sqlite(PoolConnection<Sqlite>),
}

/// An open transaction.
#[derive(Debug)]
pub struct Tx {
    connection: Connection,
    /// One that only reads takes no locks: it sees one moment as it is.
    writes: bool,
    /// As the database's.
    prepares: bool,
    schema: Option<Arc<str>>,
    /// How long PostgreSQL may be silent.
    response_timeout: Duration,
    /// It was silent for longer.
    timed_out: bool,
}

/// What PostgreSQL answered in time. Of a machine that is gone nothing is heard, not even an end: then the connection
/// is closed, and what was dropped half-way goes with it instead of back into the pool. One that fails where another may not is
/// closed as well.
fn check_response<T>(
    answer: Result<Result<T, sqlx::Error>, Elapsed>,
    connection: &mut PoolConnection<Postgres>,
    timed_out: &mut bool,
) -> Result<T, StoreError> {
    if let Ok(answer) = answer {
        if answer.as_ref().is_err_and(is_of_connection) {
            connection.close_on_drop();
        }
        return Ok(answer?);
    }
    *timed_out = true;
    connection.close_on_drop();
    Err(StoreError::Unavailable("PostgreSQL does not answer any more".to_owned()))
}

/// Binds every argument to a query; what differs is how times and lists travel.
macro_rules! bind {
    ($sql:expr, $args:expr, $prepares:expr, $time:expr, $lists:expr) => {{
        // The only place where built SQL is let through: it is made of static names, never of data.
        let mut query = sqlx::query(AssertSqlSafe($sql.to_owned())).persistent($prepares);
        for arg in $args {
            query = match arg {
                Arg::Int(value) => query.bind(*value),
                Arg::Text(value) => query.bind(value.clone()),
                Arg::Time(value) => query.bind(value.map($time)),
                Arg::Bytes(value) => query.bind(value.clone()),
                Arg::Lists(value) => $lists(query, value),
            };
        }
        query
    }};
}

fn bind_lists<'q>(
    query: Query<'q, Postgres, PgArguments>,
    lists: &'q Lists,
) -> Query<'q, Postgres, PgArguments> {
    lists.columns().iter().fold(query, |query, column| match column {
        List::Ids(ids) => query.bind(ids.as_slice()),
        List::Ints(ints) => query.bind(ints.as_slice()),
        List::Texts(texts) => query.bind(texts.as_slice()),
        List::Times(times) => query.bind(times.as_slice()),
    })
}

fn bind_text<'q>(
    query: Query<'q, Sqlite, SqliteArguments>,
    lists: &Lists,
) -> Query<'q, Sqlite, SqliteArguments> {
    query.bind(lists.text())
}

impl Tx {
    pub fn dialect(&self) -> Dialect {
        match self.connection {
            Connection::Postgres(_) => Dialect::Postgres,
            Connection::Sqlite(_) => Dialect::Sqlite,
        }
    }

    /// The schema that names are looked up in, where one is set.
    pub fn schema(&self) -> Option<&str> {
        self.schema.as_deref()
    }

    /// Locks the rows of `table` that a query finds until the end of a transaction that writes.
    pub fn for_update(&self, table: &str) -> String {
        if self.writes { self.dialect().for_update(table) } else { String::new() }
    }

    /// Keeps the rows of `table` that a query finds from being changed until the end of a transaction that writes.
    pub fn for_share(&self, table: &str) -> String {
        if self.writes { self.dialect().for_share(table) } else { String::new() }
    }

    /// Runs a statement; how many rows it touched.
    pub async fn execute(&mut self, sql: &str, args: &[Arg]) -> Result<u64, StoreError> {
        Ok(match &mut self.connection {
            Connection::Postgres(connection) => {
                let work =
                    bind!(sql, args, self.prepares, |time: Time| time, bind_lists).execute(&mut **connection);
                let answer = timeout(self.response_timeout, work).await;
                check_response(answer, connection, &mut self.timed_out)?.rows_affected()
            }
            Connection::Sqlite(connection) => bind!(sql, args, true, format_time, bind_text)
                .execute(&mut **connection)
                .await?
                .rows_affected(),
        })
    }

    /// Runs a statement and takes the rows it answers.
    pub async fn rows(&mut self, sql: &str, args: &[Arg]) -> Result<Vec<Row>, StoreError> {
        Ok(match &mut self.connection {
            Connection::Postgres(connection) => {
                let work = bind!(sql, args, self.prepares, |time: Time| time, bind_lists)
                    .fetch_all(&mut **connection);
                let answer = timeout(self.response_timeout, work).await;
                let rows = check_response(answer, connection, &mut self.timed_out)?;
                rows.into_iter().map(Row::Postgres).collect()
            }
            Connection::Sqlite(connection) => {
                let rows =
                    bind!(sql, args, true, format_time, bind_text).fetch_all(&mut **connection).await?;
                rows.into_iter().map(Row::Sqlite).collect()
            }
        })
    }

    /// Runs a statement that answers at most one row.
    pub async fn row(&mut self, sql: &str, args: &[Arg]) -> Result<Option<Row>, StoreError> {
        Ok(self.rows(sql, args).await?.into_iter().next())
    }

    /// Runs a script of several statements without parameters.
    pub async fn script(&mut self, sql: &'static str) -> Result<(), StoreError> {
        self.run(sql.to_owned()).await
    }

    /// PostgreSQL: statements, and pauses between them, may take as long as they need from now on.
    pub async fn disable_timeouts(&mut self) -> Result<(), StoreError> {
        self.script("SET LOCAL statement_timeout = 0; SET LOCAL idle_in_transaction_session_timeout = 0")
            .await?;
        self.response_timeout = Duration::MAX;
        Ok(())
    }

    async fn run(&mut self, sql: String) -> Result<(), StoreError> {
        let sql = AssertSqlSafe(sql);
        match &mut self.connection {
            Connection::Postgres(connection) => {
                let answer = timeout(self.response_timeout, connection.execute(sql)).await;
                check_response(answer, connection, &mut self.timed_out)?.rows_affected()
            }
            Connection::Sqlite(connection) => connection.execute(sql).await?.rows_affected(),
        };
        Ok(())
    }

    /// What time it is, by the database's clock: one reading a transaction on PostgreSQL.
    pub async fn now(&mut self) -> Result<Time, StoreError> {
        self.time(self.dialect().now()).await
    }

    /// What time a statement of the dialect says it is.
    pub async fn time(&mut self, sql: &str) -> Result<Time, StoreError> {
        let row = self.row(sql, &[]).await?;
        row.ok_or_else(|| StoreError::Failed("the database has no clock".to_owned()))?.time("now")
    }

    /// Does the server take writes?
    ///
    /// # Errors
    ///
    /// It does not: then it is not asked again over this connection.
    pub async fn ensure_writable(&mut self) -> Result<(), StoreError> {
        if self.row(self.dialect().takes_writes(), &[]).await?.is_some() {
            return Ok(());
        }
        if let Connection::Postgres(connection) = &mut self.connection {
            connection.close_on_drop();
        }
        Err(StoreError::Unavailable("the server takes no writes".to_owned()))
    }

    /// Should this process stand still for so long in the midst of the transaction, PostgreSQL ends it; what it had
    /// locked is free then. SQLite knows no such thing.
    pub async fn set_idle_in_transaction_timeout(
        &mut self,
        response_timeout: Duration,
    ) -> Result<(), StoreError> {
        if let Some(sql) = self.dialect().set_idle_in_transaction_timeout(response_timeout.as_millis()) {
            self.execute(&sql, &[]).await?;
        }
        Ok(())
    }

    /// Commits where the work succeeded, rolls back where it failed.
    ///
    /// # Errors
    ///
    /// The work's own, or the commit's: whether that took effect is unknown where the connection was lost.
    pub async fn commit_or_rollback<T>(mut self, work: Result<T, StoreError>) -> Result<T, StoreError> {
        if work.is_err() {
            return self.rollback(work).await;
        }
        self.script("COMMIT").await?;
        work
    }

    /// Rolls back, whether the work succeeded or failed.
    ///
    /// # Errors
    ///
    /// The work's own.
    pub async fn rollback<T>(mut self, work: Result<T, StoreError>) -> Result<T, StoreError> {
        // The connection may be what failed; then the rollback of the next borrower ends it.
        if !self.timed_out {
            drop(self.script("ROLLBACK").await);
        }
        work
    }
}
