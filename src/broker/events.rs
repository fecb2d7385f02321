//! Events out: persistent, confirmed, on a connection of their own.

use futures_util::stream;
use lapin::BasicProperties;
use lapin::options::BasicPublishOptions;
use lapin::types::{AMQPValue, FieldTable, ShortString};

use super::connection::Role;
use super::envelope::{PERSISTENT, TRACEPARENT, short_id};
use super::publisher::{Alarm, Outgoing, Publisher};
use super::{Options, short, topology};
use crate::ports::{self, Event, FeedError};

/// An event that no queue takes has nobody who listens, and that is no error: the broker confirms it and drops it.
/// Mandatory, it would come back, and the outbox would fill up until somebody bound a queue.
const NOT_MANDATORY: BasicPublishOptions = BasicPublishOptions { mandatory: false, immediate: false };

/// Publishes to the exchange of what happened; the routing key is what happened.
pub struct EventPublisher {
    options: Options,
    /// Taken out while in use: a publish that fails or is abandoned takes its connection along.
    connected: Option<Publisher>,
}

impl EventPublisher {
    /// Connects to nothing yet.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self { options, connected: None }
    }

    async fn connect(&mut self) -> Result<Publisher, FeedError> {
        if let Some(publisher) = self.connected.take_if(|publisher| publisher.is_connected()) {
            return Ok(publisher);
        }
        let publisher = Publisher::connect(&self.options, Role::Events, Alarm::Waits).await?;
        topology::declare_events_exchange(publisher.connection(), &self.options).await?;
        Ok(publisher)
    }
}

impl ports::Publisher for EventPublisher {
    async fn publish(&mut self, events: Vec<Event>) -> Result<Vec<Result<(), String>>, FeedError> {
        let publisher = self.connect().await?;
        let exchange = short(&self.options.events_exchange)?;
        let ids: Vec<String> = events.iter().map(|event| event.id.clone()).collect();
        let messages: Result<Vec<Outgoing>, FeedError> =
            events.into_iter().map(|event| message(&exchange, event)).collect();
        let tally = publisher.publish(stream::iter(messages?), NOT_MANDATORY).await?;
        let answers = tally.answers(&ids);
        if answers.iter().all(Result::is_ok) {
            self.connected = Some(publisher);
        }
        Ok(answers)
    }

    async fn disconnect(&mut self) {
        if let Some(publisher) = self.connected.take() {
            publisher.close().await;
        }
    }
}

fn message(exchange: &ShortString, event: Event) -> Result<Outgoing, FeedError> {
    let mut properties = BasicProperties::default()
        .with_content_type("application/cloudevents+json".into())
        .with_delivery_mode(PERSISTENT)
        .with_message_id(short_id(&event.id));
    if let Some(trace) = event.trace {
        let mut headers = FieldTable::default();
        headers.insert(TRACEPARENT.into(), AMQPValue::LongString(trace.to_string().into()));
        properties = properties.with_headers(headers);
    }
    let routing_key = short(&event.kind)?;
    Ok(Outgoing { exchange: exchange.clone(), routing_key, properties, body: event.body })
}
