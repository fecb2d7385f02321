//! The store as the pipeline knows it: somebody who decides.

use crate::domain::dead_letter::Arrived;
use crate::domain::rejection::Rejection;
use crate::ports::{DecideError, Decided, Decider, Message, RetryReason};
use crate::store::db::dialect::Dialect;
use crate::store::{Rules, Store, StoreError};

/// A store, with what the settings say about decisions.
#[derive(Clone, Debug)]
pub struct StoreDecider {
    store: Store,
    rules: Rules,
    /// The messages are dead letters of the store: none is written that is there already.
    again: bool,
}

impl Store {
    /// Decides by these settings.
    pub fn deciding(&self, rules: Rules) -> StoreDecider {
        StoreDecider { store: self.clone(), rules, again: false }
    }

    /// Decides dead letters of this store anew.
    pub fn deciding_again(&self, rules: Rules) -> StoreDecider {
        StoreDecider { store: self.clone(), rules, again: true }
    }
}

impl Decider for StoreDecider {
    async fn decide(&self, batch: &[Message<'_>]) -> Result<Vec<Decided>, DecideError> {
        let decided = if self.again {
            self.store.decide_again(batch, &self.rules).await
        } else {
            self.store.decide(batch, &self.rules).await
        };
        decided.map_err(|error| classify(error, self.store.db.dialect()))
    }

    async fn set_aside(&self, arrived: Arrived<'_>, rejection: &Rejection) -> Result<(), DecideError> {
        if self.again {
            return Ok(());
        }
        let written = self.store.write_dead_letter(arrived, rejection).await;
        written.map_err(|error| classify(error, self.store.db.dialect()))
    }

    async fn is_available(&self) -> bool {
        self.store.answers().await
    }
}

/// Is it the store, the message, or neither? SQLite has one writer: whoever keeps it is in everybody's way, and no message
/// pays for that with its attempts. A store that is not set up fails all of them. What it does not support may be what only
/// some of them take: others pass, and these wait in the retry queues.
fn classify(error: StoreError, dialect: Dialect) -> DecideError {
    let message = error.to_string();
    match (error, dialect) {
        (StoreError::Unavailable(_) | StoreError::NotSetUp(_), _)
        | (StoreError::Contended(_), Dialect::Sqlite) => DecideError::Unavailable(message),
        (StoreError::Contended(_), Dialect::Postgres) => {
            DecideError::Blocked { reason: RetryReason::Contended, message }
        }
        (StoreError::TimedOut(_), _) => DecideError::Blocked { reason: RetryReason::TimedOut, message },
        (StoreError::Unsupported(_), _) => DecideError::Blocked { reason: RetryReason::Unsupported, message },
        _ => DecideError::Poison(message),
    }
}
