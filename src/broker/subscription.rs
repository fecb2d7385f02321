//! A subscription to one queue, from its connection on, and why it ended.

use std::sync::Arc;

use futures_util::{StreamExt, TryFutureExt};
use lapin::message::Delivery;
use lapin::options::{BasicCancelOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::{FieldTable, ShortString};
use lapin::{Channel, Connection, Consumer};
use tokio::time::timeout;
use tracing::info;

use super::connection::{CLOSE_TIMEOUT, close, lost, or_connection_lost, reason, transient};
use crate::ports::FeedError;

/// A channel that consumes. Dropped with its connection, what was not acknowledged comes again.
pub(super) struct Subscription {
    connection: Arc<Connection>,
    channel: Channel,
    consumer: Consumer,
    /// Why there is no more: a stream that has ended would never answer if it were asked again.
    ended: Option<String>,
}

impl Subscription {
    /// Subscribes to a queue, over a channel of its own.
    ///
    /// # Errors
    /// The queue or the connection is gone.
    pub(super) async fn open(
        connection: Arc<Connection>,
        queue: ShortString,
        prefetch: u16,
    ) -> Result<Self, FeedError> {
        let doing = format!("subscribing to the queue '{queue}'");
        let name = queue.clone();
        let subscribed = async {
            let channel = connection.create_channel().await?;
            channel.basic_qos(prefetch, BasicQosOptions::default()).await?;
            let (options, arguments) = (BasicConsumeOptions::default(), FieldTable::default());
            let consumer = channel.basic_consume(queue, "contact-reaper".into(), options, arguments).await?;
            Ok((channel, consumer))
        };
        let subscribed = subscribed.map_err(|error: lapin::Error| transient(&doing, &error));
        let (channel, consumer) = or_connection_lost(&connection, &doing, subscribed).await?;
        info!(feed.queue = %name, feed.prefetch = prefetch, "subscribed");
        Ok(Self { connection, channel, consumer, ended: None })
    }

    /// The next message. Safe to cancel.
    ///
    /// # Errors
    /// The subscription has ended, and is to be opened again.
    pub(super) async fn next(&mut self) -> Result<Delivery, FeedError> {
        if let Some(ended) = &self.ended {
            return Err(FeedError::Transient(ended.clone()));
        }
        let next = tokio::select! {
            biased;
            next = self.consumer.next() => next,
            () = lost(&self.connection) => None,
        };
        let ended = match next {
            Some(Ok(delivery)) => return Ok(delivery),
            Some(Err(error)) => format!(
                "RabbitMQ: the subscription to the queue '{}' broke ({}); it is opened again.",
                self.consumer.queue(),
                reason(&error)
            ),
            None if !self.connection.status().connected() => format!(
                "RabbitMQ: the connection ended under the subscription to the queue '{}'; both are opened again.",
                self.consumer.queue()
            ),
            None => format!(
                "RabbitMQ: the broker cancelled the subscription to the queue '{}', which may have been deleted; \
                 it is opened again.",
                self.consumer.queue()
            ),
        };
        self.ended = Some(ended.clone());
        Err(FeedError::Transient(ended))
    }

    /// First of all no more deliveries; the disconnect gives back those in hand.
    pub(super) async fn close(self) {
        let cancelled = self.channel.basic_cancel(self.consumer.tag(), BasicCancelOptions::default());
        if let Ok(Ok(())) = timeout(CLOSE_TIMEOUT, cancelled).await {
            close(&self.connection).await;
        }
    }
}
