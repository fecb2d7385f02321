//! The broker as a producer and an operator see it: publish to it, count what waits, take what was set aside.

use std::collections::BTreeMap;

use futures_util::future::join_all;
use lapin::options::{
    BasicGetOptions, BasicNackOptions, BasicPublishOptions, ConfirmSelectOptions, ExchangeDeclareOptions,
    QueueBindOptions, QueueDeclareOptions, QueueDeleteOptions,
};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Channel, Confirmation, Connection, ConnectionProperties, ExchangeKind};
use tokio::sync::Mutex;

use super::{server, unique_name};

/// The broker of the test run, under names that no other test uses.
pub struct Broker {
    /// One a node.
    urls: Vec<String>,
    names: String,
    /// The one in use; another once it is broken.
    connection: Mutex<Connection>,
}

/// A message taken from a queue.
pub struct Message {
    /// The body, byte for byte.
    pub body: Vec<u8>,
    /// The headers, whatever their type, as text.
    pub headers: BTreeMap<String, String>,
    /// What it was addressed by.
    pub routing_key: String,
    /// Its content type, delivery mode and message id, as text.
    pub envelope: [String; 3],
}

impl Broker {
    /// Connects. The exchanges and queues appear when a worker declares them.
    pub async fn new() -> Self {
        Self::at(&server("TEST_AMQP_URL")).await
    }

    /// As [`Broker::new`], for another broker.
    pub async fn at(url: &str) -> Self {
        Self::of_nodes(vec![url.to_owned()]).await
    }

    /// As [`Broker::new`], for a cluster.
    pub async fn of_nodes(urls: Vec<String>) -> Self {
        let connection = connect(&urls).await.expect("RabbitMQ takes the connection");
        Self { urls, names: unique_name(), connection: Mutex::new(connection) }
    }

