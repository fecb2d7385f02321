//! `holds`: what the volume guard has stopped, or a pause holds, and what a person says to it.

use clap::{Args, Subcommand};

use super::{Context, Failure, ListArgs, id, operator_named, operator_or, output};
use crate::domain::counted::counted;
use crate::store::Operator;
use crate::store::db::query::Filter;
use crate::store::decisions::holds::HoldResolution;

/// Enrollments looked at in one transaction.
const PAGE: usize = 1000;

#[derive(Debug, Subcommand)]
pub enum Holds {
    /// Held enrollments, counted by workflow and reason, newest first
    List {
        #[command(flatten)]
        list: ListArgs,
        /// Only of this workflow
        #[arg(long, value_parser = id)]
        workflow: Option<i64>,
    },
    /// Whom an approval would delete, and why it would spare the others; writes nothing
    Show {
        #[arg(long, value_parser = id)]
        account: i64,
        #[arg(long, value_parser = id)]
        workflow: i64,
    },
    /// Let all that the guard holds of a workflow pass; every other check is asked anew
    Approve(OfWorkflow),
    /// Skip all that the guard holds of a workflow, for good
    Reject(OfWorkflow),
}

#[derive(Debug, Args)]
pub struct OfWorkflow {
    #[arg(long, value_parser = id)]
    account: i64,
    #[arg(long, value_parser = id)]
    workflow: i64,
    /// How many the guard holds of it, as `holds list` says, typed to be sure
    #[arg(long, value_name = "COUNT")]
    confirm: u64,
    /// Who does it, instead of the operating system's user: a user of the account by id or e-mail address, or system:NAME
    #[arg(long = "as", value_name = "USER", value_parser = operator_named)]
    user: Option<Operator>,
}

impl Holds {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::List { list, workflow } => {
                let filter = Filter { workflow_id: workflow, ..list.filter() };
                print(context, &filter).await
            }
            Self::Show { account, workflow } => show(context, (account, workflow)).await,
            Self::Approve(held) => held.rule(context, HoldResolution::Approve).await,
            Self::Reject(held) => held.rule(context, HoldResolution::Reject).await,
        }
    }
}

async fn print(context: &Context, filter: &Filter) -> Result<(), Failure> {
    let store = context.existing_store().await?;
    let holds = store.holds(filter).await?;
    context.refuse_unknown(&store, filter.account_id, holds.is_empty()).await?;
    if context.json {
        return output::document(&holds);
    }
    let rows: Vec<Vec<String>> = holds
        .into_iter()
        .map(|held| {
            let since = output::short_time(&held.since);
            vec![held.account_id, held.workflow_id, held.reason, held.count.to_string(), since]
        })
        .collect();
    output::table(&["account", "workflow", "reason", "count", "since"], &rows, "nothing is held")
}

async fn show(context: &Context, workflow: (i64, i64)) -> Result<(), Failure> {
    let operations = context.operations().await?;
    let (mut held, mut after) = (Vec::new(), (0, 0));
    loop {
        let page = operations.held_enrollments(workflow, after, PAGE).await?;
        let Some(last) = page.last() else { break };
        after = last.place;
        held.extend(page);
    }
    if context.json {
        return output::document(&held);
    }
    let mut rows = Vec::with_capacity(held.len());
    for page in held.chunks(PAGE) {
        let contacts: Vec<i64> = page.iter().filter_map(|it| it.contact_id.parse().ok()).collect();
        let names = operations.store.names(workflow.0, &contacts).await?;
        rows.extend(page.iter().map(|it| {
            let name = it.contact_id.parse().ok().and_then(|id: i64| names.get(&id));
            let name = name.map(|it| it.name.as_str()).filter(|name| !name.is_empty());
            let ids = [&it.enrollment_id, &it.contact_id].map(Clone::clone);
            let verdict = [output::or_dash(name), it.verdict.to_owned(), output::or_dash(it.reason)];
            [&ids[..], &verdict[..]].concat()
        }));
    }
    output::table(
        &["enrollment", "contact", "name", "verdict", "why not"],
        &rows,
        "the guard holds nothing of it",
    )?;
    let deleted = held.iter().filter(|it| it.verdict == "delete").count();
    let held = counted(held.len() as u64, "enrollment");
    output::line(&format!("an approval of {held} would delete {}", counted(deleted as u64, "contact")))
}

impl OfWorkflow {
    async fn rule(self, context: &Context, ruling: HoldResolution) -> Result<(), Failure> {
        let Self { account, workflow, confirm, user } = self;
        let operations = context.operations().await?;
        let ruled =
            operations.resolve_holds((account, workflow), ruling, confirm, &operator_or(user)).await?;
        if context.json {
            return output::document(&ruled);
        }
        let says = match ruling {
            HoldResolution::Approve => "approved, and decided anew within 5 seconds",
            HoldResolution::Reject => "rejected, and skipped",
        };
        output::line(&format!("{} of workflow {workflow} {says}", counted(confirm, "enrollment")))
    }
}
