//! What is held, and the switch that holds it.

use axum::extract::State as Shared;
use maud::{Markup, html};

use super::layout::{self, Page, PageResult};
use super::session::{PageContext, PageError, PageQuery, VerifiedForm};
use crate::domain::counted::{counted, verb};
use crate::domain::permission::Scope;
use crate::http::api::input::held_cursor;
use crate::operations::Operations;
use crate::store::db::query::Filter;
use crate::store::decisions::holds::{Held, HeldEnrollment, HoldResolution};
use crate::store::decisions::pauses;
use crate::store::views::overview::Overview;

/// Workflows on the page.
const ROWS: i64 = 200;
/// Held enrollments on a page.
const HELD: usize = 100;

pub async fn holds(Shared(operations): Shared<Operations>, ctx: PageContext) -> PageResult {
    let filter = Filter { account_id: Some(ctx.account()), limit: ROWS, ..Filter::default() };
    let held = operations.store.holds(&filter).await.map_err(|error| ctx.store_error(&error))?;
    let overview = operations.store.overview(ctx.account(), 0).await;
    let overview = overview.map_err(|error| ctx.store_error(&error))?;
    let rules = ctx.caller.may_delete(Scope::Many);
    let row = |it: &Held| {
        let reason = it.reason.replace('_', " ");
        let whom = html! {
            @if it.reason == "volume_guard" { a href={ "/holds/show?workflow=" (it.workflow_id) } { "Show" } }
        };
        vec![
            html! { (it.workflow_id) },
            html! { (reason) },
            html! { (it.count) },
            layout::time(&it.since),
            whom,
        ]
    };
    let rows: Vec<Vec<Markup>> = held.iter().map(row).collect();
    let content = html! {
        p {
            "What the volume guard holds waits for a person. What a pause holds goes on when the pause ends. Every other "
            "check is asked anew."
        }
        (layout::table("Held enrollments", &["workflow", "why", "how many", "since (UTC)", ""], &rows))
        @if rules {
            @for it in held.iter().filter(|it| it.reason == "volume_guard") { (rulings(&ctx, it)?) }
            (switch(&ctx, &overview)?)
        }
    };
    Ok(layout::page(&ctx, "Holds", Some("/holds"), &content))
}

/// Whom an approval would delete, and why it would spare the others.
pub async fn held(
    Shared(operations): Shared<Operations>,
    ctx: PageContext,
    PageQuery(asked): PageQuery,
) -> PageResult {
    let mistake = |says: String| ctx.bad_request(says);
    let workflow = asked.needed_id("workflow").map_err(mistake)?;
    let after = asked.held_cursor().map_err(mistake)?.unwrap_or_default();
    let rows = operations.held_enrollments((ctx.account(), workflow), after, HELD + 1).await;
    let mut rows = rows.map_err(|error| ctx.operation_error(&error))?;
    let goes_on = rows.len() > HELD;
    rows.truncate(HELD);
    let kept = [("workflow", Some(workflow.to_string()))];
    let next = rows.last().filter(|_| goes_on);
    let next = next.map(|last| layout::with_cursor("/holds/show", &kept, &held_cursor(last.place)));
    let contacts: Vec<i64> = rows.iter().filter_map(|it| it.contact_id.parse().ok()).collect();
    let names = operations.store.names(ctx.account(), &contacts).await;
    let names = names.map_err(|error| ctx.store_error(&error))?;
    let explain = format!("/explain?workflow={workflow}&contact=");
    let row = |it: &HeldEnrollment| {
        let name = it.contact_id.parse().ok().and_then(|id: i64| names.get(&id));
        let why = it.reason.map_or_else(|| "–".to_owned(), |reason| reason.replace('_', " "));
        vec![
            html! { (it.enrollment_id) },
            layout::contact(&it.contact_id, name),
            html! { (it.verdict) },
            html! { (why) " " a href={ (explain) (it.contact_id) } aria-label={ "Explain contact " (it.contact_id) } { "Explain" } },
        ]
    };
    let rows: Vec<Vec<Markup>> = rows.iter().map(row).collect();
    let content = html! {
        p {
            "What an approval would do now: every check is asked anew, but the guard's. Nothing is changed by looking."
        }
        (layout::table("Held enrollments", &["enrollment", "contact", "verdict", "why not"], &rows))
        (layout::further(next, "More →"))
        p { a href="/holds" { "Back to the holds" } }
    };
    Ok(layout::page(&ctx, &format!("Workflow {workflow}, held by the guard"), Some("/holds"), &content))
}

