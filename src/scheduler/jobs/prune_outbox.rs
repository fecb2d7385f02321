//! Deletes an event if and only if nobody took it for longer than the period, and it tells of no erasure. What was sent
//! is gone already: whoever sends it removes it.
//!
//! Not its job: e-mails, which their sender gives up on, and events of kinds that are none of ours.

use super::{Job, Settings};
use crate::store::retention::Target;

/// The job's name in commands, metrics and audit.
pub const NAME: &str = "prune_outbox";

/// The job with these settings.
pub fn job(settings: Settings) -> Job {
    Job::new(NAME, Target::Outbox, settings)
}
