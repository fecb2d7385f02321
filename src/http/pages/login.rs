//! In and out: a token opens a session, and the session ends with it.

use axum::body::Body;
use axum::extract::{Extension, Request, State as Shared};
use axum::http::{HeaderMap, StatusCode, header};
use axum::response::{IntoResponse, Redirect, Response};
use maud::html;

use super::layout;
use super::session::{PageError, VerifiedForm, fields, from_here};
use crate::http::auth::{AuthError, Authenticator, COOKIE};
use crate::http::server::Peer;
use crate::operations::Operations;

/// As long as the store keeps a session.
const SECONDS: u32 = 12 * 60 * 60;

pub async fn ask() -> impl IntoResponse {
    form(None)
}

fn form(says: Option<&str>) -> layout::Page {
    layout::public_page(
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
    Shared(gate): Shared<Authenticator>,
    Extension(peer): Extension<Peer>,
    headers: HeaderMap,
    request: Request<Body>,
) -> Response {
    if let Err(foreign) = from_here(&headers) {
        let says = foreign.says("Log in from this page.");
        return (StatusCode::FORBIDDEN, form(Some(&says))).into_response();
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
        Err(AuthError::Unknown) => {
            (StatusCode::UNAUTHORIZED, form(Some("This token opens nothing."))).into_response()
        }
        Err(AuthError::TooMany) => {
            let says = "Too many wrong tokens came from your address: try again in a minute.";
            (StatusCode::TOO_MANY_REQUESTS, [(header::RETRY_AFTER, "60")], form(Some(says))).into_response()
        }
        Err(AuthError::NotForConsole) => {
            let says = "This token is for programs: sign in with one that has the scope console.";
            (StatusCode::FORBIDDEN, form(Some(says))).into_response()
        }
        Err(AuthError::Store(error)) => {
            (StatusCode::SERVICE_UNAVAILABLE, form(Some(&error.to_string()))).into_response()
        }
    }
}

pub async fn end(
    Shared(operations): Shared<Operations>,
    headers: HeaderMap,
    VerifiedForm { ctx, .. }: VerifiedForm,
) -> Result<Response, PageError> {
    let ended = operations.store.end_session(&ctx.session).await;
    ended.map_err(|error| ctx.store_error(&error))?;
    Ok(([(header::SET_COOKIE, cookie(&headers, "", 0))], Redirect::to("/login")).into_response())
}

/// Did the browser come over TLS? Each proxy on the way adds its own word at the end; the first one stands before the
/// browser.
fn is_over_tls(headers: &HeaderMap) -> bool {
    let said = headers.get("x-forwarded-proto").and_then(|schemes| schemes.to_str().ok());
    said.and_then(|schemes| schemes.split(',').next())
        .is_some_and(|first| first.trim().eq_ignore_ascii_case("https"))
}

/// Scripts never see it, no other site sends it, and it leaves over TLS alone where the browser came that way.
fn cookie(headers: &HeaderMap, session: &str, seconds: u32) -> String {
    let secure = if is_over_tls(headers) { "; Secure" } else { "" };
    format!("{COOKIE}={session}; Path=/; Max-Age={seconds}; HttpOnly; SameSite=Strict{secure}")
}

#[cfg(test)]
mod tests {
    use axum::http::HeaderValue;

    use super::*;

    #[test]
    fn the_first_proxy_says_whether_the_browser_came_over_tls() {
        for (said, expected) in [
            (None, false),
            (Some("https"), true),
            (Some("HTTPS"), true),
            (Some("Https , http"), true),
            (Some("http, https"), false),
            (Some("http"), false),
            (Some("httpsx"), false),
            (Some(""), false),
        ] {
            let mut headers = HeaderMap::new();
            if let Some(said) = said {
                headers.insert("x-forwarded-proto", HeaderValue::from_static(said));
            }
            assert_eq!(is_over_tls(&headers), expected, "{said:?}");
            assert_eq!(cookie(&headers, "x", 1).ends_with("; Secure"), expected, "{said:?}");
        }
    }
}
