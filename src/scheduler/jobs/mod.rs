//! The jobs, one file each; this one runs any of them: in bounded batches, within a time budget.

pub mod delete_quotes;
pub mod expire_notifications;
pub mod purge_trash;

use std::time::{Duration, Instant};

use metrics::{counter, gauge};
use serde::Serialize;
use tracing::warn;

use crate::domain::effects::Transition;
use crate::domain::schedule::Schedule;
use crate::ports::Stop;
use crate::store::lease::Duty;
use crate::store::retention::{Backlog, Locked, Sweep, Target};
use crate::store::{Store, StoreError};
use crate::telemetry;

/// A job and its settings.
#[derive(Clone, Debug)]
pub struct Job {
    pub name: &'static str,
    pub target: Target,
    pub schedule: Schedule,
    /// Strictly older than this is deleted.
    pub after: Duration,
    /// Entries a transaction, at most.
    pub batch_size: u32,
    /// How long one run may take; the next run goes on.
    pub time_budget: Duration,
}

/// What of a job's settings differs from one installation to the next.
#[derive(Clone, Debug)]
pub struct Settings {
    pub schedule: Schedule,
    pub after: Duration,
    pub batch_size: u32,
    pub time_budget: Duration,
}

/// In whose name the scheduler runs a job.
#[derive(Clone, Copy, Debug)]
pub struct Held<'a> {
    pub holder: &'a str,
    pub period: Duration,
}

/// How a run went.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    pub job: &'static str,
    pub dry_run: bool,
    /// Entries deleted; in a dry run none.
    pub deleted: u64,
    /// Entries still due.
    pub remaining: u64,
    /// `done`, `time_budget`, `shutdown`, `lease_lost` or `dry_run`.
    pub stopped_by: &'static str,
}

impl Job {
    fn new(name: &'static str, target: Target, settings: Settings) -> Self {
        let Settings { schedule, after, batch_size, time_budget } = settings;
        Self { name, target, schedule, after, batch_size, time_budget }
    }

    /// Runs the job once. Without `held` it is a person's run, which needs no lease: two runs at once are in
    /// nobody's way, as each batch decides on rows that it has locked.
    ///
    /// # Errors
    ///
    /// What was deleted until then stays deleted; the next run goes on.
    pub async fn run(
        &self,
        store: &Store,
        held: Option<&Held<'_>>,
        stop: &Stop,
    ) -> Result<Report, StoreError> {
        store.job_started(self.name).await?;
        let mut deleted = 0;
        let work = self.sweep_all(store, held, stop, &mut deleted).await;
        let result = work.as_ref().map_or("failed", |stopped_by| stopped_by);
        counter!(telemetry::JOB_RUNS_TOTAL, "job" => self.name, "result" => result.to_owned()).increment(1);
        store.job_ended(self.name, result, deleted).await?;
        if self.target == Target::Trash
            && let Err(problem) = store.scrub_if_owed().await
        {
            warn!(error = %problem, "what was purged is not yet gone from the files; the next purge tries again");
        }
        let stopped_by = work?;
        gauge!(telemetry::JOB_LAST_SUCCESS_TIMESTAMP_SECONDS, "job" => self.name).set(unix_seconds());
        let Backlog { count: remaining, .. } = self.measure(store).await?;
        Ok(Report { job: self.name, dry_run: false, deleted, remaining, stopped_by })
    }

    /// Tells what a run would find. Writes nothing.
    ///
    /// # Errors
    ///
    /// Where the store does not answer.
    pub async fn dry_run(&self, store: &Store) -> Result<Report, StoreError> {
        let Backlog { count: remaining, .. } = store.backlog(self.target, self.after).await?;
        Ok(Report { job: self.name, dry_run: true, deleted: 0, remaining, stopped_by: "dry_run" })
    }

    /// Counts what is due, for the metrics.
    ///
    /// # Errors
    ///
    /// Where the store does not answer.
    pub async fn measure(&self, store: &Store) -> Result<Backlog, StoreError> {
        let backlog = store.backlog(self.target, self.after).await?;
        gauge!(telemetry::RETENTION_BACKLOG, "job" => self.name).set(backlog.count as f64);
        gauge!(telemetry::RETENTION_OLDEST_OVERDUE_SECONDS, "job" => self.name)
            .set(backlog.oldest_overdue.as_secs_f64());
        Ok(backlog)
    }

    async fn sweep_all(
        &self,
        store: &Store,
        held: Option<&Held<'_>>,
        stop: &Stop,
        deleted: &mut u64,
    ) -> Result<&'static str, StoreError> {
        let started = Instant::now();
        // First what nobody holds, then what somebody does: a row in use is not passed over for ever.
        for locked in [Locked::Skip, Locked::Wait] {
            loop {
                if stop.is_requested() {
                    return Ok("shutdown");
                }
                if started.elapsed() >= self.time_budget {
                    return Ok("time_budget");
                }
                let lease = match held {
                    Some(Held { holder, period }) => {
                        match store.hold_lease(Duty::Schedule, holder, *period).await? {
                            None => return Ok("lease_lost"),
                            lease => lease,
                        }
                    }
                    None => None,
                };
                let sweep = Sweep {
                    job: self.name,
                    target: self.target,
                    after: self.after,
                    limit: self.batch_size,
                    locked,
                    lease: lease.as_ref(),
                };
                let count = store.sweep(&sweep).await?;
                *deleted += count;
                self.count(count);
                if count == 0 {
                    break;
                }
            }
        }
        Ok("done")
    }

    fn count(&self, deleted: u64) {
        counter!(telemetry::RETENTION_DELETED_TOTAL, "job" => self.name).increment(deleted);
        if self.target == Target::Trash {
            let purge = Transition::Purge.as_str();
            counter!(telemetry::TRANSITIONS_TOTAL, "transition" => purge, "origin" => "schedule")
                .increment(deleted);
        }
    }
}

/// For a metric that Prometheus compares with its own clock.
fn unix_seconds() -> f64 {
    std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .map_or(0.0, |since| since.as_secs_f64())
}
