//! The store: the only room that names sqlx. Coarse verbs, each one transaction, the same on PostgreSQL and
//! SQLite.
//!
//! [`pool`] connects, [`db`] makes the two databases look like one, [`dialect`] holds what differs, [`plan`] turns a row of the
//! matrix into statements. The verbs: [`decide`] (enrollments), [`pending`] (those that were held or deferred),
//! [`pauses`], [`workflows`] and [`holds`] (what a person says to that), [`deletions`] and [`restore`] (by people), [`erase`],
//! [`journal`] and [`reapply`] (after a backup), [`import`], [`retention`] (purge and expiry), [`read`], [`trash_search`]
//! and [`pages`] (what the commands show), [`tokens`] and [`sessions`] (who asks over HTTP), [`lease`] (who does what only one may), [`outbox`] (what is to leave) and [`mail`] (as
//! e-mail), [`checkpoint`] and [`dead_letters`] (the embedded feed's position, and what it set aside). Only a deletion of
//! many is more than one transaction.

mod addresses;
mod audit;
mod batch;
pub mod checkpoint;
pub mod clock;
mod compiled;
mod contact;
mod contact_counts;
mod db;
pub mod dead_letters;
mod decide;
mod decider;
pub mod deletions;
mod dialect;
pub mod erase;
mod error;
mod explain;
mod facts;
mod guard;
pub mod holds;
mod identifiers;
pub mod import;
pub mod journal;
mod kept;
mod lag;
pub mod lease;
mod ledger;
pub mod legal_hold;
mod lifecycle;
mod locks;
pub mod mail;
mod members;
mod migrate;
pub mod outbox;
pub mod overview;
pub mod pages;
pub mod pauses;
pub mod pending;
mod plan;
mod pool;
mod preconditions;
mod properties;
mod purge;
pub mod query;
mod random;
pub mod read;
pub mod reapply;
pub mod receipts;
pub mod redact;
pub mod restore;
pub mod retention;
pub mod sessions;
mod subjects;
mod suppressions;
pub mod tokens;
pub mod trash;
pub mod trash_search;
mod unfinished_imports;
mod users;
mod vacuum;
mod values;
mod workflows;

use std::time::Duration;

pub use audit::Actor;
pub use decide::Rules;
pub use decider::StoreDecider;
pub use error::StoreError;
pub use explain::Preview;
pub use lag::ReplicationLag;
pub use lifecycle::StageChange;
pub use migrate::{Migrated, Schema};
pub use plan::tables as tables_reached_by;
pub use pool::{HashKeySource, Options};
pub use users::Operator;

use batch::{CONTACT, Lists, batch_row, batch_text};
use compiled::WorkflowCache;
use db::Db;
use error::Conflict;
use metrics::counter;

use crate::domain::effects::Transition;
use crate::telemetry;

/// How often a transaction that met another one is tried again before its caller hears of it.
const MAX_TRIES: u32 = 8;

/// The store. Cheap to clone: all clones share the connections.
#[derive(Clone, Debug)]
pub struct Store {
    db: Db,
    compiled: WorkflowCache,
    hash_keys: HashKeySource,
}

/// Runs a transaction, again where another was in the way.
///
/// A macro rather than a function with a closure: the future of an asynchronous closure that borrows the
/// transaction cannot be promised to be `Send`.
macro_rules! transaction {
    ($store:expr, $tx:ident => $work:expr) => {
        $crate::store::transaction!($store, begin, commit_or_rollback, $tx => $work)
    };
    ($store:expr, $begin:ident, $end:ident, $tx:ident => $work:expr) => {{
        let mut tries = 0;
        loop {
            let mut transaction = $store.db.$begin().await?;
            let $tx = &mut transaction;
            let work = $work.await;
            match transaction.$end(work).await {
                Err(error) if $crate::store::should_retry(&error, tries) => {
                    tries += 1;
                    $crate::store::retry_delay(tries).await;
                }
                result => break result,
            }
        }
    }};
}
use transaction;

