//! The jobs, one file each; this one is what they have in common, [`execution`] runs any of them.

pub mod delete_quotes;
mod execution;
pub mod expire_notifications;
pub mod expire_unlinked;
pub mod prune_audit;
pub mod prune_dead_letters;
pub mod prune_ledger;
pub mod prune_outbox;
pub mod purge_trash;
pub mod wake_deferred;

use std::collections::BTreeMap;
use std::time::Duration;

use metrics::{counter, gauge};
use serde::Serialize;
use tracing::warn;

use crate::domain::effects::Transition;
use crate::domain::object_type::{self, counted_as};
use crate::domain::schedule::Schedule;
use crate::domain::time::Time;
use crate::ports::{Backpressure, Stop};
use crate::store::retention::{Backlog, BatchResult, Run, Started, Target};
use crate::store::{Store, StoreError};
use crate::telemetry;
use execution::Execution;

/// A job and its settings.
#[derive(Clone, Debug)]
pub struct Job {
    pub name: &'static str,
    pub target: Target,
    pub schedule: Schedule,
    /// Strictly older than this is removed.
    pub after: Duration,
    /// Rows a transaction, at most.
    pub batch_size: u32,
    /// Rows a run, at most; the next run goes on.
    pub max_per_run: u64,
    /// How long one run may take; the next run goes on.
    pub time_budget: Duration,
}

/// What of a job's settings differs from one installation to the next.
#[derive(Clone, Debug)]
pub struct Settings {
    pub schedule: Schedule,
    pub after: Duration,
    pub batch_size: u32,
    pub max_per_run: u64,
    pub time_budget: Duration,
}

/// Who runs a job, and what goes before it.
pub struct RunContext<'a> {
    pub store: &'a Store,
    /// As the record of the run names it.
    pub by: String,
    /// The scheduler works under its lease. A person's run needs none: what it shares with others is locked.
    pub office: Option<LeaderLease<'a>>,
    /// Whose falling behind a run waits out.
    pub lags: &'a [Box<dyn Backpressure>],
    pub stop: &'a Stop,
}

/// The scheduler's lease, as its holder keeps it.
#[derive(Clone, Copy, Debug)]
pub struct LeaderLease<'a> {
    pub holder: &'a str,
    pub period: Duration,
}

/// What came of the wish to run a job.
#[derive(Clone, Debug)]
pub enum RunOutcome {
    Completed(Report),
    /// Another run is at it.
    AlreadyRunning {
        by: String,
        since: Time,
    },
}

/// How a run went, or a dry one.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    pub job: &'static str,
    pub dry_run: bool,
    /// Rows removed, or taken up; in a dry run none.
    pub deleted: u64,
    /// Rows still due.
    pub remaining: u64,
    /// Rows that would be due but for a legal hold.
    pub held: u64,
    /// `done`, `max_per_run`, `time_budget`, `lag`, `shutdown`, `lease_lost` or `dry_run`.
    pub stopped_by: &'static str,
    /// Rows that could not be removed.
    #[serde(skip_serializing_if = "is_zero")]
    pub failed: u64,
    /// What a run would take.
    #[serde(flatten)]
    pub estimate: Option<Estimate>,
    /// In a dry run: until when no run starts, because the clock has jumped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub waits_until: Option<String>,
}

/// What a run would take: transactions of full size, and seconds at the speed of the last runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Estimate {
    pub batches: u64,
    pub estimated_seconds: u64,
}

/// How a run can end, as the metrics call it.
const RESULTS: [&str; 7] = ["done", "failed", "max_per_run", "time_budget", "lag", "shutdown", "lease_lost"];

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks by reference")]
fn is_zero(count: &u64) -> bool {
    *count == 0
}

impl Job {
    fn new(name: &'static str, target: Target, settings: Settings) -> Self {
        let Settings { schedule, after, batch_size, max_per_run, time_budget } = settings;
        Self { name, target, schedule, after, batch_size, max_per_run, time_budget }
    }

    /// Shows what it counts from the start, so that the first of its kind is a step.
    pub fn init_metrics(&self) {
        for result in RESULTS {
            counter!(telemetry::JOB_RUNS_TOTAL, "job" => self.name, "result" => result).increment(0);
        }
        self.count_deleted(&BatchResult::default());
    }

    fn count_deleted(&self, swept: &BatchResult) {
        counter!(telemetry::RETENTION_DELETED_TOTAL, "job" => self.name).increment(swept.deleted);
        if self.target == Target::Trash {
            let (purge, origin) = (("transition", Transition::Purge.as_str()), ("origin", "schedule"));
            let contacts = swept.deleted - swept.records.values().sum::<u64>();
            counter!(telemetry::TRANSITIONS_TOTAL, &[purge, origin]).increment(contacts);
            for (object_type, deleted) in &swept.records {
                let labels = [("object_type", counted_as(object_type)), purge, origin];
                counter!(telemetry::RECORD_TRANSITIONS_TOTAL, &labels).increment(*deleted);
            }
        }
    }

