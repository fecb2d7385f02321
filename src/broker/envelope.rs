//! What a message looks like when it goes on, put off or back to work, and what its headers say of it.

use std::sync::{Arc, LazyLock};
use std::time::{SystemTime, UNIX_EPOCH};

use lapin::BasicProperties;
use lapin::types::{AMQPValue, FieldTable, ShortString};

use crate::domain::cloud_event::{ATTRIBUTES, Carriage, STRUCTURED};
use crate::domain::dead_letter::{DeadLetter, Origin};
use crate::domain::rejection::{DeadLetterReason, Rejection};
use crate::domain::trace::TraceContext;

/// Survives a restart of the broker.
pub(super) const PERSISTENT: u8 = 2;

/// What dead letters come from, as the store names it.
static FEED: LazyLock<Arc<str>> = LazyLock::new(|| "rabbitmq".into());

/// Why a version that kept dead letters on the broker set it aside.
const REASON: &str = "x-reason";
/// As [`REASON`]: place and type of the fault.
const DETAIL: &str = "x-detail";
/// How often the service put it off; the broker's own count also grows with every lost connection.
const ATTEMPT: &str = "x-attempt";
const ORIGINAL_EXCHANGE: &str = "x-original-exchange";
const ORIGINAL_ROUTING_KEY: &str = "x-original-routing-key";
/// What the message was called before it was put off or replayed; empty where it had no id.
const ORIGINAL_MESSAGE_ID: &str = "x-original-message-id";

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
    pub(super) form: Form,
}

/// How a body relates to the message that it came in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Form {
    AsItCame,
    /// Unpacked, or put into structured mode.
    Structured,
    /// One event of a batch, the first of which is 0.
    PartOfBatch(usize),
}

