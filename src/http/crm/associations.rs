//! What records are associated with.

use std::collections::{BTreeMap, BTreeSet};

use axum::Json;
use axum::extract::OriginalUri;
use axum::http::{HeaderMap, StatusCode};
use axum::response::IntoResponse;
use chrono::Utc;
use serde_json::{Map, Value, json};

use super::Api;
use super::answers::{HandlerResult, absent, answer, by_id, next_page};
use super::error::ApiError;
use super::gate::demand_view;
use super::input::{Document, Items, OfTypes, Params, inputs_up_to, text_member, writing};
use crate::domain::associations::{AssociationType, Named, is_the_vendors, leads_to, name_in_version_3};
use crate::domain::members::parse_id_text;
use crate::domain::object_type::{RecordKey, id_of, is_activity, plural_of};
use crate::domain::token_scope::TokenScope;
use crate::store::access::tokens::Caller;
use crate::store::crm::{
    AssociateRequest, Associated, AssociatedPage, AssociationChange, Between, NewAssociation, Pair, ToBe,
    Unassociated,
};

/// How many associations a batch has at most.
const MAX_INPUTS: usize = 1000;
/// The most associated records of a page.
const MAX_LIMIT: u32 = 500;
/// The most that an answer has of all records together.
const MAX_IN_ALL: usize = 100_000;
/// With how many types of records a request may ask for associations.
const MAX_TYPES: usize = 20;

/// May the token read, or write, records of both types?
fn demand(caller: &Caller, scope: TokenScope, between: &Between) -> Result<(), ApiError> {
    demand_view(caller, scope, &between.own)?;
    demand_view(caller, scope, &between.other)
}

fn category(named: &Named) -> &'static str {
    if named.is_the_vendors { "HUBSPOT_DEFINED" } else { "USER_DEFINED" }
}

fn shown(associated: &Associated) -> Value {
    let types = associated.types.iter();
    let types = types.map(|it| json!({"category": category(it), "typeId": it.id, "label": it.label}));
    json!({"toObjectId": associated.id.to_string(), "associationTypes": types.collect::<Vec<_>>()})
}

/// As version 3 of the vendor's API shows it: once for each type.
fn shown_in_version_3<'a>(
    associated: &'a Associated,
    between: &'a Between,
) -> impl Iterator<Item = Value> + 'a {
    associated.types.iter().map(move |named| {
        let name = name_in_version_3(named, &between.own, &between.other);
        json!({"id": associated.id.to_string(), "type": name})
    })
}

pub async fn list(
    OfTypes { api, caller, between, own, .. }: OfTypes,
    OriginalUri(uri): OriginalUri,
    headers: HeaderMap,
    params: Params,
) -> HandlerResult {
    demand(&caller, TokenScope::CrmRead, &between)?;
    let (id, limit) = (by_id(&own)?, params.number("limit", MAX_LIMIT, MAX_LIMIT)?);
    let own = BTreeMap::from([(id, params.after()?)]);
    let mut pages =
        api.operations.store.associated(caller.account_id, &between, &own, i64::from(limit)).await?;
    let page = pages.remove(&id).ok_or_else(absent)?;
    let mut answer = json!({"results": page.records.iter().map(shown).collect::<Vec<_>>()});
    if let Some(last) = page.last_of_more() {
        answer["paging"] = next_page(&headers, &uri, &last.to_string());
    }
    Ok(Json(answer).into_response())
}

pub async fn batch_read(types: OfTypes, Document(members): Document) -> HandlerResult {
    read_many(&types, &members, |page| page.records.iter().map(shown).collect()).await
}

pub async fn batch_read_in_version_3(types: OfTypes, Document(members): Document) -> HandlerResult {
    let shown = |page: &AssociatedPage| {
        page.records.iter().flat_map(|record| shown_in_version_3(record, &types.between)).collect()
    };
    read_many(&types, &members, shown).await
}

