//! Held enrollments: counts, the decisions that an approval would lead to, approval and rejection.

use serde::Serialize;

use super::facts::DecisionContext;
use super::pending::{HELD_BY_THE_GUARD, held_of, remember_events};
use crate::domain::counted::counted;
use crate::domain::time::{Time, format_time};
use crate::store::access::audit;
use crate::store::access::users::Operator;
use crate::store::criteria::cache::WorkflowCache;
use crate::store::db::Tx;
use crate::store::db::query::{Filter, WhereClause};
use crate::store::db::values::{Arg, args};
use crate::store::{Rules, Store, StoreError, read_transaction, transaction};

/// Enrollments of one workflow that are held for one reason.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Held {
    pub account_id: String,
    pub workflow_id: String,
    pub reason: String,
    /// Of the guard's: what nobody has approved yet, which is the number to confirm.
    pub count: i64,
    /// Since when the oldest is held.
    pub since: String,
}

/// An enrollment that the guard holds, with the decision that an approval would lead to now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct HeldEnrollment {
    pub enrollment_id: String,
    pub contact_id: String,
    /// `delete`, `skip`, `refuse`, `hold` (by a pause) or `defer`.
    pub verdict: &'static str,
    /// Why the contact would not be deleted; null where it would.
    pub reason: Option<&'static str>,
    /// The enrollment and the action: where the list goes on.
    #[serde(skip)]
    pub place: (i64, i64),
}

/// What a person says to what the guard holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HoldResolution {
    /// It may pass the guard; every other check is asked anew.
    Approve,
    /// It is skipped, for good.
    Reject,
}

impl Store {
    /// What is held, newest first.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn holds(&self, filter: &Filter) -> Result<Vec<Held>, StoreError> {
        read_transaction!(self, tx => list(tx, filter))
    }

    /// Whom an approval of what the guard holds of a workflow would delete now, and why not the others: every check is asked
    /// anew, but the guard's. So many rows at most, by enrollment and action, after this place. Writes nothing.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn held_enrollments(
        &self,
        (account_id, workflow_id): (i64, i64),
        after: (i64, i64),
        limit: usize,
        rules: &Rules,
    ) -> Result<Vec<HeldEnrollment>, StoreError> {
        let workflow = (account_id, workflow_id);
        read_transaction!(self, tx => try_approval(tx, &self.compiled, workflow, after, limit, rules))
    }

    /// Rules on all that the guard holds of a workflow; `confirm` is how many enrollments the person takes that for.
    ///
    /// # Errors
    ///
    /// Refused where it is another number, or by a user who is not there or may not delete many: then nothing was approved or
    /// rejected.
    pub async fn resolve_holds(
        &self,
        account_id: i64,
        workflow_id: i64,
        ruling: HoldResolution,
        confirm: u64,
        operator: &Operator,
    ) -> Result<(), StoreError> {
        transaction!(self, tx => rule(tx, (account_id, workflow_id), ruling, confirm, operator))
    }
}

async fn list(tx: &mut Tx, filter: &Filter) -> Result<Vec<Held>, StoreError> {
    let mut conditions = WhereClause::default();
    conditions.equal("account_id", filter.account_id.map(Arg::from));
    conditions.equal("workflow_id", filter.workflow_id.map(Arg::from));
    conditions.also("(reason = 'paused' OR reason = 'volume_guard' AND ready_at IS NULL)");
    let columns = "account_id, workflow_id, reason, count(*) AS count, min(since) AS since";
    let order =
        "GROUP BY account_id, workflow_id, reason ORDER BY min(since) DESC, account_id, workflow_id, reason";
    let rows = conditions.select(tx, columns, "pending_enrollments", order, filter.limit).await?;
    rows.iter()
        .map(|row| {
            Ok(Held {
                account_id: row.int("account_id")?.to_string(),
                workflow_id: row.int("workflow_id")?.to_string(),
                reason: row.text("reason")?,
                count: row.int("count")?,
                since: format_time(row.time("since")?),
            })
        })
        .collect()
}

