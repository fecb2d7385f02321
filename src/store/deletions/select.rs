//! What a delete of many is about: what is selected is frozen, and counts from the moment its number was confirmed.
//!
//! Locks are taken in one order: the user's row, by which confirmations wait for each other, then deletions.

use super::pages::{Page, page};
use super::resume::{Found, UnfinishedDeletion, find, kind_args, open};
use super::{Progress, Request, begin, noun, of_type};
use crate::domain::counted::{counted, verb};
use crate::domain::time::Time;
use crate::store::db::Tx;
use crate::store::db::batch::{Lists, RECORD};
use crate::store::db::values::args;
use crate::store::{Store, StoreError, read_transaction, transaction};

/// A deletion that was quiet for so long is nobody's any more.
const ABANDONED_AFTER: chrono::TimeDelta = chrono::TimeDelta::hours(1);

/// How many frozen records one transaction drops.
const DELETE_CHUNK: u64 = 10_000;

/// What became of a frozen selection.
enum Verdict {
    /// It may be carried out; these others gave their place to it.
    Confirmed(Vec<i64>),
    /// Meanwhile another process has confirmed a deletion that may be the same.
    Rival,
}

impl Store {
    /// The deletion to be carried out, and whose it is.
    pub(super) async fn select(
        &self,
        request: &Request,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<(i64, i64), StoreError> {
        loop {
            let Found { user_id, resumable, others } = read_transaction!(self, tx => find(tx, request))?;
            if let Some(deletion_id) = resumable {
                return Ok((user_id, deletion_id));
            }
            let own = transaction!(self, tx => begin_selecting(tx, request, user_id))?;
            let selected = match self.freeze(request, own, progress).await {
                Ok(selected) => Ok(selected),
                // Told only once it is clear that no other process has just begun the same deletion.
                Err(refusal) if refusal.is_refusal() => Err(refusal),
                Err(error) => return Err(error),
            };
            match transaction!(self, tx => confirm(tx, request, own, &selected, &others)) {
                Ok(Verdict::Confirmed(given_up)) => {
                    for deletion_id in given_up {
                        self.drop_items(request.account_id, deletion_id).await?;
                    }
                    return Ok((user_id, own));
                }
                Ok(Verdict::Rival) => self.drop_items(request.account_id, own).await?,
                Err(error) => {
                    if error.is_refusal() {
                        self.drop_items(request.account_id, own).await?;
                    }
                    return Err(error);
                }
            }
        }
    }

    /// Writes down what is selected, page by page; how many records that is.
    async fn freeze(
        &self,
        request: &Request,
        own: i64,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<u64, StoreError> {
        let (mut after, mut selected) = (0, 0);
        loop {
            let page = transaction!(self, tx => freeze_page(tx, request, own, after, selected))?;
            selected += page.selected.len() as u64;
            progress(Progress::Selected(selected));
            match page.next {
                Some(next) => after = next,
                None => return Ok(selected),
            }
        }
    }

    /// Drops what is frozen of a deletion, and ends it; of one that was never confirmed nothing stays.
    async fn drop_items(&self, account_id: i64, deletion_id: i64) -> Result<(), StoreError> {
        while transaction!(self, tx => delete_items_chunk(tx, account_id, deletion_id))? == DELETE_CHUNK {}
        Ok(())
    }
}

async fn begin_selecting(tx: &mut Tx, request: &Request, user_id: i64) -> Result<i64, StoreError> {
    let at = tx.now().await?;
    begin(tx, request, user_id, at).await
}

async fn freeze_page(
    tx: &mut Tx,
    request: &Request,
    own: i64,
    after: i64,
    selected: u64,
) -> Result<Page, StoreError> {
    let now = tx.now().await?;
    let alive = "UPDATE deletions SET active_at = $3 \
                 WHERE account_id = $1 AND deletion_id = $2 AND given_up_at IS NULL";
    if tx.execute(alive, args![request.account_id, own, now]).await? == 0 {
        return Err(given_up(own));
    }
    let page = page(tx, request, after).await?;
    // What exceeds the number that was typed is counted for the answer; it will never be deleted.
    if selected + page.selected.len() as u64 <= request.confirm {
        let sql = format!(
            "INSERT INTO deletion_items (account_id, deletion_id, record_id) \
             SELECT b.account_id, $1, b.record_id FROM {}",
            tx.dialect().ids(2, &RECORD)
        );
        let records = page.selected.iter().map(|id| [request.account_id, *id]);
        tx.execute(&sql, args![own, Lists::ids(records)]).await?;
    }
    Ok(page)
}

/// Lets the frozen selection be carried out, if its number is the one that was typed.
async fn confirm(
    tx: &mut Tx,
    request: &Request,
    own: i64,
    selected: &Result<u64, StoreError>,
    looked_at: &[i64],
) -> Result<Verdict, StoreError> {
    let account_id = request.account_id;
    let user_id = of_type::authorize(tx, request, &request.user).await?;
    let lock = format!(
        "SELECT u.user_id FROM users u WHERE u.account_id = $1 AND u.user_id = $2{}",
        tx.dialect().for_update("u")
    );
    tx.rows(&lock, args![account_id, user_id]).await?;
    let open = open(tx, request, user_id).await?;
    if open.iter().any(|open| !looked_at.contains(&open.deletion_id) && open.confirmed == request.confirm) {
        return Ok(Verdict::Rival);
    }
    let selected = *selected.as_ref().map_err(Clone::clone)?;
    if selected != request.confirm {
        return Err(wrong_count(request, selected, open.first()));
    }
    let now = tx.now().await?;
    let sql = "UPDATE deletions SET frozen_at = $3, active_at = $3 \
               WHERE account_id = $1 AND deletion_id = $2 AND given_up_at IS NULL";
    if tx.execute(sql, args![account_id, own, now]).await? == 0 {
        return Err(given_up(own));
    }
    Ok(Verdict::Confirmed(abandon_superseded(tx, request, user_id, own, now).await?))
}

/// Ends unfinished deletions that nobody will finish; which.
async fn abandon_superseded(
    tx: &mut Tx,
    request: &Request,
    user_id: i64,
    own: i64,
    now: Time,
) -> Result<Vec<i64>, StoreError> {
    // What was killed while it was selected or dropped, whoever began it. Of this user's own of this kind those whose
    // records this one takes over, and those that were idle for long.
    let sql = "UPDATE deletions SET given_up_at = $6 \
               WHERE account_id = $1 AND finished_at IS NULL AND deletion_id <> $7 \
                 AND (active_at < $8 AND (frozen_at IS NULL OR given_up_at IS NOT NULL) \
                   OR user_id = $2 AND object_type = $3 AND kind = $4 AND segment_id IS NOT DISTINCT FROM $5 \
                     AND (active_at < $8 OR frozen_at IS NOT NULL AND EXISTS (SELECT 1 FROM deletion_items i \
                       JOIN deletion_items o ON o.account_id = i.account_id AND o.deletion_id = $7 \
                                            AND o.record_id = i.record_id \
                       WHERE i.account_id = deletions.account_id AND i.deletion_id = deletions.deletion_id))) \
               RETURNING deletion_id";
    let mut args = kind_args(request, user_id).to_vec();
    args.extend([now.into(), own.into(), (now - ABANDONED_AFTER).into()]);
    tx.rows(sql, &args).await?.iter().map(|row| row.int("deletion_id")).collect()
}

fn wrong_count(request: &Request, selected: u64, interrupted: Option<&UnfinishedDeletion>) -> StoreError {
    let (confirm, noun) = (request.confirm, noun(&request.object_type));
    let unfinished =
        interrupted.map_or_else(String::new, |UnfinishedDeletion { deletion_id, confirmed, left }| {
            let what = if *confirmed == confirm {
                "what is selected now is not what it has left".to_owned()
            } else {
                format!("the command that began it, with --confirm {confirmed}, goes on with it")
            };
            format!(
                "; deletion {deletion_id} of {} is not finished, {left} {} left: {what}",
                counted(*confirmed, noun),
                verb(*left, "is", "are")
            )
        });
    StoreError::CountMismatch(format!(
        "the confirmation says {confirm} where {} would be deleted; nothing was deleted{unfinished}",
        counted(selected, noun)
    ))
}

/// Why a deletion cannot go on.
pub(super) fn given_up(deletion_id: i64) -> StoreError {
    StoreError::Refused(format!(
        "deletion {deletion_id} was given up for a newer one of the same user, which took over what it had left"
    ))
}

async fn delete_items_chunk(tx: &mut Tx, account_id: i64, deletion_id: i64) -> Result<u64, StoreError> {
    let limit = i64::try_from(DELETE_CHUNK).unwrap_or(i64::MAX);
    let dropped = tx
        .execute(
            "DELETE FROM deletion_items WHERE account_id = $1 AND deletion_id = $2 AND record_id IN \
             (SELECT record_id FROM deletion_items WHERE account_id = $1 AND deletion_id = $2 \
              ORDER BY record_id LIMIT $3)",
            args![account_id, deletion_id, limit],
        )
        .await?;
    if dropped < DELETE_CHUNK {
        let now = tx.now().await?;
        let key = args![account_id, deletion_id];
        let never_frozen =
            "DELETE FROM deletions WHERE account_id = $1 AND deletion_id = $2 AND frozen_at IS NULL";
        tx.execute(never_frozen, key).await?;
        let ended = "UPDATE deletions SET finished_at = $3 WHERE account_id = $1 AND deletion_id = $2";
        tx.execute(ended, args![account_id, deletion_id, now]).await?;
    }
    Ok(dropped)
}
