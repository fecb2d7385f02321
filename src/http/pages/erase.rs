//! Erasing for good: whom it takes is looked at first, and the number is typed.
//!
//! An address travels in the body of a form, never in a path: paths end up in logs and histories.

use axum::extract::{Path, State as Shared};
use axum::http::StatusCode;
use maud::{Markup, html};

use super::form_fields::Fields;
use super::layout::{self, PageResult};
use super::session::{PageContext, PageError, PageQuery, VerifiedForm};
use crate::domain::members::parse_id_text;
use crate::domain::permission::Right;
use crate::operations::Operations;
use crate::store::privacy::erase::ErasureTarget;
use crate::store::privacy::receipts::{CategoryEffect, Receipt};
use crate::store::views::overview::Name;

/// Receipts on the page.
const RECEIPTS: i64 = 50;

pub async fn ask(
    Shared(operations): Shared<Operations>,
    ctx: PageContext,
    PageQuery(asked): PageQuery,
) -> PageResult {
    refuse_others(&ctx)?;
    let receipts = operations.store.erasures(ctx.account(), None, RECEIPTS).await;
    let receipts = receipts.map_err(|error| ctx.store_error(&error))?;
    let look = html! {
        (layout::field("contact", "Contact", asked.text("contact"), Some("By its id")))
        (layout::field("email", "Or an e-mail address", None,
            Some("Every contact of it, in the trash too; an address that nobody has is suppressed all the same")))
        button { "See whom this takes" }
    };
    let row = |it: &Receipt| {
        let link = html! { a href={ "/erasures/" (it.erasure_id) } { (it.erasure_id) } };
        let contact = html! { (it.contact_id.as_deref().unwrap_or("–")) };
        vec![link, contact, layout::time(&it.erased_at), html! { (it.erased_by) }]
    };
    let rows: Vec<Vec<Markup>> = receipts.iter().map(row).collect();
    let content = html! {
        p { "Everything of a person goes at once and for good. It cannot be undone." }
        (ctx.form("/erase/look", &look)?)
        h2 { "Receipts" }
        (layout::table("Receipts of erasures", &["receipt", "contact", "erased (UTC)", "by user"], &rows))
    };
    Ok(layout::page(&ctx, "Erase", Some("/erase"), &content))
}

/// Only users who may erase are shown whom an erasure would take.
fn refuse_others(ctx: &PageContext) -> Result<(), PageError> {
    if ctx.caller.may_erase() {
        return Ok(());
    }
    let (right, all) = (Right::PermanentlyDelete.title(), Right::SuperAdmin.title());
    Err(ctx.error(StatusCode::FORBIDDEN, format!("Erasing takes the permission {right} or {all}.")))
}

fn target(ctx: &PageContext, fields: &Fields) -> Result<ErasureTarget, PageError> {
    let mistake = |says: String| ctx.bad_request(says);
    match (fields.id("contact").map_err(mistake)?, fields.bounded_text("email").map_err(mistake)?) {
        (Some(contact), None) => Ok(ErasureTarget::Contact(contact)),
        (None, Some(address)) => Ok(ErasureTarget::Address(address)),
        _ => Err(ctx.bad_request("Name a contact by its id, or an e-mail address, and not both.")),
    }
}

