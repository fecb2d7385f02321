//! The page that says why there is no other.

use axum::response::{IntoResponse, Redirect, Response};
use maud::html;

use super::layout;
use super::session::PageError;

impl IntoResponse for PageError {
    fn into_response(self) -> Response {
        match self {
            Self::AuthError => Redirect::to("/login").into_response(),
            Self::Inside(inside) => {
                let (status, ctx, says) = *inside;
                let content = html! { p.notice.bad role="alert" { (says) } };
                (status, layout::page(&ctx, "Not done", None, &content)).into_response()
            }
            Self::Early(status, says) => {
                let content = html! { h1 { "Not now" } p.notice.bad role="alert" { (says) } };
                (status, layout::public_page("Not now", &content)).into_response()
            }
        }
    }
}