async fn try_approval(
    tx: &mut Tx,
    compiled: &WorkflowCache,
    workflow: (i64, i64),
    after: (i64, i64),
    limit: usize,
    rules: &Rules,
) -> Result<Vec<HeldEnrollment>, StoreError> {
    let now = tx.now().await?;
    let limit = i64::try_from(limit).unwrap_or(i64::MAX);
    let (mut batch, is_shown): (Vec<_>, Vec<_>) =
        held_of(tx, workflow, after, limit).await?.into_iter().unzip();
    if batch.is_empty() {
        return Ok(Vec::new());
    }
    let mut known = DecisionContext::load(tx, compiled, &batch, now).await?;
    known.prepare_redecision(batch.iter().map(|enrollment| enrollment.key).collect());
    remember_events(tx, &mut batch).await?;
    let mut held = Vec::new();
    for (enrollment, is_shown) in batch.iter().zip(is_shown) {
        let decision = known.decide(enrollment, rules.ledger_retention);
        // The next one of the same contact finds it deleted, as it would be.
        known.record_decision(enrollment, &decision);
        if is_shown {
            held.push(HeldEnrollment {
                enrollment_id: enrollment.key.enrollment_id.to_string(),
                contact_id: enrollment.object_id.to_string(),
                verdict: decision.verdict(),
                reason: decision.reason(),
                place: (enrollment.key.enrollment_id, enrollment.key.action_id),
            });
        }
    }
    Ok(held)
}

async fn rule(
    tx: &mut Tx,
    (account_id, workflow_id): (i64, i64),
    ruling: HoldResolution,
    confirm: u64,
    operator: &Operator,
) -> Result<(), StoreError> {
    let now = tx.now().await?;
    let who = operator.authorize_bulk(tx, account_id, "decide about a workflow that deletes").await?;
    let (action, done, mark) = match ruling {
        HoldResolution::Approve => ("approve_held", "approved", "approved = TRUE, ready_at = $3"),
        HoldResolution::Reject => ("reject_held", "rejected", "reason = 'rejected', ready_at = $3"),
    };
    let sql = format!(
        "UPDATE pending_enrollments SET {mark} WHERE account_id = $1 AND workflow_id = $2 AND {HELD_BY_THE_GUARD}"
    );
    let held = tx.execute(&sql, args![account_id, workflow_id, now]).await?;
    if held == 0 || held != confirm {
        return Err(StoreError::CountMismatch(format!(
            "the volume guard holds {} of workflow {workflow_id} of account {account_id}, \
             the confirmation says {confirm}; nothing was {done}",
            counted(held, "enrollment")
        )));
    }
    if ruling == HoldResolution::Reject {
        let contacts = skip_rejected(tx, (account_id, workflow_id), now).await?;
        let count = i64::try_from(contacts.len()).unwrap_or(i64::MAX);
        audit::write(tx, now, account_id, &who, "skip", &contacts, count).await?;
    }
    audit::write(tx, now, account_id, &who, action, &[workflow_id], i64::try_from(held).unwrap_or(i64::MAX))
        .await
}

/// Ends the waiting of what was marked as rejected in this transaction; the contacts that stay.
async fn skip_rejected(
    tx: &mut Tx,
    (account_id, workflow_id): (i64, i64),
    now: Time,
) -> Result<Vec<i64>, StoreError> {
    let rejected = "(account_id, enrollment_id, action_id) IN \
                    (SELECT w.account_id, w.enrollment_id, w.action_id FROM pending_enrollments w \
                     WHERE w.account_id = $1 AND w.workflow_id = $2 AND w.reason = 'rejected')";
    let skip = format!(
        "UPDATE ledger SET outcome = 'skipped', reason = 'rejected', decided_at = $3 \
         WHERE account_id = $1 AND outcome = 'held' AND {rejected} RETURNING object_id"
    );
    let skipped = tx.rows(&skip, args![account_id, workflow_id, now]).await?;
    for table in ["pending_events", "pending_enrollments"] {
        let sql = format!("DELETE FROM {table} WHERE account_id = $1 AND {rejected}");
        tx.execute(&sql, args![account_id, workflow_id]).await?;
    }
    skipped.iter().map(|row| row.int("object_id")).collect()
}
