//! SIGKILL at random moments: of two workers now the one, now the other.

use super::load::Load;
use super::plan::Mix;
use super::scene::{Scene, wait};
use super::{LONG, number, seed};
use crate::model::Dice;
use crate::support::{Broker, Database, wait_until};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_workers_are_killed_again_and_again() {
    let (kills, events) = (number("FAULTS_KILLS", 6), number("FAULTS_EVENTS", 2000));
    let mix = Mix { duplicates: 20, bad: 2 };
    let room = i64::try_from(events).expect("not that many");
    let mut scene = Scene::new(Database::postgres().await, Broker::new().await, room, mix, seed()).await;
    scene.start(2).await;
    let mut dice = Dice::new(seed() + 1);
    let load: Load = scene.load(events);
    load.hurry();
    for kill in 1..=kills {
        // Something is done between two kills; a message that never gets its turn is moved by the broker in the end.
        let enough = scene.plan.decided() * kill / (kills + 1);
        wait_until("work goes on", LONG, async || scene.decided().await >= Some(enough)).await;
        wait(dice.roll(100) as u64).await;
        let victim = dice.roll(2);
        scene.workers[victim].kill9();
        scene.workers[victim] = scene.reaper.spawn(&["run"]);
    }
    load.finish().await;
    for worker in &mut scene.workers {
        worker.wait_ready().await;
    }
    scene.finish().await;
    println!("{events} events, {kills} kills");
}
