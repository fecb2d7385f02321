//! RabbitMQ: the only room that names its client library.
//!
//! In reading order: `topology` declares what is missing and refuses what differs, `connection` opens a
//! connection and turns its errors into sentences, `subscription` consumes a queue, `consumer` is the feed of enrollments or of
//! records (one generation of connections per session), `envelope` builds what goes on and `retry_queues` says where it waits, `publisher` publishes with
//! confirms, `events` publishes what happened, `letters` is the dead-letter queue as a feed and the way back
//! from the dead letters, `queue_lag` says how many enrollments wait.
//!
//! What is not here: no back-off (whoever opens the feed waits between tries), no automatic recovery (delivery
//! tags start again at 1 after one, and an old tag would acknowledge a new message), no acknowledgement but
//! through the delivery's own acker, no wait that outlives its connection (the library may forget the answers that it owes
//! when one ends).

mod connection;
mod consumer;
mod envelope;
mod events;
mod letters;
mod publisher;
mod queue_lag;
mod retry_queues;
mod subscription;
mod tls;
mod topology;

use std::fmt;
use std::time::Duration;

use lapin::types::ShortString;

use crate::ports::FeedError;

pub use consumer::{AckHandle, RabbitFeed, RabbitSession, RabbitSettler};
pub use events::EventPublisher;
pub use letters::{LetterFeed, LetterHandle, LetterSession, LetterSettler, Requeue};
pub use publisher::{PublishFailure, PublishReport, publish_enrollments};
pub use queue_lag::QueueLag;
pub use tls::{Identity, Tls};
pub use topology::declare_topology;

/// Where the broker is and what everything in it is called.
#[derive(Clone)]
pub struct Options {
    /// `amqp://user:password@host:port/vhost`, or `amqps://` with TLS; the virtual host `/` is written `%2f`, the nodes
    /// of a cluster `host:port,host:port`.
    pub url: String,
    /// What TLS takes beside the URL.
    pub tls: Tls,
    /// The topic exchange that producers publish enrollments to.
    pub exchange: String,
    /// What binds the work queue to it.
    pub routing_key: String,
    /// The quorum queue of enrollments.
    pub queue: String,
    /// Deliveries of one message, lost connections included, before the broker itself sets it aside.
    pub delivery_limit: u32,
    /// Retry queues are called this, a dot, and their delay: `contact-reaper.retry` gives
    /// `contact-reaper.retry.5s`.
    pub retry_queue_prefix: String,
    /// The rungs of the retry ladder: one queue each, in whole milliseconds.
    pub retry_delays: Vec<Duration>,
    /// The quorum queue where the broker moves what used up its deliveries.
    pub dead_letter_queue: String,
    /// How long it waits there to be taken into the store, in whole milliseconds.
    pub dead_letter_retention: Duration,
    /// The topic exchange of what happened.
    pub events_exchange: String,
    /// How records come in; `None`: not by a queue.
    pub records: Option<RecordsTopology>,
    /// Deliveries in hand before the broker waits for acknowledgements.
    pub prefetch: u16,
    /// How often the two sides say they live, in whole seconds; twice that in silence ends a connection.
    pub heartbeat: Duration,
    /// For one connection attempt, name resolution and login included.
    pub connect_timeout: Duration,
}

/// The names of what records come in by.
#[derive(Clone, Debug)]
pub struct RecordsTopology {
    /// The topic exchange that a CRM publishes records to.
    pub exchange: String,
    /// What binds the queue to it.
    pub routing_key: String,
    /// The quorum queue of records, with one active consumer.
    pub queue: String,
}

impl fmt::Debug for Options {
    /// Without the URL: it holds the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Options")
            .field("exchange", &self.exchange)
            .field("queue", &self.queue)
            .field("prefetch", &self.prefetch)
            .finish_non_exhaustive()
    }
}

/// A name as the protocol carries it, at most 255 bytes.
fn short(name: &str) -> Result<ShortString, FeedError> {
    ShortString::try_new(name).map_err(|_| {
        let beginning: String = name.chars().take(40).collect();
        FeedError::Permanent(format!(
            "The RabbitMQ name '{beginning}…' is longer than 255 bytes: choose a shorter one."
        ))
    })
}

#[cfg(test)]
fn test_options() -> Options {
    Options {
        url: "amqp://guest:secret@127.0.0.1:5672/%2f".to_owned(),
        tls: Tls::default(),
        exchange: "workflow.enrollments".to_owned(),
        routing_key: "contact.delete".to_owned(),
        queue: "contact-reaper.enrollments".to_owned(),
        delivery_limit: 100,
        retry_queue_prefix: "contact-reaper.retry".to_owned(),
        retry_delays: [1, 5, 30, 120, 600].map(Duration::from_secs).to_vec(),
        dead_letter_queue: "contact-reaper.dead-letters".to_owned(),
        dead_letter_retention: Duration::from_hours(30 * 24),
        events_exchange: "contact.events".to_owned(),
        records: Some(RecordsTopology {
            exchange: "crm.records".to_owned(),
            routing_key: "record.#".to_owned(),
            queue: "contact-reaper.records".to_owned(),
        }),
        prefetch: 100,
        heartbeat: Duration::from_secs(10),
        connect_timeout: Duration::from_secs(5),
    }
}
