//! The events of the records queue: records of an import that come one by one, or some at a time.

use serde_json::{Value, json};

use super::cloud_event::{DATA, parse_envelope};
use super::members::FieldError;
use super::record::{Record, THE_LINE, record_of};
use super::rejection::Rejection;

/// The `type` of events whose records are written.
pub const UPSERTED: &str = "record.upserted";
/// The `type` of events whose records are removed, each known by its key.
pub const REMOVED: &str = "record.removed";

/// The kind of an import's record that says what to remove.
const REMOVE: &str = "remove";

/// Reads a message body: its data is a record, or a list of records.
///
/// # Errors
///
/// A [`Rejection`] with the reason code and the place in the body, as a JSON path from `$`.
pub fn parse_records(body: &[u8]) -> Result<Vec<Record>, Rejection> {
    let (event_type, data) = parse_envelope(body, &[UPSERTED, REMOVED])?;
    let read = |value, place: &str| record(event_type, value).map_err(|fault| at(place, &fault));
    match data {
        Value::Array(items) => {
            items.into_iter().enumerate().map(|(index, item)| read(item, &place_of(Some(index)))).collect()
        }
        one => read(one, DATA).map(|record| vec![record]),
    }
}

/// The place of a record in a body; `index` where the data is a list.
pub fn place_of(index: Option<usize>) -> String {
    index.map_or_else(|| DATA.to_owned(), |index| format!("{DATA}[{index}]"))
}

fn record(event_type: &str, mut value: Value) -> Result<Record, FieldError> {
    let is_removal = value.get("kind").is_some_and(|kind| kind == REMOVE);
    if event_type == UPSERTED && is_removal {
        let expected = format!("must not be {REMOVE}: an event of the type {REMOVED} removes");
        return Err(FieldError { place: "kind".to_owned(), expected });
    }
    if event_type == REMOVED
        && !is_removal
        && let Some(members) = value.as_object_mut()
        && let Some(kind) = members.insert("kind".to_owned(), json!(REMOVE))
    {
        members.insert("of".to_owned(), kind);
    }
    record_of(&value)
}

/// A fault of a record, within the body.
fn at(place: &str, FieldError { place: within, expected }: &FieldError) -> Rejection {
    let place = if within == THE_LINE { place.to_owned() } else { format!("{place}.{within}") };
    Rejection::malformed(&place, expected)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::record::Action;
    use crate::domain::rejection::DeadLetterReason;

    fn parse(event_type: &str, data: &Value) -> Result<Vec<Record>, Rejection> {
        let event =
            json!({"specversion": "1.0", "id": "m-1", "source": "/crm", "type": event_type, "data": data});
        parse_records(event.to_string().as_bytes())
    }

    #[test]
    fn data_is_a_record_or_a_list_of_records() {
        let company = json!({"kind": "company", "accountId": "1", "id": "5", "properties": {}});
        let segment = json!({"kind": "segment", "accountId": "1", "id": "4", "name": "S", "processingType": "MANUAL",
            "members": ["9", 7]});
        assert_eq!(parse(UPSERTED, &company).unwrap().len(), 1);
        let both = parse(UPSERTED, &json!([company, segment])).unwrap();
        let kinds: Vec<&str> = both.iter().map(|record| record.kind.name).collect();
        assert_eq!((kinds, both[1].members.as_slice()), (vec!["company", "segment"], &[7, 9][..]));
        assert!(parse(UPSERTED, &json!([])).unwrap().is_empty());
    }

    #[test]
    fn a_removal_is_told_by_the_type_of_the_event() {
        let key = json!({"kind": "association", "accountId": "1", "from": {"type": "contact", "id": "1"},
            "to": {"type": "deal", "id": "2"}});
        let mut as_in_a_file = key.clone();
        as_in_a_file["kind"] = json!("remove");
        as_in_a_file["of"] = json!("association");
        for data in [&key, &as_in_a_file] {
            let removed = parse(REMOVED, data).unwrap();
            assert_eq!((removed[0].action, removed[0].kind.name), (Action::Remove, "association"));
        }
        let detail = parse(UPSERTED, &as_in_a_file).unwrap_err().detail;
        assert!(detail.starts_with("$.data.kind: must not be remove"), "{detail}");
        let contact = json!({"kind": "contact", "accountId": "1", "id": "5"});
        let detail = parse(REMOVED, &contact).unwrap_err().detail;
        assert!(detail.starts_with("$.data.of: must not be a contact"), "{detail}");
    }

    #[test]
    fn each_fault_names_its_place_and_never_the_value() {
        let good = json!({"kind": "company", "accountId": "1", "id": "5", "properties": {}});
        for (data, place) in [
            (json!({"kind": "company", "accountId": "1", "id": "secret"}), "$.data.id: "),
            (json!([good, {"kind": "secret", "accountId": "1"}]), "$.data[1].kind: "),
            (json!([good, "secret"]), "$.data[1]: must be a JSON object"),
            (json!("secret"), "$.data: must be a JSON object"),
            (
                json!([good, {"kind": "account", "id": "1", "name": "secret\u{0}"}]),
                "$.data[1]: must not contain",
            ),
        ] {
            let rejection = parse(UPSERTED, &data).unwrap_err();
            assert_eq!(rejection.reason, DeadLetterReason::Malformed);
            assert!(rejection.detail.starts_with(place), "{}", rejection.detail);
            assert!(!rejection.detail.contains("secret"), "{}", rejection.detail);
        }
        let unsupported = parse("record.changed", &good).unwrap_err();
        assert_eq!(unsupported.reason, DeadLetterReason::UnsupportedType);
        assert_eq!(unsupported.detail, "$.type: only record.upserted or record.removed is understood");
    }
}
