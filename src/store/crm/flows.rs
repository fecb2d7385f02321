//! Workflows as programs read, write and delete them.
//!
//! A definition is kept as it came. Its revision is counted here: a program that replaces it names the revision that it read, so that no
//! change of another is lost. A definition that would be refused when it decides is not switched on.

use serde_json::{Map, Value, json};

use super::{Writing, read_record};
use crate::domain::actions::deletes;
use crate::domain::criteria::{Finding, Severity};
use crate::domain::lint::lint;
use crate::domain::time::format_millis;
use crate::store::access::audit;
use crate::store::access::users::Operator;
use crate::store::criteria::kept;
use crate::store::db::Tx;
use crate::store::db::batch::Lists;
use crate::store::db::values::{Row, args};
use crate::store::decisions::pending;
use crate::store::import::ids::{allocate, keep_highest};
use crate::store::import::writer::{Writer, by_program};
use crate::store::{Store, StoreError, read_transaction};

/// A workflow.
#[derive(Clone, Debug, PartialEq)]
pub struct StoredFlow {
    pub id: i64,
    /// Its definition.
    pub flow: Value,
}

/// Why a definition was not stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FlowProblem {
    NotFound,
    /// The stored definition has this revision.
    Stale(String),
    /// It would be refused when it decides, by these findings.
    Unsupported(Vec<Finding>),
}

const WRITE: &str = "write workflows that delete";

/// What a definition that is replaced keeps: the vendor's way to replace one cannot say it.
const KEPT: [&str; 7] = [
    "id",
    "objectTypeId",
    "flowType",
    "dataSources",
    "nextAvailableActionId",
    "createdAt",
    "crmObjectCreationStatus",
];

impl Store {
    /// Workflows by their ids, above one.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn flows(
        &self,
        account_id: i64,
        after: i64,
        limit: i64,
    ) -> Result<Vec<StoredFlow>, StoreError> {
        read_transaction!(self, tx => page(tx, account_id, after, limit))
    }

    /// These workflows, as far as they are there.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn flows_by_id(&self, account_id: i64, ids: &[i64]) -> Result<Vec<StoredFlow>, StoreError> {
        read_transaction!(self, tx => by_id(tx, account_id, ids))
    }

    /// Stores a new workflow, with the next id of the account and the revision 1.
    ///
    /// # Errors
    ///
    /// Forbidden where the user may not delete many; refused where it cannot be stored.
    pub async fn create_flow(
        &self,
        by: Writing,
        flow: &Map<String, Value>,
    ) -> Result<Result<StoredFlow, FlowProblem>, StoreError> {
        by_program!(self, by.token_id, writer => create(writer, by, flow))
    }

    /// Replaces a workflow whose revision is the one of the definition.
    ///
    /// # Errors
    ///
    /// As [`Store::create_flow`].
    pub async fn replace_flow(
        &self,
        by: Writing,
        id: i64,
        flow: &Map<String, Value>,
    ) -> Result<Result<StoredFlow, FlowProblem>, StoreError> {
        by_program!(self, by.token_id, writer => replace(writer, by, id, flow))
    }

    /// Deletes a workflow; was it there? Enrollments that wait for it are decided anew, and delete no contact.
    ///
    /// # Errors
    ///
    /// Forbidden where the user may not delete many.
    pub async fn delete_flow(&self, by: Writing, id: i64) -> Result<bool, StoreError> {
        by_program!(self, by.token_id, writer => delete(writer, by, id))
    }
}

fn stored(row: &Row) -> Result<StoredFlow, StoreError> {
    Ok(StoredFlow { id: row.int("workflow_id")?, flow: row.json("flow")? })
}

async fn page(tx: &mut Tx, account_id: i64, after: i64, limit: i64) -> Result<Vec<StoredFlow>, StoreError> {
    let sql = "SELECT workflow_id, CAST(flow AS text) AS flow FROM workflows WHERE account_id = $1 AND workflow_id > $2 \
               ORDER BY workflow_id LIMIT $3";
    tx.rows(sql, args![account_id, after, limit]).await?.iter().map(stored).collect()
}

async fn by_id(tx: &mut Tx, account_id: i64, ids: &[i64]) -> Result<Vec<StoredFlow>, StoreError> {
    let sql = format!(
        "SELECT w.workflow_id, CAST(w.flow AS text) AS flow FROM {} {} workflows w \
         ON w.account_id = $1 AND w.workflow_id = b.id ORDER BY w.workflow_id",
        tx.dialect().ids(2, &["id"]),
        tx.dialect().batch_join(),
    );
    let ids = Lists::ids(ids.iter().map(|id| [*id]));
    tx.rows(&sql, args![account_id, ids]).await?.iter().map(stored).collect()
}

/// One workflow, locked until the commit.
async fn locked(tx: &mut Tx, account_id: i64, id: i64) -> Result<Option<StoredFlow>, StoreError> {
    let sql = format!(
        "SELECT w.workflow_id, CAST(w.flow AS text) AS flow FROM workflows w WHERE w.account_id = $1 AND w.workflow_id = $2{}",
        tx.for_update("w")
    );
    tx.row(&sql, args![account_id, id]).await?.as_ref().map(stored).transpose()
}

