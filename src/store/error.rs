//! What can go wrong in the store, sorted by what to do about it.

use std::borrow::Cow;
use std::fmt;
use std::io::ErrorKind;

use sqlx::postgres::PgDatabaseError;

use crate::domain::network;

/// The mark of a session that only this program uses: its prepared statements are this program's, and no others are in it.
pub const OWN_SESSION: &str = "contact_reaper.own_session";

/// What was in the way of a transaction that is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Conflict {
    /// PostgreSQL could not put it in an order with others.
    Serialization,
    /// PostgreSQL found it in a circle of locks.
    Deadlock,
    /// Another transaction took a key first: an address, or a contact's id.
    Address,
    /// The table was changed since the session prepared the statement.
    StalePlan,
    /// SQLite has one writer, and another process is it.
    Busy,
    /// A reader keeps SQLite's write-ahead log.
    Reader,
    /// Others came nearer to a limit of the volume guard.
    Guard,
    /// A row of the ledger was decided by another.
    Ledger,
}

impl Conflict {
    /// Each of them, for counters that start at zero.
    pub const ALL: [Self; 8] = [
        Self::Serialization,
        Self::Deadlock,
        Self::Address,
        Self::StalePlan,
        Self::Busy,
        Self::Reader,
        Self::Guard,
        Self::Ledger,
    ];

    /// As the metrics call it: PostgreSQL's code where there is one of its own.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Serialization => "40001",
            Self::Deadlock => "40P01",
            Self::Address => "23505",
            Self::StalePlan => "stale_plan",
            Self::Busy => "sqlite_busy",
            Self::Reader => "sqlite_reader",
            Self::Guard => "guard",
            Self::Ledger => "ledger",
        }
    }
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// Why a verb of the store did nothing.
#[derive(Clone, Debug, thiserror::Error)]
pub enum StoreError {
    /// Another transaction was in the way: the same again, at once, will do.
    #[error("another transaction was in the way ({0}); try again")]
    Contended(Conflict),
    /// A lock was not released in time, or a statement took too long: the same again may do, alone rather than among
    /// many. Whether the transaction took effect is unknown.
    #[error("a statement or a lock took longer than store.statement_timeout allows ({0})")]
    TimedOut(Cow<'static, str>),
    /// The database is away or full, or an answer was lost on the way: the same again will do once the outage is over.
    /// Whether the transaction took effect is unknown.
    #[error("the store cannot be used: {0}")]
    Unavailable(String),
    /// The database answers, but lacks a login, a permission, a table or a column that this program needs. No transaction
    /// fares better until a person has set it up.
    #[error("the store is not set up for this program: {0}")]
    NotSetUp(String),
    /// The database does not do what this statement asks for. Other transactions may pass.
    #[error("the store does not support what it was asked to do: {0}")]
    Unsupported(String),
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
    CountMismatch(String),
    /// The data itself does not go in: the same again would fail again.
    #[error("the store does not take it: {0}")]
    Failed(String),
}

impl StoreError {
    /// Would the same call succeed later?
    pub fn is_transient(&self) -> bool {
        matches!(self, Self::Contended(_) | Self::TimedOut(_) | Self::Unavailable(_) | Self::NotSetUp(_))
    }

    /// Was it asked for in vain, with nothing wrong and nothing done?
    pub fn is_refusal(&self) -> bool {
        matches!(self, Self::Refused(_) | Self::Forbidden(_) | Self::NotFound(_) | Self::CountMismatch(_))
    }
}

/// Sorts a database's own error: [`StoreError::Unavailable`] is only what an outage causes. A message about data is not
/// repeated: it may quote a row, and a row is a person.
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
            sqlx::Error::Io(io) if io.kind() == ErrorKind::NotFound => {
                Self::Unavailable("a socket or a certificate that store.url names is not there".to_owned())
            }
            sqlx::Error::Io(io) => {
                Self::Unavailable(network::explain(io).unwrap_or_else(|| io.kind().to_string()))
            }
            sqlx::Error::PoolTimedOut => Self::Unavailable("no connection was free in time".to_owned()),
            sqlx::Error::PoolClosed => Self::Unavailable("its connections are closed".to_owned()),
            sqlx::Error::WorkerCrashed => Self::Unavailable("its thread ended".to_owned()),
            sqlx::Error::Tls(cause) => Self::Unavailable(network::explain_tls(&cause.to_string())),
            sqlx::Error::Protocol(_) => Self::Unavailable("the connection broke in the middle".to_owned()),
            other => Self::Failed(other.to_string()),
        }
    }
}

/// A server that is no primary, or not any more, does not write.
const READ_ONLY: &str = "25006";
/// Not supported.
const NOT_SUPPORTED: &str = "0A000";

/// Is it the connection that another one may do better than: one to a server that takes no writes, or one that remembers
/// statements as they were before a table was changed?
pub(super) fn is_of_connection(error: &sqlx::Error) -> bool {
    let sqlx::Error::Database(error) = error else { return false };
    error.code().as_deref() == Some(READ_ONLY) || is_stale_plan(error.as_ref())
}

