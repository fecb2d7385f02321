//! Records out of the trash.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{
    EventKind, MAX_RECORDS, RecordTable, State, authorize, batch, by_user, event_data, gone_as, ids_of, key,
    lock, mark, refuse_others, scope_of, stored_in,
};
use crate::domain::effects::Transition;
use crate::domain::object_type::{CONTACT, RecordKey};
use crate::domain::permission::Scope;
use crate::domain::restore::RESTORABLE;
use crate::domain::time::{Time, format_time};
use crate::store::access::audit::{self, Actor};
use crate::store::access::users::user_who_may;
use crate::store::contacts::lifecycle;
use crate::store::db::Tx;
use crate::store::db::batch::Lists;
use crate::store::db::values::args;
use crate::store::outbox::write_outbox;
use crate::store::trash::restore::{RecordsOfRun, Request, Run, run_of};
use crate::store::{Store, StoreError, count_records_by_user, dry_run, read_transaction, transaction};

/// What came back.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RestoredRecords {
    pub restored: Vec<RecordKey>,
    pub refused: Vec<RefusedRecord>,
}

/// A record that does not come back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedRecord {
    pub key: RecordKey,
    /// As programs know it: `expired`, `not_in_trash`, `purged`, `erased`, `unknown`.
    pub reason: &'static str,
    /// As people read it: what, and what to do.
    pub message: String,
}

impl Store {
    /// Brings records back, as a user; each is restored or refused by itself.
    ///
    /// # Errors
    ///
    /// Refused as a whole: an unknown user, no permission, contacts, more than [`MAX_RECORDS`](super::MAX_RECORDS) records.
    pub async fn restore_records(
        &self,
        account_id: i64,
        user: &str,
        records: &[RecordKey],
    ) -> Result<RestoredRecords, StoreError> {
        let done = transaction!(self, tx => restore(tx, account_id, user, records))?;
        count(&done);
        Ok(done)
    }

    /// What [`Store::restore_records`] would do now; writes nothing.
    ///
    /// # Errors
    ///
    /// As [`Store::restore_records`].
    pub async fn preview_restore_of_records(
        &self,
        account_id: i64,
        user: &str,
        records: &[RecordKey],
    ) -> Result<RestoredRecords, StoreError> {
        dry_run!(self, tx => restore(tx, account_id, user, records))
    }

    /// The types of what a restore of a user's deletes is about, contacts among them; the user may restore many of each.
    ///
    /// # Errors
    ///
    /// Refused: an unknown user, no permission for one of the types, a time that is yet to come.
    pub async fn types_of_run(&self, request: &Request) -> Result<BTreeSet<String>, StoreError> {
        read_transaction!(self, tx => types_of_run(tx, request))
    }

    /// Brings the next records back that a user's deletes put into the trash, those after this entry; and after which entry it goes
    /// on.
    ///
    /// # Errors
    ///
    /// Refused as a whole: an unknown user, no permission, a time that is yet to come.
    pub async fn restore_run_of_records(
        &self,
        request: &Request,
        after: i64,
    ) -> Result<(RestoredRecords, Option<i64>), StoreError> {
        let (done, next) = transaction!(self, tx => restore_run(tx, request, after))?;
        count(&done);
        Ok((done, next))
    }

    /// How many records a restore of what a user deleted would bring back, and how many it would not.
    ///
    /// # Errors
    ///
    /// As [`Store::restore_run_of_records`].
    pub async fn count_records_of_run(&self, request: &Request) -> Result<RecordsOfRun, StoreError> {
        read_transaction!(self, tx => count_of_run(tx, request))
    }
}

fn count(done: &RestoredRecords) {
    count_records_by_user(Transition::Restore, done.restored.iter().map(|key| key.object_type.as_str()));
}

async fn restore(
    tx: &mut Tx,
    account_id: i64,
    user: &str,
    records: &[RecordKey],
) -> Result<RestoredRecords, StoreError> {
    refuse_others(records)?;
    let scope = scope_of(records);
    restore_all(tx, account_id, user, records, scope).await
}

