//! The volume guard: it stops before the first record over a limit, and what it holds waits for a person.

use std::time::Duration;

use serde_json::{Value, json};

use crate::support::records::{
    all_of, contact, days_ago, entitled_account, event, property, seconds_ago, user, workflow,
};
use crate::support::{Broker, DEADLINE, Database, Reaper, Worker, on_both, wait_until};

fn ada(id: i64) -> Value {
    contact(1, id, json!({"firstname": "Ada"}))
}

/// A workflow that deletes everybody whose first name is Ada.
fn deletes_ada(id: i64) -> Value {
    workflow(1, id, &all_of(&[property("firstname", "STRING", "IS_EQUAL_TO", json!("Ada"))]))
}

/// Account 1, entitled, with workflows 6 and 7 that delete Adas, and so many of these.
async fn with_contacts(reaper: &Reaper, contacts: i64) {
    let mut records = entitled_account(1);
    records.extend([deletes_ada(6), deletes_ada(7)]);
    records.extend((1..=contacts).map(ada));
    reaper.import(&records).await;
}

/// No more than this by a workflow; the account's limits are out of the way.
fn limited(reaper: Reaper, by_workflow: u32) -> Reaper {
    reaper.unguarded().setting("guard.workflow.max_deletions", &by_workflow.to_string())
}

/// The outcome and reason of an enrollment, as `outcome` or `outcome: reason`.
async fn outcome(reaper: &Reaper, enrollment: i64) -> String {
    let decision = reaper.decision(1, enrollment).await;
    let outcome = decision["outcome"].as_str().expect("an outcome");
    decision["reason"].as_str().map_or(outcome.to_owned(), |reason| format!("{outcome}: {reason}"))
}

async fn decided(db: &Database, outcome: &str) -> i64 {
    db.count("ledger", &format!("outcome = '{outcome}'")).await
}

fn on_holds<'a>(verb: &'a str, confirm: &'a str) -> [&'a str; 8] {
    ["holds", verb, "--account", "1", "--workflow", "6", "--confirm", confirm]
}

async fn started(reaper: &Reaper) -> Worker {
    let mut worker = reaper.spawn(&["run"]);
    worker.wait_ready().await;
    worker
}

on_both!(four_workers_together_stop_exactly_at_the_limit_and_go_on_when_approved, async |db: Database| {
    let broker = Broker::new().await;
    let heard = broker.listen(&[]).await;
    let reaper = Reaper::new(&db).setting("pipeline.batch_size", "70").setting("pipeline.prefetch", "140");
    let reaper = limited(reaper, 500).fed_by(&broker);
    with_contacts(&reaper, 5_000).await;
    let mut workers = Vec::new();
    for _ in 0..4 {
        workers.push(started(&reaper).await);
    }
    let events: Vec<String> = (1..=5_000).map(|id| event(1, 6, id, id).to_string()).collect();
    broker.publish(&events).await;
    wait_until("all are decided", DEADLINE, async || db.count("ledger", "TRUE").await == 5_000).await;
    assert_eq!((decided(&db, "deleted").await, decided(&db, "held").await), (500, 4_500));
    assert_eq!(db.count("contacts", "deleted_at IS NOT NULL").await, 500);
    let mut held = reaper.json(&["holds", "list"]).await;
    assert!(held[0].as_object_mut().unwrap().remove("since").is_some());
    assert_eq!(
        held,
        json!([{"accountId": "1", "workflowId": "6", "reason": "volume_guard", "count": 4_500}])
    );
    wait_until("the metric follows", DEADLINE, async || {
        workers[0].metrics().await.contains("\ncontact_reaper_guard_held 4500\n")
    })
    .await;

    // Some of them change while they wait, and a wrong number approves none.
    let waiting =
        db.rows("SELECT CAST(object_id AS text) FROM ledger WHERE outcome = 'held' ORDER BY 1").await;
    let waiting: Vec<i64> = waiting.iter().map(|row| row[0].parse().unwrap()).collect();
    let renamed: Vec<Value> =
        waiting[..7].iter().map(|id| contact(1, *id, json!({"firstname": "Grace"}))).collect();
    reaper.import(&renamed).await;
    reaper.delete(1, waiting[7]).await;
    let said = reaper.refused(&on_holds("approve", "4501")).await;
    assert!(said.contains("4500") && said.contains("nothing was approved"), "{said}");
    reaper.refused(&on_holds("reject", "4499")).await;
    assert_eq!(decided(&db, "held").await, 4_500);
    reaper.json(&on_holds("approve", "4500")).await;
    wait_until("all are taken up", DEADLINE, async || decided(&db, "held").await == 0).await;
    assert_eq!((decided(&db, "deleted").await, decided(&db, "skipped").await), (4_992, 8));
    assert_eq!(outcome(&reaper, waiting[0]).await, "skipped: criteria_not_met");
    assert_eq!(outcome(&reaper, waiting[7]).await, "skipped: already_in_trash");
    assert_eq!(db.count("pending_enrollments", "TRUE").await, 0);
    assert_eq!(db.count("trash_entries", "deleted_by = 'workflow'").await, 4_992);
    assert_eq!(db.count("audit", "action = 'approve_held' AND count = 4500").await, 1);
    let skipped = db.rows("SELECT CAST(sum(count) AS text) FROM audit WHERE action = 'skip'").await;
    assert_eq!(skipped[0][0], "8");
    wait_until("all is told", DEADLINE, async || db.count("outbox", "TRUE").await == 0).await;
    let told = broker.drain(&heard).await;
    let trips: Vec<&str> =
        told.iter().map(|event| event.routing_key.as_str()).filter(|key| *key == "guard.tripped").collect();
    assert_eq!(trips.len(), 1, "told once, not for every batch");
    drop(workers);
});

