//! `delete` of many, with something coming between: a kill, an error, another process, a change of the contacts.

use serde_json::{Value, json};

use crate::support::records::{all_of, contact, entitled_account, property, segment, user};
use crate::support::{DEADLINE, Database, Reaper, TempDir, on_both, wait_until};

/// Account 1 with so many contacts, all called Ada and all in segment 4, and user 2 who may delete many.
async fn world(db: &Database, contacts: i64) -> Reaper {
    let reaper = Reaper::new(db);
    let mut records = entitled_account(1);
    records.push(user(1, 2, &["bulk_delete"]));
    records.extend((1..=contacts).map(|id| contact(1, id, json!({"firstname": "Ada"}))));
    records.push(segment(1, 4, &(1..=contacts).collect::<Vec<_>>()));
    reaper.import(&records).await;
    reaper
}

/// A file with the filter that accepts those whose property is this.
fn filter(dir: &TempDir, name: &str, value: &str) -> String {
    let file = dir.path().join(format!("{name}-{value}.json"));
    let filter = all_of(&[property(name, "STRING", "IS_EQUAL_TO", json!(value))]);
    std::fs::write(&file, filter.to_string()).unwrap();
    file.to_str().unwrap().to_owned()
}

fn delete<'a>(selection: &[&'a str], confirm: &'a str) -> Vec<&'a str> {
    [&["delete", "--account", "1", "--as", "2"], selection, &["--confirm", confirm]].concat()
}

/// Has the database itself do something.
async fn meddle(db: &Database, event: &str, table: &str, condition: &str, postgres: &str, sqlite: &str) {
    let postgres = format!(
        "CREATE FUNCTION meddle() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN {postgres}; RETURN NEW; END $$; \
         CREATE TRIGGER meddle {event} ON {table} FOR EACH ROW WHEN ({condition}) EXECUTE FUNCTION meddle()"
    );
    let sqlite = format!("CREATE TRIGGER meddle {event} ON {table} WHEN {condition} BEGIN {sqlite}; END");
    db.execute(db.in_its_words(&postgres, &sqlite)).await;
}

async fn meddle_no_more(db: &Database, table: &str) {
    let postgres = format!("DROP TRIGGER meddle ON {table}; DROP FUNCTION meddle()");
    db.execute(db.in_its_words(&postgres, "DROP TRIGGER meddle")).await;
}

/// Changes the store in the moment in which a selection was confirmed and before its first batch.
async fn once_confirmed(db: &Database, statements: &str) {
    meddle(db, "AFTER UPDATE OF frozen_at", "deletions", "TRUE", statements, statements).await;
}

/// The database fails at this contact.
async fn fail_at(db: &Database, contact: i64) {
    let condition = format!("NEW.contact_id = {contact}");
    let (postgres, sqlite) = ("RAISE EXCEPTION 'broken'", "SELECT RAISE(ABORT, 'broken')");
    meddle(db, "BEFORE INSERT", "trash_entries", &condition, postgres, sqlite).await;
}

/// Everything is as one deletion leaves it: each of these contacts in the trash by it, with one entry and one event.
async fn assert_deleted_once(db: &Database, deletion: &Value, contacts: i64) {
    let deletion = deletion.as_str().unwrap();
    let counts = "SELECT CAST(count(*) AS text), CAST(count(DISTINCT contact_id) AS text), \
                  CAST(min(deletion_id) AS text), CAST(max(deletion_id) AS text) FROM trash_entries";
    let all = contacts.to_string();
    assert_eq!(db.rows(counts).await, [[&all, &all, deletion, deletion]]);
    assert_eq!(db.count("outbox", "type = 'contact.deletion'").await, contacts);
    assert_eq!(db.count("contacts", "deleted_at IS NOT NULL").await, contacts);
    assert_eq!(db.count("deletion_items", "TRUE").await, 0);
    let audited = "SELECT CAST(sum(count) AS text) FROM audit WHERE action = 'trash'";
    assert_eq!(db.rows(audited).await, [[all]]);
}

