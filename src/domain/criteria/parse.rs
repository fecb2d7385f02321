//! The vendor's JSON → [`Criteria`]. What cannot be read becomes an unsupported part, never an error and
//! never a part that accepts.

use caseless::default_case_fold_str;
use serde_json::Value;

use super::Criteria;
use super::decimal::Decimal;
use super::operation::{Comparison, Operation, SetComparison, Test, TextComparison, parse_bool};
use crate::domain::members::parse_id;

pub fn branch(value: &Value) -> Criteria {
    let kind = value.get("filterBranchType").and_then(Value::as_str);
    let combine = match kind {
        Some("AND") => Criteria::All,
        Some("OR") => Criteria::Any,
        Some(other) => return Criteria::Unsupported(format!("filter branch {other}")),
        None => return Criteria::Unsupported("a filter branch without a type".to_owned()),
    };
    if value.get("filterBranchOperator").is_some_and(|operator| operator.as_str() != kind) {
        return Criteria::Unsupported("a filter branch whose operator is not its type".to_owned());
    }
    let (Some(filters), Some(branches)) = (list(value, "filters"), list(value, "filterBranches")) else {
        return Criteria::Unsupported("a filter branch whose filters are no list".to_owned());
    };
    // An empty AND accepts everybody: only where the definition says in so many words that it is empty.
    let is_list = |name: &str| value.get(name).is_some_and(Value::is_array);
    if filters.is_empty() && branches.is_empty() && !(is_list("filters") && is_list("filterBranches")) {
        return Criteria::Unsupported("a filter branch without filters".to_owned());
    }
    combine(filters.iter().map(filter).chain(branches.iter().map(branch)).collect())
}

/// The member as a list; absent means empty, as published examples leave it out.
fn list<'a>(value: &'a Value, name: &str) -> Option<&'a [Value]> {
    match value.get(name) {
        None | Some(Value::Null) => Some(&[]),
        Some(Value::Array(items)) => Some(items),
        Some(_) => None,
    }
}

fn filter(value: &Value) -> Criteria {
    match value.get("filterType").and_then(Value::as_str) {
        Some("PROPERTY") => match value.get("property").and_then(filled) {
            Some(name) => Criteria::Property {
                name: name.to_owned(),
                operation: value.get("operation").map_or_else(
                    || Operation::Unsupported("a property filter without operation".to_owned()),
                    operation,
                ),
            },
            None => Criteria::Unsupported("a property filter without property".to_owned()),
        },
        Some("IN_LIST") => in_list(value),
        Some(other) => Criteria::Unsupported(format!("filter {other}")),
        None => Criteria::Unsupported("a filter without a type".to_owned()),
    }
}

fn in_list(value: &Value) -> Criteria {
    // With metadata the id is a workflow's, an import's or a data set's, not a segment's.
    if value.get("metadata").is_some_and(|metadata| !metadata.is_null()) {
        return Criteria::Unsupported("IN_LIST with metadata".to_owned());
    }
    let negated = match value.get("operator").and_then(Value::as_str) {
        Some("IN_LIST") => false,
        Some("NOT_IN_LIST") => true,
        _ => return Criteria::Unsupported("IN_LIST with another operator".to_owned()),
    };
    match value.get("listId").and_then(parse_id) {
        Some(segment_id) => Criteria::InSegment { segment_id, negated },
        None => Criteria::Unsupported("IN_LIST without a segment's id".to_owned()),
    }
}

fn operation(value: &Value) -> Operation {
    let kind = value.get("operationType").and_then(Value::as_str).unwrap_or_default();
    let operator = value.get("operator").and_then(Value::as_str).unwrap_or_default();
    let unsupported = || Operation::Unsupported(format!("operation {kind} {operator}"));
    if kind == "ALL_PROPERTY" {
        return match operator {
            "IS_KNOWN" => Operation::Known { negated: false },
            "IS_UNKNOWN" | "IS_NOT_KNOWN" => Operation::Known { negated: true },
            _ => unsupported(),
        };
    }
    let accepts_no_value = match value.get("includeObjectsWithNoValueSet") {
        None | Some(Value::Null) => false,
        Some(Value::Bool(included)) => *included,
        Some(_) => return unsupported(),
    };
    let test = match kind {
        "BOOL" => bool_test(operator, value),
        "NUMBER" => number_test(operator, value),
        "STRING" | "MULTISTRING" => text_test(operator, value),
        "ENUMERATION" => options_test(operator, value),
        _ => None,
    };
    match test {
        Some((test, negated)) => Operation::OnValue { test, negated, accepts_no_value },
        None => unsupported(),
    }
}

