//! What a person should know about a workflow's definition before it is switched on.
//!
//! Parsing says what of the conditions is unsupported, ambiguous or dangerous; this adds what only the definition as a
//! whole shows.

use std::cmp::Reverse;

use serde_json::Value;

use super::actions::{deletes, id_of, next_actions, reached};
use super::criteria::{Criteria, Finding, Severity, Truth};
use super::members::{non_null, parse_id, parse_strictly};
use super::unread::CONDITIONS_OF_CRITERIA;
use super::workflow::{Triggers, Workflow};

/// Members that a definition may have and that decide nothing here.
const UNREAD: [(&str, &str); 6] = [
    ("enrollmentSchedule", "the schedule belongs to the engine that enrolls"),
    ("eventAnchor", "the anchor belongs to the engine that enrolls"),
    ("unEnrollmentSetting", "a deleted contact leaves every workflow"),
    ("canEnrollFromSalesforce", "who may enroll is up to the engine that enrolls"),
    ("dataSources", "the Delete contact action takes no data"),
    ("customProperties", "they are notes of the program that wrote the definition"),
];

/// The workflow of a document (a definition, or a line of an import file with one within), and everything there is to say
/// about it.
///
/// # Errors
///
/// Where it is no JSON.
pub fn lint_document(text: &str) -> Result<(Workflow, Vec<Finding>), serde_json::Error> {
    let document: Value = serde_json::from_str(text)?;
    let (workflow, mut findings) = lint(document.get("flow").unwrap_or(&document));
    if let Err(twice) = parse_strictly(text) {
        let says = format!("{twice}, and the last one counts");
        findings.push(Finding { at: "$".to_owned(), concern: Severity::Ambiguous, says });
    }
    findings.sort_by_key(|finding| Reverse(finding.concern));
    Ok((workflow, findings))
}

