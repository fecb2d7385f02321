//! What a person should know about a workflow's definition before it is switched on.
//!
//! Parsing says what of the conditions is unsupported, ambiguous or dangerous; this adds what only the definition as a
//! whole shows.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::criteria::{Concern, Criteria, Finding, Truth};
use super::members::parse_id;
use super::workflow::{Triggers, Workflow, given};

/// Members that a definition may have and that decide nothing here.
const UNREAD: [(&str, &str); 5] = [
    ("enrollmentSchedule", "the schedule belongs to the engine that enrolls"),
    ("eventAnchor", "the anchor belongs to the engine that enrolls"),
    ("unEnrollmentSetting", "a deleted contact leaves every workflow"),
    ("canEnrollFromSalesforce", "who may enroll is up to the engine that enrolls"),
    ("dataSources", "the Delete contact action takes no data"),
];

/// Everything there is to say about a definition, the gravest first.
pub fn lint(flow: &Value) -> Vec<Finding> {
    let mut findings = Vec::new();
    let workflow = Workflow::read(flow, &mut findings);
    let mut lint = Lint { findings };
    lint.identity(flow, &workflow);
    lint.actions(flow, &workflow);
    lint.triggers(flow, &workflow);
    for (member, why) in UNREAD {
        if given(flow, member).is_some_and(|value| !is_empty(value)) {
            lint.find(format!("$.{member}"), Concern::Ignored, format!("it decides nothing here: {why}"));
        }
    }
    let mut findings = lint.findings;
    findings.sort_by_key(|finding| Reverse(finding.concern));
    findings
}

/// False, and lists and objects with nothing in them, are as good as absent.
fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::Array(items) => items.is_empty(),
        Value::Object(members) => members.is_empty(),
        _ => false,
    }
}

struct Lint {
    findings: Vec<Finding>,
}

impl Lint {
    fn find(&mut self, at: impl Into<String>, concern: Concern, says: impl Into<String>) {
        self.findings.push(Finding { at: at.into(), concern, says: says.into() });
    }

    fn identity(&mut self, flow: &Value, workflow: &Workflow) {
        if flow.get("id").and_then(parse_id).is_none() {
            self.find("$.id", Concern::Unsupported, "without an id it cannot be imported");
        }
        if !workflow.is_contact_workflow {
            self.find(
                "$.type",
                Concern::Unsupported,
                "it is no contact workflow (CONTACT_FLOW, object type 0-1): it deletes nothing",
            );
        }
        match flow.get("isEnabled") {
            Some(Value::Bool(_)) => {}
            _ => self.find("$.isEnabled", Concern::Ambiguous, "neither true nor false counts as off"),
        }
    }

    fn actions(&mut self, flow: &Value, workflow: &Workflow) {
        let actions = flow.get("actions").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
        if workflow.delete_actions.is_empty() {
            self.find("$.actions", Concern::Ignored, "it has no Delete contact action: it deletes nothing");
        }
        let reached = reached(flow, actions);
        for (index, action) in actions.iter().enumerate() {
            let Some(id) = action.get("actionId").and_then(parse_id) else { continue };
            if !workflow.delete_actions.contains(&id) {
                continue;
            }
            let at = format!("$.actions[{index}]");
            if !next_actions(action).is_empty() {
                self.find(
                    format!("{at}.connection"),
                    Concern::Ignored,
                    "Delete contact is the end: no action after it runs",
                );
            }
            if reached.as_ref().is_some_and(|reached| !reached.contains(&id)) {
                self.find(at, Concern::Ambiguous, "no way leads from startActionId to this Delete contact");
            }
        }
    }

    fn triggers(&mut self, flow: &Value, workflow: &Workflow) {
        let at = "$.enrollmentCriteria";
        match &workflow.triggers {
            Triggers::List { enroll, re_enroll } => {
                self.enroll(enroll, &format!("{at}.listFilterBranch"));
                let without_triggers = re_enroll.whoever() == Truth::False;
                if workflow.should_re_enroll && without_triggers {
                    self.find(at, Concern::Ambiguous, "re-enrollment is on without a trigger: only by hand");
                }
                if !workflow.should_re_enroll && !without_triggers {
                    let at = format!("{at}.reEnrollmentTriggersFilterBranches");
                    self.find(at, Concern::Ignored, "re-enrollment is off: its triggers are not asked");
                }
            }
            Triggers::Events { events, conditions } => {
                if events.is_empty() {
                    self.find(
                        at,
                        Concern::Dangerous,
                        "without an event in eventFilterBranches nobody enrolls",
                    );
                }
                if given(flow, "enrollmentCriteria")
                    .and_then(|criteria| given(criteria, "listMembershipFilterBranches"))
                    .is_some_and(|lists| !is_empty(lists))
                {
                    let at = format!("{at}.listMembershipFilterBranches");
                    self.find(
                        at,
                        Concern::Ambiguous,
                        "one of these must be met as well as one of the events",
                    );
                }
                if conditions.whoever() == Truth::False {
                    self.find(at, Concern::Dangerous, "nobody can meet these conditions");
                }
            }
            Triggers::Manual | Triggers::Unsupported => {}
        }
        let unenrolls = given(flow, "enrollmentCriteria")
            .and_then(|criteria| given(criteria, "unEnrollObjectsNotMeetingCriteria"));
        if unenrolls == Some(&Value::Bool(true)) {
            let at = format!("{at}.unEnrollObjectsNotMeetingCriteria");
            self.find(at, Concern::Ignored, "the criteria are asked again before every deletion anyway");
        }
    }

    fn enroll(&mut self, enroll: &Criteria, at: &str) {
        match enroll.whoever() {
            Truth::True => self.find(at, Concern::Dangerous, "these criteria accept everybody"),
            Truth::False => self.find(at, Concern::Dangerous, "these criteria accept nobody"),
            Truth::Unknown if !enroll.is_or_of_ands() => self.find(
                at,
                Concern::Ambiguous,
                "the root is not an OR of ANDs, as the vendor builds it; it is taken as it is written",
            ),
            Truth::Unknown => {}
        }
    }
}

/// The actions that can be reached from the start; `None` where the definition does not say where that is.
fn reached(flow: &Value, actions: &[Value]) -> Option<BTreeSet<i64>> {
    let start = flow.get("startActionId").and_then(parse_id)?;
    let ways: BTreeMap<i64, BTreeSet<i64>> = actions
        .iter()
        .filter_map(|action| Some((action.get("actionId").and_then(parse_id)?, next_actions(action))))
        .collect();
    let (mut reached, mut ahead) = (BTreeSet::new(), vec![start]);
    while let Some(id) = ahead.pop() {
        if reached.insert(id) {
            ahead.extend(ways.get(&id).into_iter().flatten());
        }
    }
    Some(reached)
}

/// Every `nextActionId` in an action, whatever branch of it has it.
fn next_actions(action: &Value) -> BTreeSet<i64> {
    let mut next = BTreeSet::new();
    let mut within = vec![action];
    while let Some(value) = within.pop() {
        match value {
            Value::Object(members) => {
                next.extend(members.get("nextActionId").and_then(parse_id));
                within.extend(members.values());
            }
            Value::Array(items) => within.extend(items),
            _ => {}
        }
    }
    next
}
