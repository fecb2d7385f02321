//! Which members of which kind become which columns.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::ColumnType::{Bool, Int, Json, Text, Time};
use super::{Archived, Kind, NamesAddresses, Parts, Row, Table};
use crate::domain::address::{address_key, is_plain_address};
use crate::domain::entitlement::Tier;
use crate::domain::identifiers::{OwnAddress, own_addresses};
use crate::domain::members::{FieldError, Members, parse_id};
use crate::domain::object_type::{CONTACT, is_activity, is_type, is_vendors, name_of};
use crate::domain::permission::{NAMES as PERMISSIONS, Permission};
use crate::domain::properties;
use crate::domain::time::format_time;

/// What may be told of an address.
pub const DELIVERABILITY: &[&str] = &["bounced", "spam_reported", "unsubscribed", "quarantined"];
/// The kinds of which a record may be partial.
pub(super) const MERGED: &[&str] = &["contact", "company", "deal", "ticket", "object"];
const PROCESSING_TYPES: &[&str] = &["MANUAL", "DYNAMIC", "SNAPSHOT"];

/// What is part of a key fits into an index of either database.
const MAX_KEY_BYTES: usize = 1000;
const MAX_WORD_BYTES: usize = 100;
const TOO_LONG: &str = "must not be longer than 1000 bytes";
/// A list of associations, contacts or tickets takes hundreds of bytes of memory an item.
const MAX_ITEMS: usize = 20_000;

/// Declares a kind: its table with the key columns before the bar, its links, its reader.
macro_rules! kind {
    ($name:literal, $table:literal [$($key:ident $key_type:ident),+ | $($column:ident $type:ident),*]
     $(links $links:literal [$($link_key:ident),+ | $($link:ident $link_type:ident),*])? => $read:expr) => {
        Kind {
            name: $name,
            table: Table {
                name: $table,
                columns: &[("account_id", Int), $((stringify!($key), $key_type),)+ $((stringify!($column), $type),)*],
                key: 1 + [$(stringify!($key)),+].len(),
            },
            links: kind!(@links $($links [$($link_key),+ | $($link $link_type),*])?),
            read: $read,
        }
    };
    (@links) => { None };
    (@links $links:literal [$($link_key:ident),+ | $($link:ident $link_type:ident),*]) => {
        Some(Table {
            name: $links,
            columns: &[("account_id", Int), $((stringify!($link_key), Int),)+ $((stringify!($link), $link_type),)*],
            key: 1 + [$(stringify!($link_key)),+].len(),
        })
    };
}

/// A kind of records that are rows of `objects`.
macro_rules! object {
    ($name:literal => $read:expr) => {
        kind!($name, "objects" [object_type Text, object_id Int
            | properties Json, history Json, created_at Time, updated_at Time, is_partial Bool] => $read)
    };
}