/// The workflow of a definition, and everything there is to say about it.
pub fn lint(flow: &Value) -> (Workflow, Vec<Finding>) {
    let mut findings = Vec::new();
    let workflow = Workflow::read(flow, &mut findings);
    let mut lint = Lint { findings };
    lint.identity(flow, &workflow);
    lint.actions(flow, &workflow);
    lint.triggers(flow, &workflow);
    lint.goal(&workflow);
    lint.unasked(flow);
    for (member, why) in UNREAD {
        if non_null(flow, member).is_some_and(|value| !is_empty(value)) {
            lint.find(format!("$.{member}"), Severity::Ignored, format!("it decides nothing here: {why}"));
        }
    }
    (workflow, lint.findings)
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
    fn find(&mut self, at: impl Into<String>, concern: Severity, says: impl Into<String>) {
        self.findings.push(Finding { at: at.into(), concern, says: says.into() });
    }

    /// Conditions of the other types beside `MANUAL`.
    fn unasked(&mut self, flow: &Value) {
        let criteria = non_null(flow, "enrollmentCriteria");
        let Some(criteria) = criteria.filter(|it| it.get("type").is_some_and(|kind| kind == "MANUAL")) else {
            return;
        };
        for name in CONDITIONS_OF_CRITERIA {
            if non_null(criteria, name).is_some_and(|member| !is_empty(member)) {
                let says = "who is enrolled by hand need not meet it, and nobody else is enrolled";
                self.find(format!("$.enrollmentCriteria.{name}"), Severity::Ignored, says);
            }
        }
    }

    fn identity(&mut self, flow: &Value, workflow: &Workflow) {
        if flow.get("id").and_then(parse_id).is_none() {
            self.find("$.id", Severity::Unsupported, "without an id it cannot be imported");
        }
        if !workflow.is_contact_workflow {
            self.find(
                "$.type",
                Severity::Unsupported,
                "it is no contact workflow (CONTACT_FLOW, object type 0-1): it deletes nothing",
            );
        }
        match flow.get("isEnabled") {
            Some(Value::Bool(_)) => {}
            _ => self.find("$.isEnabled", Severity::Ambiguous, "neither true nor false counts as off"),
        }
    }

    fn actions(&mut self, flow: &Value, workflow: &Workflow) {
        if workflow.delete_actions.is_empty() {
            self.find("$.actions", Severity::Ignored, "it has no Delete contact action: it deletes nothing");
        }
        let reached = reached(flow);
        for (index, action) in deletes(flow) {
            let Some(id) = id_of(action).filter(|id| workflow.delete_actions.contains(id)) else { continue };
            let at = format!("$.actions[{index}]");
            if !next_actions(action).is_empty() {
                self.find(
                    format!("{at}.connection"),
                    Severity::Ignored,
                    "Delete contact is the end: no action after it runs",
                );
            }
            if reached.as_ref().is_some_and(|reached| !reached.contains(&id)) {
                self.find(at, Severity::Ambiguous, "no way leads from startActionId to this Delete contact");
            }
        }
    }

    fn triggers(&mut self, flow: &Value, workflow: &Workflow) {
        let at = "$.enrollmentCriteria";
        match &workflow.triggers {
            Triggers::List { enroll, re_enroll } => {
                self.enroll(enroll, &format!("{at}.listFilterBranch"));
                let without_triggers = re_enroll.constant_value() == Truth::False;
                if workflow.should_re_enroll && without_triggers {
                    self.find(at, Severity::Ambiguous, "re-enrollment is on without a trigger: only by hand");
                }
                if !workflow.should_re_enroll && !without_triggers {
                    let at = format!("{at}.reEnrollmentTriggersFilterBranches");
                    self.find(at, Severity::Ignored, "re-enrollment is off: its triggers are not asked");
                }
            }
            Triggers::Events { events, conditions } => {
                if events.is_empty() {
                    self.find(
                        at,
                        Severity::Dangerous,
                        "no contact enrolls without an event or a list membership",
                    );
                }
                if events.iter().any(|event| event.constant_value() == Truth::True) {
                    self.find(at, Severity::Dangerous, "one of these list memberships accepts everybody");
                }
                let uses = |name: &str| {
                    let criteria = non_null(flow, "enrollmentCriteria");
                    criteria.and_then(|it| non_null(it, name)).is_some_and(|list| !is_empty(list))
                };
                if uses("eventFilterBranches") && uses("listMembershipFilterBranches") {
                    let at = format!("{at}.listMembershipFilterBranches");
                    self.find(
                        at,
                        Severity::Ambiguous,
                        "one of these must be met as well as one of the events",
                    );
                }
                if conditions.constant_value() == Truth::False {
                    self.find(at, Severity::Dangerous, "no contact can meet these conditions");
                }
            }
            Triggers::Manual | Triggers::Unsupported => {}
        }
        let member =
            |name: &str| non_null(flow, "enrollmentCriteria").and_then(|criteria| non_null(criteria, name));
        if member("unEnrollObjectsNotMeetingCriteria") == Some(&Value::Bool(true)) {
            let at = format!("{at}.unEnrollObjectsNotMeetingCriteria");
            self.find(at, Severity::Ignored, "the criteria are asked again before every deletion anyway");
        }
        if member("shouldReEnroll").is_some_and(|again| !again.is_boolean()) {
            let at = format!("{at}.shouldReEnroll");
            self.find(at, Severity::Ambiguous, "neither true nor false counts as off");
        }
    }

    fn enroll(&mut self, enroll: &Criteria, at: &str) {
        let told = |finding: &Finding| finding.at == at && finding.concern == Severity::Dangerous;
        match enroll.constant_value() {
            _ if self.findings.iter().any(told) => {}
            Truth::True => self.find(at, Severity::Dangerous, "these criteria accept everybody"),
            Truth::False => self.find(at, Severity::Dangerous, "these criteria accept no contact"),
            Truth::Unknown => self.root(enroll, at),
        }
    }

    fn goal(&mut self, workflow: &Workflow) {
        if let Some(goal) = &workflow.goal {
            self.root(goal, "$.goalFilterBranch");
        }
    }

    fn root(&mut self, criteria: &Criteria, at: &str) {
        if !criteria.is_or_of_ands() {
            self.find(
                at,
                Severity::Ambiguous,
                "the root is not an OR of ANDs, as the vendor builds it; it is taken as it is written",
            );
        }
    }
}
