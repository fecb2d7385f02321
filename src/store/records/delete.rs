//! Records into the trash: those that a user picks, and those that arrive in it by an import.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{
    EventKind, RecordTable, State, StoredRecord, apply, authorize, by_user, event_data, ids_of, lock, mark,
    refuse_others, scope_of, stored_in,
};
use crate::domain::counted::counted;
use crate::domain::effects::{RecordTransition, Transition};
use crate::domain::object_type::RecordKey;
use crate::domain::record::{Column, ColumnType};
use crate::domain::time::{Time, format_time};
use crate::store::access::audit;
use crate::store::contacts::lifecycle;
use crate::store::db::Tx;
use crate::store::db::batch::{batch_row, batch_text};
use crate::store::db::values::args;
use crate::store::outbox::write_outbox;
use crate::store::{Store, StoreError, count_records_by_user, transaction};

const ENTRY: [Column; 3] =
    [("object_type", ColumnType::Text), ("record_id", ColumnType::Int), ("deleted_at", ColumnType::Time)];

/// What a user wants deleted.
#[derive(Clone, Debug)]
pub struct DeleteRequest {
    pub account_id: i64,
    /// Who deletes, by id or address.
    pub user: String,
    /// Which records, each once.
    pub records: Vec<RecordKey>,
    /// How many records the user expects to lose.
    pub confirm: u64,
}

/// What was deleted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeletedRecords {
    pub deletion_id: i64,
    /// Each record with its trash entry.
    pub entries: Vec<(RecordKey, i64)>,
}

/// A delete by a user: what every record of it gets.
#[derive(Clone, Copy, Debug)]
pub(in crate::store) struct ByUser {
    pub account_id: i64,
    pub user_id: i64,
    pub deletion_id: i64,
    pub at: Time,
}

/// A record that an import brings into the trash.
pub(in crate::store) struct Arrival {
    pub key: RecordKey,
    pub deleted_at: Time,
}

impl Store {
    /// Puts records into the trash, as a user: all of them, or none.
    ///
    /// # Errors
    ///
    /// Refused: an unknown user, no permission, a wrong count, a record that is not there or in the trash already, contacts, more than
    /// [`MAX_RECORDS`](super::MAX_RECORDS) records.
    pub async fn delete_records(&self, request: &DeleteRequest) -> Result<DeletedRecords, StoreError> {
        let deleted = transaction!(self, tx => delete(tx, request))?;
        let types = deleted.entries.iter().map(|(key, _)| key.object_type.as_str());
        count_records_by_user(Transition::Trash, types);
        Ok(deleted)
    }
}

async fn delete(tx: &mut Tx, request: &DeleteRequest) -> Result<DeletedRecords, StoreError> {
    let DeleteRequest { account_id, user, records, confirm } = request;
    let account_id = *account_id;
    refuse_others(records)?;
    let user_id = authorize(tx, account_id, user, "delete", records, scope_of(records)).await?;
    if *confirm != records.len() as u64 {
        return Err(StoreError::CountMismatch(format!(
            "the confirmation says {confirm} where {} would be deleted; nothing was deleted",
            counted(records.len() as u64, "record")
        )));
    }
    let found = lock(tx, account_id, records).await?;
    for key in records {
        let problem = match found.get(key) {
            None => format!("account {account_id} has no {} {}", key.object_type, key.id),
            Some(StoredRecord { state: State::InTrash(_), .. }) => format!("{key} is in the trash already"),
            Some(StoredRecord { state: State::Live, .. }) => continue,
        };
        return Err(StoreError::Refused(format!("{problem}; nothing was deleted")));
    }
    let at = tx.now().await?;
    let deletion_id = begin(tx, request, user_id, at).await?;
    let by = ByUser { account_id, user_id, deletion_id, at };
    let entries = put_live_into_trash(tx, by, records, &found).await?;
    Ok(DeletedRecords { deletion_id, entries: entries.into_iter().collect() })
}

/// Those of the records that are live, locked.
pub(in crate::store) async fn lock_live(
    tx: &mut Tx,
    account_id: i64,
    records: &[RecordKey],
) -> Result<Vec<i64>, StoreError> {
    let found = lock(tx, account_id, records).await?;
    let live = found.into_iter().filter(|(_, record)| record.state == State::Live);
    Ok(live.map(|(key, _)| key.id).collect())
}

