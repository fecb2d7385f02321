//! Operations on a property.

use caseless::default_case_fold_str;
use serde_json::Value;

use super::time::{before_or_after, between, epoch, month_of, zone_if};
use super::{Reader, Unread, members, text};
use crate::domain::criteria::decimal::Decimal;
use crate::domain::criteria::moment::{Bound, Point, ResolvedPoint, When, Zone};
use crate::domain::criteria::operation::{
    Comparison, Operation, SetComparison, Test, TextComparison, parse_bool,
};
use crate::domain::wall::{self, Unit};

/// A test, and whether it is denied.
type Read = Result<(Test, bool), Unread>;

impl Reader<'_> {
    pub(super) fn operation(&mut self, value: &Value, at: &str) -> Result<Operation, Unread> {
        // Published examples name the newer operations by `type` alone.
        let kind = text(value, "operationType")
            .or(text(value, "type"))
            .ok_or("an operation without operationType")?;
        let operator = text(value, "operator").ok_or("an operation without operator")?;
        members::unread_of_operation(value, at, kind)?;
        if kind == "ALL_PROPERTY" {
            return match operator {
                "IS_KNOWN" => Ok(Operation::Known { negated: false }),
                "IS_UNKNOWN" | "IS_NOT_KNOWN" => Ok(Operation::Known { negated: true }),
                _ => Err(not_supported(kind, operator)),
            };
        }
        let accepts_no_value = flag(value, "includeObjectsWithNoValueSet")?;
        let (operator, ever) = ever(operator);
        let (test, negated) = match kind {
            "BOOL" => bool_test(&operator, value),
            "NUMBER" => number_test(&operator, value),
            "NUMBER_RANGED" if !ever => self.number_between(&operator, value, at),
            "STRING" | "MULTISTRING" => text_test(&operator, ever, value),
            "ENUMERATION" => options_test(&operator, value),
            "COMPARATIVE_STRING" if !ever => same_text(&operator, value),
            _ if ever => Err(not_supported(kind, &operator)),
            "DATETIME" => date_time(&operator, value),
            "DATE" => date(&operator, value),
            "RANGED_DATE" => self.dates_between(&operator, value, at),
            "ROLLING_DATE_RANGE" => rolling(&operator, value),
            "ROLLING_PROPERTY_UPDATED" => rolling_updated(&operator, value),
            "COMPARATIVE_DATE" => {
                compared(&operator, value).map(|(when, negated)| (Test::Value(when), negated))
            }
            "COMPARATIVE_PROPERTY_UPDATED" => {
                compared(&operator, value).map(|(when, negated)| (Test::UpdatedAt(when), negated))
            }
            "CALENDAR_DATE" => calendar(&operator, value),
            "TIME_POINT" => {
                let when = self.time_point(value, at)?;
                parsed(value, when).map(|test| (test, false))
            }
            "TIME_RANGED" => {
                let (when, negated) = self.time_range(value, at)?;
                parsed(value, when).map(|test| (test, negated))
            }
            _ => Err(not_supported(kind, &operator)),
        }?;
        Ok(Operation::OnValue { test, ever, negated, accepts_no_value })
    }

    fn number_between(&mut self, operator: &str, value: &Value, at: &str) -> Read {
        let bound = |name: &str| value.get(name).and_then(decimal).ok_or(format!("{name} is no number"));
        let (low, high, negated) = (bound("lowerBound")?, bound("upperBound")?, between(operator)?);
        if low > high {
            self.reversed(at, negated);
        }
        Ok((Test::NumberBetween(low, high), negated))
    }

    fn dates_between(&mut self, operator: &str, value: &Value, at: &str) -> Read {
        let (low, high) = (epoch_point(value, "lowerBound")?, epoch_point(value, "upperBound")?);
        let negated = between(operator)?;
        let when = self.between(Bound::inclusive(low), Bound::inclusive(high), negated, at);
        Ok((Test::Value(when), negated))
    }
}

/// What a condition in time is asked of: the value, or its last change.
fn parsed(value: &Value, when: When) -> Result<Test, Unread> {
    match value.get("propertyParser").filter(|parser| !parser.is_null()) {
        None => Ok(Test::Value(when)),
        Some(parser) if parser == "VALUE" => Ok(Test::Value(when)),
        Some(parser) if parser == "UPDATED_AT" => Ok(Test::UpdatedAt(when)),
        Some(_) => Err("a propertyParser that is neither VALUE nor UPDATED_AT".to_owned()),
    }
}

