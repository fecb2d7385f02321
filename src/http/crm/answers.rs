//! What answers of several kinds are made of.

use axum::Json;
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Response};
use chrono::Utc;
use serde_json::{Value, json};

use super::error::ApiError;
use crate::domain::members::parse_id_text;
use crate::domain::time::{Time, format_millis};

/// What a handler answers.
pub type HandlerResult = Result<Response, ApiError>;

/// The id of a record in a path.
pub fn by_id(id: &str) -> Result<i64, ApiError> {
    let not_numeric = || ApiError::not_found("Object not found.  objectId are usually numeric.");
    parse_id_text(id).ok_or_else(not_numeric)
}

/// No record is there.
pub fn absent() -> ApiError {
    ApiError::not_found("resource not found")
}

/// The link to the next page, at the address that was asked.
pub fn next_page(headers: &HeaderMap, uri: &axum::http::Uri, after: &str) -> Value {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let scheme =
        text("x-forwarded-proto").map_or("", |value| value.split(',').next().unwrap_or_default().trim());
    let scheme = if scheme.eq_ignore_ascii_case("https") { "https" } else { "http" };
    let host = text(header::HOST.as_str()).unwrap_or_default();
    let mut query = form_urlencoded::Serializer::new(String::new());
    let asked = form_urlencoded::parse(uri.query().unwrap_or_default().as_bytes());
    query.extend_pairs(asked.filter(|(name, _)| name != "after"));
    query.append_pair("after", after);
    json!({"next": {"after": after, "link": format!("{scheme}://{host}{}?{}", uri.path(), query.finish())}})
}

/// The answer of a batch that began then: results, and what was wrong with the others.
pub fn answer(status: StatusCode, began: Time, results: &[Value], errors: Vec<Value>) -> Response {
    let mut answer = json!({"status": "COMPLETE", "results": results, "startedAt": format_millis(began),
        "completedAt": format_millis(Utc::now())});
    if errors.is_empty() {
        return (status, Json(answer)).into_response();
    }
    answer["numErrors"] = json!(errors.len());
    answer["errors"] = errors.into();
    (StatusCode::MULTI_STATUS, Json(answer)).into_response()
}
