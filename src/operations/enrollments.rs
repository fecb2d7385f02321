//! What was decided, and what would be.

use super::{Error, Operations};
use crate::domain::decision::Explanation;
use crate::store::read::EnrollmentRow;

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
