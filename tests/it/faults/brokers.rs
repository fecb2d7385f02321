//! The broker restarts, stops, throws everybody out, and has no memory left.

use super::scene::{Scene, lock_all, wait};
use super::{MIX, seed};
use crate::support::{Broker, Database, Servers};

const EVENTS: usize = 250;

pub async fn all(servers: &Servers) {
    let (database, broker) = (Database::postgres().await, Broker::at(&servers.amqp_url()).await);
    let mut scene = Scene::new(database, broker, 2000, MIX, seed()).await;
    scene.start(2).await;
    scene
        .survives("broker restarts at once", EVENTS, async |_| {
            servers.rabbitmqctl(&["stop_app"]).await;
            servers.rabbitmqctl(&["start_app"]).await;
        })
        .await;
    scene
        .survives("broker is away for a while", EVENTS, async |_| {
            servers.rabbitmqctl(&["stop_app"]).await;
            wait(6000).await;
            servers.rabbitmqctl(&["start_app"]).await;
        })
        .await;
    scene
        .survives("broker closes all connections", EVENTS, async |_| {
            servers.rabbitmqctl(&["close_all_connections", "by a test"]).await;
        })
        .await;
    scene
        .survives("broker has no memory left", EVENTS, async |_| {
            servers.rabbitmqctl(&["set_vm_memory_high_watermark", "absolute", "1"]).await;
            wait(2000).await;
            servers.rabbitmqctl(&["set_vm_memory_high_watermark", "0.4"]).await;
        })
        .await;
    scene
        .survives("workers are killed while the broker takes no dead letters", EVENTS, async |scene| {
            let mut rival = scene.database.connect_postgres().await;
            lock_all(&mut rival).await;
            // Held up, they have messages in hand before the alarm.
            wait(1000).await;
            servers.rabbitmqctl(&["set_vm_memory_high_watermark", "absolute", "1"]).await;
            let decided = scene.decided().await.expect("the database answers");
            drop(rival);
            // Whatever can be acknowledged is.
            scene.wait_decided(decided + 1).await;
            wait(1000).await;
            for worker in &mut scene.workers {
                worker.kill9();
                *worker = scene.reaper.spawn(&["run"]);
            }
            servers.rabbitmqctl(&["set_vm_memory_high_watermark", "0.4"]).await;
        })
        .await;
    scene
        .survives("broker stands still", EVENTS, async |_| {
            servers.signal_rabbitmq("STOP");
            wait(3000).await;
            servers.signal_rabbitmq("CONT");
        })
        .await;
    scene.finish().await;
}