/// Every kind, after those that it refers to. A link table's key columns are its owner's; the rest tells its rows apart.
pub static KINDS: &[Kind] = &[
    Kind {
        name: "account",
        table: Table {
            name: "accounts",
            columns: &[("account_id", Int), ("name", Text), ("time_zone", Text)],
            key: 1,
        },
        links: None,
        read: account,
    },
    kind!("subscription", "subscriptions" [product Text, starts_at Time | tier Text, ends_at Time] => subscription),
    kind!("user", "users" [user_id Int | email Text, email_key Text, permissions Json] => user),
    kind!("contact",
        "contacts" [contact_id Int | properties Json, history Json, created_at Time, updated_at Time, is_partial Bool]
        links "contact_emails" [contact_id | email_key Text, email Text, exclusive Bool] => contact),
    object!("company" => |m| object(m, "company")),
    object!("deal" => |m| object(m, "deal")),
    object!("ticket" => |m| object(m, "ticket")),
    kind!("objectType",
        "object_types" [object_type Text | singular Text, plural Text, primary_display_property Text] => object_type),
    kind!("property",
        "property_definitions" [object_type Text, name Text | label Text, type Text, field_type Text, group_name Text,
            options Json, calculated Bool, read_only Bool] => property),
    object!("object" => |m| object(m, typed(m)?)),
    kind!("association",
        "associations" [from_type Text, from_id Int, to_type Text, to_id Int, label Text | association_type_id Text] => association),
    kind!("activity",
        "activities" [activity_id Int | type Text, occurred_at Time, updated_at Time, properties Json, stub Bool]
        links "activity_associations" [activity_id | object_type Text, object_id Int] => activity),
    kind!("conversation",
        "conversations" [conversation_id Int | contact_id Int, channel Text, messages Json]
        links "conversation_tickets" [conversation_id | ticket_id Int] => conversation),
    kind!("deliverability",
        "deliverability" [email_key Text, status Text | at Time, subscription_id Text] => deliverability),
    kind!("customEvent",
        "custom_events" [event_id Int | contact_id Int, event_type_id Text, occurred_at Time, properties Json] => custom_event),
    kind!("analyticsEvent",
        "analytics_events" [event_id Int | contact_id Int, type Text, occurred_at Time, source Text] => analytics_event),
    kind!("feedback",
        "feedback" [feedback_id Int | contact_id Int, survey_id Text, submitted_at Time, rating Json, comment Text] => feedback),
    kind!("file", "files" [file_id Int | name Text, form_submission_id Int]
        links "file_contacts" [file_id | contact_id Int] => file),
    kind!("formSubmission",
        "form_submissions" [submission_id Int | contact_id Int, form_id Text, submitted_at Time, field_values Json] => form_submission),
    kind!("integration", "integrations" [contact_id Int, source Text | payload Json] => integration),
    kind!("lifecycleTransition", "lifecycle_transitions" [contact_id Int, stage Text, at Time |] => lifecycle_transition),
    // Its members, who may be millions, are no links but in a list of their own.
    kind!("segment", "segments" [segment_id Int | name Text, processing_type Text, object_type Text, created_at Time, updated_at Time] => segment),
    kind!("notification",
        "notifications" [notification_id Int | user_id Int, contact_id Int, contact_name Text, contact_email Text,
            title Text, created_at Time] => notification),
    kind!("quote", "quotes" [quote_id Int | title Text, created_at Time]
        links "quote_contacts" [quote_id | contact_id Int] => quote),
    kind!("enrollment",
        "workflow_enrollments" [workflow_id Int, contact_id Int, enrolled_at Time | enrollment_id Int, active Bool] => enrollment),
    // Last, so that a new workflow cannot delete a contact before the records that protect the contact are imported.
    kind!("workflow", "workflows" [workflow_id Int | flow Text] => workflow),
];

/// Is it the name of a kind whose records are rows of `objects`?
pub(super) fn is_of_objects(name: &str) -> bool {
    KINDS.iter().any(|kind| kind.name == name && kind.table.name == "objects")
}

type Read = Result<Parts, FieldError>;

/// A row from `{"column": value}`.
fn row(value: Value) -> Row {
    match value {
        Value::Object(row) => row,
        _ => Row::new(),
    }
}

/// A record that is a row and nothing else.
fn plain(value: Value) -> Parts {
    Parts { row: row(value), ..Parts::default() }
}

/// A record of the contact in `contactId`, which has to exist.
fn owned(contact_id: i64, value: Value) -> Parts {
    Parts { contacts: vec![contact_id], owner: Some(contact_id), ..plain(value) }
}

fn time(members: &Members<'_>, name: &str) -> Result<String, FieldError> {
    members.time(name).map(format_time)
}

fn optional_time(members: &Members<'_>, name: &str) -> Result<Option<String>, FieldError> {
    members.optional(name).map(|_| time(members, name)).transpose()
}

