//! Pause and resume: once `pause` has returned no later commit deletes, and nothing is lost.

use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};

use crate::support::records::{all_of, contact, entitled_account, event, property, user, workflow};
use crate::support::{Broker, DEADLINE, Database, Reaper, Worker, on_both, wait_until};

/// Two entitled accounts with workflows 6 and 7 that delete Adas, so many of these in the first and one in the second.
async fn with_contacts(reaper: &Reaper, contacts: i64) {
    let mut records = Vec::new();
    for account in [1, 2] {
        records.extend(entitled_account(account));
        let ada = property("firstname", "STRING", "IS_EQUAL_TO", json!("Ada"));
        records.extend([6, 7].map(|id| workflow(account, id, &all_of(std::slice::from_ref(&ada)))));
        let how_many = if account == 1 { contacts } else { 1 };
        records.extend((1..=how_many).map(|id| contact(account, id, json!({"firstname": "Ada"}))));
    }
    reaper.import(&records).await;
}

/// The outcome and reason of an enrollment, as `outcome` or `outcome: reason`.
async fn outcome(reaper: &Reaper, account: i64, enrollment: i64) -> String {
    let decision = reaper.decision(account, enrollment).await;
    let outcome = decision["outcome"].as_str().expect("an outcome");
    decision["reason"].as_str().map_or(outcome.to_owned(), |reason| format!("{outcome}: {reason}"))
}

async fn deleted(db: &Database) -> i64 {
    db.count("contacts", "deleted_at IS NOT NULL").await
}

async fn started(reaper: &Reaper) -> Worker {
    let mut worker = reaper.spawn(&["run"]);
    worker.wait_ready().await;
    worker
}

on_both!(a_pause_under_load_lets_nothing_through_and_loses_nothing_even_when_killed, async |db: Database| {
    let broker = Broker::new().await;
    // Small batches, so that many are under way.
    let reaper = Reaper::new(&db)
        .unguarded()
        .setting("pipeline.batch_size", "10")
        .setting("pipeline.prefetch", "30")
        .fed_by(&broker);
    with_contacts(&reaper, 1_200).await;
    let mut workers = [started(&reaper).await, started(&reaper).await];
    let events: Vec<String> = (1..=1_200).map(|id| event(1, 6, id, id).to_string()).collect();
    let pause = async {
        wait_until("some are deleted", DEADLINE, async || deleted(&db).await >= 100).await;
        reaper.json(&["pause"]).await;
        deleted(&db).await
    };
    let ((), when_paused) = tokio::join!(broker.publish(&events), pause);
    wait_until("all are decided", DEADLINE, async || db.count("ledger", "TRUE").await == 1_200).await;
    assert_eq!(deleted(&db).await, when_paused, "deleted after `pause` had returned");
    assert_eq!(db.count("ledger", "outcome = 'held' AND reason = 'paused'").await, 1_200 - when_paused);
    wait_until("the metric follows", DEADLINE, async || {
        workers[0].metrics().await.contains("\ncontact_reaper_paused 1\n")
    })
    .await;
    let held = reaper.json(&["holds", "list"]).await;
    assert_eq!((&held[0]["reason"], &held[0]["count"]), (&json!("paused"), &json!(1_200 - when_paused)));

    // Both are killed while they take up again; two others finish it, and nothing is done twice.
    reaper.json(&["resume"]).await;
    wait_until("some are taken up", DEADLINE, async || deleted(&db).await > when_paused).await;
    workers.iter_mut().for_each(Worker::kill9);
    let workers = [started(&reaper).await, started(&reaper).await];
    wait_until("all are taken up", DEADLINE, async || deleted(&db).await == 1_200).await;
    assert_eq!(db.count("ledger", "outcome = 'deleted'").await, 1_200);
    assert_eq!(db.count("trash_entries", "TRUE").await, 1_200);
    let audited = db.rows("SELECT CAST(sum(count) AS text) FROM audit WHERE action = 'trash'").await;
    assert_eq!((audited[0][0].as_str(), db.count("pending_enrollments", "TRUE").await), ("1200", 0));
    drop(workers);
});

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_pause_waits_for_the_batch_that_has_read_the_pauses() {
    let db = Database::postgres().await;
    let reaper = Reaper::new(&db).unguarded();
    with_contacts(&reaper, 1).await;
    reaper
        .import(&[
            json!({"kind": "company", "accountId": "1", "id": "9", "properties": {"name": "ACME"}}),
            json!({"kind": "association", "accountId": "1", "from": {"type": "contact", "id": "1"},
                "to": {"type": "company", "id": "9"}}),
        ])
        .await;
    // Somebody has the company of the contact in hand: the batch is decided, and cannot be finished.
    let mut other = PgConnection::connect(db.url()).await.unwrap();
    for statement in ["BEGIN", "SELECT object_id FROM objects FOR UPDATE"] {
        sqlx::raw_sql(statement).execute(&mut other).await.unwrap();
    }
    let decision = tokio::spawn({
        let reaper = reaper.clone();
        async move { reaper.decide(&[event(1, 6, 1, 1)]).await }
    });
    let waits = "SELECT CAST(count(*) AS text) FROM pg_stat_activity \
                 WHERE datname = current_database() AND wait_event_type = 'Lock'";
    let waiting = async |how_many: &str| db.rows(waits).await[0][0] == how_many;
    wait_until("the batch waits for the company", DEADLINE, async || waiting("1").await).await;
    let pause = tokio::spawn({
        let reaper = reaper.clone();
        async move { reaper.json(&["pause"]).await }
    });
    wait_until("the pause waits for the batch, or has returned", DEADLINE, async || {
        waiting("2").await || pause.is_finished()
    })
    .await;
    let returned_early = pause.is_finished();
    sqlx::raw_sql("COMMIT").execute(&mut other).await.unwrap();
    pause.await.unwrap();
    decision.await.unwrap();
    assert!(!returned_early, "a deletion was committed after `pause` had returned");
    assert_eq!(deleted(&db).await, 1);
}