/// `value`, or `values` where the definition says so: several mean any of them.
///
/// `None` for an empty list: a comparison with nothing would accept everybody or nobody by accident.
fn operands<T>(value: &Value, read: impl Fn(&Value) -> Option<T>) -> Option<Vec<T>> {
    let operands: Vec<T> = match (value.get("values"), value.get("value")) {
        (Some(Value::Array(values)), None) => values.iter().map(read).collect::<Option<_>>()?,
        (None | Some(Value::Null), Some(single)) => vec![read(single)?],
        _ => return None,
    };
    (!operands.is_empty()).then_some(operands)
}

fn bool_test(operator: &str, value: &Value) -> Option<(Test, bool)> {
    let negated = match operator {
        "IS_EQUAL_TO" => false,
        "IS_NOT_EQUAL_TO" => true,
        _ => return None,
    };
    let operands = operands(value, |operand| match operand {
        Value::Bool(operand) => Some(*operand),
        Value::String(text) => parse_bool(text),
        _ => None,
    })?;
    // More than one operand leaves nothing to ask of a boolean.
    let [operand] = operands[..] else { return None };
    Some((Test::Bool(operand), negated))
}

fn number_test(operator: &str, value: &Value) -> Option<(Test, bool)> {
    let (comparison, negated) = match operator {
        "IS_EQUAL_TO" => (Comparison::Equal, false),
        "IS_NOT_EQUAL_TO" => (Comparison::Equal, true),
        "IS_GREATER_THAN" => (Comparison::Greater, false),
        "IS_GREATER_THAN_OR_EQUAL_TO" => (Comparison::GreaterOrEqual, false),
        "IS_LESS_THAN" => (Comparison::Less, false),
        "IS_LESS_THAN_OR_EQUAL_TO" => (Comparison::LessOrEqual, false),
        _ => return None,
    };
    // A JSON number is read as a double, as the vendor writes it; one with more digits than that is exact as a string.
    let operands = operands(value, |operand| match operand {
        Value::Number(number) => Decimal::parse(&number.to_string()),
        Value::String(text) => Decimal::parse(text),
        _ => None,
    })?;
    Some((Test::Number { comparison, operands }, negated))
}

fn text_test(operator: &str, value: &Value) -> Option<(Test, bool)> {
    let (comparison, negated) = match operator {
        "IS_EQUAL_TO" => (TextComparison::Equal, false),
        "IS_NOT_EQUAL_TO" => (TextComparison::Equal, true),
        "CONTAINS" => (TextComparison::Contains, false),
        "DOES_NOT_CONTAIN" => (TextComparison::Contains, true),
        "STARTS_WITH" => (TextComparison::StartsWith, false),
        "ENDS_WITH" => (TextComparison::EndsWith, false),
        "CONTAINS_EXACTLY" => (TextComparison::ContainsWords, false),
        "DOES_NOT_CONTAIN_EXACTLY" => (TextComparison::ContainsWords, true),
        _ => return None,
    };
    let operands = operands(value, |operand| filled(operand).map(default_case_fold_str))?;
    Some((Test::Text { comparison, operands }, negated))
}

fn options_test(operator: &str, value: &Value) -> Option<(Test, bool)> {
    let (comparison, negated) = match operator {
        "IS_ANY_OF" => (SetComparison::Any, false),
        "IS_NONE_OF" => (SetComparison::Any, true),
        "IS_EXACTLY" => (SetComparison::Exactly, false),
        "IS_NOT_EXACTLY" => (SetComparison::Exactly, true),
        "CONTAINS_ALL" => (SetComparison::All, false),
        "DOES_NOT_CONTAIN_ALL" => (SetComparison::All, true),
        _ => return None,
    };
    // A semicolon separates options: one with it inside is none.
    let operands = operands(value, |operand| {
        filled(operand).filter(|it| !it.contains(';')).map(|it| it.trim().to_owned())
    })?;
    Some((Test::Options { comparison, operands }, negated))
}

/// A string with something in it: every text contains the empty one.
fn filled(operand: &Value) -> Option<&str> {
    operand.as_str().filter(|text| !text.is_empty())
}