async fn restore_run(
    tx: &mut Tx,
    request: &Request,
    after: i64,
) -> Result<(RestoredRecords, Option<i64>), StoreError> {
    let Request { account_id, user, wanted } = request;
    let now = tx.now().await?;
    let run = run_of(tx, *account_id, wanted, now).await?;
    let (last, records) = records_of(tx, *account_id, &run, after).await?;
    if records.is_empty() {
        return Ok((RestoredRecords::default(), None));
    }
    let done = restore_all(tx, *account_id, user, &records, Scope::Many).await?;
    Ok((done, Some(last).filter(|_| records.len() == MAX_RECORDS)))
}

async fn types_of_run(tx: &mut Tx, request: &Request) -> Result<BTreeSet<String>, StoreError> {
    let Request { account_id, user, wanted } = request;
    let now = tx.now().await?;
    let run = run_of(tx, *account_id, wanted, now).await?;
    let of_run =
        format!("account_id = $1 AND closed_at IS NULL AND {} = $2 AND deleted_at >= $3", run.column);
    let sql = format!(
        "SELECT DISTINCT object_type FROM record_trash_entries WHERE {of_run} \
         UNION SELECT '{CONTACT}' FROM trash_entries WHERE {of_run}"
    );
    let rows = tx.rows(&sql, args![*account_id, run.id, run.since]).await?;
    let types: BTreeSet<String> = rows.iter().map(|row| row.text("object_type")).collect::<Result<_, _>>()?;
    let named = types.iter().map(String::as_str).collect();
    user_who_may(tx, *account_id, user, "restore", Scope::Many, &named).await?;
    Ok(types)
}

/// The next records that are in the trash because of a run, by their entries; and the last entry.
async fn records_of(
    tx: &mut Tx,
    account_id: i64,
    run: &Run,
    after: i64,
) -> Result<(i64, Vec<RecordKey>), StoreError> {
    let sql = format!(
        "SELECT entry_id, object_type, record_id FROM record_trash_entries WHERE account_id = $1 AND closed_at IS NULL \
         AND {} = $2 AND deleted_at >= $3 AND entry_id > $4 ORDER BY entry_id LIMIT {MAX_RECORDS}",
        run.column
    );
    let rows = tx.rows(&sql, args![account_id, run.id, run.since, after]).await?;
    let last = rows.last().map_or(Ok(after), |row| row.int("entry_id"))?;
    Ok((last, rows.iter().map(key).collect::<Result<_, _>>()?))
}

async fn count_of_run(tx: &mut Tx, request: &Request) -> Result<RecordsOfRun, StoreError> {
    let now = tx.now().await?;
    let run = run_of(tx, request.account_id, &request.wanted, now).await?;
    let sql = format!(
        "SELECT count(CASE WHEN deleted_at >= $4 THEN 1 END) AS restorable, count(CASE WHEN deleted_at < $4 THEN 1 END) AS expired \
         FROM record_trash_entries WHERE account_id = $1 AND closed_at IS NULL AND {} = $2 AND deleted_at >= $3",
        run.column
    );
    let row = tx.row(&sql, args![request.account_id, run.id, run.since, now - RESTORABLE]).await?;
    let row = row.ok_or_else(|| StoreError::Failed("a count gave no row".to_owned()))?;
    let [restorable, expired] = [row.int("restorable")?, row.int("expired")?].map(i64::unsigned_abs);
    let blocked =
        BTreeMap::from([("expired", expired)]).into_iter().filter(|(_, count)| *count > 0).collect();
    Ok(RecordsOfRun { restorable, blocked })
}

