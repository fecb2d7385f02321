//! The same checks as an account: each in order, whether it passed, and what it saw.

use serde::Serialize;

use super::{Attempt, CHECKS, Contact, Decision, EnrollmentState, Facts, UnfinishedImport};
use crate::domain::criteria::{Criteria, EvaluationTrace, Truth};
use crate::domain::enrollment::NewEnrollment;
use crate::domain::guard::Limit;
use crate::domain::time::format_time;
use crate::domain::windows::ClosedReason;

/// What would become of an enrollment, and why.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Explanation {
    /// `delete`, `skip`, `refuse`, `hold` or `defer`.
    pub verdict: &'static str,
    pub reason: Option<&'static str>,
    /// In their order. After one that fails come only those that can still be asked.
    pub checks: Vec<Checked>,
}

/// One check.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Checked {
    pub check: &'static str,
    pub passed: bool,
    /// One sentence.
    pub detail: String,
    /// Every filter with the value it saw and its verdict.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub filters: Vec<EvaluationTrace>,
}

/// What a check looked at.
pub(super) struct Observed {
    detail: String,
    filters: Vec<EvaluationTrace>,
}

impl From<String> for Observed {
    fn from(detail: String) -> Self {
        Self { detail, filters: Vec::new() }
    }
}

impl From<&str> for Observed {
    fn from(detail: &str) -> Self {
        detail.to_owned().into()
    }
}

/// Explains what [`decide`](super::decide) would decide.
pub fn explain(enrollment: &NewEnrollment, facts: &Facts<'_>) -> Explanation {
    let mut decision = Decision::Delete;
    let mut checks = Vec::with_capacity(CHECKS.len());
    for check in CHECKS {
        let failed = (check.run)(enrollment, facts).err();
        let Observed { detail, filters } = (check.saw)(enrollment, facts);
        checks.push(Checked { check: check.name, passed: failed.is_none(), detail, filters });
        if let (Some(failed), Decision::Delete) = (failed, &decision) {
            decision = failed;
        }
        // Without a workflow and a live contact the later checks have nothing to look at.
        let can_go_on = facts.workflow.is_some() && matches!(facts.contact, Contact::Live { .. });
        if decision != Decision::Delete && !can_go_on {
            break;
        }
    }
    Explanation { verdict: decision.verdict(), reason: decision.reason(), checks }
}

pub(super) fn enrolled_at(enrollment: &NewEnrollment, _: &Facts<'_>) -> Observed {
    format!("enrolled at {}", format_time(enrollment.enrolled_at)).into()
}

pub(super) fn enrollment(_: &NewEnrollment, facts: &Facts<'_>) -> Observed {
    match facts {
        Facts { decided: Some(_), .. } => "decided before",
        Facts { attempt: Attempt::First, .. } => "not decided before",
        _ => "it was held or deferred, and waits to be decided anew",
    }
    .into()
}

pub(super) fn object(enrollment: &NewEnrollment, _: &Facts<'_>) -> Observed {
    format!("an object of the type {}", enrollment.object_type_id).into()
}

pub(super) fn account(enrollment: &NewEnrollment, facts: &Facts<'_>) -> Observed {
    let is = if facts.account_exists { "exists" } else { "does not exist" };
    format!("account {} {is}", enrollment.key.account_id).into()
}

pub(super) fn action(enrollment: &NewEnrollment, facts: &Facts<'_>) -> Observed {
    let (id, action) = (enrollment.workflow_id, enrollment.key.action_id);
    match facts.workflow {
        None => format!("the account has no workflow {id}"),
        Some(workflow) if !workflow.is_contact_workflow => format!("workflow {id} is not about contacts"),
        Some(workflow) if workflow.delete_actions.contains(&action) => {
            format!("action {action} of workflow {id} is Delete contact")
        }
        Some(workflow) if workflow.delete_actions.is_empty() => {
            format!("workflow {id} has no Delete contact action")
        }
        Some(_) => format!("action {action} of workflow {id} is not Delete contact"),
    }
    .into()
}

pub(super) fn switch(_: &NewEnrollment, facts: &Facts<'_>) -> Observed {
    let on = facts.workflow.is_some_and(|workflow| workflow.is_enabled);
    if on { "the workflow is on" } else { "the workflow is off" }.into()
}

pub(super) fn subscriptions(_: &NewEnrollment, facts: &Facts<'_>) -> Observed {
    let words: Vec<String> = facts
        .subscriptions
        .iter()
        .map(|subscription| {
            let ends_at =
                subscription.ends_at.map_or_else(String::new, |at| format!(" to {}", format_time(at)));
            format!("{} from {}{ends_at}", subscription.tier.as_str(), format_time(subscription.starts_at))
        })
        .collect();
    if words.is_empty() { "the account has no subscription".into() } else { words.join("; ").into() }
}

