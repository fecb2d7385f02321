//! The dead-letter queue in an operator's hand.
//!
//! A queue cannot be looked into, only taken from. So its letters are taken, oldest first, and whatever is not removed is
//! given back in the order it had; of a process that dies in between everything comes back with its connection, in any order.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::DateTime;
use futures_util::future::try_join_all;
use futures_util::{StreamExt, TryFutureExt};
use lapin::options::{
    BasicAckOptions, BasicCancelOptions, BasicConsumeOptions, BasicNackOptions, BasicQosOptions,
    QueueDeclareOptions,
};
use lapin::types::{AMQPValue, FieldTable, ShortString};
use lapin::{Acker, BasicProperties, Channel, Connection, Consumer};
use sha2::{Digest, Sha256};
use tokio::time::{sleep, timeout};

use super::connection::{Role, close, connect, transient, unless_lost};
use super::envelope::{DETAIL, Incoming, REASON, attempt, made_at};
use super::publisher::{Outgoing, Publisher};
use super::{Options, short, topology};
use crate::domain::dead_letter::DeadLetter;
use crate::domain::time::Time;
use crate::ports::FeedError;

/// Letters that one channel may hold, and this process in memory; where more are held another is opened.
const IN_HAND: u16 = 500;
/// A letter that was counted and does not come has expired, or somebody else has it in hand.
const SILENCE: Duration = Duration::from_secs(3);
/// Letters given back at a time. Of more under way at once the broker makes one heap, and its order is lost.
const A_FEW: usize = 25;
/// How long the broker may take to have them back.
const RETURN: Duration = Duration::from_secs(3);

/// What waited in the dead-letter queue when it was opened.
pub struct DeadLetters {
    connection: Connection,
    /// Asks, and holds nothing.
    channel: Channel,
    publisher: Publisher,
    queue: ShortString,
    work_queue: ShortString,
    hands: Vec<Hand>,
    /// Not handed out yet.
    left: u32,
    /// Those that were, by their place, and are not removed.
    held: BTreeMap<u64, Acker>,
    taken: u64,
}

/// A subscription on a channel of its own. All but the last hold as many letters as they may.
struct Hand {
    channel: Channel,
    consumer: Consumer,
    /// Taken by it, and not removed.
    held: u16,
}

/// A letter taken from the queue. Unless it is removed it goes back.
pub struct Held {
    pub letter: DeadLetter,
    place: u64,
    exchange: ShortString,
    routing_key: ShortString,
    properties: BasicProperties,
}

impl DeadLetters {
    /// Connects, and declares what is missing.
    ///
    /// # Errors
    /// No connection, or a topology that contradicts the options.
    pub async fn open(options: &Options) -> Result<Self, FeedError> {
        let (queue, work_queue) = (short(&options.dead_letter_queue)?, short(&options.queue)?);
        let connection = connect(options, Role::Consume).await?;
        topology::declare(&connection, options).await?;
        let publisher = Publisher::connect(options, Role::Publish).await?;
        let doing = "opening the dead letters";
        let opened = async {
            let channel = connection.create_channel().await?;
            let waiting = ready(&channel, &queue).await?;
            Ok((channel, waiting))
        };
        let opened = opened.map_err(|error: lapin::Error| transient(doing, &error));
        let (channel, left) = unless_lost(&connection, doing, opened).await?;
        let (hands, held, taken) = (Vec::new(), BTreeMap::new(), 0);
        Ok(Self { connection, channel, publisher, queue, work_queue, hands, left, held, taken })
    }

    /// As many are held as one channel may: what is to be removed should be, before the next one is taken.
    pub fn is_full(&self) -> bool {
        self.hands.last().is_some_and(|hand| hand.held == IN_HAND)
    }

