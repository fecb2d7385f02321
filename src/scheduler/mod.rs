//! The schedule of retention: on one of many instances, by a lease; a missed run is made up once.
//!
//! Every second the lease is taken or kept; who holds it starts the jobs that are due. A job works in bounded
//! batches and the lease is kept between them; each batch checks it again in its own transaction.

pub mod jobs;

use std::time::{Duration, Instant};

use metrics::gauge;
use tracing::{error, info, warn};

use crate::ports::Stop;
use crate::store::lease::Duty;
use crate::store::{Store, StoreError};
use crate::telemetry;
use jobs::{Held, Job};

const TICK: Duration = Duration::from_secs(1);
/// How often the backlog is counted for the metrics.
const BACKLOG_EVERY: Duration = Duration::from_secs(15);

/// How the schedule runs.
#[derive(Clone, Debug)]
pub struct Options {
    /// Tells this instance from the others.
    pub holder: String,
    /// How long the lease outlives its holder.
    pub lease: Duration,
    pub jobs: Vec<Job>,
}

/// Runs the schedule until it is asked to stop.
pub async fn run(store: Store, options: Options, mut stop: Stop) {
    let mut leader = false;
    let mut counted: Option<Instant> = None;
    while !stop.is_requested() {
        match tick(&store, &options, &stop, &mut counted).await {
            Ok(leads) => {
                if leads != leader {
                    info!(scheduler.leader = leads, "scheduler lease changed hands");
                }
                leader = leads;
            }
            Err(problem) => {
                leader = false;
                warn!(error = %problem, "scheduler could not reach the store");
            }
        }
        gauge!(telemetry::SCHEDULER_LEADER).set(if leader { 1.0 } else { 0.0 });
        tokio::select! {
            () = stop.requested() => {}
            () = tokio::time::sleep(TICK) => {}
        }
    }
    gauge!(telemetry::SCHEDULER_LEADER).set(0.0);
    if let Err(problem) = store.release_lease(Duty::Schedule, &options.holder).await {
        warn!(error = %problem, "scheduler lease not released; it ends by itself");
    }
}

/// One look at the lease and the clock; whether this instance leads.
async fn tick(
    store: &Store,
    options: &Options,
    stop: &Stop,
    counted: &mut Option<Instant>,
) -> Result<bool, StoreError> {
    let held = Held { holder: &options.holder, period: options.lease };
    if store.hold_lease(Duty::Schedule, held.holder, held.period).await?.is_none() {
        return Ok(false);
    }
    for job in &options.jobs {
        let (run, now) = match store.last_run(job.name).await? {
            (Some(run), now) => (run, now),
            (None, _) => store.register_job(job.name).await?,
        };
        let due = run.was_cut_short() || job.schedule.is_due(run.started_at.unwrap_or(run.first_seen), now);
        if due && !stop.is_requested() {
            match job.run(store, Some(&held), stop).await {
                Ok(report) => info!(
                    job.name = job.name,
                    job.deleted = report.deleted,
                    job.remaining = report.remaining,
                    job.stopped_by = report.stopped_by,
                    "job ended"
                ),
                Err(problem) => {
                    error!(job.name = job.name, error = %problem, "job failed; its next run tries again");
                }
            }
        }
    }
    if counted.is_none_or(|counted| counted.elapsed() >= BACKLOG_EVERY) {
        for job in &options.jobs {
            job.measure(store).await?;
        }
        *counted = Some(Instant::now());
    }
    Ok(true)
}
