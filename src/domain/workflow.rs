//! A workflow's definition, as the vendor's automation API v4 returns it, reduced to what decides.
//!
//! Parsing never fails: a part that is missing, unreadable or not understood becomes a value that refuses
//! (see [`super::decision`]), so that a definition can be imported unchanged and deletes only where every
//! part that decides was understood.

use std::collections::BTreeSet;

use serde_json::Value;

use super::actions::delete_actions;
use super::criteria::subject::{DataRequirements, Record, RelatedData, Subject};
use super::criteria::{Criteria, EvaluationTrace, Finding, Severity, Truth, parse};
use super::enrollment::Cause;
use super::members::{non_null, parse_id};
use super::unread::unread as unread_members;
use super::windows::{self, Calendar};

/// The `objectTypeId` of contacts.
pub const CONTACT_TYPE: &str = "0-1";

/// What of a definition takes part in a decision.
#[derive(Clone, Debug, PartialEq)]
pub struct Workflow {
    /// `type`, `objectTypeId` and `flowType` say that it enrolls contacts.
    pub is_contact_workflow: bool,
    pub is_enabled: bool,
    /// The ids of its *Delete contact* actions, wherever the graph has them.
    pub delete_actions: BTreeSet<i64>,
    pub should_re_enroll: bool,
    pub triggers: Triggers,
    /// Whoever meets it has no need of the workflow any more.
    pub goal: Option<Criteria>,
    /// Whoever meets it is never enrolled: the suppression segments, and the branch that stands for them.
    pub suppression: Option<Criteria>,
    /// When its actions may run; `None`: a part of that is not understood.
    pub calendar: Option<Calendar>,
}

/// How contacts enroll.
#[derive(Clone, Debug, PartialEq)]
#[expect(clippy::large_enum_variant, reason = "there is one of them a workflow")]
pub enum Triggers {
    /// `LIST_BASED`: what a first enrollment must meet, and of what a re-enrollment must meet one part as well.
    List { enroll: Criteria, re_enroll: Criteria },
    /// `EVENT_BASED`: one of the events must have happened, and the contact must meet the conditions. Without events it is
    /// being in a segment that enrolls.
    Events { events: Vec<Criteria>, conditions: Criteria },
    /// `MANUAL`: by hand only.
    Manual,
    /// `DATASET`, absent or unreadable.
    Unsupported,
}

impl Workflow {
    /// Reads a definition.
    pub fn parse(flow: &Value) -> Self {
        Self::read(flow, &mut Vec::new())
    }

    /// Reads a definition and adds what is to be said about the conditions in it.
    pub fn read(flow: &Value, findings: &mut Vec<Finding>) -> Self {
        let text = |name: &str| flow.get(name).and_then(Value::as_str);
        let criteria = flow.get("enrollmentCriteria").unwrap_or(&Value::Null);
        Self {
            is_contact_workflow: text("type") == Some("CONTACT_FLOW")
                && text("objectTypeId") == Some(CONTACT_TYPE)
                && non_null(flow, "flowType").is_none_or(|flow_type| flow_type == "WORKFLOW"),
            is_enabled: flow.get("isEnabled") == Some(&Value::Bool(true)),
            delete_actions: delete_actions(flow, findings),
            should_re_enroll: criteria.get("shouldReEnroll") == Some(&Value::Bool(true)),
            triggers: triggers(criteria, findings),
            goal: non_null(flow, "goalFilterBranch")
                .map(|goal| parse::criteria(goal, "$.goalFilterBranch", findings)),
            suppression: suppression(flow, findings),
            calendar: windows::read(flow, findings),
        }
    }

    /// Adds what the store has to know of a contact before its enrollment can be decided.
    pub fn asks(&self, asks: &mut DataRequirements) {
        self.conditions().for_each(|criteria| criteria.asks(asks));
        if let Triggers::Events { events, .. } = &self.triggers {
            for criteria in events {
                criteria.asks(asks);
            }
        }
    }

    /// Do its criteria depend on more than what the record of a contact has?
    pub fn asks_beyond(&self, record: &Record) -> bool {
        let mut asks = DataRequirements::default();
        self.asks(&mut asks);
        !asks.are_met_by(record)
    }

