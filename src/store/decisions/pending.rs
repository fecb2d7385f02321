//! Enrollments that wait: held until a person says more, deferred until a time. Each has its row of the ledger; what it
//! takes to decide it again is kept beside it, the event that enrolled the contact in a table of its own.
//!
//! Whoever takes some up passes over those that another worker has in hand. An event is read and written only under the
//! lock of its contact, so that none outlives its person.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use chrono::TimeDelta;
use serde_json::json;
use tracing::warn;

use super::facts::DecisionContext;
use super::{Rules, apply, ledger, pauses};
use crate::domain::decision::{Decision, DeferReason, HoldReason};
use crate::domain::enrollment::{Cause, EnrollmentKey, NewEnrollment, read_event, write_event};
use crate::domain::guard::Limit;
use crate::domain::record::{Column, ColumnType};
use crate::domain::time::{Time, format_time};
use crate::ports::Decided;
use crate::store::access::audit::{self, Actor};
use crate::store::criteria::cache::WorkflowCache;
use crate::store::criteria::kept::COUNTS_AS_ENROLLED;
use crate::store::db::Tx;
use crate::store::db::batch::{ENROLLED, ENROLLMENT, Lists, WORKFLOW, batch_row, batch_text};
use crate::store::db::values::{Row, args};
use crate::store::feed::dead_letters;
use crate::store::identity::suppressions;
use crate::store::outbox::write_outbox;
use crate::store::{HashKeySource, Store, StoreError, read_transaction, transaction};

const PENDING: [Column; 7] = [
    ("account_id", ColumnType::Int),
    ("enrollment_id", ColumnType::Int),
    ("action_id", ColumnType::Int),
    ("workflow_id", ColumnType::Int),
    ("reason", ColumnType::Text),
    ("since", ColumnType::Time),
    ("ready_at", ColumnType::Time),
];
const EVENT: [Column; 5] = [
    ("account_id", ColumnType::Int),
    ("enrollment_id", ColumnType::Int),
    ("action_id", ColumnType::Int),
    ("contact_id", ColumnType::Int),
    ("event", ColumnType::Text),
];
/// Rows that the volume guard holds and nobody has approved.
pub(super) const HELD_BY_THE_GUARD: &str = "reason = 'volume_guard' AND ready_at IS NULL";

/// How long one that the store does not take is left alone.
const RETRY_AFTER: TimeDelta = TimeDelta::hours(1);

/// What was taken up, and what became of it where it is no longer what it was.
#[derive(Debug, Default)]
pub struct Redecided {
    pub keys: Vec<EnrollmentKey>,
    pub changed: Vec<(NewEnrollment, Decided)>,
    pub(in crate::store) trips: Vec<Trip>,
}

/// The volume guard has stopped a workflow of which it held nothing so far.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::store) struct Trip {
    account_id: i64,
    workflow_id: i64,
    limit: Option<&'static str>,
    held: u64,
}

/// Logs trips, once what they stopped is committed: once for each, however many batches it holds up.
pub(in crate::store) fn log(trips: &[Trip]) {
    for Trip { account_id, workflow_id, limit, held } in trips {
        warn!(
            account.id = account_id,
            workflow.id = workflow_id,
            guard.limit = limit,
            guard.held = held,
            "the volume guard has stopped a workflow: `holds list` shows what waits"
        );
    }
}

impl Store {
    /// Decides those anew whose time has come: approved, resumed or due ones, so many at most.
    ///
    /// # Errors
    ///
    /// Nothing was done, and all of them still wait.
    pub async fn redecide_ready(&self, limit: usize, rules: &Rules) -> Result<Redecided, StoreError> {
        let taken_up = transaction!(self, tx => redecide_ready(tx, self, limit, rules))?;
        log(&taken_up.trips);
        Ok(taken_up)
    }

    /// Lets the first that would be taken up wait for another hour.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn postpone_first_ready(&self) -> Result<(), StoreError> {
        transaction!(self, tx => put_off_first(tx)).map(drop)
    }

    /// How many enrollments the volume guard holds.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn held_by_the_guard(&self) -> Result<u64, StoreError> {
        read_transaction!(self, tx => held_by_the_guard(tx))
    }
}

