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
use crate::store::db::query::{Filter, ListCursor, WhereClause};
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
    #[serde(skip)]
    pub place: ListCursor,
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
    Ok(DeletePreview::new("record", live, counts, blockers))
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
    if let Some(gone) = gone_as(row.map(|row| row.text("closed_as")).transpose()?.as_deref()) {
        return Ok(Some(gone));
    }
    let is_erased = super::gone(tx, account_id, std::slice::from_ref(key)).await?.contains(key);
    Ok(is_erased.then_some("erased"))
}

/// What each category shows of the records of the batch `{b}`, as `member`: the parts of a union, which name the record first.
const VISIBLE: [(&str, &[&str]); 4] = [
    (
        "associations",
        &[
            "a.to_type || ':' || a.to_id || CASE a.label WHEN '' THEN '' ELSE ':' || a.label END AS member \
             FROM {b} {join} crm_associations a ON a.account_id = $2 AND a.from_type = b.object_type AND a.from_id = b.record_id",
            "a.from_type || ':' || a.from_id || CASE a.label WHEN '' THEN '' ELSE ':' || a.label END \
             FROM {b} {join} crm_associations a ON a.account_id = $2 AND a.to_type = b.object_type AND a.to_id = b.record_id",
            "l.object_type || ':' || l.object_id FROM {b} {join} crm_activity_associations l \
             ON l.account_id = $2 AND l.type = b.object_type AND l.activity_id = b.record_id",
        ],
    ),
    (
        "activities",
        &["CAST(l.activity_id AS text) AS member FROM {b} {join} crm_activity_associations l \
           ON l.account_id = $2 AND l.object_type = b.object_type AND l.object_id = b.record_id"],
    ),
    (
        "conversations",
        &["CAST(t.conversation_id AS text) AS member FROM {b} {join} conversation_tickets t \
           ON t.account_id = $2 AND b.object_type = 'ticket' AND t.ticket_id = b.record_id"],
    ),
    (
        "segments",
        &["CAST(m.segment_id AS text) AS member FROM {b} {join} crm_record_segment_members m \
           ON m.account_id = $2 AND m.object_type = b.object_type AND m.record_id = b.record_id"],
    ),
];

/// The question what a category shows of each record of the batch `$1` in the account `$2`, each thing once.
fn members_of(tx: &Tx, selects: &[&str]) -> String {
    let (batch, join) = (tx.dialect().batch(1, &KEY), tx.dialect().batch_join());
    let select = |select: &&str| {
        format!(
            "SELECT b.object_type, b.record_id, {}",
            select.replace("{b}", &batch).replace("{join}", join)
        )
    };
    let selects = selects.iter().map(select);
    selects.collect::<Vec<_>>().join(" UNION ")
}

async fn visible(
    tx: &mut Tx,
    account_id: i64,
    key: &RecordKey,
    is_live: bool,
) -> Result<BTreeMap<&'static str, Vec<String>>, StoreError> {
    // Quotes are on contacts.
    let mut visible = BTreeMap::from([("quotes", Vec::new())]);
    for (category, selects) in VISIBLE {
        let mut members = Vec::new();
        if is_live {
            let sql = format!("{} ORDER BY member", members_of(tx, selects));
            for row in tx.rows(&sql, args![batch(std::slice::from_ref(key)), account_id]).await? {
                members.push(row.text("member")?);
            }
        }
        visible.insert(category, members);
    }
    Ok(visible)
}

/// How much each category shows of these records, which are live.
pub(in crate::store) async fn count_visible(
    tx: &mut Tx,
    account_id: i64,
    object_type: &str,
    ids: &[i64],
) -> Result<BTreeMap<&'static str, u64>, StoreError> {
    let keys: Vec<RecordKey> =
        ids.iter().map(|id| RecordKey { object_type: object_type.to_owned(), id: *id }).collect();
    let keys = batch(&keys);
    let mut counts = BTreeMap::new();
    for (category, selects) in VISIBLE {
        let sql = format!("SELECT count(*) AS members FROM ({}) m", members_of(tx, selects));
        let row = tx.row(&sql, args![keys.as_str(), account_id]).await?;
        let members = row.map(|row| row.int("members")).transpose()?.unwrap_or_default();
        counts.insert(category, members.unsigned_abs());
    }
    Ok(counts)
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
    conditions.after(["deleted_at", "entry_id", "0"], filter.after);
    conditions.also("closed_at IS NULL");
    let columns = "entry_id, object_type, record_id, deleted_at, deleted_by, user_id";
    let order = "ORDER BY deleted_at DESC, entry_id DESC";
    let rows = conditions.select(tx, columns, "record_trash_entries", order, filter.limit).await?;
    rows.iter().map(trash_row).collect()
}

fn trash_row(row: &Row) -> Result<RecordTrashRow, StoreError> {
    let (deleted_at, entry_id) = (row.time("deleted_at")?, row.int("entry_id")?);
    Ok(RecordTrashRow {
        entry_id: entry_id.to_string(),
        object_type: row.text("object_type")?,
        record_id: row.int("record_id")?.to_string(),
        deleted_at: format_time(deleted_at),
        purge_at: format_time(deleted_at + RESTORABLE),
        deleted_by: row.optional_int("user_id")?.map_or_else(|| json!({"kind": "import"}), by_user),
        place: ListCursor { at: deleted_at, id: entry_id, part: 0 },
    })
}
