//! A contact under a legal hold is neither due nor overdue, and what it shares with others stays whole (matrix.md, rule 9).

use serde_json::{Value, json};

use super::{DAY, trashed, with};
use crate::support::records::{contact, days_ago};
use crate::support::{Database, Reaper, on_both};

async fn purge(reaper: &Reaper, dry: bool) -> Value {
    let run = ["retention", "run", "--job", "purge_trash"];
    let dry: &[&str] = if dry { &["--dry-run"] } else { &[] };
    reaper.json(&[&run[..], dry].concat()).await["jobs"][0].clone()
}

/// Backlog, failing, held and whole days overdue, as the status of the purge says.
async fn status(reaper: &Reaper) -> [i64; 4] {
    let status = reaper.json(&["retention", "status"]).await["jobs"][0].clone();
    let [backlog, failing, held, overdue] =
        ["backlog", "failing", "held", "oldestOverdueSeconds"].map(|it| status[it].as_i64().unwrap());
    [backlog, failing, held, overdue / DAY]
}

async fn hold(reaper: &Reaper, verb: &str, id: &str) {
    let reason: &[&str] = if verb == "set" { &["--reason", "case 5"] } else { &[] };
    reaper.json(&[&["legal-hold", verb, "--account", "1", "--contact", id], reason].concat()).await;
}

on_both!(a_held_contact_is_neither_due_nor_overdue_and_held_counts_it, async |db: Database| {
    // A day is 24 hours; the oldest two are held, and one who is not due.
    let due = |id, days: i64| trashed(id, days * DAY + 600);
    let reaper = with(&db, &[due(1, 99), due(2, 92), due(3, 97), trashed(4, 5 * DAY)]).await;
    for id in ["1", "3", "4"] {
        hold(&reaper, "set", id).await;
    }
    assert_eq!(status(&reaper).await, [1, 0, 2, 2]);
    let dry = purge(&reaper, true).await;
    assert_eq!([&dry["deleted"], &dry["remaining"], &dry["held"]], [&json!(0), &json!(1), &json!(2)]);
    let expected = json!({"job": "purge_trash", "dryRun": false, "deleted": 1, "remaining": 0, "held": 2,
        "stoppedBy": "done"});
    assert_eq!(purge(&reaper, false).await, expected);
    assert_eq!(status(&reaper).await, [0, 0, 2, 0]);
    for id in [1, 3, 4] {
        assert_eq!(reaper.state(1, id).await, "in_trash");
    }
    // No other job is stopped by a hold.
    let jobs = reaper.json(&["retention", "status"]).await["jobs"].clone();
    assert!(jobs.as_array().unwrap()[1..].iter().all(|job| job["held"] == 0), "{jobs}");

    hold(&reaper, "lift", "3").await;
    assert_eq!(status(&reaper).await, [1, 0, 1, 7]);
    assert_eq!(purge(&reaper, false).await["deleted"], 1);
    assert_eq!((reaper.state(1, 3).await, status(&reaper).await), ("purged".to_owned(), [0, 0, 1, 0]));
});

on_both!(a_contact_that_could_not_be_purged_is_not_failing_while_it_is_held, async |db: Database| {
    let reaper = with(&db, &[trashed(1, 99 * DAY), trashed(2, 98 * DAY)]).await;
    for id in [1, 2] {
        db.execute(&format!(
            "INSERT INTO retention_failures (account_id, job, item_id, failed_at, tries) \
             VALUES (1, 'purge_trash', {id}, '2026-01-01T00:00:00.000000Z', 1)"
        ))
        .await;
    }
    hold(&reaper, "set", "1").await;
    let [backlog, failing, held, _] = status(&reaper).await;
    assert_eq!([backlog, failing, held], [1, 1, 1]);
});

fn shared(kind: &str, id: &str, members: Value) -> Value {
    let mut record = json!({"kind": kind, "accountId": "1", "id": id});
    let Value::Object(members) = members else { panic!("members are an object: {members}") };
    record.as_object_mut().unwrap().extend(members);
    record
}

/// Contact 1 shares everything with contact 2, who is in the trash and held; the last of each kind is contact 1's alone.
fn shared_records() -> Vec<Value> {
    let at = days_ago(4);
    let mut records = vec![contact(1, 1, json!({})), trashed(2, 99 * DAY), contact(1, 3, json!({}))];
    records
        .extend(["21", "22", "23"].map(|id| shared("ticket", id, json!({"properties": {"subject": "It"}}))));
    let talk = |id: &str, contact: &str, tickets: &[&str]| {
        shared(
            "conversation",
            id,
            json!({"channel": "chat", "contactId": contact, "ticketIds": tickets,
            "messages": [{"at": at, "text": "Hello"}]}),
        )
    };
    records.extend([
        talk("31", "1", &["21", "22", "23"]),
        talk("32", "2", &["22"]),
        json!({"kind": "association", "accountId": "1", "from": {"type": "ticket", "id": "21"},
            "to": {"type": "contact", "id": "2"}}),
        shared("quote", "41", json!({"title": "For both", "contactIds": ["1", "2"], "createdAt": at})),
        shared("quote", "42", json!({"title": "For one", "contactIds": ["1"], "createdAt": at})),
    ]);
    let on = |ids: &[&str]| ids.iter().map(|id| json!({"type": "contact", "id": id})).collect::<Vec<_>>();
    let activity = |id: &str, kind: &str, people: &[&str]| {
        shared(
            "activity",
            id,
            json!({"type": kind, "timestamp": at,
            "properties": {"body": "Met"}, "associations": on(people)}),
        )
    };
    records.extend([
        activity("51", "note", &["1", "2"]),
        activity("52", "call", &["1", "2"]),
        activity("53", "note", &["1"]),
    ]);
    records
}

