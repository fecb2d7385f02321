//! Definitions of properties: what the vendor defines for every account, and those of an account's own.
//!
//! Source: the vendor's guides "Contacts", "Companies", "Deals", "Tickets" and those of activities, *Properties*, and its CRM API for properties.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::object_type::{CONTACT, is_activity};

/// What the values of a property are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ValueType {
    Text,
    Number,
    /// A day, or a moment.
    Date,
    Bool,
    Enumeration,
}

impl ValueType {
    /// By the vendor's name of the type.
    pub fn of(name: &str) -> Self {
        match name {
            "number" => Self::Number,
            "date" | "datetime" => Self::Date,
            "bool" => Self::Bool,
            "enumeration" => Self::Enumeration,
            _ => Self::Text,
        }
    }
}

/// The definition of a property, as the vendor's API has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Definition {
    pub name: String,
    pub label: String,
    /// The vendor's name of the type: `string`, `number`, `date`, `datetime`, `bool`, `enumeration`.
    #[serde(rename = "type")]
    pub value_type: String,
    pub field_type: String,
    pub group_name: String,
    /// Of an enumeration; each with `label` and `value`.
    pub options: Vec<Value>,
    pub calculated: bool,
    /// Its values are set by the CRM alone.
    #[serde(skip)]
    pub is_read_only: bool,
    /// Is it the vendor's own?
    pub hubspot_defined: bool,
}

/// The types of a property's values, as the vendor names them.
pub const TYPES: [&str; 6] = ["string", "number", "date", "datetime", "bool", "enumeration"];

impl Definition {
    /// One of which only the name is known: an import brought values of it.
    pub fn of_name(name: &str) -> Self {
        Self::own(name, "string")
    }

    fn own(name: &str, value_type: &str) -> Self {
        let field_type = match value_type {
            "number" => "number",
            "date" | "datetime" => "date",
            "bool" => "booleancheckbox",
            "enumeration" => "select",
            _ => "text",
        };
        Self {
            name: name.to_owned(),
            label: name.to_owned(),
            value_type: value_type.to_owned(),
            field_type: field_type.to_owned(),
            group_name: String::new(),
            options: Vec::new(),
            calculated: false,
            is_read_only: false,
            hubspot_defined: false,
        }
    }
}

/// When an activity took place.
pub const TIMESTAMP: &str = "hs_timestamp";

/// The property that says when a record of the type was changed last.
pub fn last_modified(object_type: &str) -> &'static str {
    if object_type == CONTACT { "lastmodifieddate" } else { "hs_lastmodifieddate" }
}

/// What the API answers of a record where no properties are asked for.
pub fn shown_by_default(object_type: &str) -> &'static [&'static str] {
    match object_type {
        CONTACT => &["createdate", "email", "firstname", "hs_object_id", "lastmodifieddate", "lastname"],
        "company" => &["createdate", "domain", "hs_lastmodifieddate", "hs_object_id", "name"],
        "deal" => &[
            "amount",
            "closedate",
            "createdate",
            "dealname",
            "dealstage",
            "hs_lastmodifieddate",
            "hs_object_id",
            "pipeline",
        ],
        "ticket" => &[
            "content",
            "createdate",
            "hs_lastmodifieddate",
            "hs_object_id",
            "hs_pipeline",
            "hs_pipeline_stage",
            "hs_ticket_category",
            "hs_ticket_priority",
            "subject",
        ],
        _ => &["hs_createdate", "hs_lastmodifieddate", "hs_object_id"],
    }
}

/// Those that a search for words looks into.
pub fn searched(object_type: &str) -> &'static [&'static str] {
    match object_type {
        CONTACT => &["firstname", "lastname", "email", "phone", "company"],
        "company" => &["name", "domain", "website", "phone"],
        "deal" => &["dealname", "pipeline", "dealstage", "description", "dealtype"],
        "ticket" => &["subject", "content", "hs_pipeline_stage", "hs_ticket_category"],
        _ => &["name", "title", "hs_title", "hs_name"],
    }
}

/// Set by the CRM alone, for records of every type but where one is missing.
const READ_ONLY: [(&str, &str); 5] = [
    ("hs_object_id", "number"),
    ("createdate", "datetime"),
    ("hs_createdate", "datetime"),
    ("lastmodifieddate", "datetime"),
    ("hs_lastmodifieddate", "datetime"),
];

const CONTACT_PROPERTIES: &[(&str, &str)] = &[
    ("email", "string"),
    ("firstname", "string"),
    ("lastname", "string"),
    ("phone", "string"),
    ("mobilephone", "string"),
    ("fax", "string"),
    ("company", "string"),
    ("jobtitle", "string"),
    ("website", "string"),
    ("address", "string"),
    ("city", "string"),
    ("state", "string"),
    ("zip", "string"),
    ("country", "string"),
    ("salutation", "string"),
    ("industry", "string"),
    ("annualrevenue", "string"),
    ("numemployees", "enumeration"),
    ("lifecyclestage", "enumeration"),
    ("hs_lead_status", "enumeration"),
    ("hs_email_optout", "bool"),
    ("hs_language", "enumeration"),
    ("hubspot_owner_id", "enumeration"),
    ("associatedcompanyid", "number"),
    ("closedate", "datetime"),
];

