//! Exchanges, queues and bindings: what is missing is declared, what differs is refused.
//!
//! The broker compares a declaration with what exists and answers 406 where they differ; that answer becomes
//! one sentence. `deploy/rabbitmq/definitions.json` holds the same topology; a test keeps the two equal.

use std::time::Duration;

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, Connection, ErrorKind, ExchangeKind};

use super::connection::{Role, close, connect, or_connection_lost, transient};
use super::{Options, RecordsTopology, retry_queues, short};
use crate::ports::FeedError;

/// The broker's code for a declaration that contradicts what exists, or that it cannot honour.
const PRECONDITION_FAILED: u16 = 406;
/// Far beyond what reconnects can spend. Unset would be 20 from RabbitMQ 4 on, and -1 drops a message at its
/// first redelivery on 3.10.
const NO_DELIVERY_LIMIT: i64 = 1_000_000_000;

/// A queue to be: all of them durable quorum queues.
struct QueuePlan {
    name: String,
    arguments: Vec<(&'static str, AMQPValue)>,
}

/// Declares all of it over a channel of its own.
///
/// # Errors
/// Permanent where something exists with other properties; transient for all else.
pub(super) async fn declare(connection: &Connection, options: &Options) -> Result<(), FeedError> {
    or_connection_lost(connection, "declaring exchanges and queues", declare_all(connection, options)).await
}

/// Connects and declares all of it; the names of exchanges and queues, in their order.
///
/// # Errors
/// No connection, or as [`declare`].
pub async fn declare_topology(options: &Options) -> Result<(Vec<String>, Vec<String>), FeedError> {
    let connection = connect(options, Role::Publish).await?;
    declare(&connection, options).await?;
    close(&connection).await;
    let queues = queues(options).into_iter().map(|plan| plan.name).collect();
    Ok((exchanges(options).map(str::to_owned).collect(), queues))
}

async fn declare_all(connection: &Connection, options: &Options) -> Result<(), FeedError> {
    let channel = open_channel(connection).await?;
    for exchange in exchanges(options) {
        declare_exchange(&channel, exchange).await?;
    }
    for plan in queues(options) {
        declare_queue(&channel, plan).await?;
    }
    for Binding { queue, exchange, routing_key } in bindings(options) {
        let (bind, arguments) = (QueueBindOptions::default(), FieldTable::default());
        let bound =
            channel.queue_bind(short(queue)?, short(exchange)?, short(routing_key)?, bind, arguments).await;
        bound.map_err(|error| transient(&format!("binding the queue '{queue}'"), &error))?;
    }
    // Not vital: the channel ends with its connection at the latest.
    let _ = channel.close(200, "topology declared".into()).await;
    Ok(())
}

/// Declares the exchange of events alone: they may leave before anything is consumed.
///
/// # Errors
/// As [`declare`].
pub(super) async fn declare_events_exchange(
    connection: &Connection,
    options: &Options,
) -> Result<(), FeedError> {
    let declared = async {
        let channel = open_channel(connection).await?;
        declare_exchange(&channel, &options.events_exchange).await?;
        let _ = channel.close(200, "exchange declared".into()).await;
        Ok(())
    };
    or_connection_lost(connection, "declaring the exchange of events", declared).await
}

async fn open_channel(connection: &Connection) -> Result<Channel, FeedError> {
    connection.create_channel().await.map_err(|error| transient("opening a channel", &error))
}

async fn declare_exchange(channel: &Channel, name: &str) -> Result<(), FeedError> {
    let durable = ExchangeDeclareOptions { durable: true, ..ExchangeDeclareOptions::default() };
    channel
        .exchange_declare(short(name)?, ExchangeKind::Topic, durable, FieldTable::default())
        .await
        .map_err(|error| refusal("exchange", name, &error))
}

async fn declare_queue(channel: &Channel, plan: QueuePlan) -> Result<(), FeedError> {
    let mut arguments = FieldTable::default();
    for (key, value) in plan.arguments {
        arguments.insert(key.into(), value);
    }
    let durable = QueueDeclareOptions { durable: true, ..QueueDeclareOptions::default() };
    channel
        .queue_declare(short(&plan.name)?, durable, arguments)
        .await
        .map(drop)
        .map_err(|error| refusal("queue", &plan.name, &error))
}

fn exchanges(options: &Options) -> impl Iterator<Item = &str> {
    let records = options.records.as_ref().map(|records| records.exchange.as_str());
    [options.exchange.as_str(), &options.events_exchange].into_iter().chain(records)
}

/// A queue that takes from an exchange what has a routing key.
struct Binding<'a> {
    queue: &'a str,
    exchange: &'a str,
    routing_key: &'a str,
}

fn bindings(options: &Options) -> impl Iterator<Item = Binding<'_>> {
    let Options { queue, exchange, routing_key, .. } = options;
    let records = options.records.as_ref();
    let records = records.map(|RecordsTopology { queue, exchange, routing_key }| Binding {
        queue,
        exchange,
        routing_key,
    });
    [Binding { queue, exchange, routing_key }].into_iter().chain(records)
}

/// Every queue. Retries and the broker's own dead-lettering go through the default exchange, by queue name.
fn queues(options: &Options) -> Vec<QueuePlan> {
    let mut plans = vec![QueuePlan { name: options.queue.clone(), arguments: consumed_queue(options) }];

    for delay in &options.retry_delays {
        let mut retry = waiting_queue(*delay);
        retry.extend(dead_lettering_to(&options.queue));
        plans.push(QueuePlan {
            name: retry_queues::queue(&options.retry_queue_prefix, *delay),
            arguments: retry,
        });
    }

    let kept = waiting_queue(options.dead_letter_retention);
    plans.push(QueuePlan { name: options.dead_letter_queue.clone(), arguments: kept });

    if let Some(records) = &options.records {
        let mut arguments = consumed_queue(options);
        // Of two consumers one would overtake the other with a later record of the same key.
        arguments.push(("x-single-active-consumer", AMQPValue::Boolean(true)));
        plans.push(QueuePlan { name: records.queue.clone(), arguments });
    }
    plans
}

