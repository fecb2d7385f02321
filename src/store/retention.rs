//! What the schedule deletes: trash past its time, notifications past theirs; in bounded batches.
//!
//! What is eligible is decided in the transaction that deletes, on locked rows and by the database's clock,
//! never on a list read earlier: a restore that commits first wins whole.

use std::collections::BTreeMap;
use std::time::Duration;

use super::audit::{self, Actor};
use super::db::{Tx, args};
use super::lease::{self, Lease};
use super::{Store, StoreError, purge, reading, transaction};
use crate::domain::time::Time;

/// What a job deletes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// Trash entries, with all of the matrix's purge column.
    Trash,
    /// Notifications, by the time they were created.
    Notifications,
    /// Quotes, by the time the contact on them was erased.
    Quotes,
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
    /// Strictly older than this is deleted.
    pub after: Duration,
    pub limit: u32,
    pub locked: Locked,
    /// The scheduler's lease; a person's run has none.
    pub lease: Option<&'a Lease>,
}

/// What waits for a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Backlog {
    pub count: u64,
    /// How long the oldest has been due; zero where none is.
    pub oldest_overdue: Duration,
}

/// What is remembered of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobRun {
    /// When this store first heard of the job: a job that never ran is due from here on.
    pub first_seen: Time,
    pub started_at: Option<Time>,
    pub succeeded_at: Option<Time>,
    /// `done`, `time_budget`, `shutdown`, `lease_lost` or `failed`; `None` while it runs, or where it was killed.
    pub result: Option<String>,
    /// Rows deleted by the last run.
    pub deleted: u64,
}

impl JobRun {
    /// Was the last run cut short, by a kill, a shutdown or a lost lease? Then the next one need not wait.
    pub fn was_cut_short(&self) -> bool {
        let cut_short =
            self.result.as_deref().is_none_or(|result| ["shutdown", "lease_lost"].contains(&result));
        self.started_at.is_some() && cut_short
    }
}

impl Store {
    /// Deletes one batch; how many entries or notifications it was.
    ///
    /// # Errors
    ///
    /// Refused where the lease is no longer held.
    pub async fn sweep(&self, sweep: &Sweep<'_>) -> Result<u64, StoreError> {
        transaction!(self, tx => run_sweep(tx, self, sweep))
    }

    /// What is due now. Reads only.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn backlog(&self, target: Target, after: Duration) -> Result<Backlog, StoreError> {
        reading!(self, tx => backlog(tx, target, after))
    }

    /// The last run of a job; remembers the job where it is new.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn register_job(&self, job: &str) -> Result<(JobRun, Time), StoreError> {
        transaction!(self, tx => register(tx, job))
    }

    /// The last run of a job, if this store ever heard of it, and the database's time. Reads only.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn last_run(&self, job: &str) -> Result<(Option<JobRun>, Time), StoreError> {
        reading!(self, tx => last_run(tx, job))
    }

    /// Remembers that a run began.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn job_started(&self, job: &str) -> Result<(), StoreError> {
        transaction!(self, tx => started(tx, job))
    }

    /// Remembers how a run ended.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn job_ended(&self, job: &str, result: &str, deleted: u64) -> Result<(), StoreError> {
        transaction!(self, tx => ended(tx, job, result, deleted))
    }
}

