//! What the store holds: enrollments, contacts, trash, audit.

use std::fmt::Display;

use clap::Subcommand;
use serde_json::Value;

use super::pages::PageArgs;
use super::records::{object_type, record};
use super::{Context, Failure, ListArgs, id, output, past};
use crate::domain::decision::OUTCOMES;
use crate::domain::object_type::{CONTACT, RecordKey};
use crate::domain::search::Search;
use crate::domain::time::Time;
use crate::store::db::query::Filter;
use crate::store::records::RecordTrashRow;
use crate::store::views::read::{EnrollmentRow, TrashRow};

#[derive(Debug, Subcommand)]
pub enum Enrollments {
    /// Decisions, newest first
    List {
        #[command(flatten)]
        list: ListArgs,
        /// Only of this workflow
        #[arg(long, value_parser = id)]
        workflow: Option<i64>,
        /// Only this outcome: deleted, skipped, refused, held or deferred
        #[arg(long, value_parser = OUTCOMES)]
        outcome: Option<String>,
        /// Only this reason
        #[arg(long)]
        reason: Option<String>,
    },
    /// The decision on one enrollment
    Show {
        #[arg(long, value_parser = id)]
        account: i64,
        #[arg(long, value_parser = id)]
        enrollment: i64,
        /// Which action, where the enrollment had several
        #[arg(long, value_parser = id)]
        action: Option<i64>,
    },
}

#[derive(Debug, Subcommand)]
pub enum Inspect {
    /// A contact as the CRM shows it now
    Contact {
        #[arg(value_name = "ID", value_parser = id)]
        contact: i64,
        #[arg(long, value_parser = id)]
        account: i64,
    },
    /// A record that is no contact as the CRM shows it now
    Record {
        #[arg(value_name = "TYPE:ID", value_parser = record)]
        record: RecordKey,
        #[arg(long, value_parser = id)]
        account: i64,
    },
    /// One page of the CRM as it shows now
    Page(PageArgs),
}

#[derive(Debug, Subcommand)]
pub enum Trash {
    /// Contacts in the trash, or records of another type, newest first
    List {
        #[arg(long, value_parser = id)]
        account: i64,
        /// Records of this type, such as deal or 2-134
        #[arg(long, value_name = "TYPE", value_parser = object_type, conflicts_with_all = ["workflow", "search"])]
        object: Option<String>,
        /// At most this many
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(i64).range(1..))]
        limit: i64,
        /// Only those that this workflow deleted
        #[arg(long, value_parser = id)]
        workflow: Option<i64>,
        /// Only what this user, by id or e-mail address, deleted
        #[arg(long, value_name = "USER")]
        by: Option<String>,
        /// Only what was deleted at that time or later: 1h (ago), `yesterday 14:00` or 2026-11-21 (both UTC), or RFC 3339
        #[arg(long, value_name = "TIME", value_parser = past)]
        since: Option<Time>,
        /// Only what was deleted before that time
        #[arg(long, value_name = "TIME", value_parser = past)]
        until: Option<Time>,
        /// Only whom this finds: the id of a contact, a whole e-mail address, or beginnings of a name, such as "ada lov"
        #[arg(long, value_name = "TEXT", value_parser = Search::parse)]
        search: Option<Search>,
    },
}

#[derive(Debug, Subcommand)]
pub enum Audit {
    /// Deeds, newest first
    List {
        #[command(flatten)]
        list: ListArgs,
    },
}

impl ListArgs {
    pub(super) fn filter(&self) -> Filter {
        Filter { account_id: self.account, limit: self.limit, ..Filter::default() }
    }
}

impl Enrollments {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::List { list, workflow, outcome, reason } => {
                let filter = Filter { workflow_id: workflow, outcome, reason, ..list.filter() };
                let store = context.existing_store().await?;
                let rows = store.enrollments(&filter).await?;
                context.refuse_unknown(&store, filter.account_id, rows.is_empty()).await?;
                if context.json { output::document(&rows) } else { print_enrollments(&rows) }
            }
            Self::Show { account, enrollment, action } => {
                let row = context.operations().await?.enrollment(account, enrollment, action).await?;
                if context.json { output::document(&row) } else { print_enrollment(&row) }
            }
        }
    }
}

