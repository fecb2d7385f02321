//! Segments, which the vendor's API calls lists.

use std::collections::BTreeSet;

use axum::Json;
use axum::extract::OriginalUri;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use serde_json::{Map, Value, json};

use super::answers::{HandlerResult, absent, by_id, next_page};
use super::error::ApiError;
use super::gate::{demand, demand_view};
use super::input::{Document, Items, OfAccount, OfType, Params, text_member, texts, writing};
use crate::domain::members::parse_id_text;
use crate::domain::object_type::id_of;
use crate::domain::permission::Over;
use crate::domain::time::format_millis;
use crate::domain::token_scope::TokenScope;
use crate::store::StoreError;
use crate::store::crm::{ListQuery, MemberPage, MembersChanged, Membership, StoredList};

/// The most members of a page, and how many there are where nothing is said.
const MAX_MEMBERS: u32 = 250;
const DEFAULT_MEMBERS: u32 = 100;
/// The most lists of a page.
const MAX_LISTS: u32 = 500;
const DEFAULT_LISTS: u32 = 20;
/// The longest name, in bytes.
const MAX_NAME_BYTES: usize = 200;
/// The most members that are changed at once.
const MAX_CHANGED: usize = 100_000;

/// How many members a list has, as a search is asked for it.
const SIZE: &str = "hs_list_size";

fn shown(list: &StoredList) -> Value {
    let mut shown = json!({"listId": list.id.to_string(), "listVersion": 1, "name": list.name,
        "objectTypeId": id_of(&list.object_type), "processingType": list.processing_type,
        "processingStatus": "COMPLETE"});
    for (name, at) in
        [("createdAt", list.created_at), ("updatedAt", list.updated_at), ("deletedAt", list.deleted_at)]
    {
        if let Some(at) = at {
            shown[name] = json!(format_millis(at));
        }
    }
    shown
}

fn with_size(list: &StoredList) -> Value {
    let mut shown = shown(list);
    // Of a list in the trash no members are shown, and they are not gone.
    if let Some(size) = list.size.filter(|_| list.deleted_at.is_none()) {
        shown["size"] = json!(size);
    }
    shown
}

impl OfAccount {
    /// The list of the path, whose records the token may read or write.
    async fn list(&self, scope: TokenScope, with_size: bool) -> Result<StoredList, ApiError> {
        demand(&self.caller, scope)?;
        let id = by_id(&self.name)?;
        let list = self
            .api
            .operations
            .store
            .list(self.caller.account_id, id, with_size)
            .await?
            .ok_or_else(absent)?;
        demand_view(&self.caller, scope, &list.object_type)?;
        Ok(list)
    }

    /// That list, unless it is in the trash.
    async fn live_list(&self, scope: TokenScope) -> Result<StoredList, ApiError> {
        let list = self.list(scope, false).await?;
        if list.deleted_at.is_some() { Err(absent()) } else { Ok(list) }
    }

    /// The types of records of which the caller may see lists.
    async fn list_types(&self) -> Result<Vec<String>, ApiError> {
        demand(&self.caller, TokenScope::CrmRead)?;
        let types = self.api.operations.store.list_types(self.caller.account_id).await?;
        Ok(types.into_iter().filter(|it| self.caller.may_view(Over::Type(it))).collect())
    }
}

pub async fn create(of: OfAccount, Document(members): Document) -> HandlerResult {
    demand(&of.caller, TokenScope::CrmWrite)?;
    let text = |name: &str| text_member(&members, name).map(Option::unwrap_or_default);
    let (name, written, kind) = (text("name")?, text("objectTypeId")?, text("processingType")?);
    if name.trim().is_empty() || name.len() > MAX_NAME_BYTES {
        let is = format!("must be a text of 1 to {MAX_NAME_BYTES} bytes");
        return Err(ApiError::invalid_member("name", &is));
    }
    let store = &of.api.operations.store;
    let object_type = store.object_type(of.caller.account_id, &written).await?;
    let object_type = object_type.ok_or_else(|| {
        ApiError::invalid_member("objectTypeId", "must be a type of records of the account")
    })?;
    demand_view(&of.caller, TokenScope::CrmWrite, &object_type)?;
    let is_static = ["MANUAL", "SNAPSHOT"].contains(&kind.as_ref());
    if !is_static || !matches!(members.get("filterBranch"), None | Some(Value::Null)) {
        return Err(ApiError::invalid_member(
            "processingType",
            "must be MANUAL or SNAPSHOT, without a filterBranch: a list whose members the CRM computes comes by an import",
        ));
    }
    let list = store.create_list(writing(&of.caller), &name, &object_type, &kind).await?;
    Ok(Json(json!({"list": shown(&list)})).into_response())
}