fn rulings(ctx: &PageContext, held: &Held) -> Result<Markup, PageError> {
    let count = u64::try_from(held.count).unwrap_or_default();
    let ruling = |verb: &str, label: &str| {
        let content = html! {
            input type="hidden" name="workflow" value=(held.workflow_id);
            (layout::confirm(&format!("{verb}-{}", held.workflow_id), count))
            button { (label) }
        };
        ctx.form(&format!("/holds/{verb}"), &content)
    };
    Ok(html! {
        h2 { "Workflow " (held.workflow_id) ", held by the guard" }
        div.offers { (ruling("approve", "Approve")?) (ruling("reject", "Reject")?) }
    })
}

fn switch(ctx: &PageContext, overview: &Overview) -> Result<Markup, PageError> {
    let which = |path: &str, workflow: Option<i64>, label: &str| {
        let content = html! {
            @if let Some(workflow) = workflow { input type="hidden" name="workflow" value=(workflow); }
            button { (label) }
        };
        ctx.form(path, &content)
    };
    let of_one = html! {
        (layout::labelled("pause-workflow", "workflow", "Workflow"))
        button { "Pause this workflow" }
    };
    Ok(html! {
        h2 { "Pause" }
        p { "Stops deletes by workflows; people's deletes, erasures and purges go on." }
        div.offers {
            @if overview.is_paused { (which("/resume", None, "Resume the account")?) }
            @else { (which("/pause", None, "Pause the account")?) }
            @for workflow in &overview.paused_workflows {
                (which("/resume", Some(*workflow), &format!("Resume workflow {workflow}"))?)
            }
            (ctx.form("/pause", &of_one)?)
        }
    })
}

pub async fn approve(operations: Shared<Operations>, sent: VerifiedForm) -> PageResult {
    rule(operations, sent, HoldResolution::Approve).await
}

pub async fn reject(operations: Shared<Operations>, sent: VerifiedForm) -> PageResult {
    rule(operations, sent, HoldResolution::Reject).await
}

async fn rule(
    Shared(operations): Shared<Operations>,
    VerifiedForm { ctx, fields }: VerifiedForm,
    ruling: HoldResolution,
) -> PageResult {
    let mistake = |says: String| ctx.bad_request(says);
    let workflow = fields.needed_id("workflow").map_err(mistake)?;
    let confirm = fields.confirm().map_err(mistake)?;
    let of = (ctx.account(), workflow);
    let ruled = operations.resolve_holds(of, ruling, confirm, &ctx.operator()).await;
    ruled.map_err(|error| ctx.operation_error(&error))?;
    let says = match ruling {
        HoldResolution::Approve => "approved, and decided anew within 5 seconds.",
        HoldResolution::Reject => "rejected, and skipped.",
    };
    let (held, are) = (counted(confirm, "enrollment"), verb(confirm, "is", "are"));
    Ok(done(&ctx, &format!("{held} of workflow {workflow} {are} {says}")))
}

fn done(ctx: &PageContext, says: &str) -> Page {
    let content = html! {
        p.notice.good role="status" { (says) }
        p { a href="/holds" { "Back to the holds" } }
    };
    layout::page(ctx, "Done", Some("/holds"), &content)
}

fn scope(sent: &VerifiedForm) -> Result<pauses::Scope, PageError> {
    let workflow_id = sent.fields.id("workflow").map_err(|says| sent.ctx.bad_request(says))?;
    Ok(pauses::Scope { account_id: Some(sent.ctx.account()), workflow_id })
}

pub async fn pause(Shared(operations): Shared<Operations>, sent: VerifiedForm) -> PageResult {
    let (scope, ctx) = (scope(&sent)?, sent.ctx);
    let paused = operations.pause(scope, &ctx.operator()).await;
    paused.map_err(|error| ctx.operation_error(&error))?;
    Ok(done(&ctx, &format!("Paused: {scope}. No workflow of it deletes until it is resumed.")))
}

pub async fn resume(Shared(operations): Shared<Operations>, sent: VerifiedForm) -> PageResult {
    let (scope, ctx) = (scope(&sent)?, sent.ctx);
    let resumed = operations.store.resume(scope, &ctx.operator()).await;
    let resumed = resumed.map_err(|error| ctx.store_error(&error))?;
    let still = if resumed.still_paused { " A wider pause is still in force." } else { "" };
    Ok(done(&ctx, &format!("Resumed: {scope}.{still}")))
}
