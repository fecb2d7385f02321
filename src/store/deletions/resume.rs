//! A delete of many that was interrupted goes on where everything that is selected now is still left of it.

use super::pages::page;
use super::{Request, Selection, scope};
use crate::store::StoreError;
use crate::store::access::users::authorize_user;
use crate::store::db::Tx;
use crate::store::db::batch::{CONTACT, Lists};
use crate::store::db::values::{Arg, args};

/// A deletion that was confirmed and has not come to its end: interrupted, or under way in another process.
#[derive(Clone, Copy, Debug)]
pub(super) struct UnfinishedDeletion {
    pub deletion_id: i64,
    pub confirmed: u64,
    pub left: u64,
}

/// What is known before anything is frozen.
pub(super) struct Found {
    pub user_id: i64,
    /// The deletion that goes on.
    pub resumable: Option<i64>,
    /// Those that do not, because something else is selected now.
    pub others: Vec<i64>,
}

/// Looks for a deletion that goes on, and at the request itself.
pub(super) async fn find(tx: &mut Tx, request: &Request) -> Result<Found, StoreError> {
    let scope = scope(&request.selection);
    let user_id = authorize_user(tx, request.account_id, &request.user, "delete", scope).await?;
    refuse_unknown_segment(tx, request).await?;
    let mut others = Vec::new();
    for open in open(tx, request, user_id).await? {
        if open.confirmed == request.confirm && can_resume(tx, request, open).await? {
            return Ok(Found { user_id, resumable: Some(open.deletion_id), others });
        }
        others.push(open.deletion_id);
    }
    Ok(Found { user_id, resumable: None, others })
}

/// Refuses a segment that the account does not have.
pub(super) async fn refuse_unknown_segment(tx: &mut Tx, request: &Request) -> Result<(), StoreError> {
    let Some(segment_id) = request.selection.segment_id() else { return Ok(()) };
    let sql = "SELECT 1 AS one FROM segments WHERE account_id = $1 AND segment_id = $2";
    match tx.row(sql, args![request.account_id, segment_id]).await? {
        Some(_) => Ok(()),
        None => Err(StoreError::NotFound(format!(
            "account {} has no segment {segment_id}; nothing was deleted",
            request.account_id
        ))),
    }
}

/// The user's open deletions of this kind, and of this segment where it is about one.
pub(super) async fn open(
    tx: &mut Tx,
    request: &Request,
    user_id: i64,
) -> Result<Vec<UnfinishedDeletion>, StoreError> {
    let sql = "SELECT deletion_id, confirmed, confirmed - deleted - skipped AS remaining FROM deletions \
               WHERE account_id = $1 AND user_id = $2 AND kind = $3 AND segment_id IS NOT DISTINCT FROM $4 \
                 AND frozen_at IS NOT NULL AND given_up_at IS NULL AND finished_at IS NULL \
               ORDER BY deletion_id DESC";
    let rows = tx.rows(sql, &kind_args(request, user_id)).await?;
    let count = |count: i64| u64::try_from(count).unwrap_or_default();
    rows.iter()
        .map(|row| {
            Ok(UnfinishedDeletion {
                deletion_id: row.int("deletion_id")?,
                confirmed: count(row.int("confirmed")?),
                left: count(row.int("remaining")?),
            })
        })
        .collect()
}

/// The first four parameters of every question about the deletions of one kind.
pub(super) fn kind_args(request: &Request, user_id: i64) -> [Arg; 4] {
    let selection = &request.selection;
    [request.account_id.into(), user_id.into(), selection.kind().into(), selection.segment_id().into()]
}

/// Is everything that is selected now still left of this deletion? Asked in one transaction, which sees one moment.
async fn can_resume(tx: &mut Tx, request: &Request, open: UnfinishedDeletion) -> Result<bool, StoreError> {
    if let Selection::Picked { contacts, .. } = &request.selection {
        let picked: Vec<i64> = contacts.iter().copied().collect();
        return Ok(
            picked.len() as u64 == open.confirmed && !selects_outside(tx, request, open, &picked).await?
        );
    }
    let (mut after, mut selected) = (0, 0);
    loop {
        let page = page(tx, request, after).await?;
        if selects_outside(tx, request, open, &page.selected).await? {
            return Ok(false);
        }
        selected += page.selected.len() as u64;
        match page.next {
            Some(next) => after = next,
            None => break,
        }
    }
    // A filter is not written down: it is taken for the one that was confirmed only where it selects all that is left.
    Ok(!matches!(request.selection, Selection::Filter(_)) || selected == open.left)
}

/// Is one of these contacts neither left of the deletion nor in the trash, or gone, by it?
async fn selects_outside(
    tx: &mut Tx,
    request: &Request,
    open: UnfinishedDeletion,
    contacts: &[i64],
) -> Result<bool, StoreError> {
    let sql = format!(
        "SELECT 1 AS one FROM {} WHERE NOT EXISTS (SELECT 1 FROM deletion_items i \
           WHERE i.account_id = b.account_id AND i.deletion_id = $1 AND i.contact_id = b.contact_id) \
         AND NOT (EXISTS (SELECT 1 FROM trash_entries e \
             WHERE e.account_id = b.account_id AND e.deletion_id = $1 AND e.contact_id = b.contact_id) \
           AND NOT EXISTS (SELECT 1 FROM crm_contacts c \
             WHERE c.account_id = b.account_id AND c.contact_id = b.contact_id)) LIMIT 1",
        tx.dialect().ids(2, &CONTACT)
    );
    let batch = Lists::ids(contacts.iter().map(|contact_id| [request.account_id, *contact_id]));
    Ok(tx.row(&sql, args![open.deletion_id, batch]).await?.is_some())
}
