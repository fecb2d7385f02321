//! An import beside the running service: a file sorted by kind against one in which kinds take turns.

use std::fs::File;
use std::io::{BufWriter, Write};
use std::path::Path;
use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use serde_json::{Value, json};
use tokio::sync::watch;

use crate::Args;
use crate::report::{Table, rate};
use crate::service::{LONG, run_to_end};
use crate::support::{Broker, Database, Reaper, TempDir, records, wait_until};

/// Enrollments a second beside the import.
const BESIDE: u32 = 500;
/// The contacts of these are not those of the file; there are enough of them for minutes.
const ENROLLED: i64 = 150_000;
/// Records of each contact.
const KINDS: usize = 4;

pub async fn import(args: &Args) -> Table {
    let dir = TempDir::new();
    let files = [("sorted by kind", true), ("kinds take turns", false)].map(|(order, is_sorted)| {
        let path = dir.path().join(order);
        write(&path, args.contacts, is_sorted);
        (order, path)
    });
    let count = usize::try_from(args.contacts).expect("a count") * KINDS;
    let mut table =
        Table::new(&format!("import of {count} records beside {BESIDE} enrollments a second"), "records/s");
    let mut memory = 0;
    for _ in 0..args.rounds {
        for (order, path) in &files {
            for database in [Database::postgres().await, Database::sqlite()] {
                let name = format!("{}, {order}", if database.is_sqlite() { "SQLite" } else { "PostgreSQL" });
                let beside = Beside::new(database).await;
                let (seconds, most, note) = beside.measure(path).await;
                table.add(&name, rate(count, seconds));
                table.note(&format!("{name}: {note}"));
                memory = memory.max(most);
            }
        }
    }
    table.note_memory(memory);
    table
}

/// The service on a store with contacts that are to be enrolled.
struct Beside {
    database: Database,
    broker: Broker,
    reaper: Reaper,
}

impl Beside {
    async fn new(database: Database) -> Self {
        let broker = Broker::new().await;
        let reaper = Reaper::new(&database).fed_by(&broker).unguarded();
        let mut ground = records::entitled_account(1);
        ground.push(records::manual_workflow(1, 6));
        ground.extend((1..=ENROLLED).map(|id| records::contact(1, id, json!({}))));
        reaper.import(&ground).await;
        Self { database, broker, reaper }
    }

    /// Seconds that the import of a file takes, the most memory that it has, and how late enrollments were decided.
    async fn measure(&self, file: &Path) -> (f64, u64, String) {
        let mut worker = self.reaper.spawn(&["run"]);
        worker.wait_ready().await;
        let (ended, has_ended) = watch::channel(false);
        let import = async {
            let started = Instant::now();
            let memory = run_to_end(self.reaper.spawn(&["import", file.to_str().expect("UTF-8")])).await;
            let seconds = started.elapsed().as_secs_f64();
            ended.send_replace(true);
            (seconds, memory)
        };
        let ((seconds, memory), published) = tokio::join!(import, self.publish(&has_ended));
        let count = i64::try_from(published.len()).expect("a count");
        wait_until("all are decided", LONG, async || {
            self.database.count("ledger", "outcome = 'deleted'").await == count
        })
        .await;
        let late = self.lateness(&published).await;
        let metrics = worker.metrics().await;
        let retries = metrics.lines().filter(|line| line.starts_with("contact_reaper_retries_total"));
        let retries: f64 = retries.filter_map(|line| line.rsplit(' ').next()?.parse::<f64>().ok()).sum();
        let note = format!(
            "{count} enrollments meanwhile, median {:.2} s, the last {:.2} s after their publication, {retries} retried",
            late[late.len() / 2],
            late[late.len() - 1]
        );
        (seconds, memory, note)
    }

    /// Publishes so many a second until the import has ended; when each was.
    async fn publish(&self, has_ended: &watch::Receiver<bool>) -> Vec<DateTime<Utc>> {
        let mut pace = tokio::time::interval(Duration::from_millis(100));
        let mut published = Vec::new();
        while !*has_ended.borrow() {
            pace.tick().await;
            let first = i64::try_from(published.len()).expect("a count") + 1;
            let last = (first + i64::from(BESIDE / 10)).min(ENROLLED + 1);
            let events: Vec<String> = (first..last).map(|id| enrolled(id).to_string()).collect();
            published.extend(events.iter().map(|_| Utc::now()));
            self.broker.publish(&events).await;
        }
        published
    }

    /// Seconds from publication to decision, in order. PostgreSQL knows the commit; on SQLite a transaction has the one lock that
    /// there is from its start.
    async fn lateness(&self, published: &[DateTime<Utc>]) -> Vec<f64> {
        let sql = self.database.in_its_words(
            "SELECT CAST(CAST(extract(epoch FROM pg_xact_commit_timestamp(xmin)) AS double precision) AS text) \
             FROM ledger ORDER BY enrollment_id",
            "SELECT CAST(unixepoch(decided_at, 'subsec') AS text) FROM ledger ORDER BY enrollment_id",
        );
        let decided = self.database.rows(sql).await;
        let mut late: Vec<f64> = decided
            .iter()
            .zip(published)
            .map(|(row, published)| {
                row[0].parse::<f64>().expect("a time") - published.timestamp_micros() as f64 / 1e6
            })
            .collect();
        late.sort_by(f64::total_cmp);
        late
    }
}

fn enrolled(id: i64) -> Value {
    let mut event = records::event(1, 6, id, id);
    event["data"]["cause"] = json!("MANUAL");
    event
}

/// A file of contacts, each with three records.
fn write(path: &Path, contacts: i64, is_sorted: bool) {
    let mut file = BufWriter::new(File::create(path).expect("a file"));
    let mut line = |id: i64, kind: usize| {
        writeln!(file, "{}", record(ENROLLED + id, kind)).expect("it is written");
    };
    if is_sorted {
        (0..KINDS).for_each(|kind| (1..=contacts).for_each(|id| line(id, kind)));
    } else {
        (1..=contacts).for_each(|id| (0..KINDS).for_each(|kind| line(id, kind)));
    }
}

fn record(id: i64, kind: usize) -> Value {
    let (text, at) = (id.to_string(), "2026-01-03T10:00:00Z");
    let me = json!({"type": "contact", "id": text});
    match kind {
        0 => records::contact(
            1,
            id,
            json!({"firstname": format!("First{id}"), "lastname": format!("Last{id}"), "city": "Berlin"}),
        ),
        1 => {
            json!({"kind": "customEvent", "accountId": "1", "id": text, "contactId": text, "eventTypeId": "6-1",
            "occurredAt": at, "properties": {"plan": "gold"}})
        }
        2 => json!({"kind": "activity", "accountId": "1", "id": text, "type": "note", "timestamp": at,
            "properties": {"hs_note_body": "A note of some length, as people write them after a call"},
            "associations": [me]}),
        _ => json!({"kind": "association", "accountId": "1", "from": me,
            "to": {"type": "company", "id": (1 + id / 10).to_string()}, "label": "works at"}),
    }
}
