//! From publish to commit, as PostgreSQL saw the commit.

use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::service::Service;
use crate::support::{DEADLINE, wait_until};
use crate::world::{Enrolled, event};

/// Publishes so many enrollments a second, one by one; the median and the 99th percentile, in milliseconds.
pub async fn of(service: &Service, enrolled: &[Enrolled], a_second: i64) -> (f64, f64) {
    let mut pace =
        tokio::time::interval(Duration::from_secs(1) / u32::try_from(a_second).expect("not that many"));
    let mut published: Vec<DateTime<Utc>> = Vec::with_capacity(enrolled.len());
    let decided = format!("decided_at >= {}", service.now().await);
    for it in enrolled {
        pace.tick().await;
        let body = event(it).to_string();
        published.push(Utc::now());
        service.broker.publish(&[body]).await;
    }
    let count = i64::try_from(enrolled.len()).expect("not that many");
    wait_until("all are decided", DEADLINE, async || {
        service.database.count("ledger", &decided).await == count
    })
    .await;
    let sql = format!(
        "SELECT CAST(CAST(extract(epoch FROM pg_xact_commit_timestamp(xmin)) * 1000000 AS bigint) AS text) \
         FROM ledger WHERE {decided} ORDER BY enrollment_id"
    );
    let committed = service.database.rows(&sql).await;
    let mut waited: Vec<f64> = committed
        .iter()
        .zip(published)
        .map(|(row, published)| row[0].parse::<f64>().expect("a time") - published.timestamp_micros() as f64)
        .map(|microseconds| microseconds / 1000.0)
        .collect();
    waited.sort_by(f64::total_cmp);
    (waited[waited.len() / 2], waited[waited.len() * 99 / 100])
}