/// What each record of a batch is associated with; one that is associated with none is an error of its own.
async fn read_many(
    OfTypes { api, caller, between, .. }: &OfTypes,
    members: &Map<String, Value>,
    shown: impl Fn(&AssociatedPage) -> Vec<Value>,
) -> HandlerResult {
    let began = Utc::now();
    demand(caller, TokenScope::CrmRead, between)?;
    let mut asked = Vec::new();
    for (at, input) in inputs_up_to(MAX_INPUTS, members)?.into_iter().enumerate() {
        let id = text_member(input, "id")?
            .ok_or_else(|| ApiError::invalid_member(&format!("inputs[{at}].id"), "is missing"))?;
        let after = text_member(input, "after")?.filter(|after| !after.is_empty());
        let after = after.map_or(Some(0), |after| parse_id_text(&after));
        let after =
            after.ok_or_else(|| ApiError::invalid_member(&format!("inputs[{at}].after"), "must be an id"))?;
        asked.push((id.into_owned(), after));
    }
    let own: BTreeMap<i64, i64> =
        asked.iter().filter_map(|(id, after)| Some((parse_id_text(id)?, *after))).collect();
    let limit = most_of_each(own.len());
    let pages = api.operations.store.associated(caller.account_id, between, &own, limit).await?;
    let (mut results, mut errors, mut seen) = (Vec::new(), Vec::new(), BTreeSet::new());
    for (id, _) in asked.iter().filter(|(id, _)| seen.insert(id)) {
        let page = parse_id_text(id).and_then(|id| pages.get(&id)).filter(|page| !page.records.is_empty());
        let Some(page) = page else {
            errors.push(no_associations(between, id));
            continue;
        };
        let mut result = json!({"from": {"id": id}, "to": shown(page)});
        if let Some(last) = page.last_of_more() {
            result["paging"] = json!({"next": {"after": last.to_string()}});
        }
        results.push(result);
    }
    Ok(answer(StatusCode::OK, began, &results, errors))
}

/// How many associated records each of so many records is shown with.
fn most_of_each(records: usize) -> i64 {
    let most = (MAX_IN_ALL / records.max(1)).clamp(1, MAX_LIMIT as usize);
    i64::try_from(most).unwrap_or(1)
}

fn no_associations(between: &Between, id: &str) -> Value {
    let Between { own, other } = between;
    let error = ApiError::not_found(format!("No {other} is associated with {own} {id}."));
    let context = json!({"fromObjectId": [id], "fromObjectType": [own], "toObjectType": [other]});
    let mut entry = error.with_context(context).entry();
    entry["subCategory"] = json!("crm.associations.NO_ASSOCIATIONS_FOUND");
    entry
}

/// Adds to records, as they are shown, with which records of other types they are associated.
pub async fn add(
    api: &Api,
    caller: &Caller,
    object_type: &str,
    wanted: &[String],
    headers: &HeaderMap,
    shown: &mut [Value],
) -> Result<(), ApiError> {
    if wanted.len() > MAX_TYPES {
        return Err(ApiError::invalid(format!("associations must name at most {MAX_TYPES} types")));
    }
    let id_of = |record: &Value| record["id"].as_str().and_then(parse_id_text);
    let own: BTreeMap<i64, i64> = shown.iter().filter_map(|record| Some((id_of(record)?, 0))).collect();
    for written in wanted {
        let other = api.operations.store.object_type(caller.account_id, written).await?;
        let other = other.ok_or_else(|| {
            ApiError::invalid(format!("associations: the account has no type of records {written}"))
        })?;
        let between = Between { own: object_type.to_owned(), other };
        demand(caller, TokenScope::CrmRead, &between)?;
        let limit = most_of_each(own.len() * wanted.len());
        let pages = api.operations.store.associated(caller.account_id, &between, &own, limit).await?;
        for record in shown.iter_mut() {
            let Some(id) = id_of(record) else { continue };
            let Some(page) = pages.get(&id).filter(|page| !page.records.is_empty()) else { continue };
            let results = page.records.iter().flat_map(|it| shown_in_version_3(it, &between));
            let mut associated = json!({"results": results.collect::<Vec<_>>()});
            if let Some(last) = page.last_of_more() {
                let prefix = &api.options.prefix;
                let path =
                    format!("{prefix}/crm/v4/objects/{object_type}/{id}/associations/{}", between.other);
                if let Ok(uri) = path.parse() {
                    associated["paging"] = next_page(headers, &uri, &last.to_string());
                }
            }
            record["associations"][plural_of(&between.other)] = associated;
        }
    }
    Ok(())
}

