//! What a message looks like when it goes on: set aside, put off, or back to work. The body is always as it came.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::time::{SystemTime, UNIX_EPOCH};

use chrono::DateTime;
use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, ShortString};

use crate::domain::enrollment::Rejection;
use crate::domain::time::Time;
use crate::domain::trace::TraceContext;

/// Survives a restart of the broker.
pub(super) const PERSISTENT: u8 = 2;

/// Why it was set aside.
pub(super) const REASON: &str = "x-reason";
/// Place and type of the fault.
pub(super) const DETAIL: &str = "x-detail";
/// How often the service put it off; the broker's own count also grows with every lost connection.
const ATTEMPT: &str = "x-attempt";
const ORIGINAL_EXCHANGE: &str = "x-original-exchange";
const ORIGINAL_ROUTING_KEY: &str = "x-original-routing-key";

/// All headers of a message share one frame with its other properties, 128 KiB at the most. A message that
/// all but fills it must not grow past it: the broker would end the connection, and with every try again.
const MAX_KEPT_HEADERS: usize = 64 * 1024;
/// What is kept of such a message's headers, if it is short.
const TRACE_HEADERS: [&str; 2] = [TRACEPARENT, "tracestate"];
/// W3C's.
pub(super) const TRACEPARENT: &str = "traceparent";
const MAX_TRACE_HEADER: usize = 1024;

/// What a message came with.
#[derive(Clone, Copy)]
pub(super) struct Incoming<'a> {
    pub(super) properties: &'a BasicProperties,
    pub(super) exchange: &'a ShortString,
    pub(super) routing_key: &'a ShortString,
}

impl Incoming<'_> {
    fn headers(&self) -> Option<&FieldTable> {
        self.properties.headers().as_ref()
    }

    /// How often it was put off: zero for a message that never went up the ladder, or that claims so itself. What comes
    /// from the ladder or from a replay comes through the default exchange.
    pub(super) fn attempt(&self) -> u32 {
        let own = self.exchange.as_str().is_empty();
        if own { self.headers().map_or(0, attempt) } else { 0 }
    }

    /// The trace that its producer says it belongs to.
    pub(super) fn trace(&self) -> Option<TraceContext> {
        match self.headers()?.inner().get(TRACEPARENT)? {
            AMQPValue::LongString(text) => TraceContext::parse(str::from_utf8(text.as_bytes()).ok()?),
            AMQPValue::ShortString(text) => TraceContext::parse(text.as_str()),
            _ => None,
        }
    }

    /// Properties of its dead letter, kept as long as the queue says.
    pub(super) fn dead_letter(&self, rejection: &Rejection) -> BasicProperties {
        let mut headers = self.kept();
        headers.insert(REASON.into(), text(rejection.reason.as_str()));
        headers.insert(DETAIL.into(), text(&rejection.detail));
        headers.insert(ATTEMPT.into(), AMQPValue::LongLongInt(self.attempt().into()));
        self.with(headers)
    }

    /// Properties with which it goes to wait, for so many milliseconds.
    pub(super) fn retry(&self, millis: u64) -> BasicProperties {
        let mut headers = self.kept();
        headers.insert(ATTEMPT.into(), AMQPValue::LongLongInt(i64::from(self.attempt()) + 1));
        self.with(headers).with_expiration(ShortString::from(millis.to_string()))
    }

    /// Properties with which a dead letter goes back to work, as a message that nobody tried yet.
    pub(super) fn replay(&self) -> BasicProperties {
        let mut headers = FieldTable::default();
        for (key, value) in &self.kept() {
            if ![REASON, DETAIL, ATTEMPT].contains(&key.as_str()) {
                headers.insert(key.clone(), value.clone());
            }
        }
        self.with(headers)
    }

    /// What the producer's application said, and where it said it, without what brokers wrote on the way.
    fn kept(&self) -> FieldTable {
        let mut headers = kept(self.headers());
        // A retry or a replay came through the default exchange and carries where it was first published.
        let knows_origin =
            headers.contains_key(ORIGINAL_EXCHANGE) && headers.contains_key(ORIGINAL_ROUTING_KEY);
        if !(knows_origin && self.exchange.as_str().is_empty()) {
            headers.insert(ORIGINAL_EXCHANGE.into(), text(self.exchange.as_str()));
            headers.insert(ORIGINAL_ROUTING_KEY.into(), text(self.routing_key.as_str()));
        }
        headers
    }

    /// Not taken over: the message id (what goes on is known by ours), an expiration, a user id (the broker refuses one
    /// that is not the connection's) and a reply address.
    fn with(&self, headers: FieldTable) -> BasicProperties {
        let original = self.properties;
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
}

