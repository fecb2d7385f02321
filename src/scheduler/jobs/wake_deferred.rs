//! Takes up an enrollment if and only if it waits and its time has come: its workflow's window has opened, or it was
//! approved or resumed. Every check is made anew.
//!
//! Every worker does so too, within seconds. Here it is counted, told when it falls behind, and can be done by hand while
//! no worker runs.
//!
//! Not its job: what is held, until a person has said more.

use super::{Job, Settings};
use crate::store::Rules;
use crate::store::retention::Target;

/// The job's name in commands, metrics and audit.
pub const NAME: &str = "wake_deferred";

/// The job with these settings, deciding by these rules.
pub fn job(settings: Settings, rules: Rules) -> Job {
    Job::new(NAME, Target::Waiting(rules), settings)
}
