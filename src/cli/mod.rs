//! The command line: what is asked, who does it, how it is said.

mod columns;
mod data;
mod dead_letters;
mod delete;
mod demo;
mod erase;
mod explain;
mod holds;
mod inspect;
mod journal;
mod operate;
mod output;
mod pages;
mod pause;
mod progress;
mod records;
mod restore;
mod retention;
mod tokens;
mod users;
mod workflow;

use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

use chrono::Utc;
use clap::{Args, Parser, Subcommand};

pub use self::output::{plain_lines, say};
use crate::config::{ConfigErrors, LogFormat, Settings, environment};
use crate::domain::members::parse_id_text;
use crate::domain::time::{SPOKEN_TIMES, SpokenTime, Time};
use crate::operations::{self, Operations};
use crate::service;
use crate::store::{Operator, Schema, Store, StoreError};
use crate::telemetry::{self, LogOptions, TelemetryError};

/// The Delete contact action of a CRM's workflows, as a background service.
#[derive(Debug, Parser)]
#[command(name = "contact-reaper", version, subcommand_required = true, arg_required_else_help = true)]
pub struct Cli {
    /// Settings file; environment variables override it
    #[arg(long, global = true, value_name = "FILE")]
    config: Option<PathBuf>,
    /// Print one JSON document on standard output and nothing else there
    #[arg(long, global = true)]
    json: bool,
    /// Log more
    #[arg(short, long, global = true)]
    verbose: bool,
    #[command(subcommand)]
    command: Command,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// See the whole thing work on sample data: no server, no settings
    Demo(demo::Demo),
    /// Run the service until SIGTERM, SIGINT or SIGHUP, then drain
    Run,
    /// Bring the store's schema up to date
    Migrate,
    /// Show the settings in force, or every mistake in them
    CheckConfig,
    /// Take records (JSON Lines) into the store, nothing of a file with a mistake; interrupted, the same command goes on
    Import(data::ImportArgs),
    /// Publish enrollment events (JSON Lines) to RabbitMQ, confirmed
    Enroll(data::Input),
    /// Declare exchanges and queues on RabbitMQ, for producers that start before the service
    Topology,
    /// Would this contact be deleted by this workflow now, and why? Writes nothing
    Explain(explain::Explain),
    /// Look at a workflow before it is switched on
    #[command(subcommand)]
    Workflow(workflow::Workflow),
    /// What was decided on enrollments
    #[command(subcommand)]
    Enrollments(inspect::Enrollments),
    /// What the CRM shows
    #[command(subcommand)]
    Inspect(inspect::Inspect),
    /// What is in the trash
    #[command(subcommand)]
    Trash(inspect::Trash),
    /// Who did what, when, to which ids
    #[command(subcommand)]
    Audit(inspect::Audit),
    /// Put contacts and other records into the trash, as a user of the account
    Delete(delete::Delete),
    /// Bring contacts and other records back from the trash, as a user of the account
    Restore(restore::Restore),
    /// Delete a person for good, for privacy: it cannot be undone
    Erase(erase::Erase),
    /// Receipts of erasures, and their journal for when a backup is restored
    #[command(subcommand)]
    Erasures(erase::Erasures),
    /// Holds that keep a contact from being erased or purged
    #[command(subcommand)]
    LegalHold(erase::LegalHold),
    /// Deletions that are held: by the volume guard, or while deletes are paused
    #[command(subcommand)]
    Holds(holds::Holds),
    /// Stop deletes by workflows; people's deletes, erases and purges go on
    Pause(pause::Paused),
    /// Let deletes by workflows go on; what was held meanwhile is taken up
    Resume(pause::Paused),
    /// What could not be processed
    #[command(subcommand)]
    DeadLetters(dead_letters::DeadLetters),
    /// Tokens for the HTTP side
    #[command(subcommand)]
    Tokens(tokens::Tokens),
    /// Users of an account, and what they may do
    #[command(subcommand)]
    Users(users::Users),
    /// The scheduled jobs
    #[command(subcommand)]
    Retention(retention::Retention),
    /// Print the deletion matrix
    Effects,
}

