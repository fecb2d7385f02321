//! What was decided, done: contacts into the trash, the guard's count, events of what was refused.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::Rules;
use super::facts::DecisionContext;
use super::guard::{self, Guard};
use super::ledger::Entries;
use crate::domain::decision::Decision;
use crate::domain::effects::Transition;
use crate::domain::enrollment::NewEnrollment;
use crate::domain::time::{Time, format_time};
use crate::ports::Decided;
use crate::store::StoreError;
use crate::store::access::audit::{self, Actor};
use crate::store::contacts::{counts, lifecycle};
use crate::store::db::Tx;
use crate::store::error::Conflict;
use crate::store::outbox::write_outbox;
use crate::store::trash::{self, DeletedBy, Deletion, Trashed};

/// Puts an `enrollment.refused` for each that is refused into the outbox, where that is asked for.
pub(super) async fn announce_refusals<'a>(
    tx: &mut Tx,
    rules: &Rules,
    decided: impl Iterator<Item = (&'a NewEnrollment, &'a Decided)>,
) -> Result<(), StoreError> {
    let mut messages = Vec::new();
    let mut now = None;
    for (NewEnrollment { key, workflow_id, object_type_id, object_id, .. }, Decided { decision, at }) in
        decided
    {
        if let (Decision::Refuse(reason), true) = (decision, rules.announce_refusals) {
            let data = json!({"accountId": key.account_id.to_string(), "workflowId": workflow_id.to_string(),
                "actionId": key.action_id.to_string(), "enrollmentId": key.enrollment_id.to_string(),
                "objectTypeId": object_type_id, "objectId": object_id.to_string(), "reason": reason.as_str(),
                "refusedAt": format_time(*at)});
            messages.push((key.account_id, "enrollment.refused", data));
            now = Some(*at);
        }
    }
    match now {
        Some(now) => write_outbox(tx, now, messages).await,
        None => Ok(()),
    }
}

/// Decides every enrollment of a batch and deletes those that are to go. [`ContendedWrites::finish`] must follow.
///
/// Whoever deletes takes the guard's turn last, so that others work meanwhile; should the guard say no then, nothing was
/// done, and the next try finds out first. Where a limit is near, the turn comes first: the batch is decided knowing what
/// is left.
pub(super) async fn decide_and_apply(
    tx: &mut Tx,
    known: &mut DecisionContext,
    batch: &[NewEnrollment],
    rules: &Rules,
    now: Time,
) -> Result<(Vec<Decided>, Entries, ContendedWrites), StoreError> {
    let mut decisions = decide_each(known, batch, rules);
    let mut last = ContendedWrites::of(known, batch, &decisions);
    let is_near = !last.deletions.is_empty() && !last.is_admitted(tx, rules, now).await?;
    if is_near {
        guard::lock(tx, &last.accounts()).await?;
        let guard = Guard::read(tx, &last.workflows, rules.limits, now).await?;
        if !guard.admits(last.deletions.iter().copied()) {
            known.enforce_guard(guard);
            decisions = decide_each(known, batch, rules);
        }
        last = ContendedWrites { is_guarded: true, ..ContendedWrites::of(known, batch, &decisions) };
    }
    let entries = apply(tx, batch, &decisions, now).await?;
    let decided = decisions.into_iter().map(|decision| Decided { decision, at: now }).collect();
    Ok((decided, entries, last))
}

/// What is done when all else is written, because others wait for it until the commit: the stages of companies, and the
/// guard's count.
pub(super) struct ContendedWrites {
    contacts: Vec<(i64, i64)>,
    /// By which workflow, and did a person let it pass the guard?
    deletions: Vec<((i64, i64), bool)>,
    /// All workflows of the batch in accounts where something is deleted: where one is stopped another may have its turn.
    workflows: BTreeSet<(i64, i64)>,
    /// The guard is locked, and has admitted it.
    is_guarded: bool,
}

