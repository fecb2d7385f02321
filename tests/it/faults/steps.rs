//! SIGKILL at every step of a batch: each is held up where it is, by a lock or on the way, so that the kill hits it.

use sqlx::{Executor as _, PgConnection};

use super::load::Load;
use super::plan::Mix;
use super::scene::{Scene, in_flight, lock_all};
use super::{LONG, MIX, seed};
use crate::support::{Broker, Database, Direction, Proxy, wait_until};

const EVENTS: usize = 60;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_worker_is_killed_at_every_step() {
    let broker = Broker::new().await;
    let database = Database::postgres().await;
    let (mut to_broker, mut to_database) = (Proxy::new(&broker.host()), Proxy::new(&database.host()));
    let mut scene = Scene::new(database, broker, 1000, Mix { bad: 20, ..MIX }, seed()).await;
    to_broker.open();
    to_database.open();
    scene.reaper = scene
        .reaper
        .setting("feed.rabbitmq.url", &format!("amqp://guest:guest@{}/%2f", to_broker.address()))
        .setting("store.url", &scene.database.url_by(&to_database.address()));
    scene.start(1).await;
    let mut steps = Steps { scene, to_broker, to_database };
    steps.before_the_transaction().await;
    steps.in_the_transaction().await;
    steps.after_the_commit().await;
    steps.after_the_acknowledgement().await;
    steps.before_a_dead_letter_is_committed().await;
    steps.after_a_dead_letter_is_committed().await;
    steps.while_it_drains().await;
    steps.scene.finish().await;
}

struct Steps {
    scene: Scene,
    to_broker: Proxy,
    to_database: Proxy,
}

impl Steps {
    async fn before_the_transaction(&mut self) {
        self.to_database.hold(Direction::ToServer);
        let load = self.scene.load(EVENTS);
        load.hurry();
        let worker = &self.scene.workers[0];
        wait_until("a batch is in hand", LONG, async || in_flight(worker).await > 0).await;
        self.kill_and_go_on();
        load.finish().await;
        self.check().await;
    }

    async fn in_the_transaction(&mut self) {
        let (locks, load) = self.held_up_in_the_transaction().await;
        self.kill_and_go_on();
        drop(locks);
        load.finish().await;
        self.check().await;
    }

    async fn after_the_commit(&mut self) {
        self.to_broker.hold(Direction::ToServer);
        let load = self.scene.load(EVENTS);
        load.hurry();
        let some = self.scene.plan.decided() - EVENTS / 2;
        self.scene.wait_decided(some).await;
        self.kill_and_go_on();
        load.finish().await;
        self.check().await;
    }

    async fn after_the_acknowledgement(&mut self) {
        let load = self.scene.load(EVENTS);
        load.hurry();
        self.scene.wait_decided(self.scene.plan.decided()).await;
        let queue = self.scene.broker.queue();
        wait_until("the queue is empty", LONG, async || self.scene.broker.count(&queue).await == 0).await;
        self.kill_and_go_on();
        load.finish().await;
        self.check().await;
    }

    async fn before_a_dead_letter_is_committed(&mut self) {
        let mut lock = self.scene.database.connect_postgres().await;
        lock.execute("BEGIN; LOCK TABLE dead_letters IN SHARE MODE").await.expect("locked");
        let load = self.scene.load(EVENTS);
        load.hurry();
        let waits = "datname = current_database() AND wait_event_type = 'Lock' AND query LIKE 'INSERT INTO dead_letters%'";
        wait_until("a dead letter waits for the lock", LONG, async || {
            self.scene.database.count("pg_stat_activity", waits).await > 0
        })
        .await;
        self.kill_and_go_on();
        drop(lock);
        load.finish().await;
        self.check().await;
    }

    async fn after_a_dead_letter_is_committed(&mut self) {
        let written = self.scene.database.letters().await.len();
        self.to_broker.hold(Direction::ToServer);
        let load = self.scene.load(EVENTS);
        load.hurry();
        wait_until("a dead letter is written", LONG, async || {
            self.scene.database.letters().await.len() > written
        })
        .await;
        self.kill_and_go_on();
        load.finish().await;
        self.check().await;
    }

    async fn while_it_drains(&mut self) {
        let (locks, load) = self.held_up_in_the_transaction().await;
        let worker = &self.scene.workers[0];
        worker.terminate();
        wait_until("it drains", LONG, async || worker.stderr().contains("draining")).await;
        self.kill_and_go_on();
        drop(locks);
        load.finish().await;
        self.check().await;
    }

    /// Publishes, and has the worker wait for a lock in the midst of a transaction.
    async fn held_up_in_the_transaction(&mut self) -> (PgConnection, Load) {
        let mut locks = self.scene.database.connect_postgres().await;
        lock_all(&mut locks).await;
        let load = self.scene.load(EVENTS);
        load.hurry();
        wait_until("a transaction waits for the lock", LONG, async || {
            self.scene
                .database
                .count("pg_stat_activity", "datname = current_database() AND wait_event_type = 'Lock'")
                .await
                > 0
        })
        .await;
        (locks, load)
    }

    /// What was on the way is lost with the worker; another one starts.
    fn kill_and_go_on(&mut self) {
        self.scene.workers[0].kill9();
        self.to_broker.cut();
        self.to_database.cut();
        self.to_broker.release();
        self.to_database.release();
        self.scene.workers[0] = self.scene.reaper.spawn(&["run"]);
    }

    async fn check(&mut self) {
        self.scene.workers[0].wait_ready().await;
        self.scene.settle().await;
        self.scene.check().await;
    }
}
