//! Definitions of properties.

use axum::Json;
use axum::http::StatusCode;
use axum::response::IntoResponse;
use serde_json::{Value, json};

use super::answers::HandlerResult;
use super::error::ApiError;
use super::gate::demand_view;
use super::input::{Document, OfType, Params, text_member};
use crate::domain::properties::{Definition, TYPES};
use crate::domain::token_scope::TokenScope;
use crate::store::StoreError;

/// The longest name or label, in bytes.
const MAX_BYTES: usize = 250;

fn shown(definition: &Definition) -> Value {
    let mut shown = json!(definition);
    shown["description"] = json!("");
    shown["hidden"] = json!(false);
    shown["displayOrder"] = json!(-1);
    shown["hasUniqueValue"] = json!(false);
    shown["formField"] = json!(!definition.is_read_only);
    shown["archived"] = json!(false);
    shown["modificationMetadata"] = json!({"archivable": !definition.hubspot_defined,
        "readOnlyDefinition": definition.hubspot_defined, "readOnlyValue": definition.is_read_only});
    shown
}

/// None is ever archived.
pub async fn list(OfType { api, caller, object_type, .. }: OfType, params: Params) -> HandlerResult {
    demand_view(&caller, TokenScope::CrmRead, &object_type)?;
    let known = if params.flag("archived")? {
        Vec::new()
    } else {
        api.operations.store.properties(caller.account_id, &object_type).await?.into_values().collect()
    };
    let results: Vec<Value> = known.iter().map(shown).collect();
    Ok(Json(json!({ "results": results })).into_response())
}

pub async fn read(OfType { api, caller, object_type, name }: OfType) -> HandlerResult {
    demand_view(&caller, TokenScope::CrmRead, &object_type)?;
    let known = api.operations.store.properties(caller.account_id, &object_type).await?;
    let definition =
        known.get(&name).ok_or_else(|| ApiError::not_found("the account has no such property"))?;
    Ok(Json(shown(definition)).into_response())
}

pub async fn define(
    OfType { api, caller, object_type, .. }: OfType,
    Document(members): Document,
) -> HandlerResult {
    demand_view(&caller, TokenScope::CrmWrite, &object_type)?;
    let text = |name: &str| -> Result<String, ApiError> {
        let text = text_member(&members, name)?.filter(|text| !text.is_empty() && text.len() <= MAX_BYTES);
        text.map(std::borrow::Cow::into_owned).ok_or_else(|| {
            ApiError::invalid_member(name, &format!("must be a text of 1 to {MAX_BYTES} bytes"))
        })
    };
    let name = text("name")?;
    let is_name = name.starts_with(|first: char| first.is_ascii_lowercase())
        && name.bytes().all(|it| it.is_ascii_lowercase() || it.is_ascii_digit() || it == b'_');
    if !is_name {
        let is = "must begin with a lower-case letter and have lower-case letters, digits and _ only";
        return Err(ApiError::invalid_member("name", is));
    }
    let value_type = text("type")?;
    if !TYPES.contains(&value_type.as_str()) {
        return Err(ApiError::invalid_member("type", &format!("must be one of {}", TYPES.join(", "))));
    }
    let options = match members.get("options") {
        None | Some(Value::Null) => Vec::new(),
        Some(Value::Array(options))
            if options.iter().all(|it| it.get("value").is_some_and(Value::is_string)) =>
        {
            options.clone()
        }
        Some(_) => return Err(ApiError::invalid_member("options", "must be a list of objects with a value")),
    };
    if members.get("hasUniqueValue") == Some(&Value::Bool(true)) {
        return Err(ApiError::invalid_member(
            "hasUniqueValue",
            "must be false: only ids and addresses are unique here",
        ));
    }
    let definition = Definition {
        name,
        label: text("label")?,
        value_type,
        field_type: text("fieldType")?,
        group_name: text("groupName")?,
        options,
        calculated: false,
        is_read_only: false,
        hubspot_defined: false,
    };
    match api
        .operations
        .store
        .define_property(caller.account_id, caller.token_id, &object_type, &definition)
        .await
    {
        Ok(()) => Ok((StatusCode::CREATED, Json(shown(&definition))).into_response()),
        Err(StoreError::Refused(why)) => Err(ApiError::conflict(why)),
        Err(error) => Err(error.into()),
    }
}
