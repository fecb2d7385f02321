//! Records that are no contacts, in the trash and out of it: objects of any type, and activities. People delete and restore them, and
//! the schedule purges them; no workflow does, and no erasure is about them. The second part of matrix.md (*Other records*) is the
//! specification.
//!
//! What shows of a record follows from its own state: `crm_…` views leave out what is in the trash, and an association with it. So to
//! delete one is to mark it, and to restore it is to take the mark away.

mod delete;
mod purge;
mod restore;
pub(super) mod selection;
mod statements;
mod view;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

pub(super) use delete::{Arrival, ByUser, bring_into_trash, lock_live};
pub use delete::{DeleteRequest, DeletedRecords};
pub(super) use purge::{Due, backlog, backlog_by_type, due, gone, purge, purged};
pub use restore::{RefusedRecord, RestoredRecords};
pub use statements::tables as tables_reached;
pub(super) use view::count_visible;
pub use view::{RecordTrashRow, RecordView};

use super::StoreError;
use super::access::users::user_who_may;
use super::db::Tx;
use super::db::batch::{Lists, batch_row, batch_text};
use super::db::values::{Row, args};
use crate::domain::effects::RecordTransition;
use crate::domain::object_type::{CONTACT, RecordKey, id_of};
use crate::domain::permission::Scope;
use crate::domain::record::{Column, ColumnType};
use crate::domain::time::Time;

/// How many records a command takes at once.
pub const MAX_RECORDS: usize = 1000;

/// A record of a batch.
const KEY: [Column; 2] = [("object_type", ColumnType::Text), ("record_id", ColumnType::Int)];

/// The tables of which records are rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum RecordTable {
    Objects,
    Activities,
}

impl RecordTable {
    const ALL: [Self; 2] = [Self::Objects, Self::Activities];

    /// As entries say it, in SQL.
    fn is_activity(self) -> &'static str {
        match self {
            Self::Objects => "FALSE",
            Self::Activities => "TRUE",
        }
    }

    /// Its name, and its columns for the type and the id.
    fn columns(self) -> (&'static str, &'static str, &'static str) {
        match self {
            Self::Objects => ("objects", "object_type", "object_id"),
            Self::Activities => ("activities", "type", "activity_id"),
        }
    }

    /// The rows of the batch in `$1` of the account in `$2`, as `r`. A stub is no record any more.
    fn rows(self, tx: &Tx) -> String {
        let (table, object_type, id) = self.columns();
        format!(
            "{} {} {table} r ON r.account_id = $2 AND r.{object_type} = b.object_type AND r.{id} = b.record_id{}",
            tx.dialect().batch(1, &KEY),
            tx.dialect().batch_join(),
            self.no_stub()
        )
    }

    /// The condition that a row `r` is no stub.
    fn no_stub(self) -> &'static str {
        match self {
            Self::Objects => "",
            Self::Activities => " AND NOT r.stub",
        }
    }
}

/// A record that is there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct StoredRecord {
    table: RecordTable,
    state: State,
}

/// How a record that is there stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Live,
    /// Deleted at that time.
    InTrash(Time),
}

/// Locks records, in one order. Of an object and an activity of one type and id, neither of which the vendor knows, it is the object
/// that is meant. Those that are not there are missing from the answer.
async fn lock(
    tx: &mut Tx,
    account_id: i64,
    keys: &[RecordKey],
) -> Result<BTreeMap<RecordKey, StoredRecord>, StoreError> {
    let mut found = BTreeMap::new();
    for table in RecordTable::ALL {
        let sql = format!(
            "SELECT b.object_type, b.record_id, r.deleted_at FROM {} ORDER BY b.object_type, b.record_id{}",
            table.rows(tx),
            tx.dialect().for_update("r")
        );
        for row in tx.rows(&sql, args![batch(keys), account_id]).await? {
            let state = row.optional_time("deleted_at")?.map_or(State::Live, State::InTrash);
            found.entry(key(&row)?).or_insert(StoredRecord { table, state });
        }
    }
    Ok(found)
}

