//! What contacts and other records do not have in common: where they are kept, who may delete them, and how they go.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::one::put_contacts_into_trash;
use super::{Request, Selection, scope};
use crate::domain::criteria::Criteria;
use crate::domain::criteria::subject::Record;
use crate::domain::decision::Contact;
use crate::domain::object_type::CONTACT;
use crate::store::StoreError;
use crate::store::access::users::{authorize_user, user_who_may};
use crate::store::contacts::load_contacts;
use crate::store::contacts::members::visible_members;
use crate::store::criteria::record;
use crate::store::db::Tx;
use crate::store::db::batch::{Lists, RECORD};
use crate::store::db::values::args;
use crate::store::records::selection::Source;
use crate::store::records::{ByUser, count_visible};

/// Records that are live, by id, as they are now.
pub(super) type Live = HashMap<i64, Record>;

/// The user, by id or address, who may delete what is asked for.
pub(super) async fn authorize(tx: &mut Tx, request: &Request, user: &str) -> Result<i64, StoreError> {
    let (account_id, scope) = (request.account_id, scope(&request.selection));
    match request.object_type.as_str() {
        CONTACT => authorize_user(tx, account_id, user, "delete", scope).await,
        other => user_who_may(tx, account_id, user, "delete", scope, &BTreeSet::from([other])).await,
    }
}

/// The type of the records that are members of a segment; `None` where there is no such segment.
pub(super) async fn type_of_segment(
    tx: &mut Tx,
    account_id: i64,
    segment_id: i64,
) -> Result<Option<String>, StoreError> {
    let sql =
        "SELECT object_type FROM segments WHERE account_id = $1 AND segment_id = $2 AND deleted_at IS NULL";
    tx.row(sql, args![account_id, segment_id]).await?.map(|row| row.text("object_type")).transpose()
}

/// The next live records of the type after this one, by the order of their ids.
pub(super) async fn live_after(
    tx: &mut Tx,
    request: &Request,
    criteria: &Criteria,
    after: i64,
    limit: usize,
) -> Result<Vec<(i64, Record)>, StoreError> {
    let account_id = request.account_id;
    if request.object_type != CONTACT {
        let source = Source::of(tx, account_id, &request.object_type, Some(criteria)).await?;
        return source.page(tx, after, limit).await;
    }
    let sql = format!(
        "SELECT contact_id, CAST(properties AS text) AS properties, CAST(history AS text) AS history, created_at, is_partial \
         FROM contacts WHERE account_id = $1 AND contact_id > $2 AND deleted_at IS NULL \
         ORDER BY contact_id LIMIT {limit}"
    );
    let rows = tx.rows(&sql, args![account_id, after]).await?;
    rows.iter()
        .map(|row| Ok((row.int("contact_id")?, record(row, row.optional_time("created_at")?)?)))
        .collect()
}

/// Those of these records that are live, locked until the transaction ends.
pub(super) async fn lock_live(tx: &mut Tx, request: &Request, ids: &[i64]) -> Result<Live, StoreError> {
    let account_id = request.account_id;
    if request.object_type != CONTACT {
        let criteria = match &request.selection {
            Selection::Filter(filter) => Some(filter.criteria()),
            Selection::Picked { .. } | Selection::Segment(_) => None,
        };
        let source = Source::of(tx, account_id, &request.object_type, criteria).await?;
        return source.lock_live(tx, ids).await;
    }
    let keys: BTreeSet<(i64, i64)> = ids.iter().map(|contact_id| (account_id, *contact_id)).collect();
    let mut live = Live::new();
    for ((_, contact_id), contact) in load_contacts(tx, &keys).await? {
        if let Contact::Live { record, .. } = contact {
            live.insert(contact_id, record);
        }
    }
    Ok(live)
}

/// The view of the members of segments that are live, and its column for the record.
fn membership(object_type: &str) -> (&'static str, &'static str) {
    match object_type {
        CONTACT => ("crm_segment_members", "contact_id"),
        _ => ("crm_record_segment_members", "record_id"),
    }
}

/// The next members of a segment after this one.
pub(super) async fn members_after(
    tx: &mut Tx,
    request: &Request,
    segment_id: i64,
    after: i64,
    limit: usize,
) -> Result<Vec<i64>, StoreError> {
    let (view, id) = membership(&request.object_type);
    let sql = format!(
        "SELECT {id} AS id FROM {view} WHERE account_id = $1 AND segment_id = $2 AND {id} > $3 \
         ORDER BY {id} LIMIT {limit}"
    );
    let rows = tx.rows(&sql, args![request.account_id, segment_id, after]).await?;
    rows.iter().map(|row| row.int("id")).collect()
}

