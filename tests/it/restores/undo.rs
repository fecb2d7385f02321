//! The undoing of a bad run: everything that this workflow deleted since then, and nothing else.

use serde_json::{Value, json};

use super::{document, preview_of, restore, restore_list, restored, texts, trashed, with};
use crate::support::records::{self, contact, entitled_account, seconds_ago};
use crate::support::{Database, Reaper, on_both};

const BAD: i64 = 6;
const OTHER: i64 = 8;

/// A workflow that deletes whoever has an address, as often as they come.
fn workflow(id: i64) -> Value {
    let everybody = records::all_of(&[records::property("email", "ALL_PROPERTY", "IS_KNOWN", Value::Null)]);
    let mut workflow = records::workflow(1, id, &everybody);
    workflow["flow"]["enrollmentCriteria"]["shouldReEnroll"] = json!(true);
    workflow["flow"]["enrollmentCriteria"]["reEnrollmentTriggersFilterBranches"] = json!([everybody]);
    workflow
}

/// Has these workflows delete these contacts, restored or not.
async fn delete_by(db: &Database, reaper: &Reaper, deletions: &[(i64, i64)], first_enrollment: i64) {
    let event = |(number, (workflow, contact)): (i64, &(i64, i64))| {
        records::event(1, *workflow, *contact, first_enrollment + number)
    };
    let events: Vec<Value> = (0..).zip(deletions).map(event).collect();
    db.restored_a_while_ago().await;
    reaper.decide(&events).await;
    for (_, contact) in deletions {
        assert_eq!(reaper.state(1, *contact).await, "in_trash");
    }
}

/// Contacts 1 to 9, of which the bad run deleted 2, 5, 6, 7 and 9. When it began: with the first of them.
async fn after_a_bad_run(db: &Database) -> (Reaper, String) {
    let mut records: Vec<Value> = (1..=9).filter(|id| *id != 8).map(|id| contact(1, id, json!({}))).collect();
    records.extend([workflow(BAD), workflow(OTHER), trashed(8, 0, &[])]);
    let reaper = with(db, &records).await;
    // The same workflow, but earlier; 7 came back then.
    delete_by(db, &reaper, &[(BAD, 1), (BAD, 7)], 100).await;
    reaper.restore(1, 7).await;
    delete_by(db, &reaper, &[(BAD, 2), (BAD, 5), (BAD, 6), (BAD, 7), (BAD, 9)], 200).await;
    let mut began = String::from("9");
    for id in [2, 5, 6, 7, 9] {
        let at = reaper.contact(1, id).await["trash"]["deletedAt"].as_str().unwrap().to_owned();
        began = began.min(at);
    }
    // Another workflow and a person, meanwhile.
    delete_by(db, &reaper, &[(OTHER, 3)], 300).await;
    reaper.delete(1, 4).await;
    // Somebody restored 5 and 9; then 5 was deleted by a person, 9 by the other workflow.
    reaper.restore(1, 5).await;
    reaper.delete(1, 5).await;
    reaper.restore(1, 9).await;
    delete_by(db, &reaper, &[(OTHER, 9)], 400).await;
    (reaper, began)
}

async fn run(reaper: &Reaper, workflow: &str, since: &str) -> crate::support::Output {
    restored(reaper, "3", &["--workflow", workflow, "--since", since]).await
}

on_both!(exactly_what_the_bad_run_deleted_comes_back, async |db: Database| {
    let (reaper, began) = after_a_bad_run(&db).await;
    // In the way of 6.
    reaper.import(&[contact(1, 66, json!({"email": "Contact6@Account1.example"}))]).await;
    let before = db.dump(&[]).await;
    let preview = preview_of(&reaper, "3", &["--workflow", "6", "--since", &began]).await;
    let would: Vec<&Value> =
        preview["contacts"].as_array().unwrap().iter().map(|it| &it["contactId"]).collect();
    assert_eq!((json!(would), &preview["refused"][0]["contactId"]), (texts(&[2, 7]), &json!("6")));
    db.assert_unchanged_since(&before).await;

    let output = run(&reaper, "6", &began).await;
    let report = document(&output);
    assert_eq!((output.code, &report["restored"]), (1, &texts(&[2, 7])));
    assert_eq!(report["refused"].as_array().unwrap().len(), 1);
    assert_eq!(
        [&report["refused"][0]["contactId"], &report["refused"][0]["heldBy"]],
        [&json!("6"), &json!("66")]
    );
    for (id, state) in [(2, "live"), (7, "live")] {
        assert_eq!(reaper.state(1, id).await, state, "{id}");
    }
    for id in [1, 3, 4, 5, 6, 8, 9] {
        assert_eq!(reaper.state(1, id).await, "in_trash", "{id}");
    }
    // Once more, when nothing is in the way: the rest, and then nothing.
    reaper.delete(1, 66).await;
    let report = document(&run(&reaper, "6", &began).await);
    assert_eq!(report, json!({"restored": ["6"], "refused": []}));
    let output = run(&reaper, "6", &began).await;
    assert_eq!((output.code, document(&output)), (0, json!({"restored": [], "refused": []})));
    // From earlier on, 1 comes too.
    assert_eq!(document(&run(&reaper, "6", "2026-01-01T00:00:00Z").await)["restored"], texts(&[1]));
});

