//! The account at a glance.

use axum::extract::State as Shared;
use maud::{Markup, html};

use super::layout::{self, Shown};
use super::plot::{self, Series};
use super::visit::Visit;
use crate::domain::decision::OUTCOMES;
use crate::operations::Operations;
use crate::store::overview::{Hour, Overview};

/// How far back the plots go.
const HOURS: i32 = 24;

pub async fn show(Shared(operations): Shared<Operations>, visit: Visit) -> Shown {
    let overview = operations.store.overview(visit.account(), HOURS).await;
    let overview = overview.map_err(|error| visit.store_trouble(&error))?;
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
    Ok(layout::page(&visit, "Overview", Some("/"), &content))
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
    let of = |name: &'static str| Series {
        name,
        values: hours.iter().map(|hour| hour.decisions.get(name).copied().unwrap_or(0)).collect(),
    };
    let rows: Vec<Vec<Markup>> = hours
        .iter()
        .zip(&labels)
        .map(|(hour, label)| {
            let counts = OUTCOMES.map(|outcome| hour.decisions.get(outcome).copied().unwrap_or(0));
            [html! { (label) }].into_iter().chain(counts.map(|count| html! { (count) })).collect()
        })
        .collect();
    let others: Vec<Series> = OUTCOMES[1..].iter().map(|outcome| of(outcome)).collect();
    let headings: Vec<&str> = ["from (UTC)"].into_iter().chain(OUTCOMES).collect();
    html! {
        div.plots {
            (plot::bars("Deleted by workflows, the last 24 hours", &labels, &[of("deleted")]))
            (plot::bars("Not deleted, the last 24 hours", &labels, &others))
        }
        details { summary { "The same in numbers" } (layout::table("Decisions by hour", &headings, &rows)) }
    }
}
