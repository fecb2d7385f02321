//! Which members a part of a definition has. With any other it is not understood: the member could restrict whom the part
//! accepts, or be a slip of the keyboard. Of a part whose type is not supported that alone is told.

use serde_json::Value;

use super::{Unread, text};
use crate::domain::nearest::nearest;

/// Of every branch.
pub(super) const BRANCH: [&str; 4] =
    ["filterBranchType", "filterBranchOperator", "filterBranches", "filters"];
/// Of `ASSOCIATION`.
pub(super) const ASSOCIATION: [&str; 4] =
    ["objectTypeId", "associationTypeId", "associationCategory", "operator"];
/// Of `UNIFIED_EVENTS`.
pub(super) const EVENTS: [&str; 4] = ["eventTypeId", "operator", "pruningRefineBy", "coalescingRefineBy"];

/// Of every operation and refinement; each names its type by either of two members.
const OPERATION: [&str; 4] = ["operationType", "type", "operator", "includeObjectsWithNoValueSet"];
const POINT: [&str; 3] = ["timeType", "timezoneSource", "zoneId"];
const REFERENCE: [&str; 8] =
    ["referenceType", "dayOfWeek", "month", "day", "hour", "minute", "second", "millisecond"];
const OFFSET: [&str; 3] = ["amount", "timeUnit", "offsetDirection"];
const METADATA: [&str; 2] = ["id", "inListType"];

/// A member that is in none of these lists is an error.
pub(super) fn unread(value: &Value, at: &str, known: &[&[&str]]) -> Result<(), Unread> {
    let is_known = |name: &String| known.iter().any(|names| names.contains(&name.as_str()));
    let mut members = value.as_object().into_iter().flatten();
    let unread = members.find(|(name, member)| !member.is_null() && !is_known(name));
    let Some((name, _)) = unread else { return Ok(()) };
    let why = match nearest(name, known.iter().flat_map(|names| names.iter().copied())) {
        Some(meant) => format!("{meant} was meant, perhaps"),
        None => "it could restrict whom this accepts".to_owned(),
    };
    Err(format!("the member {name} of {at} is not evaluated: {why}"))
}

/// A filter's members; those of its operation and its refinements are told of where these are read.
pub(super) fn unread_of_filter(value: &Value, at: &str, kind: &str) -> Result<(), Unread> {
    let known: &[&str] = match kind {
        "PROPERTY" => &["property", "operation"],
        "IN_LIST" => &["listId", "operator", "metadata"],
        "FORM_SUBMISSION" => &["formId", "operator", "pruningRefineBy", "coalescingRefineBy"],
        "CONSTANT" => &["shouldAccept", "source"],
        _ => return Ok(()),
    };
    unread(value, at, &[&["filterType"], known])?;
    if kind == "IN_LIST"
        && let Some(metadata) = value.get("metadata")
    {
        unread(metadata, &format!("{at}.metadata"), &[&METADATA])?;
    }
    Ok(())
}

/// The members of an operation on a property.
pub(super) fn unread_of_operation(value: &Value, at: &str, kind: &str) -> Result<(), Unread> {
    let known: &[&str] = match kind {
        "BOOL" | "NUMBER" | "STRING" | "MULTISTRING" | "ENUMERATION" => &["value", "values"],
        "NUMBER_RANGED" => &["lowerBound", "upperBound"],
        "RANGED_DATE" => &["lowerBound", "upperBound", "requiresTimeZoneConversion"],
        "DATETIME" => &["timestamp", "requiresTimeZoneConversion"],
        "DATE" => &["day", "month", "year", "numberOfDays", "requiresTimeZoneConversion"],
        "ROLLING_DATE_RANGE" => &["numberOfDays", "requiresTimeZoneConversion"],
        "ROLLING_PROPERTY_UPDATED" => &["numberOfDays"],
        "COMPARATIVE_DATE" | "COMPARATIVE_PROPERTY_UPDATED" | "COMPARATIVE_STRING" => {
            &["comparisonPropertyName", "defaultComparisonValue"]
        }
        "CALENDAR_DATE" => &["timeUnit", "timeUnitCount", "useFiscalYear", "fiscalYearStart"],
        "TIME_POINT" | "TIME_RANGED" => return unread_of_time(value, at, kind),
        "ALL_PROPERTY" => &[],
        _ => return Ok(()),
    };
    unread(value, at, &[&OPERATION, known])
}

/// The members of a refinement.
pub(super) fn unread_of_refinement(value: &Value, at: &str, kind: &str) -> Result<(), Unread> {
    let known: &[&str] = match kind {
        "NUM_OCCURRENCES" => &["minOccurrences", "maxOccurrences"],
        "SET_OCCURRENCES" => &["setType"],
        "RELATIVE_COMPARATIVE" => &["comparison", "timeOffset"],
        "ABSOLUTE_COMPARATIVE" => &["comparison", "timestamp"],
        "RELATIVE_RANGED" => &["rangeType", "lowerBoundOffset", "upperBoundOffset"],
        "ABSOLUTE_RANGED" => &["rangeType", "lowerTimestamp", "upperTimestamp"],
        "TIME_POINT" | "TIME_RANGED" => return unread_of_time(value, at, kind),
        "ALL_HISTORY" => &[],
        _ => return Ok(()),
    };
    unread(value, at, &[&["operationType", "type"], known])?;
    for name in ["timeOffset", "lowerBoundOffset", "upperBoundOffset"] {
        if let Some(offset) = value.get(name) {
            unread(offset, &format!("{at}.{name}"), &[&OFFSET])?;
        }
    }
    Ok(())
}

fn unread_of_time(value: &Value, at: &str, kind: &str) -> Result<(), Unread> {
    let known: &[&str] = if kind == "TIME_POINT" {
        &["timePoint", "endpointBehavior"]
    } else {
        &[
            "lowerBoundTimePoint",
            "upperBoundTimePoint",
            "lowerBoundEndpointBehavior",
            "upperBoundEndpointBehavior",
        ]
    };
    unread(value, at, &[&OPERATION, &["propertyParser"], known])?;
    for name in ["timePoint", "lowerBoundTimePoint", "upperBoundTimePoint"] {
        if let Some(point) = value.get(name) {
            unread_of_point(point, &format!("{at}.{name}"))?;
        }
    }
    Ok(())
}

fn unread_of_point(point: &Value, at: &str) -> Result<(), Unread> {
    let known: &[&str] = match text(point, "timeType") {
        Some("DATE") => &["year", "month", "day", "hour", "minute", "second", "millisecond"],
        Some("INDEXED") => &["indexReference", "offset"],
        Some("PROPERTY_REFERENCED") => &["property", "referenceType", "offset"],
        _ => return Ok(()),
    };
    unread(point, at, &[&POINT, known])?;
    if let Some(reference) = point.get("indexReference") {
        unread(reference, &format!("{at}.indexReference"), &[&REFERENCE])?;
    }
    Ok(())
}
