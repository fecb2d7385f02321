//! Locks that no row has, by which transactions take turns. Each has a number of its own.

use super::Tx;
use crate::domain::time::Time;
use crate::store::StoreError;

/// Deciding transactions share it, see [`pauses`](crate::store::decisions::pauses).
pub const PAUSES: i64 = 7_165_905_012;
/// Transactions that write dead letters or events of held enrollments take turns by it, with each other and with erasures.
pub const DEAD_LETTERS: i64 = 7_165_905_013;
/// Imports, erasures and purges take turns by it: of two that share a record each would leave it to the other.
const IMPORTS_AND_REMOVALS: i64 = 7_165_905_011;

/// Waits for the chunk of an import, the erasure or the batch of a purge that is under way; the next one waits for this transaction,
/// which sees all that the one before has done. It has to come before any other lock.
pub(in crate::store) async fn lock_imports_and_removals(tx: &mut Tx) -> Result<Time, StoreError> {
    tx.time(&tx.dialect().lock_exclusive_and_now(IMPORTS_AND_REMOVALS)).await
}
