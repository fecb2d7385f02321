//! A frozen selection, carried out. Every batch is one transaction, in which the deletion's row is locked first, so that
//! two processes take turns, and then its records: nothing is deleted that is not selected at that moment.

use super::of_type::Live;
use super::pages::refuse_during_import;
use super::select::given_up;
use super::{Progress, Request, Selection, of_type};
use crate::domain::criteria::Filter;
use crate::domain::effects::Transition;
use crate::domain::object_type::CONTACT;
use crate::domain::time::Time;
use crate::store::criteria::EvaluationContext;
use crate::store::db::Tx;
use crate::store::db::values::args;
use crate::store::decisions::pauses;
use crate::store::records::ByUser;
use crate::store::{Store, StoreError, count_by_user, count_records_by_user, transaction};

/// How many records one transaction takes.
const BATCH: usize = 500;

/// How far a deletion is.
struct Totals {
    deleted: u64,
    skipped: u64,
    finished: bool,
}

impl Store {
    /// Deletes what is left of a frozen selection; how many records were deleted and skipped in all.
    pub(super) async fn carry_out(
        &self,
        request: &Request,
        user_id: i64,
        deletion_id: i64,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<(u64, u64), StoreError> {
        loop {
            let (totals, moved) = transaction!(self, tx => delete_batch(tx, request, user_id, deletion_id))?;
            match request.object_type.as_str() {
                CONTACT => count_by_user(Transition::Trash, moved),
                other => count_records_by_user(Transition::Trash, std::iter::repeat_n(other, moved)),
            }
            progress(Progress::Done(totals.deleted + totals.skipped));
            if totals.finished {
                return Ok((totals.deleted, totals.skipped));
            }
        }
    }
}

/// How far the deletion is now, and how many records this batch deleted.
async fn delete_batch(
    tx: &mut Tx,
    request: &Request,
    user_id: i64,
    deletion_id: i64,
) -> Result<(Totals, usize), StoreError> {
    let account_id = request.account_id;
    pauses::lock_pauses_shared(tx).await?;
    let before = lock(tx, account_id, deletion_id).await?;
    if before.finished {
        return Ok((before, 0));
    }
    of_type::authorize(tx, request, &user_id.to_string()).await?;
    let items = take(tx, account_id, deletion_id).await?;
    let to_go = still_selected(tx, request, &items).await?;
    refuse_during_import(tx, request).await?;
    let at = tx.now().await?;
    let by = ByUser { account_id, user_id, deletion_id, at };
    of_type::put_into_trash(tx, &request.object_type, by, &to_go).await?;
    let totals = Totals {
        deleted: before.deleted + to_go.len() as u64,
        skipped: before.skipped + (items.len() - to_go.len()) as u64,
        finished: items.len() < BATCH,
    };
    record_batch(tx, account_id, deletion_id, &totals, at).await?;
    Ok((totals, to_go.len()))
}

async fn record_batch(
    tx: &mut Tx,
    account_id: i64,
    deletion_id: i64,
    totals: &Totals,
    at: Time,
) -> Result<(), StoreError> {
    let count = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let (deleted, skipped) = (count(totals.deleted), count(totals.skipped));
    let sql = "UPDATE deletions SET deleted = $3, skipped = $4, active_at = $5, finished_at = $6 \
               WHERE account_id = $1 AND deletion_id = $2";
    let finished_at = totals.finished.then_some(at);
    tx.execute(sql, args![account_id, deletion_id, deleted, skipped, at, finished_at]).await?;
    Ok(())
}

/// Keeps other processes from the deletion until this transaction ends.
async fn lock(tx: &mut Tx, account_id: i64, deletion_id: i64) -> Result<Totals, StoreError> {
    let sql = format!(
        "SELECT d.deleted, d.skipped, d.given_up_at, d.finished_at FROM deletions d \
         WHERE d.account_id = $1 AND d.deletion_id = $2{}",
        tx.dialect().for_update("d")
    );
    let row = tx.row(&sql, args![account_id, deletion_id]).await?.ok_or_else(|| given_up(deletion_id))?;
    if row.optional_time("given_up_at")?.is_some() {
        return Err(given_up(deletion_id));
    }
    let count = |column: &str| Ok::<_, StoreError>(u64::try_from(row.int(column)?).unwrap_or_default());
    let finished = row.optional_time("finished_at")?.is_some();
    Ok(Totals { deleted: count("deleted")?, skipped: count("skipped")?, finished })
}

/// Takes the next records off the list; they are done once this transaction commits.
async fn take(tx: &mut Tx, account_id: i64, deletion_id: i64) -> Result<Vec<i64>, StoreError> {
    let sql = format!(
        "SELECT record_id FROM deletion_items WHERE account_id = $1 AND deletion_id = $2 \
         ORDER BY record_id LIMIT {BATCH}"
    );
    let rows = tx.rows(&sql, args![account_id, deletion_id]).await?;
    let items: Vec<i64> = rows.iter().map(|row| row.int("record_id")).collect::<Result<_, _>>()?;
    if let Some(last) = items.last() {
        let sql = "DELETE FROM deletion_items WHERE account_id = $1 AND deletion_id = $2 AND record_id <= $3";
        tx.execute(sql, args![account_id, deletion_id, *last]).await?;
    }
    Ok(items)
}

/// Locks the records and looks at each as it is now: which of them are live, and still selected.
async fn still_selected(tx: &mut Tx, request: &Request, items: &[i64]) -> Result<Vec<i64>, StoreError> {
    let mut live = of_type::lock_live(tx, request, items).await?;
    if let Some(segment_id) = request.selection.segment_id() {
        let members = of_type::members_among(tx, request, segment_id, &live).await?;
        live.retain(|id, _| members.contains(id));
    }
    match &request.selection {
        Selection::Picked { contacts, .. } => live.retain(|contact_id, _| contacts.contains(contact_id)),
        Selection::Segment(_) => {}
        Selection::Filter(filter) => retain_accepted(tx, request, filter, &mut live).await?,
    }
    Ok(items.iter().copied().filter(|id| live.contains_key(id)).collect())
}

/// A record that the filter leaves open now stays: nothing is deleted on a guess.
async fn retain_accepted(
    tx: &mut Tx,
    request: &Request,
    filter: &Filter,
    live: &mut Live,
) -> Result<(), StoreError> {
    let (account_id, object_type) = (request.account_id, request.object_type.as_str());
    let scene = EvaluationContext::load(tx, account_id, object_type, filter.criteria(), live).await?;
    live.retain(|id, record| filter.accepts(scene.subject((account_id, *id), record)) == Ok(true));
    Ok(())
}
