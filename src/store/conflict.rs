//! The conflicts between transactions that are expected, and how the metrics name them.

use std::fmt;

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
