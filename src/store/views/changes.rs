//! What became of records, for programs that poll: deletions, restores, erasures and purges of all types, oldest first, read from the
//! audit.

use chrono::DateTime;
use serde::Serialize;
use serde_json::Value;

use crate::domain::object_type::{CONTACT, RecordKey, id_of};
use crate::domain::time::{Time, format_time};
use crate::store::db::Tx;
use crate::store::db::query::ListCursor;
use crate::store::db::values::{Row, args};
use crate::store::records::EventKind;
use crate::store::{Store, StoreError, read_transaction};

/// Rows of the audit that are read at a time: each may name thousands of records.
const ROWS: i64 = 20;

/// A record that was deleted, restored, erased or purged.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Change {
    /// As the event about it, such as `contact.deletion`.
    pub r#type: &'static str,
    pub object_type_id: String,
    pub object_id: String,
    /// When, by the database's clock.
    pub at: String,
}

/// Changes, and the place from which to go on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Changes {
    pub changes: Vec<Change>,
    /// Behind the last of them; where there is none, the place that was asked for.
    pub place: ListCursor,
}

impl Store {
    /// At most so many changes of an account behind a place, oldest first. None is passed over: what other transactions have not
    /// committed yet comes with the next call, and so does what is behind it.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn changes(
        &self,
        account_id: i64,
        since: Option<ListCursor>,
        limit: usize,
    ) -> Result<Changes, StoreError> {
        // Before the snapshot of the rows: a transaction that ends between the two is seen there.
        let until = read_transaction!(self, tx => settled_until(tx))?;
        let start = ListCursor { at: DateTime::UNIX_EPOCH, id: 0, part: 0 };
        read_transaction!(self, tx => changes(tx, account_id, since.unwrap_or(start), until, limit))
    }
}

/// Every transaction that writes the audit with an earlier time has ended.
async fn settled_until(tx: &mut Tx) -> Result<Time, StoreError> {
    let sql = tx.dialect().begin_of_oldest_transaction();
    tx.time(sql).await
}

async fn changes(
    tx: &mut Tx,
    account_id: i64,
    since: ListCursor,
    until: Time,
    limit: usize,
) -> Result<Changes, StoreError> {
    let sql = "SELECT audit_id, at, action, CAST(ids AS text) AS ids FROM audit \
               WHERE account_id = $1 AND (at, audit_id) >= ($2, $3) AND at < $4 \
               AND action IN ('trash', 'restore', 'erase', 'erase_again', 'purge') \
               ORDER BY at, audit_id LIMIT $5";
    let (mut found, mut place) = (Vec::new(), since);
    loop {
        let rows = tx.rows(sql, args![account_id, place.at, place.id, until, ROWS]).await?;
        for row in &rows {
            if found.len() < limit {
                add_changes(row, limit, &mut found, &mut place)?;
            }
        }
        let is_last = i64::try_from(rows.len()).unwrap_or(ROWS) < ROWS;
        if is_last || found.len() >= limit {
            return Ok(Changes { changes: found, place });
        }
    }
}

/// The changes of a row behind the place, up to the limit.
fn add_changes(
    row: &Row,
    limit: usize,
    found: &mut Vec<Change>,
    place: &mut ListCursor,
) -> Result<(), StoreError> {
    let (at, id, action) = (row.time("at")?, row.int("audit_id")?, row.text("action")?);
    let ids: Value = row.json("ids")?;
    let ids = ids.as_array().map(Vec::as_slice).unwrap_or_default();
    let first = if (place.at, place.id) == (at, id) { place.part } else { 0 };
    let parts = (0_i64..).zip(ids).skip(usize::try_from(first).unwrap_or_default());
    *place = ListCursor { at, id, part: first };
    for (part, written) in parts.take(limit.saturating_sub(found.len())) {
        found.extend(written.as_str().and_then(|written| change(&action, written, at)));
        place.part = part + 1;
    }
    Ok(())
}

/// What an action did to a record that the audit names: a contact by its id, another one as `deal:30`.
fn change(action: &str, written: &str, at: Time) -> Option<Change> {
    let record = RecordKey::parse(written);
    let change = match action {
        "trash" => Some(EventKind::Deletion),
        "restore" => Some(EventKind::Restore),
        "purge" => Some(EventKind::Purge),
        _ => None,
    };
    let (r#type, object_type, object_id) = match (record, change) {
        (Some(RecordKey { object_type, id }), Some(change)) => {
            (change.event(&object_type), object_type, id.to_string())
        }
        (Some(_), None) => return None,
        (None, change) => {
            let of_contact = match change {
                Some(EventKind::Deletion) => "contact.deletion",
                Some(EventKind::Restore) => "contact.restore",
                Some(EventKind::Purge) => "contact.purge",
                None => "contact.privacyDeletion",
            };
            (of_contact, CONTACT.to_owned(), written.to_owned())
        }
    };
    Some(Change { r#type, object_type_id: id_of(&object_type).to_owned(), object_id, at: format_time(at) })
}
