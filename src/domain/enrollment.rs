//! The enrollment event: its shape, its identity, and why one is set aside.
//!
//! A body is a CloudEvents 1.0 JSON object in structured mode ([`cloud_event`](super::cloud_event) makes one of the other
//! modes). Members that are not ours are ignored, as CloudEvents asks; a member of ours that is missing or of the wrong
//! type, and any that is there twice, sets the message aside with the place of the fault, never with the value that stood
//! there.

use std::borrow::Cow;
use std::collections::BTreeSet;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use super::body_texts::texts_of;
use super::cloud_event::{not_json, without_bom};
use super::criteria::subject::CustomEvent;
use super::members::{FieldError, Members, Unread, read_strictly};
use super::time::{Time, format_time};
use super::trace::TraceContext;

/// A longer body is set aside unread.
pub const MAX_BODY_BYTES: usize = 256 * 1024;

/// The only `type` of CloudEvent that is understood.
pub const EVENT_TYPE: &str = "workflow.enrollment.created";

/// The idempotency key: whoever repeats it repeats a decision already made. Never the message id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct EnrollmentKey {
    pub account_id: i64,
    pub enrollment_id: i64,
    pub action_id: i64,
}

/// Why the workflow engine enrolled the contact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// It met the enrollment criteria.
    Criteria,
    /// An event happened to it.
    Event,
    /// It met a re-enrollment trigger.
    ReEnrollment,
    /// A person enrolled it: the criteria are not asked, every other rule holds.
    Manual,
}

impl Cause {
    /// As it stands in the event.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Criteria => "CRITERIA",
            Self::Event => "EVENT",
            Self::ReEnrollment => "RE_ENROLLMENT",
            Self::Manual => "MANUAL",
        }
    }

    /// What [`Cause::as_str`] wrote.
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Criteria, Self::Event, Self::ReEnrollment, Self::Manual]
            .into_iter()
            .find(|cause| cause.as_str() == text)
    }
}

/// A well-formed event, not yet decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewEnrollment {
    pub key: EnrollmentKey,
    pub workflow_id: i64,
    /// `0-1` is a contact; anything else is refused later, not here.
    pub object_type_id: String,
    pub object_id: i64,
    pub enrolled_at: Time,
    pub cause: Cause,
    /// What happened, where the cause is an event; `None` there: it was forgotten while the enrollment waited.
    pub event: Option<CustomEvent>,
    /// The trace that its message belongs to; nothing is decided by it.
    pub trace: Option<TraceContext>,
}

impl NewEnrollment {
    /// Same key, same deed? If not, the repetition is a conflict.
    pub fn repeats(&self, identity: &Identity) -> bool {
        self.identity() == *identity
    }

    /// What a repetition must agree with.
    pub fn identity(&self) -> Identity {
        Identity {
            workflow_id: self.workflow_id,
            object_type_id: self.object_type_id.clone(),
            object_id: self.object_id,
        }
    }
}

/// An event as text, for an enrollment that waits.
pub fn write_event(event: &CustomEvent) -> String {
    let mut written = json!({"eventTypeId": event.event_type, "occurredAt": format_time(event.at),
        "properties": event.record.properties});
    if event.record.is_partial {
        written[PARTIAL] = true.into();
    }
    written.to_string()
}

/// What [`write_event`] wrote; `None` where it is no event any more.
pub fn read_event(text: &str) -> Option<CustomEvent> {
    let written: Value = serde_json::from_str(text).ok()?;
    let mut event = occurrence(&Members::of(&written, "$").ok()?).ok()?;
    event.record.is_partial = written[PARTIAL] == true;
    Some(event)
}

/// Says of a written event that not all of its properties were written.
const PARTIAL: &str = "isPartial";

/// The part of an enrollment that its key stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    pub workflow_id: i64,
    pub object_type_id: String,
    pub object_id: i64,
}

/// Why a message went to the dead letters; the text form is public surface.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DeadLetterReason {
    /// Not JSON, a member missing, of the wrong type or out of range.
    Malformed,
    /// A CloudEvent of another type.
    UnsupportedType,
    /// Over [`MAX_BODY_BYTES`].
    TooLarge,
    /// The key of an earlier decision with another object or workflow.
    ConflictingDuplicate,
    /// The one event of a batch that the store cannot take.
    Poison,
    /// It was put off as often as there are rungs, and something was in its way each time.
    RetriesExhausted,
    /// The broker moved it: it was delivered as often as its queue allows, and never acknowledged.
    DeliveryLimit,
}