fn not_supported(kind: &str, operator: &str) -> Unread {
    format!("the operator {operator} of {kind} is not supported")
}

/// The operator without its `HAS_EVER_` or `HAS_NEVER_`, and whether it had one.
fn ever(operator: &str) -> (String, bool) {
    // What is asked of the past is what the operator for the present asks.
    let (denied, rest) = match (operator.strip_prefix("HAS_EVER_"), operator.strip_prefix("HAS_NEVER_")) {
        (Some(rest), _) => (false, rest),
        (_, Some(rest)) => (true, rest),
        _ => return (operator.to_owned(), false),
    };
    let present = match (rest, denied) {
        ("BEEN_EQUAL_TO", false) => "IS_EQUAL_TO",
        ("BEEN_EQUAL_TO", true) => "IS_NOT_EQUAL_TO",
        ("CONTAINED", false) => "CONTAINS",
        ("CONTAINED", true) => "DOES_NOT_CONTAIN",
        ("BEEN_ANY_OF", false) => "IS_ANY_OF",
        ("BEEN_ANY_OF", true) => "IS_NONE_OF",
        ("BEEN_EXACTLY", false) => "IS_EXACTLY",
        ("BEEN_EXACTLY", true) => "IS_NOT_EXACTLY",
        ("CONTAINED_ALL", false) => "CONTAINS_ALL",
        ("CONTAINED_ALL", true) => "DOES_NOT_CONTAIN_ALL",
        _ => return (operator.to_owned(), false),
    };
    (present.to_owned(), true)
}

fn flag(value: &Value, name: &str) -> Result<bool, Unread> {
    match value.get(name) {
        None | Some(Value::Null) => Ok(false),
        Some(Value::Bool(flag)) => Ok(*flag),
        Some(_) => Err(format!("{name} is neither true nor false")),
    }
}

/// `value`, or `values` where the definition says so: several mean any of them.
///
/// An empty list is refused: a comparison with nothing would accept everybody or nobody by accident.
fn operands<T>(value: &Value, read: impl Fn(&Value) -> Option<T>) -> Result<Vec<T>, Unread> {
    let unread = || "an operation whose value cannot be read".to_owned();
    let operands: Vec<T> = match (value.get("values"), value.get("value")) {
        (Some(Value::Array(values)), None | Some(Value::Null)) => {
            values.iter().map(read).collect::<Option<_>>().ok_or_else(unread)?
        }
        (None | Some(Value::Null), Some(single)) => vec![read(single).ok_or_else(unread)?],
        _ => return Err("an operation with neither value nor values, or with both".to_owned()),
    };
    if operands.is_empty() { Err("an operation with no values".to_owned()) } else { Ok(operands) }
}

fn bool_test(operator: &str, value: &Value) -> Read {
    let negated = equality(operator, "BOOL")?;
    let operands = operands(value, |operand| match operand {
        Value::Bool(operand) => Some(*operand),
        Value::String(text) => parse_bool(text),
        _ => None,
    })?;
    // More than one operand leaves nothing to ask of a boolean.
    let [operand] = operands[..] else { return Err("BOOL with several values".to_owned()) };
    Ok((Test::Bool(operand), negated))
}

fn equality(operator: &str, kind: &str) -> Result<bool, Unread> {
    match operator {
        "IS_EQUAL_TO" => Ok(false),
        "IS_NOT_EQUAL_TO" => Ok(true),
        _ => Err(not_supported(kind, operator)),
    }
}

/// A JSON number is read as a double, as the vendor writes it; one with more digits than that is exact as a string.
fn decimal(operand: &Value) -> Option<Decimal<'static>> {
    match operand {
        Value::Number(number) => Decimal::parse(&number.to_string()).map(Decimal::into_owned),
        Value::String(text) => Decimal::parse(text).map(Decimal::into_owned),
        _ => None,
    }
}

fn number_test(operator: &str, value: &Value) -> Read {
    let (comparison, negated) = match operator {
        "IS_GREATER_THAN" => (Comparison::Greater, false),
        "IS_GREATER_THAN_OR_EQUAL_TO" => (Comparison::GreaterOrEqual, false),
        "IS_LESS_THAN" => (Comparison::Less, false),
        "IS_LESS_THAN_OR_EQUAL_TO" => (Comparison::LessOrEqual, false),
        _ => (Comparison::Equal, equality(operator, "NUMBER")?),
    };
    Ok((Test::Number { comparison, operands: operands(value, decimal)? }, negated))
}

