//! `workflow`: a look at a workflow before it is switched on, and its switch.

use std::fs::File;
use std::io::Read;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use clap::{Args, Subcommand};
use serde_json::json;

use super::progress::LongWork;
use super::{Context, Failure, id, operator_named, output};
use crate::domain::counted::{counted, verb};
use crate::domain::criteria::{Finding, Severity};
use crate::domain::lint::lint_document;
use crate::store::Operator;

/// What the progress counts.
const LOOKED_AT: &str = "contacts looked at";

#[derive(Debug, Subcommand)]
pub enum Workflow {
    /// What in a definition is unsupported (then it exits 1), ambiguous or dangerous
    Lint {
        /// A workflow definition as the vendor's API returns it (JSON); - is standard input
        file: PathBuf,
        /// Tell as well what in it this account has never kept anything of
        #[arg(long, value_parser = id)]
        account: Option<i64>,
    },
    /// Which live contacts it would delete if it were on now, and why not the others. Writes nothing; the volume
    /// guard is left out of account
    Preview {
        #[arg(long, value_parser = id)]
        account: i64,
        #[arg(long, value_parser = id)]
        workflow: i64,
    },
    /// Switch it on: it deletes whom it enrolls. An import of the workflow sets it as the record says
    On(Switch),
    /// Switch it off: once this has returned it deletes nobody any more
    Off(Switch),
}

#[derive(Debug, Args)]
pub struct Switch {
    #[arg(long, value_parser = id)]
    account: i64,
    #[arg(long, value_parser = id)]
    workflow: i64,
    /// Who does it: a user of the account by id or e-mail address, or an operator of the service as system:NAME
    #[arg(long = "as", value_name = "USER", value_parser = operator_named)]
    user: Operator,
}

impl Workflow {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::Lint { file, account } => lint_file(context, &file, account).await,
            Self::Preview { account, workflow } => preview(context, account, workflow).await,
            Self::On(switch) => switch.set(context, true).await,
            Self::Off(switch) => switch.set(context, false).await,
        }
    }
}

impl Switch {
    async fn set(self, context: &Context, on: bool) -> Result<(), Failure> {
        let Self { account, workflow, user } = self;
        let store = context.existing_store().await?;
        let was_on = store.switch_workflow(account, workflow, on, &user).await?;
        if context.json {
            return output::document(
                &json!({"accountId": account.to_string(), "workflowId": workflow.to_string(),
                "isOn": on, "wasOn": was_on}),
            );
        }
        let already = if was_on == on { " already" } else { "" };
        let state = if on { "on" } else { "off" };
        output::line(&format!("workflow {workflow} of account {account} is {state}{already}"))
    }
}

async fn lint_file(context: &Context, file: &Path, account: Option<i64>) -> Result<(), Failure> {
    let shown = file.display();
    let mut text = String::new();
    let read = if file == Path::new("-") {
        std::io::stdin().read_to_string(&mut text)
    } else {
        File::open(file).and_then(|mut file| file.read_to_string(&mut text))
    };
    read.with_context(|| format!("{shown} cannot be read"))?;
    let (workflow, mut findings) =
        lint_document(&text).with_context(|| format!("{shown} is no JSON document"))?;
    if let Some(account) = account {
        let kept = context.existing_store().await?.kept(account, &workflow).await?;
        let kept = kept.ok_or_else(|| anyhow!("there is no account {account}: import it first"))?;
        findings.splice(0..0, workflow.unkept(&kept));
    }
    let unsupported =
        findings.iter().filter(|finding| finding.concern == Severity::Unsupported).count() as u64;
    print_findings(context, findings)?;
    if unsupported == 0 {
        return Ok(());
    }
    Err(Failure::Failed(anyhow!(
        "{} of {shown} {} unsupported: the findings name what to change",
        counted(unsupported, "part"),
        verb(unsupported, "is", "are")
    )))
}

fn print_findings(context: &Context, findings: Vec<Finding>) -> Result<(), Failure> {
    if context.json {
        return output::document(&json!({ "findings": findings }));
    }
    let rows: Vec<Vec<String>> = findings
        .into_iter()
        .map(|finding| vec![finding.concern.as_str().to_owned(), finding.at, finding.says])
        .collect();
    output::table(&["concern", "place", "what"], &rows, "nothing to say: every part is understood")
}

async fn preview(context: &Context, account: i64, workflow: i64) -> Result<(), Failure> {
    let operations = context.operations().await?;
    let contacts = operations.store.live_contacts(account).await?;
    let progress = LongWork::start(LOOKED_AT);
    let mut seen = |seen| {
        progress.reached(LOOKED_AT, seen, Some(contacts));
        ControlFlow::Continue(())
    };
    let preview = operations.preview_workflow(account, workflow, &mut seen).await;
    progress.end();
    let preview = preview?;
    if context.json {
        return output::document(&preview);
    }
    let deletes = std::iter::once(("would be deleted", &preview.would_delete));
    let others = preview.would_not_delete.iter().map(|(reason, group)| (*reason, group));
    let rows: Vec<Vec<String>> = deletes
        .chain(others)
        .map(|(what, group)| vec![what.to_owned(), group.count.to_string(), group.samples.join(", ")])
        .collect();
    output::table(&["outcome", "contacts", "such as"], &rows, "the account has no live contacts")
}
