//! Who takes e-mail.

use axum::Json;
use axum::response::IntoResponse;
use serde_json::{Value, json};

use super::answers::HandlerResult;
use super::error::ApiError;
use super::gate::demand_view;
use super::input::{Document, OfAccount, text_member, writing};
use crate::domain::address::is_plain_address;
use crate::domain::object_type::CONTACT;
use crate::domain::token_scope::TokenScope;
use crate::store::crm::Subscription;

/// The one subscription there is.
const ALL_MAIL: &str = "1";
const NAME: &str = "All e-mail";
const DESCRIPTION: &str = "Every marketing e-mail of the account";

fn status(subscription: Subscription) -> Value {
    let (status, source) = match subscription {
        Subscription::Subscribed => ("SUBSCRIBED", "SUBSCRIPTION_STATUS"),
        Subscription::Unsubscribed => ("NOT_SUBSCRIBED", "SUBSCRIPTION_STATUS"),
        Subscription::Suppressed => ("NOT_SUBSCRIBED", "PORTAL_WIDE_STATUS"),
    };
    json!({"id": ALL_MAIL, "name": NAME, "description": DESCRIPTION, "status": status, "sourceOfStatus": source})
}

pub async fn definitions(of: OfAccount) -> HandlerResult {
    demand_view(&of.caller, TokenScope::CrmRead, CONTACT)?;
    let always = "1970-01-01T00:00:00.000Z";
    let definition = json!({"id": ALL_MAIL, "name": NAME, "description": DESCRIPTION, "isActive": true,
        "isDefault": true, "isInternal": false, "createdAt": always, "updatedAt": always});
    Ok(Json(json!({"subscriptionDefinitions": [definition]})).into_response())
}

pub async fn read(of: OfAccount) -> HandlerResult {
    demand_view(&of.caller, TokenScope::CrmRead, CONTACT)?;
    if !is_plain_address(&of.name) {
        return Err(ApiError::invalid("the path must end with an e-mail address"));
    }
    let found = of.api.operations.store.subscription(of.caller.account_id, &of.name).await?;
    Ok(Json(json!({"recipient": of.name, "subscriptionStatuses": [status(found)]})).into_response())
}

pub async fn unsubscribe(of: OfAccount, Document(members): Document) -> HandlerResult {
    demand_view(&of.caller, TokenScope::CrmWrite, CONTACT)?;
    let email = text_member(&members, "emailAddress")?.unwrap_or_default();
    if !is_plain_address(&email) {
        return Err(ApiError::invalid_member("emailAddress", "must be an e-mail address"));
    }
    if text_member(&members, "subscriptionId")?.is_none_or(|id| id != ALL_MAIL) {
        return Err(ApiError::invalid_member("subscriptionId", "must be 1, which is all e-mail"));
    }
    let store = &of.api.operations.store;
    store.unsubscribe(writing(&of.caller), &email).await?;
    let mut answer = status(store.subscription(of.caller.account_id, &email).await?);
    if let Some(basis) = text_member(&members, "legalBasis")? {
        answer["legalBasis"] = json!(basis);
    }
    Ok(Json(answer).into_response())
}
