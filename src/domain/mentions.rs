//! Whom a body mentions that may be no event at all.

use std::collections::BTreeSet;

use serde_json::value::RawValue;

use super::body_texts::{texts_of, without_bom};

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
}
