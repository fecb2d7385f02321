//! What the schedule removes: trash past its time, notifications past theirs, what was only kept to look back on; and what
//! it takes up because it has waited long enough; in bounded batches.
//!
//! What is eligible is decided in the transaction that removes it, on locked rows and by the database's clock, never on
//! a list read earlier: a restore that commits first wins whole. What cannot be removed is set aside ([`failures`]), so
//! that it holds nobody up. [`runs`] remembers what each run did, in the transactions that do it.

pub mod clock;
mod failures;
pub(super) mod lag;
pub(super) mod purge;
mod rows;
mod runs;

use std::collections::BTreeMap;
use std::time::Duration;

pub use runs::{JobRun, LastRun, Run, RunCounts, RunTotals, Started};

use super::access::audit::{self, Actor};
use super::db::Tx;
use super::db::values::args;
use super::decisions::pending;
use super::decisions::pending::{Redecided, Trip};
use super::lease::{self, Lease};
use super::records;
use super::{Rules, Store, StoreError, read_transaction, transaction};
use crate::domain::effects::Category;
use crate::domain::enrollment::NewEnrollment;
use crate::domain::time::Time;
use crate::ports::Decided;

/// What a job removes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Target {
    /// Trash entries, with all of the matrix's purge column.
    Trash,
    /// Notifications, by the time they were created.
    Notifications,
    /// Quotes, by the time the contact on them was erased.
    Quotes,
    /// Feedback and form submissions of contacts in the trash, from the pages that list them; the rows stay.
    Unlinked,
    /// Decisions, by their time; none that waits, and none that a contact who is still there was taken in by.
    Ledger,
    /// The audit, and the records of runs but each job's last.
    Audit,
    /// Events that nobody took; none that tells of an erasure.
    Outbox,
    /// Dead letters, by the time they were set aside.
    DeadLetters,
    /// Enrollments that wait no longer than until now; they are decided anew by these rules.
    Waiting(Rules),
}

impl Target {
    /// Is anything deleted, and not only decided anew?
    pub fn deletes(self) -> bool {
        !matches!(self, Self::Waiting(_))
    }

    /// What the audit calls it.
    fn action(self) -> &'static str {
        match self {
            Self::Trash => "purge",
            Self::Notifications => "expire",
            Self::Quotes => "delete_quotes",
            Self::Unlinked => "unlist",
            Self::Ledger | Self::Audit | Self::Outbox | Self::DeadLetters => "prune",
            Self::Waiting(_) => "wake",
        }
    }

    /// Under which a run counts it, where it is of one kind.
    fn counted_as(self) -> &'static str {
        match self {
            Self::Trash => "contacts",
            Self::Notifications => Category::Notifications.title(),
            Self::Quotes => Category::Quotes.title(),
            Self::Unlinked => "trash entries",
            Self::Ledger => "decisions",
            Self::Audit => "audit",
            Self::Outbox => "events",
            Self::DeadLetters => "dead letters",
            Self::Waiting(_) => "enrollments",
        }
    }

    /// Is the audit told the ids? Of what only looked back it would grow as fast as it shrinks.
    fn names_ids(self) -> bool {
        !matches!(self, Self::Ledger | Self::Audit | Self::Outbox | Self::DeadLetters | Self::Waiting(_))
    }
}

/// Rows that another transaction holds: pass over them first, wait for them afterwards.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Locked {
    Skip,
    Wait,
}

/// One bounded batch of a job's work.
#[derive(Clone, Debug)]
pub struct Sweep<'a> {
    pub job: &'a str,
    pub target: Target,
    /// Strictly older than this is removed.
    pub after: Duration,
    pub limit: u32,
    pub locked: Locked,
    /// The scheduler's lease; a person's run has none.
    pub lease: Option<&'a LeaseGuard>,
    /// `None`: what never failed. Otherwise what failed, the last time before that.
    pub failed_before: Option<Time>,
    /// The run that this is a batch of, and what its earlier ones did.
    pub run: Option<&'a Run>,
}

/// A lease, and how long its holder may be silent within a transaction.
#[derive(Clone, Debug)]
pub struct LeaseGuard {
    pub lease: Lease,
    pub idle_timeout: Duration,
}

