//! What must be true once everything published has been dealt with, whatever went wrong on the way.
//!
//! Every event that was confirmed is decided exactly once, as the plan says, or set aside with its reason; what was done
//! to the contacts, counted and told is what was decided, neither more nor less; and nothing is left over.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use serde_json::Value;

use super::load::Sent;
use super::plan::{self, Plan, RESTORED};
use super::whole;
use crate::support::{Broker, Database, Worker};

/// Of those that are put off: short, for the sake of the tests.
pub const RUNGS: [&str; 5] = ["200ms", "500ms", "1s", "2s", "5s"];

/// What left the service.
pub enum Outside {
    /// To a broker: what has arrived so far.
    Broker { broker: Arc<Broker>, listener: String, sent: Sent, events: Vec<Value> },
    /// Nothing: events are in the store.
    Nothing,
}

/// The reasons of the dead letters, by body.
pub type Letters = BTreeMap<Vec<u8>, Vec<String>>;

/// By contact the enrollment that deleted it.
type Deleted = BTreeMap<i64, i64>;

/// Fails the test with what is not as it must be; `known` contacts were imported.
pub async fn check(plan: &Plan, known: i64, database: &Database, outside: &mut Outside, workers: &[Worker]) {
    let deleted = check_ledger(plan, database).await;
    check_deeds(database, &deleted, known).await;
    let (letters, expected) = (letters(database).await, plan.dead_letters());
    for (body, reasons) in &letters {
        let (text, reason) = (String::from_utf8_lossy(body), expected.get(body));
        assert!(reasons.iter().all(|it| Some(&it.as_str()) == reason), "set aside: {text}: {reasons:?}");
        assert!(reasons.len() <= outside.sent(body), "set aside more often than sent: {text}");
    }
    assert_eq!(letters.len(), expected.len(), "dead letters are lost");
    let events = outside.take(database).await;
    check_told(&events, &deleted);
    check_metrics(database, workers).await;
}

async fn check_ledger(plan: &Plan, database: &Database) -> Deleted {
    let rows = database
        .rows(
            "SELECT CAST(object_id AS text), CAST(enrollment_id AS text), outcome, coalesce(reason, ''), \
             coalesce(CAST(trash_entry_id AS text), '') FROM ledger",
        )
        .await;
    let keys: BTreeSet<(i64, i64)> = rows.iter().map(|row| (number(&row[0]), number(&row[1]))).collect();
    let expected: BTreeSet<(i64, i64)> = plan
        .taken
        .iter()
        .filter_map(|event| match event.fate {
            plan::Fate::Decided { contact, enrollment } => Some((contact, enrollment)),
            plan::Fate::DeadLetter(_) => None,
        })
        .collect();
    let wrong: Vec<_> = keys.symmetric_difference(&expected).take(10).collect();
    assert!(wrong.is_empty(), "lost or made up (contact, enrollment): {wrong:?}");
    assert_eq!(rows.len(), keys.len(), "an enrollment has two rows");

    let mut answers: BTreeMap<i64, Vec<(&str, &str)>> = BTreeMap::new();
    let mut deleted = Deleted::new();
    for row in &rows {
        assert_eq!(row[2] == "deleted", !row[4].is_empty(), "{row:?}");
        answers.entry(number(&row[0])).or_default().push((&row[2], &row[3]));
        if row[2] == "deleted" {
            deleted.insert(number(&row[0]), number(&row[1]));
        }
    }
    for (contact, mut expected) in plan.answers() {
        let found = answers.get_mut(&contact).expect("its enrollments are there");
        found.sort_unstable();
        expected.sort_unstable();
        assert_eq!(*found, expected, "contact {contact}");
    }
    deleted
}

/// Contacts, trash, audit and all counts say the same as the ledger.
async fn check_deeds(database: &Database, deleted: &Deleted, known: i64) {
    let gone =
        database.rows("SELECT CAST(contact_id AS text) FROM contacts WHERE deleted_at IS NOT NULL").await;
    let gone: BTreeSet<i64> = gone.iter().map(|row| number(&row[0])).collect();
    assert_eq!(gone, deleted.keys().copied().collect(), "the contacts in the trash");
    assert_eq!(database.count("contacts", "TRUE").await, known, "contacts, in the trash or not");

    let open = "deleted_by = 'workflow' AND closed_as IS NULL AND EXISTS (SELECT 1 FROM ledger l \
                WHERE l.trash_entry_id = entry_id AND l.object_id = trash_entries.contact_id \
                AND l.enrollment_id = trash_entries.enrollment_id)";
    let deletions = whole(deleted.len());
    let counts = [
        database.count("trash_entries", open).await,
        database.count("trash_entries", "TRUE").await - whole(RESTORED.len()),
        sum(database, "audit", "count", "action = 'trash' AND actor NOT LIKE '%user%'").await,
        sum(database, "guard_counts", "deletions", "workflow_id = 7").await,
        known - sum(database, "contact_counts", "change", "TRUE").await,
    ];
    assert_eq!(
        counts, [deletions; 5],
        "open entries, all entries, audit, guard, live contacts against deletions"
    );
    for table in ["pending_enrollments", "pending_events"] {
        assert_eq!(database.count(table, "TRUE").await, 0, "{table}");
    }
}

