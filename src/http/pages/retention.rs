//! The scheduled retention jobs.

use axum::extract::{Extension, State as Shared};
use axum::http::StatusCode;
use maud::{Markup, html};
use serde_json::Value;

use super::layout::{self, PageResult};
use super::session::{PageContext, PageQuery, VerifiedForm};
use crate::http::limits::JOB_TIMEOUT;
use crate::operations::Operations;
use crate::operations::retention::{Report, Stop};

pub async fn page(
    Shared(operations): Shared<Operations>,
    ctx: PageContext,
    PageQuery(asked): PageQuery,
) -> PageResult {
    if !ctx.caller.is_super_admin() {
        let says = "The scheduled jobs are of all accounts: seeing them takes the permission Super admin.";
        return Err(ctx.error(StatusCode::FORBIDDEN, says));
    }
    let jobs = operations.retention_status().await;
    let jobs = jobs.map_err(|error| ctx.operation_error(&error))?;
    let rows: Vec<Vec<Markup>> = jobs.iter().map(job).collect();
    let headings =
        ["job", "last run", "ended", "deleted", "next run", "due", "failing", "held", "oldest overdue"];
    let content = html! {
        (layout::table("Scheduled jobs", &headings, &rows))
        form method="get" action="/retention" {
            input type="hidden" name="dry-run" value="yes";
            button { "What would a run delete now?" }
        }
        @if asked.text("dry-run").is_some() { (dry_run(&operations, &ctx).await?) }
        h2 { "Run one now" }
        p { "It removes for good what is due, of all accounts, and does not wait for its next run." }
        div.offers { (ctx.form("/retention/run", &run_form(&jobs))?) }
    };
    Ok(layout::page(&ctx, "Retention", Some("/retention"), &content))
}

fn run_form(jobs: &[Value]) -> Markup {
    html! {
        div.field {
            label for="run-job" { "Job" }
            select id="run-job" name="job" required {
                option value="" { "choose one" }
                @for name in jobs.iter().filter_map(|job| job["job"].as_str()) {
                    option value=(name) { (name.replace('_', " ")) }
                }
            }
        }
        button.danger { "Run it now" }
    }
}

pub async fn run(
    Shared(operations): Shared<Operations>,
    Extension(stop): Extension<Stop>,
    VerifiedForm { ctx, fields }: VerifiedForm,
) -> PageResult {
    let job = fields.bounded_text("job").map_err(|says| ctx.bad_request(says))?.unwrap_or_default();
    let by = (ctx.account(), &ctx.operator());
    let report = operations.run_job(&job, by, JOB_TIMEOUT, &stop).await;
    let Report { deleted, remaining, failed, .. } = report.map_err(|error| ctx.operation_error(&error))?;
    let content = html! {
        p.notice.good role="status" { (job.replace('_', " ")) ": " (deleted) " removed, " (remaining) " still due." }
        @if failed > 0 {
            p.notice.bad { (failed) " could not be removed: the log says why, and the next run tries them again." }
        }
        p { a href="/retention" { "Back to the scheduled jobs" } }
    };
    Ok(layout::page(&ctx, "Done", Some("/retention"), &content))
}

fn job(job: &Value) -> Vec<Markup> {
    let text = |member: &str| match &job[member] {
        Value::Null => "–".to_owned(),
        Value::String(text) => text.replace('_', " "),
        other => other.to_string(),
    };
    let time = |member: &str| layout::optional_time(job[member].as_str());
    let overdue = job["oldestOverdueSeconds"].as_u64().unwrap_or(0);
    vec![
        html! { (text("job")) },
        time("lastRun"),
        html! { (text("lastResult")) },
        html! { (text("lastDeleted")) },
        time("nextRun"),
        html! { (text("backlog")) },
        html! { (text("failing")) },
        html! { (text("held")) },
        html! { @if overdue == 0 { "–" } @else { (overdue / 3600) " h " (overdue / 60 % 60) " min" } },
    ]
}

async fn dry_run(operations: &Operations, ctx: &PageContext) -> Result<Markup, super::PageError> {
    let reports = operations.dry_run_retention(None).await;
    let reports = reports.map_err(|error| ctx.operation_error(&error))?;
    let row = |report: &Report| {
        let estimate = report.estimate.map(|it| (it.batches, it.estimated_seconds)).unwrap_or_default();
        vec![
            html! { (report.job.replace('_', " ")) },
            html! { (report.remaining) },
            html! { (report.held) },
            html! { (estimate.0) },
            html! { (estimate.1) " s" },
        ]
    };
    let rows: Vec<Vec<Markup>> = reports.iter().map(row).collect();
    Ok(html! {
        h2 { "A dry run, just now" }
        p role="status" { "Nothing was written." }
        (layout::table("Dry run", &["job", "due", "held", "batches", "would take"], &rows))
    })
}
