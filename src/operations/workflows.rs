//! A look at a workflow before it is switched on.

use std::ops::ControlFlow;

use super::{Error, Operations};
use crate::store::Preview;

impl Operations {
    /// Which live contacts a workflow would delete if it were on now; tells `seen` how many it has looked at.
    ///
    /// # Errors
    ///
    /// Where there is no such workflow, or `seen` breaks it off.
    pub async fn preview_workflow(
        &self,
        account_id: i64,
        workflow_id: i64,
        seen: &mut (dyn FnMut(u64) -> ControlFlow<()> + Send),
    ) -> Result<Preview, Error> {
        if !self.store.has_workflow(account_id, workflow_id).await? {
            return Err(Error::NotFound(format!(
                "account {account_id} has no workflow {workflow_id}: import it first, switched off"
            )));
        }
        let retention = self.options.rules.ledger_retention;
        let mut preview = Preview::default();
        while self.store.preview(account_id, workflow_id, retention, &mut preview).await? {
            if seen(preview.live_contacts).is_break() {
                return Err(Error::TooLong(format!(
                    "after {} contacts the preview was given up, because it takes too long here: `contact-reaper workflow \
                     preview --account {account_id} --workflow {workflow_id}` takes the time it needs",
                    preview.live_contacts
                )));
            }
        }
        Ok(preview)
    }
}
