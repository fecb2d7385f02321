//! Records by chance: few people, few things, so that everybody shares something with everybody.

use serde_json::{Value, json};

use crate::model::Dice;
use crate::support::records::{days_ago, entitled_account, manual_workflow};

/// One of each list of people: the pairs that share a first or a last name share no full one.
const FIRST: [&str; 3] = ["Ann", "Bo", "Cleo"];
const LAST: [&str; 3] = ["Lee", "Ray", "Adler"];
/// One is the end of another, and one holds another.
const ADDRESSES: [&str; 8] = [
    "ann@x.example",
    "Joann@x.example",
    "bo@x.example",
    "Bo@x.example.net",
    "cleo@y.example",
    "c.l@y.example",
    "lee+1@z.example",
    "nobody@z.example",
];
const PHONES: [&str; 3] = ["+48 600 700 800", "555-01990", "555-019905"];
const STAGES: [&str; 5] = ["subscriber", "lead", "customer", "evangelist", "partner"];
const WORDS: [&str; 4] = ["met", "likes tea", "50%", "a \"quoted\" \\ word"];
const AT: [&str; 3] =
    ["2026-01-03T10:00:00.000000Z", "2026-01-04T10:00:00.000000Z", "2026-01-05T10:00:00.000000Z"];

/// Contacts of an account: more than live at a time, so that newcomers come after those who are gone.
pub const CONTACTS: usize = 12;
pub const COMPANIES: usize = 3;
pub const DEALS: usize = 3;
pub const TICKETS: usize = 4;
pub const SEGMENTS: usize = 3;
/// Segments of deals have ids of their own.
pub const FIRST_DEAL_SEGMENT: usize = 11;
pub const ACTIVITIES: usize = 12;

/// Takes its contacts again, and takes each only once.
pub const AGAIN: i64 = 6;
pub const ONCE: i64 = 7;

pub fn thirty_days_ago() -> String {
    days_ago(30)
}

pub fn ninety_days_ago() -> String {
    days_ago(90)
}

/// The account itself: nothing of it changes.
pub fn ground(id: i64) -> Vec<Value> {
    let mut again = manual_workflow(id, AGAIN);
    again["flow"]["enrollmentCriteria"]["shouldReEnroll"] = json!(true);
    [entitled_account(id), vec![again, manual_workflow(id, ONCE)]].concat()
}

/// A full account to begin with: people first, then what they have.
pub fn beginning(account: i64, dice: &mut Dice) -> Vec<Vec<Value>> {
    let people = (1..=7).map(|id| vec![contact(account, id, dice)]);
    let mut files: Vec<Vec<Value>> = people.collect();
    files.extend((0..90).map(|_| vec![record(account, dice)]));
    files
}

/// A record of any kind but those of the ground.
pub fn record(account: i64, dice: &mut Dice) -> Value {
    let mut record = match dice.roll(30) {
        0..=2 => return contact(account, number(dice, CONTACTS), dice),
        3..=4 => object(dice),
        5..=8 => association(dice),
        9..=14 => activity(dice),
        15 => json!({"kind": "deliverability", "email": pick(dice, &ADDRESSES), "at": pick(dice, &AT),
            "status": pick(dice, &["bounced", "unsubscribed", "spam_reported", "quarantined"])}),
        16 if dice.roll(3) == 0 => {
            json!({"kind": "segment", "id": (FIRST_DEAL_SEGMENT + dice.roll(2)).to_string(), "name": "Deals",
            "objectTypeId": "0-3", "processingType": pick(dice, &["DYNAMIC", "MANUAL", "SNAPSHOT"]),
            "members": some(dice, DEALS)})
        }
        16 => {
            json!({"kind": "segment", "id": id(dice, SEGMENTS), "name": "A segment",
            "processingType": pick(dice, &["DYNAMIC", "DYNAMIC", "MANUAL", "SNAPSHOT"]),
            "members": some(dice, CONTACTS)})
        }
        17..=18 => {
            let mut file = json!({"kind": "file", "id": id(dice, 6), "name": text(dice), "contactIds": some(dice, CONTACTS)});
            if dice.roll(2) == 0 {
                file["formSubmissionId"] = json!(id(dice, 5));
            }
            file
        }
        19..=20 => json!({"kind": "quote", "id": id(dice, 4), "title": text(dice), "createdAt": AT[0],
            "contactIds": some(dice, CONTACTS)}),
        _ => owned(dice),
    };
    record["accountId"] = json!(account.to_string());
    record
}

