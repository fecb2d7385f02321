//! What requests say, read as the vendor reads it: members that are not known are ignored, and client libraries write lists and truths
//! in their own ways.

use std::collections::{BTreeMap, HashMap};

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, Path, Request};
use axum::http::request::Parts;
use serde_json::{Map, Value};

use super::Api;
use super::answers::absent;
use super::error::ApiError;
use crate::domain::criteria::plain;
use crate::domain::members::{parse_id_text, parse_strictly};
use crate::domain::record::contains_nul;
use crate::http::limits;
use crate::store::access::tokens::Caller;
use crate::store::crm::{Between, Writing};

/// How many records a batch has at most.
pub const MAX_INPUTS: usize = 100;

/// Who asks for records of which type.
pub struct OfType {
    pub api: Api,
    pub caller: Caller,
    /// The one name of the type in the path.
    pub object_type: String,
    /// The name behind the type, where the path has one: of a record, or of a property.
    pub name: String,
}

impl FromRequestParts<Api> for OfType {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, ApiError> {
        let (caller, steps) = caller_and_steps(parts, api).await.ok_or_else(no_such_type)?;
        let mut steps = steps.into_iter().map(|(_, step)| step);
        let written = steps.next().unwrap_or_default();
        let object_type = api.operations.store.object_type(caller.account_id, &written).await?;
        let (object_type, name) = (object_type.ok_or_else(no_such_type)?, steps.next().unwrap_or_default());
        Ok(Self { api: api.clone(), caller, object_type, name })
    }
}

/// Who asks about what has no type of records in its path.
pub struct OfAccount {
    pub api: Api,
    pub caller: Caller,
    /// The name in the path, where it has one.
    pub name: String,
}

impl FromRequestParts<Api> for OfAccount {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, ApiError> {
        let (caller, steps) = caller_and_steps(parts, api).await.ok_or_else(absent)?;
        let name = steps.into_iter().next().map(|(_, step)| step).unwrap_or_default();
        Ok(Self { api: api.clone(), caller, name })
    }
}

/// Who asks about records of two types.
pub struct OfTypes {
    pub api: Api,
    pub caller: Caller,
    pub between: Between,
    /// The id of the first record, where the path has one.
    pub own: String,
    /// That of the second.
    pub other: String,
}

impl FromRequestParts<Api> for OfTypes {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, api: &Api) -> Result<Self, ApiError> {
        let (caller, steps) = caller_and_steps(parts, api).await.ok_or_else(no_such_type)?;
        let mut steps: HashMap<String, String> = steps.into_iter().collect();
        let mut step = |name: &str| steps.remove(name).unwrap_or_default();
        let types = [step("objectType"), step("toObjectType")];
        let [own, other] = types.map(async |written: String| {
            let object_type = api.operations.store.object_type(caller.account_id, &written).await?;
            object_type.ok_or_else(no_such_type)
        });
        let between = Between { own: own.await?, other: other.await? };
        let (own, other) = (step("objectId"), step("toObjectId"));
        Ok(Self { api: api.clone(), caller, between, own, other })
    }
}

/// Who asks, and what the path names, in its order. What is no UTF-8, or has a U+0000, names nothing.
async fn caller_and_steps(parts: &mut Parts, api: &Api) -> Option<(Caller, Vec<(String, String)>)> {
    let caller = parts.extensions.get::<Caller>().cloned()?;
    let steps = Path::<Vec<(String, String)>>::from_request_parts(parts, api).await.ok()?.0;
    (!steps.iter().any(|(_, step)| step.contains('\0'))).then_some((caller, steps))
}

/// The program of a token, as it writes.
pub fn writing(caller: &Caller) -> Writing {
    Writing { account_id: caller.account_id, token_id: caller.token_id, user_id: caller.user_id }
}

fn no_such_type() -> ApiError {
    ApiError::not_found("Unable to infer object type from the path: the account has no such type")
}

/// The parameters behind the question mark.
pub struct Params(Vec<(String, String)>);

impl<S: Sync> FromRequestParts<S> for Params {
    type Rejection = ApiError;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, ApiError> {
        let query = parts.uri.query().unwrap_or_default();
        let params: Vec<(String, String)> = form_urlencoded::parse(query.as_bytes()).into_owned().collect();
        match params.iter().find(|(name, value)| name.contains('\0') || value.contains('\0')) {
            Some(_) => Err(ApiError::invalid("a parameter must not contain the character U+0000")),
            None => Ok(Self(params)),
        }
    }
}

impl Params {
    pub fn text(&self, name: &str) -> Option<&str> {
        self.0.iter().rev().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }

    /// Repeated, or with commas between.
    pub fn list(&self, name: &str) -> Vec<String> {
        let values = self.0.iter().filter(|(known, _)| known == name);
        let items = values.flat_map(|(_, value)| value.split(','));
        items.map(|item| item.trim().to_owned()).filter(|item| !item.is_empty()).collect()
    }

    /// Python writes `True`, PHP `1`.
    pub fn flag(&self, name: &str) -> Result<bool, ApiError> {
        match self.text(name).map(str::to_ascii_lowercase).as_deref() {
            None | Some("" | "false" | "0") => Ok(false),
            Some("true" | "1") => Ok(true),
            Some(_) => Err(ApiError::invalid(format!("{name} must be true or false"))),
        }
    }

