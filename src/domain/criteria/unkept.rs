//! Parts of criteria that ask for what an account has never kept: they leave open every contact that has nothing of the kind.

use std::collections::BTreeSet;

use super::subject::{RecordType, RelatedData};
use super::{Criteria, Finding, Kind, Severity};

impl Criteria {
    /// Finds those parts, by what is kept of that which the criteria [ask](Criteria::asks).
    pub fn find_unkept(&self, kept: &RelatedData, findings: &mut Vec<Finding>) {
        self.find_unkept_of(&RecordType::contact(), kept, findings);
    }

    fn find_unkept_of(&self, records: &RecordType, kept: &RelatedData, findings: &mut Vec<Finding>) {
        let find = |findings: &mut Vec<Finding>, what: String| {
            let says = format!("the account {what}: whoever has nothing of the kind is left alone");
            findings.push(Finding { at: self.at.clone(), concern: Severity::Unsupported, says });
        };
        let lacks = |known: &BTreeSet<i64>, id: &i64| !known.contains(id);
        match &self.kind {
            Kind::Branch { parts, .. } => {
                for part in parts {
                    part.find_unkept_of(records, kept, findings);
                }
            }
            Kind::Associated { object_type, filters, .. } => {
                if !kept.kept_associations.contains(object_type) {
                    find(findings, format!("never associated a contact with a {object_type}"));
                }
                filters.find_unkept_of(&RecordType::object(object_type), kept, findings);
            }
            Kind::Completed { event_type, filters, .. } => {
                if !kept.kept_events.contains(event_type) {
                    find(findings, format!("never kept an event of type {event_type}"));
                }
                filters.find_unkept_of(&RecordType::event(event_type), kept, findings);
            }
            Kind::FilledOut { form_id: Some(form_id), .. } if !kept.kept_forms.contains(form_id) => {
                find(findings, format!("never kept a submission of the form {form_id}"));
            }
            Kind::FilledOut { form_id: None, .. } if !kept.keeps_forms => {
                find(findings, "never kept a submission of any form".to_owned());
            }
            Kind::InSegment { segment_id, .. } if lacks(&kept.known_segments, segment_id) => {
                find(findings, format!("has no segment {segment_id}"));
            }
            Kind::Enrolled { workflow_id, .. } if lacks(&kept.kept_workflows, workflow_id) => {
                find(findings, format!("never kept an enrollment in the workflow {workflow_id}"));
            }
            Kind::Property { name, operation } => {
                let unknown = kept.unknown_properties.get(records);
                let names = std::iter::once(name.as_str()).chain(operation.other_properties());
                names.filter(|name| unknown.is_some_and(|unknown| unknown.contains(*name))).for_each(
                    |name| find(findings, format!("never kept a property {name} of {}", records.in_words())),
                );
            }
            Kind::FilledOut { .. }
            | Kind::InSegment { .. }
            | Kind::Enrolled { .. }
            | Kind::Constant(_)
            | Kind::Unsupported => {}
        }
    }
}
