//! What changes something. Whether the user may is asked by the transaction that does it.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::{Extension, State as Shared};
use axum::http::StatusCode;
use axum::response::{IntoResponse, Response};
use serde::Deserialize;
use serde_json::{Value, json};

use super::input::{Count, Id, ObjectType, Record, StrictJson, StrictPath, Text, Timestamp, present};
use super::problem::Problem;
use super::resources::require_super_admin;
use crate::domain::criteria::Filter;
use crate::domain::dead_letter::Selection;
use crate::domain::object_type::{CONTACT, RecordKey};
use crate::http::auth::operator;
use crate::http::limits::{JOB_TIMEOUT, time_limit};
use crate::operations::retention::Stop;
use crate::operations::{Error, Operations};
use crate::store::access::tokens::Caller;
use crate::store::decisions::holds::HoldResolution;
use crate::store::decisions::pauses::Scope;
use crate::store::deletions;
use crate::store::privacy::erase::ErasureTarget;
use crate::store::records::DeleteRequest;
use crate::store::trash::restore::{Request, RestoreSelection};

/// What a handler answers.
type HandlerResult = Result<Response, Problem>;

/// Dead letters that are replayed a second.
const REPLAY_RATE: u32 = 500;

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Delete {
    #[serde(default, deserialize_with = "present")]
    contact_ids: Option<BTreeSet<Id>>,
    #[serde(default, deserialize_with = "present")]
    segment_id: Option<Id>,
    #[serde(default, deserialize_with = "present")]
    filter: Option<Value>,
    #[serde(default, deserialize_with = "present")]
    records: Option<BTreeSet<Record>>,
    #[serde(default, deserialize_with = "present")]
    object_type: Option<ObjectType>,
    confirm: Count,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct PreviewDelete {
    #[serde(default, deserialize_with = "present")]
    contact_ids: Option<BTreeSet<Id>>,
    #[serde(default, deserialize_with = "present")]
    segment_id: Option<Id>,
    #[serde(default, deserialize_with = "present")]
    filter: Option<Value>,
    #[serde(default, deserialize_with = "present")]
    object_type: Option<ObjectType>,
    #[serde(default, deserialize_with = "present")]
    records: Option<BTreeSet<Record>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Restore {
    #[serde(default, deserialize_with = "present")]
    contact_ids: Option<Vec<Id>>,
    #[serde(default, deserialize_with = "present")]
    workflow_id: Option<Id>,
    #[serde(default, deserialize_with = "present")]
    since: Option<Timestamp>,
    #[serde(default, deserialize_with = "present")]
    deleted_by: Option<Text>,
    #[serde(default, deserialize_with = "present")]
    deletion_id: Option<Id>,
    #[serde(default, deserialize_with = "present")]
    records: Option<Vec<Record>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Erase {
    #[serde(default, deserialize_with = "present")]
    contact_id: Option<Id>,
    #[serde(default, deserialize_with = "present")]
    email: Option<Text>,
    confirm: Count,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct PreviewErasure {
    #[serde(default, deserialize_with = "present")]
    contact_id: Option<Id>,
    #[serde(default, deserialize_with = "present")]
    email: Option<Text>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct SetHold {
    contact_id: Id,
    reason: Text,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct LiftHold {
    contact_id: Id,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Confirmed {
    confirm: Count,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct WhichWorkflow {
    #[serde(default, deserialize_with = "present")]
    workflow_id: Option<Id>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WhichJob {
    #[serde(default, deserialize_with = "present")]
    job: Option<Text>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct OneJob {
    job: Text,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Replay {
    #[serde(default, deserialize_with = "present")]
    all: Option<bool>,
    #[serde(default, deserialize_with = "present")]
    reason: Option<Text>,
    #[serde(default, deserialize_with = "present")]
    ids: Option<Vec<Id>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Discard {
    #[serde(default, deserialize_with = "present")]
    all: Option<bool>,
    #[serde(default, deserialize_with = "present")]
    reason: Option<Text>,
    #[serde(default, deserialize_with = "present")]
    ids: Option<Vec<Id>>,
    confirm: Count,
}

pub async fn delete(
    Shared(operations): Shared<Operations>,
    Extension(caller): Extension<Caller>,
    StrictJson(wish): StrictJson<Delete>,
) -> HandlerResult {
    let (account_id, user, confirm) = (caller.account_id, caller.user_id.to_string(), wish.confirm.0);
    let deleted =
        match selected(wish.contact_ids, wish.segment_id, wish.filter, wish.object_type, wish.records)? {
            Selected::Named(records) => {
                operations.delete_records(&DeleteRequest { account_id, user, records, confirm }).await?
            }
            Selected::Many { object_type, selection } => {
                let request = deletions::Request { account_id, user, object_type, selection, confirm };
                operations.delete(&request, &mut |_| {}).await?
            }
        };
    Ok(Json(deleted).into_response())
}

pub async fn preview_delete(
    Shared(operations): Shared<Operations>,
    Extension(caller): Extension<Caller>,
    StrictJson(wish): StrictJson<PreviewDelete>,
) -> HandlerResult {
    let (account_id, user) = (caller.account_id, caller.user_id.to_string());
    let store = &operations.store;
    let preview =
        match selected(wish.contact_ids, wish.segment_id, wish.filter, wish.object_type, wish.records)? {
            Selected::Named(records) => store.preview_delete_of_records(account_id, &user, &records).await,
            Selected::Many { object_type, selection } => {
                let request = deletions::Request { account_id, user, object_type, selection, confirm: 0 };
                store.preview_delete(&request, &mut |_| {}).await
            }
        };
    Ok(Json(preview.map_err(Error::from)?).into_response())
}

/// What a delete is about.
enum Selected {
    /// Records that are no contacts, each by itself.
    Named(Vec<RecordKey>),
    Many {
        object_type: String,
        selection: deletions::Selection,
    },
}

fn selected(
    contact_ids: Option<BTreeSet<Id>>,
    segment_id: Option<Id>,
    filter: Option<Value>,
    object_type: Option<ObjectType>,
    records: Option<BTreeSet<Record>>,
) -> Result<Selected, Problem> {
    let contacts = |selection| Selected::Many { object_type: CONTACT.to_owned(), selection };
    Ok(match (contact_ids, segment_id, (filter, object_type), records) {
        (None, None, (None, None), Some(records)) if !records.is_empty() => {
            Selected::Named(records.into_iter().map(|record| record.0).collect())
        }
        (Some(ids), segment, (None, None), None) if !ids.is_empty() => {
            let ids = ids.into_iter().map(|id| id.0).collect();
            contacts(deletions::Selection::Picked { contacts: ids, segment_id: segment.map(|id| id.0) })
        }
        (None, Some(Id(segment)), (None, None), None) => contacts(deletions::Selection::Segment(segment)),
        (None, None, (Some(branch), object_type), None) => {
            let object_type = object_type.map_or_else(|| CONTACT.to_owned(), |it| it.0);
            let selection = deletions::Selection::Filter(Box::new(read_filter(&branch, &object_type)?));
            Selected::Many { object_type, selection }
        }
        _ => {
            return Err(Problem::malformed(
                "name contactIds (one at least), segmentId, both of them, filter with or without objectType, or records alone",
            ));
        }
    })
}

/// A filter that says what to delete; one that takes everything, or that is not understood, is none.
fn read_filter(branch: &Value, object_type: &str) -> Result<Filter, Problem> {
    Filter::parse(branch, object_type).map_err(|complaint| {
        let detail = format!("nothing is deleted by this filter: {complaint}");
        Problem::new(StatusCode::CONFLICT, "refused", detail)
    })
}

fn wanted(caller: &Caller, wish: &Restore) -> Result<Request, Problem> {
    if wish.records.is_some() {
        return Err(Problem::malformed("records are named alone, and not in a preview"));
    }
    let run = (wish.workflow_id, &wish.deleted_by, wish.deletion_id);
    let wanted = match (&wish.contact_ids, run, wish.since) {
        (Some(ids), (None, None, None), None) if !ids.is_empty() => {
            RestoreSelection::contacts(&ids.iter().map(|id| id.0).collect::<Vec<_>>())
        }
        (None, (Some(Id(workflow_id)), None, None), Some(Timestamp(since))) => {
            RestoreSelection::DeletedBy { workflow_id, since }
        }
        (None, (None, Some(Text(user)), None), Some(Timestamp(since))) => {
            RestoreSelection::DeletedByUser { user: user.clone(), since }
        }
        (None, (None, None, Some(Id(deletion_id))), None) => RestoreSelection::Deletion(deletion_id),
        _ => {
            return Err(Problem::malformed(
                "name contactIds (one at least), records (one at least; not in a preview), workflowId and since, deletedBy and \
                 since, or deletionId",
            ));
        }
    };
    Ok(Request { account_id: caller.account_id, user: caller.user_id.to_string(), wanted })
}

pub async fn restore(
    Shared(operations): Shared<Operations>,
    Extension(caller): Extension<Caller>,
    StrictJson(wish): StrictJson<Restore>,
) -> HandlerResult {
    if let Restore {
        records: Some(records),
        contact_ids: None,
        workflow_id: None,
        since: None,
        deleted_by: None,
        deletion_id: None,
    } = &wish
        && !records.is_empty()
    {
        let named: BTreeSet<&Record> = records.iter().collect();
        let keys: Vec<RecordKey> = named.into_iter().map(|record| record.0.clone()).collect();
        let user = caller.user_id.to_string();
        return Ok(Json(operations.restore_records(caller.account_id, &user, &keys).await?).into_response());
    }
    let (report, ended) = operations.restore(&wanted(&caller, &wish)?, &mut |_| {}).await;
    ended?;
    Ok(Json(report).into_response())
}

pub async fn preview_restore(
    Shared(operations): Shared<Operations>,
    Extension(caller): Extension<Caller>,
    StrictJson(wish): StrictJson<Restore>,
) -> HandlerResult {
    let preview = operations.preview_restore(&wanted(&caller, &wish)?, &time_limit()).await?;
    Ok(Json(preview).into_response())
}

pub async fn erase(
    Shared(operations): Shared<Operations>,
    Extension(caller): Extension<Caller>,
    StrictJson(Erase { contact_id, email, confirm: Count(confirm) }): StrictJson<Erase>,
) -> HandlerResult {
    let (target, user) = (erasure_target(contact_id, email)?, caller.user_id.to_string());
    Ok(Json(operations.erase(caller.account_id, &user, &target, confirm).await?).into_response())
}

pub async fn preview_erasure(
    Shared(operations): Shared<Operations>,
    Extension(caller): Extension<Caller>,
    StrictJson(PreviewErasure { contact_id, email }): StrictJson<PreviewErasure>,
) -> HandlerResult {
    let (target, user) = (erasure_target(contact_id, email)?, caller.user_id.to_string());
    Ok(Json(operations.preview_erasure(caller.account_id, &user, &target).await?).into_response())
}

fn erasure_target(contact_id: Option<Id>, email: Option<Text>) -> Result<ErasureTarget, Problem> {
    match (contact_id, email) {
        (Some(Id(contact)), None) => Ok(ErasureTarget::Contact(contact)),
        (None, Some(Text(address))) => Ok(ErasureTarget::Address(address)),
        _ => Err(Problem::malformed("name contactId or email, and not both")),
    }
}

pub async fn set_legal_hold(
    Shared(operations): Shared<Operations>,
    Extension(caller): Extension<Caller>,
    StrictJson(SetHold { contact_id: Id(contact), reason: Text(reason) }): StrictJson<SetHold>,
) -> HandlerResult {
    let contact = (caller.account_id, contact);
    Ok(Json(operations.set_legal_hold(contact, &operator(&caller), &reason).await?).into_response())
}

pub async fn lift_legal_hold(
    Shared(operations): Shared<Operations>,
    Extension(caller): Extension<Caller>,
    StrictJson(LiftHold { contact_id: Id(contact) }): StrictJson<LiftHold>,
) -> HandlerResult {
    let contact = (caller.account_id, contact);
    Ok(Json(operations.lift_legal_hold(contact, &operator(&caller)).await?).into_response())
}

pub async fn approve(
    operations: Shared<Operations>,
    caller: Extension<Caller>,
    workflow: StrictPath<Id>,
    sent: StrictJson<Confirmed>,
) -> HandlerResult {
    rule(operations, caller, workflow, sent, HoldResolution::Approve).await
}

pub async fn reject(
    operations: Shared<Operations>,
    caller: Extension<Caller>,
    workflow: StrictPath<Id>,
    sent: StrictJson<Confirmed>,
) -> HandlerResult {
    rule(operations, caller, workflow, sent, HoldResolution::Reject).await
}

async fn rule(
    Shared(operations): Shared<Operations>,
    Extension(caller): Extension<Caller>,
    StrictPath(Id(workflow)): StrictPath<Id>,
    StrictJson(Confirmed { confirm: Count(confirm) }): StrictJson<Confirmed>,
    ruling: HoldResolution,
) -> HandlerResult {
    let workflow = (caller.account_id, workflow);
    Ok(Json(operations.resolve_holds(workflow, ruling, confirm, &operator(&caller)).await?).into_response())
}

fn scope(caller: &Caller, which: &WhichWorkflow) -> Scope {
    Scope { account_id: Some(caller.account_id), workflow_id: which.workflow_id.map(|id| id.0) }
}

pub async fn pause(
    Shared(operations): Shared<Operations>,
    Extension(caller): Extension<Caller>,
    StrictJson(which): StrictJson<WhichWorkflow>,
) -> HandlerResult {
    Ok(Json(operations.pause(scope(&caller, &which), &operator(&caller)).await?).into_response())
}

pub async fn resume(
    Shared(operations): Shared<Operations>,
    Extension(caller): Extension<Caller>,
    StrictJson(which): StrictJson<WhichWorkflow>,
) -> HandlerResult {
    let resumed = operations.store.resume(scope(&caller, &which), &operator(&caller)).await?;
    Ok(Json(resumed).into_response())
}

fn letters(
    caller: &Caller,
    all: Option<bool>,
    reason: Option<Text>,
    ids: Option<Vec<Id>>,
) -> Result<Selection, Problem> {
    let account_id = Some(caller.account_id);
    match (all, reason, ids) {
        (Some(true), None, None) => Ok(Selection { account_id, ..Selection::default() }),
        (None, Some(Text(reason)), None) => {
            Ok(Selection { reason: Some(reason), account_id, ids: Vec::new() })
        }
        (None, None, Some(ids)) if !ids.is_empty() => {
            let ids = ids.into_iter().map(|Id(id)| id).collect();
            Ok(Selection { ids, account_id, reason: None })
        }
        _ => Err(Problem::malformed("name all (true), reason or ids (one at least), and only one of them")),
    }
}

pub async fn replay(
    Shared(operations): Shared<Operations>,
    Extension(caller): Extension<Caller>,
    StrictJson(Replay { all, reason, ids }): StrictJson<Replay>,
) -> HandlerResult {
    let selection = letters(&caller, all, reason, ids)?;
    let replayed = operations.replay_dead_letters(&selection, &operator(&caller), REPLAY_RATE).await?;
    Ok(Json(replayed).into_response())
}

pub async fn discard(
    Shared(operations): Shared<Operations>,
    Extension(caller): Extension<Caller>,
    StrictJson(Discard { all, reason, ids, confirm: Count(confirm) }): StrictJson<Discard>,
) -> HandlerResult {
    let selection = letters(&caller, all, reason, ids)?;
    let discarded = operations.discard_dead_letters(&selection, &operator(&caller), confirm).await?;
    Ok(Json(discarded).into_response())
}

pub async fn dry_run_retention(
    Shared(operations): Shared<Operations>,
    Extension(caller): Extension<Caller>,
    StrictJson(WhichJob { job }): StrictJson<WhichJob>,
) -> HandlerResult {
    require_super_admin(&caller)?;
    let job = job.map(|Text(name)| name);
    let reports = operations.dry_run_retention(job.as_deref()).await?;
    Ok(Json(json!({ "jobs": reports })).into_response())
}

pub async fn run_retention(
    Shared(operations): Shared<Operations>,
    Extension(caller): Extension<Caller>,
    Extension(stop): Extension<Stop>,
    StrictJson(OneJob { job: Text(job) }): StrictJson<OneJob>,
) -> HandlerResult {
    let by = (caller.account_id, &operator(&caller));
    let report = operations.run_job(&job, by, JOB_TIMEOUT, &stop).await?;
    Ok(Json(json!({ "jobs": [report] })).into_response())
}
