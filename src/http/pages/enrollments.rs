//! What was decided, and why.

use axum::extract::{Path, State as Shared};
use maud::{Markup, html};

use super::layout::{self, PageResult};
use super::session::{PageContext, PageQuery};
use crate::domain::criteria::EvaluationTrace;
use crate::domain::decision::OUTCOMES;
use crate::domain::members::parse_id_text;
use crate::http::api::input::cursor;
use crate::operations::Operations;
use crate::store::db::query::Filter;
use crate::store::views::read::EnrollmentRow;

/// Decisions on a page.
const ROWS: usize = 50;

pub async fn list(
    Shared(operations): Shared<Operations>,
    ctx: PageContext,
    PageQuery(asked): PageQuery,
) -> PageResult {
    let mistake = |says: String| ctx.bad_request(says);
    let workflow_id = asked.id("workflow").map_err(mistake)?;
    let outcome = asked.text("outcome").filter(|text| OUTCOMES.contains(text)).map(str::to_owned);
    let reason = asked.bounded_text("reason").map_err(mistake)?;
    let kept = [
        ("workflow", workflow_id.map(|id| id.to_string())),
        ("outcome", outcome.clone()),
        ("reason", reason.clone()),
    ];
    let filter = Filter {
        account_id: Some(ctx.account()),
        workflow_id,
        outcome,
        reason,
        after: asked.cursor().map_err(mistake)?,
        limit: i64::try_from(ROWS + 1).unwrap_or(i64::MAX),
        ..Filter::default()
    };
    let mut rows = operations.store.enrollments(&filter).await.map_err(|error| ctx.store_error(&error))?;
    let goes_on = rows.len() > ROWS;
    rows.truncate(ROWS);
    let next = rows.last().filter(|_| goes_on);
    let next = next.map(|last| layout::with_cursor("/enrollments", &kept, &cursor(last.place)));
    let cells: Vec<Vec<Markup>> = rows.iter().map(row).collect();
    let headings = ["decided (UTC)", "enrollment", "workflow", "contact", "outcome", "reason"];
    let content = html! {
        form.search method="get" action="/enrollments" role="search" {
            (layout::field("workflow", "Workflow", kept[0].1.as_deref(), None))
            div.field {
                label for="field-outcome" { "Outcome" }
                select id="field-outcome" name="outcome" {
                    option value="" { "any" }
                    @for outcome in OUTCOMES {
                        option value=(outcome) selected[kept[1].1.as_deref() == Some(outcome)] { (outcome) }
                    }
                }
            }
            (layout::field("reason", "Reason", kept[2].1.as_deref(), None))
            button { "Filter" }
        }
        (layout::table("Decisions", &headings, &cells))
        (layout::older(next))
        h2 { "Would it be deleted now?" }
        form.search method="get" action="/explain" {
            (layout::labelled("explain-workflow", "workflow", "Workflow"))
            (layout::labelled("explain-contact", "contact", "Contact"))
            button { "Explain" }
        }
    };
    Ok(layout::page(&ctx, "Enrollments", Some("/enrollments"), &content))
}

fn row(row: &EnrollmentRow) -> Vec<Markup> {
    let link = format!("/enrollments/{}?action={}", row.enrollment_id, row.action_id);
    vec![
        layout::time(&row.decided_at),
        html! { a href=(link) { (row.enrollment_id) } },
        html! { (row.workflow_id) },
        layout::contact(&row.contact_id, None),
        outcome(&row.outcome),
        html! { (words(row.reason.as_deref())) },
    ]
}

fn outcome(outcome: &str) -> Markup {
    html! { span.outcome { span class={ "swatch " (outcome) } {} (outcome) } }
}

fn words(reason: Option<&str>) -> String {
    reason.unwrap_or("–").replace('_', " ")
}

pub async fn show(
    Shared(operations): Shared<Operations>,
    ctx: PageContext,
    Path(enrollment): Path<String>,
    PageQuery(asked): PageQuery,
) -> PageResult {
    let id =
        parse_id_text(&enrollment).ok_or_else(|| ctx.bad_request("An enrollment is named by its id."))?;
    let action = asked.id("action").map_err(|says| ctx.bad_request(says))?;
    let row = operations.enrollment(ctx.account(), id, action).await;
    let row = row.map_err(|error| ctx.operation_error(&error))?;
    let explain = format!("/explain?workflow={}&contact={}", row.workflow_id, row.contact_id);
    let content = html! {
        dl.facts {
            div { dt { "Outcome" } dd { (outcome(&row.outcome)) } }
            div { dt { "Reason" } dd { (words(row.reason.as_deref())) } }
            div { dt { "Decided" } dd { (layout::time(&row.decided_at)) } }
            div { dt { "Workflow" } dd { (row.workflow_id) ", action " (row.action_id) } }
            div { dt { "Contact" } dd { (layout::contact(&row.contact_id, None)) } }
            div { dt { "Trash entry" } dd { (row.trash_entry_id.as_deref().unwrap_or("–")) } }
        }
        p { a.button href=(explain) { "Explain: would it be deleted now?" } }
    };
    Ok(layout::page(&ctx, &format!("Enrollment {id}"), Some("/enrollments"), &content))
}

pub async fn explain(
    Shared(operations): Shared<Operations>,
    ctx: PageContext,
    PageQuery(asked): PageQuery,
) -> PageResult {
    let mistake = |says: String| ctx.bad_request(says);
    let workflow = asked.needed_id("workflow").map_err(mistake)?;
    let contact = asked.needed_id("contact").map_err(mistake)?;
    let explanation = operations.explain(ctx.account(), workflow, contact).await;
    let explanation = explanation.map_err(|error| ctx.operation_error(&error))?;
    let content = html! {
        p {
            "Workflow " (workflow) " and contact " (layout::contact(&contact.to_string(), None)) ": "
            strong { (explanation.verdict) }
            @if let Some(reason) = explanation.reason { " (" (words(Some(reason))) ")" }
            ". Nothing was written."
        }
        ol.checks {
            @for checked in &explanation.checks {
                li class=(if checked.passed { "passed" } else { "failed" }) {
                    strong { (if checked.passed { "passed" } else { "failed" }) } " "
                    (words(Some(checked.check))) ": " (checked.detail)
                    (filters(&checked.filters))
                }
            }
        }
    };
    Ok(layout::page(&ctx, "Explain", Some("/enrollments"), &content))
}

/// Each part under the one it belongs to.
fn filters(seen: &[EvaluationTrace]) -> Markup {
    html! {
        @if !seen.is_empty() {
            ul {
                @for part in seen {
                    li {
                        strong { (part.verdict.as_str()) } " " (part.description)
                        @if let Some(value) = &part.actual_value { span.aside { " [" (value) "]" } }
                        (filters(&part.parts))
                    }
                }
            }
        }
    }
}
