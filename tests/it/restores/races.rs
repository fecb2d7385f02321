//! Restores of lists against what deletes for good: each contact is whole back or whole gone.

use std::time::Duration;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use serde_json::{Value, json};

use super::{document, restore_list, restored, waiting_for, with};
use crate::support::records::contact;
use crate::support::{Database, Output, Reaper, on_both};

const CONTACTS: i64 = 24;
const AT_ONCE: usize = 6;

/// A contact in the trash since then, and a row that hangs on it.
fn trashed_at(id: i64, at: DateTime<Utc>) -> [Value; 2] {
    let mut record = contact(1, id, json!({}));
    record["archived"] = json!(true);
    record["archivedAt"] = json!(at.to_rfc3339_opts(SecondsFormat::Micros, true));
    let payload = json!({"kind": "integration", "accountId": "1", "contactId": id.to_string(), "source": "shop",
        "payload": {}});
    [record, payload]
}

/// How many rows there are of a contact, in the tables that hold it and in the one of those who are gone.
async fn rows_of(db: &Database, contact: i64) -> Vec<i64> {
    let mut rows = Vec::new();
    for table in ["contacts", "contact_emails", "integrations", "gone_contacts"] {
        rows.push(db.count(table, &format!("contact_id = {contact}")).await);
    }
    rows
}

/// The contacts that a restore says it brought back; it says something of each.
fn brought_back(output: &Output, asked: &[i64]) -> Vec<i64> {
    let report = document(output);
    let ids = |rows: &Value, id: &dyn Fn(&Value) -> Value| -> Vec<i64> {
        rows.as_array().unwrap().iter().map(|row| id(row).as_str().unwrap().parse().unwrap()).collect()
    };
    let back = ids(&report["restored"], &Value::clone);
    let mut answered = ids(&report["refused"], &|row| row["contactId"].clone());
    answered.extend(&back);
    answered.sort_unstable();
    let mut asked = asked.to_vec();
    asked.sort_unstable();
    assert_eq!(answered, asked, "{}", output.stderr);
    back
}

on_both!(a_list_races_with_erasures, async |db: Database| {
    let yesterday = Utc::now() - TimeDelta::days(1);
    let records: Vec<Value> = (1..=CONTACTS).flat_map(|id| trashed_at(id, yesterday)).collect();
    let reaper = with(&db, &records).await;
    let ids: Vec<i64> = (1..=CONTACTS).collect();
    let restores = async {
        let mut back = Vec::new();
        for list in ids.chunks(AT_ONCE) {
            // Against the order in which the rows are locked.
            let list: Vec<i64> = list.iter().rev().copied().collect();
            back.extend(brought_back(&restore_list(&reaper, &list).await, &list));
        }
        back
    };
    let erasures = async {
        for id in (2..=CONTACTS).step_by(2) {
            let id = id.to_string();
            reaper.json(&["erase", "--account", "1", "--as", "1", "--contact", &id, "--confirm", "1"]).await;
        }
    };
    let (back, ()) = tokio::join!(restores, erasures);
    for id in ids {
        let closed_as = if back.contains(&id) { "restored" } else { "erased" };
        let closed = format!("contact_id = {id} AND closed_as = '{closed_as}'");
        assert_eq!(db.count("trash_entries", &closed).await, 1, "{id} {closed_as}");
        let expected = if id % 2 == 0 { [0, 0, 0, 1] } else { [1, 1, 1, 0] };
        assert_eq!(rows_of(&db, id).await, expected, "{id} {closed_as}");
    }
    assert_eq!(db.count("outbox", "type = 'contact.restore'").await, i64::try_from(back.len()).unwrap());
});

