//! Points in time, and what narrows down events by their time.

use chrono::NaiveDate;
use chrono_tz::Tz;
use serde_json::Value;

use super::{Reader, Severity, Unread, members, text};
use crate::domain::criteria::event::{Coalesce, Moment, SetType};
use crate::domain::criteria::instant::instant_of_millis;
use crate::domain::criteria::moment::{Bound, Indexed, Offset, Point, ResolvedPoint, Set, When, Zone};
use crate::domain::time::Time;
use crate::domain::wall::Unit;

const MONTHS: [&str; 12] = [
    "JANUARY",
    "FEBRUARY",
    "MARCH",
    "APRIL",
    "MAY",
    "JUNE",
    "JULY",
    "AUGUST",
    "SEPTEMBER",
    "OCTOBER",
    "NOVEMBER",
    "DECEMBER",
];

const DAYS: [&str; 7] = ["MONDAY", "TUESDAY", "WEDNESDAY", "THURSDAY", "FRIDAY", "SATURDAY", "SUNDAY"];

/// A month by its name or its number (1 to 12).
pub fn month_of(value: Option<&Value>) -> Option<u32> {
    let number = match value? {
        Value::String(text) => match MONTHS.iter().position(|month| text.eq_ignore_ascii_case(month)) {
            Some(index) => u64::try_from(index).ok()? + 1,
            None => text.parse().ok()?,
        },
        other => other.as_u64()?,
    };
    u32::try_from(number).ok().filter(|month| (1..=12).contains(month))
}

/// Days after Monday.
pub fn day_of_week(value: &Value) -> Option<u32> {
    let name = value.as_str()?;
    u32::try_from(DAYS.iter().position(|day| *day == name)?).ok()
}

/// A member that holds epoch milliseconds.
pub fn epoch(value: &Value, name: &str) -> Result<Time, Unread> {
    let milliseconds = value.get(name).and_then(Value::as_i64);
    milliseconds.and_then(instant_of_millis).ok_or(format!("{name} is not in epoch milliseconds"))
}

pub(super) fn between(operator: &str) -> Result<bool, Unread> {
    match operator {
        "IS_BETWEEN" => Ok(false),
        "IS_NOT_BETWEEN" => Ok(true),
        _ => Err("an operator that is neither IS_BETWEEN nor IS_NOT_BETWEEN".to_owned()),
    }
}

pub(super) fn before_or_after(operator: &str, bound: Bound) -> Result<When, Unread> {
    match operator {
        "IS_BEFORE" => Ok(When::Before(bound)),
        "IS_AFTER" => Ok(When::After(bound)),
        _ => Err("an operator that is neither IS_BEFORE nor IS_AFTER".to_owned()),
    }
}

pub fn zone_if(converted: bool) -> Option<Zone> {
    converted.then_some(Zone::Account)
}

/// `zoneId`; without it the account's own, unless `timezoneSource` says that another one is meant.
fn zone(value: &Value) -> Result<Zone, Unread> {
    let source = value.get("timezoneSource").filter(|source| !source.is_null());
    match value.get("zoneId") {
        None | Some(Value::Null) if source.is_none_or(|source| source == "PORTAL") => Ok(Zone::Account),
        None | Some(Value::Null) => Err("a time zone that is not named".to_owned()),
        Some(id) => {
            let zone = id.as_str().and_then(|id| id.parse::<Tz>().ok());
            zone.map(Zone::Named).ok_or("zoneId is no time zone of the IANA database".to_owned())
        }
    }
}

/// A whole number from a range that may be left out.
fn within(value: &Value, name: &str, from: u32, to: u32) -> Result<Option<u32>, Unread> {
    match value.get(name) {
        None | Some(Value::Null) => Ok(None),
        Some(number) => number
            .as_u64()
            .and_then(|number| u32::try_from(number).ok())
            .filter(|number| (from..=to).contains(number))
            .map(Some)
            .ok_or(format!("{name} is not within {from} and {to}")),
    }
}