    /// The next letter, oldest first; `None` once all that were there have been seen.
    pub async fn next(&mut self) -> Result<Option<Held>, FeedError> {
        if self.left == 0 {
            return Ok(None);
        }
        if self.hands.is_empty() || self.is_full() {
            let doing = "taking the dead letters";
            let subscribed = self.subscribe().map_err(|error| transient(doing, &error));
            let hand = unless_lost(&self.connection, doing, subscribed).await?;
            self.hands.push(hand);
        }
        let Some(hand) = self.hands.last_mut() else { return Ok(None) };
        match timeout(SILENCE, hand.consumer.next()).await {
            Err(_) => Ok(None),
            Ok(Some(Ok(delivery))) => {
                self.left -= 1;
                hand.held += 1;
                self.taken += 1;
                self.held.insert(self.taken, delivery.acker.clone());
                Ok(Some(Held::of(delivery, self.taken)))
            }
            Ok(Some(Err(error))) => Err(transient("taking the dead letters", &error)),
            Ok(None) => Err(FeedError::Transient(
                "RabbitMQ: the broker cancelled the subscription to the dead letters; see whether their queue still \
                 exists, and try again."
                    .to_owned(),
            )),
        }
    }

    async fn subscribe(&self) -> Result<Hand, lapin::Error> {
        let channel = self.connection.create_channel().await?;
        channel.basic_qos(IN_HAND, BasicQosOptions::default()).await?;
        let (options, arguments) = (BasicConsumeOptions::default(), FieldTable::default());
        let tag = "contact-reaper dead-letters".into();
        let consumer = channel.basic_consume(self.queue.clone(), tag, options, arguments).await?;
        Ok(Hand { channel, consumer, held: 0 })
    }

    /// Publishes letters to the work queue, as messages that nobody tried yet.
    ///
    /// # Errors
    /// Unless every one was confirmed; any of them may have arrived all the same. None is removed by this.
    pub async fn send_back(&self, letters: &[Held]) -> Result<(), FeedError> {
        let message = |held: &Held| Outgoing {
            exchange: ShortString::default(),
            routing_key: self.work_queue.clone(),
            properties: held.incoming().replay(),
            body: held.letter.body.clone(),
        };
        self.publisher.publish_confirmed(letters.iter().map(message).collect()).await
    }

    /// Removes letters for good.
    pub async fn remove(&mut self, letters: Vec<Held>) -> Result<(), FeedError> {
        let ackers: Vec<Acker> =
            letters.iter().filter_map(|letter| self.held.remove(&letter.place)).collect();
        let doing = "removing dead letters";
        let removed = try_join_all(ackers.iter().map(|acker| acker.ack(BasicAckOptions::default())));
        let removed = unless_lost(&self.connection, doing, removed.map_err(|error| transient(doing, &error)));
        if removed.await?.contains(&false) {
            return Err(FeedError::Transient(
                "RabbitMQ: the connection was lost before the dead letters were removed; they are in the queue again."
                    .to_owned(),
            ));
        }
        if let Some(hand) = self.hands.last_mut() {
            hand.held = hand.held.saturating_sub(u16::try_from(letters.len()).unwrap_or(u16::MAX));
        }
        Ok(())
    }

    /// Gives back all that was not removed, in the order it was taken, and says goodbye.
    pub async fn give_back(self) -> Result<(), FeedError> {
        let doing = "giving back the dead letters";
        let returned = self.return_in_order().map_err(|error| transient(doing, &error));
        let returned = unless_lost(&self.connection, doing, returned).await;
        // What is still held goes back with the connection.
        close(&self.connection).await;
        self.publisher.close().await;
        returned
    }