on_both!(a_workflow_an_account_or_everything_is_paused_and_the_rest_goes_on, async |db: Database| {
    let reaper = Reaper::new(&db).unguarded();
    with_contacts(&reaper, 9).await;
    let workflow_6 = ["--account", "1", "--workflow", "6"];
    let of_workflow = |verb: &'static str| [&[verb][..], &workflow_6].concat();
    let paused = reaper.json(&of_workflow("pause")).await;
    assert_eq!(paused, json!({"paused": true, "wasPaused": false}));
    let again = reaper.json(&of_workflow("pause")).await;
    assert_eq!(again, json!({"paused": true, "wasPaused": true}));
    reaper.decide(&[event(1, 6, 1, 1), event(1, 7, 2, 2), event(2, 6, 1, 1)]).await;
    assert_eq!(outcome(&reaper, 1, 1).await, "held: paused");
    assert_eq!(
        (outcome(&reaper, 1, 2).await, outcome(&reaper, 2, 1).await),
        ("deleted".into(), "deleted".into())
    );

    reaper.import(&[user(1, 8, &["delete"])]).await;
    for verb in ["pause", "resume"] {
        let said = reaper.refused(&[verb, "--account", "1", "--as", "8"]).await;
        assert!(said.contains("user 8 may not") && said.contains("bulk_delete"), "{said}");
    }
    reaper.import(&[user(1, 8, &["bulk_delete"])]).await;
    reaper.json(&["pause", "--account", "1", "--as", "user8@account1.example"]).await;
    assert_eq!(db.count("audit", "action = 'pause' AND actor = 'user:8' AND account_id = 1").await, 1);
    let mut unknown = event(1, 90, 3, 3);
    unknown["data"]["actionId"] = json!("5");
    // Paused is asked before the workflow, and after the account.
    reaper.decide(&[unknown, event(1, 7, 4, 4), event(99, 6, 5, 5)]).await;
    assert_eq!(
        (outcome(&reaper, 1, 3).await, outcome(&reaper, 1, 4).await),
        ("held: paused".into(), "held: paused".into())
    );
    assert_eq!(outcome(&reaper, 99, 5).await, "refused: account_not_found");
    // People go on.
    reaper.delete(1, 8).await;
    reaper.json(&["erase", "--account", "1", "--as", "1", "--contact", "9", "--confirm", "1"]).await;
    assert_eq!(reaper.state(1, 8).await, "in_trash");

    // The narrow pause ends, the wide one holds on.
    let resumed = reaper.json(&of_workflow("resume")).await;
    assert_eq!(resumed, json!({"resumed": true, "stillPaused": true}));
    reaper.decide(&[]).await;
    assert_eq!(outcome(&reaper, 1, 1).await, "held: paused");
    let resumed = reaper.json(&["resume", "--account", "1"]).await;
    assert_eq!(resumed, json!({"resumed": true, "stillPaused": false}));
    reaper.decide(&[]).await;
    for (enrollment, expected) in [(1, "deleted"), (3, "refused: workflow_not_found"), (4, "deleted")] {
        assert_eq!(outcome(&reaper, 1, enrollment).await, expected, "enrollment {enrollment}");
    }
    assert_eq!(db.count("audit", "action = 'refuse' AND actor = 'workflow:90' AND count = 1").await, 1);
    let actions = [db.count("audit", "action = 'pause'").await, db.count("audit", "action = 'resume'").await];
    assert_eq!(actions, [2, 2]);
    assert_eq!(reaper.json(&["resume"]).await, json!({"resumed": false, "stillPaused": false}));
    let said = reaper.refused(&["pause", "--account", "1", "--workflow", "90"]).await;
    assert!(said.contains("there is no workflow 90 of account 1"), "{said}");
    let usage = reaper.run(&["pause", "--workflow", "6"]).await;
    assert_eq!(usage.code, 2, "{}", usage.stderr);
});

on_both!(an_approval_sticks_through_a_pause_and_a_restart, async |db: Database| {
    let reaper = Reaper::new(&db).unguarded().setting("guard.workflow.max_deletions", "1");
    with_contacts(&reaper, 4).await;
    reaper.decide(&[1, 2, 3].map(|id| event(1, 6, id, id))).await;
    let approve = |confirm: &'static str| {
        ["holds", "approve", "--account", "1", "--workflow", "6", "--confirm", confirm]
    };
    reaper.json(&approve("2")).await;
    reaper.json(&["pause"]).await;
    reaper.decide(&[event(1, 6, 4, 4)]).await;
    let held: Vec<Value> =
        reaper.json(&["enrollments", "list", "--outcome", "held"]).await.as_array().unwrap().clone();
    assert!(held.len() == 3 && held.iter().all(|row| row["reason"] == "paused"), "{held:?}");
    reaper.json(&["resume"]).await;
    reaper.decide(&[]).await;
    // What was approved is deleted; what came since is over the limit.
    assert_eq!(
        (outcome(&reaper, 1, 2).await, outcome(&reaper, 1, 3).await),
        ("deleted".into(), "deleted".into())
    );
    assert_eq!(outcome(&reaper, 1, 4).await, "held: volume_guard");
    assert_eq!(db.count("audit", "action = 'hold' AND actor = 'workflow:6'").await, 2);
});