fn text_test(operator: &str, ever: bool, value: &Value) -> Read {
    let (comparison, negated) = match operator {
        "IS_EQUAL_TO" => (TextComparison::Equal, false),
        "IS_NOT_EQUAL_TO" => (TextComparison::Equal, true),
        "CONTAINS" => (TextComparison::Contains, false),
        "DOES_NOT_CONTAIN" => (TextComparison::Contains, true),
        "STARTS_WITH" if !ever => (TextComparison::StartsWith, false),
        "ENDS_WITH" if !ever => (TextComparison::EndsWith, false),
        "CONTAINS_EXACTLY" if !ever => (TextComparison::ContainsWords, false),
        "DOES_NOT_CONTAIN_EXACTLY" if !ever => (TextComparison::ContainsWords, true),
        _ => return Err(not_supported("STRING", operator)),
    };
    // Every text contains the empty one.
    let operands = operands(value, |it| it.as_str().filter(|it| !it.is_empty()).map(default_case_fold_str))?;
    Ok((Test::Text { comparison, operands }, negated))
}

fn options_test(operator: &str, value: &Value) -> Read {
    let (comparison, negated) = match operator {
        "IS_ANY_OF" => (SetComparison::Any, false),
        "IS_NONE_OF" => (SetComparison::Any, true),
        "IS_EXACTLY" => (SetComparison::Exactly, false),
        "IS_NOT_EXACTLY" => (SetComparison::Exactly, true),
        "CONTAINS_ALL" => (SetComparison::All, false),
        "DOES_NOT_CONTAIN_ALL" => (SetComparison::All, true),
        _ => return Err(not_supported("ENUMERATION", operator)),
    };
    // A semicolon separates options: one with it inside is none.
    let operands = operands(value, |operand| {
        let option = operand.as_str()?.trim();
        (!option.is_empty() && !option.contains(';')).then(|| option.to_owned())
    })?;
    Ok((Test::Options { comparison, operands }, negated))
}

/// The other property of a comparison, and what counts where it has no value.
fn other_property(value: &Value) -> Result<(String, Option<String>), Unread> {
    let property =
        text(value, "comparisonPropertyName").ok_or("a comparison without comparisonPropertyName")?;
    let default = match value.get("defaultComparisonValue") {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) if text.is_empty() => None,
        Some(Value::String(text)) => Some(text.clone()),
        Some(Value::Number(number)) => Some(number.to_string()),
        Some(_) => return Err("defaultComparisonValue is no text".to_owned()),
    };
    Ok((property.to_owned(), default))
}

fn same_text(operator: &str, value: &Value) -> Read {
    let (property, default) = other_property(value)?;
    Ok((Test::SameText { property, default }, equality(operator, "COMPARATIVE_STRING")?))
}

fn compared(operator: &str, value: &Value) -> Result<(When, bool), Unread> {
    let (name, default) = other_property(value)?;
    let point = Point::Property { name, reading: ResolvedPoint::Value, zone: Zone::Account, default };
    before_or_after(operator, Bound::exclusive(point)).map(|when| (when, false))
}

fn date_time(operator: &str, value: &Value) -> Read {
    let when = before_or_after(operator, Bound::exclusive(epoch_point(value, "timestamp")?))?;
    Ok((Test::Value(when), false))
}

/// Epoch milliseconds; with `requiresTimeZoneConversion` what they show on a clock in UTC, on the account's clock.
fn epoch_point(value: &Value, name: &str) -> Result<Point, Unread> {
    let instant = epoch(value, name)?;
    Ok(match zone_if(flag(value, "requiresTimeZoneConversion")?) {
        Some(zone) => Point::Wall(instant.naive_utc(), zone),
        None => Point::Instant(instant),
    })
}

fn date(operator: &str, value: &Value) -> Read {
    if operator != "IS_EQUAL_TO" {
        return rolling(operator, value);
    }
    let number = |name: &str| value.get(name).and_then(Value::as_i64).ok_or(format!("{name} is no number"));
    let month = month_of(value.get("month")).ok_or("month is no month")?;
    let year = i32::try_from(number("year")?).ok();
    let day = u32::try_from(number("day")?).ok();
    let day = year
        .zip(day)
        .and_then(|(year, day)| chrono::NaiveDate::from_ymd_opt(year, month, day))
        .ok_or("day, month and year are no date")?;
    let start = |day: Option<chrono::NaiveDate>| {
        day.and_then(|day| wall::start_of_day(day, chrono_tz::UTC))
            .map(Point::Instant)
            .ok_or("a date out of range")
    };
    let (from, to) = (start(Some(day))?, start(wall::shift(day, Unit::Day, 1))?);
    Ok((Test::Value(When::Between(Bound::inclusive(from), Bound::exclusive(to))), false))
}

