//! Dead letters: looked at, replayed, discarded. They are in the store with either feed; only a replay asks the broker.

mod replay;

use std::time::Duration;

use serde::Serialize;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{Error, Operations};
use crate::broker;
use crate::domain::dead_letter::{DeadLetter, Selection};
use crate::domain::time::format_time;
use crate::pipeline;
use crate::store::{Actor, Operator};

/// How dead letters are replayed.
pub enum Replay {
    /// To the work queue of a broker.
    Publish(Box<broker::Options>),
    /// Here, in a pipeline like this.
    Decide(pipeline::Options),
}

/// What a replay did.
#[derive(Clone, Copy, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Replayed {
    /// Published to the queues that they come from again, or decided.
    pub replayed: usize,
    /// Decided, and set aside once more; null where the queues decide.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub dead_lettered_again: Option<usize>,
}

/// What is to be done with dead letters, for whom.
struct Command<'a> {
    operations: &'a Operations,
    selection: &'a Selection,
    actor: Actor,
}

impl Operations {
    /// The newest of a selection with an id below this one, newest first.
    ///
    /// # Errors
    ///
    /// Where the store does not answer.
    pub async fn dead_letters(
        &self,
        selection: &Selection,
        before: Option<i64>,
        limit: usize,
    ) -> Result<Vec<DeadLetter>, Error> {
        Ok(self.store.dead_letters(selection, before.unwrap_or(i64::MAX), limit).await?)
    }

    /// One of them, with its body.
    ///
    /// # Errors
    ///
    /// Where there is none with this id, in this account where one is named.
    pub async fn dead_letter(
        &self,
        id: i64,
        account_id: Option<i64>,
    ) -> Result<(DeadLetter, Vec<u8>), Error> {
        let selection = Selection { ids: vec![id], account_id, ..Selection::default() };
        self.store.dead_letters_after(0, &selection).await?.pop().ok_or_else(|| unknown(id))
    }

    /// Has them decided anew, oldest first, at most so many a second.
    ///
    /// # Errors
    ///
    /// Where a user may not, or an id is unknown; where the broker or the store does not answer: what was replayed by then
    /// is, and the rest stays.
    pub async fn replay_dead_letters(
        &self,
        selection: &Selection,
        operator: &Operator,
        rate: u32,
    ) -> Result<Replayed, Error> {
        let order = self.order(selection, operator).await?;
        match &self.options.replay {
            Replay::Publish(options) => replay::publish(&order, options, RateLimiter::of(rate)).await,
            Replay::Decide(options) => replay::decide(&order, options, RateLimiter::of(rate)).await,
        }
    }

    /// Deletes them for good, if they are as many as was confirmed.
    ///
    /// # Errors
    ///
    /// Where they are not, an id is unknown, or a user may not: then all of them stay.
    pub async fn discard_dead_letters(
        &self,
        selection: &Selection,
        operator: &Operator,
        confirm: u64,
    ) -> Result<Value, Error> {
        let order = self.order(selection, operator).await?;
        self.store.discard_dead_letters(selection, confirm, &order.actor).await?;
        Ok(json!({ "discarded": confirm }))
    }

    /// An id that was mistyped must not look like one that was done.
    async fn refuse_unknown(&self, selection: &Selection) -> Result<(), Error> {
        let found = match selection.ids.len() {
            0 => return Ok(()),
            wanted => self.store.dead_letters(selection, i64::MAX, wanted).await?,
        };
        match selection.ids.iter().find(|id| !found.iter().any(|letter| letter.id == **id)) {
            Some(missing) => Err(unknown(*missing)),
            None => Ok(()),
        }
    }

    async fn order<'a>(
        &'a self,
        selection: &'a Selection,
        operator: &Operator,
    ) -> Result<Command<'a>, Error> {
        let account_id = selection.account_id.unwrap_or(0);
        let actor = self.store.authorize_dead_letters(account_id, operator).await?;
        self.refuse_unknown(selection).await?;
        Ok(Command { operations: self, selection, actor })
    }
}

fn unknown(id: i64) -> Error {
    Error::NotFound(format!("no dead letter has the id {id}: the list of dead letters shows those there are"))
}

/// So many a second, on average and from the start.
struct RateLimiter {
    rate: u32,
    started: Instant,
}

impl RateLimiter {
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
    json!({"id": letter.id.to_string(), "at": format_time(letter.at), "reason": letter.reason,
        "detail": letter.detail, "attempts": letter.attempts,
        "accountId": letter.account_id.map(|id| id.to_string()), "bytes": letter.bytes})
}

/// A dead letter with where it came from and its body; null where that is no text.
pub fn whole(letter: &DeadLetter, body: &[u8]) -> Value {
    let mut document = row(letter);
    document["exchange"] = json!(letter.exchange);
    document["routingKey"] = json!(letter.routing_key);
    document["contentType"] = json!(letter.content_type);
    document["traceparent"] = json!(letter.trace.map(|trace| trace.to_string()));
    document["body"] = json!(std::str::from_utf8(body).ok());
    document
}