impl DeadLetterReason {
    /// Every reason, for counters that are born at zero.
    pub const ALL: [Self; 7] = [
        Self::Malformed,
        Self::UnsupportedType,
        Self::TooLarge,
        Self::ConflictingDuplicate,
        Self::Poison,
        Self::RetriesExhausted,
        Self::DeliveryLimit,
    ];

    /// As it stands in lists and in the metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::UnsupportedType => "unsupported_type",
            Self::TooLarge => "too_large",
            Self::ConflictingDuplicate => "conflicting_duplicate",
            Self::Poison => "poison",
            Self::RetriesExhausted => "retries_exhausted",
            Self::DeliveryLimit => "delivery_limit",
        }
    }

    /// What [`DeadLetterReason::as_str`] wrote.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|reason| reason.as_str() == text)
    }
}

/// A message that cannot be decided.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rejection {
    pub reason: DeadLetterReason,
    /// Place and type of the fault, never a value: dead letters are read by operators.
    pub detail: String,
}

impl Rejection {
    /// A body whose member at `place` is not what it must be.
    pub fn malformed(place: &str, expected: &str) -> Self {
        Self { reason: DeadLetterReason::Malformed, detail: format!("{place}: {expected}") }
    }
}

impl From<FieldError> for Rejection {
    fn from(fault: FieldError) -> Self {
        Self::malformed(&fault.place, &fault.expected)
    }
}

impl Rejection {
    /// What was read at `place` is no JSON, or has a member twice.
    pub fn unread(place: &str, unread: &Unread) -> Self {
        match &unread.twice {
            Some(member) => Self::malformed(member, "is there twice"),
            None => Self::malformed(place, &not_json(&unread.error)),
        }
    }
}

/// Why a body over [`MAX_BODY_BYTES`] is set aside.
pub fn too_large() -> Rejection {
    Rejection {
        reason: DeadLetterReason::TooLarge,
        detail: format!("body: over the limit of {MAX_BODY_BYTES} bytes"),
    }
}

/// Blanks the last word of a body that was cut, and keeps the length, which says that the body was too long. The word may be the
/// first half of an address, which an erasure would not recognise.
pub fn blank_last_word(body: &mut [u8]) {
    /// No address is longer (RFC 5321).
    const LONGEST_ADDRESS: usize = 320;
    let tail = body.len().saturating_sub(LONGEST_ADDRESS);
    let is_separator = |byte: &u8| byte.is_ascii_whitespace() || b"\"',;<>".contains(byte);
    let word = body[tail..].iter().rposition(is_separator).map_or(tail, |end| tail + end + 1);
    body[word..].fill(b' ');
}

/// What is kept of a body: all of it, or the beginning of one that is too long to be decided.
pub fn kept(body: &[u8]) -> Cow<'_, [u8]> {
    if !is_kept_whole(body) {
        let mut beginning = body[..=MAX_BODY_BYTES].to_vec();
        blank_last_word(&mut beginning);
        return beginning.into();
    }
    body.into()
}

/// Is a body short enough to be kept whole? One byte over the limit says that it was too long.
pub fn is_kept_whole(body: &[u8]) -> bool {
    body.len() <= MAX_BODY_BYTES + 1
}

