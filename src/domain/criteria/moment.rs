//! Conditions on instants: points in time that move with the clock, the calendar or another property.

use chrono::{Datelike, NaiveDateTime, NaiveTime, TimeDelta, Timelike};
use chrono_tz::Tz;

use super::Truth;
use super::instant::instant_of;
use super::subject::Subject;
use crate::domain::time::Time;
use crate::domain::wall::{self, Unit};

/// The zone in which a point is meant.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Zone {
    Account,
    Named(Tz),
}

impl Zone {
    fn resolve(self, subject: Subject<'_>) -> Option<Tz> {
        match self {
            Self::Account => subject.zone,
            Self::Named(zone) => Some(zone),
        }
    }
}

/// A condition on an instant.
#[derive(Clone, Debug, PartialEq)]
pub enum When {
    Before(Bound),
    After(Bound),
    Between(Bound, Bound),
}

/// A point, and whether it still belongs to what it bounds.
#[derive(Clone, Debug, PartialEq)]
pub struct Bound {
    pub point: Point,
    pub inclusive: bool,
}

/// A point in time.
#[derive(Clone, Debug, PartialEq)]
pub enum Point {
    Instant(Time),
    /// A wall-clock date and time.
    Wall(NaiveDateTime, Zone),
    Indexed(Box<Indexed>),
    /// The beginning of a calendar unit, so many units from the one that now is in.
    Calendar {
        unit: Unit,
        /// The month that quarters and years begin with.
        first_month: u32,
        shift: i64,
    },
    /// What another property says.
    Property {
        name: String,
        reading: ResolvedPoint,
        zone: Zone,
        /// What counts where the property has no value.
        default: Option<String>,
    },
}

/// How another property is read as a point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ResolvedPoint {
    Value,
    UpdatedAt,
    /// Its next yearly return.
    Anniversary,
}

/// The beginning of a unit with members set on it, and then an offset in calendar units.
#[derive(Clone, Debug, PartialEq)]
pub struct Indexed {
    /// `None`: now itself.
    pub unit: Option<Unit>,
    pub set: Set,
    pub offset: Offset,
    pub zone: Zone,
}

/// The members that are set on the beginning of a unit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Set {
    /// Days after Monday.
    pub day_of_week: Option<u32>,
    /// In the quarter (1 to 3) or in the year (1 to 12).
    pub month: Option<u32>,
    pub day: Option<u32>,
    pub hour: Option<u32>,
    pub minute: Option<u32>,
    pub second: Option<u32>,
    pub millisecond: Option<u32>,
}

/// How far from there: whole months of the calendar first, then days of it, then real time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Offset {
    pub months: i64,
    pub days: i64,
    pub milliseconds: i64,
}

impl When {
    /// Is it true of this instant? Unknown where a point is.
    pub fn holds(&self, instant: Time, subject: Subject<'_>) -> Truth {
        match self {
            Self::Before(bound) => bound.after_or_at(instant, subject),
            Self::After(bound) => bound.before_or_at(instant, subject),
            Self::Between(low, high) => {
                low.before_or_at(instant, subject).and(high.after_or_at(instant, subject))
            }
        }
    }

    fn points(&self) -> impl Iterator<Item = &Point> {
        let (one, other) = match self {
            Self::Before(bound) | Self::After(bound) => (bound, None),
            Self::Between(low, high) => (low, Some(high)),
        };
        [Some(one), other].into_iter().flatten().map(|bound| &bound.point)
    }

    /// The properties that it refers to.
    pub fn properties(&self) -> impl Iterator<Item = &str> {
        self.points().filter_map(|point| match point {
            Point::Property { name, .. } => Some(name.as_str()),
            _ => None,
        })
    }

    /// Whether it asks what properties were before.
    pub fn asks_history(&self) -> bool {
        self.points().any(|point| matches!(point, Point::Property { reading: ResolvedPoint::UpdatedAt, .. }))
    }
}

impl Bound {
    pub fn inclusive(point: Point) -> Self {
        Self { point, inclusive: true }
    }

    pub fn exclusive(point: Point) -> Self {
        Self { point, inclusive: false }
    }

    fn before_or_at(&self, instant: Time, subject: Subject<'_>) -> Truth {
        self.point.resolve(subject).map_or(Truth::Unknown, |point| {
            Truth::from_bool(instant > point || self.inclusive && instant == point)
        })
    }

    fn after_or_at(&self, instant: Time, subject: Subject<'_>) -> Truth {
        self.point.resolve(subject).map_or(Truth::Unknown, |point| {
            Truth::from_bool(instant < point || self.inclusive && instant == point)
        })
    }
}

