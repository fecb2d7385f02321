//! Each operation by itself, and how branches combine.

use std::collections::HashMap;

use chrono_tz::Tz;
use serde_json::{Value, json};

use super::subject::{Record, RelatedData, Subject};
use super::*;
use crate::domain::time::parse_time;

/// Evaluates one PROPERTY filter on the property `p`.
fn property(operation: &Value, value: Option<&str>) -> Truth {
    let branch = json!({"filterBranchType": "AND", "filterBranches": [],
        "filters": [{"filterType": "PROPERTY", "property": "p", "operation": operation}]});
    judge(&branch, &value.map(|value| ("p", value)).into_iter().collect::<Vec<_>>())
}

fn judge(branch: &Value, properties: &[(&str, &str)]) -> Truth {
    let record = Record {
        properties: properties
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect(),
        history: HashMap::new(),
        is_partial: false,
        created_at: parse_time("2026-01-01T00:00:00Z"),
    };
    let around =
        RelatedData { known_segments: [4, 5].into(), segments: [4].into(), ..RelatedData::default() };
    let now = parse_time("2026-11-21T10:00:00Z").unwrap();
    Criteria::parse(branch, "$").evaluate(Subject::contact(now, Some(Tz::UTC), &record, &around))
}

const T: Truth = Truth::True;
const F: Truth = Truth::False;
const U: Truth = Truth::Unknown;

