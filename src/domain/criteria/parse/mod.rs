//! The vendor's JSON → [`Criteria`]. What cannot be read becomes an unsupported part, never an error and
//! never a part that accepts; each such part, and whatever is ambiguous or dangerous, is a [`Finding`].

mod members;
mod operation;
mod time;

use serde::Serialize;
use serde_json::Value;

use super::event::{Coalesce, Refinements};
use super::{Criteria, Kind, Stage, Truth};
use crate::domain::associations::AssociationType;
use crate::domain::members::parse_id;
use crate::domain::object_type::{CONTACT, is_activity, name_of_id};
use crate::domain::redaction::REDACTED;

/// The types of associated objects that conditions may ask about.
const ASSOCIATED: [&str; 9] =
    ["contact", "company", "deal", "ticket", "task", "note", "meeting", "call", "email"];

/// Something about a definition that a person should know before it is switched on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// Its place in the definition, as a JSON path.
    pub at: String,
    pub concern: Severity,
    /// One sentence.
    pub says: String,
}

/// What is the matter with a part of a definition, the gravest last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// It is there and decides nothing.
    Ignored,
    /// It can be read in two ways.
    Ambiguous,
    /// It is not understood: where it could change the verdict, nothing is deleted.
    Unsupported,
    /// It may delete more than its author thinks.
    Dangerous,
}

impl Severity {
    /// As the commands say it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Ignored => "ignored",
            Self::Ambiguous => "ambiguous",
            Self::Unsupported => "unsupported",
            Self::Dangerous => "dangerous",
        }
    }
}

/// Reads the branch about contacts that stands at this place, and adds what is to be said about it.
pub fn criteria(branch: &Value, at: &str, findings: &mut Vec<Finding>) -> Criteria {
    criteria_about(CONTACT, branch, at, findings)
}

/// The same, about records of this type.
pub fn criteria_about(own_type: &str, branch: &Value, at: &str, findings: &mut Vec<Finding>) -> Criteria {
    Reader { own_type, findings }.branch(branch, at, false)
}

/// Why a part is not understood.
type Unread = String;

struct Reader<'a> {
    /// The type of the records that the criteria are about.
    own_type: &'a str,
    findings: &'a mut Vec<Finding>,
}

