//! A contact of a case as the filter language looks at it, without a store in between.

use serde_json::{Map, Value, json};

use super::{Definition, dated};
use crate::support::records::days_ago;

/// Each contact of a case, with what its account holds around it.
pub fn scenes(definition: &Definition) -> Vec<Map<String, Value>> {
    let records: Vec<Value> = definition.records.iter().map(dated).collect();
    let contacts = records.iter().filter(|record| record["kind"] == "contact");
    contacts.map(|contact| members(contact, &records)).collect()
}

fn members(contact: &Value, records: &[Value]) -> Map<String, Value> {
    let id = &contact["id"];
    let of_kind = |kind: &'static str| records.iter().filter(move |record| record["kind"] == kind);
    let of_contact = |kind: &'static str| -> Vec<&Value> {
        of_kind(kind).filter(|record| record["contactId"] == *id).collect()
    };
    let mut members = contact["properties"].as_object().expect("properties").clone();
    let named = |pairs: &mut dyn Iterator<Item = (&Value, Value)>| -> Map<String, Value> {
        pairs.map(|(id, what)| (id.as_str().expect("an id").to_owned(), what)).collect()
    };
    let segments = named(&mut of_kind("segment").map(|segment| {
        (&segment["id"], segment["members"].as_array().expect("members").contains(id).into())
    }));
    let workflows = named(&mut of_contact("enrollment").into_iter().map(|enrollment| {
        let state = if enrollment["active"] == true { "active" } else { "through" };
        (&enrollment["workflowId"], state.into())
    }));
    let associated: Vec<Value> = of_kind("association")
        .filter(|association| association["from"]["id"] == *id)
        .filter_map(|association| {
            let (kind, other) = (&association["to"]["type"], &association["to"]["id"]);
            let object = records.iter().find(|record| record["kind"] == *kind && record["id"] == *other)?;
            Some(json!({"type": kind, "associationTypeId": association["associationTypeId"],
                "properties": object["properties"]}))
        })
        .collect();
    let kept_events: Vec<&Value> = of_kind("customEvent").map(|event| &event["eventTypeId"]).collect();
    let kept_forms: Vec<&Value> = of_kind("formSubmission").map(|filled| &filled["formId"]).collect();
    let created_at = contact.get("createdAt").cloned().unwrap_or_else(|| days_ago(20).into());
    let around = json!({"now": days_ago(0), "zone": "Europe/Berlin", "createdAt": created_at,
        "history": contact.get("propertiesWithHistory").cloned().unwrap_or_else(|| json!({})),
        "segments": segments, "workflows": workflows, "associated": associated,
        "events": of_contact("customEvent"), "keptEvents": kept_events, "submissions": of_contact("formSubmission"),
        "keptForms": kept_forms});
    members.extend(around.as_object().expect("made above").clone());
    members
}
