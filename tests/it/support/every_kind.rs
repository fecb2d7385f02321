//! One record of every kind, with every member that a kind may have.

use serde_json::{Value, json};

use super::records::{
    all_of, contact, enrollment, entitled_account, notification, property, segment, workflow,
};

/// The account with contact 1 and one record of each kind about it, in an order that `import` takes, and contact
/// 2, which arrives in the trash.
pub fn every_kind(id: i64) -> Vec<Value> {
    let known = all_of(&[property("email", "ALL_PROPERTY", "IS_KNOWN", Value::Null)]);
    let mut records = entitled_account(id);
    records.extend(contacts(id));
    records.extend([
        segment(id, 4, &[1]),
        notification(id, 5, 1, "2026-01-05T10:00:00Z"),
        workflow(id, 6, &known),
        enrollment(id, 6, 1, true),
    ]);
    let account = id.to_string();
    records.extend(crm_records().into_iter().chain(history()).map(|mut record| {
        record["accountId"] = json!(account);
        record
    }));
    records
}

fn contacts(account: i64) -> [Value; 2] {
    let mut live = contact(account, 1, json!({"firstname": "Ada", "lifecyclestage": "lead"}));
    live["additionalEmails"] = json!(["ada.second@example.com"]);
    live["propertiesWithHistory"] = json!({"firstname": [
        {"value": "Ada", "timestamp": "2026-01-02T10:00:00Z"}, {"value": "A.", "timestamp": "2026-01-01T10:00:00Z"}]});
    live["updatedAt"] = json!("2026-01-02T10:00:00Z");
    let mut archived = contact(account, 2, json!({}));
    archived["archived"] = json!(true);
    archived["archivedAt"] = json!(super::records::days_ago(3));
    [live, archived]
}

/// What the people of the account have made.
fn crm_records() -> Vec<Value> {
    let now = "2026-01-03T10:00:00Z";
    vec![
        json!({"kind": "company", "id": "10", "properties": {"name": "Analytical", "lifecyclestage": "customer"}}),
        json!({"kind": "deal", "id": "11", "properties": {"dealname": "Engine", "dealstage": "closedwon"}}),
        json!({"kind": "ticket", "id": "12", "properties": {"subject": "It halts"}}),
        json!({"kind": "objectType", "id": "2-134", "singular": "Car", "plural": "Cars", "primaryDisplayProperty": "plate"}),
        json!({"kind": "property", "objectType": "2-134", "name": "plate", "label": "Plate", "type": "string",
            "fieldType": "text", "groupName": "carinformation"}),
        json!({"kind": "object", "objectTypeId": "2-134", "id": "18", "properties": {"plate": "GD 1"}, "createdAt": now}),
        json!({"kind": "association", "from": {"type": "contact", "id": "1"}, "to": {"type": "company", "id": "10"},
            "label": "primary", "associationTypeId": "1"}),
        json!({"kind": "activity", "id": "13", "type": "call", "timestamp": now, "properties": {"body": "Rang"},
            "associations": [{"type": "contact", "id": "1"}, {"type": "company", "id": "10"}]}),
        json!({"kind": "conversation", "id": "14", "channel": "chat", "contactId": "1", "ticketIds": ["12"],
            "messages": [{"at": now, "text": "Hello"}]}),
        json!({"kind": "file", "id": "15", "name": "notes.pdf", "contactIds": ["1"], "formSubmissionId": "16"}),
        json!({"kind": "quote", "id": "17", "title": "One engine", "contactIds": ["1"], "createdAt": now}),
    ]
}

/// What was recorded about the contact.
fn history() -> Vec<Value> {
    let now = "2026-01-04T10:00:00Z";
    vec![
        json!({"kind": "deliverability", "email": "ada@example.com", "status": "unsubscribed", "at": now,
            "subscriptionId": "20"}),
        json!({"kind": "customEvent", "id": "21", "contactId": "1", "eventTypeId": "6-1", "occurredAt": now,
            "properties": {"plan": "gold"}}),
        json!({"kind": "analyticsEvent", "id": "22", "contactId": "1", "type": "email_open", "occurredAt": now,
            "source": "newsletter"}),
        json!({"kind": "feedback", "id": "23", "contactId": "1", "surveyId": "nps", "submittedAt": now, "rating": 9,
            "text": "Fine"}),
        json!({"kind": "formSubmission", "id": "16", "formId": "signup", "contactId": "1", "submittedAt": now,
            "values": {"firstname": "Ada"}}),
        json!({"kind": "integration", "contactId": "1", "source": "shop", "payload": {"customer": "c-1"}}),
        json!({"kind": "lifecycleTransition", "contactId": "1", "stage": "lead", "at": now}),
    ]
}
