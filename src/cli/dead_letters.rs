//! `dead-letters`: what could not be processed, looked at, replayed, discarded.

use std::io::Write;

use clap::{Args, Subcommand};
use serde_json::Value;

use super::{Context, Failure, id, operator_named, operator_or, output, with_account};
use crate::domain::counted::{counted, verb};
use crate::domain::dead_letter::{DeadLetter, Selection};
use crate::domain::time::format_time;
use crate::operations::dead_letters::{row, whole};
use crate::store::Operator;

#[derive(Debug, Subcommand)]
pub enum DeadLetters {
    /// What was set aside, newest first
    List {
        /// Only of this reason, such as malformed or poison
        #[arg(long)]
        reason: Option<String>,
        /// Only those whose body names this account
        #[arg(long, value_parser = id)]
        account: Option<i64>,
        /// At most this many
        #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..))]
        limit: u32,
    },
    /// One of them, with its body
    Show {
        #[arg(value_name = "ID", value_parser = id)]
        id: i64,
        /// Print the body alone, byte for byte
        #[arg(long, conflicts_with = "json")]
        body: bool,
    },
    /// Have them decided anew, oldest first; each is removed once that is sure to happen
    Replay {
        #[command(flatten)]
        chosen: Chosen,
        /// At most this many a second
        #[arg(long, default_value_t = 500, value_name = "PER_SECOND", value_parser = clap::value_parser!(u32).range(1..))]
        rate: u32,
    },
    /// Delete them for good
    Discard {
        #[command(flatten)]
        chosen: Chosen,
        /// How many that is, typed to be sure
        #[arg(long, value_name = "COUNT")]
        confirm: u64,
    },
}

#[derive(Debug, Args)]
pub struct Chosen {
    #[command(flatten)]
    which: Which,
    /// Only those whose body names this account
    #[arg(long, value_parser = id)]
    account: Option<i64>,
    /// Who does it, instead of the operating system's user: a user of the account by id or e-mail address, or system:NAME
    #[arg(long = "as", value_name = "USER", value_parser = operator_named)]
    user: Option<Operator>,
}

#[derive(Debug, Args)]
#[group(required = true, multiple = false)]
pub struct Which {
    /// All of them
    #[arg(long)]
    all: bool,
    /// Those of this reason
    #[arg(long)]
    reason: Option<String>,
    /// These
    #[arg(long, num_args = 1.., value_parser = id)]
    id: Vec<i64>,
}

impl DeadLetters {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::List { reason, account, limit } => {
                let selection = Selection { reason, account_id: account, ids: Vec::new() };
                let operations = context.operations().await?;
                let letters = operations.dead_letters(&selection, None, limit as usize).await?;
                context.refuse_unknown(&operations.store, account, letters.is_empty()).await?;
                list(context, &letters)
            }
            Self::Show { id, body } => {
                let (letter, bytes) = context.operations().await?.dead_letter(id, None).await?;
                if body {
                    return Ok(std::io::stdout().lock().write_all(&bytes)?);
                }
                show(context, &letter, &bytes)
            }
            Self::Replay { chosen, rate } => chosen.replay(context, rate).await,
            Self::Discard { chosen, confirm } => chosen.discard(context, confirm).await,
        }
    }
}

impl Chosen {
    /// Who asks for it is settled by what is to be done.
    fn order(self) -> (Selection, Operator) {
        let Which { reason, id, .. } = self.which;
        (Selection { reason, account_id: self.account, ids: id }, operator_or(self.user))
    }

    async fn replay(self, context: &Context, rate: u32) -> Result<(), Failure> {
        with_account(self.user.as_ref(), self.account)?;
        let operations = context.operations().await?;
        let (selection, operator) = self.order();
        let done = operations.replay_dead_letters(&selection, &operator, rate).await?;
        if context.json {
            return output::document(&done);
        }
        output::line(&match done.dead_lettered_again {
            None => format!(
                "{} {} in the queues that they come from again",
                counted(done.replayed as u64, "dead letter"),
                verb(done.replayed as u64, "is", "are")
            ),
            Some(again) => {
                format!(
                    "{} decided, {again} dead-lettered again",
                    counted(done.replayed as u64, "dead letter")
                )
            }
        })
    }

    async fn discard(self, context: &Context, confirm: u64) -> Result<(), Failure> {
        with_account(self.user.as_ref(), self.account)?;
        let operations = context.operations().await?;
        let (selection, operator) = self.order();
        let done = operations.discard_dead_letters(&selection, &operator, confirm).await?;
        if context.json {
            return output::document(&done);
        }
        output::line(&format!("{} discarded", counted(confirm, "dead letter")))
    }
}

fn list(context: &Context, letters: &[DeadLetter]) -> Result<(), Failure> {
    if context.json {
        return output::document(&letters.iter().map(row).collect::<Vec<Value>>());
    }
    let rows: Vec<Vec<String>> = letters
        .iter()
        .map(|letter| {
            let account = letter.account_id.map(|id| id.to_string());
            vec![
                letter.id.to_string(),
                output::short_time(&format_time(letter.at)),
                letter.reason.clone(),
                letter.attempts.to_string(),
                output::or_dash(account.as_deref()),
                letter.detail.clone(),
            ]
        })
        .collect();
    output::table(
        &["id", "dead-lettered", "reason", "attempts", "account", "detail"],
        &rows,
        "no dead letters",
    )
}

fn show(context: &Context, letter: &DeadLetter, body: &[u8]) -> Result<(), Failure> {
    if context.json {
        // A body need not be text at all; --body prints any.
        return output::document(&whole(letter, body));
    }
    let no_text = || format!("{} bytes that are no text (--body)", body.len());
    for (name, value) in [
        ("id", letter.id.to_string()),
        ("dead-lettered", format_time(letter.at)),
        ("reason", letter.reason.clone()),
        ("detail", letter.detail.clone()),
        ("attempts", letter.attempts.to_string()),
        ("exchange", output::or_dash(Some(letter.exchange.as_str()).filter(|it| !it.is_empty()))),
        ("routing", output::or_dash(Some(letter.routing_key.as_str()).filter(|it| !it.is_empty()))),
        ("trace", output::or_dash(letter.trace.map(|trace| trace.to_string()).as_deref())),
        ("body", std::str::from_utf8(body).map_or_else(|_| no_text(), str::to_owned)),
    ] {
        output::line(&format!("{name:<9}  {value}"))?;
    }
    Ok(())
}
