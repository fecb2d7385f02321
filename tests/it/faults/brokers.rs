//! The broker restarts, stops, throws everybody out, has no memory left, and closes channels in the midst of their work.

use super::scene::{Scene, lock_all, wait};
use super::{LONG, MIX, seed};
use crate::support::{Broker, Database, Reaper, Servers, wait_until};

const EVENTS: usize = 250;

pub async fn all(servers: &Servers) {
    let (database, broker) = (Database::postgres().await, Broker::at(&servers.amqp_url()).await);
    let mut scene = Scene::new(database, broker, 3000, MIX, seed()).await;
    scene.reaper = scene.reaper.setting("store.statement_timeout", "2s");
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
        .survives("workers are killed while the broker takes nothing", EVENTS, async |scene| {
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
        .survives("broker takes no retries", EVENTS, async |scene| {
            let mut rival = scene.database.connect_postgres().await;
            lock_all(&mut rival).await;
            servers.rabbitmqctl(&["set_vm_memory_high_watermark", "absolute", "1"]).await;
            // Longer than two statements may take: what is in hand is to be put off.
            wait(5000).await;
            drop(rival);
            wait(1000).await;
            servers.rabbitmqctl(&["set_vm_memory_high_watermark", "0.4"]).await;
        })
        .await;
    scene
        .survives("broker closes channels that publish", EVENTS, async |scene| {
            // What is held up is left to be done, and told, while the broker takes nothing.
            let mut rival = scene.database.connect_postgres().await;
            lock_all(&mut rival).await;
            set(servers, "max_message_size", "1").await;
            servers.rabbitmqctl(&["close_all_connections", "by a test"]).await;
            drop(rival);
            wait_for_words(scene, "is larger than configured max size").await;
            set(servers, "max_message_size", "134217728").await;
        })
        .await;
    scene
        .survives("broker closes channels that hold messages for too long", EVENTS, async |scene| {
            let mut rival = scene.database.connect_postgres().await;
            lock_all(&mut rival).await;
            // Channels read them when they are opened.
            set(servers, "channel_tick_interval", "200").await;
            set(servers, "consumer_timeout", "300").await;
            servers.rabbitmqctl(&["close_all_connections", "by a test"]).await;
            wait_for_words(scene, "delivery acknowledgement on channel").await;
            set(servers, "consumer_timeout", "1800000").await;
            set(servers, "channel_tick_interval", "60000").await;
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
    people_hear_of_an_alarm(servers).await;
}

/// A person who publishes waits for the answer, and blocks requests of others meanwhile: it must not take as long as the alarm.
async fn people_hear_of_an_alarm(servers: &Servers) {
    let (database, broker) = (Database::sqlite(), Broker::at(&servers.amqp_url()).await);
    let reaper = Reaper::new(&database).fed_by(&broker);
    let mut worker = reaper.spawn(&["run"]);
    worker.wait_ready().await;
    broker.publish(&["no JSON"]).await;
    wait_until("it is set aside", LONG, async || database.letters().await.len() == 1).await;
    servers.rabbitmqctl(&["set_vm_memory_high_watermark", "absolute", "1"]).await;
    for command in [&["dead-letters", "replay", "--all"][..], &["enroll", "-"]] {
        let output = reaper.run_with_input(command, "{}\n").await;
        assert_eq!(output.code, 1, "{command:?}: {}", output.stdout);
        assert!(output.stderr.contains("RabbitMQ takes no messages"), "{command:?}: {}", output.stderr);
    }
    assert_eq!(database.letters().await.len(), 1, "what was not confirmed is still there");
    servers.rabbitmqctl(&["set_vm_memory_high_watermark", "0.4"]).await;
}

/// Until a worker's log says how the broker has closed a channel.
async fn wait_for_words(scene: &Scene, words: &str) {
    wait_until("a channel is closed", LONG, async || {
        scene.workers.iter().any(|worker| worker.stderr().contains(words))
    })
    .await;
}

/// Changes a setting of the broker while it runs.
async fn set(servers: &Servers, name: &str, value: &str) {
    let change = format!("application:set_env(rabbit, {name}, {value}).");
    servers.rabbitmqctl(&["eval", &change]).await;
}