    /// What in it an account has never kept anything of, by what is kept of that which it asks. The event that enrolls comes
    /// with the message and need not be kept.
    pub fn unkept(&self, kept: &RelatedData) -> Vec<Finding> {
        let mut findings = Vec::new();
        self.conditions().for_each(|criteria| criteria.find_unkept(kept, &mut findings));
        findings
    }

    /// Its criteria but for the events that enroll.
    fn conditions(&self) -> impl Iterator<Item = &Criteria> {
        let of_triggers = match &self.triggers {
            Triggers::List { enroll, re_enroll } => [Some(enroll), Some(re_enroll)],
            Triggers::Events { conditions, .. } => [Some(conditions), None],
            Triggers::Manual | Triggers::Unsupported => [None, None],
        };
        self.goal.iter().chain(&self.suppression).chain(of_triggers.into_iter().flatten())
    }
}

impl Triggers {
    /// An account of every condition in them.
    pub fn explain(&self, subject: Subject<'_>) -> Vec<EvaluationTrace> {
        match self {
            Self::List { enroll, .. } => vec![enroll.explain(subject)],
            Self::Events { events, conditions } => {
                events.iter().chain([conditions]).map(|criteria| criteria.explain(subject)).collect()
            }
            Self::Manual | Self::Unsupported => Vec::new(),
        }
    }

    /// Does the contact meet the triggers, enrolled for this cause?
    pub fn met(&self, cause: Cause, subject: Subject<'_>) -> Truth {
        match (cause, self) {
            (Cause::Manual, _) => Truth::True,
            (_, Self::Unsupported) => Truth::Unknown,
            // Nobody meets criteria that do not exist: such a workflow enrolls by hand only.
            (_, Self::Manual) | (Cause::ReEnrollment, Self::Events { .. }) => Truth::False,
            (Cause::ReEnrollment, Self::List { enroll, re_enroll }) => {
                re_enroll.evaluate(subject).and(enroll.evaluate(subject))
            }
            (Cause::Criteria | Cause::Event, Self::List { enroll, .. }) => enroll.evaluate(subject),
            (Cause::Criteria, Self::Events { events, conditions }) => {
                any(events, |event| event.evaluate(subject)).and(conditions.evaluate(subject))
            }
            // It is the event of the message that enrolls, however often it happened before.
            (Cause::Event, Self::Events { events, conditions }) => {
                any(events, |event| event.evaluate(subject).and(event.met_by_event(subject)))
                    .and(conditions.evaluate(subject))
            }
        }
    }
}

fn any(criteria: &[Criteria], met: impl Fn(&Criteria) -> Truth) -> Truth {
    criteria.iter().map(met).fold(Truth::False, Truth::or)
}

/// Absent, null and the empty list mean that a part is not used.
fn uses(flow: &Value, name: &str) -> bool {
    non_null(flow, name).is_some_and(|member| member.as_array().is_none_or(|items| !items.is_empty()))
}

/// Membership of any of the suppression segments, or passing the suppression branch, which the vendor's definitions have
/// at either place; it is unknown where a member is not evaluated.
fn suppression(flow: &Value, findings: &mut Vec<Finding>) -> Option<Criteria> {
    let at = "$.suppressionListIds";
    let mut parts = segments(flow, at, findings);
    for (holder, at) in [(Some(flow), "$"), (non_null(flow, "enrollmentCriteria"), "$.enrollmentCriteria")] {
        if let Some(branch) = holder.and_then(|holder| non_null(holder, "suppressionFilterBranch")) {
            parts.push(parse::criteria(branch, &format!("{at}.suppressionFilterBranch"), findings));
        }
    }
    let unread = unread_members(flow, findings);
    parts.extend(unread.iter().map(|at| Criteria::unsupported(at, "a member that is not evaluated")));
    (!parts.is_empty()).then(|| Criteria::any(parts, at))
}

