//! The queue of dead letters, where the broker moves what used up its deliveries, and the way back to work.
//!
//! What older versions set aside there themselves says why in its headers, and keeps that.

use std::borrow::Cow;
use std::sync::Arc;

use futures_util::TryFutureExt;
use futures_util::future::try_join_all;
use lapin::options::BasicAckOptions;
use lapin::types::ShortString;
use lapin::{Acker, Connection};
use tracing::warn;

use super::connection::{Role, connect, or_connection_lost, transient};
use super::envelope::{self, Form, Incoming};
use super::publisher::{Alarm, Outgoing, Publisher};
use super::subscription::Subscription;
use super::{Options, RecordsTopology, short, topology};
use crate::domain::cloud_event::{self, Plain};
use crate::domain::dead_letter::DeadLetter;
use crate::domain::rejection::Rejection;
use crate::ports::{Delivery, Feed, FeedError, Session, Settlement, Settler};

/// Letters in hand before the broker waits for acknowledgements: bodies may be large.
const PREFETCH: u16 = 20;

/// Consumes the queue of dead letters.
#[derive(Debug)]
pub struct LetterFeed {
    options: Options,
}

impl LetterFeed {
    /// Connects to nothing yet.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self { options }
    }
}

impl Feed for LetterFeed {
    type Session = LetterSession;

    async fn open(&mut self) -> Result<LetterSession, FeedError> {
        let queue = short(&self.options.dead_letter_queue)?;
        let connection = Arc::new(connect(&self.options, Role::Letters).await?);
        topology::declare(&connection, &self.options).await?;
        let subscription = Subscription::open(Arc::clone(&connection), queue, PREFETCH).await?;
        Ok(LetterSession { subscription, settler: LetterSettler { connection } })
    }
}

/// One connection and subscription.
pub struct LetterSession {
    subscription: Subscription,
    settler: LetterSettler,
}

/// Why it was set aside, and its acker.
pub struct LetterHandle {
    rejection: Rejection,
    acker: Acker,
}

impl AsRef<Rejection> for LetterHandle {
    fn as_ref(&self) -> &Rejection {
        &self.rejection
    }
}

impl Session for LetterSession {
    type AckHandle = LetterHandle;
    type Settler = LetterSettler;

    async fn next(&mut self) -> Result<Option<Delivery<LetterHandle>>, FeedError> {
        self.subscription.next().await.map(|delivery| Some(received(delivery)))
    }

    fn settler(&self) -> LetterSettler {
        self.settler.clone()
    }

    async fn close(self) {
        self.subscription.close().await;
    }
}

fn received(delivery: lapin::message::Delivery) -> Delivery<LetterHandle> {
    let lapin::message::Delivery { exchange, routing_key, redelivered, properties, data, acker, .. } =
        delivery;
    let moved = envelope::moved_from(&properties);
    // What the broker moved was delivered before, in the queue that it comes from.
    let redelivered = redelivered || moved.is_some();
    let (exchange, routing_key) = moved.unwrap_or((exchange, routing_key));
    let mut incoming = Incoming {
        properties: &properties,
        exchange: &exchange,
        routing_key: &routing_key,
        form: Form::AsItCame,
    };
    // A letter has no headers of its own: what they say of the body has to be part of it. A batch stays one.
    let carriage = incoming.carriage();
    let body = match cloud_event::plain(&data, &carriage) {
        Ok(Plain::Event(Cow::Owned(event))) => {
            incoming.form = Form::Structured;
            event
        }
        Ok(Plain::Batch(Cow::Owned(batch))) => batch,
        _ => data,
    };
    let (attempt, trace, origin) = (incoming.attempt(), incoming.trace(), incoming.origin(redelivered));
    let ack_handle = LetterHandle { rejection: envelope::rejection(&properties), acker };
    Delivery { body, unread: None, redelivered, attempt, trace, origin, ack_handle }
}

/// Acknowledges.
#[derive(Clone)]
pub struct LetterSettler {
    connection: Arc<Connection>,
}

impl Settler for LetterSettler {
    type AckHandle = LetterHandle;

    /// A letter has nowhere else to wait.
    fn retries(&self) -> u32 {
        0
    }

    async fn settle(&self, settlements: Vec<Settlement<LetterHandle>>) -> Result<(), FeedError> {
        let doing = "acknowledging dead letters";
        let acks = settlements.iter().map(|it| it.delivery.ack_handle.acker.ack(BasicAckOptions::default()));
        let acked = try_join_all(acks).map_err(|error| transient(doing, &error));
        if or_connection_lost(&self.connection, doing, acked).await?.contains(&false) {
            warn!("a dead letter outlived its channel and comes again");
        }
        Ok(())
    }
}

/// Publishes dead letters to the queues that they come from, as messages that were not tried yet.
pub struct Requeue {
    publisher: Publisher,
    work_queue: ShortString,
    records: Option<(RecordsTopology, ShortString)>,
}

impl Requeue {
    /// Connects, and declares what is missing.
    ///
    /// # Errors
    /// No connection, or a topology that contradicts the options.
    pub async fn connect(options: &Options) -> Result<Self, FeedError> {
        let work_queue = short(&options.queue)?;
        let queue = |records: RecordsTopology| short(&records.queue).map(|queue| (records, queue));
        let records = options.records.clone().map(queue).transpose()?;
        let publisher = Publisher::connect(options, Role::Publish, Alarm::Fails).await?;
        topology::declare(publisher.connection(), options).await?;
        Ok(Self { publisher, work_queue, records })
    }

    /// The queue that a letter comes from: that of records where it was published to their exchange, or straight to their queue.
    fn queue_of(&self, letter: &DeadLetter) -> ShortString {
        let records = self.records.as_ref().filter(|(records, _)| {
            letter.exchange == records.exchange
                || letter.exchange.is_empty() && letter.routing_key == records.queue
        });
        records.map_or(&self.work_queue, |(_, queue)| queue).clone()
    }

    /// Publishes them in their order. One answer a letter: in the queue, or why it may not be.
    ///
    /// # Errors
    /// Nothing was sent.
    pub async fn publish(
        &self,
        letters: Vec<(DeadLetter, Vec<u8>)>,
    ) -> Result<Vec<Result<(), String>>, FeedError> {
        let message = |(letter, body)| Outgoing {
            exchange: ShortString::default(),
            routing_key: self.queue_of(&letter),
            properties: envelope::replay(&letter),
            body,
        };
        self.publisher.publish_each(letters.into_iter().map(message).collect()).await
    }

    /// Says goodbye.
    pub async fn close(&self) {
        self.publisher.close().await;
    }
}
