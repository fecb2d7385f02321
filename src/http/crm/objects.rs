//! One record, or a page of them.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::OriginalUri;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use serde_json::{Map, Value, json};

use super::Api;
use super::answers::{HandlerResult, absent, by_id, next_page};
use super::associations;
use super::error::ApiError;
use super::gate::{demand, demand_view};
use super::input::{Document, OfType, Params, properties, text_member};
use super::shown::Shown;
use crate::domain::address::is_plain_address;
use crate::domain::object_type::CONTACT;
use crate::domain::permission::Scope;
use crate::domain::token_scope::TokenScope;
use crate::store::StoreError;
use crate::store::access::tokens::Caller;
use crate::store::crm::{
    Archive, Archived, Change, PageRequest, Problem, PropertyProblem, RecordRef, Target, WriteRequest,
    Written,
};
use crate::store::deletions::Program;
use crate::store::privacy::erase::ErasureTarget;

/// The most records of a page.
const MAX_LIMIT: u32 = 100;
const DEFAULT_LIMIT: u32 = 10;

impl Api {
    /// Writes records, which takes a token for that.
    pub async fn write(
        &self,
        caller: &Caller,
        object_type: &str,
        changes: Vec<Change>,
        is_partial: bool,
    ) -> Result<Vec<Result<Written, Problem>>, ApiError> {
        demand_view(caller, TokenScope::CrmWrite, object_type)?;
        for association in changes.iter().flat_map(|change| &change.associations) {
            demand_view(caller, TokenScope::CrmWrite, &association.with.object_type)?;
        }
        let request = WriteRequest {
            account_id: caller.account_id,
            object_type: object_type.to_owned(),
            token_id: caller.token_id,
            user_id: caller.user_id,
            changes,
            is_partial,
        };
        Ok(self.operations.store.write_records(&request).await?)
    }

    /// Deletes those of the records that are live, which takes a token for that.
    pub async fn archive(
        &self,
        caller: &Caller,
        object_type: &str,
        ids: BTreeSet<i64>,
        scope: Scope,
    ) -> HandlerResult {
        demand(caller, TokenScope::CrmDelete)?;
        let guard = self.options.guard;
        let request = Archive {
            account_id: caller.account_id,
            user_id: caller.user_id,
            token_id: caller.token_id,
            object_type: object_type.to_owned(),
            ids,
            scope,
            guard,
        };
        let permission = match scope {
            Scope::One => "delete",
            Scope::Many => "bulk_delete",
        };
        match self.operations.store.archive_records(&request).await {
            Ok(Archived::Done(_)) => Ok(StatusCode::NO_CONTENT.into_response()),
            Ok(Archived::OverLimit) => Err(self.over_limit()),
            Err(StoreError::Forbidden(why)) => Err(ApiError::missing_scope(permission, why)),
            Err(error) => Err(error.into()),
        }
    }

    fn over_limit(&self) -> ApiError {
        let guard = self.options.guard;
        let message = format!(
            "This token may delete {} records within {} (guard.api): nothing was deleted. A person can delete more.",
            guard.max_deletions,
            humantime::format_duration(guard.window)
        );
        ApiError::limited("DELETIONS", &message, guard.window.as_secs().max(1))
    }
}

/// By what a path names a record: its id, or one of a contact's addresses.
fn named(object_type: &str, id: &str, params: &Params) -> Result<RecordRef, ApiError> {
    match params.text("idProperty") {
        None | Some("" | "hs_object_id") => by_id(id).map(RecordRef::Id),
        Some("email") if object_type == CONTACT => Ok(RecordRef::Email(id.to_owned())),
        Some(other) => Err(no_unique_property(other)),
    }
}

/// A property by which no record can be named.
pub fn no_unique_property(name: &str) -> ApiError {
    ApiError::invalid(format!("{name} is no unique property: name records by id, and contacts also by email"))
}

pub async fn list(
    OfType { api, caller, object_type, .. }: OfType,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    params: Params,
) -> HandlerResult {
    demand_view(&caller, TokenScope::CrmRead, &object_type)?;
    let shown = Shown::by_params(&api, caller.account_id, &object_type, &params).await?;
    let limit = params.number("limit", DEFAULT_LIMIT, shown.most(MAX_LIMIT))?;
    let page = PageRequest {
        after: params.after()?,
        limit: i64::from(limit) + 1,
        is_archived: params.flag("archived")?,
        with_history: shown.with_history(),
    };
    let mut records = api.operations.store.record_page(caller.account_id, &object_type, page).await?;
    let goes_on = records.len() > limit as usize;
    records.truncate(limit as usize);
    let mut results: Vec<Value> = records.iter().map(|record| shown.object(record)).collect();
    associations::add(&api, &caller, &object_type, &params.list("associations"), &headers, &mut results)
        .await?;
    let mut answer = json!({ "results": results });
    if let Some(last) = records.last().filter(|_| goes_on) {
        answer["paging"] = next_page(&headers, &uri, &last.id.to_string());
    }
    Ok(Json(answer).into_response())
}