const COMPANY_PROPERTIES: &[(&str, &str)] = &[
    ("name", "string"),
    ("domain", "string"),
    ("website", "string"),
    ("phone", "string"),
    ("address", "string"),
    ("city", "string"),
    ("state", "string"),
    ("zip", "string"),
    ("country", "string"),
    ("industry", "enumeration"),
    ("type", "enumeration"),
    ("description", "string"),
    ("annualrevenue", "number"),
    ("numberofemployees", "number"),
    ("founded_year", "string"),
    ("lifecyclestage", "enumeration"),
    ("hs_lead_status", "enumeration"),
    ("hubspot_owner_id", "enumeration"),
];

const DEAL_PROPERTIES: &[(&str, &str)] = &[
    ("dealname", "string"),
    ("dealstage", "enumeration"),
    ("pipeline", "enumeration"),
    ("amount", "number"),
    ("closedate", "datetime"),
    ("dealtype", "enumeration"),
    ("description", "string"),
    ("hubspot_owner_id", "enumeration"),
];

const TICKET_PROPERTIES: &[(&str, &str)] = &[
    ("subject", "string"),
    ("content", "string"),
    ("hs_pipeline", "enumeration"),
    ("hs_pipeline_stage", "enumeration"),
    ("hs_ticket_category", "enumeration"),
    ("hs_ticket_priority", "enumeration"),
    ("source_type", "enumeration"),
    ("closed_date", "datetime"),
    ("hubspot_owner_id", "enumeration"),
];

/// Of activities of every type.
const ACTIVITY_PROPERTIES: &[(&str, &str)] =
    &[(TIMESTAMP, "datetime"), ("hubspot_owner_id", "enumeration"), ("hs_attachment_ids", "string")];

/// Those of activities of one type.
fn of_activity(object_type: &str) -> &'static [(&'static str, &'static str)] {
    match object_type {
        "note" => &[("hs_note_body", "string")],
        "call" => &[
            ("hs_call_title", "string"),
            ("hs_call_body", "string"),
            ("hs_call_direction", "enumeration"),
            ("hs_call_disposition", "string"),
            ("hs_call_duration", "number"),
            ("hs_call_from_number", "string"),
            ("hs_call_to_number", "string"),
            ("hs_call_recording_url", "string"),
            ("hs_call_status", "enumeration"),
        ],
        "email" => &[
            ("hs_email_subject", "string"),
            ("hs_email_text", "string"),
            ("hs_email_html", "string"),
            ("hs_email_direction", "enumeration"),
            ("hs_email_status", "enumeration"),
            ("hs_email_headers", "string"),
        ],
        "meeting" => &[
            ("hs_meeting_title", "string"),
            ("hs_meeting_body", "string"),
            ("hs_meeting_location", "string"),
            ("hs_meeting_start_time", "datetime"),
            ("hs_meeting_end_time", "datetime"),
            ("hs_meeting_outcome", "enumeration"),
            ("hs_meeting_external_url", "string"),
            ("hs_internal_meeting_notes", "string"),
        ],
        "task" => &[
            ("hs_task_subject", "string"),
            ("hs_task_body", "string"),
            ("hs_task_status", "enumeration"),
            ("hs_task_priority", "enumeration"),
            ("hs_task_type", "enumeration"),
        ],
        "communication" => &[
            ("hs_communication_body", "string"),
            ("hs_communication_channel_type", "enumeration"),
            ("hs_communication_logged_from", "enumeration"),
        ],
        "postal_mail" => &[("hs_postal_mail_body", "string")],
        _ => &[],
    }
}

/// The vendor's own properties of records of a type.
pub fn built_in(object_type: &str) -> Vec<Definition> {
    let vendors = |(name, value_type): &(&str, &str), is_read_only| Definition {
        group_name: format!("{object_type}information"),
        hubspot_defined: true,
        is_read_only,
        ..Definition::own(name, value_type)
    };
    let own = match object_type {
        CONTACT => CONTACT_PROPERTIES,
        "company" => COMPANY_PROPERTIES,
        "deal" => DEAL_PROPERTIES,
        "ticket" => TICKET_PROPERTIES,
        other => of_activity(other),
    };
    let of_activities = if is_activity(object_type) { ACTIVITY_PROPERTIES } else { &[] };
    let other = if object_type == CONTACT { "hs_lastmodifieddate" } else { "lastmodifieddate" };
    let read_only = READ_ONLY.iter().filter(|(name, _)| *name != other);
    let of_contacts = (object_type == CONTACT).then_some(&("hs_additional_emails", "string"));
    let mut definitions: Vec<Definition> =
        own.iter().chain(of_activities).map(|property| vendors(property, false)).collect();
    definitions.extend(read_only.chain(of_contacts).map(|property| vendors(property, true)));
    definitions
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn what_is_shown_and_searched_by_default_is_defined() {
        for object_type in [CONTACT, "company", "deal", "ticket", "note", "2-134"] {
            let defined = built_in(object_type);
            let names: BTreeSet<&str> = defined.iter().map(|it| it.name.as_str()).collect();
            assert_eq!(names.len(), defined.len(), "{object_type}");
            for name in shown_by_default(object_type).iter().chain([&last_modified(object_type)]) {
                assert!(names.contains(name), "{object_type}: {name}");
            }
            if !["note", "2-134"].contains(&object_type) {
                assert!(searched(object_type).iter().all(|name| names.contains(name)), "{object_type}");
            }
        }
    }
}
