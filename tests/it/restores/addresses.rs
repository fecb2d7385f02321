//! Addresses that contacts in the trash share: who lives has them, and who comes first.

use serde_json::{Value, json};

use super::{document, restore_list, trashed, waiting_for, with};
use crate::support::records::{self, contact, lines};
use crate::support::{Database, Output, Reaper, on_both};

const SHARED: &str = "shared@example.com";

/// A contact who lives, with the address.
fn of_shared(id: i64) -> Value {
    let mut record = contact(1, id, json!({}));
    record["additionalEmails"] = json!([SHARED]);
    record
}

async fn import(reaper: &Reaper, record: &Value) -> Output {
    reaper.run_with_input(&["import", "-"], &lines(std::slice::from_ref(record))).await
}

/// The one who may not come back, and who has the address.
fn refused(output: &Output) -> (Value, Value) {
    let row = &document(output)["refused"][0];
    (row["contactId"].clone(), row["heldBy"].clone())
}

on_both!(an_address_belongs_to_who_lives_however_often_it_changes_hands, async |db: Database| {
    let reaper = with(&db, &[of_shared(1)]).await;
    reaper.delete(1, 1).await;
    // From the trash to a newcomer.
    assert_eq!(import(&reaper, &of_shared(2)).await.code, 0);
    assert_eq!(refused(&restore_list(&reaper, &[1]).await), (json!("1"), json!("2")));
    // From the trash to one who comes back from there, and the other way round.
    reaper.delete(1, 2).await;
    assert_eq!(restore_list(&reaper, &[1]).await.code, 0);
    assert_eq!(refused(&restore_list(&reaper, &[2]).await), (json!("2"), json!("1")));
    reaper.delete(1, 1).await;
    // Of two in one list who is named first.
    let output = restore_list(&reaper, &[2, 1]).await;
    assert_eq!(document(&output)["restored"], json!(["2"]));
    assert_eq!(refused(&output), (json!("1"), json!("2")));
    // Nobody else may have it now, and after the trash is gone somebody may.
    let output = import(&reaper, &of_shared(3)).await;
    assert!(output.code == 1 && output.stderr.contains("live contact 2 holds"), "{}", output.stderr);
    reaper.delete(1, 2).await;
    for id in ["1", "2"] {
        reaper.json(&["erase", "--account", "1", "--as", "1", "--contact", id, "--confirm", "1"]).await;
    }
    assert_eq!(import(&reaper, &of_shared(3)).await.code, 0);
});

/// One of those who live has the address, and each of them holds what it has.
async fn assert_one_holds_it(db: &Database) {
    let of_those_who_live = "contact_id IN (SELECT contact_id FROM contacts WHERE deleted_at IS NULL)";
    let shared = format!("email_key = '{SHARED}' AND {of_those_who_live}");
    assert_eq!(db.count("contact_emails", &shared).await, 1);
    assert_eq!(db.count("contact_emails", &format!("NOT live AND {of_those_who_live}")).await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_import_that_waited_for_a_restore_finds_the_address_taken() {
    let db = Database::postgres().await;
    let reaper = with(&db, &[of_shared(1)]).await;
    reaper.delete(1, 1).await;
    // It held its address in the trash: nothing of that is written.
    let restore = "UPDATE contacts SET deleted_at = NULL, trash_entry_id = NULL WHERE contact_id = 1; \
        UPDATE trash_entries SET closed_at = now(), closed_as = 'restored' WHERE contact_id = 1";
    let output = waiting_for(&db, restore, import(&reaper, &of_shared(2))).await;
    assert!(output.code == 1 && output.stderr.contains("live contact 1 holds"), "{}", output.stderr);
    assert_one_holds_it(&db).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_restore_that_waited_for_a_newcomer_finds_the_address_taken() {
    let db = Database::postgres().await;
    let reaper = with(&db, &[of_shared(1), contact(1, 2, json!({}))]).await;
    reaper.delete(1, 1).await;
    let newcomer = format!(
        "SELECT 1 FROM contacts WHERE contact_id = 1 FOR UPDATE; \
         UPDATE contact_emails SET live = FALSE WHERE contact_id = 1; \
         INSERT INTO contact_emails VALUES (1, 2, '{SHARED}', '{SHARED}', TRUE)"
    );
    let output = waiting_for(&db, &newcomer, restore_list(&reaper, &[1])).await;
    assert_eq!(refused(&output), (json!("1"), json!("2")));
    assert_one_holds_it(&db).await;
}

on_both!(restores_and_imports_race_for_addresses, async |db: Database| {
    const PAIRS: i64 = 20;
    let address = |id: i64| format!("pair{id}@example.com");
    let in_trash: Vec<Value> = (1..=PAIRS).map(|id| trashed(id, 1, &[&address(id)])).collect();
    let reaper = with(&db, &in_trash).await;
    let restores = async {
        for id in 1..=PAIRS {
            restore_list(&reaper, &[id]).await;
        }
    };
    let imports = async {
        for id in 1..=PAIRS {
            let mut newcomer = records::contact(1, 100 + id, json!({}));
            newcomer["additionalEmails"] = json!([address(id)]);
            import(&reaper, &newcomer).await;
        }
    };
    tokio::join!(restores, imports);
    for id in 1..=PAIRS {
        let live = "contact_id IN (SELECT contact_id FROM contacts WHERE deleted_at IS NULL)";
        let held = format!("email_key = '{}' AND {live}", address(id));
        assert_eq!(db.count("contact_emails", &held).await, 1, "{id}");
        assert_eq!(db.count("contact_emails", &format!("{held} AND live")).await, 1, "{id}");
    }
});
