//! Purging records whose trash entry is past its time, by the purge column of matrix.md, *Other records*: the record goes with its
//! properties, its associations and the links to it; an activity that was on nothing else, and a deleted activity itself, leave a
//! stub for the reports.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Value, json};

use super::{EventKind, KEY, RecordTable, apply, batch, event_data, key, lock};
use crate::domain::effects::RecordTransition;
use crate::domain::object_type::RecordKey;
use crate::domain::time::{Time, format_time};
use crate::store::StoreError;
use crate::store::db::Tx;
use crate::store::db::batch::Lists;
use crate::store::db::values::{Arg, args};
use crate::store::outbox::write_outbox;

/// An entry whose time has come.
#[derive(Clone, Debug)]
pub(in crate::store) struct Due {
    pub account_id: i64,
    pub entry_id: i64,
    pub key: RecordKey,
    is_activity: bool,
    deleted_at: Time,
}

/// Is the record of an entry `e` in the trash itself, since before `$1`? Of one that came back by an import, say, an entry may be left.
const EXPIRED: &str = "CASE WHEN e.is_activity \
    THEN EXISTS (SELECT 1 FROM activities v WHERE v.account_id = e.account_id AND v.activity_id = e.record_id \
      AND v.type = e.object_type AND v.deleted_at < $1) \
    ELSE EXISTS (SELECT 1 FROM objects o WHERE o.account_id = e.account_id AND o.object_type = e.object_type \
      AND o.object_id = e.record_id AND o.deleted_at < $1) END";

/// Is the record of an entry `e` on a contact under a legal hold? What such a contact shares stays whole (rule 9 of the matrix).
const HELD: &str = "EXISTS (SELECT 1 FROM legal_holds h WHERE h.account_id = e.account_id AND ( \
    EXISTS (SELECT 1 FROM associations a WHERE a.account_id = e.account_id \
      AND a.from_type = e.object_type AND a.from_id = e.record_id AND a.to_type = 'contact' AND a.to_id = h.contact_id) \
    OR EXISTS (SELECT 1 FROM associations a WHERE a.account_id = e.account_id \
      AND a.to_type = e.object_type AND a.to_id = e.record_id AND a.from_type = 'contact' AND a.from_id = h.contact_id) \
    OR EXISTS (SELECT 1 FROM activities v JOIN activity_associations l \
      ON l.account_id = v.account_id AND l.activity_id = v.activity_id \
      WHERE v.account_id = e.account_id AND v.type = e.object_type AND v.activity_id = e.record_id \
      AND l.object_type = 'contact' AND l.object_id = h.contact_id) \
    OR e.object_type = 'ticket' AND EXISTS (SELECT 1 FROM conversation_tickets t JOIN conversations v \
      ON v.account_id = t.account_id AND v.conversation_id = t.conversation_id \
      WHERE t.account_id = e.account_id AND t.ticket_id = e.record_id AND v.contact_id = h.contact_id)))";

/// Purges the records of these entries; those that a restore brought back meanwhile stay. What went, by account.
pub(in crate::store) async fn purge(
    tx: &mut Tx,
    due: Vec<Due>,
    cutoff: Time,
    now: Time,
) -> Result<BTreeMap<i64, Vec<Due>>, StoreError> {
    let mut gone = BTreeMap::new();
    let mut by_account: BTreeMap<i64, Vec<Due>> = BTreeMap::new();
    for entry in due {
        by_account.entry(entry.account_id).or_default().push(entry);
    }
    for (account_id, mut due) in by_account {
        let keys: Vec<RecordKey> = due.iter().map(|due| due.key.clone()).collect();
        lock(tx, account_id, &keys).await?;
        let expired = expired(tx, account_id, &keys, cutoff).await?;
        due.retain(|due| expired.contains(&due.entry_id));
        for of in RecordTable::ALL {
            let its = due.iter().filter(|due| due.is_activity == (of == RecordTable::Activities));
            let keys: Vec<RecordKey> = its.map(|due| due.key.clone()).collect();
            apply(tx, account_id, RecordTransition::Purge, of, &keys).await?;
        }
        close(tx, account_id, &due, now).await?;
        let message = |due: &Due| -> (i64, &'static str, Value) {
            let mut data = event_data(account_id, &due.key, due.entry_id);
            data["deletedAt"] = json!(format_time(due.deleted_at));
            data["purgedAt"] = json!(format_time(now));
            (account_id, EventKind::Purge.event(&due.key.object_type), data)
        };
        write_outbox(tx, now, due.iter().map(message).collect()).await?;
        if !due.is_empty() {
            gone.insert(account_id, due);
        }
    }
    Ok(gone)
}

/// What waits for a purge.
pub(in crate::store) struct RecordBacklog {
    pub due: i64,
    /// Due but for a legal hold.
    pub held: i64,
    pub oldest: Option<Time>,
}