on_both!(a_limit_in_the_middle_of_a_batch_stops_those_that_came_later, async |db: Database| {
    let reaper = limited(Reaper::new(&db), 3);
    with_contacts(&reaper, 9).await;
    let mut events: Vec<Value> = (1..=5).map(|id| event(1, 6, id, id)).collect();
    // What the first workflow may not take the second may: contact 4 is still there, contact 1 is not. Held in this
    // very batch, contact 5 counts as enrolled before.
    events.extend([event(1, 7, 4, 6), event(1, 7, 1, 7), event(1, 6, 5, 8), event(1, 6, 5, 5)]);
    reaper.decide(&events).await;
    for (enrollment, expected) in [
        (1, "deleted"),
        (2, "deleted"),
        (3, "deleted"),
        (4, "held: volume_guard"),
        (5, "held: volume_guard"),
        (6, "deleted"),
        (7, "skipped: already_in_trash"),
        (8, "skipped: re_enrollment_off"),
    ] {
        assert_eq!(outcome(&reaper, enrollment).await, expected, "enrollment {enrollment}");
    }
    let held = reaper.json(&["holds", "list", "--account", "1", "--workflow", "6"]).await;
    assert_eq!(held[0]["count"], 2);
    let explained = reaper.json(&["explain", "--account", "1", "--workflow", "6", "--contact", "9"]).await;
    assert_eq!((&explained["verdict"], &explained["reason"]), (&json!("hold"), &json!("volume_guard")));
    let listed = reaper.json(&["enrollments", "list", "--outcome", "held", "--reason", "volume_guard"]).await;
    assert_eq!(listed.as_array().unwrap().len(), 2);
    // One workflow was stopped, once; ids and counts, and by which limit.
    let told = db.rows("SELECT data FROM outbox WHERE type = 'guard.tripped'").await;
    let mut told: Value = serde_json::from_str(&told[0][0]).unwrap();
    assert!(told.as_object_mut().unwrap().remove("trippedAt").is_some());
    assert_eq!(told, json!({"accountId": "1", "workflowId": "6", "limit": "workflow", "held": 2}));
    reaper.decide(&[event(1, 6, 9, 9)]).await;
    assert_eq!(outcome(&reaper, 9).await, "held: volume_guard");
    assert_eq!(db.count("outbox", "type = 'guard.tripped'").await, 1);
});

on_both!(all_workflows_of_an_account_share_its_limit, async |db: Database| {
    let reaper = limited(Reaper::new(&db), 1_000).setting("guard.account.max_deletions", "4");
    with_contacts(&reaper, 6).await;
    reaper.decide(&[1, 2, 3].map(|id| event(1, 6, id, id))).await;
    reaper.decide(&[4, 5].map(|id| event(1, 7, id, id))).await;
    assert_eq!((decided(&db, "deleted").await, outcome(&reaper, 5).await), (4, "held: volume_guard".into()));
});

on_both!(
    the_share_counts_what_workflows_delete_and_whom_they_could_and_gives_nothing_back,
    async |db: Database| {
        // As it comes: a tenth, in accounts of over 500 contacts.
        let reaper = Reaper::new(&db);
        with_contacts(&reaper, 600).await;
        // A person's delete does not count, but for the one contact that is not live any more.
        reaper.delete(1, 600).await;
        reaper.decide(&(1..=100).map(|id| event(1, 6, id, id)).collect::<Vec<_>>()).await;
        assert_eq!((decided(&db, "deleted").await, decided(&db, "held").await), (59, 41));
        let gone = db.rows("SELECT CAST(min(object_id) AS text) FROM ledger WHERE outcome = 'deleted'").await;
        reaper.restore(1, gone[0][0].parse().unwrap()).await;
        reaper.decide(&[event(1, 6, 101, 101)]).await;
        // Of 600 now, with the one that came back, the 60th is exactly a tenth; the 59 are not fewer for it.
        assert_eq!(outcome(&reaper, 101).await, "deleted");
        reaper.decide(&[event(1, 6, 102, 102)]).await;
        assert_eq!(outcome(&reaper, 102).await, "held: volume_guard");
    }
);

