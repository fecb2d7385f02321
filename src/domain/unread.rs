//! Members of a definition that are not evaluated. One of them could restrict whom the workflow deletes, be it new or a slip of
//! the keyboard: nothing is deleted on the guess that it does not. Those that are known to decide nothing are listed here.

use serde_json::Value;

use super::actions::deletes;
use super::criteria::{Finding, Severity};
use super::members::non_null;
use super::nearest::nearest;

/// Without one of these a definition says something else.
const DECIDING: [&str; 10] = [
    "actions",
    "blockedDates",
    "enrollmentCriteria",
    "flowType",
    "goalFilterBranch",
    "isEnabled",
    "objectTypeId",
    "suppressionFilterBranch",
    "suppressionListIds",
    "timeWindows",
];
/// The others that the vendor's schema has: they name and date the definition, or are for the engine that enrolls.
const HARMLESS: [&str; 17] = [
    "canEnrollFromSalesforce",
    "createdAt",
    "crmObjectCreationStatus",
    "customProperties",
    "dataSources",
    "description",
    "enrollmentSchedule",
    "eventAnchor",
    "id",
    "name",
    "nextAvailableActionId",
    "revisionId",
    "startActionId",
    "type",
    "unEnrollmentSetting",
    "updatedAt",
    "uuid",
];

/// The same of the enrollment criteria, whatever their type: the conditions for whoever is not enrolled by hand,
pub const CONDITIONS_OF_CRITERIA: [&str; 5] = [
    "eventFilterBranches",
    "listFilterBranch",
    "listMembershipFilterBranches",
    "reEnrollmentTriggersFilterBranches",
    "refinementCriteria",
];
/// what holds for everybody,
const DECIDING_OF_CRITERIA: [&str; 3] = ["shouldReEnroll", "suppressionFilterBranch", "type"];
/// and what decides nothing.
const HARMLESS_OF_CRITERIA: [&str; 1] = ["unEnrollObjectsNotMeetingCriteria"];
/// Members of criteria that are not supported as a whole.
const OF_DATA_SETS: [&str; 2] = ["datasetId", "subviewId"];

/// All members of *Delete contact*; it is the end, so that its connection decides nothing.
const OF_DELETE: [&str; 6] =
    ["actionId", "actionTypeId", "actionTypeVersion", "connection", "fields", "type"];

/// Adds a finding for each member that is not evaluated; their places.
pub fn unread(flow: &Value, findings: &mut Vec<Finding>) -> Vec<String> {
    let mut unread = unread_in(flow, "$", &[&DECIDING, &HARMLESS], findings);
    if let Some(criteria) = non_null(flow, "enrollmentCriteria") {
        let is_data_set = criteria.get("type").is_some_and(|kind| kind == "DATASET");
        let of_its_type: &[&str] = if is_data_set { &OF_DATA_SETS } else { &[] };
        let known: [&[&str]; 4] =
            [&CONDITIONS_OF_CRITERIA, &DECIDING_OF_CRITERIA, &HARMLESS_OF_CRITERIA, of_its_type];
        unread.extend(unread_in(criteria, "$.enrollmentCriteria", &known, findings));
    }
    for (index, action) in deletes(flow) {
        unread.extend(unread_in(action, &format!("$.actions[{index}]"), &[&OF_DELETE], findings));
    }
    unread
}

fn unread_in(value: &Value, at: &str, known: &[&[&str]], findings: &mut Vec<Finding>) -> Vec<String> {
    let mut unread = Vec::new();
    for (name, _) in value.as_object().into_iter().flatten().filter(|(_, member)| !member.is_null()) {
        if known.iter().any(|names| names.contains(&name.as_str())) {
            continue;
        }
        let why = match nearest(name, known.iter().flat_map(|names| names.iter().copied())) {
            Some(meant) => format!("{meant} may be meant"),
            None => "it could restrict who is deleted".to_owned(),
        };
        let at = format!("{at}.{name}");
        let says = format!("the member {name} is not evaluated, and {why}: nothing is deleted");
        findings.push(Finding { at: at.clone(), concern: Severity::Unsupported, says });
        unread.push(at);
    }
    unread
}
