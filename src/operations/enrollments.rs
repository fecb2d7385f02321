//! What was decided, and what would be.

use super::{Error, Operations};
use crate::domain::decision::Explanation;
use crate::store::decisions::holds::HeldEnrollment;
use crate::store::views::read::EnrollmentRow;

impl Operations {
    /// The decision on one enrollment; `action_id` tells which where it had several.
    ///
    /// # Errors
    ///
    /// Where there is none, or more than one.
    pub async fn enrollment(
        &self,
        account_id: i64,
        enrollment_id: i64,
        action_id: Option<i64>,
    ) -> Result<EnrollmentRow, Error> {
        let mut rows = self.store.enrollment(account_id, enrollment_id, action_id).await?;
        if rows.len() > 1 {
            let actions: Vec<&str> = rows.iter().map(|row| row.action_id.as_str()).collect();
            return Err(Error::Usage(format!(
                "enrollment {enrollment_id} had several actions: give --action (action) with one of {}",
                actions.join(", ")
            )));
        }
        rows.pop().ok_or_else(|| {
            Error::NotFound(format!("account {account_id} has no decision on enrollment {enrollment_id}"))
        })
    }

    /// Whom an approval of what the guard holds of a workflow would delete now, and why not the others; so many at most,
    /// after this enrollment and action.
    ///
    /// # Errors
    ///
    /// Where the account has no such workflow.
    pub async fn held_enrollments(
        &self,
        (account_id, workflow_id): (i64, i64),
        after: (i64, i64),
        limit: usize,
    ) -> Result<Vec<HeldEnrollment>, Error> {
        let rules = &self.options.rules;
        let held = self.store.held_enrollments((account_id, workflow_id), after, limit, rules).await?;
        // One that was held and whose workflow is gone still waits.
        if held.is_empty() && !self.store.has_workflow(account_id, workflow_id).await? {
            return Err(Error::NotFound(format!("account {account_id} has no workflow {workflow_id}")));
        }
        Ok(held)
    }

    /// Would a workflow delete a contact now, and why?
    ///
    /// # Errors
    ///
    /// Where the store does not answer.
    pub async fn explain(
        &self,
        account_id: i64,
        workflow_id: i64,
        contact_id: i64,
    ) -> Result<Explanation, Error> {
        Ok(self.store.explain(account_id, workflow_id, contact_id, &self.options.rules).await?)
    }
}
