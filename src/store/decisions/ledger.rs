//! The ledger: every decision, once, and what it has become since where it was not the last word.

use std::borrow::Cow;
use std::collections::HashMap;

use crate::domain::decision::Decision;
use crate::domain::enrollment::{EnrollmentKey, NewEnrollment};
use crate::domain::record::{Column, ColumnType};
use crate::ports::Decided;
use crate::store::StoreError;
use crate::store::db::Tx;
use crate::store::db::batch::{List, Lists};
use crate::store::db::dialect::names;
use crate::store::db::values::args;
use crate::store::error::Conflict;

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
pub(in crate::store) type Entries = HashMap<EnrollmentKey, i64>;

/// Decisions, column by column as in [`LEDGER`].
fn lists(decisions: &[(&NewEnrollment, &Decided)], entries: &Entries) -> Lists {
    let ids = |of: fn(&NewEnrollment) -> i64| List::Ids(decisions.iter().map(|(it, _)| of(it)).collect());
    let decided = || decisions.iter().map(|(_, decided)| *decided);
    let entry = |(enrollment, decided): &(&NewEnrollment, &Decided)| {
        (decided.decision == Decision::Delete).then(|| entries.get(&enrollment.key).copied()).flatten()
    };
    Lists::new([
        ids(|it| it.key.account_id),
        ids(|it| it.key.enrollment_id),
        ids(|it| it.key.action_id),
        ids(|it| it.workflow_id),
        List::texts(decisions.iter().map(|(enrollment, _)| enrollment.object_type_id.clone())),
        ids(|it| it.object_id),
        List::texts(decisions.iter().map(|(enrollment, _)| enrollment.cause.as_str())),
        List::Times(decisions.iter().map(|(enrollment, _)| enrollment.enrolled_at).collect()),
        List::texts(decided().map(|it| it.decision.outcome())),
        List::Texts(decided().map(|it| it.decision.reason().map(Cow::Borrowed)).collect()),
        List::Times(decided().map(|it| it.at).collect()),
        List::Ints(decisions.iter().map(entry).collect()),
    ])
}

/// One row a decision. A row that is there already was written by another worker since it was looked up:
/// then nothing of this batch counts, and the next try finds it.
pub(in crate::store) async fn write<'a>(
    tx: &mut Tx,
    decisions: impl Iterator<Item = (&'a NewEnrollment, &'a Decided)>,
    entries: &Entries,
) -> Result<(), StoreError> {
    let is_kept = |(_, decided): &(_, &Decided)| {
        !matches!(decided.decision, Decision::Duplicate | Decision::DeadLetter(_))
    };
    let columns = names(&LEDGER);
    let sql = format!(
        "INSERT INTO ledger ({columns}) SELECT {columns} FROM {} WHERE TRUE \
         ORDER BY account_id, enrollment_id, action_id ON CONFLICT DO NOTHING",
        tx.dialect().lists(1, &LEDGER)
    );
    run(tx, &sql, decisions.filter(is_kept).collect(), entries).await
}

/// What became of enrollments that waited. Their rows are locked through those they wait by.
pub(super) async fn update_outcomes<'a>(
    tx: &mut Tx,
    decisions: impl Iterator<Item = (&'a NewEnrollment, &'a Decided)>,
    entries: &Entries,
) -> Result<(), StoreError> {
    let sql = format!(
        "UPDATE ledger SET outcome = b.outcome, reason = b.reason, decided_at = b.decided_at, \
         trash_entry_id = b.trash_entry_id FROM {} \
         WHERE ledger.account_id = b.account_id AND ledger.enrollment_id = b.enrollment_id \
           AND ledger.action_id = b.action_id AND ledger.outcome IN ('held', 'deferred')",
        tx.dialect().lists(1, &LEDGER)
    );
    run(tx, &sql, decisions.collect(), entries).await
}

/// Runs a statement that must touch a row for each of these decisions.
async fn run(
    tx: &mut Tx,
    sql: &str,
    decisions: Vec<(&NewEnrollment, &Decided)>,
    entries: &Entries,
) -> Result<(), StoreError> {
    let expected = decisions.len() as u64;
    if expected == 0 || tx.execute(sql, args![lists(&decisions, entries)]).await? == expected {
        Ok(())
    } else {
        Err(StoreError::Contended(Conflict::Ledger))
    }
}
