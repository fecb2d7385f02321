//! The plain way: one message, one transaction, one acknowledgement.

use std::process::Command;
use std::time::Instant;

use contact_reaper::domain::enrollment::parse_event;
use futures_util::StreamExt as _;
use lapin::options::BasicAckOptions;
use sqlx::{Connection as _, PgConnection};

use crate::floor;
use crate::service::Service;
use crate::support::Database;
use crate::world::Enrolled;

/// Seconds that a worker with a prefetch of 1, in the place of a service that rests, takes for these events.
pub async fn worker(service: &Service, enrolled: &[Enrolled]) -> f64 {
    service.publish(enrolled).await;
    consume(service, enrolled.len()).await
}

/// As [`worker`], for so many events that are published by somebody else.
pub async fn consume(Service { database, broker, .. }: &Service, events: usize) -> f64 {
    let mut store = PgConnection::connect(database.url()).await.expect("PostgreSQL is there");
    let (connection, mut consumer) = floor::consume(broker, 1).await;
    let started = Instant::now();
    for _ in 0..events {
        let delivery = consumer.next().await.expect("a delivery").expect("a delivery");
        let event = parse_event(&delivery.data).expect("an event of ours");
        let one = Enrolled {
            account: event.key.account_id,
            workflow: event.workflow_id,
            contact: event.object_id,
            enrollment: event.key.enrollment_id,
            padding: 0,
        };
        let mut tx = store.begin().await.expect("a transaction");
        floor::delete(&mut tx, &[one]).await;
        tx.commit().await.expect("a commit");
        delivery.ack(BasicAckOptions::default()).await.expect("an ack");
    }
    let seconds = started.elapsed().as_secs_f64();
    connection.close(200, "done".into()).await.expect("closed");
    seconds
}

/// Seconds that the peer takes for the first so many contacts; `None` where it cannot run here.
pub async fn peer(database: &Database, contacts: usize) -> Option<f64> {
    let python = std::env::var("BENCH_PYTHON").ok()?;
    let rabbitmq = std::env::var("TEST_AMQP_URL").expect("tests/run.sh says it");
    let mut command = Command::new(python);
    command.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/benches/peer.py"));
    command.args([database.url(), &rabbitmq, &contacts.to_string()]);
    let output = tokio::task::spawn_blocking(move || command.output()).await.expect("it runs");
    let output = output.expect("BENCH_PYTHON is a program");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).trim().parse().ok()
}