/// Puts records that are live and locked into the trash, as a user; each with its entry.
pub(super) async fn put_live_into_trash(
    tx: &mut Tx,
    by: ByUser,
    records: &[RecordKey],
    found: &BTreeMap<RecordKey, StoredRecord>,
) -> Result<BTreeMap<RecordKey, i64>, StoreError> {
    let ByUser { account_id, user_id, deletion_id, at } = by;
    let mut entries = BTreeMap::new();
    for table in RecordTable::ALL {
        let arrivals: Vec<Arrival> = stored_in(table, records, found)
            .map(|key| Arrival { key: key.clone(), deleted_at: at })
            .collect();
        entries.extend(put_into_trash(tx, account_id, table, &arrivals, Some((user_id, deletion_id))).await?);
    }
    let deals: Vec<(i64, i64)> = ids_of(records, "deal").into_iter().map(|id| (account_id, id)).collect();
    lifecycle::recompute_by_deals(tx, Transition::Trash, &deals).await?;
    let message = |(key, entry_id): (&RecordKey, &i64)| -> (i64, &'static str, Value) {
        let mut data = event_data(account_id, key, *entry_id);
        data["deletedAt"] = json!(format_time(at));
        data["deletedBy"] = by_user(user_id);
        (account_id, EventKind::Deletion.event(&key.object_type), data)
    };
    write_outbox(tx, at, entries.iter().map(message).collect()).await?;
    let ids: Vec<String> = records.iter().map(ToString::to_string).collect();
    audit::write_record_deletion(tx, at, account_id, user_id, deletion_id, &ids).await?;
    Ok(entries)
}

/// The record of a deletion that ends with its transaction; its id.
async fn begin(tx: &mut Tx, request: &DeleteRequest, user_id: i64, at: Time) -> Result<i64, StoreError> {
    let kind = if request.records.len() == 1 { "one" } else { "picked" };
    let count = i64::try_from(request.records.len()).unwrap_or(i64::MAX);
    let sql = "INSERT INTO deletions (account_id, user_id, kind, confirmed, deleted, skipped, started_at, active_at, \
               frozen_at, finished_at) VALUES ($1, $2, $3, $4, $4, 0, $5, $5, $5, $5) RETURNING deletion_id";
    let row = tx.row(sql, args![request.account_id, user_id, kind, count, at]).await?;
    row.ok_or_else(|| StoreError::Failed("a deletion got no id".to_owned()))?.int("deletion_id")
}

/// Marks new objects, and gives each its entry.
pub(in crate::store) async fn bring_into_trash(
    tx: &mut Tx,
    account_id: i64,
    arrivals: &[Arrival],
) -> Result<(), StoreError> {
    put_into_trash(tx, account_id, RecordTable::Objects, arrivals, None).await.map(drop)
}

/// Marks records that are live and locked, and gives each its entry: by a user within a deletion, or else by an import.
async fn put_into_trash(
    tx: &mut Tx,
    account_id: i64,
    table: RecordTable,
    arrivals: &[Arrival],
    by: Option<(i64, i64)>,
) -> Result<BTreeMap<RecordKey, i64>, StoreError> {
    let mut by_time: BTreeMap<Time, Vec<RecordKey>> = BTreeMap::new();
    for Arrival { key, deleted_at } in arrivals {
        by_time.entry(*deleted_at).or_default().push(key.clone());
    }
    for (deleted_at, keys) in &by_time {
        mark(tx, account_id, table, keys, Some(*deleted_at)).await?;
        apply(tx, account_id, RecordTransition::Trash, table, keys).await?;
    }
    let is_activity = table.is_activity();
    let sql = format!(
        "INSERT INTO record_trash_entries \
         (account_id, object_type, record_id, is_activity, deleted_at, deleted_by, user_id, deletion_id) \
         SELECT $2, b.object_type, b.record_id, {is_activity}, b.deleted_at, $3, $4, $5 FROM {} WHERE TRUE \
         ORDER BY b.object_type, b.record_id RETURNING object_type, record_id, entry_id",
        tx.dialect().batch(1, &ENTRY)
    );
    let rows = arrivals.iter().map(|Arrival { key, deleted_at }| {
        batch_row(json!({"object_type": key.object_type, "record_id": key.id, "deleted_at": format_time(*deleted_at)}))
    });
    let (user_id, deletion_id) = by.unzip();
    let deleted_by = if by.is_some() { "user" } else { "import" };
    let batch = batch_text(rows);
    let mut entries = BTreeMap::new();
    for row in tx.rows(&sql, args![batch, account_id, deleted_by, user_id, deletion_id]).await? {
        entries.insert(super::key(&row)?, row.int("entry_id")?);
    }
    Ok(entries)
}