fn print_enrollments(rows: &[EnrollmentRow]) -> Result<(), Failure> {
    let rows: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            vec![
                output::short_time(&row.decided_at),
                row.account_id.clone(),
                row.enrollment_id.clone(),
                row.workflow_id.clone(),
                row.contact_id.clone(),
                row.outcome.clone(),
                output::or_dash(row.reason.as_deref()),
            ]
        })
        .collect();
    let headings = ["decided", "account", "enrollment", "workflow", "object", "outcome", "reason"];
    output::table(&headings, &rows, "no decisions")
}

fn print_enrollment(row: &EnrollmentRow) -> Result<(), Failure> {
    let rows = [
        ("account", row.account_id.clone()),
        ("enrollment", row.enrollment_id.clone()),
        ("action", row.action_id.clone()),
        ("workflow", row.workflow_id.clone()),
        ("object", row.contact_id.clone()),
        ("outcome", row.outcome.clone()),
        ("reason", output::or_dash(row.reason.as_deref())),
        ("decided", row.decided_at.clone()),
        ("trash entry", output::or_dash(row.trash_entry_id.as_deref())),
    ];
    let rows: Vec<Vec<String>> = rows.into_iter().map(|(name, value)| vec![name.to_owned(), value]).collect();
    output::table(&["decision", ""], &rows, "no decision")
}

impl Inspect {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let (contact, account) = match self {
            Self::Contact { contact, account } => (contact, account),
            Self::Record { record, account } if record.object_type == CONTACT => (record.id, account),
            Self::Record { record, account } => return inspect_record(context, account, &record).await,
            Self::Page(page) => return page.run(context).await,
        };
        let store = context.existing_store().await?;
        let view = store.contact(account, contact).await?;
        if context.json {
            return output::document(&view);
        }
        output::line(&format!("contact {contact} of account {account}: {}", view.state))?;
        print_inspected(view.trash.as_ref(), view.properties.iter().flatten(), view.visible.iter())
    }
}

async fn inspect_record(context: &Context, account: i64, record: &RecordKey) -> Result<(), Failure> {
    let view = context.existing_store().await?.record(account, record).await?;
    if context.json {
        return output::document(&view);
    }
    output::line(&format!("{} {} of account {account}: {}", record.object_type, record.id, view.state))?;
    print_inspected(view.trash.as_ref(), view.properties.iter().flatten(), view.visible.iter())
}

fn print_inspected<'a, C: Display + 'a>(
    trash: Option<&Value>,
    properties: impl Iterator<Item = (&'a String, &'a String)>,
    visible: impl Iterator<Item = (&'a C, &'a Vec<String>)>,
) -> Result<(), Failure> {
    if let Some(trash) = trash {
        let text = |member: &str| trash.get(member).and_then(Value::as_str).unwrap_or_default().to_owned();
        output::line(&format!(
            "deleted {} by {}, entry {}, purged from {} on",
            output::short_time(&text("deletedAt")),
            who(&trash["deletedBy"]),
            text("entryId"),
            output::short_time(&text("purgeAt"))
        ))?;
    }
    let properties: Vec<Vec<String>> =
        properties.map(|(name, value)| vec![format!("  {name}"), value.clone()]).collect();
    output::table(&["properties", ""], &properties, "no properties")?;
    let visible: Vec<Vec<String>> = visible
        .filter(|(_, members)| !members.is_empty())
        .map(|(category, members)| vec![format!("  {category}"), members.join(", ")])
        .collect();
    output::table(&["visible", ""], &visible, "nothing is visible under it")
}

