//! Who runs the schedule: one of many, by a lease row with a fencing token.
//!
//! A session's advisory lock would not survive a connection pooler; a row does, on both databases. The token
//! grows with every change of hands, and every deed of the schedule checks it in its own transaction: a leader
//! that slept through the end of its lease can do no harm.

use std::time::Duration;

use super::db::{Tx, args};
use super::{Store, StoreError, transaction};
use crate::domain::time::Time;

/// The one lease there is.
const NAME: &str = "scheduler";

/// A lease that was held when it was granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    holder: String,
    token: i64,
}

impl Store {
    /// Takes the lease, or keeps it, for `period` from now by the database's clock. `None`: another holds it.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn hold_lease(&self, holder: &str, period: Duration) -> Result<Option<Lease>, StoreError> {
        transaction!(self, tx => hold(tx, holder, period))
    }

    /// Lets go of the lease, so that the next one need not wait for its end.
    ///
    /// # Errors
    ///
    /// Where the database does not answer: then the lease ends by itself.
    pub async fn release_lease(&self, holder: &str) -> Result<(), StoreError> {
        transaction!(self, tx => release(tx, holder))
    }
}

async fn hold(tx: &mut Tx, holder: &str, period: Duration) -> Result<Option<Lease>, StoreError> {
    let now = tx.now().await?;
    let expires_at = now + chrono::TimeDelta::from_std(period).unwrap_or(chrono::TimeDelta::MAX);
    let row = tx
        .row(
            "INSERT INTO leases (name, holder, token, expires_at) VALUES ($1, $2, 1, $3) \
             ON CONFLICT (name) DO UPDATE SET \
               token = CASE WHEN leases.holder = excluded.holder THEN leases.token ELSE leases.token + 1 END, \
               holder = excluded.holder, expires_at = excluded.expires_at \
             WHERE leases.holder = excluded.holder OR leases.expires_at < $4 \
             RETURNING token",
            args![NAME, holder, expires_at, now],
        )
        .await?;
    row.map(|row| Ok(Lease { holder: holder.to_owned(), token: row.int("token")? })).transpose()
}

async fn release(tx: &mut Tx, holder: &str) -> Result<(), StoreError> {
    let now = tx.now().await?;
    tx.execute(
        "UPDATE leases SET expires_at = $3 WHERE name = $1 AND holder = $2 AND expires_at > $3",
        args![NAME, holder, now - chrono::TimeDelta::microseconds(1)],
    )
    .await?;
    Ok(())
}

/// Refuses the work of a leader whose lease ended or went to another; holds the lease's row until the commit.
pub(super) async fn fence(tx: &mut Tx, lease: &Lease, now: Time) -> Result<(), StoreError> {
    let sql = format!(
        "SELECT l.token FROM leases l WHERE l.name = $1 AND l.holder = $2 AND l.token = $3 AND l.expires_at > $4{}",
        tx.dialect().for_share("l")
    );
    match tx.row(&sql, args![NAME, lease.holder.as_str(), lease.token, now]).await? {
        Some(_) => Ok(()),
        None => {
            Err(StoreError::Refused("the scheduler's lease ended; whoever holds it now goes on".to_owned()))
        }
    }
}