/// An enrollment that waits, and what the ledger says of it so far.
pub(super) struct WaitingEnrollment {
    enrollment: NewEnrollment,
    approved: bool,
    outcome: String,
    reason: Option<String>,
    /// Since when it waits for what it waits for.
    since: Time,
}

/// Keeps what is held or deferred for later; announces workflows of which the guard has held nothing so far.
pub(super) async fn insert_pending<'a>(
    tx: &mut Tx,
    known: &DecisionContext,
    decisions: impl Iterator<Item = (&'a NewEnrollment, &'a Decided)>,
) -> Result<Vec<Trip>, StoreError> {
    let mut rows = Vec::new();
    let mut stopped: BTreeMap<(i64, i64), u64> = BTreeMap::new();
    let mut now = None;
    for (enrollment, Decided { decision, at }) in decisions {
        let (reason, ready_at) = match decision {
            Decision::Hold(reason) => (reason.as_str(), None),
            Decision::Defer(reason, until) => (reason.as_str(), Some(format_time(*until))),
            _ => continue,
        };
        let EnrollmentKey { account_id, enrollment_id, action_id } = enrollment.key;
        now = Some(*at);
        rows.push(batch_row(json!({"account_id": account_id, "enrollment_id": enrollment_id,
            "action_id": action_id, "workflow_id": enrollment.workflow_id, "reason": reason,
            "since": format_time(*at), "ready_at": ready_at})));
        if *decision == Decision::Hold(HoldReason::VolumeGuard) {
            *stopped.entry((account_id, enrollment.workflow_id)).or_default() += 1;
        }
    }
    let Some(now) = now else { return Ok(Vec::new()) };
    let trips = announce(tx, known, &stopped, now).await?;
    let sql = format!(
        "INSERT INTO pending_enrollments \
         (account_id, enrollment_id, action_id, workflow_id, reason, since, ready_at, approved) \
         SELECT b.account_id, b.enrollment_id, b.action_id, b.workflow_id, b.reason, b.since, b.ready_at, FALSE \
         FROM {} WHERE TRUE ORDER BY b.account_id, b.enrollment_id, b.action_id \
         ON CONFLICT (account_id, enrollment_id, action_id) DO UPDATE SET ready_at = excluded.ready_at, \
           since = CASE WHEN pending_enrollments.reason = excluded.reason \
                        THEN pending_enrollments.since ELSE excluded.since END, \
           reason = excluded.reason",
        tx.dialect().batch(1, &PENDING)
    );
    tx.execute(&sql, args![batch_text(rows)]).await?;
    Ok(trips)
}

/// Keeps the events of what is held or deferred, without addresses of erased people. Like dead letters they take turns with
/// erasures: one that is under way would not see an event that is being written.
pub(super) async fn insert_events<'a>(
    tx: &mut Tx,
    home: &HashKeySource,
    known: &DecisionContext,
    decisions: impl Iterator<Item = (&'a NewEnrollment, &'a Decided)>,
) -> Result<(), StoreError> {
    let mut kept = Vec::new();
    for (enrollment, Decided { decision, .. }) in decisions {
        // Of an erased or purged person nothing is kept. A contact who is not there yet may come before the enrollment is decided.
        if let (Decision::Hold(_) | Decision::Defer(..), Some(event)) = (decision, &enrollment.event)
            && !known.is_gone(enrollment.key.account_id, enrollment.object_id)
        {
            kept.push((enrollment, event));
        }
    }
    if kept.is_empty() {
        return Ok(());
    }
    dead_letters::lock(tx).await?;
    let mut rows = Vec::new();
    for (NewEnrollment { key, object_id, .. }, event) in kept {
        let event = suppressions::without_erased(tx, home, key.account_id, write_event(event)).await?;
        rows.push(batch_row(json!({"account_id": key.account_id, "enrollment_id": key.enrollment_id,
            "action_id": key.action_id, "contact_id": object_id, "event": event})));
    }
    let sql = format!(
        "INSERT INTO pending_events (account_id, enrollment_id, action_id, contact_id, event) \
         SELECT b.account_id, b.enrollment_id, b.action_id, b.contact_id, b.event FROM {} WHERE TRUE \
         ORDER BY b.account_id, b.enrollment_id, b.action_id ON CONFLICT DO NOTHING",
        tx.dialect().batch(1, &EVENT)
    );
    tx.execute(&sql, args![batch_text(rows)]).await.map(drop)
}

