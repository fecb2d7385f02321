//! The store: the only module that names sqlx. Coarse methods of [`Store`], each one transaction, the same on PostgreSQL and SQLite;
//! only a deletion of many contacts is more than one.
//!
//! From the bottom up, each naming only what stands before it:
//!
//! | module | what is in it |
//! |---|---|
//! | [`error`] | what can go wrong, sorted by what to do about it |
//! | [`db`] | connections, and the two databases made to look like one |
//! | [`lease`] | who does what only one process may do |
//! | [`access`] | users, tokens, sessions, the audit |
//! | [`criteria`] | what conditions ask about a contact |
//! | [`contacts`] | contacts, their addresses, stages and counts |
//! | [`identity`] | by what people are known, and hashes of the addresses of those who are gone |
//! | [`feed`] | positions in files, dead letters |
//! | [`outbox`] | events and e-mails that are to leave |
//! | [`trash`] | trash and restore, by the statements that a row of the matrix becomes |
//! | [`records`] | trash, restore and purge of records that are no contacts |
//! | [`decisions`] | enrollments: decided, held, deferred, paused, explained |
//! | [`views`] | what commands, API and pages show |
//! | [`deletions`] | deletes of many contacts by users |
//! | [`privacy`] | erasures, receipts, legal holds, the journal for restored backups |
//! | [`import`] | records that come in |
//! | [`crm`] | what the vendor's API reads, writes and deletes |
//! | [`retention`] | purge, expiry, and the clock that they trust |
//! | [`schema`] | migrations |

pub mod access;
mod contacts;
mod criteria;
pub mod crm;
pub mod db;
pub mod decisions;
pub mod deletions;
mod error;
pub mod feed;
mod identity;
pub mod import;
pub mod lease;
pub mod outbox;
pub mod privacy;
pub mod records;
pub mod retention;
mod schema;
pub mod trash;
pub mod views;

use std::time::Duration;

pub use access::audit::Actor;
pub use access::users::Operator;

pub use contacts::lifecycle::StageChange;
pub use db::pool::{HashKeySource, Options};

pub use decisions::Rules;
pub use decisions::decider::StoreDecider;
pub use decisions::explain::Preview;
pub use error::StoreError;
pub use records::tables_reached as tables_reached_by_records;
pub use retention::lag::ReplicationLag;
pub use schema::{Migrated, Schema};
pub use trash::statements::tables as tables_reached_by;

use criteria::cache::WorkflowCache;
use db::Db;
use error::Conflict;
use metrics::counter;

use crate::domain::effects::Transition;
use crate::domain::object_type::counted_as;
use crate::telemetry;

/// How often a transaction that met another one is tried again before its caller hears of it.
const MAX_TRIES: u32 = 8;

/// The store. Cheap to clone: all clones share the connections.
#[derive(Clone, Debug)]
pub struct Store {
    db: Db,
    compiled: WorkflowCache,
    hash_keys: HashKeySource,
    record_changes: bool,
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

/// The same for records of other types.
fn count_records_by_user<'a>(transition: Transition, object_types: impl Iterator<Item = &'a str>) {
    let transition = transition.as_str();
    for object_type in object_types {
        let labels =
            [("object_type", counted_as(object_type)), ("transition", transition), ("origin", "user")];
        counter!(telemetry::RECORD_TRANSITIONS_TOTAL, &labels).increment(1);
    }
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
        let record_changes = options.record_changes;
        Ok(Self { db, compiled: WorkflowCache::default(), hash_keys, record_changes })
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
        transaction!(self, tx => privacy::vacuum::mark_done(tx, before))
    }

    /// Scrubs where an erasure or a purge committed and its process ended, or met a reader, before it came to that.
    ///
    /// # Errors
    ///
    /// As [`Store::scrub`].
    pub async fn scrub_if_owed(&self) -> Result<(), StoreError> {
        if read_transaction!(self, tx => privacy::vacuum::is_needed(tx))? {
            self.scrub().await
        } else {
            Ok(())
        }
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
