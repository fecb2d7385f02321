//! What could not be processed: looked at, replayed, discarded. On the broker it is in the dead-letter queue, for the
//! embedded feed in the store; the operations are the same.

mod in_store;
mod on_broker;

use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{Error, Operations};
use crate::broker;
use crate::domain::dead_letter::{DeadLetter, Place, Selection};
use crate::domain::time::format_time;
use crate::pipeline;
use crate::store::{Actor, Operator};

/// Where dead letters are.
pub enum Home {
    /// In a queue of the broker.
    Broker(Box<broker::Options>),
    /// In the store; replayed ones are decided here, in a pipeline like this.
    Store(pipeline::Options),
}

/// What a replay did.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Replayed {
    /// Published to the queue of enrollments again, or decided.
    pub replayed: usize,
    /// Decided, and set aside once more; null where the queue of enrollments will tell.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub set_aside_again: Option<usize>,
}

/// What is to be done with dead letters, for whom.
struct Order<'a> {
    operations: &'a Operations,
    selection: &'a Selection,
    actor: Actor,
}

impl Operations {
    /// The newest of a selection, or the newest behind a place of its list, newest first.
    ///
    /// # Errors
    ///
    /// Where the broker or the store does not answer.
    pub async fn dead_letters(
        &self,
        selection: &Selection,
        behind: Option<&Place>,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, Error> {
        match &self.options.dead_letters {
            Home::Broker(options) => on_broker::newest(options, selection, behind, limit).await,
            Home::Store(_) => {
                // Whatever is no number is no id of the store's: there is nothing behind it.
                let before = behind.map_or(i64::MAX, |place| place.id.parse().unwrap_or(0));
                Ok(self.store.dead_letters(selection, before, limit).await?)
            }
        }
    }

    /// One of them.
    ///
    /// # Errors
    ///
    /// Where there is none with this id, in this account where one is named.
    pub async fn dead_letter(&self, id: &str, account_id: Option<i64>) -> Result<DeadLetter, Error> {
        let selection = Selection { ids: vec![id.to_owned()], account_id, ..Selection::default() };
        self.dead_letters(&selection, None, 1).await?.pop().ok_or_else(|| {
            Error::NotFound(format!(
                "no dead letter has the id {id}: the list of dead letters shows those there are"
            ))
        })
    }

    /// Has them decided anew, oldest first, at most so many a second.
    ///
    /// # Errors
    ///
    /// Where a user may not; where the broker or the store does not answer: what was replayed by then is, and the rest stays.
    pub async fn replay_dead_letters(
        &self,
        selection: &Selection,
        operator: &Operator,
        rate: u32,
    ) -> Result<Replayed, Error> {
        let order = self.order(selection, operator).await?;
        match &self.options.dead_letters {
            Home::Broker(options) => {
                let replayed = on_broker::replay(&order, options, Tempo::of(rate)).await?;
                Ok(Replayed { replayed, set_aside_again: None })
            }
            Home::Store(options) => in_store::replay(&order, options, Tempo::of(rate)).await,
        }
    }

    /// Deletes them for good, if they are as many as was confirmed.
    ///
    /// # Errors
    ///
    /// Where they are not, or a user may not: then all of them stay.
    pub async fn discard_dead_letters(
        &self,
        selection: &Selection,
        operator: &Operator,
        confirm: u64,
    ) -> Result<Value, Error> {
        let order = self.order(selection, operator).await?;
        match &self.options.dead_letters {
            Home::Broker(options) => on_broker::discard(&order, options, confirm).await?,
            Home::Store(_) => self.store.discard_dead_letters(selection, confirm, &order.actor).await?,
        }
        Ok(json!({ "discarded": confirm }))
    }

    async fn order<'a>(&'a self, selection: &'a Selection, operator: &Operator) -> Result<Order<'a>, Error> {
        let account_id = selection.account_id.unwrap_or(0);
        let actor = self.store.who_rules_on_dead_letters(account_id, operator).await?;
        Ok(Order { operations: self, selection, actor })
    }
}

/// So many a second, on average and from the start.
struct Tempo {
    rate: u32,
    started: Instant,
}

impl Tempo {
    fn of(rate: u32) -> Self {
        Self { rate, started: Instant::now() }
    }

    /// Waits until so many may have been done.
    async fn keep(&mut self, done: usize) {
        let due = Duration::from_secs_f64(done as f64 / f64::from(self.rate));
        sleep(due.saturating_sub(self.started.elapsed())).await;
    }
}

/// A dead letter in a list.
pub fn row(letter: &DeadLetter) -> Value {
    json!({"id": letter.id, "at": letter.at.map(format_time), "reason": letter.reason, "detail": letter.detail,
        "attempts": letter.attempts, "accountId": letter.account_id().map(|id| id.to_string()),
        "bytes": letter.body.len()})
}

/// A dead letter with its body; null where that is no text.
pub fn whole(letter: &DeadLetter) -> Value {
    let mut document = row(letter);
    document["body"] = json!(std::str::from_utf8(&letter.body).ok());
    document
}
