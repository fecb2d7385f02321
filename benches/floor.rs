//! What the machine could do at best: the effects alone, and the queue alone.

use std::time::Instant;

use contact_reaper::domain::enrollment::parse_event;
use futures_util::StreamExt as _;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicQosOptions};
use lapin::types::FieldTable;
use lapin::{Connection, ConnectionProperties, Consumer};
use sqlx::{AssertSqlSafe, PgConnection, PgPool};

use crate::support::{Broker, Database};
use crate::world::{Enrolled, event};

/// The statements that do the effects of a delete.
pub fn effects() -> impl Iterator<Item = &'static str> {
    include_str!("effects.sql").split(";\n")
}

/// Does the effects of these deletes, in the transaction of a connection.
pub async fn delete(connection: &mut PgConnection, enrolled: &[Enrolled]) {
    let list = |id: fn(&Enrolled) -> i64| enrolled.iter().map(id).collect::<Vec<_>>();
    let lists = [list(|it| it.account), list(|it| it.contact), list(|it| it.enrollment)];
    for statement in effects() {
        let mut query = sqlx::query(AssertSqlSafe(statement));
        for ids in &lists {
            query = query.bind(ids);
        }
        query.execute(&mut *connection).await.expect(statement);
    }
}

/// Seconds that the effects take, in batches of so many, on so many connections.
pub async fn sql(database: &Database, enrolled: &[Enrolled], connections: usize, batch: usize) -> f64 {
    let pool = PgPool::connect(database.url()).await.expect("PostgreSQL is there");
    let started = Instant::now();
    let lane = |lane: usize| {
        let (pool, enrolled) = (pool.clone(), enrolled.to_vec());
        tokio::spawn(async move {
            for part in enrolled.chunks(batch).skip(lane).step_by(connections) {
                let mut tx = pool.begin().await.expect("a transaction");
                delete(&mut tx, part).await;
                tx.commit().await.expect("a commit");
            }
        })
    };
    let lanes: Vec<_> = (0..connections).map(lane).collect();
    for lane in lanes {
        lane.await.expect("the effects are done");
    }
    let seconds = started.elapsed().as_secs_f64();
    pool.close().await;
    seconds
}

/// Seconds that it takes to take these events from the queue of a service that rests, read and acknowledge them.
pub async fn drain(broker: &Broker, enrolled: &[Enrolled]) -> f64 {
    const EACH: usize = 300;
    broker.publish(&enrolled.iter().map(|it| event(it).to_string()).collect::<Vec<_>>()).await;
    let (connection, mut consumer) = consume(broker, 900).await;
    let started = Instant::now();
    for taken in 1..=enrolled.len() {
        let delivery = consumer.next().await.expect("a delivery").expect("a delivery");
        parse_event(&delivery.data).expect("an event of ours");
        if taken % EACH == 0 || taken == enrolled.len() {
            delivery.ack(BasicAckOptions { multiple: true }).await.expect("an ack");
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    connection.close(200, "done".into()).await.expect("closed");
    seconds
}

/// Takes from the queue of a service that rests, so many messages ahead.
pub async fn consume(broker: &Broker, prefetch: u16) -> (Connection, Consumer) {
    let connection = Connection::connect(&broker.url(), ConnectionProperties::default()).await;
    let connection = connection.expect("RabbitMQ is there");
    let channel = connection.create_channel().await.expect("a channel");
    channel.basic_qos(prefetch, BasicQosOptions::default()).await.expect("a prefetch");
    let (queue, options) = (broker.queue().into(), BasicConsumeOptions::default());
    let consumer = channel.basic_consume(queue, "".into(), options, FieldTable::default()).await;
    (connection, consumer.expect("a consumer"))
}