#[test]
fn operations_mean_what_they_say() {
    let text = |kind: &str, operator: &str, values: Value| json!({"operationType": kind, "operator": operator, "values": values});
    let one = |kind: &str, operator: &str, value: Value| json!({"operationType": kind, "operator": operator, "value": value});
    let cases: Vec<(Value, Option<&str>, Truth)> = vec![
        (json!({"operationType": "ALL_PROPERTY", "operator": "IS_KNOWN"}), Some("x"), T),
        (json!({"operationType": "ALL_PROPERTY", "operator": "IS_KNOWN"}), Some(""), F),
        (json!({"operationType": "ALL_PROPERTY", "operator": "IS_UNKNOWN"}), None, T),
        (json!({"operationType": "ALL_PROPERTY", "operator": "IS_NOT_KNOWN"}), Some("x"), F),
        (one("BOOL", "IS_EQUAL_TO", json!(true)), Some("true"), T),
        (one("BOOL", "IS_EQUAL_TO", json!(true)), Some("false"), F),
        (one("BOOL", "IS_NOT_EQUAL_TO", json!(true)), Some("false"), T),
        (one("BOOL", "IS_EQUAL_TO", json!(true)), Some("yes"), U),
        (one("BOOL", "IS_EQUAL_TO", json!(true)), None, F),
        (one("BOOL", "HAS_EVER_BEEN_EQUAL_TO", json!(true)), Some("true"), T),
        (one("NUMBER", "IS_EQUAL_TO", json!(0.1)), Some("0.10"), T),
        (one("NUMBER", "IS_EQUAL_TO", json!(1000)), Some(" 1e3 "), T),
        (one("NUMBER", "IS_EQUAL_TO", json!(7)), Some("007"), T),
        (one("NUMBER", "IS_NOT_EQUAL_TO", json!(7)), Some("8"), T),
        (one("NUMBER", "IS_GREATER_THAN", json!(5)), Some("5"), F),
        (one("NUMBER", "IS_GREATER_THAN", json!(5)), Some("5.0000000000000000000000000001"), T),
        (one("NUMBER", "IS_GREATER_THAN_OR_EQUAL_TO", json!(5)), Some("5"), T),
        (one("NUMBER", "IS_LESS_THAN", json!(-1)), Some("-1.5"), T),
        (one("NUMBER", "IS_LESS_THAN_OR_EQUAL_TO", json!(-1)), Some("-1"), T),
        (one("NUMBER", "IS_LESS_THAN", json!(5)), Some("many"), U),
        (one("NUMBER", "IS_LESS_THAN", json!("many")), Some("5"), U),
        (one("STRING", "IS_EQUAL_TO", json!("Straße")), Some("STRASSE"), T),
        (one("STRING", "IS_NOT_EQUAL_TO", json!("john")), Some("John"), F),
        (one("STRING", "CONTAINS", json!("test")), Some("My TEST account"), T),
        (one("STRING", "CONTAINS", json!("")), Some("anybody"), U),
        (one("STRING", "DOES_NOT_CONTAIN", json!("test")), Some("real"), T),
        (one("STRING", "STARTS_WITH", json!("ab")), Some("ABC"), T),
        (one("STRING", "ENDS_WITH", json!("ab")), Some("ABC"), F),
        (one("STRING", "SOUNDS_LIKE", json!("ab")), Some("ab"), U),
        (text("MULTISTRING", "IS_EQUAL_TO", json!(["a", "b"])), Some("B"), T),
        (text("MULTISTRING", "IS_NOT_EQUAL_TO", json!(["a", "b"])), Some("b"), F),
        (text("MULTISTRING", "IS_NOT_EQUAL_TO", json!(["a", "b"])), Some("c"), T),
        (text("MULTISTRING", "CONTAINS_EXACTLY", json!(["art"])), Some("state of the art"), T),
        (text("MULTISTRING", "CONTAINS_EXACTLY", json!(["art"])), Some("party"), F),
        (text("MULTISTRING", "DOES_NOT_CONTAIN_EXACTLY", json!(["art"])), Some("party"), T),
        (text("MULTISTRING", "DOES_NOT_CONTAIN_EXACTLY", json!(["da da"])), Some("yada da da"), F),
        (text("MULTISTRING", "CONTAINS_EXACTLY", json!(["cafe"])), Some("cafe\u{301}"), F),
        (text("MULTISTRING", "IS_EQUAL_TO", json!([])), Some("a"), U),
        (text("MULTISTRING", "IS_EQUAL_TO", json!(["a", 1])), Some("a"), U),
        (text("ENUMERATION", "IS_ANY_OF", json!(["lead", "customer"])), Some("lead"), T),
        (text("ENUMERATION", "IS_ANY_OF", json!(["lead"])), Some("Lead"), F),
        (text("ENUMERATION", "IS_ANY_OF", json!(["b"])), Some("a;b"), T),
        (text("ENUMERATION", "IS_NONE_OF", json!(["b"])), Some("a;b"), F),
        (text("ENUMERATION", "IS_NONE_OF", json!([])), Some("a"), U),
        (text("ENUMERATION", "IS_NONE_OF", json!(["a;b"])), Some("a;b"), U),
        (text("ENUMERATION", "IS_NONE_OF", json!(["b"])), Some("a; b"), F),
        (
            json!({"operationType": "STRING", "operator": "IS_NOT_EQUAL_TO", "value": "z", "values": ["y"]}),
            Some("z"),
            U,
        ),
        (text("ENUMERATION", "IS_EXACTLY", json!(["b", "a"])), Some("a;b"), T),
        (text("ENUMERATION", "IS_NOT_EXACTLY", json!(["a"])), Some("a;b"), T),
        (text("ENUMERATION", "CONTAINS_ALL", json!(["a", "b"])), Some("a;c;b"), T),
        (text("ENUMERATION", "DOES_NOT_CONTAIN_ALL", json!(["a", "b"])), Some("a;c"), T),
        (text("ENUMERATION", "HAS_EVER_BEEN_ANY_OF", json!(["a"])), Some("a"), T),
        (one("TIME_POINT", "IS_AFTER", json!(1)), Some("2"), U),
    ];
    for (operation, value, expected) in cases {
        assert_eq!(property(&operation, value), expected, "{operation} on {value:?}");
    }
}

