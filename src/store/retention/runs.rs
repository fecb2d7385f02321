//! The runs of a job: one at a time, each with a record that is written with its deeds.
//!
//! A record is a run's own: whoever was taken for dead, and is not, finds its record closed and its batch refused.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::{BatchResult, LeaseGuard};
use crate::domain::record::ColumnType;
use crate::domain::time::Time;
use crate::store::access::audit;
use crate::store::db::Tx;
use crate::store::db::values::{Row, args};
use crate::store::lease::{self, Lease};
use crate::store::{Operator, Store, StoreError, read_transaction, transaction};

/// A person's run that was silent for longer is over: its process is gone.
const RUN_TIMEOUT: chrono::TimeDelta = chrono::TimeDelta::minutes(2);

/// What a run did, by category.
pub type RunCounts = BTreeMap<String, RunCount>;

/// Rows of one category.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RunCount {
    pub deleted: u64,
    pub unlinked: u64,
}

impl RunCount {
    pub(super) fn is_empty(self) -> bool {
        self == Self::default()
    }
}

/// What a run did so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RunTotals {
    pub batches: u64,
    pub deleted: u64,
    /// Tries at single rows that were in vain.
    pub failed: u64,
    pub counts: RunCounts,
}

impl RunTotals {
    /// And a batch more.
    #[must_use]
    pub fn and(&self, swept: &BatchResult) -> Self {
        let mut done = self.clone();
        done.batches += u64::from(swept.deleted > 0);
        done.deleted += swept.deleted;
        for (category, more) in &swept.counts {
            let counts = done.counts.entry(category.clone()).or_default();
            counts.deleted += more.deleted;
            counts.unlinked += more.unlinked;
        }
        done
    }

    /// And so many rows that could not be removed.
    #[must_use]
    pub fn and_failed(&self, rows: u64) -> Self {
        Self { failed: self.failed + rows, ..self.clone() }
    }
}

/// A run that is under way.
#[derive(Clone, Debug)]
pub struct Run {
    id: i64,
    pub started_at: Time,
    pub done: RunTotals,
}

/// What came of the wish to start.
#[derive(Clone, Debug)]
pub enum Started {
    Run(Run),
    /// Another run of the job is at it.
    AlreadyRunning {
        by: String,
        since: Time,
    },
}

/// What is remembered of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JobRun {
    /// When this store first heard of the job: a job that never ran is due from here on.
    pub first_seen: Time,
    pub last: Option<LastRun>,
    pub succeeded_at: Option<Time>,
}

/// The last run of a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastRun {
    pub run_id: i64,
    pub run_by: String,
    /// The token of the lease it was done under; a person's run has none.
    pub token: Option<i64>,
    pub started_at: Time,
    /// `None`: it is under way, or its process was killed and nobody has noticed yet.
    pub ended_at: Option<Time>,
    pub stopped_by: Option<String>,
    pub done: RunTotals,
    /// What was still due when it ended.
    pub remaining: Option<u64>,
}

impl Store {
    /// Says in the audit that somebody has jobs run now, of an account or of the service as a whole (0); the name by
    /// which the record of the run knows who it is.
    ///
    /// # Errors
    ///
    /// Refused for a user who may not.
    pub async fn authorize_job_run(
        &self,
        account_id: i64,
        operator: &Operator,
        jobs: &[String],
    ) -> Result<String, StoreError> {
        transaction!(self, tx => who_runs(tx, account_id, operator, jobs))
    }

    /// Starts a run, unless one is under way; closes the records of those whose process is gone.
    ///
    /// # Errors
    ///
    /// Refused where the lease is no longer held.
    pub async fn start_run(
        &self,
        job: &str,
        by: &str,
        held: Option<&LeaseGuard>,
    ) -> Result<Started, StoreError> {
        transaction!(self, tx => start(tx, job, by, held.map(|held| &held.lease)))
    }

    /// Says that a run is still at it, though it does nothing just now.
    ///
    /// # Errors
    ///
    /// Refused where it was given up meanwhile.
    pub async fn heartbeat_run(&self, run: &Run) -> Result<(), StoreError> {
        transaction!(self, tx => waits(tx, run))
    }