on_both!(killed_in_the_middle_the_same_command_finishes_the_same_deletion, async |db: Database| {
    const CONTACTS: i64 = 1100;
    let reaper = world(&db, CONTACTS).await;
    db.execute(db.in_its_words(
        "SELECT 1",
        "CREATE VIEW for_ever AS WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n",
    ))
    .await;
    let (postgres, sqlite) = ("PERFORM pg_sleep(600)", "SELECT max(i) FROM for_ever");
    meddle(&db, "BEFORE INSERT", "trash_entries", "NEW.contact_id = 700", postgres, sqlite).await;
    let command = delete(&["--segment", "4"], "1100");
    let mut first = reaper.spawn(&command);
    wait_until("the first batch is done", DEADLINE, async || db.count("trash_entries", "TRUE").await == 500)
        .await;
    first.kill9();
    db.end_sessions_of_the_service().await;
    meddle_no_more(&db, "trash_entries").await;
    assert_eq!(db.count("trash_entries", "TRUE").await, 500, "half-way");
    let answer = reaper.json(&command).await;
    assert_eq!((&answer["deleted"], &answer["skipped"]), (&json!(1100), &json!(0)));
    assert!(answer.get("entries").is_none(), "too many to list");
    assert_deleted_once(&db, &answer["deletionId"], CONTACTS).await;
    assert_eq!(db.count("deletions", "finished_at IS NOT NULL AND deleted = 1100").await, 1);
    assert_eq!(db.count("deletions", "TRUE").await, 1);
});

on_both!(after_an_error_in_the_middle_every_form_goes_on, async |db: Database| {
    let reaper = world(&db, 600).await;
    let dir = TempDir::new();
    let ada = filter(&dir, "firstname", "Ada");
    let ids: Vec<String> = (1..=600).map(|id| id.to_string()).collect();
    let picked: Vec<&str> = ["--contact"].into_iter().chain(ids.iter().map(String::as_str)).collect();
    for (round, selection) in
        [picked.clone(), [&picked[..], &["--segment", "4"]].concat(), vec!["--where", &ada]]
            .into_iter()
            .enumerate()
    {
        fail_at(&db, 550).await;
        let said = reaper.refused(&delete(&selection, "600")).await;
        assert!(said.contains("500 of 600 contacts are done, the same command goes on"), "{said}");
        assert_eq!(db.count("contacts", "deleted_at IS NOT NULL").await, 500);
        // Still broken: no harm in trying.
        reaper.refused(&delete(&selection, "600")).await;
        meddle_no_more(&db, "trash_entries").await;
        let answer = reaper.json(&delete(&selection, "600")).await;
        assert_eq!((&answer["deleted"], &answer["skipped"]), (&json!(600), &json!(0)), "{round}");
        assert_eq!(answer["entries"].as_array().unwrap().len(), 600);
        assert_deleted_once(&db, &answer["deletionId"], 600).await;
        assert_eq!(db.count("deletions", "TRUE").await, 1);
        // Everything anew, behind the program's back.
        db.execute(
            "UPDATE contacts SET deleted_at = NULL, trash_entry_id = NULL; DELETE FROM trash_entries; \
             DELETE FROM outbox; DELETE FROM deletions; DELETE FROM audit",
        )
        .await;
        reaper.import(&[segment(1, 4, &(1..=600).collect::<Vec<_>>())]).await;
    }
});

on_both!(what_changes_between_confirmation_and_turn_decides, async |db: Database| {
    let reaper = world(&db, 6).await;
    let dir = TempDir::new();
    let ada = filter(&dir, "firstname", "Ada");
    reaper.import(&[contact(1, 7, json!({"firstname": "Grace"}))]).await;
    let text = |name: &str| {
        db.in_its_words("'{\"firstname\": \"NAME\"}'::jsonb", "'{\"firstname\": \"NAME\"}'")
            .replace("NAME", name)
    };
    // 2 no longer qualifies; 7 does, too late.
    for (selection, count, change, skipped) in [
        (
            vec!["--where", &ada],
            "6",
            format!(
                "UPDATE contacts SET properties = {} WHERE contact_id = 2; \
            UPDATE contacts SET properties = {} WHERE contact_id = 7",
                text("Grace"),
                text("Ada")
            ),
            2,
        ),
        (
            vec!["--segment", "4"],
            "6",
            "DELETE FROM segment_members WHERE contact_id = 2; \
            INSERT INTO segment_members (account_id, segment_id, contact_id) VALUES (1, 4, 7)"
                .to_owned(),
            2,
        ),
        (
            vec!["--segment", "4", "--contact", "2", "3"],
            "2",
            "DELETE FROM segment_members WHERE contact_id = 2".to_owned(),
            2,
        ),
        (
            vec!["--contact", "3", "4"],
            "2",
            "UPDATE contacts SET deleted_at = restored_at, trash_entry_id = 99 WHERE contact_id = 4"
                .to_owned(),
            4,
        ),
    ] {
        db.execute("UPDATE contacts SET restored_at = created_at").await;
        once_confirmed(&db, &change).await;
        let answer = reaper.json(&delete(&selection, count)).await;
        let confirmed: i64 = count.parse().unwrap();
        assert_eq!(
            (&answer["deleted"], &answer["skipped"]),
            (&json!(confirmed - 1), &json!(1)),
            "{selection:?}"
        );
        assert_eq!(
            db.count("trash_entries", &format!("contact_id IN ({skipped}, 7)")).await,
            0,
            "{selection:?}"
        );
        assert_eq!(db.count("trash_entries", "TRUE").await, confirmed - 1, "{selection:?}");
        meddle_no_more(&db, "deletions").await;
        db.execute(&format!(
            "UPDATE contacts SET deleted_at = NULL, trash_entry_id = NULL, properties = {}; \
            UPDATE contacts SET properties = {} WHERE contact_id = 7; DELETE FROM trash_entries",
            text("Ada"),
            text("Grace")
        ))
        .await;
        reaper.import(&[segment(1, 4, &[1, 2, 3, 4, 5, 6])]).await;
    }
});