async fn run_sweep(tx: &mut Tx, store: &Store, sweep: &Sweep<'_>) -> Result<u64, StoreError> {
    let now = tx.now().await?;
    if let Some(held) = sweep.lease {
        lease::fence(tx, held, now).await?;
    }
    let Some(cutoff) = cutoff(now, sweep.after) else { return Ok(0) };
    let deleted = match sweep.target {
        Target::Trash => purge::purge(tx, store, sweep, now, cutoff).await?,
        Target::Notifications => expire_notifications(tx, sweep, cutoff).await?,
        Target::Quotes => delete_quotes(tx, sweep, cutoff).await?,
    };
    let actor = Actor::Job(sweep.job.to_owned());
    let action = match sweep.target {
        Target::Trash => "purge",
        Target::Notifications => "expire",
        Target::Quotes => "delete_quotes",
    };
    for (account_id, ids) in &deleted {
        let count = i64::try_from(ids.len()).unwrap_or(i64::MAX);
        audit::write(tx, now, *account_id, &actor, action, ids, count).await?;
    }
    Ok(deleted.values().map(|ids| ids.len() as u64).sum())
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

async fn expire_notifications(
    tx: &mut Tx,
    sweep: &Sweep<'_>,
    cutoff: Time,
) -> Result<BTreeMap<i64, Vec<i64>>, StoreError> {
    let sql = format!(
        "DELETE FROM notifications WHERE created_at < $1 AND (account_id, notification_id) IN \
         (SELECT n.account_id, n.notification_id FROM notifications n WHERE n.created_at < $1 \
          ORDER BY n.created_at LIMIT $2{}) RETURNING account_id, notification_id",
        lock_clause(tx, sweep.locked, "n")
    );
    let mut by_account: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    for row in tx.rows(&sql, args![cutoff, i64::from(sweep.limit)]).await? {
        by_account.entry(row.int("account_id")?).or_default().push(row.int("notification_id")?);
    }
    Ok(by_account)
}

async fn delete_quotes(
    tx: &mut Tx,
    sweep: &Sweep<'_>,
    cutoff: Time,
) -> Result<BTreeMap<i64, Vec<i64>>, StoreError> {
    let live = "EXISTS (SELECT 1 FROM quote_contacts l JOIN crm_contacts c \
                ON c.account_id = l.account_id AND c.contact_id = l.contact_id \
                WHERE l.account_id = quotes.account_id AND l.quote_id = quotes.quote_id)";
    tx.execute(
        &format!("UPDATE quotes SET orphaned_at = NULL WHERE orphaned_at < $1 AND {live}"),
        args![cutoff],
    )
    .await?;
    let due = format!(
        "SELECT q.account_id, q.quote_id FROM quotes q WHERE q.orphaned_at < $1 \
         ORDER BY q.orphaned_at, q.account_id, q.quote_id LIMIT $2{}",
        lock_clause(tx, sweep.locked, "q")
    );
    // The links of contacts in the trash go first; both statements stand on rows that the update left marked.
    let links = format!("DELETE FROM quote_contacts WHERE (account_id, quote_id) IN ({due})");
    tx.execute(&links, args![cutoff, i64::from(sweep.limit)]).await?;
    let quotes = format!(
        "DELETE FROM quotes WHERE NOT {live} AND (account_id, quote_id) IN ({due}) RETURNING account_id, quote_id"
    );
    let mut by_account: BTreeMap<i64, Vec<i64>> = BTreeMap::new();
    for row in tx.rows(&quotes, args![cutoff, i64::from(sweep.limit)]).await? {
        by_account.entry(row.int("account_id")?).or_default().push(row.int("quote_id")?);
    }
    Ok(by_account)
}

async fn backlog(tx: &mut Tx, target: Target, after: Duration) -> Result<Backlog, StoreError> {
    let now = tx.now().await?;
    let none = Backlog { count: 0, oldest_overdue: Duration::ZERO };
    let Some(cutoff) = cutoff(now, after) else { return Ok(none) };
    let sql = match target {
        Target::Trash => {
            "SELECT count(*) AS due, min(deleted_at) AS oldest FROM trash_entries \
             WHERE closed_at IS NULL AND deleted_at < $1"
        }
        Target::Notifications => {
            "SELECT count(*) AS due, min(created_at) AS oldest FROM notifications WHERE created_at < $1"
        }
        Target::Quotes => {
            "SELECT count(*) AS due, min(orphaned_at) AS oldest FROM quotes WHERE orphaned_at < $1"
        }
    };
    let Some(row) = tx.row(sql, args![cutoff]).await? else { return Ok(none) };
    let oldest = row.optional_time("oldest")?;
    Ok(Backlog {
        count: u64::try_from(row.int("due")?).unwrap_or_default(),
        oldest_overdue: oldest.and_then(|oldest| (cutoff - oldest).to_std().ok()).unwrap_or_default(),
    })
}

async fn register(tx: &mut Tx, job: &str) -> Result<(JobRun, Time), StoreError> {
    let now = tx.now().await?;
    tx.execute(
        "INSERT INTO job_runs (job, first_seen, deleted) VALUES ($1, $2, 0) ON CONFLICT DO NOTHING",
        args![job, now],
    )
    .await?;
    let (run, now) = last_run(tx, job).await?;
    let run = run.ok_or_else(|| StoreError::Failed(format!("the job {job} was forgotten at once")))?;
    Ok((run, now))
}

async fn last_run(tx: &mut Tx, job: &str) -> Result<(Option<JobRun>, Time), StoreError> {
    let now = tx.now().await?;
    let row = tx
        .row(
            "SELECT first_seen, started_at, succeeded_at, result, deleted FROM job_runs WHERE job = $1",
            args![job],
        )
        .await?;
    let Some(row) = row else { return Ok((None, now)) };
    let run = JobRun {
        first_seen: row.time("first_seen")?,
        started_at: row.optional_time("started_at")?,
        succeeded_at: row.optional_time("succeeded_at")?,
        result: row.optional_text("result")?,
        deleted: u64::try_from(row.int("deleted")?).unwrap_or_default(),
    };
    Ok((Some(run), now))
}

async fn started(tx: &mut Tx, job: &str) -> Result<(), StoreError> {
    let now = tx.now().await?;
    tx.execute(
        "INSERT INTO job_runs (job, first_seen, started_at, deleted) VALUES ($1, $2, $2, 0) \
         ON CONFLICT (job) DO UPDATE SET started_at = excluded.started_at, result = NULL",
        args![job, now],
    )
    .await?;
    Ok(())
}

async fn ended(tx: &mut Tx, job: &str, result: &str, deleted: u64) -> Result<(), StoreError> {
    let now = tx.now().await?;
    let succeeded = (result != "failed").then_some(now);
    let deleted = i64::try_from(deleted).unwrap_or(i64::MAX);
    tx.execute(
        "UPDATE job_runs SET succeeded_at = coalesce($2, succeeded_at), result = $3, deleted = $4 WHERE job = $1",
        args![job, succeeded, result, deleted],
    )
    .await?;
    Ok(())
}
