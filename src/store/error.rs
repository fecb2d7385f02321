//! What can go wrong in the store, sorted by what to do about it.

use std::borrow::Cow;

use super::dialect::OWN_SESSION;

/// Why a verb of the store did nothing.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// Another transaction was in the way: the same again, at once, will do.
    #[error("another transaction was in the way ({0}); try again")]
    Contended(Cow<'static, str>),
    /// A lock was not released in time, or a statement took too long: the same again may do, alone rather than among
    /// many. Whether the transaction took effect is unknown.
    #[error("a statement or a lock took longer than store.statement_timeout allows ({0})")]
    TimedOut(Cow<'static, str>),
    /// The database is away, full, not permitted or not as it should be, or an answer was lost on the way: the
    /// same again will do once that is mended. Whether the transaction took effect is unknown.
    #[error("the store cannot be used: {0}")]
    Unavailable(String),
    /// Somebody asked for what must not be; nothing is wrong with the store.
    #[error("{0}")]
    Refused(String),
    /// As [`Self::Refused`]: whoever asks is not there, or lacks the permission.
    #[error("{0}")]
    Forbidden(String),
    /// As [`Self::Refused`]: what it is about is not there.
    #[error("{0}")]
    NotFound(String),
    /// As [`Self::Refused`]: it is about another number of things than was confirmed.
    #[error("{0}")]
    Miscounted(String),
    /// The data itself does not go in: the same again would fail again.
    #[error("the store does not take it: {0}")]
    Failed(String),
}

impl StoreError {
    /// Would the same call succeed later?
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Contended(_) | Self::TimedOut(_) | Self::Unavailable(_))
    }

    /// Was it asked for in vain, with nothing wrong and nothing done?
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused(_) | Self::Forbidden(_) | Self::NotFound(_) | Self::Miscounted(_))
    }
}

/// Sorts a database's own error. Only what data can cause counts as the data's fault: of anything else a person
/// has to mend the database, and until then every message would fail. A message about data is not repeated: it
/// may quote a row, and a row is a person.
impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        match &error {
            sqlx::Error::Database(database) => {
                let code = database.code().unwrap_or_default().into_owned();
                // PostgreSQL's codes have five characters, SQLite's are numbers.
                if code.len() == 5 {
                    postgres(code, database.as_ref())
                } else {
                    sqlite(&code, database.message())
                }
            }
            // As bad data the library of TLS speaks of what it does not accept, certificates above all.
            sqlx::Error::Io(io) if io.kind() == std::io::ErrorKind::InvalidData => {
                Self::Unavailable(format!("TLS failed: {io}"))
            }
            sqlx::Error::Io(io) => Self::Unavailable(io.kind().to_string()),
            sqlx::Error::PoolTimedOut => Self::Unavailable("no connection was free in time".to_owned()),
            sqlx::Error::PoolClosed => Self::Unavailable("its connections are closed".to_owned()),
            sqlx::Error::WorkerCrashed => Self::Unavailable("its thread ended".to_owned()),
            sqlx::Error::Tls(cause) => Self::Unavailable(format!("TLS failed: {cause}")),
            sqlx::Error::Protocol(_) => Self::Unavailable("the connection broke in the middle".to_owned()),
            other => Self::Failed(other.to_string()),
        }
    }
}

/// A server that is no primary, or not any more, does not write.
const READ_ONLY: &str = "25006";

/// Is it the server that takes no writes?
pub(super) fn is_read_only(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Database(error) if error.code().as_deref() == Some(READ_ONLY))
}

fn postgres(code: String, error: &dyn sqlx::error::DatabaseError) -> StoreError {
    match code.as_str() {
        "40001" | "40P01" => StoreError::Contended(Cow::Owned(code)),
        // Cancelled by the timeout, or a lock that was not to be had.
        "57014" | "55P03" => StoreError::TimedOut(Cow::Owned(code)),
        // Two contacts raced for one address: the loser's next try sees who has it.
        "23505" if error.constraint() == Some("contact_emails_live") => {
            StoreError::Contended(Cow::Owned(code))
        }
        // A row twice in a statement, data exceptions, broken constraints, what is too long for an index.
        data if ["21", "22", "23", "54"].contains(&&data[..2]) => {
            StoreError::Failed(format!("PostgreSQL error {code}{}", constraint(error)))
        }
        _ => {
            StoreError::Unavailable(format!("{}{} (PostgreSQL error {code})", error.message(), remedy(error)))
        }
    }
}

/// What to do about it, where PostgreSQL's own words do not say.
fn remedy(error: &dyn sqlx::error::DatabaseError) -> &'static str {
    match error.code().unwrap_or_default().as_ref() {
        READ_ONLY => ": it is a standby, or was the primary; store.url must lead to the one that is",
        // PgBouncer refuses the mark of a session of our own, or drops it.
        "08P01" | "42704"
            if ["startup parameter", OWN_SESSION].iter().any(|words| error.message().contains(words)) =>
        {
            ": a pooler is between, so set store.prepared_statements = false"
        }
        _ => "",
    }
}

fn sqlite(code: &str, message: &str) -> StoreError {
    // The primary code is the low byte of the extended one.
    match code.parse::<u32>().map(|code| code & 0xff) {
        Ok(5 | 6) => StoreError::Contended(Cow::Owned(format!("SQLite error {code}"))),
        // Too big, constraint, mismatch. A constraint's message names tables and columns, never values.
        Ok(18..=20) => StoreError::Failed(format!("SQLite error {code}, {message}")),
        _ => StoreError::Unavailable(format!("{message} (SQLite error {code})")),
    }
}

fn constraint(error: &dyn sqlx::error::DatabaseError) -> String {
    match (error.table(), error.constraint()) {
        (Some(table), Some(constraint)) => format!(" on {table} ({constraint})"),
        (Some(table), None) => format!(" on {table}"),
        _ => String::new(),
    }
}
