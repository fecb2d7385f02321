//! One of many instances sends: by a lease, prolonged while it is at work.

use std::pin::pin;
use std::time::{Duration, Instant};

use tracing::{info, warn};

use crate::store::lease::{Lease, LeaseName};
use crate::store::{Store, StoreError};

/// How long the lease outlives its holder. Short, because whoever takes over too early repeats some messages and
/// harms nothing.
pub const LEASE: Duration = Duration::from_secs(3);
/// How often the lease is prolonged, or asked for.
pub const RENEWAL: Duration = Duration::from_secs(1);

/// An instance among the others, for one duty.
pub struct LeaseKeeper {
    store: Store,
    duty: LeaseName,
    holder: String,
    /// The lease, and when it was prolonged last.
    held: Option<(Lease, Instant)>,
}

impl LeaseKeeper {
    /// Leads nothing yet; `holder` tells this instance from the others.
    pub fn new(store: Store, duty: LeaseName, holder: String) -> Self {
        Self { store, duty, holder, held: None }
    }

    /// The lease, prolonged where it is time to; `None` where another has it.
    pub async fn lease(&mut self) -> Result<Option<Lease>, StoreError> {
        if let Some((lease, prolonged)) = &self.held
            && prolonged.elapsed() < RENEWAL
        {
            return Ok(Some(lease.clone()));
        }
        let asked = Instant::now();
        let lease = self.store.acquire_or_renew_lease(self.duty, &self.holder, LEASE).await?;
        match (&self.held, &lease) {
            (None, Some(_)) => info!(lease = self.duty.as_str(), "this instance sends"),
            (Some(_), None) => self.lost(),
            _ => {}
        }
        self.held = lease.clone().map(|lease| (lease, asked));
        Ok(lease)
    }

    /// Keeps the lease while work goes on that knows nothing of it. `None`: it went to another, and the work was dropped.
    pub async fn keep_while<T>(&mut self, work: impl Future<Output = T>) -> Result<Option<T>, StoreError> {
        let mut work = pin!(work);
        loop {
            tokio::select! {
                done = &mut work => return Ok(Some(done)),
                () = tokio::time::sleep(RENEWAL) => {}
            }
            // Beside the select, not in it: a future of the store is never dropped half-way.
            if self.store.acquire_or_renew_lease(self.duty, &self.holder, LEASE).await?.is_none() {
                self.lost();
                return Ok(None);
            }
        }
    }

    /// Is the lease still ours, after a transaction that prolongs it?
    pub fn prolonged_by(&mut self, lease: Lease, done: Result<(), StoreError>) -> Result<bool, StoreError> {
        match done {
            Ok(()) => {
                self.held = Some((lease, Instant::now()));
                Ok(true)
            }
            Err(StoreError::Refused(_)) => {
                self.lost();
                Ok(false)
            }
            Err(error) => Err(error),
        }
    }

    /// Lets go of the lease, so that another instance need not wait for its end.
    pub async fn resign(self) {
        if self.held.is_some()
            && let Err(problem) = self.store.release_lease(self.duty, &self.holder).await
        {
            warn!(error = %problem, lease = self.duty.as_str(), "lease not released; it ends by itself");
        }
    }

    fn lost(&mut self) {
        info!(lease = self.duty.as_str(), "another instance sends");
        self.held = None;
    }
}
