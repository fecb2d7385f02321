//! What a message looks like once it is set aside: the body as it came, and headers that say why.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::{SystemTime, UNIX_EPOCH};

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, ShortString};

use crate::domain::enrollment::Rejection;

/// Survives a restart of the broker.
pub(super) const PERSISTENT: u8 = 2;

/// How often the service itself tried; the broker's own count also grows with every lost connection.
const ATTEMPT: &str = "x-attempt";
const ORIGINAL_EXCHANGE: &str = "x-original-exchange";
const ORIGINAL_ROUTING_KEY: &str = "x-original-routing-key";

/// All headers of a message share one frame with its other properties, 128 KiB at the most. A message that
/// all but fills it must not grow past it: the broker would end the connection, and with every try again.
const MAX_KEPT_HEADERS: usize = 64 * 1024;
/// What is kept of such a message's headers, if it is short.
const TRACE_HEADERS: [&str; 2] = ["traceparent", "tracestate"];
const MAX_TRACE_HEADER: usize = 1024;

/// Properties of the dead letter of a message that came with `original` by `exchange` and `routing_key`.
///
/// Not taken over: the message id (dead letters are addressed by ours), an expiration (they are kept as
/// long as the queue says), a user id (the broker refuses one that is not the connection's) and a reply address.
pub(super) fn properties(
    original: &BasicProperties,
    exchange: &ShortString,
    routing_key: &ShortString,
    rejection: &Rejection,
) -> BasicProperties {
    let incoming = original.headers().as_ref();
    let mut headers = kept(incoming);
    headers.insert("x-reason".into(), text(rejection.reason.as_str()));
    headers.insert("x-detail".into(), text(&rejection.detail));
    headers.insert(ATTEMPT.into(), AMQPValue::LongLongInt(attempt(incoming)));
    // A retry or a replay came through the default exchange and carries where it was first published.
    let knows_origin = headers.contains_key(ORIGINAL_EXCHANGE) && headers.contains_key(ORIGINAL_ROUTING_KEY);
    if !(knows_origin && exchange.as_str().is_empty()) {
        headers.insert(ORIGINAL_EXCHANGE.into(), text(exchange.as_str()));
        headers.insert(ORIGINAL_ROUTING_KEY.into(), text(routing_key.as_str()));
    }

    let mut properties = BasicProperties::default()
        .with_headers(headers)
        .with_delivery_mode(PERSISTENT)
        .with_message_id(short_id(&message_id()));
    if let Some(value) = original.content_type() {
        properties = properties.with_content_type(value.clone());
    }
    if let Some(value) = original.content_encoding() {
        properties = properties.with_content_encoding(value.clone());
    }
    if let Some(value) = original.correlation_id() {
        properties = properties.with_correlation_id(value.clone());
    }
    if let Some(value) = original.kind() {
        properties = properties.with_type(value.clone());
    }
    if let Some(value) = original.app_id() {
        properties = properties.with_app_id(value.clone());
    }
    if let Some(value) = original.timestamp() {
        properties = properties.with_timestamp(*value);
    }
    properties
}

/// Unique in this process and all others, and in the order of their making: microseconds, then chance.
pub(super) fn message_id() -> String {
    let micros = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros());
    format!("{micros:016x}-{:016x}", RandomState::new().build_hasher().finish())
}

/// An id made by [`message_id`], which is never too long.
pub(super) fn short_id(id: &str) -> ShortString {
    ShortString::try_new(id).unwrap_or_default()
}

/// What the producer's application said, without what brokers wrote on the way.
fn kept(incoming: Option<&FieldTable>) -> FieldTable {
    let mut kept = FieldTable::default();
    let Some(incoming) = incoming else { return kept };
    let oversized =
        incoming.into_iter().map(|(key, value)| weight(key, value)).sum::<usize>() > MAX_KEPT_HEADERS;
    for (key, value) in incoming {
        let small_trace = TRACE_HEADERS.contains(&key.as_str()) && weight(key, value) <= MAX_TRACE_HEADER;
        if small_trace || !(oversized || is_brokers(key.as_str())) {
            kept.insert(key.clone(), value.clone());
        }
    }
    kept
}

/// With its history a replayed message is taken for a cycle and never leaves its retry queue; `CC` and `BCC`
/// would send copies to other queues.
fn is_brokers(header: &str) -> bool {
    matches!(header, "x-death" | "x-delivery-count" | "x-acquired-count" | "CC" | "BCC")
        || header.starts_with("x-first-death-")
        || header.starts_with("x-last-death-")
}

/// About how many bytes a header takes on the wire, never fewer.
fn weight(key: &ShortString, value: &AMQPValue) -> usize {
    fn of(value: &AMQPValue) -> usize {
        16 + match value {
            AMQPValue::LongString(text) => text.len(),
            AMQPValue::ByteArray(bytes) => bytes.len(),
            AMQPValue::FieldArray(values) => values.as_slice().iter().map(of).sum(),
            AMQPValue::FieldTable(table) => table.into_iter().map(|(key, value)| weight(key, value)).sum(),
            _ => 0,
        }
    }
    key.as_str().len() + of(value)
}

