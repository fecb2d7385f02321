//! What goes wrong between a worker and its servers, or with the worker itself: silence, slowness, breaks, locks, no
//! free connection, a process that stands still, a clock that is wrong.

use std::time::Duration;

use sqlx::{AssertSqlSafe, Executor as _, PgConnection};
use tokio::time::Instant;

use super::databases::end_sessions;
use super::plan::Mix;
use super::scene::{Scene, lock_all, wait};
use super::{MIX, number, seed, whole};
use crate::model::Dice;
use crate::support::{Broker, Database, Proxy, Worker};

const EVENTS: usize = 200;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_between_fails() {
    let (mut scene, to_broker, to_database) = with_proxies(2000).await;
    scene.start(2).await;
    scene
        .survives("connections break", EVENTS, async |_| {
            for _ in 0..10 {
                to_broker.cut();
                wait(100).await;
                to_database.cut();
                wait(100).await;
            }
        })
        .await;
    scene
        .survives("connections are slow", EVENTS, async |_| {
            to_broker.slow_down(Duration::from_millis(20));
            to_database.slow_down(Duration::from_millis(20));
            wait(2000).await;
            to_broker.slow_down(Duration::ZERO);
            to_database.slow_down(Duration::ZERO);
        })
        .await;
    scene
        .survives("connections to the broker fall silent", EVENTS, async |_| {
            to_broker.strand();
            // Two heartbeats, and the worker knows.
            wait(2000).await;
        })
        .await;
    scene
        .survives("connections to the database fall silent", EVENTS, async |_| {
            to_database.strand();
            // The longest statement and the time for its answer, and the worker knows.
            wait(4000).await;
        })
        .await;
    scene.finish().await;
}

/// A scene for so many events, and the proxies on its ways to the broker and to the database.
async fn with_proxies(events: i64) -> (Scene, Proxy, Proxy) {
    let (broker, database) = (Broker::new().await, Database::postgres().await);
    let (mut to_broker, mut to_database) = (Proxy::new(&broker.host()), Proxy::new(&database.host()));
    // Every tenth is poison, and as many are malformed.
    let mix = Mix { duplicates: 20, bad: 20 };
    let mut scene = Scene::new(database, broker, events, mix, seed()).await;
    to_broker.open();
    to_database.open();
    scene.reaper = scene
        .reaper
        .setting("feed.rabbitmq.url", &format!("amqp://guest:guest@{}/%2f", to_broker.address()))
        .setting("feed.rabbitmq.heartbeat", "1s")
        .setting("store.url", &scene.database.url_by(&to_database.address()))
        .setting("store.statement_timeout", "1s");
    (scene, to_broker, to_database)
}

/// What a worker that is not optimised may take, in KiB: through 800 rounds it took 94 MiB at most.
const CEILING: u64 = 128 * 1024;
/// What a worker may grow by between the first third of the rounds and the last, in KiB.
const GROWTH: u64 = 8 * 1024;
/// With fewer rounds nothing can be said about growth: for a moment there are old connections beside new ones, and the
/// allocator keeps what such a moment took.
const TELLING_ROUNDS: usize = 300;

