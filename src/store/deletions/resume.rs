//! A delete of many that was interrupted goes on where everything that is selected now is still left of it.

use super::pages::page;
use super::{Request, Selection, of_type};
use crate::store::StoreError;
use crate::store::db::Tx;
use crate::store::db::values::Arg;

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
    let user_id = of_type::authorize(tx, request, &request.user).await?;
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

/// Refuses a segment that the account does not have, or whose members are of another type.
pub(super) async fn refuse_unknown_segment(tx: &mut Tx, request: &Request) -> Result<(), StoreError> {
    let Some(segment_id) = request.selection.segment_id() else { return Ok(()) };
    match of_type::type_of_segment(tx, request.account_id, segment_id).await? {
        Some(object_type) if object_type == request.object_type => Ok(()),
        Some(object_type) => Err(StoreError::Refused(format!(
            "segment {segment_id} is one of records of the type {object_type}; nothing was deleted"
        ))),
        None => Err(StoreError::NotFound(format!(
            "account {} has no segment {segment_id}; nothing was deleted",
            request.account_id
        ))),
    }
}

/// The user's open deletions of this type and kind, and of this segment where it is about one.
pub(super) async fn open(
    tx: &mut Tx,
    request: &Request,
    user_id: i64,
) -> Result<Vec<UnfinishedDeletion>, StoreError> {
    let sql = "SELECT deletion_id, confirmed, confirmed - deleted - skipped AS remaining FROM deletions \
               WHERE account_id = $1 AND user_id = $2 AND object_type = $3 AND kind = $4 AND segment_id IS NOT DISTINCT FROM $5 \
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

/// The first five parameters of every question about the deletions of one kind.
pub(super) fn kind_args(request: &Request, user_id: i64) -> [Arg; 5] {
    let selection = &request.selection;
    [
        request.account_id.into(),
        user_id.into(),
        request.object_type.as_str().into(),
        selection.kind().into(),
        selection.segment_id().into(),
    ]
}

/// Is everything that is selected now still left of this deletion? Asked in one transaction, which sees one moment.
async fn can_resume(tx: &mut Tx, request: &Request, open: UnfinishedDeletion) -> Result<bool, StoreError> {
    if let Selection::Picked { contacts, .. } = &request.selection {
        let picked: Vec<i64> = contacts.iter().copied().collect();
        return Ok(picked.len() as u64 == open.confirmed
            && !of_type::any_outside(tx, request, open.deletion_id, &picked).await?);
    }
    let (mut after, mut selected) = (0, 0);
    loop {
        let page = page(tx, request, after).await?;
        if of_type::any_outside(tx, request, open.deletion_id, &page.selected).await? {
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