/// The lists of the given ids.
pub async fn list(of: OfAccount, params: Params) -> HandlerResult {
    let object_types = of.list_types().await?;
    let ids: BTreeSet<i64> = params.list("listIds").iter().filter_map(|id| parse_id_text(id)).collect();
    if ids.len() > MAX_LISTS as usize {
        return Err(ApiError::invalid(format!("listIds must name at most {MAX_LISTS} lists")));
    }
    let mut lists = Vec::new();
    if !ids.is_empty() {
        let limit = i64::from(MAX_LISTS);
        let query = ListQuery {
            object_types,
            ids: ids.into_iter().collect(),
            limit,
            with_size: true,
            ..ListQuery::default()
        };
        (lists, _) = of.api.operations.store.lists(of.caller.account_id, &query).await?;
    }
    let lists: Vec<Value> = lists.iter().map(with_size).collect();
    Ok(Json(json!({ "lists": lists })).into_response())
}

/// One list, also one in the trash.
pub async fn read(of: OfAccount) -> HandlerResult {
    let list = of.list(TokenScope::CrmRead, true).await?;
    Ok(Json(json!({"list": with_size(&list)})).into_response())
}

pub async fn archive(of: OfAccount) -> HandlerResult {
    let list = of.list(TokenScope::CrmDelete, false).await?;
    of.api.operations.store.archive_list(writing(&of.caller), list.id).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

pub async fn restore(of: OfAccount) -> HandlerResult {
    let list = of.list(TokenScope::CrmDelete, false).await?;
    of.api.operations.store.restore_list(writing(&of.caller), list.id).await?.ok_or_else(absent)?;
    Ok(StatusCode::NO_CONTENT.into_response())
}

pub async fn search(of: OfAccount, Document(members): Document) -> HandlerResult {
    let mut object_types = of.list_types().await?;
    if let Some(written) = text_member(&members, "objectTypeId")? {
        let asked = of.api.operations.store.object_type(of.caller.account_id, &written).await?;
        object_types.retain(|it| Some(it) == asked.as_ref());
    }
    let count = number(&members, "count", DEFAULT_LISTS, 1, MAX_LISTS)?;
    let offset = number(&members, "offset", 0, 0, u32::MAX)?;
    let additional = texts(&members, "additionalProperties")?;
    let ids = ids(&members, "listIds")?;
    let query = ListQuery {
        object_types,
        processing_types: texts(&members, "processingTypes")?,
        name: text_member(&members, "query")?.unwrap_or_default().into_owned(),
        limit: i64::from(count),
        offset: i64::from(offset),
        with_size: additional.iter().any(|name| name == SIZE),
        ids: ids.clone().unwrap_or_default(),
    };
    let none_asked =
        ids.is_some_and(|ids| ids.is_empty()) && members.get("listIds").is_some_and(|it| it != &json!([]));
    let (lists, total) = if none_asked {
        (Vec::new(), 0)
    } else {
        of.api.operations.store.lists(of.caller.account_id, &query).await?
    };
    let result = |list: &StoredList| {
        let mut result = shown(list);
        result["additionalProperties"] = match list.size {
            Some(size) => json!({SIZE: size.to_string()}),
            None => json!({}),
        };
        result
    };
    let end = u64::from(offset) + lists.len() as u64;
    let results: Vec<Value> = lists.iter().map(result).collect();
    Ok(Json(json!({"lists": results, "offset": end, "hasMore": end < total, "total": total})).into_response())
}

/// A number in the body.
fn number(
    members: &Map<String, Value>,
    name: &str,
    default: u32,
    least: u32,
    most: u32,
) -> Result<u32, ApiError> {
    let Some(value) = members.get(name).filter(|value| !value.is_null()) else { return Ok(default) };
    let number = value.as_u64().and_then(|number| u32::try_from(number).ok());
    number
        .filter(|number| (least..=most).contains(number))
        .ok_or_else(|| ApiError::invalid_member(name, &format!("must be a number from {least} to {most}")))
}

/// A list of ids that may be left out.
fn ids(members: &Map<String, Value>, name: &str) -> Result<Option<Vec<i64>>, ApiError> {
    match members.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::Array(items)) if items.len() <= MAX_LISTS as usize => {
            Ok(Some(items.iter().filter_map(id).collect()))
        }
        Some(_) => Err(ApiError::invalid_member(name, &format!("must be a list of at most {MAX_LISTS} ids"))),
    }
}

fn id(item: &Value) -> Option<i64> {
    match item {
        Value::String(id) => parse_id_text(id),
        Value::Number(id) => id.as_i64().filter(|id| *id > 0),
        _ => None,
    }
}

