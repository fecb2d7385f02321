//! The checks, in the order of the contract; the first that fails decides.
//!
//! [`decide`] is a pure function of one enrollment, the facts the store loaded under its locks, and the
//! database's `now`. A new check is a line in [`CHECKS`].

mod explain;

use std::time::Duration;

use chrono::TimeDelta;
use chrono_tz::Tz;

use super::criteria::Truth;
use super::criteria::subject::{Record, RelatedData, Subject};
use super::enrollment::{Cause, Identity, NewEnrollment};
use super::entitlement::{Subscription, may_delete_by_workflow};
use super::guard::Limit;
use super::rejection::{DeadLetterReason, Rejection};
use super::time::Time;
use super::windows::ClosedReason;
use super::workflow::{CONTACT_TYPE, Workflow};
use explain::Observed;
pub use explain::{Explanation, explain};

/// How far a producer's clock may run ahead of the database's.
const MAX_AHEAD: TimeDelta = TimeDelta::minutes(5);

/// Clocks differ: an enrollment up to this long after a restore counts as made before it.
pub const RESTORE_GRACE: TimeDelta = TimeDelta::seconds(5);

/// What becomes of an enrollment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Every check passed.
    Delete,
    /// The contact stays, as it should.
    Skip(SkipReason),
    /// The contact stays, and somebody has something to put right.
    Refuse(RefuseReason),
    /// The contact stays until a person says more.
    Hold(HoldReason),
    /// The contact stays until then; then every check is passed anew.
    Defer(DeferReason, Time),
    /// Decided before: nothing to do but to acknowledge again.
    Duplicate,
    /// Cannot be decided at all.
    DeadLetter(Rejection),
}

/// What the ledger says came of an enrollment.
pub const OUTCOMES: [&str; 5] = ["deleted", "skipped", "refused", "held", "deferred"];

impl Decision {
    /// The outcome, as the ledger, the metrics and the commands name it.
    pub fn outcome(&self) -> &'static str {
        match self {
            Self::Delete => "deleted",
            Self::Skip(_) => "skipped",
            Self::Refuse(_) => "refused",
            Self::Hold(_) => "held",
            Self::Defer(..) => "deferred",
            Self::Duplicate => "duplicate",
            Self::DeadLetter(_) => "dead_letter",
        }
    }

    /// The outcome, as `explain` says what would happen.
    pub fn verdict(&self) -> &'static str {
        match self {
            Self::Delete => "delete",
            Self::Skip(_) | Self::Duplicate => "skip",
            Self::Refuse(_) | Self::DeadLetter(_) => "refuse",
            Self::Hold(_) => "hold",
            Self::Defer(..) => "defer",
        }
    }

    /// The reason, as the ledger, the metrics and the commands name it.
    pub fn reason(&self) -> Option<&'static str> {
        match self {
            Self::Delete | Self::Duplicate => None,
            Self::Skip(reason) => Some(reason.as_str()),
            Self::Refuse(reason) => Some(reason.as_str()),
            Self::Hold(reason) => Some(reason.as_str()),
            Self::Defer(reason, _) => Some(reason.as_str()),
            Self::DeadLetter(rejection) => Some(rejection.reason.as_str()),
        }
    }
}

