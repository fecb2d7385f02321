//! Up to a hundred records at once.

use std::collections::BTreeSet;

use axum::http::StatusCode;
use chrono::Utc;
use serde_json::{Map, Value, json};

use super::answers::{HandlerResult, answer};
use super::error::ApiError;
use super::gate::demand_view;
use super::input::{Document, OfType, Params, inputs, text_member, texts};
use super::objects::{change, no_unique_property, problem};
use super::shown::Shown;
use crate::domain::members::parse_id_text;
use crate::domain::object_type::CONTACT;
use crate::domain::permission::Scope;
use crate::domain::token_scope::TokenScope;
use crate::store::crm::{Problem, RecordRef, Target, Written};

/// One entry for all that were not found.
fn not_found(ids: &[String]) -> Value {
    let message = "Could not get some records: they may be deleted or not exist. Check the ids.";
    ApiError::not_found(message).with_context(json!({ "ids": ids })).entry()
}

fn id_of(at: usize, input: &Map<String, Value>) -> Result<String, ApiError> {
    let id = text_member(input, "id")?;
    id.map(std::borrow::Cow::into_owned)
        .ok_or_else(|| ApiError::invalid_member(&format!("inputs[{at}].id"), "is missing"))
}

/// By what the ids of a batch name records.
fn id_property(object_type: &str, named: Option<&str>) -> Result<bool, ApiError> {
    match named {
        None | Some("" | "hs_object_id") => Ok(false),
        Some("email") if object_type == CONTACT => Ok(true),
        Some(other) => Err(no_unique_property(other)),
    }
}

pub async fn read(
    OfType { api, caller, object_type, .. }: OfType,
    params: Params,
    Document(members): Document,
) -> HandlerResult {
    let began = Utc::now();
    demand_view(&caller, TokenScope::CrmRead, &object_type)?;
    let by_email = id_property(&object_type, text_member(&members, "idProperty")?.as_deref())?;
    let ids = inputs(&members)?.into_iter().enumerate().map(|(at, input)| id_of(at, input));
    let mut seen = BTreeSet::new();
    let mut ids = ids.collect::<Result<Vec<_>, _>>()?;
    ids.retain(|id| seen.insert(id.clone()));
    let shown = Shown::of(
        &api,
        caller.account_id,
        &object_type,
        texts(&members, "properties")?,
        texts(&members, "propertiesWithHistory")?,
    )
    .await?;
    let named = |id: &String| {
        if by_email { Some(RecordRef::Email(id.clone())) } else { parse_id_text(id).map(RecordRef::Id) }
    };
    let known: Vec<(&String, RecordRef)> = ids.iter().filter_map(|id| Some((id, named(id)?))).collect();
    let refs: Vec<RecordRef> = known.iter().map(|(_, record)| record.clone()).collect();
    let (is_archived, with_history) = (params.flag("archived")?, shown.with_history());
    let store = &api.operations.store;
    let found = store.records_by(caller.account_id, &object_type, &refs, is_archived, with_history).await?;
    let mut results = Vec::new();
    let mut missing: BTreeSet<&String> = ids.iter().collect();
    let mut shown_ids = BTreeSet::new();
    for ((id, _), record) in known.iter().zip(found) {
        if let Some(record) = record {
            missing.remove(id);
            // Two addresses of one contact are one record.
            if shown_ids.insert(record.id) {
                results.push(shown.object(&record));
            }
        }
    }
    let missing: Vec<String> = ids.iter().filter(|id| missing.contains(id)).cloned().collect();
    let errors = if missing.is_empty() { Vec::new() } else { vec![not_found(&missing)] };
    Ok(answer(StatusCode::OK, began, &results, errors))
}

pub async fn create(
    OfType { api, caller, object_type, .. }: OfType,
    Document(members): Document,
) -> HandlerResult {
    let began = Utc::now();
    let inputs = inputs(&members)?;
    let changes =
        inputs.iter().map(|input| change(&object_type, Target::New, input)).collect::<Result<Vec<_>, _>>()?;
    let traces = inputs.iter().map(|input| text_member(input, "objectWriteTraceId"));
    let traces: Vec<Option<String>> =
        traces.map(|trace| trace.map(|it| it.map(std::borrow::Cow::into_owned))).collect::<Result<_, _>>()?;
    // Where each can be told from the others, the good ones are written.
    let is_partial = !traces.is_empty() && traces.iter().all(Option::is_some);
    let outcomes = api.write(&caller, &object_type, changes, is_partial).await?;
    let with_trace = |at: usize, error: ApiError| match &traces[at] {
        Some(trace) => error.with_context(json!({"objectWriteTraceId": [trace]})),
        None => error,
    };
    let mut results = Vec::new();
    let mut errors = Vec::new();
    for (at, outcome) in outcomes.iter().enumerate() {
        match outcome {
            Ok(written) => {
                let mut object = Shown::all().object(&written.record);
                if let Some(trace) = &traces[at] {
                    object["objectWriteTraceId"] = json!(trace);
                }
                results.push(object);
            }
            Err(why) if is_partial => errors.push(with_trace(at, problem(why)).entry()),
            Err(Problem::NotTried) => {}
            Err(why) => return Err(problem(why)),
        }
    }
    Ok(answer(StatusCode::CREATED, began, &results, errors))
}

