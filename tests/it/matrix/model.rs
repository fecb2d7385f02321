//! One account of a CRM and what becomes of it, written from the deletion matrix alone: the program is held against
//! this, and shares no line with it.
//!
//! A text is a row of phrases with ` / ` between them; whoever is mentioned in it is a phrase of their own.

use std::collections::{BTreeMap, BTreeSet};

use super::import::Ends;

pub type Words = BTreeMap<String, String>;

/// An object by its type and id.
pub type Object = (String, i64);

/// An association: from, to, label.
pub type Association = (Object, Object, String);

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Account {
    pub contacts: BTreeMap<i64, Contact>,
    /// Who was erased or purged.
    pub gone: BTreeMap<i64, &'static str>,
    pub objects: BTreeMap<Object, Words>,
    /// Stages of companies that were not the derived ones.
    pub manual_stages: BTreeMap<i64, Option<String>>,
    /// Records of other kinds that an erasure deleted.
    pub forgotten: BTreeSet<Object>,
    pub associations: BTreeSet<Association>,
    pub activities: BTreeMap<i64, Activity>,
    pub conversations: BTreeMap<i64, Conversation>,
    /// (address, status), by address and as hashes of those whose people are gone.
    pub deliverability: BTreeSet<(String, String)>,
    pub hashed: BTreeSet<(String, String)>,
    pub custom_events: BTreeMap<i64, Owned>,
    pub analytics: BTreeMap<i64, Analytics>,
    pub feedback: BTreeMap<i64, Owned>,
    pub files: BTreeMap<i64, File>,
    pub submissions: BTreeMap<i64, Submission>,
    /// Submissions that went, by form.
    pub past_submissions: BTreeMap<String, i64>,
    pub integrations: BTreeMap<(i64, String), String>,
    pub transitions: BTreeSet<(i64, String, String)>,
    pub segments: BTreeMap<i64, Segment>,
    pub notifications: BTreeMap<i64, Notification>,
    pub quotes: BTreeMap<i64, Quote>,
    /// (workflow, contact, time) and whether it is under way.
    pub enrollments: BTreeMap<(i64, i64, String), bool>,
    pub ledger: BTreeMap<i64, Decision>,
    /// Objects and activities in the trash, and whether they are there for more than 90 days.
    pub record_trash: BTreeMap<Object, bool>,
    pub record_entries: Vec<RecordEntry>,
    /// Segments of deals.
    pub deal_segments: BTreeMap<i64, Segment>,
    /// Contact, who deleted, and how it ended.
    pub entries: Vec<(i64, &'static str, Option<&'static str>)>,
    /// What others were told, in order: the event and the contact or record.
    pub told: Vec<(&'static str, i64)>,
    /// Erasures that the user who asked is to hear of by e-mail: the contacts of each. There is no mail server.
    pub confirmed: Vec<Vec<i64>>,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Contact {
    pub properties: Words,
    /// Former values, by property.
    pub history: BTreeMap<String, Vec<String>>,
    /// As they are compared.
    pub addresses: BTreeSet<String>,
    pub trash: Option<Trash>,
    pub restored: bool,
    pub held: bool,
}

/// One stay of a record in the trash, and how it ended.
#[derive(Clone, Debug, PartialEq)]
pub struct RecordEntry {
    pub object: Object,
    pub by: &'static str,
    pub closed: Option<&'static str>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Trash {
    pub by: &'static str,
    /// In the trash for more than 90 days.
    pub old: bool,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Activity {
    pub kind: String,
    pub at: String,
    pub stub: bool,
    pub properties: Words,
    pub ends: Ends,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Conversation {
    pub contact: Option<i64>,
    pub channel: String,
    pub tickets: BTreeSet<i64>,
    pub text: String,
}

#[derive(Clone, Debug, Default, PartialEq)]
pub struct Segment {
    /// Who is in it is computed; contacts in the trash stay members and are hidden.
    pub dynamic: bool,
    pub members: BTreeSet<i64>,
}

/// A text of one contact.
#[derive(Clone, Debug, PartialEq)]
pub struct Owned {
    pub contact: i64,
    pub text: String,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Analytics {
    pub contact: Option<i64>,
    pub kind: String,
    pub source: String,
    pub at: String,
}

#[derive(Clone, Debug, PartialEq)]
pub struct File {
    pub name: String,
    pub submission: Option<i64>,
    pub contacts: BTreeSet<i64>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Submission {
    pub contact: i64,
    pub form: String,
    pub text: String,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Notification {
    pub contact: Option<i64>,
    pub name: String,
    pub email: String,
    pub title: String,
    /// More than 30 days ago.
    pub old: bool,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Quote {
    pub title: String,
    pub contacts: BTreeSet<i64>,
    /// A contact on it was erased.
    pub orphaned: bool,
    /// The contact that is being erased, where it was on it.
    pub was_of: Option<i64>,
}

#[derive(Clone, Debug, PartialEq)]
pub struct Decision {
    pub contact: i64,
    pub workflow: i64,
    pub outcome: &'static str,
    pub reason: &'static str,
}

impl Account {
    pub fn is_live(&self, contact: i64) -> bool {
        self.contacts.get(&contact).is_some_and(|it| it.trash.is_none())
    }

    /// Is the object there, whether or not it shows?
    pub fn exists(&self, (kind, id): &Object) -> bool {
        if kind == "contact" {
            self.contacts.contains_key(id)
        } else {
            self.objects.contains_key(&(kind.clone(), *id))
        }
    }

    /// Does the object show?
    pub fn shows(&self, object: &Object) -> bool {
        if object.0 == "contact" {
            return self.is_live(object.1);
        }
        self.exists(object) && !self.record_trash.contains_key(object)
    }

    /// What an object is associated with, in either direction.
    pub fn partners(&self, object: &Object) -> Vec<Object> {
        let partner = |(from, to, _): &Association| match (from == object, to == object) {
            (true, _) => Some(to.clone()),
            (_, true) => Some(from.clone()),
            _ => None,
        };
        self.associations.iter().filter_map(partner).collect()
    }

    /// Who has the address, live or in the trash.
    pub fn of_address(&self, address: &str) -> Vec<i64> {
        let of = |(id, it): (&i64, &Contact)| it.addresses.contains(address).then_some(*id);
        self.contacts.iter().filter_map(of).collect()
    }
}
