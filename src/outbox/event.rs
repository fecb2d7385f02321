//! A message of the outbox as the CloudEvent it leaves as. Pure.

use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::domain::time::format_time;
use crate::domain::trace::TraceContext;
use crate::ports::Event;
use crate::store::outbox::Message;

/// Who says so: with the id it names one event among all there are.
const SOURCE: &str = "/contact-reaper";

/// The event: its id is made of the message's own, so that it is the same however often it is sent.
pub fn cloud_event(message: &Message) -> Event {
    let id = format!("{}-{}", message.account_id, message.message_id);
    // We wrote it as JSON. Were it not, it would leave as a text rather than hold up all that waits behind it.
    let (trace, data) =
        match (serde_json::from_str::<TraceAndRecord>(&message.data), serde_json::from_str(&message.data)) {
            (Ok(TraceAndRecord { traceparent: None, .. }), Ok(json)) => (None, Data::Json(json)),
            (Ok(TraceAndRecord { traceparent: Some(trace), .. }), _) => {
                (TraceContext::parse(&trace), Data::Other(without_trace(&message.data)))
            }
            _ => (None, Data::Other(Value::String(message.data.clone()))),
        };
    let body = CloudEvent {
        specversion: "1.0",
        id: &id,
        source: SOURCE,
        r#type: &message.kind,
        time: format_time(message.created_at),
        datacontenttype: "application/json",
        data,
        traceparent: trace.map(|trace| trace.to_string()),
    };
    let body = serde_json::to_vec(&body).unwrap_or_default();
    Event { id, kind: message.kind.clone(), body, trace }
}

/// It came in among the data, and is none.
fn without_trace(data: &str) -> Value {
    let mut data: Value = serde_json::from_str(data).unwrap_or_default();
    data.as_object_mut().and_then(|data| data.remove("traceparent"));
    data
}

#[derive(Serialize)]
struct CloudEvent<'a> {
    specversion: &'static str,
    id: &'a str,
    source: &'static str,
    r#type: &'a str,
    time: String,
    datacontenttype: &'static str,
    data: Data<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    traceparent: Option<String>,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Data<'a> {
    Json(&'a RawValue),
    Other(Value),
}

/// What is looked for in the data.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct TraceAndRecord {
    contact_id: Option<String>,
    object_type_id: Option<String>,
    object_id: Option<String>,
    traceparent: Option<String>,
}

/// The contact or other record that a message is about, within its account; `None` where it is about no single one.
pub fn record_of(message: &Message) -> Option<String> {
    let TraceAndRecord { contact_id, object_type_id, object_id, .. } =
        serde_json::from_str(&message.data).ok()?;
    contact_id.or_else(|| Some(format!("{}:{}", object_type_id?, object_id?)))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::time::parse_time;

    fn message(data: &str) -> Message {
        Message {
            account_id: 7,
            message_id: 42,
            kind: "contact.deletion".to_owned(),
            data: data.to_owned(),
            created_at: parse_time("2026-11-21T10:00:00.5Z").unwrap(),
        }
    }

    #[test]
    fn it_is_a_cloud_event_with_a_stable_id() {
        let event = cloud_event(&message(r#"{"accountId":"7","contactId":"512"}"#));
        assert_eq!((event.id.as_str(), event.kind.as_str()), ("7-42", "contact.deletion"));
        let body: Value = serde_json::from_slice(&event.body).unwrap();
        assert_eq!(
            body,
            json!({"specversion": "1.0", "id": "7-42", "source": "/contact-reaper", "type": "contact.deletion",
                "time": "2026-11-21T10:00:00.500000Z", "datacontenttype": "application/json",
                "data": {"accountId": "7", "contactId": "512"}})
        );
    }

    #[test]
    fn contact_id_is_extracted_from_the_event_data() {
        assert_eq!(record_of(&message(r#"{"contactId":"512"}"#)).as_deref(), Some("512"));
        let record = r#"{"objectTypeId":"0-3","objectId":"30"}"#;
        assert_eq!(record_of(&message(record)).as_deref(), Some("0-3:30"));
        assert_eq!(record_of(&message(r#"{"workflowId":"5"}"#)), None);
        assert_eq!(record_of(&message("no JSON")), None);
    }
}