/// Each deed is told at least once, and those of one contact in their order.
fn check_told(events: &[Value], deleted: &Deleted) {
    let mut seen = BTreeSet::new();
    let mut told: BTreeMap<i64, Vec<&str>> = BTreeMap::new();
    for event in events.iter().filter(|event| seen.insert(event["id"].to_string())) {
        let contact = number(event["data"]["contactId"].as_str().expect("about a contact"));
        let kind = event["type"].as_str().expect("a type").trim_start_matches("contact.");
        told.entry(contact).or_default().push(kind);
    }
    let contacts: BTreeSet<i64> = deleted.keys().copied().chain(RESTORED).collect();
    for contact in contacts {
        let before: &[&str] = if RESTORED.contains(&contact) { &["deletion", "restore"] } else { &[] };
        let now: &[&str] = if deleted.contains_key(&contact) { &["deletion"] } else { &[] };
        let found = told.remove(&contact).unwrap_or_default();
        assert_eq!(found, [before, now].concat(), "told of contact {contact}");
    }
    assert!(told.is_empty(), "told of what was not done: {told:?}");
}

/// The workers that live claim no decision that is not in the ledger: a repetition counts as a duplicate.
async fn check_metrics(database: &Database, workers: &[Worker]) {
    let mut claimed = BTreeMap::from([("deleted", 0), ("skipped", 0)]);
    for worker in workers {
        let metrics = worker.metrics().await;
        for line in metrics.lines().filter(|line| line.starts_with("contact_reaper_enrollments_total{")) {
            let outcome = line.split('"').nth(1).expect("the label outcome");
            if let Some(count) = claimed.get_mut(outcome) {
                *count += number(line.rsplit(' ').next().expect("a value"));
            }
        }
    }
    for (outcome, claimed) in claimed {
        let decided = database.count("ledger", &format!("outcome = '{outcome}'")).await;
        assert!(claimed <= decided, "{claimed} are said to be {outcome}, {decided} are");
    }
}

impl Outside {
    /// How often a body may have arrived. A plan has none more than twice.
    fn sent(&self, body: &[u8]) -> usize {
        match self {
            Self::Broker { sent, .. } => sent.lock().expect("ours").get(body).copied().unwrap_or(0),
            Self::Nothing => 2,
        }
    }

    /// All events so far; in a broker nothing else may be left, and in the outbox nothing at all.
    async fn take(&mut self, database: &Database) -> Vec<Value> {
        let Self::Broker { broker, listener, events, .. } = self else {
            return in_store(database).await;
        };
        assert_eq!(database.count("outbox", "TRUE").await, 0, "left in the outbox");
        assert_eq!(waiting(broker).await, 0, "left in the queues");
        let told = broker.drain(listener).await.into_iter();
        events.extend(told.map(|event| serde_json::from_slice::<Value>(&event.body).expect("a CloudEvent")));
        events.clone()
    }
}

/// How many messages wait in the queues of the retries, in the work queue and in the dead letters, in the order in which
/// they wander.
pub async fn waiting(broker: &Broker) -> u32 {
    let mut waiting = 0;
    for rung in RUNGS {
        waiting += broker.count(&broker.own_name(&format!("contact-reaper.retry.{rung}"))).await;
    }
    waiting + broker.count(&broker.queue()).await + broker.count(&broker.dead_letter_queue()).await
}

/// The dead letters so far.
pub async fn letters(database: &Database) -> Letters {
    let mut letters = Letters::new();
    for letter in database.letters().await {
        assert!(!letter.detail.is_empty(), "nothing says why");
        letters.entry(letter.body).or_default().push(letter.reason);
    }
    letters
}

async fn in_store(database: &Database) -> Vec<Value> {
    let sql = "SELECT CAST(message_id AS text), type, CAST(data AS text) FROM outbox ORDER BY message_id";
    let event = |row: Vec<String>| {
        let data: Value = serde_json::from_str(&row[2]).expect("JSON");
        serde_json::json!({"id": row[0], "type": row[1], "data": data})
    };
    database.rows(sql).await.into_iter().map(event).collect()
}

async fn sum(database: &Database, table: &str, column: &str, condition: &str) -> i64 {
    let sql = format!("SELECT CAST(coalesce(sum({column}), 0) AS text) FROM {table} WHERE {condition}");
    number(&database.rows(&sql).await[0][0])
}

fn number(text: &str) -> i64 {
    text.parse().unwrap_or_else(|_| panic!("no number: {text}"))
}
