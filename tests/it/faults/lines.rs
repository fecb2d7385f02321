//! SQLite and a file of events: kills, and a disk that takes no more. Each start goes on where the one before stopped.

use std::process::Command;

use super::oracle::{self, Outside};
use super::plan::{self, Mix, Plan};
use super::scene::{prepare, wait};
use super::{LONG, number, seed, whole};
use crate::model::Dice;
use crate::support::{Database, Reaper, TempDir, Worker, wait_until};

struct Lines {
    database: Database,
    reaper: Reaper,
    plan: Plan,
    directory: TempDir,
    events: i64,
}

impl Lines {
    /// A file of so many events, a fifth of them twice, and some bad.
    async fn new(events: usize) -> Self {
        let (database, directory) = (Database::sqlite(), TempDir::new());
        let mut plan = Plan::new(Mix { duplicates: 20, bad: 4 }, seed());
        let file = directory.path().join("events.jsonl");
        std::fs::write(&file, plan.take(events).join(&b'\n')).expect("written");
        let file = file.to_str().expect("a path of ours").to_owned();
        let reaper = Reaper::new(&database).unguarded().fed_by_lines(&file);
        let reaper = reaper.setting("pipeline.batch_size", "20").setting("pipeline.prefetch", "20");
        let events = i64::try_from(events).expect("not that many");
        prepare(&database, &reaper, events).await;
        let reaper = reaper.setting("feed.rabbitmq.max_reconnect_delay", "500ms");
        Self { database, reaper, plan, directory, events }
    }

    async fn decided(&self) -> usize {
        let rows = self.database.rows("SELECT CAST(count(*) AS text) FROM ledger").await;
        rows[0][0].parse().expect("a count")
    }

    /// How far the file is read and settled.
    async fn position(&self) -> u64 {
        let rows = self.database.rows("SELECT CAST(position AS text) FROM feed_checkpoints").await;
        rows.first().map_or(0, |row| row[0].parse().expect("a position"))
    }

    /// The run ends by itself with the file, and all is as it must be.
    async fn finish(&self, mut worker: Worker) {
        let status = worker.exit(LONG).await;
        assert_eq!(status.code(), Some(0), "{}", worker.stderr());
        let known = whole(plan::known(self.events).count());
        oracle::check(&self.plan, known, &self.database, &mut Outside::Nothing, &[]).await;
        let file = self.directory.path().join("events.jsonl");
        let length = std::fs::metadata(file).expect("the file").len();
        assert_eq!(self.position().await, length, "the position is not at the end");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn killed_again_and_again_it_goes_on_where_it_stopped() {
    let (kills, events) = (number("FAULTS_KILLS", 8), number("FAULTS_EVENTS", 2000));
    let lines = Lines::new(events).await;
    let mut dice = Dice::new(seed() + 2);
    let mut worker = lines.reaper.spawn(&["run"]);
    let mut position = 0;
    for kill in 1..=kills {
        let enough = lines.plan.decided() * kill / (kills + 1);
        wait_until("work goes on", LONG, async || lines.decided().await >= enough).await;
        wait(dice.roll(20) as u64).await;
        worker.kill9();
        let reached = lines.position().await;
        assert!(reached >= position, "the position went back from {position} to {reached}");
        position = reached;
        worker = lines.reaper.spawn(&["run"]);
    }
    assert!(position > 0, "it began anew each time");
    lines.finish(worker).await;
    println!("{events} events, {kills} kills");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_full_disk_is_waited_out() {
    let mut lines = Lines::new(1500).await;
    // No file can be written beyond this size: after a few batches the write-ahead log has come to it.
    lines.reaper = lines.reaper.with_files_up_to(400_000);
    let mut worker = lines.reaper.spawn(&["run"]);
    worker.wait_listening().await;
    wait_until("it says so", LONG, async || worker.stderr().contains("batch not processed")).await;
    let decided = lines.decided().await;
    wait(1500).await;
    assert_eq!(lines.decided().await, decided, "the disk is not full");
    assert!(
        (1..lines.plan.decided()).contains(&decided),
        "{decided} were decided: too early, or too late, to tell"
    );
    no_limit(&worker);
    wait_until("work goes on", super::recovery(), async || lines.decided().await > decided).await;
    lines.finish(worker).await;
}

fn no_limit(worker: &Worker) {
    let args = [format!("--pid={}", worker.id()), "--fsize=unlimited:unlimited".to_owned()];
    assert!(Command::new("prlimit").args(args).status().expect("prlimit runs").success());
}
