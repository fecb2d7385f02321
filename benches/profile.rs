//! Where the time goes: processor seconds by part, and what PostgreSQL did for it by statement.

use crate::processor::{processor_seconds, with_children};
use crate::report::Table;
use crate::service::Service;
use crate::support::Database;
use crate::world::Enrolled;

/// The library that PostgreSQL has to have loaded.
pub const POSTGRES_OPTION: &str = "-c shared_preload_libraries=pg_stat_statements";

/// Lets the service delete these contacts; what that cost goes into the table by part, and is answered by statement.
pub async fn profile(service: &Service, enrolled: &[Enrolled], table: &mut Table) -> Vec<String> {
    service.database.execute("CREATE EXTENSION pg_stat_statements").await;
    service.publish(enrolled).await;
    let before = Cpu::now();
    service.database.execute("SELECT pg_stat_statements_reset()").await;
    let measured = service.decide_published(enrolled, 1).await;
    let after = Cpu::now();
    let mut add = |part: &str, seconds: f64| table.add(part, seconds * 1e6 / enrolled.len() as f64);
    add("elapsed", measured.seconds);
    add("processor: the service", measured.processor);
    add("processor: PostgreSQL", after.postgres - before.postgres);
    add("processor: RabbitMQ", after.rabbitmq - before.rabbitmq);
    statements(&service.database, enrolled.len()).await
}

/// By statement, the most expensive first: microseconds a contact, calls, rows, blocks and bytes of log a call.
async fn statements(database: &Database, contacts: usize) -> Vec<String> {
    let sql = format!(
        "SELECT to_char(total_exec_time * 1000 / {contacts}, 'FM9990.00'), calls::text, (rows / calls)::text, \
           ((shared_blks_hit + shared_blks_read) / calls)::text, (wal_bytes::bigint / calls)::text, \
           left(regexp_replace(query, '\\s+', ' ', 'g'), 100) \
         FROM pg_stat_statements WHERE dbid = (SELECT oid FROM pg_database WHERE datname = current_database()) \
         ORDER BY total_exec_time DESC LIMIT 40"
    );
    let line = |row: Vec<String>| {
        format!(
            "{:>8} µs {:>6} calls {:>6} rows {:>7} blocks {:>8} bytes  {}",
            row[0], row[1], row[2], row[3], row[4], row[5]
        )
    };
    database.rows(&sql).await.into_iter().map(line).collect()
}

/// Processor seconds that the servers have used.
struct Cpu {
    postgres: f64,
    rabbitmq: f64,
}

impl Cpu {
    fn now() -> Self {
        let server = |name| std::env::var(name).expect("tests/run.sh says it").parse().expect("a number");
        let (postgres, rabbitmq) = (server("TEST_POSTGRES_PID"), server("TEST_AMQP_PID"));
        Self { postgres: with_children(postgres), rabbitmq: processor_seconds(rabbitmq).0 }
    }
}
