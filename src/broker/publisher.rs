//! Publishing that counts: persistent, confirmed, on a connection that does nothing else.

use std::collections::{HashMap, VecDeque};
use std::pin::{Pin, pin};
use std::task::Poll;
use std::time::Duration;

use futures_util::{Stream, StreamExt, TryFutureExt, poll, stream};
use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::types::ShortString;
use lapin::{BasicProperties, Channel, Confirmation, Connection};
use tokio::sync::Mutex;

use super::connection::{Role, close, connect, lost, or_connection_lost, reason, transient};
use super::envelope::{PERSISTENT, message_id, short_id};
use super::{Options, short, topology};
use crate::ports::FeedError;

/// Publishes that may wait for their confirmation at a time: enough to hide the way to the broker and back,
/// few enough to cost no memory, and to name those in doubt when it breaks.
const OUTSTANDING: usize = 200;

/// Without it a message that no queue takes would be confirmed and gone.
const MANDATORY: BasicPublishOptions = BasicPublishOptions { mandatory: true, immediate: false };

/// A broker in alarm is waited for during so many looks, five seconds.
const BLOCKED_LOOKS: u32 = 20;
const LOOK_INTERVAL: Duration = Duration::from_millis(250);

/// What became of a run of [`publish_enrollments`].
#[derive(Debug, Default, PartialEq, Eq)]
pub struct PublishReport {
    /// Messages a queue has taken on.
    pub confirmed: u64,
    /// Messages it has not, or not surely, in their order. Nothing is sent after the first of them is known.
    pub failures: Vec<PublishFailure>,
    /// Messages taken from the input, confirmed or not: what follows was never sent.
    pub taken: u64,
}

/// A message without a confirmation.
#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct PublishFailure {
    /// Its place in the input, from 0.
    pub index: u64,
    /// What the broker or the connection said.
    pub reason: String,
}

/// Publishes enrollment events, one body a message, in order and pipelined. The topology is declared first, so
/// that the first enrollments may be published before the first worker runs.
///
/// # Errors
/// No connection, or a topology that contradicts the options. What happens after that is in the report.
pub async fn publish_enrollments(
    options: &Options,
    bodies: impl Stream<Item = Vec<u8>> + Send,
) -> Result<PublishReport, FeedError> {
    let exchange = short(&options.exchange)?;
    let routing_key = short(&options.routing_key)?;
    let publisher = Publisher::connect(options, Role::Publish, Alarm::Fails).await?;
    topology::declare(&publisher.connection, options).await?;

    // The index travels in the message id: a returned message is known by nothing else.
    let run = message_id();
    let messages = bodies.enumerate().map(|(index, body)| Outgoing {
        exchange: exchange.clone(),
        routing_key: routing_key.clone(),
        properties: BasicProperties::default()
            .with_content_type("application/cloudevents+json".into())
            .with_delivery_mode(PERSISTENT)
            .with_message_id(short_id(&format!("{run}-{index}"))),
        body,
    });
    let tally = publisher.publish(messages, MANDATORY).await?;
    publisher.close().await;

    let (confirmed, taken) = (tally.confirmed(), tally.taken);
    let index = |id: &str| id.rsplit('-').next().and_then(|index| index.parse().ok()).unwrap_or(u64::MAX);
    let mut failures: Vec<_> =
        tally.failures.into_iter().map(|(id, reason)| PublishFailure { index: index(&id), reason }).collect();
    failures.sort_unstable();
    Ok(PublishReport { confirmed, failures, taken })
}

/// A message to publish. Its message id must be set and unique: it tells returned messages apart.
pub(super) struct Outgoing {
    pub(super) exchange: ShortString,
    pub(super) routing_key: ShortString,
    pub(super) properties: BasicProperties,
    pub(super) body: Vec<u8>,
}

/// What a publish does while the broker takes no messages because of an alarm.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Alarm {
    /// Waits until it is over.
    Waits,
    /// Fails: a person waits for the answer.
    Fails,
}

