//! `import` and `enroll`: JSON Lines from a file or standard input; and `topology`, where enrollments are published.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use clap::Args;
use futures_util::stream;
use serde_json::json;

use super::progress::LongWork;
use super::{Context, Failure, operator, output};
use crate::broker;
use crate::domain::counted::{counted, verb};
use crate::ports::FeedError;
use crate::service;
use crate::store::StoreError;
use crate::store::import::{Import, Pace, Phase, Progress, Source};

/// Where the lines come from.
#[derive(Debug, Args)]
pub struct Input {
    /// A file of JSON Lines; - is standard input
    file: PathBuf,
}

/// What `import` takes in.
#[derive(Debug, Args)]
pub struct ImportArgs {
    #[command(flatten)]
    input: Input,
    /// Take imports that were interrupted for finished with this one: enrollments of their contacts are decided again
    #[arg(long)]
    end_unfinished: bool,
}

impl Input {
    fn open(&self) -> anyhow::Result<Box<dyn BufRead + Send>> {
        if self.is_stdin() {
            return Ok(Box::new(BufReader::new(std::io::stdin())));
        }
        Ok(Box::new(BufReader::new(self.file()?)))
    }

    /// The input as lines that can be read more than once.
    pub fn open_whole(&self) -> anyhow::Result<Source> {
        if self.is_stdin() {
            return Source::copy(std::io::stdin().lock()).context("standard input cannot be copied");
        }
        Source::open(&self.file).with_context(|| self.cannot_be_read())
    }

    fn cannot_be_read(&self) -> String {
        format!("{} cannot be read", self.file.display())
    }

    fn file(&self) -> anyhow::Result<File> {
        File::open(&self.file).with_context(|| self.cannot_be_read())
    }

    fn is_stdin(&self) -> bool {
        self.file == Path::new("-")
    }
}

pub async fn import(context: &Context, args: &ImportArgs) -> Result<(), Failure> {
    let source = args.input.open_whole()?;
    let store = context.store().await?;
    let progress = LongWork::start("lines read");
    let import = Import {
        source: &source,
        operator: &operator(),
        pace: Pace::default(),
        ends_others: args.end_unfinished,
    };
    let mut reached = |Progress { phase, done, all }| {
        let what = match phase {
            Phase::Check => "checked",
            Phase::Apply => "imported",
        };
        progress.reached(what, done, Some(all));
    };
    let imported = store.import(import, &mut reached).await;
    progress.end();
    let report = imported.map_err(interrupted)?;
    if context.json {
        return output::document(&report);
    }
    let kinds: Vec<Vec<String>> =
        report.kinds.iter().map(|(kind, count)| vec![(*kind).to_owned(), count.to_string()]).collect();
    output::table(&["kind", "records"], &kinds, "the file has no records to store")?;
    let more = [
        (report.skipped, "record", "skipped: erased or purged, or of erased or purged contacts"),
        (report.redacted, "record", "redacted: naming the address of an erased person"),
        (report.removed, "record", "removed"),
        (report.dropped_properties, "property", "dropped: not in the records that replaced them"),
        (
            report.unfinished_imports.unwrap_or_default(),
            "other import",
            "incomplete: enrollments of its contacts wait",
        ),
    ];
    let some = more.iter().filter(|(count, ..)| *count > 0);
    let more = some.map(|(count, noun, what)| format!("{} {what}", counted(*count, noun)));
    let all = std::iter::once(format!("{} imported", counted(report.imported, "record"))).chain(more);
    output::line(&all.collect::<Vec<_>>().join(", "))
}

/// An import that the store ended goes on where it was.
fn interrupted(error: StoreError) -> Failure {
    if error.is_transient() {
        return Failure::Failed(anyhow!("{error}: nothing was lost, run it again once that is mended"));
    }
    error.into()
}

pub async fn topology(context: &Context) -> Result<(), Failure> {
    let declared = broker::declare_topology(&service::options::broker(&context.settings)).await;
    let (exchanges, queues) = declared.map_err(said)?;
    if context.json {
        return output::document(&json!({"exchanges": exchanges, "queues": queues}));
    }
    let named = |kind: &str, names: Vec<String>| {
        names.into_iter().map(|name| vec![kind.to_owned(), name]).collect::<Vec<_>>()
    };
    let rows = [named("exchange", exchanges), named("queue", queues)].concat();
    output::table(&["declared", "name"], &rows, "nothing is declared")
}

fn said(error: FeedError) -> Failure {
    let (FeedError::Transient(sentence) | FeedError::Permanent(sentence)) = error;
    anyhow!(sentence).into()
}

pub async fn enroll(context: &Context, input: &Input) -> Result<(), Failure> {
    let lines = input.open()?;
    let progress = LongWork::start("events read");
    let mut unreadable = None;
    let bodies = lines.split(b'\n').map_while(|line| line.map_err(|error| unreadable = Some(error)).ok());
    let bodies = bodies.map(|mut line| {
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        line
    });
    let bodies = bodies.filter(|line| !line.iter().all(u8::is_ascii_whitespace)).inspect(|_| progress.add(1));
    let report =
        broker::publish_enrollments(&service::options::broker(&context.settings), stream::iter(bodies)).await;
    progress.end();
    let report = report.map_err(said)?;
    let failures: Vec<serde_json::Value> = report
        .failures
        .iter()
        .map(|failure| json!({"event": failure.index + 1, "reason": failure.reason}))
        .collect();
    if context.json {
        output::document(&json!({"confirmed": report.confirmed, "failures": failures}))?;
    } else {
        output::line(&format!("{} confirmed", counted(report.confirmed as u64, "event")))?;
    }
    if let Some(error) = unreadable {
        return Err(anyhow!("{} cannot be read to its end: {error}", input.file.display()).into());
    }
    match report.failures.first() {
        None => Ok(()),
        Some(first) => Err(anyhow!(
            "{} of {} {} not confirmed, the first of them event {}: {}; publish the file again, \
             what was confirmed is recognised",
            report.failures.len(),
            counted(report.taken as u64, "event"),
            verb(report.failures.len() as u64, "was", "were"),
            first.index + 1,
            first.reason
        )
        .into()),
    }
}