pub async fn read(
    OfType { api, caller, object_type, name: id }: OfType,
    headers: HeaderMap,
    params: Params,
) -> HandlerResult {
    demand_view(&caller, TokenScope::CrmRead, &object_type)?;
    let shown = Shown::by_params(&api, caller.account_id, &object_type, &params).await?;
    let named = [named(&object_type, &id, &params)?];
    let (is_archived, with_history) = (params.flag("archived")?, shown.with_history());
    let store = &api.operations.store;
    let found = store.records_by(caller.account_id, &object_type, &named, is_archived, with_history).await?;
    let record = found.into_iter().next().flatten().ok_or_else(absent)?;
    let mut answer = [shown.object(&record)];
    associations::add(&api, &caller, &object_type, &params.list("associations"), &headers, &mut answer)
        .await?;
    let [answer] = answer;
    Ok(Json(answer).into_response())
}

/// A change that a request asks for.
pub fn change(object_type: &str, target: Target, members: &Map<String, Value>) -> Result<Change, ApiError> {
    let associations = match target {
        Target::New => associations::of_new(object_type, members)?,
        // As the vendor does it: only a new record takes any with it.
        Target::Live(_) | Target::Upsert(_) => Vec::new(),
    };
    Ok(Change { target, properties: properties(members)?, associations })
}

/// Why a change was not made.
pub fn problem(problem: &Problem) -> ApiError {
    match problem {
        Problem::Taken(holder) => {
            ApiError::conflict(format!("Contact already exists. Existing ID: {holder}"))
        }
        Problem::TakenInRequest => ApiError::invalid("Two records of the request have the same email"),
        Problem::NotFound => absent(),
        Problem::NoAssociated(with) => ApiError::invalid(format!(
            "Nothing was written: it is to be associated with {with}, which is not there or in the trash"
        )),
        Problem::NoLabel(id) => associations::no_label(id),
        Problem::Properties(problems) => invalid_properties(problems),
        Problem::Unstorable(sentence) => ApiError::invalid(sentence.clone()),
        Problem::NotTried => {
            ApiError::invalid("Nothing was written: another record of the request is not valid")
        }
    }
}

/// The vendor's message has a JSON text in it.
fn invalid_properties(problems: &[PropertyProblem]) -> ApiError {
    let details = problems
        .iter()
        .map(|it| json!({"isValid": false, "message": it.message, "error": it.error, "name": it.name}));
    let errors = problems
        .iter()
        .map(|it| json!({"message": it.message, "code": it.error, "context": {"propertyName": [it.name]}}));
    let details: Value = details.collect();
    ApiError::invalid(format!("Property values were not valid: {details}")).with_errors(errors.collect())
}

pub async fn create(
    OfType { api, caller, object_type, .. }: OfType,
    Document(members): Document,
) -> HandlerResult {
    one(&api, &caller, &object_type, change(&object_type, Target::New, &members)?, StatusCode::CREATED).await
}

pub async fn update(
    OfType { api, caller, object_type, name: id }: OfType,
    params: Params,
    Document(members): Document,
) -> HandlerResult {
    let target = Target::Live(named(&object_type, &id, &params)?);
    one(&api, &caller, &object_type, change(&object_type, target, &members)?, StatusCode::OK).await
}

async fn one(
    api: &Api,
    caller: &Caller,
    object_type: &str,
    change: Change,
    status: StatusCode,
) -> HandlerResult {
    let outcomes = api.write(caller, object_type, vec![change], false).await?;
    match outcomes.into_iter().next() {
        Some(Ok(written)) => Ok((status, Json(Shown::all().object(&written.record))).into_response()),
        Some(Err(why)) => Err(problem(&why)),
        None => Err(ApiError::of_service(StatusCode::INTERNAL_SERVER_ERROR, "a record has no outcome")),
    }
}

/// Of a record that is not live, or was never there, the vendor says the same: it is gone.
pub async fn archive(OfType { api, caller, object_type, name: id }: OfType) -> HandlerResult {
    let id = by_id(&id)?;
    api.archive(&caller, &object_type, BTreeSet::from([id]), Scope::One).await
}

pub async fn erase(
    OfType { api, caller, object_type, .. }: OfType,
    Document(members): Document,
) -> HandlerResult {
    demand(&caller, TokenScope::CrmErase)?;
    if object_type != CONTACT {
        return Err(ApiError::not_found("only contacts are erased"));
    }
    let id = text_member(&members, "objectId")?;
    let id = id.ok_or_else(|| ApiError::invalid_member("objectId", "is missing"))?;
    let target = match text_member(&members, "idProperty")?.as_deref() {
        None | Some("" | "hs_object_id") => ErasureTarget::Contact(by_id(&id)?),
        Some("email") if is_plain_address(id.trim()) => ErasureTarget::Address(id.into_owned()),
        Some("email") => return Err(ApiError::invalid("Email address is invalid")),
        Some(other) => return Err(no_unique_property(other)),
    };
    let user = caller.user_id.to_string();
    let program =
        Program { account_id: caller.account_id, token_id: caller.token_id, guard: api.options.guard };
    match api.operations.store.erase_by_program(program, &user, &target).await {
        Ok(Some(_)) => Ok(StatusCode::NO_CONTENT.into_response()),
        Ok(None) => Err(api.over_limit()),
        Err(error) => Err(erasure_error(error)),
    }
}

fn erasure_error(error: StoreError) -> ApiError {
    match error {
        StoreError::Forbidden(why) => ApiError::missing_scope("permanently_delete", why),
        // A legal hold: its sentence names ids and no person.
        StoreError::Refused(why) => ApiError::conflict(why),
        other => other.into(),
    }
}

/// There is no model of what a merge does.
pub async fn merge() -> ApiError {
    ApiError::new(StatusCode::NOT_IMPLEMENTED, "VALIDATION_ERROR", "records cannot be merged here")
}
