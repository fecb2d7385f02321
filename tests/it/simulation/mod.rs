//! The pipeline's core against a model of feed and store, in simulated time: one seed, one schedule, the same each time.
//!
//! `REAPER_SCHEDULES=30000 REAPER_SEED=1` runs more than the usual ones, from that seed on.

mod parts;
mod world;

use std::env;
use std::sync::Arc;
use std::time::Duration;

use contact_reaper::pipeline::enrollments::Enrollments;
use contact_reaper::pipeline::{self, End, Options};
use contact_reaper::ports::Stop;
use tokio::runtime::Builder;
use tokio::time::{sleep, timeout};

use parts::{ModelDecider, ModelFeed};
use world::{Planted, Shared, World};

const SCHEDULES: u64 = 1500;
/// Of simulated time, for what is left when nothing goes wrong any more.
const PATIENCE: Duration = Duration::from_hours(3);

#[test]
fn every_event_is_decided_once_or_set_aside_with_its_reason_whatever_goes_wrong() {
    let asked = |name: &str, usual| env::var(name).map_or(usual, |value| value.parse().expect("a number"));
    let (first, schedules) = (asked("REAPER_SEED", 1), asked("REAPER_SCHEDULES", SCHEDULES));
    for seed in first..first + schedules {
        let complaints = schedule(seed, Planted::Nothing);
        assert!(complaints.is_empty(), "REAPER_SEED={seed} REAPER_SCHEDULES=1:\n{}", complaints.join("\n"));
    }
}

#[test]
fn one_seed_is_one_schedule() {
    for seed in 1..20 {
        let planted = Planted::BeyondTheGap;
        assert_eq!(schedule(seed, planted), schedule(seed, planted), "{seed}");
    }
}

/// A check that never complains proves nothing.
#[test]
fn mistakes_made_on_purpose_are_noticed() {
    for (planted, complaint) in [
        (Planted::BeyondTheGap, "was acknowledged before it was safe"),
        (Planted::BeforeTheCommit, "was acknowledged before it was safe"),
    ] {
        let noticed = (1..200).any(|seed| schedule(seed, planted).iter().any(|it| it.contains(complaint)));
        assert!(noticed, "{planted:?}");
    }
}

/// One schedule; what was wrong in it.
fn schedule(seed: u64, planted: Planted) -> Vec<String> {
    let runtime = Builder::new_current_thread().enable_time().start_paused(true).build().expect("a runtime");
    runtime.block_on(async {
        let world = World::new(seed, planted);
        let lives = world.lock().expect("ours").dice.roll(5);
        for _ in 0..lives {
            live(&world).await;
        }
        world.lock().expect("ours").faulty = false;
        finish(&world).await;
        let mut world = world.lock().expect("ours");
        world.check();
        std::mem::take(&mut world.complaints)
    })
}

fn options(world: &Shared) -> Options {
    let mut world = world.lock().expect("ours");
    Options {
        batch_size: 1 + world.dice.roll(8),
        lanes: 1 + world.dice.roll(3),
        // No chance but that of the seed.
        max_reconnect_delay: Duration::ZERO,
        on_connected: Arc::new(|_| {}),
        on_stalled: Arc::new(|_| {}),
    }
}

/// A process that is killed after a while, wherever it stands, or asked to stop.
async fn live(world: &Shared) {
    let (asker, stop) = Stop::channel();
    let run = pipeline::run(
        ModelFeed(world.clone()),
        Enrollments::new(ModelDecider(world.clone())),
        options(world),
        stop,
    );
    let mut task = tokio::spawn(run);
    let lifetime = world.lock().expect("ours").lifetime();
    sleep(lifetime).await;
    let crashes = world.lock().expect("ours").strikes(2);
    if crashes {
        task.abort();
        drop(task.await);
        // Its lanes go with it.
        for _ in 0..10 {
            tokio::task::yield_now().await;
        }
        return;
    }
    asker.send_replace(true);
    let ended = timeout(PATIENCE, &mut task).await;
    let stopped = matches!(ended, Ok(Ok(Ok(End::Stopped))));
    if !stopped {
        world.lock().expect("ours").complaints.push(format!("asked to stop it ended with {ended:?}"));
        task.abort();
    }
}

/// A process that nothing happens to, until all is done.
async fn finish(world: &Shared) {
    let (asker, stop) = Stop::channel();
    let run = pipeline::run(
        ModelFeed(world.clone()),
        Enrollments::new(ModelDecider(world.clone())),
        options(world),
        stop,
    );
    let task = tokio::spawn(run);
    let done = timeout(PATIENCE, async {
        while !world.lock().expect("ours").is_done() {
            sleep(Duration::from_secs(1)).await;
        }
    });
    let done = done.await.is_ok();
    asker.send_replace(true);
    drop(timeout(PATIENCE, task).await);
    if !done {
        world.lock().expect("ours").complaints.push("something waits for ever".to_owned());
    }
}