/// Reads a message body.
///
/// # Errors
///
/// A [`Rejection`] with the reason code and the place in the body, as a JSON path from `$`.
pub fn parse_event(body: &[u8]) -> Result<NewEnrollment, Rejection> {
    if body.len() > MAX_BODY_BYTES {
        return Err(too_large());
    }
    let body = read_strictly(without_bom(body), "$").map_err(|unread| Rejection::unread("body", &unread))?;
    let envelope = Members::of(&body, "$")?;
    if envelope.text("specversion")? != "1.0" {
        return Err(Rejection::malformed("$.specversion", "must be the string \"1.0\""));
    }
    envelope.text("id")?;
    envelope.text("source")?;
    if envelope.text("type")? != EVENT_TYPE {
        return Err(Rejection {
            reason: DeadLetterReason::UnsupportedType,
            detail: format!("$.type: only {EVENT_TYPE} is understood"),
        });
    }
    if !envelope.optional("datacontenttype").is_none_or(is_json) {
        return Err(envelope.fault("datacontenttype", "must be application/json, as the data is").into());
    }
    let data = data_of(&envelope)?;
    let data = Members::of(&data, DATA)?;
    let cause = Cause::parse(data.text("cause")?).ok_or_else(|| {
        Rejection::malformed("$.data.cause", "must be CRITERIA, EVENT, RE_ENROLLMENT or MANUAL")
    })?;
    let event = if cause == Cause::Event { Some(occurrence(&data.object("event")?)?) } else { None };
    Ok(NewEnrollment {
        key: EnrollmentKey {
            account_id: account_id(&data)?,
            enrollment_id: data.id("enrollmentId")?,
            action_id: data.id("actionId")?,
        },
        workflow_id: data.id("workflowId")?,
        object_type_id: object_type_id(&data)?,
        object_id: data.id("objectId")?,
        enrolled_at: data.time("enrolledAt")?,
        cause,
        event,
        trace: None,
    })
}

/// Is it the media type of JSON, or of a format that is written in it?
fn is_json(content_type: &Value) -> bool {
    let text = content_type.as_str().unwrap_or_default();
    let media_type = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    media_type.ends_with("/json") || media_type.ends_with("+json")
}

/// Where the data stands, as a place.
const DATA: &str = "$.data";

/// The data of an event, which may be written as base64. Never both: one would be read, and the other meant.
fn data_of<'a>(envelope: &Members<'a>) -> Result<Cow<'a, Value>, Rejection> {
    let Some(encoded) = envelope.optional("data_base64") else {
        return Ok(Cow::Borrowed(envelope.required("data")?));
    };
    if envelope.optional("data").is_some() {
        return Err(envelope.fault("data_base64", "stands beside data").into());
    }
    let decoded = encoded.as_str().and_then(|text| STANDARD.decode(text).ok());
    let decoded = decoded.ok_or_else(|| envelope.fault("data_base64", "must be base64"))?;
    let data = read_strictly(without_bom(&decoded), DATA);
    data.map(Cow::Owned).map_err(|unread| Rejection::unread(DATA, &unread))
}

/// The account that a body names, whatever else is wrong with it; none where it names two.
pub fn account_of(body: &[u8]) -> Option<i64> {
    let body = without_bom(body);
    if let Err(Unread { twice: Some(place), .. }) = read_strictly(body, "$")
        && [DATA, "$.data_base64", "$.data.accountId", "$.data.portalId"].contains(&place.as_str())
    {
        return None;
    }
    let body: Value = serde_json::from_slice(body).ok()?;
    let data = data_of(&Members::of(&body, "$").ok()?).ok()?;
    account_id(&Members::of(&data, DATA).ok()?).ok()
}

/// The ids that a text gives to members of one of these names, at whatever depth and however much is wrong with it.
fn ids_in(text: &str, names: &[&str]) -> BTreeSet<i64> {
    let id = |value: &str| {
        let value = value.trim_start_matches('0');
        let digits = value.find(|it: char| !it.is_ascii_digit()).map_or(value, |end| &value[..end]);
        digits.parse::<i64>().ok()
    };
    names.iter().flat_map(|name| values_in(text, name)).filter_map(id).collect()
}

/// What follows in a text after the members of a name: each a value and the rest of the text.
fn values_in<'a>(text: &'a str, name: &'a str) -> impl Iterator<Item = &'a str> {
    const BETWEEN: [char; 6] = ['"', '\\', ' ', '\t', '\r', '\n'];
    let value = move |(at, _): (usize, &str)| {
        let rest = text[at + name.len()..].trim_start_matches(BETWEEN).strip_prefix(':')?;
        Some(rest.trim_start_matches(BETWEEN))
    };
    text.match_indices(name).filter_map(value)
}

/// Whom a body that may be no event at all is about.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// Empty where it names none.
    pub accounts: BTreeSet<i64>,
    /// Several in a batch.
    pub contacts: BTreeSet<i64>,
}