/// Says once, and not for every batch, that the guard has stopped a workflow. The account's guard is locked: two
/// workers do not both take themselves for the first.
async fn announce(
    tx: &mut Tx,
    known: &DecisionContext,
    stopped: &BTreeMap<(i64, i64), u64>,
    now: Time,
) -> Result<Vec<Trip>, StoreError> {
    if stopped.is_empty() {
        return Ok(Vec::new());
    }
    let sql = format!(
        "SELECT b.account_id, b.workflow_id FROM {} WHERE NOT EXISTS \
         (SELECT 1 FROM pending_enrollments w WHERE w.account_id = b.account_id \
          AND w.workflow_id = b.workflow_id AND {HELD_BY_THE_GUARD}) ORDER BY b.account_id, b.workflow_id",
        tx.dialect().ids(1, &WORKFLOW)
    );
    let batch = Lists::ids(stopped.keys().map(|(account_id, workflow_id)| [*account_id, *workflow_id]));
    let mut trips = Vec::new();
    for row in tx.rows(&sql, args![batch]).await? {
        let workflow = (row.int("account_id")?, row.int("workflow_id")?);
        trips.push(Trip {
            account_id: workflow.0,
            workflow_id: workflow.1,
            limit: known.limit(workflow).map(Limit::as_str),
            held: stopped.get(&workflow).copied().unwrap_or_default(),
        });
    }
    let message = |trip: &Trip| {
        let data = json!({"accountId": trip.account_id.to_string(), "workflowId": trip.workflow_id.to_string(),
            "limit": trip.limit, "held": trip.held, "trippedAt": format_time(now)});
        (trip.account_id, "guard.tripped", data)
    };
    if !trips.is_empty() {
        write_outbox(tx, now, trips.iter().map(message).collect()).await?;
    }
    Ok(trips)
}

pub(in crate::store) async fn redecide_ready(
    tx: &mut Tx,
    store: &Store,
    limit: usize,
    rules: &Rules,
) -> Result<Redecided, StoreError> {
    let now = pauses::lock_pauses_shared(tx).await?;
    let taken = take(tx, limit, now).await?;
    if taken.is_empty() {
        return Ok(Redecided::default());
    }
    let (mut known, batch) = load(tx, &store.compiled, &taken, rules, now).await?;
    let (decided, entries, last) = apply::decide_and_apply(tx, &mut known, &batch, rules, now).await?;
    let changed: Vec<usize> = (0..taken.len())
        .filter(|at| {
            let (taken, decision) = (&taken[*at], &decided[*at].decision);
            (taken.outcome.as_str(), taken.reason.as_deref()) != (decision.outcome(), decision.reason())
        })
        .collect();
    ledger::update_outcomes(tx, changed.iter().map(|at| (&batch[*at], &decided[*at])), &entries).await?;
    let refusals = changed.iter().map(|at| (&batch[*at], &decided[*at]));
    apply::announce_refusals(tx, rules, refusals).await?;
    let keys = batch.iter().map(|enrollment| enrollment.key).collect();
    let trips = settle(tx, &known, &batch, &decided).await?;
    audit_changes(tx, changed.iter().map(|at| (&batch[*at], &decided[*at])), now).await?;
    last.finish(tx, rules, now).await?;
    let mut all: Vec<Option<(NewEnrollment, Decided)>> = batch.into_iter().zip(decided).map(Some).collect();
    let changed = changed.into_iter().filter_map(|at| all[at].take()).collect();
    Ok(Redecided { keys, changed, trips })
}