pub async fn update(
    OfType { api, caller, object_type, .. }: OfType,
    Document(members): Document,
) -> HandlerResult {
    let began = Utc::now();
    let (mut changes, mut ids) = (Vec::new(), Vec::new());
    for (at, input) in inputs(&members)?.into_iter().enumerate() {
        let id = id_of(at, input)?;
        let by_email = id_property(&object_type, text_member(input, "idProperty")?.as_deref())?;
        let record = match parse_id_text(&id) {
            _ if by_email => RecordRef::Email(id.clone()),
            Some(id) => RecordRef::Id(id),
            // No record has it: 0 is the id of none.
            None => RecordRef::Id(0),
        };
        changes.push(change(&object_type, Target::Live(record), input)?);
        ids.push(id);
    }
    let outcomes = api.write(&caller, &object_type, changes, true).await?;
    let (mut results, mut errors, mut missing) = (Vec::new(), Vec::new(), Vec::new());
    let mut shown = BTreeSet::new();
    for (outcome, id) in outcomes.iter().zip(&ids) {
        match outcome {
            Ok(written) if shown.insert(written.record.id) => {
                results.push(Shown::all().object(&written.record));
            }
            Ok(_) => {}
            Err(Problem::NotFound) => missing.push(id.clone()),
            Err(why) => errors.push(problem(why).with_context(json!({"ids": [id]})).entry()),
        }
    }
    if !missing.is_empty() {
        errors.push(not_found(&missing));
    }
    if results.is_empty() && missing.is_empty() && !errors.is_empty() {
        return Err(first_problem(&outcomes));
    }
    Ok(answer(StatusCode::OK, began, &results, errors))
}

/// Where nothing was written, the first problem is that of the whole.
fn first_problem(outcomes: &[Result<Written, Problem>]) -> ApiError {
    let first = outcomes.iter().find_map(|outcome| outcome.as_ref().err());
    first.map_or_else(|| ApiError::invalid("nothing was written"), problem)
}

pub async fn upsert(
    OfType { api, caller, object_type, .. }: OfType,
    Document(members): Document,
) -> HandlerResult {
    let began = Utc::now();
    let mut changes = Vec::new();
    for (at, input) in inputs(&members)?.into_iter().enumerate() {
        let id = id_of(at, input)?;
        match text_member(input, "idProperty")?.as_deref() {
            Some("email") if object_type == CONTACT => {}
            named => return Err(no_unique_property(named.unwrap_or("hs_object_id"))),
        }
        changes.push(change(&object_type, Target::Upsert(id), input)?);
    }
    let outcomes = api.write(&caller, &object_type, changes, false).await?;
    if let Some(why) =
        outcomes.iter().filter_map(|it| it.as_ref().err()).find(|why| **why != Problem::NotTried)
    {
        return Err(problem(why));
    }
    let mut shown = BTreeSet::new();
    let written = outcomes.iter().filter_map(|outcome| outcome.as_ref().ok());
    let results = written.filter(|written| shown.insert(written.record.id)).map(|written| {
        let mut object = Shown::all().object(&written.record);
        object["new"] = json!(written.is_new);
        object
    });
    Ok(answer(StatusCode::OK, began, &results.collect::<Vec<_>>(), Vec::new()))
}

pub async fn archive(
    OfType { api, caller, object_type, .. }: OfType,
    Document(members): Document,
) -> HandlerResult {
    let ids = inputs(&members)?.into_iter().enumerate().map(|(at, input)| id_of(at, input));
    let ids = ids.collect::<Result<Vec<_>, _>>()?;
    // Of what is no id there is nothing to delete.
    let ids = ids.iter().filter_map(|id| parse_id_text(id)).collect();
    api.archive(&caller, &object_type, ids, Scope::Many).await
}
