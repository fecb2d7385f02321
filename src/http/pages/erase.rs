//! Erasing for good: whom it takes is looked at first, and the number is typed.
//!
//! An address travels in the body of a form, never in a path: paths end up in logs and histories.

use axum::extract::{Path, State as Shared};
use axum::http::StatusCode;
use maud::{Markup, html};

use super::fields::Fields;
use super::layout::{self, Shown};
use super::visit::{Asked, Sent, Trouble, Visit};
use crate::domain::members::parse_id_text;
use crate::domain::permission::Right;
use crate::operations::Operations;
use crate::store::erase::Person;
use crate::store::receipts::Receipt;

/// Receipts on the page.
const RECEIPTS: i64 = 50;

pub async fn ask(Shared(operations): Shared<Operations>, visit: Visit, Asked(asked): Asked) -> Shown {
    refuse_others(&visit)?;
    let receipts = operations.store.erasures(visit.account(), None, RECEIPTS).await;
    let receipts = receipts.map_err(|error| visit.store_trouble(&error))?;
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
        (visit.form("/erase/look", &look)?)
        h2 { "Receipts" }
        (layout::table("Receipts of erasures", &["receipt", "contact", "erased (UTC)", "by user"], &rows))
    };
    Ok(layout::page(&visit, "Erase", Some("/erase"), &content))
}

/// Only users who may erase are shown whom an erasure would take.
fn refuse_others(visit: &Visit) -> Result<(), Trouble> {
    if visit.caller.may_erase() {
        return Ok(());
    }
    let (right, all) = (Right::PermanentlyDelete.title(), Right::SuperAdmin.title());
    Err(visit.trouble(StatusCode::FORBIDDEN, format!("Erasing takes the permission {right} or {all}.")))
}

fn person(visit: &Visit, fields: &Fields) -> Result<Person, Trouble> {
    let mistake = |says: String| visit.mistake(says);
    match (fields.id("contact").map_err(mistake)?, fields.words("email").map_err(mistake)?) {
        (Some(contact), None) => Ok(Person::Contact(contact)),
        (None, Some(address)) if address.contains('@') => Ok(Person::Address(address)),
        _ => Err(visit.mistake("Name a contact by its id, or an e-mail address, and not both.")),
    }
}

pub async fn look(Shared(operations): Shared<Operations>, Sent { visit, fields }: Sent) -> Shown {
    refuse_others(&visit)?;
    let person = person(&visit, &fields)?;
    let taken = operations.store.to_be_erased(visit.account(), &person).await;
    let taken = taken.map_err(|error| visit.store_trouble(&error))?;
    if let (Person::Contact(contact), true) = (&person, taken.is_empty()) {
        let says = format!("There is no contact {contact} to erase.");
        return Err(visit.trouble(StatusCode::NOT_FOUND, says));
    }
    let erase = html! {
        @match &person {
            Person::Contact(contact) => { input type="hidden" name="contact" value=(contact); }
            Person::Address(address) => { input type="hidden" name="email" value=(address); }
        }
        (layout::confirm("erase", taken.len() as u64))
        button.danger { "Erase for good" }
    };
    let content = html! {
        @if taken.is_empty() {
            p { "Nobody has this address. It will be put on the suppression list." }
        } @else {
            p { "This takes " strong { (taken.len()) } @if taken.len() == 1 { " contact:" } @else { " contacts:" } }
            ul { @for id in &taken { li { (layout::contact(&id.to_string(), None)) } } }
        }
        (visit.form("/erase", &erase)?)
    };
    Ok(layout::page(&visit, "Erase for good?", Some("/erase"), &content))
}

pub async fn erase(Shared(operations): Shared<Operations>, Sent { visit, fields }: Sent) -> Shown {
    let person = person(&visit, &fields)?;
    let confirm = fields.confirm().map_err(|says| visit.mistake(says))?;
    let erased = operations.erase(visit.account(), &visit.user(), &person, confirm).await;
    let erased = erased.map_err(|error| visit.operation_trouble(&error))?;
    let content = html! {
        p.notice.good role="status" { "Done. The receipts stay; a confirmation goes to you by e-mail." }
        @if !erased.scrubbed {
            p.notice { "The store's files could not be rewritten yet; the next erasure or purge does it." }
        }
        @for receipt in &erased.receipts { (one(receipt)) }
    };
    Ok(layout::page(&visit, "Erased", Some("/erase"), &content))
}

pub async fn receipt(
    Shared(operations): Shared<Operations>,
    visit: Visit,
    Path(erasure): Path<String>,
) -> Shown {
    let id = parse_id_text(&erasure).ok_or_else(|| visit.mistake("A receipt is named by its id."))?;
    let receipt = operations.erasure(visit.account(), id).await;
    let receipt = receipt.map_err(|error| visit.operation_trouble(&error))?;
    Ok(layout::page(&visit, &format!("Receipt {id}"), Some("/erase"), &one(&receipt)))
}

fn one(receipt: &Receipt) -> Markup {
    let row = |(category, counts): (&String, &crate::store::receipts::Counts)| {
        let counts = [counts.deleted, counts.unlinked, counts.redacted, counts.survivors];
        [html! { (category) }].into_iter().chain(counts.map(|count| html! { (count) })).collect()
    };
    let rows: Vec<Vec<Markup>> = receipt.categories.iter().map(row).collect();
    html! {
        p {
            "Receipt " (receipt.erasure_id) ", "
            @match &receipt.contact_id {
                Some(contact) => { "contact " (contact) }
                None => { "of an address that nobody had" }
            }
            ", " (layout::time(&receipt.erased_at)) ", user " (receipt.erased_by)
        }
        @if !rows.is_empty() {
            (layout::table("What went", &["category", "deleted", "unlinked", "redacted", "survivors"], &rows))
        }
    }
}
