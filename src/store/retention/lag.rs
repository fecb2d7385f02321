//! Who is to go before the jobs of retention, as the store knows it: its replicas, for a purge writes faster than some can
//! follow, and the enrollments that are being decided.

use chrono::TimeDelta;
use futures_util::FutureExt;
use futures_util::future::BoxFuture;

use crate::ports::Backpressure;
use crate::store::db::Tx;
use crate::store::{Store, StoreError, read_transaction};

/// Replicas that may be so many bytes of the write-ahead log behind.
#[derive(Clone, Debug)]
pub struct ReplicationLag {
    pub store: Store,
    pub max_bytes: u64,
}

impl Backpressure for ReplicationLag {
    fn name(&self) -> &'static str {
        "replication"
    }

    fn should_wait(&self) -> BoxFuture<'_, bool> {
        async { self.store.replication_lag().await.is_ok_and(|bytes| bytes > self.max_bytes) }.boxed()
    }
}

/// What was decided no longer ago than this is being decided.
const JUST_NOW: TimeDelta = TimeDelta::seconds(2);

impl Store {
    /// Was an enrollment decided just now, by whichever process?
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn is_deciding(&self) -> Result<bool, StoreError> {
        read_transaction!(self, tx => is_deciding(tx))
    }

    /// How many bytes the replica that is furthest behind has yet to replay; 0 where there is none, or none that this
    /// user may see.
    async fn replication_lag(&self) -> Result<u64, StoreError> {
        read_transaction!(self, tx => replication_lag(tx))
    }
}

async fn replication_lag(tx: &mut Tx) -> Result<u64, StoreError> {
    let Some(sql) = tx.dialect().replication_lag() else { return Ok(0) };
    Ok(tx.row(sql, &[]).await?.map_or(Ok(0), |row| row.int("bytes"))?.unsigned_abs())
}

async fn is_deciding(tx: &mut Tx) -> Result<bool, StoreError> {
    let Some(last) = tx.row("SELECT decided_at FROM ledger ORDER BY decided_at DESC LIMIT 1", &[]).await?
    else {
        return Ok(false);
    };
    // A clock that was put back leaves decisions in the future, which say nothing of now.
    Ok((tx.now().await? - last.time("decided_at")?).abs() < JUST_NOW)
}
