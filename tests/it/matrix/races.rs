//! Races for one contact, many times over: a restore against a purge, and an erase against a restore. Whoever commits
//! first wins whole, the other says so, and the rows are those of the one end or the other, down to the last.
//!
//! `REAPER_RACES=1000` is the long form, on each database.

use std::time::Duration;

use contact_reaper::store::Store;
use contact_reaper::store::privacy::erase::ErasureTarget;
use contact_reaper::store::retention::{Locked, Sweep, Target};
use serde_json::{Value, json};

use super::model::Account;
use super::number;
use super::play::same;
use super::rows::stored;
use crate::model::Dice;
use crate::support::records::{ADMIN, days_ago, entitled_account};
use crate::support::{Database, import, on_both};

/// Contacts of an account that are raced for; their neighbour stays.
const EACH: i64 = 25;
const NEIGHBOUR: i64 = EACH + 1;
const AT: &str = "2026-01-03T10:00:00.000000Z";

on_both!(where_a_restore_and_a_purge_race_one_wins_whole, async |db: Database| {
    let mut dice = Dice::new(71);
    let mut restored = 0;
    let races = race(&db, async |store: &Store, model: &mut Account, (account, contact)| {
        // Only this one is due: for a purge after two days, and long before a restore would be refused.
        let of = format!("account_id = {account} AND contact_id = {contact}");
        let (trash, entry) = (format!("deleted_at = '{}'", days_ago(3)), "closed_at IS NULL");
        db.execute(&format!(
            "UPDATE contacts SET {trash} WHERE {of}; UPDATE trash_entries SET {trash} WHERE {of} AND {entry}"
        ))
        .await;
        let locked = if contact % 2 == 0 { Locked::Wait } else { Locked::Skip };
        let after = Duration::from_hours(48);
        let sweep = Sweep { target: Target::Trash, after, limit: 10, locked, ..crate::support::sweep() };
        let (restore, purge) = (restore(store, account, contact, dice.roll(3)), async {
            head_start(dice.roll(3)).await;
            store.sweep(&sweep).await.expect("the purge works").deleted
        });
        match tokio::join!(restore, purge) {
            (Ok(()), 0) => {
                model.restore(contact).expect("it is in the trash");
                restored += 1;
            }
            (Err(said), 1) if said.contains("was purged and is gone for good") => {
                model
                    .contacts
                    .get_mut(&contact)
                    .and_then(|it| it.trash.as_mut())
                    .expect("in the trash")
                    .old = true;
                model.purge();
            }
            other => panic!("contact {contact} of account {account}: {other:?}"),
        }
    })
    .await;
    println!("{races} races, {restored} restored");
    assert!(restored > 0 && restored < races, "{restored} of {races} were restored: that was no race");
});

on_both!(where_an_erase_and_a_restore_race_the_person_is_gone_whole, async |db: Database| {
    let mut dice = Dice::new(73);
    let mut restored = 0;
    let races = race(&db, async |store: &Store, model: &mut Account, (account, contact)| {
        let (restore, erase) = (restore(store, account, contact, dice.roll(3)), async {
            head_start(dice.roll(3)).await;
            store
                .erase(account, &ADMIN.to_string(), &ErasureTarget::Contact(contact), 1)
                .await
                .expect("the erase works")
        });
        // An erase takes those who are back as well.
        match tokio::join!(restore, erase).0 {
            Ok(()) => {
                model.restore(contact).expect("it is in the trash");
                restored += 1;
            }
            Err(said) => assert!(said.contains("was erased and is gone for good"), "{said}"),
        }
        model.erase(contact).expect("it is there");
    })
    .await;
    println!("{races} races, {restored} restored first");
    assert!(restored > 0 && restored < races, "{restored} of {races} were restored: that was no race");
});