/// Whom texts are about, by the ids in them: those of contacts, and of objects where no other type than that of contacts is named.
pub fn about(texts: &[String]) -> About {
    let ids = |names: &[&str]| texts.iter().flat_map(|text| ids_in(text, names)).collect::<BTreeSet<i64>>();
    let mut contacts = ids(&["contactId"]);
    let may_be_of_contact = |text: &&String| {
        let mut types = values_in(text, "objectTypeId").peekable();
        let is_contact = |value: &str| {
            let rest =
                value.strip_prefix("0-1").filter(|rest| !rest.starts_with(|it: char| it.is_ascii_digit()));
            rest.is_some()
        };
        types.peek().is_none() || types.any(is_contact)
    };
    contacts.extend(texts.iter().filter(may_be_of_contact).flat_map(|text| ids_in(text, &["objectId"])));
    About { accounts: ids(&["accountId", "portalId"]), contacts }
}

/// A batch without the events about a contact. `None`: nothing is left, or it is no batch.
pub fn without_contact(batch: &[u8], account_id: i64, contact_id: i64) -> Option<Vec<u8>> {
    let mut events: Vec<&RawValue> = serde_json::from_slice(without_bom(batch)).ok()?;
    events.retain(|event| {
        let About { accounts, contacts } = about(&texts_of(event.get().as_bytes()));
        !contacts.contains(&contact_id) || !(accounts.is_empty() || accounts.contains(&account_id))
    });
    if events.is_empty() { None } else { serde_json::to_vec(&events).ok() }
}

/// The event that enrolled the contact.
fn occurrence(event: &Members<'_>) -> Result<CustomEvent, FieldError> {
    let (event_type, properties) = (event.text("eventTypeId")?.to_owned(), event.object("properties")?);
    Ok(CustomEvent::told(event_type, event.time("occurredAt")?, properties.iter()))
}

/// The vendor's are as short as `0-1` and `2-12345678`: the ledger keeps it, and is no place for a text.
fn object_type_id(data: &Members<'_>) -> Result<String, FieldError> {
    let text = data.text("objectTypeId")?;
    let short =
        text.len() <= 40 && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte));
    if short { Ok(text.to_owned()) } else { Err(data.fault("objectTypeId", "must be an id such as 0-1")) }
}