fn optional_text<'a>(members: &Members<'a>, name: &str) -> Result<Option<&'a str>, FieldError> {
    match members.optional(name).map(Value::as_str) {
        None => Ok(None),
        Some(Some(text)) => Ok(Some(text)),
        Some(None) => Err(members.fault(name, "must be a string")),
    }
}

/// A text that is part of a key.
fn key_text<'a>(members: &Members<'a>, name: &str) -> Result<&'a str, FieldError> {
    let text = members.text(name)?;
    if text.len() > MAX_KEY_BYTES { Err(members.fault(name, TOO_LONG)) } else { Ok(text) }
}

fn optional_id(members: &Members<'_>, name: &str) -> Result<Option<i64>, FieldError> {
    members.optional(name).map(|_| members.id(name)).transpose()
}

fn one_of<'a>(members: &Members<'a>, name: &str, known: &[&str]) -> Result<&'a str, FieldError> {
    let text = members.text(name)?;
    if known.contains(&text) {
        Ok(text)
    } else {
        Err(members.fault(name, &format!("must be one of {}", known.join(", "))))
    }
}

fn refuse_too_many(members: &Members<'_>, name: &str) -> Result<(), FieldError> {
    match members.list(name)?.len() {
        ..=MAX_ITEMS => Ok(()),
        _ => Err(members.fault(name, &format!("must not have more than {MAX_ITEMS} items"))),
    }
}

fn ids(members: &Members<'_>, name: &str) -> Result<Vec<i64>, FieldError> {
    refuse_too_many(members, name)?;
    let (mut ids, mut seen) = (Vec::new(), HashSet::new());
    for (index, item) in members.list(name)?.iter().enumerate() {
        let id = parse_id(item)
            .ok_or_else(|| members.fault(&format!("{name}[{index}]"), "must be a positive 64-bit integer"))?;
        if seen.insert(id) {
            ids.push(id);
        }
    }
    Ok(ids)
}

/// A map of strings, as the vendor's API gives properties; null is no value, and clears one where the record is partial.
fn values(members: &Members<'_>) -> Result<Value, FieldError> {
    let is_partial = members.flag("partial")? == Some(true);
    if is_partial && members.optional("properties").is_none() {
        return Ok(json!({}));
    }
    let object = members.object("properties")?;
    let mut kept = Row::new();
    for (name, value) in object.iter() {
        match value {
            Value::String(_) => {
                kept.insert(name.clone(), value.clone());
            }
            Value::Null if is_partial => {
                kept.insert(name.clone(), Value::Null);
            }
            Value::Null => {}
            _ => return Err(object.fault(name, "must be a string")),
        }
    }
    Ok(Value::Object(kept))
}

fn account(m: &Members<'_>) -> Read {
    Ok(plain(json!({"name": m.text("name")?, "time_zone": optional_text(m, "timeZone")?})))
}

fn subscription(m: &Members<'_>) -> Read {
    let tier = m.text("tier")?;
    Tier::parse(tier)
        .ok_or_else(|| m.fault("tier", "must be one of free, starter, professional, enterprise"))?;
    Ok(plain(json!({"product": word(m, "product")?, "tier": tier,
        "starts_at": time(m, "startsAt")?, "ends_at": optional_time(m, "endsAt")?})))
}

fn user(m: &Members<'_>) -> Read {
    for (index, permission) in m.list("permissions")?.iter().enumerate() {
        permission.as_str().and_then(Permission::parse).ok_or_else(|| {
            m.fault(&format!("permissions[{index}]"), &format!("must be one of {PERMISSIONS}"))
        })?;
    }
    let email = key_text(m, "email")?.trim();
    if !is_plain_address(email) {
        return Err(m.fault("email", "must be one e-mail address"));
    }
    Ok(plain(json!({"user_id": m.id("id")?, "email": email, "email_key": address_key(email),
        "permissions": m.list("permissions")?})))
}