fn number_of_days(value: &Value) -> Result<i64, Unread> {
    value
        .get("numberOfDays")
        .and_then(Value::as_u64)
        .and_then(|days| i64::try_from(days).ok())
        .ok_or("numberOfDays is not a number of days".to_owned())
}

/// So many days back from now, or ahead: of the account's calendar with `requiresTimeZoneConversion`, else of 24 hours.
fn rolling(operator: &str, value: &Value) -> Read {
    let days = number_of_days(value)?;
    let zone = zone_if(flag(value, "requiresTimeZoneConversion")?).unwrap_or(Zone::Named(chrono_tz::UTC));
    let now = || Bound::inclusive(Point::now());
    let edge = |days| Bound::exclusive(Point::days_from_now(days, zone));
    let when = match operator {
        "IS_LESS_THAN_X_DAYS_AGO" => When::Between(edge(-days), now()),
        "IS_MORE_THAN_X_DAYS_AGO" => When::Before(edge(-days)),
        "IS_LESS_THAN_X_DAYS_FROM_NOW" => When::Between(now(), edge(days)),
        "IS_MORE_THAN_X_DAYS_FROM_NOW" => When::After(edge(days)),
        _ => return Err(not_supported("dates", operator)),
    };
    Ok((Test::Value(when), false))
}

/// A change that is ahead of now, by somebody's clock, is a recent one.
fn rolling_updated(operator: &str, value: &Value) -> Read {
    let negated = match operator {
        "UPDATED_IN_LAST_X_DAYS" => false,
        "NOT_UPDATED_IN_LAST_X_DAYS" => true,
        _ => return Err(not_supported("ROLLING_PROPERTY_UPDATED", operator)),
    };
    let since = Point::days_from_now(-number_of_days(value)?, Zone::Named(chrono_tz::UTC));
    Ok((Test::UpdatedAt(When::After(Bound::inclusive(since))), negated))
}

fn calendar(operator: &str, value: &Value) -> Read {
    let unit = match text(value, "timeUnit") {
        Some("DAY") => Unit::Day,
        Some("WEEK") => Unit::Week,
        Some("MONTH") => Unit::Month,
        Some("QUARTER") => Unit::Quarter,
        Some("YEAR") => Unit::Year,
        _ => return Err("CALENDAR_DATE with a timeUnit that is not supported".to_owned()),
    };
    if value.get("timeUnitCount").is_some_and(|count| !count.is_null() && count.as_u64() != Some(1)) {
        return Err("CALENDAR_DATE with a timeUnitCount other than 1 is not supported".to_owned());
    }
    let first_month = first_month(value)?;
    let start = |shift| Point::Calendar { unit, first_month, shift };
    let whole = |shift| When::Between(Bound::inclusive(start(shift)), Bound::exclusive(start(shift + 1)));
    let when = match operator {
        "IN_THIS_TIME_UNIT" => whole(0),
        "IN_NEXT_TIME_UNIT" => whole(1),
        "IN_LAST_TIME_UNIT" => whole(-1),
        "IN_THIS_TIME_UNIT_SO_FAR" => {
            When::Between(Bound::inclusive(start(0)), Bound::inclusive(Point::now()))
        }
        _ => return Err(not_supported("CALENDAR_DATE", operator)),
    };
    Ok((Test::Value(when), false))
}

/// The month in which quarters and years begin: January, or where the fiscal year is used, its first.
fn first_month(value: &Value) -> Result<u32, Unread> {
    let named = value.get("fiscalYearStart").filter(|month| !month.is_null());
    let start = named.map(|month| month_of(Some(month)).ok_or("fiscalYearStart is no month")).transpose()?;
    match (value.get("useFiscalYear").filter(|used| !used.is_null()), start) {
        (Some(Value::Bool(false)), _) | (None, None) => Ok(1),
        // A start that is named is meant, whether or not the definition says so a second time.
        (Some(Value::Bool(true)) | None, Some(month)) => Ok(month),
        (Some(Value::Bool(true)), None) => Err("useFiscalYear without fiscalYearStart".to_owned()),
        (Some(_), _) => Err("useFiscalYear is neither true nor false".to_owned()),
    }
}