on_both!(the_window_slides_on_but_what_is_held_stays_held, async |db: Database| {
    let reaper = limited(Reaper::new(&db), 2).setting("guard.workflow.window", "1s");
    with_contacts(&reaper, 9).await;
    reaper.decide(&[1, 2, 3].map(|id| event(1, 6, id, id))).await;
    assert_eq!(outcome(&reaper, 3).await, "held: volume_guard");
    tokio::time::sleep(Duration::from_millis(1_100)).await;
    reaper.decide(&[4, 5, 6].map(|id| event(1, 6, id, id))).await;
    assert_eq!(
        (outcome(&reaper, 5).await, outcome(&reaper, 6).await),
        ("deleted".into(), "held: volume_guard".into())
    );
    assert_eq!(outcome(&reaper, 3).await, "held: volume_guard");
    // Approved ones pass the guard, and count: six in the hour, where four would leave room for a fifth.
    reaper.json(&on_holds("approve", "2")).await;
    reaper.decide(&[]).await;
    assert_eq!((outcome(&reaper, 3).await, decided(&db, "deleted").await), ("deleted".into(), 6));
    let reaper = limited(reaper, 5).setting("guard.workflow.window", "1h");
    reaper.decide(&[event(1, 6, 7, 7)]).await;
    assert_eq!(outcome(&reaper, 7).await, "held: volume_guard");
});

on_both!(what_is_rejected_is_skipped_and_a_held_enrollment_is_decided_already, async |db: Database| {
    let reaper = limited(Reaper::new(&db), 1);
    with_contacts(&reaper, 4).await;
    reaper.decide(&[event(1, 6, 1, 1), event(1, 6, 2, 2)]).await;
    // The same again is a duplicate; under the same key another contact is a conflict.
    reaper.decide(&[event(1, 6, 2, 2), event(1, 6, 3, 2)]).await;
    assert_eq!(
        (db.count("ledger", "TRUE").await, outcome(&reaper, 2).await),
        (2, "held: volume_guard".into())
    );
    assert_eq!(db.count("dead_letters", "reason = 'conflicting_duplicate'").await, 1);
    reaper.import(&[user(1, 8, &["bulk_delete"]), user(1, 9, &["delete"])]).await;
    let ruled = |ruling, by| [&on_holds(ruling, "1")[..], &["--as", by]].concat();
    for ruling in ["approve", "reject"] {
        let said = reaper.refused(&ruled(ruling, "9")).await;
        assert!(said.contains("user 9 may not") && said.contains("bulk_delete"), "{said}");
    }
    let said = reaper.refused(&ruled("reject", "nobody@account1.example")).await;
    assert!(said.contains("has no such user"), "{said}");
    let rejected = reaper.json(&ruled("reject", "user8@account1.example")).await;
    assert_eq!(rejected, json!({"rejected": 1}));
    assert_eq!(outcome(&reaper, 2).await, "skipped: rejected");
    assert_eq!((reaper.state(1, 2).await, db.count("pending_enrollments", "TRUE").await), ("live".into(), 0));
    assert_eq!(db.count("audit", "action = 'reject_held' AND actor = 'user:8' AND count = 1").await, 1);
    let skipped = db.rows("SELECT actor, CAST(ids AS text) FROM audit WHERE action = 'skip'").await;
    assert!(skipped[0][0] == "user:8" && skipped[0][1].contains("\"2\""), "{skipped:?}");
    let said = reaper.refused(&on_holds("approve", "1")).await;
    assert!(said.contains("holds 0 enrollments"), "{said}");
});

on_both!(the_number_of_live_contacts_is_known_whatever_was_done, async |db: Database| {
    let reaper = limited(Reaper::new(&db), 1_000);
    let known = async || {
        let sql = "SELECT CAST(coalesce(sum(change), 0) AS text) FROM contact_counts WHERE account_id = 1";
        let known: i64 = db.rows(sql).await[0][0].parse().unwrap();
        assert_eq!(known, db.count("contacts", "account_id = 1 AND deleted_at IS NULL").await);
        known
    };
    with_contacts(&reaper, 9).await;
    assert_eq!(known().await, 9);
    let archived = |id, days| {
        let mut record = ada(id);
        (record["archived"], record["archivedAt"]) = (json!(true), json!(days_ago(days)));
        record
    };
    // Again, new, archived when new, and archived when there already, which changes nothing.
    reaper.import(&[ada(1), ada(10), archived(11, 3), archived(12, 91), archived(2, 3)]).await;
    assert_eq!(known().await, 10);
    reaper.refused_with_input(&["import", "-"], &format!("{}\nnonsense\n", ada(20))).await;
    reaper.delete(1, 3).await;
    reaper.delete(1, 4).await;
    reaper.restore(1, 4).await;
    assert_eq!(known().await, 9);
    for id in ["5", "3"] {
        reaper.json(&["erase", "--account", "1", "--as", "1", "--contact", id, "--confirm", "1"]).await;
    }
    reaper.json(&["retention", "run", "--job", "purge_trash"]).await;
    assert_eq!(known().await, 8);
    // Many small changes become one row when the guard comes by.
    for _ in 0..60 {
        db.execute("INSERT INTO contact_counts (account_id, change) VALUES (1, 1), (1, -1)").await;
    }
    reaper.decide(&[event(1, 6, 6, 1), event(1, 6, 7, 2)]).await;
    assert_eq!((known().await, db.count("contact_counts", "TRUE").await), (6, 2));
});

