//! Search by conditions on properties.

use axum::Json;
use axum::response::IntoResponse;
use serde_json::{Map, Value, json};

use super::answers::HandlerResult;
use super::error::ApiError;
use super::gate::demand_view;
use super::input::{Document, OfType, text_member, texts};
use super::shown::Shown;
use crate::domain::token_scope::TokenScope;
use crate::store::crm::{Condition, Operator, Search};

/// The vendor names several limits: these are the highest of them.
const MAX_GROUPS: usize = 6;
const MAX_CONDITIONS_OF_ONE: usize = 10;
const MAX_CONDITIONS: usize = 25;
const MAX_VALUES: usize = 100;
const MAX_SORTS: usize = 5;
const MAX_LIMIT: i64 = 200;
/// As far as the pages of one search go.
const MAX_FOUND: i64 = 10_000;
/// The longest text to be searched for or compared with, in characters.
const MAX_CHARACTERS: usize = 3_000;
/// As many words are looked for in every record.
const MAX_WORDS: usize = 20;

pub async fn search(
    OfType { api, caller, object_type, .. }: OfType,
    Document(members): Document,
) -> HandlerResult {
    demand_view(&caller, TokenScope::CrmRead, &object_type)?;
    let search = wanted(&members)?;
    let shown =
        Shown::of(&api, caller.account_id, &object_type, texts(&members, "properties")?, Vec::new()).await?;
    let found = api.operations.store.search_records(caller.account_id, &object_type, &search).await?;
    let results: Vec<Value> = found.records.iter().map(|record| shown.object(record)).collect();
    let next = search.offset + search.limit;
    let mut answer = json!({"total": found.total, "results": results});
    if found.total > next.unsigned_abs() {
        answer["paging"] = json!({"next": {"after": next.to_string()}});
    }
    Ok(Json(answer).into_response())
}

fn wanted(members: &Map<String, Value>) -> Result<Search, ApiError> {
    let mut groups: Vec<Vec<Condition>> = Vec::new();
    for (at, group) in objects(members, "filterGroups")?.into_iter().enumerate() {
        groups.push(conditions(group, &format!("filterGroups[{at}].filters"))?);
    }
    // A group by itself.
    let alone = conditions(members, "filters")?;
    if !alone.is_empty() {
        groups.push(alone);
    }
    let all = groups.iter().map(Vec::len).sum::<usize>();
    if groups.len() > MAX_GROUPS
        || all > MAX_CONDITIONS
        || groups.iter().any(|it| it.len() > MAX_CONDITIONS_OF_ONE)
    {
        return Err(ApiError::invalid(format!(
            "a search has at most {MAX_GROUPS} filterGroups, {MAX_CONDITIONS_OF_ONE} filters in one and {MAX_CONDITIONS} in all"
        )));
    }
    let words =
        text_member(members, "query")?.map(std::borrow::Cow::into_owned).filter(|words| !words.is_empty());
    if words
        .as_deref()
        .is_some_and(|words| is_too_long(words) || words.split_whitespace().count() > MAX_WORDS)
    {
        let is = format!("must not have more than {MAX_CHARACTERS} characters or {MAX_WORDS} words");
        return Err(ApiError::invalid_member("query", &is));
    }
    let number =
        |name: &str, default: i64, range: std::ops::RangeInclusive<i64>| match text_member(members, name)? {
            None => Ok(default),
            Some(text) => text.parse().ok().filter(|number| range.contains(number)).ok_or_else(|| {
                ApiError::invalid_member(
                    name,
                    &format!("must be a number from {} to {}", range.start(), range.end()),
                )
            }),
        };
    let (limit, offset) = (number("limit", 10, 1..=MAX_LIMIT)?, number("after", 0, 0..=MAX_FOUND)?);
    if limit + offset > MAX_FOUND {
        return Err(ApiError::invalid(format!(
            "a search answers the first {MAX_FOUND} records: narrow it, for instance by hs_object_id GT the last one"
        )));
    }
    Ok(Search { groups, words, sorts: sorts(members)?, offset, limit })
}

/// A list of objects that may be left out.
fn objects<'a>(members: &'a Map<String, Value>, name: &str) -> Result<Vec<&'a Map<String, Value>>, ApiError> {
    let wrong = || ApiError::invalid_member(name, "must be a list of objects");
    match members.get(name) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(items)) => items.iter().map(|item| item.as_object().ok_or_else(wrong)).collect(),
        Some(_) => Err(wrong()),
    }
}