impl ContendedWrites {
    fn of(known: &DecisionContext, batch: &[NewEnrollment], decisions: &[Decision]) -> Self {
        let workflow = |it: &NewEnrollment| (it.key.account_id, it.workflow_id);
        let to_go = || deletions(batch, decisions);
        let accounts: BTreeSet<i64> = to_go().map(|it| it.key.account_id).collect();
        let workflows = batch.iter().map(workflow).filter(|(account_id, _)| accounts.contains(account_id));
        Self {
            contacts: to_go().map(|it| (it.key.account_id, it.object_id)).collect(),
            deletions: to_go().map(|it| (workflow(it), known.is_approved(&it.key))).collect(),
            workflows: workflows.collect(),
            is_guarded: false,
        }
    }

    fn accounts(&self) -> BTreeSet<i64> {
        self.workflows.iter().map(|(account_id, _)| *account_id).collect()
    }

    /// Is all of it within the limits, by what is counted now?
    async fn is_admitted(&self, tx: &mut Tx, rules: &Rules, now: Time) -> Result<bool, StoreError> {
        let guard = Guard::read(tx, &self.workflows, rules.limits, now).await?;
        Ok(guard.admits(self.deletions.iter().copied()))
    }

    /// Does it.
    ///
    /// # Errors
    ///
    /// Contended where others came nearer to a limit than the batch knew.
    pub(super) async fn finish(self, tx: &mut Tx, rules: &Rules, now: Time) -> Result<(), StoreError> {
        if self.deletions.is_empty() {
            return Ok(());
        }
        lifecycle::recompute(tx, Transition::Trash, &self.contacts).await?;
        // The share that may go is one of those who were there before.
        if !self.is_guarded {
            guard::lock(tx, &self.accounts()).await?;
            if !self.is_admitted(tx, rules, now).await? {
                return Err(StoreError::Contended(Conflict::Guard));
            }
        }
        counts::record_change(tx, self.contacts.iter().map(|(account_id, _)| *account_id), -1).await?;
        let mut counts = BTreeMap::new();
        for (workflow, _) in self.deletions {
            *counts.entry(workflow).or_default() += 1;
        }
        guard::record(tx, &counts, &rules.limits, now).await
    }
}

fn decide_each(known: &mut DecisionContext, batch: &[NewEnrollment], rules: &Rules) -> Vec<Decision> {
    let decide = |enrollment: &NewEnrollment| {
        let decision = known.decide(enrollment, rules.ledger_retention);
        known.record_decision(enrollment, &decision);
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

/// Puts what was decided to go into the trash, and says so to the outbox and the audit.
async fn apply(
    tx: &mut Tx,
    batch: &[NewEnrollment],
    decisions: &[Decision],
    now: Time,
) -> Result<Entries, StoreError> {
    let mut keys = Vec::new();
    let mut deletions = Vec::new();
    let mut by_workflow: BTreeMap<(i64, i64), Vec<i64>> = BTreeMap::new();
    for enrollment in self::deletions(batch, decisions) {
        let (account_id, workflow_id) = (enrollment.key.account_id, enrollment.workflow_id);
        let by = DeletedBy::Workflow { workflow_id, enrollment_id: enrollment.key.enrollment_id };
        keys.push(enrollment.key);
        deletions.push(Deletion {
            account_id,
            contact_id: enrollment.object_id,
            by,
            deletion_id: None,
            at: now,
            trace: enrollment.trace,
        });
        by_workflow.entry((account_id, workflow_id)).or_default().push(enrollment.object_id);
    }
    if keys.is_empty() {
        return Ok(Entries::new());
    }
    let trashed = trash::put_into_trash(tx, &deletions).await?;
    trash::announce(tx, &trashed).await?;
    for ((account_id, workflow_id), ids) in by_workflow {
        let count = i64::try_from(ids.len()).unwrap_or(i64::MAX);
        audit::write(tx, now, account_id, &Actor::Workflow(workflow_id), "trash", &ids, count).await?;
    }
    Ok(keys.into_iter().zip(trashed.iter().map(|Trashed { entry_id, .. }| *entry_id)).collect())
}
