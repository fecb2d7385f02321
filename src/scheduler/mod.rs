//! The schedule of retention: on one of many instances, by a lease; a missed run is made up once.
//!
//! Every second the lease is taken or kept; who holds it starts the jobs that are due, one after the other. A job works
//! in bounded batches and the lease is kept between them; each batch checks it again in its own transaction. Beside
//! that whoever leads counts what is due, also while a job is at it.

pub mod jobs;

use std::time::Duration;

use metrics::gauge;
use tokio::sync::watch;
use tracing::{error, info, warn};

use crate::domain::time::Time;
use crate::ports::{Backpressure, Stop};
use crate::store::lease::LeaseName;
use crate::store::retention::JobRun;
use crate::store::retention::clock::Looker;
use crate::store::{Store, StoreError};
use crate::telemetry;
use jobs::{Job, LeaderLease, RunContext, RunOutcome};

const TICK: Duration = Duration::from_secs(1);
/// How often the backlog is counted for the metrics.
const BACKLOG_EVERY: Duration = Duration::from_secs(15);
/// When a job that failed is tried again, should its next appointment be later.
const FAILURE_RETRY_DELAY: chrono::TimeDelta = chrono::TimeDelta::minutes(10);
/// How far ahead of one reading of the clock another may be.
const SKEW: chrono::TimeDelta = chrono::TimeDelta::minutes(1);

/// How the schedule runs.
pub struct Options {
    /// Tells this instance from the others.
    pub holder: String,
    /// How long the lease outlives its holder.
    pub lease: Duration,
    /// Appointments are kept up to this much later, by each instance at its own pace: many that share a server do not
    /// come all at once.
    pub jitter: Duration,
    pub jobs: Vec<Job>,
    /// Whose falling behind a job waits out.
    pub lags: Vec<Box<dyn Backpressure>>,
}

/// Runs the schedule until it is asked to stop.
pub async fn run(store: Store, options: Options, stop: Stop) {
    options.jobs.iter().for_each(Job::init_metrics);
    let (leads, led) = watch::channel(false);
    // Neither drops a future of the store: both come to their own end.
    tokio::join!(lead(&store, &options, stop.clone(), leads), measure(&store, &options, stop, led));
}

async fn lead(store: &Store, options: &Options, mut stop: Stop, leads: watch::Sender<bool>) {
    let delay = options.jitter.mul_f64(fastrand::f64());
    while !stop.is_requested() {
        let led = *leads.borrow();
        let leading = tick(store, options, delay, &stop, &leads).await.unwrap_or_else(|problem| {
            warn!(error = %problem, "scheduler could not reach the store");
            false
        });
        if leading != led {
            info!(scheduler.leader = leading, "scheduler lease changed hands");
        }
        set_leading(&leads, leading);
        tokio::select! {
            () = stop.requested() => {}
            () = tokio::time::sleep(TICK.mul_f64(0.75 + fastrand::f64() / 2.0)) => {}
        }
    }
    set_leading(&leads, false);
    gauge!(telemetry::PURGE_WAITS_FOR_CLOCK).set(0.0);
    if let Err(problem) = store.release_lease(LeaseName::Schedule, &options.holder).await {
        warn!(error = %problem, "scheduler lease not released; it ends by itself");
    }
}

fn set_leading(leads: &watch::Sender<bool>, leading: bool) {
    leads.send_replace(leading);
    gauge!(telemetry::SCHEDULER_LEADER).set(if leading { 1.0 } else { 0.0 });
}

