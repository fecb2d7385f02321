//! The store under everything at once: dropped futures, the same work twice, work in each other's way.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use contact_reaper::domain::decision::Decision;
use contact_reaper::domain::enrollment::{NewEnrollment, parse_event};
use contact_reaper::store::lease::LeaseName;
use contact_reaper::store::retention::{LeaseGuard, Sweep};
use contact_reaper::store::{Store, StoreError};
use serde_json::json;
use sqlx::{Connection as _, Executor as _, PgConnection};

use crate::model::Dice;
use crate::support::{self, DEADLINE, Database, Reaper, on_both, records, wait_until};

on_both!(a_dropped_future_loses_nothing_and_leaves_nothing_half_done, async |database: Database| {
    const DROPS: usize = 300;
    const BATCH: i64 = 3;
    const CONTACTS: i64 = 4000;
    prepare(&database, CONTACTS).await;
    // Whoever is dropped keeps its locks until its connection is lent out again: on SQLite the one write lock, on
    // PostgreSQL the account's guard. Only with no more connections than borrowers is it lent out while the others wait.
    let store = database.open_with(if database.is_sqlite() { 1 } else { 3 });
    let next = Arc::new(AtomicI64::new(1));
    let take = |next: &AtomicI64| {
        let first = next.fetch_add(BATCH, Ordering::Relaxed);
        (first..first + BATCH).map(|id| enrollment(id, id)).collect::<Vec<_>>()
    };
    // The contacts are used up before that only where something is wrong.
    let go_on = |next: &AtomicI64, dropped: &AtomicUsize| {
        dropped.load(Ordering::Relaxed) < DROPS && next.load(Ordering::Relaxed) < CONTACTS - 4 * BATCH
    };
    let dropped = Arc::new(AtomicUsize::new(0));
    let mut droppers = Vec::new();
    for seed in [11, 12] {
        let (store, next, dropped) = (store.clone(), Arc::clone(&next), Arc::clone(&dropped));
        droppers.push(tokio::spawn(async move {
            let mut dice = Dice::new(seed);
            while go_on(&next, &dropped) {
                let polls = 1 + dice.roll(70);
                let gone = match dice.roll(4) {
                    0 => Polls::of(
                        polls / 8 + 1,
                        store.acquire_or_renew_lease(LeaseName::Schedule, "dropper", DEADLINE),
                    )
                    .await
                    .is_none(),
                    1 => Polls::of(polls / 8 + 1, store.answers()).await.is_none(),
                    _ => {
                        let batch = take(&next);
                        Polls::of(polls, support::decide(&store, &batch)).await.is_none()
                    }
                };
                dropped.fetch_add(usize::from(gone), Ordering::Relaxed);
            }
        }));
    }
    let mut kept = Vec::new();
    let mut failed = Vec::new();
    while go_on(&next, &dropped) {
        let batch = take(&next);
        // As the pipeline does: what is in the way for once is tried again.
        let decided = loop {
            match support::decide(&store, &batch).await {
                Err(error) if error.is_transient() => {}
                decided => break decided,
            }
        };
        match decided {
            Ok(_) => kept.extend(batch.iter().map(|enrollment| enrollment.key.enrollment_id.to_string())),
            Err(error) => failed.push(error.to_string()),
        }
    }
    for dropper in droppers {
        dropper.await.expect("the dropper does not panic");
    }
    store.close().await;
    let enough = dropped.load(Ordering::Relaxed) >= DROPS;
    assert!(!kept.is_empty(), "nothing was decided beside the dropped futures");

    let rows = database.rows("SELECT CAST(enrollment_id AS text) FROM ledger").await.concat();
    let ledger: std::collections::HashSet<String> = rows.into_iter().collect();
    let lost = kept.iter().filter(|id| !ledger.contains(*id)).count();
    // One contact an enrollment, of the same number: all of its traces are there, or none.
    let half_done = database
        .rows(
            "SELECT CAST(c.contact_id AS text) FROM contacts c \
             LEFT JOIN ledger l ON l.account_id = c.account_id AND l.object_id = c.contact_id \
             LEFT JOIN trash_entries t ON t.account_id = c.account_id AND t.contact_id = c.contact_id \
             WHERE NOT ((c.deleted_at IS NULL AND l.enrollment_id IS NULL AND t.entry_id IS NULL) \
               OR coalesce(c.trash_entry_id = t.entry_id AND l.trash_entry_id = t.entry_id, FALSE))",
        )
        .await
        .len();
    let announced = "SELECT CAST((SELECT count(*) FROM outbox) - (SELECT count(*) FROM ledger) AS text)";
    let unannounced = database.rows(announced).await[0][0].clone();
    assert_eq!(
        (lost, half_done, unannounced.as_str(), failed.len()),
        (0, 0, "0", 0),
        "lost, half done, announced too often, failed; of {} kept: {:?}",
        kept.len(),
        failed.first()
    );
    assert!(enough, "too few contacts for so many dropped futures");
});

