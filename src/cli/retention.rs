//! `retention`: the scheduled jobs, seen and run by a person.

use anyhow::anyhow;
use clap::Subcommand;
use serde_json::json;

use super::{Context, Failure, output};
use crate::domain::time::{Time, format_time};
use crate::ports::Stop;
use crate::service;

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
        let (run, now) = store.last_run(job.name).await?;
        let backlog = store.backlog(job.target, job.after).await?;
        let last = run.as_ref().and_then(|run| run.started_at);
        // A job whose last run lies before its last appointment is due at once.
        let since = run.as_ref().map_or(now, |run| last.unwrap_or(run.first_seen));
        let time = |time: Option<Time>| time.map(format_time);
        jobs.push(json!({"job": job.name, "lastRun": time(last),
            "lastSuccess": time(run.as_ref().and_then(|run| run.succeeded_at)),
            "lastResult": run.as_ref().and_then(|run| run.result.clone()),
            "lastDeleted": run.as_ref().map(|run| run.deleted),
            "nextRun": time(job.schedule.next_after(since).map(|next| next.max(now))),
            "backlog": backlog.count, "oldestOverdueSeconds": backlog.oldest_overdue.as_secs()}));
    }
    if context.json {
        return output::document(&json!({ "jobs": jobs }));
    }
    let text = |job: &serde_json::Value, member: &str| match &job[member] {
        serde_json::Value::Null => "-".to_owned(),
        serde_json::Value::String(text) => output::short_time(text),
        other => other.to_string(),
    };
    let members =
        ["job", "lastRun", "lastResult", "lastDeleted", "nextRun", "backlog", "oldestOverdueSeconds"];
    let rows: Vec<Vec<String>> =
        jobs.iter().map(|job| members.iter().map(|member| text(job, member)).collect()).collect();
    let headings = ["job", "last run", "result", "deleted", "next run", "due", "oldest overdue (s)"];
    output::table(&headings, &rows, "no jobs")
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
    let mut asked = service::asked_to_stop()?;
    let (stop, listener) = Stop::channel();
    tokio::spawn(async move {
        // Ctrl-C stops between two batches; whether anybody still listens does not matter.
        if asked.wait_for(|asked| *asked).await.is_ok() {
            stop.send_replace(true);
        }
        std::future::pending::<()>().await;
    });
    let mut reports = Vec::new();
    for job in &jobs {
        let report = if dry_run { job.dry_run(&store).await } else { job.run(&store, None, &listener).await };
        reports.push(report.map_err(|error| anyhow!("{}: {error}", job.name))?);
    }
    if context.json {
        return output::document(&json!({ "jobs": reports }));
    }
    let rows: Vec<Vec<String>> = reports
        .iter()
        .map(|report| {
            vec![
                report.job.to_owned(),
                report.deleted.to_string(),
                report.remaining.to_string(),
                report.stopped_by.to_owned(),
            ]
        })
        .collect();
    output::table(&["job", "deleted", "still due", "stopped by"], &rows, "no jobs")
}
