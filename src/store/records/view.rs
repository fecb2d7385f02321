//! Records as commands show them: one of them, and the trash.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::{Value, json};

use super::{KEY, authorize, batch, by_user, gone_as, read, refuse_others, scope_of};
use crate::domain::object_type::RecordKey;
use crate::domain::restore::RESTORABLE;
use crate::domain::time::format_time;
use crate::store::access::users::user_named;
use crate::store::db::Tx;
use crate::store::db::query::{Filter, WhereClause};
use crate::store::db::values::{Arg, Row, args};
use crate::store::trash::{Blocker, DeletePreview};
use crate::store::{Store, StoreError, read_transaction};

/// A record as the CRM shows it now.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RecordView {
    pub account_id: String,
    pub object_type: String,
    pub id: String,
    /// `live`, `in_trash`, `erased`, `purged` or `unknown`.
    pub state: &'static str,
    pub properties: Option<BTreeMap<String, String>>,
    pub trash: Option<Value>,
    /// Ids or keys by category; all are empty unless the record is live.
    pub visible: BTreeMap<&'static str, Vec<String>>,
}

/// A record in the trash.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct RecordTrashRow {
    pub entry_id: String,
    pub object_type: String,
    pub record_id: String,
    pub deleted_at: String,
    /// From when on a purge may take it.
    pub purge_at: String,
    pub deleted_by: Value,
}

impl Store {
    /// One record.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn record(&self, account_id: i64, key: &RecordKey) -> Result<RecordView, StoreError> {
        read_transaction!(self, tx => record(tx, account_id, key))
    }

    /// What a delete of records would do now; writes nothing.
    ///
    /// # Errors
    ///
    /// Refused: an unknown user, no permission, contacts, more than [`MAX_RECORDS`](super::MAX_RECORDS) records.
    pub async fn preview_delete_of_records(
        &self,
        account_id: i64,
        user: &str,
        records: &[RecordKey],
    ) -> Result<DeletePreview, StoreError> {
        read_transaction!(self, tx => preview_delete(tx, account_id, user, records))
    }

    /// Records of one type in the trash, newest first: of the filter user, times and limit.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn record_trash(
        &self,
        account_id: i64,
        object_type: &str,
        filter: &Filter,
    ) -> Result<Vec<RecordTrashRow>, StoreError> {
        read_transaction!(self, tx => trash(tx, account_id, object_type, None, filter))
    }
}

/// What a delete of records would do now; writes nothing.
async fn preview_delete(
    tx: &mut Tx,
    account_id: i64,
    user: &str,
    records: &[RecordKey],
) -> Result<DeletePreview, StoreError> {
    refuse_others(records)?;
    authorize(tx, account_id, user, "delete", records, scope_of(records)).await?;
    let (mut live, mut counts, mut blockers) = (0, BTreeMap::new(), Vec::new());
    for key in records {
        let view = record(tx, account_id, key).await?;
        let message = match view.state {
            "live" => {
                live += 1;
                for (category, members) in view.visible {
                    *counts.entry(category).or_default() += members.len() as u64;
                }
                continue;
            }
            "in_trash" => format!("{key} is in the trash already"),
            gone @ ("purged" | "erased") => format!("{key} was {gone} and is gone for good"),
            _ => format!("account {account_id} has no {} {}", key.object_type, key.id),
        };
        blockers.push(Blocker { record: key.to_string(), reason: view.state, message });
    }
    Ok(DeletePreview::new(live, counts, blockers))
}

async fn record(tx: &mut Tx, account_id: i64, key: &RecordKey) -> Result<RecordView, StoreError> {
    let found = read(tx, account_id, key).await?;
    let (state, properties, trash) = match found {
        Some((properties, None)) => ("live", Some(properties), None),
        Some((properties, Some(_))) => {
            let rows = trash(
                tx,
                account_id,
                &key.object_type,
                Some(key.id),
                &Filter { limit: 1, ..Filter::default() },
            )
            .await?;
            let entry = rows.first().map(|row| {
                json!({"entryId": row.entry_id, "deletedAt": row.deleted_at, "purgeAt": row.purge_at,
                    "deletedBy": row.deleted_by})
            });
            ("in_trash", Some(properties), entry)
        }
        None => (ended(tx, account_id, key).await?.unwrap_or("unknown"), None, None),
    };
    let visible = visible(tx, account_id, key, state == "live").await?;
    let (account_id, id) = (account_id.to_string(), key.id.to_string());
    Ok(RecordView { account_id, object_type: key.object_type.clone(), id, state, properties, trash, visible })
}

