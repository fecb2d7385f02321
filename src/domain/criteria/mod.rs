//! The filter language of enrollment criteria: parsed once, evaluated in three values.
//!
//! Nothing unknown deletes: a part that is not understood is [`Truth::Unknown`], which stays unknown unless
//! a part beside it decides alone (`false AND unknown` is false). [`parse`] reads the vendor's JSON and says what in
//! it is unsupported, ambiguous or dangerous; [`subject`] is what criteria look at; [`operation`] holds the tests of
//! property values, [`moment`] those of points in time, [`event`] those of what happened; [`filter`] is what people
//! delete by, [`trace`] the account that `explain` gives of an evaluation, [`constant`] what shows without a contact, [`unkept`] what shows
//! with an account alone.

mod constant;
mod decimal;
mod event;
mod filter;
mod instant;
mod moment;
mod operation;
pub mod parse;
pub mod subject;
mod trace;
mod unkept;

pub use decimal::plain;
use event::Refinements;
pub use filter::Filter;
pub use instant::instant_of;
use operation::Operation;
pub use parse::{Finding, Severity};
use subject::{
    AssociatedObject, CustomEvent, DataRequirements, RecordType, RelatedData, Subject, Submission,
};
pub use trace::EvaluationTrace;

use super::associations::{AssociationType, Ends};
use super::lifecycle::stage_of;

/// What is known of a condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Truth {
    True,
    False,
    /// Not understood, or the value in question cannot be read as what the filter asks for.
    Unknown,
}

impl Truth {
    fn from_bool(value: bool) -> Self {
        if value { Self::True } else { Self::False }
    }

    /// The opposite; what is unknown stays so.
    #[must_use]
    pub fn negate(self) -> Self {
        match self {
            Self::True => Self::False,
            Self::False => Self::True,
            Self::Unknown => Self::Unknown,
        }
    }

    fn negate_if(self, negated: bool) -> Self {
        if negated { self.negate() } else { self }
    }

    /// Kleene's conjunction.
    #[must_use]
    pub fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::False, _) | (_, Self::False) => Self::False,
            (Self::True, Self::True) => Self::True,
            _ => Self::Unknown,
        }
    }

    /// Kleene's disjunction.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        self.negate().and(other.negate()).negate()
    }
}

/// A parsed filter branch or filter.
#[derive(Clone, Debug, PartialEq)]
pub struct Criteria {
    /// Its place in the definition, as a JSON path.
    at: String,
    /// What it asks, in words.
    says: String,
    kind: Kind,
}

#[derive(Clone, Debug, PartialEq)]
enum Kind {
    /// `AND`, `OR`, and their negations `NOT_ALL` and `NOT_ANY`. An empty `AND` accepts everybody, an empty `OR`
    /// nobody.
    Branch { decisive: Truth, negated: bool, parts: Vec<Criteria> },
    /// `ASSOCIATION`: an associated object passes.
    Associated {
        object_type: &'static str,
        association_type: Option<AssociationType>,
        negated: bool,
        filters: Box<Criteria>,
    },
    /// `UNIFIED_EVENTS`.
    Completed { event_type: String, negated: bool, filters: Box<Criteria>, refinements: Refinements },
    /// `FORM_SUBMISSION`, of one form or of any.
    FilledOut { form_id: Option<String>, negated: bool, refinements: Refinements },
    /// `IN_LIST` on a segment.
    InSegment { segment_id: i64, negated: bool },
    /// `IN_LIST` on the enrollments of a workflow.
    Enrolled { workflow_id: i64, stage: Stage, negated: bool },
    /// `PROPERTY`.
    Property { name: String, operation: Operation },
    /// `CONSTANT`.
    Constant(bool),
    /// A part that is not understood.
    Unsupported,
}

/// How far somebody is in a workflow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    EverEnrolled,
    Active,
    Completed,
}

impl Criteria {
    /// Reads one filter branch of the vendor's shape that stands at this place. Never fails: what cannot be read is
    /// a part that is unknown.
    pub fn parse(branch: &serde_json::Value, at: &str) -> Self {
        parse::criteria(branch, at, &mut Vec::new())
    }

