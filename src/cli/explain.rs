//! `explain`: would this contact be deleted now, and why.

use clap::Args;

use super::{Context, Failure, id, output};
use crate::domain::criteria::EvaluationTrace;

#[derive(Debug, Args)]
pub struct Explain {
    #[arg(long, value_parser = id)]
    account: i64,
    #[arg(long, value_parser = id)]
    workflow: i64,
    #[arg(long, value_parser = id)]
    contact: i64,
}

impl Explain {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let operations = context.operations().await?;
        let explanation = operations.explain(self.account, self.workflow, self.contact).await?;
        if context.json {
            return output::document(&explanation);
        }
        for checked in &explanation.checks {
            let mark = if checked.passed { "passed" } else { "FAILED" };
            output::line(&format!("{mark}  {}: {}", checked.check.replace('_', " "), checked.detail))?;
            checked.filters.iter().try_for_each(|filter| filters(filter, 1))?;
        }
        let reason = explanation.reason.map_or_else(String::new, |reason| format!(" ({reason})"));
        output::line(&format!("verdict: {}{reason}", explanation.verdict))
    }
}

/// Each part under the one it belongs to.
fn filters(trace: &EvaluationTrace, depth: usize) -> Result<(), Failure> {
    let value = trace.actual_value.as_ref().map_or_else(String::new, |value| format!(" [{value}]"));
    let indent = "  ".repeat(depth + 3);
    output::line(&format!("{indent}{}: {}{value}", trace.verdict.as_str(), trace.description))?;
    trace.parts.iter().try_for_each(|part| filters(part, depth + 1))
}