/// The types by which two records are to be associated.
fn types(at: &str, items: &[Value], between: &Between) -> Result<Vec<AssociationType>, ApiError> {
    if items.is_empty() {
        return Err(ApiError::invalid_member(at, "must have one type at least"));
    }
    items.iter().enumerate().map(|(n, item)| association_type(&format!("{at}[{n}]"), item, between)).collect()
}

fn association_type(at: &str, item: &Value, between: &Between) -> Result<AssociationType, ApiError> {
    let (id, of_vendor) = id_and_category(at, item)?;
    let Between { own, other } = between;
    let asked = AssociationType { id: id.to_string(), is_the_vendors: of_vendor };
    if asked.is_between_others(own, other) {
        return Err(ApiError::invalid_member(at, &format!("is no type between {own} and {other}")));
    }
    if !of_vendor && is_the_vendors(id, own, other) {
        let is =
            format!("has the id of a type of the vendor's between {own} and {other}, and another category");
        return Err(ApiError::invalid_member(at, &is));
    }
    Ok(asked)
}

/// The id of a type, and whether the vendor defines it.
fn id_and_category(at: &str, item: &Value) -> Result<(u32, bool), ApiError> {
    let id = match item.get("associationTypeId") {
        Some(Value::Number(id)) => id.as_u64().and_then(|id| u32::try_from(id).ok()),
        Some(Value::String(id)) => id.parse().ok(),
        _ => None,
    };
    let id = id.filter(|id| *id > 0);
    let id =
        id.ok_or_else(|| ApiError::invalid_member(&format!("{at}.associationTypeId"), "must be a number"))?;
    match item.get("associationCategory").and_then(Value::as_str) {
        Some("HUBSPOT_DEFINED") => Ok((id, true)),
        Some("USER_DEFINED" | "INTEGRATOR_DEFINED" | "WORK") => Ok((id, false)),
        _ => {
            let is = "must be HUBSPOT_DEFINED, USER_DEFINED, INTEGRATOR_DEFINED or WORK";
            Err(ApiError::invalid_member(&format!("{at}.associationCategory"), is))
        }
    }
}

/// With what a new record is to be associated: the vendor's types say with records of which type.
pub fn of_new(own: &str, members: &Map<String, Value>) -> Result<Vec<NewAssociation>, ApiError> {
    let items = match members.get("associations") {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(items)) => items,
        Some(_) => return Err(ApiError::invalid_member("associations", "must be a list")),
    };
    let new = |(at, item): (usize, &Value)| {
        let at = format!("associations[{at}]");
        let with = item.get("to").and_then(Value::as_object);
        let with = with.map(|to| text_member(to, "id")).transpose()?.flatten();
        let id = with.and_then(|id| parse_id_text(&id));
        let id = id.ok_or_else(|| ApiError::invalid_member(&format!("{at}.to.id"), "must be an id"))?;
        let named = item.get("types").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        let at = format!("{at}.types");
        let first =
            named.first().ok_or_else(|| ApiError::invalid_member(&at, "must have one type at least"))?;
        let (type_id, of_vendor) = id_and_category(&format!("{at}[0]"), first)?;
        let other = leads_to(own, type_id).filter(|_| of_vendor).ok_or_else(|| {
            ApiError::invalid_member(
                &at,
                "must begin with a type of the vendor's, which tells with records of which type: associate by others \
                 with PUT /crm/v4/objects/…/associations/…",
            )
        })?;
        let between = Between { own: own.to_owned(), other: other.to_owned() };
        refuse_impossible(&between)?;
        let with = RecordKey { object_type: other.to_owned(), id };
        Ok(NewAssociation { with, types: types(&at, named, &between)? })
    };
    items.iter().enumerate().map(new).collect()
}