async fn restore_all(
    tx: &mut Tx,
    account_id: i64,
    user: &str,
    records: &[RecordKey],
    scope: Scope,
) -> Result<RestoredRecords, StoreError> {
    let user_id = authorize(tx, account_id, user, "restore", records, scope).await?;
    let found = lock(tx, account_id, records).await?;
    // Once they are locked: a purge that committed meanwhile has closed its entries.
    let entries = entries(tx, account_id, records).await?;
    let at = tx.now().await?;
    let (mut back, mut refused) = (Vec::new(), Vec::new());
    for key in records {
        let (found, entry) = (found.get(key), entries.get(key));
        match (found.map(|found| found.state), entry) {
            (Some(State::InTrash(deleted_at)), Some(Entry { entry_id, ended: None }))
                if deleted_at >= at - RESTORABLE =>
            {
                back.push((key.clone(), *entry_id));
            }
            (state, entry) => {
                refused.push(refusal(account_id, key, state, entry.and_then(|entry| entry.ended)));
            }
        }
    }
    if !back.is_empty() {
        let keys: Vec<RecordKey> = back.iter().map(|(key, _)| key.clone()).collect();
        let deals: Vec<(i64, i64)> = ids_of(&keys, "deal").into_iter().map(|id| (account_id, id)).collect();
        lifecycle::recompute_by_deals(tx, Transition::Restore, &deals).await?;
        for table in RecordTable::ALL {
            let keys: Vec<RecordKey> = stored_in(table, &keys, &found).cloned().collect();
            mark(tx, account_id, table, &keys, None).await?;
        }
        close(tx, account_id, &back, at).await?;
        let message = |(key, entry_id): &(RecordKey, i64)| -> (i64, &'static str, Value) {
            let mut data = event_data(account_id, key, *entry_id);
            data["restoredAt"] = json!(format_time(at));
            data["restoredBy"] = by_user(user_id);
            (account_id, EventKind::Restore.event(&key.object_type), data)
        };
        write_outbox(tx, at, back.iter().map(message).collect()).await?;
        let ids: Vec<String> = keys.iter().map(ToString::to_string).collect();
        audit::write_texts(tx, at, account_id, &Actor::User(user_id), "restore", &ids).await?;
    }
    Ok(RestoredRecords { restored: back.into_iter().map(|(key, _)| key).collect(), refused })
}

struct Entry {
    entry_id: i64,
    /// How it ended, where the record is gone for good.
    ended: Option<&'static str>,
}

/// The open entries of records, and those of records that are gone for good.
async fn entries(
    tx: &mut Tx,
    account_id: i64,
    records: &[RecordKey],
) -> Result<BTreeMap<RecordKey, Entry>, StoreError> {
    let sql = format!(
        "SELECT b.object_type, b.record_id, e.entry_id, e.closed_as \
         FROM {} JOIN record_trash_entries e ON e.account_id = $2 AND e.object_type = b.object_type \
         AND e.record_id = b.record_id WHERE e.closed_at IS NULL OR e.closed_as IN ('purged', 'erased') \
         ORDER BY e.closed_at IS NULL, e.is_activity DESC",
        tx.dialect().batch(1, &super::KEY)
    );
    let mut entries = BTreeMap::new();
    for row in tx.rows(&sql, args![batch(records), account_id]).await? {
        let ended = gone_as(row.optional_text("closed_as")?.as_deref());
        entries.insert(key(&row)?, Entry { entry_id: row.int("entry_id")?, ended });
    }
    Ok(entries)
}

async fn close(tx: &mut Tx, account_id: i64, back: &[(RecordKey, i64)], at: Time) -> Result<(), StoreError> {
    let sql = format!(
        "UPDATE record_trash_entries SET closed_at = $1, closed_as = 'restored' WHERE account_id = $2 \
         AND entry_id IN (SELECT b.entry_id FROM {})",
        tx.dialect().ids(3, &["account_id", "entry_id"])
    );
    let entries = Lists::ids(back.iter().map(|(_, entry_id)| [account_id, *entry_id]));
    tx.execute(&sql, args![at, account_id, entries]).await.map(drop)
}

/// Why a record that stands so, or is gone for good, does not come back.
fn refusal(
    account_id: i64,
    key: &RecordKey,
    state: Option<State>,
    ended: Option<&'static str>,
) -> RefusedRecord {
    let (reason, message) = match (state, ended) {
        (Some(State::InTrash(deleted_at)), _) => (
            "expired",
            format!(
                "{key} was deleted at {}, more than 90 days ago, and cannot be restored: the next purge deletes it for good",
                format_time(deleted_at)
            ),
        ),
        (Some(State::Live), _) => {
            ("not_in_trash", format!("{key} is not in the trash: there is nothing to restore"))
        }
        (None, Some(ended)) => (ended, format!("{key} was {ended}, is gone for good and cannot be restored")),
        (None, None) => ("unknown", format!("account {account_id} has no {} {}", key.object_type, key.id)),
    };
    RefusedRecord { key: key.clone(), reason, message }
}