fn segments(flow: &Value, at: &str, findings: &mut Vec<Finding>) -> Vec<Criteria> {
    match non_null(flow, "suppressionListIds") {
        None => Vec::new(),
        Some(Value::Array(ids)) => ids
            .iter()
            .enumerate()
            .map(|(index, id)| {
                let at = format!("{at}[{index}]");
                match parse_id(id) {
                    Some(segment_id) => Criteria::in_segment(segment_id, &at),
                    None => unread(&at, "a suppression segment that is no id", findings),
                }
            })
            .collect(),
        Some(_) => vec![unread(at, "suppression segments that are no list", findings)],
    }
}

fn unread(at: &str, says: &str, findings: &mut Vec<Finding>) -> Criteria {
    findings.push(Finding { at: at.to_owned(), concern: Severity::Unsupported, says: says.to_owned() });
    Criteria::unsupported(at, says)
}

fn triggers(criteria: &Value, findings: &mut Vec<Finding>) -> Triggers {
    let at = "$.enrollmentCriteria";
    let foreign = |names: &[&str]| names.iter().any(|name| uses(criteria, name));
    match criteria.get("type").and_then(Value::as_str) {
        // What belongs to another type of criteria would be left unasked.
        Some("LIST_BASED")
            if !foreign(&["eventFilterBranches", "refinementCriteria", "listMembershipFilterBranches"]) =>
        {
            let branch = criteria.get("listFilterBranch").unwrap_or(&Value::Null);
            let enroll = parse::criteria(branch, &format!("{at}.listFilterBranch"), findings);
            let re_enroll = list(criteria, at, "reEnrollmentTriggersFilterBranches", findings, re_enrollment);
            Triggers::List { enroll, re_enroll: Criteria::any(re_enroll, at) }
        }
        Some("EVENT_BASED") if !foreign(&["listFilterBranch", "reEnrollmentTriggersFilterBranches"]) => {
            let mut events = list(criteria, at, "eventFilterBranches", findings, event);
            let lists = list(criteria, at, "listMembershipFilterBranches", findings, membership);
            let mut conditions = Vec::new();
            if events.is_empty() {
                events = lists;
            } else if !lists.is_empty() {
                conditions.push(Criteria::any(lists, at));
            }
            if let Some(refinement) = non_null(criteria, "refinementCriteria") {
                conditions.push(parse::criteria(refinement, &format!("{at}.refinementCriteria"), findings));
            }
            Triggers::Events { events, conditions: Criteria::all(conditions, at) }
        }
        Some("MANUAL") => Triggers::Manual,
        kind => {
            findings.push(Finding {
                at: at.to_owned(),
                concern: Severity::Unsupported,
                says: match kind {
                    Some("LIST_BASED" | "EVENT_BASED") => {
                        "members of another type of criteria stand here and would be left unasked"
                    }
                    _ => "enrollment criteria of a type that is not supported",
                }
                .to_owned(),
            });
            Triggers::Unsupported
        }
    }
}

/// A member that is a list of branches; absent it is empty.
fn list(
    criteria: &Value,
    at: &str,
    name: &str,
    findings: &mut Vec<Finding>,
    read: fn(&Value, &str, &mut Vec<Finding>) -> Criteria,
) -> Vec<Criteria> {
    match non_null(criteria, name) {
        None => Vec::new(),
        Some(Value::Array(branches)) => branches
            .iter()
            .enumerate()
            .map(|(index, branch)| read(branch, &format!("{at}.{name}[{index}]"), findings))
            .collect(),
        Some(_) => vec![unread(&format!("{at}.{name}"), &format!("{name} is no list"), findings)],
    }
}

/// What enrolls is an event: another branch here, such as an empty `AND`, would enroll by no event at all.
fn event(branch: &Value, at: &str, findings: &mut Vec<Finding>) -> Criteria {
    if branch.get("filterBranchType").is_some_and(|kind| kind == "UNIFIED_EVENTS") {
        parse::criteria(branch, at, findings)
    } else {
        unread(at, "an event that is no UNIFIED_EVENTS", findings)
    }
}

/// Being in a segment, or being in one no longer: an alternative that asks for none would enroll by nothing.
fn membership(branch: &Value, at: &str, findings: &mut Vec<Finding>) -> Criteria {
    let read = parse::criteria(branch, at, findings);
    if !read.hang_on_segments() {
        return unread(at, "a list membership that asks for no segment", findings);
    }
    read
}