impl Reader<'_> {
    fn find(&mut self, at: &str, concern: Severity, says: impl Into<String>) {
        self.findings.push(Finding { at: at.to_owned(), concern, says: says.into() });
    }

    /// A part as it was read, or an unsupported one.
    fn part(&mut self, at: &str, read: Result<(Kind, String), Unread>) -> Criteria {
        let (kind, says) = read.unwrap_or_else(|why| {
            self.find(at, Severity::Unsupported, why.clone());
            (Kind::Unsupported, why)
        });
        Criteria { at: at.to_owned(), says, kind }
    }

    /// `within_and`: the branch stands in an `AND`, the only place for an `ASSOCIATION`.
    fn branch(&mut self, value: &Value, at: &str, within_and: bool) -> Criteria {
        let read = match value.get("filterBranchType").and_then(Value::as_str) {
            Some(kind @ ("AND" | "OR" | "NOT_ALL" | "NOT_ANY")) => self.combination(value, kind, at),
            Some("ASSOCIATION") if within_and => self.association(value, at),
            Some("ASSOCIATION") => {
                Err("a condition on associated objects is only read within an AND".to_owned())
            }
            Some("UNIFIED_EVENTS") => self.events(value, at),
            Some(other) => Err(format!("filter branches of the type {other} are not supported")),
            None => Err("a filter branch without filterBranchType".to_owned()),
        };
        self.part(at, read)
    }

    fn combination(&mut self, value: &Value, kind: &str, at: &str) -> Result<(Kind, String), Unread> {
        operator_is(value, kind)?;
        members::unread(value, at, &[&members::BRANCH])?;
        let parts = self.parts(value, at, kind == "AND")?;
        let (decisive, negated, says) = match kind {
            "AND" => (Truth::False, false, "all of"),
            "NOT_ALL" => (Truth::False, true, "not all of"),
            "OR" => (Truth::True, false, "any of"),
            _ => (Truth::True, true, "none of"),
        };
        if parts.is_empty() {
            let who = if matches!(kind, "AND" | "NOT_ANY") { "everybody" } else { "nobody" };
            self.find(at, Severity::Dangerous, format!("{kind} without a condition accepts {who}"));
        }
        Ok((Kind::Branch { decisive, negated, parts }, says.to_owned()))
    }

    fn parts(&mut self, value: &Value, at: &str, within_and: bool) -> Result<Vec<Criteria>, Unread> {
        let (filters, branches) = (list(value, "filters")?, list(value, "filterBranches")?);
        // An empty branch may accept everybody: only where the definition says in so many words that it is empty.
        let is_list = |name: &str| value.get(name).is_some_and(Value::is_array);
        if filters.is_empty() && branches.is_empty() && !(is_list("filters") && is_list("filterBranches")) {
            return Err("a filter branch without filters and filterBranches".to_owned());
        }
        let mut parts = Vec::with_capacity(filters.len() + branches.len());
        for (index, filter) in filters.iter().enumerate() {
            parts.push(self.filter(filter, &format!("{at}.filters[{index}]")));
        }
        for (index, branch) in branches.iter().enumerate() {
            parts.push(self.branch(branch, &format!("{at}.filterBranches[{index}]"), within_and));
        }
        Ok(parts)
    }

    fn association(&mut self, value: &Value, at: &str) -> Result<(Kind, String), Unread> {
        operator_is(value, "AND")?;
        members::unread(value, at, &[&members::BRANCH, &members::ASSOCIATION])?;
        let negated = in_or_not_in(value)?;
        let type_id = text(value, "objectTypeId").ok_or("an ASSOCIATION without objectTypeId")?;
        let object_type = name_of_id(type_id)
            .filter(|name| ASSOCIATED.contains(name))
            .ok_or_else(|| format!("associated objects of the type {type_id} are not supported"))?;
        let association_type = association_type(value)?;
        if association_type.as_ref().is_some_and(|asked| asked.is_between_others(self.own_type, object_type))
        {
            return Err(format!(
                "its associationTypeId is none between a {} and a {object_type}",
                self.own_type
            ));
        }
        let filters = Criteria::all(self.parts(value, at, true)?, at);
        if is_activity(object_type) && filters.asks_history() {
            return Err(format!(
                "it asks what a {object_type} was before or when it changed, which is not kept"
            ));
        }
        if object_type == CONTACT && filters.asks_beyond_record() {
            return Err("it asks for addresses, dates of stages or former stages of an associated contact, which are looked up \
                        of the contact itself alone".to_owned());
        }
        let says = format!("{} associated {object_type} with", if negated { "no" } else { "an" });
        Ok((Kind::Associated { object_type, association_type, negated, filters: Box::new(filters) }, says))
    }

    fn events(&mut self, value: &Value, at: &str) -> Result<(Kind, String), Unread> {
        operator_is(value, "AND")?;
        members::unread(value, at, &[&members::BRANCH, &members::EVENTS])?;
        let negated = match text(value, "operator") {
            Some("HAS_COMPLETED") => false,
            Some("HAS_NOT_COMPLETED") => true,
            _ => return Err("UNIFIED_EVENTS with an operator that is not supported".to_owned()),
        };
        let event_type = text(value, "eventTypeId").ok_or("UNIFIED_EVENTS without eventTypeId")?.to_owned();
        let refinements = self.refinements(value, at)?;
        if refinements.hold_of_nothing(negated) {
            let says = format!(
                "it accepts whoever has no event {event_type} here, if the account keeps such events"
            );
            self.find(at, Severity::Ambiguous, says);
        }
        // An event without conditions on its properties is common, and its lists are often left out.
        let parts = if list(value, "filters")?.is_empty() && list(value, "filterBranches")?.is_empty() {
            Vec::new()
        } else {
            self.parts(value, at, false)?
        };
        let filters = Box::new(Criteria::all(parts, at));
        let says =
            format!("{} the event {event_type}", if negated { "has not completed" } else { "has completed" });
        Ok((Kind::Completed { event_type, negated, filters, refinements }, says))
    }

    fn refinements(&mut self, value: &Value, at: &str) -> Result<Refinements, Unread> {
        let (prune, coalesce) = ("pruningRefineBy", "coalescingRefineBy");
        let member = |name: &str| value.get(name).filter(|it| !it.is_null());
        let place = |name: &str| format!("{at}.{name}");
        Ok(Refinements {
            prune: member(prune).map_or(Ok(None), |it| self.prune(it, &place(prune)))?,
            coalesce: member(coalesce)
                .map_or(Ok(Coalesce::AT_LEAST_ONE), |it| self.coalesce(it, &place(coalesce)))?,
        })
    }

    fn filter(&mut self, value: &Value, at: &str) -> Criteria {
        let kind = text(value, "filterType");
        let read = match kind {
            _ if mentions(value, REDACTED) => {
                Err("a value that the erasure of a person took out of it: import the definition anew"
                    .to_owned())
            }
            Some("PROPERTY") => self.property(value, at),
            Some("IN_LIST") => in_list(value),
            Some("FORM_SUBMISSION") => self.form_submission(value, at),
            Some("CONSTANT") => self.constant(value, at),
            Some(other) => Err(format!("filters of the type {other} are not supported")),
            None => Err("a filter without filterType".to_owned()),
        };
        let read = read.and_then(|read| {
            members::unread_of_filter(value, at, kind.unwrap_or_default())?;
            Ok(read)
        });
        self.part(at, read)
    }

    fn property(&mut self, value: &Value, at: &str) -> Result<(Kind, String), Unread> {
        let name = text(value, "property").ok_or("a PROPERTY filter without property")?;
        let operation = value.get("operation").ok_or("a PROPERTY filter without operation")?;
        let says = format!("{name} {}", in_words(operation));
        let operation = self.operation(operation, &format!("{at}.operation"))?;
        Ok((Kind::Property { name: name.to_owned(), operation }, says))
    }

    fn form_submission(&mut self, value: &Value, at: &str) -> Result<(Kind, String), Unread> {
        let negated = match text(value, "operator") {
            Some("FILLED_OUT") => false,
            Some("NOT_FILLED_OUT") => true,
            _ => return Err("FORM_SUBMISSION with an operator that is not supported".to_owned()),
        };
        let form_id = match value.get("formId") {
            None | Some(Value::Null) => None,
            Some(_) => {
                Some(text(value, "formId").ok_or("FORM_SUBMISSION whose formId is no text")?.to_owned())
            }
        };
        let refinements = self.refinements(value, at)?;
        if refinements.hold_of_nothing(negated) {
            let says = "it accepts whoever has no submission here, if the account keeps those of the form";
            self.find(at, Severity::Ambiguous, says);
        }
        let says = format!(
            "{} {}",
            if negated { "has not filled out" } else { "has filled out" },
            form_id.as_ref().map_or("any form".to_owned(), |id| format!("form {id}"))
        );
        Ok((Kind::FilledOut { form_id, negated, refinements }, says))
    }

    fn constant(&mut self, value: &Value, at: &str) -> Result<(Kind, String), Unread> {
        let accepts = value
            .get("shouldAccept")
            .and_then(Value::as_bool)
            .ok_or("CONSTANT whose shouldAccept is neither true nor false")?;
        if accepts {
            self.find(at, Severity::Dangerous, "this CONSTANT accepts everybody");
        }
        Ok((Kind::Constant(accepts), if accepts { "always" } else { "never" }.to_owned()))
    }
}