pub(super) fn contact(enrollment: &NewEnrollment, facts: &Facts<'_>) -> Observed {
    let is = match facts.contact {
        Contact::Unknown => "is unknown",
        Contact::Live { .. } => "is live",
        Contact::InTrash => "is in the trash",
        Contact::Gone => "was erased or purged",
    };
    let import = match facts.unfinished_import {
        Some(UnfinishedImport::OfContact) => ", and the import that wrote it has not finished",
        Some(UnfinishedImport::OfAccount | UnfinishedImport::OfEnrollments) => {
            ", and an import of its account has not finished"
        }
        None => "",
    };
    format!("contact {} {is}{import}", enrollment.object_id).into()
}

pub(super) fn restore(_: &NewEnrollment, facts: &Facts<'_>) -> Observed {
    match facts.contact {
        Contact::Live { restored_at: Some(at), .. } => format!("restored at {}", format_time(*at)).into(),
        _ => "never restored".into(),
    }
}

pub(super) fn enrollments(enrollment: &NewEnrollment, facts: &Facts<'_>) -> Observed {
    let before = facts.enrolled.iter().filter(|past| past.precedes(enrollment));
    let active = before.clone().filter(|past| past.standing != EnrollmentState::Over).count();
    let again = facts.workflow.is_some_and(|workflow| workflow.should_re_enroll);
    let again = if again { "on" } else { "off" };
    format!("enrolled {} times before, {active} of them active; re-enrollment is {again}", before.count())
        .into()
}

pub(super) fn goal(enrollment: &NewEnrollment, facts: &Facts<'_>) -> Observed {
    match facts.workflow.and_then(|workflow| workflow.goal.as_ref()) {
        None => "the workflow has no goal".into(),
        Some(goal) => conditions("the goal", goal, enrollment, facts),
    }
}

pub(super) fn suppression(enrollment: &NewEnrollment, facts: &Facts<'_>) -> Observed {
    match facts.workflow.and_then(|workflow| workflow.suppression.as_ref()) {
        None => "the workflow has no suppression segments".into(),
        Some(segments) => conditions("the suppression", segments, enrollment, facts),
    }
}

pub(super) fn criteria(enrollment: &NewEnrollment, facts: &Facts<'_>) -> Observed {
    let (Some(workflow), Some(subject)) = (facts.workflow, facts.subject(enrollment)) else {
        return "there is nothing to look at".into();
    };
    let verdict = workflow.triggers.met(enrollment.cause, subject);
    let detail = format!("the enrollment criteria: {}", verdict.as_str());
    Observed { detail, filters: workflow.triggers.explain(subject) }
}

pub(super) fn moment(_: &NewEnrollment, facts: &Facts<'_>) -> Observed {
    let calendar = facts.workflow.and_then(|workflow| workflow.calendar.as_ref());
    let (calendar, zone) = match (calendar, facts.zone) {
        (None, _) => return "the time windows or blocked dates are not understood".into(),
        (Some(calendar), _) if calendar.is_always_open() => return "the workflow runs at any time".into(),
        (Some(_), None) => return "the account's time zone is not known".into(),
        (Some(calendar), Some(zone)) => (calendar, zone),
    };
    let now = match calendar.at(facts.now, zone) {
        Ok(()) => return format!("the workflow runs now, by the time in {zone}").into(),
        Err(ClosedReason::OutsideTimeWindow) => "no time window is open",
        Err(ClosedReason::BlockedDate) => "today is a blocked date",
    };
    match calendar.next_opening(facts.now, zone) {
        Some(opening) => format!("{now}; the next window opens at {}", format_time(opening.from)).into(),
        None => format!("{now}, and no window opens within a year").into(),
    }
}

pub(super) fn pause(_: &NewEnrollment, facts: &Facts<'_>) -> Observed {
    if facts.paused { "deletes are paused" } else { "deletes are not paused" }.into()
}

pub(super) fn volume(_: &NewEnrollment, facts: &Facts<'_>) -> Observed {
    let which = match facts.limit {
        None => return "one more deletion is within every limit".into(),
        Some(Limit::Workflow) => "what the workflow may delete in its window",
        Some(Limit::Account) => "what the account's workflows may delete in their window",
        Some(Limit::Share) => {
            "the share of its contacts that the account's workflows may delete in their window"
        }
    };
    let approved = if facts.attempt == Attempt::Approved { "; a person approved this one" } else { "" };
    format!("one more deletion would be over {which}{approved}").into()
}

fn conditions(what: &str, criteria: &Criteria, enrollment: &NewEnrollment, facts: &Facts<'_>) -> Observed {
    match facts.subject(enrollment) {
        None => "there is nothing to look at".into(),
        Some(subject) => {
            let seen = criteria.explain(subject);
            let verdict: Truth = seen.verdict;
            Observed { detail: format!("{what}: {}", verdict.as_str()), filters: vec![seen] }
        }
    }
}
