//! The scheduled jobs, seen and run by a person.

use std::time::Duration;

use serde_json::{Value, json};

use super::{Error, Operations};
use crate::domain::time::{Time, format_time};
pub use crate::ports::Stop;
pub use crate::scheduler::jobs::Report;
use crate::scheduler::jobs::{Job, RunContext, RunOutcome};
use crate::store::retention::clock::Looker;
use crate::store::retention::{LastRun, Target};
use crate::store::{Operator, StoreError};

impl Operations {
    /// Of each job its last run, next run, backlog and oldest overdue.
    ///
    /// # Errors
    ///
    /// Where the store does not answer.
    pub async fn retention_status(&self) -> Result<Vec<Value>, Error> {
        let mut jobs = Vec::new();
        for job in &self.options.jobs {
            jobs.push(self.status(job).await?);
        }
        Ok(jobs)
    }

    async fn status(&self, job: &Job) -> Result<Value, StoreError> {
        let (known, now) = self.store.last_run(job.name).await?;
        let backlog = self.store.backlog(job.name, job.target, job.after).await?;
        let last = known.as_ref().and_then(|known| known.last.as_ref());
        // A job whose last run lies before its last appointment is due at once.
        let began = last.map(|last| last.started_at).filter(|started_at| *started_at <= now);
        let since = known.as_ref().map_or(now, |known| began.unwrap_or(known.first_seen));
        let time = |time: Option<Time>| time.map(format_time);
        let waits_until = self.store.clock().await?.jobs_wait_until().filter(|_| job.target.deletes());
        let mut status = json!({"job": job.name, "lastRun": time(last.map(|last| last.started_at)),
            "lastSuccess": time(known.as_ref().and_then(|known| known.succeeded_at)),
            "lastResult": last.and_then(|last| last.stopped_by.clone()),
            "lastDeleted": last.map(|last| last.done.deleted),
            "nextRun": time(job.schedule.next_after(since).map(|next| next.max(now))),
            "backlog": backlog.count, "failing": backlog.failing, "held": backlog.held,
            "oldestOverdueSeconds": backlog.oldest_overdue.as_secs(), "run": last.map(record)});
        if let Some(until) = waits_until {
            status["waitsUntil"] = json!(format_time(until));
        }
        if job.target == Target::Trash {
            let of_records = self.store.record_backlog(job.after).await?;
            if !of_records.is_empty() {
                status["recordBacklog"] = json!(of_records);
            }
        }
        Ok(status)
    }

    /// What runs of the jobs, or of `only` one, would delete; writes nothing at all.
    ///
    /// # Errors
    ///
    /// Where there is no such job.
    pub async fn dry_run_retention(&self, only: Option<&str>) -> Result<Vec<Report>, Error> {
        let waits_until = self.store.clock().await?.jobs_wait_until();
        let mut reports = Vec::new();
        for job in self.jobs(only)? {
            let mut report = report(job, job.dry_run(&self.store).await.map(RunOutcome::Completed))?;
            report.waits_until = waits_until.filter(|_| job.target.deletes()).map(format_time);
            reports.push(report);
        }
        Ok(reports)
    }

    /// Runs the jobs, or `only` one, on behalf of somebody at the command line.
    ///
    /// # Errors
    ///
    /// Where there is no such job, or it is under way; where the clock has jumped, unless somebody says that it is right.
    pub async fn run_retention(
        &self,
        only: Option<&str>,
        operator: &Operator,
        clock_is_right: bool,
        stop: &Stop,
    ) -> Result<Vec<Report>, Error> {
        let jobs = self.jobs(only)?;
        let mut names: Vec<String> = jobs.iter().map(|job| job.name.to_owned()).collect();
        if clock_is_right {
            names.push("clock_is_right".to_owned());
        }
        if jobs.iter().any(|job| job.target.deletes()) {
            self.trust_clock(clock_is_right).await?;
        }
        let by = self.store.authorize_job_run(0, operator, &names).await?;
        let runner = RunContext { store: &self.store, by, office: None, lags: &[], stop };
        let mut reports = Vec::new();
        for job in jobs {
            reports.push(report(job, job.run(&runner).await)?);
        }
        Ok(reports)
    }

    /// Runs one job for a user of an account, no longer than `within`: what is due then is left to the next run.
    ///
    /// # Errors
    ///
    /// Where the user may not, there is no such job, or it is under way.
    pub async fn run_job(
        &self,
        name: &str,
        (account_id, user): (i64, &Operator),
        within: Duration,
        stop: &Stop,
    ) -> Result<Report, Error> {
        let job = self.job(name)?.clone();
        if job.target.deletes() {
            self.trust_clock(false).await?;
        }
        let by = self.store.authorize_job_run(account_id, user, &[name.to_owned()]).await?;
        let runner = RunContext { store: &self.store, by, office: None, lags: &[], stop };
        let job = Job { time_budget: job.time_budget.min(within), ..job };
        report(&job, job.run(&runner).await)
    }

    /// To delete by a clock that has just jumped is refused, unless somebody says that it is right. The look is remembered.
    async fn trust_clock(&self, is_right: bool) -> Result<(), Error> {
        let waits_until = self.store.watch_clock(Looker::Command).await?.jobs_wait_until();
        let Some(until) = waits_until.filter(|_| !is_right) else { return Ok(()) };
        Err(Error::Refused(format!(
            "the clock has jumped by more than a day, or nothing ran for as long, so that nothing is deleted by age \
             before {}: set the clock right and try again then, or where it is right, add --clock-is-right to \
             `retention run`",
            format_time(until)
        )))
    }

    /// All jobs, or the one of that name.
    fn jobs(&self, only: Option<&str>) -> Result<Vec<&Job>, Error> {
        match only {
            Some(name) => Ok(vec![self.job(name)?]),
            None => Ok(self.options.jobs.iter().collect()),
        }
    }

    fn job(&self, name: &str) -> Result<&Job, Error> {
        let jobs = &self.options.jobs;
        jobs.iter().find(|job| job.name == name).ok_or_else(|| {
            let known: Vec<&str> = jobs.iter().map(|job| job.name).collect();
            Error::Usage(format!("there is no job {name}: it is one of {}", known.join(", ")))
        })
    }
}

/// The record of a run: who did it under which lease, what of each category, what is left, why it stopped.
fn record(run: &LastRun) -> Value {
    let LastRun { run_id, run_by, token, started_at, ended_at, stopped_by, done, remaining } = run;
    json!({"runId": run_id.to_string(), "by": run_by, "leaseToken": token, "startedAt": format_time(*started_at),
        "endedAt": ended_at.map(format_time), "batches": done.batches, "deleted": done.deleted,
        "failed": done.failed, "counts": done.counts, "remaining": remaining, "stoppedBy": stopped_by})
}

fn report(job: &Job, ran: Result<RunOutcome, StoreError>) -> Result<Report, Error> {
    let name = job.name;
    match ran {
        Ok(RunOutcome::Completed(report)) => Ok(report),
        Ok(RunOutcome::AlreadyRunning { by, since }) => Err(Error::Refused(format!(
            "{name} is under way since {} by {by}: wait for its end, which `retention status` shows",
            format_time(since)
        ))),
        Err(error) => Err(Error::Failed(format!("{name}: {error}"))),
    }
}
