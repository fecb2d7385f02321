//! One thing at a time, read only.

use axum::Json;
use axum::extract::{Extension, State as Shared};
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::json;

use super::input::{Id, Record, StrictPath, StrictQuery, Text};
use super::problem::Problem;
use crate::domain::object_type::CONTACT;
use crate::domain::permission::Over;
use crate::http::auth::may_view;
use crate::http::limits::time_limit;
use crate::operations::{self, Operations, dead_letters, pages};
use crate::store::access::tokens::Caller;

/// What a handler answers.
type HandlerResult = Result<Response, Problem>;

/// No parameters at all.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoParams {}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WhichAction {
    action: Option<Id>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ExplainQuery {
    workflow: Id,
    contact: Id,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OneId {
    id: Id,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OneRecord {
    object: Text,
}

pub async fn contact(
    Shared(operations): Shared<Operations>,
    Extension(caller): Extension<Caller>,
    StrictPath(Id(contact)): StrictPath<Id>,
    StrictQuery(NoParams {}): StrictQuery<NoParams>,
) -> HandlerResult {
    Ok(Json(operations.store.contact(caller.account_id, contact).await?).into_response())
}

pub async fn company(
    Shared(operations): Shared<Operations>,
    Extension(caller): Extension<Caller>,
    StrictQuery(OneId { id }): StrictQuery<OneId>,
) -> HandlerResult {
    Ok(Json(operations.page(caller.account_id, "company", None, Some(id.0)).await?).into_response())
}

pub async fn segment(
    Shared(operations): Shared<Operations>,
    Extension(caller): Extension<Caller>,
    StrictQuery(OneId { id }): StrictQuery<OneId>,
) -> HandlerResult {
    Ok(Json(operations.page(caller.account_id, "segment", None, Some(id.0)).await?).into_response())
}

pub async fn timeline(
    Shared(operations): Shared<Operations>,
    Extension(caller): Extension<Caller>,
    StrictQuery(OneRecord { object }): StrictQuery<OneRecord>,
) -> HandlerResult {
    let record = pages::record(&object.0).map_err(Problem::malformed)?;
    Ok(Json(operations.page(caller.account_id, "timeline", Some(record), None).await?).into_response())
}

/// A page about the whole account; the other pages have routes of their own.
pub async fn page(
    Shared(operations): Shared<Operations>,
    Extension(caller): Extension<Caller>,
    StrictPath(Text(name)): StrictPath<Text>,
    StrictQuery(NoParams {}): StrictQuery<NoParams>,
) -> HandlerResult {
    Ok(Json(operations.page(caller.account_id, &name, None, None).await?).into_response())
}

/// A record that is no contact; what its type is decides who may read it.
pub async fn record(
    Shared(operations): Shared<Operations>,
    Extension(caller): Extension<Caller>,
    StrictPath(Record(key)): StrictPath<Record>,
    StrictQuery(NoParams {}): StrictQuery<NoParams>,
) -> HandlerResult {
    may_view(&caller, Over::Type(&key.object_type)).map_err(Problem::forbidden)?;
    if key.object_type == CONTACT {
        return Err(operations::Error::NotFound("contacts are at /contacts/{contactId}".to_owned()).into());
    }
    Ok(Json(operations.store.record(caller.account_id, &key).await?).into_response())
}

pub async fn enrollment(
    Shared(operations): Shared<Operations>,
    Extension(caller): Extension<Caller>,
    StrictPath(Id(enrollment)): StrictPath<Id>,
    StrictQuery(asked): StrictQuery<WhichAction>,
) -> HandlerResult {
    let action = asked.action.map(|id| id.0);
    Ok(Json(operations.enrollment(caller.account_id, enrollment, action).await?).into_response())
}

pub async fn erasure(
    Shared(operations): Shared<Operations>,
    Extension(caller): Extension<Caller>,
    StrictPath(Id(erasure)): StrictPath<Id>,
    StrictQuery(NoParams {}): StrictQuery<NoParams>,
) -> HandlerResult {
    Ok(Json(operations.erasure(caller.account_id, erasure).await?).into_response())
}

pub async fn explain(
    Shared(operations): Shared<Operations>,
    Extension(caller): Extension<Caller>,
    StrictQuery(ExplainQuery { workflow, contact }): StrictQuery<ExplainQuery>,
) -> HandlerResult {
    Ok(Json(operations.explain(caller.account_id, workflow.0, contact.0).await?).into_response())
}

pub async fn workflow_preview(
    Shared(operations): Shared<Operations>,
    Extension(caller): Extension<Caller>,
    StrictPath(Id(workflow)): StrictPath<Id>,
    StrictQuery(NoParams {}): StrictQuery<NoParams>,
) -> HandlerResult {
    let preview = operations.preview_workflow(caller.account_id, workflow, &mut time_limit()).await?;
    Ok(Json(preview).into_response())
}

pub async fn dead_letter(
    Shared(operations): Shared<Operations>,
    Extension(caller): Extension<Caller>,
    StrictPath(Id(id)): StrictPath<Id>,
    StrictQuery(NoParams {}): StrictQuery<NoParams>,
) -> HandlerResult {
    let (letter, body) = operations.dead_letter(id, Some(caller.account_id)).await?;
    Ok(Json(dead_letters::whole(&letter, &body)).into_response())
}

pub async fn retention(
    Shared(operations): Shared<Operations>,
    Extension(caller): Extension<Caller>,
    StrictQuery(NoParams {}): StrictQuery<NoParams>,
) -> HandlerResult {
    require_super_admin(&caller)?;
    Ok(Json(json!({ "jobs": operations.retention_status().await? })).into_response())
}

/// What the jobs do tells of all accounts together: that takes a user who may do anything in one.
pub fn require_super_admin(caller: &Caller) -> Result<(), Problem> {
    if caller.is_super_admin() {
        return Ok(());
    }
    Err(Problem::forbidden(format!(
        "user {} may not see the scheduled jobs, which are of all accounts: that takes the permission Super admin \
         (super_admin)",
        caller.user_id
    )))
}