/// Declares a reason enum whose text forms are public surface.
macro_rules! reasons {
    ($(#[$doc:meta])* $name:ident { $($variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $(#[doc = concat!("`", $text, "`")] $variant),+ }

        impl $name {
            /// Every reason, for counters that are born at zero.
            pub const ALL: &[Self] = &[$(Self::$variant),+];

            /// As it stands in the ledger and in the metrics.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }
        }
    };
}

reasons! {
    /// Why a contact stays although nothing is wrong.
    SkipReason {
        WorkflowOff = "workflow_off",
        ContactNotFound = "contact_not_found",
        AlreadyInTrash = "already_in_trash",
        PermanentlyDeleted = "permanently_deleted",
        RestoredSinceEnrollment = "restored_since_enrollment",
        AlreadyEnrolled = "already_enrolled",
        ReEnrollmentOff = "re_enrollment_off",
        GoalMet = "goal_met",
        Suppressed = "suppressed",
        CriteriaNotMet = "criteria_not_met",
        Rejected = "rejected",
    }
}

reasons! {
    /// Why an enrollment was not carried out and somebody should know.
    RefuseReason {
        EnrollmentTooOld = "enrollment_too_old",
        ObjectTypeNotSupported = "object_type_not_supported",
        AccountNotFound = "account_not_found",
        WorkflowNotFound = "workflow_not_found",
        WorkflowTypeNotSupported = "workflow_type_not_supported",
        ActionNotInWorkflow = "action_not_in_workflow",
        SubscriptionRequired = "subscription_required",
        CriteriaUnsupported = "criteria_unsupported",
    }
}

reasons! {
    /// Why an enrollment waits for a person.
    HoldReason {
        Paused = "paused",
        VolumeGuard = "volume_guard",
    }
}

reasons! {
    /// Why an enrollment waits for a time.
    DeferReason {
        OutsideTimeWindow = "outside_time_window",
        BlockedDate = "blocked_date",
        AwaitingContact = "awaiting_contact",
    }
}

/// The contact of an enrollment, as the store has it under its lock.
#[derive(Clone, Debug, PartialEq)]
pub enum Contact {
    Unknown,
    Live {
        /// The last restore, if there was one.
        restored_at: Option<Time>,
        record: Record,
    },
    InTrash,
    /// Erased or purged.
    Gone,
}

/// What an import that is not complete concerns: what else it brings of that may not be there yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnfinishedImport {
    /// Records of the account, but no enrollments.
    OfAccount,
    /// Enrollments of the account, and maybe other records.
    OfEnrollments,
    /// The contact itself, which it wrote, or took something from.
    OfContact,
}

/// An enrollment of the same contact in the same workflow.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PastEnrollment {
    /// `None`: imported without one.
    pub enrollment_id: Option<i64>,
    pub enrolled_at: Time,
    pub standing: EnrollmentState,
}

/// How far an enrollment has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EnrollmentState {
    /// The contact is still on its way through the workflow.
    Active,
    /// Its deletion is held or deferred.
    Waiting,
    Over,
}

impl PastEnrollment {
    /// The trash takes a contact out of its workflows: what waited then is decided no more.
    fn standing_since(&self, restored_at: Option<Time>) -> EnrollmentState {
        match self.standing {
            EnrollmentState::Waiting if is_before(self.enrolled_at, restored_at) => EnrollmentState::Over,
            standing => standing,
        }
    }

    /// Does it stand before this one? Its own row never does. Of two that are under way the one made first does; one
    /// that is over came first, whenever it was made.
    fn precedes(&self, enrollment: &NewEnrollment) -> bool {
        let own = enrollment.key.enrollment_id;
        match (self.standing, self.enrollment_id) {
            (EnrollmentState::Over, Some(id)) => id != own,
            // The CRM may tell of this very enrollment without its id.
            (EnrollmentState::Over, None) => self.enrolled_at != enrollment.enrolled_at,
            (_, Some(id)) => id != own && (self.enrolled_at, id) < (enrollment.enrolled_at, own),
            (_, None) => self.enrolled_at < enrollment.enrolled_at,
        }
    }
}

/// What came of an enrollment so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Attempt {
    /// It is new.
    First,
    /// It was held or deferred, and is decided anew.
    Again,
    /// The volume guard held it, and a person approved it.
    Approved,
}

/// Everything that is known about one enrollment when it is decided.
#[derive(Clone, Copy, Debug)]
pub struct Facts<'a> {
    /// The database's clock, one reading a batch.
    pub now: Time,
    /// How long the ledger remembers; an older enrollment could have been decided and forgotten.
    pub ledger_retention: Duration,
    pub attempt: Attempt,
    /// What the ledger holds under the same key.
    pub decided: Option<&'a Identity>,
    pub account_exists: bool,
    pub workflow: Option<&'a Workflow>,
    pub subscriptions: &'a [Subscription],
    pub contact: &'a Contact,
    pub unfinished_import: Option<UnfinishedImport>,
    /// Other enrollments of this contact in this workflow: imported ones, and those of the ledger.
    pub enrolled: &'a [PastEnrollment],
    /// The account's time zone; `None` where its name is not known.
    pub zone: Option<Tz>,
    /// What the store knows about the contact besides its own row.
    pub around: &'a RelatedData,
    /// Somebody has paused everything, the account or the workflow.
    pub paused: bool,
    /// The limit of the volume guard that this deletion would break.
    pub limit: Option<Limit>,
    /// How long its contact, where there is none, is waited for; `None`: nothing waits.
    pub awaited: Option<Awaited>,
}

/// A contact that is waited for is looked for again after as long as it has been waited for, within these bounds.
const SOONEST_LOOK: TimeDelta = TimeDelta::seconds(1);
const LATEST_LOOK: TimeDelta = TimeDelta::minutes(1);

