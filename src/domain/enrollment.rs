//! The enrollment event: its shape, its identity, and why one is set aside.
//!
//! A body is a CloudEvents 1.0 JSON object in structured mode ([`cloud_event`](super::cloud_event) makes one of the other
//! modes). Members that are not ours are ignored, as CloudEvents asks; a member of ours that is missing or of the wrong
//! type, and any that is there twice, sets the message aside with the place of the fault, never with the value that stood
//! there.

use serde_json::{Value, json};

use super::body_texts::without_bom;
use super::cloud_event::{DATA, data_of, parse_envelope};
use super::criteria::subject::CustomEvent;
use super::members::{FieldError, Members, Unread, one_or_list, read_strictly};
use super::rejection::Rejection;
use super::time::{Time, format_time};
use super::trace::TraceContext;

/// The `type` of its CloudEvent.
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

/// Reads a message body.
///
/// # Errors
///
/// A [`Rejection`] with the reason code and the place in the body, as a JSON path from `$`.
pub fn parse_event(body: &[u8]) -> Result<NewEnrollment, Rejection> {
    let (_, data) = parse_envelope(body, &[EVENT_TYPE])?;
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

/// The account that a body names, whatever else is wrong with it, and that all of its records name; none where it names two.
pub fn account_of(body: &[u8]) -> Option<i64> {
    let body = without_bom(body);
    if let Err(Unread { twice: Some(place), .. }) = read_strictly(body, "$")
        && [DATA, "$.data_base64", "$.data.accountId", "$.data.portalId"].contains(&place.as_str())
    {
        return None;
    }
    let mut body: Value = serde_json::from_slice(body).ok()?;
    let data = data_of(&mut body).ok()?;
    let mut accounts = one_or_list(&data).iter().map(|item| account_id(&Members::of(item, DATA).ok()?).ok());
    let first = accounts.next()??;
    accounts.all(|account_id| account_id == Some(first)).then_some(first)
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
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;

    use super::*;
    use crate::domain::rejection::{DeadLetterReason, MAX_BODY_BYTES};

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
