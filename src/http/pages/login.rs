//! In and out: a token opens a session, and the session ends with it.

use axum::body::Body;
use axum::extract::{Extension, Request, State as Shared};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use maud::html;

use super::layout;
use super::visit::{COOKIE, Sent, Trouble, fields, is_from_here};
use crate::http::auth::{Gate, Outside};
use crate::http::server::Peer;
use crate::operations::Operations;

/// As long as the store keeps a session.
const SECONDS: u32 = 12 * 60 * 60;

pub async fn ask() -> impl IntoResponse {
    form(None)
}

fn form(says: Option<&str>) -> layout::Page {
    layout::bare(
        "Log in",
        &html! {
            h1 { "contact-reaper" }
            @if let Some(says) = says { p.notice.bad role="alert" { (says) } }
            form method="post" action="/login" {
                div.field {
                    label for="token" { "Token" }
                    input id="token" name="token" type="password" required autofocus
                        autocomplete="current-password" aria-describedby="token-hint";
                    small id="token-hint" {
                        "Made with " code { "contact-reaper tokens create" } "; you act as the user it was made for."
                    }
                }
                button { "Log in" }
            }
        },
    )
}

pub async fn begin(
    Shared(gate): Shared<Gate>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    request: Request<Body>,
) -> Response {
    if !is_from_here(&headers) {
        return (StatusCode::FORBIDDEN, form(Some("Log in from this page."))).into_response();
    }
    let fields = match fields(&request) {
        Ok(fields) => fields,
        Err((status, says)) => return (status, form(Some(says))).into_response(),
    };
    match gate.begin_session(fields.text("token").unwrap_or_default(), peer).await {
        Ok(session) => {
            let cookie = cookie(&headers, session.expose(), SECONDS);
            ([(header::SET_COOKIE, cookie)], Redirect::to("/")).into_response()
        }
        Err(Outside::Unknown) => {
            (StatusCode::UNAUTHORIZED, form(Some("This token opens nothing."))).into_response()
        }
        Err(Outside::TooMany) => {
            let says = "Too many wrong tokens came from your address: try again in a minute.";
            (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, "60")], form(Some(says))).into_response()
        }
        Err(Outside::Store(error)) => {
            (StatusCode::SERVICE_UNAVAILABLE, form(Some(&error.to_string()))).into_response()
        }
    }
}

pub async fn end(
    Shared(operations): Shared<Operations>,
    headers: HeaderMap,
    Sent { visit, .. }: Sent,
) -> Result<Response, Trouble> {
    let ended = operations.store.end_session(&visit.session).await;
    ended.map_err(|error| visit.store_trouble(&error))?;
    Ok(([(header::SET_COOKIE, cookie(&headers, "", 0))], Redirect::to("/login")).into_response())
}

/// Scripts never see it, no other site sends it, and it leaves over TLS alone where the browser came that way.
fn cookie(headers: &HeaderMap, session: &str, seconds: u32) -> String {
    let over_tls = headers.get("x-forwarded-proto").is_some_and(|scheme| scheme == "https");
    let secure = if over_tls { "; Secure" } else { "" };
    format!("{COOKIE}={session}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}")
}
