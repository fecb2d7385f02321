//! The metrics before anything has happened: what the contract names is there from the start, so that no first step is
//! missed and no alert waits for a series that is not born.

use serde_json::json;

use crate::support::records::{days_ago, entitled_account};
use crate::support::{Broker, DEADLINE, Database, Reaper, metrics_complaints, on_both, wait_until};

/// What a worker shows that is ready and has done nothing, by hand from the contract; 0 where nothing is said.
const BORN: &str = r#"
enrollments_total{outcome="deleted",reason=""}
enrollments_total{outcome="duplicate",reason=""}
enrollments_total{outcome="skipped",reason="workflow_off"}
enrollments_total{outcome="skipped",reason="contact_not_found"}
enrollments_total{outcome="skipped",reason="already_in_trash"}
enrollments_total{outcome="skipped",reason="permanently_deleted"}
enrollments_total{outcome="skipped",reason="restored_since_enrollment"}
enrollments_total{outcome="skipped",reason="already_enrolled"}
enrollments_total{outcome="skipped",reason="re_enrollment_off"}
enrollments_total{outcome="skipped",reason="goal_met"}
enrollments_total{outcome="skipped",reason="suppressed"}
enrollments_total{outcome="skipped",reason="criteria_not_met"}
enrollments_total{outcome="refused",reason="enrollment_too_old"}
enrollments_total{outcome="refused",reason="object_type_not_supported"}
enrollments_total{outcome="refused",reason="account_not_found"}
enrollments_total{outcome="refused",reason="workflow_not_found"}
enrollments_total{outcome="refused",reason="workflow_type_not_supported"}
enrollments_total{outcome="refused",reason="action_not_in_workflow"}
enrollments_total{outcome="refused",reason="subscription_required"}
enrollments_total{outcome="refused",reason="criteria_unsupported"}
enrollments_total{outcome="held",reason="paused"}
enrollments_total{outcome="held",reason="volume_guard"}
enrollments_total{outcome="deferred",reason="outside_time_window"}
enrollments_total{outcome="deferred",reason="blocked_date"}
enrollments_total{outcome="deferred",reason="awaiting_contact"}
enrollment_age_seconds_bucket{le="30"}
enrollment_age_seconds_count
batch_size_count
batch_seconds_count{phase="decide"}
batch_seconds_count{phase="settle"}
queue_messages{queue="enrollments"}
queue_messages{queue="dead_letters"}
in_flight
redelivered_total
retries_total{reason="contended"}
retries_total{reason="timed_out"}
retries_total{reason="unsupported"}
dead_letters_total{reason="malformed"}
dead_letters_total{reason="unsupported_type"}
dead_letters_total{reason="too_large"}
dead_letters_total{reason="conflicting_duplicate"}
dead_letters_total{reason="poison"}
dead_letters_total{reason="retries_exhausted"}
dead_letters_total{reason="delivery_limit"}
feed_connected 1
feed_reconnects_total
store_pool{state="busy"} _
store_pool{state="idle"} _
store_retries_total{code="40001"}
store_retries_total{code="40P01"}
store_retries_total{code="23505"}
store_retries_total{code="stale_plan"}
store_retries_total{code="sqlite_busy"}
store_retries_total{code="sqlite_reader"}
store_retries_total{code="guard"}
store_retries_total{code="ledger"}
outbox_pending
outbox_oldest_seconds
confirmations_pending
confirmations_oldest_seconds
guard_held
paused
transitions_total{transition="trash",origin="workflow"}
transitions_total{transition="trash",origin="user"}
transitions_total{transition="restore",origin="user"}
transitions_total{transition="erase",origin="user"}
transitions_total{transition="purge",origin="schedule"}
retention_deleted_total{job="purge_trash"}
retention_deleted_total{job="expire_notifications"}
retention_deleted_total{job="prune_ledger"}
retention_backlog{job="purge_trash"}
retention_record_backlog{object_type="deal"}
retention_record_backlog{object_type="custom"}
retention_oldest_overdue_seconds{job="purge_trash"}
job_runs_total{job="purge_trash",result="done"} _
job_runs_total{job="purge_trash",result="failed"}
purge_waits_for_clock
scheduler_leader _
drain_seconds_count
build_info{version="0.1.0",revision="unknown"} 1
"#;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_series_of_the_contract_is_there_before_anything_happens() {
    let (database, broker) = (Database::postgres().await, Broker::new().await);
    let mut worker = Reaper::new(&database).fed_by(&broker).spawn(&["run"]);
    worker.wait_ready().await;
    let metrics = worker.metrics().await;
    for born in BORN.lines().filter(|line| !line.is_empty()) {
        let (series, value) = born.split_once(' ').unwrap_or((born, "0"));
        let shown = metrics
            .lines()
            .find_map(|line| line.strip_prefix("contact_reaper_")?.strip_prefix(series)?.strip_prefix(' '))
            .unwrap_or_else(|| panic!("{series} is not there:\n{metrics}"));
        assert!(value == "_" || shown == value, "{series} is {shown}");
    }
    assert_eq!(metrics_complaints(&metrics), "");
}

/// Before the store answers nothing works, and that has to be seen too.
#[tokio::test]
async fn a_worker_without_its_store_says_that_its_feed_is_not_connected() {
    let (database, broker) = (Database::sqlite(), Broker::new().await);
    let reaper = Reaper::new(&database).fed_by(&broker).setting("store.url", "postgres://127.0.0.1:1/none");
    let mut worker = reaper.spawn(&["run"]);
    worker.wait_listening().await;
    let metrics = worker.metrics().await;
    for series in ["feed_connected 0", "scheduler_leader 0", "in_flight 0", "redelivered_total 0"] {
        assert!(
            metrics.lines().any(|line| line == format!("contact_reaper_{series}")),
            "{series}: {metrics}"
        );
    }
}

on_both!(records_that_are_due_are_counted_by_type, async |db: Database| {
    let broker = Broker::new().await;
    let reaper = Reaper::new(&db).fed_by(&broker).setting("retention.purge_trash.schedule", "0 0 1 1 *");
    let old = |kind: &str, id: i64| {
        json!({"kind": kind, "accountId": "1", "id": id.to_string(), "objectTypeId": "2-134", "properties": {},
            "archived": true, "archivedAt": days_ago(91)})
    };
    let records = [old("deal", 30), old("deal", 31), old("object", 7)];
    reaper.import(&[&entitled_account(1)[..], &records].concat()).await;
    let mut worker = reaper.spawn(&["run"]);
    worker.wait_ready().await;
    for (deals, custom) in [(2, 1), (0, 0)] {
        let shown = [("deal", deals), ("custom", custom), ("company", 0)]
            .map(|(name, due)| format!("retention_record_backlog{{object_type=\"{name}\"}} {due}\n"));
        wait_until("they are counted", DEADLINE, async || {
            let metrics = worker.metrics().await;
            shown.iter().all(|line| metrics.contains(line))
        })
        .await;
        reaper.json(&["retention", "run", "--job", "purge_trash"]).await;
    }
});