impl Reader<'_> {
    /// `TIME_POINT`, on a property or on when an event occurred.
    pub(super) fn time_point(&mut self, value: &Value, at: &str) -> Result<When, Unread> {
        let operator = text(value, "operator").ok_or("an operation without operator")?;
        let point = self.point(value, "timePoint", at)?;
        if operator == "IS_AFTER" && is_back(&point) {
            self.find(
                at,
                Severity::Ambiguous,
                "IS_AFTER a point in the past is within that time, not more than that long ago",
            );
        }
        let inclusive = inclusive(value, "endpointBehavior", false)?;
        before_or_after(operator, Bound { point, inclusive })
    }

    /// `TIME_RANGED`, and whether it is denied.
    pub(super) fn time_range(&mut self, value: &Value, at: &str) -> Result<(When, bool), Unread> {
        let mut bound = |point: &str, behavior: &str| -> Result<Bound, Unread> {
            Ok(Bound { point: self.point(value, point, at)?, inclusive: inclusive(value, behavior, true)? })
        };
        let low = bound("lowerBoundTimePoint", "lowerBoundEndpointBehavior")?;
        let high = bound("upperBoundTimePoint", "upperBoundEndpointBehavior")?;
        let negated = between(text(value, "operator").ok_or("an operation without operator")?)?;
        Ok((self.between(low, high, negated, at), negated))
    }

    /// From one point to another; where both stand still, it can be told that they are the wrong way round.
    pub(super) fn between(&mut self, low: Bound, high: Bound, negated: bool, at: &str) -> When {
        let reversed = match (&low.point, &high.point) {
            (Point::Instant(low), Point::Instant(high)) => low > high,
            (Point::Wall(low, zone), Point::Wall(high, other)) => zone == other && low > high,
            _ => false,
        };
        if reversed {
            self.reversed(at, negated);
        }
        When::Between(low, high)
    }

    pub(super) fn reversed(&mut self, at: &str, negated: bool) {
        let (concern, says) = if negated {
            (Severity::Dangerous, "the upper bound is below the lower: every value is outside of them")
        } else {
            (Severity::Ambiguous, "the upper bound is below the lower: nothing is between them")
        };
        self.find(at, concern, says);
    }

    fn point(&mut self, value: &Value, name: &str, at: &str) -> Result<Point, Unread> {
        let point = value.get(name).ok_or(format!("no {name}"))?;
        match text(point, "timeType") {
            Some("DATE") => wall_clock(point),
            Some("INDEXED") => self.indexed(point, &format!("{at}.{name}")),
            Some("PROPERTY_REFERENCED") => referenced(point),
            _ => Err(format!("a {name} with a timeType that is not supported")),
        }
    }

    fn indexed(&mut self, value: &Value, at: &str) -> Result<Point, Unread> {
        let reference = value.get("indexReference").ok_or("an INDEXED point without indexReference")?;
        let kind = text(reference, "referenceType").ok_or("an indexReference without referenceType")?;
        let (unit, last_month, has): (_, _, &[&str]) = match kind {
            "NOW" => (None, 0, &[]),
            "TODAY" => (Some(Unit::Day), 0, &[]),
            "WEEK" => (Some(Unit::Week), 0, &["dayOfWeek"]),
            "MONTH" => (Some(Unit::Month), 0, &["day"]),
            "QUARTER" | "FISCAL_QUARTER" => (Some(Unit::Quarter), 3, &["month", "day"]),
            "YEAR" | "FISCAL_YEAR" => (Some(Unit::Year), 12, &["month", "day"]),
            _ => return Err(format!("the reference {kind} is not supported")),
        };
        let given = |name: &str| reference.get(name).is_some_and(|member| !member.is_null());
        if let Some(name) =
            ["dayOfWeek", "month", "day"].into_iter().find(|name| given(name) && !has.contains(name))
        {
            return Err(format!("{name} cannot be set on the reference {kind}"));
        }
        if kind.starts_with("FISCAL") {
            self.find(at, Severity::Ambiguous, "the fiscal year is taken to begin in January");
        }
        let day_of_week = match reference.get("dayOfWeek").filter(|day| !day.is_null()) {
            Some(day) => Some(day_of_week(day).ok_or("dayOfWeek is no day")?),
            None => None,
        };
        let month = within(reference, "month", 1, last_month)?;
        let day = within(reference, "day", 1, 31)?;
        if day.is_some_and(|day| day > 28) {
            self.find(
                at,
                Severity::Ambiguous,
                "not every month has this day: in one without it nothing is deleted",
            );
        }
        let set = Set {
            day_of_week,
            month,
            day,
            hour: within(reference, "hour", 0, 23)?,
            minute: within(reference, "minute", 0, 59)?,
            second: within(reference, "second", 0, 59)?,
            millisecond: within(reference, "millisecond", 0, 999)?,
        };
        Ok(Point::Indexed(Box::new(Indexed { unit, set, offset: offset(value)?, zone: zone(value)? })))
    }

    /// `pruningRefineBy`: which of the events count.
    pub(super) fn prune(&mut self, value: &Value, at: &str) -> Result<Option<Moment>, Unread> {
        let kind = refinement(value)?;
        members::unread_of_refinement(value, at, kind)?;
        match kind {
            "ALL_HISTORY" => Ok(None),
            "NUM_OCCURRENCES" | "SET_OCCURRENCES" => {
                Err("pruningRefineBy by the number of occurrences is not supported".to_owned())
            }
            kind => self.moment(kind, value, at).map(Some),
        }
    }

    /// `coalescingRefineBy`: what the events that are left must amount to.
    pub(super) fn coalesce(&mut self, value: &Value, at: &str) -> Result<Coalesce, Unread> {
        let kind = refinement(value)?;
        members::unread_of_refinement(value, at, kind)?;
        match kind {
            "ALL_HISTORY" => Ok(Coalesce::AT_LEAST_ONE),
            "NUM_OCCURRENCES" => {
                let bound = |name: &str| match value.get(name) {
                    None | Some(Value::Null) => Ok(None),
                    Some(number) => number.as_u64().map(Some).ok_or(format!("{name} is no number")),
                };
                let (min, max) = (bound("minOccurrences")?, bound("maxOccurrences")?);
                // Who has completed an event at most twice has completed it.
                Ok(Coalesce::Count { min: min.unwrap_or(u64::from(max != Some(0))), max })
            }
            "SET_OCCURRENCES" => match text(value, "setType") {
                Some("ALL") => Ok(Coalesce::Set(SetType::All)),
                Some("ALL_INCLUDE_EMPTY") => Ok(Coalesce::Set(SetType::AllOrEmpty)),
                Some("ANY") => Ok(Coalesce::Set(SetType::Any)),
                Some("ANY_INCLUDE_EMPTY") => Ok(Coalesce::Set(SetType::AnyOrEmpty)),
                Some("NONE") => Ok(Coalesce::Set(SetType::None)),
                Some("NONE_EXCLUDE_EMPTY") => Ok(Coalesce::Set(SetType::NoneOfSome)),
                _ => Err("SET_OCCURRENCES with a setType that is not supported".to_owned()),
            },
            kind => self.moment(kind, value, at).map(Coalesce::At),
        }
    }

    fn moment(&mut self, kind: &str, value: &Value, at: &str) -> Result<Moment, Unread> {
        let (when, negated) = match kind {
            "RELATIVE_COMPARATIVE" => (comparison(value, from_now(value, "timeOffset")?)?, false),
            "ABSOLUTE_COMPARATIVE" => (comparison(value, Point::Instant(epoch(value, "timestamp")?))?, false),
            "RELATIVE_RANGED" => {
                let bound = |name| from_now(value, name).map(Bound::inclusive);
                self.range(value, bound("lowerBoundOffset")?, bound("upperBoundOffset")?, at)?
            }
            "ABSOLUTE_RANGED" => {
                let bound = |name| epoch(value, name).map(Point::Instant).map(Bound::inclusive);
                self.range(value, bound("lowerTimestamp")?, bound("upperTimestamp")?, at)?
            }
            "TIME_POINT" => (self.time_point(value, at)?, false),
            "TIME_RANGED" => self.time_range(value, at)?,
            _ => return Err(format!("refinements of the type {kind} are not supported")),
        };
        Ok(Moment { when, negated })
    }

    fn range(&mut self, value: &Value, low: Bound, high: Bound, at: &str) -> Result<(When, bool), Unread> {
        let negated = match text(value, "rangeType") {
            Some("BETWEEN") => false,
            Some("NOT_BETWEEN") => true,
            _ => return Err("a rangeType that is neither BETWEEN nor NOT_BETWEEN".to_owned()),
        };
        Ok((self.between(low, high, negated, at), negated))
    }
}

