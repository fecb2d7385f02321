//! Clocks that are, or were, wrong: nothing waits for a time that somebody made up, and nothing is deleted by one.

use std::time::Duration;

use contact_reaper::store::lease::LeaseName;
use serde_json::{Value, json};

use super::{DAY, JOBS, done, trashed, with};
use crate::support::records::{days_ago, seconds_ago};
use crate::support::{Broker, DEADLINE, Database, Reaper, Worker, on_both, wait_until};

const FAR: &str = "2099-01-01T00:00:00.000000Z";
const LEASE: Duration = Duration::from_secs(30);

async fn started(reaper: &Reaper) -> Worker {
    let mut worker = reaper.spawn(&["run"]);
    worker.wait_ready().await;
    worker
}

on_both!(a_lease_that_ends_in_a_year_to_come_counts_as_none, async |db: Database| {
    let store = db.open();
    store.migrate().await.unwrap();
    for duty in [LeaseName::Schedule, LeaseName::Outbox, LeaseName::Mail] {
        let hold =
            async |holder: &str| store.acquire_or_renew_lease(duty, holder, LEASE).await.unwrap().is_some();
        assert!(hold("a").await && !hold("b").await, "it is held");
        db.execute(&format!("UPDATE leases SET expires_at = '{}'", seconds_ago(-25))).await;
        assert!(!hold("b").await, "within its period it is held");
        db.execute(&format!("UPDATE leases SET expires_at = '{FAR}'")).await;
        assert!(hold("b").await && !hold("a").await, "{duty:?} changes hands");
        db.execute(&format!("UPDATE leases SET expires_at = '{}'", seconds_ago(-3600))).await;
        assert!(hold("a").await, "an hour is too long as well");
    }
    store.close().await;
});

on_both!(a_run_from_a_year_to_come_counts_as_none, async |db: Database| {
    let broker = Broker::new().await;
    let reaper = with(&db, &[trashed(1, 91 * DAY)]).await.fed_by(&broker).setting("scheduler.jitter", "0s");
    let run = format!(
        "INSERT INTO retention_runs (job, run_by, started_at, active_at, ended_at, stopped_by, batches, deleted, failed, \
         counts) VALUES ('purge_trash', 'scheduler:a', '{FAR}', '{FAR}', '{FAR}', 'done', 0, 0, 0, '{{}}')"
    );
    db.execute(&run).await;
    let seen = days_ago(2);
    db.execute(&format!(
        "INSERT INTO job_runs (job, first_seen) VALUES ('purge_trash', '{seen}'), ('prune_audit', '{FAR}')"
    ))
    .await;
    let mut worker = started(&reaper).await;
    wait_until("it runs", DEADLINE, async || db.count("gone_contacts", "TRUE").await == 1).await;
    let registered = async || db.count("job_runs", &format!("first_seen = '{FAR}'")).await == 0;
    wait_until("a job that is to be seen for the first time in 2099 is seen now", DEADLINE, registered).await;
    worker.terminate();
    assert_eq!(worker.exit(DEADLINE).await.code(), Some(0));
});

on_both!(a_run_that_is_active_in_a_year_to_come_is_over, async |db: Database| {
    let reaper = with(&db, &[trashed(1, 91 * DAY)]).await;
    let run = format!(
        "INSERT INTO retention_runs (job, run_by, started_at, active_at, batches, deleted, failed, counts) \
         VALUES ('purge_trash', 'operator:ola', '{FAR}', '{FAR}', 0, 0, 0, '{{}}')"
    );
    db.execute(&run).await;
    let report = reaper.json(&["retention", "run", "--job", "purge_trash"]).await;
    assert_eq!(report, json!({"jobs": [done("purge_trash", 1)]}));
    assert_eq!(db.count("retention_runs", "stopped_by = 'killed'").await, 1);
});

/// What `retention status` says of a job.
async fn status(reaper: &Reaper, job: &str) -> Value {
    let status = reaper.json(&["retention", "status"]).await;
    status["jobs"].as_array().unwrap().iter().find(|it| it["job"] == job).unwrap().clone()
}