/// What a batch did.
#[derive(Clone, Debug, Default)]
pub struct BatchResult {
    pub deleted: u64,
    /// By category.
    pub counts: RunCounts,
    /// How many of them were records that are no contacts, by type.
    pub records: BTreeMap<String, u64>,
    /// What became of enrollments that waited.
    pub decided: Vec<(NewEnrollment, Decided)>,
    trips: Vec<Trip>,
}

/// What waits for a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backlog {
    pub count: u64,
    /// Of these, how many could not be removed when it was tried.
    pub failing: u64,
    /// How many would be due if their contact were not under a legal hold.
    pub held: u64,
    /// How long the oldest has been due; zero where none is.
    pub oldest_overdue: Duration,
}

impl Store {
    /// Removes one batch.
    ///
    /// # Errors
    ///
    /// Refused where the lease is no longer held, or the run was given up. Failed where a row cannot be removed: then
    /// nothing of the batch was.
    pub async fn sweep(&self, sweep: &Sweep<'_>) -> Result<BatchResult, StoreError> {
        let swept = transaction!(self, tx => run_sweep(tx, self, sweep))?;
        pending::log(&swept.trips);
        Ok(swept)
    }

    /// Sets the first row of a batch aside, which could not be removed; how many rows that were, one at most.
    ///
    /// # Errors
    ///
    /// As [`Store::sweep`].
    pub async fn set_aside(&self, sweep: &Sweep<'_>) -> Result<u64, StoreError> {
        transaction!(self, tx => set_aside(tx, sweep))
    }

    /// What is due now. Reads only.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn backlog(&self, job: &str, target: Target, after: Duration) -> Result<Backlog, StoreError> {
        read_transaction!(self, tx => backlog(tx, job, target, after))
    }

    /// How many records that are no contacts are due, by type, of those that are in the trash for longer than `after`.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn record_backlog(&self, after: Duration) -> Result<BTreeMap<String, u64>, StoreError> {
        read_transaction!(self, tx => record_backlog(tx, after))
    }
}

async fn run_sweep(tx: &mut Tx, store: &Store, sweep: &Sweep<'_>) -> Result<BatchResult, StoreError> {
    let now = begin(tx, sweep.lease).await?;
    let Some(cutoff) = cutoff(now, sweep.after) else { return Ok(BatchResult::default()) };
    let (removed, mut swept) = match sweep.target {
        Target::Trash => purge::purge(tx, store, sweep, now, cutoff).await?,
        Target::Waiting(rules) => redecide_due(tx, store, sweep, &rules).await?,
        _ => (rows::remove(tx, sweep, now, cutoff).await?, BatchResult::default()),
    };
    let deleted: u64 = removed.values().map(|ids| ids.len() as u64).sum();
    swept.deleted += deleted;
    swept.counts.entry(sweep.target.counted_as().to_owned()).or_default().deleted += deleted;
    swept.counts.retain(|_, counts| !counts.is_empty());
    let actor = Actor::Job(sweep.job.to_owned());
    for (account_id, ids) in &removed {
        let count = i64::try_from(ids.len()).unwrap_or(i64::MAX);
        let ids = if sweep.target.names_ids() { ids.as_slice() } else { &[] };
        audit::write(tx, now, *account_id, &actor, sweep.target.action(), ids, count).await?;
    }
    if sweep.failed_before.is_some() {
        failures::forget(tx, sweep.job, &removed).await?;
    }
    if let Some(run) = sweep.run {
        runs::progress(tx, run, &run.done.and(&swept), now).await?;
    }
    Ok(swept)
}

/// Has its turn only once in a run: what the store did not take waits anew.
async fn redecide_due(
    tx: &mut Tx,
    store: &Store,
    sweep: &Sweep<'_>,
    rules: &Rules,
) -> Result<(ByAccount, BatchResult), StoreError> {
    if sweep.failed_before.is_some() {
        return Ok(Default::default());
    }
    let Redecided { keys, changed, trips } =
        pending::redecide_ready(tx, store, sweep.limit as usize, rules).await?;
    let mut woken = ByAccount::new();
    for key in keys {
        woken.entry(key.account_id).or_default().push(key.enrollment_id);
    }
    Ok((woken, BatchResult { decided: changed, trips, ..BatchResult::default() }))
}

