//! Members of a definition that nobody reads. The definitions of tomorrow may have more; but one whose name is nearly
//! that of a member that decides may be a slip, and then a condition is lost: nobody is deleted on that guess.

use serde_json::Value;

use super::criteria::{Concern, Finding};
use super::members::given;
use super::nearest::nearest;

/// Without one of these a definition says something else.
const DECIDING: [&str; 9] = [
    "actions",
    "blockedDates",
    "enrollmentCriteria",
    "flowType",
    "goalFilterBranch",
    "isEnabled",
    "objectTypeId",
    "suppressionListIds",
    "timeWindows",
];
/// The others that the vendor's schema has.
const OTHERS: [&str; 17] = [
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

/// The same of the enrollment criteria, whatever their type.
pub const DECIDING_OF_CRITERIA: [&str; 7] = [
    "eventFilterBranches",
    "listFilterBranch",
    "listMembershipFilterBranches",
    "reEnrollmentTriggersFilterBranches",
    "refinementCriteria",
    "shouldReEnroll",
    "type",
];
const OTHERS_OF_CRITERIA: [&str; 3] = ["datasetId", "subviewId", "unEnrollObjectsNotMeetingCriteria"];

/// Adds what is to be said about members that nobody reads; the places of those that may be slips.
pub fn slips(flow: &Value, findings: &mut Vec<Finding>) -> Vec<String> {
    let mut slips = slips_in(flow, "$", &DECIDING, &OTHERS, findings);
    if let Some(criteria) = given(flow, "enrollmentCriteria") {
        let at = "$.enrollmentCriteria";
        slips.extend(slips_in(criteria, at, &DECIDING_OF_CRITERIA, &OTHERS_OF_CRITERIA, findings));
    }
    slips
}

fn slips_in(
    value: &Value,
    at: &str,
    deciding: &[&str],
    others: &[&str],
    findings: &mut Vec<Finding>,
) -> Vec<String> {
    let mut slips = Vec::new();
    for (name, _) in value.as_object().into_iter().flatten().filter(|(_, member)| !member.is_null()) {
        let known = |names: &[&str]| names.contains(&name.as_str());
        if known(deciding) || known(others) {
            continue;
        }
        let at = format!("{at}.{name}");
        let (concern, says) = match nearest(name, deciding.iter().copied()) {
            Some(meant) => {
                slips.push(at.clone());
                let says =
                    format!("nobody reads the member {name}, and {meant} may be meant: nothing is deleted");
                (Concern::Unsupported, says)
            }
            None => (Concern::Ignored, format!("nobody reads the member {name}")),
        };
        findings.push(Finding { at, concern, says });
    }
    slips
}