/// Why a command did not do what was asked; the exit code tells the two apart.
#[derive(Debug)]
pub enum Failure {
    /// Wrong usage or settings: 2.
    Usage(String),
    /// Failed or refused: 1.
    Failed(anyhow::Error),
}

impl From<ConfigErrors> for Failure {
    fn from(mistakes: ConfigErrors) -> Self {
        Self::Usage(mistakes.to_string())
    }
}

/// The rooms' own errors, each a sentence already.
macro_rules! failed {
    ($($error:ty),+) => {
        $(impl From<$error> for Failure {
            fn from(error: $error) -> Self {
                Self::Failed(error.into())
            }
        })+
    };
}
impl From<operations::Error> for Failure {
    fn from(error: operations::Error) -> Self {
        match error {
            operations::Error::Usage(sentence) => Self::Usage(sentence),
            error => Self::Failed(error.into()),
        }
    }
}

failed!(anyhow::Error, StoreError, TelemetryError, serde_json::Error, std::io::Error);

/// What a list may be narrowed to.
#[derive(Debug, Args)]
struct ListArgs {
    /// Only of this account
    #[arg(long, value_parser = id)]
    account: Option<i64>,
    /// At most this many, newest first
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(i64).range(1..))]
    limit: i64,
}

/// What every command works with.
struct Context {
    settings: Settings,
    json: bool,
}

impl Context {
    /// The store, with its schema brought up to date, made where there is none.
    async fn store(&self) -> Result<Store, Failure> {
        let store = Store::open(&service::options::store(&self.settings, true))?;
        store.migrate().await.map_err(not_reached)?;
        Ok(store)
    }

    /// The operations, on the store as it is.
    async fn operations(&self) -> Result<Operations, Failure> {
        Ok(service::operations(&self.settings, self.existing_store().await?))
    }

    /// A list of an account that is empty, and the account not even there: somebody mistyped it.
    async fn refuse_unknown(
        &self,
        store: &Store,
        account: Option<i64>,
        is_empty: bool,
    ) -> Result<(), Failure> {
        match account.filter(|_| is_empty) {
            Some(account) => Ok(store.demand_account(account).await?),
            None => Ok(()),
        }
    }

    /// The store as it is: it must be there, with the schema of this program.
    async fn existing_store(&self) -> Result<Store, Failure> {
        if let Some(path) = Store::file(self.settings.store.url.expose())
            && !path.exists()
        {
            return Err(Failure::Failed(anyhow::anyhow!(
                "store.url names {}, where no store is: run `contact-reaper migrate` or set store.url",
                path.display()
            )));
        }
        let store = Store::open(&service::options::store(&self.settings, false))?;
        match store.schema().await.map_err(not_reached)? {
            Schema::Current => Ok(store),
            Schema::Behind(missing) => Err(Failure::Failed(anyhow::anyhow!(
                "the store's schema lacks {}: run `contact-reaper migrate`",
                missing.join(", ")
            ))),
            Schema::Newer(version) => Err(Failure::Failed(anyhow::anyhow!(
                "the store's schema has version {version}, newer than this program knows: upgrade contact-reaper"
            ))),
        }
    }
}

/// What to do where the first question to the store already fails.
fn not_reached(error: StoreError) -> Failure {
    match error {
        error if error.is_refusal() => error.into(),
        StoreError::NotSetUp(_) => Failure::Failed(anyhow::anyhow!(
            "{error}: see that store.url names the right database and a user who may use it"
        )),
        error => Failure::Failed(anyhow::anyhow!(
            "{error}: see that store.url names the right database, and that it is up"
        )),
    }
}

