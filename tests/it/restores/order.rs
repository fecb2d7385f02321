//! Rule 1: deleting contacts that hang together, and restoring them, in any order and by any lists, ends in the
//! same state.

use serde_json::{Value, json};

use super::{linked, restore_list, with};
use crate::model::Dice;
use crate::support::records::contact;
use crate::support::{Database, on_both};

const CONTACTS: i64 = 8;
/// In the order in which they count; the rest counts for nothing.
const STAGES: [&str; 9] = [
    "subscriber",
    "lead",
    "marketingqualifiedlead",
    "salesqualifiedlead",
    "opportunity",
    "customer",
    "evangelist",
    "other",
    "",
];
const AT: &str = "2026-01-06T10:00:00Z";

/// Contacts, companies, deals and tickets, linked at random, with activities, conversations, quotes and files; each
/// company in the stage that follows from its contacts and deals, or in one set by hand.
fn graph(dice: &mut Dice) -> Vec<Value> {
    let mut records = Vec::new();
    let stages: Vec<usize> = (0..CONTACTS).map(|_| dice.roll(STAGES.len())).collect();
    for (id, stage) in (1..).zip(&stages) {
        let mut person = contact(1, id, json!({"lifecyclestage": STAGES[*stage]}));
        person["additionalEmails"] = json!([format!("second{id}@example.com")]);
        records.push(person);
    }
    for id in 1..=3 {
        records.push(json!({"kind": "ticket", "accountId": "1", "id": id.to_string(), "properties": {}}));
    }
    for company in 1..=4 {
        records.extend(one_company(company, &stages, dice));
    }
    for one in 1..=CONTACTS {
        for other in (1..=CONTACTS).filter(|_| dice.roll(4) == 0) {
            records.push(linked(("contact", one), ("contact", other)));
        }
        if dice.roll(2) == 0 {
            records.push(linked(("ticket", 1 + at(dice.roll(3))), ("contact", one)));
        }
    }
    records.extend((100..140).map(|id| shared(id, dice)));
    records
}

fn at(roll: usize) -> i64 {
    i64::try_from(roll).unwrap()
}

/// A company with some of the contacts, perhaps a deal, and its stage.
fn one_company(id: i64, stages: &[usize], dice: &mut Dice) -> Vec<Value> {
    let mut records = Vec::new();
    let mut furthest = None;
    for (contact, stage) in (1..).zip(stages) {
        let (contact, company) = (("contact", contact), ("company", id));
        match dice.roll(4) {
            0 => records.push(linked(contact, company)),
            1 => records.push(linked(company, contact)),
            _ => continue,
        }
        furthest = furthest.max(Some(*stage).filter(|stage| *stage < 7));
    }
    if dice.roll(2) == 0 {
        records.push(json!({"kind": "deal", "accountId": "1", "id": id.to_string(), "properties": {"dealstage": "open"}}));
        records.push(linked(("company", id), ("deal", id)));
        furthest = furthest.max(Some(4));
    }
    let by_hand = ["partner", "", "lead", "opportunity", "customer"];
    let stage =
        if dice.roll(3) == 0 { Some(by_hand[dice.roll(5)]) } else { furthest.map(|stage| STAGES[stage]) };
    let properties = stage.map_or_else(|| json!({}), |stage| json!({"lifecyclestage": stage}));
    records
        .push(json!({"kind": "company", "accountId": "1", "id": id.to_string(), "properties": properties}));
    records
}

/// Something that hangs on one to three contacts.
fn shared(id: i64, dice: &mut Dice) -> Value {
    let contacts: Vec<String> = (0..=dice.roll(3)).map(|_| (1 + at(dice.roll(8))).to_string()).collect();
    let ends: Vec<Value> = contacts.iter().map(|id| json!({"type": "contact", "id": id})).collect();
    let company = json!({"type": "company", "id": (1 + dice.roll(4)).to_string()});
    let mut record = match dice.roll(5) {
        0 => json!({"kind": "activity", "type": (["note", "task", "meeting", "call", "email"][dice.roll(5)]),
            "timestamp": AT, "properties": {"body": "x"}, "associations": ends}),
        1 => {
            json!({"kind": "activity", "type": (["call", "email"][dice.roll(2)]), "timestamp": AT, "properties": {},
            "associations": [ends[0], company]})
        }
        2 => {
            json!({"kind": "conversation", "channel": (["chat", "bot"][dice.roll(2)]), "contactId": contacts[0],
            "ticketIds": [(1 + dice.roll(3)).to_string()], "messages": []})
        }
        3 => json!({"kind": "quote", "title": "q", "contactIds": contacts, "createdAt": AT}),
        _ => json!({"kind": "file", "name": "f", "contactIds": contacts}),
    };
    record["accountId"] = json!("1");
    record["id"] = json!(id.to_string());
    record
}

on_both!(deleting_and_restoring_in_any_order_ends_as_it_began, async |db: Database| {
    for seed in 1..=2 {
        let mut dice = Dice::new(seed * 7919);
        let db = if db.is_sqlite() { Database::sqlite() } else { Database::postgres().await };
        let reaper = with(&db, &graph(&mut dice)).await;
        // What these keep is ids, times and changes of what was done, when a contact came back, and which stages of companies
        // were set by hand.
        let others =
            ["contacts", "contact_counts", "deletions", "trash_entries", "audit", "outbox", "manual_stages"];
        let before = db.dump(&others).await;
        let people = "SELECT CAST(contact_id AS text), CAST(properties AS text), CAST(history AS text), \
                      CAST(created_at AS text), CAST(deleted_at AS text) FROM contacts ORDER BY contact_id";
        let people_before = db.rows(people).await;
        let mut ids: Vec<i64> = (1..=CONTACTS).collect();
        for _ in 0..2 {
            dice.shuffle(&mut ids);
            for id in &ids[dice.roll(3)..] {
                reaper.delete(1, *id).await;
            }
            dice.shuffle(&mut ids);
            let mut rest = &ids[..];
            while !rest.is_empty() {
                let (list, after) = rest.split_at(rest.len().min(1 + dice.roll(5)));
                restore_list(&reaper, list).await;
                rest = after;
            }
            db.assert_unchanged_since(&before).await;
            assert_eq!(db.rows(people).await, people_before, "seed {seed}");
        }
    }
});
