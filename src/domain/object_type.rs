//! Types of records. The vendor numbers its own types (`0-2`) and those that an account defines (`2-134`), and names its own in
//! the singular and the plural. Here a type that the vendor names is called by its name in the singular, any other as it is
//! written.
//!
//! Source: the vendor's guide "Understanding the CRM", *Object type IDs*.

use std::fmt;

use super::members::parse_id_text;

/// People.
pub const CONTACT: &str = "contact";

/// The vendor's types: id, singular, plural.
const TYPES: [(&str, &str, &str); 32] = [
    ("0-1", CONTACT, "contacts"),
    ("0-2", "company", "companies"),
    ("0-3", "deal", "deals"),
    ("0-5", "ticket", "tickets"),
    ("0-7", "product", "products"),
    ("0-8", "line_item", "line_items"),
    ("0-14", "quote", "quotes"),
    ("0-18", "communication", "communications"),
    ("0-19", "feedback_submission", "feedback_submissions"),
    ("0-27", "task", "tasks"),
    ("0-46", "note", "notes"),
    ("0-47", "meeting", "meetings"),
    ("0-48", "call", "calls"),
    ("0-49", "email", "emails"),
    ("0-53", "invoice", "invoices"),
    ("0-54", "marketing_event", "marketing_events"),
    ("0-69", "subscription", "subscriptions"),
    ("0-74", "goal", "goals"),
    ("0-84", "discount", "discounts"),
    ("0-85", "fee", "fees"),
    ("0-86", "tax", "taxes"),
    ("0-101", "payment", "payments"),
    ("0-115", "user", "users"),
    ("0-116", "postal_mail", "postal_mails"),
    ("0-123", "order", "orders"),
    ("0-136", "lead", "leads"),
    ("0-142", "cart", "carts"),
    ("0-162", "service", "services"),
    ("0-410", "course", "courses"),
    ("0-420", "listing", "listings"),
    ("0-421", "appointment", "appointments"),
    ("0-970", "project", "projects"),
];

/// Types of records that are imported as activities.
const ACTIVITIES: [&str; 7] = ["communication", "task", "note", "meeting", "call", "email", "postal_mail"];

/// The longest name of a type, in bytes.
const MAX_BYTES: usize = 100;

/// The one name of a type, whether it is written as an id, in the singular or in the plural, in whatever case.
pub fn name_of(written: &str) -> &str {
    let is_it = |name: &str| name.eq_ignore_ascii_case(written);
    let known = TYPES.iter().find(|(id, one, many)| [*id, *one, *many].into_iter().any(is_it));
    known.map_or(written, |(_, one, _)| one)
}

/// The name of a type of the vendor's by its id.
pub fn name_of_id(id: &str) -> Option<&'static str> {
    TYPES.iter().find(|(known, ..)| *known == id).map(|(_, name, _)| *name)
}

/// The vendor's id of a type by its one name; of a type that the vendor does not name, the type itself.
pub fn id_of(name: &str) -> &str {
    TYPES.iter().find(|(_, known, _)| *known == name).map_or(name, |(id, ..)| id)
}

/// The plural of a type by its one name; of a type that the vendor does not name, the type itself.
pub fn plural_of(name: &str) -> &str {
    TYPES.iter().find(|(_, known, _)| *known == name).map_or(name, |(.., plural)| plural)
}

/// A record by its type and id, written `deal:30`.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordKey {
    /// The one name of its type.
    pub object_type: String,
    pub id: i64,
}

impl RecordKey {
    /// Reads `deal:30`, `deals:30` or `0-3:30`; `None` where it is written otherwise.
    pub fn parse(text: &str) -> Option<Self> {
        let (object_type, id) = text.split_once(':')?;
        let id = parse_id_text(id)?;
        is_type(object_type).then(|| Self { object_type: name_of(object_type).to_owned(), id })
    }
}

impl fmt::Display for RecordKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.object_type, self.id)
    }
}

/// Is it written as a type is: an id such as `2-134`, or a name such as `deal` or `p134_cars`?
pub fn is_type(written: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let is_id = written.split_once('-').is_some_and(|(class, id)| digits(class) && digits(id));
    let is_name = written.starts_with(|first: char| first.is_ascii_alphabetic())
        && written.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    written.len() <= MAX_BYTES && (is_id || is_name)
}

/// Is it the one name of a type of the vendor's?
pub fn is_vendors(name: &str) -> bool {
    TYPES.iter().any(|(_, known, _)| *known == name)
}

/// How every type of an account's own is counted, for an account may have any number of them.
const CUSTOM: &str = "custom";

/// The name under which a type is counted.
pub fn counted_as(name: &str) -> &'static str {
    TYPES.iter().find(|(_, known, _)| *known == name).map_or(CUSTOM, |(_, known, _)| known)
}

/// Every name under which records that are no contacts are counted.
pub fn counted() -> impl Iterator<Item = &'static str> {
    TYPES.iter().map(|(_, name, _)| *name).filter(|name| *name != CONTACT).chain([CUSTOM])
}

/// Are records of the type, by its one name, activities?
pub fn is_activity(name: &str) -> bool {
    ACTIVITIES.contains(&name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_has_one_name_however_it_is_written() {
        for (written, name) in [
            ("0-2", "company"),
            ("company", "company"),
            ("companies", "company"),
            ("CONTACT", "contact"),
            ("0-136", "lead"),
            ("0-116", "postal_mail"),
            ("2-134", "2-134"),
            ("0-99999", "0-99999"),
            ("p134_cars", "p134_cars"),
        ] {
            assert_eq!(name_of(written), name, "{written}");
            assert_eq!(name_of(name), name, "{written}");
            assert!(is_type(written), "{written}");
        }
        let ids: std::collections::BTreeSet<_> = TYPES.iter().map(|(id, ..)| id).collect();
        assert_eq!(ids.len(), TYPES.len());
    }

    #[test]
    fn a_record_is_known_by_its_type_and_id() {
        for written in ["deal:30", "deals:30", "0-3:30"] {
            assert_eq!(RecordKey::parse(written).unwrap().to_string(), "deal:30");
        }
        for written in ["", "deal", "deal:", "deal:0", "deal:x", ":30", "a b:30", "deal:30:1"] {
            assert_eq!(RecordKey::parse(written), None, "{written}");
        }
        assert_eq!([id_of("deal"), id_of("2-134")], ["0-3", "2-134"]);
    }

    #[test]
    fn what_is_no_type_is_told_from_one() {
        let long = "x".repeat(MAX_BYTES + 1);
        for written in ["", "a b", "ada@x.example", "2-", "-2", "2-x", "_x", "tést", &long] {
            assert!(!is_type(written), "{written}");
        }
    }
}
