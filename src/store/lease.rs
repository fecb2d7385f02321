//! Who does what only one of many may do: by a lease row with a fencing token for each such thing.
//!
//! A session's advisory lock would not survive a connection pooler; a row does, on both databases. The token
//! grows with every change of hands, and every deed done under a lease checks it in its own transaction: a holder
//! that slept through the end of its lease can do no harm. A lease that ends further ahead than any can was granted by a
//! clock that was wrong, and counts as none.

use std::time::Duration;

use super::db::Tx;
use super::db::values::args;
use super::{Store, StoreError, read_transaction, transaction};
use crate::domain::time::Time;

/// What only one of many may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LeaseName {
    /// Run the jobs of retention.
    Schedule,
    /// Publish the events that wait in the outbox.
    Outbox,
    /// Send the mails that wait in the outbox.
    Mail,
}

impl LeaseName {
    /// The name of its row.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Schedule => "scheduler",
            Self::Outbox => "outbox",
            Self::Mail => "mail",
        }
    }
}

/// A lease that was held when it was granted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    duty: LeaseName,
    holder: String,
    token: i64,
}

impl Lease {
    /// Grows with each change of hands.
    pub(super) fn token(&self) -> i64 {
        self.token
    }
}

impl Store {
    /// Takes the lease, or keeps it, for `period` from now by the database's clock. `None`: another holds it.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn acquire_or_renew_lease(
        &self,
        duty: LeaseName,
        holder: &str,
        period: Duration,
    ) -> Result<Option<Lease>, StoreError> {
        // Whoever has it may hold the row for as long as a batch takes: it is asked for only where it may be had.
        if read_transaction!(self, tx => is_held_by_another(tx, duty, holder, period))? {
            return Ok(None);
        }
        transaction!(self, tx => hold(tx, duty, holder, period))
    }

    /// Lets go of the lease, so that the next one need not wait for its end.
    ///
    /// # Errors
    ///
    /// Where the database does not answer: then the lease ends by itself.
    pub async fn release_lease(&self, duty: LeaseName, holder: &str) -> Result<(), StoreError> {
        transaction!(self, tx => release(tx, duty, holder))
    }
}

async fn is_held_by_another(
    tx: &mut Tx,
    duty: LeaseName,
    holder: &str,
    period: Duration,
) -> Result<bool, StoreError> {
    let now = tx.now().await?;
    let sql = "SELECT 1 AS one FROM leases WHERE name = $1 AND holder <> $2 AND expires_at BETWEEN $3 AND $4";
    Ok(tx.row(sql, args![duty.as_str(), holder, now, latest_end(now, period)]).await?.is_some())
}

async fn hold(
    tx: &mut Tx,
    duty: LeaseName,
    holder: &str,
    period: Duration,
) -> Result<Option<Lease>, StoreError> {
    let now = tx.now().await?;
    let expires_at = end_of(now, period);
    let row = tx
        .row(
            "INSERT INTO leases (name, holder, token, expires_at) VALUES ($1, $2, 1, $3) \
             ON CONFLICT (name) DO UPDATE SET \
               token = CASE WHEN leases.holder = excluded.holder THEN leases.token ELSE leases.token + 1 END, \
               holder = excluded.holder, expires_at = excluded.expires_at \
             WHERE leases.holder = excluded.holder OR leases.expires_at < $4 OR leases.expires_at > $5 \
             RETURNING token",
            args![duty.as_str(), holder, expires_at, now, latest_end(now, period)],
        )
        .await?;
    row.map(|row| Ok(Lease { duty, holder: holder.to_owned(), token: row.int("token")? })).transpose()
}

/// The end of a lease of this length.
fn end_of(now: Time, period: Duration) -> Time {
    now + chrono::TimeDelta::from_std(period).unwrap_or(chrono::TimeDelta::MAX)
}

/// No lease that was granted by a right clock ends later: not even one that was prolonged since the clock was looked at, for
/// as long as a lease is, nor one of an instance that was told to hold its own a little longer.
fn latest_end(now: Time, period: Duration) -> Time {
    let longest = period.max(Duration::from_mins(1));
    end_of(end_of(now, longest), longest)
}

async fn release(tx: &mut Tx, duty: LeaseName, holder: &str) -> Result<(), StoreError> {
    let now = tx.now().await?;
    tx.execute(
        "UPDATE leases SET expires_at = $3 WHERE name = $1 AND holder = $2 AND expires_at > $3",
        args![duty.as_str(), holder, now - chrono::TimeDelta::microseconds(1)],
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
    match tx.row(&sql, args![lease.duty.as_str(), lease.holder.as_str(), lease.token, now]).await? {
        Some(_) => Ok(()),
        None => Err(lost(lease)),
    }
}

/// Prolongs a lease that has not changed hands, and refuses the work of one that has; holds the lease's row until
/// the commit. Other than [`fence`] it does not mind that the lease ended meanwhile, as long as nobody took it:
/// work that waited too long for a lock would otherwise be done in vain, again and again.
pub(super) async fn renew(tx: &mut Tx, lease: &Lease, period: Duration) -> Result<(), StoreError> {
    let now = tx.now().await?;
    let sql = "UPDATE leases SET expires_at = $4 WHERE name = $1 AND holder = $2 AND token = $3";
    let args = args![lease.duty.as_str(), lease.holder.as_str(), lease.token, end_of(now, period)];
    match tx.execute(sql, args).await? {
        0 => Err(lost(lease)),
        _ => Ok(()),
    }
}

fn lost(lease: &Lease) -> StoreError {
    StoreError::Refused(format!("the {} lease ended; whoever holds it now goes on", lease.duty.as_str()))
}
