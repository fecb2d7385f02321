//! Leaders that are killed, stopped and woken in the midst of a purge: every entry goes once, none that should not, and
//! the records add up.
//!
//! `REAPER_KILLS=100` is the long form.

use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _, PgConnection};

use super::{DAY, trashed, with};
use crate::support::records::{contact, days_ago};
use crate::support::{Broker, DEADLINE, Database, Reaper, Worker, on_both, wait_until};

/// Entries that are due, some that are not, and a job that should have run yesterday.
async fn scene(db: &Database, broker: &Broker, due: i64) -> Reaper {
    let mut records: Vec<Value> = (1..=due).map(|id| trashed(id, 91 * DAY + id)).collect();
    records.extend((due + 1..=due + 20).map(|id| trashed(id, 89 * DAY)));
    records.extend((due + 21..=due + 40).map(|id| contact(1, id, json!({}))));
    let reaper = with(db, &records).await.fed_by(broker);
    db.execute(&format!("INSERT INTO job_runs (job, first_seen) VALUES ('purge_trash', '{}')", days_ago(2)))
        .await;
    let reaper = reaper.setting("scheduler.lease", "2s").setting("scheduler.jitter", "0s");
    reaper.setting("retention.purge_trash.batch_size", "3")
}

async fn number(db: &Database, sql: &str) -> i64 {
    db.rows(&format!("SELECT CAST(({sql}) AS text)")).await[0][0].parse().unwrap_or_default()
}

async fn purged(db: &Database) -> i64 {
    db.count("gone_contacts", "TRUE").await
}

/// The process that has the lease.
async fn leader(db: &Database) -> Option<u32> {
    let holder = db.rows("SELECT holder FROM leases WHERE name = 'scheduler'").await;
    holder.first()?.first()?.rsplit_once(':')?.1.parse().ok()
}

/// Each of the first so many went once, by the rows, by the audit, and by the records of the runs.
async fn assert_each_once(db: &Database, due: i64) {
    assert_eq!(purged(db).await, due);
    assert_eq!(db.count("gone_contacts", &format!("contact_id > {due}")).await, 0);
    assert_eq!(db.count("contacts", "TRUE").await, 40);
    assert_eq!(db.count("trash_entries", "closed_as = 'purged'").await, due);
    let ids = "SELECT CAST(ids AS text) FROM audit WHERE action = 'purge'";
    let ids: Vec<Vec<String>> =
        db.rows(ids).await.iter().map(|row| serde_json::from_str(&row[0]).unwrap()).collect();
    let mut ids: Vec<i64> = ids.concat().iter().map(|id| id.parse().unwrap()).collect();
    ids.sort_unstable();
    assert_eq!(ids, (1..=due).collect::<Vec<_>>());
    assert_eq!(number(db, "SELECT sum(deleted) FROM retention_runs WHERE job = 'purge_trash'").await, due);
}

on_both!(a_purge_whose_leaders_are_killed_takes_each_entry_once, async |db: Database| {
    let kills: u32 = std::env::var("REAPER_KILLS").map_or(3, |kills| kills.parse().expect("a number"));
    let (broker, due) = (Broker::new().await, 90 * i64::from(kills + 1));
    let reaper = scene(&db, &broker, due).await;
    let start = || reaper.spawn(&["run"]);
    let mut workers: Vec<Worker> = (0..3).map(|_| start()).collect();
    let mut killed = 0;
    while killed < kills {
        let before = purged(&db).await;
        let mut at_work = None;
        wait_until("one of them purges", DEADLINE, async || {
            let leader = leader(&db).await;
            at_work = workers.iter().position(|worker| Some(worker.id()) == leader);
            purged(&db).await > before || purged(&db).await == due
        })
        .await;
        let Some(at_work) = at_work else { continue };
        assert!(purged(&db).await < due, "all were purged after {killed} kills");
        workers[at_work].kill9();
        workers[at_work] = start();
        killed += 1;
    }
    wait_until("the rest is purged", DEADLINE * kills, async || purged(&db).await == due).await;
    let unended = "stopped_by IS NULL OR stopped_by NOT IN ('killed', 'done')";
    wait_until("the run is at its end", DEADLINE, async || db.count("retention_runs", unended).await == 0)
        .await;
    assert_each_once(&db, due).await;
    assert!(db.count("retention_runs", "job = 'purge_trash' AND stopped_by = 'killed'").await > 0);
});

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_leader_that_stood_still_within_a_transaction_is_followed_and_does_no_harm() {
    const DUE: i64 = 60;
    let (db, broker) = (Database::postgres().await, Broker::new().await);
    let reaper = scene(&db, &broker, DUE).await;
    // Somebody holds one of them: the leader comes to wait for it, in the midst of a transaction.
    let mut lock = PgConnection::connect(db.url()).await.expect("a connection");
    lock.execute("BEGIN; SELECT 1 FROM contacts WHERE contact_id = 30 FOR UPDATE").await.expect("locked");
    let mut old = reaper.spawn(&["run"]);
    old.wait_ready().await;
    let waits = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'";
    wait_until("it waits", DEADLINE, async || number(&db, waits).await > 0).await;
    assert_eq!(leader(&db).await, Some(old.id()));
    old.signal("STOP");
    let new = reaper.spawn(&["run"]);
    lock.execute("COMMIT").await.expect("released");
    wait_until("the other one leads", DEADLINE, async || leader(&db).await == Some(new.id())).await;
    wait_until("all are purged", DEADLINE, async || purged(&db).await == DUE).await;
    let done = "job = 'purge_trash' AND stopped_by = 'done'";
    wait_until("the run is at its end", DEADLINE, async || {
        assert_eq!(db.count("retention_runs", "stopped_by = 'failed'").await, 0, "{}", new.stderr());
        db.count("retention_runs", done).await == 1
    })
    .await;
    let before = db.dump(&["clock", "leases"]).await;
    old.signal("CONT");
    wait_until("it knows that it leads no more", DEADLINE, async || {
        old.metrics().await.lines().any(|line| line == "contact_reaper_scheduler_leader 0")
    })
    .await;
    assert_each_once(&db, DUE).await;
    assert_eq!(leader(&db).await, Some(new.id()));
    let runs = "SELECT stopped_by FROM retention_runs WHERE job = 'purge_trash' ORDER BY run_id";
    assert_eq!(db.rows(runs).await.concat(), ["killed", "done"]);
    db.assert_unchanged_since(&before).await;
}

on_both!(asked_to_stop_a_purge_ends_between_two_batches_and_the_next_start_goes_on, async |db: Database| {
    const DUE: i64 = 150;
    let broker = Broker::new().await;
    let reaper = scene(&db, &broker, DUE).await;
    let mut first = reaper.spawn(&["run"]);
    wait_until("it purges", DEADLINE, async || purged(&db).await > 0).await;
    first.terminate();
    assert_eq!(first.exit(DEADLINE).await.code(), Some(0), "{}", first.stderr());
    let so_far = purged(&db).await;
    assert!(so_far < DUE, "{so_far} were purged");
    let run = db
        .rows("SELECT stopped_by, CAST(deleted AS text) FROM retention_runs WHERE job = 'purge_trash'")
        .await;
    assert_eq!(run, [["shutdown".to_owned(), so_far.to_string()]]);
    let second = reaper.spawn(&["run"]);
    wait_until("the next one goes on", DEADLINE, async || purged(&db).await == DUE).await;
    drop(second);
    assert_each_once(&db, DUE).await;
});
