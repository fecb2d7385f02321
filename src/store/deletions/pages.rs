//! A selection of contacts as it is now, in bounded pages by the order of the ids.

use std::collections::HashMap;

use super::{Request, Selection};
use crate::domain::criteria::Filter;
use crate::store::StoreError;
use crate::store::criteria::{EvaluationContext, record};
use crate::store::db::Tx;
use crate::store::db::batch::{CONTACT, Lists};
use crate::store::db::values::{Row, args};
use crate::store::decisions::pauses;
use crate::store::decisions::unfinished_imports::unfinished_accounts;

/// How many contacts one page looks at.
const PAGE: usize = 1000;

/// How many contacts a refusal names.
const NAMED: usize = 10;

/// Contacts of a selection, all of them live.
pub(super) struct Page {
    pub selected: Vec<i64>,
    /// The last contact that was looked at, unless it was the last of all.
    pub next: Option<i64>,
}

/// The page after this contact.
///
/// # Errors
///
/// Refused: a picked contact that is not live or no member of the segment; one that the filter leaves open; a segment or a filter
/// in an account of which an import has not finished.
pub(super) async fn page(tx: &mut Tx, request: &Request, after: i64) -> Result<Page, StoreError> {
    // No import ends between what is read of it and the question whether it has.
    pauses::lock_pauses_shared(tx).await?;
    let page = select(tx, request, after).await?;
    refuse_during_import(tx, request).await?;
    Ok(page)
}

/// Refuses a selection that an unfinished import may change. It must be asked after what is selected was read, in a transaction that
/// shares the lock of the pauses.
pub(super) async fn refuse_during_import(tx: &mut Tx, request: &Request) -> Result<(), StoreError> {
    let is_picked = matches!(request.selection, Selection::Picked { segment_id: None, .. });
    if is_picked || unfinished_accounts(tx, &[request.account_id].into()).await?.is_empty() {
        return Ok(());
    }
    Err(StoreError::Refused(format!(
        "an import into account {} has not finished, and may still bring what protects contacts: run it again, or end it with \
         --end-unfinished, and then repeat this delete",
        request.account_id
    )))
}

async fn select(tx: &mut Tx, request: &Request, after: i64) -> Result<Page, StoreError> {
    let account_id = request.account_id;
    match &request.selection {
        Selection::Picked { contacts, segment_id } => {
            let picked: Vec<i64> = contacts.range(after + 1..).take(PAGE).copied().collect();
            refuse_unfit(tx, account_id, &picked, *segment_id).await?;
            Ok(Page { next: next(&picked), selected: picked })
        }
        Selection::Segment(segment_id) => {
            let sql = format!(
                "SELECT contact_id FROM crm_segment_members WHERE account_id = $1 AND segment_id = $2 \
                 AND contact_id > $3 ORDER BY contact_id LIMIT {PAGE}"
            );
            let rows = tx.rows(&sql, args![account_id, *segment_id, after]).await?;
            let selected = rows.iter().map(|row| row.int("contact_id")).collect::<Result<Vec<_>, _>>()?;
            Ok(Page { next: next(&selected), selected })
        }
        Selection::Filter(filter) => accepted(tx, account_id, filter, after).await,
    }
}

fn next(looked_at: &[i64]) -> Option<i64> {
    looked_at.last().copied().filter(|_| looked_at.len() == PAGE)
}

async fn accepted(tx: &mut Tx, account_id: i64, filter: &Filter, after: i64) -> Result<Page, StoreError> {
    let sql = format!(
        "SELECT contact_id, CAST(properties AS text) AS properties, CAST(history AS text) AS history, created_at, is_partial \
         FROM contacts WHERE account_id = $1 AND contact_id > $2 AND deleted_at IS NULL \
         ORDER BY contact_id LIMIT {PAGE}"
    );
    let rows = tx.rows(&sql, args![account_id, after]).await?;
    let looked_at = rows.iter().map(|row| row.int("contact_id")).collect::<Result<Vec<_>, _>>()?;
    let mut records = HashMap::with_capacity(rows.len());
    for (row, contact_id) in rows.iter().zip(&looked_at) {
        records.insert(*contact_id, record(row, row.optional_time("created_at")?)?);
    }
    let scene = EvaluationContext::load(tx, account_id, filter.criteria(), &mut records).await?;
    let mut selected = Vec::new();
    for contact_id in &looked_at {
        let Some(record) = records.get(contact_id) else { continue };
        match filter.accepts(scene.subject((account_id, *contact_id), record)) {
            Ok(true) => selected.push(*contact_id),
            Ok(false) => {}
            Err(open) => {
                return Err(StoreError::Refused(format!(
                    "the filter leaves open whether contact {contact_id} is meant: {open}; nothing was deleted"
                )));
            }
        }
    }
    Ok(Page { selected, next: next(&looked_at) })
}

/// Refuses picked contacts that cannot be deleted, naming them.
async fn refuse_unfit(
    tx: &mut Tx,
    account_id: i64,
    picked: &[i64],
    segment_id: Option<i64>,
) -> Result<(), StoreError> {
    let sql = format!(
        "SELECT b.contact_id, c.contact_id AS known, g.state AS gone, m.contact_id AS member, c.deleted_at FROM {} \
         LEFT JOIN contacts c ON c.account_id = b.account_id AND c.contact_id = b.contact_id \
         LEFT JOIN gone_contacts g ON g.account_id = b.account_id AND g.contact_id = b.contact_id \
         LEFT JOIN crm_segment_members m ON m.account_id = b.account_id AND m.segment_id = $1 \
                                    AND m.contact_id = b.contact_id \
         ORDER BY b.contact_id",
        tx.dialect().ids(2, &CONTACT)
    );
    let batch = Lists::ids(picked.iter().map(|contact_id| [account_id, *contact_id]));
    let mut unfit = Vec::new();
    for row in tx.rows(&sql, args![segment_id, batch]).await? {
        unfit.extend(unfitness(&row, account_id, segment_id)?);
    }
    if unfit.is_empty() {
        return Ok(());
    }
    let more = match unfit.len().saturating_sub(NAMED) {
        0 => String::new(),
        more => format!(", and at least {more} more"),
    };
    unfit.truncate(NAMED);
    Err(StoreError::Refused(format!("{}{more}; nothing was deleted", unfit.join(", "))))
}

/// Why a picked contact cannot be deleted, if it cannot.
fn unfitness(row: &Row, account_id: i64, segment_id: Option<i64>) -> Result<Option<String>, StoreError> {
    let contact_id = row.int("contact_id")?;
    if let Some(state) = row.optional_text("gone")? {
        return Ok(Some(format!("contact {contact_id} was {state} and is gone for good")));
    }
    if row.optional_int("known")?.is_none() {
        return Ok(Some(format!("account {account_id} has no contact {contact_id}")));
    }
    if row.optional_time("deleted_at")?.is_some() {
        return Ok(Some(format!("contact {contact_id} is in the trash already")));
    }
    Ok(match segment_id {
        Some(segment_id) if row.optional_int("member")?.is_none() => {
            Some(format!("contact {contact_id} is not in segment {segment_id}"))
        }
        _ => None,
    })
}