/// A future that is dropped when it was polled so often; then `None`.
struct Polls<F> {
    left: usize,
    inner: Pin<Box<F>>,
}

impl<F: Future> Polls<F> {
    fn of(left: usize, inner: F) -> Self {
        Self { left, inner: Box::pin(inner) }
    }
}

impl<F: Future> Future for Polls<F> {
    type Output = Option<F::Output>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        self.left -= 1;
        match self.inner.as_mut().poll(context) {
            Poll::Ready(output) => Poll::Ready(Some(output)),
            Poll::Pending if self.left == 0 => Poll::Ready(None),
            Poll::Pending => Poll::Pending,
        }
    }
}

on_both!(the_same_enrollments_decided_by_four_at_once_are_decided_once, async |database: Database| {
    const ENROLLMENTS: i64 = 300;
    // The last hundred contacts do not exist: no row is there to wait at.
    prepare(&database, ENROLLMENTS - 100).await;
    let batches: Vec<NewEnrollment> = (1..=ENROLLMENTS).map(|id| enrollment(id, id)).collect();
    let stores = [database.open(), database.open()];
    let tasks = (0..4).map(|task| {
        let (store, mut mine) = (stores[task % 2].clone(), batches.clone());
        Dice::new(task as u64 + 1).shuffle(&mut mine);
        tokio::spawn(async move {
            let mut first = 0;
            for batch in mine.chunks(20) {
                let decided = decide(&store, batch).await;
                first += decided.iter().filter(|decision| **decision != Decision::Duplicate).count();
            }
            first
        })
    });
    let mut first = 0;
    for task in tasks.collect::<Vec<_>>() {
        first += task.await.expect("every batch is decided");
    }
    assert_eq!(first, 300, "each enrollment is decided once, and a duplicate for the others");
    let counts = "SELECT CAST((SELECT count(*) FROM ledger) AS text), \
                  CAST((SELECT count(*) FROM trash_entries) AS text), \
                  CAST((SELECT count(DISTINCT contact_id) FROM trash_entries) AS text), \
                  CAST((SELECT count(*) FROM outbox) AS text)";
    assert_eq!(database.rows(counts).await, [["300", "200", "200", "200"]]);
});

on_both!(of_two_enrollments_under_one_key_only_one_is_carried_out, async |database: Database| {
    prepare(&database, 200).await;
    let stores = [database.open(), database.open()];
    for id in 1..=100 {
        // One key, and two contacts who do not know of each other.
        let (one, other) = ([enrollment(id, id)], [enrollment(id + 100, id)]);
        let (one, other) = tokio::join!(decide(&stores[0], &one), decide(&stores[1], &other));
        let deletes = |decisions: &[Decision]| decisions[0] == Decision::Delete;
        assert!(deletes(&one) != deletes(&other), "{one:?} {other:?}");
    }
    let deleted = "SELECT CAST(count(*) AS text) FROM contacts WHERE deleted_at IS NOT NULL";
    assert_eq!(database.rows(deleted).await, [["100"]]);
});

on_both!(batches_in_opposite_order_are_not_in_each_others_way_for_long, async |database: Database| {
    prepare(&database, 400).await;
    let stores = [database.open(), database.open()];
    for round in 0..10 {
        let contacts: Vec<i64> = (round * 40 + 1..=round * 40 + 40).collect();
        let one: Vec<_> = contacts.iter().map(|id| enrollment(*id, *id)).collect();
        let other: Vec<_> = contacts.iter().rev().map(|id| enrollment(*id, id + 1000)).collect();
        let (one, mut other) = tokio::join!(decide(&stores[0], &one), decide(&stores[1], &other));
        other.reverse();
        for (one, other) in one.iter().zip(&other) {
            assert!((*one == Decision::Delete) != (*other == Decision::Delete), "{one:?} {other:?}");
        }
    }
});

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_victim_of_a_deadlock_tries_again_and_its_caller_never_hears_of_it() {
    let database = Database::postgres().await;
    prepare(&database, 2).await;
    let store = database.open();
    let mut rival = PgConnection::connect(database.url()).await.expect("a connection");
    // Whoever waits for a second looks for a deadlock and gives up: not this one.
    rival.execute("BEGIN; SET LOCAL deadlock_timeout = '60s'").await.expect("begun");
    rival.execute("SELECT 1 FROM contacts WHERE contact_id = 2 FOR UPDATE").await.expect("locked");
    let batch = [enrollment(1, 1), enrollment(2, 2)];
    let decided = tokio::spawn(async move { decide(&store, &batch).await });
    let waiting = "SELECT CAST(count(*) AS text) FROM pg_stat_activity \
                   WHERE datname = current_database() AND wait_event_type = 'Lock'";
    wait_until("the store waits", DEADLINE, async || database.rows(waiting).await == [["1"]]).await;
    rival
        .execute("SELECT 1 FROM contacts WHERE contact_id = 1 FOR UPDATE")
        .await
        .expect("the store gave way");
    assert!(!decided.is_finished());
    rival.execute("COMMIT").await.expect("committed");
    let decided = decided.await.expect("decided in the end");
    assert_eq!(decided, [Decision::Delete, Decision::Delete]);
}