/// Runs a race for each of so many contacts in the trash, and holds what is left of their accounts against the model.
async fn race(db: &Database, mut run: impl AsyncFnMut(&Store, &mut Account, (i64, i64))) -> usize {
    let races = number("REAPER_RACES").unwrap_or(150);
    let store = db.open_with(4);
    store.migrate().await.expect("the schema");
    let accounts = races.div_ceil(usize::try_from(EACH).expect("few"));
    for account in (1..).take(accounts) {
        import(&store, &entitled_account(account)).await.expect("an account");
        let mut model = Account::default();
        let records = records(account);
        import(&store, &records).await.expect("records");
        model.import(&records).expect("records");
        for contact in 1..=EACH {
            run(&store, &mut model, (account, contact)).await;
        }
        let stored = stored(db, account).await;
        for (table, rows) in model.rows() {
            let what = format!("account {account}, table {table}");
            same(&what, &stored[table], &rows).unwrap_or_else(|difference| panic!("{difference}"));
        }
    }
    store.close().await;
    accounts * usize::try_from(EACH).expect("few")
}

/// Lets the other one begin, or not.
async fn head_start(milliseconds: usize) {
    if milliseconds > 0 {
        tokio::time::sleep(Duration::from_millis(milliseconds as u64)).await;
    }
}

async fn restore(store: &Store, account: i64, contact: i64, milliseconds: usize) -> Result<(), String> {
    head_start(milliseconds).await;
    match store.restore_contact(account, &ADMIN.to_string(), contact).await {
        Err(error) if error.is_refusal() => Err(error.to_string()),
        answer => {
            answer.expect("the restore works");
            Ok(())
        }
    }
}

/// People in the trash with something in every category, alone and together with their neighbour.
fn records(account: i64) -> Vec<Value> {
    let mut records = vec![
        json!({"kind": "company", "id": "1", "properties": {"name": "Works", "lifecyclestage": "lead"}}),
    ];
    records.extend((1..=NEIGHBOUR).flat_map(|contact| of(contact, contact == NEIGHBOUR)));
    for record in &mut records {
        record["accountId"] = json!(account.to_string());
    }
    records
}

fn of(contact: i64, live: bool) -> Vec<Value> {
    let id = contact.to_string();
    let (email, name) = (format!("p{id}@x.example"), format!("Person{id}"));
    let end = |kind: &str, id: i64| json!({"type": kind, "id": id.to_string()});
    let own = end("contact", contact);
    let mut person = json!({"kind": "contact", "id": id, "createdAt": AT,
        "properties": {"email": email, "firstname": name, "lastname": "Quist", "lifecyclestage": "lead"}});
    if !live {
        person["archived"] = json!(true);
        person["archivedAt"] = json!(days_ago(1));
    }
    let activity = |nth: i64, kind: &str, ends: &[Value]| {
        json!({"kind": "activity", "id": (10 * contact + nth).to_string(), "type": kind, "timestamp": AT,
            "properties": {"body": format!("{name} Quist"), "hs_email_headers": email}, "associations": ends})
    };
    vec![
        person,
        json!({"kind": "ticket", "id": id, "properties": {"subject": email}}),
        json!({"kind": "association", "from": own, "to": end("company", 1)}),
        activity(0, "note", std::slice::from_ref(&own)),
        activity(1, "call", &[own.clone(), end("company", 1)]),
        activity(2, "email", &[own.clone(), end("contact", NEIGHBOUR)]),
        activity(3, "task", &[own]),
        json!({"kind": "conversation", "id": id, "channel": "chat", "contactId": id, "ticketIds": [id],
            "messages": [{"at": AT, "text": email}]}),
        json!({"kind": "deliverability", "email": email, "status": "unsubscribed", "at": AT}),
        json!({"kind": "customEvent", "id": id, "contactId": id, "eventTypeId": "6-1", "occurredAt": AT, "properties": {"about": email}}),
        json!({"kind": "analyticsEvent", "id": id, "contactId": id, "type": "session", "occurredAt": AT, "source": "ads"}),
        json!({"kind": "formSubmission", "id": id, "formId": "a", "contactId": id, "submittedAt": AT, "values": {"about": email}}),
        json!({"kind": "file", "id": id, "name": email, "formSubmissionId": id}),
        json!({"kind": "integration", "contactId": id, "source": "shop", "payload": {"about": email}}),
        json!({"kind": "lifecycleTransition", "contactId": id, "stage": "lead", "at": AT}),
        json!({"kind": "notification", "id": id, "userId": "1", "contactId": id, "contactName": name,
            "contactEmail": email, "title": "Opened", "createdAt": days_ago(1)}),
        json!({"kind": "quote", "id": id, "title": email, "contactIds": [id, NEIGHBOUR.to_string()], "createdAt": AT}),
    ]
}
