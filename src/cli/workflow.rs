//! `workflow`: a look at a workflow before it is switched on.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use clap::Subcommand;
use serde_json::json;

use super::{Context, Failure, id, output};
use crate::domain::lint::lint_document;

#[derive(Debug, Subcommand)]
pub enum Workflow {
    /// What in a definition is unsupported, ambiguous or dangerous
    Lint {
        /// A workflow definition as the vendor's API returns it (JSON); - is standard input
        file: PathBuf,
    },
    /// Which live contacts it would delete if it were on now, and why not the others. Writes nothing; the volume
    /// guard is left out of account
    Preview {
        #[arg(long, value_parser = id)]
        account: i64,
        #[arg(long, value_parser = id)]
        workflow: i64,
    },
}

impl Workflow {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::Lint { file } => lint_file(context, &file),
            Self::Preview { account, workflow } => preview(context, account, workflow).await,
        }
    }
}

fn lint_file(context: &Context, file: &Path) -> Result<(), Failure> {
    let shown = file.display();
    let mut text = String::new();
    let read = if file == Path::new("-") {
        std::io::stdin().read_to_string(&mut text)
    } else {
        File::open(file).and_then(|mut file| file.read_to_string(&mut text))
    };
    read.with_context(|| format!("{shown} cannot be read"))?;
    let findings = lint_document(&text).with_context(|| format!("{shown} is no JSON document"))?;
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
    let bar = output::progress_of(operations.store.live_contacts(account).await?, "contacts looked at");
    let preview = operations.preview_workflow(account, workflow, &mut |seen| bar.set_position(seen)).await;
    bar.finish_and_clear();
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
