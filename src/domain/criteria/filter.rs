//! A filter by which a person deletes. It is held to more than a workflow's criteria: a part that is not understood, or
//! one that may accept whom nobody asked for, is refused before anybody is looked at, wherever in the filter it stands.

use serde_json::Value;

use super::subject::Subject;
use super::{Criteria, Kind, Severity, Truth, parse};

/// One filter branch, understood in every part, with a condition in every branch.
#[derive(Clone, Debug, PartialEq)]
pub struct Filter(Criteria);

impl Filter {
    /// Reads one filter branch of the vendor's shape, about records of this type.
    ///
    /// # Errors
    ///
    /// The place of the first part that selects whom nobody asked for, or might, and what is wrong there.
    pub fn parse(branch: &Value, object_type: &str) -> Result<Self, String> {
        let mut findings = Vec::new();
        let criteria = parse::criteria_about(object_type, branch, "$", &mut findings);
        match findings.iter().find(|finding| finding.concern != Severity::Ambiguous) {
            None if criteria.constant_value() == Truth::True => {
                Err(format!("$: this accepts every {object_type}"))
            }
            None => Ok(Self(criteria)),
            Some(finding) => Err(format!("{}: {}", finding.at, finding.says)),
        }
    }

    /// What it asks.
    pub fn criteria(&self) -> &Criteria {
        &self.0
    }

    /// Does it accept this record?
    ///
    /// # Errors
    ///
    /// The part that leaves it open, in words without any value of the record's.
    pub fn accepts(&self, subject: Subject<'_>) -> Result<bool, String> {
        match self.0.evaluate(subject) {
            Truth::True => Ok(true),
            Truth::False => Ok(false),
            Truth::Unknown => Err(open_part(&self.0, subject)),
        }
    }
}

/// The first part whose verdict is unknown, where that of the whole is.
fn open_part(part: &Criteria, subject: Subject<'_>) -> String {
    if let Kind::Branch { parts, .. } = &part.kind {
        let open = parts.iter().find(|part| part.evaluate(subject) == Truth::Unknown);
        return open.map_or_else(String::new, |part| open_part(part, subject));
    }
    let why = match &part.kind {
        Kind::Property { name, .. } if subject.is_unheard_of(name) => {
            ", for the account does not know the property".to_owned()
        }
        // A count, never a value.
        Kind::Associated { .. } | Kind::Completed { .. } | Kind::FilledOut { .. } => {
            part.saw(subject).map(|saw| format!("; what was found: {saw}")).unwrap_or_default()
        }
        _ => String::new(),
    };
    format!("{}: it is unknown whether the {} {}{why}", part.at, subject.own_type, part.says)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::domain::object_type::CONTACT;

    fn known(property: &str) -> Value {
        json!({"filterType": "PROPERTY", "property": property,
            "operation": {"operationType": "ALL_PROPERTY", "operator": "IS_KNOWN"}})
    }

    fn and(filters: &[Value], branches: &[Value]) -> Value {
        json!({"filterBranchType": "AND", "filters": filters, "filterBranches": branches})
    }

    fn or(filters: &[Value], branches: &[Value]) -> Value {
        json!({"filterBranchType": "OR", "filters": filters, "filterBranches": branches})
    }

    #[test]
    fn a_filter_with_a_condition_everywhere_is_taken() {
        for branch in [
            and(&[known("a")], &[]),
            or(&[], &[and(&[known("a")], &[]), and(&[known("b"), known("c")], &[])]),
        ] {
            assert_eq!(
                Filter::parse(&branch, CONTACT).map(|filter| filter.criteria().clone()),
                Ok(Criteria::parse(&branch, "$"))
            );
        }
    }

    #[test]
    fn a_branch_without_a_condition_is_refused_wherever_it_stands() {
        for (branch, place) in [
            (and(&[], &[]), "$:"),
            (or(&[], &[]), "$:"),
            (or(&[], &[and(&[], &[])]), "$.filterBranches[0]:"),
            (and(&[], &[or(&[], &[and(&[], &[])])]), "$.filterBranches[0].filterBranches[0]:"),
            (or(&[known("a")], &[and(&[known("a")], &[]), and(&[], &[])]), "$.filterBranches[1]:"),
            (and(&[known("a")], &[or(&[], &[])]), "$.filterBranches[0]:"),
        ] {
            let said = Filter::parse(&branch, CONTACT).expect_err("refused");
            assert!(said.starts_with(place) && said.contains("without a condition"), "{branch}: {said}");
        }
    }

    #[test]
    fn what_is_not_understood_is_refused_with_its_place_though_another_part_might_decide() {
        let strange = json!({"filterType": "PAGE_VIEW"});
        let sounds = json!({"filterType": "PROPERTY", "property": "a",
            "operation": {"operationType": "STRING", "operator": "SOUNDS_LIKE", "value": "x"}});
        let mut misspelt = and(&[known("a")], &[]);
        misspelt["filter"] = json!([known("b")]);
        for (branch, place, what) in [
            (json!({}), "$:", "without filterBranchType"),
            (json!([]), "$:", "without filterBranchType"),
            (json!({"listFilterBranch": and(&[known("a")], &[])}), "$:", "without filterBranchType"),
            (json!({"filterBranchType": "AND"}), "$:", "without filters"),
            (and(&[known("a"), strange.clone()], &[]), "$.filters[1]:", "PAGE_VIEW"),
            (or(&[known("a")], &[and(&[sounds], &[])]), "$.filterBranches[0].filters[0]:", "SOUNDS_LIKE"),
            (or(&[], &[json!({"filterBranchType": "RESTRICTED"})]), "$.filterBranches[0]:", "RESTRICTED"),
            (or(&[], &[misspelt]), "$.filterBranches[0]:", "the member filter"),
        ] {
            let said = Filter::parse(&branch, CONTACT).expect_err("refused");
            assert!(said.starts_with(place) && said.contains(what), "{branch}: {said}");
        }
    }
}