/// Which of these records are members of a segment.
pub(super) async fn members_among(
    tx: &mut Tx,
    request: &Request,
    segment_id: i64,
    live: &Live,
) -> Result<BTreeSet<i64>, StoreError> {
    let (view, id) = membership(&request.object_type);
    let sql = format!(
        "SELECT m.{id} AS id FROM {} JOIN {view} m ON m.account_id = b.account_id \
         AND m.{id} = b.record_id AND m.segment_id = $1",
        tx.dialect().ids(2, &RECORD)
    );
    let batch = Lists::ids(live.keys().map(|id| [request.account_id, *id]));
    let rows = tx.rows(&sql, args![segment_id, batch]).await?;
    rows.iter().map(|row| row.int("id")).collect()
}

/// Puts records, which are live and locked, into the trash, with everything that goes with it.
pub(in crate::store) async fn put_into_trash(
    tx: &mut Tx,
    object_type: &str,
    by: ByUser,
    ids: &[i64],
) -> Result<(), StoreError> {
    if ids.is_empty() {
        return Ok(());
    }
    if object_type == CONTACT {
        return put_contacts_into_trash(tx, by, ids).await.map(drop);
    }
    Source::of(tx, by.account_id, object_type, None).await?.put_into_trash(tx, by, ids).await
}

/// What each category shows of these records, in numbers.
pub(super) async fn count_members(
    tx: &mut Tx,
    request: &Request,
    ids: &[i64],
) -> Result<BTreeMap<&'static str, u64>, StoreError> {
    if request.object_type != CONTACT {
        return count_visible(tx, request.account_id, &request.object_type, ids).await;
    }
    let mut counts = BTreeMap::new();
    for (category, members) in visible_members(tx, request.account_id, ids).await?.into_values().flatten() {
        *counts.entry(category).or_default() += members.len() as u64;
    }
    Ok(counts)
}

/// The table of trash entries, and its column for the record. All entries of a deletion are of its type.
fn entries_table(object_type: &str) -> (&'static str, &'static str) {
    match object_type {
        CONTACT => ("trash_entries", "contact_id"),
        _ => ("record_trash_entries", "record_id"),
    }
}

/// Each record of a deletion with its trash entry.
pub(super) async fn entries(
    tx: &mut Tx,
    request: &Request,
    deletion_id: i64,
) -> Result<Vec<(i64, i64)>, StoreError> {
    let (table, id) = entries_table(&request.object_type);
    let sql = format!(
        "SELECT e.{id} AS id, e.entry_id FROM {table} e WHERE e.account_id = $1 AND e.deletion_id = $2 ORDER BY e.{id}"
    );
    let rows = tx.rows(&sql, args![request.account_id, deletion_id]).await?;
    rows.iter().map(|row| Ok((row.int("id")?, row.int("entry_id")?))).collect()
}

/// Is one of these records neither left of the deletion nor in the trash, or gone, by it?
pub(super) async fn any_outside(
    tx: &mut Tx,
    request: &Request,
    deletion_id: i64,
    ids: &[i64],
) -> Result<bool, StoreError> {
    let (table, id) = entries_table(&request.object_type);
    let is_live = match request.object_type.as_str() {
        CONTACT => {
            "SELECT 1 FROM crm_contacts c WHERE $3 = 'contact' AND c.account_id = b.account_id \
             AND c.contact_id = b.record_id"
        }
        _ => {
            "SELECT 1 FROM stored_records r WHERE r.account_id = b.account_id AND r.object_type = $3 \
              AND r.record_id = b.record_id AND r.deleted_at IS NULL"
        }
    };
    let sql = format!(
        "SELECT 1 AS one FROM {} WHERE b.account_id = $1 AND NOT EXISTS (SELECT 1 FROM deletion_items i \
           WHERE i.account_id = b.account_id AND i.deletion_id = $2 AND i.record_id = b.record_id) \
         AND NOT (EXISTS (SELECT 1 FROM {table} e \
             WHERE e.account_id = b.account_id AND e.deletion_id = $2 AND e.{id} = b.record_id) \
           AND NOT EXISTS ({is_live})) LIMIT 1",
        tx.dialect().ids(4, &RECORD)
    );
    let batch = Lists::ids(ids.iter().map(|id| [request.account_id, *id]));
    let args = args![request.account_id, deletion_id, request.object_type.as_str(), batch];
    Ok(tx.row(&sql, args).await?.is_some())
}