on_both!(a_user_who_loses_the_permission_in_the_middle_deletes_no_more, async |db: Database| {
    let reaper = world(&db, 3).await;
    once_confirmed(&db, "UPDATE users SET permissions = '[]' WHERE user_id = 2").await;
    let said = reaper.refused(&delete(&["--segment", "4"], "3")).await;
    assert!(said.contains("bulk_delete"), "{said}");
    assert_eq!(db.count("contacts", "deleted_at IS NULL").await, 3);
    meddle_no_more(&db, "deletions").await;
    reaper.import(&[user(1, 2, &["bulk_delete"])]).await;
    let answer = reaper.json(&delete(&["--segment", "4"], "3")).await;
    assert_deleted_once(&db, &answer["deletionId"], 3).await;
});

on_both!(import_that_begins_stops_a_delete_until_it_is_finished, async |db: Database| {
    let reaper = world(&db, 600).await;
    once_confirmed(
        &db,
        "INSERT INTO unfinished_accounts (account_id, import_id, has_enrollments) VALUES (1, 9, FALSE)",
    )
    .await;
    let said = reaper.refused(&delete(&["--segment", "4"], "600")).await;
    assert!(said.contains("an import into account 1 has not finished"), "{said}");
    assert_eq!(db.count("contacts", "deleted_at IS NOT NULL").await, 0);
    meddle_no_more(&db, "deletions").await;
    db.execute("DELETE FROM unfinished_accounts").await;
    let answer = reaper.json(&delete(&["--segment", "4"], "600")).await;
    assert_deleted_once(&db, &answer["deletionId"], 600).await;
});

on_both!(
    what_was_erased_in_the_middle_is_skipped_and_what_was_restored_is_not_deleted_again,
    async |db: Database| {
        let reaper = world(&db, 600).await;
        let command = delete(&["--segment", "4"], "600");
        fail_at(&db, 550).await;
        reaper.refused(&command).await;
        meddle_no_more(&db, "trash_entries").await;
        reaper.json(&["erase", "--account", "1", "--as", "1", "--contact", "560", "--confirm", "1"]).await;
        reaper.restore(1, 3).await;
        let answer = reaper.json(&command).await;
        assert_eq!((&answer["deleted"], &answer["skipped"]), (&json!(599), &json!(1)));
        assert_eq!((reaper.state(1, 3).await, reaper.state(1, 560).await), ("live".into(), "erased".into()));
        assert_eq!(db.count("trash_entries", "TRUE").await, 599);
    }
);

on_both!(another_selection_is_another_deletion_and_takes_the_place_of_the_old, async |db: Database| {
    let reaper = world(&db, 600).await;
    let dir = TempDir::new();
    let ada = filter(&dir, "firstname", "Ada");
    let young = filter(&dir, "age", "young");
    fail_at(&db, 550).await;
    reaper.refused(&delete(&["--where", &ada], "600")).await;
    meddle_no_more(&db, "trash_entries").await;
    let first = db.rows("SELECT CAST(deletion_id AS text) FROM deletions").await[0][0].clone();
    let young_ada = |id| contact(1, id, json!({"firstname": "Ada", "age": "young"}));
    reaper.import(&[contact(1, 700, json!({"firstname": "Ada"})), young_ada(580)]).await;
    let before = db.dump(&[]).await;
    // One more is selected, another number is typed, another filter selects only some of those that are left.
    for (file, count, right, words) in [
        (&ada, "600", "101 contacts", "not what it has left"),
        (&ada, "100", "101 contacts", "with --confirm 600, goes on"),
        (&young, "600", "1 contact", "not what it has left"),
    ] {
        let said = reaper.refused(&delete(&["--where", file], count)).await;
        let unfinished = format!("deletion {first} of 600 contacts is not finished, 100 are left");
        assert!(said.contains(&format!("says {count} where {right} would be deleted")), "{said}");
        assert!(said.contains(&unfinished) && said.contains(words), "{said}");
    }
    // Nor do other picked ones go on with it, though as many are typed.
    reaper.refused(&delete(&["--contact", "590", "591"], "600")).await;
    db.assert_unchanged_since(&before).await;
    let answer = reaper.json(&delete(&["--where", &ada], "101")).await;
    assert_eq!((&answer["deleted"], &answer["skipped"]), (&json!(101), &json!(0)));
    assert_ne!(answer["deletionId"], json!(first));
    assert_eq!(db.count("deletion_items", "TRUE").await, 0, "nothing piles up");
    let old = format!("deletion_id = {first} AND given_up_at IS NOT NULL AND deleted = 500");
    assert_eq!(db.count("deletions", &old).await, 1);
    assert_eq!(db.count("deletions", "finished_at IS NULL").await, 0);
});

