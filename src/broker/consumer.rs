//! The feed: a generation of connections that consumes, puts off and acknowledges.

use std::borrow::Cow;
use std::collections::{HashSet, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::future::{join, join_all};
use lapin::options::BasicAckOptions;
use lapin::types::ShortString;
use lapin::{Acker, BasicProperties, Connection};
use tokio::sync::Mutex;
use tracing::warn;

use super::connection::{Role, connect, or_connection_lost, transient};
use super::envelope::{Form, Incoming};
use super::publisher::{Alarm, Outgoing, Publisher};
use super::retry_queues::RetryQueues;
use super::subscription::Subscription;
use super::{Options, short, topology};
use crate::domain::cloud_event::{self, Carriage, Plain};
use crate::domain::progress::{AckTracker, Acks};
use crate::domain::rejection::Rejection;
use crate::ports::{Delivery, Feed, FeedError, Session, SettleAction, Settlement, Settler};

/// Consumes a queue of messages to process.
#[derive(Debug)]
pub struct RabbitFeed {
    options: Options,
    queue: String,
    /// Is there a place to wait for a message that is tried again?
    has_retry_queues: bool,
}

impl RabbitFeed {
    /// The queue of enrollments. Connects to nothing yet.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self { queue: options.queue.clone(), options, has_retry_queues: true }
    }

    /// The queue of records, where there is one. A message is tried again in its place: in a retry queue a later one of the same
    /// record would overtake it.
    #[must_use]
    pub fn of_records(options: Options) -> Option<Self> {
        let queue = options.records.as_ref()?.queue.clone();
        Some(Self { options, queue, has_retry_queues: false })
    }
}

impl Feed for RabbitFeed {
    type Session = RabbitSession;

    async fn open(&mut self) -> Result<RabbitSession, FeedError> {
        let options = &self.options;
        let queue = short(&self.queue)?;
        let retry_queues =
            if self.has_retry_queues { RetryQueues::new(options)? } else { RetryQueues::default() };
        let retry_queues = Arc::new(retry_queues);
        let connection = Arc::new(connect(options, Role::Consume).await?);
        topology::declare(&connection, options).await?;
        let publisher = Arc::new(Publisher::connect(options, Role::Publish, Alarm::Waits).await?);

        let subscription = Subscription::open(Arc::clone(&connection), queue, options.prefetch).await?;
        let settler = RabbitSettler { connection, publisher, retry_queues, progress: Arc::default() };
        Ok(RabbitSession { subscription, parts: VecDeque::new(), settler })
    }
}

/// One consuming connection, channel and subscription, and one publishing connection beside it. Dropped, it
/// disconnects, and what was not settled comes again.
pub struct RabbitSession {
    subscription: Subscription,
    /// Of a batch, what was not handed out yet.
    parts: VecDeque<Delivery<AckHandle>>,
    settler: RabbitSettler,
}

/// What settles a delivery: its acker, and what is repeated of it where it goes elsewhere. It cannot be printed: headers are
/// the producer's and may name people.
pub struct AckHandle {
    message: Arc<Message>,
    form: Form,
}

/// What came from the broker: one event, or a batch of them.
struct Message {
    /// Its number on the channel, from 1 on.
    tag: u64,
    acker: Acker,
    exchange: ShortString,
    routing_key: ShortString,
    properties: BasicProperties,
    /// How many events of it are not settled. It is acknowledged with the last.
    open: AtomicUsize,
}

impl AckHandle {
    fn incoming(&self) -> Incoming<'_> {
        let Message { exchange, routing_key, properties, .. } = self.message.as_ref();
        Incoming { properties, exchange, routing_key, form: self.form }
    }

    /// Settles this event of the message: its number where it was the last one.
    fn settled(self) -> Option<Arc<Message>> {
        (self.message.open.fetch_sub(1, Ordering::AcqRel) == 1).then_some(self.message)
    }
}

impl Session for RabbitSession {
    type AckHandle = AckHandle;
    type Settler = RabbitSettler;

    async fn next(&mut self) -> Result<Option<Delivery<AckHandle>>, FeedError> {
        loop {
            if let Some(part) = self.parts.pop_front() {
                return Ok(Some(part));
            }
            let (message, parts) = received(self.subscription.next().await?);
            if parts.is_empty() {
                self.settler.acknowledge_aside(message);
            }
            self.parts.extend(parts);
        }
    }

    fn settler(&self) -> RabbitSettler {
        self.settler.clone()
    }

    async fn close(self) {
        self.subscription.close().await;
        self.settler.publisher.close().await;
    }
}

/// A message, and the events in it.
fn received(delivery: lapin::message::Delivery) -> (Arc<Message>, Vec<Delivery<AckHandle>>) {
    let lapin::message::Delivery {
        delivery_tag,
        exchange,
        routing_key,
        redelivered,
        properties,
        data,
        acker,
        ..
    } = delivery;
    let incoming = Incoming {
        properties: &properties,
        exchange: &exchange,
        routing_key: &routing_key,
        form: Form::AsItCame,
    };
    let (bodies, unread) = match bodies(data, &incoming.carriage()) {
        Ok(bodies) => (bodies, None),
        Err((data, rejection)) => (vec![(Form::AsItCame, data)], Some(rejection)),
    };
    let open = AtomicUsize::new(bodies.len());
    let message = Message { tag: delivery_tag, acker, exchange, routing_key, properties, open };
    let message = Arc::new(message);
    let delivery = |(form, body)| {
        let ack_handle = AckHandle { message: Arc::clone(&message), form };
        let incoming = ack_handle.incoming();
        let (attempt, trace, origin) = (incoming.attempt(), incoming.trace(), incoming.origin(redelivered));
        Delivery { body, unread: unread.clone(), redelivered, attempt, trace, origin, ack_handle }
    };
    let deliveries = bodies.into_iter().map(delivery).collect();
    (message, deliveries)
}

