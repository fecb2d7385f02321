//! What a SQLite store's files may still hold is remembered in the store, until a scrub is through.

use crate::domain::time::Time;
use crate::store::StoreError;
use crate::store::db::Tx;
use crate::store::db::dialect::Dialect;
use crate::store::db::values::args;

/// Written with what deletes for good: whoever comes next scrubs, should this process not come to it.
pub async fn mark_needed(tx: &mut Tx, now: Time) -> Result<(), StoreError> {
    if tx.dialect() == Dialect::Sqlite {
        tx.execute("INSERT INTO owed_scrubs (owed_at) VALUES ($1) ON CONFLICT DO NOTHING", args![now])
            .await?;
    }
    Ok(())
}

/// Is one owed?
pub async fn is_needed(tx: &mut Tx) -> Result<bool, StoreError> {
    Ok(tx.row("SELECT 1 AS one FROM owed_scrubs LIMIT 1", &[]).await?.is_some())
}

/// A scrub that began then is through; what was deleted since is still owed.
pub async fn mark_done(tx: &mut Tx, began: Time) -> Result<(), StoreError> {
    tx.execute("DELETE FROM owed_scrubs WHERE owed_at <= $1", args![began]).await.map(drop)
}