fn contact(m: &Members<'_>) -> Read {
    let contact_id = m.id("id")?;
    let properties = values(m)?;
    let is_partial = m.flag("partial")? == Some(true);
    let names_addresses = NamesAddresses {
        primary: !is_partial || properties.get("email").is_some(),
        additional: !is_partial || m.optional("additionalEmails").is_some(),
    };
    refuse_too_many(m, "additionalEmails")?;
    let mut additional = Vec::new();
    for (index, address) in m.list("additionalEmails")?.iter().enumerate() {
        let address = address.as_str();
        additional
            .push(address.ok_or_else(|| m.fault(&format!("additionalEmails[{index}]"), "must be a string"))?);
    }
    let property = |name: &str| properties.get(name).and_then(Value::as_str);
    let mut links = Vec::new();
    for OwnAddress { email, key, exclusive } in own_addresses(property, additional) {
        if key.len() > MAX_KEY_BYTES {
            return Err(m.fault("properties.email or additionalEmails", TOO_LONG));
        }
        links.push(row(
            json!({"contact_id": contact_id, "email_key": key, "email": email, "exclusive": exclusive}),
        ));
    }
    let archived = archived(m)?;
    // A partial record creates a contact only where it says since when there is one.
    let created_at = if is_partial { optional_time(m, "createdAt")? } else { Some(time(m, "createdAt")?) };
    let row = row(json!({"contact_id": contact_id, "history": history(m)?, "created_at": created_at,
        "updated_at": optional_time(m, "updatedAt")?, "properties": properties}));
    let owner = created_at.is_none().then_some(contact_id);
    Ok(Parts { row, links, contacts: vec![contact_id], owner, archived, names_addresses, ..Parts::default() })
}

fn archived(m: &Members<'_>) -> Result<Option<Archived>, FieldError> {
    match m.flag("archived")? {
        Some(true) => Ok(Some(Archived { at: optional_time(m, "archivedAt")? })),
        _ => Ok(None),
    }
}

/// `propertiesWithHistory`: for each property its past values with their times.
fn history(m: &Members<'_>) -> Result<Value, FieldError> {
    let mut kept = Row::new();
    if m.optional("propertiesWithHistory").is_some() {
        let object = m.object("propertiesWithHistory")?;
        for (name, _) in object.iter() {
            let mut versions = Vec::new();
            for version in object.objects(name)? {
                let value = optional_text(&version, "value")?.unwrap_or_default();
                versions.push(json!({"value": value, "timestamp": time(&version, "timestamp")?}));
            }
            kept.insert(name.clone(), Value::Array(versions));
        }
    }
    Ok(Value::Object(kept))
}

fn object(m: &Members<'_>, object_type: &str) -> Read {
    let row = json!({"object_type": object_type, "object_id": m.id("id")?, "properties": values(m)?,
        "history": history(m)?, "created_at": optional_time(m, "createdAt")?,
        "updated_at": optional_time(m, "updatedAt")?});
    Ok(Parts { archived: archived(m)?, ..plain(row) })
}

/// The type of an object that has no kind of its own.
pub(super) fn typed<'a>(m: &Members<'a>) -> Result<&'a str, FieldError> {
    let object_type = type_name(m, "objectTypeId")?;
    if object_type == CONTACT || is_activity(object_type) {
        let expected = "must not be the type of contacts or activities, which are records of the kinds contact and activity";
        return Err(m.fault("objectTypeId", expected));
    }
    Ok(object_type)
}

fn object_type(m: &Members<'_>) -> Read {
    Ok(plain(json!({"object_type": type_name(m, "id")?, "singular": m.text("singular")?,
        "plural": m.text("plural")?, "primary_display_property": m.text("primaryDisplayProperty")?})))
}

