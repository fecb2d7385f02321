//! Contacts that are neither erased nor purged, whatever is asked.

use axum::extract::State as Shared;
use maud::{Markup, html};

use super::layout::{self, Page, PageResult};
use super::session::{PageContext, PageError, PageQuery, VerifiedForm};
use crate::operations::Operations;
use crate::store::privacy::legal_hold::Hold;

/// Holds on a page.
const ROWS: i64 = 50;

pub async fn list(
    Shared(operations): Shared<Operations>,
    ctx: PageContext,
    PageQuery(asked): PageQuery,
) -> PageResult {
    let after = asked.id("cursor").map_err(|says| ctx.bad_request(says))?;
    let from = after.map_or(1, |contact| contact.saturating_add(1));
    let holds = operations.store.legal_holds(ctx.account(), from, ROWS + 1).await;
    let mut holds = holds.map_err(|error| ctx.store_error(&error))?;
    let rows = usize::try_from(ROWS).unwrap_or_default();
    let goes_on = holds.len() > rows;
    holds.truncate(rows);
    let next = holds.last().filter(|_| goes_on);
    let next = next.map(|last| layout::with_cursor("/legal-holds", &[], &last.contact_id));
    let rows = holds.iter().map(|hold| row(&ctx, hold)).collect::<Result<Vec<_>, PageError>>()?;
    let headings = ["contact", "since (UTC)", "set by", "reason", ""];
    let headings = &headings[..headings.len() - usize::from(!ctx.caller.is_super_admin())];
    let set = html! {
        (layout::labelled("hold-contact", "contact", "Contact"))
        (reason())
        button { "Set a legal hold" }
    };
    let content = html! {
        p { "A contact under a legal hold is neither erased nor purged. It can go to the trash and come back." }
        (layout::table("Legal holds", headings, &rows))
        (layout::further(next, "More →"))
        @if ctx.caller.is_super_admin() {
            h2 { "Hold another contact" }
            div.offers { (ctx.form("/legal-holds/set", &set)?) }
        }
    };
    Ok(layout::page(&ctx, "Legal holds", Some("/legal-holds"), &content))
}

fn row(ctx: &PageContext, hold: &Hold) -> Result<Vec<Markup>, PageError> {
    let mut cells = vec![
        layout::contact(&hold.contact_id, None),
        layout::time(&hold.since),
        html! { (hold.set_by) },
        html! { (hold.reason) },
    ];
    if ctx.caller.is_super_admin() {
        cells.push(lift_form(ctx, hold)?);
    }
    Ok(cells)
}

fn reason() -> Markup {
    html! {
        div.field {
            label for="hold-reason" { "Why: a case number, no personal data" }
            input id="hold-reason" name="reason" required maxlength="250" autocomplete="off";
        }
    }
}

fn lift_form(ctx: &PageContext, hold: &Hold) -> Result<Markup, PageError> {
    let content = html! {
        input type="hidden" name="contact" value=(hold.contact_id);
        button aria-label={ "Lift the legal hold on contact " (hold.contact_id) } { "Lift the hold" }
    };
    ctx.form("/legal-holds/lift", &content)
}

/// What a contact's own page says of it, and offers to whoever may.
pub fn of_contact(ctx: &PageContext, contact: &str, hold: Option<&Hold>) -> Result<Markup, PageError> {
    let set = html! {
        input type="hidden" name="contact" value=(contact);
        (reason())
        button { "Set a legal hold" }
    };
    let may = ctx.caller.is_super_admin();
    Ok(html! {
        @if let Some(hold) = hold {
            p.notice {
                "Under a legal hold since " (layout::time(&hold.since)) ", set by " (hold.set_by) ": " (hold.reason)
                ". It is neither erased nor purged."
            }
        }
        @if may {
            div.offers {
                @match hold {
                    Some(hold) => (lift_form(ctx, hold)?),
                    None => (ctx.form("/legal-holds/set", &set)?),
                }
            }
        }
    })
}

pub async fn set(
    Shared(operations): Shared<Operations>,
    VerifiedForm { ctx, fields }: VerifiedForm,
) -> PageResult {
    let mistake = |says: String| ctx.bad_request(says);
    let contact = fields.needed_id("contact").map_err(mistake)?;
    let reason = fields.bounded_text("reason").map_err(mistake)?.unwrap_or_default();
    let set = operations.set_legal_hold((ctx.account(), contact), &ctx.operator(), &reason).await;
    set.map_err(|error| ctx.operation_error(&error))?;
    Ok(done(&ctx, contact, " is under a legal hold: it is neither erased nor purged."))
}

pub async fn lift(
    Shared(operations): Shared<Operations>,
    VerifiedForm { ctx, fields }: VerifiedForm,
) -> PageResult {
    let contact = fields.needed_id("contact").map_err(|says| ctx.bad_request(says))?;
    let lifted = operations.lift_legal_hold((ctx.account(), contact), &ctx.operator()).await;
    lifted.map_err(|error| ctx.operation_error(&error))?;
    Ok(done(&ctx, contact, " is under no legal hold any more."))
}

fn done(ctx: &PageContext, contact: i64, says: &str) -> Page {
    let content = html! {
        p.notice.good role="status" { "Contact " (layout::contact(&contact.to_string(), None)) (says) }
        p { a href="/legal-holds" { "To the legal holds" } }
    };
    layout::page(ctx, "Done", Some("/legal-holds"), &content)
}
