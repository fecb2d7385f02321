//! A batch of enrollments, decided and carried out in one transaction.
//!
//! Lock the contacts, load what the checks ask about, decide each enrollment in the order of arrival, apply
//! the trash column of the matrix to those that are to go, write ledger, outbox and audit. The rows of a
//! contact, workflow and subscription stay locked until the commit, so that nothing decides on what is no
//! longer true. Locks are taken in one order everywhere: the pause, contacts by key, then workflows, subscriptions, the
//! guards of accounts, ledger.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::audit::{self, Actor};
use super::compiled::Compiled;
use super::db::Tx;
use super::facts::Known;
use super::guard::{self, Guard};
use super::ledger::{self, Entries};
use super::trash::{self, DeletedBy, Deletion, Trashed};
use super::{Store, StoreError, switches, transaction, waiting};
use crate::domain::decision::Decision;
use crate::domain::enrollment::NewEnrollment;
use crate::domain::guard::Limits;
use crate::domain::time::Time;
use crate::ports::Decided;

/// What the settings say about decisions.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// How long the ledger remembers.
    pub ledger_retention: Duration,
    /// How much workflows may delete.
    pub limits: Limits,
}

impl Store {
    /// Decides a batch and does what was decided; the answers are in the order of the batch. All of it is
    /// committed, or none.
    ///
    /// # Errors
    ///
    /// Transient ones leave nothing done that a repetition would not find in the ledger.
    pub async fn decide(&self, batch: &[NewEnrollment], rules: &Rules) -> Result<Vec<Decided>, StoreError> {
        transaction!(self, tx => decide_batch(tx, &self.compiled, batch, rules))
    }
}

async fn decide_batch(
    tx: &mut Tx,
    compiled: &Compiled,
    batch: &[NewEnrollment],
    rules: &Rules,
) -> Result<Vec<Decided>, StoreError> {
    let now = switches::begin_to_decide(tx).await?;
    let mut known = Known::load(tx, compiled, batch, now).await?;
    let (decided, entries) = carry_out(tx, &mut known, batch, rules, now).await?;
    ledger::write(tx, batch.iter().zip(&decided), &entries).await?;
    waiting::keep(tx, &known, batch.iter().zip(&decided)).await?;
    Ok(decided)
}

/// Decides every enrollment of a batch and deletes those that are to go.
pub(super) async fn carry_out(
    tx: &mut Tx,
    known: &mut Known,
    batch: &[NewEnrollment],
    rules: &Rules,
    now: Time,
) -> Result<(Vec<Decided>, Entries), StoreError> {
    let mut decisions = decide_each(known, batch, rules);
    let accounts: BTreeSet<i64> =
        deletions(batch, &decisions).map(|enrollment| enrollment.key.account_id).collect();
    if !accounts.is_empty() {
        guard::lock(tx, &accounts).await?;
        // Of all workflows in the batch: where one is stopped another may have its turn.
        let workflows = batch.iter().map(|enrollment| (enrollment.key.account_id, enrollment.workflow_id));
        let workflows = workflows.filter(|(account_id, _)| accounts.contains(account_id)).collect();
        let guard = Guard::read(tx, &workflows, rules.limits, now).await?;
        let to_go = deletions(batch, &decisions).map(|enrollment| {
            ((enrollment.key.account_id, enrollment.workflow_id), known.is_approved(&enrollment.key))
        });
        // Nearly always everything is admitted, and what was decided stands.
        if !guard.admits(to_go) {
            known.watch(guard);
            decisions = decide_each(known, batch, rules);
        }
    }
    let decided: Vec<Decided> = decisions.into_iter().map(|decision| Decided { decision, at: now }).collect();
    let entries = apply(tx, batch, &decided, rules, now).await?;
    Ok((decided, entries))
}

fn decide_each(known: &mut Known, batch: &[NewEnrollment], rules: &Rules) -> Vec<Decision> {
    let decide = |enrollment: &NewEnrollment| {
        let decision = known.decide(enrollment, rules.ledger_retention);
        known.note(enrollment, &decision);
        decision
    };
    batch.iter().map(decide).collect()
}

/// The enrollments of a batch whose contacts are to go.
fn deletions<'a>(
    batch: &'a [NewEnrollment],
    decisions: &'a [Decision],
) -> impl Iterator<Item = &'a NewEnrollment> {
    let decided = batch.iter().zip(decisions);
    decided.filter(|(_, decision)| **decision == Decision::Delete).map(|(enrollment, _)| enrollment)
}

/// Puts what was decided to go into the trash, and says so to the guard, the outbox and the audit.
async fn apply(
    tx: &mut Tx,
    batch: &[NewEnrollment],
    decided: &[Decided],
    rules: &Rules,
    now: Time,
) -> Result<Entries, StoreError> {
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
    if keys.is_empty() {
        return Ok(Entries::new());
    }
    let counts = by_workflow.iter().map(|(workflow, ids)| (*workflow, ids.len() as u64)).collect();
    guard::record(tx, &counts, &rules.limits, now).await?;
    let trashed = trash::put_into_trash(tx, &deletions).await?;
    trash::announce(tx, &trashed).await?;
    for ((account_id, workflow_id), ids) in by_workflow {
        let count = i64::try_from(ids.len()).unwrap_or(i64::MAX);
        audit::write(tx, now, account_id, &Actor::Workflow(workflow_id), "trash", &ids, count).await?;
    }
    Ok(keys.into_iter().zip(trashed.iter().map(|Trashed { entry_id, .. }| *entry_id)).collect())
}
