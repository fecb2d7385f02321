//! Locks that no row has, by which transactions take turns. Each has a number of its own.

use super::Tx;
use super::dialect::Dialect;
use crate::domain::time::Time;
use crate::store::StoreError;

/// Deciding transactions share it, see [`pauses`](crate::store::decisions::pauses).
pub const PAUSES: i64 = 7_165_905_012;
/// Transactions that write dead letters take turns by it.
pub const DEAD_LETTERS: i64 = 7_165_905_013;
/// One import at a time: two that name the same contacts in different orders would only be in each other's way. While it is
/// held no erasure and no purge commits.
const IMPORTS: i64 = 7_165_905_011;

/// Waits for the chunk of an import that is under way; the next one waits for this transaction.
pub(in crate::store) async fn lock_imports(tx: &mut Tx) -> Result<Time, StoreError> {
    tx.time(&tx.dialect().lock_exclusive_and_now(IMPORTS)).await
}

/// As [`lock_imports`], for a transaction that takes contacts away for good: an import sees all of what it does, or none. It has
/// to come before any other lock.
pub(in crate::store) async fn wait_for_chunk(tx: &mut Tx) -> Result<(), StoreError> {
    match tx.dialect() {
        Dialect::Postgres => {
            let sql = format!("SELECT 1 AS one FROM pg_advisory_xact_lock_shared({IMPORTS})");
            tx.rows(&sql, &[]).await.map(drop)
        }
        Dialect::Sqlite => Ok(()),
    }
}
