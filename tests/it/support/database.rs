//! An empty store per test, on either database, and raw SQL to look behind the program's back.

use std::time::Duration;

use contact_reaper::store::{KeyHome, Options, Store};
use sqlx::{AssertSqlSafe, ColumnIndex, Connection as _, Decode, PgConnection, Row, SqliteConnection, Type};

use super::{TempDir, server, unique_name, wait_until};

/// A database that nobody else uses; not migrated yet. Gone when dropped.
pub struct Database {
    url: String,
    kind: Kind,
}

enum Kind {
    Postgres { name: String },
    Sqlite { _dir: TempDir },
}

impl Database {
    /// A fresh database on the server of the test run.
    pub async fn postgres() -> Self {
        let name = unique_name();
        administer(format!("CREATE DATABASE {name}")).await.expect("PostgreSQL creates a database");
        Self { url: at_server(&name), kind: Kind::Postgres { name } }
    }

    /// A file that does not exist yet, in a fresh directory.
    pub fn sqlite() -> Self {
        let dir = TempDir::new();
        let url = format!("sqlite://{}", dir.path().join("store.db").display());
        Self { url, kind: Kind::Sqlite { _dir: dir } }
    }

    /// A backup as it would be restored: a copy of all there is, at another place. Nobody may be at work on it.
    pub async fn copy(&self) -> Self {
        let Kind::Postgres { name: template } = &self.kind else {
            let copy = Self::sqlite();
            let file = |url: &str, end| format!("{}{end}", url.trim_start_matches("sqlite://"));
            for end in ["", "-wal"] {
                let copied = std::fs::copy(file(&self.url, end), file(&copy.url, end));
                assert!(copied.is_ok() || end == "-wal", "{copied:?}");
            }
            return copy;
        };
        let name = unique_name();
        let create = format!("CREATE DATABASE {name} TEMPLATE {template}");
        // The server may not have noticed yet that the last connection is gone.
        wait_until("the database is copied", Duration::from_secs(10), async || {
            administer(create.clone()).await.is_ok()
        })
        .await;
        Self { url: at_server(&name), kind: Kind::Postgres { name } }
    }

    /// The value for `store.url`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Is it SQLite, where one transaction writes at a time?
    pub fn is_sqlite(&self) -> bool {
        matches!(self.kind, Kind::Sqlite { .. })
    }

    /// The store as the program's own rooms use it, with connections of its own.
    pub fn open(&self) -> Store {
        self.open_with(8)
    }

    /// As [`Database::open`], with so many connections at most.
    pub fn open_with(&self, max_connections: u32) -> Store {
        let patience = Duration::from_secs(30);
        let options = Options {
            url: self.url.clone(),
            max_connections,
            acquire_timeout: patience,
            statement_timeout: patience,
            busy_timeout: patience,
            create: true,
            hash_keys: Store::file(&self.url).map_or(KeyHome::Database, |file| {
                KeyHome::Beside(format!("{}.hash-key", file.display()).into())
            }),
        };
        Store::open(&options).expect("the URL is one")
    }

    /// The rows of a query, whose columns the query itself casts to text. NULL reads `NULL`.
    pub async fn rows(&self, sql: &str) -> Vec<Vec<String>> {
        let query = AssertSqlSafe(sql);
        match self.kind {
            Kind::Postgres { .. } => {
                let mut connection = self.connect_postgres().await;
                texts(&sqlx::query(query).fetch_all(&mut connection).await.expect(sql))
            }
            Kind::Sqlite { .. } => {
                let mut connection = self.connect_sqlite().await;
                texts(&sqlx::query(query).fetch_all(&mut connection).await.expect(sql))
            }
        }
    }

    /// Runs one or more statements; says how many rows they changed.
    pub async fn execute(&self, sql: &str) -> u64 {
        let statements = sqlx::raw_sql(AssertSqlSafe(sql));
        match self.kind {
            Kind::Postgres { .. } => {
                let mut connection = self.connect_postgres().await;
                statements.execute(&mut connection).await.expect(sql).rows_affected()
            }
            Kind::Sqlite { .. } => {
                let mut connection = self.connect_sqlite().await;
                statements.execute(&mut connection).await.expect(sql).rows_affected()
            }
        }
    }

    /// A connection to the SQLite file in the midst of reading, until it is dropped.
    pub async fn open_reader(&self) -> SqliteConnection {
        let mut connection = self.connect_sqlite().await;
        for statement in ["BEGIN", "SELECT count(*) FROM contacts"] {
            sqlx::raw_sql(statement).execute(&mut connection).await.expect(statement);
        }
        connection
    }

    async fn connect_postgres(&self) -> PgConnection {
        PgConnection::connect(&self.url).await.expect("PostgreSQL takes the connection")
    }

    async fn connect_sqlite(&self) -> SqliteConnection {
        SqliteConnection::connect(&self.url).await.expect("the SQLite file exists: migrate first")
    }
}

impl Drop for Database {
    /// Best effort: the servers do not outlive the run by much. A thread, because the test's runtime may be
    /// on its way out and cannot be blocked on from inside.
    fn drop(&mut self) {
        if let Kind::Postgres { name } = &self.kind {
            let statement = format!("DROP DATABASE {name} WITH (FORCE)");
            let dropper = std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                runtime.block_on(administer(statement)).map_err(std::io::Error::other)
            });
            let _ = dropper.join();
        }
    }
}

/// The URL of a database on the server of the test run.
fn at_server(name: &str) -> String {
    let server = server("TEST_POSTGRES_URL");
    let (address, parameters) = server.split_once("/postgres?").expect("TEST_POSTGRES_URL names a database");
    format!("{address}/{name}?{parameters}")
}

async fn administer(statement: String) -> sqlx::Result<()> {
    let mut connection = PgConnection::connect(&server("TEST_POSTGRES_URL")).await?;
    sqlx::raw_sql(AssertSqlSafe(statement)).execute(&mut connection).await?;
    connection.close().await
}

fn texts<R>(rows: &[R]) -> Vec<Vec<String>>
where
    R: Row,
    usize: ColumnIndex<R>,
    for<'r> Option<String>: Decode<'r, R::Database> + Type<R::Database>,
{
    let text = |row: &R, column| row.get::<Option<String>, _>(column).unwrap_or_else(|| "NULL".to_owned());
    rows.iter().map(|row| (0..row.len()).map(|column| text(row, column)).collect()).collect()
}
