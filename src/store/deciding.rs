//! The store as the pipeline knows it: somebody who decides.

use super::dialect::Dialect;
use super::{Rules, Store, StoreError};
use crate::domain::enrollment::NewEnrollment;
use crate::ports::{DecideError, Decided, Decider, Obstacle};

/// A store, with what the settings say about decisions.
#[derive(Clone, Debug)]
pub struct Deciding {
    store: Store,
    rules: Rules,
}

impl Store {
    /// Decides by these settings.
    pub fn deciding(&self, rules: Rules) -> Deciding {
        Deciding { store: self.clone(), rules }
    }
}

impl Decider for Deciding {
    async fn decide(&self, batch: &[NewEnrollment]) -> Result<Vec<Decided>, DecideError> {
        let decided = self.store.decide(batch, &self.rules).await;
        decided.map_err(|error| sorted(error, self.store.db.dialect()))
    }

    async fn answers(&self) -> bool {
        self.store.answers().await
    }
}

/// Is it the store, the message, or neither? SQLite has one writer: whoever keeps it is in everybody's way, and no message
/// pays for that with its attempts.
fn sorted(error: StoreError, dialect: Dialect) -> DecideError {
    let problem = error.to_string();
    match (error, dialect) {
        (StoreError::Unavailable(_), _) | (StoreError::Contended(_), Dialect::Sqlite) => {
            DecideError::Away(problem)
        }
        (StoreError::Contended(_), Dialect::Postgres) => {
            DecideError::InTheWay { obstacle: Obstacle::Contended, problem }
        }
        (StoreError::TimedOut(_), _) => DecideError::InTheWay { obstacle: Obstacle::TimedOut, problem },
        _ => DecideError::Unfit(problem),
    }
}
