//! The volume guard's counts, exact across workers: whoever deletes by a workflow locks the account's row, counts, and
//! keeps it until the commit.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use crate::domain::guard::{LONGEST_WINDOW, Limit, Limits, Usage, slot_end, window_start};
use crate::domain::record::{Column, ColumnType, Row};
use crate::domain::time::{Time, format_time};
use crate::store::StoreError;
use crate::store::contacts::counts;
use crate::store::db::Tx;
use crate::store::db::batch::{ACCOUNT, Lists, batch_row, batch_text};
use crate::store::db::values::args;

const SINCE: [Column; 3] =
    [("account_id", ColumnType::Int), ("workflow_id", ColumnType::Int), ("since", ColumnType::Time)];
const SLOT: [Column; 4] = [
    ("account_id", ColumnType::Int),
    ("workflow_id", ColumnType::Int),
    ("slot_ends_at", ColumnType::Time),
    ("deletions", ColumnType::Int),
];

/// Under this id the table counts all workflows of an account.
const ALL_WORKFLOWS: i64 = 0;

/// An account and one of its workflows.
pub(super) type WorkflowKey = (i64, i64);

/// What the guard knows of the accounts of a batch, and what it lets pass.
#[derive(Clone, Debug)]
pub(in crate::store) struct Guard {
    limits: Limits,
    usage: BTreeMap<i64, Usage>,
}

impl Guard {
    /// What these workflows and their accounts have deleted in their windows.
    pub(in crate::store) async fn read(
        tx: &mut Tx,
        workflows: &BTreeSet<WorkflowKey>,
        limits: Limits,
        now: Time,
    ) -> Result<Self, StoreError> {
        let accounts: BTreeSet<i64> = workflows.iter().map(|(account_id, _)| *account_id).collect();
        let row = |(account_id, workflow_id): WorkflowKey, window| {
            let since = format_time(window_start(now, window));
            batch_row(json!({"account_id": account_id, "workflow_id": workflow_id, "since": since}))
        };
        let of_accounts =
            accounts.iter().map(|account_id| row((*account_id, ALL_WORKFLOWS), limits.account.window));
        let of_workflows = workflows.iter().map(|workflow| row(*workflow, limits.workflow.window));
        let sql = format!(
            "SELECT b.account_id, b.workflow_id, CAST(sum(c.deletions) AS bigint) AS deletions FROM {} \
             JOIN guard_counts c ON c.account_id = b.account_id AND c.workflow_id = b.workflow_id \
             AND c.slot_ends_at > b.since GROUP BY b.account_id, b.workflow_id",
            tx.dialect().batch(1, &SINCE)
        );
        let live = counts::live_contacts(tx, accounts.iter().copied()).await?;
        let mut usage: BTreeMap<i64, Usage> = BTreeMap::new();
        for account_id in accounts.iter().copied() {
            usage.entry(account_id).or_default().live_contacts =
                live.get(&account_id).copied().unwrap_or_default();
        }
        for row in tx.rows(&sql, args![batch_text(of_accounts.chain(of_workflows))]).await? {
            let usage = usage.entry(row.int("account_id")?).or_default();
            let deletions = row.int("deletions")?.unsigned_abs();
            match row.int("workflow_id")? {
                ALL_WORKFLOWS => usage.deletions = deletions,
                workflow_id => drop(usage.by_workflow.insert(workflow_id, deletions)),
            }
        }
        Ok(Self { limits, usage })
    }

    /// The limit that one more deletion by this workflow would break.
    pub(in crate::store) fn reached(&self, (account_id, workflow_id): WorkflowKey) -> Option<Limit> {
        self.usage.get(&account_id)?.reached(workflow_id, &self.limits)
    }

    /// One more was decided.
    pub(in crate::store) fn count(&mut self, (account_id, workflow_id): WorkflowKey) {
        self.usage.entry(account_id).or_default().count(workflow_id);
    }

    /// Are so many deletions, in this order and each approved or not, within every limit?
    pub(super) fn admits(&self, deletions: impl Iterator<Item = (WorkflowKey, bool)>) -> bool {
        let mut guard = self.clone();
        deletions.into_iter().all(|(workflow, approved)| {
            let admitted = approved || guard.reached(workflow).is_none();
            guard.count(workflow);
            admitted
        })
    }
}

/// Locks the guard of accounts until the commit, in the order of their ids.
pub(in crate::store) async fn lock(tx: &mut Tx, accounts: &BTreeSet<i64>) -> Result<(), StoreError> {
    let batch = Lists::ids(accounts.iter().map(|account_id| [*account_id]));
    let source = tx.dialect().ids(1, &ACCOUNT);
    let lock = format!(
        "SELECT g.account_id FROM {source} JOIN guarded_accounts g ON g.account_id = b.account_id \
         ORDER BY g.account_id{}",
        tx.for_update("g")
    );
    if tx.rows(&lock, args![&batch]).await?.len() < accounts.len() {
        let add = format!(
            "INSERT INTO guarded_accounts (account_id) SELECT b.account_id FROM {source} WHERE TRUE \
             ORDER BY b.account_id ON CONFLICT DO NOTHING"
        );
        tx.execute(&add, args![&batch]).await?;
        tx.rows(&lock, args![batch]).await?;
    }
    counts::fold(tx, accounts.iter().copied()).await
}

/// Counts what is deleted now, by workflow, and forgets what no window reaches any more, of this worker or another.
pub(in crate::store) async fn record(
    tx: &mut Tx,
    deletions: &BTreeMap<WorkflowKey, u64>,
    limits: &Limits,
    now: Time,
) -> Result<(), StoreError> {
    let mut by_account: BTreeMap<WorkflowKey, u64> = BTreeMap::new();
    for ((account_id, _), count) in deletions {
        *by_account.entry((*account_id, ALL_WORKFLOWS)).or_default() += count;
    }
    let row = |((account_id, workflow_id), count): (&WorkflowKey, &u64), window| -> Row {
        batch_row(json!({"account_id": account_id, "workflow_id": workflow_id,
            "slot_ends_at": format_time(slot_end(now, window)), "deletions": count}))
    };
    let of_accounts = by_account.iter().map(|counted| row(counted, limits.account.window));
    let of_workflows = deletions.iter().map(|counted| row(counted, limits.workflow.window));
    let batch = batch_text(of_accounts.chain(of_workflows));
    let source = tx.dialect().batch(1, &SLOT);
    let count = format!(
        "INSERT INTO guard_counts (account_id, workflow_id, slot_ends_at, deletions) \
         SELECT b.account_id, b.workflow_id, b.slot_ends_at, b.deletions FROM {source} WHERE TRUE \
         ON CONFLICT (account_id, workflow_id, slot_ends_at) \
         DO UPDATE SET deletions = guard_counts.deletions + excluded.deletions"
    );
    tx.execute(&count, args![batch.as_str()]).await?;
    let forget = format!(
        "DELETE FROM guard_counts WHERE slot_ends_at <= $2 AND (account_id, workflow_id) IN \
         (SELECT b.account_id, b.workflow_id FROM {source})"
    );
    tx.execute(&forget, args![batch, window_start(now, LONGEST_WINDOW)]).await?;
    Ok(())
}