fn contact(account: i64, contact: i64, dice: &mut Dice) -> Value {
    let mut properties = json!({"firstname": pick(dice, &FIRST), "assistant": text(dice)});
    for (name, chance, values) in [
        ("lastname", 8, &LAST[..]),
        ("phone", 5, &PHONES),
        ("lifecyclestage", 8, &STAGES),
        ("email", 8, &ADDRESSES),
    ] {
        if dice.roll(10) < chance {
            properties[name] = json!(pick(dice, values));
        }
    }
    let mut record = json!({"kind": "contact", "accountId": account.to_string(), "id": contact.to_string(),
        "properties": properties, "createdAt": AT[0]});
    if dice.roll(4) == 0 {
        record["additionalEmails"] = json!([pick(dice, &ADDRESSES)]);
    }
    if dice.roll(3) == 0 {
        let (name, values) =
            [("lastname", &LAST[..]), ("phone", &PHONES), ("email", &ADDRESSES), ("assistant", &WORDS)]
                [dice.roll(4)];
        record["propertiesWithHistory"] = json!({name: [{"value": pick(dice, values), "timestamp": AT[1]}, {"value": pick(dice, values), "timestamp": AT[0]}]});
    }
    if dice.roll(6) == 0 {
        record["archived"] = json!(true);
        record["archivedAt"] = json!(days_ago([3, 100][dice.roll(2)]));
    }
    record
}

fn object(dice: &mut Dice) -> Value {
    let mut object = live_object(dice);
    if dice.roll(8) == 0 {
        object["archived"] = json!(true);
        object["archivedAt"] = json!(days_ago([3, 100][dice.roll(2)]));
    }
    object
}

fn live_object(dice: &mut Dice) -> Value {
    match dice.roll(3) {
        0 => {
            let mut company =
                json!({"kind": "company", "id": id(dice, COMPANIES), "properties": {"name": text(dice)}});
            if dice.roll(4) > 0 {
                company["properties"]["lifecyclestage"] = json!(pick(dice, &STAGES));
            }
            company
        }
        1 => json!({"kind": "deal", "id": id(dice, DEALS),
            "properties": {"dealname": text(dice), "dealstage": pick(dice, &["open", "closedwon", "closedlost"])}}),
        _ => json!({"kind": "ticket", "id": id(dice, TICKETS), "properties": {"subject": text(dice)}}),
    }
}

/// One of a contact most of the time; an end that is not there is left as it is.
fn any_end(dice: &mut Dice) -> Value {
    let (kind, count) = [
        ("contact", CONTACTS),
        ("contact", CONTACTS),
        ("contact", CONTACTS),
        ("company", COMPANIES),
        ("deal", DEALS),
        ("ticket", TICKETS),
    ][dice.roll(6)];
    json!({"type": kind, "id": id(dice, count)})
}

fn association(dice: &mut Dice) -> Value {
    let (from, mut to) = (any_end(dice), any_end(dice));
    while from == to {
        to = any_end(dice);
    }
    json!({"kind": "association", "from": from, "to": to, "label": pick(dice, &["", "", "boss"])})
}

fn activity(dice: &mut Dice) -> Value {
    let kind = pick(dice, &["note", "task", "meeting", "call", "email"]);
    let mut properties = json!({"body": text(dice)});
    if kind == "email" {
        properties["hs_email_headers"] = json!(text(dice));
        properties["hs_email_to_email"] = json!(pick(dice, &ADDRESSES));
        properties["hs_email_sender_firstname"] = json!(pick(dice, &FIRST));
    }
    let ends: Vec<Value> = (0..dice.roll(4)).map(|_| any_end(dice)).collect();
    json!({"kind": "activity", "id": id(dice, ACTIVITIES), "type": kind, "timestamp": pick(dice, &AT),
        "properties": properties, "associations": ends})
}