    /// Closes the record of a run, unless somebody else has.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn end_run(
        &self,
        run: &Run,
        stopped_by: &str,
        remaining: Option<u64>,
    ) -> Result<(), StoreError> {
        transaction!(self, tx => end(tx, run, stopped_by, remaining))
    }

    /// What is known of a job, if this store ever heard of it, and the database's time. Reads only.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn last_run(&self, job: &str) -> Result<(Option<JobRun>, Time), StoreError> {
        read_transaction!(self, tx => last_run(tx, job))
    }

    /// As [`Store::last_run`]; remembers the job where it is new.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn register_job(&self, job: &str) -> Result<(JobRun, Time), StoreError> {
        transaction!(self, tx => register(tx, job))
    }

    /// How many rows a second the last runs of a job removed; `None` where none has removed any.
    ///
    /// # Errors
    ///
    /// Where the database does not answer.
    pub async fn speed(&self, job: &str) -> Result<Option<f64>, StoreError> {
        read_transaction!(self, tx => speed(tx, job))
    }
}

async fn start(tx: &mut Tx, job: &str, by: &str, lease: Option<&Lease>) -> Result<Started, StoreError> {
    let now = tx.now().await?;
    if let Some(lease) = lease {
        lease::fence(tx, lease, now).await?;
    }
    let sql = format!(
        "SELECT r.run_id, r.run_by, r.token, r.started_at, r.active_at FROM retention_runs r \
         WHERE r.job = $1 AND r.ended_at IS NULL{}",
        tx.dialect().for_update("r")
    );
    if let Some(row) = tx.row(&sql, args![job]).await? {
        // Whoever has the lease knows that nobody else works under it.
        let known_dead = lease.is_some() && row.optional_int("token")?.is_some();
        let active_at = row.time("active_at")?;
        // One that was active in the future had a clock that was wrong: nobody knows when it was silent.
        if !known_dead && (now - RUN_TIMEOUT < active_at && active_at < now + RUN_TIMEOUT) {
            return Ok(Started::AlreadyRunning { by: row.text("run_by")?, since: row.time("started_at")? });
        }
        let close = "UPDATE retention_runs SET ended_at = $2, stopped_by = 'killed' WHERE run_id = $1";
        tx.execute(close, args![row.int("run_id")?, active_at.min(now)]).await?;
    }
    see_for_the_first_time(tx, job, now).await?;
    let row = tx
        .row(
            "INSERT INTO retention_runs \
             (job, run_by, token, started_at, active_at, batches, deleted, failed, counts) \
             VALUES ($1, $2, $3, $4, $4, 0, 0, 0, '{}') ON CONFLICT DO NOTHING RETURNING run_id",
            args![job, by, lease.map(Lease::token), now],
        )
        .await?;
    Ok(match row {
        Some(row) => {
            Started::Run(Run { id: row.int("run_id")?, started_at: now, done: RunTotals::default() })
        }
        None => Started::AlreadyRunning { by: "somebody else".to_owned(), since: now },
    })
}

/// Writes what a run did, with the deed.
pub(super) async fn progress(tx: &mut Tx, run: &Run, done: &RunTotals, now: Time) -> Result<(), StoreError> {
    let counts = serde_json::to_value(&done.counts).unwrap_or_default();
    let whole = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);
    let sql = format!(
        "UPDATE retention_runs SET active_at = $3, batches = $4, deleted = $5, failed = $6, counts = b.counts FROM {} \
         WHERE run_id = $2 AND ended_at IS NULL",
        tx.dialect().batch(1, &[("counts", ColumnType::Json)])
    );
    let counts = serde_json::json!([{ "counts": counts }]).to_string();
    let args = args![counts, run.id, now, whole(done.batches), whole(done.deleted), whole(done.failed)];
    if tx.execute(&sql, args).await? == 0 { Err(given_up(run)) } else { Ok(()) }
}

async fn waits(tx: &mut Tx, run: &Run) -> Result<(), StoreError> {
    let now = tx.now().await?;
    let sql = "UPDATE retention_runs SET active_at = $2 WHERE run_id = $1 AND ended_at IS NULL";
    if tx.execute(sql, args![run.id, now]).await? == 0 { Err(given_up(run)) } else { Ok(()) }
}

fn given_up(run: &Run) -> StoreError {
    StoreError::Refused(format!(
        "run {} was silent for too long and was given up; another one goes on",
        run.id
    ))
}