async fn set_aside(tx: &mut Tx, sweep: &Sweep<'_>) -> Result<u64, StoreError> {
    let now = begin(tx, sweep.lease).await?;
    let Some(cutoff) = cutoff(now, sweep.after) else { return Ok(0) };
    let sweep = &Sweep { limit: 1, ..sweep.clone() };
    let first = match sweep.target {
        Target::Trash => purge::first(tx, sweep, cutoff).await?,
        Target::Waiting(_) => pending::put_off_first(tx).await?,
        _ => rows::first(tx, sweep, cutoff).await?,
    };
    let Some((account_id, id)) = first else { return Ok(0) };
    if !matches!(sweep.target, Target::Waiting(_)) {
        failures::remember(tx, sweep.job, account_id, id, now).await?;
    }
    let actor = Actor::Job(sweep.job.to_owned());
    audit::write(tx, now, account_id, &actor, "set_aside", &[id], 1).await?;
    if let Some(run) = sweep.run {
        runs::progress(tx, run, &run.done.and_failed(1), now).await?;
    }
    Ok(1)
}

/// Opens a batch: from here to the commit nobody else has the lease. Should this process stand still meanwhile,
/// PostgreSQL ends the transaction, so that the lease does not wait for it.
async fn begin(tx: &mut Tx, held: Option<&LeaseGuard>) -> Result<Time, StoreError> {
    let now = tx.now().await?;
    if let Some(LeaseGuard { lease, idle_timeout }) = held {
        tx.set_idle_in_transaction_timeout(*idle_timeout).await?;
        lease::fence(tx, lease, now).await?;
    }
    Ok(now)
}

fn cutoff(now: Time, after: Duration) -> Option<Time> {
    now.checked_sub_signed(chrono::TimeDelta::from_std(after).ok()?)
}

pub(super) fn lock_clause(tx: &Tx, locked: Locked, table: &str) -> String {
    match locked {
        Locked::Skip => tx.dialect().for_update_skip_locked(table),
        Locked::Wait => tx.dialect().for_update(table),
    }
}

/// The condition that selects the rows of a batch from `table`; `item` is their id in `retention_failures`. Rows that failed are tried apart
/// from the others. `$n` is the job, the one after
/// it the time before which the last try must lie.
fn failed_rows_condition(sweep: &Sweep<'_>, table: &str, item: &str, n: usize) -> String {
    let (not, before) = match sweep.failed_before {
        None => ("NOT ", String::new()),
        Some(_) => ("", format!(" AND f.failed_at < ${}", n + 1)),
    };
    format!(
        "{not}EXISTS (SELECT 1 FROM retention_failures f WHERE f.account_id = {table}.account_id AND f.job = ${n} \
         AND f.item_id = {item}{before})"
    )
}

async fn backlog(tx: &mut Tx, job: &str, target: Target, after: Duration) -> Result<Backlog, StoreError> {
    let now = tx.now().await?;
    let none = Backlog { count: 0, failing: 0, held: 0, oldest_overdue: Duration::ZERO };
    let Some(cutoff) = cutoff(now, after) else { return Ok(none) };
    let sql = format!(
        "SELECT count(*) AS due, min({time}) AS oldest FROM {table} t WHERE {eligible}",
        time = rows::of(target).time,
        table = rows::of(target).table,
        eligible = rows::of(target).eligible("t")
    );
    let Some(row) = tx.row(&sql, args![cutoff]).await? else { return Ok(none) };
    let (mut count, mut oldest) = (row.int("due")?, row.optional_time("oldest")?);
    let mut held = rows::held(tx, target, cutoff).await?;
    if target == Target::Trash {
        let of_records = records::backlog(tx, cutoff).await?;
        count += of_records.due;
        held += of_records.held.unsigned_abs();
        oldest = oldest.into_iter().chain(of_records.oldest).min();
    }
    Ok(Backlog {
        count: count.unsigned_abs(),
        failing: rows::failing(tx, job, target).await?,
        held,
        oldest_overdue: oldest.and_then(|oldest| (cutoff - oldest).to_std().ok()).unwrap_or_default(),
    })
}

async fn record_backlog(tx: &mut Tx, after: Duration) -> Result<BTreeMap<String, u64>, StoreError> {
    match cutoff(tx.now().await?, after) {
        Some(cutoff) => records::backlog_by_type(tx, cutoff).await,
        None => Ok(BTreeMap::new()),
    }
}

/// Ids by account.
pub(super) type ByAccount = BTreeMap<i64, Vec<i64>>;
