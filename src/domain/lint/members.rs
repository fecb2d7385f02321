//! Members of a definition that nobody reads. The definitions of tomorrow may have more; but one whose name is nearly
//! that of a member that decides may be a slip, and then a condition is lost.

use serde_json::Value;

use super::{Lint, is_empty};
use crate::domain::criteria::Concern;
use crate::domain::members::given;
use crate::domain::nearest::nearest;

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
const DECIDING_OF_CRITERIA: [&str; 7] = [
    "eventFilterBranches",
    "listFilterBranch",
    "listMembershipFilterBranches",
    "reEnrollmentTriggersFilterBranches",
    "refinementCriteria",
    "shouldReEnroll",
    "type",
];
const OTHERS_OF_CRITERIA: [&str; 3] = ["datasetId", "subviewId", "unEnrollObjectsNotMeetingCriteria"];

impl Lint {
    pub(super) fn strange_members(&mut self, flow: &Value) {
        self.strange(flow, "$", &DECIDING, &OTHERS);
        if let Some(criteria) = given(flow, "enrollmentCriteria") {
            let at = "$.enrollmentCriteria";
            self.strange(criteria, at, &DECIDING_OF_CRITERIA, &OTHERS_OF_CRITERIA);
            if criteria.get("type").is_some_and(|kind| kind == "MANUAL") {
                self.unasked(criteria, at);
            }
        }
    }

    fn strange(&mut self, value: &Value, at: &str, deciding: &[&str], others: &[&str]) {
        for (name, _) in value.as_object().into_iter().flatten().filter(|(_, member)| !member.is_null()) {
            let known = |names: &[&str]| names.contains(&name.as_str());
            if known(deciding) || known(others) {
                continue;
            }
            let at = format!("{at}.{name}");
            match nearest(name, deciding.iter().copied()) {
                Some(meant) => {
                    let says = format!("nobody reads the member {name}, and {meant} may be meant");
                    self.find(at, Concern::Ambiguous, says);
                }
                None => self.find(at, Concern::Ignored, format!("nobody reads the member {name}")),
            }
        }
    }

    /// Conditions of the other types beside `MANUAL`.
    fn unasked(&mut self, criteria: &Value, at: &str) {
        let conditions =
            DECIDING_OF_CRITERIA.iter().filter(|name| !["shouldReEnroll", "type"].contains(name));
        for name in conditions {
            if given(criteria, name).is_some_and(|member| !is_empty(member)) {
                let says = "who is enrolled by hand need not meet it, and nobody else is enrolled";
                self.find(format!("{at}.{name}"), Concern::Ignored, says);
            }
        }
    }
}
