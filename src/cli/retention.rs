//! `retention`: the scheduled jobs, seen and run by a person.

use anyhow::anyhow;
use clap::Subcommand;
use serde_json::{Value, json};

use super::{Context, Failure, output};
use crate::domain::counted::counted;
use crate::ports::Stop;
use crate::scheduler::jobs::{Estimate, Report};
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
        /// Delete although the clock has jumped by more than a day
        #[arg(long, conflicts_with = "dry_run")]
        clock_is_right: bool,
    },
}

impl Retention {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::Status => status(context).await,
            Self::Run { job, dry_run, clock_is_right } => {
                run(context, job.as_deref(), dry_run, clock_is_right).await
            }
        }
    }
}

async fn status(context: &Context) -> Result<(), Failure> {
    let jobs = context.operations().await?.retention_status().await?;
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
        "held",
        "oldestOverdueSeconds",
    ];
    let rows: Vec<Vec<String>> =
        jobs.iter().map(|job| members.iter().map(|member| text(job, member)).collect()).collect();
    let headings =
        ["job", "last run", "result", "deleted", "next run", "due", "failing", "held", "oldest overdue (s)"];
    output::table(&headings, &rows, "no jobs")?;
    for job in &jobs {
        if let (Some(name), Some(until)) = (job["job"].as_str(), job["waitsUntil"].as_str()) {
            tell_wait(name, until)?;
        }
        print_status(job)?;
    }
    Ok(())
}

fn tell_wait(job: &str, until: &str) -> Result<(), Failure> {
    let until = output::short_time(until);
    output::line(&format!("{job} waits until {until}: the clock has jumped by more than a day"))
}

/// What the last run of a job did, line by line.
fn print_status(job: &Value) -> Result<(), Failure> {
    let run = &job["run"];
    let Some(counts) = run["counts"].as_object().filter(|counts| !counts.is_empty()) else { return Ok(()) };
    let text = |value: &Value| value.as_str().map_or_else(|| value.to_string(), ToOwned::to_owned);
    let lease = run["leaseToken"].as_i64().map_or(String::new(), |token| format!(", lease {token}"));
    output::line("")?;
    output::line(&format!(
        "{}, run {} by {}{lease}:",
        text(&job["job"]),
        text(&run["runId"]),
        text(&run["by"])
    ))?;
    let row = |(category, rows): (&String, &Value)| {
        let count = |deed| rows[deed].to_string();
        vec![category.clone(), count("deleted"), count("unlinked")]
    };
    let rows: Vec<Vec<String>> = counts.iter().map(row).collect();
    output::table(&["category", "deleted", "unlinked"], &rows, "nothing")
}

async fn run(
    context: &Context,
    only: Option<&str>,
    dry_run: bool,
    clock_is_right: bool,
) -> Result<(), Failure> {
    let operations = context.operations().await?;
    let reports = if dry_run {
        operations.dry_run_retention(only).await?
    } else {
        let operator = super::operator_or(None);
        operations.run_retention(only, &operator, clock_is_right, &stopped_by_a_signal()?).await?
    };
    show(context, &reports)?;
    let failed: u64 = reports.iter().map(|report| report.failed).sum();
    if failed > 0 {
        return Err(Failure::Failed(anyhow!(
            "{} could not be removed: see the log with -v for the reason; the next run tries again",
            counted(failed, "row")
        )));
    }
    Ok(())
}

/// Ctrl-C stops between two batches.
fn stopped_by_a_signal() -> Result<Stop, Failure> {
    let mut asked = service::shutdown_signal()?;
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
        let [deleted, remaining, held] =
            [report.deleted, report.remaining, report.held].map(|it| it.to_string());
        let mut row = vec![report.job.to_owned(), deleted, remaining, held];
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
    output::table(&["job", "deleted", "still due", "held", last[0], last[1]], &rows, "no jobs")?;
    for report in reports {
        if let Some(until) = &report.waits_until {
            tell_wait(report.job, until)?;
        }
    }
    Ok(())
}
