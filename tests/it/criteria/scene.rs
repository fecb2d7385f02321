//! A contact, what surrounds it, and the moment, from the JSON that cases and the model write.

use std::collections::{BTreeSet, HashMap};

use chrono_tz::Tz;
use contact_reaper::domain::criteria::subject::{
    AssociatedObject, CustomEvent, Enrolled, PropertyNames, PropertyVersion, Record, RecordType, RelatedData,
    Subject, Submission, texts,
};
use contact_reaper::domain::time::{Time, parse_time};
use serde_json::{Map, Value};

/// The members that are not properties of the contact.
const AROUND: [&str; 14] = [
    "now",
    "zone",
    "createdAt",
    "history",
    "segments",
    "workflows",
    "associated",
    "events",
    "submissions",
    "event",
    "keptEvents",
    "keptForms",
    "keptAssociations",
    "unknownProperties",
];

const TYPES: [&str; 9] = ["contact", "company", "deal", "ticket", "task", "note", "meeting", "call", "email"];

pub struct Scene {
    now: Time,
    zone: Option<Tz>,
    record: Record,
    around: RelatedData,
    event: Option<CustomEvent>,
}

impl Scene {
    /// Members: [`AROUND`], and whatever else is a property.
    pub fn read(members: &Map<String, Value>) -> Self {
        let properties = members.iter().filter(|(name, _)| !AROUND.contains(&name.as_str()));
        let history = |past: &Map<String, Value>| -> HashMap<String, Vec<PropertyVersion>> {
            past.iter()
                .map(|(name, versions)| (name.clone(), list(versions).map(version).collect()))
                .collect()
        };
        Self {
            now: time(&members["now"]),
            zone: members["zone"].as_str().and_then(|zone| zone.parse().ok()),
            record: Record {
                properties: texts(properties),
                history: members.get("history").and_then(Value::as_object).map(history).unwrap_or_default(),
                created_at: members.get("createdAt").filter(|at| !at.is_null()).map(time),
                is_partial: false,
            },
            around: surroundings(members),
            event: members.get("event").filter(|event| !event.is_null()).map(occurrence),
        }
    }

    pub fn subject(&self) -> Subject<'_> {
        let contact = Subject::contact(self.now, self.zone, &self.record, &self.around);
        Subject { event: self.event.as_ref(), ..contact }
    }
}

fn surroundings(members: &Map<String, Value>) -> RelatedData {
    let named = |name: &str| {
        let of = members.get(name).and_then(Value::as_object);
        of.into_iter().flatten().map(|(id, what)| (id.parse::<i64>().expect("an id"), what))
    };
    let listed = |name: &str| members.get(name).into_iter().flat_map(list);
    RelatedData {
        known_segments: named("segments").map(|(id, _)| id).collect(),
        segments: named("segments").filter(|(_, member)| **member == true).map(|(id, _)| id).collect(),
        kept_workflows: named("workflows").map(|(id, _)| id).collect(),
        enrollments: named("workflows")
            .filter(|(_, state)| **state != "never")
            .map(|(id, state)| {
                (
                    id,
                    Enrolled {
                        active: state == "active",
                        completed: state != "active",
                        ..Enrolled::default()
                    },
                )
            })
            .collect(),
        neighbours: listed("associated").map(neighbour).collect(),
        events: listed("events").map(occurrence).collect(),
        kept_events: kept_events(members),
        keeps_forms: !kept_forms(members).is_empty(),
        kept_forms: kept_forms(members),
        submissions: listed("submissions").map(submission).collect(),
        kept_associations: kept_associations(members),
        unknown_properties: unknown_properties(members),
    }
}

/// Where a case does not say it, the account keeps events of its own types, and of those that there are.
fn kept_events(members: &Map<String, Value>) -> BTreeSet<String> {
    if let Some(types) = members.get("keptEvents") {
        return list(types).map(text).collect();
    }
    let there = members.get("events").into_iter().flat_map(list).map(|event| text(&event["eventTypeId"]));
    there.chain(["e", "f"].map(str::to_owned)).collect()
}

/// The same of forms, by their ids.
fn kept_forms(members: &Map<String, Value>) -> BTreeSet<String> {
    match members.get("keptForms") {
        Some(ids) => list(ids).map(text).collect(),
        None => ["guid-1", "guid-2"].map(str::to_owned).into(),
    }
}

/// Where a case does not say it, the account associates contacts with objects of every type.
fn kept_associations(members: &Map<String, Value>) -> BTreeSet<&'static str> {
    let kept =
        |name: &&str| members.get("keptAssociations").is_none_or(|kept| list(kept).any(|it| it == name));
    TYPES.into_iter().filter(kept).collect()
}

/// By the type of objects, or `event:` and the type of events.
fn unknown_properties(members: &Map<String, Value>) -> PropertyNames {
    let by_type = members.get("unknownProperties").and_then(Value::as_object).into_iter().flatten();
    by_type
        .map(|(records, names)| (RecordType::stored(records.clone()), list(names).map(text).collect()))
        .collect()
}

fn neighbour(value: &Value) -> AssociatedObject {
    let object_type = TYPES.into_iter().find(|name| value["type"] == *name);
    AssociatedObject {
        object_type: object_type.expect("a type of objects"),
        association_type: value["associationTypeId"].as_str().map(str::to_owned),
        is_outward: value["inward"] != true,
        record: Some(Record {
            properties: properties(value),
            history: HashMap::new(),
            created_at: None,
            is_partial: false,
        }),
    }
}

fn occurrence(value: &Value) -> CustomEvent {
    CustomEvent::new(text(&value["eventTypeId"]), time(&value["occurredAt"]), properties(value))
}

fn submission(value: &Value) -> Submission {
    let is_by_analytics = value["byAnalytics"] == true;
    Submission { form_id: text(&value["formId"]), at: time(&value["submittedAt"]), is_by_analytics }
}

fn version(value: &Value) -> PropertyVersion {
    PropertyVersion { value: text(&value["value"]), at: time(&value["timestamp"]) }
}

fn properties(value: &Value) -> HashMap<String, String> {
    texts(value["properties"].as_object().expect("properties"))
}

fn list(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().expect("a list").iter()
}

fn time(value: &Value) -> Time {
    value.as_str().and_then(parse_time).expect("a time")
}

fn text(value: &Value) -> String {
    value.as_str().expect("a text").to_owned()
}
