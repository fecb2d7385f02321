//! What ends a run before all is done, what its record says then, and that no two of a job run at once.

use contact_reaper::store::StoreError;
use contact_reaper::store::retention::{Started, Sweep};
use serde_json::{Value, json};

use super::{DAY, trashed, with};
use crate::support::records::seconds_ago;
use crate::support::{Database, on_both, sweep};

on_both!(a_run_stops_at_its_cap_to_the_row_and_the_next_one_goes_on, async |db: Database| {
    let records: Vec<Value> = (1..=7).map(|id| trashed(id, 91 * DAY)).collect();
    let reaper = with(&db, &records).await.setting("retention.purge_trash.max_per_run", "3");
    let reaper = reaper.setting("retention.purge_trash.batch_size", "2");
    let run = async || reaper.json(&["retention", "run", "--job", "purge_trash"]).await["jobs"][0].clone();
    let stopped = |deleted: u64, remaining: u64, by: &str| json!({"job": "purge_trash", "dryRun": false, "deleted": deleted, "remaining": remaining, "held": 0, "stoppedBy": by});
    assert_eq!(run().await, stopped(3, 4, "max_per_run"));
    assert_eq!(run().await, stopped(3, 1, "max_per_run"));
    assert_eq!(run().await, stopped(1, 0, "done"));
});

on_both!(the_record_of_a_run_says_what_of_each_category_and_adds_up, async |db: Database| {
    let payload =
        json!({"kind": "integration", "accountId": "1", "contactId": "2", "source": "shop", "payload": {}});
    let records: Vec<Value> = (1..=5).map(|id| trashed(id, 91 * DAY)).chain([payload]).collect();
    let reaper = with(&db, &records).await.setting("retention.purge_trash.batch_size", "2");
    reaper.json(&["retention", "run", "--job", "purge_trash"]).await;
    let run = reaper.json(&["retention", "status"]).await["jobs"][0]["run"].clone();
    let told = ["leaseToken", "batches", "deleted", "failed", "remaining", "stoppedBy"]
        .map(|member| run[member].clone());
    assert_eq!(told, [json!(null), json!(3), json!(5), json!(0), json!(0), json!("done")]);
    assert!(run["by"].as_str().unwrap().starts_with("operator:") && run["endedAt"].is_string(), "{run}");
    let counts = &run["counts"];
    assert_eq!(counts["contacts"], json!({"deleted": 5, "unlinked": 0}));
    assert_eq!(counts["integration data"]["deleted"], 1);
    assert_eq!(counts["contact data (properties, additional e-mails, property history)"]["deleted"], 5);
    assert!(counts.get("quotes").is_none(), "nothing of them: {counts}");
});

on_both!(a_run_is_refused_while_another_of_the_job_is_under_way_and_not_for_ever, async |db: Database| {
    let reaper = with(&db, &[trashed(1, 91 * DAY)]).await;
    let begin = |active: &str| {
        format!(
            "INSERT INTO retention_runs (job, run_by, started_at, active_at, batches, deleted, failed, counts) \
             VALUES ('purge_trash', 'operator:ola', '2026-01-01T00:00:00.000000Z', '{active}', 0, 0, 0, '{{}}')"
        )
    };
    db.execute(&begin(&seconds_ago(1))).await;
    let said = reaper.refused(&["retention", "run", "--job", "purge_trash"]).await;
    assert!(
        said.contains("purge_trash is under way since 2026-01-01T00:00:00.000000Z by operator:ola"),
        "{said}"
    );
    assert_eq!(reaper.state(1, 1).await, "in_trash");
    db.execute(&format!("UPDATE retention_runs SET active_at = '{}'", seconds_ago(600))).await;
    reaper.json(&["retention", "run", "--job", "purge_trash"]).await;
    assert_eq!(reaper.state(1, 1).await, "purged");
    let runs = db.rows("SELECT run_by, stopped_by FROM retention_runs ORDER BY run_id").await;
    assert_eq!(
        (runs.len(), runs[0].join(" "), runs[1][1].as_str()),
        (2, "operator:ola killed".to_owned(), "done")
    );
});

on_both!(a_run_whose_record_somebody_closed_does_nothing_more, async |db: Database| {
    with(&db, &[trashed(1, 91 * DAY)]).await;
    let store = db.open();
    let Started::Run(run) = store.start_run("purge_trash", "operator:ola", None).await.unwrap() else {
        panic!("nobody else is at it")
    };
    db.execute("UPDATE retention_runs SET ended_at = active_at, stopped_by = 'killed'").await;
    let batch = store.sweep(&Sweep { run: Some(&run), ..sweep() }).await;
    assert!(matches!(batch, Err(StoreError::Refused(_))), "{batch:?}");
    store.end_run(&run, "done", Some(0)).await.unwrap();
    assert_eq!(db.count("gone_contacts", "TRUE").await, 0);
    assert_eq!(db.count("retention_runs", "stopped_by = 'killed' AND deleted = 0").await, 1);
    store.close().await;
});
