//! Ids for records that a program creates: the next numbers of one counter an account, which stays above every id that the account
//! ever had, imported or given here.

use crate::store::StoreError;
use crate::store::db::Tx;
use crate::store::db::values::args;

/// Every table that has or had ids of records, and their column.
pub(super) const IDS: [(&str, &str); 8] = [
    ("contacts", "contact_id"),
    ("gone_contacts", "contact_id"),
    ("objects", "object_id"),
    ("activities", "activity_id"),
    ("record_trash_entries", "record_id"),
    ("erased_records", "record_id"),
    ("segments", "segment_id"),
    ("workflows", "workflow_id"),
];

/// Has an account a counter?
pub(super) async fn are_given(tx: &mut Tx) -> Result<bool, StoreError> {
    Ok(tx.row("SELECT 1 AS one FROM record_ids LIMIT 1", &[]).await?.is_some())
}

/// The next ids of an account, so many, in a transaction that holds the lock of imports and removals.
///
/// # Errors
///
/// Refused where there are no more ids.
pub(in crate::store) async fn allocate(
    tx: &mut Tx,
    account_id: i64,
    count: usize,
) -> Result<Vec<i64>, StoreError> {
    let wanted = i64::try_from(count).unwrap_or(i64::MAX);
    if wanted == 0 {
        return Ok(Vec::new());
    }
    let used = "SELECT last_id FROM record_ids WHERE account_id = $1";
    let last = match tx.row(used, args![account_id]).await? {
        Some(row) => row.int("last_id")?,
        None => highest(tx, account_id).await?,
    };
    let new_last = last.checked_add(wanted).ok_or_else(|| {
        StoreError::Refused(format!(
            "account {account_id} has a record with so high an id that there is none above it"
        ))
    })?;
    let sql = "INSERT INTO record_ids (account_id, last_id) VALUES ($1, $2) \
               ON CONFLICT (account_id) DO UPDATE SET last_id = excluded.last_id";
    tx.execute(sql, args![account_id, new_last]).await?;
    Ok((last + 1..=new_last).collect())
}

/// Keeps in mind how high the ids of an account are, before a record goes by whose absence nothing else tells of its id.
pub(in crate::store) async fn keep_highest(tx: &mut Tx, account_id: i64) -> Result<(), StoreError> {
    let last = highest(tx, account_id).await?;
    let sql = "INSERT INTO record_ids (account_id, last_id) VALUES ($1, $2) ON CONFLICT DO NOTHING";
    tx.execute(sql, args![account_id, last]).await.map(drop)
}

/// The highest id that the account ever had.
async fn highest(tx: &mut Tx, account_id: i64) -> Result<i64, StoreError> {
    let highest = IDS.map(|(table, id)| format!("SELECT max({id}) AS id FROM {table} WHERE account_id = $1"));
    let sql = format!("SELECT coalesce(max(id), 0) AS id FROM ({}) ids", highest.join(" UNION ALL "));
    tx.row(&sql, args![account_id]).await?.map_or(Ok(0), |row| row.int("id"))
}