/// How many records are due by this time.
pub(in crate::store) async fn backlog(tx: &mut Tx, cutoff: Time) -> Result<RecordBacklog, StoreError> {
    let sql = format!(
        "SELECT count(CASE WHEN NOT t.is_held THEN 1 END) AS due, count(CASE WHEN t.is_held THEN 1 END) AS held, \
         min(CASE WHEN NOT t.is_held THEN t.deleted_at END) AS oldest FROM (SELECT e.deleted_at, {HELD} AS is_held \
         FROM record_trash_entries e WHERE e.closed_at IS NULL AND e.deleted_at < $1 AND {EXPIRED}) t"
    );
    let row = tx.row(&sql, args![cutoff]).await?;
    let row = row.ok_or_else(|| StoreError::Failed("a count gave no row".to_owned()))?;
    Ok(RecordBacklog { due: row.int("due")?, held: row.int("held")?, oldest: row.optional_time("oldest")? })
}

/// How many records are due by this time, by type.
pub(in crate::store) async fn backlog_by_type(
    tx: &mut Tx,
    cutoff: Time,
) -> Result<BTreeMap<String, u64>, StoreError> {
    let sql = format!(
        "SELECT e.object_type, count(*) AS due FROM record_trash_entries e \
         WHERE e.closed_at IS NULL AND e.deleted_at < $1 AND {EXPIRED} AND NOT {HELD} GROUP BY e.object_type"
    );
    let rows = tx.rows(&sql, args![cutoff]).await?;
    rows.iter().map(|row| Ok((row.text("object_type")?, row.int("due")?.unsigned_abs()))).collect()
}

/// Entries that are due by this time, the oldest first; `turn` is a condition on `e`, for which `parameters` begin at `$2`.
pub(in crate::store) async fn due(
    tx: &mut Tx,
    cutoff: Time,
    turn: &str,
    parameters: &[Arg],
    limit: u32,
) -> Result<Vec<Due>, StoreError> {
    let sql = format!(
        "SELECT e.account_id, e.entry_id, e.object_type, e.record_id, e.is_activity, e.deleted_at \
         FROM record_trash_entries e WHERE e.closed_at IS NULL AND e.deleted_at < $1 AND {EXPIRED} AND NOT {HELD} AND {turn} ORDER BY e.deleted_at, e.entry_id LIMIT {limit}"
    );
    let args: Vec<_> = std::iter::once(cutoff.into()).chain(parameters.iter().cloned()).collect();
    let rows = tx.rows(&sql, &args).await?;
    rows.iter()
        .map(|row| {
            Ok(Due {
                account_id: row.int("account_id")?,
                entry_id: row.int("entry_id")?,
                key: key(row)?,
                is_activity: row.bool("is_activity")?,
                deleted_at: row.time("deleted_at")?,
            })
        })
        .collect()
}

/// Which of these objects were purged, or deleted by an erasure: nothing leads to them, and they do not come back by an import.
pub(in crate::store) async fn gone(
    tx: &mut Tx,
    account_id: i64,
    keys: &[RecordKey],
) -> Result<BTreeSet<RecordKey>, StoreError> {
    let sql = format!(
        "SELECT b.object_type, b.record_id FROM {} JOIN erased_records e ON e.account_id = $2 \
         AND e.kind = b.object_type AND e.record_id = b.record_id",
        tx.dialect().batch(1, &KEY)
    );
    let mut gone = purged(tx, account_id, keys).await?;
    for row in tx.rows(&sql, args![batch(keys), account_id]).await? {
        gone.insert(key(&row)?);
    }
    Ok(gone)
}

/// Which of these objects were purged: they do not come back by an import.
pub(in crate::store) async fn purged(
    tx: &mut Tx,
    account_id: i64,
    keys: &[RecordKey],
) -> Result<BTreeSet<RecordKey>, StoreError> {
    let sql = format!(
        "SELECT DISTINCT b.object_type, b.record_id FROM {} JOIN record_trash_entries e ON e.account_id = $2 \
         AND e.object_type = b.object_type AND e.record_id = b.record_id \
         WHERE NOT e.is_activity AND e.closed_as = 'purged'",
        tx.dialect().batch(1, &KEY)
    );
    let rows = tx.rows(&sql, args![batch(keys), account_id]).await?;
    rows.iter().map(key).collect()
}

/// Which of these records, which are locked, are past their time in the trash, and kept by no legal hold: their open entries.
async fn expired(
    tx: &mut Tx,
    account_id: i64,
    keys: &[RecordKey],
    cutoff: Time,
) -> Result<BTreeSet<i64>, StoreError> {
    let sql = format!(
        "SELECT e.entry_id FROM {} JOIN record_trash_entries e ON e.account_id = $2 \
         AND e.object_type = b.object_type AND e.record_id = b.record_id \
         WHERE e.closed_at IS NULL AND {EXPIRED} AND NOT {HELD}",
        tx.dialect().batch(3, &KEY)
    );
    let rows = tx.rows(&sql, args![cutoff, account_id, batch(keys)]).await?;
    rows.iter().map(|row| row.int("entry_id")).collect()
}

async fn close(tx: &mut Tx, account_id: i64, due: &[Due], now: Time) -> Result<(), StoreError> {
    let sql = format!(
        "UPDATE record_trash_entries SET closed_at = $1, closed_as = 'purged' WHERE account_id = $2 \
         AND entry_id IN (SELECT b.entry_id FROM {})",
        tx.dialect().ids(3, &["account_id", "entry_id"])
    );
    let entries = Lists::ids(due.iter().map(|due| [account_id, due.entry_id]));
    tx.execute(&sql, args![now, account_id, entries]).await.map(drop)
}
