//! Restorable deletes by users.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use clap::Args;

use super::progress::LongWork;
use super::records::{self, record};
use super::{Context, Failure, id, output};
use crate::domain::counted::{counted, verb};
use crate::domain::criteria::Filter;
use crate::domain::members::parse_strictly;
use crate::domain::object_type::RecordKey;
use crate::operations::{Deleted, Entry, Operations};
use crate::store::deletions::{Progress, Request, Selection};

/// What the options alone do not tell.
const HELP: &str = "\
One contact takes the permission Delete; several picked ones, a segment or a filter take Bulk delete; Super admin may do
either. The number typed must be that of the live contacts that are selected: a wrong one deletes nothing.

Records that are no contacts are named with their type (--record deal:30 call:701), at most 1000 at once: all of them go, or none.
The permissions are the same, and may be held for one type alone.

Many contacts go in batches. A contact that is no longer live, or no longer selected, when its turn comes is skipped. Where the
command is interrupted, the same command with the same number goes on with what is left of the same deletion.

With --json, `entries` lists each contact with its trash entry where at most 1000 contacts were confirmed; for more it is
left out.";

#[derive(Debug, Args)]
#[command(after_help = HELP, group(clap::ArgGroup::new("selection").required(true).multiple(true).args(["contact", "segment", "filter", "record"])))]
pub struct Delete {
    #[arg(long, value_parser = id)]
    account: i64,
    /// The user who deletes, by id or e-mail address
    #[arg(long = "as", value_name = "USER")]
    user: String,
    /// A contact, or several
    #[arg(long, value_name = "ID", num_args = 1.., value_parser = id)]
    contact: Vec<i64>,
    /// A record that is no contact, or several: its type and id, such as deal:30
    #[arg(long, value_name = "TYPE:ID", num_args = 1.., value_parser = record, conflicts_with_all = ["contact", "segment", "filter"])]
    record: Vec<RecordKey>,
    /// All members of a segment, or with --contact these of them; the segment itself stays
    #[arg(long, value_name = "S", value_parser = id)]
    segment: Option<i64>,
    /// Whoever is accepted by the filter in this file: JSON, as a workflow's listFilterBranch
    #[arg(long = "where", id = "filter", value_name = "FILTERFILE", conflicts_with_all = ["contact", "segment"])]
    filter: Option<PathBuf>,
    /// How many contacts, or records, this will delete, typed to be sure
    #[arg(long, value_name = "COUNT", required_unless_present = "preview", conflicts_with = "preview")]
    confirm: Option<u64>,
    /// Show how many would go, what of them would be hidden, and what is in the way; write nothing
    #[arg(long)]
    preview: bool,
}

impl Delete {
    pub async fn run(mut self, context: &Context) -> Result<(), Failure> {
        if let Some(contacts) = records::only_contacts(&self.record) {
            self.contact = contacts;
        } else if !self.record.is_empty() {
            let Some(confirm) = self.confirm else {
                return records::preview_delete(context, self.account, &self.user, self.record).await;
            };
            return records::delete(context, self.account, self.user, self.record, confirm).await;
        }
        let selection = match (self.filter, self.segment) {
            (Some(file), _) => Selection::Filter(Box::new(read_filter(&file)?)),
            (None, Some(segment_id)) if self.contact.is_empty() => Selection::Segment(segment_id),
            (None, segment_id) => {
                Selection::Picked { contacts: self.contact.into_iter().collect(), segment_id }
            }
        };
        let operations = context.operations().await?;
        let confirm = self.confirm.unwrap_or_default();
        let request = Request { account_id: self.account, user: self.user, selection, confirm };
        if self.preview {
            return preview(context, &operations, &request).await;
        }
        let progress = LongWork::start("contacts selected");
        let deleted = operations
            .delete(&request, &mut |step| match step {
                Progress::Selected(selected) => progress.reached("contacts selected", selected, None),
                Progress::Done(done) => progress.reached("contacts done", done, Some(request.confirm)),
            })
            .await;
        progress.end();
        answer(context, &deleted?)
    }
}

async fn preview(context: &Context, operations: &Operations, request: &Request) -> Result<(), Failure> {
    let progress = LongWork::start("contacts selected");
    let mut seen = |seen| progress.reached("contacts selected", seen, None);
    let preview = operations.store.preview_delete(request, &mut seen).await;
    progress.end();
    records::print_preview(context, &preview?, "contact")
}

/// The longest filter; the vendor's definitions are far shorter.
const MAX_FILTER_BYTES: u64 = 1 << 20;

fn read_filter(file: &Path) -> Result<Filter, Failure> {
    let shown = file.display();
    let open = File::open(file).with_context(|| format!("{shown} cannot be read"))?;
    let mut text = String::new();
    open.take(MAX_FILTER_BYTES + 1)
        .read_to_string(&mut text)
        .with_context(|| format!("{shown} cannot be read"))?;
    if text.len() as u64 > MAX_FILTER_BYTES {
        return Err(anyhow!("{shown} is no filter: it has more than {MAX_FILTER_BYTES} bytes").into());
    }
    let branch = parse_strictly(&text).with_context(|| format!("{shown} is no JSON to delete by"))?;
    Filter::parse(&branch)
        .map_err(|complaint| anyhow!("{shown}: nobody is deleted by this filter: {complaint}").into())
}

fn answer(context: &Context, deleted: &Deleted) -> Result<(), Failure> {
    if context.json {
        return output::document(deleted);
    }
    let Deleted { deletion_id, deleted: count, skipped, entries } = deleted;
    output::line(&match entries.as_deref() {
        Some([Entry { contact_id, entry_id }]) => {
            format!("contact {contact_id} is in the trash (entry {entry_id}), restorable for 90 days")
        }
        _ => format!(
            "{} {} in the trash (deletion {deletion_id}), restorable for 90 days",
            counted(*count, "contact"),
            verb(*count, "is", "are")
        ),
    })?;
    match skipped {
        0 => Ok(()),
        skipped => output::line(&format!(
            "{} {} skipped: no longer live, or no longer selected, when the turn came",
            counted(*skipped, "contact"),
            verb(*skipped, "was", "were")
        )),
    }
}