async fn end(tx: &mut Tx, run: &Run, stopped_by: &str, remaining: Option<u64>) -> Result<(), StoreError> {
    let now = tx.now().await?;
    let remaining = remaining.map(|count| i64::try_from(count).unwrap_or(i64::MAX));
    tx.execute(
        "UPDATE retention_runs SET ended_at = $2, active_at = $2, stopped_by = $3, remaining = $4 \
         WHERE run_id = $1 AND ended_at IS NULL",
        args![run.id, now, stopped_by, remaining],
    )
    .await?;
    Ok(())
}

async fn who_runs(
    tx: &mut Tx,
    account_id: i64,
    operator: &Operator,
    jobs: &[String],
) -> Result<String, StoreError> {
    let actor = operator.authorize_super_admin(tx, account_id, "run the scheduled jobs").await?;
    let now = tx.now().await?;
    audit::write_texts(tx, now, account_id, &actor, "run_jobs", jobs).await?;
    let of = if account_id == 0 { String::new() } else { format!(" of account {account_id}") };
    Ok(format!("{}{of}", actor.to_text()))
}

async fn register(tx: &mut Tx, job: &str) -> Result<(JobRun, Time), StoreError> {
    let now = tx.now().await?;
    see_for_the_first_time(tx, job, now).await?;
    let (run, now) = last_run(tx, job).await?;
    let run = run.ok_or_else(|| StoreError::Failed(format!("the job {job} was forgotten at once")))?;
    Ok((run, now))
}

/// What was first seen in the future is seen for the first time now.
async fn see_for_the_first_time(tx: &mut Tx, job: &str, now: Time) -> Result<(), StoreError> {
    let sql = "INSERT INTO job_runs (job, first_seen) VALUES ($1, $2) ON CONFLICT (job) DO UPDATE \
               SET first_seen = excluded.first_seen WHERE job_runs.first_seen > excluded.first_seen";
    tx.execute(sql, args![job, now]).await.map(drop)
}

async fn last_run(tx: &mut Tx, job: &str) -> Result<(Option<JobRun>, Time), StoreError> {
    let now = tx.now().await?;
    let known = tx.row("SELECT first_seen FROM job_runs WHERE job = $1", args![job]).await?;
    let Some(known) = known else { return Ok((None, now)) };
    let last = tx
        .row(
            "SELECT run_id, run_by, token, started_at, ended_at, stopped_by, batches, deleted, failed, remaining, \
             CAST(counts AS text) AS counts FROM retention_runs WHERE job = $1 ORDER BY run_id DESC LIMIT 1",
            args![job],
        )
        .await?;
    let succeeded = tx
        .row(
            "SELECT ended_at FROM retention_runs WHERE job = $1 AND failed = 0 \
             AND stopped_by IN ('done', 'max_per_run', 'time_budget') ORDER BY run_id DESC LIMIT 1",
            args![job],
        )
        .await?;
    let succeeded_at = succeeded.map(|row| row.time("ended_at")).transpose()?;
    let last = last.as_ref().map(run_of).transpose()?;
    Ok((Some(JobRun { first_seen: known.time("first_seen")?, last, succeeded_at }), now))
}

fn run_of(row: &Row) -> Result<LastRun, StoreError> {
    let count = |column| Ok::<u64, StoreError>(row.int(column)?.unsigned_abs());
    Ok(LastRun {
        run_id: row.int("run_id")?,
        run_by: row.text("run_by")?,
        token: row.optional_int("token")?,
        started_at: row.time("started_at")?,
        ended_at: row.optional_time("ended_at")?,
        stopped_by: row.optional_text("stopped_by")?,
        done: RunTotals {
            batches: count("batches")?,
            deleted: count("deleted")?,
            failed: count("failed")?,
            counts: row.json("counts")?,
        },
        remaining: row.optional_int("remaining")?.map(i64::unsigned_abs),
    })
}

async fn speed(tx: &mut Tx, job: &str) -> Result<Option<f64>, StoreError> {
    const RUNS: i64 = 5;
    let sql = "SELECT started_at, ended_at, deleted FROM retention_runs \
               WHERE job = $1 AND deleted > 0 AND ended_at IS NOT NULL ORDER BY run_id DESC LIMIT $2";
    let (mut rows, mut time) = (0.0, Duration::ZERO);
    for row in tx.rows(sql, args![job, RUNS]).await? {
        rows += row.int("deleted")? as f64;
        time += (row.time("ended_at")? - row.time("started_at")?).to_std().unwrap_or_default();
    }
    Ok((rows > 0.0).then(|| rows / time.as_secs_f64().max(0.001)))
}
