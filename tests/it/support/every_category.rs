//! Something in every category of the matrix, and a neighbour who must not notice what happens to it.

use serde_json::{Value, json};

use super::every_kind::every_kind;
use super::records::{contact, enrollment, notification, segment};

/// As [`every_kind`], with more about contact 1, so that `inspect contact` has something to show in every
/// category, alone and together with others; and contact 3 with rows of its own.
pub fn every_category(id: i64) -> Vec<Value> {
    let mut records = every_kind(id);
    records.extend([contact(id, 3, json!({})), segment(id, 7, &[1, 3]), enrollment(id, 6, 3, true)]);
    records.push(notification(id, 35, 3, "2026-01-05T10:00:00Z"));
    let account = id.to_string();
    records.extend(together().into_iter().chain(alone()).chain(the_neighbour(id)).map(|mut record| {
        record["accountId"] = json!(account);
        record
    }));
    records
}

const AT: &str = "2026-01-06T10:00:00Z";

fn activity(id: i64, kind: &str, associated: &[(&str, i64)]) -> Value {
    let associations: Vec<Value> =
        associated.iter().map(|(kind, id)| json!({"type": kind, "id": id.to_string()})).collect();
    json!({"kind": "activity", "id": id.to_string(), "type": kind, "timestamp": AT,
        "properties": {"body": "About Ada"}, "associations": associations})
}

/// What the contact shares with another record.
fn together() -> Vec<Value> {
    vec![
        json!({"kind": "association", "from": {"type": "contact", "id": "1"}, "to": {"type": "contact", "id": "3"},
            "label": "colleague"}),
        activity(40, "note", &[("contact", 1), ("company", 10)]),
        activity(41, "meeting", &[("contact", 1), ("contact", 3)]),
        activity(42, "email", &[("contact", 1), ("deal", 11)]),
        json!({"kind": "file", "id": "43", "name": "shared.pdf", "contactIds": ["1", "3"]}),
        json!({"kind": "quote", "id": "44", "title": "Two engines", "contactIds": ["1", "3"], "createdAt": AT}),
    ]
}

/// What is the contact's alone.
fn alone() -> Vec<Value> {
    vec![
        activity(50, "note", &[("contact", 1)]),
        activity(51, "task", &[("contact", 1)]),
        activity(52, "meeting", &[("contact", 1)]),
        activity(53, "call", &[("contact", 1)]),
        activity(54, "email", &[("contact", 1)]),
        json!({"kind": "conversation", "id": "55", "channel": "bot", "contactId": "1", "ticketIds": ["12"],
            "messages": [{"at": AT, "text": "Beep"}]}),
        json!({"kind": "file", "id": "56", "name": "photo.jpg", "contactIds": ["1"]}),
        json!({"kind": "deliverability", "email": "Contact1@Account1.example", "status": "bounced", "at": AT}),
        json!({"kind": "analyticsEvent", "id": "57", "contactId": "1", "type": "session", "occurredAt": AT,
            "source": "direct"}),
    ]
}

/// One row in each category for contact 3.
fn the_neighbour(account: i64) -> Vec<Value> {
    vec![
        activity(60, "note", &[("contact", 3)]),
        activity(61, "call", &[("contact", 3)]),
        json!({"kind": "conversation", "id": "62", "channel": "bot", "contactId": "3", "messages": []}),
        json!({"kind": "conversation", "id": "63", "channel": "email", "contactId": "3", "messages": []}),
        json!({"kind": "deliverability", "email": format!("contact3@account{account}.example"),
            "status": "unsubscribed", "at": AT}),
        json!({"kind": "customEvent", "id": "64", "contactId": "3", "eventTypeId": "6-1", "occurredAt": AT,
            "properties": {}}),
        json!({"kind": "analyticsEvent", "id": "65", "contactId": "3", "type": "session", "occurredAt": AT,
            "source": "direct"}),
        json!({"kind": "feedback", "id": "66", "contactId": "3", "surveyId": "nps", "submittedAt": AT, "rating": 1,
            "text": ""}),
        json!({"kind": "formSubmission", "id": "67", "formId": "signup", "contactId": "3", "submittedAt": AT,
            "values": {}}),
        json!({"kind": "file", "id": "68", "name": "form.pdf", "contactIds": ["3"], "formSubmissionId": "67"}),
        json!({"kind": "integration", "contactId": "3", "source": "shop", "payload": {}}),
        json!({"kind": "lifecycleTransition", "contactId": "3", "stage": "lead", "at": AT}),
    ]
}