/// An enrollment by an event that tells of a person.
fn by_event(contact: i64, enrollment: i64, words: &str) -> Value {
    let mut event = event(1, 6, contact, enrollment);
    event["data"]["cause"] = json!("EVENT");
    event["data"]["event"] =
        json!({"eventTypeId": "6-1", "occurredAt": seconds_ago(60), "properties": {"said": words}});
    event
}

on_both!(an_event_that_waits_goes_with_its_person, async |db: Database| {
    let reaper = limited(Reaper::new(&db), 2);
    with_contacts(&reaper, 9).await;
    let mut old = ada(10);
    (old["archived"], old["archivedAt"]) = (json!(true), json!(days_ago(91)));
    reaper.import(&[old]).await;
    reaper.json(&["pause"]).await;
    let words = ["of-the-second", "about contact2@account1.example", "of-the-tenth", "of-a-stranger"];
    let events = [(2, 2), (3, 3), (10, 10), (77, 77)].into_iter().zip(words);
    reaper
        .decide(&events.map(|((id, enrollment), words)| by_event(id, enrollment, words)).collect::<Vec<_>>())
        .await;
    let found = async || -> Vec<&str> {
        let everything = db.everything().await;
        words.into_iter().filter(|words| everything.contains(*words)).collect()
    };
    assert_eq!(found().await, words);
    reaper.json(&["erase", "--account", "1", "--as", "1", "--contact", "2", "--confirm", "1"]).await;
    assert_eq!(found().await, words[2..], "what others said of the person is gone too");
    reaper.json(&["retention", "run", "--job", "purge_trash"]).await;
    assert_eq!(found().await, words[3..]);
    // Nor does a message that comes late bring anything back.
    reaper.decide(&[by_event(2, 12, words[0])]).await;
    assert_eq!(found().await, words[3..]);

    // Those whose event is still there are decided by it, also a contact that arrives meanwhile.
    reaper.import(&[contact(1, 77, json!({"firstname": "Ada"}))]).await;
    reaper.json(&["resume"]).await;
    reaper.decide(&[]).await;
    for (enrollment, expected) in [
        (2, "skipped: permanently_deleted"),
        (3, "deleted"),
        (10, "skipped: permanently_deleted"),
        (12, "skipped: permanently_deleted"),
        (77, "deleted"),
    ] {
        assert_eq!(outcome(&reaper, enrollment).await, expected, "enrollment {enrollment}");
    }
    assert_eq!(db.count("pending_events", "TRUE").await, 0);
});

on_both!(a_worker_with_a_short_window_keeps_what_one_with_a_long_window_counts, async |db: Database| {
    let reaper = limited(Reaper::new(&db), 3);
    let long = reaper.clone().setting("guard.workflow.window", "1d").setting("guard.account.window", "1d");
    let short = reaper.setting("guard.workflow.window", "1m").setting("guard.account.window", "1m");
    with_contacts(&long, 9).await;
    long.decide(&(1..=2).map(|id| event(1, 6, id, id)).collect::<Vec<_>>()).await;
    // They were deleted an hour ago.
    db.execute(db.in_its_words(
        "UPDATE guard_counts SET slot_ends_at = slot_ends_at - interval '1 hour'",
        "UPDATE guard_counts SET slot_ends_at = strftime('%Y-%m-%dT%H:%M:%f000Z', slot_ends_at, '-1 hour')",
    ))
    .await;
    short.decide(&[event(1, 6, 3, 3)]).await;
    assert_eq!(outcome(&short, 3).await, "deleted");
    long.decide(&[event(1, 6, 4, 4)]).await;
    assert_eq!(outcome(&long, 4).await, "held: volume_guard", "three were deleted within its day");
    short.decide(&[event(1, 6, 5, 5), event(1, 6, 6, 6)]).await;
    assert_eq!(outcome(&short, 6).await, "deleted", "within its minute there were two before");
});