/// An event as it is decided, and in which form it came.
type Formed = (Form, Vec<u8>);

/// The events of a body, in structured mode; or the body, and why there are none in it.
fn bodies(data: Vec<u8>, carriage: &Carriage) -> Result<Vec<Formed>, (Vec<u8>, Rejection)> {
    let bodies = match cloud_event::plain(&data, carriage) {
        Ok(Plain::Event(Cow::Borrowed(_))) => None,
        Ok(Plain::Event(Cow::Owned(event))) => Some(Ok(vec![(Form::Structured, event)])),
        Ok(Plain::Batch(batch)) => Some(cloud_event::events(&batch).map(|events| {
            let part = |(place, event)| (Form::PartOfBatch(place), event);
            events.into_iter().enumerate().map(part).collect()
        })),
        Err(rejection) => Some(Err(rejection)),
    };
    match bodies {
        None => Ok(vec![(Form::AsItCame, data)]),
        Some(Ok(bodies)) => Ok(bodies),
        Some(Err(rejection)) => Err((data, rejection)),
    }
}

/// Acknowledges, and sends elsewhere before that.
#[derive(Clone)]
pub struct RabbitSettler {
    /// The one that the deliveries came by.
    connection: Arc<Connection>,
    publisher: Arc<Publisher>,
    retry_queues: Arc<RetryQueues>,
    /// Of the deliveries of this session. Held while acknowledging: an acknowledgement of many must not be overtaken by
    /// a later one that includes it, the broker would not know it any more.
    progress: Arc<Mutex<AckTracker>>,
}

impl Settler for RabbitSettler {
    type AckHandle = AckHandle;

    fn retries(&self) -> u32 {
        self.retry_queues.len()
    }

    /// What was decided is acknowledged at once, also while a broker in alarm keeps the others waiting; their
    /// deliveries follow when all of them are confirmed.
    async fn settle(&self, settlements: Vec<Settlement<AckHandle>>) -> Result<(), FeedError> {
        let mut decided = Vec::with_capacity(settlements.len());
        let mut sent_on = Vec::new();
        let mut outgoing = Vec::new();
        for Settlement { delivery, verdict } in settlements {
            let Delivery { body, attempt, ack_handle, .. } = delivery;
            let (routing_key, properties) = match verdict {
                SettleAction::Ack | SettleAction::DeadLetter(_) => {
                    decided.extend(ack_handle.settled());
                    continue;
                }
                SettleAction::Retry => match self.retry_queues.for_attempt(attempt) {
                    Some(rung) => (rung.queue.clone(), ack_handle.incoming().retry(rung.wait())),
                    // Left open it comes again; nobody asks for more rungs than there are.
                    None => continue,
                },
            };
            // What cannot be acknowledged any more comes again, and is sent on then.
            if ack_handle.message.acker.usable() {
                outgoing.push(Outgoing { exchange: ShortString::default(), routing_key, properties, body });
            }
            sent_on.push(ack_handle);
        }
        let (acknowledged, published) =
            join(self.acknowledge(decided), self.publisher.publish_confirmed(outgoing)).await;
        acknowledged?;
        published?;
        self.acknowledge(sent_on.into_iter().filter_map(AckHandle::settled).collect()).await
    }
}

impl RabbitSettler {
    /// Acknowledges a batch without an event, which nothing is decided of, beside all else. One that is not acknowledged
    /// comes again.
    fn acknowledge_aside(&self, message: Arc<Message>) {
        let settler = self.clone();
        tokio::spawn(async move {
            if let Err(error) = settler.acknowledge(vec![message]).await {
                warn!(%error, "a batch without an event comes again");
            }
        });
    }

    /// Through each delivery's own acker: it knows when its channel is gone, a bare tag does not.
    async fn acknowledge(&self, settled: Vec<Arc<Message>>) -> Result<(), FeedError> {
        let tags: Vec<u64> = settled.iter().map(|message| message.tag).collect();
        let mut progress = self.progress.lock().await;
        let Acks { up_to, singly } = progress.acknowledge(&tags);
        let singly: HashSet<u64> = singly.into_iter().collect();
        let acks = settled.iter().filter_map(|message| {
            let Message { tag, acker, .. } = message.as_ref();
            let multiple = up_to == Some(*tag);
            (multiple || singly.contains(tag)).then(|| acker.ack(BasicAckOptions { multiple }))
        });
        let acked = async {
            let mut not_acked = 0_usize;
            for acked in join_all(acks).await {
                if !acked.map_err(|error| transient("acknowledging", &error))? {
                    not_acked += 1;
                }
            }
            Ok(not_acked)
        };
        let not_acked = or_connection_lost(&self.connection, "acknowledging", acked).await?;
        if not_acked > 0 {
            warn!(feed.not_acked = not_acked, "deliveries outlived their channel and come again");
        }
        Ok(())
    }
}
