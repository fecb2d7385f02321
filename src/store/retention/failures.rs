//! What a job could not remove: set aside, so that it holds up nothing else, and tried again by each later run.

use serde_json::json;

use super::ByAccount;
use crate::domain::record::{Column, ColumnType};
use crate::domain::time::Time;
use crate::store::StoreError;
use crate::store::db::Tx;
use crate::store::db::batch::{batch_row, batch_text};
use crate::store::db::values::args;

const ITEM: [Column; 2] = [("account_id", ColumnType::Int), ("item_id", ColumnType::Int)];

pub(super) async fn remember(
    tx: &mut Tx,
    job: &str,
    account_id: i64,
    id: i64,
    now: Time,
) -> Result<(), StoreError> {
    tx.execute(
        "INSERT INTO retention_failures (account_id, job, item_id, failed_at, tries) VALUES ($1, $2, $3, $4, 1) \
         ON CONFLICT (account_id, job, item_id) DO UPDATE \
         SET failed_at = excluded.failed_at, tries = retention_failures.tries + 1",
        args![account_id, job, id, now],
    )
    .await?;
    Ok(())
}

/// These are gone after all.
pub(super) async fn forget(tx: &mut Tx, job: &str, removed: &ByAccount) -> Result<(), StoreError> {
    let row = |(account_id, id): (&i64, &i64)| batch_row(json!({"account_id": account_id, "item_id": id}));
    let items = removed.iter().flat_map(|(account_id, ids)| ids.iter().map(move |id| (account_id, id)));
    let sql = format!(
        "DELETE FROM retention_failures WHERE job = $2 AND (account_id, item_id) IN \
         (SELECT b.account_id, b.item_id FROM {})",
        tx.dialect().batch(1, &ITEM)
    );
    tx.execute(&sql, args![batch_text(items.map(row)), job]).await.map(drop)
}