/// `None`: of any type.
fn association_type(value: &Value) -> Result<Option<AssociationType>, Unread> {
    let is_the_vendors = match value.get("associationCategory") {
        None | Some(Value::Null) => true,
        Some(Value::String(category)) => category == "HUBSPOT_DEFINED",
        Some(_) => return Err("associationCategory is no text".to_owned()),
    };
    match value.get("associationTypeId") {
        None | Some(Value::Null) => Ok(None),
        Some(id) => {
            let id = parse_id(id).ok_or("associationTypeId is no id")?.to_string();
            Ok(Some(AssociationType { id, is_the_vendors }))
        }
    }
}

fn in_list(value: &Value) -> Result<(Kind, String), Unread> {
    let negated = in_or_not_in(value)?;
    let is_not = if negated { "is not" } else { "is" };
    let Some(metadata) = value.get("metadata").filter(|metadata| !metadata.is_null()) else {
        let segment_id = value.get("listId").and_then(parse_id).ok_or("IN_LIST without a segment's id")?;
        let says = format!("{is_not} in segment {segment_id}");
        return Ok((Kind::InSegment { segment_id, negated }, says));
    };
    let (stage, words) = match text(metadata, "inListType") {
        Some("WORKFLOWS_ENROLLMENT") => (Stage::EverEnrolled, "enrolled at any time"),
        Some("WORKFLOWS_ACTIVE") => (Stage::Active, "actively enrolled"),
        Some("WORKFLOWS_COMPLETED") => (Stage::Completed, "enrolled and through"),
        Some(other) => return Err(format!("IN_LIST of the type {other} is not supported")),
        None => return Err("IN_LIST with metadata without inListType".to_owned()),
    };
    let workflow_id =
        metadata.get("id").and_then(parse_id).ok_or("IN_LIST with metadata without a workflow's id")?;
    let says = format!("{is_not} {words} in workflow {workflow_id}");
    Ok((Kind::Enrolled { workflow_id, stage, negated }, says))
}