/// The code is that of everything that is not supported; the place in PostgreSQL's source tells it apart, in any language.
fn is_stale_plan(error: &dyn sqlx::error::DatabaseError) -> bool {
    error.code().as_deref() == Some(NOT_SUPPORTED)
        && error
            .try_downcast_ref::<PgDatabaseError>()
            .is_some_and(|error| error.routine() == Some("RevalidateCachedQuery"))
}

fn postgres(code: String, error: &dyn sqlx::error::DatabaseError) -> StoreError {
    let said = || format!("{}{} (PostgreSQL error {code})", error.message(), remedy(error));
    match code.as_str() {
        "40001" => return StoreError::Contended(Conflict::Serialization),
        "40P01" => return StoreError::Contended(Conflict::Deadlock),
        NOT_SUPPORTED if is_stale_plan(error) => return StoreError::Contended(Conflict::StalePlan),
        // Cancelled by a timeout, or a lock that was not to be had.
        "57014" | "55P03" | "25P04" => return StoreError::TimedOut(Cow::Owned(code)),
        // Two transactions raced for one key: the loser's next try sees who has it.
        "23505" if is_race(error) => return StoreError::Contended(Conflict::Address),
        NOT_SUPPORTED => return StoreError::Unsupported(said()),
        READ_ONLY | "25P03" | "40003" | "XX000" => return StoreError::Unavailable(said()),
        _ => {}
    }
    match &code[..2] {
        // A row twice in a statement, data exceptions, broken constraints, what is too long for an index.
        "21" | "22" | "23" | "44" | "54" => {
            StoreError::Failed(format!("PostgreSQL error {code}{}", constraint(error)))
        }
        // Lost connections, no resources, wrong states, interventions of an operator, failures of the system.
        "08" if is_of_pooler(error) => StoreError::NotSetUp(said()),
        "08" | "53" | "55" | "57" | "58" => StoreError::Unavailable(said()),
        // Roles, statements that a pooler forgot, logins, names of databases and schemas, tables, columns, permissions.
        "0L" | "0P" | "26" | "28" | "3D" | "3F" | "42" => StoreError::NotSetUp(said()),
        // What a trigger says may quote a row.
        _ => StoreError::Unsupported(format!("PostgreSQL error {code}")),
    }
}

/// Is it a key that transactions race for? The parts of a table that is distributed or partitioned have constraints of
/// their own names: with the number of a shard behind, or with the names of the part and of its columns.
fn is_race(error: &dyn sqlx::error::DatabaseError) -> bool {
    const KEYS: [&str; 2] = ["contact_emails_live", "contacts_pkey"];
    let Some(name) = error.constraint() else { return false };
    let is_shard = |suffix: &str| {
        suffix.strip_prefix('_').is_some_and(|number| number.bytes().all(|byte| byte.is_ascii_digit()))
    };
    KEYS.iter().any(|key| name.strip_prefix(key).is_some_and(|rest| rest.is_empty() || is_shard(rest)))
        || name.starts_with("contact_emails_") && name.contains("account_id_email_key_idx")
}

/// Did a pooler refuse the mark of a session of our own, or drop it?
fn is_of_pooler(error: &dyn sqlx::error::DatabaseError) -> bool {
    match error.code().unwrap_or_default().as_ref() {
        "08P01" | "42704" => {
            ["startup parameter", OWN_SESSION].iter().any(|words| error.message().contains(words))
        }
        // Statements that one session has prepared, and another is asked for.
        "26000" | "42P05" => true,
        _ => false,
    }
}

/// What to do about it, where PostgreSQL's own words do not say.
fn remedy(error: &dyn sqlx::error::DatabaseError) -> &'static str {
    match error.code().unwrap_or_default().as_ref() {
        READ_ONLY => ": it is a standby, or was the primary; store.url must lead to the one that is",
        "53100" | "58030" => ": the disk may be full",
        _ if is_of_pooler(error) => ": a pooler is between, so set store.prepared_statements = false",
        _ => "",
    }
}

fn sqlite(code: &str, message: &str) -> StoreError {
    let said = |remedy| format!("{message}{remedy} (SQLite error {code})");
    // The primary code is the low byte of the extended one.
    match code.parse::<u32>().map(|code| code & 0xff) {
        Ok(5 | 6) => StoreError::Contended(Conflict::Busy),
        // Too big, constraint, mismatch. A constraint's message names tables and columns, never values.
        Ok(18..=20) => StoreError::Failed(format!("SQLite error {code}, {message}")),
        // An error of a statement: of the schema, or of what its functions were given, which may be quoted.
        Ok(1) if ["no such", "near ", "has no column"].iter().any(|words| message.contains(words)) => {
            StoreError::NotSetUp(said(""))
        }
        Ok(1) => StoreError::Failed(format!("SQLite error {code}")),
        Ok(10) => StoreError::Unavailable(said(": the disk may be full, or broken")),
        Ok(13) => StoreError::Unavailable(said(": the disk may be full")),
        // It is no database.
        Ok(24 | 26) => StoreError::NotSetUp(said("")),
        _ => StoreError::Unavailable(said("")),
    }
}

fn constraint(error: &dyn sqlx::error::DatabaseError) -> String {
    match (error.table(), error.constraint()) {
        (Some(table), Some(constraint)) => format!(" on {table} ({constraint})"),
        (Some(table), None) => format!(" on {table}"),
        _ => String::new(),
    }
}