on_both!(an_enrollment_made_before_a_restore_never_undoes_it, async |database: Database| {
    prepare(&database, 60).await;
    let stores = [database.open(), database.open()];
    for id in 1..=60 {
        stores[0].delete_contact(1, "1", id).await.expect("deleted");
        let batch = [enrollment(id, id)];
        let (restored, decided) =
            tokio::join!(stores[0].restore_contact(1, "1", id), decide(&stores[1], &batch));
        restored.expect("restored");
        let reason = decided[0].reason();
        assert!(matches!(reason, Some("already_in_trash" | "restored_since_enrollment")), "{decided:?}");
        let again = decide(&stores[1], &[enrollment(id, id + 1000)]).await;
        assert_eq!(again[0].reason(), Some("restored_since_enrollment"));
    }
    let live = "SELECT CAST(count(*) AS text) FROM contacts WHERE deleted_at IS NULL";
    assert_eq!(database.rows(live).await, [["60"]]);
});

on_both!(a_leader_that_slept_through_its_lease_purges_nothing, async |database: Database| {
    let mut world = records::entitled_account(1);
    let mut contact = records::contact(1, 1, json!({}));
    contact["archived"] = json!(true);
    contact["archivedAt"] = json!(records::days_ago(91));
    world.push(contact);
    Reaper::new(&database).import(&world).await;
    let store = database.open();
    let old = store
        .acquire_or_renew_lease(LeaseName::Schedule, "old", Duration::from_millis(100))
        .await
        .expect("an answer")
        .expect("free");
    let mut new = None;
    wait_until("the lease changes hands", DEADLINE, async || {
        new = store
            .acquire_or_renew_lease(LeaseName::Schedule, "new", Duration::from_mins(1))
            .await
            .expect("an answer");
        new.is_some()
    })
    .await;
    assert!(
        store
            .acquire_or_renew_lease(LeaseName::Schedule, "old", DEADLINE)
            .await
            .expect("an answer")
            .is_none(),
        "held by the new one"
    );
    let held = |lease| LeaseGuard { lease, idle_timeout: DEADLINE };
    let (old, new) = (held(old), held(new.expect("taken")));
    let sweep = |lease| Sweep { lease: Some(lease), ..crate::support::sweep() };
    let refused = store.sweep(&sweep(&old)).await;
    assert!(matches!(refused, Err(StoreError::Refused(_))), "{refused:?}");
    let purged = "SELECT CAST(count(*) AS text) FROM gone_contacts";
    assert_eq!(database.rows(purged).await, [["0"]]);
    assert_eq!(store.sweep(&sweep(&new)).await.expect("swept").deleted, 1);
    assert_eq!(database.rows(purged).await, [["1"]]);
});

/// Account 1, a workflow (7) that deletes whoever has an address, contacts from 1 on.
async fn prepare(database: &Database, contacts: i64) {
    let mut world = records::entitled_account(1);
    let everybody = records::all_of(&[records::property("email", "ALL_PROPERTY", "IS_KNOWN", json!(null))]);
    let mut workflow = records::workflow(1, 7, &everybody);
    workflow["flow"]["enrollmentCriteria"]["shouldReEnroll"] = json!(true);
    workflow["flow"]["enrollmentCriteria"]["reEnrollmentTriggersFilterBranches"] = json!([everybody]);
    world.push(workflow);
    world.extend((1..=contacts).map(|id| records::contact(1, id, json!({}))));
    Reaper::new(database).import(&world).await;
}

fn enrollment(contact: i64, id: i64) -> NewEnrollment {
    parse_event(records::event(1, 7, contact, id).to_string().as_bytes()).expect("well-formed")
}

/// Decides until the store has an answer, as the pipeline does.
async fn decide(store: &Store, batch: &[NewEnrollment]) -> Vec<Decision> {
    loop {
        match support::decide(store, batch).await {
            Ok(decided) => return decided.into_iter().map(|decided| decided.decision).collect(),
            Err(error) if error.is_transient() => {}
            Err(error) => panic!("{error}"),
        }
    }
}