fn property(m: &Members<'_>) -> Read {
    let text = |name: &str| optional_text(m, name).map(Option::unwrap_or_default);
    for (index, option) in m.list("options")?.iter().enumerate() {
        let is_option = option.get("value").is_some_and(Value::is_string);
        if !is_option {
            return Err(m.fault(&format!("options[{index}]"), "must be an object with a text in value"));
        }
    }
    let name = key_text(m, "name")?;
    Ok(plain(json!({"object_type": type_name(m, "objectType")?, "name": name,
        "label": optional_text(m, "label")?.unwrap_or(name), "type": one_of(m, "type", &properties::TYPES)?,
        "field_type": text("fieldType")?, "group_name": text("groupName")?, "options": m.list("options")?,
        "calculated": m.flag("calculated")?.unwrap_or_default(), "read_only": m.flag("readOnly")?.unwrap_or_default()})))
}

/// A type of activities: of the vendor's types one that is, of others any.
fn activity_type<'a>(m: &Members<'a>) -> Result<&'a str, FieldError> {
    let name = type_name(m, "type")?;
    if is_activity(name) || !is_vendors(name) {
        Ok(name)
    } else {
        Err(m.fault("type", "must be a type of activities, such as note, task, meeting, call or email"))
    }
}

/// A type of records, by its one name.
fn type_name<'a>(m: &Members<'a>, name: &str) -> Result<&'a str, FieldError> {
    let written = m.text(name)?;
    if is_type(written) {
        Ok(name_of(written))
    } else {
        Err(m.fault(name, "must be a type of records, such as company or 2-134"))
    }
}

/// A word of the CRM's own vocabulary, which need not be known here: stored as it is.
fn word<'a>(m: &Members<'a>, name: &str) -> Result<&'a str, FieldError> {
    let word = m.text(name)?;
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || b"_-".contains(&byte);
    if word.len() <= MAX_WORD_BYTES && word.bytes().all(is_word) {
        Ok(word)
    } else {
        Err(m.fault(name, "must be up to 100 letters, digits, - and _"))
    }
}

/// An object that something is associated with: its type, its id, and the contact it is, if it is one.
fn end<'a>(m: &Members<'a>) -> Result<(&'a str, i64, Option<i64>), FieldError> {
    let (object_type, id) = (type_name(m, "type")?, m.id("id")?);
    Ok((object_type, id, (object_type == CONTACT).then_some(id)))
}

/// An end of an association: what an activity is on stands in its own record.
fn association_end<'a>(m: &Members<'a>) -> Result<(&'a str, i64, Option<i64>), FieldError> {
    let end = end(m)?;
    if is_activity(end.0) {
        return Err(m.fault(
            "type",
            "must not be a type of activities: name the record in the activity's associations",
        ));
    }
    Ok(end)
}

/// An empty label is no label.
fn label<'a>(m: &Members<'a>) -> Result<&'a str, FieldError> {
    let label = optional_text(m, "label")?.unwrap_or_default();
    if label.len() > MAX_KEY_BYTES { Err(m.fault("label", TOO_LONG)) } else { Ok(label) }
}

/// The columns of an association's key, but the account.
pub(super) fn association_key(m: &Members<'_>) -> Result<Row, FieldError> {
    let (from_type, from_id, _) = association_end(&m.object("from")?)?;
    let (to_type, to_id, _) = association_end(&m.object("to")?)?;
    Ok(row(json!({"from_type": from_type, "from_id": from_id, "to_type": to_type, "to_id": to_id,
        "label": label(m)?})))
}

fn association(m: &Members<'_>) -> Read {
    let (_, _, from_contact) = end(&m.object("from")?)?;
    let (_, _, to_contact) = end(&m.object("to")?)?;
    let association_type_id = match m.optional("associationTypeId") {
        None => None,
        Some(Value::String(id)) => Some(id.clone()),
        Some(Value::Number(id)) => Some(id.to_string()),
        Some(_) => return Err(m.fault("associationTypeId", "must be a string")),
    };
    let is_an_id = |id: &String| {
        id.len() <= 40 && id.bytes().all(|it| it.is_ascii_alphanumeric() || b"-_".contains(&it))
    };
    if !association_type_id.as_ref().is_none_or(is_an_id) {
        return Err(m.fault("associationTypeId", "must be an id such as 279"));
    }
    let mut row = association_key(m)?;
    row.insert("association_type_id".to_owned(), association_type_id.into());
    Ok(Parts { row, contacts: from_contact.into_iter().chain(to_contact).collect(), ..Parts::default() })
}