/// A contact that is to come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Awaited {
    /// When it was first missed.
    pub since: Time,
    /// How long it is waited for.
    pub patience: Duration,
}

impl Awaited {
    /// When to look for it again: after as long as it has been waited for, a second at least, and at the end of the wait.
    /// `None`: it was waited for long enough, or that cannot be told because a clock was wrong.
    fn next_look(&self, now: Time) -> Option<Time> {
        let end = self.since.checked_add_signed(TimeDelta::from_std(self.patience).ok()?)?;
        (self.since <= now && now < end).then(|| (now + SOONEST_LOOK.max(now - self.since)).min(end))
    }
}

impl<'a> Facts<'a> {
    /// The contact as conditions look at it; `None` where it is not live.
    fn subject(&self, enrollment: &'a NewEnrollment) -> Option<Subject<'a>> {
        let Contact::Live { record, .. } = self.contact else { return None };
        let contact = Subject::contact(self.now, self.zone, record, self.around);
        let own = Some(enrollment.key.enrollment_id);
        Some(Subject { event: enrollment.event.as_ref(), own, ..contact })
    }
}

/// One of the checks.
struct Check {
    /// As `explain` names it.
    name: &'static str,
    run: fn(&NewEnrollment, &Facts<'_>) -> Result<(), Decision>,
    /// What it looked at, for `explain`.
    saw: fn(&NewEnrollment, &Facts<'_>) -> Observed,
}

macro_rules! checks {
    ($($check:ident saw $saw:ident),+ $(,)?) => {
        [$(Check { name: stringify!($check), run: $check, saw: explain::$saw }),+]
    };
}

/// In the order in which they decide.
const CHECKS: &[Check] = &checks![
    not_in_the_future saw enrolled_at,
    not_decided_before saw enrollment,
    not_too_old saw enrolled_at,
    object_is_a_contact saw object,
    account_exists saw account,
    not_paused saw pause,
    workflow_deletes_contacts saw action,
    workflow_is_on saw switch,
    subscription_is_active saw subscriptions,
    contact_is_live saw contact,
    not_restored_since saw restore,
    may_enroll saw enrollments,
    has_not_met_its_goal saw goal,
    is_not_suppressed saw suppression,
    criteria_are_met saw criteria,
    moment_is_open saw moment,
    within_the_volume_guard saw volume,
];

/// Decides one enrollment.
pub fn decide(enrollment: &NewEnrollment, facts: &Facts<'_>) -> Decision {
    CHECKS.iter().find_map(|check| (check.run)(enrollment, facts).err()).unwrap_or(Decision::Delete)
}

fn skip(reason: SkipReason) -> Result<(), Decision> {
    Err(Decision::Skip(reason))
}

fn refuse(reason: RefuseReason) -> Result<(), Decision> {
    Err(Decision::Refuse(reason))
}

/// An enrollment as of `now`: one that is ahead of it by no more than clocks differ was made now. Left ahead it would stand
/// behind what happens next, such as a restore.
pub fn as_of(mut enrollment: NewEnrollment, now: Time) -> NewEnrollment {
    if enrollment.enrolled_at <= now + MAX_AHEAD {
        enrollment.enrolled_at = enrollment.enrolled_at.min(now);
    }
    enrollment
}

fn not_in_the_future(enrollment: &NewEnrollment, facts: &Facts<'_>) -> Result<(), Decision> {
    if enrollment.enrolled_at > facts.now + MAX_AHEAD {
        let detail = "must not be more than 5 minutes ahead of the database's clock";
        return Err(Decision::DeadLetter(Rejection::malformed("$.data.enrolledAt", detail)));
    }
    Ok(())
}

fn not_decided_before(enrollment: &NewEnrollment, facts: &Facts<'_>) -> Result<(), Decision> {
    match facts.decided {
        None => Ok(()),
        Some(identity) if enrollment.repeats(identity) => Err(Decision::Duplicate),
        Some(_) => Err(Decision::DeadLetter(Rejection {
            reason: DeadLetterReason::ConflictingDuplicate,
            detail: "$.data: its key was decided before with another workflow or object".to_owned(),
        })),
    }
}

fn not_too_old(enrollment: &NewEnrollment, facts: &Facts<'_>) -> Result<(), Decision> {
    let retention = TimeDelta::from_std(facts.ledger_retention).unwrap_or(TimeDelta::MAX);
    match facts.now.checked_sub_signed(retention) {
        Some(oldest) if enrollment.enrolled_at < oldest => refuse(RefuseReason::EnrollmentTooOld),
        _ => Ok(()),
    }
}

fn object_is_a_contact(enrollment: &NewEnrollment, _: &Facts<'_>) -> Result<(), Decision> {
    if enrollment.object_type_id == CONTACT_TYPE {
        Ok(())
    } else {
        refuse(RefuseReason::ObjectTypeNotSupported)
    }
}

fn account_exists(_: &NewEnrollment, facts: &Facts<'_>) -> Result<(), Decision> {
    if facts.account_exists { Ok(()) } else { refuse(RefuseReason::AccountNotFound) }
}

fn not_paused(_: &NewEnrollment, facts: &Facts<'_>) -> Result<(), Decision> {
    if facts.paused { Err(Decision::Hold(HoldReason::Paused)) } else { Ok(()) }
}

/// An import writes workflows last: until it is complete, enrollments wait for their workflow too.
fn workflow_deletes_contacts(enrollment: &NewEnrollment, facts: &Facts<'_>) -> Result<(), Decision> {
    let reason = match facts.workflow {
        None => RefuseReason::WorkflowNotFound,
        Some(workflow) if !workflow.is_contact_workflow => RefuseReason::WorkflowTypeNotSupported,
        Some(workflow) if !workflow.delete_actions.contains(&enrollment.key.action_id) => {
            RefuseReason::ActionNotInWorkflow
        }
        Some(_) => return Ok(()),
    };
    import_is_complete(facts)?;
    refuse(reason)
}

fn workflow_is_on(_: &NewEnrollment, facts: &Facts<'_>) -> Result<(), Decision> {
    match facts.workflow {
        Some(workflow) if workflow.is_enabled => Ok(()),
        _ => {
            import_is_complete(facts)?;
            skip(SkipReason::WorkflowOff)
        }
    }
}

fn subscription_is_active(_: &NewEnrollment, facts: &Facts<'_>) -> Result<(), Decision> {
    if may_delete_by_workflow(facts.subscriptions, facts.now) {
        return Ok(());
    }
    import_is_complete(facts)?;
    refuse(RefuseReason::SubscriptionRequired)
}

impl Facts<'_> {
    /// May an import that is not complete bring what the answer depends on?
    fn awaits_import(&self) -> bool {
        match (self.unfinished_import, self.contact) {
            (None, _) | (_, Contact::InTrash | Contact::Gone) => false,
            (Some(UnfinishedImport::OfContact | UnfinishedImport::OfEnrollments), _)
            | (_, Contact::Unknown) => true,
            (Some(UnfinishedImport::OfAccount), Contact::Live { record, .. }) => {
                self.workflow.is_none_or(|workflow| workflow.asks_beyond(record))
            }
        }
    }
}

/// Defers where that has to be waited for.
fn import_is_complete(facts: &Facts<'_>) -> Result<(), Decision> {
    if !facts.awaits_import() {
        return Ok(());
    }
    let waited = facts.awaited.map_or(TimeDelta::zero(), |awaited| facts.now - awaited.since);
    let at = facts.now + waited.clamp(SOONEST_LOOK, LATEST_LOOK);
    Err(Decision::Defer(DeferReason::AwaitingContact, at))
}

fn contact_is_live(_: &NewEnrollment, facts: &Facts<'_>) -> Result<(), Decision> {
    import_is_complete(facts)?;
    match facts.contact {
        Contact::Live { .. } => Ok(()),
        Contact::Unknown => match facts.awaited.and_then(|awaited| awaited.next_look(facts.now)) {
            Some(at) => Err(Decision::Defer(DeferReason::AwaitingContact, at)),
            None => skip(SkipReason::ContactNotFound),
        },
        Contact::InTrash => skip(SkipReason::AlreadyInTrash),
        Contact::Gone => skip(SkipReason::PermanentlyDeleted),
    }
}

fn not_restored_since(enrollment: &NewEnrollment, facts: &Facts<'_>) -> Result<(), Decision> {
    match facts.contact {
        Contact::Live { restored_at, .. } if is_before(enrollment.enrolled_at, *restored_at) => {
            skip(SkipReason::RestoredSinceEnrollment)
        }
        _ => Ok(()),
    }
}

/// Was an enrollment made before the contact was restored, as far as clocks agree?
fn is_before(enrolled_at: Time, restored_at: Option<Time>) -> bool {
    restored_at.is_some_and(|restored_at| enrolled_at < restored_at + RESTORE_GRACE)
}

/// Not enrolled at the moment, and not for the second time where once is all the workflow allows.
fn may_enroll(enrollment: &NewEnrollment, facts: &Facts<'_>) -> Result<(), Decision> {
    let restored_at = match facts.contact {
        Contact::Live { restored_at, .. } => *restored_at,
        _ => None,
    };
    let before: Vec<EnrollmentState> = facts
        .enrolled
        .iter()
        .filter(|past| past.precedes(enrollment))
        .map(|past| past.standing_since(restored_at))
        .collect();
    if before.contains(&EnrollmentState::Active) {
        return skip(SkipReason::AlreadyEnrolled);
    }
    if !before.is_empty() && !facts.workflow.is_some_and(|workflow| workflow.should_re_enroll) {
        return skip(SkipReason::ReEnrollmentOff);
    }
    // Waiting it is on its way too: another enrollment must not slip past what holds it.
    if before.contains(&EnrollmentState::Waiting) {
        return skip(SkipReason::AlreadyEnrolled);
    }
    Ok(())
}

fn has_not_met_its_goal(enrollment: &NewEnrollment, facts: &Facts<'_>) -> Result<(), Decision> {
    let goal = facts.workflow.and_then(|workflow| workflow.goal.as_ref());
    let met = goal.zip(facts.subject(enrollment)).map(|(goal, subject)| goal.evaluate(subject));
    unless(met.unwrap_or(Truth::False), SkipReason::GoalMet)
}

fn is_not_suppressed(enrollment: &NewEnrollment, facts: &Facts<'_>) -> Result<(), Decision> {
    let segments = facts.workflow.and_then(|workflow| workflow.suppression.as_ref());
    let member =
        segments.zip(facts.subject(enrollment)).map(|(segments, subject)| segments.evaluate(subject));
    unless(member.unwrap_or(Truth::False), SkipReason::Suppressed)
}

fn criteria_are_met(enrollment: &NewEnrollment, facts: &Facts<'_>) -> Result<(), Decision> {
    if enrollment.cause == Cause::Event && enrollment.event.is_none() {
        return refuse(RefuseReason::CriteriaUnsupported);
    }
    let triggers = facts.workflow.map(|workflow| &workflow.triggers);
    let met = triggers
        .zip(facts.subject(enrollment))
        .map(|(triggers, subject)| triggers.met(enrollment.cause, subject));
    // Where re-enrollment is off its triggers are ignored: none is met, whatever enrollment there was before.
    let is_off =
        enrollment.cause == Cause::ReEnrollment && !facts.workflow.is_some_and(|it| it.should_re_enroll);
    let met = if is_off { Truth::False } else { met.unwrap_or(Truth::Unknown) };
    unless(met.negate(), SkipReason::CriteriaNotMet)
}

/// Skips where it is so, and refuses where that is unknown: never delete on a guess.
fn unless(truth: Truth, reason: SkipReason) -> Result<(), Decision> {
    match truth {
        Truth::False => Ok(()),
        Truth::True => skip(reason),
        Truth::Unknown => refuse(RefuseReason::CriteriaUnsupported),
    }
}

fn moment_is_open(enrollment: &NewEnrollment, facts: &Facts<'_>) -> Result<(), Decision> {
    let unclear = || refuse(RefuseReason::CriteriaUnsupported);
    let Some(calendar) = facts.workflow.and_then(|workflow| workflow.calendar.as_ref()) else {
        return unclear();
    };
    if calendar.is_always_open() {
        return Ok(());
    }
    let Some(zone) = facts.zone else { return unclear() };
    let reason = match calendar.at(facts.now, zone) {
        Ok(()) => return Ok(()),
        Err(ClosedReason::OutsideTimeWindow) => DeferReason::OutsideTimeWindow,
        Err(ClosedReason::BlockedDate) => DeferReason::BlockedDate,
    };
    match calendar.next_opening(facts.now, zone) {
        Some(opening) => Err(Decision::Defer(reason, opening.spread(&enrollment.key))),
        // Nobody means a workflow to wait for more than a year.
        None => unclear(),
    }
}

fn within_the_volume_guard(_: &NewEnrollment, facts: &Facts<'_>) -> Result<(), Decision> {
    match facts.limit {
        Some(_) if facts.attempt != Attempt::Approved => Err(Decision::Hold(HoldReason::VolumeGuard)),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests;