/// Where a branch repeats its type as its operator, the two must agree.
fn operator_is(value: &Value, expected: &str) -> Result<(), Unread> {
    match value.get("filterBranchOperator") {
        None | Some(Value::Null) => Ok(()),
        Some(operator) if operator.as_str() == Some(expected) => Ok(()),
        Some(_) => Err(format!("filterBranchOperator is not {expected}")),
    }
}

fn in_or_not_in(value: &Value) -> Result<bool, Unread> {
    match text(value, "operator") {
        Some("IN_LIST") => Ok(false),
        Some("NOT_IN_LIST") => Ok(true),
        _ => Err("an operator that is neither IN_LIST nor NOT_IN_LIST".to_owned()),
    }
}

/// The member as a list; absent means empty, as published examples leave it out.
fn list<'a>(value: &'a Value, name: &str) -> Result<&'a [Value], Unread> {
    match value.get(name) {
        None | Some(Value::Null) => Ok(&[]),
        Some(Value::Array(items)) => Ok(items),
        Some(_) => Err(format!("{name} is no list")),
    }
}

/// Does any text within hold this?
fn mentions(value: &Value, words: &str) -> bool {
    match value {
        Value::String(text) => text.contains(words),
        Value::Array(items) => items.iter().any(|item| mentions(item, words)),
        Value::Object(members) => members.values().any(|member| mentions(member, words)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// A text with something in it.
fn text<'a>(value: &'a Value, name: &str) -> Option<&'a str> {
    value.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
}

/// An operation as people read it: its operator, and what it compares with.
fn in_words(operation: &Value) -> String {
    let operator = text(operation, "operator").unwrap_or("(no operator)");
    let hidden = ["operator", "operationType", "type", "includeObjectsWithNoValueSet"];
    let members = operation.as_object().into_iter().flatten();
    members.filter(|(name, value)| !hidden.contains(&name.as_str()) && !value.is_null()).fold(
        operator.to_owned(),
        |said, (name, value)| match name.as_str() {
            "value" | "values" => format!("{said} {value}"),
            _ => format!("{said} {name} {value}"),
        },
    )
}
