//! Workflows.

use axum::Json;
use axum::extract::OriginalUri;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use chrono::Utc;
use serde_json::{Map, Value, json};

use super::answers::{HandlerResult, absent, answer, by_id, next_page};
use super::error::ApiError;
use super::gate::demand_view;
use super::input::{Document, OfAccount, Params, inputs, text_member, writing};
use crate::domain::members::parse_id_text;
use crate::domain::object_type::CONTACT;
use crate::domain::token_scope::TokenScope;
use crate::store::StoreError;
use crate::store::crm::{FlowProblem, StoredFlow};

/// The most workflows of a page.
const MAX_LIMIT: u32 = 100;

/// What a page tells of each.
const LISTED: [&str; 9] = [
    "name",
    "isEnabled",
    "flowType",
    "objectTypeId",
    "revisionId",
    "createdAt",
    "updatedAt",
    "uuid",
    "description",
];

/// What the vendor's specification requires to replace one, and to create one.
const REQUIRED: [&str; 9] = [
    "type",
    "revisionId",
    "isEnabled",
    "actions",
    "timeWindows",
    "blockedDates",
    "customProperties",
    "suppressionListIds",
    "canEnrollFromSalesforce",
];

/// The token may read workflows, and its user contacts, whom they are about.
fn demand(of: &OfAccount) -> Result<(), ApiError> {
    demand_view(&of.caller, TokenScope::Automation, CONTACT)
}

fn listed(StoredFlow { id, flow }: &StoredFlow) -> Value {
    let mut listed = json!({ "id": id.to_string() });
    for name in LISTED {
        if let Some(member) = flow.get(name) {
            listed[name] = member.clone();
        }
    }
    listed
}

pub async fn list(
    of: OfAccount,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    params: Params,
) -> HandlerResult {
    demand(&of)?;
    let limit = params.number("limit", MAX_LIMIT, MAX_LIMIT)?;
    let store = &of.api.operations.store;
    let mut flows = store.flows(of.caller.account_id, params.after()?, i64::from(limit) + 1).await?;
    let goes_on = flows.len() > limit as usize;
    flows.truncate(limit as usize);
    let mut answer = json!({"results": flows.iter().map(listed).collect::<Vec<_>>()});
    if let Some(last) = flows.last().filter(|_| goes_on) {
        answer["paging"] = next_page(&headers, &uri, &last.id.to_string());
    }
    Ok(Json(answer).into_response())
}

pub async fn read(of: OfAccount) -> HandlerResult {
    demand(&of)?;
    let id = by_id(&of.name)?;
    let flow = of.api.operations.store.flows_by_id(of.caller.account_id, &[id]).await?.into_iter().next();
    Ok(Json(flow.ok_or_else(absent)?.flow).into_response())
}

pub async fn batch_read(of: OfAccount, Document(members): Document) -> HandlerResult {
    let began = Utc::now();
    demand(&of)?;
    let mut asked: Vec<String> = Vec::new();
    for (at, input) in inputs(&members)?.into_iter().enumerate() {
        if text_member(input, "type")?.is_none_or(|kind| kind != "FLOW_ID") {
            return Err(ApiError::invalid_member(&format!("inputs[{at}].type"), "must be FLOW_ID"));
        }
        let id = text_member(input, "flowId")?;
        let id = id.ok_or_else(|| ApiError::invalid_member(&format!("inputs[{at}].flowId"), "is missing"))?;
        if !asked.contains(&id.clone().into_owned()) {
            asked.push(id.into_owned());
        }
    }
    let ids: Vec<i64> = asked.iter().filter_map(|id| parse_id_text(id)).collect();
    let flows = of.api.operations.store.flows_by_id(of.caller.account_id, &ids).await?;
    let there = |id: &String| flows.iter().any(|flow| Some(flow.id) == parse_id_text(id));
    let missing: Vec<&String> = asked.iter().filter(|id| !there(id)).collect();
    let errors = if missing.is_empty() {
        Vec::new()
    } else {
        let error = ApiError::not_found("Could not get some flows: they do not exist. Check the ids.");
        vec![error.with_context(json!({ "ids": missing })).entry()]
    };
    let results: Vec<Value> = flows.into_iter().map(|flow| flow.flow).collect();
    Ok(answer(StatusCode::OK, began, &results, errors))
}

/// The definition in a body, with all that the vendor requires.
fn definition<'a>(
    members: &'a Map<String, Value>,
    required: &[&str],
) -> Result<&'a Map<String, Value>, ApiError> {
    let missing = required.iter().find(|name| members.get(**name).is_none_or(Value::is_null));
    match missing {
        Some(missing) => Err(ApiError::invalid_member(missing, "is missing")),
        None if !members["isEnabled"].is_boolean() => {
            Err(ApiError::invalid_member("isEnabled", "must be true or false"))
        }
        None if !members["actions"].is_array() => Err(ApiError::invalid_member("actions", "must be a list")),
        None => Ok(members),
    }
}

fn problem(problem: FlowProblem) -> ApiError {
    match problem {
        FlowProblem::NotFound => absent(),
        FlowProblem::Stale(revision) => ApiError::conflict(format!(
            "The flow has the revision {revision}: read it again, and send what you change with this revisionId"
        )),
        FlowProblem::Unsupported(findings) => {
            let details = findings
                .iter()
                .map(|it| json!({"message": it.says, "in": it.at, "code": "criteria_unsupported"}));
            let message =
                "The flow was not stored: it cannot be switched on while parts of it are unsupported";
            ApiError::invalid(message).with_errors(details.collect())
        }
    }
}

fn refused(error: StoreError) -> ApiError {
    match error {
        StoreError::Forbidden(why) => ApiError::missing_scope("bulk_delete", why),
        other => other.into(),
    }
}

pub async fn create(of: OfAccount, Document(members): Document) -> HandlerResult {
    demand(&of)?;
    let required: Vec<&str> = REQUIRED
        .into_iter()
        .filter(|name| *name != "revisionId")
        .chain(["flowType", "objectTypeId"])
        .collect();
    let flow = definition(&members, &required)?;
    let made = of.api.operations.store.create_flow(writing(&of.caller), flow).await.map_err(refused)?;
    Ok((StatusCode::CREATED, Json(made.map_err(problem)?.flow)).into_response())
}

pub async fn replace(of: OfAccount, Document(members): Document) -> HandlerResult {
    demand(&of)?;
    let (id, flow) = (by_id(&of.name)?, definition(&members, &REQUIRED)?);
    let written =
        of.api.operations.store.replace_flow(writing(&of.caller), id, flow).await.map_err(refused)?;
    Ok(Json(written.map_err(problem)?.flow).into_response())
}

pub async fn delete(of: OfAccount) -> HandlerResult {
    demand(&of)?;
    let id = by_id(&of.name)?;
    if of.api.operations.store.delete_flow(writing(&of.caller), id).await.map_err(refused)? {
        Ok(StatusCode::NO_CONTENT.into_response())
    } else {
        Err(absent())
    }
}