/// Zero for a message that never went up the retry ladder, or that claims nonsense.
fn attempt(headers: Option<&FieldTable>) -> i64 {
    let value = headers.and_then(|headers| headers.inner().get(ATTEMPT));
    let attempt = match value {
        Some(AMQPValue::ShortShortInt(number)) => i64::from(*number),
        Some(AMQPValue::ShortShortUInt(number)) => i64::from(*number),
        Some(AMQPValue::ShortInt(number)) => i64::from(*number),
        Some(AMQPValue::ShortUInt(number)) => i64::from(*number),
        Some(AMQPValue::LongInt(number)) => i64::from(*number),
        Some(AMQPValue::LongUInt(number)) => i64::from(*number),
        Some(AMQPValue::LongLongInt(number)) => *number,
        _ => 0,
    };
    attempt.max(0)
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.to_owned().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::enrollment::DeadLetterReason;

    fn build(headers: &[(&str, AMQPValue)], exchange: &str) -> BasicProperties {
        let mut table = FieldTable::default();
        for (key, value) in headers {
            table.insert((*key).into(), value.clone());
        }
        let original = BasicProperties::default()
            .with_headers(table)
            .with_message_id("theirs".into())
            .with_expiration("10".into())
            .with_user_id("producer".into())
            .with_content_type("application/json".into());
        let rejection =
            Rejection { reason: DeadLetterReason::Malformed, detail: "$.data: missing".to_owned() };
        properties(&original, &exchange.into(), &"contact.delete".into(), &rejection)
    }

    fn header(properties: &BasicProperties, key: &str) -> Option<AMQPValue> {
        properties.headers().as_ref().unwrap().inner().get(key).cloned()
    }

    #[test]
    fn it_says_why_and_where_from() {
        let letter =
            build(&[("traceparent", text("00-1-2-01")), ("tenant", text("7"))], "workflow.enrollments");
        assert_eq!(header(&letter, "x-reason"), Some(text("malformed")));
        assert_eq!(header(&letter, "x-detail"), Some(text("$.data: missing")));
        assert_eq!(header(&letter, "x-attempt"), Some(AMQPValue::LongLongInt(0)));
        assert_eq!(header(&letter, "x-original-exchange"), Some(text("workflow.enrollments")));
        assert_eq!(header(&letter, "x-original-routing-key"), Some(text("contact.delete")));
        assert_eq!(header(&letter, "traceparent"), Some(text("00-1-2-01")));
        assert_eq!(header(&letter, "tenant"), Some(text("7")));
        assert_eq!(letter.delivery_mode(), &Some(PERSISTENT));
        assert_eq!(letter.content_type().as_ref().unwrap().as_str(), "application/json");
        assert_ne!(letter.message_id().as_ref().unwrap().as_str(), "theirs");
        assert_eq!((letter.expiration(), letter.user_id()), (&None, &None));
    }

    #[test]
    fn what_brokers_wrote_is_left_behind() {
        let brokers =
            ["x-death", "x-first-death-queue", "x-last-death-reason", "x-delivery-count", "CC", "BCC"];
        let letter = build(&brokers.map(|key| (key, text("1"))), "e");
        assert!(brokers.iter().all(|key| header(&letter, key).is_none()));
    }

    #[test]
    fn a_retried_message_keeps_its_origin_and_attempt() {
        let retried = [
            ("x-attempt", AMQPValue::LongInt(3)),
            ("x-original-exchange", text("first")),
            ("x-original-routing-key", text("key")),
        ];
        let letter = build(&retried, "");
        assert_eq!(header(&letter, "x-attempt"), Some(AMQPValue::LongLongInt(3)));
        assert_eq!(header(&letter, "x-original-exchange"), Some(text("first")));
        assert_eq!(header(&build(&retried, "e"), "x-original-exchange"), Some(text("e")));
        assert_eq!(
            header(&build(&[("x-attempt", text("9"))], "e"), "x-attempt"),
            Some(AMQPValue::LongLongInt(0))
        );
    }

    #[test]
    fn headers_that_fill_the_frame_are_left_behind() {
        let huge = text(&"h".repeat(MAX_KEPT_HEADERS));
        let letter = build(&[("huge", huge), ("traceparent", text("00-1-2-01"))], "e");
        assert_eq!(header(&letter, "huge"), None);
        assert_eq!(header(&letter, "traceparent"), Some(text("00-1-2-01")));
    }

    #[test]
    fn ids_are_unique_and_ordered() {
        let mut ids: Vec<_> = (0..10_000).map(|_| message_id()).collect();
        assert!(ids.windows(2).all(|pair| pair[0][..16] <= pair[1][..16]));
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), 10_000);
    }
}
