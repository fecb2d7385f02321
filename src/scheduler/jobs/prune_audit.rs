//! Deletes a row of the audit if and only if it is older than the period; records of runs too, but for each job's last.
//!
//! Not its job: receipts of erasures, and the ids of those who are gone, which stay for good.

use super::{Job, Settings};
use crate::store::retention::Target;

/// The job's name in commands, metrics and audit.
pub const NAME: &str = "prune_audit";

/// The job with these settings.
pub fn job(settings: Settings) -> Job {
    Job::new(NAME, Target::Audit, settings)
}
