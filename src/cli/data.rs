//! `import` and `enroll`: JSON Lines from a file or standard input.

use std::fs::File;
use std::io::{BufRead, BufReader, Seek};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, anyhow};
use clap::Args;
use futures_util::stream;
use indicatif::ProgressBar;
use serde_json::json;

use super::{Context, Failure, operator, output};
use crate::broker;
use crate::ports::FeedError;
use crate::service;
use crate::store::StoreError;
use crate::store::import::Import;

/// How often an import that met other transactions starts again.
const MAX_TRIES: u32 = 10;

/// Where the lines come from.
#[derive(Debug, Args)]
pub struct Input {
    /// A file of JSON Lines; - is standard input
    file: PathBuf,
}

impl Input {
    fn open(&self) -> anyhow::Result<Box<dyn BufRead + Send>> {
        if self.is_stdin() {
            return Ok(Box::new(BufReader::new(std::io::stdin())));
        }
        Ok(Box::new(BufReader::new(self.file()?)))
    }

    /// The input as a file that can be read more than once. Standard input is copied into one that has no name: a
    /// transaction must not wait for whoever writes it.
    pub fn open_whole(&self) -> anyhow::Result<File> {
        if !self.is_stdin() {
            return self.file();
        }
        let path = std::env::temp_dir().join(format!("contact-reaper-import-{}", std::process::id()));
        let shown = path.display();
        let mut options = File::options();
        let spool = options.read(true).write(true).create_new(true).mode(0o600).open(&path);
        let mut spool = spool.with_context(|| format!("{shown} cannot be made to hold standard input"))?;
        std::fs::remove_file(&path).with_context(|| format!("{shown} cannot be removed"))?;
        std::io::copy(&mut std::io::stdin().lock(), &mut spool).context("standard input cannot be read")?;
        Ok(spool)
    }

    fn file(&self) -> anyhow::Result<File> {
        File::open(&self.file).with_context(|| format!("{} cannot be read", self.file.display()))
    }

    fn is_stdin(&self) -> bool {
        self.file == Path::new("-")
    }
}

pub async fn import(context: &Context, input: &Input) -> Result<(), Failure> {
    let mut file = input.open_whole()?;
    let store = context.store().await?;
    let bar = output::progress("records read");
    let mut tries = 0;
    let report = loop {
        file.rewind().context("the input cannot be read from its start")?;
        bar.set_position(0);
        let mut import = store.begin_import(&operator()).await?;
        let read = read_lines(&mut import, &mut BufReader::new(&file), &bar).await;
        match import.finish(read).await {
            // The workers had the same contacts in hand, in another order.
            Err(StoreError::Contended(_)) if tries < MAX_TRIES => tries += 1,
            report => break report,
        }
        tokio::time::sleep(Duration::from_millis(100) * tries).await;
    };
    bar.finish_and_clear();
    let report = report?;
    if context.json {
        return output::document(&report);
    }
    let kinds: Vec<Vec<String>> =
        report.kinds.iter().map(|(kind, count)| vec![(*kind).to_owned(), count.to_string()]).collect();
    output::table(&["kind", "records"], &kinds, "the file has no records")?;
    match report.skipped {
        0 => output::line(&format!("{} records imported", report.imported)),
        skipped => output::line(&format!(
            "{} records imported, {skipped} skipped: they are of erased or purged contacts",
            report.imported
        )),
    }
}

async fn read_lines(
    import: &mut Import,
    lines: &mut dyn BufRead,
    bar: &ProgressBar,
) -> Result<(), StoreError> {
    let mut line = String::new();
    let mut number = 0;
    loop {
        line.clear();
        number += 1;
        match lines.read_line(&mut line) {
            Ok(0) => return Ok(()),
            Ok(_) => import.line(number, &line).await?,
            Err(error) => {
                return Err(StoreError::Refused(format!(
                    "line {number}: cannot be read ({error}); nothing was imported"
                )));
            }
        }
        bar.inc(1);
    }
}

pub async fn enroll(context: &Context, input: &Input) -> Result<(), Failure> {
    let lines = input.open()?;
    let bar = output::progress("events read");
    let mut unreadable = None;
    let bodies = lines.split(b'\n').map_while(|line| line.map_err(|error| unreadable = Some(error)).ok());
    let bodies = bodies.map(|mut line| {
        if line.last() == Some(&b'\r') {
            line.pop();
        }
        line
    });
    let bodies = bodies.filter(|line| !line.iter().all(u8::is_ascii_whitespace)).inspect(|_| bar.inc(1));
    let report =
        broker::publish_enrollments(&service::options::broker(&context.settings), stream::iter(bodies)).await;
    bar.finish_and_clear();
    let report = match report {
        Ok(report) => report,
        Err(FeedError::Transient(sentence) | FeedError::Permanent(sentence)) => {
            return Err(anyhow!(sentence).into());
        }
    };
    let failures: Vec<serde_json::Value> = report
        .failures
        .iter()
        .map(|failure| json!({"event": failure.index + 1, "reason": failure.reason}))
        .collect();
    if context.json {
        output::document(&json!({"confirmed": report.confirmed, "failures": failures}))?;
    } else {
        output::line(&format!("{} events confirmed", report.confirmed))?;
    }
    if let Some(error) = unreadable {
        return Err(anyhow!("{} cannot be read to its end: {error}", input.file.display()).into());
    }
    match report.failures.first() {
        None => Ok(()),
        Some(first) => Err(anyhow!(
            "{} of {} events were not confirmed, the first of them event {}: {}; publish the file again, \
             what was confirmed is recognised",
            report.failures.len(),
            report.taken,
            first.index + 1,
            first.reason
        )
        .into()),
    }
}