/// As [`transaction`], for one that only reads.
macro_rules! read_transaction {
    ($store:expr, $tx:ident => $work:expr) => {
        $crate::store::transaction!($store, begin_read, commit_or_rollback, $tx => $work)
    };
}
use read_transaction;

/// As [`transaction`], for a deed that is done to be looked at, and taken back whatever came of it.
macro_rules! dry_run {
    ($store:expr, $tx:ident => $work:expr) => {
        $crate::store::transaction!($store, begin, rollback, $tx => $work)
    };
}
use dry_run;

/// Is it worth another try at once?
fn should_retry(error: &StoreError, tries: u32) -> bool {
    match error {
        StoreError::Contended(conflict) => {
            counter!(telemetry::STORE_RETRIES_TOTAL, "code" => conflict.as_str()).increment(1);
            tries < MAX_TRIES
        }
        _ => false,
    }
}

/// Shows what is counted here from the start, so that the first of its kind is a step.
fn init_metrics() {
    for transition in [Transition::Trash, Transition::Restore, Transition::Erase] {
        count_by_user(transition, 0);
    }
    for conflict in Conflict::ALL {
        counter!(telemetry::STORE_RETRIES_TOTAL, "code" => conflict.as_str()).increment(0);
    }
}

/// Counts contacts whose state a user changed.
fn count_by_user(transition: Transition, contacts: usize) {
    let transition = transition.as_str();
    counter!(telemetry::TRANSITIONS_TOTAL, "transition" => transition, "origin" => "user")
        .increment(contacts as u64);
}

/// Waits a little longer each time, so that two transactions in each other's way do not meet again.
async fn retry_delay(tries: u32) {
    tokio::time::sleep(Duration::from_millis(u64::from(tries * tries))).await;
}

impl Store {
    /// Opens the store; connects on first use.
    ///
    /// # Errors
    ///
    /// Where `store.url` cannot be read.
    pub fn open(options: &Options) -> Result<Self, StoreError> {
        init_metrics();
        let (db, hash_keys) = (Db::open(options)?, options.hash_keys.clone());
        Ok(Self { db, compiled: WorkflowCache::default(), hash_keys })
    }

    /// The file that a URL names, if it names one.
    pub fn file(url: &str) -> Option<std::path::PathBuf> {
        Db::file(url)
    }

    /// Does the database answer, and take writes?
    pub async fn answers(&self) -> bool {
        let ask = async || read_transaction!(self, tx => tx.ensure_writable());
        ask().await.is_ok()
    }

    /// Where the key of the hashed addresses lives.
    fn hash_key_home(&self) -> &HashKeySource {
        &self.hash_keys
    }

    /// Leaves nothing of what was deleted in the files of a SQLite store. PostgreSQL's own upkeep does that there.
    ///
    /// # Errors
    ///
    /// Where somebody else writes for longer than the store waits: what was deleted is gone from every answer all the
    /// same, and from the files with the next scrub.
    pub async fn scrub(&self) -> Result<(), StoreError> {
        let before = read_transaction!(self, tx => tx.now())?;
        self.db.scrub().await?;
        transaction!(self, tx => vacuum::mark_done(tx, before))
    }

    /// Scrubs where an erasure or a purge committed and its process ended, or met a reader, before it came to that.
    ///
    /// # Errors
    ///
    /// As [`Store::scrub`].
    pub async fn scrub_if_owed(&self) -> Result<(), StoreError> {
        if read_transaction!(self, tx => vacuum::is_needed(tx))? { self.scrub().await } else { Ok(()) }
    }

    /// Connections open, and those of them at rest.
    pub fn connections(&self) -> (u32, usize) {
        self.db.connections()
    }

    /// Closes all connections, waiting for those at work.
    pub async fn close(&self) {
        self.db.close().await;
    }
}
