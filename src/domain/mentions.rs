//! Whom a body mentions that may be no event at all.

use std::collections::BTreeSet;

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::body_texts::{texts_of, without_bom};
use super::members::one_or_list;
use super::record::is_kind;
use super::workflow::CONTACT_TYPE;

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
    contacts.extend(texts.iter().flat_map(|text| contacts_of_records(text)));
    About { accounts: ids(&["accountId", "portalId"]), contacts }
}

/// The contacts that records of an import are of: the record of a contact itself, and those with which another one is associated. What
/// is wrong with a record may be its kind or its id: one of no kind that is known may be a contact's, and so may any id of a text
/// that is no JSON.
fn contacts_of_records(text: &str) -> BTreeSet<i64> {
    let mut contacts = BTreeSet::new();
    match serde_json::from_str::<Value>(text) {
        Ok(value) => add_contacts(&value, &mut contacts),
        Err(_) if text.contains("record.") || values_in(text, "kind").any(is_contact) => {
            contacts = ids_in(text, &["id"]);
        }
        Err(_) => {}
    }
    contacts
}

/// May a text name the type of contacts?
fn is_contact(text: &str) -> bool {
    let text = text.trim_start().to_lowercase();
    text.starts_with("contact") || text.trim_end() == CONTACT_TYPE
}

/// May a record be of a contact?
fn may_be_contact(record: &Map<String, Value>) -> bool {
    let text = |name: &str| record.get(name).and_then(Value::as_str);
    match text("kind") {
        Some("object") => text("objectTypeId").is_none_or(is_contact),
        Some(kind) => is_contact(kind) || !is_kind(kind),
        None => true,
    }
}

/// An id, in whatever way it is written wrongly.
fn lenient_id(value: &Value) -> Option<i64> {
    let text = value.as_str().map_or_else(|| value.to_string(), str::to_owned);
    ids_in(&format!("id:{text}"), &["id"]).into_iter().next()
}

fn add_contacts(value: &Value, contacts: &mut BTreeSet<i64>) {
    match value {
        Value::Array(items) => items.iter().for_each(|item| add_contacts(item, contacts)),
        Value::Object(members) => {
            let text = |name: &str| members.get(name).and_then(Value::as_str);
            if [text("kind"), text("type")].into_iter().flatten().any(is_contact) {
                contacts.extend(members.get("id").and_then(lenient_id));
            }
            if text("type").is_some_and(|event_type| event_type.starts_with("record.")) {
                let data = members.get("data").map_or(&[][..], one_or_list);
                let records =
                    data.iter().filter_map(Value::as_object).filter(|record| may_be_contact(record));
                contacts.extend(records.filter_map(|record| record.get("id").and_then(lenient_id)));
            }
            let listed = members.get("contactIds").and_then(Value::as_array);
            contacts.extend(listed.into_iter().flatten().filter_map(lenient_id));
            members.values().for_each(|value| add_contacts(value, contacts));
        }
        _ => {}
    }
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

#[cfg(test)]
mod tests {
    use super::*;

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
        assert_eq!(contacts(both), [12, 13].into(), "the events of a batch are not told apart");
    }

    #[test]
    fn body_is_about_the_contacts_of_its_records() {
        let contacts = |text: &str| about(&[text.to_owned()]).contacts;
        let contact = r#"{"data":{"kind":"contact","accountId":"1","id":"12"}}"#;
        assert_eq!(contacts(contact), [12].into());
        assert_eq!(contacts(&contact[..contact.len() - 1]), [12].into(), "no JSON");
        let company = r#"{"kind":"company","accountId":"1","id":"12"}"#;
        assert_eq!(contacts(company), BTreeSet::new());
        let list = format!(
            r#"[{company},{{"kind":"activity","id":"5","associations":[{{"type":"contact","id":"13"}},{{"type":"deal","id":"14"}}]}}]"#
        );
        assert_eq!(contacts(&list), [13].into());
        assert_eq!(contacts(r#"{"kind":"file","id":"5","contactIds":["15", 16]}"#), [15, 16].into());
    }

    #[test]
    fn record_whose_kind_or_id_is_wrong_may_be_a_contact() {
        let of = |record: &str| {
            let body =
                format!(r#"{{"id":"7","specversion":"1.0","type":"record.upserted","data":{record}}}"#);
            about(&[body]).contacts
        };
        for record in [
            r#"{"kind":"Contact","id":"12"}"#,
            r#"{"kind":"contacts","id":"12"}"#,
            r#"{"kind":"person","id":"12"}"#,
            r#"{"id":"12"}"#,
            r#"[{"kind":"contact","id":"012"}]"#,
            r#"{"kind":"contact","id":12.0}"#,
            r#"{"kind":"object","objectTypeId":"0-1","id":"12"}"#,
        ] {
            assert_eq!(of(record), [12].into(), "{record}");
        }
        for record in [
            r#"{"kind":"company","id":"12"}"#,
            r#"{"kind":"object","objectTypeId":"2-134","id":"12"}"#,
            r#"{"kind":"workflow","flow":{"id":"12"}}"#,
            r#"{"kind":"remove","of":"activity","id":"12"}"#,
        ] {
            assert_eq!(of(record), BTreeSet::new(), "{record}");
        }
    }
}