/// Loads what enrollments that wait are decided by, and the events that they came with.
pub(super) async fn load(
    tx: &mut Tx,
    compiled: &WorkflowCache,
    taken: &[WaitingEnrollment],
    rules: &Rules,
    now: Time,
) -> Result<(DecisionContext, Vec<NewEnrollment>), StoreError> {
    let mut batch: Vec<NewEnrollment> = taken.iter().map(|taken| taken.enrollment.clone()).collect();
    let mut known = DecisionContext::load(tx, compiled, &batch, now).await?;
    let approved = taken.iter().filter(|taken| taken.approved).map(|taken| taken.enrollment.key);
    known.prepare_redecision(approved.collect());
    let awaits =
        |taken: &&WaitingEnrollment| taken.reason.as_deref() == Some(DeferReason::AwaitingContact.as_str());
    let since = taken.iter().filter(awaits).map(|taken| (taken.enrollment.key, taken.since)).collect();
    known.wait_for_contacts(rules.wait_for_contact, since);
    remember_events(tx, &mut batch).await?;
    Ok((known, batch))
}

/// What is known of enrollments that wait: their rows, and those of the ledger.
const SELECT_WAITING: &str = "SELECT w.account_id, w.enrollment_id, w.action_id, w.workflow_id, w.approved, w.since, l.object_type_id, \
     l.object_id, l.cause, l.enrolled_at, l.outcome, l.reason FROM pending_enrollments w JOIN ledger l \
     ON l.account_id = w.account_id AND l.enrollment_id = w.enrollment_id AND l.action_id = w.action_id";

/// Locks those whose time has come, and that nobody else has in hand.
async fn take(tx: &mut Tx, limit: usize, now: Time) -> Result<Vec<WaitingEnrollment>, StoreError> {
    let sql = format!(
        "{SELECT_WAITING} WHERE w.ready_at <= $1 \
         ORDER BY w.ready_at, w.account_id, w.enrollment_id, w.action_id LIMIT $2{}",
        tx.dialect().for_update_skip_locked("w")
    );
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    tx.rows(&sql, args![now, limit]).await?.iter().map(taken).collect()
}

/// The enrollment of a contact in a workflow that waits; of several the first.
pub(super) async fn first_waiting(
    tx: &mut Tx,
    (account_id, workflow_id, contact_id): (i64, i64, i64),
) -> Result<Option<WaitingEnrollment>, StoreError> {
    let sql = format!(
        "{SELECT_WAITING} WHERE l.account_id = $1 AND l.workflow_id = $2 AND l.object_id = $3 \
         ORDER BY l.enrolled_at, l.enrollment_id, l.action_id LIMIT 1"
    );
    tx.row(&sql, args![account_id, workflow_id, contact_id]).await?.as_ref().map(taken).transpose()
}

/// Enrollments that the guard holds of a workflow, in the order in which an approval takes them up, so many at most after
/// this one; and before them those that it holds of the same contacts, which come first. Each with whether it is one of
/// the first kind.
pub(super) async fn held_of(
    tx: &mut Tx,
    (account_id, workflow_id): (i64, i64),
    after: (i64, i64),
    limit: i64,
) -> Result<Vec<(NewEnrollment, bool)>, StoreError> {
    let held = format!("w.account_id = $1 AND w.workflow_id = $2 AND w.{HELD_BY_THE_GUARD}");
    let page = format!(
        "{SELECT_WAITING} WHERE {held} AND (w.enrollment_id, w.action_id) > ($3, $4) \
         ORDER BY w.enrollment_id, w.action_id LIMIT $5"
    );
    let args = args![account_id, workflow_id, after.0, after.1, limit];
    let page = tx.rows(&page, args).await?;
    let page = page.iter().map(|row| Ok(taken(row)?.enrollment)).collect::<Result<Vec<_>, StoreError>>()?;
    let earlier = format!(
        "{SELECT_WAITING} JOIN {} ON l.account_id = b.account_id AND l.workflow_id = b.workflow_id \
         AND l.object_id = b.contact_id AND {COUNTS_AS_ENROLLED} WHERE {held} AND (w.enrollment_id, w.action_id) <= ($3, $4) ORDER BY w.enrollment_id, w.action_id",
        tx.dialect().ids(5, &ENROLLED)
    );
    let contacts: BTreeSet<[i64; 3]> =
        page.iter().map(|it| [account_id, workflow_id, it.object_id]).collect();
    let args = args![account_id, workflow_id, after.0, after.1, Lists::ids(contacts)];
    let mut all = Vec::new();
    for row in tx.rows(&earlier, args).await? {
        all.push((taken(&row)?.enrollment, false));
    }
    all.extend(page.into_iter().map(|enrollment| (enrollment, true)));
    Ok(all)
}

