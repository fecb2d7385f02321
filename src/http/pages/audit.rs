//! The audit log of an account.

use axum::extract::State as Shared;
use maud::{Markup, html};

use super::layout::{self, PageResult};
use super::session::{PageContext, PageQuery};
use crate::http::api::input::cursor;
use crate::operations::Operations;
use crate::store::db::query::Filter;
use crate::store::views::read::AuditRow;

/// Operations on a page.
const ROWS: usize = 50;
/// Ids of an operation that are written out.
const IDS: usize = 8;

pub async fn page(
    Shared(operations): Shared<Operations>,
    ctx: PageContext,
    PageQuery(asked): PageQuery,
) -> PageResult {
    let filter = Filter {
        account_id: Some(ctx.account()),
        after: asked.cursor().map_err(|says| ctx.bad_request(says))?,
        limit: i64::try_from(ROWS + 1).unwrap_or(i64::MAX),
        ..Filter::default()
    };
    let mut rows = operations.store.audit(&filter).await.map_err(|error| ctx.store_error(&error))?;
    let goes_on = rows.len() > ROWS;
    rows.truncate(ROWS);
    let next = rows.last().filter(|_| goes_on);
    let next = next.map(|last| layout::with_cursor("/audit", &[], &cursor(last.place)));
    let cells: Vec<Vec<Markup>> = rows.iter().map(audit_row).collect();
    let content = html! {
        (layout::table("Who did what", &["at (UTC)", "who", "did", "how many", "to which"], &cells))
        (layout::older(next))
    };
    Ok(layout::page(&ctx, "Audit", Some("/audit"), &content))
}

fn audit_row(row: &AuditRow) -> Vec<Markup> {
    let more = row.ids.len().saturating_sub(IDS);
    let ids = row.ids[..row.ids.len().min(IDS)].join(", ");
    vec![
        layout::time(&row.at),
        html! { (row.actor) },
        html! { (row.action.replace('_', " ")) },
        html! { (row.count) },
        html! { (ids) @if more > 0 { span.aside { " and " (more) " more" } } },
    ]
}