fn activity(m: &Members<'_>) -> Read {
    let activity_id = m.id("id")?;
    refuse_too_many(m, "associations")?;
    let (mut links, mut seen) = (Vec::new(), HashSet::new());
    let mut contacts: Vec<Option<i64>> = Vec::new();
    // Taken for none it would leave the activity to nobody.
    m.required("associations")?;
    for association in m.objects("associations")? {
        let (object_type, object_id, contact) = end(&association)?;
        contacts.push(contact);
        if seen.insert((object_type, object_id)) {
            links.push(row(
                json!({"activity_id": activity_id, "object_type": object_type, "object_id": object_id}),
            ));
        }
    }
    let properties = m.optional("properties").map_or(Ok(json!({})), |_| values(m))?;
    let row = row(json!({"activity_id": activity_id, "type": activity_type(m)?,
        "occurred_at": time(m, "timestamp")?, "updated_at": optional_time(m, "updatedAt")?, "properties": properties,
        "stub": false}));
    // One association with something else, and the activity is not the contacts' alone.
    let shared = contacts.into_iter().collect::<Option<_>>().unwrap_or_default();
    Ok(Parts { row, links, shared, ..Parts::default() })
}

fn conversation(m: &Members<'_>) -> Read {
    let (conversation_id, contact_id) = (m.id("id")?, m.id("contactId")?);
    for message in m.objects("messages")? {
        message.time("at")?;
        optional_text(&message, "text")?;
    }
    let ticket = |id| row(json!({"conversation_id": conversation_id, "ticket_id": id}));
    let parts = json!({"conversation_id": conversation_id, "contact_id": contact_id,
        "channel": word(m, "channel")?, "messages": m.list("messages")?});
    let links = ids(m, "ticketIds")?.into_iter().map(ticket).collect();
    Ok(Parts { links, ..owned(contact_id, parts) })
}

fn deliverability(m: &Members<'_>) -> Read {
    let key = address_key(key_text(m, "email")?);
    if key.is_empty() {
        return Err(m.fault("email", "must be an address"));
    }
    Ok(plain(json!({"email_key": key, "status": one_of(m, "status", DELIVERABILITY)?, "at": time(m, "at")?,
        "subscription_id": optional_text(m, "subscriptionId")?})))
}

fn custom_event(m: &Members<'_>) -> Read {
    let contact_id = m.id("contactId")?;
    let properties = m.optional("properties").cloned().unwrap_or_else(|| json!({}));
    Members::of(&properties, "properties")?;
    Ok(owned(
        contact_id,
        json!({"event_id": m.id("id")?, "contact_id": contact_id,
        "event_type_id": m.text("eventTypeId")?, "occurred_at": time(m, "occurredAt")?,
        "properties": properties}),
    ))
}

fn analytics_event(m: &Members<'_>) -> Read {
    let contact_id = m.id("contactId")?;
    Ok(owned(
        contact_id,
        json!({"event_id": m.id("id")?, "contact_id": contact_id,
        "type": word(m, "type")?, "occurred_at": time(m, "occurredAt")?,
        "source": optional_text(m, "source")?.unwrap_or_default()}),
    ))
}

fn feedback(m: &Members<'_>) -> Read {
    let contact_id = m.id("contactId")?;
    Ok(owned(
        contact_id,
        json!({"feedback_id": m.id("id")?, "contact_id": contact_id,
        "survey_id": m.text("surveyId")?, "submitted_at": time(m, "submittedAt")?,
        "rating": m.optional("rating").cloned().unwrap_or_else(|| json!("")), "comment": optional_text(m, "text")?.unwrap_or_default()}),
    ))
}

