//! What could not be processed.

use axum::extract::State as Shared;
use maud::{Markup, html};

use super::form_fields::Fields;
use super::layout::{self, Page, PageResult};
use super::session::{PageContext, PageError, PageQuery, VerifiedForm};
use crate::domain::dead_letter::{DeadLetter, Selection};
use crate::domain::permission::Scope;
use crate::domain::time::format_time;
use crate::operations::Operations;

/// Dead letters on a page.
const ROWS: usize = 100;
/// Dead letters that are replayed a second.
const REPLAY_RATE: u32 = 500;

pub async fn list(
    Shared(operations): Shared<Operations>,
    ctx: PageContext,
    PageQuery(asked): PageQuery,
) -> PageResult {
    let selection = Selection { account_id: Some(ctx.account()), ..Selection::default() };
    let before = asked.id("cursor").map_err(|says| ctx.bad_request(says))?;
    let letters = operations.dead_letters(&selection, before, ROWS + 1).await;
    let mut letters = letters.map_err(|error| ctx.operation_error(&error))?;
    let goes_on = letters.len() > ROWS;
    letters.truncate(ROWS);
    let next = letters.last().filter(|_| goes_on);
    let next = next.map(|last| layout::with_cursor("/dead-letters", &[], &last.id.to_string()));
    let rows: Vec<Vec<Markup>> = letters.iter().map(row).collect();
    let replay = html! {
        input type="hidden" name="all" value="yes";
        button { "Replay all of them" }
    };
    let content = html! {
        p { "Messages whose body names this account, the newest first." }
        (layout::table("Dead letters", &["dead-lettered (UTC)", "reason", "attempts", "detail", ""], &rows))
        (layout::older(next))
        @if !letters.is_empty() && ctx.caller.may_delete(Scope::Many) {
            (ctx.form("/dead-letters/replay", &replay)?)
        }
    };
    Ok(layout::page(&ctx, "Dead letters", Some("/dead-letters"), &content))
}

fn row(letter: &DeadLetter) -> Vec<Markup> {
    let link = format!("/dead-letters/show?id={}", letter.id);
    vec![
        layout::time(&format_time(letter.at)),
        html! { (letter.reason.replace('_', " ")) },
        html! { (letter.attempts) },
        html! { (letter.detail) },
        html! { a href=(link) aria-label={ "Show dead letter " (letter.id) } { "Show" } },
    ]
}

fn id(ctx: &PageContext, fields: &Fields) -> Result<i64, PageError> {
    fields.needed_id("id").map_err(|says| ctx.bad_request(says))
}

pub async fn show(
    Shared(operations): Shared<Operations>,
    ctx: PageContext,
    PageQuery(asked): PageQuery,
) -> PageResult {
    let id = id(&ctx, &asked)?;
    let letter = operations.dead_letter(id, Some(ctx.account())).await;
    let (letter, body) = letter.map_err(|error| ctx.operation_error(&error))?;
    let named = html! { input type="hidden" name="id" value=(letter.id); };
    let replay = html! { (named) button { "Replay it" } };
    let discard = html! { (named) (layout::confirm("discard", 1)) button.danger { "Discard it" } };
    let content = html! {
        dl.facts {
            div { dt { "Id" } dd { (letter.id) } }
            div { dt { "Set aside" } dd { (layout::time(&format_time(letter.at))) } }
            div { dt { "Reason" } dd { (letter.reason.replace('_', " ")) } }
            div { dt { "Detail" } dd { (letter.detail) } }
            div { dt { "Tries" } dd { (letter.attempts) } }
            @if !letter.routing_key.is_empty() {
                div { dt { "Published to" } dd { (letter.exchange) ", " (letter.routing_key) } }
            }
        }
        h2 { "Body" }
        @match std::str::from_utf8(&body) {
            Ok(text) => { pre tabindex="0" { (text) } }
            Err(_) => { p { (body.len()) " bytes that are no text" } }
        }
        @if ctx.caller.may_delete(Scope::Many) {
            div.offers {
                (ctx.form("/dead-letters/replay", &replay)?)
                (ctx.form("/dead-letters/discard", &discard)?)
            }
        }
    };
    Ok(layout::page(&ctx, "Dead letter", Some("/dead-letters"), &content))
}

pub async fn replay(
    Shared(operations): Shared<Operations>,
    VerifiedForm { ctx, fields }: VerifiedForm,
) -> PageResult {
    let ids = if fields.text("all").is_some() { Vec::new() } else { vec![id(&ctx, &fields)?] };
    let selection = Selection { ids, account_id: Some(ctx.account()), reason: None };
    let replayed = operations.replay_dead_letters(&selection, &ctx.operator(), REPLAY_RATE).await;
    let replayed = replayed.map_err(|error| ctx.operation_error(&error))?;
    Ok(done(&ctx, &format!("{} replayed: they are decided anew.", replayed.replayed)))
}

pub async fn discard(
    Shared(operations): Shared<Operations>,
    VerifiedForm { ctx, fields }: VerifiedForm,
) -> PageResult {
    let confirm = fields.confirm().map_err(|says| ctx.bad_request(says))?;
    let ids = vec![id(&ctx, &fields)?];
    let selection = Selection { ids, account_id: Some(ctx.account()), reason: None };
    let discarded = operations.discard_dead_letters(&selection, &ctx.operator(), confirm).await;
    discarded.map_err(|error| ctx.operation_error(&error))?;
    Ok(done(&ctx, "It is discarded for good."))
}

fn done(ctx: &PageContext, says: &str) -> Page {
    let content = html! {
        p.notice.good role="status" { (says) }
        p { a href="/dead-letters" { "Back to the dead letters" } }
    };
    layout::page(ctx, "Done", Some("/dead-letters"), &content)
}
