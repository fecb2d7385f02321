//! A batch of enrollments, decided and carried out in one transaction.
//!
//! Lock the contacts, load what the checks ask about, decide each enrollment in the order of arrival, apply
//! the trash column of the matrix to those that are to go, write ledger, outbox and audit. The rows of a
//! contact, workflow and subscription stay locked until the commit, so that nothing decides on what is no
//! longer true. Locks are taken in one order everywhere: contacts by key, then workflows, subscriptions, ledger.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use serde_json::json;

use super::audit::{self, Actor};
use super::db::{Tx, args};
use super::facts::Known;
use super::trash::{self, DeletedBy, Deletion, Trashed};
use super::{Store, StoreError, batch_row, batch_text, transaction};
use crate::domain::decision::Decision;
use crate::domain::enrollment::{EnrollmentKey, NewEnrollment};
use crate::domain::record::{Column, ColumnType};
use crate::domain::time::{Time, format_time};

const LEDGER: [Column; 12] = [
    ("account_id", ColumnType::Int),
    ("enrollment_id", ColumnType::Int),
    ("action_id", ColumnType::Int),
    ("workflow_id", ColumnType::Int),
    ("object_type_id", ColumnType::Text),
    ("object_id", ColumnType::Int),
    ("cause", ColumnType::Text),
    ("enrolled_at", ColumnType::Time),
    ("outcome", ColumnType::Text),
    ("reason", ColumnType::Text),
    ("decided_at", ColumnType::Time),
    ("trash_entry_id", ColumnType::Int),
];

/// A decision that was committed.
#[derive(Clone, Debug)]
pub struct Decided {
    pub decision: Decision,
    /// The database's clock.
    pub at: Time,
}

impl Store {
    /// Decides a batch and does what was decided; the answers are in the order of the batch. All of it is
    /// committed, or none.
    ///
    /// # Errors
    ///
    /// Transient ones leave nothing done that a repetition would not find in the ledger.
    pub async fn decide(
        &self,
        batch: &[NewEnrollment],
        ledger_retention: Duration,
    ) -> Result<Vec<Decided>, StoreError> {
        transaction!(self, tx => decide_batch(tx, batch, ledger_retention))
    }
}

async fn decide_batch(
    tx: &mut Tx,
    batch: &[NewEnrollment],
    ledger_retention: Duration,
) -> Result<Vec<Decided>, StoreError> {
    let now = tx.now().await?;
    let mut known = Known::load(tx, batch, now).await?;
    let mut decided = Vec::with_capacity(batch.len());
    for enrollment in batch {
        let decision = known.decide(enrollment, ledger_retention);
        known.note(enrollment, &decision);
        decided.push(Decided { decision, at: now });
    }
    let trashed = apply(tx, batch, &decided, now).await?;
    write_ledger(tx, batch, &decided, &trashed).await?;
    Ok(decided)
}

/// Puts what was decided to go into the trash, and says so to the outbox and the audit.
async fn apply(
    tx: &mut Tx,
    batch: &[NewEnrollment],
    decided: &[Decided],
    now: Time,
) -> Result<HashMap<EnrollmentKey, i64>, StoreError> {
    let to_go = batch.iter().zip(decided).filter(|(_, decided)| decided.decision == Decision::Delete);
    let mut keys = Vec::new();
    let mut deletions = Vec::new();
    let mut by_workflow: BTreeMap<(i64, i64), Vec<i64>> = BTreeMap::new();
    for (enrollment, _) in to_go {
        let (account_id, workflow_id) = (enrollment.key.account_id, enrollment.workflow_id);
        let by = DeletedBy::Workflow { workflow_id, enrollment_id: enrollment.key.enrollment_id };
        keys.push(enrollment.key);
        deletions.push(Deletion {
            account_id,
            contact_id: enrollment.object_id,
            by,
            deletion_id: None,
            at: now,
        });
        by_workflow.entry((account_id, workflow_id)).or_default().push(enrollment.object_id);
    }
    let trashed = trash::put_into_trash(tx, &deletions).await?;
    trash::announce(tx, &trashed).await?;
    for ((account_id, workflow_id), ids) in by_workflow {
        let count = i64::try_from(ids.len()).unwrap_or(i64::MAX);
        audit::write(tx, now, account_id, &Actor::Workflow(workflow_id), "trash", &ids, count).await?;
    }
    Ok(keys.into_iter().zip(trashed.iter().map(|Trashed { entry_id, .. }| *entry_id)).collect())
}

/// One row a decision. A row that is there already was written by another worker since it was looked up:
/// then nothing of this batch counts, and the next try finds it.
async fn write_ledger(
    tx: &mut Tx,
    batch: &[NewEnrollment],
    decided: &[Decided],
    trashed: &HashMap<EnrollmentKey, i64>,
) -> Result<(), StoreError> {
    let mut rows = Vec::with_capacity(batch.len());
    for (enrollment, Decided { decision, at }) in batch.iter().zip(decided) {
        if matches!(decision, Decision::Duplicate | Decision::DeadLetter(_)) {
            continue;
        }
        let entry_id = (*decision == Decision::Delete).then(|| trashed.get(&enrollment.key)).flatten();
        rows.push(batch_row(json!({"account_id": enrollment.key.account_id,
            "enrollment_id": enrollment.key.enrollment_id, "action_id": enrollment.key.action_id,
            "workflow_id": enrollment.workflow_id, "object_type_id": enrollment.object_type_id,
            "object_id": enrollment.object_id, "cause": enrollment.cause.as_str(),
            "enrolled_at": format_time(enrollment.enrolled_at), "outcome": decision.outcome(),
            "reason": decision.reason(), "decided_at": format_time(*at), "trash_entry_id": entry_id})));
    }
    let expected = rows.len() as u64;
    if expected == 0 {
        return Ok(());
    }
    let columns: Vec<&str> = LEDGER.iter().map(|(name, _)| *name).collect();
    let columns = columns.join(", ");
    let sql = format!(
        "INSERT INTO ledger ({columns}) SELECT {columns} FROM {} WHERE TRUE \
         ORDER BY account_id, enrollment_id, action_id ON CONFLICT DO NOTHING",
        tx.dialect().batch(1, &LEDGER)
    );
    if tx.execute(&sql, args![batch_text(rows)]).await? == expected {
        Ok(())
    } else {
        Err(StoreError::Contended("ledger".into()))
    }
}