/// `accountId`, or `portalId` as the vendor's API says; both only where they agree.
fn account_id(data: &Members<'_>) -> Result<i64, FieldError> {
    match (data.optional("accountId"), data.optional("portalId")) {
        (Some(_), Some(_)) if data.id("accountId")? != data.id("portalId")? => {
            Err(data.fault("portalId", "differs from accountId"))
        }
        (None, Some(_)) => data.id("portalId"),
        _ => data.id("accountId"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event() -> Value {
        json!({"specversion": "1.0", "id": "m-1", "source": "/engine", "type": EVENT_TYPE,
            "data": {"accountId": "1", "workflowId": "5", "actionId": "2", "enrollmentId": "9001",
                "objectTypeId": "0-1", "objectId": "512", "enrolledAt": "2026-11-21T10:00:00Z",
                "cause": "CRITERIA"}})
    }

    fn parse(value: &Value) -> Result<NewEnrollment, Rejection> {
        parse_event(value.to_string().as_bytes())
    }

    #[test]
    fn body_is_about_contacts_and_not_about_objects_of_other_types() {
        let contacts = |text: &str| about(&[text.to_owned()]).contacts;
        assert_eq!(contacts(r#"{"objectTypeId":"0-1","objectId":"12"}"#), [12].into());
        assert_eq!(contacts(r#"{"objectId":" 012""#), [12].into(), "no type is named");
        assert_eq!(contacts(r#"{\"contactId\": 11, \"note\": 12}"#), [11].into());
        for other in ["0-2", "2-123", "0-18224765", "0-11"] {
            let text = format!(r#"{{"objectTypeId":"{other}","objectId":"12"}}"#);
            assert_eq!(contacts(&text), BTreeSet::new(), "{other}");
        }
        let both = r#"[{"objectTypeId":"0-2","objectId":"12"},{"objectTypeId":"0-1","objectId":"13"}]"#;
        assert_eq!(contacts(both), [12, 13].into(), "of a batch nobody looks which is which");
    }

    #[test]
    fn data_of_another_type_than_json_is_not_read() {
        let typed = |content_type: Value| {
            let mut event = event();
            event["datacontenttype"] = content_type;
            parse(&event).map_err(|rejection| rejection.detail)
        };
        for json in [
            "application/json",
            "Application/JSON; charset=utf-8",
            "text/json",
            "application/cloudevents+json",
        ] {
            assert!(typed(json.into()).is_ok(), "{json}");
        }
        for other in
            [json!("application/xml"), json!("json"), json!(""), json!(5), json!(["application/json"])]
        {
            let detail = typed(other).unwrap_err();
            assert!(detail.starts_with("$.datacontenttype: must be application/json"), "{detail}");
        }
    }

    #[test]
    fn a_well_formed_event_is_read() {
        let enrollment = parse(&event()).unwrap();
        assert_eq!(enrollment.key, EnrollmentKey { account_id: 1, enrollment_id: 9001, action_id: 2 });
        assert_eq!((enrollment.workflow_id, enrollment.object_id), (5, 512));
        assert_eq!(enrollment.cause, Cause::Criteria);
    }

    #[test]
    fn integers_portal_id_and_unknown_members_are_accepted() {
        let mut value = event();
        value["extension"] = json!(true);
        let data = value["data"].as_object_mut().unwrap();
        data.remove("accountId");
        data.insert("portalId".into(), json!(7));
        data.insert("objectId".into(), json!(9_223_372_036_854_775_807_i64));
        let enrollment = parse(&value).unwrap();
        assert_eq!((enrollment.key.account_id, enrollment.object_id), (7, i64::MAX));
    }

    #[test]
    fn each_fault_names_its_place_and_never_the_value() {
        let faults = [
            ("/specversion", json!("0.3"), "$.specversion"),
            ("/id", json!(""), "$.id"),
            ("/source", Value::Null, "$.source"),
            ("/data", json!("secret"), "$.data"),
            ("/data/accountId", json!("secret"), "$.data.accountId"),
            ("/data/workflowId", json!(-1), "$.data.workflowId"),
            ("/data/actionId", json!(1.5), "$.data.actionId"),
            ("/data/enrollmentId", json!("0"), "$.data.enrollmentId"),
            ("/data/objectId", json!("9223372036854775808"), "$.data.objectId"),
            ("/data/objectTypeId", json!("0-1\u{0}"), "$.data.objectTypeId"),
            ("/data/enrolledAt", json!("secret"), "$.data.enrolledAt"),
            ("/data/cause", json!("secret"), "$.data.cause"),
            ("/data/cause", json!("EVENT"), "$.data.event"),
        ];
        for (pointer, fault, place) in faults {
            let mut value = event();
            *value.pointer_mut(pointer).unwrap() = fault;
            let rejection = parse(&value).unwrap_err();
            assert_eq!(rejection.reason, DeadLetterReason::Malformed, "{pointer}");
            assert!(rejection.detail.starts_with(&format!("{place}: ")), "{}", rejection.detail);
            assert!(!rejection.detail.contains("secret"), "{}", rejection.detail);
        }
    }

    /// A member that stands twice: in each place that is read and in one that is not, spelt with an escape, with the same
    /// value twice, and null before it.
    #[test]
    fn a_member_that_is_there_twice_is_malformed_wherever_it_stands() {
        let text = event().to_string();
        let with = |from: &str, to: &str| {
            assert!(text.contains(from), "{from}");
            text.replace(from, to)
        };
        let twice = [
            (with("\"objectId\":", "\"objectId\":\"301\",\"objectId\":"), "$.data.objectId"),
            (with("\"objectId\":", "\"objectId\":\"512\",\"objectId\":"), "$.data.objectId"),
            (with("\"objectId\":", "\"objectI\\u0064\":\"301\",\"objectId\":"), "$.data.objectId"),
            (with("\"objectId\":", "\"objectId\":null,\"objectId\":"), "$.data.objectId"),
            (with("\"accountId\":", "\"accountId\":2,\"accountId\":"), "$.data.accountId"),
            (with("\"cause\":", "\"cause\":\"MANUAL\",\"cause\":"), "$.data.cause"),
            (with("\"data\":", "\"data\":{},\"data\":"), "$.data"),
            (with("\"type\":", "\"type\":\"x\",\"type\":"), "$.type"),
            (with("\"id\":", "\"x\":1,\"x\":2,\"id\":"), "$.x"),
            (with("\"id\":", "\"x\":[{},{\"y\":{\"z\":1,\"z\":1}}],\"id\":"), "$.x[1].y.z"),
            (
                with("\"cause\":", "\"event\":{\"properties\":{\"a\":1,\"a\":1}},\"cause\":"),
                "$.data.event.properties.a",
            ),
            (with("\"cause\":", "\"ada@x.example\":1,\"ada@x.example\":1,\"cause\":"), "$.data.*"),
        ];
        for (text, place) in twice {
            let rejection = parse_event(text.as_bytes()).unwrap_err();
            assert_eq!(rejection.reason, DeadLetterReason::Malformed, "{text}");
            assert_eq!(rejection.detail, format!("{place}: is there twice"), "{text}");
        }
    }

    #[test]
    fn data_is_read_as_base64_but_never_beside_other_data() {
        let mut value = event();
        let data = value.as_object_mut().unwrap().remove("data").unwrap();
        let data_base64 = |text: &str| json!(STANDARD.encode(text));
        value["data_base64"] = data_base64(&format!("\u{feff}{data}"));
        assert_eq!(parse(&value), parse(&event()));
        assert_eq!(account_of(value.to_string().as_bytes()), Some(1));
        let details = [
            (data_base64("{\"objectId\":1,\"objectId\":2}"), "$.data.objectId: is there twice"),
            (data_base64("{}"), "$.data.cause: missing"),
            (data_base64("[]"), "$.data: must be an object"),
            (data_base64("{"), "$.data: not JSON at line 1 column 1"),
            (json!("{}"), "$.data_base64: must be base64"),
            (json!({}), "$.data_base64: must be base64"),
        ];
        for (encoded, detail) in details {
            value["data_base64"] = encoded;
            assert_eq!(parse(&value).unwrap_err().detail, detail);
        }
        value["data_base64"] = data_base64(&data.to_string());
        value["data"] = data;
        assert_eq!(parse(&value).unwrap_err().detail, "$.data_base64: stands beside data");
    }

    #[test]
    fn a_mark_before_the_event_is_read_over() {
        let marked = format!("\u{feff}{}", event());
        assert_eq!(parse_event(marked.as_bytes()), parse(&event()));
        assert!(parse_event(format!("\u{feff}{marked}").as_bytes()).is_err(), "one is enough");
    }

    #[test]
    fn of_two_accounts_none_is_named() {
        let text = event().to_string();
        let twice = |member: &str, before: &str| text.replace(member, &format!("{before},{member}"));
        assert_eq!(account_of(text.as_bytes()), Some(1));
        assert_eq!(account_of(twice("\"objectId\"", "\"objectId\":7").as_bytes()), Some(1));
        assert_eq!(account_of(twice("\"accountId\"", "\"accountId\":2").as_bytes()), None);
        assert_eq!(account_of(twice("\"data\"", "\"data\":{\"accountId\":2}").as_bytes()), None);
    }

    #[test]
    fn an_event_that_waits_is_read_as_it_was_written() {
        let mut value = event();
        value["data"]["cause"] = json!("EVENT");
        value["data"]["event"] = json!({"eventTypeId": "6-1", "occurredAt": "2026-11-21T09:00:00.5Z",
            "properties": {"plan": "gold", "seats": 3, "nul": "\u{0}"}});
        let event = parse(&value).unwrap().event.unwrap();
        assert_eq!(read_event(&write_event(&event)), Some(event));
        assert_eq!(read_event("[redacted]"), None);
    }

    #[test]
    fn an_account_named_twice_must_agree() {
        let mut value = event();
        value["data"]["portalId"] = json!("1");
        assert!(parse(&value).is_ok());
        value["data"]["portalId"] = json!("2");
        assert_eq!(parse(&value).unwrap_err().detail, "$.data.portalId: differs from accountId");
    }

    #[test]
    fn other_types_long_bodies_and_noise_have_reasons_of_their_own() {
        let mut value = event();
        value["type"] = json!("workflow.enrollment.completed");
        assert_eq!(parse(&value).unwrap_err().reason, DeadLetterReason::UnsupportedType);
        let long = vec![b' '; MAX_BODY_BYTES + 1];
        assert_eq!(parse_event(&long).unwrap_err().reason, DeadLetterReason::TooLarge);
        for noise in [&b"\xff\xfe"[..], b"", b"[]", b"{", b"null"] {
            assert_eq!(parse_event(noise).unwrap_err().reason, DeadLetterReason::Malformed);
        }
    }
}
