//! `retention`: the scheduled jobs, seen and run by a person.

use anyhow::anyhow;
use clap::Subcommand;
use serde_json::{Value, json};

use super::{Context, Failure, output};
use crate::domain::time::{Time, format_time};
use crate::ports::Stop;
use crate::scheduler::jobs::{Estimate, Job, Ran, Report, Runner};
use crate::service;
use crate::store::StoreError;
use crate::store::retention::LastRun;

#[derive(Debug, Subcommand)]
pub enum Retention {
    /// Last run, next run, backlog and oldest overdue of each job
    Status,
    /// Run the jobs now
    Run {
        /// Only this job
        #[arg(long, value_name = "NAME")]
        job: Option<String>,
        /// Tell what would be deleted; write nothing
        #[arg(long)]
        dry_run: bool,
    },
}

impl Retention {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::Status => status(context).await,
            Self::Run { job, dry_run } => run(context, job.as_deref(), dry_run).await,
        }
    }
}

async fn status(context: &Context) -> Result<(), Failure> {
    let store = context.existing_store().await?;
    let mut jobs = Vec::new();
    for job in service::jobs(&context.settings) {
        let (known, now) = store.last_run(job.name).await?;
        let backlog = store.backlog(job.name, job.target, job.after).await?;
        let last = known.as_ref().and_then(|known| known.last.as_ref());
        // A job whose last run lies before its last appointment is due at once.
        let since = known.as_ref().map_or(now, |known| last.map_or(known.first_seen, |last| last.started_at));
        let time = |time: Option<Time>| time.map(format_time);
        jobs.push(json!({"job": job.name, "lastRun": time(last.map(|last| last.started_at)),
            "lastSuccess": time(known.as_ref().and_then(|known| known.succeeded_at)),
            "lastResult": last.and_then(|last| last.stopped_by.clone()),
            "lastDeleted": last.map(|last| last.done.deleted),
            "nextRun": time(job.schedule.next_after(since).map(|next| next.max(now))),
            "backlog": backlog.count, "failing": backlog.failing,
            "oldestOverdueSeconds": backlog.oldest_overdue.as_secs(), "run": last.map(record)}));
    }
    if context.json {
        return output::document(&json!({ "jobs": jobs }));
    }
    let text = |job: &Value, member: &str| match &job[member] {
        Value::Null => "-".to_owned(),
        Value::String(text) => output::short_time(text),
        other => other.to_string(),
    };
    let members = [
        "job",
        "lastRun",
        "lastResult",
        "lastDeleted",
        "nextRun",
        "backlog",
        "failing",
        "oldestOverdueSeconds",
    ];
    let rows: Vec<Vec<String>> =
        jobs.iter().map(|job| members.iter().map(|member| text(job, member)).collect()).collect();
    let headings =
        ["job", "last run", "result", "deleted", "next run", "due", "failing", "oldest overdue (s)"];
    output::table(&headings, &rows, "no jobs")?;
    for job in &jobs {
        tell(job)?;
    }
    Ok(())
}

/// The record of a run: who did it under which lease, what of each category, what is left, why it stopped.
fn record(run: &LastRun) -> Value {
    let LastRun { run_id, run_by, token, started_at, ended_at, stopped_by, done, remaining } = run;
    json!({"runId": run_id.to_string(), "by": run_by, "leaseToken": token, "startedAt": format_time(*started_at),
        "endedAt": ended_at.map(format_time), "batches": done.batches, "deleted": done.deleted,
        "failed": done.failed, "counts": done.counts, "remaining": remaining, "stoppedBy": stopped_by})
}

/// What the last run of a job did, line by line.
fn tell(job: &Value) -> Result<(), Failure> {
    let run = &job["run"];
    let Some(counts) = run["counts"].as_object().filter(|counts| !counts.is_empty()) else { return Ok(()) };
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
    let lease = run["leaseToken"].as_i64().map_or(String::new(), |token| format!(", lease {token}"));
    output::line(&format!(
        "\n{}, run {} by {}{lease}:",
        text(&job["job"]),
        text(&run["runId"]),
        text(&run["by"])
    ))?;
    let row = |(category, rows): (&String, &Value)| {
        let count = |deed| rows[deed].to_string();
        vec![category.clone(), count("deleted"), count("unlinked"), count("redacted")]
    };
    let rows: Vec<Vec<String>> = counts.iter().map(row).collect();
    output::table(&["category", "deleted", "unlinked", "redacted"], &rows, "nothing")
}

async fn run(context: &Context, only: Option<&str>, dry_run: bool) -> Result<(), Failure> {
    let mut jobs = service::jobs(&context.settings);
    if let Some(name) = only {
        let known: Vec<&str> = jobs.iter().map(|job| job.name).collect();
        if !known.contains(&name) {
            return Err(Failure::Usage(format!("there is no job {name}: it is one of {}", known.join(", "))));
        }
        jobs.retain(|job| job.name == name);
    }
    let store = context.existing_store().await?;
    let stop = stopped_by_a_signal()?;
    let by = format!("operator:{}", super::operator());
    let runner = Runner { store: &store, by, office: None, lags: &[], stop: &stop };
    let mut reports = Vec::new();
    for job in &jobs {
        let ran = if dry_run { job.dry_run(&store).await.map(Ran::ToItsEnd) } else { job.run(&runner).await };
        reports.push(report(job, ran)?);
    }
    show(context, &reports)?;
    let failed: u64 = reports.iter().map(|report| report.failed).sum();
    if failed > 0 {
        return Err(Failure::Failed(anyhow!(
            "{failed} rows could not be removed: see the log with -v for the reason; the next run tries them again"
        )));
    }
    Ok(())
}

fn report(job: &Job, ran: Result<Ran, StoreError>) -> Result<Report, Failure> {
    let name = job.name;
    match ran {
        Ok(Ran::ToItsEnd(report)) => Ok(report),
        Ok(Ran::UnderWay { by, since }) => Err(Failure::Failed(anyhow!(
            "{name} is under way since {} by {by}: wait for its end, which `retention status` shows",
            format_time(since)
        ))),
        Err(error) => Err(Failure::Failed(anyhow!("{name}: {error}"))),
    }
}

/// Ctrl-C stops between two batches.
fn stopped_by_a_signal() -> Result<Stop, Failure> {
    let mut asked = service::asked_to_stop()?;
    let (stop, listener) = Stop::channel();
    tokio::spawn(async move {
        // Whether anybody still listens does not matter.
        if asked.wait_for(|asked| *asked).await.is_ok() {
            stop.send_replace(true);
        }
        std::future::pending::<()>().await;
    });
    Ok(listener)
}

fn show(context: &Context, reports: &[Report]) -> Result<(), Failure> {
    if context.json {
        return output::document(&json!({ "jobs": reports }));
    }
    let row = |report: &Report| {
        let mut row = vec![report.job.to_owned(), report.deleted.to_string(), report.remaining.to_string()];
        match report.estimate {
            Some(Estimate { batches, estimated_seconds }) => {
                row.extend([batches.to_string(), format!("{estimated_seconds} s")]);
            }
            None => row.extend([report.failed.to_string(), report.stopped_by.to_owned()]),
        }
        row
    };
    let rows: Vec<Vec<String>> = reports.iter().map(row).collect();
    let dry = reports.iter().any(|report| report.dry_run);
    let last = if dry { ["batches", "would take"] } else { ["failed", "stopped by"] };
    output::table(&["job", "deleted", "still due", last[0], last[1]], &rows, "no jobs")
}