/// The properties of a record that is there, and since when it is in the trash.
async fn read(
    tx: &mut Tx,
    account_id: i64,
    key: &RecordKey,
) -> Result<Option<(BTreeMap<String, String>, Option<Time>)>, StoreError> {
    for table in RecordTable::ALL {
        let sql =
            format!("SELECT CAST(r.properties AS text) AS properties, r.deleted_at FROM {}", table.rows(tx));
        if let Some(row) = tx.row(&sql, args![batch(std::slice::from_ref(key)), account_id]).await? {
            return Ok(Some((row.json("properties")?, row.optional_time("deleted_at")?)));
        }
    }
    Ok(None)
}

/// Which of these objects are there.
pub(super) async fn existing(
    tx: &mut Tx,
    account_id: i64,
    keys: &[RecordKey],
) -> Result<BTreeSet<RecordKey>, StoreError> {
    let sql = format!("SELECT b.object_type, b.record_id FROM {}", RecordTable::Objects.rows(tx));
    tx.rows(&sql, args![batch(keys), account_id]).await?.iter().map(key).collect()
}

/// After an import: entries follow activities that have another type now, and those of activities that were removed are closed.
pub(super) async fn follow_activities(
    tx: &mut Tx,
    activities: &[(i64, i64)],
    now: Time,
) -> Result<(), StoreError> {
    let ids = Lists::ids(activities.iter().map(|(account_id, activity_id)| [*account_id, *activity_id]));
    let open = |parameter: usize| {
        format!(
            "record_trash_entries.is_activity AND record_trash_entries.closed_at IS NULL \
             AND (record_trash_entries.account_id, record_trash_entries.record_id) IN \
             (SELECT b.account_id, b.activity_id FROM {})",
            tx.dialect().ids(parameter, &["account_id", "activity_id"])
        )
    };
    let renamed = format!(
        "UPDATE record_trash_entries SET object_type = a.type FROM activities a WHERE a.account_id = record_trash_entries.account_id \
         AND a.activity_id = record_trash_entries.record_id AND a.type <> record_trash_entries.object_type AND {}",
        open(1)
    );
    let removed = format!(
        "UPDATE record_trash_entries SET closed_at = $1, closed_as = 'removed' WHERE {} AND NOT EXISTS \
         (SELECT 1 FROM activities a WHERE a.account_id = record_trash_entries.account_id \
         AND a.activity_id = record_trash_entries.record_id)",
        open(2)
    );
    tx.execute(&renamed, args![&ids]).await?;
    tx.execute(&removed, args![now, ids]).await.map(drop)
}

/// After an erasure: the entries of what it deleted are closed.
pub(super) async fn close_erased(tx: &mut Tx, account_id: i64, now: Time) -> Result<(), StoreError> {
    let sql = "UPDATE record_trash_entries SET closed_at = $2, closed_as = 'erased' \
               WHERE account_id = $1 AND closed_at IS NULL AND CASE WHEN is_activity \
               THEN EXISTS (SELECT 1 FROM activities a WHERE a.account_id = record_trash_entries.account_id \
                 AND a.activity_id = record_trash_entries.record_id AND a.stub) \
               ELSE NOT EXISTS (SELECT 1 FROM objects o WHERE o.account_id = record_trash_entries.account_id \
                 AND o.object_type = record_trash_entries.object_type \
                 AND o.object_id = record_trash_entries.record_id) END";
    tx.execute(sql, args![account_id, now]).await.map(drop)
}

/// Does to the rows around records what the matrix says.
async fn apply(
    tx: &mut Tx,
    account_id: i64,
    transition: RecordTransition,
    of: RecordTable,
    keys: &[RecordKey],
) -> Result<(), StoreError> {
    if keys.is_empty() {
        return Ok(());
    }
    for step in statements::steps(transition, of, tx.dialect()) {
        tx.execute(&step.sql, args![batch(keys), account_id]).await?;
    }
    Ok(())
}

/// Sets the mark of the trash, or takes it away.
async fn mark(
    tx: &mut Tx,
    account_id: i64,
    table: RecordTable,
    keys: &[RecordKey],
    deleted_at: Option<Time>,
) -> Result<(), StoreError> {
    let (name, object_type, id) = table.columns();
    let sql = format!(
        "UPDATE {name} SET deleted_at = $3 WHERE account_id = $2 AND ({object_type}, {id}) IN \
         (SELECT b.object_type, b.record_id FROM {})",
        tx.dialect().batch(1, &KEY)
    );
    tx.execute(&sql, args![batch(keys), account_id, deleted_at]).await.map(drop)
}

