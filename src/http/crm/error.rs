//! Errors in the vendor's shape.

use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::{Value, json};

use crate::http::auth::AuthError;
use crate::http::limits::BodyError;
use crate::operations::Error;
use crate::store::StoreError;

const CORRELATION_ID: HeaderName = HeaderName::from_static("x-hubspot-correlation-id");

/// Why a request was not carried out.
#[derive(Clone, Debug)]
pub struct ApiError(Box<Details>);

#[derive(Clone, Debug)]
struct Details {
    status: StatusCode,
    category: &'static str,
    message: String,
    context: Option<Value>,
    /// Details, each with a `message`.
    errors: Vec<Value>,
    /// The limit that was reached.
    policy: Option<&'static str>,
    /// Seconds until it is worth another try.
    retry_after: Option<u64>,
}

impl ApiError {
    pub fn new(status: StatusCode, category: &'static str, message: impl Into<String>) -> Self {
        let message = message.into();
        let (context, errors, policy, retry_after) = (None, Vec::new(), None, None);
        Self(Box::new(Details { status, category, message, context, errors, policy, retry_after }))
    }

    /// The request is not what it must be.
    pub fn invalid(message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "VALIDATION_ERROR", message)
    }

    /// The body is not what it must be, at this member.
    pub fn invalid_member(member: &str, problem: &str) -> Self {
        let message = format!("Invalid input JSON on line 1, column 1: {member} {problem}");
        let detail = json!({"message": format!("{member} {problem}"), "in": member});
        Self::invalid(message).with_errors(vec![detail])
    }

    pub fn not_found(message: impl Into<String>) -> Self {
        Self::new(StatusCode::NOT_FOUND, "OBJECT_NOT_FOUND", message)
    }

    pub fn conflict(message: impl Into<String>) -> Self {
        Self::new(StatusCode::CONFLICT, "CONFLICT", message)
    }

    /// The token, or its user, may not do it.
    pub fn missing_scope(scope: &str, why: impl Into<String>) -> Self {
        let why = why.into();
        let detail = json!({"message": why, "context": {"requiredScopes": [scope]}});
        Self::new(StatusCode::FORBIDDEN, "MISSING_SCOPES", why).with_errors(vec![detail])
    }

    /// A limit of requests, or of deletes, was reached.
    pub fn limited(policy: &'static str, message: &str, retry_after: u64) -> Self {
        let mut error = Self::new(StatusCode::TOO_MANY_REQUESTS, "RATE_LIMITS", message);
        (error.0.policy, error.0.retry_after) = (Some(policy), Some(retry_after));
        error
    }

    /// The service itself is what the request fails on.
    pub fn of_service(status: StatusCode, reason: &str) -> Self {
        if status == StatusCode::TOO_MANY_REQUESTS {
            return Self::limited("TEN_SECONDLY_ROLLING", reason, 1);
        }
        let mut error = Self::new(status, "INTERNAL_ERROR", reason);
        error.0.retry_after = (status == StatusCode::SERVICE_UNAVAILABLE).then_some(1);
        error
    }

    pub fn with_errors(mut self, errors: Vec<Value>) -> Self {
        self.0.errors = errors;
        self
    }

    pub fn with_context(mut self, context: Value) -> Self {
        self.0.context = Some(context);
        self
    }

    /// As an entry in the answer of a batch.
    pub fn entry(&self) -> Value {
        let Details { category, message, context, errors, .. } = &*self.0;
        json!({"status": "error", "category": category, "message": message,
            "context": context.clone().unwrap_or_else(|| json!({})), "links": {}, "errors": errors})
    }
}

impl From<StoreError> for ApiError {
    fn from(error: StoreError) -> Self {
        let sentence = error.to_string();
        match error {
            StoreError::Refused(_) => Self::invalid(sentence),
            StoreError::CountMismatch(_) => Self::conflict(sentence),
            StoreError::Forbidden(_) => Self::missing_scope("delete", sentence),
            StoreError::NotFound(_) => Self::not_found(sentence),
            StoreError::Failed(_) | StoreError::NotSetUp(_) | StoreError::Unsupported(_) => {
                Self::of_service(StatusCode::INTERNAL_SERVER_ERROR, &sentence)
            }
            StoreError::Contended(_) | StoreError::TimedOut(_) | StoreError::Unavailable(_) => {
                Self::of_service(StatusCode::SERVICE_UNAVAILABLE, &sentence)
            }
        }
    }
}

impl From<Error> for ApiError {
    fn from(error: Error) -> Self {
        match error {
            Error::Store(error) => error.into(),
            Error::Usage(sentence) => Self::invalid(sentence),
            Error::NotFound(sentence) => Self::not_found(sentence),
            Error::Refused(sentence) => Self::conflict(sentence),
            Error::TooLong(sentence) | Error::Failed(sentence) => {
                Self::of_service(StatusCode::SERVICE_UNAVAILABLE, &sentence)
            }
        }
    }
}

impl From<AuthError> for ApiError {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::Unknown => Self::new(
                StatusCode::UNAUTHORIZED,
                "INVALID_AUTHENTICATION",
                "Authentication credentials not found. Show a token that is in force: `Authorization: Bearer reaper_…` \
                 (contact-reaper tokens create)",
            ),
            AuthError::TooMany => Self::limited(
                "TEN_SECONDLY_ROLLING",
                "too many wrong tokens came from this address: try again in a minute",
                60,
            ),
            AuthError::NotForConsole => Self::missing_scope("console", "this token is not for the console"),
            AuthError::Store(error) => error.into(),
        }
    }
}

impl From<BodyError> for ApiError {
    fn from(problem: BodyError) -> Self {
        let too = |status, message: &str| Self::new(status, "VALIDATION_ERROR", message);
        match problem {
            BodyError::TooLarge => too(StatusCode::PAYLOAD_TOO_LARGE, "a body has at most 2 MiB"),
            BodyError::TooSlow => {
                too(StatusCode::REQUEST_TIMEOUT, "the body did not arrive within 15 seconds")
            }
            BodyError::Broken => Self::invalid("the body ended too early"),
        }
    }
}

/// A random UUID.
fn correlation_id() -> String {
    let bits = fastrand::u128(..);
    let hex = format!("{:032x}", bits & !(0xf << 76) & !(0x3 << 62) | 0x4 << 76 | 0x2 << 62);
    [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let Details { status, category, message, context, errors, policy, retry_after } = *self.0;
        let id = correlation_id();
        let mut body =
            json!({"status": "error", "message": message, "correlationId": id, "category": category});
        if let Some(context) = context {
            body["context"] = context;
        }
        if !errors.is_empty() {
            body["errors"] = errors.into();
        }
        if let Some(policy) = policy {
            body["errorType"] = json!("RATE_LIMIT");
            body["policyName"] = json!(policy);
        }
        let kind = [(header::CONTENT_TYPE, "application/json;charset=utf-8")];
        let mut response = (status, kind, body.to_string()).into_response();
        let headers = response.headers_mut();
        if let Ok(id) = HeaderValue::from_str(&id) {
            headers.insert(CORRELATION_ID, id);
        }
        if let Some(seconds) = retry_after {
            headers.insert(header::RETRY_AFTER, seconds.into());
        }
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        response
    }
}
