//! Bringing contacts back: first what would come back, then the deed.

use axum::extract::State as Shared;
use chrono::Utc;
use maud::{Markup, html};

use super::form_fields::Fields;
use super::layout::{self, PageResult};
use super::session::{PageContext, PageQuery, VerifiedForm};
use crate::domain::time::{SpokenTime, format_time};
use crate::http::limits::time_limit;
use crate::operations::Operations;
use crate::store::trash::restore::{Missing, Preview, Refused, Request, RestorePreview, RestoreSelection};

/// What is asked to come back: contacts, or what a workflow deleted since a time.
fn wanted(ctx: &PageContext, fields: &Fields) -> Result<Request, super::PageError> {
    let mistake = |says: String| ctx.bad_request(says);
    let contacts = fields.ids("contact").map_err(mistake)?;
    let workflow = fields.id("workflow").map_err(mistake)?;
    let now = Utc::now();
    let since = fields.text("since").map(|text| SpokenTime::parse(text, now)?.in_the_past(now));
    let wanted = match (workflow, since) {
        (Some(workflow_id), Some(Some(since))) => RestoreSelection::DeletedBy { workflow_id, since },
        (None, None) if !contacts.is_empty() => RestoreSelection::contacts(&contacts),
        (None, None) => return Err(ctx.bad_request("No contact was picked: go back and pick some.")),
        _ => {
            return Err(
                ctx.bad_request("Name a workflow and a time such as 1h (ago), or 2026-11-21 10:00 (UTC).")
            );
        }
    };
    Ok(Request { account_id: ctx.account(), user: ctx.user(), wanted })
}

pub async fn preview(
    Shared(operations): Shared<Operations>,
    ctx: PageContext,
    PageQuery(asked): PageQuery,
) -> PageResult {
    let request = wanted(&ctx, &asked)?;
    let preview = operations.preview_restore(&request, &time_limit()).await;
    let preview = preview.map_err(|error| ctx.operation_error(&error))?;
    let restore = html! {
        @match &request.wanted {
            RestoreSelection::Contacts(ids) => {
                @for id in ids { input type="hidden" name="contact" value=(id); }
            }
            RestoreSelection::DeletedBy { workflow_id, since } => {
                input type="hidden" name="workflow" value=(workflow_id);
                input type="hidden" name="since" value=(format_time(*since));
            }
            // No page asks for these.
            RestoreSelection::DeletedByUser { .. } | RestoreSelection::Deletion(_) => {}
        }
        button { "Restore " (preview.restorable) }
    };
    let content = html! {
        (summary(&preview))
        @if preview.restorable > 0 { (ctx.form("/restore", &restore)?) }
    };
    Ok(layout::page(&ctx, "Preview of a restore", Some("/trash"), &content))
}

fn summary(preview: &Preview) -> Markup {
    let blocked: usize = preview.blocked.values().sum();
    let row = |it: &RestorePreview| {
        let visible = it.visible.iter().filter(|(_, members)| !members.is_empty());
        let visible: Vec<String> =
            visible.map(|(category, members)| format!("{} ({})", spaced(category), members.len())).collect();
        let end = |it: &Missing| format!("{} {} ({})", it.object_type, it.id, it.state.replace('_', " "));
        let missing: Vec<String> = it.missing.iter().map(end).collect();
        vec![
            layout::contact(&it.contact_id, None),
            html! { (or_dash(&visible.join(", "))) },
            html! { (or_dash(&missing.join(", "))) },
        ]
    };
    let rows: Vec<Vec<Markup>> = preview.contacts.iter().map(row).collect();
    html! {
        p {
            strong { (preview.restorable) } " would come back, " strong { (blocked) }
            " would not. Nothing was changed yet."
        }
        @if preview.truncated { p { "There are many: what follows is of the first ones." } }
        @if !rows.is_empty() {
            (layout::table("Would come back", &["contact", "with", "but without"], &rows))
        }
        (refused(&preview.refused))
        p.aside { "Memberships of static segments and enrollments in workflows do not come back with a contact." }
    }
}

/// `lifecycleTransitions` as one would say it.
fn spaced(name: &str) -> String {
    let spaced = |c: char| if c.is_uppercase() { format!(" {}", c.to_lowercase()) } else { c.to_string() };
    name.chars().map(spaced).collect()
}

fn or_dash(text: &str) -> &str {
    if text.is_empty() { "–" } else { text }
}

fn refused(refused: &[Refused]) -> Markup {
    let row = |it: &Refused| vec![layout::contact(&it.contact_id, None), html! { (it.message) }];
    let rows: Vec<Vec<Markup>> = refused.iter().map(row).collect();
    html! {
        @if !rows.is_empty() { (layout::table("Not restored", &["contact", "why, and what to do"], &rows)) }
    }
}

pub async fn restore(
    Shared(operations): Shared<Operations>,
    VerifiedForm { ctx, fields }: VerifiedForm,
) -> PageResult {
    let request = wanted(&ctx, &fields)?;
    let (report, ended) = operations.restore(&request, &mut |_| {}).await;
    ended.map_err(|error| ctx.operation_error(&error))?;
    let content = html! {
        p.notice.good role="status" { (report.restored.len()) " restored, " (report.refused.len()) " refused." }
        @if !report.restored.is_empty() {
            p {
                "Back: "
                @for (at, id) in report.restored.iter().take(100).enumerate() {
                    @if at > 0 { ", " }
                    (layout::contact(id, None))
                }
            }
        }
        (refused(&report.refused))
    };
    Ok(layout::page(&ctx, "Restored", Some("/trash"), &content))
}
