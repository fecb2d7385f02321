//! Enrollments that come before their contact.

use serde_json::{Value, json};

use crate::support::records::{contact, entitled_account, event, manual_workflow};
use crate::support::{Broker, DEADLINE, Database, Reaper, Worker, on_both, wait_until};

/// Account 1, entitled, with a workflow 6 that enrolls by hand and no contact.
async fn without_contacts(reaper: &Reaper) {
    let mut records = entitled_account(1);
    records.push(manual_workflow(1, 6));
    reaper.import(&records).await;
}

fn by_hand(contact: i64, enrollment: i64) -> Value {
    let mut event = event(1, 6, contact, enrollment);
    event["data"]["cause"] = json!("MANUAL");
    event
}

async fn outcome(reaper: &Reaper, enrollment: i64) -> [String; 2] {
    let decision = reaper.decision(1, enrollment).await;
    ["outcome", "reason"].map(|member| decision[member].as_str().unwrap_or_default().to_owned())
}

async fn waits(db: &Database) -> bool {
    db.count("ledger", "outcome = 'deferred' AND reason = 'awaiting_contact'").await > 0
}

async fn started(reaper: &Reaper) -> Worker {
    let mut worker = reaper.spawn(&["run"]);
    worker.wait_ready().await;
    worker
}

on_both!(an_enrollment_waits_for_its_contact_through_a_restart, async |db: Database| {
    let broker = Broker::new().await;
    // Longer than any test: whatever is decided meanwhile is decided because the contact came.
    let reaper = Reaper::new(&db).unguarded().fed_by(&broker).setting("feed.wait_for_contact", "1h");
    without_contacts(&reaper).await;
    let mut worker = started(&reaper).await;
    broker.publish(&[by_hand(1, 1).to_string()]).await;
    wait_until("it waits", DEADLINE, async || waits(&db).await).await;
    wait_until("its message is settled", DEADLINE, async || broker.count(&broker.queue()).await == 0).await;
    worker.kill9();
    assert_eq!(outcome(&reaper, 1).await, ["deferred", "awaiting_contact"]);
    // The same again is the same enrollment.
    broker.publish(&[by_hand(1, 1).to_string()]).await;
    let mut worker = started(&reaper).await;
    reaper.import(&[contact(1, 1, json!({}))]).await;
    wait_until("it is decided", DEADLINE, async || !waits(&db).await).await;
    assert_eq!(outcome(&reaper, 1).await, ["deleted", ""]);
    assert_eq!((db.count("ledger", "TRUE").await, db.count("dead_letters", "TRUE").await), (1, 0));
    let retried = worker.metrics().await;
    assert!(retried.lines().filter(|line| line.contains("retries_total{")).all(|line| line.ends_with(" 0")));
    worker.terminate();
    assert_eq!(worker.exit(DEADLINE).await.code(), Some(0));
});

on_both!(with_json_lines_it_waits_in_the_store_for_another_run, async |db: Database| {
    let reaper = Reaper::new(&db).unguarded().setting("feed.wait_for_contact", "1h");
    without_contacts(&reaper).await;
    reaper.decide(&[by_hand(1, 1), by_hand(2, 2)]).await;
    assert_eq!(outcome(&reaper, 1).await, ["deferred", "awaiting_contact"]);
    reaper.import(&[contact(1, 1, json!({}))]).await;
    // As if the time of the next look had come.
    db.execute("UPDATE pending_enrollments SET ready_at = since").await;
    reaper.decide(&[]).await;
    assert_eq!(outcome(&reaper, 1).await, ["deleted", ""]);
    assert_eq!(outcome(&reaper, 2).await, ["deferred", "awaiting_contact"]);
    assert_eq!(db.count("pending_enrollments", "ready_at > since").await, 1, "it is looked at later again");
    // As if an hour had passed.
    let ago = db.in_its_words("now() - interval '61 minutes'", "'2020-01-01T00:00:00.000000Z'");
    db.execute(&format!("UPDATE pending_enrollments SET ready_at = {ago}, since = {ago}")).await;
    reaper.decide(&[]).await;
    assert_eq!(outcome(&reaper, 2).await, ["skipped", "contact_not_found"]);
    assert_eq!(db.count("pending_enrollments", "TRUE").await, 0);
    // Off, it is decided at once.
    reaper.setting("feed.wait_for_contact", "0s").decide(&[by_hand(3, 3)]).await;
    let reaper = Reaper::new(&db);
    assert_eq!(outcome(&reaper, 3).await, ["skipped", "contact_not_found"]);
});