/// No activity is on another.
fn refuse_impossible(between: &Between) -> Result<(), ApiError> {
    if is_activity(&between.own) && is_activity(&between.other) {
        return Err(ApiError::invalid("an activity cannot be associated with another"));
    }
    Ok(())
}

impl OfTypes {
    /// The ids of both records in the path.
    fn pair(&self) -> Result<Pair, ApiError> {
        let pair = (by_id(&self.own)?, by_id(&self.other)?);
        if self.between.own == self.between.other && pair.0 == pair.1 {
            return Err(ApiError::invalid("a record cannot be associated with itself"));
        }
        Ok(pair)
    }

    /// Makes changes, which takes a token for that.
    async fn change(
        &self,
        changes: Vec<AssociationChange>,
    ) -> Result<Vec<Result<Vec<Named>, Unassociated>>, ApiError> {
        let Self { api, caller, between, .. } = self;
        demand(caller, TokenScope::CrmWrite, between)?;
        refuse_impossible(between)?;
        let request = AssociateRequest { by: writing(caller), between: between.clone(), changes };
        Ok(api.operations.store.associate(&request).await?)
    }

    async fn change_one(&self, to: ToBe) -> Result<Vec<Named>, ApiError> {
        let change = AssociationChange { pair: self.pair()?, to };
        let outcome = self.change(vec![change]).await?.into_iter().next();
        outcome.unwrap_or(Err(Unassociated::NoOwn)).map_err(|why| match why {
            Unassociated::NoOwn | Unassociated::NoOther => absent(),
            Unassociated::NoLabel(id) => no_label(&id),
        })
    }

    /// The labels of two associated records.
    fn labels(&self, (own, other): Pair, named: &[Named]) -> Value {
        let labels: Vec<&String> = named.iter().filter_map(|it| it.label.as_ref()).collect();
        json!({"fromObjectTypeId": id_of(&self.between.own), "fromObjectId": own.to_string(),
            "toObjectTypeId": id_of(&self.between.other), "toObjectId": other.to_string(), "labels": labels})
    }

    /// That of a batch which was not made.
    fn problem(&self, (own, other): Pair, why: Unassociated) -> Value {
        let (of, member, id) = match why {
            Unassociated::NoOwn => (&self.between.own, "fromObjectId", own),
            Unassociated::NoOther => (&self.between.other, "toObjectId", other),
            Unassociated::NoLabel(id) => return no_label(&id).entry(),
        };
        let error = ApiError::not_found(format!("there is no live {of} of this id"));
        error.with_context(json!({member: [id.to_string()]})).entry()
    }
}

/// A label is known by the import that names it first.
pub fn no_label(id: &str) -> ApiError {
    let message = format!("no association of the account tells the label of type {id}: import one that does");
    ApiError::invalid_member("associationTypeId", &message)
}

/// That records are associated, and no more.
fn plainly((own, other): Pair, named: &[Named]) -> Value {
    let plain = named.iter().find(|it| it.label.is_none()).or(named.first());
    let spec = json!({"associationCategory": plain.map_or("HUBSPOT_DEFINED", category),
        "associationTypeId": plain.map_or(0, |it| it.id)});
    json!({"from": {"id": own.to_string()}, "to": {"id": other.to_string()}, "associationSpec": spec})
}

pub async fn associate(of: OfTypes, Items(items): Items) -> HandlerResult {
    let types = types("body", &items, &of.between)?;
    let named = of.change_one(ToBe::Associated(types)).await?;
    Ok((StatusCode::CREATED, Json(of.labels(of.pair()?, &named))).into_response())
}

pub async fn associate_by_default(of: OfTypes) -> HandlerResult {
    let began = Utc::now();
    let named = of.change_one(ToBe::Associated(Vec::new())).await?;
    Ok(answer(StatusCode::OK, began, &[plainly(of.pair()?, &named)], Vec::new()))
}

pub async fn separate(of: OfTypes) -> HandlerResult {
    // What is not there is not associated.
    match of.change(vec![AssociationChange { pair: of.pair()?, to: ToBe::Separate }]).await {
        Ok(_) => Ok(StatusCode::NO_CONTENT.into_response()),
        Err(error) => Err(error),
    }
}