pub async fn members(
    of: OfAccount,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    params: Params,
) -> HandlerResult {
    let list = of.live_list(TokenScope::CrmRead).await?;
    let limit = params.number("limit", DEFAULT_MEMBERS, MAX_MEMBERS)?;
    let before = params.text("before").filter(|text| !text.is_empty());
    let page = match before {
        Some(before) => {
            let id = parse_id_text(before);
            MemberPage::Before(
                id.ok_or_else(|| ApiError::invalid("before must be taken from paging.prev.before"))?,
            )
        }
        None => MemberPage::After(params.after()?),
    };
    let store = &of.api.operations.store;
    let mut found = store.list_members(of.caller.account_id, &list, page, i64::from(limit) + 1).await?;
    let goes_on = found.len() > limit as usize;
    found.truncate(limit as usize);
    let results: Vec<Value> = found.iter().map(member).collect();
    let mut answer = json!({ "results": results });
    if let Some(last) = found.last().filter(|_| goes_on) {
        let end = last.id.to_string();
        answer["paging"] = match page {
            MemberPage::After(_) => next_page(&headers, &uri, &end),
            MemberPage::Before(_) => json!({"prev": {"before": end}}),
        };
    }
    Ok(Json(answer).into_response())
}

/// Of one whose joining nothing tells, the earliest time there is.
fn member(Membership { id, joined_at }: &Membership) -> Value {
    json!({"recordId": id.to_string(), "membershipTimestamp": format_millis(joined_at.unwrap_or_default())})
}

pub async fn lists_of(OfType { api, caller, object_type, name }: OfType) -> HandlerResult {
    demand_view(&caller, TokenScope::CrmRead, &object_type)?;
    let lists = api.operations.store.lists_of(caller.account_id, &object_type, by_id(&name)?).await?;
    let shown = |Membership { id, joined_at }: &Membership| {
        let mut shown = json!({"listId": id.to_string(), "listVersion": 1});
        if let Some(at) = joined_at {
            shown["firstAddedTimestamp"] = json!(format_millis(*at));
            shown["lastAddedTimestamp"] = json!(format_millis(*at));
        }
        shown
    };
    Ok(Json(json!({"results": lists.iter().map(shown).collect::<Vec<_>>()})).into_response())
}

/// Records that a request names: those that can be, and the texts of the others.
fn named(member: &str, items: &[Value]) -> Result<(BTreeSet<i64>, Vec<String>), ApiError> {
    if items.len() > MAX_CHANGED {
        return Err(ApiError::invalid_member(
            member,
            &format!("must not have more than {MAX_CHANGED} items"),
        ));
    }
    let (mut named, mut others) = (BTreeSet::new(), Vec::new());
    for item in items {
        match (id(item), item) {
            (Some(id), _) => drop(named.insert(id)),
            (None, Value::String(text)) => others.push(text.clone()),
            (None, _) => return Err(ApiError::invalid_member(member, "must be a list of ids")),
        }
    }
    Ok((named, others))
}

async fn change(of: &OfAccount, add: &[Value], remove: &[Value]) -> HandlerResult {
    let list = of.live_list(TokenScope::CrmWrite).await?;
    let (add, unknown) = named("recordIdsToAdd", add)?;
    let (remove, _) = named("recordIdsToRemove", remove)?;
    let changed = of.api.operations.store.change_members(writing(&of.caller), list.id, &add, &remove).await;
    let MembersChanged { added, removed, missing } = changed.map_err(|error| match error {
        StoreError::NotFound(_) => absent(),
        other => other.into(),
    })?;
    let texts = |ids: Vec<i64>| ids.iter().map(i64::to_string).collect::<Vec<_>>();
    let missing: Vec<String> = texts(missing).into_iter().chain(unknown).collect();
    // The vendor spells the first name so.
    let answer = json!({"recordsIdsAdded": texts(added), "recordIdsRemoved": texts(removed), "recordIdsMissing": missing});
    Ok(Json(answer).into_response())
}

pub async fn add(of: OfAccount, Items(items): Items) -> HandlerResult {
    change(&of, &items, &[]).await
}

pub async fn remove(of: OfAccount, Items(items): Items) -> HandlerResult {
    change(&of, &[], &items).await
}

pub async fn add_and_remove(of: OfAccount, Document(members): Document) -> HandlerResult {
    let items = |name: &str| match members.get(name) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(items)) => Ok(items.clone()),
        Some(_) => Err(ApiError::invalid_member(name, "must be a list of ids")),
    };
    change(&of, &items("recordIdsToAdd")?, &items("recordIdsToRemove")?).await
}
