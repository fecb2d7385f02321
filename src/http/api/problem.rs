//! Errors as RFC 9457 has them: `application/problem+json`.

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde_json::json;

use crate::http::auth::AuthError;
use crate::http::limits::BodyError;
use crate::operations::Error;
use crate::store::StoreError;

/// Why a request was not carried out.
#[derive(Clone, Debug)]
pub struct Problem {
    status: StatusCode,
    /// What programs know it by.
    code: &'static str,
    detail: String,
}

impl Problem {
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<String>) -> Self {
        Self { status, code, detail: detail.into() }
    }

    /// The request is not what it must be.
    pub fn malformed(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, "malformed", detail)
    }

    /// It takes a permission that the user lacks.
    pub fn forbidden(detail: impl Into<String>) -> Self {
        Self::new(StatusCode::FORBIDDEN, "forbidden", detail)
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        let (status, code) = match &error {
            StoreError::Refused(_) => (StatusCode::CONFLICT, "refused"),
            StoreError::CountMismatch(_) => (StatusCode::CONFLICT, "miscounted"),
            StoreError::Forbidden(_) => (StatusCode::FORBIDDEN, "forbidden"),
            StoreError::NotFound(_) => (StatusCode::NOT_FOUND, "not_found"),
            StoreError::Failed(_) | StoreError::NotSetUp(_) | StoreError::Unsupported(_) => {
                (StatusCode::INTERNAL_SERVER_ERROR, "failed")
            }
            StoreError::Contended(_) | StoreError::TimedOut(_) | StoreError::Unavailable(_) => {
                (StatusCode::SERVICE_UNAVAILABLE, "unavailable")
            }
        };
        Self::new(status, code, error.to_string())
    }
}

impl From<Error> for Problem {
    fn from(error: Error) -> Self {
        match error {
            Error::Store(error) => error.into(),
            Error::Usage(sentence) => Self::malformed(sentence),
            Error::NotFound(sentence) => Self::new(StatusCode::NOT_FOUND, "not_found", sentence),
            Error::Refused(sentence) => Self::new(StatusCode::CONFLICT, "refused", sentence),
            Error::TooLong(sentence) => Self::new(StatusCode::SERVICE_UNAVAILABLE, "too_long", sentence),
            Error::Failed(sentence) => Self::new(StatusCode::SERVICE_UNAVAILABLE, "unavailable", sentence),
        }
    }
}

impl From<AuthError> for Problem {
    fn from(outside: AuthError) -> Self {
        match outside {
            AuthError::Unknown => Self::new(
                StatusCode::UNAUTHORIZED,
                "unauthorized",
                "show a token that is in force: `Authorization: Bearer reaper_…` (contact-reaper tokens create)",
            ),
            AuthError::TooMany => Self::new(
                StatusCode::TOO_MANY_REQUESTS,
                "too_many_wrong_tokens",
                "too many wrong tokens came from this address: try again in a minute",
            ),
            AuthError::NotForConsole => Self::forbidden(
                "this token is for the vendor's API alone: show one with the scope console (contact-reaper tokens create)",
            ),
            AuthError::Store(error) => error.into(),
        }
    }
}

impl From<BodyError> for Problem {
    fn from(problem: BodyError) -> Self {
        match problem {
            BodyError::TooLarge => {
                Self::new(StatusCode::PAYLOAD_TOO_LARGE, "too_large", "a body has at most 256 KiB")
            }
            BodyError::TooSlow => Self::new(
                StatusCode::REQUEST_TIMEOUT,
                "too_slow",
                "the body did not arrive within 15 seconds",
            ),
            BodyError::Broken => Self::malformed("the body ended too early"),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let Self { status, code, detail } = self;
        let body = json!({"type": format!("urn:contact-reaper:problem:{code}"),
            "title": status.canonical_reason().unwrap_or_default(), "status": status.as_u16(), "detail": detail});
        let mut response =
            (status, [(header::CONTENT_TYPE, "application/problem+json")], body.to_string()).into_response();
        let more = match status {
            StatusCode::UNAUTHORIZED => Some((header::WWW_AUTHENTICATE, "Bearer")),
            StatusCode::TOO_MANY_REQUESTS => Some((header::RETRY_AFTER, "60")),
            StatusCode::SERVICE_UNAVAILABLE => Some((header::RETRY_AFTER, "1")),
            _ => None,
        };
        if let Some((name, value)) = more {
            response.headers_mut().insert(name, axum::http::HeaderValue::from_static(value));
        }
        response
    }
}
