//! Pauses of deletions by workflows.

use serde::Serialize;

use super::{Error, Operations};
use crate::store::Operator;
use crate::store::decisions::pauses::Scope;

/// What a pause did.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Paused {
    pub paused: bool,
    pub was_paused: bool,
}

impl Operations {
    /// Stops deletes by workflows.
    ///
    /// # Errors
    ///
    /// As [`crate::store::Store::pause`], with what to do about it.
    pub async fn pause(&self, scope: Scope, operator: &Operator) -> Result<Paused, Error> {
        match self.store.pause(scope, operator).await {
            Ok(paused) => Ok(Paused { paused: true, was_paused: !paused }),
            Err(error) if error.is_refusal() => Err(error.into()),
            Err(error) => Err(Error::Failed(format!(
                "{scope} is not paused ({error}): a worker may be stuck in a batch, which a pause waits for; stop that \
                 worker, or try again"
            ))),
        }
    }
}
