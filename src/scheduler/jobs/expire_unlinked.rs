//! Takes the feedback and the form submissions of a contact off the pages that list them if and only if the contact is
//! still in the trash 90 days after it was put there: because purges come later, or a legal hold keeps it.
//!
//! Not its job: to delete anything; the purge does, or a lifted hold lets it.

use super::{Job, Settings};
use crate::store::retention::Target;

/// The job's name in commands, metrics and audit.
pub const NAME: &str = "expire_unlinked";

/// The job with these settings.
pub fn job(settings: Settings) -> Job {
    Job::new(NAME, Target::Unlinked, settings)
}
