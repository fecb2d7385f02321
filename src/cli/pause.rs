//! `pause` and `resume`: deletes by workflows, everywhere, in an account, or of one workflow.

use clap::Args;

use super::{Context, Failure, id, operator_named, operator_or, output, with_account};
use crate::store::Operator;
use crate::store::decisions::pauses::{Resumed, Scope};

#[derive(Debug, Args)]
pub struct Paused {
    /// Only in this account
    #[arg(long, value_parser = id)]
    account: Option<i64>,
    /// Only this workflow
    #[arg(long, value_parser = id, requires = "account")]
    workflow: Option<i64>,
    /// Who does it, instead of the operating system's user: a user of the account by id or e-mail address, or system:NAME
    #[arg(long = "as", value_name = "USER", value_parser = operator_named)]
    user: Option<Operator>,
}

impl Paused {
    fn scope(&self) -> Scope {
        Scope { account_id: self.account, workflow_id: self.workflow }
    }

    pub async fn pause(self, context: &Context) -> Result<(), Failure> {
        with_account(self.user.as_ref(), self.account)?;
        let (operations, scope) = (context.operations().await?, self.scope());
        let paused = operations.pause(scope, &operator_or(self.user)).await?;
        if context.json {
            return output::document(&paused);
        }
        let says = if paused.was_paused {
            "it was paused already"
        } else {
            "paused: no workflow deletes until it is resumed"
        };
        output::line(&format!("{scope}: {says}"))
    }

    pub async fn resume(self, context: &Context) -> Result<(), Failure> {
        with_account(self.user.as_ref(), self.account)?;
        let (store, scope) = (context.existing_store().await?, self.scope());
        let done = store.resume(scope, &operator_or(self.user)).await?;
        if context.json {
            return output::document(&done);
        }
        let Resumed { resumed, still_paused } = done;
        let says = if resumed {
            "resumed: what was held is taken up now"
        } else {
            "nothing to resume: it was not paused"
        };
        output::line(&format!("{scope}: {says}"))?;
        if still_paused {
            output::line("a wider pause is still in force: resume that one too")?;
        }
        Ok(())
    }
}
