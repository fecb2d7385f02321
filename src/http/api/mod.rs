//! The JSON API under `/api/v1`: what the commands do, for whoever shows a token, in the account of its user.
//!
//! Answers are the documents that the commands print with `--json`. `openapi.json` describes all of it, and the tests
//! hold it against the routes.

mod actions;
pub mod input;
mod lists;
mod problem;
mod resources;

use axum::extract::{Extension, Request, State as Shared};
use axum::http::{HeaderMap, StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};

use super::auth::{AuthError, Authenticator, may_view};
use super::server::Peer;
use crate::domain::credential::{Credential, Kind};
use crate::domain::object_type::CONTACT;
use crate::domain::permission::Over;
use crate::operations::Operations;
use crate::store::access::tokens::Caller;
use problem::Problem;

const OPENAPI: &str = include_str!("openapi.json");

/// Routes, and their list for the test that compares it with the document. A route that reads names what the permission
/// View has to cover; an operation asks for its own permission in its transaction.
macro_rules! routes {
    ($($method:ident $path:literal $([$covers:ident])? => $handler:path,)*) => {
        #[cfg(test)]
        const ROUTES: &[(&str, &str)] = &[$((stringify!($method), $path)),*];

        fn routes() -> Router<Operations> {
            Router::new()$(.route($path, $method($handler)$(.route_layer(from_fn($covers)))?))*
        }
    };
}

routes! {
    get "/audit" [everything] => lists::audit,
    get "/changes" [everything] => lists::changes,
    get "/contacts/{contactId}" [contacts] => resources::contact,
    get "/dead-letters" [everything] => lists::dead_letters,
    get "/dead-letters/{deadLetterId}" [everything] => resources::dead_letter,
    post "/dead-letters/discard" => actions::discard,
    post "/dead-letters/replay" => actions::replay,
    post "/delete" => actions::delete,
    post "/delete/preview" => actions::preview_delete,
    get "/enrollments" [contacts] => lists::enrollments,
    get "/enrollments/{enrollmentId}" [contacts] => resources::enrollment,
    post "/erase" => actions::erase,
    post "/erase/preview" [contacts] => actions::preview_erasure,
    get "/erasures" [contacts] => lists::erasures,
    get "/erasures/{erasureId}" [contacts] => resources::erasure,
    get "/explain" [contacts] => resources::explain,
    get "/holds" [contacts] => lists::holds,
    get "/legal-holds" [contacts] => lists::legal_holds,
    post "/legal-holds/lift" => actions::lift_legal_hold,
    post "/legal-holds/set" => actions::set_legal_hold,
    get "/openapi.json" => openapi,
    get "/pages/company" [everything] => resources::company,
    get "/pages/segment" [everything] => resources::segment,
    get "/pages/timeline" [everything] => resources::timeline,
    get "/pages/{name}" [everything] => resources::page,
    post "/pause" => actions::pause,
    get "/records/{record}" => resources::record,
    post "/restore" => actions::restore,
    post "/restore/preview" [contacts] => actions::preview_restore,
    post "/resume" => actions::resume,
    get "/retention" => resources::retention,
    post "/retention/dry-run" => actions::dry_run_retention,
    post "/retention/run" => actions::run_retention,
    get "/trash" [contacts] => lists::trash,
    get "/trash/records" => lists::record_trash,
    get "/users" [everything] => lists::users,
    get "/workflows/{workflowId}/holds" [contacts] => lists::held_enrollments,
    post "/workflows/{workflowId}/holds/approve" => actions::approve,
    post "/workflows/{workflowId}/holds/reject" => actions::reject,
    get "/workflows/{workflowId}/preview" [contacts] => resources::workflow_preview,
}

/// The API, behind the gate.
pub fn router(operations: Operations, gate: Authenticator) -> Router {
    routes()
        .fallback(unknown)
        .method_not_allowed_fallback(not_allowed)
        .layer(from_fn_with_state(gate, authenticate))
        .with_state(operations)
}

/// That the service itself is what a request fails on.
pub fn not_now(status: StatusCode, reason: &str) -> Response {
    let code = match status {
        StatusCode::INTERNAL_SERVER_ERROR => "failed",
        StatusCode::TOO_MANY_REQUESTS => "too_many_requests",
        _ => "unavailable",
    };
    Problem::new(status, code, reason).into_response()
}

/// The text that a request shows as a token.
pub fn token_in(headers: &HeaderMap) -> Option<&str> {
    let shown = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = shown.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// The token that a request shows, whether or not it is in force.
pub fn token_of(headers: &HeaderMap) -> Option<Credential> {
    Credential::parse(Kind::Token, token_in(headers)?)
}

/// Lets whoever shows a token in force through, with the user that it stands for; nobody else learns even what is there.
async fn authenticate(Shared(gate): Shared<Authenticator>, mut request: Request, next: Next) -> Response {
    let token = token_in(request.headers()).map(str::to_owned);
    let peer = request.extensions().get::<Peer>().copied();
    let caller = match (token, peer) {
        (Some(token), Some(peer)) => gate.by_console_token(&token, peer).await,
        _ => Err(AuthError::Unknown),
    };
    match caller {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(outside) => Problem::from(outside).into_response(),
    }
}

/// Lets users through who may read contacts.
async fn contacts(Extension(caller): Extension<Caller>, request: Request, next: Next) -> Response {
    view(&caller, Over::Type(CONTACT), request, next).await
}

/// Lets users through who may read whatever the account has.
async fn everything(Extension(caller): Extension<Caller>, request: Request, next: Next) -> Response {
    view(&caller, Over::Everything, request, next).await
}

async fn view(caller: &Caller, over: Over<'_>, request: Request, next: Next) -> Response {
    match may_view(caller, over) {
        Ok(()) => next.run(request).await,
        Err(detail) => Problem::forbidden(detail).into_response(),
    }
}

async fn unknown() -> Problem {
    let detail = "nothing is at this path: /api/v1/openapi.json says what there is";
    Problem::new(StatusCode::NOT_FOUND, "not_found", detail)
}

async fn not_allowed() -> Problem {
    let detail = "this path does not take this method: /api/v1/openapi.json says which it takes";
    Problem::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", detail)
}

async fn openapi() -> Response {
    ([(header::CONTENT_TYPE, "application/json")], OPENAPI).into_response()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_document_describes_exactly_what_is_there() {
        let document: serde_json::Value = serde_json::from_str(OPENAPI).unwrap();
        let described: BTreeSet<(String, String)> = document["paths"]
            .as_object()
            .unwrap()
            .iter()
            .flat_map(|(path, methods)| {
                methods.as_object().unwrap().keys().map(|method| (method.clone(), path.clone()))
            })
            .collect();
        let there = ROUTES.iter().map(|(method, path)| ((*method).to_owned(), (*path).to_owned())).collect();
        assert_eq!(described, there);
    }
}
