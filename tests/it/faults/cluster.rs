//! Three nodes of RabbitMQ: the one that leads the work queue is killed, comes back, and its follower is killed.

use super::scene::{Scene, wait};
use super::{LONG, MIX, number, seed};
use crate::support::{Broker, Database, Servers, wait_until};

const EVENTS: usize = 300;

pub async fn all(servers: &Servers) {
    let nodes = [servers.amqp_url(), servers.start_node(2).await, servers.start_node(3).await];
    let broker = Broker::of_nodes(nodes.to_vec()).await;
    let kills = number("FAULTS_NODE_KILLS", 2);
    let room = i64::try_from((kills + 1) * EVENTS).expect("not that many");
    let mut scene = Scene::new(Database::postgres().await, broker, room, MIX, seed()).await;
    scene.start(2).await;
    let mut up = 1;
    for _ in 0..kills {
        let leader = leader(servers, &scene, &nodes, up).await;
        scene
            .survives("node that leads the work queue is killed", EVENTS, async |_| {
                servers.kill_node(leader);
                wait(1000).await;
            })
            .await;
        servers.start_node(leader).await;
        up = leader;
    }
    scene.finish().await;
}

/// Which node leads the work queue, once one does; a node that is up is asked.
async fn leader(servers: &Servers, scene: &Scene, nodes: &[String], up: usize) -> usize {
    let name = |url: &String| {
        let (_, port) = url.trim_end_matches("/%2f").rsplit_once(':').expect("it names a port");
        format!("contact-reaper-{port}@localhost")
    };
    let (queue, asked) = (scene.broker.queue(), name(&nodes[up - 1]));
    let mut leader = None;
    wait_until("a node leads the work queue", LONG, async || {
        // A node that has just come back may not answer yet, or not know the queue.
        let list = ["-n", &asked, "-q", "list_queues", "name", "leader", "members"];
        let listed = servers.try_rabbitmqctl(&list).await.unwrap_or_default();
        let Some(line) = listed.lines().find(|line| line.starts_with(&queue)) else { return false };
        for node in nodes {
            assert!(line.matches(&name(node)).count() >= 1, "not all nodes keep the queue: {line}");
        }
        let leads = line.split('\t').nth(1).expect("the second column");
        leader = nodes.iter().position(|node| name(node) == leads);
        leader.is_some()
    })
    .await;
    leader.expect("waited for") + 1
}