fn key(row: &Row) -> Result<EnrollmentKey, StoreError> {
    Ok(EnrollmentKey {
        account_id: row.int("account_id")?,
        enrollment_id: row.int("enrollment_id")?,
        action_id: row.int("action_id")?,
    })
}

fn taken(row: &Row) -> Result<WaitingEnrollment, StoreError> {
    let cause = Cause::parse(&row.text("cause")?)
        .ok_or_else(|| StoreError::Failed("the ledger names a cause that nobody knows".to_owned()))?;
    Ok(WaitingEnrollment {
        enrollment: NewEnrollment {
            key: key(row)?,
            workflow_id: row.int("workflow_id")?,
            object_type_id: row.text("object_type_id")?,
            object_id: row.int("object_id")?,
            enrolled_at: row.time("enrolled_at")?,
            cause,
            event: None,
            trace: None,
        },
        approved: row.bool("approved")?,
        outcome: row.text("outcome")?,
        reason: row.optional_text("reason")?,
        since: row.time("since")?,
    })
}

fn keys<'a>(enrollments: impl Iterator<Item = &'a NewEnrollment>) -> Lists {
    Lists::ids(enrollments.map(|it| [it.key.account_id, it.key.enrollment_id, it.key.action_id]))
}

/// Gives the enrollments of locked contacts the events back that are still kept.
pub(super) async fn remember_events(tx: &mut Tx, batch: &mut [NewEnrollment]) -> Result<(), StoreError> {
    let by_event = batch.iter().filter(|enrollment| enrollment.cause == Cause::Event);
    if by_event.clone().next().is_none() {
        return Ok(());
    }
    let sql = format!(
        "SELECT e.account_id, e.enrollment_id, e.action_id, e.event FROM {} JOIN pending_events e \
         ON e.account_id = b.account_id AND e.enrollment_id = b.enrollment_id AND e.action_id = b.action_id",
        tx.dialect().ids(1, &ENROLLMENT)
    );
    let mut events = HashMap::new();
    for row in tx.rows(&sql, args![keys(by_event)]).await? {
        events.insert(key(&row)?, read_event(&row.text("event")?));
    }
    for enrollment in batch {
        enrollment.event = events.remove(&enrollment.key).flatten();
    }
    Ok(())
}

/// Those that are decided for good wait no more; the others wait on, with the events that they came with.
async fn settle(
    tx: &mut Tx,
    known: &DecisionContext,
    batch: &[NewEnrollment],
    decided: &[Decided],
) -> Result<Vec<Trip>, StoreError> {
    let waits = |decided: &Decided| matches!(decided.decision, Decision::Hold(_) | Decision::Defer(..));
    let done = keys(batch.iter().zip(decided).filter(|(_, decided)| !waits(decided)).map(|(done, _)| done));
    for table in ["pending_enrollments", "pending_events"] {
        let sql = format!(
            "DELETE FROM {table} WHERE (account_id, enrollment_id, action_id) IN \
             (SELECT b.account_id, b.enrollment_id, b.action_id FROM {})",
            tx.dialect().ids(1, &ENROLLMENT)
        );
        tx.execute(&sql, args![&done]).await?;
    }
    insert_pending(tx, known, batch.iter().zip(decided)).await
}