/// Those that are rows of a table.
fn stored_in<'a>(
    table: RecordTable,
    keys: &'a [RecordKey],
    found: &'a BTreeMap<RecordKey, StoredRecord>,
) -> impl Iterator<Item = &'a RecordKey> {
    keys.iter().filter(move |key| found.get(*key).is_some_and(|found| found.table == table))
}

fn batch(keys: &[RecordKey]) -> String {
    let row = |key: &RecordKey| batch_row(json!({"object_type": key.object_type, "record_id": key.id}));
    batch_text(keys.iter().map(row))
}

fn key(row: &Row) -> Result<RecordKey, StoreError> {
    Ok(RecordKey { object_type: row.text("object_type")?, id: row.int("record_id")? })
}

/// How a record went for good, by how its entry was closed.
fn gone_as(closed_as: Option<&str>) -> Option<&'static str> {
    match closed_as {
        Some("purged") => Some("purged"),
        Some("erased") => Some("erased"),
        _ => None,
    }
}

/// Those of one type.
fn ids_of<'a>(keys: impl IntoIterator<Item = &'a RecordKey>, object_type: &str) -> Vec<i64> {
    keys.into_iter().filter(|key| key.object_type == object_type).map(|key| key.id).collect()
}

/// What it takes to ask for records that are named.
fn scope_of(keys: &[RecordKey]) -> Scope {
    if keys.len() == 1 { Scope::One } else { Scope::Many }
}

/// The user, by id or address, who may do this with records of all these types.
async fn authorize(
    tx: &mut Tx,
    account_id: i64,
    user: &str,
    action: &str,
    keys: &[RecordKey],
    scope: Scope,
) -> Result<i64, StoreError> {
    let types: BTreeSet<&str> = keys.iter().map(|key| key.object_type.as_str()).collect();
    user_who_may(tx, account_id, user, action, scope, &types).await
}

/// Contacts have a trash of their own, and a command takes so many records.
fn refuse_others(keys: &[RecordKey]) -> Result<(), StoreError> {
    if keys.iter().any(|key| key.object_type == CONTACT) {
        let sentence = "contacts are named by themselves (--contact, contactIds), and not together with other records; nothing was done";
        return Err(StoreError::Refused(sentence.to_owned()));
    }
    if keys.len() > MAX_RECORDS {
        let sentence =
            format!("{} records were named, at most {MAX_RECORDS} go at once; nothing was done", keys.len());
        return Err(StoreError::Refused(sentence));
    }
    Ok(())
}

/// What an event tells of a record.
#[derive(Clone, Copy, Debug)]
pub(super) enum EventKind {
    Deletion,
    Restore,
    Purge,
}

impl EventKind {
    /// The event's type: companies, deals and tickets have their own, all others are objects.
    pub(super) fn event(self, object_type: &str) -> &'static str {
        match (object_type, self) {
            ("company", Self::Deletion) => "company.deletion",
            ("company", Self::Restore) => "company.restore",
            ("company", Self::Purge) => "company.purge",
            ("deal", Self::Deletion) => "deal.deletion",
            ("deal", Self::Restore) => "deal.restore",
            ("deal", Self::Purge) => "deal.purge",
            ("ticket", Self::Deletion) => "ticket.deletion",
            ("ticket", Self::Restore) => "ticket.restore",
            ("ticket", Self::Purge) => "ticket.purge",
            (_, Self::Deletion) => "object.deletion",
            (_, Self::Restore) => "object.restore",
            (_, Self::Purge) => "object.purge",
        }
    }
}

/// What an event about a record says beside its time: ids, no personal data.
fn event_data(account_id: i64, key: &RecordKey, entry_id: i64) -> Value {
    json!({"accountId": account_id.to_string(), "objectTypeId": id_of(&key.object_type),
        "objectId": key.id.to_string(), "trashEntryId": entry_id.to_string()})
}

/// Who did it, as events and lists say it.
fn by_user(user_id: i64) -> Value {
    json!({"kind": "user", "userId": user_id.to_string()})
}