impl Trash {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let Self::List { account, object, limit, workflow, by, since, until, search } = self;
        let store = context.existing_store().await?;
        let mut filter = Filter {
            account_id: Some(account),
            workflow_id: workflow,
            deleted_by: by,
            deleted: (since, until),
            search,
            limit,
            ..Filter::default()
        };
        if let Some(object_type) = object.filter(|it| it != CONTACT) {
            let rows = store.record_trash(account, &object_type, &filter).await?;
            context.refuse_unknown(&store, Some(account), rows.is_empty()).await?;
            if rows.is_empty() && store.object_type(account, &object_type).await?.is_none() {
                return Err(Failure::Failed(anyhow::anyhow!(
                    "account {account} has no type of records {object_type}"
                )));
            }
            return if context.json { output::document(&rows) } else { print_record_trash(&rows) };
        }
        let mut rows = Vec::new();
        loop {
            let page = store.trash(&filter).await?;
            filter.limit -= i64::try_from(page.rows.len()).unwrap_or(i64::MAX);
            filter.after = page.next;
            rows.extend(page.rows);
            if filter.limit == 0 || filter.after.is_none() {
                break;
            }
        }
        context.refuse_unknown(&store, Some(account), rows.is_empty()).await?;
        if context.json {
            return output::document(&rows);
        }
        print_trash(&rows)
    }
}

/// The trash for people.
pub fn print_trash(rows: &[TrashRow]) -> Result<(), Failure> {
    let rows: Vec<Vec<String>> = rows
        .iter()
        .map(|row| {
            vec![
                row.entry_id.clone(),
                row.contact_id.clone(),
                output::short_time(&row.deleted_at),
                output::short_time(&row.purge_at),
                who(&row.deleted_by),
            ]
        })
        .collect();
    output::table(
        &["entry", "contact", "deleted", "purged from", "by"],
        &rows,
        "no such contact is in the trash; `--object deal` lists deals, and so on",
    )
}

fn print_record_trash(rows: &[RecordTrashRow]) -> Result<(), Failure> {
    let row = |row: &RecordTrashRow| {
        vec![
            row.entry_id.clone(),
            format!("{}:{}", row.object_type, row.record_id),
            output::short_time(&row.deleted_at),
            output::short_time(&row.purge_at),
            who(&row.deleted_by),
        ]
    };
    let rows: Vec<Vec<String>> = rows.iter().map(row).collect();
    output::table(
        &["entry", "record", "deleted", "purged from", "by"],
        &rows,
        "no such record is in the trash",
    )
}

impl Audit {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let Self::List { list } = self;
        let store = context.existing_store().await?;
        let rows = store.audit(&list.filter()).await?;
        context.refuse_unknown(&store, list.account, rows.is_empty()).await?;
        if context.json {
            return output::document(&rows);
        }
        let rows: Vec<Vec<String>> = rows
            .into_iter()
            .map(|row| {
                vec![
                    output::short_time(&row.at),
                    output::or_dash(row.account_id.as_deref()),
                    row.actor,
                    match row.deletion_id {
                        Some(deletion) => format!("{} (deletion {deletion})", row.action),
                        None => row.action,
                    },
                    row.count.to_string(),
                    some(&row.ids),
                ]
            })
            .collect();
        output::table(&["at", "account", "who", "did", "how many", "to which"], &rows, "nothing was done yet")
    }
}

/// Who deleted, in words.
fn who(deleted_by: &Value) -> String {
    let text = |member: &str| deleted_by.get(member).and_then(Value::as_str).unwrap_or_default();
    match text("kind") {
        "workflow" => format!("workflow {}", text("workflowId")),
        "user" => format!("user {}", text("userId")),
        other => other.to_owned(),
    }
}

/// The first few ids, and how many more there are.
fn some(ids: &[String]) -> String {
    const SHOWN: usize = 5;
    match ids.len().checked_sub(SHOWN) {
        None | Some(0) => ids.join(", "),
        Some(more) => format!("{} and {more} more", ids[..SHOWN].join(", ")),
    }
}
