//! What was done leaves as a CloudEvent, at least once and in order per contact.
//!
//! A round reads the oldest events, sends the first of each contact, waits for the broker's confirmations, and removes
//! exactly what was confirmed. Killed between the two it is sent again with the id it had; rows are of no use once they
//! are out, the audit keeps the deed.
//!
//! The order of a contact's events: one is sent only after all earlier ones were confirmed, never on the same
//! wave, for the broker may refuse the first of two and take the second. So also where an instance that slept
//! through its lease wakes up and sends beside its successor, the first arrivals of a contact's events are in order;
//! the lease keeps the repetitions rare, not the order right.
//!
//! Not its job: making the exchange's queues, which belong to whoever listens.

use std::collections::HashSet;
use std::time::Duration;

use super::event::{cloud_event, record_of};
use super::leadership::{LEASE, LeaseKeeper};
use super::rounds::{self, OutboxSender, PollResult};
use crate::ports::{Event, FeedError, Publisher, Stop};
use crate::store::lease::LeaseName;
use crate::store::outbox::Message;
use crate::store::{Store, StoreError};

/// Messages read at a time: enough to hide the way to the broker and back, few enough to repeat after a kill.
const ROUND: u32 = 500;

/// How events leave.
#[derive(Clone, Debug)]
pub struct Options {
    /// Tells this instance from the others.
    pub holder: String,
    /// The longest pause before another try.
    pub max_retry_delay: Duration,
}

/// Publishes until it is asked to stop, and then what waits at that moment; a broker that is away or in alarm is
/// waited for as long as it takes, unless it was asked to stop.
pub async fn run<P: Publisher>(publisher: P, store: Store, options: Options, stop: Stop) {
    let leadership = LeaseKeeper::new(store.clone(), LeaseName::Outbox, options.holder);
    rounds::run(Events { publisher, store, leadership }, options.max_retry_delay, stop).await;
}

/// Why a round did not go well.
#[derive(Debug, thiserror::Error)]
enum PublishError {
    #[error("{0}")]
    Store(#[from] StoreError),
    // A topology that needs a person as well: the feed, which declares the same, ends the service over it.
    #[error("{0}")]
    Broker(#[from] FeedError),
    #[error("the broker did not confirm {unconfirmed} of {sent} events: {reason}")]
    NotConfirmed { unconfirmed: usize, sent: usize, reason: String },
}

struct Events<P> {
    publisher: P,
    store: Store,
    leadership: LeaseKeeper,
}

impl<P: Publisher> OutboxSender for Events<P> {
    type Error = PublishError;
    const NOT_DONE: &'static str = "events not published";
    /// How long an event waits at the most while all is well.
    const POLL: Duration = Duration::from_millis(200);

    async fn round(&mut self) -> Result<PollResult, PublishError> {
        let Some(lease) = self.leadership.lease().await? else { return Ok(PollResult::Elsewhere) };
        let messages = first_of_each_record(self.store.events(ROUND).await?);
        if messages.is_empty() {
            return Ok(PollResult::Empty);
        }
        let Some(answers) = self.publish(messages.iter().map(cloud_event).collect()).await? else {
            return Ok(PollResult::Elsewhere);
        };
        let mut confirmed = Vec::with_capacity(messages.len());
        let mut reason = None;
        for (index, message) in messages.iter().enumerate() {
            match answers.get(index) {
                Some(Ok(())) => confirmed.push((message.account_id, message.message_id)),
                Some(Err(said)) => reason = reason.or(Some(said.clone())),
                None => reason = reason.or(Some("there was no answer".to_owned())),
            }
        }
        if !confirmed.is_empty() {
            let removed = self.store.remove_published(&lease, LEASE, &confirmed).await;
            if !self.leadership.prolonged_by(lease, removed)? {
                return Ok(PollResult::Elsewhere);
            }
        }
        match reason {
            None => Ok(PollResult::More),
            Some(reason) => {
                let unconfirmed = messages.len() - confirmed.len();
                Err(PublishError::NotConfirmed { unconfirmed, sent: messages.len(), reason })
            }
        }
    }

    /// Confirmations may still be on their way, and belong to nobody any more.
    async fn abort(&mut self) {
        self.publisher.disconnect().await;
    }

    async fn release_lease(self) {
        self.leadership.resign().await;
    }
}

impl<P: Publisher> Events<P> {
    /// Waits for the confirmations as long as the connection lives and the lease is ours; a broker in alarm may
    /// let both last. `None`: the lease is another's.
    async fn publish(&mut self, events: Vec<Event>) -> Result<Option<Vec<Result<(), String>>>, PublishError> {
        match self.leadership.keep_while(self.publisher.publish(events)).await? {
            Some(answers) => Ok(Some(answers?)),
            None => Ok(None),
        }
    }
}

/// The first message of each contact or other record, and all that are about no single one; what is left stays for the next round.
fn first_of_each_record(messages: Vec<Message>) -> Vec<Message> {
    let mut seen = HashSet::with_capacity(messages.len());
    messages
        .into_iter()
        .filter(|message| record_of(message).is_none_or(|record| seen.insert((message.account_id, record))))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::parse_time;

    fn message(account_id: i64, message_id: i64, data: &str) -> Message {
        Message {
            account_id,
            message_id,
            kind: "contact.deletion".to_owned(),
            data: data.to_owned(),
            created_at: parse_time("2026-11-21T10:00:00Z").unwrap(),
        }
    }

    #[test]
    fn a_contacts_later_events_wait_for_its_first() {
        let (one, two) = (r#"{"contactId":"1"}"#, r#"{"contactId":"2"}"#);
        let messages = [(1, 1, one), (1, 2, two), (1, 3, one), (2, 4, one), (1, 5, "{}"), (1, 6, "{}")];
        let first = first_of_each_record(messages.map(|(a, m, data)| message(a, m, data)).into());
        let ids: Vec<i64> = first.iter().map(|message| message.message_id).collect();
        assert_eq!(ids, [1, 2, 4, 5, 6]);
    }
}
