//! Deletes a notification if and only if it was created more than 30 days ago by the database's clock, whatever
//! became of its contact.
//!
//! Not its job: to look at contacts at all.

use super::{Job, Settings};
use crate::store::retention::Target;

/// The job's name in commands, metrics and audit.
pub const NAME: &str = "expire_notifications";

/// The job with these settings.
pub fn job(settings: Settings) -> Job {
    Job::new(NAME, Target::Notifications, settings)
}
