//! One run of a job: batch after batch, until nothing is due, or a bound or somebody else says that it is enough.

use std::time::{Duration, Instant};

use tracing::{info, warn};

use super::{Job, LeaderLease, RunContext};
use crate::domain::batch_size::AdaptiveBatchSize;
use crate::domain::time::Time;
use crate::ports::Decided;
use crate::store::StoreError;
use crate::store::lease::LeaseName;
use crate::store::retention::{LeaseGuard, Locked, Run, Sweep, Target};
use crate::telemetry;

/// How long a batch may take.
const TARGET_BATCH_TIME: Duration = Duration::from_secs(1);
/// Between two looks at whoever goes before us.
const RECHECK_INTERVAL: Duration = Duration::from_secs(1);
/// Beside enrollments a job rests so many times as long as it works: it has a third of the time of one connection.
const REST_FACTOR: u32 = 2;
/// How long PostgreSQL bears with a transaction that does nothing, at least.
const MIN_IDLE_TX_TIMEOUT: Duration = Duration::from_secs(5);
/// More rows than this that cannot be removed are no rows that are poisoned: something else is wrong.
const MAX_FAILED_ROWS: u64 = 100;

/// A run that is under way.
pub struct Execution<'a> {
    job: &'a Job,
    runner: &'a RunContext<'a>,
    run: Run,
    began: Instant,
    batch_size: AdaptiveBatchSize,
    /// The last transaction came late and was refused; see [`Execution::tolerate_one_refusal`].
    was_refused: bool,
    /// How long it has yet to rest before its next transaction.
    rest: Duration,
    /// Has it ever rested?
    has_rested: bool,
}

/// Which rows a pass takes.
#[derive(Clone, Copy)]
struct Pass {
    locked: Locked,
    failed_before: Option<Time>,
}

impl<'a> Execution<'a> {
    pub fn new(job: &'a Job, runner: &'a RunContext<'a>, run: Run) -> Self {
        Self {
            job,
            runner,
            run,
            began: Instant::now(),
            batch_size: AdaptiveBatchSize::new(job.batch_size, TARGET_BATCH_TIME),
            was_refused: false,
            rest: Duration::ZERO,
            has_rested: false,
        }
    }

    pub fn run(&self) -> &Run {
        &self.run
    }