#[test]
fn no_value_rejects_unless_it_is_included_whatever_the_operator() {
    let mut operation = json!({"operationType": "STRING", "operator": "IS_NOT_EQUAL_TO", "value": "x"});
    assert_eq!(property(&operation, None), F);
    assert_eq!(property(&operation, Some("")), F);
    operation["includeObjectsWithNoValueSet"] = json!(true);
    assert_eq!(property(&operation, None), T);
    operation["operator"] = json!("IS_EQUAL_TO");
    assert_eq!(property(&operation, Some("")), T);
    operation["includeObjectsWithNoValueSet"] = json!("yes");
    assert_eq!(property(&operation, None), U);
}

#[test]
fn branches_combine_in_three_values() {
    let yes = json!({"filterType": "IN_LIST", "listId": "4", "operator": "IN_LIST"});
    let no = json!({"filterType": "IN_LIST", "listId": "5", "operator": "IN_LIST"});
    let unknown = json!({"filterType": "PAGE_VIEW"});
    let branch = |kind: &str, filters: &[&Value]| json!({"filterBranchType": kind, "filterBranches": [], "filters": filters});
    let cases = [
        (branch("AND", &[]), T),
        (branch("OR", &[]), F),
        (branch("AND", &[&yes, &yes]), T),
        (branch("AND", &[&yes, &unknown]), U),
        (branch("AND", &[&unknown, &no]), F),
        (branch("OR", &[&no, &unknown]), U),
        (branch("OR", &[&unknown, &yes]), T),
        (branch("NOT_ANY", &[&no]), T),
        (branch("NOT_ANY", &[&no, &yes]), F),
        (branch("NOT_ANY", &[&no, &unknown]), U),
        (branch("NOT_ANY", &[]), T),
        (branch("NOT_ALL", &[&yes, &yes]), F),
        (branch("NOT_ALL", &[&no, &unknown]), T),
        (branch("NOT_ALL", &[]), F),
        (branch("RESTRICTED", &[&yes]), U),
        (
            json!({"filterBranchType": "OR", "filters": [],
            "filterBranches": [branch("AND", &[&no]), branch("AND", &[&yes])]}),
            T,
        ),
        (json!({"filterBranchType": "AND"}), U),
        (json!({"filterBranchType": "AND", "filters": null, "filterBranches": []}), U),
        (json!({"filterBranchType": "AND", "filters": [yes]}), T),
        (json!({"filterBranchType": "AND", "filterBranchOperator": "OR", "filters": [yes]}), U),
        (json!({"filterBranchType": "AND", "filters": {}}), U),
        (json!({"filters": []}), U),
        (json!("AND"), U),
    ];
    for (branch, expected) in cases {
        assert_eq!(judge(&branch, &[]), expected, "{branch}");
    }
}

#[test]
fn segments_that_do_not_exist_are_unknown_both_ways() {
    let filter = |operator: &str, id: &str| {
        json!({"filterBranchType": "AND",
            "filters": [{"filterType": "IN_LIST", "listId": id, "operator": operator}]})
    };
    assert_eq!(judge(&filter("NOT_IN_LIST", "5"), &[]), T);
    assert_eq!(judge(&filter("NOT_IN_LIST", "4"), &[]), F);
    assert_eq!(judge(&filter("IN_LIST", "6"), &[]), U);
    assert_eq!(judge(&filter("NOT_IN_LIST", "6"), &[]), U);
    let mut workflow = filter("IN_LIST", "4");
    workflow["filters"][0]["metadata"] = json!({"id": "4", "inListType": "WORKFLOWS_ACTIVE"});
    assert_eq!(judge(&workflow, &[]), U);
}

#[test]
fn times_written_without_signs_are_no_milliseconds() {
    use super::instant::instant_of;
    for no_date in ["20301231235900", "203012312359", "301231235900", "1766234", "20261128"] {
        assert_eq!(instant_of(no_date), None, "{no_date}");
    }
    // 2025-10-24, midnight on 1997-01-01, a time of 1996 that is none of the calendar's.
    for date in ["1761264000123", "852076800000", "849999999999"] {
        assert!(instant_of(date).is_some(), "{date}");
    }
}
