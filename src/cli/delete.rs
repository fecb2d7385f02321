//! Restorable deletes by users.

use std::fs::File;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use clap::Args;

use super::progress::LongWork;
use super::records::{self, distinct, object_type, record};
use super::{Context, Failure, id, output};
use crate::domain::counted::{counted, verb};
use crate::domain::criteria::Filter;
use crate::domain::members::parse_strictly;
use crate::domain::object_type::{CONTACT, RecordKey};
use crate::operations::{Deleted, Entry, Operations};
use crate::store::deletions::{Progress, Request, Selection};
use crate::store::records::DeleteRequest;

/// What the options alone do not tell.
const HELP: &str = "\
One contact takes the permission Delete; several picked ones, a segment or a filter take Bulk delete; Super admin may do
either. The number typed must be that of the live contacts that are selected: a wrong one deletes nothing.

Records that are no contacts are named with their type (--record deal:30 call:701), at most 1000 at once: all of them go, or none.
A filter selects them with --object deal, and a segment has members of one type. The permissions are the same, and may be held for
one type alone.

Many records go in batches. One that is no longer live, or no longer selected, when its turn comes is skipped. Where the command is
interrupted, the same command with the same number goes on with what is left of the same deletion.

With --json, `entries` lists each record with its trash entry where at most 1000 were confirmed; for more it is left out.";

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
    /// What the filter in this file accepts: JSON, as a workflow's listFilterBranch
    #[arg(long = "where", id = "filter", value_name = "FILTERFILE", conflicts_with_all = ["contact", "segment"])]
    filter: Option<PathBuf>,
    /// The type of the records that the filter is about, such as deal, 0-3 or 2-134
    #[arg(long, value_name = "TYPE", value_parser = object_type, requires = "filter", default_value = CONTACT,
        conflicts_with_all = ["contact", "segment", "record"])]
    object: String,
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
            return delete_named(context, self.account, self.user, self.record, confirm).await;
        }
        let selection = match (self.filter, self.segment) {
            (Some(file), _) => Selection::Filter(Box::new(read_filter(&file, &self.object)?)),
            (None, Some(segment_id)) if self.contact.is_empty() => Selection::Segment(segment_id),
            (None, segment_id) => {
                Selection::Picked { contacts: self.contact.into_iter().collect(), segment_id }
            }
        };
        let operations = context.operations().await?;
        let confirm = self.confirm.unwrap_or_default();
        let (user, object_type) = (self.user, self.object);
        let request = Request { account_id: self.account, user, object_type, selection, confirm };
        if self.preview {
            return preview(context, &operations, &request).await;
        }
        let progress = LongWork::start(SELECTED);
        let deleted = operations
            .delete(&request, &mut |step| match step {
                Progress::Selected(selected) => progress.reached(SELECTED, selected, None),
                Progress::Done(done) => progress.reached("records done", done, Some(request.confirm)),
            })
            .await;
        progress.end();
        answer(context, &deleted?)
    }
}

/// Puts named records that are no contacts into the trash.
async fn delete_named(
    context: &Context,
    account_id: i64,
    user: String,
    records: Vec<RecordKey>,
    confirm: u64,
) -> Result<(), Failure> {
    let request = DeleteRequest { account_id, user, records: distinct(records), confirm };
    let deleted = context.operations().await?.delete_records(&request).await?;
    answer(context, &deleted)
}

async fn preview(context: &Context, operations: &Operations, request: &Request) -> Result<(), Failure> {
    let progress = LongWork::start(SELECTED);
    let mut seen = |seen| progress.reached(SELECTED, seen, None);
    let preview = operations.store.preview_delete(request, &mut seen).await;
    progress.end();
    records::print_preview(context, &preview?)
}

/// The step in which a selection is read.
const SELECTED: &str = "records selected";

/// The longest filter; the vendor's definitions are far shorter.
const MAX_FILTER_BYTES: u64 = 1 << 20;

fn read_filter(file: &Path, object_type: &str) -> Result<Filter, Failure> {
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
    Filter::parse(&branch, object_type)
        .map_err(|complaint| anyhow!("{shown}: nothing is deleted by this filter: {complaint}").into())
}

/// What a delete did, in words or as JSON.
fn answer(context: &Context, deleted: &Deleted) -> Result<(), Failure> {
    if context.json {
        return output::document(deleted);
    }
    let Deleted { deletion_id, deleted: count, skipped, entries, noun } = deleted;
    output::line(&match entries.as_deref() {
        Some([Entry::Contact { contact_id, entry_id }]) => {
            format!(
                "contact {contact_id} is in the trash (entry {entry_id}, deletion {deletion_id}), restorable for 90 days"
            )
        }
        Some([Entry::Record { record, entry_id }]) => {
            format!(
                "{record} is in the trash (entry {entry_id}, deletion {deletion_id}), restorable for 90 days"
            )
        }
        _ => format!(
            "{} {} in the trash (deletion {deletion_id}), restorable for 90 days",
            counted(*count, noun),
            verb(*count, "is", "are")
        ),
    })?;
    match skipped {
        0 => Ok(()),
        skipped => output::line(&format!(
            "{} {} skipped: no longer live, or no longer selected, when the turn came",
            counted(*skipped, noun),
            verb(*skipped, "was", "were")
        )),
    }
}