on_both!(
    nothing_is_deleted_after_a_jump_unless_somebody_says_that_the_clock_is_right,
    async |db: Database| {
        let broker = Broker::new().await;
        let reaper = with(&db, &[trashed(1, 91 * DAY), trashed(2, 92 * DAY)]).await.fed_by(&broker);
        let reaper =
            reaper.setting("scheduler.jitter", "0s").setting("retention.purge_trash.max_per_run", "1");
        // The clock was seen two days ago, and every job is due.
        db.execute(&format!("INSERT INTO clock (clock_id, seen_at) VALUES (1, '{}')", days_ago(2))).await;
        let seen = days_ago(9);
        let due = ["purge_trash", "expire_notifications", "wake_deferred"]
            .map(|job| format!("('{job}', '{seen}')"))
            .join(", ");
        db.execute(&format!("INSERT INTO job_runs (job, first_seen) VALUES {due}")).await;
        let mut worker = started(&reaper).await;
        let jumped = async || db.count("clock", "jumped_at IS NOT NULL").await == 1;
        wait_until("the jump is seen", DEADLINE, jumped).await;
        let others = async || db.count("retention_runs", "job = 'wake_deferred'").await == 1;
        wait_until("what deletes nothing runs", DEADLINE, others).await;
        wait_until("it is told", DEADLINE, async || {
            worker.metrics().await.lines().any(|line| line == "contact_reaper_purge_waits_for_clock 1")
        })
        .await;
        assert_eq!(db.count("retention_runs", "job <> 'wake_deferred'").await, 0);
        for job in JOBS.into_iter().filter(|job| *job != "wake_deferred") {
            assert!(status(&reaper, job).await["waitsUntil"].is_string(), "{job}");
            let said = reaper.refused(&["retention", "run", "--job", job]).await;
            assert!(said.contains("--clock-is-right"), "{said}");
        }
        assert!(status(&reaper, "wake_deferred").await["waitsUntil"].is_null());
        let log = worker.stderr();
        assert_eq!(log.matches("the clock has jumped by more than a day").count(), 1, "{log}");

        reaper.refused(&["retention", "run"]).await;
        assert_eq!(db.count("gone_contacts", "TRUE").await, 0);
        let run = ["retention", "run", "--job", "purge_trash", "--clock-is-right"];
        assert_eq!(reaper.json(&run).await["jobs"][0]["deleted"], 1);
        let audited = db.rows("SELECT CAST(ids AS text) FROM audit WHERE action = 'run_jobs'").await;
        assert!(audited.iter().any(|row| row[0].contains("clock_is_right")), "{audited:?}");
        // An hour later the schedule goes on by itself. The run by hand was its appointment, so another one is due.
        db.execute(&format!("UPDATE clock SET jumped_at = '{}'", seconds_ago(3601))).await;
        db.execute("DELETE FROM retention_runs WHERE job = 'purge_trash'").await;
        wait_until("it runs", DEADLINE, async || db.count("gone_contacts", "TRUE").await == 2).await;
        wait_until("it is told", DEADLINE, async || {
            worker.metrics().await.lines().any(|line| line == "contact_reaper_purge_waits_for_clock 0")
        })
        .await;
        worker.terminate();
        assert_eq!(worker.exit(DEADLINE).await.code(), Some(0));
    }
);

on_both!(commands_alone_see_a_jump_as_well, async |db: Database| {
    let reaper = with(&db, &[]).await;
    let looked = async |ago: String| {
        db.execute(&format!("UPDATE clock SET seen_at = '{ago}', jumped_at = NULL, by_command = TRUE")).await;
    };
    let run = ["retention", "run", "--job", "purge_trash"];
    let dry_run = [&run[..], &["--dry-run"]].concat();
    assert_eq!(reaper.json(&dry_run).await["jobs"][0].get("waitsUntil"), None);
    reaper.json(&["retention", "run", "--job", "purge_trash", "--clock-is-right"]).await;
    assert_eq!(db.count("clock", "by_command").await, 1, "it looked");

    reaper.import(&[trashed(1, 91 * DAY), trashed(2, 92 * DAY)]).await;
    looked(days_ago(3)).await;
    assert!(reaper.json(&dry_run).await["jobs"][0]["waitsUntil"].is_string());
    assert!(reaper.run(&dry_run).await.stdout.contains("purge_trash waits until"));
    assert_eq!(db.count("clock", "jumped_at IS NOT NULL").await, 0, "a dry run remembers nothing");
    assert!(reaper.refused(&run).await.contains("--clock-is-right"));
    assert!(reaper.refused(&run).await.contains("--clock-is-right"), "for an hour");
    assert_eq!(db.count("gone_contacts", "TRUE").await, 0);
    // The day after it is as any other.
    db.execute(&format!("UPDATE clock SET seen_at = '{0}', jumped_at = '{0}'", days_ago(1))).await;
    assert_eq!(reaper.json(&run).await["jobs"][0]["deleted"], 2);
});