    pub fn number(&self, name: &str, default: u32, most: u32) -> Result<u32, ApiError> {
        let Some(text) = self.text(name) else { return Ok(default) };
        let number = text.parse().ok().filter(|number| (1..=most).contains(number));
        number.ok_or_else(|| ApiError::invalid(format!("{name} must be a number from 1 to {most}")))
    }

    /// The id after which a page begins.
    pub fn after(&self) -> Result<i64, ApiError> {
        let Some(text) = self.text("after").filter(|text| !text.is_empty()) else { return Ok(0) };
        parse_id_text(text)
            .ok_or_else(|| ApiError::invalid("after must be taken from paging.next.after of the page before"))
    }
}

/// The JSON object in the body.
pub struct Document(pub Map<String, Value>);

/// The JSON list in the body.
pub struct Items(pub Vec<Value>);

impl<S: Sync> FromRequest<S> for Document {
    type Rejection = ApiError;

    async fn from_request(request: Request<Body>, _: &S) -> Result<Self, ApiError> {
        match json_in(&request)? {
            Value::Object(members) => Ok(Self(members)),
            _ => Err(ApiError::invalid(
                "Invalid input JSON on line 1, column 1: the body must be a JSON object",
            )),
        }
    }
}

impl<S: Sync> FromRequest<S> for Items {
    type Rejection = ApiError;

    async fn from_request(request: Request<Body>, _: &S) -> Result<Self, ApiError> {
        match json_in(&request)? {
            Value::Array(items) => Ok(Self(items)),
            _ => {
                Err(ApiError::invalid("Invalid input JSON on line 1, column 1: the body must be a JSON list"))
            }
        }
    }
}

fn json_in(request: &Request<Body>) -> Result<Value, ApiError> {
    let body = limits::body_of(request)?;
    let text = std::str::from_utf8(&body).map_err(|_| ApiError::invalid("the body is no UTF-8"))?;
    let document =
        parse_strictly(text).map_err(|error| ApiError::invalid(format!("Invalid input JSON: {error}")))?;
    if contains_nul(&document) {
        return Err(ApiError::invalid("a text must not contain the character U+0000"));
    }
    Ok(document)
}

/// The inputs of a batch of records.
pub fn inputs(document: &Map<String, Value>) -> Result<Vec<&Map<String, Value>>, ApiError> {
    inputs_up_to(MAX_INPUTS, document)
}

/// The inputs of a batch of so many at most.
pub fn inputs_up_to(
    most: usize,
    document: &Map<String, Value>,
) -> Result<Vec<&Map<String, Value>>, ApiError> {
    let Some(inputs) = document.get("inputs").and_then(Value::as_array) else {
        return Err(ApiError::invalid_member("inputs", "must be a list"));
    };
    if inputs.len() > most {
        return Err(ApiError::invalid_member("inputs", &format!("must not have more than {most} items")));
    }
    let object = |(at, input): (usize, &'_ Value)| {
        input
            .as_object()
            .map(|_| at)
            .ok_or_else(|| ApiError::invalid_member(&format!("inputs[{at}]"), "must be an object"))
    };
    inputs.iter().enumerate().map(object).collect::<Result<Vec<_>, _>>()?;
    Ok(inputs.iter().filter_map(Value::as_object).collect())
}

/// A member that is a text; a number or a truth counts as its text.
pub fn text_member<'a>(
    members: &'a Map<String, Value>,
    name: &str,
) -> Result<Option<std::borrow::Cow<'a, str>>, ApiError> {
    match members.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(Value::String(text)) => Ok(Some(text.as_str().into())),
        Some(Value::Number(number)) => Ok(Some(plain(&number.to_string()).into())),
        Some(Value::Bool(truth)) => Ok(Some(truth.to_string().into())),
        Some(_) => Err(ApiError::invalid_member(name, "must be a string")),
    }
}

/// A list of texts that may be left out.
pub fn texts(members: &Map<String, Value>, name: &str) -> Result<Vec<String>, ApiError> {
    let wrong = || ApiError::invalid_member(name, "must be a list of strings");
    match members.get(name) {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(items)) => {
            items.iter().map(|item| item.as_str().map(str::to_owned).ok_or_else(wrong)).collect()
        }
        Some(_) => Err(wrong()),
    }
}

/// The values of properties: numbers and truths count as their texts, and null or an empty text clears one.
pub fn properties(members: &Map<String, Value>) -> Result<BTreeMap<String, Option<String>>, ApiError> {
    let Some(properties) = members.get("properties").and_then(Value::as_object) else {
        return Err(ApiError::invalid_member("properties", "must be an object"));
    };
    let value = |(name, value): (&String, &Value)| {
        let value = match value {
            Value::Null => None,
            Value::String(text) => Some(text.clone()),
            Value::Number(number) => Some(plain(&number.to_string())),
            Value::Bool(truth) => Some(truth.to_string()),
            Value::Array(_) | Value::Object(_) => {
                return Err(ApiError::invalid_member(&format!("properties.{name}"), "must be a string"));
            }
        };
        Ok((name.clone(), value.filter(|value| !value.is_empty())))
    };
    properties.iter().map(value).collect()
}