/// The user of the token, as the audit has it, who may have workflows delete.
async fn authorize(writer: &mut Writer, by: Writing) -> Result<audit::Actor, StoreError> {
    let user = Operator::OfTheAccount(by.user_id.to_string());
    user.authorize_bulk(writer.tx(), by.account_id, WRITE).await
}

async fn create(
    writer: &mut Writer,
    by: Writing,
    flow: &Map<String, Value>,
) -> Result<Result<StoredFlow, FlowProblem>, StoreError> {
    let actor = authorize(writer, by).await?;
    let mut flow = Value::Object(flow.clone());
    let now = format_millis(writer.now());
    // Any id will do to see whether it is understood: none is used up by what is refused.
    flow["id"] = json!("1");
    if let Some(problem) = refusal(writer.tx(), by.account_id, &flow).await? {
        return Ok(Err(problem));
    }
    let ids = allocate(writer.tx(), by.account_id, 1).await?;
    let id = *ids.first().ok_or_else(|| StoreError::Failed("no id was given".to_owned()))?;
    flow["id"] = json!(id.to_string());
    flow["revisionId"] = json!("1");
    flow["createdAt"] = json!(now);
    flow["crmObjectCreationStatus"] = json!("COMPLETE");
    flow["nextAvailableActionId"] = json!(next_action(&flow).to_string());
    store(writer, by, &actor, "create_workflow", StoredFlow { id, flow }).await.map(Ok)
}

/// The number above those of all actions.
fn next_action(flow: &Value) -> u64 {
    let ids = flow["actions"].as_array().into_iter().flatten();
    let ids = ids.filter_map(|action| action.get("actionId")?.as_str()?.parse::<u64>().ok());
    ids.max().unwrap_or_default().saturating_add(1)
}

async fn replace(
    writer: &mut Writer,
    by: Writing,
    id: i64,
    flow: &Map<String, Value>,
) -> Result<Result<StoredFlow, FlowProblem>, StoreError> {
    let actor = authorize(writer, by).await?;
    let Some(before) = locked(writer.tx(), by.account_id, id).await? else {
        return Ok(Err(FlowProblem::NotFound));
    };
    let revision = text(&before.flow, "revisionId");
    let mut flow = Value::Object(flow.clone());
    if text(&flow, "revisionId") != revision {
        return Ok(Err(FlowProblem::Stale(revision)));
    }
    for name in KEPT {
        if let Some(kept) = before.flow.get(name) {
            flow[name] = kept.clone();
        }
    }
    let next = revision.parse::<u64>().unwrap_or_default().saturating_add(1);
    flow["revisionId"] = json!(next.to_string());
    let highest = text(&before.flow, "nextAvailableActionId").parse::<u64>().unwrap_or_default();
    flow["nextAvailableActionId"] = json!(next_action(&flow).max(highest).to_string());
    if let Some(problem) = refusal(writer.tx(), by.account_id, &flow).await? {
        return Ok(Err(problem));
    }
    store(writer, by, &actor, "replace_workflow", StoredFlow { id, flow }).await.map(Ok)
}

/// A text, or a number as its text.
fn text(flow: &Value, name: &str) -> String {
    match flow.get(name) {
        Some(Value::String(text)) => text.clone(),
        Some(Value::Number(number)) => number.to_string(),
        _ => String::new(),
    }
}

async fn store(
    writer: &mut Writer,
    by: Writing,
    actor: &audit::Actor,
    action: &str,
    mut stored: StoredFlow,
) -> Result<StoredFlow, StoreError> {
    let now = writer.now();
    stored.flow["updatedAt"] = json!(format_millis(now));
    let record = json!({"kind": "workflow", "accountId": by.account_id.to_string(), "flow": stored.flow});
    writer.write_all(vec![read_record(&record)?]).await?;
    audit::write(writer.tx(), now, by.account_id, actor, action, &[stored.id], 1).await?;
    Ok(stored)
}

/// Why a workflow that is switched on, and deletes contacts, would be refused when it decides.
async fn refusal(tx: &mut Tx, account_id: i64, flow: &Value) -> Result<Option<FlowProblem>, StoreError> {
    let (workflow, mut findings) = lint(flow);
    let is_on = flow["isEnabled"] == Value::Bool(true);
    if !is_on || !workflow.is_contact_workflow || deletes(flow).next().is_none() {
        return Ok(None);
    }
    if let Some(kept) = kept::of_account(tx, account_id, &workflow).await? {
        findings.extend(workflow.unkept(&kept));
    }
    findings.retain(|finding| finding.concern == Severity::Unsupported);
    Ok((!findings.is_empty()).then_some(FlowProblem::Unsupported(findings)))
}

async fn delete(writer: &mut Writer, by: Writing, id: i64) -> Result<bool, StoreError> {
    let actor = authorize(writer, by).await?;
    if locked(writer.tx(), by.account_id, id).await?.is_none() {
        return Ok(false);
    }
    let now = writer.now();
    keep_highest(writer.tx(), by.account_id).await?;
    for table in ["workflows", "pauses"] {
        let sql = format!("DELETE FROM {table} WHERE account_id = $1 AND workflow_id = $2");
        writer.tx().execute(&sql, args![by.account_id, id]).await?;
    }
    pending::mark_all_ready(writer.tx(), (by.account_id, id), now).await?;
    audit::write(writer.tx(), now, by.account_id, &actor, "delete_workflow", &[id], 1).await?;
    Ok(true)
}
