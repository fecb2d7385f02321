//! What would be decided now, without deciding it: nothing is written, nothing is locked.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::Serialize;

use super::facts::DecisionContext;
use super::guard::Guard;
use super::pending;
use crate::domain::decision::{Decision, Explanation};
use crate::domain::enrollment::{Cause, EnrollmentKey, NewEnrollment};
use crate::domain::time::Time;
use crate::domain::workflow::CONTACT_TYPE;
use crate::store::contacts::counts::live_contacts_of;
use crate::store::criteria::cache::WorkflowCache;
use crate::store::db::Tx;
use crate::store::db::values::args;
use crate::store::{Rules, Store, StoreError, read_transaction};

/// An enrollment that nobody made: later than all that were.
const NO_ID: i64 = i64::MAX;
/// Contacts looked at in one transaction.
const PAGE: i64 = 1000;
/// Contacts named for each outcome.
const SAMPLES: usize = 10;

/// What a workflow would do to the live contacts of its account if it were on.
#[derive(Clone, Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Preview {
    pub live_contacts: u64,
    pub would_delete: Group,
    /// By reason.
    pub would_not_delete: BTreeMap<&'static str, Group>,
    #[serde(skip)]
    last: i64,
}

/// Contacts that fare alike.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Group {
    pub count: u64,
    /// Some of them.
    pub samples: Vec<String>,
}

impl Store {
    /// Explains whether a workflow would delete a contact now: by the contact's enrollment that is held or deferred, or else by a new
    /// one that meets the criteria.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn explain(
        &self,
        account_id: i64,
        workflow_id: i64,
        contact_id: i64,
        rules: &Rules,
    ) -> Result<Explanation, StoreError> {
        read_transaction!(self, tx => explain(tx, &self.compiled, account_id, workflow_id, contact_id, rules))
    }

    /// How many live contacts an account has.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn live_contacts(&self, account_id: i64) -> Result<u64, StoreError> {
        read_transaction!(self, tx => live_contacts_of(tx, account_id))
    }

    /// Looks at the next contacts; whether there are more.
    ///
    /// # Errors
    ///
    /// Refused where the account has no such workflow.
    pub async fn preview(
        &self,
        account_id: i64,
        workflow_id: i64,
        ledger_retention: Duration,
        preview: &mut Preview,
    ) -> Result<bool, StoreError> {
        let after = preview.last;
        let page = read_transaction!(self, tx => page(tx, &self.compiled, account_id, workflow_id, after, ledger_retention))?;
        let Some((last, _)) = page.last() else { return Ok(false) };
        preview.last = *last;
        for (contact_id, decision) in page {
            preview.live_contacts += 1;
            let group = match decision.reason() {
                None => &mut preview.would_delete,
                Some(reason) => preview.would_not_delete.entry(reason).or_default(),
            };
            group.count += 1;
            if group.samples.len() < SAMPLES {
                group.samples.push(contact_id.to_string());
            }
        }
        Ok(true)
    }
}

fn hypothetical_enrollment(account_id: i64, workflow_id: i64, contact_id: i64, now: Time) -> NewEnrollment {
    NewEnrollment {
        key: EnrollmentKey { account_id, enrollment_id: NO_ID, action_id: NO_ID },
        workflow_id,
        object_type_id: CONTACT_TYPE.to_owned(),
        object_id: contact_id,
        enrolled_at: now,
        cause: Cause::Criteria,
        event: None,
        trace: None,
    }
}

async fn explain(
    tx: &mut Tx,
    compiled: &WorkflowCache,
    account_id: i64,
    workflow_id: i64,
    contact_id: i64,
    rules: &Rules,
) -> Result<Explanation, StoreError> {
    let now = tx.now().await?;
    let waiting = pending::first_waiting(tx, (account_id, workflow_id, contact_id)).await?;
    let (mut known, enrollment) = if let Some(waiting) = waiting {
        let (known, mut batch) = pending::load(tx, compiled, &[waiting], rules, now).await?;
        (known, batch.remove(0))
    } else {
        let mut enrollment = hypothetical_enrollment(account_id, workflow_id, contact_id, now);
        let batch = std::slice::from_ref(&enrollment);
        let mut known = DecisionContext::load(tx, compiled, batch, now).await?;
        use_delete_action(&mut known, &mut enrollment);
        (known, enrollment)
    };
    known.enforce_guard(Guard::read(tx, &[(account_id, workflow_id)].into(), rules.limits, now).await?);
    Ok(known.explain(&enrollment, rules.ledger_retention))
}

/// The enrollment arrives at the workflow's Delete contact action; where it has none, at an action that is none.
fn use_delete_action(known: &mut DecisionContext, enrollment: &mut NewEnrollment) {
    let workflow = known.workflow(enrollment.key.account_id, enrollment.workflow_id);
    if let Some(action) = workflow.and_then(|workflow| workflow.delete_actions.first()) {
        enrollment.key.action_id = *action;
    }
}

async fn page(
    tx: &mut Tx,
    compiled: &WorkflowCache,
    account_id: i64,
    workflow_id: i64,
    after: i64,
    ledger_retention: Duration,
) -> Result<Vec<(i64, Decision)>, StoreError> {
    let now = tx.now().await?;
    let sql = "SELECT contact_id FROM contacts WHERE account_id = $1 AND contact_id > $2 AND deleted_at IS NULL \
               ORDER BY contact_id LIMIT $3";
    let mut batch = Vec::new();
    for row in tx.rows(sql, args![account_id, after, PAGE]).await? {
        batch.push(hypothetical_enrollment(account_id, workflow_id, row.int("contact_id")?, now));
    }
    let mut known = DecisionContext::load(tx, compiled, &batch, now).await?;
    known.leave_out_waiting(account_id, workflow_id);
    match known.workflow(account_id, workflow_id) {
        // The preview is for before it is switched on.
        Some(workflow) => workflow.is_enabled = true,
        None if batch.is_empty() => {}
        None => {
            return Err(StoreError::NotFound(format!("account {account_id} has no workflow {workflow_id}")));
        }
    }
    let mut decided = Vec::with_capacity(batch.len());
    for mut enrollment in batch {
        use_delete_action(&mut known, &mut enrollment);
        decided.push((enrollment.object_id, known.decide(&enrollment, ledger_retention)));
    }
    Ok(decided)
}
