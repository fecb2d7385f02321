//! The frame of every page, and the few pieces that pages are made of.

use axum::http::header;
use axum::response::{IntoResponse, Response};
use maud::{DOCTYPE, Markup, html};
use serde_json::Value;

use super::session::{PageContext, PageError};
use crate::domain::object_type::CONTACT;
use crate::domain::permission::Over;
use crate::store::views::overview::Name;

/// A page, ready to be sent.
pub struct Page(Markup);

impl IntoResponse for Page {
    fn into_response(self) -> Response {
        ([(header::CONTENT_TYPE, "text/html; charset=utf-8")], self.0.into_string()).into_response()
    }
}

/// What a handler answers.
pub type PageResult = Result<Page, PageError>;

/// Where the pages are; those that a user has no use for are not offered.
fn nav_links(ctx: &PageContext) -> Vec<(&'static str, &'static str)> {
    let (contacts, all) = (ctx.caller.may_view(Over::Type(CONTACT)), ctx.caller.may_view(Over::Everything));
    let places = [
        ("/", "Overview", all),
        ("/trash", "Trash", contacts),
        ("/enrollments", "Enrollments", contacts),
        ("/holds", "Holds", contacts),
        ("/dead-letters", "Dead letters", all),
        ("/legal-holds", "Legal holds", contacts),
        ("/erase", "Erase", contacts && ctx.caller.may_erase()),
        ("/retention", "Retention", ctx.caller.is_super_admin()),
        ("/audit", "Audit", all),
    ];
    places.into_iter().filter(|(.., offered)| *offered).map(|(path, name, _)| (path, name)).collect()
}

/// A page of somebody; `at` is its place in the navigation.
pub fn page(ctx: &PageContext, title: &str, at: Option<&str>, content: &Markup) -> Page {
    // Without a form the button would do nothing: that takes the system's random bytes, which are always there.
    let logout = ctx.form("/logout", &html! { button.plain { "Log out" } }).unwrap_or_default();
    let places = nav_links(ctx);
    document(
        title,
        &html! {
            a.skip href="#content" { "Skip to the content" }
            header {
                div.who {
                    strong { "contact-reaper" }
                    span { (ctx.caller.account_name) " · " (ctx.caller.email) }
                    (logout)
                }
                @if !places.is_empty() {
                    nav aria-label="Pages" {
                        ul {
                            @for (path, name) in places {
                                li { a href=(path) aria-current=[(at == Some(path)).then_some("page")] { (name) } }
                            }
                        }
                    }
                }
            }
            main id="content" { h1 { (title) } (content) }
        },
    )
}

/// A page of nobody in particular.
pub fn public_page(title: &str, content: &Markup) -> Page {
    document(title, &html! { main.bare id="content" { (content) } })
}

fn document(title: &str, body: &Markup) -> Page {
    Page(html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " – contact-reaper" }
                link rel="stylesheet" href="/style.css";
            }
            body { (body) }
        }
    })
}

/// A table; where the page is narrow each row becomes a block that says of each cell what it is. The roles say that it
/// is a table all the same.
pub fn table(caption: &str, headings: &[&str], rows: &[Vec<Markup>]) -> Markup {
    html! {
        @if rows.is_empty() {
            p.nothing { "Nothing here." }
        } @else {
            div.scroll role="region" aria-label=(caption) tabindex="0" {
                table role="table" {
                    caption { (caption) }
                    thead role="rowgroup" {
                        tr role="row" { @for heading in headings { th scope="col" role="columnheader" { (heading) } } }
                    }
                    tbody role="rowgroup" { @for row in rows { (table_row(headings, row)) } }
                }
            }
        }
    }
}

fn table_row(headings: &[&str], cells: &[Markup]) -> Markup {
    html! {
        tr role="row" {
            @for (cell, heading) in cells.iter().zip(headings) {
                td role="cell" data-label=[(!heading.is_empty()).then_some(heading)] { (cell) }
            }
        }
    }
}

/// The link to the rest of a list that has the newest first.
pub fn older(link: Option<String>) -> Markup {
    further(link, "Older →")
}

/// The link to the rest of a list.
pub fn further(link: Option<String>, says: &str) -> Markup {
    html! { @if let Some(link) = link { p { a href=(link) { (says) } } } }
}

/// A query with a cursor in the place of the one it had.
pub fn with_cursor(path: &str, kept: &[(&str, Option<String>)], cursor: &str) -> String {
    let mut query = form_urlencoded::Serializer::new(String::new());
    for (name, value) in kept {
        if let Some(value) = value {
            query.append_pair(name, value);
        }
    }
    format!("{path}?{}", query.append_pair("cursor", cursor).finish())
}

/// A time to the second.
pub fn time(text: &str) -> Markup {
    let short = text.get(..19).map_or_else(|| text.to_owned(), |short| short.replace('T', " "));
    html! { time datetime=(text) { (short) } }
}

pub fn optional_time(text: Option<&str>) -> Markup {
    html! { @match text { Some(text) => { (time(text)) } None => { "–" } } }
}

/// A contact by id, with its name where it has one.
pub fn contact(id: &str, name: Option<&Name>) -> Markup {
    html! {
        a href={ "/contacts/" (id) } { (id) }
        @if let Some(Name { name, email }) = name {
            @if !name.is_empty() { " " (name) }
            @if !email.is_empty() { span.aside { " " (email) } }
        }
    }
}

/// Who deleted.
pub fn deleted_by(by: &Value) -> Markup {
    let text = |member: &str| by[member].as_str().unwrap_or_default();
    html! {
        @match text("kind") {
            "workflow" => { "workflow " (text("workflowId")) }
            "user" => { "user " (text("userId")) }
            other => { (other) }
        }
    }
}

/// A labelled field.
pub fn field(name: &str, label: &str, value: Option<&str>, hint: Option<&str>) -> Markup {
    let id = format!("field-{name}");
    let hint_id = format!("{id}-hint");
    html! {
        div.field {
            label for=(id) { (label) }
            input id=(id) name=(name) value=[value] autocomplete="off" aria-describedby=[hint.map(|_| &hint_id)];
            @if let Some(hint) = hint { small id=(hint_id) { (hint) } }
        }
    }
}

/// A required field, of a page that has another one of that name.
pub fn labelled(id: &str, name: &str, label: &str) -> Markup {
    html! {
        div.field {
            label for=(id) { (label) }
            input id=(id) name=(name) required autocomplete="off";
        }
    }
}

/// The field for the number that is typed to be sure. `of` tells several on one page apart.
pub fn confirm(of: &str, count: u64) -> Markup {
    let id = format!("confirm-{of}");
    html! {
        div.field.narrow {
            label for=(id) { "Type " (count) " to be sure" }
            input id=(id) name="confirm" inputmode="numeric" pattern="[0-9]+" required autocomplete="off";
        }
    }
}