on_both!(records_shared_with_a_held_contact_stay_when_another_is_erased, async |db: Database| {
    let reaper = with(&db, &shared_records()).await;
    hold(&reaper, "set", "2").await;
    let erase = ["erase", "--account", "1", "--as", "1", "--contact", "1", "--confirm", "1"];
    assert_eq!(reaper.run(&erase).await.code, 0);
    db.execute("UPDATE quotes SET orphaned_at = '2020-01-01T00:00:00.000000Z' WHERE orphaned_at IS NOT NULL")
        .await;
    reaper.json(&["retention", "run", "--job", "delete_quotes"]).await;

    let left = async |columns: &str, table: &str| {
        db.rows(&format!("SELECT {columns} FROM {table} ORDER BY 1")).await.concat()
    };
    assert_eq!(left("CAST(object_id AS text)", "objects WHERE object_type = 'ticket'").await, ["21", "22"]);
    assert_eq!(left("CAST(conversation_id AS text)", "conversations").await, ["32"]);
    assert_eq!(left("CAST(quote_id AS text)", "quotes").await, ["41"]);
    assert_eq!(left("CAST(activity_id AS text)", "activities WHERE NOT stub").await, ["51", "52"]);

    // Back from the trash, it has all of it.
    let lately = format!("SET deleted_at = '{}' WHERE contact_id = 2", days_ago(3));
    db.execute(&format!("UPDATE trash_entries {lately}; UPDATE contacts {lately}")).await;
    reaper.restore(1, 2).await;
    let visible = reaper.contact(1, 2).await["visible"].clone();
    assert_eq!(
        [&visible["quotes"], &visible["activities"], &visible["calls"], &visible["conversations"]],
        [&json!(["41"]), &json!(["51"]), &json!(["52"]), &json!(["32"])]
    );
    assert_eq!(visible["associations"], json!(["activity:51", "activity:52", "ticket:21"]));
});

on_both!(a_purge_leaves_records_shared_with_a_held_contact, async |db: Database| {
    let reaper = with(&db, &shared_records()).await;
    hold(&reaper, "set", "1").await;
    reaper.json(&["retention", "run", "--job", "purge_trash"]).await;
    assert_eq!(reaper.state(1, 2).await, "purged");
    let visible = reaper.contact(1, 1).await["visible"].clone();
    assert_eq!(
        [&visible["quotes"], &visible["activities"], &visible["calls"], &visible["conversations"]],
        [&json!(["41", "42"]), &json!(["51", "53"]), &json!(["52"]), &json!(["31"])]
    );
    assert_eq!(db.count("objects", "object_type = 'ticket'").await, 3);
});

/// Contact 2 is erased while contact 1, with whom notes 1 and 2 are shared, is held. What the notes say of contact 2 is owed.
async fn owing(db: &Database) -> Reaper {
    let reaper = with(
        db,
        &[
            contact(1, 1, json!({})),
            contact(1, 2, json!({"email": "bob@gone.example", "firstname": "Bob", "lastname": "Ray"})),
            note("1", "Met Bob Ray", &["1", "2"]),
            note("2", "bob@gone.example called", &["1", "2"]),
        ],
    )
    .await;
    hold(&reaper, "set", "1").await;
    let erase = ["erase", "--account", "1", "--as", "1", "--contact", "2", "--confirm", "1"];
    assert_eq!(reaper.run(&erase).await.code, 0);
    assert_eq!(db.count("owed_redactions", "TRUE").await, 2);
    reaper
}

fn note(id: &str, text: &str, people: &[&str]) -> Value {
    let on: Vec<Value> = people.iter().map(|id| json!({"type": "contact", "id": id})).collect();
    let mut on_company = on.clone();
    on_company.push(json!({"type": "company", "id": "9"}));
    shared(
        "activity",
        id,
        json!({"type": "note", "timestamp": days_ago(4), "properties": {"body": text}, "associations": on_company}),
    )
}

async fn bodies(db: &Database) -> Vec<String> {
    db.rows("SELECT properties ->> 'body' FROM activities ORDER BY activity_id").await.concat()
}

on_both!(lifted_hold_leaves_an_address_to_the_contact_that_has_it_by_then, async |db: Database| {
    let reaper = owing(&db).await;
    let other = contact(1, 5, json!({"email": "bob@gone.example"}));
    reaper.import(&[other, note("2", "new: bob@gone.example", &["1", "5"])]).await;
    hold(&reaper, "lift", "1").await;
    assert_eq!(bodies(&db).await, ["Met [redacted]", "new: bob@gone.example"]);
    assert_eq!(db.count("owed_redactions", "TRUE").await, 0);
});

on_both!(what_an_import_takes_off_a_held_contact_is_redacted_by_the_next_purge, async |db: Database| {
    let reaper = owing(&db).await;
    // Still on the held contact, off it, and gone.
    reaper.import(&[note("1", "Met Bob Ray", &[])]).await;
    assert_eq!(purge(&reaper, false).await["deleted"], 0);
    assert_eq!(bodies(&db).await, ["Met [redacted]", "bob@gone.example called"]);
    assert_eq!(db.count("owed_redactions", "row_id = 2").await, 1);
    assert_eq!(db.count("owed_redactions", "TRUE").await, 1);
    reaper.import(&[json!({"kind": "remove", "of": "activity", "accountId": "1", "id": "2"})]).await;
    purge(&reaper, false).await;
    assert_eq!(db.count("owed_redactions", "TRUE").await, 0);
});