/// The ids of two records in a batch; 0 is the id of none.
fn pair(at: &str, input: &Map<String, Value>, between: &Between) -> Result<Pair, ApiError> {
    let (from, to) = (input.get("from"), input.get("to"));
    let pair = (id_in(&format!("{at}.from"), from)?, id_in(&format!("{at}.to"), to)?);
    if between.own == between.other && pair.0 == pair.1 {
        return Err(ApiError::invalid_member(at, "must name two records"));
    }
    Ok(pair)
}

fn id_in(at: &str, end: Option<&Value>) -> Result<i64, ApiError> {
    let id = end.and_then(Value::as_object).map(|end| text_member(end, "id")).transpose()?.flatten();
    let id = id.ok_or_else(|| ApiError::invalid_member(&format!("{at}.id"), "is missing"))?;
    Ok(parse_id_text(&id).unwrap_or_default())
}

/// Associates the pairs of a batch; what each is to be, and how it is shown then.
async fn associate_many(
    of: &OfTypes,
    members: &Map<String, Value>,
    to_be: impl Fn(&str, &Map<String, Value>) -> Result<Vec<AssociationType>, ApiError>,
    shown: impl Fn(Pair, &[Named]) -> Value,
) -> Result<(Vec<Value>, Vec<Value>), ApiError> {
    let mut changes = Vec::new();
    for (at, input) in inputs_up_to(MAX_INPUTS, members)?.into_iter().enumerate() {
        let at = format!("inputs[{at}]");
        let pair = pair(&at, input, &of.between)?;
        changes.push(AssociationChange { pair, to: ToBe::Associated(to_be(&at, input)?) });
    }
    let outcomes = of.change(changes.clone()).await?;
    let (mut results, mut errors) = (Vec::new(), Vec::new());
    for (AssociationChange { pair, .. }, outcome) in changes.iter().zip(outcomes) {
        match outcome {
            Ok(named) => results.push(shown(*pair, &named)),
            Err(why) => errors.push(of.problem(*pair, why)),
        }
    }
    Ok((results, errors))
}

pub async fn batch_create(of: OfTypes, Document(members): Document) -> HandlerResult {
    let began = Utc::now();
    let to_be = |at: &str, input: &Map<String, Value>| {
        let named = input.get("types").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        types(&format!("{at}.types"), named, &of.between)
    };
    let (results, errors) =
        associate_many(&of, &members, to_be, |pair, named| of.labels(pair, named)).await?;
    Ok(answer(StatusCode::CREATED, began, &results, errors))
}

pub async fn batch_by_default(of: OfTypes, Document(members): Document) -> HandlerResult {
    let began = Utc::now();
    let (results, errors) = associate_many(&of, &members, |_, _| Ok(Vec::new()), plainly).await?;
    // The vendor answers 200 whether or not there are errors.
    let mut response = answer(StatusCode::OK, began, &results, errors);
    *response.status_mut() = StatusCode::OK;
    Ok(response)
}

pub async fn batch_archive(of: OfTypes, Document(members): Document) -> HandlerResult {
    let mut changes = Vec::new();
    for (at, input) in inputs_up_to(MAX_INPUTS, &members)?.into_iter().enumerate() {
        let at = format!("inputs[{at}]");
        let own = id_in(&format!("{at}.from"), input.get("from"))?;
        let Some(others) = input.get("to").and_then(Value::as_array) else {
            return Err(ApiError::invalid_member(&format!("{at}.to"), "must be a list"));
        };
        for (n, other) in others.iter().enumerate() {
            let other = id_in(&format!("{at}.to[{n}]"), Some(other))?;
            changes.push(AssociationChange { pair: (own, other), to: ToBe::Separate });
        }
    }
    if changes.len() > MAX_INPUTS {
        return Err(ApiError::invalid_member(
            "inputs",
            &format!("must not name more than {MAX_INPUTS} pairs"),
        ));
    }
    of.change(changes).await?;
    Ok(StatusCode::NO_CONTENT.into_response())
}