    /// All of these.
    pub fn all(parts: Vec<Self>, at: &str) -> Self {
        let kind = Kind::Branch { decisive: Truth::False, negated: false, parts };
        Self { at: at.to_owned(), says: "all of".to_owned(), kind }
    }

    /// Any of these.
    pub fn any(parts: Vec<Self>, at: &str) -> Self {
        let kind = Kind::Branch { decisive: Truth::True, negated: false, parts };
        Self { at: at.to_owned(), says: "any of".to_owned(), kind }
    }

    /// Membership of a segment.
    pub fn in_segment(segment_id: i64, at: &str) -> Self {
        let kind = Kind::InSegment { segment_id, negated: false };
        Self { at: at.to_owned(), says: format!("is in segment {segment_id}"), kind }
    }

    /// A part that is not understood.
    pub fn unsupported(at: &str, says: &str) -> Self {
        Self { at: at.to_owned(), says: says.to_owned(), kind: Kind::Unsupported }
    }

    /// Does this contact meet the criteria?
    pub fn evaluate(&self, subject: Subject<'_>) -> Truth {
        self.judge(subject, None)
    }

    /// The same, with an account of every part and what it saw.
    pub fn explain(&self, subject: Subject<'_>) -> EvaluationTrace {
        let mut parts = Vec::new();
        let verdict = self.judge(subject, Some(&mut parts));
        EvaluationTrace {
            at: self.at.clone(),
            description: self.says.clone(),
            actual_value: self.saw(subject),
            verdict,
            parts,
        }
    }

    /// Does the event of the enrollment itself pass, where this is a condition on events? Another is none of the event's.
    pub fn met_by_event(&self, subject: Subject<'_>) -> Truth {
        match (&self.kind, subject.event) {
            (Kind::Completed { event_type, filters, refinements, .. }, Some(event))
                if event.event_type == *event_type =>
            {
                let passes = filters.evaluate(event_of(subject, event));
                refinements.counts(event.at, subject).and(passes)
            }
            (Kind::Completed { .. }, _) => Truth::False,
            (Kind::Unsupported, _) => Truth::Unknown,
            _ => Truth::True,
        }
    }

    /// Does every way to meet the criteria ask for a segment?
    pub fn hang_on_segments(&self) -> bool {
        self.need_segments(false)
    }

    /// The same of the criteria or, where `denied`, of their opposite.
    fn need_segments(&self, denied: bool) -> bool {
        match &self.kind {
            Kind::Branch { decisive, negated, parts } => {
                let denied = denied != *negated;
                let mut needs = parts.iter().map(|part| part.need_segments(denied));
                // Denied, each part of an AND is an alternative.
                let are_alternatives = (*decisive == Truth::True) != denied;
                if are_alternatives { needs.len() > 0 && needs.all(|it| it) } else { needs.any(|it| it) }
            }
            Kind::InSegment { .. } => true,
            _ => false,
        }
    }

    /// Adds what the store has to know before these criteria can be evaluated for contacts.
    pub fn asks(&self, asks: &mut DataRequirements) {
        self.asks_of(&RecordType::contact(), asks);
    }

    /// The same, for such records.
    pub fn asks_of(&self, records: &RecordType, asks: &mut DataRequirements) {
        match &self.kind {
            Kind::Branch { parts, .. } => parts.iter().for_each(|part| part.asks_of(records, asks)),
            Kind::Associated { object_type, filters, .. } => {
                asks.neighbours.insert(object_type);
                filters.asks_of(&RecordType::object(object_type), asks);
            }
            Kind::Completed { event_type, filters, .. } => {
                asks.events.insert(event_type.clone());
                filters.asks_of(&RecordType::event(event_type), asks);
            }
            Kind::FilledOut { form_id, .. } => drop(asks.forms.insert(form_id.clone())),
            Kind::InSegment { segment_id, .. } => drop(asks.segments.insert(*segment_id)),
            Kind::Enrolled { workflow_id, .. } => drop(asks.workflows.insert(*workflow_id)),
            Kind::Property { name, operation } => {
                asks.history |= operation.asks_history();
                asks.properties.entry(records.clone()).or_default().extend(
                    [name.as_str()].into_iter().chain(operation.other_properties()).map(str::to_owned),
                );
            }
            Kind::Constant(_) | Kind::Unsupported => {}
        }
    }

