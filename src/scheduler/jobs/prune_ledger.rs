//! Deletes a decision if and only if no message can ask for it any more: an enrollment that old is refused unread.
//!
//! Not its job: decisions that wait, and those that took in a contact who is still there, by which a workflow knows whom
//! it has had already.

use std::time::Duration;

use super::{Job, Settings};
use crate::store::retention::Target;

/// The job's name in commands, metrics and audit.
pub const NAME: &str = "prune_ledger";

/// An enrollment may be dated ahead of the decision on it, by the clock of whoever enrolled; generously.
const AHEAD: Duration = Duration::from_hours(1);

/// The job with these settings.
pub fn job(settings: Settings) -> Job {
    Job::new(NAME, Target::Ledger, Settings { after: settings.after + AHEAD, ..settings })
}