    /// Removes what is due: unlocked rows first, then locked ones, so that a row in use is not passed over indefinitely.
    /// Rows that earlier runs could not remove come last, one by one.
    pub async fn work(&mut self) -> Result<&'static str, StoreError> {
        let retry = Some(self.run.started_at);
        for pass in [
            Pass { locked: Locked::Skip, failed_before: None },
            Pass { locked: Locked::Wait, failed_before: None },
            Pass { locked: Locked::Wait, failed_before: retry },
        ] {
            loop {
                if let Some(stopped_by) = self.wait_or_stop().await? {
                    return Ok(stopped_by);
                }
                let Some(held) = lease(self.runner).await? else { return Ok("lease_lost") };
                match self.batch(pass, held.as_ref()).await {
                    Ok(true) => self.was_refused = false,
                    Ok(false) => break,
                    Err(error) => {
                        if let Some(stopped_by) = self.tolerate_one_refusal(error).await? {
                            return Ok(stopped_by);
                        }
                    }
                }
            }
        }
        Ok("done")
    }

    /// A transaction that came late is refused although nobody else leads: the lease had run out before. Once it is held
    /// again that is tried again, but not for ever: a run that was given up is refused as well.
    async fn tolerate_one_refusal(&mut self, error: StoreError) -> Result<Option<&'static str>, StoreError> {
        if !matches!(error, StoreError::Refused(_)) {
            return Err(error);
        }
        if lease(self.runner).await?.is_none() {
            return Ok(Some("lease_lost"));
        }
        if std::mem::replace(&mut self.was_refused, true) { Err(error) } else { Ok(None) }
    }

    /// Is it enough? Rests as long as it should, and waits while those who go before are behind.
    async fn wait_or_stop(&mut self) -> Result<Option<&'static str>, StoreError> {
        let mut waited = false;
        loop {
            if self.runner.stop.is_requested() {
                return Ok(Some("shutdown"));
            }
            if self.run.done.deleted >= self.job.max_per_run {
                return Ok(Some("max_per_run"));
            }
            if self.began.elapsed() >= self.job.time_budget {
                return Ok(Some(if waited { "lag" } else { "time_budget" }));
            }
            let pause = if let Some(rest) = self.next_rest() {
                rest
            } else {
                let Some(behind) = self.behind().await else { return Ok(None) };
                if !waited {
                    info!(job.name = self.job.name, job.waits_for = behind, "job waits");
                }
                waited = true;
                RECHECK_INTERVAL
            };
            if let Some(stopped_by) = self.pause(pause).await? {
                return Ok(Some(stopped_by));
            }
        }
    }

    /// Lets the enrollments that are being decided have the machine for a while, after so much work of its own.
    async fn schedule_rest(&mut self, worked: Duration) {
        // Taking up what waited is deciding enrollments.
        let decides = matches!(self.job.target, Target::Waiting(_));
        if decides || !self.runner.store.is_deciding().await.unwrap_or(false) {
            return;
        }
        self.rest = worked * REST_FACTOR;
        if !std::mem::replace(&mut self.has_rested, true) {
            info!(job.name = self.job.name, "job rests between its batches: enrollments are being decided");
        }
    }

    /// The next piece of the rest, if any is left.
    fn next_rest(&mut self) -> Option<Duration> {
        let piece = self.rest.min(RECHECK_INTERVAL);
        self.rest -= piece;
        (!piece.is_zero()).then_some(piece)
    }

    /// Does nothing for so long, or until asked to stop, and keeps the lease and the run meanwhile; why it stopped where it
    /// could not.
    async fn pause(&mut self, pause: Duration) -> Result<Option<&'static str>, StoreError> {
        if lease(self.runner).await?.is_none() {
            return Ok(Some("lease_lost"));
        }
        if let Err(error) = self.runner.store.heartbeat_run(&self.run).await {
            return self.tolerate_one_refusal(error).await;
        }
        let mut stop = self.runner.stop.clone();
        tokio::select! {
            () = stop.requested() => {}
            () = tokio::time::sleep(pause) => {}
        }
        Ok(None)
    }

    /// Who is behind, if anybody.
    async fn behind(&self) -> Option<&'static str> {
        for lag in self.runner.lags {
            if lag.should_wait().await {
                return Some(lag.name());
            }
        }
        None
    }

    /// Does one batch; is there perhaps another?
    async fn batch(&mut self, pass: Pass, held: Option<&LeaseGuard>) -> Result<bool, StoreError> {
        let left = u32::try_from(self.job.max_per_run - self.run.done.deleted).unwrap_or(u32::MAX);
        let limit = if pass.failed_before.is_some() { 1 } else { self.batch_size.size().min(left) };
        let sweep = Sweep {
            job: self.job.name,
            target: self.job.target,
            after: self.job.after,
            limit,
            locked: pass.locked,
            lease: held,
            failed_before: pass.failed_before,
            run: Some(&self.run),
        };
        let began = Instant::now();
        match self.runner.store.sweep(&sweep).await {
            Ok(swept) => {
                let worked = began.elapsed();
                self.batch_size.adjust(swept.deleted == u64::from(limit), worked);
                let removed = swept.deleted;
                self.run.done = self.run.done.and(&swept);
                self.job.count_deleted(&swept);
                for (enrollment, Decided { decision, .. }) in &swept.decided {
                    telemetry::decided(enrollment, decision);
                }
                self.schedule_rest(worked).await;
                Ok(removed > 0)
            }
            Err(error) if !self.is_about_rows(&error).await => Err(error),
            Err(_) if limit > 1 => {
                self.batch_size.halve();
                Ok(true)
            }
            Err(error) => {
                warn!(job.name = self.job.name, %error, "a row could not be removed; it is set aside");
                let aside = self.runner.store.set_aside(&sweep).await?;
                self.run.done = self.run.done.and_failed(aside);
                if self.run.done.failed >= MAX_FAILED_ROWS { Err(error) } else { Ok(aside > 0) }
            }
        }
    }

    /// Is it the rows of the batch that the store does not take? One that answers is not away.
    async fn is_about_rows(&self, error: &StoreError) -> bool {
        match error {
            StoreError::Failed(_) | StoreError::TimedOut(_) | StoreError::Unsupported(_) => true,
            StoreError::Unavailable(_) => self.runner.store.answers().await,
            _ => false,
        }
    }
}

/// Keeps the lease. `None`: another has it. A run without an office needs none.
pub async fn lease(runner: &RunContext<'_>) -> Result<Option<Option<LeaseGuard>>, StoreError> {
    let Some(LeaderLease { holder, period }) = runner.office else { return Ok(Some(None)) };
    let lease = runner.store.acquire_or_renew_lease(LeaseName::Schedule, holder, period).await?;
    Ok(lease.map(|lease| Some(LeaseGuard { lease, idle_timeout: period.max(MIN_IDLE_TX_TIMEOUT) })))
}