fn file(m: &Members<'_>) -> Read {
    let file_id = m.id("id")?;
    let link = |id: &i64| row(json!({"file_id": file_id, "contact_id": id}));
    let parts = plain(json!({"file_id": file_id, "name": m.text("name")?,
        "form_submission_id": optional_id(m, "formSubmissionId")?}));
    let shared = ids(m, "contactIds")?;
    Ok(Parts { links: shared.iter().map(link).collect(), shared, ..parts })
}

fn form_submission(m: &Members<'_>) -> Read {
    let contact_id = m.id("contactId")?;
    Ok(owned(
        contact_id,
        json!({"submission_id": m.id("id")?, "contact_id": contact_id,
        "form_id": m.text("formId")?, "submitted_at": time(m, "submittedAt")?,
        "field_values": m.optional("values").cloned().unwrap_or_else(|| json!({}))}),
    ))
}

fn integration(m: &Members<'_>) -> Read {
    let contact_id = m.id("contactId")?;
    Ok(owned(
        contact_id,
        json!({"contact_id": contact_id, "source": key_text(m, "source")?,
        "payload": m.optional("payload").cloned().unwrap_or_else(|| json!({}))}),
    ))
}

fn lifecycle_transition(m: &Members<'_>) -> Read {
    let contact_id = m.id("contactId")?;
    Ok(owned(
        contact_id,
        json!({"contact_id": contact_id, "stage": key_text(m, "stage")?, "at": time(m, "at")?}),
    ))
}

fn segment(m: &Members<'_>) -> Read {
    let object_type =
        if m.optional("objectTypeId").is_some() { type_name(m, "objectTypeId")? } else { CONTACT };
    Ok(plain(json!({"segment_id": m.id("id")?, "name": m.text("name")?,
        "processing_type": one_of(m, "processingType", PROCESSING_TYPES)?, "object_type": object_type,
        "created_at": optional_time(m, "createdAt")?, "updated_at": optional_time(m, "updatedAt")?})))
}

fn notification(m: &Members<'_>) -> Read {
    let contact_id = m.id("contactId")?;
    let text = |name| optional_text(m, name).map(Option::unwrap_or_default);
    Ok(owned(
        contact_id,
        json!({"notification_id": m.id("id")?, "user_id": m.id("userId")?,
        "contact_id": contact_id, "contact_name": text("contactName")?, "contact_email": text("contactEmail")?,
        "title": text("title")?, "created_at": time(m, "createdAt")?}),
    ))
}

fn quote(m: &Members<'_>) -> Read {
    let quote_id = m.id("id")?;
    let link = |id: &i64| row(json!({"quote_id": quote_id, "contact_id": id}));
    let parts = plain(json!({"quote_id": quote_id, "title": optional_text(m, "title")?.unwrap_or_default(),
        "created_at": time(m, "createdAt")?}));
    m.required("contactIds")?;
    let shared = ids(m, "contactIds")?;
    Ok(Parts { links: shared.iter().map(link).collect(), shared, ..parts })
}

fn workflow(m: &Members<'_>) -> Read {
    let flow = m.object("flow")?;
    Ok(plain(json!({"workflow_id": flow.id("id")?, "flow": m.required("flow")?.to_string()})))
}

fn enrollment(m: &Members<'_>) -> Read {
    let contact_id = m.id("contactId")?;
    let active = m.flag("active")?.ok_or_else(|| m.fault("active", "must be true or false"))?;
    Ok(owned(
        contact_id,
        json!({"workflow_id": m.id("workflowId")?, "contact_id": contact_id,
        "enrolled_at": time(m, "enrolledAt")?, "enrollment_id": optional_id(m, "enrollmentId")?,
        "active": active}),
    ))
}
