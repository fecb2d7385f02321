//! An import against an erasure, a purge, a deletion and a restore of the people it is about, many times over; and beside a
//! service that decides.
//!
//! `REAPER_RACES=1000` is the long form, on each database.

use std::time::Duration;

use contact_reaper::store::Store;
use contact_reaper::store::import::Pace;
use contact_reaper::store::privacy::erase::ErasureTarget;
use contact_reaper::store::retention::{Locked, Sweep};
use serde_json::{Value, json};

use crate::matrix::number;
use crate::model::Dice;
use crate::support::records::{
    ADMIN, contact, days_ago, enrollment, entitled_account, event, manual_workflow, segment,
};
use crate::support::{Broker, DEADLINE, Database, Reaper, import, import_at, on_both, wait_until};

const AT: &str = "2026-01-03T10:00:00Z";

fn races() -> i64 {
    i64::try_from(number("REAPER_RACES").unwrap_or(40)).expect("not that many")
}

/// A contact and what hangs on it.
fn person(id: i64, address: &str, archived: bool) -> Vec<Value> {
    let text = id.to_string();
    let mut person = contact(1, id, json!({ "email": address }));
    if archived {
        person["archived"] = json!(true);
        person["archivedAt"] = json!(days_ago(100));
    }
    let end = |kind: &str, id: i64| json!({"type": kind, "id": id.to_string()});
    let of = |kind: &str, members: Value| {
        let mut record = json!({"kind": kind, "accountId": "1", "id": text, "contactId": text});
        record.as_object_mut().expect("an object").append(&mut members.as_object().expect("one").clone());
        record
    };
    vec![
        person,
        of("customEvent", json!({"eventTypeId": "6-1", "occurredAt": AT, "properties": {"about": address}})),
        of("integration", json!({"source": "shop", "payload": {"about": address}})),
        of("formSubmission", json!({"formId": "f", "submittedAt": AT, "values": {"about": address}})),
        of("activity", json!({"type": "note", "timestamp": AT, "associations": [end("contact", id)]})),
        of("association", json!({"from": end("contact", id), "to": end("company", 1)})),
        of("quote", json!({"title": "q", "contactIds": [text], "createdAt": AT})),
        segment(1, id, &[id]),
        enrollment(1, 6, id, true),
        json!({"kind": "deliverability", "accountId": "1", "email": address, "status": "unsubscribed", "at": AT}),
    ]
}

/// Runs a race for each of so many people: they are imported again, piece by piece, while something is done to them.
async fn race(
    db: &Database,
    archived: bool,
    mut other: impl AsyncFnMut(&Store, i64),
    mut after: impl AsyncFnMut(&Store, i64),
) {
    let mut dice = Dice::new(79);
    let store = db.open_with(4);
    store.migrate().await.expect("the schema");
    let mut ground = entitled_account(1);
    ground.extend([
        manual_workflow(1, 6),
        json!({"kind": "company", "accountId": "1", "id": "1", "properties": {}}),
    ]);
    import(&store, &ground).await.expect("an account");
    for id in 1..=races() {
        let records = person(id, &format!("p{id}@x.example"), archived);
        import(&store, &records).await.expect("a person");
        let chunk = if id % 2 == 0 { Duration::ZERO } else { Duration::from_secs(1) };
        let pace = Pace { chunk, rest: Duration::ZERO };
        let head_start = Duration::from_millis(dice.roll(20) as u64);
        let mut between = |_| {};
        let (imported, ()) = tokio::join!(import_at(&store, &records, pace, &mut between), async {
            tokio::time::sleep(head_start).await;
            other(&store, id).await;
        });
        imported.expect("the import works");
        after(&store, id).await;
    }
    store.close().await;
}

/// Nothing of the person is left, in any table, whichever came first.
async fn assert_gone(db: &Database, id: i64) {
    for table in [
        "contacts",
        "contact_emails",
        "custom_events",
        "integrations",
        "form_submissions",
        "quote_contacts",
        "segment_members",
        "workflow_enrollments",
    ] {
        assert_eq!(db.count(table, &format!("contact_id = {id}")).await, 0, "{table} of {id}");
    }
    let association = format!("from_type = 'contact' AND from_id = {id}");
    assert_eq!(db.count("associations", &association).await, 0, "an association of {id}");
    let activity = format!("object_type = 'contact' AND object_id = {id}");
    assert_eq!(db.count("activity_associations", &activity).await, 0, "an activity of {id}");
    let address = format!("email_key = 'p{id}@x.example'");
    assert_eq!(db.count("deliverability", &address).await, 0, "the address of {id}");
    // The next contact with the address is still unsubscribed.
    assert!(db.count("address_hashes", "status = 'unsubscribed'").await >= 1);
}

on_both!(an_erased_person_stays_erased_beside_an_import, async |db: Database| {
    let erase = async |store: &Store, id: i64| {
        let user = ADMIN.to_string();
        store.erase(1, &user, &ErasureTarget::Contact(id), 1).await.expect("the erase works");
    };
    race(&db, false, erase, async |_: &Store, id: i64| assert_gone(&db, id).await).await;
    assert_eq!(db.count("address_hashes", "status = 'unsubscribed'").await, races());
});

