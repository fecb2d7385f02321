//! What is in the trash, and one contact at a time.

use axum::extract::{Path, State as Shared};
use maud::{Markup, html};

use super::layout::{self, PageResult};
use super::legal_holds;
use super::session::{PageContext, PageQuery, VerifiedForm};
use crate::domain::members::parse_id_text;
use crate::domain::object_type::CONTACT;
use crate::domain::permission::Scope;
use crate::domain::search::Search;
use crate::http::api::input::cursor;
use crate::operations::Operations;
use crate::store::db::query::Filter;
use crate::store::deletions::{Request, Selection};
use crate::store::views::read::{ContactView, TrashRow};

/// Entries on a page.
const ROWS: i64 = 50;

pub async fn list(
    Shared(operations): Shared<Operations>,
    ctx: PageContext,
    PageQuery(asked): PageQuery,
) -> PageResult {
    let mistake = |says: String| ctx.bad_request(says);
    let search = asked.bounded_text("search").map_err(mistake)?;
    let workflow_id = asked.id("workflow").map_err(mistake)?;
    let filter = Filter {
        account_id: Some(ctx.account()),
        workflow_id,
        search: search.as_deref().map(Search::parse).transpose().map_err(mistake)?,
        after: asked.cursor().map_err(mistake)?,
        limit: ROWS,
        ..Filter::default()
    };
    let page = operations.store.trash(&filter).await.map_err(|error| ctx.store_error(&error))?;
    let looked_at_many = page.next.is_some() && i64::try_from(page.rows.len()).is_ok_and(|rows| rows < ROWS);
    let kept = [("search", search.clone()), ("workflow", workflow_id.map(|id| id.to_string()))];
    let next = page.next.map(|place| layout::with_cursor("/trash", &kept, &cursor(place)));
    let content = html! {
        form.search method="get" action="/trash" role="search" {
            (layout::field("search", "Contact", search.as_deref(), Some("An id, a whole e-mail address, or the beginning of a name")))
            (layout::field("workflow", "Deleted by workflow", kept[1].1.as_deref(), None))
            button { "Search" }
        }
        (entries(&operations, &ctx, &page.rows).await?)
        @if looked_at_many { p { "These are of the 5,000 entries that were looked at. The search goes on with older ones." } }
        (layout::older(next))
        (undo())
    };
    Ok(layout::page(&ctx, "Trash", Some("/trash"), &content))
}

/// What a workflow should not have deleted comes back at once.
fn undo() -> Markup {
    html! {
        h2 { "Undo a run of a workflow" }
        form.search method="get" action="/restore" {
            (layout::labelled("undo-workflow", "workflow", "Workflow"))
            div.field {
                label for="undo-since" { "What it deleted since (UTC)" }
                input id="undo-since" name="since" required placeholder="2026-11-21T10:00:00Z" autocomplete="off";
            }
            button { "Preview the restore" }
        }
    }
}

/// The entries, each to be picked by whoever may restore it.
async fn entries(
    operations: &Operations,
    ctx: &PageContext,
    rows: &[TrashRow],
) -> Result<Markup, super::PageError> {
    let ids: Vec<i64> = rows.iter().filter_map(|row| parse_id_text(&row.contact_id)).collect();
    let names = operations.store.names(ctx.account(), &ids).await;
    let names = names.map_err(|error| ctx.store_error(&error))?;
    let picks = ctx.caller.may_delete(Scope::One) || ctx.caller.may_delete(Scope::Many);
    let row = |row: &TrashRow| {
        let name = parse_id_text(&row.contact_id).and_then(|id| names.get(&id));
        let pick = html! {
            input type="checkbox" name="contact" value=(row.contact_id)
                aria-label={ "Restore contact " (row.contact_id) };
        };
        let cells = [
            layout::contact(&row.contact_id, name),
            layout::time(&row.deleted_at),
            layout::deleted_by(&row.deleted_by),
            layout::time(&row.purge_at),
        ];
        picks.then_some(pick).into_iter().chain(cells).collect()
    };
    let cells: Vec<Vec<Markup>> = rows.iter().map(row).collect();
    let headings = ["", "contact", "deleted (UTC)", "by", "purged from"];
    let table = layout::table("Contacts in the trash", &headings[usize::from(!picks)..], &cells);
    Ok(html! {
        @if picks && !rows.is_empty() {
            form method="get" action="/restore" {
                (table)
                button { "Preview the restore" }
            }
        } @else { (table) }
    })
}