    async fn return_in_order(&self) -> Result<(), lapin::Error> {
        // First of all no more deliveries, or what is given back would come again.
        for hand in &self.hands {
            hand.channel.basic_cancel(hand.consumer.tag(), BasicCancelOptions::default()).await?;
        }
        let requeue = BasicNackOptions { requeue: true, ..BasicNackOptions::default() };
        let held: Vec<&Acker> = self.held.values().collect();
        let mut is_seen_to_grow = true;
        for few in held.chunks(A_FEW) {
            let before = ready(&self.channel, &self.queue).await?;
            for acker in few {
                acker.nack(requeue).await?;
            }
            let back = async {
                while (ready(&self.channel, &self.queue).await?.saturating_sub(before) as usize) < few.len() {
                    sleep(Duration::from_millis(2)).await;
                }
                Ok::<(), lapin::Error>(())
            };
            // Where somebody else takes them already the queue does not grow.
            if is_seen_to_grow {
                match timeout(RETURN, back).await {
                    Ok(returned) => returned?,
                    Err(_) => is_seen_to_grow = false,
                }
            }
        }
        Ok(())
    }
}

/// How many wait in a queue and are in nobody's hand.
async fn ready(channel: &Channel, queue: &ShortString) -> Result<u32, lapin::Error> {
    let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
    Ok(channel.queue_declare(queue.clone(), passive, FieldTable::default()).await?.message_count())
}

impl Held {
    fn of(delivery: lapin::message::Delivery, place: u64) -> Self {
        let lapin::message::Delivery { exchange, routing_key, properties, data, .. } = delivery;
        Self { letter: letter(&properties, data), place, exchange, routing_key, properties }
    }

    fn incoming(&self) -> Incoming<'_> {
        let Self { exchange, routing_key, properties, .. } = self;
        Incoming { properties, exchange, routing_key }
    }
}

/// What the headers say of a letter. One without a reason of ours was moved here by the broker.
fn letter(properties: &BasicProperties, body: Vec<u8>) -> DeadLetter {
    let none = FieldTable::default();
    let headers = properties.headers().as_ref().unwrap_or(&none);
    let message_id = properties.message_id().as_ref().map(ToString::to_string).unwrap_or_default();
    let attempts = attempt(headers);
    if let Some(reason) = text(headers, REASON) {
        let detail = text(headers, DETAIL).unwrap_or_default();
        let at = made_at(&message_id);
        return DeadLetter { id: message_id, reason, detail, attempts, at, body };
    }
    let death = last_death(headers);
    let at = match death.and_then(|death| death.inner().get("time")) {
        Some(AMQPValue::Timestamp(seconds)) => {
            i64::try_from(*seconds).ok().and_then(|seconds| DateTime::from_timestamp(seconds, 0))
        }
        _ => None,
    };
    let reason = death.and_then(|death| text(death, "reason")).unwrap_or_else(|| "unknown".to_owned());
    let detail = "moved here by the broker: crashes, or lost connections, used up its deliveries".to_owned();
    DeadLetter { id: id_of(&message_id, at, &body), reason, detail, attempts, at, body }
}

/// Who was moved by the broker has the producer's id or none; what is the same in all of this may well share one of ours.
fn id_of(message_id: &str, at: Option<Time>, body: &[u8]) -> String {
    let mut hash = Sha256::new();
    hash.update(format!("{message_id}\n{}\n", at.map_or(0, |at| at.timestamp())));
    hash.update(body);
    let id = hash.finalize().iter().take(8).fold(0_u64, |id, byte| id << 8 | u64::from(*byte));
    format!("moved-{id:016x}")
}

/// The latest entry of the broker's own history.
fn last_death(headers: &FieldTable) -> Option<&FieldTable> {
    match headers.inner().get("x-death") {
        Some(AMQPValue::FieldArray(deaths)) => match deaths.as_slice().first() {
            Some(AMQPValue::FieldTable(death)) => Some(death),
            _ => None,
        },
        _ => None,
    }
}

fn text(table: &FieldTable, key: &str) -> Option<String> {
    match table.inner().get(key) {
        Some(AMQPValue::LongString(text)) => Some(text.to_string()),
        Some(AMQPValue::ShortString(text)) => Some(text.to_string()),
        _ => None,
    }
}
