//! Is this process alive, started, ready?
//!
//! *Alive* never asks the database or the broker: a restart heals neither. *Ready* does.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use tokio::sync::Mutex;
use tokio::task::JoinHandle;
use tokio::time::{Instant, MissedTickBehavior, interval, timeout};

/// Between two beats.
const HEARTBEAT_INTERVAL: Duration = Duration::from_secs(1);
/// A heart silent for longer has stopped: something blocks the threads that everything runs on.
const HEARTBEAT_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the store's answer is good for: probes of several monitors cost one question a second.
const PROBE_CACHE_TTL: Duration = Duration::from_secs(1);
/// The store's time to answer.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// Asks the store whether it answers.
pub type Probe = Box<dyn Fn() -> BoxFuture<'static, bool> + Send + Sync>;

/// The health of this process, shared by those who know and those who ask.
#[derive(Clone)]
pub struct Health {
    shared: Arc<Shared>,
}

struct Shared {
    born: Instant,
    /// Milliseconds from `born` to the last beat.
    beat: AtomicU64,
    startup_done: AtomicBool,
    feed_connected: AtomicBool,
    /// Lanes that wait for the store.
    stalled: AtomicU32,
    draining: AtomicBool,
    probe: Probe,
    store: Mutex<Store>,
}

/// What is known about the store.
#[derive(Default)]
struct Store {
    answer: Option<(Instant, bool)>,
    /// The question still open. A future of the store is never dropped half-way, so the question is a task of
    /// its own, and no second one is put while it is open.
    question: Option<JoinHandle<bool>>,
}

impl Health {
    /// Alive, not started, not connected.
    pub fn new(probe: Probe) -> Self {
        Self {
            shared: Arc::new(Shared {
                born: Instant::now(),
                beat: AtomicU64::new(0),
                startup_done: AtomicBool::new(false),
                feed_connected: AtomicBool::new(false),
                stalled: AtomicU32::new(0),
                draining: AtomicBool::new(false),
                probe,
                store: Mutex::default(),
            }),
        }
    }

    /// Beats every second until dropped; spawn it beside the work.
    pub async fn run_heartbeat(self) {
        let mut ticks = interval(HEARTBEAT_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            ticks.tick().await;
            let age = self.shared.born.elapsed().as_millis();
            self.shared.beat.store(u64::try_from(age).unwrap_or(u64::MAX), Ordering::Relaxed);
        }
    }

    /// Migrations are done, everything is built.
    pub fn set_startup_done(&self) {
        self.shared.startup_done.store(true, Ordering::Relaxed);
    }

    /// The feed is registered, or is not any more.
    pub fn set_feed_connected(&self, connected: bool) {
        self.shared.feed_connected.store(connected, Ordering::Relaxed);
    }

    /// A lane waits because the store decides nothing, or waits no longer.
    pub fn set_lane_stalled(&self, stalled: bool) {
        if stalled {
            self.shared.stalled.fetch_add(1, Ordering::Relaxed);
        } else {
            self.shared.stalled.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// The process stops; it never becomes ready again.
    pub fn set_draining(&self) {
        self.shared.draining.store(true, Ordering::Relaxed);
    }

    /// Why this process should be restarted; empty where it should not.
    pub fn liveness_failures(&self) -> Vec<&'static str> {
        self.not_alive_at(self.shared.born.elapsed())
    }

    fn not_alive_at(&self, age: Duration) -> Vec<&'static str> {
        let beat = Duration::from_millis(self.shared.beat.load(Ordering::Relaxed));
        reasons([(age.saturating_sub(beat) > HEARTBEAT_TIMEOUT, "nothing has moved for over 10 seconds")])
    }