/// A queue from which the broker moves what used up its deliveries.
fn consumed_queue(options: &Options) -> Vec<(&'static str, AMQPValue)> {
    let mut arguments = vec![
        ("x-queue-type", text("quorum")),
        ("x-delivery-limit", AMQPValue::LongLongInt(options.delivery_limit.into())),
    ];
    arguments.extend(dead_lettering_to(&options.dead_letter_queue));
    arguments
}

fn waiting_queue(ttl: Duration) -> Vec<(&'static str, AMQPValue)> {
    let millis = i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX);
    vec![
        ("x-queue-type", text("quorum")),
        ("x-delivery-limit", AMQPValue::LongLongInt(NO_DELIVERY_LIMIT)),
        ("x-message-ttl", AMQPValue::LongLongInt(millis)),
    ]
}

/// At least once: the broker lets go of a message only when the other queue has it, and demands
/// `reject-publish` for that.
fn dead_lettering_to(queue: &str) -> [(&'static str, AMQPValue); 4] {
    [
        ("x-dead-letter-exchange", text("")),
        ("x-dead-letter-routing-key", text(queue)),
        ("x-dead-letter-strategy", text("at-least-once")),
        ("x-overflow", text("reject-publish")),
    ]
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.to_owned().into())
}

fn refusal(kind: &str, name: &str, error: &lapin::Error) -> FeedError {
    match error.kind() {
        ErrorKind::ProtocolError(answer) if answer.get_id() == PRECONDITION_FAILED => {
            FeedError::Permanent(contradiction(kind, name, answer.get_message().as_str()))
        }
        _ => transient(&format!("declaring the {kind} '{name}'"), error),
    }
}

/// The broker says `… inequivalent arg 'x-delivery-limit' for queue 'q' in vhost '/': received the value '100'
/// of type 'long' but current is the value '50' of type 'long'`, cut off at 255 bytes.
fn contradiction(kind: &str, name: &str, answer: &str) -> String {
    let parts = answer.split_once("inequivalent arg '").and_then(|(_, rest)| {
        let (argument, rest) = rest.split_once('\'')?;
        let (wanted, found) = rest.split_once("': received ")?.1.split_once(" but current is ")?;
        Some((argument, bare(wanted), bare(found)))
    });
    let Some((argument, wanted, found)) = parts else {
        return format!(
            "RabbitMQ refuses to declare the {kind} '{name}' as configured ({answer}): correct its settings."
        );
    };
    let delete = if kind == "queue" { "delete the queue once it is empty" } else { "delete the exchange" };
    format!(
        "The {kind} '{name}' exists in RabbitMQ with another {argument} ({found} there, {wanted} wanted): either \
         set what the broker has, or {delete} and start again, which declares it anew."
    )
}

/// `the value '100' of type 'long'` → `'100'`.
fn bare(value: &str) -> &str {
    let value = value.strip_prefix("the value ").unwrap_or(value);
    value.split_once(" of type ").map_or(value, |(bare, _)| bare)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::broker::test_options;

    #[test]
    fn a_contradiction_is_one_sentence() {
        let sentence = contradiction(
            "queue",
            "q",
            "PRECONDITION_FAILED - inequivalent arg 'x-delivery-limit' for queue 'q' in vhost '/': received the \
             value '100' of type 'long' but current is the value '50' of type 'signedint'",
        );
        assert!(sentence.starts_with(
            "The queue 'q' exists in RabbitMQ with another x-delivery-limit ('50' there, '100' wanted): "
        ));
        let none = contradiction(
            "queue",
            "q",
            "inequivalent arg 'x-a' for queue 'q' in vhost '/': received none but current is '1'",
        );
        assert!(none.contains("x-a ('1' there, none wanted)"));
        assert!(contradiction("queue", "q", "invalid arg").contains("(invalid arg)"));
    }

    #[test]
    fn the_definitions_file_holds_the_same_topology() {
        let file: Value =
            serde_json::from_str(include_str!("../../deploy/rabbitmq/definitions.json")).unwrap();
        let options = test_options();
        let queues: Vec<Value> = queues(&options)
            .into_iter()
            .map(|plan| {
                let arguments: serde_json::Map<_, _> = plan
                    .arguments
                    .into_iter()
                    .map(|(key, value)| match value {
                        AMQPValue::LongString(text) => (key.to_owned(), json!(text.to_string())),
                        AMQPValue::LongLongInt(number) => (key.to_owned(), json!(number)),
                        AMQPValue::Boolean(flag) => (key.to_owned(), json!(flag)),
                        other => panic!("{other:?}"),
                    })
                    .collect();
                json!({"name": plan.name, "vhost": "/", "durable": true, "auto_delete": false, "arguments": arguments})
            })
            .collect();
        assert_eq!(file["queues"], json!(queues));
        let exchange = |name| {
            json!({"name": name, "vhost": "/", "type": "topic", "durable": true, "auto_delete": false,
                "internal": false, "arguments": {}})
        };
        assert_eq!(file["exchanges"], json!(exchanges(&options).map(exchange).collect::<Vec<_>>()));
        let binding = |Binding { queue, exchange, routing_key }| {
            json!({"source": exchange, "vhost": "/", "destination": queue, "destination_type": "queue",
                "routing_key": routing_key, "arguments": {}})
        };
        assert_eq!(file["bindings"], json!(bindings(&options).map(binding).collect::<Vec<_>>()));
    }
}