/// A connection that publishes.
pub(super) struct Publisher {
    connection: Connection,
    alarm: Alarm,
    /// Taken out while in use: a publish that is abandoned half-way takes its channel along, and with it
    /// confirmations and returned messages that the next one could mistake for its own.
    channel: Mutex<Option<Channel>>,
}

impl Publisher {
    pub(super) async fn connect(options: &Options, role: Role, alarm: Alarm) -> Result<Self, FeedError> {
        Ok(Self { connection: connect(options, role).await?, alarm, channel: Mutex::new(None) })
    }

    pub(super) fn connection(&self) -> &Connection {
        &self.connection
    }

    pub(super) fn is_connected(&self) -> bool {
        self.connection.status().connected()
    }

    /// Publishes all of them to queues that must exist, or says why not.
    ///
    /// # Errors
    /// Transient unless every message was confirmed; any of them may have arrived all the same.
    pub(super) async fn publish_confirmed(&self, messages: Vec<Outgoing>) -> Result<(), FeedError> {
        if messages.is_empty() {
            return Ok(());
        }
        let tally = self.publish(stream::iter(messages), MANDATORY).await?;
        tally.failures.first().map_or(Ok(()), |(_, reason)| {
            Err(FeedError::Transient(format!(
                "RabbitMQ: a message on its way to another queue was not confirmed ({reason}); it is not acknowledged \
                 where it came from, and comes again."
            )))
        })
    }

    /// As [`Self::publish_confirmed`], with one answer a message: in its queue, or why it may not be. Nothing is sent after
    /// the first failure is known.
    ///
    /// # Errors
    /// Nothing was sent.
    pub(super) async fn publish_each(
        &self,
        messages: Vec<Outgoing>,
    ) -> Result<Vec<Result<(), String>>, FeedError> {
        let ids: Vec<String> = messages.iter().map(|message| id_of(&message.properties)).collect();
        Ok(self.publish(stream::iter(messages), MANDATORY).await?.answers(&ids))
    }

    /// One caller at a time, for the sake of returned messages: see [`Tally`].
    pub(super) async fn publish(
        &self,
        messages: impl Stream<Item = Outgoing> + Send,
        how: BasicPublishOptions,
    ) -> Result<Tally, FeedError> {
        let mut slot = self.channel.lock().await;
        let channel = match slot.take() {
            Some(channel) => channel,
            None => self.open_channel().await?,
        };
        let mut messages = pin!(messages);
        let mut tally = Tally::default();
        let mut waiting = VecDeque::new();
        let all = async {
            while tally.failures.is_empty()
                && let Some(message) = messages.next().await
            {
                if waiting.len() == OUTSTANDING {
                    take_answer(&mut waiting, &mut tally).await;
                }
                tally.taken += 1;
                let id = id_of(&message.properties);
                let mut sent = Box::pin(send(channel.clone(), message, how));
                // The first poll puts the message in line, in the order of polls. To wait until it is written too, before
                // the next is in line, would cost each a packet and two changes of threads.
                match poll!(&mut sent) {
                    Poll::Ready(answer) => tally.count(id, answer),
                    Poll::Pending => waiting.push_back((id, sent)),
                }
            }
            while !waiting.is_empty() {
                take_answer(&mut waiting, &mut tally).await;
            }
        };
        let why = tokio::select! {
            biased;
            () = all => "",
            () = lost(&self.connection) => "the connection ended",
            () = in_alarm(&self.connection), if self.alarm == Alarm::Fails => {
                "RabbitMQ takes no messages, because its memory or its disk is nearly full (rabbitmqctl status)"
            }
        };
        let is_reusable = waiting.is_empty() && channel.status().connected();
        for (id, _) in waiting {
            tally.failures.push((id, format!("not confirmed, it may have arrived: {why}")));
        }
        if is_reusable {
            *slot = Some(channel);
        }
        Ok(tally)
    }