    /// The settings, by their dotted keys, that make a process use this broker under these names.
    pub fn settings(&self) -> [(&'static str, String); 9] {
        [
            ("feed.kind", "rabbitmq".to_owned()),
            ("feed.rabbitmq.url", self.url()),
            ("feed.rabbitmq.exchange", self.exchange()),
            ("feed.rabbitmq.queue", self.queue()),
            ("feed.rabbitmq.retry_queue_prefix", format!("{}.retry", self.names)),
            ("feed.rabbitmq.dead_letter_queue", self.dead_letter_queue()),
            ("feed.rabbitmq.events_exchange", self.events_exchange()),
            ("feed.rabbitmq.records_exchange", self.records_exchange()),
            ("feed.rabbitmq.records_queue", self.records_queue()),
        ]
    }

    /// One URL for all nodes.
    pub fn url(&self) -> String {
        let hosts: Vec<String> = self.urls.iter().map(|url| host(url)).collect();
        self.urls[0].replace(&hosts[0], &hosts.join(","))
    }

    /// What has this name by default, under the name it has here; other texts as they are.
    pub fn own_name(&self, default: &str) -> String {
        match default {
            "workflow.enrollments" => self.exchange(),
            "contact-reaper.enrollments" => self.queue(),
            "contact-reaper.dead-letters" => self.dead_letter_queue(),
            "contact.events" => self.events_exchange(),
            "crm.records" => self.records_exchange(),
            "contact-reaper.records" => self.records_queue(),
            other => other.replace("contact-reaper.retry", &format!("{}.retry", self.names)),
        }
    }

    /// As [`Broker::settings`], with another URL for the same broker.
    pub fn settings_by(&self, url: &str) -> [(&'static str, String); 9] {
        let mut settings = self.settings();
        url.clone_into(&mut settings[1].1);
        settings
    }

    /// The broker's `host:port`.
    pub fn host(&self) -> String {
        host(&self.urls[0])
    }

    /// The exchange that enrollments are published to.
    pub fn exchange(&self) -> String {
        format!("{}.enrollments-in", self.names)
    }

    /// The work queue.
    pub fn queue(&self) -> String {
        format!("{}.enrollments", self.names)
    }

    /// The queue of what could not be processed.
    pub fn dead_letter_queue(&self) -> String {
        format!("{}.dead-letters", self.names)
    }

    /// The exchange that records are published to.
    pub fn records_exchange(&self) -> String {
        format!("{}.records-in", self.names)
    }

    /// The queue of records.
    pub fn records_queue(&self) -> String {
        format!("{}.records", self.names)
    }

    /// Publishes events of the records queue as a CRM would, in their order, as [`Broker::publish`].
    pub async fn publish_records<B: AsRef<[u8]>>(&self, bodies: &[B]) {
        let properties = BasicProperties::default().with_delivery_mode(2);
        let messages: Vec<_> = bodies.iter().map(|body| (body.as_ref(), properties.clone())).collect();
        self.send(&self.records_exchange(), "record.upserted", messages).await;
    }

    /// Publishes as [`Broker::publish_records`], each body with properties of its own.
    pub async fn publish_records_with(&self, messages: &[(Vec<u8>, BasicProperties)]) {
        let messages = messages.iter().map(|(body, properties)| (body.as_slice(), properties.clone()));
        self.send(&self.records_exchange(), "record.upserted", messages.collect()).await;
    }

    /// Publishes raw bodies as a workflow engine would, all of them on their way at once, and returns when
    /// the broker has confirmed each. Fails the test where one reached no queue.
    pub async fn publish<B: AsRef<[u8]>>(&self, bodies: &[B]) {
        let properties = BasicProperties::default().with_delivery_mode(2);
        let messages: Vec<_> = bodies.iter().map(|body| (body.as_ref(), properties.clone())).collect();
        self.send(&self.exchange(), "contact.delete", messages).await;
    }

    /// Puts messages straight into a queue, each with these headers, as [`Broker::publish`].
    pub async fn put(&self, queue: &str, messages: &[(String, Vec<(&str, AMQPValue)>)]) {
        let properties = |headers: &[(&str, AMQPValue)]| {
            let mut table = FieldTable::default();
            for (name, value) in headers {
                table.insert((*name).into(), value.clone());
            }
            BasicProperties::default().with_delivery_mode(2).with_headers(table)
        };
        let messages =
            messages.iter().map(|(body, headers)| (body.as_bytes(), properties(headers))).collect();
        self.send("", queue, messages).await;
    }

    /// Publishes as [`Broker::publish`], each body with properties of its own.
    pub async fn publish_with(&self, messages: &[(Vec<u8>, BasicProperties)]) {
        let messages = messages.iter().map(|(body, properties)| (body.as_slice(), properties.clone()));
        self.send(&self.exchange(), "contact.delete", messages.collect()).await;
    }

    async fn send(&self, exchange: &str, routing_key: &str, messages: Vec<(&[u8], BasicProperties)>) {
        let channel = self.channel().await;
        channel.confirm_select(ConfirmSelectOptions::default()).await.expect("confirms are on");
        let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let mut confirms = Vec::with_capacity(messages.len());
        for (body, properties) in messages {
            let sent = channel.basic_publish(exchange.into(), routing_key.into(), options, body, properties);
            confirms.push(sent.await.expect("the message is sent"));
        }
        for confirmation in join_all(confirms).await {
            let confirmation = confirmation.expect("the broker answers");
            assert!(matches!(confirmation, Confirmation::Ack(None)), "not confirmed: {confirmation:?}");
        }
    }

    /// Publishes to a broker that may go away meanwhile; what it has not confirmed, which may have arrived.
    pub async fn unconfirmed(&self, mut bodies: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
        let Ok(channel) = self.try_channel().await else { return bodies };
        let mut confirms = Vec::with_capacity(bodies.len());
        if channel.confirm_select(ConfirmSelectOptions::default()).await.is_ok() {
            let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
            let properties = BasicProperties::default().with_delivery_mode(2);
            for body in &bodies {
                let (exchange, key) = (self.exchange().into(), "contact.delete".into());
                match channel.basic_publish(exchange, key, options, body, properties.clone()).await {
                    Ok(confirm) => confirms.push(confirm),
                    Err(_) => break,
                }
            }
        }
        let mut answers = join_all(confirms).await.into_iter();
        bodies.retain(|_| !matches!(answers.next(), Some(Ok(Confirmation::Ack(None)))));
        bodies
    }

    /// Declares a durable queue; the broker refuses it, and says why, where the queue exists with other arguments.
    pub async fn declare_queue(&self, name: &str, arguments: &[(&str, AMQPValue)]) -> Result<(), String> {
        let mut table = FieldTable::default();
        for (key, value) in arguments {
            table.insert((*key).into(), value.clone());
        }
        let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
        let declared = self.channel().await.queue_declare(name.into(), durable, table).await;
        declared.map(drop).map_err(|error| error.to_string())
    }

    /// Declares a durable topic exchange, as [`Broker::declare_queue`].
    pub async fn declare_topic_exchange(&self, name: &str) -> Result<(), String> {
        let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
        let channel = self.channel().await;
        let declared =
            channel.exchange_declare(name.into(), ExchangeKind::Topic, durable, FieldTable::default()).await;
        declared.map_err(|error| error.to_string())
    }

    /// The exchange of what happened.
    pub fn events_exchange(&self) -> String {
        format!("{}.events", self.names)
    }

    /// A queue that gets all that happens from now on, whether or not a worker runs already; its name.
    pub async fn listen(&self, arguments: &[(&str, AMQPValue)]) -> String {
        let queue = format!("{}.listener", self.names);
        self.declare_topic_exchange(&self.events_exchange())
            .await
            .expect("the exchange as the service has it");
        self.declare_queue(&queue, arguments).await.expect("a queue of our own");
        let (name, exchange) = (queue.as_str().into(), self.events_exchange().into());
        let options = QueueBindOptions::default();
        let bound =
            self.channel().await.queue_bind(name, exchange, "#".into(), options, FieldTable::default()).await;
        bound.expect("the queue is bound");
        queue
    }

    /// Does a message with this routing key reach a queue?
    pub async fn routes(&self, exchange: &str, routing_key: &str) -> bool {
        let channel = self.channel().await;
        channel.confirm_select(ConfirmSelectOptions::default()).await.expect("confirms are on");
        let mandatory = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
        let properties = BasicProperties::default();
        let sent =
            channel.basic_publish(exchange.into(), routing_key.into(), mandatory, b"{}", properties).await;
        let confirmation = sent.expect("the message is sent").await.expect("the broker answers");
        matches!(confirmation, Confirmation::Ack(None))
    }

    /// How many messages are ready in a queue; those a worker has taken and not acknowledged do not count.
    pub async fn count(&self, queue: &str) -> u32 {
        let passive = QueueDeclareOptions { passive: true, ..QueueDeclareOptions::default() };
        let declared = self.channel().await.queue_declare(queue.into(), passive, FieldTable::default()).await;
        declared.unwrap_or_else(|error| panic!("queue {queue}: {error}")).message_count()
    }

    /// Takes the oldest message of a queue and gives it back, as a worker does that dies with it in hand.
    pub async fn take_and_give_back(&self, queue: &str) {
        // Kept until the message is given back: it would close when dropped.
        let channel = self.channel().await;
        let got = channel.basic_get(queue.into(), BasicGetOptions::default()).await;
        let got = got.expect("the queue answers").expect("a message waits");
        let requeue = BasicNackOptions { requeue: true, ..BasicNackOptions::default() };
        got.acker.nack(requeue).await.expect("given back");
    }

    /// Deletes a queue with all that is in it.
    pub async fn delete_queue(&self, queue: &str) {
        let deleted = self.channel().await.queue_delete(queue.into(), QueueDeleteOptions::default()).await;
        deleted.expect("the queue is deleted");
    }

    /// Takes everything out of a queue, oldest first.
    pub async fn drain(&self, queue: &str) -> Vec<Message> {
        let channel = self.channel().await;
        let mut messages = Vec::new();
        while let Some(got) = channel
            .basic_get(queue.into(), BasicGetOptions { no_ack: true })
            .await
            .expect("the queue answers")
        {
            let properties = &got.properties;
            let headers = properties.headers().iter().flatten();
            messages.push(Message {
                routing_key: got.routing_key.to_string(),
                envelope: [
                    properties.content_type().as_ref().map(ToString::to_string).unwrap_or_default(),
                    properties.delivery_mode().map(|mode| mode.to_string()).unwrap_or_default(),
                    properties.message_id().as_ref().map(ToString::to_string).unwrap_or_default(),
                ],
                headers: headers.map(|(name, value)| (name.to_string(), text(value))).collect(),
                body: got.delivery.data,
            });
        }
        messages
    }

    /// A channel for one operation: the broker closes the channel of one that fails.
    async fn channel(&self) -> Channel {
        self.try_channel().await.expect("RabbitMQ opens a channel")
    }

    async fn try_channel(&self) -> lapin::Result<Channel> {
        let mut connection = self.connection.lock().await;
        if !connection.status().connected() {
            *connection = connect(&self.urls).await?;
        }
        connection.create_channel().await
    }
}

fn host(url: &str) -> String {
    let uri: lapin::uri::AMQPUri = url.parse().expect("tests/run.sh has made it");
    format!("{}:{}", uri.authority.host, uri.authority.port)
}

/// To the first node that takes it.
async fn connect(urls: &[String]) -> lapin::Result<Connection> {
    let mut connected = Connection::connect(&urls[0], ConnectionProperties::default()).await;
    for url in &urls[1..] {
        if connected.is_err() {
            connected = Connection::connect(url, ConnectionProperties::default()).await;
        }
    }
    connected
}

fn text(value: &AMQPValue) -> String {
    match value {
        AMQPValue::LongString(text) => text.to_string(),
        AMQPValue::ShortString(text) => text.to_string(),
        AMQPValue::Boolean(value) => value.to_string(),
        AMQPValue::ShortShortInt(number) => number.to_string(),
        AMQPValue::ShortShortUInt(number) => number.to_string(),
        AMQPValue::ShortInt(number) => number.to_string(),
        AMQPValue::ShortUInt(number) => number.to_string(),
        AMQPValue::LongInt(number) => number.to_string(),
        AMQPValue::LongUInt(number) => number.to_string(),
        AMQPValue::LongLongInt(number) => number.to_string(),
        other => format!("{other:?}"),
    }
}