pub async fn preview(
    Shared(operations): Shared<Operations>,
    VerifiedForm { ctx, fields }: VerifiedForm,
) -> PageResult {
    refuse_others(&ctx)?;
    let target = target(&ctx, &fields)?;
    let preview = operations.preview_erasure(ctx.account(), &ctx.user(), &target).await;
    let preview = preview.map_err(|error| ctx.operation_error(&error))?;
    let held = preview.contacts.iter().any(|it| it.legal_hold.is_some());
    let erase = html! {
        @match &target {
            ErasureTarget::Contact(contact) => { input type="hidden" name="contact" value=(contact); }
            ErasureTarget::Address(address) => { input type="hidden" name="email" value=(address); }
        }
        (layout::confirm("erase", preview.contacts.len() as u64))
        button.danger { "Erase for good" }
    };
    let others: Vec<Vec<Markup>> = preview
        .others
        .iter()
        .map(|it| {
            vec![html! { (it.kind) }, html! { (it.id.as_deref().unwrap_or("–")) }, html! { (it.redact) }]
        })
        .collect();
    let content = html! {
        @if preview.contacts.is_empty() {
            p { "No contact has this address. It will be redacted wherever it stands, and put on the suppression list." }
        } @else {
            p {
                "This takes " strong { (preview.contacts.len()) }
                @if preview.contacts.len() == 1 { " contact:" } @else { " contacts:" }
            }
            ul {
                @for it in &preview.contacts {
                    li {
                        (layout::contact(&it.id, Some(&Name { name: it.name.clone(), email: it.emails.join(" ") })))
                        @if let Some(since) = &it.legal_hold { " – under a legal hold since " (layout::time(since)) }
                    }
                }
            }
        }
        (categories("What would go", &preview.categories))
        @if !others.is_empty() {
            (layout::table("Records that stay and would be changed", &["record", "id", "places"], &others))
        }
        @if !preview.found.is_empty() {
            p {
                "An address of the person also stands in the following, which are left alone:"
                @for it in &preview.found { " " (it.kind) " " (it.id) ";" }
            }
        }
        @if held {
            p.notice { "A contact under a legal hold cannot be erased. Lift the hold first." }
        } @else {
            (ctx.form("/erase", &erase)?)
        }
    };
    Ok(layout::page(&ctx, "Erase for good?", Some("/erase"), &content))
}

/// Records by category.
fn categories(caption: &str, categories: &[CategoryEffect]) -> Markup {
    let row = |it: &CategoryEffect| {
        let counts = [it.counts.deleted, it.counts.unlinked, it.counts.redacted];
        [html! { (it.category) }].into_iter().chain(counts.map(|count| html! { (count) })).collect()
    };
    let rows: Vec<Vec<Markup>> = categories.iter().map(row).collect();
    html! {
        @if !rows.is_empty() {
            (layout::table(caption, &["category", "deleted", "unlinked", "redacted"], &rows))
        }
    }
}

pub async fn erase(
    Shared(operations): Shared<Operations>,
    VerifiedForm { ctx, fields }: VerifiedForm,
) -> PageResult {
    let target = target(&ctx, &fields)?;
    let confirm = fields.confirm().map_err(|says| ctx.bad_request(says))?;
    let erased = operations.erase(ctx.account(), &ctx.user(), &target, confirm).await;
    let erased = erased.map_err(|error| ctx.operation_error(&error))?;
    let content = html! {
        p.notice.good role="status" {
            "Done. The receipts stay"
            @if erased.confirmation.waits_for == "run" { "; a confirmation goes to you by e-mail" }
            "."
        }
        @if !erased.scrubbed {
            p.notice { "The store's files could not be rewritten yet; the next erasure or purge does it." }
        }
        @for receipt in &erased.receipts { (one(receipt)) }
    };
    Ok(layout::page(&ctx, "Erased", Some("/erase"), &content))
}

pub async fn receipt(
    Shared(operations): Shared<Operations>,
    ctx: PageContext,
    Path(erasure): Path<String>,
) -> PageResult {
    let id = parse_id_text(&erasure).ok_or_else(|| ctx.bad_request("A receipt is named by its id."))?;
    let receipt = operations.erasure(ctx.account(), id).await;
    let receipt = receipt.map_err(|error| ctx.operation_error(&error))?;
    Ok(layout::page(&ctx, &format!("Receipt {id}"), Some("/erase"), &one(&receipt)))
}

fn one(receipt: &Receipt) -> Markup {
    let effect = &receipt.effect;
    html! {
        p {
            "Receipt " (receipt.erasure_id) ", "
            @match &receipt.contact_id {
                Some(contact) => { "contact " (contact) }
                None => { "of an address that no contact had" }
            }
            ", " (layout::time(&receipt.erased_at)) ", user " (receipt.erased_by)
            @if let Some(first) = &receipt.first_erased_at { ", first erased " (layout::time(first)) }
        }
        (categories("What went", &effect.categories))
        @if !effect.others.is_empty() {
            p {
                "Redacted in records that stay:"
                @for (kind, count) in &effect.others { " " (count) " " (kind) ";" }
            }
        }
        @if !effect.found.is_empty() {
            p {
                "An address of the person was found and left in:"
                @for it in &effect.found { " " (it.kind) " " (it.id) ";" }
            }
        }
        p { "Survivors: " (effect.survivors) }
    }
}
