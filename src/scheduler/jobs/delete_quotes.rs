//! Deletes a quote if and only if a contact on it was erased longer ago than the period, which is under 30 days, and no
//! other contact who is not gone (live or in the trash) is on it. A quote with one loses its mark instead: it is that one's.
//!
//! Not its job: quotes of contacts that were purged, which stay, unlinked.

use super::{Job, Settings};
use crate::store::retention::Target;

/// The job's name in commands, metrics and audit.
pub const NAME: &str = "delete_quotes";

/// The job with these settings.
pub fn job(settings: Settings) -> Job {
    Job::new(NAME, Target::Quotes, settings)
}
