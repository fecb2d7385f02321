//! What was written to the outbox with the deed leaves as a CloudEvent, at least once and in order per contact.
//!
//! One of many instances publishes, by a lease. A round reads the oldest messages, sends the first of each contact,
//! waits for the broker's confirmations, and removes exactly what was confirmed. Killed between the two it is sent
//! again with the id it had; rows are of no use once they are out, the audit keeps the deed.
//!
//! The order of a contact's events: one is sent only after all earlier ones were confirmed, never on the same
//! wave, for the broker may refuse the first of two and take the second. So also where an instance that slept
//! through its lease wakes up and sends beside its successor, the first arrivals of a contact's events are in order;
//! the lease keeps the repetitions rare, not the order right.
//!
//! Not its job: other messages than events; making the exchange's queues, which belong to whoever listens.

mod event;

use std::collections::HashSet;
use std::pin::pin;
use std::time::{Duration, Instant};

use tracing::{info, warn};

use crate::backoff::Backoff;
use crate::ports::{Event, FeedError, Publisher, Stop};
use crate::store::lease::{Duty, Lease};
use crate::store::outbox::Message;
use crate::store::{Store, StoreError};
use event::{cloud_event, contact_of};

/// Messages read at a time: enough to hide the way to the broker and back, few enough to repeat after a kill.
const ROUND: u32 = 500;
/// How long the lease outlives its holder. Short, because whoever takes over too early repeats some events and
/// harms nothing.
const LEASE: Duration = Duration::from_secs(3);
/// How often the lease is prolonged, or asked for.
const RENEWAL: Duration = Duration::from_secs(1);
/// Between two looks at an outbox that was empty: how long an event waits at the most while all is well.
const POLL: Duration = Duration::from_millis(200);

/// How the outbox is emptied.
#[derive(Clone, Debug)]
pub struct Options {
    /// Tells this instance from the others.
    pub holder: String,
    /// The longest pause before another try.
    pub max_retry_delay: Duration,
}

/// Publishes until it is asked to stop, and then what waits at that moment; a broker that is away or in alarm is
/// waited for as long as it takes, unless it was asked to stop.
pub async fn run<P: Publisher>(publisher: P, store: Store, options: Options, mut stop: Stop) {
    let mut backoff = Backoff::new(options.max_retry_delay);
    let mut outbox = Outbox { publisher, store, holder: options.holder, held: None };
    loop {
        // Asked before the round: the last one sees all that was committed before the stop.
        let last = stop.is_requested();
        let pause = match outbox.round().await {
            Ok(Round::More) => {
                backoff.reset();
                continue;
            }
            Ok(Round::Empty) => {
                backoff.reset();
                POLL
            }
            Ok(Round::Elsewhere) => RENEWAL,
            Err(trouble) => {
                // Its confirmations may still be on their way, and belong to nobody any more.
                outbox.publisher.disconnect().await;
                let pause = backoff.pause();
                if last {
                    warn!(error = %trouble, "events not published; they wait for the next start");
                } else {
                    warn!(error = %trouble, retry_in = ?pause, "events not published");
                }
                pause
            }
        };
        if last {
            break;
        }
        tokio::select! {
            () = stop.requested() => {}
            () = tokio::time::sleep(pause) => {}
        }
    }
    outbox.resign().await;
}

/// How a round went.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Round {
    /// It published, and more may wait.
    More,
    /// Nothing waits.
    Empty,
    /// Another instance publishes.
    Elsewhere,
}

