//! A selection of records as it is now, in bounded pages by the order of the ids.

use std::collections::HashMap;

use super::{Request, Selection, of_type};
use crate::domain::criteria::Filter;
use crate::domain::criteria::subject::Record;
use crate::domain::object_type::CONTACT;
use crate::store::StoreError;
use crate::store::criteria::EvaluationContext;
use crate::store::db::Tx;
use crate::store::db::batch::{CONTACT as CONTACT_KEY, Lists};
use crate::store::db::values::{Row, args};
use crate::store::decisions::pauses;
use crate::store::decisions::unfinished_imports::unfinished_accounts;

/// How many records one page looks at.
const PAGE: usize = 1000;

/// How many contacts a refusal names.
const NAMED: usize = 10;

/// Records of a selection, all of them live.
pub(super) struct Page {
    pub selected: Vec<i64>,
    /// The last record that was looked at, unless it was the last of all.
    pub next: Option<i64>,
}

/// The page after this record.
///
/// # Errors
///
/// Refused: a picked contact that is not live or no member of the segment; one that the filter leaves open; a segment or a filter
/// in an account of which an import has not finished.
pub(super) async fn page(tx: &mut Tx, request: &Request, after: i64) -> Result<Page, StoreError> {
    // No import ends between what is read of it and the question whether it has.
    pauses::lock_pauses_shared(tx).await?;
    let (page, unfit) = select_fit(tx, request, after).await?;
    refuse_unfit(unfit)?;
    refuse_during_import(tx, request).await?;
    Ok(page)
}

/// A picked contact that cannot be deleted.
pub(super) struct Unfit {
    pub contact_id: i64,
    /// As programs know it.
    pub reason: &'static str,
    /// As people read it.
    pub message: String,
}

/// Refuses a selection that an unfinished import may change. It must be asked after what is selected was read, in a transaction that
/// shares the lock of the pauses.
pub(super) async fn refuse_during_import(tx: &mut Tx, request: &Request) -> Result<(), StoreError> {
    let is_picked = matches!(request.selection, Selection::Picked { segment_id: None, .. });
    if is_picked || unfinished_accounts(tx, &[request.account_id].into()).await?.is_empty() {
        return Ok(());
    }
    Err(StoreError::Refused(format!(
        "an import into account {} has not finished, and may still bring what protects {}: run it again, or end it with \
         --end-unfinished, and then repeat this delete",
        request.account_id,
        if request.object_type == CONTACT { "contacts" } else { "records" }
    )))
}

/// The page after this record, and the picked ones of it that cannot be deleted.
pub(super) async fn select_fit(
    tx: &mut Tx,
    request: &Request,
    after: i64,
) -> Result<(Page, Vec<Unfit>), StoreError> {
    let account_id = request.account_id;
    let page = match &request.selection {
        Selection::Picked { contacts, segment_id } => {
            let mut picked: Vec<i64> = contacts.range(after + 1..).take(PAGE).copied().collect();
            let next = next(&picked);
            let unfit = unfit(tx, account_id, &picked, *segment_id).await?;
            picked.retain(|contact_id| unfit.iter().all(|unfit| unfit.contact_id != *contact_id));
            return Ok((Page { next, selected: picked }, unfit));
        }
        Selection::Segment(segment_id) => {
            let selected = of_type::members_after(tx, request, *segment_id, after, PAGE).await?;
            Page { next: next(&selected), selected }
        }
        Selection::Filter(filter) => accepted(tx, request, filter, after).await?,
    };
    Ok((page, Vec::new()))
}

fn next(looked_at: &[i64]) -> Option<i64> {
    looked_at.last().copied().filter(|_| looked_at.len() == PAGE)
}

async fn accepted(tx: &mut Tx, request: &Request, filter: &Filter, after: i64) -> Result<Page, StoreError> {
    let (account_id, object_type) = (request.account_id, request.object_type.as_str());
    let read = of_type::live_after(tx, request, filter.criteria(), after, PAGE).await?;
    let looked_at: Vec<i64> = read.iter().map(|(id, _)| *id).collect();
    let mut records: HashMap<i64, Record> = read.into_iter().collect();
    let scene = EvaluationContext::load(tx, account_id, object_type, filter.criteria(), &mut records).await?;
    let mut selected = Vec::new();
    for id in &looked_at {
        let Some(record) = records.get(id) else { continue };
        match filter.accepts(scene.subject((account_id, *id), record)) {
            Ok(true) => selected.push(*id),
            Ok(false) => {}
            Err(open) => {
                return Err(StoreError::Refused(format!(
                    "the filter leaves open whether {object_type} {id} is meant: {open}; nothing was deleted"
                )));
            }
        }
    }
    Ok(Page { selected, next: next(&looked_at) })
}

/// Which of these picked contacts cannot be deleted.
async fn unfit(
    tx: &mut Tx,
    account_id: i64,
    picked: &[i64],
    segment_id: Option<i64>,
) -> Result<Vec<Unfit>, StoreError> {
    let sql = format!(
        "SELECT b.contact_id, c.contact_id AS known, g.state AS gone, m.contact_id AS member, c.deleted_at FROM {} \
         LEFT JOIN contacts c ON c.account_id = b.account_id AND c.contact_id = b.contact_id \
         LEFT JOIN gone_contacts g ON g.account_id = b.account_id AND g.contact_id = b.contact_id \
         LEFT JOIN crm_segment_members m ON m.account_id = b.account_id AND m.segment_id = $1 \
                                    AND m.contact_id = b.contact_id \
         ORDER BY b.contact_id",
        tx.dialect().ids(2, &CONTACT_KEY)
    );
    let batch = Lists::ids(picked.iter().map(|contact_id| [account_id, *contact_id]));
    let mut unfit = Vec::new();
    for row in tx.rows(&sql, args![segment_id, batch]).await? {
        unfit.extend(unfitness(&row, account_id, segment_id)?);
    }
    Ok(unfit)
}

/// Refuses contacts that cannot be deleted, naming them.
fn refuse_unfit(mut unfit: Vec<Unfit>) -> Result<(), StoreError> {
    if unfit.is_empty() {
        return Ok(());
    }
    let more = match unfit.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(", and at least {more} more"),
    };
    unfit.truncate(NAMED);
    let named: Vec<String> = unfit.into_iter().map(|unfit| unfit.message).collect();
    Err(StoreError::Refused(format!("{}{more}; nothing was deleted", named.join(", "))))
}

/// Why a picked contact cannot be deleted, if it cannot.
fn unfitness(row: &Row, account_id: i64, segment_id: Option<i64>) -> Result<Option<Unfit>, StoreError> {
    let contact_id = row.int("contact_id")?;
    let unfit = |reason, message| Ok(Some(Unfit { contact_id, reason, message }));
    if let Some(state) = row.optional_text("gone")? {
        let reason = if state == "erased" { "erased" } else { "purged" };
        return unfit(reason, format!("contact {contact_id} was {state} and is gone for good"));
    }
    if row.optional_int("known")?.is_none() {
        return unfit("unknown", format!("account {account_id} has no contact {contact_id}"));
    }
    if row.optional_time("deleted_at")?.is_some() {
        return unfit("in_trash", format!("contact {contact_id} is in the trash already"));
    }
    match segment_id {
        Some(segment_id) if row.optional_int("member")?.is_none() => {
            unfit("not_in_segment", format!("contact {contact_id} is not in segment {segment_id}"))
        }
        _ => Ok(None),
    }
}
