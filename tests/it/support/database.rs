//! An empty store per test, on either database, and raw SQL to look behind the program's back.

use std::time::Duration;

use contact_reaper::store::{HashKeySource, Options, Store};
use sqlx::{AssertSqlSafe, ColumnIndex, Connection as _, Decode, PgConnection, Row, SqliteConnection, Type};

use super::{TempDir, server, unique_name, wait_until};

/// A database that nobody else uses; not migrated yet. Gone when dropped.
pub struct Database {
    url: String,
    kind: Kind,
}

enum Kind {
    Postgres { server: String, name: String },
    Sqlite { _dir: TempDir },
}

impl Database {
    /// A fresh database on the server of the test run.
    pub async fn postgres() -> Self {
        Self::postgres_at(&server("TEST_POSTGRES_URL")).await
    }

    /// A fresh database on another server; its URL names one that is there.
    pub async fn postgres_at(server: &str) -> Self {
        Self::created(server, "").await
    }

    /// As [`Database::postgres`], in an encoding.
    pub async fn postgres_in(encoding: &str) -> Self {
        let options = format!(" ENCODING '{encoding}' TEMPLATE template0 LOCALE 'C'");
        Self::created(&server("TEST_POSTGRES_URL"), &options).await
    }

    async fn created(server: &str, options: &str) -> Self {
        let name = unique_name();
        let created = administer(server, format!("CREATE DATABASE {name}{options}")).await;
        created.expect("PostgreSQL creates a database");
        Self { url: at(server, &name), kind: Kind::Postgres { server: server.to_owned(), name } }
    }

    /// A file that does not exist yet, in a fresh directory.
    pub fn sqlite() -> Self {
        let dir = TempDir::new();
        let url = format!("sqlite://{}", dir.path().join("store.db").display());
        Self { url, kind: Kind::Sqlite { _dir: dir } }
    }

    /// A backup as it would be restored: a copy of all there is, at another place. Nobody may be at work on it.
    pub async fn copy(&self) -> Self {
        let Kind::Postgres { server, name: template } = &self.kind else {
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
            administer(server, create.clone()).await.is_ok()
        })
        .await;
        Self { url: at(server, &name), kind: Kind::Postgres { server: server.clone(), name } }
    }

    /// The value for `store.url`.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// The server's `host:port`.
    pub fn host(&self) -> String {
        let (_, after_user) = self.url.split_once('@').expect("the URL of a server");
        after_user.split_once('/').expect("the URL names a database").0.to_owned()
    }

    /// As [`Database::url`], by another `host:port` to the same server.
    pub fn url_by(&self, host: &str) -> String {
        self.url.replace(&self.host(), host)
    }

    /// The directory of the Unix socket, and the name of the database.
    pub fn socket(&self) -> (String, String) {
        let Kind::Postgres { name, .. } = &self.kind else { panic!("SQLite has no socket") };
        (server("TEST_POSTGRES_SOCKETS"), name.clone())
    }

    /// As [`Database::url`], through a pooler that passes sessions on between transactions.
    pub fn pooled_url(&self) -> String {
        let Kind::Postgres { name, .. } = &self.kind else { panic!("SQLite has no pooler") };
        at(&server("TEST_PGBOUNCER_URL"), name)
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
            schema: None,
            max_connections,
            acquire_timeout: patience,
            statement_timeout: patience,
            prepared_statements: true,
            busy_timeout: patience,
            record_changes: false,
            create: true,
            hash_keys: Store::file(&self.url).map_or(HashKeySource::Database, |file| {
                HashKeySource::Beside(format!("{}.hash-key", file.display()).into())
            }),
        };
        Store::open(&options).expect("the URL is one")
    }

    /// Moves every restore ten minutes back: an enrollment of now was then surely made after it.
    pub async fn restored_a_while_ago(&self) {
        let ago = self.in_its_words(
            "now() - interval '10 minutes'",
            "strftime('%Y-%m-%dT%H:%M:%f000Z', 'now', '-10 minutes')",
        );
        self.execute(&format!("UPDATE contacts SET restored_at = {ago} WHERE restored_at IS NOT NULL")).await;
    }

    /// The rows of a query, whose columns the query itself casts to text. NULL reads `NULL`.
    pub async fn rows(&self, sql: &str) -> Vec<Vec<String>> {
        self.try_rows(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// As [`Database::rows`], of a server that may be away.
    pub async fn try_rows(&self, sql: &str) -> sqlx::Result<Vec<Vec<String>>> {
        let query = AssertSqlSafe(sql);
        Ok(match self.kind {
            Kind::Postgres { .. } => {
                let mut connection = PgConnection::connect(&self.url).await?;
                texts(&sqlx::query(query).fetch_all(&mut connection).await?)
            }
            Kind::Sqlite { .. } => {
                let mut connection = SqliteConnection::connect(&self.url).await?;
                texts(&sqlx::query(query).fetch_all(&mut connection).await?)
            }
        })
    }

    /// Runs one or more statements; says how many rows they changed.
    pub async fn execute(&self, sql: &str) -> u64 {
        self.try_execute(sql).await.unwrap_or_else(|error| panic!("{sql}: {error}"))
    }

    /// As [`Database::execute`], where something may be in the way.
    pub async fn try_execute(&self, sql: &str) -> sqlx::Result<u64> {
        let statements = sqlx::raw_sql(AssertSqlSafe(sql));
        Ok(match self.kind {
            Kind::Postgres { .. } => {
                let mut connection = self.connect_postgres().await;
                statements.execute(&mut connection).await?.rows_affected()
            }
            Kind::Sqlite { .. } => {
                let mut connection = self.connect_sqlite().await;
                statements.execute(&mut connection).await?.rows_affected()
            }
        })
    }

    /// PostgreSQL notices now that a process was killed, and not only when it answers the process.
    pub async fn end_sessions_of_the_service(&self) {
        if !self.is_sqlite() {
            self.rows(
                "SELECT CAST(pg_terminate_backend(pid) AS text) FROM pg_stat_activity \
                 WHERE datname = current_database() AND application_name = 'contact-reaper'",
            )
            .await;
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

    /// A connection of the test's own, to be in the program's way with.
    pub async fn connect_postgres(&self) -> PgConnection {
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
        if let Kind::Postgres { server, name } = &self.kind {
            let server = server.clone();
            let statement = format!("DROP DATABASE {name} WITH (FORCE)");
            let dropper = std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
                runtime.block_on(administer(&server, statement)).map_err(std::io::Error::other)
            });
            let _ = dropper.join();
        }
    }
}

/// The URL of a database on a server.
fn at(server: &str, name: &str) -> String {
    let (address, parameters) = server.split_once("/postgres?").expect("the server's URL names a database");
    format!("{address}/{name}?{parameters}")
}

async fn administer(server: &str, statement: String) -> sqlx::Result<()> {
    let mut connection = PgConnection::connect(server).await?;
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
