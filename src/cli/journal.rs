//! `erasures export` and `erasures apply`: the journal kept outside the store, and erasing again by it.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader, BufWriter, Read, Seek, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, anyhow};
use clap::Args;
use serde::Serialize;

use super::data::Input;
use super::progress::LongWork;
use super::{Context, Failure, operator, output};
use crate::domain::counted::{counted, verb};
use crate::domain::journal::{End, Entry, ErasedRecord, Suppression};
use crate::domain::members::FieldError;
use crate::store::privacy::journal::Export;
use crate::store::privacy::reapply::ReapplyOutcome;
use crate::store::{Store, StoreError};

/// The longest line that is read, in bytes: what `export` writes is far shorter.
const MAX_LINE: u64 = 64 * 1024;
/// Suppressions, or erased records, put back in one transaction.
const CHUNK: usize = 500;

#[derive(Debug, Args)]
pub struct Output {
    /// Where the journal goes; - is standard output
    #[arg(default_value = "-")]
    file: PathBuf,
}

/// Lines of a journal, by kind.
#[derive(Clone, Copy, Debug, Default, Serialize)]
struct Lines {
    keys: u64,
    erasures: u64,
    suppressions: u64,
    #[serde(rename = "erasedRecords")]
    erased_records: u64,
}

/// What applying a journal did.
#[derive(Debug, Default, Serialize)]
#[serde(rename_all = "camelCase")]
struct Report {
    /// Contacts that were back and are gone again.
    erased: u64,
    /// Erasures of contacts that were not there: the store knows them now.
    recorded: u64,
    /// Erasures that the store knew already.
    known: u64,
    /// Contacts that are back and under a legal hold.
    held: Vec<Contact>,
    /// Statuses of addresses put on the suppression list.
    suppressed: u64,
    /// Statuses in force again for addresses that contacts have.
    revived: u64,
    /// Records with an erased address of nobody in their texts, now redacted or deleted.
    redacted: u64,
    /// Activities, tickets, files, conversations and quotes that went with an erased contact, and that no import brings back.
    erased_records: u64,
    /// Accounts of the journal that the store does not have.
    absent_accounts: Vec<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Contact {
    account_id: String,
    contact_id: String,
}

pub async fn export(context: &Context, Output { file }: &Output) -> Result<(), Failure> {
    let to_stdout = file == Path::new("-");
    if to_stdout && context.json {
        return Err(Failure::Usage(
            "the journal itself goes to standard output, where --json puts its document: name a FILE"
                .to_owned(),
        ));
    }
    let store = context.existing_store().await?;
    if to_stdout {
        write_journal(&store, &mut BufWriter::new(std::io::stdout())).await?;
        return Ok(());
    }
    let lines = write_whole(&store, file).await?;
    if context.json {
        return output::document(&lines);
    }
    output::line(&format!(
        "{} and {} of suppressed addresses are in {}; keep the hash keys as well, and elsewhere",
        counted(lines.erasures, "erasure"),
        counted(lines.suppressions, "status"),
        file.display()
    ))
}

/// Writes a file that is there whole or not at all: whoever copies it away never sees half of it.
async fn write_whole(store: &Store, file: &Path) -> Result<Lines, Failure> {
    // A link is followed, so that what it names is what was asked for; a device or a pipe cannot be there half.
    let file = &file.canonicalize().unwrap_or_else(|_| file.to_owned());
    if file.exists() && !file.is_file() {
        let shown = file.display();
        return Err(anyhow!("{shown} is no regular file: name a file, or - for standard output").into());
    }
    let mut partial = file.as_os_str().to_owned();
    partial.push(format!(".{}.partial", std::process::id()));
    let partial = Path::new(&partial);
    let cannot = || format!("{} cannot be written", file.display());
    let open = File::options().write(true).create_new(true).mode(0o600).open(partial);
    let mut out = BufWriter::new(open.with_context(cannot)?);
    let lines = write_journal(store, &mut out).await;
    let kept = lines.and_then(|lines| {
        let moved = out.get_ref().sync_all().and_then(|()| std::fs::rename(partial, file));
        Ok(moved.map(|()| lines).with_context(cannot)?)
    });
    if kept.is_err() {
        drop(std::fs::remove_file(partial));
    }
    kept
}

async fn write_journal(store: &Store, out: &mut impl Write) -> Result<Lines, Failure> {
    let mut export = store.begin_export().await?;
    let written = write_pages(&mut export, out).await;
    export.finish().await?;
    written
}

async fn write_pages(export: &mut Export, out: &mut impl Write) -> Result<Lines, Failure> {
    let mut lines = Lines::default();
    loop {
        let page = export.page().await?;
        for entry in &page {
            writeln!(out, "{}", entry.to_line())?;
            *match entry {
                Entry::Key(_) => &mut lines.keys,
                Entry::Erasure(_) => &mut lines.erasures,
                Entry::ErasedRecord(_) => &mut lines.erased_records,
                // The store has none: the end is known when it is reached.
                Entry::Suppression(_) | Entry::End(_) => &mut lines.suppressions,
            } += 1;
        }
        if page.is_empty() {
            let Lines { erasures, suppressions, erased_records, .. } = lines;
            let end = End { erasures, suppressions, erased_records };
            writeln!(out, "{}", Entry::End(end).to_line())?;
            out.flush()?;
            return Ok(lines);
        }
    }
}

pub async fn apply(context: &Context, input: &Input) -> Result<(), Failure> {
    let file = input.open_whole()?.into_file();
    let survey = JournalSummary::of(&file)?;
    let store = context.existing_store().await?;
    store.knows_keys(&survey.keys).await?;
    let absent = store.absent_accounts(&survey.accounts).await?;
    let mut report =
        Report { absent_accounts: absent.iter().map(ToString::to_string).collect(), ..Report::default() };
    let progress = LongWork::start("lines applied");
    let applied = apply_all(&store, &file, &survey.accounts, &mut report, &progress).await;
    progress.end();
    applied?;
    // Whatever was done: an earlier run may have been stopped before it came to this.
    if let Err(problem) = store.scrub().await {
        super::output::warn_of_files(&problem);
    }
    if context.json {
        output::document(&report)?;
    } else {
        print_report(&report)?;
    }
    match &report.held[..] {
        [] => Ok(()),
        [first, ..] => Err(anyhow!(
            "{} of the journal {} under a legal hold and not erased, the first of them contact {} of account {}: lift the \
             holds and apply the journal again",
            counted(report.held.len() as u64, "contact"),
            verb(report.held.len() as u64, "is", "are"),
            first.contact_id,
            first.account_id
        )
        .into()),
    }
}

/// What a journal asks of a store, known before anything is done.
#[derive(Debug, Default)]
struct JournalSummary {
    accounts: BTreeSet<i64>,
    /// Keys by their id, with what tells them: whoever has them is the store that the journal is of.
    keys: BTreeMap<String, String>,
}

impl JournalSummary {
    /// Reads all of it: a line that makes no sense is found before anything is done.
    fn of(file: &File) -> Result<Self, Failure> {
        let mut survey = Self::default();
        let mut read = End::default();
        let mut end = None;
        for (number, entry) in entries(file)? {
            let entry = entry?;
            if end.is_some() {
                return Err(at_line(number, "the line", "stands after the end of the journal"));
            }
            match entry {
                Entry::Erasure(erasure) => {
                    read.erasures += 1;
                    survey.accounts.insert(erasure.account_id);
                }
                Entry::Suppression(suppression) => {
                    read.suppressions += 1;
                    survey.accounts.insert(suppression.account_id);
                    if !survey.keys.contains_key(&suppression.key_id) {
                        return Err(at_line(number, "keyId", "is of no key that a line before it tells"));
                    }
                }
                Entry::ErasedRecord(record) => {
                    read.erased_records += 1;
                    survey.accounts.insert(record.account_id);
                }
                Entry::Key(key) => {
                    let known = survey.keys.entry(key.key_id).or_insert_with(|| key.check.clone());
                    if *known != key.check {
                        let problem = "tells another key than an earlier line of the same id";
                        return Err(at_line(number, "check", problem));
                    }
                }
                Entry::End(counts) => end = Some(counts),
            }
        }
        if end != Some(read) {
            let problem = "the journal is not whole: its last line must say how many erasures, suppressions and erased records it has";
            return Err(Failure::Failed(anyhow!("{problem}; export it again; nothing was done")));
        }
        if survey.keys.is_empty() {
            return Err(Failure::Failed(anyhow!(
                "the journal tells no key, and so not which store it is of; export it again; nothing was done"
            )));
        }
        Ok(survey)
    }
}

/// The entries of a journal from its start, each with its line.
fn entries(mut file: &File) -> Result<impl Iterator<Item = (u64, Result<Entry, Failure>)>, Failure> {
    file.rewind().context("the journal cannot be read from its start")?;
    let lines = (1..).zip(bounded_lines(BufReader::new(file)));
    let lines = lines.filter(|(_, line)| !line.as_ref().is_ok_and(|line| line.trim().is_empty()));
    Ok(lines.map(|(number, line)| {
        let entry = match line {
            Ok(line) => Entry::parse(&line)
                .map_err(|FieldError { place, expected }| at_line(number, &place, &expected)),
            Err(error) => Err(at_line(number, "the line", &format!("cannot be read ({error})"))),
        };
        (number, entry)
    }))
}

/// Lines, none of them longer than memory can take.
fn bounded_lines(mut reader: impl BufRead) -> impl Iterator<Item = std::io::Result<String>> {
    let mut over = false;
    std::iter::from_fn(move || {
        if over {
            return None;
        }
        let mut line = String::new();
        let read = reader.by_ref().take(MAX_LINE).read_line(&mut line);
        over = read.as_ref().is_ok_and(|read| *read as u64 == MAX_LINE);
        match read {
            Ok(0) => None,
            Ok(_) if over => Some(Err(std::io::Error::other("it is too long"))),
            Ok(_) => Some(Ok(line)),
            Err(error) => Some(Err(error)),
        }
    })
}

fn at_line(number: u64, place: &str, problem: &str) -> Failure {
    Failure::Failed(anyhow!("line {number}: {place}: {problem}; nothing was done"))
}

/// Goes through the journal.
async fn apply_all(
    store: &Store,
    file: &File,
    accounts: &BTreeSet<i64>,
    report: &mut Report,
    progress: &LongWork,
) -> Result<(), Failure> {
    let operator = operator();
    let (mut suppressions, mut records) = (Vec::new(), Vec::new());
    for (_, entry) in entries(file)? {
        match entry? {
            Entry::Key(_) | Entry::End(_) => {}
            Entry::Suppression(suppression) => suppressions.push(suppression),
            Entry::ErasedRecord(record) => records.push(record),
            Entry::Erasure(erasure) => match store.reapply_erasure(&erasure, &operator).await? {
                ReapplyOutcome::Erased => report.erased += 1,
                ReapplyOutcome::Recorded => report.recorded += 1,
                ReapplyOutcome::Known => report.known += 1,
                ReapplyOutcome::Held => report.held.push(Contact {
                    account_id: erasure.account_id.to_string(),
                    contact_id: erasure.contact_id.map(|id| id.to_string()).unwrap_or_default(),
                }),
            },
        }
        if suppressions.len() == CHUNK {
            report.suppressed += suppress(store, &mut suppressions, &operator).await?;
        }
        if records.len() == CHUNK {
            report.erased_records += record_erased(store, &mut records).await?;
        }
        progress.add(1);
    }
    report.suppressed += suppress(store, &mut suppressions, &operator).await?;
    report.erased_records += record_erased(store, &mut records).await?;
    for account_id in accounts {
        report.redacted += store.redact_again(*account_id, &operator).await?;
        let mut after = String::new();
        while let Some((last, revived)) =
            store.reactivate_suppressions(*account_id, &after, &operator).await?
        {
            report.revived += revived;
            after = last;
        }
    }
    Ok(())
}

async fn suppress(store: &Store, chunk: &mut Vec<Suppression>, operator: &str) -> Result<u64, StoreError> {
    let hashes = std::mem::take(chunk);
    if hashes.is_empty() { Ok(0) } else { store.reapply_suppressions(&hashes, operator).await }
}

async fn record_erased(store: &Store, chunk: &mut Vec<ErasedRecord>) -> Result<u64, StoreError> {
    let records = std::mem::take(chunk);
    if records.is_empty() { Ok(0) } else { store.record_erased_again(&records).await }
}

fn print_report(report: &Report) -> Result<(), Failure> {
    output::line(&format!(
        "{} had come back and {} erased again; {} recorded, {} known already",
        counted(report.erased, "contact"),
        verb(report.erased, "is", "are"),
        counted(report.recorded, "erasure"),
        report.known
    ))?;
    output::line(&format!(
        "{} of addresses put on the suppression list; {} in force again for contacts that are there",
        counted(report.suppressed, "status"),
        report.revived
    ))?;
    output::line(&format!(
        "{} with an erased address redacted or deleted; {} noted, so that no import brings them back",
        counted(report.redacted, "record"),
        counted(report.erased_records, "deleted record")
    ))?;
    match &report.absent_accounts[..] {
        [] => Ok(()),
        absent => output::line(&format!(
            "this store has no account {}: their erasures are recorded, for when an import brings them",
            absent.join(", ")
        )),
    }
}
