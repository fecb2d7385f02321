//! How far the replicas of the store are behind: a purge writes faster than some can follow.

use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use super::db::Tx;
use super::{Store, StoreError, reading};
use crate::ports::Lag;

/// Replicas that may be so many bytes of the write-ahead log behind.
#[derive(Clone, Debug)]
pub struct ReplicationLag {
    pub store: Store,
    pub max_bytes: u64,
}

impl Lag for ReplicationLag {
    fn of_what(&self) -> &'static str {
        "replication"
    }

    fn is_behind(&self) -> BoxFuture<'_, bool> {
        async { self.store.replication_lag().await.is_ok_and(|bytes| bytes > self.max_bytes) }.boxed()
    }
}

impl Store {
    /// How many bytes the replica that is furthest behind has yet to replay; 0 where there is none, or none that this
    /// user may see.
    async fn replication_lag(&self) -> Result<u64, StoreError> {
        reading!(self, tx => replication_lag(tx))
    }
}

async fn replication_lag(tx: &mut Tx) -> Result<u64, StoreError> {
    let Some(sql) = tx.dialect().replication_lag() else { return Ok(0) };
    Ok(tx.row(sql, &[]).await?.map_or(Ok(0), |row| row.int("bytes"))?.unsigned_abs())
}
