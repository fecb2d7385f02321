//! Operations that commands, API and pages share: one implementation, one result. The request comes in parsed, with its
//! operator; the result serializes to the JSON that each of them gives.
//!
//! If one method of the store is the whole operation, callers use [`Operations::store`].

pub mod dead_letters;
mod deletes;
mod enrollments;
mod erasures;
mod holds;
mod legal_holds;
pub mod pages;
mod pauses;
pub mod records;
pub mod restores;
pub mod retention;
mod workflows;

use std::sync::Arc;

use crate::scheduler::jobs::Job;
use crate::store::{Rules, Store, StoreError};

pub use deletes::{Deleted, Entry};
pub use erasures::{Confirmation, Erasure};
pub use pauses::Paused;

/// What the operations work with. Cheap to clone.
#[derive(Clone)]
pub struct Operations {
    /// Where everything is kept.
    pub store: Store,
    options: Arc<Options>,
}

/// What the settings say about operations.
pub struct Options {
    /// What decisions go by.
    pub rules: Rules,
    /// The scheduled jobs.
    pub jobs: Vec<Job>,
    /// How dead letters are replayed.
    pub replay: dead_letters::Replay,
    /// Is there a mail server that confirmations go to?
    pub sends_mail: bool,
}

/// Why an operation did not do what was asked.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// It was not asked for as it must be.
    #[error("{0}")]
    Usage(String),
    /// What it is about is not there.
    #[error("{0}")]
    NotFound(String),
    /// It cannot be done now.
    #[error("{0}")]
    Refused(String),
    /// It was begun and did not come to its end, or what it needs is away.
    #[error("{0}")]
    Failed(String),
    /// It takes longer than whoever asked would wait; nothing was done.
    #[error("{0}")]
    TooLong(String),
    /// The store's own.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl Operations {
    /// Operations on a store.
    pub fn new(store: Store, options: Options) -> Self {
        Self { store, options: Arc::new(options) }
    }
}
