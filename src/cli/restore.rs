//! Bringing contacts and other records back from the trash.

use std::ops::ControlFlow;

use anyhow::anyhow;
use clap::Args;

use super::progress::LongWork;
use super::records::{self, record};
use super::{Context, Failure, id, output, past};
use crate::domain::counted::{counted, verb};
use crate::domain::object_type::RecordKey;
use crate::domain::time::Time;
use crate::operations::Operations;
use crate::operations::restores::Report;
use crate::store::StageChange;
use crate::store::trash::restore::{
    Missing, Preview, RecordsOfRun, Refused, Request, RestorePreview, RestoreSelection,
};

/// What the progress counts.
const LOOKED_AT: &str = "contacts looked at";

#[derive(Debug, Args)]
pub struct Restore {
    #[arg(long, value_parser = id)]
    account: i64,
    /// The user who restores, by id or e-mail address
    #[arg(long = "as", value_name = "USER")]
    user: String,
    /// These contacts; of two with one address the first restored has it
    #[arg(long = "contact", value_name = "ID", value_parser = id, num_args = 1..,
        required_unless_present_any = ["workflow", "record", "deletion", "by"],
        conflicts_with_all = ["workflow", "since", "record", "deletion", "by"])]
    contacts: Vec<i64>,
    /// These records that are no contacts, each by its type and id, such as deal:30
    #[arg(long = "record", id = "record", value_name = "TYPE:ID", value_parser = record, num_args = 1..,
        conflicts_with_all = ["workflow", "since", "deletion", "by"])]
    records: Vec<RecordKey>,
    /// What went in this deletion of a user, contacts and other records
    #[arg(long, value_name = "ID", value_parser = id, conflicts_with_all = ["workflow", "since", "by"])]
    deletion: Option<i64>,
    /// What this user, by id or e-mail address, put into the trash, contacts and other records
    #[arg(long, value_name = "USER", requires = "since", conflicts_with = "workflow")]
    by: Option<String>,
    /// What this workflow put into the trash, and nobody else, to undo a bad run
    #[arg(long, value_parser = id, requires = "since")]
    workflow: Option<i64>,
    /// When the bad run began: 1h (ago), `yesterday 14:00` or 2026-11-21 (both UTC), or RFC 3339; what was deleted before
    /// stays in the trash
    #[arg(long, value_name = "TIME", value_parser = past)]
    since: Option<Time>,
    /// Tell what would come back and what is in the way; write nothing
    #[arg(long)]
    preview: bool,
}

impl Restore {
    pub async fn run(mut self, context: &Context) -> Result<(), Failure> {
        if let Some(contacts) = records::only_contacts(&self.records) {
            self.contacts = contacts;
        } else if !self.records.is_empty() {
            return if self.preview {
                records::preview_restore(context, self.account, &self.user, self.records).await
            } else {
                records::restore(context, self.account, &self.user, self.records).await
            };
        }
        let wanted = match (self.workflow, self.by, self.since, self.deletion) {
            (Some(workflow_id), _, Some(since), _) => RestoreSelection::DeletedBy { workflow_id, since },
            (_, Some(user), Some(since), _) => RestoreSelection::DeletedByUser { user, since },
            (.., Some(deletion_id)) => RestoreSelection::Deletion(deletion_id),
            _ => RestoreSelection::contacts(&self.contacts),
        };
        let request = Request { account_id: self.account, user: self.user, wanted };
        let operations = context.operations().await?;
        if self.preview {
            preview(context, &operations, &request).await
        } else {
            restore(context, &operations, &request).await
        }
    }
}

