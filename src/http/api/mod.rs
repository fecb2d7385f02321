//! The JSON API under `/api/v1`: what the commands do, for whoever shows a token, in the account of its user.
//!
//! Answers are the documents that the commands print with `--json`. `openapi.json` describes all of it, and the tests
//! hold it against the routes.

mod deeds;
pub mod input;
mod lists;
mod looks;
mod problem;

use axum::extract::{Request, State as Shared};
use axum::http::{StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};

use super::auth::{Gate, Outside};
use super::server::Peer;
use crate::operations::Operations;
use problem::Problem;

const OPENAPI: &str = include_str!("openapi.json");

/// Routes, and their list for the test that compares it with the document.
macro_rules! routes {
    ($($method:ident $path:literal => $handler:path,)*) => {
        #[cfg(test)]
        const ROUTES: &[(&str, &str)] = &[$((stringify!($method), $path)),*];

        fn routes() -> Router<Operations> {
            Router::new()$(.route($path, $method($handler)))*
        }
    };
}

routes! {
    get "/audit" => lists::audit,
    get "/contacts/{contactId}" => looks::contact,
    get "/dead-letters" => lists::dead_letters,
    get "/dead-letters/{deadLetterId}" => looks::dead_letter,
    post "/dead-letters/discard" => deeds::discard,
    post "/dead-letters/replay" => deeds::replay,
    post "/delete" => deeds::delete,
    get "/enrollments" => lists::enrollments,
    get "/enrollments/{enrollmentId}" => looks::enrollment,
    post "/erase" => deeds::erase,
    get "/erasures" => lists::erasures,
    get "/erasures/{erasureId}" => looks::erasure,
    get "/explain" => looks::explain,
    get "/holds" => lists::holds,
    get "/legal-holds" => lists::legal_holds,
    post "/legal-holds/lift" => deeds::lift_legal_hold,
    post "/legal-holds/set" => deeds::set_legal_hold,
    get "/openapi.json" => openapi,
    get "/pages/{name}" => looks::page,
    post "/pause" => deeds::pause,
    post "/restore" => deeds::restore,
    post "/restore/preview" => deeds::preview_restore,
    post "/resume" => deeds::resume,
    get "/retention" => looks::retention,
    post "/retention/dry-run" => deeds::try_retention,
    post "/retention/run" => deeds::run_retention,
    get "/trash" => lists::trash,
    get "/workflows/{workflowId}/holds" => lists::held_enrollments,
    post "/workflows/{workflowId}/holds/approve" => deeds::approve,
    post "/workflows/{workflowId}/holds/reject" => deeds::reject,
    get "/workflows/{workflowId}/preview" => looks::workflow_preview,
}

/// The API, behind the gate.
pub fn router(operations: Operations, gate: Gate) -> Router {
    routes()
        .fallback(unknown)
        .method_not_allowed_fallback(not_allowed)
        .layer(from_fn_with_state(gate, authenticate))
        .with_state(operations)
}

/// Lets whoever shows a token in force through, with the user that it stands for; nobody else learns even what is there.
async fn authenticate(Shared(gate): Shared<Gate>, mut request: Request, next: Next) -> Response {
    let shown = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let token = shown.and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned())
    });
    let peer = request.extensions().get::<Peer>().copied();
    let caller = match (token, peer) {
        (Some(token), Some(peer)) => gate.by_token(&token, peer).await,
        _ => Err(Outside::Unknown),
    };
    match caller {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(outside) => Problem::from(outside).into_response(),
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
