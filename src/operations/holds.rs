//! Enrollments that the volume guard holds.

use serde_json::{Value, json};

use super::{Error, Operations};
use crate::store::Operator;
use crate::store::decisions::holds::HoldResolution;

impl Operations {
    /// Approves or rejects all that the guard holds of a workflow.
    ///
    /// # Errors
    ///
    /// As [`crate::store::Store::resolve_holds`].
    pub async fn resolve_holds(
        &self,
        workflow: (i64, i64),
        resolution: HoldResolution,
        confirm: u64,
        operator: &Operator,
    ) -> Result<Value, Error> {
        self.store.resolve_holds(workflow.0, workflow.1, resolution, confirm, operator).await?;
        let member = match resolution {
            HoldResolution::Approve => "approved",
            HoldResolution::Reject => "rejected",
        };
        Ok(json!({ member: confirm }))
    }
}
