//! What criteria look at: the record in question, what surrounds it, and the moment.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono_tz::Tz;
use serde_json::Value;

use super::decimal::plain;
use super::instant::instant_of;
use crate::domain::lifecycle::stage_of;
use crate::domain::object_type::CONTACT;
use crate::domain::time::Time;

/// A contact, or whatever else filters look at: an associated object, an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Record {
    /// As the vendor's API gives them; an empty value is no value.
    pub properties: HashMap<String, String>,
    /// What each property was, in any order; a property that is not here was never changed.
    pub history: HashMap<String, Vec<PropertyVersion>>,
    /// `None`: nobody keeps it.
    pub created_at: Option<Time>,
    /// Built from partial records alone: a property that is not here may have a value.
    pub is_partial: bool,
}

/// A value that a property had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PropertyVersion {
    pub value: String,
    /// Since when.
    pub at: Time,
}

/// Property values as texts, which is how they are compared; null is no value, and a number has one text however it was written.
pub fn texts<'a>(members: impl IntoIterator<Item = (&'a String, &'a Value)>) -> HashMap<String, String> {
    let text = |value: &Value| match value {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        Value::Number(number) => Some(plain(&number.to_string())),
        other => Some(other.to_string()),
    };
    members.into_iter().filter_map(|(name, value)| Some((name.clone(), text(value)?))).collect()
}

impl Record {
    /// The value of a property; `None` where it is absent or empty.
    pub fn value(&self, property: &str) -> Option<&str> {
        self.properties.get(property).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The values a property had before, the empty ones left out.
    pub fn past(&self, property: &str) -> impl Iterator<Item = &str> {
        let past = self.history.get(property).map_or(&[][..], Vec::as_slice);
        past.iter().map(|past| past.value.as_str()).filter(|value| !value.is_empty())
    }

    /// The time of a property's last change. The property that says when the record changed last changed then. A property without history changed when the record was created. `None`: unknown,
    /// because the history does not end with the current value.
    pub fn updated_at(&self, property: &str) -> Option<Time> {
        if LAST_CHANGE.contains(&property) {
            return self.value(property).and_then(instant_of);
        }
        let past = self.history.get(property).map_or(&[][..], Vec::as_slice);
        let Some(last) = past.iter().map(|past| past.at).max() else { return self.created_at };
        let value = self.value(property).unwrap_or_default();
        past.iter().any(|past| past.at == last && past.value == value).then_some(last)
    }
}

/// A custom event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CustomEvent {
    pub event_type: String,
    pub at: Time,
    pub record: Record,
}

impl CustomEvent {
    /// An event as it was told of. A list or an object is no value that a condition can be asked of: without it the event is
    /// partial, and nothing is known of the property.
    pub fn told<'a>(
        event_type: String,
        at: Time,
        members: impl Iterator<Item = (&'a String, &'a Value)>,
    ) -> Self {
        let (structured, plain): (Vec<_>, Vec<_>) =
            members.partition(|(_, value)| value.is_array() || value.is_object());
        let mut event = Self::new(event_type, at, texts(plain));
        event.record.is_partial = !structured.is_empty();
        event
    }

    /// An event with these properties.
    pub fn new(event_type: String, at: Time, properties: HashMap<String, String>) -> Self {
        let record = Record { properties, history: HashMap::new(), created_at: Some(at), is_partial: false };
        Self { event_type, at, record }
    }

    /// Is this perhaps the other one, told of in other words: at the same moment, and nothing that both tell of differs?
    pub fn may_be(&self, other: &Self) -> bool {
        let theirs = &other.record.properties;
        self.at == other.at
            && self
                .record
                .properties
                .iter()
                .all(|(name, value)| theirs.get(name).is_none_or(|it| it == value))
    }
}

/// The properties that say when a record changed last: of contacts, and of other records.
const LAST_CHANGE: [&str; 2] = ["lastmodifieddate", "hs_lastmodifieddate"];

/// How the type of custom events begins among those of records.
const EVENTS: &str = "event:";

/// The records whose properties a condition looks at, as the store names them.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordType(String);

impl RecordType {
    pub fn contact() -> Self {
        Self::object("contact")
    }

    /// `contact`, `company`, `call`, …
    pub fn object(object_type: &str) -> Self {
        Self(object_type.to_owned())
    }

    /// Custom events of one type.
    pub fn event(event_type: &str) -> Self {
        Self(format!("{EVENTS}{event_type}"))
    }

    /// As it was written by [`as_str`](Self::as_str).
    pub fn stored(text: String) -> Self {
        Self(text)
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// For people, in the plural.
    pub fn in_words(&self) -> String {
        match self.0.strip_prefix(EVENTS) {
            Some(event_type) => format!("events of type {event_type}"),
            None => format!("{} records", self.0),
        }
    }

    pub fn is_of_object(&self, object_type: &str) -> bool {
        self.0 == object_type
    }

    pub fn is_of_event(&self, event_type: &str) -> bool {
        self.0.strip_prefix(EVENTS) == Some(event_type)
    }
}

/// Names of properties, by the records they belong to.
pub type PropertyNames = BTreeMap<RecordType, BTreeSet<String>>;

/// An object that the contact is associated with; none in the trash.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AssociatedObject {
    pub object_type: &'static str,
    /// `None`: the association carries none.
    pub association_type: Option<String>,
    /// The association was recorded as leading from the contact to the object, not the other way round.
    pub is_outward: bool,
    /// `None`: nobody has told the store of it yet.
    pub record: Option<Record>,
}