impl Point {
    /// This very moment, whatever the clocks show.
    pub fn now() -> Self {
        Self::days_from_now(0, Zone::Named(Tz::UTC))
    }

    /// Now, shifted by whole days of the calendar in a zone.
    pub fn days_from_now(days: i64, zone: Zone) -> Self {
        let offset = Offset { days, ..Offset::default() };
        Self::Indexed(Box::new(Indexed { unit: None, set: Set::default(), offset, zone }))
    }

    /// The instant it stands for at this moment; `None` where it stands for none.
    pub fn resolve(&self, subject: Subject<'_>) -> Option<Time> {
        match self {
            Self::Instant(instant) => Some(*instant),
            Self::Wall(wall, zone) => wall::to_utc(*wall, zone.resolve(subject)?),
            Self::Indexed(indexed) => indexed.resolve(subject),
            Self::Calendar { unit, first_month, shift } => {
                let zone = subject.zone?;
                let today = subject.now.with_timezone(&zone).date_naive();
                let start = wall::start_of(*unit, today, *first_month)?;
                wall::start_of_day(wall::shift(start, *unit, *shift)?, zone)
            }
            Self::Property { name, reading, zone, default } => {
                let value = match subject.record.value(name) {
                    None if subject.is_unheard_of(name) => return None,
                    value => value.or(default.as_deref()),
                };
                match reading {
                    ResolvedPoint::Value => instant_of(value?),
                    ResolvedPoint::UpdatedAt => value.and_then(|_| subject.record.updated_at(name)),
                    ResolvedPoint::Anniversary => {
                        anniversary(instant_of(value?)?, subject.now, zone.resolve(subject)?)
                    }
                }
            }
        }
    }
}

impl Indexed {
    fn resolve(&self, subject: Subject<'_>) -> Option<Time> {
        let zone = self.zone.resolve(subject)?;
        let Offset { months, days, milliseconds } = self.offset;
        let by_calendar = (months, days) != (0, 0);
        // Now is an instant already: by way of the wall clock it could lose the second of two equal hours.
        let start = if self.unit.is_none() && self.set == Set::default() && !by_calendar {
            subject.now
        } else {
            let wall = self.set_on(subject.now.with_timezone(&zone).naive_local())?;
            let day = wall::shift(wall.date(), Unit::Month, months)?;
            wall::to_utc(wall::shift(day, Unit::Day, days)?.and_time(wall.time()), zone)?
        };
        start.checked_add_signed(TimeDelta::try_milliseconds(milliseconds)?)
    }

    /// The beginning of the unit that this wall time is in, with the members set.
    fn set_on(&self, wall: NaiveDateTime) -> Option<NaiveDateTime> {
        let Set { day_of_week, month, day, hour, minute, second, millisecond } = self.set;
        let Some(unit) = self.unit else { return set_time(wall, hour, minute, second, millisecond) };
        let mut date = wall::start_of(unit, wall.date(), 1)?;
        if let Some(days) = day_of_week {
            date = wall::shift(date, Unit::Day, i64::from(days))?;
        }
        if let Some(month) = month {
            date = wall::shift(date, Unit::Month, i64::from(month) - 1)?;
        }
        if let Some(day) = day {
            date = date.with_day(day)?;
        }
        set_time(date.and_time(NaiveTime::MIN), hour, minute, second, millisecond)
    }
}

fn set_time(
    wall: NaiveDateTime,
    hour: Option<u32>,
    minute: Option<u32>,
    second: Option<u32>,
    millisecond: Option<u32>,
) -> Option<NaiveDateTime> {
    let nanosecond = millisecond.map_or(Some(wall.nanosecond()), |it| it.checked_mul(1_000_000))?;
    wall.with_hour(hour.unwrap_or(wall.hour()))?
        .with_minute(minute.unwrap_or(wall.minute()))?
        .with_second(second.unwrap_or(wall.second()))?
        .with_nanosecond(nanosecond)
}

/// The next time, now included, that the day and time of an instant come round; 29 February comes on the 28th where
/// a year has no other. What is still ahead has no yearly return yet.
fn anniversary(of: Time, now: Time, zone: Tz) -> Option<Time> {
    if of > now {
        return None;
    }
    let wall = of.with_timezone(&zone).naive_local();
    let this_year = i64::from(now.with_timezone(&zone).year() - wall.year());
    (this_year..=this_year + 1).find_map(|years| {
        let day = wall::shift(wall.date(), Unit::Year, years)?;
        let instant = wall::to_utc(day.and_time(wall.time()), zone)?;
        (instant >= now).then_some(instant)
    })
}