async fn restore(context: &Context, operations: &Operations, request: &Request) -> Result<(), Failure> {
    let progress = LongWork::start(LOOKED_AT);
    let mut seen = |seen| progress.reached(LOOKED_AT, seen as u64, None);
    let (report, carried_out) = operations.restore(request, &mut seen).await;
    progress.end();
    if report.seen() == 0 {
        carried_out?;
        let nothing = operations.nothing_to_restore(request).await?;
        return if context.json { output::document(&report) } else { output::line(&nothing) };
    }
    if context.json {
        output::document(&report)?;
    } else {
        print_report(&report)?;
    }
    carried_out?;
    let of_records = report.records.as_ref().map_or(0, |records| records.refused.len());
    match (report.refused.len() + of_records, &report.refused[..]) {
        (0, _) => Ok(()),
        (_, [one]) if report.seen() == 1 => Err(anyhow!("{}", one.message).into()),
        (some, _) => Err(anyhow!(
            "{some} of {} {} not restored; the answer says why and what to do",
            counted(report.seen() as u64, if report.records.is_some() { "record" } else { "contact" }),
            verb(some as u64, "was", "were")
        )
        .into()),
    }
}

fn print_report(report: &Report) -> Result<(), Failure> {
    match &report.restored[..] {
        [] => {}
        [one] => output::line(&format!("contact {one} is back"))?,
        some => output::line(&format!("{} are back", counted(some.len() as u64, "contact")))?,
    }
    // A contact that was asked for alone is refused in one sentence.
    if report.seen() > 1 {
        print_refused(&report.refused)?;
    }
    report.records.as_ref().map_or(Ok(()), records::print_restored)
}

fn print_refused(refused: &[Refused]) -> Result<(), Failure> {
    if refused.is_empty() {
        return Ok(());
    }
    let row = |it: &Refused| vec![it.contact_id.clone(), it.reason.to_owned(), it.message.clone()];
    let rows: Vec<Vec<String>> = refused.iter().map(row).collect();
    output::table(&["refused", "reason", "why, and what to do"], &rows, "")
}

async fn preview(context: &Context, operations: &Operations, request: &Request) -> Result<(), Failure> {
    let progress = LongWork::start(LOOKED_AT);
    let seen = |seen: usize| {
        progress.add(seen as u64);
        ControlFlow::Continue(())
    };
    let preview = operations.preview_restore(request, &seen).await;
    progress.end();
    let preview = preview?;
    if context.json { output::document(&preview) } else { print_preview(&preview) }
}

fn print_preview(preview: &Preview) -> Result<(), Failure> {
    let blocked: usize = preview.blocked.values().sum();
    output::line(&format!(
        "{} would come back, {blocked} would not; nothing was changed",
        counted(preview.restorable as u64, "contact")
    ))?;
    if let Some(RecordsOfRun { restorable, blocked }) = &preview.records {
        let blocked: u64 = blocked.values().sum();
        output::line(&format!(
            "{} would come back, {blocked} would not",
            counted(*restorable, "other record")
        ))?;
    }
    if preview.truncated {
        output::line("(there are many: what follows is of the first ones)")?;
    }
    if !preview.contacts.is_empty() {
        let rows: Vec<Vec<String>> = preview.contacts.iter().map(returning).collect();
        output::table(&["contact", "comes back with", "but without"], &rows, "")?;
    }
    if !preview.companies.is_empty() {
        let stage = |stage: Option<&str>| output::or_dash(stage);
        let row = |it: &StageChange| vec![it.company_id.clone(), stage(it.from), stage(it.to)];
        let rows: Vec<Vec<String>> = preview.companies.iter().map(row).collect();
        output::table(&["company", "stage now", "stage then"], &rows, "")?;
    }
    print_refused(&preview.refused)?;
    output::line(
        "Memberships of static segments and enrollments in workflows do not come back with a contact.",
    )
}

fn returning(contact: &RestorePreview) -> Vec<String> {
    let some = contact.visible.iter().filter(|(_, members)| !members.is_empty());
    let visible: Vec<String> =
        some.map(|(category, members)| format!("{} {category}", members.len())).collect();
    let end = |Missing { object_type, id, state, .. }: &Missing| {
        format!("{object_type} {id} ({})", state.replace('_', " "))
    };
    let missing: Vec<String> = contact.missing.iter().map(end).collect();
    let words = |words: &[String]| if words.is_empty() { "-".to_owned() } else { words.join(", ") };
    vec![contact.contact_id.clone(), words(&visible), words(&missing)]
}