/// Runs one command.
///
/// # Errors
///
/// One sentence: what, where, what to do.
pub async fn run(cli: Cli) -> Result<(), Failure> {
    let Cli { config, json, verbose, command } = cli;
    if matches!(command, Command::Effects) {
        return operate::effects(json);
    }
    let settings = match Settings::load(config.as_deref(), environment()) {
        Ok(settings) => settings,
        Err(mistakes) if matches!(command, Command::CheckConfig) && json => {
            output::document(&mistakes)?;
            return Err(mistakes.into());
        }
        Err(mistakes) => return Err(mistakes.into()),
    };
    // A command answers on standard output; unless asked, only what runs on is worth a log of its own.
    let logs = verbose || matches!(command, Command::Run);
    let level = if logs { settings.log.level.clone() } else { "error".to_owned() };
    telemetry::start_logs(&LogOptions { json: settings.log.format == LogFormat::Json, level, verbose })?;
    let context = Context { settings, json };
    match command {
        Command::Demo(demo) => demo.run(&context).await,
        Command::Run => operate::run(&context).await,
        Command::Migrate => operate::migrate(&context).await,
        Command::CheckConfig => operate::check_config(&context),
        Command::Import(args) => data::import(&context, &args).await,
        Command::Enroll(input) => data::enroll(&context, &input).await,
        Command::Topology => data::topology(&context).await,
        Command::Explain(explain) => explain.run(&context).await,
        Command::Workflow(workflow) => workflow.run(&context).await,
        Command::Enrollments(enrollments) => enrollments.run(&context).await,
        Command::Inspect(inspect) => inspect.run(&context).await,
        Command::Trash(trash) => trash.run(&context).await,
        Command::Audit(audit) => audit.run(&context).await,
        Command::Delete(delete) => delete.run(&context).await,
        Command::Restore(restore) => restore.run(&context).await,
        Command::Erase(erase) => erase.run(&context).await,
        Command::Erasures(erasures) => erasures.run(&context).await,
        Command::LegalHold(hold) => hold.run(&context).await,
        Command::Holds(holds) => holds.run(&context).await,
        Command::Pause(paused) => paused.pause(&context).await,
        Command::Resume(paused) => paused.resume(&context).await,
        Command::DeadLetters(letters) => letters.run(&context).await,
        Command::Tokens(tokens) => tokens.run(&context).await,
        Command::Users(users) => users.run(&context).await,
        Command::Retention(retention) => retention.run(&context).await,
        Command::Effects => operate::effects(json),
    }
}

/// Reads a time that has been, as people write it.
fn past(text: &str) -> Result<Time, String> {
    let now = Utc::now();
    let time = SpokenTime::parse(text, now).and_then(|time| time.in_the_past(now));
    time.ok_or_else(|| SPOKEN_TIMES.to_owned())
}

/// An id on the command line.
fn id(text: &str) -> Result<i64, String> {
    parse_id_text(text).ok_or_else(|| "an id is a positive 64-bit integer".to_owned())
}

/// Whoever gives an order: whom `--as` names, or whoever is at the command line.
fn operator_or(named: Option<Operator>) -> Operator {
    named.unwrap_or_else(|| Operator::OfTheSystem(operator()))
}

/// Whom `--as` names: a user of the account by id or e-mail address, or an operator of the service as `system:NAME`.
fn operator_named(text: &str) -> Result<Operator, String> {
    let Some(name) = text.strip_prefix("system:") else { return Ok(Operator::OfTheAccount(text.to_owned())) };
    let is_name = |name: &str| {
        (1..=64).contains(&name.len())
            && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"._@-".contains(&byte))
    };
    if is_name(name) {
        return Ok(Operator::OfTheSystem(name.to_owned()));
    }
    Err("an operator is named by 1 to 64 letters, digits, dots, hyphens, underscores or @ after `system:`"
        .to_owned())
}

/// A user belongs to an account, so that has to be named; an operator of the service does not.
fn with_account(named: Option<&Operator>, account: Option<i64>) -> Result<(), Failure> {
    match (named, account) {
        (Some(Operator::OfTheAccount(_)), None) => Err(Failure::Usage(
            "--as names a user of an account: add --account, or name system:NAME".to_owned(),
        )),
        _ => Ok(()),
    }
}

/// Who is at the command line: the name the operating system tells, or else the number.
fn operator() -> String {
    let name = |variable| std::env::var(variable).ok().filter(|name| !name.is_empty());
    name("USER").or_else(|| name("LOGNAME")).unwrap_or_else(|| {
        let uid = std::fs::metadata("/proc/self").map(|process| process.uid());
        uid.map_or_else(|_| "unknown".to_owned(), |uid| format!("uid-{uid}"))
    })
}
