//! The account at a glance.

use axum::extract::State as Shared;
use maud::{Markup, html};

use super::layout::{self, PageResult};
use super::plot::{self, Series};
use super::session::PageContext;
use crate::domain::decision::OUTCOMES;
use crate::domain::effects::Transition;
use crate::operations::Operations;
use crate::store::views::overview::{AFTERWARDS, Hour, Overview};

/// How far back the plots go.
const HOURS: i32 = 24;

pub async fn show(Shared(operations): Shared<Operations>, ctx: PageContext) -> PageResult {
    let overview = operations.store.overview(ctx.account(), HOURS).await;
    let overview = overview.map_err(|error| ctx.store_error(&error))?;
    let content = html! {
        (notices(&overview))
        dl.numbers {
            div { dt { "Live contacts" } dd { (overview.live_contacts) } }
            div { dt { a href="/trash" { "In the trash" } } dd { (overview.in_trash) } }
            @for (reason, count) in &overview.waiting {
                div { dt { a href="/holds" { "Waiting: " (reason.replace('_', " ")) } } dd { (count) } }
            }
        }
        (plots(&overview.hours))
    };
    Ok(layout::page(&ctx, "Overview", Some("/"), &content))
}

fn notices(overview: &Overview) -> Markup {
    html! {
        @if overview.is_paused {
            p.notice { "Deletes by workflows are paused. " a href="/holds" { "See what is held" } }
        }
        @if !overview.paused_workflows.is_empty() {
            p.notice {
                "Paused workflows: "
                @for (at, workflow) in overview.paused_workflows.iter().enumerate() {
                    @if at > 0 { ", " }
                    (workflow)
                }
            }
        }
        @if overview.waiting.contains_key("volume_guard") {
            p.notice { "The volume guard has stopped a workflow. " a href="/holds" { "Approve or reject" } }
        }
    }
}

fn plots(hours: &[Hour]) -> Markup {
    let labels: Vec<String> = hours.iter().map(|hour| hour.from.format("%H:%M").to_string()).collect();
    let count = |hour: &Hour, of: &str| hour.counts.get(of).copied().unwrap_or(0);
    let series = |name: &'static str, of: &str| Series {
        name,
        values: hours.iter().map(|hour| count(hour, of)).collect(),
    };
    let decided = OUTCOMES.map(|outcome| series(outcome, outcome));
    let afterwards = AFTERWARDS.map(|transition| series(done(transition), transition.as_str()));
    let headings: Vec<&str> =
        ["from (UTC)"].into_iter().chain(decided.iter().chain(&afterwards).map(|it| it.name)).collect();
    let rows: Vec<Vec<Markup>> = labels
        .iter()
        .enumerate()
        .map(|(at, label)| {
            let counts = decided.iter().chain(&afterwards).map(|it| html! { (it.values[at]) });
            [html! { (label) }].into_iter().chain(counts).collect()
        })
        .collect();
    html! {
        div.plots {
            (plot::bars("Deleted by workflows, the last 24 hours", &labels, &decided[..1]))
            (plot::bars("Not deleted, the last 24 hours", &labels, &decided[1..]))
            (plot::bars("Restored, or gone for good, the last 24 hours", &labels, &afterwards))
        }
        details { summary { "The same in numbers" } (layout::table("By hour", &headings, &rows)) }
    }
}

fn done(transition: Transition) -> &'static str {
    match transition {
        Transition::Trash => "deleted",
        Transition::Restore => "restored",
        Transition::Purge => "purged",
        Transition::Erase => "erased",
    }
}
