//! The store as the pipeline knows it: somebody who decides.

use crate::domain::dead_letter::Arrived;
use crate::domain::decision::Decision;
use crate::domain::enrollment::NewEnrollment;
use crate::domain::rejection::Rejection;
use crate::ports::{Answers, BatchError, Decided, Decider, Message, MessageStore};
use crate::store::{Rules, Store};

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
    async fn decide(&self, batch: &[Message<'_, NewEnrollment>]) -> Result<Answers<Decided>, BatchError> {
        let decided = if self.again {
            self.store.decide_again(batch, &self.rules).await
        } else {
            self.store.decide(batch, &self.rules).await
        };
        let decided = decided.map_err(|error| self.store.batch_error(error))?;
        let answer = |decided: Decided| match decided.decision {
            Decision::DeadLetter(rejection) => Err(rejection),
            decision => Ok(Decided { decision, ..decided }),
        };
        Ok(decided.into_iter().map(answer).collect())
    }
}

impl MessageStore for StoreDecider {
    async fn set_aside(&self, arrived: Arrived<'_>, rejection: &Rejection) -> Result<(), BatchError> {
        if self.again {
            return Ok(());
        }
        let written = self.store.write_dead_letter(arrived, rejection).await;
        written.map_err(|error| self.store.batch_error(error))
    }

    async fn is_available(&self) -> bool {
        self.store.answers().await
    }
}
