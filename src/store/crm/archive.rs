//! Deletes by programs: those of the named records that are live.

use std::collections::BTreeSet;

use crate::domain::effects::Transition;
use crate::domain::object_type::{CONTACT, RecordKey};
use crate::domain::permission::Scope;
use crate::domain::time::Time;
use crate::store::access::users::user_who_may;
use crate::store::db::Tx;
use crate::store::db::batch::Lists;
use crate::store::db::values::args;
use crate::store::deletions::{Program, ProgramGuard};
use crate::store::records::ByUser;
use crate::store::{
    Store, StoreError, count_by_user, count_records_by_user, deletions, records, transaction,
};

/// What a program deletes: those of the records that are live.
#[derive(Clone, Debug)]
pub struct Archive {
    pub account_id: i64,
    /// Whose token it is.
    pub user_id: i64,
    pub token_id: i64,
    /// The one name of the type of all records.
    pub object_type: String,
    pub ids: BTreeSet<i64>,
    /// One named by its id, or a batch.
    pub scope: Scope,
    pub guard: ProgramGuard,
}

/// What came of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Archived {
    /// So many were live and are in the trash now.
    Done(u64),
    /// It would be more than the token may delete; nothing was deleted.
    OverLimit,
}

impl Store {
    /// Puts records into the trash, as one deletion by the user of a token.
    ///
    /// # Errors
    ///
    /// Forbidden where the user lacks the permission.
    pub async fn archive_records(&self, request: &Archive) -> Result<Archived, StoreError> {
        let archived = transaction!(self, tx => archive(tx, request))?;
        if let Archived::Done(deleted) = archived {
            match request.object_type.as_str() {
                CONTACT => count_by_user(Transition::Trash, usize::try_from(deleted).unwrap_or_default()),
                other => count_records_by_user(Transition::Trash, (0..deleted).map(|_| other)),
            }
        }
        Ok(archived)
    }
}

async fn archive(tx: &mut Tx, request: &Archive) -> Result<Archived, StoreError> {
    let Archive { account_id, object_type, ids, .. } = request;
    let (account_id, user) = (*account_id, request.user_id.to_string());
    let types = BTreeSet::from([object_type.as_str()]);
    let user_id = user_who_may(tx, account_id, &user, "delete", request.scope, &types).await?;
    let program = Program { account_id, token_id: request.token_id, guard: request.guard };
    program.lock(tx).await?;
    let live = match object_type.as_str() {
        CONTACT => lock_live_contacts(tx, account_id, ids).await?,
        other => {
            let keys: Vec<RecordKey> =
                ids.iter().map(|id| RecordKey { object_type: other.to_owned(), id: *id }).collect();
            records::lock_live(tx, account_id, &keys).await?
        }
    };
    if live.is_empty() {
        return Ok(Archived::Done(0));
    }
    let at = tx.now().await?;
    let deleted = live.len() as u64;
    if !program.admits(tx, deleted, at).await? {
        return Ok(Archived::OverLimit);
    }
    let deletion_id = begin(tx, request, deleted, at).await?;
    let by = ByUser { account_id, user_id, deletion_id, at };
    deletions::put_into_trash(tx, object_type, by, &live).await?;
    Ok(Archived::Done(deleted))
}

async fn lock_live_contacts(
    tx: &mut Tx,
    account_id: i64,
    ids: &BTreeSet<i64>,
) -> Result<Vec<i64>, StoreError> {
    let sql = format!(
        "SELECT c.contact_id FROM contacts c WHERE c.account_id = $1 AND c.contact_id IN (SELECT b.id FROM {}) \
         AND c.deleted_at IS NULL ORDER BY c.contact_id{}",
        tx.dialect().ids(2, &["id"]),
        tx.dialect().for_update("c")
    );
    let ids = Lists::ids(ids.iter().map(|id| [*id]));
    tx.rows(&sql, args![account_id, ids]).await?.iter().map(|row| row.int("contact_id")).collect()
}

/// The record of a deletion that ends with its transaction; its id.
async fn begin(tx: &mut Tx, request: &Archive, deleted: u64, at: Time) -> Result<i64, StoreError> {
    let kind = match request.scope {
        Scope::One => "one",
        Scope::Many => "picked",
    };
    let sql = "INSERT INTO deletions (account_id, user_id, token_id, object_type, kind, confirmed, deleted, skipped, started_at, \
               active_at, frozen_at, finished_at) VALUES ($1, $2, $3, $4, $5, $6, $6, 0, $7, $7, $7, $7) RETURNING deletion_id";
    let count = i64::try_from(deleted).unwrap_or(i64::MAX);
    let args = args![
        request.account_id,
        request.user_id,
        request.token_id,
        request.object_type.as_str(),
        kind,
        count,
        at
    ];
    let row = tx.row(sql, args).await?;
    row.ok_or_else(|| StoreError::Failed("a deletion got no id".to_owned()))?.int("deletion_id")
}