/// The standard library's one source of chance: its hash maps are seeded from it.
pub(super) fn chance() -> u64 {
    RandomState::new().build_hasher().finish()
}

/// Unique in this process and all others, and in the order of their making: microseconds, then chance.
pub(super) fn message_id() -> String {
    let micros = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros());
    format!("{micros:016x}-{:016x}", chance())
}

/// When an id was made, if it is one of ours.
pub(super) fn made_at(id: &str) -> Option<Time> {
    let (micros, _) = id.split_once('-')?;
    DateTime::from_timestamp_micros(i64::from_str_radix(micros, 16).ok()?)
}

/// An id made by [`message_id`], which is never too long.
pub(super) fn short_id(id: &str) -> ShortString {
    ShortString::try_new(id).unwrap_or_default()
}

/// The headers that are not the brokers'.
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

/// Zero where it claims nonsense.
pub(super) fn attempt(headers: &FieldTable) -> u32 {
    let number = match headers.inner().get(ATTEMPT) {
        Some(AMQPValue::LongInt(number)) => i64::from(*number),
        Some(AMQPValue::LongLongInt(number)) => *number,
        _ => 0,
    };
    u32::try_from(number).unwrap_or(0)
}

fn text(value: &str) -> AMQPValue {
    AMQPValue::LongString(value.to_owned().into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::enrollment::DeadLetterReason;

    fn build(headers: &[(&str, AMQPValue)], exchange: &str) -> BasicProperties {
        let rejection =
            Rejection { reason: DeadLetterReason::Malformed, detail: "$.data: missing".to_owned() };
        built(headers, exchange, |incoming| incoming.dead_letter(&rejection))
    }

    fn built(
        headers: &[(&str, AMQPValue)],
        exchange: &str,
        build: impl Fn(Incoming<'_>) -> BasicProperties,
    ) -> BasicProperties {
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
        let (exchange, routing_key) = (exchange.into(), "contact.delete".into());
        build(Incoming { properties: &original, exchange: &exchange, routing_key: &routing_key })
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
        for (claimed, exchange) in
            [(text("9"), ""), (AMQPValue::LongInt(-1), ""), (AMQPValue::LongInt(9), "e")]
        {
            let letter = build(&[("x-attempt", claimed)], exchange);
            assert_eq!(header(&letter, "x-attempt"), Some(AMQPValue::LongLongInt(0)));
        }
    }

    #[test]
    fn put_off_it_counts_and_waits_and_replayed_it_starts_anew() {
        let letter = [
            ("x-reason", text("poison")),
            ("x-detail", text("$.data")),
            ("x-attempt", AMQPValue::LongLongInt(2)),
            ("x-death", text("1")),
            ("x-original-exchange", text("first")),
            ("x-original-routing-key", text("key")),
            ("tenant", text("7")),
        ];
        let retry = built(&letter, "", |incoming| incoming.retry(1500));
        assert_eq!(header(&retry, "x-attempt"), Some(AMQPValue::LongLongInt(3)));
        assert_eq!(retry.expiration().as_ref().unwrap().as_str(), "1500");
        let replay = built(&letter, "", |incoming| incoming.replay());
        let left: Vec<&str> =
            replay.headers().as_ref().unwrap().into_iter().map(|(key, _)| key.as_str()).collect();
        assert_eq!(left, ["tenant", "x-original-exchange", "x-original-routing-key"]);
        assert_eq!(replay.expiration(), &None);
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
