//! The modes of a CloudEvent in a message of AMQP: structured, binary and batch, compressed or not. Whatever mode it came
//! in, from here on it is in structured mode.

use std::borrow::Cow;
use std::io::Read as _;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::read::MultiGzDecoder;
use serde_json::Value;
use serde_json::value::RawValue;

use super::body_texts::without_bom;
use super::members::{Members, read_strictly};
use super::rejection::{DeadLetterReason, MAX_BODY_BYTES, Rejection, not_json, too_large};

/// Where the data of an event stands, as a place.
pub const DATA: &str = "$.data";

/// The media type of one event in structured mode.
pub const STRUCTURED: &str = "application/cloudevents+json";
/// The media type of a batch.
const BATCH: &str = "application/cloudevents-batch+json";
/// What any media type of these modes begins with.
const ANY_MODE: &str = "application/cloudevents";

/// The most events of a batch: more of them than fit where each is as short as an event can be.
const MAX_EVENTS: usize = 2_000;

/// The attributes that are looked at, and the time for whoever reads a dead letter.
pub const ATTRIBUTES: [&str; 5] = ["specversion", "id", "source", "type", "time"];

/// What a message says of its body, outside of it.
#[derive(Clone, Debug, Default)]
pub struct Carriage {
    pub content_type: Option<String>,
    pub content_encoding: Option<String>,
    /// Attributes of the event in binary mode: one of [`ATTRIBUTES`] and its value, `None` where that is no text.
    pub attributes: Vec<(&'static str, Option<String>)>,
}

/// A body that is read without what the message said of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Plain<'a> {
    /// One event in structured mode.
    Event(Cow<'a, [u8]>),
    /// A batch of events in structured mode.
    Batch(Cow<'a, [u8]>),
}

/// The body without its compression, and in structured mode where it was in binary mode.
///
/// # Errors
///
/// Why it stays as it is: then there is nothing in it to decide about.
pub fn plain<'a>(body: &'a [u8], carriage: &Carriage) -> Result<Plain<'a>, Rejection> {
    if body.len() > MAX_BODY_BYTES {
        return Err(too_large());
    }
    let body = match carriage.content_encoding.as_deref().map(str::trim) {
        None | Some("") => Cow::Borrowed(body),
        Some(encoding) if encoding.eq_ignore_ascii_case("identity") => Cow::Borrowed(body),
        Some(encoding) if encoding.eq_ignore_ascii_case("gzip") => Cow::Owned(unpacked(body)?),
        Some(_) => return Err(Rejection::malformed("content-encoding", "only gzip is understood")),
    };
    let media_type = carriage.content_type.as_deref().unwrap_or_default();
    let media_type = media_type.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    match media_type.as_str() {
        BATCH => Ok(Plain::Batch(body)),
        STRUCTURED | ANY_MODE => Ok(Plain::Event(body)),
        other if other.starts_with(ANY_MODE) => {
            let expected = format!("must be {STRUCTURED} or {BATCH}");
            Err(Rejection::malformed("content-type", &expected))
        }
        _ if carriage.attributes.is_empty() => Ok(Plain::Event(body)),
        _ => structured(&body, &carriage.attributes).map(Cow::Owned).map(Plain::Event),
    }
}

/// The events of a batch, each as it stands there.
///
/// # Errors
///
/// Where it is no JSON array, or too long a one.
pub fn events(batch: &[u8]) -> Result<Vec<Vec<u8>>, Rejection> {
    let events: Vec<&RawValue> = serde_json::from_slice(without_bom(batch)).map_err(|error| {
        let expected = if error.is_data() { "must be a list of events".to_owned() } else { not_json(&error) };
        Rejection::malformed(if error.is_data() { "$" } else { "body" }, &expected)
    })?;
    if events.len() > MAX_EVENTS {
        let detail = format!("$: a batch of more than {MAX_EVENTS} events");
        return Err(Rejection { reason: DeadLetterReason::TooLarge, detail });
    }
    Ok(events.into_iter().map(|event| event.get().as_bytes().to_vec()).collect())
}

