//! Between the event and its processing a contact goes on living: it is judged by what it is when it is decided.

use std::collections::BTreeMap;
use std::time::Instant;

use contact_reaper::domain::decision::Decision;
use contact_reaper::domain::enrollment::{NewEnrollment, parse_event};
use contact_reaper::store::Store;
use serde_json::{Value, json};
use sqlx::{Connection as _, Executor as _, PgConnection};

use crate::model::Dice;
use crate::support::records::{all_of, contact, entitled_account, event, property, workflow};
use crate::support::{DEADLINE, Database, Reaper, import, on_both, wait_until};

const CONTACTS: i64 = 400;

fn called(id: i64, name: &str) -> Value {
    contact(1, id, json!({ "firstname": name }))
}

/// Workflow 6 deletes Adas. The even contacts are called Ada, the odd ones Grace.
async fn prepare(database: &Database) {
    let mut world = entitled_account(1);
    world.push(workflow(1, 6, &all_of(&[property("firstname", "STRING", "IS_EQUAL_TO", json!("Ada"))])));
    world.extend((1..=CONTACTS).map(|id| called(id, name_before(id))));
    Reaper::new(database).import(&world).await;
}

fn name_before(id: i64) -> &'static str {
    if id % 2 == 0 { "Ada" } else { "Grace" }
}

fn name_after(id: i64) -> &'static str {
    if id % 2 == 0 { "Grace" } else { "Ada" }
}

fn enrollment(id: i64) -> NewEnrollment {
    parse_event(event(1, 6, id, id).to_string().as_bytes()).expect("well-formed")
}

/// From when until when something was done.
type Span = (Instant, Instant);

async fn decide(store: Store, ids: Vec<i64>) -> Vec<(i64, Span, Decision)> {
    let mut decided = Vec::new();
    for ids in ids.chunks(7) {
        let batch: Vec<NewEnrollment> = ids.iter().map(|id| enrollment(*id)).collect();
        let (decisions, span) = loop {
            let start = Instant::now();
            match crate::support::decide(&store, &batch).await {
                Ok(decisions) => break (decisions, (start, Instant::now())),
                Err(error) if error.is_transient() => {}
                Err(error) => panic!("{error}"),
            }
        };
        decided.extend(ids.iter().zip(decisions).map(|(id, it)| (*id, span, it.decision)));
    }
    decided
}

/// Swaps the names of contacts, a few in each import.
async fn edit(store: Store, ids: Vec<i64>) -> BTreeMap<i64, Span> {
    let mut edited = BTreeMap::new();
    for ids in ids.chunks(5) {
        let records: Vec<Value> = ids.iter().map(|id| called(*id, name_after(*id))).collect();
        let span = loop {
            let start = Instant::now();
            match import(&store, &records).await {
                Ok(()) => break (start, Instant::now()),
                Err(error) if error.is_transient() => {}
                Err(error) => panic!("{error}"),
            }
        };
        edited.extend(ids.iter().map(|id| (*id, span)));
    }
    edited
}

on_both!(decision_uses_the_contact_as_of_decision_time, async |database: Database| {
    prepare(&database).await;
    let shuffled = |seed| {
        let mut ids: Vec<i64> = (1..=CONTACTS).collect();
        Dice::new(seed).shuffle(&mut ids);
        ids
    };
    // Some are decided before the first edit and some after the last; between them two decide while one edits.
    let ids = shuffled(2);
    let mut quarters = ids.chunks(ids.len() / 4).map(<[i64]>::to_vec);
    let [early, one, other, late] = std::array::from_fn(|_| quarters.next().expect("four quarters"));
    let [store, other_store] = [database.open(), database.open()];
    let mut decided = decide(store.clone(), early).await;
    let (edited, by_one, by_other) = tokio::join!(
        tokio::spawn(edit(store.clone(), shuffled(1))),
        tokio::spawn(decide(store.clone(), one)),
        tokio::spawn(decide(other_store, other)),
    );
    let edited = edited.expect("all are edited");
    decided.extend(by_one.expect("all are decided"));
    decided.extend(by_other.expect("all are decided"));
    decided.extend(decide(store, late).await);
    let (mut before, mut after) = (0, 0);
    for (id, (start, end), decision) in decided {
        let deleted = decision == Decision::Delete;
        let (edit_start, edit_end) = edited[&id];
        if end < edit_start {
            before += 1;
            assert_eq!(
                deleted,
                name_before(id) == "Ada",
                "contact {id}, decided before its edit: {decision:?}"
            );
        } else if edit_end < start {
            after += 1;
            assert_eq!(
                deleted,
                name_after(id) == "Ada",
                "contact {id}, decided after its edit: {decision:?}"
            );
        }
    }
    let quarter = ids.len() / 4;
    assert!(before >= quarter && after >= quarter, "{before} before their edit, {after} after");
});

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_edit_that_commits_while_the_decision_waits_for_it_counts() {
    let database = Database::postgres().await;
    prepare(&database).await;
    let store = database.open();
    let mut editor = PgConnection::connect(database.url()).await.expect("a connection");
    editor.execute("BEGIN").await.expect("begun");
    for id in 1..=2 {
        let edit = format!(
            "UPDATE contacts SET properties = jsonb_set(properties, '{{firstname}}', '\"{}\"') WHERE contact_id = {id}",
            name_after(id)
        );
        editor.execute(sqlx::AssertSqlSafe(edit)).await.expect("edited");
    }
    let decided = tokio::spawn(decide(store, vec![1, 2]));
    let waiting = "SELECT CAST(count(*) AS text) FROM pg_stat_activity \
                   WHERE datname = current_database() AND wait_event_type = 'Lock'";
    wait_until("the decision waits", DEADLINE, async || database.rows(waiting).await == [["1"]]).await;
    editor.execute("COMMIT").await.expect("committed");
    let decided: Vec<_> =
        decided.await.expect("decided").into_iter().map(|(.., decision)| decision).collect();
    assert_eq!(decided[0], Decision::Delete, "she is called Ada now");
    assert_eq!(decided[1].reason(), Some("criteria_not_met"), "she was called Ada");
}
