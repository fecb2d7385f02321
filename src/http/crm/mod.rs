//! The vendor's API, so that the client libraries that a CRM's programs use already keep records in sync, delete and erase here.
//!
//! Paths, bodies, status codes and errors are the vendor's, for records of every type; `openapi.json` describes them. A token
//! does what its scopes allow, and deletes no more than its limit within a window.

mod answers;
mod associations;
mod batch;
mod error;
mod flows;
mod gate;
mod input;
mod lists;
mod objects;
mod preferences;
mod properties;
mod search;
mod shown;

use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::http::StatusCode;
use axum::middleware::from_fn_with_state;
use axum::response::{IntoResponse, Response};
use axum::routing::{MethodRouter, delete, get, patch, post, put};

use super::auth::Authenticator;
use crate::operations::Operations;
use crate::store::deletions::ProgramGuard;
use error::ApiError;
use gate::Gate;

/// What the settings say about the vendor's API.
#[derive(Clone, Debug)]
pub struct Options {
    /// What its paths begin with; empty, or such as `/hubspot`.
    pub prefix: String,
    /// Requests of one token within ten seconds; 0: any number.
    pub requests_per_10s: u32,
    /// How much one token may delete.
    pub guard: ProgramGuard,
}

/// The longest body: a hundred records of fifty properties have some 300 KiB.
pub const MAX_BODY_BYTES: usize = 2 * 1024 * 1024;
/// The window of the limit of requests.
const RATE_WINDOW: Duration = Duration::from_secs(10);

const OPENAPI: &str = include_str!("openapi.json");

/// The first steps of its paths.
const ROOTS: [&str; 3] = ["/crm/", "/automation/", "/communication-preferences/"];

/// Is it a path of the vendor's API?
pub fn is_path(prefix: &str, path: &str) -> bool {
    path.strip_prefix(prefix).is_some_and(|path| ROOTS.iter().any(|root| path.starts_with(root)))
}

/// What handlers work with.
#[derive(Clone)]
struct Api {
    operations: Operations,
    options: Arc<Options>,
}

/// Routes, and their list for the test that compares it with the document.
macro_rules! routes {
    ($($($method:ident)|+ $path:literal => $($handler:path),+;)*) => {
        #[cfg(test)]
        const ROUTES: &[(&str, &str)] = &[$($((stringify!($method), $path)),+),*];

        fn routes() -> Router<Api> {
            Router::new()$(.route($path, MethodRouter::new()$(.merge($method($handler)))+))*
        }
    };
}

