//! Purges a contact if and only if its open trash entry is strictly older than 90 days by the database's clock.
//!
//! Not its job: contacts that are live, whatever their age; notifications, which have a job of their own.

use super::{Job, Settings};
use crate::store::retention::Target;

/// The job's name in commands, metrics and audit.
pub const NAME: &str = "purge_trash";

/// The job with these settings.
pub fn job(settings: Settings) -> Job {
    Job::new(NAME, Target::Trash, settings)
}