/// Why a round did not go well.
#[derive(Debug, thiserror::Error)]
enum Trouble {
    #[error("{0}")]
    Store(#[from] StoreError),
    // A topology that needs a person as well: the feed, which declares the same, ends the service over it.
    #[error("{0}")]
    Broker(#[from] FeedError),
    #[error("the broker did not confirm {unconfirmed} of {sent} events: {reason}")]
    NotConfirmed { unconfirmed: usize, sent: usize, reason: String },
}

struct Outbox<P> {
    publisher: P,
    store: Store,
    holder: String,
    /// The lease, and when it was prolonged last.
    held: Option<(Lease, Instant)>,
}

impl<P: Publisher> Outbox<P> {
    async fn round(&mut self) -> Result<Round, Trouble> {
        let Some(lease) = self.lease().await? else { return Ok(Round::Elsewhere) };
        let messages = first_of_each_contact(self.store.events(ROUND).await?);
        if messages.is_empty() {
            return Ok(Round::Empty);
        }
        let Some(answers) = self.publish(messages.iter().map(cloud_event).collect()).await? else {
            return Ok(Round::Elsewhere);
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
            match self.store.remove_published(&lease, LEASE, &confirmed).await {
                Ok(()) => self.held = Some((lease, Instant::now())),
                Err(StoreError::Refused(_)) => return Ok(self.give_up().await),
                Err(error) => return Err(error.into()),
            }
        }
        match reason {
            None => Ok(Round::More),
            Some(reason) => {
                let unconfirmed = messages.len() - confirmed.len();
                Err(Trouble::NotConfirmed { unconfirmed, sent: messages.len(), reason })
            }
        }
    }

    /// The lease, prolonged where it is time to; `None` where another has it.
    async fn lease(&mut self) -> Result<Option<Lease>, StoreError> {
        if let Some((lease, prolonged)) = &self.held
            && prolonged.elapsed() < RENEWAL
        {
            return Ok(Some(lease.clone()));
        }
        let asked = Instant::now();
        let lease = self.store.hold_lease(Duty::Outbox, &self.holder, LEASE).await?;
        match (&self.held, &lease) {
            (None, Some(_)) => info!("this instance publishes the outbox"),
            (Some(_), None) => drop(self.give_up().await),
            _ => {}
        }
        self.held = lease.clone().map(|lease| (lease, asked));
        Ok(lease)
    }

    /// Waits for the confirmations as long as the connection lives and the lease is ours; a broker in alarm may
    /// let both last. `None`: the lease is another's.
    async fn publish(&mut self, events: Vec<Event>) -> Result<Option<Vec<Result<(), String>>>, Trouble> {
        {
            let mut publishing = pin!(self.publisher.publish(events));
            loop {
                tokio::select! {
                    answers = &mut publishing => return Ok(Some(answers?)),
                    () = tokio::time::sleep(RENEWAL) => {}
                }
                // Beside the select, not in it: a future of the store is never dropped half-way.
                if self.store.hold_lease(Duty::Outbox, &self.holder, LEASE).await?.is_none() {
                    break;
                }
            }
        }
        self.give_up().await;
        Ok(None)
    }

    async fn give_up(&mut self) -> Round {
        info!("another instance publishes the outbox");
        self.held = None;
        self.publisher.disconnect().await;
        Round::Elsewhere
    }

    /// Leaves in good order: another instance need not wait for the end of the lease.
    async fn resign(mut self) {
        self.publisher.disconnect().await;
        if self.held.is_some()
            && let Err(problem) = self.store.release_lease(Duty::Outbox, &self.holder).await
        {
            warn!(error = %problem, "outbox lease not released; it ends by itself");
        }
    }
}

/// The first message of each contact, and all that are about no one contact; what is left stays for the next round.
fn first_of_each_contact(messages: Vec<Message>) -> Vec<Message> {
    let mut seen = HashSet::with_capacity(messages.len());
    messages
        .into_iter()
        .filter(|message| {
            contact_of(message).is_none_or(|contact| seen.insert((message.account_id, contact)))
        })
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
        let first = first_of_each_contact(messages.map(|(a, m, data)| message(a, m, data)).into());
        let ids: Vec<i64> = first.iter().map(|message| message.message_id).collect();
        assert_eq!(ids, [1, 2, 4, 5, 6]);
    }
}