/// How a record that is not there went for good, by its last entry.
async fn ended(tx: &mut Tx, account_id: i64, key: &RecordKey) -> Result<Option<&'static str>, StoreError> {
    let sql = "SELECT closed_as FROM record_trash_entries WHERE account_id = $1 AND object_type = $2 AND record_id = $3 \
               AND closed_as IN ('purged', 'erased') ORDER BY entry_id DESC LIMIT 1";
    let row = tx.row(sql, args![account_id, key.object_type.as_str(), key.id]).await?;
    Ok(gone_as(row.map(|row| row.text("closed_as")).transpose()?.as_deref()))
}

/// What each category shows of the record in the batch, as `member`.
const VISIBLE: [(&str, &str); 3] = [
    (
        "associations",
        "SELECT a.to_type || ':' || a.to_id || CASE a.label WHEN '' THEN '' ELSE ':' || a.label END AS member \
         FROM {b} JOIN crm_associations a ON a.account_id = $2 AND a.from_type = b.object_type AND a.from_id = b.record_id \
         UNION SELECT a.from_type || ':' || a.from_id || CASE a.label WHEN '' THEN '' ELSE ':' || a.label END \
         FROM {b} JOIN crm_associations a ON a.account_id = $2 AND a.to_type = b.object_type AND a.to_id = b.record_id \
         UNION SELECT l.object_type || ':' || l.object_id FROM {b} JOIN crm_activity_associations l \
         ON l.account_id = $2 AND l.type = b.object_type AND l.activity_id = b.record_id",
    ),
    (
        "activities",
        "SELECT CAST(l.activity_id AS text) AS member FROM {b} JOIN crm_activity_associations l \
         ON l.account_id = $2 AND l.object_type = b.object_type AND l.object_id = b.record_id",
    ),
    (
        "conversations",
        "SELECT CAST(t.conversation_id AS text) AS member FROM {b} JOIN conversation_tickets t \
         ON t.account_id = $2 AND b.object_type = 'ticket' AND t.ticket_id = b.record_id",
    ),
];

async fn visible(
    tx: &mut Tx,
    account_id: i64,
    key: &RecordKey,
    is_live: bool,
) -> Result<BTreeMap<&'static str, Vec<String>>, StoreError> {
    // Segments have contacts alone, and quotes are on contacts.
    let mut visible = BTreeMap::from([("segments", Vec::new()), ("quotes", Vec::new())]);
    for (category, sql) in VISIBLE {
        let mut members = Vec::new();
        if is_live {
            let sql = format!("{} ORDER BY member", sql.replace("{b}", &tx.dialect().batch(1, &KEY)));
            for row in tx.rows(&sql, args![batch(std::slice::from_ref(key)), account_id]).await? {
                members.push(row.text("member")?);
            }
        }
        visible.insert(category, members);
    }
    Ok(visible)
}

async fn trash(
    tx: &mut Tx,
    account_id: i64,
    object_type: &str,
    record_id: Option<i64>,
    filter: &Filter,
) -> Result<Vec<RecordTrashRow>, StoreError> {
    let mut conditions = WhereClause::default();
    conditions.equal("account_id", Some(account_id.into()));
    conditions.equal("object_type", Some(object_type.into()));
    conditions.equal("record_id", record_id.map(Arg::from));
    if let Some(user) = &filter.deleted_by {
        conditions.equal("user_id", Some(user_named(tx, account_id, user).await?.into()));
    }
    conditions.between("deleted_at", filter.deleted);
    conditions.also("closed_at IS NULL");
    let columns = "entry_id, object_type, record_id, deleted_at, deleted_by, user_id";
    let order = "ORDER BY deleted_at DESC, entry_id DESC";
    let rows = conditions.select(tx, columns, "record_trash_entries", order, filter.limit).await?;
    rows.iter().map(trash_row).collect()
}

fn trash_row(row: &Row) -> Result<RecordTrashRow, StoreError> {
    let deleted_at = row.time("deleted_at")?;
    Ok(RecordTrashRow {
        entry_id: row.int("entry_id")?.to_string(),
        object_type: row.text("object_type")?,
        record_id: row.int("record_id")?.to_string(),
        deleted_at: format_time(deleted_at),
        purge_at: format_time(deleted_at + RESTORABLE),
        deleted_by: row.optional_int("user_id")?.map_or_else(|| json!({"kind": "import"}), by_user),
    })
}