fn is_too_long(text: &str) -> bool {
    text.chars().count() > MAX_CHARACTERS
}

fn conditions(members: &Map<String, Value>, place: &str) -> Result<Vec<Condition>, ApiError> {
    objects(members, "filters")?.into_iter().map(|filter| condition(filter, place)).collect()
}

fn condition(filter: &Map<String, Value>, place: &str) -> Result<Condition, ApiError> {
    let missing = |name: &str| ApiError::invalid_member(&format!("{place}.{name}"), "is missing");
    let text = |name: &str| text_member(filter, name).map(|it| it.map(std::borrow::Cow::into_owned));
    let property = text("propertyName")?.ok_or_else(|| missing("propertyName"))?;
    let operator = text("operator")?.ok_or_else(|| missing("operator"))?;
    let value = || text("value")?.ok_or_else(|| missing("value"));
    let values = || -> Result<Vec<String>, ApiError> {
        let list = filter.get("values").and_then(Value::as_array).ok_or_else(|| missing("values"))?;
        let item = |item: &Value| match item {
            Value::String(text) => Ok(text.clone()),
            Value::Number(number) => Ok(number.to_string()),
            _ => Err(ApiError::invalid_member(&format!("{place}.values"), "must be a list of strings")),
        };
        if list.is_empty() || list.len() > MAX_VALUES {
            return Err(ApiError::invalid_member(
                &format!("{place}.values"),
                &format!("must have 1 to {MAX_VALUES} items"),
            ));
        }
        list.iter().map(item).collect()
    };
    let given = ["value", "highValue"].into_iter().filter_map(|name| filter.get(name));
    let given = given.chain(filter.get("values").and_then(Value::as_array).into_iter().flatten());
    if given.filter_map(Value::as_str).any(is_too_long) {
        let is = format!("must not have more than {MAX_CHARACTERS} characters");
        return Err(ApiError::invalid_member(&format!("{place}.value"), &is));
    }
    let operator = match operator.as_str() {
        "EQ" => Operator::Equal(value()?),
        "NEQ" => Operator::NotEqual(value()?),
        "LT" => Operator::Less(value()?),
        "LTE" => Operator::LessOrEqual(value()?),
        "GT" => Operator::Greater(value()?),
        "GTE" => Operator::GreaterOrEqual(value()?),
        "BETWEEN" => Operator::Between(value()?, text("highValue")?.ok_or_else(|| missing("highValue"))?),
        "IN" => Operator::In(values()?),
        "NOT_IN" => Operator::NotIn(values()?),
        "CONTAINS_TOKEN" => Operator::ContainsToken(value()?),
        "NOT_CONTAINS_TOKEN" => Operator::NotContainsToken(value()?),
        "HAS_PROPERTY" => Operator::HasProperty,
        "NOT_HAS_PROPERTY" => Operator::NotHasProperty,
        _ => {
            return Err(ApiError::invalid_member(
                &format!("{place}.operator"),
                "is none that the vendor names",
            ));
        }
    };
    Ok(Condition { property, operator })
}

/// `["email"]`, `["-email"]` or `[{"propertyName": "email", "direction": "ASCENDING"}]`.
fn sorts(members: &Map<String, Value>) -> Result<Vec<(String, bool)>, ApiError> {
    let wrong = || ApiError::invalid_member("sorts", "must be a list of property names or objects");
    let items = match members.get("sorts") {
        None | Some(Value::Null) => return Ok(Vec::new()),
        Some(Value::Array(items)) if items.len() <= MAX_SORTS => items,
        Some(_) => return Err(wrong()),
    };
    let sort = |item: &Value| match item {
        Value::String(name) => match name.strip_prefix('-') {
            Some(name) => Ok((name.to_owned(), true)),
            None => Ok((name.clone(), false)),
        },
        Value::Object(sort) => {
            let name = text_member(sort, "propertyName")?.ok_or_else(wrong)?;
            match text_member(sort, "direction")?.as_deref() {
                None | Some("ASCENDING") => Ok((name.into_owned(), false)),
                Some("DESCENDING") => Ok((name.into_owned(), true)),
                Some(_) => {
                    Err(ApiError::invalid_member("sorts.direction", "must be ASCENDING or DESCENDING"))
                }
            }
        }
        _ => Err(wrong()),
    };
    items.iter().map(sort).collect()
}