on_both!(a_run_of_several_batches_comes_back_and_nobody_elses, async |db: Database| {
    // Two of three were deleted by the bad run, in no order.
    let records: Vec<Value> = (1..=801).map(|id| trashed(id, 3, &[])).collect();
    let reaper = with(&db, &[&records[..], &[workflow(BAD)]].concat()).await;
    db.execute(
        "UPDATE trash_entries SET deleted_by = 'workflow', workflow_id = CASE contact_id % 3 WHEN 0 THEN 8 ELSE 6 END, \
         enrollment_id = contact_id",
    )
    .await;
    let preview = preview_of(&reaper, "3", &["--workflow", "6", "--since", "2026-01-01T00:00:00Z"]).await;
    assert_eq!((&preview["restorable"], &preview["truncated"]), (&json!(534), &json!(true)));
    let report = document(&run(&reaper, "6", "2026-01-01T00:00:00Z").await);
    let expected: Vec<i64> = (1..=801).filter(|id| id % 3 != 0).collect();
    assert_eq!(report, json!({"restored": texts(&expected), "refused": []}));
    assert_eq!(db.count("contacts", "deleted_at IS NULL AND contact_id % 3 <> 0").await, 534);
    assert_eq!(db.count("contacts", "deleted_at IS NULL").await, 534);
});

on_both!(where_there_is_nothing_to_undo_it_says_so, async |db: Database| {
    let reaper = with(&db, &[workflow(BAD), trashed(1, 3, &[])]).await;
    let before = db.dump(&[]).await;
    for (workflow, word) in [("6", "nothing to restore: workflow 6"), ("77", "account 1 has no workflow 77")]
    {
        let what = ["restore", "--account", "1", "--as", "3", "--workflow", workflow, "--since"];
        let output = reaper.run(&[&what[..], &["2026-01-01T00:00:00Z"]].concat()).await;
        assert_eq!(output.code, 0, "{}", output.stderr);
        assert!(output.stdout.contains(word), "{}", output.stdout);
        assert_eq!(output.stdout.contains("has no workflow"), workflow == "77", "{}", output.stdout);
    }
    let said = reaper.refused(&restore("3", &["--workflow", "6", "--since", &seconds_ago(-3600)])).await;
    assert!(said.contains("--since") && said.contains("yet to come"), "{said}");
    let since = ["--since", "2026-01-01T00:00:00Z"];
    for wrong in [
        &["--workflow", "6"][..],
        &since,
        &[],
        &["--workflow", "6", "--since", "last week"],
        &["--workflow", "6", since[0], since[1], "--contact", "1"],
        &["--contact", "1", since[0], since[1]],
        &["--contact"],
    ] {
        assert_eq!(reaper.run(&restore("3", wrong)).await.code, 2, "{wrong:?}");
    }
    db.assert_unchanged_since(&before).await;
    assert_eq!(restore_list(&reaper, &[1]).await.code, 0);
});

on_both!(deletion_that_never_was_cannot_be_undone, async |db: Database| {
    let reaper = Reaper::new(&db);
    reaper.import(&entitled_account(1)).await;
    let output = reaper.run(&["restore", "--account", "1", "--as", "1", "--deletion", "999"]).await;
    assert_eq!(
        (output.code, output.stderr.contains("account 1 has no deletion 999")),
        (1, true),
        "{}",
        output.stderr
    );
});