/// The vendor writes "this property changed" as conditions on `hs_name` and `hs_value` of an event. Where they stand
/// elsewhere they are asked of the contact, which has no such properties: the trigger is not understood.
fn re_enrollment(branch: &Value, at: &str, findings: &mut Vec<Finding>) -> Criteria {
    if asks_for_a_change(branch) {
        return unread(at, "a change of a property (hs_name, hs_value) that is no UNIFIED_EVENTS", findings);
    }
    parse::criteria(branch, at, findings)
}

fn asks_for_a_change(branch: &Value) -> bool {
    let items = |name: &str| branch.get(name).and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let of_a_change = |filter: &Value| {
        let property = filter.get("property").and_then(Value::as_str);
        property.is_some_and(|name| ["hs_name", "hs_value"].contains(&name))
    };
    branch.get("filterBranchType").is_none_or(|kind| kind != "UNIFIED_EVENTS")
        && (items("filters").iter().any(of_a_change) || items("filterBranches").iter().any(asks_for_a_change))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn flow() -> Value {
        json!({"id": "5", "type": "CONTACT_FLOW", "objectTypeId": "0-1", "flowType": "WORKFLOW",
            "isEnabled": true, "timeWindows": [], "blockedDates": [], "suppressionListIds": [],
            "actions": [
                {"actionId": "1", "actionTypeId": "0-5", "actionTypeVersion": 0, "type": "SINGLE_CONNECTION"},
                {"actionId": "2", "actionTypeId": "0-18224765", "actionTypeVersion": 0, "fields": {},
                    "type": "SINGLE_CONNECTION"}],
            "enrollmentCriteria": {"type": "LIST_BASED", "shouldReEnroll": false,
                "listFilterBranch": {"filterBranchType": "OR", "filterBranches": [], "filters": []}}})
    }

    #[test]
    fn a_plain_definition_is_understood() {
        let workflow = Workflow::parse(&flow());
        assert!(workflow.is_contact_workflow && workflow.is_enabled && !workflow.should_re_enroll);
        assert_eq!(workflow.delete_actions, [2].into());
        let nobody = Criteria::any(Vec::new(), "$.enrollmentCriteria.listFilterBranch");
        let re_enroll = Criteria::any(Vec::new(), "$.enrollmentCriteria");
        assert_eq!(workflow.triggers, Triggers::List { enroll: nobody, re_enroll });
        assert_eq!((workflow.goal, workflow.suppression), (None, None));
        assert_eq!(workflow.calendar, Some(Calendar::default()));
    }

    #[test]
    fn what_is_missing_or_of_the_wrong_type_never_permits() {
        for (member, value) in [
            ("type", json!("PLATFORM_FLOW")),
            ("type", Value::Null),
            ("objectTypeId", json!("0-2")),
            ("flowType", json!("ACTION_SET")),
            ("flowType", json!(5)),
        ] {
            let mut flow = flow();
            flow[member] = value;
            assert!(!Workflow::parse(&flow).is_contact_workflow, "{member}");
        }
        for enabled in [Value::Null, json!("true"), json!(1)] {
            let mut flow = flow();
            flow["isEnabled"] = enabled;
            assert!(!Workflow::parse(&flow).is_enabled);
        }
        for part in ["timeWindows", "blockedDates"] {
            let mut flow = flow();
            flow[part] = json!({"any": "thing"});
            assert_eq!(Workflow::parse(&flow).calendar, None, "{part}");
        }
        for part in ["goalFilterBranch", "suppressionListIds"] {
            let mut flow = flow();
            flow[part] = json!({"any": "thing"});
            let mut findings = Vec::new();
            Workflow::read(&flow, &mut findings);
            assert!(findings.iter().any(|finding| finding.at == format!("$.{part}")), "{findings:?}");
        }
        assert_eq!(Workflow::parse(&json!({"id": "5"})).triggers, Triggers::Unsupported);
    }

    #[test]
    fn an_action_id_that_two_actions_share_is_no_delete() {
        let mut flow = flow();
        flow["actions"][0]["actionId"] = json!("2");
        assert_eq!(Workflow::parse(&flow).delete_actions, BTreeSet::new());
    }
}
