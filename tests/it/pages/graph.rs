//! A graph of records that has something for every page: contact 11 goes, contact 12 stays.

use serde_json::{Value, json};

use crate::support::records::{contact, days_ago, entitled_account, notification, segment};

const AT: &str = "2026-01-03T10:00:00Z";

/// The account with its contacts 11 and 12.
pub fn records(account: i64) -> Vec<Value> {
    let mut records = entitled_account(account);
    records.push(contact(account, 11, json!({"lifecyclestage": "customer"})));
    records.push(contact(account, 12, json!({"lifecyclestage": "lead"})));
    records.extend([
        segment(account, 4, &[11, 12]),
        notification(account, 201, 11, &days_ago(1)),
        notification(account, 202, 12, &days_ago(1)),
        submission(account, 181, "signup", 11),
        submission(account, 182, "Signup", 12),
        submission(account, 183, "contact-us", 11),
    ]);
    let others = objects().into_iter().chain(activities()).chain(conversations()).chain(history());
    records.extend(others.map(|mut record| {
        record["accountId"] = json!(account.to_string());
        record
    }));
    records
}

pub fn submission(account: i64, id: i64, form: &str, contact: i64) -> Value {
    json!({"kind": "formSubmission", "accountId": account.to_string(), "id": id.to_string(), "formId": form,
        "contactId": contact.to_string(), "submittedAt": AT, "values": {}})
}

fn objects() -> Vec<Value> {
    let linked = |from: (&str, i64), to: (&str, i64)| {
        let end = |(kind, id): (&str, i64)| json!({"type": kind, "id": id.to_string()});
        json!({"kind": "association", "from": end(from), "to": end(to)})
    };
    vec![
        json!({"kind": "company", "id": "9", "properties": {"name": "Analytical", "lifecyclestage": "customer"}}),
        json!({"kind": "deal", "id": "8", "properties": {"dealname": "Engine"}}),
        json!({"kind": "ticket", "id": "7", "properties": {"subject": "It halts"}}),
        json!({"kind": "ticket", "id": "6", "properties": {"subject": "It stalls"}}),
        json!({"kind": "ticket", "id": "5", "properties": {}}),
        linked(("contact", 11), ("company", 9)),
        linked(("contact", 12), ("company", 9)),
        linked(("contact", 11), ("ticket", 7)),
        linked(("ticket", 6), ("contact", 11)),
        linked(("contact", 12), ("ticket", 6)),
        linked(("ticket", 5), ("company", 9)),
        json!({"kind": "file", "id": "191", "name": "a.pdf", "contactIds": ["11"]}),
        json!({"kind": "file", "id": "192", "name": "b.pdf", "formSubmissionId": "181"}),
        json!({"kind": "file", "id": "193", "name": "c.pdf", "contactIds": ["12"], "formSubmissionId": "183"}),
        json!({"kind": "file", "id": "194", "name": "d.pdf"}),
        json!({"kind": "file", "id": "195", "name": "e.pdf", "contactIds": ["12", "11"]}),
        json!({"kind": "quote", "id": "211", "title": "One", "contactIds": ["11"], "createdAt": AT}),
        json!({"kind": "quote", "id": "212", "title": "Two", "contactIds": ["12", "11"], "createdAt": AT}),
        json!({"kind": "quote", "id": "213", "title": "Three", "contactIds": ["12"], "createdAt": AT}),
    ]
}

/// An activity, its type, and what it is associated with.
type Activity<'a> = (i64, &'a str, &'a [(&'a str, i64)]);

/// By type: one of the contact alone, one that another record is on too, one of both contacts.
fn activities() -> Vec<Value> {
    let activity = |(id, kind, ends): Activity<'_>| {
        let ends: Vec<Value> =
            ends.iter().map(|(kind, id)| json!({"type": kind, "id": id.to_string()})).collect();
        json!({"kind": "activity", "id": id.to_string(), "type": kind, "timestamp": AT,
            "properties": {"body": "Something"}, "associations": ends})
    };
    let all: [Activity<'_>; 13] = [
        (101, "call", &[("contact", 11)]),
        (102, "call", &[("contact", 11), ("company", 9)]),
        (103, "call", &[("contact", 12), ("contact", 11)]),
        (104, "call", &[]),
        (111, "email", &[("contact", 11)]),
        (112, "email", &[("contact", 11), ("company", 9)]),
        (121, "task", &[("contact", 11)]),
        (122, "task", &[("contact", 11), ("contact", 12)]),
        (123, "task", &[("company", 9)]),
        (131, "note", &[("contact", 11)]),
        (132, "note", &[("contact", 11), ("company", 9)]),
        (133, "note", &[("contact", 11), ("contact", 12)]),
        (141, "meeting", &[("contact", 11), ("deal", 8), ("ticket", 7)]),
    ];
    all.into_iter().map(activity).collect()
}

fn conversations() -> Vec<Value> {
    let all = [(151, "chat", 11), (152, "email", 11), (153, "bot", 11), (154, "chat", 12), (155, "bot", 12)];
    let conversation = |(id, channel, contact): (i64, &str, i64)| {
        json!({"kind": "conversation", "id": id.to_string(), "channel": channel, "contactId": contact.to_string(),
            "messages": [{"at": AT, "text": "Hello"}]})
    };
    all.into_iter().map(conversation).collect()
}

/// Analytics, one event with the id of an activity, and feedback.
fn history() -> Vec<Value> {
    let event = |(id, kind, contact, source): (i64, &str, i64, &str)| {
        json!({"kind": "analyticsEvent", "id": id.to_string(), "contactId": contact.to_string(), "type": kind,
            "occurredAt": AT, "source": source})
    };
    let feedback = |(id, contact): (i64, i64)| {
        json!({"kind": "feedback", "id": id.to_string(), "contactId": contact.to_string(), "surveyId": "nps",
            "submittedAt": AT, "rating": 9, "text": "Fine"})
    };
    let events = [
        (131, "email_open", 11, "alerts"),
        (161, "session", 11, "ads"),
        (162, "session", 12, "ads"),
        (163, "email_open", 11, "news"),
        (164, "email_click", 12, "news"),
        (165, "form_submission", 11, "signup"),
    ];
    events.into_iter().map(event).chain([(171, 11), (172, 12)].into_iter().map(feedback)).collect()
}
