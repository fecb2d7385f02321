//! What can go wrong in the store, sorted by what to do about it.

use std::borrow::Cow;

/// Why a verb of the store did nothing.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Another transaction was in the way: the same again, at once, will do.
    #[error("another transaction was in the way ({0})")]
    Contended(Cow<'static, str>),
    /// The database is away, or an answer was lost on the way: the same again later will do. Whether the
    /// transaction took effect is unknown.
    #[error("the store does not answer: {0}")]
    Unavailable(String),
    /// Somebody asked for what must not be; nothing is wrong with the store.
    #[error("{0}")]
    Refused(String),
    /// The same again would fail again.
    #[error("the store failed: {0}")]
    Failed(String),
}

impl StoreError {
    /// Would the same call succeed later?
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Contended(_) | Self::Unavailable(_))
    }
}

/// Sorts a database's own error. Its text is kept short: a message may quote a row, and a row is a person.
impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(database) => {
                let code = database.code().unwrap_or_default().into_owned();
                // PostgreSQL's codes have five characters, SQLite's are numbers.
                match (code.len(), code.as_str()) {
                    (5, "40001" | "40P01") => Self::Contended(Cow::Owned(code)),
                    // Two contacts raced for one address: the loser's next try sees who has it.
                    (5, "23505") if database.constraint() == Some("contact_emails_live") => {
                        Self::Contended(Cow::Owned(code))
                    }
                    // Out of resources, shutting down, read-only after a failover, statement timeout.
                    (5, "57014" | "25006") => Self::Unavailable(format!("PostgreSQL error {code}")),
                    (5, other) if ["08", "53", "57"].contains(&&other[..2]) => {
                        Self::Unavailable(format!("PostgreSQL error {code}"))
                    }
                    (5, _) => {
                        Self::Failed(format!("PostgreSQL error {code}{}", constraint(database.as_ref())))
                    }
                    _ => Self::sqlite(&code, database.message()),
                }
            }
            sqlx::Error::Io(io) => Self::Unavailable(io.kind().to_string()),
            sqlx::Error::PoolTimedOut => Self::Unavailable("no connection was free in time".to_owned()),
            sqlx::Error::PoolClosed => Self::Unavailable("its connections are closed".to_owned()),
            sqlx::Error::WorkerCrashed => Self::Unavailable("its thread ended".to_owned()),
            sqlx::Error::Tls(_) => Self::Unavailable("TLS was refused".to_owned()),
            sqlx::Error::Protocol(_) => Self::Unavailable("the connection broke in the middle".to_owned()),
            other => Self::Failed(other.to_string()),
        }
    }
}

impl StoreError {
    fn sqlite(code: &str, message: &str) -> Self {
        // The primary code is the low byte of the extended one.
        match code.parse::<u32>().map(|code| code & 0xff) {
            Ok(5 | 6) => Self::Contended(Cow::Owned(format!("SQLite error {code}"))),
            // Input and output, full, cannot open, protocol.
            Ok(10 | 13 | 14 | 15) => Self::Unavailable(format!("SQLite error {code}, {message}")),
            // A constraint's message names tables and columns, never values.
            _ => Self::Failed(format!("SQLite error {code}, {message}")),
        }
    }
}

fn constraint(error: &dyn sqlx::error::DatabaseError) -> String {
    match (error.table(), error.constraint()) {
        (Some(table), Some(constraint)) => format!(" on {table} ({constraint})"),
        (Some(table), None) => format!(" on {table}"),
        _ => String::new(),
    }
}