on_both!(a_purged_person_stays_purged_beside_an_import, async |db: Database| {
    let purge = async |store: &Store, id: i64| {
        let sweep = Sweep { limit: 10, locked: Locked::Wait, ..crate::support::sweep() };
        wait_until("the contact is purged", DEADLINE, async || {
            store.sweep(&sweep).await.expect("the purge works").deleted > 0
                || db.count("gone_contacts", &format!("contact_id = {id}")).await > 0
        })
        .await;
    };
    race(&db, true, purge, async |_: &Store, id: i64| assert_gone(&db, id).await).await;
});

on_both!(a_deleted_contact_is_in_no_segment_and_no_workflow_beside_an_import, async |db: Database| {
    let delete = async |store: &Store, id: i64| {
        store.delete_contact(1, &ADMIN.to_string(), id).await.expect("the delete works");
    };
    let check = async |_: &Store, id: i64| {
        assert_eq!(db.count("contacts", &format!("contact_id = {id} AND deleted_at IS NOT NULL")).await, 1);
        assert_eq!(db.count("segment_members", &format!("contact_id = {id}")).await, 0, "a segment has {id}");
        let active = format!("contact_id = {id} AND active");
        assert_eq!(db.count("workflow_enrollments", &active).await, 0, "{id} is enrolled");
    };
    race(&db, false, delete, check).await;
});

on_both!(a_restored_contact_is_not_enrolled_by_what_is_older, async |db: Database| {
    let restore = async |store: &Store, id: i64| {
        db.execute(&format!(
            "UPDATE trash_entries SET deleted_at = '{at}' WHERE contact_id = {id}; \
             UPDATE contacts SET deleted_at = '{at}' WHERE contact_id = {id} AND deleted_at IS NOT NULL",
            at = days_ago(1)
        ))
        .await;
        store.restore_contact(1, &ADMIN.to_string(), id).await.expect("the restore works");
    };
    let check = async |_: &Store, id: i64| {
        assert_eq!(db.count("contacts", &format!("contact_id = {id} AND deleted_at IS NULL")).await, 1);
        let active = format!("contact_id = {id} AND active");
        assert_eq!(db.count("workflow_enrollments", &active).await, 0, "{id} is enrolled");
        let held = format!("email_key = 'p{id}@x.example' AND live");
        assert_eq!(db.count("contact_emails", &held).await, 1, "{id} has its address");
    };
    race(&db, true, restore, check).await;
});

on_both!(a_newcomer_with_the_address_of_an_erased_person_is_never_mailed, async |db: Database| {
    let mut dice = Dice::new(83);
    let store = db.open_with(4);
    store.migrate().await.expect("the schema");
    import(&store, &entitled_account(1)).await.expect("an account");
    for id in 1..=races() {
        let address = format!("p{id}@x.example");
        let mut old = contact(1, id, json!({ "email": address }));
        old["archived"] = json!(true);
        let unsubscribed = json!({"kind": "deliverability", "accountId": "1", "email": address,
            "status": "unsubscribed", "at": AT});
        import(&store, &[old, unsubscribed]).await.expect("a person in the trash");
        let newcomer = [contact(1, 100_000 + id, json!({ "email": address }))];
        let head_start = Duration::from_millis(dice.roll(12) as u64);
        let user = ADMIN.to_string();
        let (imported, erased) = tokio::join!(import(&store, &newcomer), async {
            tokio::time::sleep(head_start).await;
            store.erase(1, &user, &ErasureTarget::Contact(id), 1).await
        });
        imported.expect("the import works");
        erased.expect("the erase works");
        let in_force = format!("email_key = '{address}' AND status = 'unsubscribed'");
        assert_eq!(db.count("deliverability", &in_force).await, 1, "{id}");
    }
    store.close().await;
});

on_both!(enrollments_beside_an_import_are_decided_and_none_is_retried, async |db: Database| {
    const CONTACTS: i64 = 1_500;
    const ENROLLMENTS: i64 = 200;
    let broker = Broker::new().await;
    let reaper = Reaper::new(&db).fed_by(&broker).unguarded();
    let world = |city: &str| -> Vec<Value> {
        let mut records = entitled_account(1);
        records.push(manual_workflow(1, 6));
        records.extend((1..=CONTACTS).map(|id| contact(1, id, json!({ "city": city }))));
        records
    };
    reaper.import(&world("Bonn")).await;
    let mut worker = reaper.spawn(&["run"]);
    worker.wait_ready().await;
    let events: Vec<String> = (1..=ENROLLMENTS)
        .map(|id| {
            let mut event = event(1, 6, id * CONTACTS / ENROLLMENTS, id);
            event["data"]["cause"] = json!("MANUAL");
            event.to_string()
        })
        .collect();
    // Every contact is written, and so locked, while those of the enrollments are to go.
    let again = world("Kiel");
    tokio::join!(reaper.import(&again), broker.publish(&events));
    wait_until("all are decided", DEADLINE, async || {
        db.count("ledger", "outcome = 'deleted'").await == ENROLLMENTS
    })
    .await;
    let metrics = worker.metrics().await;
    let retries: Vec<&str> =
        metrics.lines().filter(|line| line.starts_with("contact_reaper_retries_total")).collect();
    assert!(!retries.is_empty() && retries.iter().all(|line| line.ends_with(" 0")), "{retries:?}");
    assert_eq!(db.count("contacts", "deleted_at IS NOT NULL").await, ENROLLMENTS);
    worker.terminate();
});
