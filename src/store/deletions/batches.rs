//! A frozen selection, carried out. Every batch is one transaction, in which the deletion's row is locked first, so that
//! two processes take turns, and then its contacts: nothing is deleted that is not selected at that moment.

use std::collections::{BTreeSet, HashMap};

use super::pages::refuse_during_import;
use super::select::given_up;
use super::{Progress, Request, Selection, scope};
use crate::domain::criteria::Filter;
use crate::domain::criteria::subject::Record;
use crate::domain::decision::Contact;
use crate::domain::effects::Transition;
use crate::domain::time::Time;
use crate::store::access::audit;
use crate::store::access::users::authorize_user;
use crate::store::contacts::{counts, lifecycle, load_contacts};
use crate::store::criteria::EvaluationContext;
use crate::store::db::Tx;
use crate::store::db::batch::{CONTACT, Lists};
use crate::store::db::values::args;
use crate::store::decisions::pauses;
use crate::store::trash::{DeletedBy, Deletion, announce, put_into_trash};
use crate::store::{Store, StoreError, count_by_user, transaction};

/// How many contacts one transaction takes.
const BATCH: usize = 500;

/// The contacts of a batch that are live, as they are now.
type Live = HashMap<i64, Record>;

/// How far a deletion is.
struct Totals {
    deleted: u64,
    skipped: u64,
    finished: bool,
}

impl Store {
    /// Deletes what is left of a frozen selection; how many contacts were deleted and skipped in all.
    pub(super) async fn carry_out(
        &self,
        request: &Request,
        user_id: i64,
        deletion_id: i64,
        progress: &mut (dyn FnMut(Progress) + Send),
    ) -> Result<(u64, u64), StoreError> {
        loop {
            let (totals, moved) = transaction!(self, tx => delete_batch(tx, request, user_id, deletion_id))?;
            count_by_user(Transition::Trash, moved);
            progress(Progress::Done(totals.deleted + totals.skipped));
            if totals.finished {
                return Ok((totals.deleted, totals.skipped));
            }
        }
    }
}

/// How far the deletion is now, and how many contacts this batch deleted.
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
    authorize_user(tx, account_id, &user_id.to_string(), "delete", scope(&request.selection)).await?;
    let items = take(tx, account_id, deletion_id).await?;
    let to_go = still_selected(tx, request, &items).await?;
    refuse_during_import(tx, request).await?;
    let at = tx.now().await?;
    let by = DeletedBy::User { user_id };
    let deletion = |contact_id: &i64| Deletion {
        account_id,
        contact_id: *contact_id,
        by,
        deletion_id: Some(deletion_id),
        at,
        trace: None,
    };
    let trashed = put_into_trash(tx, &to_go.iter().map(deletion).collect::<Vec<_>>()).await?;
    let contacts: Vec<_> = to_go.iter().map(|contact_id| (account_id, *contact_id)).collect();
    lifecycle::recompute(tx, Transition::Trash, &contacts).await?;
    counts::record_change(tx, to_go.iter().map(|_| account_id), -1).await?;
    announce(tx, &trashed).await?;
    if !to_go.is_empty() {
        audit::write_deletion(tx, at, account_id, user_id, deletion_id, &to_go).await?;
    }
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

/// Takes the next contacts off the list. They have had their turn once this transaction commits.
async fn take(tx: &mut Tx, account_id: i64, deletion_id: i64) -> Result<Vec<i64>, StoreError> {
    let sql = format!(
        "SELECT contact_id FROM deletion_items WHERE account_id = $1 AND deletion_id = $2 \
         ORDER BY contact_id LIMIT {BATCH}"
    );
    let rows = tx.rows(&sql, args![account_id, deletion_id]).await?;
    let items: Vec<i64> = rows.iter().map(|row| row.int("contact_id")).collect::<Result<_, _>>()?;
    if let Some(last) = items.last() {
        let sql =
            "DELETE FROM deletion_items WHERE account_id = $1 AND deletion_id = $2 AND contact_id <= $3";
        tx.execute(sql, args![account_id, deletion_id, *last]).await?;
    }
    Ok(items)
}

/// Locks the contacts and looks at each as it is now: which of them are live, and still selected.
async fn still_selected(tx: &mut Tx, request: &Request, items: &[i64]) -> Result<Vec<i64>, StoreError> {
    let account_id = request.account_id;
    let keys: BTreeSet<(i64, i64)> = items.iter().map(|contact_id| (account_id, *contact_id)).collect();
    let mut live = Live::new();
    for ((_, contact_id), contact) in load_contacts(tx, &keys).await? {
        if let Contact::Live { record, .. } = contact {
            live.insert(contact_id, record);
        }
    }
    if let Some(segment_id) = request.selection.segment_id() {
        let members = members(tx, account_id, segment_id, &live).await?;
        live.retain(|contact_id, _| members.contains(contact_id));
    }
    match &request.selection {
        Selection::Picked { contacts, .. } => live.retain(|contact_id, _| contacts.contains(contact_id)),
        Selection::Segment(_) => {}
        Selection::Filter(filter) => retain_accepted(tx, account_id, filter, &mut live).await?,
    }
    Ok(items.iter().copied().filter(|contact_id| live.contains_key(contact_id)).collect())
}

async fn members(
    tx: &mut Tx,
    account_id: i64,
    segment_id: i64,
    live: &Live,
) -> Result<BTreeSet<i64>, StoreError> {
    let sql = format!(
        "SELECT m.contact_id FROM {} JOIN crm_segment_members m ON m.account_id = b.account_id \
         AND m.contact_id = b.contact_id AND m.segment_id = $1",
        tx.dialect().ids(2, &CONTACT)
    );
    let batch = Lists::ids(live.keys().map(|contact_id| [account_id, *contact_id]));
    let rows = tx.rows(&sql, args![segment_id, batch]).await?;
    rows.iter().map(|row| row.int("contact_id")).collect()
}

/// A contact that the filter leaves open now stays: nobody is deleted on a guess.
async fn retain_accepted(
    tx: &mut Tx,
    account_id: i64,
    filter: &Filter,
    live: &mut Live,
) -> Result<(), StoreError> {
    let scene = EvaluationContext::load(tx, account_id, filter.criteria(), live).await?;
    live.retain(|contact_id, record| {
        filter.accepts(scene.subject((account_id, *contact_id), record)) == Ok(true)
    });
    Ok(())
}
