//! What a feed leaves in the store: the position in a file, and the messages that were set aside.

pub mod checkpoint;
pub mod dead_letters;

use super::db::dialect::Dialect;
use super::{Store, StoreError};
use crate::ports::{BatchError, RetryReason};

impl Store {
    /// Is it the store, the message, or neither? SQLite has one writer: another process that keeps it is in the way of every message,
    /// and none pays for that with its attempts. A store that is not set up fails all of them. What it does not support may be what
    /// only some of them take: others pass, and these wait in the retry queues.
    pub(super) fn batch_error(&self, error: StoreError) -> BatchError {
        let message = error.to_string();
        match (error, self.db.dialect()) {
            (StoreError::Unavailable(_) | StoreError::NotSetUp(_), _)
            | (StoreError::Contended(_), Dialect::Sqlite) => BatchError::Unavailable(message),
            (StoreError::Contended(_), Dialect::Postgres) => {
                BatchError::Blocked { reason: RetryReason::Contended, message }
            }
            (StoreError::TimedOut(_), _) => BatchError::Blocked { reason: RetryReason::TimedOut, message },
            (StoreError::Unsupported(_), _) => {
                BatchError::Blocked { reason: RetryReason::Unsupported, message }
            }
            _ => BatchError::Poison(message),
        }
    }
}