pub async fn contact(
    Shared(operations): Shared<Operations>,
    ctx: PageContext,
    Path(contact): Path<String>,
) -> PageResult {
    let id = parse_id_text(&contact).ok_or_else(|| ctx.bad_request("A contact is named by its id."))?;
    let view = operations.store.contact(ctx.account(), id).await;
    let view = view.map_err(|error| ctx.store_error(&error))?;
    let hold = operations.store.legal_hold(ctx.account(), id).await;
    let hold = hold.map_err(|error| ctx.store_error(&error))?;
    let content = html! {
        p { "State: " strong { (view.state.replace('_', " ")) } }
        @if let Some(entry) = &view.trash {
            p {
                "Deleted " (layout::time(entry["deletedAt"].as_str().unwrap_or_default())) " by "
                (layout::deleted_by(&entry["deletedBy"])) "; purged from "
                (layout::time(entry["purgeAt"].as_str().unwrap_or_default())) " on."
            }
        }
        (offers(&ctx, &view)?)
        @if view.trash.is_some() || view.state == "live" { (legal_holds::of_contact(&ctx, &view.id, hold.as_ref())?) }
        (facts(&view))
    };
    Ok(layout::page(&ctx, &format!("Contact {id}"), Some("/trash"), &content))
}

fn facts(view: &ContactView) -> Markup {
    let properties = view.properties.iter().flatten();
    let properties: Vec<Vec<Markup>> =
        properties.map(|(name, value)| vec![html! { (name) }, html! { (value) }]).collect();
    let visible = view.visible.iter().filter(|(_, members)| !members.is_empty());
    let visible: Vec<Vec<Markup>> =
        visible.map(|(category, ids)| vec![html! { (category) }, html! { (ids.join(", ")) }]).collect();
    html! {
        h2 { "Properties" }
        (layout::table("Properties", &["name", "value"], &properties))
        h2 { "Visible under it" }
        (layout::table("Visible under it", &["what", "which"], &visible))
    }
}

/// What this user may do with it.
fn offers(ctx: &PageContext, view: &ContactView) -> Result<Markup, super::PageError> {
    let (live, in_trash) = (view.state == "live", view.state == "in_trash");
    let deletes = ctx.caller.may_delete(Scope::One);
    let delete = html! {
        input type="hidden" name="contact" value=(view.id);
        (layout::confirm("delete", 1))
        button { "Put into the trash" }
    };
    Ok(html! {
        div.offers {
            @if deletes && live { (ctx.form("/delete", &delete)?) }
            @if deletes && in_trash { a.button href={ "/restore?contact=" (view.id) } { "Preview the restore" } }
            @if ctx.caller.may_erase() && (live || in_trash) {
                a.button.danger href={ "/erase?contact=" (view.id) } { "Erase for good…" }
            }
        }
    })
}

pub async fn delete(
    Shared(operations): Shared<Operations>,
    VerifiedForm { ctx, fields }: VerifiedForm,
) -> PageResult {
    let mistake = |says: String| ctx.bad_request(says);
    let contact = fields.needed_id("contact").map_err(mistake)?;
    let request = Request {
        account_id: ctx.account(),
        user: ctx.user(),
        object_type: CONTACT.to_owned(),
        selection: Selection::Picked { contacts: [contact].into(), segment_id: None },
        confirm: fields.confirm().map_err(mistake)?,
    };
    let deleted = operations.delete(&request, &mut |_| {}).await;
    deleted.map_err(|error| ctx.operation_error(&error))?;
    let content = html! {
        p.notice.good role="status" {
            "Contact " a href={ "/contacts/" (contact) } { (contact) } " is in the trash, restorable for 90 days."
        }
    };
    Ok(layout::page(&ctx, "Deleted", Some("/trash"), &content))
}
