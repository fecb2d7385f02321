//! SQLite fed by JSON Lines, against the least that SQLite needs for the same effects.

use std::fs;
use std::time::Instant;

use serde_json::{Value, json};
use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteSynchronous};
use sqlx::{Connection as _, SqliteConnection};

use crate::Args;
use crate::report::{Table, rate};
use crate::service::run_to_end;
use crate::support::{Database, Reaper, TempDir, records};

/// Contacts in the store; all of them go.
const CONTACTS: i64 = 20_000;
/// The sizes of a batch among which the floor has its best.
const BATCHES: [usize; 3] = [300, 1000, 5000];

pub async fn embedded(args: &Args) -> Table {
    let world = Database::sqlite();
    Reaper::new(&world).import(&world_of(CONTACTS)).await;
    let dir = TempDir::new();
    let feed = dir.path().join("events.jsonl");
    let events: Vec<Value> = (1..=CONTACTS).map(|id| records::event(1, 1, id, id)).collect();
    fs::write(&feed, records::lines(&events)).expect("the feed is written");
    let count = events.len();

    let mut memory = 0;
    let mut table = Table::new("embedded: SQLite fed by JSON Lines", "contacts/s");
    for _ in 0..args.rounds {
        let database = world.copy().await;
        let reaper = Reaper::new(&database).unguarded().setting("feed.kind", "jsonl");
        let reaper = reaper.setting("feed.jsonl.path", feed.to_str().expect("a path in UTF-8"));
        let reaper = args.settings.iter().fold(reaper, |reaper, (key, value)| reaper.setting(key, value));
        let started = Instant::now();
        memory = memory.max(run_to_end(reaper.spawn(&["run"])).await);
        // From the start of the process to its end.
        table.add("service", rate(count, started.elapsed().as_secs_f64()));
        assert_eq!(database.count("contacts", "deleted_at IS NULL").await, 0, "some were left");
        let mut best: f64 = 0.0;
        for batch in BATCHES {
            best = best.max(rate(count, floor(&world.copy().await, batch).await));
        }
        table.add("floor: the effects by hand", best);
    }
    table.note_memory(memory);
    table
}

/// Contacts with 11 related rows each, ten of them a company, and the workflow that deletes them.
fn world_of(contacts: i64) -> Vec<Value> {
    let flow = include_str!("workflow.json").replace(":workflow", "1");
    let flow: Value = serde_json::from_str(&flow).expect("a definition");
    let mut world = records::entitled_account(1);
    world.push(json!({"kind": "workflow", "accountId": "1", "flow": flow}));
    let ids: Vec<i64> = (1..=contacts).collect();
    world.extend(ids.iter().map(|id| {
        let properties = json!({"email": format!("contact{id}@example.com"), "lifecyclestage": "lead",
            "firstname": format!("First{id}"), "lastname": format!("Last{id}"), "city": "Berlin", "country": "DE"});
        let mut contact = records::contact(1, *id, properties);
        contact["additionalEmails"] = json!([format!("contact{id}@example.org")]);
        contact
    }));
    world.extend([records::segment(1, 1, &ids), records::segment(1, 2, &ids)]);
    world.extend((0..=contacts / 10).map(|id| {
        let properties = json!({"name": "A Company", "lifecyclestage": "lead"});
        json!({"kind": "company", "accountId": "1", "id": (id + 1).to_string(), "properties": properties})
    }));
    world.extend(ids.into_iter().flat_map(related));
    world
}

fn related(contact: i64) -> [Value; 6] {
    let (id, at) = (contact.to_string(), records::days_ago(5));
    let (me, company) = (
        json!({"type": "contact", "id": id}),
        json!({"type": "company", "id": (1 + contact / 10).to_string()}),
    );
    [
        records::enrollment(1, 1_000_000, contact, true),
        json!({"kind": "association", "accountId": "1", "from": me, "to": company}),
        json!({"kind": "activity", "accountId": "1", "id": id, "type": "note", "timestamp": at,
            "properties": {"body": "They called."}, "associations": [me]}),
        json!({"kind": "analyticsEvent", "accountId": "1", "id": id, "contactId": id, "type": "form_view",
            "occurredAt": at, "source": "organic"}),
        json!({"kind": "formSubmission", "accountId": "1", "id": id, "formId": "signup", "contactId": id,
            "submittedAt": at, "values": {}}),
        json!({"kind": "lifecycleTransition", "accountId": "1", "contactId": id, "stage": "lead", "at": at}),
    ]
}

/// Seconds that the effects take by hand-written statements, in batches of so many, as durably as the service.
async fn floor(database: &Database, batch: usize) -> f64 {
    let file = database.url().trim_start_matches("sqlite://");
    let options = SqliteConnectOptions::new()
        .filename(file)
        .journal_mode(SqliteJournalMode::Wal)
        .synchronous(SqliteSynchronous::Full)
        .foreign_keys(true)
        .pragma("secure_delete", "ON");
    let mut store = SqliteConnection::connect_with(&options).await.expect("the store is there");
    let chunk =
        "CREATE TEMP TABLE chunk (account_id INTEGER, contact_id INTEGER, enrollment_id INTEGER, at TEXT)";
    sqlx::query(chunk).execute(&mut store).await.expect(chunk);
    let ids: Vec<i64> = (1..=CONTACTS).collect();
    let started = Instant::now();
    for ids in ids.chunks(batch) {
        let mut tx = store.begin_with("BEGIN IMMEDIATE").await.expect("a transaction");
        let insert = "INSERT INTO chunk SELECT 1, value, value, strftime('%Y-%m-%dT%H:%M:%fZ', 'now') FROM json_each(?)";
        sqlx::query("DELETE FROM chunk").execute(&mut *tx).await.expect("an empty chunk");
        sqlx::query(insert).bind(json!(ids).to_string()).execute(&mut *tx).await.expect(insert);
        for statement in include_str!("effects.sqlite.sql").split(";\n") {
            sqlx::query(statement).execute(&mut *tx).await.expect(statement);
        }
        tx.commit().await.expect("a commit");
    }
    let seconds = started.elapsed().as_secs_f64();
    let gone = sqlx::query("SELECT 1 FROM contacts WHERE deleted_at IS NULL").fetch_all(&mut store).await;
    assert!(gone.expect("a count").is_empty(), "the floor left some");
    seconds
}
