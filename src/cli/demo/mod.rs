//! `demo`: the whole thing on the embedded default, with the bundled sample account and events.
//!
//! What it does is what the service does: import, a purge, a restore, then the events through the JSON Lines
//! feed, the pipeline and the store. Only the printing is its own.

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use chrono::{TimeDelta, Utc};
use clap::Args;
use futures_util::FutureExt;
use serde_json::{Value, json};

use super::{Context, Failure, operator, output};
use crate::config::FeedKind;
use crate::domain::effects::Transition;
use crate::domain::enrollment::NewEnrollment;
use crate::domain::rejection::Rejection;
use crate::domain::time::format_time;
use crate::http::Health;
use crate::jsonl::Source;
use crate::pipeline::enrollments::Outcome;
use crate::ports::Stop;
use crate::scheduler::jobs::RunContext;
use crate::service;
use crate::store::access::tokens::NewToken;
use crate::store::db::query::Filter;
use crate::store::import::{self, Import, Pace};
use crate::store::views::read::TrashRow;
use crate::store::{self, HashKeySource, Rules, Store};
use crate::telemetry::Telemetry;

const ACCOUNT: &str = include_str!("account.jsonl");
const EVENTS: &str = include_str!("events.jsonl");

/// The demo's own file, made anew each time: a store of yours is never touched.
const FILE: &str = "contact-reaper-demo.db";
const URL: &str = "sqlite://contact-reaper-demo.db";

/// A user of the sample account who may delete and restore.
const USER: &str = "ola@larkspur.example";
/// The user whose token opens the pages, with every permission.
const PAGES_USER: &str = "kim@larkspur.example";
/// A contact in the trash that a person wants back before the events come.
const RESTORED: i64 = 131;

#[derive(Debug, Args)]
pub struct Demo {
    /// Keep the pages, the API, health and metrics up until Ctrl-C
    #[arg(long)]
    serve: bool,
}

/// One decision or dead letter, as it is printed.
struct Line {
    enrollment: Option<NewEnrollment>,
    outcome: &'static str,
    reason: Option<&'static str>,
    /// Of a dead letter: the place of the fault.
    detail: Option<String>,
}

impl Demo {
    pub async fn run(self, context: &Context) -> Result<(), Failure> {
        let telemetry = Telemetry::install()?;
        let mut asked = service::shutdown_signal()?;
        let store = fresh_store(context).await?;
        let health = Health::new({
            let store = store.clone();
            Box::new(move || {
                let store = store.clone();
                async move { store.answers().await }.boxed()
            })
        });
        let server = if self.serve {
            // Nothing here comes from a broker: what is set aside is in the store.
            let mut settings = context.settings.clone();
            settings.feed.kind = FeedKind::JsonLines;
            Some(service::serve(&settings, store.clone(), health.clone(), telemetry.clone()).await?)
        } else {
            None
        };
        health.set_startup_done();
        let imported = import(&store).await?;
        prepare(context, &store).await?;
        let lines = decide_events(context, &store, health.clone()).await?;
        let trash = store.trash(&Filter { account_id: Some(1), limit: 100, ..Filter::default() }).await?.rows;
        if context.json {
            output::document(
                &json!({"decisions": lines.iter().map(as_json).collect::<Vec<_>>(), "trash": trash}),
            )?;
        } else {
            print(imported, &lines, &trash)?;
            match &server {
                Some(server) => print_address(&store, &server.address.to_string()).await?,
                None => print_next()?,
            }
        }
        if let Some(server) = server {
            health.set_feed_connected(true);
            while !*asked.borrow() {
                telemetry.run_upkeep();
                // Whichever comes first: Ctrl-C, or the time to look after the histograms.
                drop(tokio::time::timeout(Duration::from_secs(5), asked.wait_for(|asked| *asked)).await);
            }
            server.stop().await;
        }
        store.close().await;
        Ok(())
    }
}

async fn fresh_store(context: &Context) -> Result<Store, Failure> {
    let key_file = format!("{FILE}.hash-key");
    for file in [FILE.to_owned(), format!("{FILE}-wal"), format!("{FILE}-shm"), key_file.clone()] {
        if Path::new(&file).exists() {
            std::fs::remove_file(&file)
                .with_context(|| format!("{file} of an earlier demo cannot be removed"))?;
        }
    }
    let configured = service::options::store(&context.settings, true);
    let mut options = store::Options { url: URL.to_owned(), schema: None, ..configured };
    if context.settings.privacy.hash_key_file.is_none() {
        // Where a command looks that is told the demo's store and nothing else.
        options.hash_keys = HashKeySource::Beside(key_file.into());
    }
    let store = Store::open(&options)?;
    store.migrate().await?;
    Ok(store)
}

async fn import(store: &Store) -> Result<u64, Failure> {
    let source =
        import::Source::copy(dated(ACCOUNT)?.as_bytes()).context("the sample account cannot be copied")?;
    let import = Import { source: &source, operator: &operator(), pace: Pace::default(), ends_others: false };
    Ok(store.import(import, &mut |_| {}).await?.imported)
}

/// What happened before the events came: the nightly purge, and somebody who wanted a contact back.
async fn prepare(context: &Context, store: &Store) -> Result<(), Failure> {
    let (_asker, stop) = Stop::channel();
    let by = format!("operator:{}", operator());
    let runner = RunContext { store, by, office: None, lags: &[], stop: &stop };
    for job in service::options::jobs(&context.settings) {
        job.run(&runner).await?;
    }
    store.restore_contact(1, USER, RESTORED).await?;
    Ok(())
}

