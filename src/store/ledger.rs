//! The ledger: every decision, once, and what it has become since where it was not the last word.

use std::collections::HashMap;

use serde::Serialize;

use super::StoreError;
use super::batch::batch_text;
use super::db::{Tx, args};
use crate::domain::decision::Decision;
use crate::domain::enrollment::{EnrollmentKey, NewEnrollment};
use crate::domain::record::{Column, ColumnType};
use crate::domain::time::format_time;
use crate::ports::Decided;

/// Rows `l` by which a contact counts as enrolled; word for word the condition of the index that finds them.
pub(super) const TOOK_IN: &str = "l.outcome IN ('deleted', 'held', 'deferred')";

/// The columns of a batch of keys.
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

/// The trash entries of what was deleted.
pub(super) type Entries = HashMap<EnrollmentKey, i64>;

#[derive(Serialize)]
struct Row<'a> {
    account_id: i64,
    enrollment_id: i64,
    action_id: i64,
    workflow_id: i64,
    object_type_id: &'a str,
    object_id: i64,
    cause: &'static str,
    enrolled_at: String,
    outcome: &'static str,
    reason: Option<&'static str>,
    decided_at: String,
    trash_entry_id: Option<i64>,
}

fn row<'a>(enrollment: &'a NewEnrollment, Decided { decision, at }: &Decided, entries: &Entries) -> Row<'a> {
    let EnrollmentKey { account_id, enrollment_id, action_id } = enrollment.key;
    Row {
        account_id,
        enrollment_id,
        action_id,
        workflow_id: enrollment.workflow_id,
        object_type_id: &enrollment.object_type_id,
        object_id: enrollment.object_id,
        cause: enrollment.cause.as_str(),
        enrolled_at: format_time(enrollment.enrolled_at),
        outcome: decision.outcome(),
        reason: decision.reason(),
        decided_at: format_time(*at),
        trash_entry_id: (*decision == Decision::Delete)
            .then(|| entries.get(&enrollment.key).copied())
            .flatten(),
    }
}

/// One row a decision. A row that is there already was written by another worker since it was looked up:
/// then nothing of this batch counts, and the next try finds it.
pub(super) async fn write<'a>(
    tx: &mut Tx,
    decisions: impl Iterator<Item = (&'a NewEnrollment, &'a Decided)>,
    entries: &Entries,
) -> Result<(), StoreError> {
    let rows: Vec<Row<'_>> = decisions
        .filter(|(_, decided)| !matches!(decided.decision, Decision::Duplicate | Decision::DeadLetter(_)))
        .map(|(enrollment, decided)| row(enrollment, decided, entries))
        .collect();
    let columns: Vec<&str> = LEDGER.iter().map(|(name, _)| *name).collect();
    let columns = columns.join(", ");
    let sql = format!(
        "INSERT INTO ledger ({columns}) SELECT {columns} FROM {} WHERE TRUE \
         ORDER BY account_id, enrollment_id, action_id ON CONFLICT DO NOTHING",
        tx.dialect().batch(1, &LEDGER)
    );
    run(tx, &sql, rows).await
}

/// What became of enrollments that waited. Their rows are locked through those they wait by.
pub(super) async fn rewrite<'a>(
    tx: &mut Tx,
    decisions: impl Iterator<Item = (&'a NewEnrollment, &'a Decided)>,
    entries: &Entries,
) -> Result<(), StoreError> {
    let rows = decisions.map(|(enrollment, decided)| row(enrollment, decided, entries)).collect();
    let sql = format!(
        "UPDATE ledger SET outcome = b.outcome, reason = b.reason, decided_at = b.decided_at, \
         trash_entry_id = b.trash_entry_id FROM {} \
         WHERE ledger.account_id = b.account_id AND ledger.enrollment_id = b.enrollment_id \
           AND ledger.action_id = b.action_id AND ledger.outcome IN ('held', 'deferred')",
        tx.dialect().batch(1, &LEDGER)
    );
    run(tx, &sql, rows).await
}

/// Runs a statement that must touch exactly these rows.
async fn run(tx: &mut Tx, sql: &str, rows: Vec<Row<'_>>) -> Result<(), StoreError> {
    let expected = rows.len() as u64;
    if expected == 0 || tx.execute(sql, args![batch_text(rows)]).await? == expected {
        Ok(())
    } else {
        Err(StoreError::Contended("ledger".into()))
    }
}
