//! Deletes a dead letter if and only if it has been in the store for longer than the period.
//!
//! Not its job: what waits in the broker's queue of dead letters, which a worker takes in.

use super::{Job, Settings};
use crate::store::retention::Target;

/// The job's name in commands, metrics and audit.
pub const NAME: &str = "prune_dead_letters";

/// The job with these settings.
pub fn job(settings: Settings) -> Job {
    Job::new(NAME, Target::DeadLetters, settings)
}