async fn decide_events(context: &Context, store: &Store, health: Health) -> Result<Vec<Line>, Failure> {
    let lines = Arc::new(Mutex::new(Vec::new()));
    let collected = Arc::clone(&lines);
    let observer = move |outcome: Outcome<'_>| {
        collected.lock().unwrap_or_else(PoisonError::into_inner).push(line(outcome));
    };
    let options = service::options::pipeline(&context.settings, Some(health));
    let (_asker, stop) = Stop::channel();
    let source = Source::Lines(dated(EVENTS)?.into_bytes());
    // No contact is on its way.
    let rules = Rules { wait_for_contact: Duration::ZERO, ..service::options::rules(&context.settings) };
    service::run_lines(source, store.clone(), rules, Some(Arc::new(observer)), options, stop)
        .await
        .map_err(|sentence| anyhow!(sentence))?;
    Ok(std::mem::take(&mut *lines.lock().unwrap_or_else(PoisonError::into_inner)))
}

fn line(outcome: Outcome<'_>) -> Line {
    match outcome {
        Outcome::Decided(enrollment, decision) => Line {
            enrollment: Some(enrollment.clone()),
            outcome: decision.outcome(),
            reason: decision.reason(),
            detail: None,
        },
        Outcome::DeadLetter(Rejection { reason, detail }) => Line {
            enrollment: None,
            outcome: "dead letter",
            reason: Some(reason.as_str()),
            detail: Some(detail.clone()),
        },
    }
}

/// The bundled data with its times, such as `<now-5m>`, made real.
fn dated(text: &str) -> Result<String, Failure> {
    let now = Utc::now();
    let mut parts = text.split("<now-");
    let mut dated = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let (ago, rest) = part.split_once('>').context("a time of the bundled data has no end")?;
        let ago = humantime::parse_duration(ago).context("a time of the bundled data cannot be read")?;
        let ago = TimeDelta::from_std(ago).context("a time of the bundled data is out of range")?;
        dated.push_str(&format_time(now - ago));
        dated.push_str(rest);
    }
    Ok(dated)
}

fn as_json(line: &Line) -> Value {
    let id = |id: fn(&NewEnrollment) -> i64| line.enrollment.as_ref().map(|it| id(it).to_string());
    json!({"accountId": id(|it| it.key.account_id), "enrollmentId": id(|it| it.key.enrollment_id),
        "workflowId": id(|it| it.workflow_id), "objectId": id(|it| it.object_id), "outcome": line.outcome,
        "reason": line.reason, "detail": line.detail})
}

fn print(imported: u64, lines: &[Line], trash: &[TrashRow]) -> Result<(), Failure> {
    let purge = Transition::Purge.as_str();
    output::lines(&format!(
        "A fresh store, {FILE}: {imported} records of three sample accounts imported; contact 130, in the trash\n\
         for 120 days, taken by the {purge}; contact {RESTORED} restored by {USER}.\n\n\
         {} enrollment events, decided in the order they came:\n",
        lines.len()
    ))?;
    let id = |line: &Line, id: fn(&NewEnrollment) -> i64| {
        line.enrollment.as_ref().map_or_else(|| "-".to_owned(), |it| id(it).to_string())
    };
    let rows: Vec<Vec<String>> = lines
        .iter()
        .map(|line| {
            vec![
                id(line, |it| it.key.enrollment_id),
                id(line, |it| it.key.account_id),
                id(line, |it| it.workflow_id),
                id(line, |it| it.object_id),
                line.outcome.to_owned(),
                output::or_dash(line.reason),
            ]
        })
        .collect();
    output::table(&["enrollment", "account", "workflow", "object", "outcome", "reason"], &rows, "no events")?;
    output::lines("\nWhy the dead letters are dead:\n")?;
    for line in lines {
        if let (Some(reason), Some(detail)) = (line.reason, &line.detail) {
            output::line(reason)?;
            output::line(&format!("  {detail}"))?;
        }
    }
    output::lines("\nThe trash of account 1:\n")?;
    super::inspect::print_trash(trash)
}

async fn print_address(store: &Store, address: &str) -> Result<(), Failure> {
    let (user, name) = (PAGES_USER.to_owned(), "demo".to_owned());
    let wanted = NewToken { account_id: 1, user, name, expires: None, scopes: BTreeSet::new() };
    let made = store.create_token(&wanted, &operator()).await?;
    print_next()?;
    output::lines(&format!(
        "\nPages: http://{address}/, to be opened with the token of {PAGES_USER}:\n\n  {}\n\n\
         API: http://{address}/api/v1/openapi.json, metrics: http://{address}/metrics. Ctrl-C ends.",
        made.token.expose()
    ))
}

fn print_next() -> Result<(), Failure> {
    let program = std::env::args().next().unwrap_or_else(|| "contact-reaper".to_owned());
    output::lines(&format!(
        "\nTry next:\n\n  \
         export CONTACT_REAPER_STORE__URL={URL}\n  \
         {program} inspect contact 105 --account 1\n  \
         {program} restore --account 1 --as {USER} --contact 105\n  \
         {program} enrollments list --outcome refused\n  \
         {program} audit list\n  \
         {program} effects\n  \
         {program} demo --serve    # the same, with the pages kept up"
    ))
}
