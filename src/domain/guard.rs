//! The volume guard: how much a workflow, and all workflows of an account, may delete within a sliding window.
//!
//! It counts deletions by workflows, approved ones too, people's not; a restore gives nothing back. It stops before
//! the first record over a limit.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, TimeDelta};

use super::time::Time;

/// A window is counted in so many slots, none shorter than [`SHORTEST_SLOT_MICROS`].
const SLOTS: i64 = 3_600;
const SHORTEST_SLOT_MICROS: i64 = 1_000;

/// The longest window that the settings allow. What was deleted within it is kept by every worker: another one may have a
/// longer window than its own.
pub const LONGEST_WINDOW: Duration = Duration::from_hours(30 * 24);

/// The settings of the guard.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Limits {
    pub workflow: WorkflowLimits,
    pub account: AccountLimits,
}

/// What one workflow may delete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WorkflowLimits {
    pub max_deletions: u64,
    pub window: Duration,
}

/// What all workflows of an account may delete.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct AccountLimits {
    pub max_deletions: u64,
    /// Of the contacts there were when the window began; 1 never trips.
    pub max_share: f64,
    /// The share counts only where there were more contacts than this.
    pub min_contacts: u64,
    pub window: Duration,
}

/// The limit that one more deletion would break.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Limit {
    Workflow,
    Account,
    Share,
}

impl Limit {
    /// As `guard.tripped` names it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Workflow => "workflow",
            Self::Account => "account",
            Self::Share => "share",
        }
    }
}

/// What the workflows of one account have deleted in their windows, and whom they could still delete.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    pub deletions: u64,
    pub by_workflow: HashMap<i64, u64>,
    pub live_contacts: u64,
}

impl Usage {
    /// The limit that one more deletion by this workflow would break.
    pub fn reached(&self, workflow_id: i64, limits: &Limits) -> Option<Limit> {
        let AccountLimits { max_deletions, max_share, min_contacts, .. } = limits.account;
        if self.by_workflow.get(&workflow_id).copied().unwrap_or_default() >= limits.workflow.max_deletions {
            return Some(Limit::Workflow);
        }
        if self.deletions >= max_deletions {
            return Some(Limit::Account);
        }
        // The whole does not shrink with what is deleted: otherwise a small account would slip out of the guard.
        let all = self.live_contacts + self.deletions;
        let share = (self.deletions + 1) as f64 / all as f64;
        (max_share < 1.0 && all > min_contacts && share > max_share).then_some(Limit::Share)
    }

    /// One more was deleted.
    pub fn count(&mut self, workflow_id: i64) {
        self.deletions += 1;
        *self.by_workflow.entry(workflow_id).or_default() += 1;
        self.live_contacts = self.live_contacts.saturating_sub(1);
    }
}

/// The end of the slot in which a deletion is counted: it counts until the whole slot has left the window.
pub fn slot_end(at: Time, window: Duration) -> Time {
    let window = i64::try_from(window.as_micros()).unwrap_or(i64::MAX);
    let width = (window / SLOTS).max(SHORTEST_SLOT_MICROS);
    let into_slot = at.timestamp_micros().rem_euclid(width);
    DateTime::from_timestamp_micros(at.timestamp_micros() - into_slot + width).unwrap_or(at)
}

/// From when on slots count: those that end later do.
pub fn window_start(now: Time, window: Duration) -> Time {
    TimeDelta::from_std(window)
        .ok()
        .and_then(|window| now.checked_sub_signed(window))
        .unwrap_or(DateTime::UNIX_EPOCH)
}

#[cfg(test)]
mod tests {
    use super::super::time::parse_time;
    use super::*;

    const HOUR: Duration = Duration::from_hours(1);

    fn limits(workflow: u64, account: u64, max_share: f64, min_contacts: u64) -> Limits {
        Limits {
            workflow: WorkflowLimits { max_deletions: workflow, window: HOUR },
            account: AccountLimits { max_deletions: account, max_share, min_contacts, window: HOUR },
        }
    }

    /// How many of the contacts of an account one workflow deletes before the guard stops it, and by which limit.
    fn admitted(contacts: u64, limits: &Limits) -> (u64, Option<Limit>) {
        let mut usage = Usage { live_contacts: contacts, ..Usage::default() };
        for deleted in 0..contacts {
            if let Some(limit) = usage.reached(7, limits) {
                return (deleted, Some(limit));
            }
            usage.count(7);
        }
        (contacts, None)
    }

    #[test]
    fn it_stops_before_the_first_record_over_a_limit() {
        for (contacts, limits, expected) in [
            (5_000, limits(1_000, 5_000, 1.0, 500), (1_000, Some(Limit::Workflow))),
            (5_000, limits(9_000, 2_000, 1.0, 500), (2_000, Some(Limit::Account))),
            (5_000, limits(9_000, 9_000, 0.1, 500), (500, Some(Limit::Share))),
            // Exactly the share is not over it, whatever binary fractions make of 0.29 × 100.
            (100, limits(9_000, 9_000, 0.29, 0), (29, Some(Limit::Share))),
            (1_009, limits(9_000, 9_000, 0.1, 500), (100, Some(Limit::Share))),
            (100, limits(9_000, 9_000, 0.0, 0), (0, Some(Limit::Share))),
            (5_000, limits(9_000, 9_000, 1.0, 0), (5_000, None)),
            // "Over 500 contacts": with 501 it counts, and goes on counting when fewer are left.
            (500, limits(9_000, 9_000, 0.1, 500), (500, None)),
            (501, limits(9_000, 9_000, 0.1, 500), (50, Some(Limit::Share))),
        ] {
            assert_eq!(admitted(contacts, &limits), expected, "{contacts} {limits:?}");
        }
    }

    #[test]
    fn workflows_have_counts_of_their_own_and_the_account_has_all_of_them() {
        let limits = limits(2, 3, 1.0, 0);
        let mut usage = Usage { live_contacts: 10, ..Usage::default() };
        usage.count(1);
        usage.count(1);
        assert_eq!((usage.reached(1, &limits), usage.reached(2, &limits)), (Some(Limit::Workflow), None));
        usage.count(2);
        assert_eq!(usage.reached(2, &limits), Some(Limit::Account));
        assert_eq!((usage.deletions, usage.live_contacts), (3, 7));
    }

    #[test]
    fn a_slot_is_a_3600th_of_the_window_and_ends_after_what_it_counts() {
        let end = |at: &str, window| slot_end(parse_time(at).unwrap(), window);
        let time = |text| parse_time(text).unwrap();
        assert_eq!(end("2026-11-21T10:00:00Z", HOUR), time("2026-11-21T10:00:01Z"));
        assert_eq!(end("2026-11-21T10:00:00.999999Z", HOUR), time("2026-11-21T10:00:01Z"));
        assert_eq!(end("2026-11-21T10:00:00Z", Duration::from_secs(1)), time("2026-11-21T10:00:00.001Z"));
        assert_eq!(window_start(time("2026-11-21T10:00:00Z"), HOUR), time("2026-11-21T09:00:00Z"));
    }
}