fn refinement(value: &Value) -> Result<&str, Unread> {
    text(value, "type").or(text(value, "operationType")).ok_or("a refinement without type".to_owned())
}

fn comparison(value: &Value, point: Point) -> Result<When, Unread> {
    match text(value, "comparison") {
        Some("BEFORE") => Ok(When::Before(Bound::exclusive(point))),
        Some("AFTER") => Ok(When::After(Bound::exclusive(point))),
        _ => Err("a comparison that is neither BEFORE nor AFTER".to_owned()),
    }
}

fn inclusive(value: &Value, name: &str, default: bool) -> Result<bool, Unread> {
    match value.get(name) {
        None | Some(Value::Null) => Ok(default),
        Some(behavior) if behavior == "INCLUSIVE" => Ok(true),
        Some(behavior) if behavior == "EXCLUSIVE" => Ok(false),
        Some(_) => Err(format!("{name} is neither INCLUSIVE nor EXCLUSIVE")),
    }
}

/// A wall-clock date and time.
fn wall_clock(value: &Value) -> Result<Point, Unread> {
    let year = value.get("year").and_then(Value::as_i64).and_then(|year| i32::try_from(year).ok());
    let month = month_of(value.get("month"));
    let day = within(value, "day", 1, 31)?;
    let date =
        year.zip(month).zip(day).and_then(|((year, month), day)| NaiveDate::from_ymd_opt(year, month, day));
    let wall = date.ok_or("day, month and year are no date")?.and_hms_milli_opt(
        within(value, "hour", 0, 23)?.unwrap_or(0),
        within(value, "minute", 0, 59)?.unwrap_or(0),
        within(value, "second", 0, 59)?.unwrap_or(0),
        within(value, "millisecond", 0, 999)?.unwrap_or(0),
    );
    Ok(Point::Wall(wall.ok_or("no time of day")?, zone(value)?))
}

