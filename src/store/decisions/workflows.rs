//! The switch of a workflow.

use serde_json::Value;

use crate::store::access::audit;
use crate::store::access::users::Operator;
use crate::store::db::Tx;
use crate::store::db::values::args;
use crate::store::{Store, StoreError, transaction};

const ON: &str = "switch on workflows that delete";
const OFF: &str = "switch off workflows that delete";

impl Store {
    /// Switches a workflow on or off; was it on before? Deciding transactions lock its row: once this has switched it off and
    /// returned, it deletes nobody any more.
    ///
    /// # Errors
    ///
    /// Refused: a workflow or a user that is not there, a user who may not delete many.
    pub async fn switch_workflow(
        &self,
        account_id: i64,
        workflow_id: i64,
        on: bool,
        operator: &Operator,
    ) -> Result<bool, StoreError> {
        transaction!(self, tx => switch(tx, account_id, workflow_id, on, operator))
    }
}

async fn switch(
    tx: &mut Tx,
    account_id: i64,
    workflow_id: i64,
    on: bool,
    operator: &Operator,
) -> Result<bool, StoreError> {
    let actor = operator.authorize_bulk(tx, account_id, if on { ON } else { OFF }).await?;
    let sql = format!(
        "SELECT CAST(w.flow AS text) AS flow FROM workflows w WHERE w.account_id = $1 AND w.workflow_id = $2{}",
        tx.for_update("w")
    );
    let Some(row) = tx.row(&sql, args![account_id, workflow_id]).await? else {
        return Err(StoreError::NotFound(format!(
            "account {account_id} has no workflow {workflow_id}; nothing was switched"
        )));
    };
    let mut flow: Value = row.json("flow")?;
    let was_on = flow["isEnabled"] == Value::Bool(true);
    if was_on == on {
        return Ok(was_on);
    }
    flow["isEnabled"] = Value::Bool(on);
    let sql = "UPDATE workflows SET flow = $3 WHERE account_id = $1 AND workflow_id = $2";
    tx.execute(sql, args![account_id, workflow_id, flow.to_string()]).await?;
    let (now, action) = (tx.now().await?, if on { "switch_workflow_on" } else { "switch_workflow_off" });
    audit::write(tx, now, account_id, &actor, action, &[workflow_id], 1).await?;
    Ok(was_on)
}
