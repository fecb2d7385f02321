//! Jobs let those go first who are behind: enrollments in the queue, and replicas of the store.

use std::process::{Child, Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _, PgConnection};

use super::{DAY, trashed, with};
use crate::support::records::{contact, days_ago, event, manual_workflow};
use crate::support::{Broker, DEADLINE, Database, TempDir, on_both, wait_until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_purge_waits_until_the_enrollments_are_through() {
    const EVENTS: i64 = 30;
    let (db, broker) = (Database::postgres().await, Broker::new().await);
    let mut records = vec![manual_workflow(1, 7), trashed(100, 91 * DAY)];
    records.extend((1..=EVENTS).map(|id| contact(1, id, json!({}))));
    let reaper = with(&db, &records).await.fed_by(&broker);
    db.execute(&format!("INSERT INTO job_runs (job, first_seen) VALUES ('purge_trash', '{}')", days_ago(2)))
        .await;
    let reaper = reaper.setting("scheduler.jitter", "0s").setting("scheduler.max_pending_enrollments", "0");
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

const RESTS: &str = "job rests between its batches";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_purge_by_hand_rests_while_enrollments_are_decided() {
    let (db, broker) = (Database::postgres().await, Broker::new().await);
    let mut records = vec![manual_workflow(1, 7)];
    records.extend((100..120).map(|id| trashed(id, 91 * DAY)));
    let reaper = with(&db, &records).await.fed_by(&broker).setting("retention.purge_trash.batch_size", "1");
    let mut worker = reaper.spawn(&["run"]);
    worker.wait_ready().await;
    let enrollments = async {
        for id in 1.. {
            // Of nobody: what is decided is that there is no such contact.
            broker.publish(&[event(1, 7, id, id).to_string()]).await;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    let purge = async {
        wait_until("they are decided", DEADLINE, async || db.count("ledger", "TRUE").await > 0).await;
        reaper.run(&["-v", "retention", "run", "--job", "purge_trash"]).await
    };
    let purge = tokio::select! {
        output = purge => output,
        () = enrollments => panic!("there are always more"),
    };
    assert!(purge.stderr.contains(RESTS), "{}", purge.stderr);
    assert_eq!(db.count("gone_contacts", "TRUE").await, 20);
}

on_both!(a_purge_alone_does_not_rest, async |db: Database| {
    let records: Vec<Value> = (100..120).map(|id| trashed(id, 91 * DAY)).collect();
    let reaper = with(&db, &records).await.setting("retention.purge_trash.batch_size", "1");
    let output = reaper.run(&["-v", "retention", "run", "--job", "purge_trash"]).await;
    assert!(!output.stderr.contains(RESTS), "{}", output.stderr);
    assert_eq!(db.count("gone_contacts", "TRUE").await, 20);
});

/// A program that receives the write-ahead log as a replica does, until it is dropped.
struct Receiver {
    child: Child,
    _dir: TempDir,
}

impl Receiver {
    fn start() -> Self {
        let dir = TempDir::new();
        let program = "exec $(ls /usr/lib/postgresql/*/bin/pg_receivewal | tail -n 1) --synchronous -s 1 -D \"$0\" -d \"$1\"";
        let url = std::env::var("TEST_POSTGRES_URL").expect("tests/run.sh says where the server is");
        let mut command = Command::new("sh");
        command.args(["-c", program]).arg(dir.path()).arg(url).stderr(Stdio::null());
        Self { child: command.spawn().expect("sh runs"), _dir: dir }
    }

    fn signal(&self, name: &str) {
        let sent = Command::new("kill").args(["-s", name, &self.child.id().to_string()]).status();
        assert!(sent.expect("kill runs").success(), "the receiver has ended");
    }
}

impl Drop for Receiver {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_purge_waits_for_a_replica_that_is_behind() {
    let (db, broker) = (Database::postgres().await, Broker::new().await);
    let reaper = with(&db, &[trashed(100, 91 * DAY)]).await.fed_by(&broker).setting("scheduler.jitter", "0s");
    let receiver = Receiver::start();
    let behind = "SELECT CAST(count(*) AS text) FROM pg_stat_replication WHERE write_lsn IS NOT NULL AND ";
    let count = async |condition: &str| db.rows(&format!("{behind}{condition}")).await.concat() == ["1"];
    wait_until("the replica follows", DEADLINE, async || count("TRUE").await).await;
    receiver.signal("STOP");
    db.execute("SELECT pg_logical_emit_message(FALSE, 'test', repeat('x', 8000000))").await;
    wait_until("the replica is behind", DEADLINE, async || {
        count("pg_wal_lsn_diff(pg_current_wal_lsn(), write_lsn) > 4000000").await
    })
    .await;
    db.execute(&format!("INSERT INTO job_runs (job, first_seen) VALUES ('purge_trash', '{}')", days_ago(2)))
        .await;
    let mut worker = reaper.setting("scheduler.max_replication_lag_mb", "2").spawn(&["run"]);
    worker.wait_ready().await;
    wait_until("the purge waits", DEADLINE, async || {
        worker.stderr().contains(r#""job.waits_for":"replication""#)
    })
    .await;
    assert_eq!(db.count("gone_contacts", "TRUE").await, 0);
    receiver.signal("CONT");
    wait_until("the purge goes on", DEADLINE, async || db.count("gone_contacts", "TRUE").await == 1).await;
}