    /// Do they ask of contacts what stands elsewhere in the store than in their records?
    pub fn asks_beyond_record(&self) -> bool {
        let mut asks = DataRequirements::default();
        self.asks(&mut asks);
        let names = asks.properties.remove(&RecordType::contact()).unwrap_or_default();
        names.iter().any(|name| {
            name == "hs_additional_emails"
                || stage_of(name).is_some()
                || asks.history && name == "lifecyclestage"
        })
    }

    /// Do they ask what properties of the record were before, or of what surrounds it?
    pub fn asks_history(&self) -> bool {
        let mut asks = DataRequirements::default();
        self.asks(&mut asks);
        asks.history
    }

    /// With `trace` every part of a branch is evaluated, without it only as many as decide: the verdict is the same.
    fn judge(&self, subject: Subject<'_>, seen: Option<&mut Vec<EvaluationTrace>>) -> Truth {
        match &self.kind {
            Kind::Branch { decisive, negated, parts } => {
                fold(parts, subject, *decisive, seen).negate_if(*negated)
            }
            Kind::Associated { .. } | Kind::Completed { .. } | Kind::FilledOut { .. }
                if subject.around.is_none() =>
            {
                Truth::Unknown
            }
            Kind::Associated { object_type, .. } if !is_association_kept(subject, object_type) => {
                Truth::Unknown
            }
            Kind::Associated { object_type, association_type, negated, filters } => {
                neighbours(subject, object_type, association_type.as_ref())
                    .map(|(neighbour, is_of_type)| match &neighbour.record {
                        Some(record) => {
                            is_of_type.and(filters.evaluate(object_of(subject, object_type, record)))
                        }
                        // It is there, and that is all that is known.
                        None => is_of_type.and(filters.constant_value()),
                    })
                    .fold(Truth::False, Truth::or)
                    .negate_if(*negated)
            }
            Kind::Completed { event_type, .. } if !is_kept(subject, event_type) => Truth::Unknown,
            Kind::Completed { event_type, negated, filters, refinements } => {
                let answers = occurrences(subject, event_type).map(|(event, is_another)| {
                    (event.at, is_another, filters.evaluate(event_of(subject, event)))
                });
                refinements.holds(answers, subject).negate_if(*negated)
            }
            Kind::FilledOut { form_id, .. } if !is_form_kept(subject, form_id.as_deref()) => Truth::Unknown,
            Kind::FilledOut { form_id, negated, refinements } => {
                let filled = submissions(subject, form_id.as_deref()).map(|it| {
                    let is_one = if it.is_by_analytics { Truth::Unknown } else { Truth::True };
                    (it.at, is_one, Truth::True)
                });
                refinements.holds(filled, subject).negate_if(*negated)
            }
            Kind::InSegment { segment_id, negated } => match subject.around {
                Some(around) if around.known_segments.contains(segment_id) => {
                    Truth::from_bool(around.segments.contains(segment_id) != *negated)
                }
                _ => Truth::Unknown,
            },
            Kind::Enrolled { workflow_id, stage, negated } => match subject.around {
                Some(around) if around.kept_workflows.contains(workflow_id) => {
                    stage.is_of(around, *workflow_id, subject.own).negate_if(*negated)
                }
                _ => Truth::Unknown,
            },
            Kind::Property { name, operation } => operation.evaluate(name, subject),
            Kind::Constant(accepts) => Truth::from_bool(*accepts),
            Kind::Unsupported => Truth::Unknown,
        }
    }

