//! `dead-letters`: what could not be processed, looked at, replayed, discarded.
//!
//! On the broker they are in the dead-letter queue, for the embedded feed in the store; the commands are the same.

mod in_store;
mod on_broker;

use std::io::Write;
use std::time::Duration;

use anyhow::anyhow;
use clap::{Args, Subcommand};
use serde_json::{Value, json};
use tokio::time::{Instant, sleep};

use super::{Context, Failure, id, operator_or, output};
use crate::config::FeedKind;
use crate::domain::dead_letter::{DeadLetter, Selection};
use crate::domain::time::format_time;
use crate::store::{Actor, Operator, Store};

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
        #[arg(value_name = "ID")]
        id: String,
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
    /// The user of the account who does it, by id or e-mail address, instead of the operating system's
    #[arg(long = "as", value_name = "USER", requires = "account")]
    user: Option<String>,
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
    #[arg(long, num_args = 1..)]
    id: Vec<String>,
}

impl DeadLetters {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        match self {
            Self::List { reason, account, limit } => {
                let selection = Selection { reason, account_id: account, ids: Vec::new() };
                list(context, &newest(context, &selection, limit as usize).await?)
            }
            Self::Show { id, body } => {
                let selection = Selection { ids: vec![id.clone()], ..Selection::default() };
                match newest(context, &selection, 1).await?.pop() {
                    None => {
                        Err(anyhow!("no dead letter has the id {id}: see `contact-reaper dead-letters list`")
                            .into())
                    }
                    Some(letter) if body => Ok(std::io::stdout().lock().write_all(&letter.body)?),
                    Some(letter) => show(context, &letter),
                }
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
        let store = context.existing_store().await?;
        let (selection, operator) = self.order();
        let actor = store.who_rules_on_dead_letters(selection.account_id.unwrap_or(0), &operator).await?;
        let order = Order { context, store, selection, actor };
        let tempo = Tempo::of(rate);
        let (document, line) = if on_the_broker(context) {
            let replayed = on_broker::replay(&order, tempo).await?;
            let line = format!("{replayed} dead letters are in the queue of enrollments again");
            (json!({ "replayed": replayed }), line)
        } else {
            let (replayed, again) = in_store::replay(&order, tempo).await?;
            let line = format!("{replayed} dead letters decided, {again} set aside again");
            (json!({"replayed": replayed, "setAsideAgain": again}), line)
        };
        if context.json { output::document(&document) } else { output::line(&line) }
    }

    async fn discard(self, context: &Context, confirm: u64) -> Result<(), Failure> {
        let store = context.existing_store().await?;
        let (selection, operator) = self.order();
        let actor = store.who_rules_on_dead_letters(selection.account_id.unwrap_or(0), &operator).await?;
        if on_the_broker(context) {
            on_broker::discard(&Order { context, store, selection, actor }, confirm).await?;
        } else {
            store.discard_dead_letters(&selection, confirm, &actor).await?;
        }
        if context.json {
            return output::document(&json!({ "discarded": confirm }));
        }
        output::line(&format!("{confirm} dead letters discarded"))
    }
}

/// What is to be done with dead letters, for whom.
struct Order<'a> {
    context: &'a Context,
    store: Store,
    selection: Selection,
    actor: Actor,
}

/// The newest of a selection, newest first.
async fn newest(context: &Context, selection: &Selection, limit: usize) -> Result<Vec<DeadLetter>, Failure> {
    if on_the_broker(context) {
        return on_broker::newest(context, selection, limit).await;
    }
    Ok(context.existing_store().await?.dead_letters(selection, limit).await?)
}

fn on_the_broker(context: &Context) -> bool {
    context.settings.feed.kind == FeedKind::RabbitMq
}

/// So many a second, on average and from the start.
struct Tempo {
    rate: u32,
    started: Instant,
}

impl Tempo {
    fn of(rate: u32) -> Self {
        Self { rate, started: Instant::now() }
    }

    /// Waits until so many may have been done.
    async fn keep(&mut self, done: usize) {
        let due = Duration::from_secs_f64(done as f64 / f64::from(self.rate));
        sleep(due.saturating_sub(self.started.elapsed())).await;
    }
}

fn list(context: &Context, letters: &[DeadLetter]) -> Result<(), Failure> {
    if context.json {
        return output::document(&letters.iter().map(row).collect::<Vec<Value>>());
    }
    let rows: Vec<Vec<String>> = letters
        .iter()
        .map(|letter| {
            let account = letter.account_id().map(|id| id.to_string());
            vec![
                letter.id.clone(),
                output::or_dash(letter.at.map(|at| output::short_time(&format_time(at))).as_deref()),
                letter.reason.clone(),
                letter.attempts.to_string(),
                output::or_dash(account.as_deref()),
                letter.detail.clone(),
            ]
        })
        .collect();
    output::table(&["id", "set aside", "reason", "attempts", "account", "detail"], &rows, "no dead letters")
}

fn row(letter: &DeadLetter) -> Value {
    json!({"id": letter.id, "at": letter.at.map(format_time), "reason": letter.reason, "detail": letter.detail,
        "attempts": letter.attempts, "accountId": letter.account_id().map(|id| id.to_string()),
        "bytes": letter.body.len()})
}

fn show(context: &Context, letter: &DeadLetter) -> Result<(), Failure> {
    let text = std::str::from_utf8(&letter.body).ok();
    if context.json {
        let mut document = row(letter);
        // A body need not be text at all; --body prints any.
        document["body"] = json!(text);
        return output::document(&document);
    }
    for (name, value) in [
        ("id", letter.id.clone()),
        ("set aside", output::or_dash(letter.at.map(format_time).as_deref())),
        ("reason", letter.reason.clone()),
        ("detail", letter.detail.clone()),
        ("attempts", letter.attempts.to_string()),
        (
            "body",
            text.map_or_else(
                || format!("{} bytes that are no text (--body)", letter.body.len()),
                str::to_owned,
            ),
        ),
    ] {
        output::line(&format!("{name:<9}  {value}"))?;
    }
    Ok(())
}