/// A row that changes is a deed; one that deletes is in the audit already.
async fn audit_changes<'a>(
    tx: &mut Tx,
    changed: impl Iterator<Item = (&'a NewEnrollment, &'a Decided)>,
    now: Time,
) -> Result<(), StoreError> {
    let mut deeds: BTreeMap<(i64, i64, &'static str), Vec<i64>> = BTreeMap::new();
    for (enrollment, Decided { decision, .. }) in changed {
        if *decision != Decision::Delete {
            let deed = (enrollment.key.account_id, enrollment.workflow_id, decision.verdict());
            deeds.entry(deed).or_default().push(enrollment.object_id);
        }
    }
    for ((account_id, workflow_id, action), ids) in deeds {
        let count = i64::try_from(ids.len()).unwrap_or(i64::MAX);
        audit::write(tx, now, account_id, &Actor::Workflow(workflow_id), action, &ids, count).await?;
    }
    Ok(())
}

/// Which one that was, by account and enrollment.
pub(in crate::store) async fn put_off_first(tx: &mut Tx) -> Result<Option<(i64, i64)>, StoreError> {
    let now = tx.now().await?;
    let Some(first) = take(tx, 1, now).await?.pop() else { return Ok(None) };
    let EnrollmentKey { account_id, enrollment_id, action_id } = first.enrollment.key;
    tx.execute(
        "UPDATE pending_enrollments SET ready_at = $4 \
         WHERE account_id = $1 AND enrollment_id = $2 AND action_id = $3",
        args![account_id, enrollment_id, action_id, now + RETRY_AFTER],
    )
    .await?;
    Ok(Some((account_id, enrollment_id)))
}

/// Takes up what these workflows deferred: they may be open at other times by now.
pub(in crate::store) async fn mark_ready(
    tx: &mut Tx,
    workflows: impl Iterator<Item = (i64, i64)>,
    now: Time,
) -> Result<(), StoreError> {
    // One that a worker has in hand is looked at right now; to wait for it would be to stand in its way.
    let sql = format!(
        "UPDATE pending_enrollments SET ready_at = $1 WHERE (account_id, enrollment_id, action_id) IN \
         (SELECT w.account_id, w.enrollment_id, w.action_id FROM {} JOIN pending_enrollments w \
          ON w.account_id = b.account_id AND w.workflow_id = b.workflow_id WHERE w.ready_at > $1{})",
        tx.dialect().ids(2, &WORKFLOW),
        tx.dialect().for_update_skip_locked("w")
    );
    let batch = Lists::ids(workflows.map(|(account_id, workflow_id)| [account_id, workflow_id]));
    tx.execute(&sql, args![now, batch]).await?;
    Ok(())
}

/// Takes up all that waits for a workflow, whatever it waits for: the workflow is gone.
pub(in crate::store) async fn mark_all_ready(
    tx: &mut Tx,
    (account_id, workflow_id): (i64, i64),
    now: Time,
) -> Result<(), StoreError> {
    let sql = format!(
        "UPDATE pending_enrollments SET ready_at = $3 WHERE account_id = $1 AND (enrollment_id, action_id) IN \
         (SELECT w.enrollment_id, w.action_id FROM pending_enrollments w WHERE w.account_id = $1 AND w.workflow_id = $2 \
          AND coalesce(w.ready_at > $3, TRUE){})",
        tx.dialect().for_update_skip_locked("w")
    );
    tx.execute(&sql, args![account_id, workflow_id, now]).await.map(drop)
}

async fn held_by_the_guard(tx: &mut Tx) -> Result<u64, StoreError> {
    let sql = format!("SELECT count(*) AS held FROM pending_enrollments WHERE {HELD_BY_THE_GUARD}");
    let row = tx.row(&sql, &[]).await?;
    Ok(row.map_or(Ok(0), |row| row.int("held"))?.unsigned_abs())
}