    /// What a filter looked at, for people.
    fn saw(&self, subject: Subject<'_>) -> Option<String> {
        let count = |number: usize, what: &str| Some(format!("{number} {what}"));
        match &self.kind {
            Kind::Branch { .. } | Kind::Constant(_) | Kind::Unsupported => None,
            Kind::Associated { object_type, .. } if !is_association_kept(subject, object_type) => Some(
                format!("none associated ({object_type}), as with every {} of the account", subject.own_type),
            ),
            Kind::Associated { object_type, association_type, .. } => {
                let neighbours = || neighbours(subject, object_type, association_type.as_ref());
                let unclear = neighbours().filter(|(_, is_of_type)| *is_of_type == Truth::Unknown).count();
                let also = if unclear > 0 {
                    format!(", {unclear} of them by an association whose type cannot be compared")
                } else {
                    String::new()
                };
                count(neighbours().count(), &format!("associated ({object_type}){also}"))
            }
            Kind::Completed { event_type, .. } if !is_kept(subject, event_type) => {
                Some("a type of which the account never kept an event".to_owned())
            }
            Kind::Completed { event_type, .. } => {
                count(occurrences(subject, event_type).count(), "events of the type")
            }
            Kind::FilledOut { form_id, .. } if !is_form_kept(subject, form_id.as_deref()) => {
                Some("a form of which the account never kept a submission".to_owned())
            }
            Kind::FilledOut { form_id, .. } => {
                count(submissions(subject, form_id.as_deref()).count(), "submissions")
            }
            Kind::InSegment { segment_id, .. } => {
                let around = subject.around?;
                let member = if around.segments.contains(segment_id) { "a member" } else { "no member" };
                let known = around.known_segments.contains(segment_id);
                Some(if known { member } else { "no such segment" }.to_owned())
            }
            Kind::Enrolled { workflow_id, .. } => {
                let around = subject.around?;
                let kept = around.kept_workflows.contains(workflow_id);
                Some(match around.enrollments.get(workflow_id) {
                    _ if !kept => "a workflow of which the account never kept an enrollment".to_owned(),
                    Some(enrolled) if enrolled.is_active(subject.own) => "actively enrolled".to_owned(),
                    Some(enrolled) if enrolled.completed || enrolled.completed_or_removed => {
                        "enrolled before".to_owned()
                    }
                    _ => "never enrolled".to_owned(),
                })
            }
            Kind::Property { name, operation } => Some(operation.saw(name, subject)),
        }
    }
}

impl Stage {
    fn is_of(self, around: &RelatedData, workflow_id: i64, own: Option<i64>) -> Truth {
        let Some(enrolled) = around.enrollments.get(&workflow_id) else { return Truth::False };
        match self {
            Self::EverEnrolled => Truth::from_bool(
                enrolled.completed || enrolled.completed_or_removed || enrolled.is_active(own),
            ),
            Self::Active => Truth::from_bool(enrolled.is_active(own)),
            Self::Completed if enrolled.completed_or_removed && !enrolled.completed => Truth::Unknown,
            Self::Completed => Truth::from_bool(enrolled.completed),
        }
    }
}

/// The same moment, looking at an associated object.
fn object_of<'a>(subject: Subject<'a>, object_type: &str, record: &'a subject::Record) -> Subject<'a> {
    beside(subject, record, |records| records.is_of_object(object_type))
}

/// The same moment, looking at an event.
fn event_of<'a>(subject: Subject<'a>, event: &'a CustomEvent) -> Subject<'a> {
    beside(subject, &event.record, |records| records.is_of_event(&event.event_type))
}

fn beside<'a>(
    subject: Subject<'a>,
    record: &'a subject::Record,
    such: impl Fn(&RecordType) -> bool,
) -> Subject<'a> {
    let unknown_properties = subject.around.and_then(|around| around.unknown_properties_of(such));
    Subject { record, around: None, unknown_properties, event: None, own: None, ..subject }
}

/// Has the account ever associated a contact with such an object? Where it has not, associations may be kept elsewhere:
/// that there is none says nothing.
fn is_association_kept(subject: Subject<'_>, object_type: &str) -> bool {
    subject.around.is_some_and(|around| {
        around.kept_associations.contains(object_type)
            || around.neighbours.iter().any(|neighbour| neighbour.object_type == object_type)
    })
}

