//! The service itself, as a process.

use std::time::{Duration, Instant};

use crate::Args;
use crate::processor::processor_seconds;
use crate::support::{Broker, DEADLINE, Database, Reaper, Worker, wait_until};
use crate::world::{Enrolled, event};

/// The longest that a measurement may take.
pub const LONG: Duration = Duration::from_hours(2);

/// The service on a store and a queue of its own.
pub struct Service {
    pub database: Database,
    pub broker: Broker,
    reaper: Reaper,
}

/// What a measurement of the service found.
pub struct Measured {
    /// From the first transaction to the last.
    pub seconds: f64,
    /// Enrollments decided in them.
    pub decided: i64,
    /// The largest resident memory of a process, in bytes.
    pub memory: u64,
    /// Seconds of processor that the processes used.
    pub processor: f64,
}

impl Measured {
    /// Decisions a second.
    pub fn rate(&self) -> f64 {
        self.decided as f64 / self.seconds
    }
}

impl Service {
    /// Declares its queues; at rest.
    pub async fn new(database: Database, args: &Args) -> Self {
        let broker = Broker::new().await;
        let reaper = Reaper::new(&database).fed_by(&broker).unguarded();
        let reaper = reaper.setting("guard.workflow.max_deletions", "1000000000");
        let reaper = reaper.setting("guard.account.max_deletions", "1000000000");
        let reaper = args.settings.iter().fold(reaper, |reaper, (key, value)| reaper.setting(key, value));
        let service = Self { database, broker, reaper };
        service.declare().await;
        service
    }

    /// Somebody else is to publish the events, and does not.
    pub async fn keep_events(&self) {
        let lease = "UPDATE leases SET holder = 'nobody', token = token + 1, expires_at = now() + interval '1 day' \
                     WHERE name = 'outbox'";
        assert_eq!(self.database.execute(lease).await, 1, "the lease has another name");
    }

    async fn declare(&self) {
        let mut worker = self.start().await;
        worker.terminate();
        worker.exit(DEADLINE).await;
    }

    pub async fn start(&self) -> Worker {
        let mut worker = self.reaper.spawn(&["run"]);
        worker.wait_ready().await;
        worker
    }

    /// Lets so many workers decide a queue full of events.
    pub async fn decide(&self, enrolled: &[Enrolled], workers: usize) -> Measured {
        self.publish(enrolled).await;
        self.decide_published(enrolled, workers).await
    }

    pub async fn publish(&self, enrolled: &[Enrolled]) {
        self.broker.publish(&enrolled.iter().map(|it| event(it).to_string()).collect::<Vec<_>>()).await;
    }

    /// As [`Service::decide`], of what was published before.
    pub async fn decide_published(&self, enrolled: &[Enrolled], workers: usize) -> Measured {
        let (all, since) = (i64::try_from(enrolled.len()).expect("not that many"), self.now().await);
        let running: Vec<Worker> = (0..workers).map(|_| self.reaper.spawn(&["run"])).collect();
        wait_until("all is decided", LONG, async || {
            tokio::time::sleep(Duration::from_millis(200)).await;
            self.broker.count(&self.broker.queue()).await == 0 && self.ledger(&since).await.1 == all
        })
        .await;
        let ((seconds, last), _) = self.ledger(&since).await;
        let (mut memory, mut processor) = (0, 0.0);
        for mut worker in running {
            memory = memory.max(resident_memory(worker.id()));
            processor += processor_seconds(worker.id()).0;
            worker.terminate();
            worker.exit(DEADLINE).await;
        }
        Measured { seconds, decided: all - last, memory, processor }
    }

    /// What time it is, as SQL.
    pub async fn now(&self) -> String {
        self.database.rows("SELECT quote_literal(CAST(now() AS text))").await.remove(0).remove(0)
    }

    /// Since then: seconds between the first and the last transaction, how many rows the last wrote, and how many there
    /// are.
    async fn ledger(&self, since: &str) -> ((f64, i64), i64) {
        let sql = format!(
            "SELECT CAST(extract(epoch FROM max(decided_at) - min(decided_at)) AS text), \
             CAST(count(*) FILTER (WHERE decided_at = last) AS text), CAST(count(*) AS text) \
             FROM ledger, (SELECT max(decided_at) AS last FROM ledger) l WHERE decided_at >= {since}"
        );
        let row = self.database.rows(&sql).await.remove(0);
        let count = |text: &str| text.parse().unwrap_or_default();
        ((row[0].parse().unwrap_or_default(), count(&row[1])), count(&row[2]))
    }

    /// Seconds that a worker takes for events that leave no row: until the queue is empty and nothing is in hand.
    pub async fn empty_the_queue(&self) -> f64 {
        let mut worker = self.reaper.spawn(&["run"]);
        worker.wait_listening().await;
        let started = Instant::now();
        wait_until("the queue is empty", LONG, async || {
            tokio::time::sleep(Duration::from_millis(20)).await;
            self.broker.count(&self.broker.queue()).await == 0
                && worker.metrics().await.contains("contact_reaper_in_flight 0\n")
        })
        .await;
        let seconds = started.elapsed().as_secs_f64();
        worker.terminate();
        worker.exit(DEADLINE).await;
        seconds
    }

    /// Takes all deletions of workflow 1 back; seconds that it took.
    pub async fn restore_all(&self) -> f64 {
        let user = "INSERT INTO users (account_id, user_id, email, email_key, permissions) \
                    VALUES (1, 1, 'user@example.com', 'user@example.com', '[\"bulk_delete\", \"delete\"]')";
        self.database.execute(user).await;
        let started = Instant::now();
        let restore =
            ["restore", "--account", "1", "--as", "1", "--workflow", "1", "--since", "2026-01-01T00:00:00Z"];
        self.command(&restore).await;
        started.elapsed().as_secs_f64()
    }

    /// Runs a command, which must succeed.
    pub async fn command(&self, args: &[&str]) {
        let output = self.reaper.run(args).await;
        assert_eq!(output.code, 0, "{args:?}: {}", output.stderr);
    }

    /// Starts a command.
    pub fn spawn(&self, args: &[&str]) -> Worker {
        self.reaper.spawn(args)
    }
}

/// Waits for a process to end, which it must do well; the most that it had in memory, in bytes.
pub async fn run_to_end(mut process: Worker) -> u64 {
    let mut memory = 0;
    loop {
        memory = memory.max(resident_memory(process.id()));
        if let Some(status) = process.ended() {
            assert!(status.success(), "{}", process.stderr());
            return memory;
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// The most that a process has had in memory, in bytes; 0 where it is gone.
fn resident_memory(process: u32) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap_or_default();
    let kilobytes: u64 =
        line.split_whitespace().nth(1).and_then(|text| text.parse().ok()).unwrap_or_default();
    kilobytes * 1024
}