/// A form that the contact filled out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Submission {
    pub form_id: String,
    pub at: Time,
    /// It is kept as an event of the analytics alone: that may be another form of this name.
    pub is_by_analytics: bool,
}

/// How somebody was enrolled in a workflow, in one enrollment or in several.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Enrolled {
    /// On the way through it, by what the CRM tells.
    pub active: bool,
    /// Through it, at least once.
    pub completed: bool,
    /// Through it, or taken out of it as the contact came into the trash, from which it was restored: nobody knows which.
    pub completed_or_removed: bool,
    /// On the way through it: enrollments whose deletion is held or deferred.
    pub waiting: BTreeSet<i64>,
}

impl Enrolled {
    /// On the way through it by another enrollment than this one?
    pub fn is_active(&self, own: Option<i64>) -> bool {
        self.active || self.waiting.iter().any(|id| Some(*id) != own)
    }
}

/// What the store knows about the contact besides its own row, as far as the criteria ask (see [`DataRequirements`]).
#[derive(Clone, Debug, Default)]
pub struct RelatedData {
    /// The segments that exist, of those asked about.
    pub known_segments: BTreeSet<i64>,
    /// Those that the contact is a member of.
    pub segments: BTreeSet<i64>,
    /// The workflows of which the account has kept an enrollment, of those asked about.
    pub kept_workflows: BTreeSet<i64>,
    /// Those the contact was ever enrolled in.
    pub enrollments: BTreeMap<i64, Enrolled>,
    pub neighbours: Vec<AssociatedObject>,
    /// The types of objects with which the account has ever associated a contact, of those asked about.
    pub kept_associations: BTreeSet<&'static str>,
    pub events: Vec<CustomEvent>,
    /// The types of which the account has any event, of those asked about.
    pub kept_events: BTreeSet<String>,
    pub submissions: Vec<Submission>,
    /// The forms of which the account has ever kept a submission, of those asked about.
    pub kept_forms: BTreeSet<String>,
    /// It has kept a submission of any form.
    pub keeps_forms: bool,
    /// The properties asked about that the account does not know: no such record of it ever had one.
    pub unknown_properties: PropertyNames,
}

/// What has to be known before criteria can be evaluated.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DataRequirements {
    pub segments: BTreeSet<i64>,
    /// Workflows whose enrollments are asked about.
    pub workflows: BTreeSet<i64>,
    /// The types of associated objects, as the store names them.
    pub neighbours: BTreeSet<&'static str>,
    /// The types of events.
    pub events: BTreeSet<String>,
    /// Forms that were filled out; `None`: any.
    pub forms: BTreeSet<Option<String>>,
    /// What properties were before.
    pub history: bool,
    /// The properties of the contact, of associated objects and of events.
    pub properties: PropertyNames,
}

impl DataRequirements {
    /// Does the record of a contact have all of it?
    pub fn are_met_by(&self, record: &Record) -> bool {
        let Self { segments, workflows, neighbours, events, forms, history, properties } = self;
        let own = RecordType::contact();
        segments.is_empty()
            && workflows.is_empty()
            && neighbours.is_empty()
            && events.is_empty()
            && forms.is_empty()
            && !history
            && properties.iter().all(|(records, names)| {
                let has = |name: &String| record.properties.contains_key(name) && !may_be_outdated(name);
                *records == own && names.iter().all(has)
            })
    }
}

/// May the store know better than an export what this property of a contact is?
pub fn may_be_outdated(property: &str) -> bool {
    matches!(property, "lastmodifieddate" | "hs_object_id" | "hs_additional_emails")
        || stage_of(property).is_some()
}

/// The contact as it is now.
#[derive(Clone, Copy, Debug)]
pub struct Subject<'a> {
    /// The database's clock.
    pub now: Time,
    /// The account's time zone; `None` where its name is not known.
    pub zone: Option<Tz>,
    pub record: &'a Record,
    /// The type of the record that associations are seen from.
    pub own_type: &'a str,
    /// `None` for an event or an associated record: what surrounds it is not loaded.
    pub around: Option<&'a RelatedData>,
    /// The properties of such records that the account does not know; `None`: it knows all that are asked about.
    pub unknown_properties: Option<&'a BTreeSet<String>>,
    /// The event that the enrollment tells of.
    pub event: Option<&'a CustomEvent>,
    /// The enrollment that is decided: it is none that the contact had.
    pub own: Option<i64>,
}

impl<'a> Subject<'a> {
    /// A contact with this record, without an enrollment.
    pub fn contact(now: Time, zone: Option<Tz>, record: &'a Record, around: &'a RelatedData) -> Self {
        Self::of_type(CONTACT, now, zone, record, around)
    }

    /// A record of this type, without an enrollment.
    pub fn of_type(
        own_type: &'a str,
        now: Time,
        zone: Option<Tz>,
        record: &'a Record,
        around: &'a RelatedData,
    ) -> Self {
        let unknown_properties = around.unknown_properties_of(|records| records.is_of_object(own_type));
        Self { now, zone, record, own_type, around: Some(around), unknown_properties, event: None, own: None }
    }

    /// Is it a property that the account never kept, or that no part of a partial record named? Then a missing value is unknown.
    pub fn is_unheard_of(&self, property: &str) -> bool {
        self.record.is_partial && !self.record.properties.contains_key(property)
            || self.unknown_properties.is_some_and(|unknown| unknown.contains(property))
    }
}

impl RelatedData {
    /// The properties of such records that the account does not know.
    pub fn unknown_properties_of(&self, such: impl Fn(&RecordType) -> bool) -> Option<&BTreeSet<String>> {
        self.unknown_properties.iter().find_map(|(records, names)| such(records).then_some(names))
    }
}