fn referenced(value: &Value) -> Result<Point, Unread> {
    let name = text(value, "property").ok_or("a PROPERTY_REFERENCED point without property")?.to_owned();
    let reading = match text(value, "referenceType") {
        Some("VALUE") => ResolvedPoint::Value,
        Some("UPDATED_AT") => ResolvedPoint::UpdatedAt,
        Some("ANNIVERSARY") => ResolvedPoint::Anniversary,
        _ => return Err("a PROPERTY_REFERENCED point with a referenceType that is not supported".to_owned()),
    };
    if value.get("offset").is_some_and(|offset| !offset.is_null()) {
        return Err("an offset from another property is not supported".to_owned());
    }
    Ok(Point::Property { name, reading, zone: zone(value)?, default: None })
}

/// `offset` of an indexed point, in calendar units; what is finer than a day in milliseconds.
fn offset(value: &Value) -> Result<Offset, Unread> {
    let Some(offset) = value.get("offset").filter(|offset| !offset.is_null()) else {
        return Ok(Offset::default());
    };
    let members = offset.as_object().ok_or("offset is no object")?;
    let mut read = Offset::default();
    for (name, amount) in members.iter().filter(|(_, amount)| !amount.is_null()) {
        let amount = amount.as_i64().ok_or_else(|| format!("offset.{name} is no whole number"))?;
        add(&mut read, amount, name)?;
    }
    Ok(read)
}

fn add(offset: &mut Offset, amount: i64, unit: &str) -> Result<(), Unread> {
    let (sum, factor) = match unit {
        "years" => (&mut offset.months, 12),
        "quarters" => (&mut offset.months, 3),
        "months" => (&mut offset.months, 1),
        "weeks" => (&mut offset.days, 7),
        "days" => (&mut offset.days, 1),
        "hours" => (&mut offset.milliseconds, 3_600_000),
        "minutes" => (&mut offset.milliseconds, 60_000),
        "seconds" => (&mut offset.milliseconds, 1_000),
        "milliseconds" => (&mut offset.milliseconds, 1),
        _ => return Err(format!("an offset in {unit} is not supported")),
    };
    let moved = amount.checked_mul(factor).and_then(|it| sum.checked_add(it));
    *sum = moved.ok_or("an offset beyond all times")?;
    Ok(())
}

/// A `timeOffset` from now.
fn from_now(value: &Value, name: &str) -> Result<Point, Unread> {
    let given = value.get(name).ok_or(format!("no {name}"))?;
    let amount = given.get("amount").and_then(Value::as_i64).filter(|amount| *amount >= 0);
    let amount = amount.ok_or(format!("{name}.amount is no number"))?;
    let amount = match text(given, "offsetDirection") {
        Some("PAST") => -amount,
        Some("FUTURE") => amount,
        _ => return Err(format!("{name}.offsetDirection is neither PAST nor FUTURE")),
    };
    let mut offset = Offset::default();
    let unit = text(given, "timeUnit").filter(|unit| unit.bytes().all(|letter| letter.is_ascii_uppercase()));
    add(&mut offset, amount, &unit.ok_or(format!("no {name}.timeUnit"))?.to_ascii_lowercase())?;
    Ok(Point::Indexed(Box::new(Indexed { unit: None, set: Set::default(), offset, zone: Zone::Account })))
}

/// Does the point lie a while before its unit or now?
fn is_back(point: &Point) -> bool {
    let Point::Indexed(indexed) = point else { return false };
    let Offset { months, days, milliseconds } = indexed.offset;
    [months, days, milliseconds].iter().any(|amount| *amount < 0)
}