/// One look at the lease and the clock; whether this instance leads.
async fn tick(
    store: &Store,
    options: &Options,
    delay: Duration,
    stop: &Stop,
    leads: &watch::Sender<bool>,
) -> Result<bool, StoreError> {
    let office = LeaderLease { holder: &options.holder, period: options.lease };
    if store.acquire_or_renew_lease(LeaseName::Schedule, office.holder, office.period).await?.is_none() {
        gauge!(telemetry::PURGE_WAITS_FOR_CLOCK).set(0.0);
        return Ok(false);
    }
    set_leading(leads, true);
    let deletions_wait = deletions_wait(store).await?;
    let by = format!("scheduler:{}", options.holder);
    let runner = RunContext { store, by, office: Some(office), lags: &options.lags, stop };
    for job in &options.jobs {
        let (run, now) = match store.last_run(job.name).await? {
            (Some(run), now) if run.first_seen <= now => (run, now),
            _ => store.register_job(job.name).await?,
        };
        let waits = deletions_wait && job.target.deletes();
        if stop.is_requested() || waits || !is_due(job, &run, now, delay) {
            continue;
        }
        match job.run(&runner).await {
            Ok(RunOutcome::Completed(report)) if report.stopped_by == "lease_lost" => return Ok(false),
            Ok(RunOutcome::Completed(report)) => info!(
                job.name = job.name,
                job.deleted = report.deleted,
                job.remaining = report.remaining,
                job.failed = report.failed,
                job.stopped_by = report.stopped_by,
                "job ended"
            ),
            Ok(RunOutcome::AlreadyRunning { .. }) => {}
            Err(problem) => {
                error!(job.name = job.name, error = %problem, "job failed; it is tried again");
            }
        }
    }
    Ok(true)
}

/// Has the clock jumped, so that no job is to delete by it?
async fn deletions_wait(store: &Store) -> Result<bool, StoreError> {
    let clock = store.watch_clock(Looker::Leader).await?;
    if let Some(by) = clock.jumped_by {
        warn!(
            clock.jumped_by_seconds = by.num_seconds(),
            "the clock has jumped by more than a day, or nothing ran for as long: nothing is deleted by age for \
             an hour; where the clock is right, `retention run --clock-is-right` does it now"
        );
    }
    let waits = clock.jobs_wait_until().is_some();
    gauge!(telemetry::PURGE_WAITS_FOR_CLOCK).set(if waits { 1.0 } else { 0.0 });
    Ok(waits)
}

/// A run that was cut short goes on at once; one that failed after a while; otherwise the appointments count.
fn is_due(job: &Job, run: &JobRun, now: Time, delay: Duration) -> bool {
    // A run that began in the future had a clock that was wrong: it counts as none.
    let began = run.last.as_ref().filter(|last| last.started_at <= now + SKEW);
    let Some(last) = began else { return is_time(job, run.first_seen, now, delay) };
    let failed_long_ago = |ended| now - ended >= FAILURE_RETRY_DELAY;
    match (last.ended_at, last.stopped_by.as_deref()) {
        (None, _) | (_, Some("killed" | "shutdown" | "lease_lost")) => true,
        (Some(ended), Some("failed")) if failed_long_ago(ended) => true,
        _ => is_time(job, last.started_at, now, delay),
    }
}

fn is_time(job: &Job, since: Time, now: Time, delay: Duration) -> bool {
    now.checked_sub_signed(chrono::TimeDelta::from_std(delay).unwrap_or_default())
        .is_some_and(|now| job.schedule.is_due(since, now))
}

/// Counts what is due and what waits, on whoever leads.
async fn measure(store: &Store, options: &Options, mut stop: Stop, mut led: watch::Receiver<bool>) {
    while !stop.is_requested() {
        let leads = *led.borrow_and_update();
        for lag in &options.lags {
            // Whoever is asked says in the metrics what it saw.
            if leads {
                lag.should_wait().await;
            } else {
                lag.reset_gauges();
            }
        }
        for job in &options.jobs {
            if !leads {
                job.reset_gauges();
            } else if let Err(problem) = job.measure(store).await {
                warn!(job.name = job.name, error = %problem, "what is due could not be counted");
            }
        }
        tokio::select! {
            () = stop.requested() => {}
            Ok(_) = led.wait_for(|now| *now != leads) => {}
            () = tokio::time::sleep(BACKLOG_EVERY) => {}
        }
    }
}