on_both!(
    a_number_typed_for_another_selection_does_not_go_on_with_an_interrupted_one,
    async |db: Database| {
        let reaper = world(&db, 600).await;
        let picked: Vec<String> = (501..=600).map(|id| id.to_string()).collect();
        let picked: Vec<&str> = ["--contact"].into_iter().chain(picked.iter().map(String::as_str)).collect();
        fail_at(&db, 550).await;
        reaper.refused(&delete(&["--segment", "4"], "600")).await;
        reaper.refused(&delete(&picked, "100")).await;
        meddle_no_more(&db, "trash_entries").await;
        let members: Vec<i64> = (501..=601).collect();
        reaper.import(&[contact(1, 601, json!({})), segment(1, 4, &members)]).await;
        let before = db.dump(&[]).await;
        for (selection, count, right) in [
            (&["--segment", "4"][..], "600", "101"),
            (&["--contact", "590", "591"], "100", "2"),
            (&["--segment", "4", "--contact", "590", "591"], "600", "2"),
        ] {
            let said = reaper.refused(&delete(selection, count)).await;
            assert!(said.contains(&format!("says {count} where {right} contacts")), "{said}");
        }
        db.assert_unchanged_since(&before).await;
    }
);

on_both!(a_selection_that_was_never_confirmed_is_never_carried_out, async |db: Database| {
    let reaper = world(&db, 3).await;
    // As a kill in the midst of selecting leaves it, long ago.
    let at = db.in_its_words("now() - interval '2 hours'", "'2020-01-01T00:00:00.000000Z'");
    db.execute(&format!("INSERT INTO deletions (account_id, user_id, kind, segment_id, confirmed, deleted, skipped, \
        started_at, active_at) VALUES (1, 2, 'segment', 4, 3, 0, 0, {at}, {at}); \
        INSERT INTO deletion_items (account_id, deletion_id, record_id) SELECT 1, max(deletion_id), 1 FROM deletions")).await;
    reaper.refused(&delete(&["--segment", "4"], "2")).await;
    let answer = reaper.json(&delete(&["--segment", "4"], "3")).await;
    assert_deleted_once(&db, &answer["deletionId"], 3).await;
    assert_eq!(db.count("deletions", "TRUE").await, 1, "nothing stays of it");
});

on_both!(two_at_once_delete_once, async |db: Database| {
    let reaper = world(&db, 1100).await;
    let command = [&["--json"], &delete(&["--segment", "4"], "1100")[..]].concat();
    let (one, other) = tokio::join!(reaper.run(&command), reaper.run(&command));
    let done: Vec<Value> = [&one, &other]
        .into_iter()
        .filter(|output| output.code == 0)
        .map(|output| serde_json::from_str(&output.stdout).unwrap())
        .collect();
    let whole = done.iter().find(|answer| answer["deleted"] == 1100);
    assert_deleted_once(&db, &whole.expect("one did it all")["deletionId"], 1100).await;
    // Whoever came too late had nothing left to select.
    for output in [one, other].iter().filter(|output| output.code != 0) {
        assert!(output.stderr.contains("says 1100 where"), "{}", output.stderr);
    }
});

on_both!(one_joins_the_other_and_both_end_with_the_whole, async |db: Database| {
    let reaper = world(&db, 1100).await;
    let dir = TempDir::new();
    let ada = filter(&dir, "firstname", "Ada");
    let command = [&["--json"], &delete(&["--where", &ada], "1100")[..]].concat();
    // The first stops after a batch; two go on with it.
    fail_at(&db, 700).await;
    reaper.refused(&delete(&["--where", &ada], "1100")).await;
    meddle_no_more(&db, "trash_entries").await;
    let (one, other) = tokio::join!(reaper.run(&command), reaper.run(&command));
    let whole = [&one, &other].into_iter().find(|output| output.code == 0).expect("one of them finishes");
    let whole: Value = serde_json::from_str(&whole.stdout).unwrap();
    assert_eq!(whole["deleted"], 1100);
    assert_deleted_once(&db, &whole["deletionId"], 1100).await;
});
