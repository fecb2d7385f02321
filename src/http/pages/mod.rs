//! The pages: for people, rendered here, without a script; they ask and do what the API and the commands do.
//!
//! A session comes from a token. Whatever changes something is a form that was made for this session and this path, and is
//! taken once. Every page takes the permission View. What a user may not do is not offered; whether it may be done is asked by the transaction that does it.

mod audit;
mod dead_letters;
mod enrollments;
mod erase;
mod error_page;
mod form_fields;
mod holds;
mod layout;
mod legal_holds;
mod login;
mod overview;
mod plot;
mod restore;
mod retention;
pub mod session;
mod trash;

use axum::Router;
use axum::extract::{Request, State as Shared};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn, from_fn_with_state, map_response};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};

use super::auth::{Authenticator, may_view};
use crate::domain::object_type::CONTACT;
use crate::domain::permission::Over;
use crate::operations::Operations;
use session::{PageContext, PageError};

const STYLE: &str = include_str!("style.css");

/// What a page may load and where its forms go: nothing from elsewhere, and no script at all.
const POLICY: &str =
    "default-src 'none'; style-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// The pages, behind the gate but for the one that asks for a token.
pub fn router(operations: Operations, gate: Authenticator) -> Router {
    let of_contacts = Router::new()
        .route("/trash", get(trash::list))
        .route("/contacts/{contact}", get(trash::contact))
        .route("/delete", post(trash::delete))
        .route("/restore", get(restore::preview).post(restore::restore))
        .route("/erase", get(erase::ask).post(erase::erase))
        .route("/erase/look", post(erase::preview))
        .route("/erasures/{erasure}", get(erase::receipt))
        .route("/enrollments", get(enrollments::list))
        .route("/enrollments/{enrollment}", get(enrollments::show))
        .route("/explain", get(enrollments::explain))
        .route("/holds", get(holds::holds))
        .route("/holds/show", get(holds::held))
        .route("/holds/approve", post(holds::approve))
        .route("/holds/reject", post(holds::reject))
        .route("/pause", post(holds::pause))
        .route("/resume", post(holds::resume))
        .route("/legal-holds", get(legal_holds::list))
        .route("/legal-holds/set", post(legal_holds::set))
        .route("/legal-holds/lift", post(legal_holds::lift))
        .route_layer(from_fn(contacts));
    let of_the_account = Router::new()
        .route("/", get(overview::show))
        .route("/dead-letters", get(dead_letters::list))
        .route("/dead-letters/show", get(dead_letters::show))
        .route("/dead-letters/replay", post(dead_letters::replay))
        .route("/dead-letters/discard", post(dead_letters::discard))
        .route("/retention", get(retention::page))
        .route("/retention/run", post(retention::run))
        .route("/audit", get(audit::page))
        .route_layer(from_fn(everything));
    let pages = of_contacts
        .merge(of_the_account)
        .route("/logout", post(login::end))
        .fallback(unknown)
        .layer(from_fn_with_state(gate.clone(), require_session))
        .with_state(operations);
    let doors = Router::new()
        .route("/login", get(login::ask).post(login::begin))
        .route("/style.css", get(style))
        .with_state(gate);
    doors.merge(pages).layer(map_response(with_policy))
}

/// Lets whoever has a session through; anybody else is asked for a token, and learns nothing of what is there.
async fn require_session(Shared(gate): Shared<Authenticator>, mut request: Request, next: Next) -> Response {
    match PageContext::of(&gate, request.headers()).await {
        Ok(ctx) => {
            request.extensions_mut().insert(ctx);
            next.run(request).await
        }
        Err(trouble) => trouble.into_response(),
    }
}

/// Lets users through who may read contacts: each of these pages shows some.
async fn contacts(ctx: PageContext, request: Request, next: Next) -> Response {
    view(&ctx, Over::Type(CONTACT), request, next).await
}

/// Lets users through who may read whatever the account has.
async fn everything(ctx: PageContext, request: Request, next: Next) -> Response {
    view(&ctx, Over::Everything, request, next).await
}

async fn view(ctx: &PageContext, over: Over<'_>, request: Request, next: Next) -> Response {
    match may_view(&ctx.caller, over) {
        Ok(()) => next.run(request).await,
        Err(says) => ctx.error(StatusCode::FORBIDDEN, says).into_response(),
    }
}

async fn unknown(ctx: PageContext) -> PageError {
    ctx.error(StatusCode::NOT_FOUND, "There is no such page.")
}

async fn style() -> impl IntoResponse {
    let headers =
        [(header::CONTENT_TYPE, "text/css; charset=utf-8"), (header::CACHE_CONTROL, "max-age=3600")];
    (headers, STYLE)
}

async fn with_policy(mut response: Response) -> Response {
    let policy = HeaderValue::from_static(POLICY);
    response.headers_mut().entry(header::CONTENT_SECURITY_POLICY).or_insert(policy);
    response
}