/// The type of an event in structured mode, which must be one of these, and its data.
///
/// # Errors
///
/// A [`Rejection`] with the reason code and the place in the body, as a JSON path from `$`.
pub fn parse_envelope(body: &[u8], types: &[&'static str]) -> Result<(&'static str, Value), Rejection> {
    if body.len() > MAX_BODY_BYTES {
        return Err(too_large());
    }
    let mut body =
        read_strictly(without_bom(body), "$").map_err(|unread| Rejection::unread("body", &unread))?;
    let envelope = Members::of(&body, "$")?;
    if envelope.text("specversion")? != "1.0" {
        return Err(Rejection::malformed("$.specversion", "must be the string \"1.0\""));
    }
    envelope.text("id")?;
    envelope.text("source")?;
    let named = envelope.text("type")?;
    let event_type = types.iter().find(|event_type| **event_type == named).ok_or_else(|| Rejection {
        reason: DeadLetterReason::UnsupportedType,
        detail: format!("$.type: only {} is understood", types.join(" or ")),
    })?;
    if !envelope.optional("datacontenttype").is_none_or(is_json) {
        return Err(envelope.fault("datacontenttype", "must be application/json, as the data is").into());
    }
    Ok((event_type, data_of(&mut body)?))
}

/// Is it the media type of JSON, or of a format that is written in it?
fn is_json(content_type: &Value) -> bool {
    let text = content_type.as_str().unwrap_or_default();
    let media_type = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    media_type.ends_with("/json") || media_type.ends_with("+json")
}

/// Takes the data out of an event, which may be written as base64. Never both: one would be read, and the other meant.
///
/// # Errors
///
/// As [`parse_envelope`].
pub fn data_of(event: &mut Value) -> Result<Value, Rejection> {
    let envelope = Members::of(event, "$")?;
    let Some(encoded) = envelope.optional("data_base64") else {
        envelope.required("data")?;
        return Ok(event["data"].take());
    };
    if envelope.optional("data").is_some() {
        return Err(envelope.fault("data_base64", "stands beside data").into());
    }
    let decoded = encoded.as_str().and_then(|text| STANDARD.decode(text).ok());
    let decoded = decoded.ok_or_else(|| envelope.fault("data_base64", "must be base64"))?;
    read_strictly(without_bom(&decoded), DATA).map_err(|unread| Rejection::unread(DATA, &unread))
}

/// No more of it than a body may have, however much it claims to be.
fn unpacked(body: &[u8]) -> Result<Vec<u8>, Rejection> {
    let limit = u64::try_from(MAX_BODY_BYTES).unwrap_or(u64::MAX);
    let mut unpacked = Vec::new();
    let read = MultiGzDecoder::new(body).take(limit + 1).read_to_end(&mut unpacked);
    read.map_err(|_| Rejection::malformed("body", "not gzip, as its content-encoding says"))?;
    if unpacked.len() > MAX_BODY_BYTES { Err(too_large()) } else { Ok(unpacked) }
}

/// An event in structured mode from its attributes and its data, which stands in it byte for byte.
fn structured(data: &[u8], attributes: &[(&'static str, Option<String>)]) -> Result<Vec<u8>, Rejection> {
    let data = without_bom(data);
    // Whatever is no JSON of its own might end the event before its end, and begin another member.
    read_strictly(data, DATA).map_err(|unread| Rejection::unread(DATA, &unread))?;
    let mut event = b"{".to_vec();
    for (at, (name, value)) in attributes.iter().enumerate() {
        if attributes[..at].iter().any(|(before, _)| before == name) {
            return Err(Rejection::malformed(&format!("$.{name}"), "is there twice"));
        }
        let Some(value) = value else {
            return Err(Rejection::malformed(&format!("$.{name}"), "must be a non-empty string"));
        };
        event.extend(format!("\"{name}\":{},", serde_json::Value::from(value.as_str())).into_bytes());
    }
    event.extend(b"\"data\":");
    event.extend(data);
    event.push(b'}');
    Ok(event)
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;

    use flate2::Compression;
    use flate2::write::GzEncoder;

    use super::*;

    fn carriage(content_type: &str, content_encoding: &str) -> Carriage {
        Carriage {
            content_type: Some(content_type.to_owned()),
            content_encoding: Some(content_encoding.to_owned()),
            attributes: Vec::new(),
        }
    }

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    fn binary<'a>(data: &'a str, attributes: &[(&'static str, &str)]) -> Result<Plain<'a>, Rejection> {
        let attributes = attributes.iter().map(|(name, value)| (*name, Some((*value).to_owned()))).collect();
        plain(data.as_bytes(), &Carriage { attributes, ..carriage("application/json", "") })
    }

    fn detail(rejected: Result<Plain<'_>, Rejection>) -> String {
        rejected.unwrap_err().detail
    }

    #[test]
    fn the_mode_is_told_by_the_content_type_and_then_by_the_attributes() {
        let event = Plain::Event(b"{}".into());
        for content_type in
            ["", "application/json", STRUCTURED, "Application/CloudEvents+JSON; charset=utf-8"]
        {
            assert_eq!(plain(b"{}", &carriage(content_type, "")), Ok(event.clone()), "{content_type}");
        }
        let batch = carriage("application/cloudevents-batch+json; charset=UTF-8", "identity");
        assert_eq!(plain(b"[]", &batch), Ok(Plain::Batch(b"[]".into())));
        let both = Carriage { attributes: vec![("id", Some("x".to_owned()))], ..carriage(STRUCTURED, "") };
        assert_eq!(plain(b"{}", &both), Ok(event), "the body of a structured event is all of it");
        assert!(
            detail(plain(b"{}", &carriage("application/cloudevents+avro", ""))).starts_with("content-type: ")
        );
    }

    #[test]
    fn a_binary_event_becomes_a_structured_one_with_its_data_as_it_stood() {
        let event = binary(" {\"a\": 1.50}", &[("specversion", "1.0"), ("id", "a\"b")]);
        let expected = "{\"specversion\":\"1.0\",\"id\":\"a\\\"b\",\"data\": {\"a\": 1.50}}";
        assert_eq!(event, Ok(Plain::Event(expected.as_bytes().into())));
        assert_eq!(
            detail(binary("{\"objectId\":1,\"objectId\":2}", &[("id", "x")])),
            "$.data.objectId: is there twice"
        );
        assert_eq!(detail(binary("{}", &[("id", "x"), ("id", "x")])), "$.id: is there twice");
    }

    #[test]
    fn data_that_is_no_json_of_its_own_adds_nothing_to_the_event() {
        for data in ["{},\"data\":{}", "1}{", "{}}", "", "{} {}", "1,\"type\":\"t\""] {
            assert!(detail(binary(data, &[("id", "x")])).starts_with("$.data: not JSON"), "{data}");
        }
        let no_text = Carriage { attributes: vec![("id", None)], ..carriage("", "") };
        assert_eq!(detail(plain(b"{}", &no_text)), "$.id: must be a non-empty string");
    }

    #[test]
    fn what_is_compressed_is_unpacked_but_never_beyond_what_a_body_may_have() {
        for encoding in ["gzip", "GZIP", " gzip "] {
            let packed = gzip(b"{}");
            assert_eq!(plain(&packed, &carriage("", encoding)), Ok(Plain::Event(b"{}".into())));
        }
        let whole = vec![b' '; MAX_BODY_BYTES];
        let packed = gzip(&whole);
        assert_eq!(plain(&packed, &carriage("", "gzip")), Ok(Plain::Event(whole.as_slice().into())));
        let bomb = gzip(&vec![b' '; 50 * MAX_BODY_BYTES]);
        assert!(bomb.len() < MAX_BODY_BYTES, "a bomb that goes through the door");
        let rejected = plain(&bomb, &carriage("", "gzip")).unwrap_err();
        assert_eq!(rejected.reason, DeadLetterReason::TooLarge);
        let cut = &gzip(b"{\"a\":1}")[..12];
        for body in [&b"{}"[..], b"", cut] {
            let rejected = plain(body, &carriage("", "gzip")).unwrap_err();
            assert_eq!(
                (rejected.reason, rejected.detail.as_str()),
                (DeadLetterReason::Malformed, "body: not gzip, as its content-encoding says")
            );
        }
        assert!(detail(plain(b"{}", &carriage("", "br"))).starts_with("content-encoding: "));
    }

    #[test]
    fn a_batch_is_cut_into_its_events_and_nothing_of_them_is_read() {
        let all = events(b"\xef\xbb\xbf [ {\"a\":1,\"a\":2} , 7,\"x\" ]\n").unwrap();
        let all: Vec<_> = all.iter().map(|event| std::str::from_utf8(event).unwrap()).collect();
        assert_eq!(all, ["{\"a\":1,\"a\":2}", "7", "\"x\""]);
        assert_eq!(events(b"[]"), Ok(Vec::new()));
        assert_eq!(events(b"{}").unwrap_err().detail, "$: must be a list of events");
        assert!(events(b"[{}").unwrap_err().detail.starts_with("body: not JSON at line 1"));
        assert!(events(b"[{}] 1").unwrap_err().detail.starts_with("body: not JSON at line 1"));
        let many = format!("[{}1]", "1,".repeat(MAX_EVENTS));
        assert_eq!(events(many.as_bytes()).unwrap_err().reason, DeadLetterReason::TooLarge);
    }
}