on_both!(the_event_that_enrolled_a_contact_to_come_is_remembered, async |db: Database| {
    let reaper = Reaper::new(&db).unguarded().setting("feed.wait_for_contact", "1h");
    let mut by_event = event(1, 6, 1, 1);
    by_event["data"]["cause"] = json!("EVENT");
    by_event["data"]["event"] =
        json!({"eventTypeId": "6-1", "occurredAt": by_event["time"], "properties": {}});
    without_contacts(&reaper).await;
    reaper.decide(&[by_event]).await;
    assert_eq!(outcome(&reaper, 1).await, ["deferred", "awaiting_contact"]);
    assert_eq!(db.count("pending_events", "contact_id = 1").await, 1);
    reaper.import(&[contact(1, 1, json!({}))]).await;
    db.execute("UPDATE pending_enrollments SET ready_at = since").await;
    reaper.decide(&[]).await;
    assert!(!waits(&db).await);
    assert_eq!(db.count("pending_events", "TRUE").await, 0, "decided, nothing of it is kept");
    // Nothing is kept of whoever is gone meanwhile.
    reaper.import(&[contact(1, 2, json!({}))]).await;
    reaper.json(&["erase", "--account", "1", "--as", "1", "--contact", "2", "--confirm", "1"]).await;
    let mut late = event(1, 6, 2, 2);
    late["data"]["cause"] = json!("EVENT");
    late["data"]["event"] = json!({"eventTypeId": "6-1", "occurredAt": late["time"], "properties": {}});
    reaper.decide(&[late]).await;
    assert_eq!(outcome(&reaper, 2).await, ["skipped", "permanently_deleted"]);
    assert_eq!(db.count("pending_events", "TRUE").await, 0);
});

on_both!(event_that_arrives_during_a_pause_before_its_contact_is_kept, async |db: Database| {
    let reaper = Reaper::new(&db).unguarded();
    without_contacts(&reaper).await;
    let branch = json!({"filterBranchType": "UNIFIED_EVENTS", "filterBranchOperator": "AND", "operator": "HAS_COMPLETED",
        "eventTypeId": "6-1", "filters": [], "filterBranches": []});
    let mut flow = manual_workflow(1, 8);
    flow["flow"]["enrollmentCriteria"] =
        json!({"type": "EVENT_BASED", "shouldReEnroll": false, "eventFilterBranches": [branch]});
    // Of a type that the account keeps.
    let kept = json!({"kind": "customEvent", "accountId": "1", "id": "1", "contactId": "7", "eventTypeId": "6-1",
        "occurredAt": "2026-01-01T00:00:00Z", "properties": {}});
    reaper.import(&[flow, contact(1, 7, json!({})), kept]).await;
    reaper.json(&["pause"]).await;
    let mut by_event = event(1, 8, 1, 1);
    by_event["data"]["cause"] = json!("EVENT");
    by_event["data"]["event"] =
        json!({"eventTypeId": "6-1", "occurredAt": by_event["time"], "properties": {}});
    reaper.decide(&[by_event]).await;
    assert_eq!(outcome(&reaper, 1).await, ["held", "paused"]);
    reaper.import(&[contact(1, 1, json!({}))]).await;
    reaper.json(&["resume"]).await;
    reaper.decide(&[]).await;
    assert_eq!(outcome(&reaper, 1).await, ["deleted", ""]);
    assert_eq!(db.count("pending_events", "TRUE").await, 0);
});

on_both!(an_event_that_waits_names_no_erased_person, async |db: Database| {
    let reaper = Reaper::new(&db).unguarded().setting("feed.wait_for_contact", "1h");
    without_contacts(&reaper).await;
    reaper.import(&[contact(1, 8, json!({"email": "zq@old.example"}))]).await;
    let erased =
        reaper.run(&["erase", "--account", "1", "--as", "1", "--contact", "8", "--confirm", "1"]).await;
    assert_eq!(erased.code, 0, "{}", erased.stderr);
    let mut by_event = event(1, 6, 1, 1);
    by_event["data"]["cause"] = json!("EVENT");
    by_event["data"]["event"] = json!({"eventTypeId": "6-1", "occurredAt": by_event["time"],
        "properties": {"friend": "Zq@old.example", "other": "ann@x.example"}});
    reaper.decide(&[by_event]).await;
    let kept = db.rows("SELECT event FROM pending_events").await.concat().concat();
    assert!(kept.contains("[redacted]") && kept.contains("ann@x.example"), "{kept}");
    assert!(!db.everything().await.to_lowercase().contains("zq@old.example"));
});

// The erasure searches for the address while the event that names it is written by a transaction that is not committed.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn event_that_is_written_during_an_erasure_names_no_erased_person() {
    let db = Database::postgres().await;
    let reaper = Reaper::new(&db).unguarded();
    without_contacts(&reaper).await;
    reaper.import(&[contact(1, 8, json!({"email": "zq@old.example"})), contact(1, 1, json!({}))]).await;
    reaper.json(&["pause"]).await;
    db.execute(
        "CREATE FUNCTION slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN PERFORM pg_sleep(2); RETURN NEW; END $$; \
         CREATE TRIGGER slow AFTER INSERT ON pending_events FOR EACH ROW EXECUTE FUNCTION slow()",
    )
    .await;
    let mut by_event = event(1, 6, 1, 1);
    by_event["data"]["cause"] = json!("EVENT");
    by_event["data"]["event"] = json!({"eventTypeId": "6-1", "occurredAt": by_event["time"],
        "properties": {"friend": "zq@old.example"}});
    let events = [by_event];
    let erased = async {
        let sleeps = "datname = current_database() AND wait_event = 'PgSleep'";
        wait_until("it is written", DEADLINE, async || db.count("pg_stat_activity", sleeps).await == 1).await;
        reaper.run(&["erase", "--account", "1", "--as", "1", "--contact", "8", "--confirm", "1"]).await
    };
    let (erased, ()) = tokio::join!(erased, reaper.decide(&events));
    assert_eq!(erased.code, 0, "{}", erased.stderr);
    let kept = db.rows("SELECT event FROM pending_events").await.concat().concat();
    assert!(kept.contains("[redacted]") && !kept.contains("zq@"), "{kept}");
}