on_both!(a_list_races_with_purges, async |db: Database| {
    const NINETY_DAYS: TimeDelta = TimeDelta::days(90);
    // The 90 days of one after the other end while lists are restored and purges run.
    let first = Utc::now() + TimeDelta::milliseconds(1200);
    let ends = |id: i64| first + TimeDelta::milliseconds(40 * id);
    let records: Vec<Value> = (1..=CONTACTS).flat_map(|id| trashed_at(id, ends(id) - NINETY_DAYS)).collect();
    let reaper = with(&db, &records).await;
    let purge = async |reaper: &Reaper| reaper.json(&["retention", "run", "--job", "purge_trash"]).await;
    let ids: Vec<i64> = (1..=CONTACTS).collect();
    let restores = async {
        let mut back = Vec::new();
        for list in ids.chunks(AT_ONCE) {
            let middle = ends(list[AT_ONCE / 2]) - TimeDelta::milliseconds(60);
            tokio::time::sleep((middle - Utc::now()).to_std().unwrap_or(Duration::ZERO)).await;
            back.extend(brought_back(&restore_list(&reaper, list).await, list));
        }
        back
    };
    let purges = async {
        while Utc::now() <= ends(CONTACTS) {
            purge(&reaper).await;
        }
    };
    let (back, ()) = tokio::join!(restores, purges);
    purge(&reaper).await;
    for id in ids {
        let expected = if back.contains(&id) { [1, 1, 1, 0] } else { [0, 0, 0, 1] };
        assert_eq!(rows_of(&db, id).await, expected, "{id} of {back:?}");
    }
});

/// Two contacts in the trash.
async fn two(db: &Database) -> Reaper {
    let yesterday = Utc::now() - TimeDelta::days(1);
    with(db, &(1..=2).flat_map(|id| trashed_at(id, yesterday)).collect::<Vec<_>>()).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_list_that_waited_for_a_purge_says_who_is_gone() {
    let db = Database::postgres().await;
    let reaper = two(&db).await;
    let purge = "DELETE FROM integrations WHERE contact_id = 1; DELETE FROM contact_emails WHERE contact_id = 1; \
        DELETE FROM contacts WHERE contact_id = 1; INSERT INTO gone_contacts VALUES (1, 1, 'purged', now()); \
        UPDATE trash_entries SET closed_at = now(), closed_as = 'purged' WHERE contact_id = 1";
    let report = document(&waiting_for(&db, purge, restored(&reaper, "1", &["--contact", "1", "2"])).await);
    assert_eq!((&report["restored"], &report["refused"][0]["reason"]), (&json!(["2"]), &json!("purged")));
    assert_eq!(db.count("outbox", "TRUE").await, 1);
    assert_eq!(db.count("trash_entries", "contact_id = 1 AND closed_as = 'purged'").await, 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_undoing_that_waited_for_another_deletion_leaves_it() {
    let db = Database::postgres().await;
    let reaper = two(&db).await;
    db.execute(
        "UPDATE trash_entries SET deleted_by = 'workflow', workflow_id = 6, enrollment_id = contact_id",
    )
    .await;
    // Somebody restored the contact, and deleted it again.
    let deed = "UPDATE trash_entries SET closed_at = now(), closed_as = 'restored' WHERE contact_id = 1; \
        INSERT INTO trash_entries (account_id, contact_id, deleted_at, deleted_by, user_id) \
        VALUES (1, 1, now(), 'user', 1); \
        UPDATE contacts SET deleted_at = now(), trash_entry_id = (SELECT max(entry_id) FROM trash_entries) \
        WHERE contact_id = 1";
    let what = ["--workflow", "6", "--since", "2026-01-01T00:00:00Z"];
    let output = waiting_for(&db, deed, restored(&reaper, "1", &what)).await;
    assert_eq!(document(&output), json!({"restored": ["2"], "refused": []}));
    assert_eq!(reaper.contact(1, 1).await["trash"]["deletedBy"], json!({"kind": "user", "userId": "1"}));
}

// Enrollments that are made while a restore waits were made before it.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn restore_that_waited_is_dated_by_the_end_of_its_wait() {
    let db = Database::postgres().await;
    let reaper = with(&db, &[contact(1, 1, json!({})), contact(1, 2, json!({}))]).await;
    reaper.delete(1, 1).await;
    let held = "SELECT 1 FROM contacts WHERE contact_id = 1 FOR UPDATE; \
                UPDATE contacts SET created_at = now() WHERE contact_id = 2";
    let output = waiting_for(&db, held, restore_list(&reaper, &[1])).await;
    assert_eq!(output.code, 0, "{}", output.stderr);
    // The other transaction held the contact for two seconds from its start on.
    let since = "(SELECT created_at + interval '2 seconds' FROM contacts WHERE contact_id = 2)";
    assert_eq!(db.count("contacts", &format!("contact_id = 1 AND restored_at >= {since}")).await, 1);
}