/// The associated objects of a type, and whether each is associated as asked; those that are not are left out.
fn neighbours<'a>(
    subject: Subject<'a>,
    object_type: &'a str,
    asked: Option<&'a AssociationType>,
) -> impl Iterator<Item = (&'a AssociatedObject, Truth)> {
    let all = subject.around.map_or(&[][..], |around| around.neighbours.as_slice());
    let is_met = move |asked: &AssociationType, neighbour: &AssociatedObject| {
        let ends = Ends { own: subject.own_type, other: object_type, is_outward: neighbour.is_outward };
        Some(
            asked
                .is_met_by(neighbour.association_type.as_deref()?, ends)
                .map_or(Truth::Unknown, Truth::from_bool),
        )
    };
    // A record has one primary company: where one is named, an association without a type is none, and of two neither is known.
    let asks_for_primary =
        asked.filter(|it| object_type == "company" && it.is_primary(subject.own_type, object_type));
    let mut named = asks_for_primary
        .into_iter()
        .flat_map(|asked| all.iter().filter(move |it| is_met(asked, it) == Some(Truth::True)))
        .filter(|neighbour| neighbour.object_type == object_type)
        .map(|neighbour| neighbour.record.as_ref().and_then(|record| record.value("hs_object_id")));
    let primary = named.next();
    let has_several = named.any(|other| Some(other) != primary);
    let is_of_type = move |neighbour: &AssociatedObject| match asked
        .map_or(Some(Truth::True), |asked| is_met(asked, neighbour))
    {
        Some(Truth::True) if has_several => Truth::Unknown,
        Some(is_of_type) => is_of_type,
        None => Truth::from_bool(primary.is_none()),
    };
    all.iter()
        .filter(move |neighbour| neighbour.object_type == object_type)
        .map(move |neighbour| (neighbour, is_of_type(neighbour)))
        .filter(|(_, is_of_type)| *is_of_type != Truth::False)
}

/// The stored events of a type, and the event of the enrollment unless it is stored already; and whether each is one
/// of its own. Of two at one moment, of which one tells more than the other, nobody knows whether they are one.
fn occurrences<'a>(
    subject: Subject<'a>,
    event_type: &'a str,
) -> impl Iterator<Item = (&'a CustomEvent, Truth)> {
    let stored = subject.around.map_or(&[][..], |around| around.events.as_slice());
    let of_type = move |event: &&CustomEvent| event.event_type == event_type;
    let new = subject.event.filter(|event| !stored.contains(event)).filter(of_type).map(|event| {
        let may_be_stored = stored.iter().filter(of_type).any(|it| it.may_be(event));
        (event, if may_be_stored { Truth::Unknown } else { Truth::True })
    });
    stored.iter().filter(of_type).map(|event| (event, Truth::True)).chain(new)
}

/// Has the account ever kept an event under this name? Where it has none they may be known by another name, or be kept
/// elsewhere: that there is none says nothing.
fn is_kept(subject: Subject<'_>, event_type: &str) -> bool {
    subject.around.is_some_and(|around| around.kept_events.contains(event_type))
        || subject.event.is_some_and(|event| event.event_type == event_type)
}

/// Has the account ever kept a submission of this form, or of any?
fn is_form_kept(subject: Subject<'_>, form_id: Option<&str>) -> bool {
    subject.around.is_some_and(|around| {
        form_id.map_or(around.keeps_forms, |form_id| around.kept_forms.contains(form_id))
    })
}

fn submissions<'a>(subject: Subject<'a>, form_id: Option<&'a str>) -> impl Iterator<Item = &'a Submission> {
    let all = subject.around.map_or(&[][..], |around| around.submissions.as_slice());
    all.iter().filter(move |it| form_id.is_none_or(|wanted| wanted == it.form_id))
}

/// Kleene's conjunction (`decisive` false) or disjunction (`decisive` true).
fn fold(
    parts: &[Criteria],
    subject: Subject<'_>,
    decisive: Truth,
    mut seen: Option<&mut Vec<EvaluationTrace>>,
) -> Truth {
    let mut verdict = decisive.negate();
    for part in parts {
        let truth = match &mut seen {
            None => part.judge(subject, None),
            Some(seen) => {
                let part = part.explain(subject);
                let verdict = part.verdict;
                seen.push(part);
                verdict
            }
        };
        if truth == decisive {
            verdict = decisive;
            if seen.is_none() {
                break;
            }
        } else if truth == Truth::Unknown && verdict != decisive {
            verdict = Truth::Unknown;
        }
    }
    verdict
}

#[cfg(test)]
mod tests;