impl Incoming<'_> {
    fn headers(&self) -> Option<&FieldTable> {
        self.properties.headers().as_ref()
    }

    /// The headers, where they are the service's own: what comes from the ladder or from a replay comes through the
    /// default exchange. What others claim in such headers counts for nothing.
    fn own(&self) -> Option<&FieldTable> {
        self.headers().filter(|_| self.exchange.as_str().is_empty())
    }

    /// What is said of the body outside of it.
    pub(super) fn carriage(&self) -> Carriage {
        let mut attributes = Vec::new();
        for (key, value) in self.headers().into_iter().flatten() {
            let name = ["cloudEvents:", "cloudEvents_"].iter().find_map(|it| key.as_str().strip_prefix(it));
            let name = name.and_then(|name| ATTRIBUTES.into_iter().find(|attribute| *attribute == name));
            attributes.extend(name.map(|name| (name, value_text(value))));
        }
        let text = |field: &Option<ShortString>| field.as_ref().map(ToString::to_string);
        Carriage {
            content_type: text(self.properties.content_type()),
            content_encoding: text(self.properties.content_encoding()),
            attributes,
        }
    }

    /// How often it was put off.
    pub(super) fn attempt(&self) -> u32 {
        self.own().map_or(0, attempt)
    }

    /// The trace that its producer says it belongs to.
    pub(super) fn trace(&self) -> Option<TraceContext> {
        match self.headers()?.inner().get(TRACEPARENT)? {
            AMQPValue::LongString(text) => TraceContext::parse(str::from_utf8(text.as_bytes()).ok()?),
            AMQPValue::ShortString(text) => TraceContext::parse(text.as_str()),
            _ => None,
        }
    }

    /// Where it was first published, and by what another delivery of it is known. The same message may be on the ladder
    /// twice, where a worker died between putting it off and acknowledging it.
    pub(super) fn origin(&self, redelivered: bool) -> Origin {
        let own = self.own();
        let original = |key| own.and_then(|headers| header_text(headers, key));
        let published = |key, field: &ShortString| original(key).unwrap_or_else(|| field.to_string());
        let named = self.properties.message_id().as_ref().map(ToString::to_string);
        let original_id = original(ORIGINAL_MESSAGE_ID);
        let may_repeat = redelivered || original_id.is_some() || self.attempt() > 0;
        let mut message_id = original_id.or(named).unwrap_or_default();
        if let Form::PartOfBatch(place) = self.form {
            message_id = format!("{message_id}#{place}");
        }
        Origin {
            feed: Arc::clone(&FEED),
            may_repeat,
            message_id,
            exchange: published(ORIGINAL_EXCHANGE, self.exchange),
            routing_key: published(ORIGINAL_ROUTING_KEY, self.routing_key),
            content_type: self.content_type().map(|it| it.to_string()),
        }
    }

    fn content_type(&self) -> Option<ShortString> {
        match self.form {
            Form::AsItCame => self.properties.content_type().clone(),
            Form::Structured | Form::PartOfBatch(_) => Some(STRUCTURED.into()),
        }
    }

    /// Properties with which it goes to wait, for so many milliseconds.
    pub(super) fn retry(&self, millis: u64) -> BasicProperties {
        let mut headers = self.kept();
        headers.insert(ATTEMPT.into(), AMQPValue::LongLongInt(i64::from(self.attempt()) + 1));
        self.with(headers).with_expiration(ShortString::from(millis.to_string()))
    }

    /// What the producer's application said, and where it said it, without what brokers wrote on the way.
    fn kept(&self) -> FieldTable {
        let mut headers = kept(self.headers());
        // What was put off or replayed before carries where it was first published.
        let Origin { message_id, exchange, routing_key, .. } = self.origin(false);
        for (key, value) in [
            (ORIGINAL_EXCHANGE, exchange),
            (ORIGINAL_ROUTING_KEY, routing_key),
            (ORIGINAL_MESSAGE_ID, message_id),
        ] {
            headers.insert(key.into(), text(&value));
        }
        headers
    }

    /// Not taken over: the message id (what goes on is known by ours), an expiration, a user id (the broker refuses one
    /// that is not the connection's) and a reply address.
    fn with(&self, headers: FieldTable) -> BasicProperties {
        let original = self.properties;
        let mut properties = own_message(headers);
        if let Some(value) = self.content_type() {
            properties = properties.with_content_type(value);
        }
        if let (Some(value), Form::AsItCame) = (original.content_encoding(), self.form) {
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

/// Properties with which a dead letter goes back to work, as a message that was not tried yet. Two replays of one letter
/// have the same name, so that they do not become two.
pub(super) fn replay(letter: &DeadLetter) -> BasicProperties {
    let mut headers = FieldTable::default();
    for (key, value) in [
        (ORIGINAL_EXCHANGE, letter.exchange.clone()),
        (ORIGINAL_ROUTING_KEY, letter.routing_key.clone()),
        (ORIGINAL_MESSAGE_ID, format!("dead letter {}", letter.id)),
    ] {
        headers.insert(key.into(), text(&value));
    }
    if let Some(trace) = letter.trace {
        headers.insert(TRACEPARENT.into(), text(&trace.to_string()));
    }
    let mut properties = own_message(headers);
    if let Some(content_type) = letter.content_type.as_deref().and_then(|it| ShortString::try_new(it).ok()) {
        properties = properties.with_content_type(content_type);
    }
    properties
}

fn own_message(headers: FieldTable) -> BasicProperties {
    BasicProperties::default()
        .with_headers(headers)
        .with_delivery_mode(PERSISTENT)
        .with_message_id(short_id(&message_id()))
}

/// Where a message in the queue of dead letters was published before the broker moved it there; `None` where the broker
/// did not.
pub(super) fn moved_from(properties: &BasicProperties) -> Option<(ShortString, ShortString)> {
    let death = last_death(properties.headers().as_ref()?)?;
    let key = match death.inner().get("routing-keys") {
        Some(AMQPValue::FieldArray(keys)) => keys.as_slice().first().and_then(value_text),
        _ => None,
    };
    let short = |text: Option<String>| text.and_then(|it| ShortString::try_new(it).ok()).unwrap_or_default();
    Some((short(header_text(death, "exchange")), short(key)))
}

/// Why a message is in the queue of dead letters. What the broker moved has its own history; what an older version set
/// aside says why.
pub(super) fn rejection(properties: &BasicProperties) -> Rejection {
    let none = FieldTable::default();
    let headers = properties.headers().as_ref().unwrap_or(&none);
    let moved = |why: &str| Rejection {
        reason: DeadLetterReason::DeliveryLimit,
        detail: format!("moved here by the broker: {why}"),
    };
    if let Some(death) = last_death(headers) {
        return moved(match header_text(death, "reason").as_deref() {
            Some("delivery_limit") => "crashes, or lost connections, used up its deliveries",
            Some("expired") => "it expired",
            Some("rejected") => "it was rejected",
            Some("maxlen") => "its queue was full",
            _ => "for another reason",
        });
    }
    match header_text(headers, REASON).as_deref().and_then(DeadLetterReason::parse) {
        Some(reason) => Rejection { reason, detail: header_text(headers, DETAIL).unwrap_or_default() },
        None => moved("nothing says why"),
    }
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

fn header_text(table: &FieldTable, key: &str) -> Option<String> {
    table.inner().get(key).and_then(value_text)
}

fn value_text(value: &AMQPValue) -> Option<String> {
    match value {
        AMQPValue::LongString(text) => Some(text.to_string()),
        AMQPValue::ShortString(text) => Some(text.to_string()),
        _ => None,
    }
}

/// Unique in this process and all others, and in the order of their making: microseconds, then a random number.
pub(super) fn message_id() -> String {
    let micros = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_micros());
    format!("{micros:016x}-{:016x}", fastrand::u64(..))
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
fn attempt(headers: &FieldTable) -> u32 {
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

    fn retried(headers: &[(&str, AMQPValue)], exchange: &str) -> BasicProperties {
        incoming(headers, exchange, |incoming| incoming.retry(1500))
    }

    fn origin(headers: &[(&str, AMQPValue)], exchange: &str) -> Origin {
        incoming(headers, exchange, |incoming| incoming.origin(false))
    }

    fn incoming<T>(headers: &[(&str, AMQPValue)], exchange: &str, take: impl Fn(Incoming<'_>) -> T) -> T {
        let original = BasicProperties::default()
            .with_headers(table(headers))
            .with_message_id("theirs".into())
            .with_expiration("10".into())
            .with_user_id("producer".into())
            .with_content_type("application/json".into());
        let (exchange, routing_key) = (exchange.into(), "contact.delete".into());
        take(Incoming {
            properties: &original,
            exchange: &exchange,
            routing_key: &routing_key,
            form: Form::AsItCame,
        })
    }

    fn table(entries: &[(&str, AMQPValue)]) -> FieldTable {
        let mut table = FieldTable::default();
        for (key, value) in entries {
            table.insert((*key).into(), value.clone());
        }
        table
    }

    fn header(properties: &BasicProperties, key: &str) -> Option<AMQPValue> {
        properties.headers().as_ref().unwrap().inner().get(key).cloned()
    }

    #[test]
    fn what_is_put_off_says_where_it_is_from_and_what_it_was_called() {
        let put_off =
            retried(&[("traceparent", text("00-1-2-01")), ("tenant", text("7"))], "workflow.enrollments");
        assert_eq!(header(&put_off, "x-attempt"), Some(AMQPValue::LongLongInt(1)));
        assert_eq!(header(&put_off, "x-original-exchange"), Some(text("workflow.enrollments")));
        assert_eq!(header(&put_off, "x-original-routing-key"), Some(text("contact.delete")));
        assert_eq!(header(&put_off, "x-original-message-id"), Some(text("theirs")));
        assert_eq!(header(&put_off, "traceparent"), Some(text("00-1-2-01")));
        assert_eq!(header(&put_off, "tenant"), Some(text("7")));
        assert_eq!(put_off.delivery_mode(), &Some(PERSISTENT));
        assert_eq!(put_off.content_type().as_ref().unwrap().as_str(), "application/json");
        assert_ne!(put_off.message_id().as_ref().unwrap().as_str(), "theirs");
        assert_eq!(put_off.expiration().as_ref().unwrap().as_str(), "1500");
        assert_eq!(put_off.user_id(), &None);
    }

    #[test]
    fn what_brokers_wrote_is_left_behind() {
        let brokers =
            ["x-death", "x-first-death-queue", "x-last-death-reason", "x-delivery-count", "CC", "BCC"];
        let put_off = retried(&brokers.map(|key| (key, text("1"))), "e");
        assert!(brokers.iter().all(|key| header(&put_off, key).is_none()));
    }

    #[test]
    fn message_id_survives_retries_and_cannot_be_forged() {
        let fresh = origin(&[], "first");
        assert_eq!((fresh.message_id.as_str(), fresh.may_repeat), ("theirs", false));
        assert_eq!((fresh.exchange.as_str(), fresh.routing_key.as_str()), ("first", "contact.delete"));
        let ladder = [
            ("x-attempt", AMQPValue::LongInt(3)),
            ("x-original-exchange", text("first")),
            ("x-original-routing-key", text("key")),
            ("x-original-message-id", text("")),
        ];
        let put_off = origin(&ladder, "");
        assert_eq!((put_off.message_id.as_str(), put_off.may_repeat), ("", true));
        assert_eq!((put_off.exchange.as_str(), put_off.routing_key.as_str()), ("first", "key"));
        assert_eq!(header(&retried(&ladder, ""), "x-attempt"), Some(AMQPValue::LongLongInt(4)));
        assert_eq!(origin(&ladder, "e"), Origin { exchange: "e".to_owned(), ..fresh });
        for (claimed, exchange) in
            [(text("9"), ""), (AMQPValue::LongInt(-1), ""), (AMQPValue::LongInt(9), "e")]
        {
            let put_off = retried(&[("x-attempt", claimed)], exchange);
            assert_eq!(header(&put_off, "x-attempt"), Some(AMQPValue::LongLongInt(1)));
        }
    }

    #[test]
    fn replayed_it_starts_anew_under_the_name_of_its_letter() {
        let trace = TraceContext::parse("00-0af7651916cd43dd8448eb211c80319c-00f067aa0ba902b7-01");
        let replayed = replay(&DeadLetter {
            id: 17,
            reason: "poison".to_owned(),
            detail: "$.data".to_owned(),
            attempts: 2,
            at: crate::domain::time::parse_time("2026-11-21T10:00:00Z").unwrap(),
            account_id: None,
            exchange: "first".to_owned(),
            routing_key: "key".to_owned(),
            content_type: Some("application/json".to_owned()),
            trace,
            bytes: 0,
        });
        let headers: Vec<&str> =
            replayed.headers().as_ref().unwrap().into_iter().map(|(key, _)| key.as_str()).collect();
        let original = ["x-original-exchange", "x-original-message-id", "x-original-routing-key"];
        assert_eq!(headers, [&["traceparent"][..], &original].concat());
        assert_eq!(header(&replayed, "x-original-message-id"), Some(text("dead letter 17")));
        assert_eq!(replayed.content_type().as_ref().unwrap().as_str(), "application/json");
        assert_eq!(replayed.expiration(), &None);
    }

    #[test]
    fn a_letter_on_the_broker_says_why_it_is_there() {
        let because = |headers: &[(&str, AMQPValue)]| {
            let properties = BasicProperties::default().with_headers(table(headers));
            let Rejection { reason, detail } = rejection(&properties);
            let from = moved_from(&properties);
            (reason.as_str(), detail, from.map(|(exchange, key)| [exchange.to_string(), key.to_string()]))
        };
        let older = [("x-reason", text("poison")), ("x-detail", text("$.data: no"))];
        assert_eq!(because(&older), ("poison", "$.data: no".to_owned(), None));
        let death = |reason: &str| {
            let keys = AMQPValue::FieldArray(vec![text("contact.delete")].into());
            let entries = [("reason", text(reason)), ("exchange", text("e")), ("routing-keys", keys)];
            ("x-death", AMQPValue::FieldArray(vec![AMQPValue::FieldTable(table(&entries))].into()))
        };
        let from = Some(["e".to_owned(), "contact.delete".to_owned()]);
        for (reason, why) in [
            ("delivery_limit", "crashes, or lost connections, used up its deliveries"),
            ("expired", "it expired"),
            ("ada@example.org", "for another reason"),
        ] {
            let expected = ("delivery_limit", format!("moved here by the broker: {why}"), from.clone());
            assert_eq!(because(&[death(reason), older[0].clone()]), expected);
        }
        for claimed in [&[("x-reason", text("ada@example.org"))][..], &[]] {
            let expected = ("delivery_limit", "moved here by the broker: nothing says why".to_owned(), None);
            assert_eq!(because(claimed), expected);
        }
    }

    #[test]
    fn headers_that_fill_the_frame_are_left_behind() {
        let huge = text(&"h".repeat(MAX_KEPT_HEADERS));
        let put_off = retried(&[("huge", huge), ("traceparent", text("00-1-2-01"))], "e");
        assert_eq!(header(&put_off, "huge"), None);
        assert_eq!(header(&put_off, "traceparent"), Some(text("00-1-2-01")));
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