/// A record of one contact.
fn owned(dice: &mut Dice) -> Value {
    let (about, at) = (text(dice), pick(dice, &AT));
    let mut record = match dice.roll(10) {
        0 => json!({"kind": "customEvent", "id": id(dice, 4), "eventTypeId": "6-1", "occurredAt": at,
            "properties": {"about": about}}),
        1 => {
            json!({"kind": "analyticsEvent", "id": id(dice, 8), "occurredAt": at, "source": pick(dice, &["ads", "news"]),
            "type": pick(dice, &["session", "email_open", "email_click", "form_view", "form_submission"])})
        }
        2 => json!({"kind": "feedback", "id": id(dice, 4), "surveyId": "nps", "submittedAt": at, "rating": 3,
            "text": about}),
        3 | 4 => {
            json!({"kind": "formSubmission", "id": id(dice, 5), "formId": pick(dice, &["a", "b"]), "submittedAt": at,
            "values": {"about": about}})
        }
        5 => {
            json!({"kind": "integration", "source": pick(dice, &["shop", "erp"]), "payload": {"about": about}})
        }
        6 => json!({"kind": "lifecycleTransition", "stage": pick(dice, &STAGES), "at": at}),
        7 => json!({"kind": "notification", "id": id(dice, 5), "userId": "1",
            "contactName": format!("{} {}", pick(dice, &FIRST), pick(dice, &LAST)),
            "contactEmail": pick(dice, &ADDRESSES), "title": about, "createdAt": days_ago([1, 31][dice.roll(2)])}),
        8 => json!({"kind": "enrollment", "workflowId": pick(dice, &["6", "7"]), "enrolledAt": at,
            "active": dice.roll(2) == 0}),
        _ => {
            json!({"kind": "conversation", "id": id(dice, 6), "channel": pick(dice, &["chat", "email", "bot"]),
            "ticketIds": some(dice, TICKETS), "messages": [{"at": at, "text": about}]})
        }
    };
    record["contactId"] = json!(id(dice, CONTACTS));
    record
}

/// Phrases, some of which name somebody.
fn text(dice: &mut Dice) -> String {
    let phrase = |dice: &mut Dice| {
        let (first, last) = (pick(dice, &FIRST), pick(dice, &LAST));
        match dice.roll(8) {
            0 => format!("{first} {last}"),
            1 => format!("{last}, {first}").to_uppercase(),
            2 => pick(dice, &ADDRESSES).to_lowercase(),
            3 => pick(dice, &ADDRESSES).to_uppercase(),
            4 => pick(dice, &PHONES).to_owned(),
            _ => pick(dice, &WORDS).to_owned(),
        }
    };
    let phrases: Vec<String> = (0..=dice.roll(3)).map(|_| phrase(dice)).collect();
    phrases.join(" / ")
}

/// An object or an activity, there or not.
pub fn deletable(dice: &mut Dice) -> (String, i64) {
    let (kind, count) =
        [("company", COMPANIES), ("deal", DEALS), ("ticket", TICKETS), ("activity", ACTIVITIES)]
            [dice.roll(4)];
    (kind.to_owned(), number(dice, count))
}

fn number(dice: &mut Dice, count: usize) -> i64 {
    i64::try_from(dice.roll(count) + 1).expect("a small number")
}

fn id(dice: &mut Dice, count: usize) -> String {
    number(dice, count).to_string()
}

/// Up to three different ids.
fn some(dice: &mut Dice, count: usize) -> Vec<String> {
    let mut ids: Vec<String> = (0..dice.roll(4)).map(|_| id(dice, count)).collect();
    ids.sort();
    ids.dedup();
    ids
}

fn pick<'a>(dice: &mut Dice, values: &[&'a str]) -> &'a str {
    values[dice.roll(values.len())]
}

/// Any of the addresses, as somebody may type it.
pub fn address(dice: &mut Dice) -> &'static str {
    pick(dice, &ADDRESSES)
}