/// The same worker through one fault after the other, for as long as one likes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_stays_flat() {
    let rounds = number("FAULTS_ROUNDS", 6);
    let (mut scene, to_broker, to_database) = with_proxies(whole(rounds * EVENTS)).await;
    scene.start(1).await;
    let mut memory = Vec::new();
    for round in 0..rounds {
        let fault = async |scene: &mut Scene| match round % 6 {
            0 => {
                to_broker.cut();
            }
            1 => {
                to_database.cut();
            }
            2 => end_sessions(&scene.database, 5).await,
            3 => {
                let mut rival = scene.database.connect_postgres().await;
                lock_all(&mut rival).await;
                wait(1500).await;
            }
            4 => to_broker.strand(),
            _ => {
                scene.workers[0].signal("STOP");
                wait(1500).await;
                scene.workers[0].signal("CONT");
            }
        };
        scene.recovers(&format!("round {round}"), EVENTS, fault).await;
        memory.push(scene.workers[0].resident_kib());
    }
    let third = rounds / 3;
    let (first, last) = (&memory[..third], &memory[rounds - third..]);
    let highest = |memory: &[u64]| memory.iter().copied().max().expect("three rounds at least");
    let (first, last) = (highest(first), highest(last));
    println!("{rounds} rounds: {first} KiB at most in the first third, {last} KiB in the last");
    scene.finish().await;
    assert!(highest(&memory) <= CEILING, "the worker takes too much, in KiB: {memory:?}");
    if rounds >= TELLING_ROUNDS {
        assert!(last <= first + GROWTH, "the worker grows, in KiB: {memory:?}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn others_are_in_the_way() {
    let (broker, database) = (Broker::new().await, Database::postgres().await);
    // A deadlock is found at once, so that there are many.
    let name = database.rows("SELECT CAST(current_database() AS text)").await.remove(0).remove(0);
    database.execute(&format!("ALTER DATABASE {name} SET deadlock_timeout = '20ms'")).await;
    let mut scene = Scene::new(database, broker, 2000, MIX, seed()).await;
    // No more connections than lanes: everything else waits for a free one.
    scene.reaper =
        scene.reaper.setting("store.max_connections", "2").setting("store.statement_timeout", "1s");
    scene.start(2).await;
    scene
        .survives("a lock is held for longer than a statement may take", EVENTS, async |scene| {
            let mut rival = scene.database.connect_postgres().await;
            lock_all(&mut rival).await;
            wait(2500).await;
        })
        .await;
    scene
        .survives("deadlocks", EVENTS, async |scene| {
            let last = whole(scene.plan.taken.len());
            let mut rivals =
                [scene.database.connect_postgres().await, scene.database.connect_postgres().await];
            let [one, other] = &mut rivals;
            let begin = Dice::new(seed());
            tokio::join!(
                lock_backwards(one, last, begin),
                lock_backwards(other, last, Dice::new(seed() + 1))
            );
        })
        .await;
    scene
        .survives("statements are cancelled", EVENTS, async |scene| {
            let mut rival = scene.database.connect_postgres().await;
            rival.execute(CANCEL).await.expect("cancelled");
        })
        .await;
    scene
        .survives("workers stand still", EVENTS, async |scene| {
            for signal in ["STOP", "CONT"] {
                scene.workers.iter().for_each(|worker: &Worker| worker.signal(signal));
                wait(1500).await;
            }
        })
        .await;
    scene.finish().await;
}

/// Cancels statements for two seconds: those that begin or end a transaction, which leave it half-way open, and a few of
/// the others.
const CANCEL: &str = "DO $$ DECLARE until timestamptz := clock_timestamp() + interval '2s'; BEGIN \
     WHILE clock_timestamp() < until LOOP \
       PERFORM pg_cancel_backend(pid) FROM pg_stat_activity \
         WHERE datname = current_database() AND application_name = 'contact-reaper' AND state = 'active' \
         AND (query ~ '^(BEGIN|ROLLBACK)' OR random() < 0.01); \
       PERFORM pg_stat_clear_snapshot(); \
     END LOOP; END $$";

/// Locks contacts in the order of falling numbers, against everybody else's, for two seconds.
async fn lock_backwards(connection: &mut PgConnection, last: i64, mut dice: Dice) {
    let started = Instant::now();
    while started.elapsed() < Duration::from_secs(2) {
        let high = last - whole(dice.roll(EVENTS / 2));
        let low = high - 1 - whole(dice.roll(EVENTS / 2));
        let lock = |id| format!("SELECT 1 FROM contacts WHERE contact_id = {id} FOR UPDATE");
        let begin = format!("BEGIN; {}", lock(high));
        if connection.execute(AssertSqlSafe(begin)).await.is_ok() {
            wait(5).await;
            // The victim may be this one.
            drop(connection.execute(AssertSqlSafe(lock(low))).await);
        }
        connection.execute("ROLLBACK").await.expect("it is rolled back");
    }
}

/// All lanes decide about the same contacts at the same moment: by enrollments of their own, which only the contact's
/// lock keeps apart, and by the same one of a contact that nobody knows, which only the ledger's claim does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bursts_hit_all_lanes_at_once() {
    let mut scene = Scene::new(Database::postgres().await, Broker::new().await, 2000, MIX, seed()).await;
    scene.start(2).await;
    for round in 0..5 {
        let known: Vec<i64> = (1..=20).map(|number| 100 * round + 5 * number).collect();
        let mut burst = scene.plan.enroll(&known, 10);
        let unknown: Vec<i64> = (0..20).map(|number| 200 * round + 10 * number + 8).collect();
        let once = scene.plan.enroll(&unknown, 1);
        burst.extend(std::iter::repeat_n(once, 10).flatten());
        scene.broker.publish(&burst).await;
        scene.settle().await;
    }
    scene.finish().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clocks_are_wrong() {
    let mut scene = Scene::new(Database::postgres().await, Broker::new().await, 400, MIX, seed()).await;
    let right = scene.reaper.clone();
    for wrong in ["+100d", "-100d"] {
        scene.reaper = right.clone().with_clock_off_by(wrong);
        scene.start(1).await;
    }
    scene.load(400).finish().await;
    scene.finish().await;
}
