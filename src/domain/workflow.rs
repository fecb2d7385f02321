//! A workflow's definition, as the vendor's automation API v4 returns it, reduced to what decides.
//!
//! Parsing never fails: a part that is missing, unreadable or not understood becomes a value that refuses
//! (see [`super::decision`]), so that a definition can be imported unchanged and deletes only where every
//! part that decides was understood.

use std::collections::BTreeSet;

use serde_json::Value;

use super::criteria::Criteria;
use super::members::parse_id;

/// The `actionTypeId` of *Delete contact*.
const DELETE_CONTACT: &str = "0-18224765";

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
    /// Parts that would have to be asked before deleting, and that are not understood yet.
    pub goal: Understood,
    pub suppression: Understood,
    pub time_windows: Understood,
    pub blocked_dates: Understood,
}

/// A part of a definition that decides only where it is used.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Understood {
    /// The definition does not use it.
    Unused,
    /// It does: nothing may be deleted by a guess at its meaning.
    No,
}

/// How contacts enroll.
#[derive(Clone, Debug, PartialEq)]
pub enum Triggers {
    /// `LIST_BASED`: what a first enrollment must meet, and what a re-enrollment must (one of its triggers
    /// as well as the criteria).
    Criteria { enroll: Criteria, re_enroll: Criteria },
    /// `MANUAL`: by hand only.
    Manual,
    /// `EVENT_BASED`, `DATASET`, absent or unreadable.
    Unsupported,
}

impl Workflow {
    /// Reads a definition.
    pub fn parse(flow: &Value) -> Self {
        let text = |name: &str| flow.get(name).and_then(Value::as_str);
        let criteria = flow.get("enrollmentCriteria");
        Self {
            is_contact_workflow: text("type") == Some("CONTACT_FLOW")
                && text("objectTypeId") == Some(CONTACT_TYPE)
                && flow.get("flowType").is_none_or(|flow_type| flow_type == "WORKFLOW"),
            is_enabled: flow.get("isEnabled") == Some(&Value::Bool(true)),
            delete_actions: delete_actions(flow),
            should_re_enroll: criteria.and_then(|criteria| criteria.get("shouldReEnroll"))
                == Some(&Value::Bool(true)),
            triggers: criteria.map_or(Triggers::Unsupported, triggers),
            goal: match flow.get("goalFilterBranch") {
                None | Some(Value::Null) => Understood::Unused,
                Some(_) => Understood::No,
            },
            suppression: used(flow, "suppressionListIds"),
            time_windows: used(flow, "timeWindows"),
            blocked_dates: used(flow, "blockedDates"),
        }
    }

    /// The criteria that a decision evaluates.
    pub fn criteria(&self) -> Vec<&Criteria> {
        match &self.triggers {
            Triggers::Criteria { enroll, re_enroll } => vec![enroll, re_enroll],
            Triggers::Manual | Triggers::Unsupported => Vec::new(),
        }
    }
}

/// Absent, null and the empty list mean that a part is not used.
fn used(flow: &Value, name: &str) -> Understood {
    match flow.get(name) {
        None | Some(Value::Null) => Understood::Unused,
        Some(Value::Array(items)) if items.is_empty() => Understood::Unused,
        Some(_) => Understood::No,
    }
}

fn delete_actions(flow: &Value) -> BTreeSet<i64> {
    let actions = flow.get("actions").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let id_of = |action: &Value| action.get("actionId").and_then(parse_id);
    let (deletes, others): (Vec<&Value>, Vec<&Value>) = actions.iter().partition(|action| {
        // Any version from 0 up is the same action; published examples carry several.
        action.get("actionTypeId").and_then(Value::as_str) == Some(DELETE_CONTACT)
            && action.get("actionTypeVersion").is_none_or(|version| version.as_u64().is_some())
            && action.get("type").is_none_or(|kind| kind == "SINGLE_CONNECTION")
            && action
                .get("fields")
                .is_none_or(|fields| fields.as_object().is_some_and(serde_json::Map::is_empty))
    });
    let others: BTreeSet<i64> = others.into_iter().filter_map(id_of).collect();
    // An id that another action has too does not say which of them was reached.
    deletes.into_iter().filter_map(id_of).filter(|id| !others.contains(id)).collect()
}

fn triggers(criteria: &Value) -> Triggers {
    match criteria.get("type").and_then(Value::as_str) {
        // What belongs to another type of criteria would be left unasked.
        Some("LIST_BASED")
            if [used(criteria, "eventFilterBranches"), used(criteria, "refinementCriteria")]
                .contains(&Understood::No) =>
        {
            Triggers::Unsupported
        }
        Some("LIST_BASED") => {
            let enroll = criteria.get("listFilterBranch").map_or_else(
                || Criteria::Unsupported("criteria without a branch".to_owned()),
                Criteria::parse,
            );
            let trigger = match criteria.get("reEnrollmentTriggersFilterBranches") {
                None | Some(Value::Null) => Criteria::Any(Vec::new()),
                Some(Value::Array(branches)) => Criteria::Any(branches.iter().map(Criteria::parse).collect()),
                Some(_) => Criteria::Unsupported("re-enrollment triggers that are no list".to_owned()),
            };
            Triggers::Criteria { re_enroll: Criteria::All(vec![trigger, enroll.clone()]), enroll }
        }
        Some("MANUAL") => Triggers::Manual,
        _ => Triggers::Unsupported,
    }
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
        let nobody = Criteria::Any(Vec::new());
        let re_enroll = Criteria::All(vec![nobody.clone(), nobody.clone()]);
        assert_eq!(workflow.triggers, Triggers::Criteria { enroll: nobody, re_enroll });
        let unused = [workflow.goal, workflow.suppression, workflow.time_windows, workflow.blocked_dates];
        assert_eq!(unused, [Understood::Unused; 4]);
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
        for part in ["goalFilterBranch", "suppressionListIds", "timeWindows", "blockedDates"] {
            let mut flow = flow();
            flow[part] = json!({"any": "thing"});
            let workflow = Workflow::parse(&flow);
            let parts = [workflow.goal, workflow.suppression, workflow.time_windows, workflow.blocked_dates];
            assert_eq!(parts.iter().filter(|part| **part == Understood::No).count(), 1, "{part}");
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