    /// Why the start is not finished; empty where it is.
    pub fn startup_failures(&self) -> Vec<&'static str> {
        reasons([(!self.shared.startup_done.load(Ordering::Relaxed), "the start is not finished")])
    }

    /// Why this process takes no work; empty where it does.
    pub async fn readiness_failures(&self) -> Vec<&'static str> {
        let store_answers = self.store_answers().await;
        reasons([
            (!self.shared.startup_done.load(Ordering::Relaxed), "the start is not finished"),
            (!self.shared.feed_connected.load(Ordering::Relaxed), "the feed is not connected"),
            (!store_answers, "the store does not answer"),
            (
                store_answers && self.shared.stalled.load(Ordering::Relaxed) > 0,
                "the store decides nothing; the log says why",
            ),
            (self.shared.draining.load(Ordering::Relaxed), "the service is stopping"),
        ])
    }

    async fn store_answers(&self) -> bool {
        // Whoever waits for this lock waits no longer than PATIENCE, and then finds the answer.
        let mut store = self.shared.store.lock().await;
        if let Some((at, answer)) = store.answer
            && at.elapsed() < PROBE_CACHE_TTL
        {
            return answer;
        }
        let question = store.question.get_or_insert_with(|| tokio::spawn((self.shared.probe)()));
        let answer = match timeout(PROBE_TIMEOUT, question).await {
            Ok(done) => {
                store.question = None;
                done.unwrap_or(false)
            }
            Err(_) => false,
        };
        store.answer = Some((Instant::now(), answer));
        answer
    }
}

fn reasons<const N: usize>(checks: [(bool, &'static str); N]) -> Vec<&'static str> {
    checks.into_iter().filter(|(speaks_against, _)| *speaks_against).map(|(_, reason)| reason).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicU32;

    use tokio::sync::Semaphore;

    use super::*;

    fn healthy() -> Health {
        let health = Health::new(Box::new(|| Box::pin(async { true })));
        health.set_startup_done();
        health.set_feed_connected(true);
        health
    }

    #[tokio::test]
    async fn alive_while_the_heart_beats() {
        let health = healthy();
        assert!(health.not_alive_at(Duration::from_secs(10)).is_empty());
        assert_eq!(health.not_alive_at(Duration::from_millis(10_001)).len(), 1);
        let heart = tokio::spawn(health.clone().run_heartbeat());
        tokio::time::sleep(Duration::from_millis(1_200)).await;
        assert!(health.not_alive_at(Duration::from_secs(11)).is_empty());
        heart.abort();
    }

    #[tokio::test]
    async fn ready_once_nothing_speaks_against_it() {
        let health = healthy();
        assert!(health.readiness_failures().await.is_empty());
        health.set_feed_connected(false);
        health.set_draining();
        assert_eq!(
            health.readiness_failures().await,
            ["the feed is not connected", "the service is stopping"]
        );
        assert!(health.startup_failures().is_empty());
    }

    #[tokio::test]
    async fn the_answer_is_good_for_a_second() {
        let asked = Arc::new(AtomicU32::new(0));
        let counter = asked.clone();
        let health = Health::new(Box::new(move || {
            let nth = counter.fetch_add(1, Ordering::Relaxed);
            Box::pin(async move { nth == 0 })
        }));
        assert!(health.store_answers().await);
        assert!(health.store_answers().await);
        assert_eq!(asked.load(Ordering::Relaxed), 1);
        tokio::time::sleep(PROBE_CACHE_TTL).await;
        assert!(!health.store_answers().await);
        assert_eq!(asked.load(Ordering::Relaxed), 2);
    }

    #[tokio::test]
    async fn a_store_that_hangs_is_asked_once_and_never_dropped() {
        let gate = Arc::new(Semaphore::new(0));
        let asked = Arc::new(AtomicU32::new(0));
        let (opened, counter) = (gate.clone(), asked.clone());
        let health = Health::new(Box::new(move || {
            counter.fetch_add(1, Ordering::Relaxed);
            let gate = opened.clone();
            Box::pin(async move { gate.acquire().await.is_ok() })
        }));
        // A client that hangs up while it waits.
        assert!(timeout(Duration::from_millis(50), health.store_answers()).await.is_err());
        let begun = Instant::now();
        assert!(!health.store_answers().await);
        assert!(begun.elapsed() < PROBE_TIMEOUT * 2);
        tokio::time::sleep(PROBE_CACHE_TTL).await;
        gate.add_permits(1);
        assert!(health.store_answers().await, "the first question is answered in the end");
        assert_eq!(asked.load(Ordering::Relaxed), 1);
    }

    #[tokio::test]
    async fn panicking_probe_counts_as_not_ready() {
        let health = Health::new(Box::new(|| Box::pin(async { std::panic::panic_any("broken") })));
        assert!(!health.store_answers().await);
    }
}