routes! {
    get | post "/automation/v4/flows" => flows::list, flows::create;
    post "/automation/v4/flows/batch/read" => flows::batch_read;
    get | put | delete "/automation/v4/flows/{flowId}" => flows::read, flows::replace, flows::delete;
    get "/communication-preferences/v3/definitions" => preferences::definitions;
    get "/communication-preferences/v3/status/email/{emailAddress}" => preferences::read;
    post "/communication-preferences/v3/unsubscribe" => preferences::unsubscribe;
    get | post "/crm/v3/objects/{objectType}" => objects::list, objects::create;
    get | patch | delete "/crm/v3/objects/{objectType}/{objectId}" => objects::read, objects::update, objects::archive;
    post "/crm/v3/associations/{objectType}/{toObjectType}/batch/read" => associations::batch_read_in_version_3;
    get | post "/crm/v3/lists" => lists::list, lists::create;
    get | post "/crm/v3/lists/" => lists::list, lists::create;
    get "/crm/v3/lists/records/{objectType}/{objectId}/memberships" => lists::lists_of;
    post "/crm/v3/lists/search" => lists::search;
    get | delete "/crm/v3/lists/{listId}" => lists::read, lists::archive;
    get "/crm/v3/lists/{listId}/memberships" => lists::members;
    put "/crm/v3/lists/{listId}/memberships/add" => lists::add;
    put "/crm/v3/lists/{listId}/memberships/add-and-remove" => lists::add_and_remove;
    put "/crm/v3/lists/{listId}/memberships/remove" => lists::remove;
    put "/crm/v3/lists/{listId}/restore" => lists::restore;
    post "/crm/v3/objects/{objectType}/batch/archive" => batch::archive;
    post "/crm/v3/objects/{objectType}/batch/create" => batch::create;
    post "/crm/v3/objects/{objectType}/batch/read" => batch::read;
    post "/crm/v3/objects/{objectType}/batch/update" => batch::update;
    post "/crm/v3/objects/{objectType}/batch/upsert" => batch::upsert;
    post "/crm/v3/objects/{objectType}/gdpr-delete" => objects::erase;
    post "/crm/v3/objects/{objectType}/merge" => objects::merge;
    post "/crm/v3/objects/{objectType}/search" => search::search;
    get "/crm/v3/openapi.json" => openapi;
    get | post "/crm/v3/properties/{objectType}" => properties::list, properties::define;
    get "/crm/v3/properties/{objectType}/{propertyName}" => properties::read;
    post "/crm/v4/associations/{objectType}/{toObjectType}/batch/archive" => associations::batch_archive;
    post "/crm/v4/associations/{objectType}/{toObjectType}/batch/associate/default" => associations::batch_by_default;
    post "/crm/v4/associations/{objectType}/{toObjectType}/batch/create" => associations::batch_create;
    post "/crm/v4/associations/{objectType}/{toObjectType}/batch/read" => associations::batch_read;
    put "/crm/v4/objects/{objectType}/{objectId}/associations/default/{toObjectType}/{toObjectId}" => associations::associate_by_default;
    get "/crm/v4/objects/{objectType}/{objectId}/associations/{toObjectType}" => associations::list;
    put | delete "/crm/v4/objects/{objectType}/{objectId}/associations/{toObjectType}/{toObjectId}" => associations::associate, associations::separate;
}

/// The vendor's API, behind its gate.
pub fn router(operations: Operations, gate: Authenticator, options: Options) -> Router {
    let prefix = options.prefix.clone();
    let gate = Gate::new(gate, options.requests_per_10s);
    let api = Api { operations, options: Arc::new(options) };
    let mut routes = routes().method_not_allowed_fallback(not_allowed);
    for root in ROOTS {
        routes = routes.route(&format!("{root}{{*path}}"), MethodRouter::new().fallback(unknown));
    }
    let routes = routes.layer(from_fn_with_state(gate, gate::admit)).with_state(api);
    if prefix.is_empty() { routes } else { Router::new().nest(&prefix, routes) }
}

/// That the service itself is what a request fails on.
pub fn not_now(status: StatusCode, reason: &str) -> Response {
    ApiError::of_service(status, reason).into_response()
}

async fn unknown() -> ApiError {
    ApiError::not_found("nothing is at this path: /crm/v3/openapi.json says what there is")
}

async fn not_allowed() -> ApiError {
    let message = "this path does not take this method: /crm/v3/openapi.json says which it takes";
    ApiError::new(StatusCode::METHOD_NOT_ALLOWED, "VALIDATION_ERROR", message)
}

async fn openapi() -> Response {
    ([(axum::http::header::CONTENT_TYPE, "application/json")], OPENAPI).into_response()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn document_describes_exactly_what_is_there() {
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

    #[test]
    fn paths_are_told_from_those_of_the_console() {
        for (prefix, path, is_of_api) in [
            ("", "/crm/v3/objects/contacts", true),
            ("", "/automation/v4/flows", true),
            ("", "/api/v1/trash", false),
            ("/hubspot", "/hubspot/crm/v3/objects/contacts", true),
            ("/hubspot", "/crm/v3/objects/contacts", false),
        ] {
            assert_eq!(is_path(prefix, path), is_of_api, "{prefix} {path}");
        }
    }
}