    async fn open_channel(&self) -> Result<Channel, FeedError> {
        let doing = "opening a publishing channel";
        let opened = async {
            let channel = self.connection.create_channel().await?;
            channel.confirm_select(ConfirmSelectOptions::default()).await?;
            Ok(channel)
        };
        let opened = opened.map_err(|error: lapin::Error| transient(doing, &error));
        or_connection_lost(&self.connection, doing, opened).await
    }

    pub(super) async fn close(&self) {
        close(&self.connection).await;
    }
}

/// Returns when the broker has blocked the connection for a while.
async fn in_alarm(connection: &Connection) {
    let mut blocked = 0;
    while blocked < BLOCKED_LOOKS {
        tokio::time::sleep(LOOK_INTERVAL).await;
        blocked = if connection.status().blocked() { blocked + 1 } else { 0 };
    }
}

/// Waits for the answer to the first of those that wait for one, which stays among them until then.
async fn take_answer<F>(waiting: &mut VecDeque<(String, Pin<Box<F>>)>, tally: &mut Tally)
where
    F: Future<Output = Result<Confirmation, lapin::Error>>,
{
    let Some((_, sent)) = waiting.front_mut() else { return };
    let answer = sent.await;
    if let Some((id, _)) = waiting.pop_front() {
        tally.count(id, answer);
    }
}

/// Sends a message and waits for its confirmation.
async fn send(
    channel: Channel,
    Outgoing { exchange, routing_key, properties, body }: Outgoing,
    how: BasicPublishOptions,
) -> Result<Confirmation, lapin::Error> {
    channel.basic_publish(exchange, routing_key, how, &body, properties).await?.await
}

/// What the broker said of each message.
///
/// The library hands a returned message to whichever confirmation it completes next, not to its own, where the
/// broker confirms several at once. So a return counts against the message whose id it bears, and the sums are
/// right once the last confirmation is in.
#[derive(Default)]
pub(super) struct Tally {
    taken: u64,
    acked: u64,
    /// Acknowledged too, but by nobody's queue.
    returned: u64,
    /// Message id and reason.
    failures: Vec<(String, String)>,
}

impl Tally {
    fn confirmed(&self) -> u64 {
        self.acked.saturating_sub(self.returned)
    }

    /// What became of each message of a batch, by the ids in the order of sending.
    pub(super) fn answers(&self, ids: &[String]) -> Vec<Result<(), String>> {
        let failed: HashMap<&str, &str> =
            self.failures.iter().map(|(id, reason)| (id.as_str(), reason.as_str())).collect();
        let answer = |(index, id): (usize, &String)| match failed.get(id.as_str()) {
            Some(reason) => Err((*reason).to_owned()),
            None if index as u64 >= self.taken => Err("it was not sent after an earlier failure".to_owned()),
            None => Ok(()),
        };
        ids.iter().enumerate().map(answer).collect()
    }

    fn count(&mut self, id: String, answer: Result<Confirmation, lapin::Error>) {
        let returned = match answer {
            Ok(Confirmation::Ack(returned)) => {
                self.acked += 1;
                returned
            }
            Ok(Confirmation::Nack(returned)) => {
                self.failures.push((id, "the broker refused it, a queue may be full".to_owned()));
                returned
            }
            Ok(Confirmation::NotRequested) => {
                self.failures.push((id, "the channel does not confirm".to_owned()));
                None
            }
            Err(error) => {
                self.failures.push((id, format!("not confirmed, it may have arrived: {}", reason(&error))));
                None
            }
        };
        if let Some(returned) = returned {
            self.returned += 1;
            self.failures
                .push((id_of(&returned.properties), "no queue takes it: check the binding".to_owned()));
        }
    }
}

fn id_of(properties: &BasicProperties) -> String {
    properties.message_id().as_ref().map(ToString::to_string).unwrap_or_default()
}
