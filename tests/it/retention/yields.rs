//! Jobs let those go first who are behind: enrollments in the queue, and replicas of the store.

use std::time::Duration;

use serde_json::json;
use sqlx::{Connection as _, Executor as _, PgConnection};

use super::{DAY, trashed, with};
use crate::support::records::{contact, days_ago, event, manual_workflow};
use crate::support::{Broker, Database, wait_until};

const DEADLINE: Duration = Duration::from_mins(1);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_purge_waits_until_the_enrollments_are_through() {
    const EVENTS: i64 = 30;
    let (db, broker) = (Database::postgres().await, Broker::new().await);
    let mut records = vec![manual_workflow(1, 7), trashed(100, 91 * DAY)];
    records.extend((1..=EVENTS).map(|id| contact(1, id, json!({}))));
    let reaper = with(&db, &records).await.fed_by(&broker);
    db.execute(&format!("INSERT INTO job_runs (job, first_seen) VALUES ('purge_trash', '{}')", days_ago(2)))
        .await;
    let reaper = reaper.setting("scheduler.jitter", "0s").setting("scheduler.max_waiting_enrollments", "0");
    let reaper = reaper.setting("pipeline.batch_size", "1").setting("pipeline.prefetch", "2");
    // What is decided cannot be committed, and the queue stands.
    let mut lock = PgConnection::connect(db.url()).await.expect("a connection");
    lock.execute("BEGIN; LOCK TABLE ledger IN SHARE MODE").await.expect("locked");
    let bodies: Vec<String> = (1..=EVENTS).map(|id| event(1, 7, id, id).to_string()).collect();
    let reaper = reaper.setting("pipeline.lanes", "1");
    assert_eq!(reaper.run_with_input(&["enroll", "-"], &(bodies.join("\n") + "\n")).await.code, 0);
    let mut worker = reaper.spawn(&["run"]);
    worker.wait_ready().await;
    wait_until("the purge waits", DEADLINE, async || worker.stderr().contains("job waits")).await;
    assert!(worker.stderr().contains(r#""job.waits_for":"enrollments""#), "{}", worker.stderr());
    assert_eq!(db.count("gone_contacts", "TRUE").await, 0);
    lock.execute("COMMIT").await.expect("released");
    wait_until("the purge goes on", DEADLINE, async || db.count("gone_contacts", "TRUE").await == 1).await;
    assert_eq!(db.count("ledger", "TRUE").await, EVENTS);
}