    /// Runs the job once, unless a run of it is under way.
    ///
    /// # Errors
    ///
    /// What was removed until then stays removed; the next run goes on.
    pub async fn run(&self, runner: &RunContext<'_>) -> Result<RunOutcome, StoreError> {
        let Some(held) = execution::lease(runner).await? else {
            return Ok(RunOutcome::Completed(self.report(0, (0, 0), "lease_lost", 0)));
        };
        let run = match runner.store.start_run(self.name, &runner.by, held.as_ref()).await? {
            Started::Run(run) => run,
            Started::AlreadyRunning { by, since } => return Ok(RunOutcome::AlreadyRunning { by, since }),
        };
        let mut attempt = Execution::new(self, runner, run);
        let work = attempt.work().await;
        self.close(runner, attempt.run(), work).await.map(RunOutcome::Completed)
    }

    /// Writes down how a run ended.
    async fn close(
        &self,
        runner: &RunContext<'_>,
        run: &Run,
        work: Result<&'static str, StoreError>,
    ) -> Result<Report, StoreError> {
        if self.target == Target::Trash
            && let Err(problem) = runner.store.scrub_if_owed().await
        {
            warn!(error = %problem, "what was purged is not yet gone from the files; the next purge tries again");
        }
        let failed = run.done.failed;
        let result = match &work {
            Ok(stopped_by) if failed == 0 => *stopped_by,
            _ => "failed",
        };
        counter!(telemetry::JOB_RUNS_TOTAL, "job" => self.name, "result" => result).increment(1);
        // A store that does not answer leaves the record open: it is closed with the next start.
        let backlog = self.measure(runner.store).await;
        let remaining = backlog.as_ref().ok().map(|backlog| backlog.count);
        runner
            .store
            .end_run(run, work.as_ref().map_or("failed", |stopped_by| *stopped_by), remaining)
            .await?;
        let Backlog { count, held, .. } = backlog?;
        Ok(self.report(run.done.deleted, (count, held), work?, failed))
    }

    fn report(
        &self,
        deleted: u64,
        (remaining, held): (u64, u64),
        stopped_by: &'static str,
        failed: u64,
    ) -> Report {
        Report {
            job: self.name,
            dry_run: false,
            deleted,
            remaining,
            held,
            stopped_by,
            failed,
            estimate: None,
            waits_until: None,
        }
    }

    /// Tells what a run would find, and take. Writes nothing.
    ///
    /// # Errors
    ///
    /// Where the store does not answer.
    pub async fn dry_run(&self, store: &Store) -> Result<Report, StoreError> {
        /// Rows a second, until a run has shown how many it really is.
        const DEFAULT_ROWS_PER_SECOND: f64 = 1000.0;
        let Backlog { count: remaining, held, .. } =
            store.backlog(self.name, self.target, self.after).await?;
        let speed = store.speed(self.name).await?.unwrap_or(DEFAULT_ROWS_PER_SECOND);
        let seconds = Duration::try_from_secs_f64(remaining as f64 / speed).unwrap_or(Duration::MAX);
        let estimate = Estimate {
            batches: remaining.div_ceil(self.batch_size.into()),
            estimated_seconds: seconds.as_secs() + u64::from(seconds.subsec_nanos() > 0),
        };
        let report = self.report(0, (remaining, held), "dry_run", 0);
        Ok(Report { dry_run: true, estimate: Some(estimate), ..report })
    }

    /// Counts what is due, and when the job last did all it should, for the metrics.
    ///
    /// # Errors
    ///
    /// Where the store does not answer.
    pub async fn measure(&self, store: &Store) -> Result<Backlog, StoreError> {
        let backlog = store.backlog(self.name, self.target, self.after).await?;
        gauge!(telemetry::RETENTION_BACKLOG, "job" => self.name).set(backlog.count as f64);
        gauge!(telemetry::RETENTION_OLDEST_OVERDUE_SECONDS, "job" => self.name)
            .set(backlog.oldest_overdue.as_secs_f64());
        if self.target == Target::Trash {
            set_record_backlog(&store.record_backlog(self.after).await?);
        }
        if let Some(succeeded_at) = store.last_run(self.name).await?.0.and_then(|run| run.succeeded_at) {
            gauge!(telemetry::JOB_LAST_SUCCESS_TIMESTAMP_SECONDS, "job" => self.name)
                .set(succeeded_at.timestamp_micros() as f64 / 1e6);
        }
        Ok(backlog)
    }

    /// Somebody else counts from now on: what this process knew last is no longer true.
    pub fn reset_gauges(&self) {
        gauge!(telemetry::RETENTION_BACKLOG, "job" => self.name).set(0.0);
        gauge!(telemetry::RETENTION_OLDEST_OVERDUE_SECONDS, "job" => self.name).set(0.0);
        if self.target == Target::Trash {
            set_record_backlog(&BTreeMap::new());
        }
    }
}

/// Shows of each type how many records are due: of one that is not in `due`, none.
fn set_record_backlog(due: &BTreeMap<String, u64>) {
    let mut counts: BTreeMap<_, u64> = object_type::counted().map(|name| (name, 0)).collect();
    for (object_type, count) in due {
        *counts.entry(counted_as(object_type)).or_default() += count;
    }
    for (name, count) in counts {
        gauge!(telemetry::RETENTION_RECORD_BACKLOG, "object_type" => name).set(count as f64);
    }
}
