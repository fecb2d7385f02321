//! The five fields of a cron expression, read once.

use chrono::{Datelike, NaiveDate};

const MONTHS: [&str; 12] =
    ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"];
const WEEKDAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];
/// Of a leap year: a 29th of February comes at some time.
const DAYS: [u32; 12] = [31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];

/// What a field may hold.
struct Field {
    what: &'static str,
    first: u32,
    last: u32,
    /// Other words for the numbers, from `first` on.
    names: &'static [&'static str],
}

const MINUTE: Field = Field { what: "minute", first: 0, last: 59, names: &[] };
const HOUR: Field = Field { what: "hour", first: 0, last: 23, names: &[] };
const DAY: Field = Field { what: "day of month", first: 1, last: 31, names: &[] };
const MONTH: Field = Field { what: "month", first: 1, last: 12, names: &MONTHS };
/// 0 and 7 are Sunday.
const WEEKDAY: Field = Field { what: "day of week", first: 0, last: 7, names: &WEEKDAYS };

/// A parsed expression; each field is the set of its numbers, one bit each.
#[derive(Clone, Debug)]
pub struct Expression {
    minutes: u64,
    hours: u64,
    days: u64,
    months: u64,
    weekdays: u64,
    /// Both days are restricted: then either will do.
    either_day: bool,
}

impl Expression {
    pub fn parse(text: &str) -> Result<Self, String> {
        let fields: Vec<&str> = in_fields(text.trim()).split_whitespace().collect();
        let [minute, hour, day, month, weekday] = fields[..] else {
            return Err(format!("\"{text}\" has {} fields where five are wanted", fields.len()));
        };
        let read = |field: &Field, item: &str| {
            field.parse(item).ok_or_else(|| format!("\"{item}\" in \"{text}\" is no {}", field.what))
        };
        let weekdays = read(&WEEKDAY, weekday)?;
        let expression = Self {
            minutes: read(&MINUTE, minute)?,
            hours: read(&HOUR, hour)?,
            days: read(&DAY, day)?,
            months: read(&MONTH, month)?,
            weekdays: weekdays | weekdays >> 7,
            // As in every cron: a field that starts with a star does not restrict.
            either_day: !day.starts_with('*') && !weekday.starts_with('*'),
        };
        if expression.has_some_day() {
            Ok(expression)
        } else {
            Err(format!("\"{text}\" names a day that never comes"))
        }
    }

    /// Is there a month that is long enough?
    fn has_some_day(&self) -> bool {
        let months = || (1..).zip(DAYS).filter(|(month, _)| has(self.months, *month));
        self.either_day || months().any(|(_, days)| (1..=days).any(|day| has(self.days, day)))
    }

    pub fn is_of_every_hour(&self) -> bool {
        (0..24).all(|hour| has(self.hours, hour))
    }

    pub fn has_minute(&self, minute: u32) -> bool {
        has(self.minutes, minute)
    }

    pub fn has_day(&self, day: NaiveDate) -> bool {
        let by_month = has(self.days, day.day());
        let by_week = has(self.weekdays, day.weekday().num_days_from_sunday());
        has(self.months, day.month())
            && if self.either_day { by_month || by_week } else { by_month && by_week }
    }

    /// The times of a day, in order: hour and minute.
    pub fn times(&self) -> impl Iterator<Item = (u32, u32)> {
        let minutes =
            |hour| (0..60).filter(|minute| has(self.minutes, *minute)).map(move |minute| (hour, minute));
        (0..24).filter(|hour| has(self.hours, *hour)).flat_map(minutes)
    }
}

fn has(set: u64, number: u32) -> bool {
    set >> number & 1 == 1
}

/// The words for what is usual, written out.
fn in_fields(text: &str) -> &str {
    match text {
        "@hourly" => "0 * * * *",
        "@daily" | "@midnight" => "0 0 * * *",
        "@weekly" => "0 0 * * 0",
        "@monthly" => "0 0 1 * *",
        "@yearly" | "@annually" => "0 0 1 1 *",
        other => other,
    }
}

impl Field {
    /// `5`, `1-5`, `mon,wed`, `*/15`, `9-17/4`; `3/2` is from 3 on.
    fn parse(&self, text: &str) -> Option<u64> {
        let mut set = 0;
        for item in text.split(',') {
            let (range, step) = match item.split_once('/') {
                Some((range, step)) => (range, Some(number(step)?)),
                None => (item, None),
            };
            let (first, last) = match range.split_once('-') {
                _ if range == "*" => (self.first, self.last),
                Some((first, last)) => (self.number(first)?, self.number(last)?),
                None if step.is_some() => (self.number(range)?, self.last),
                None => (self.number(range)?, self.number(range)?),
            };
            if first > last || step == Some(0) {
                return None;
            }
            for number in (first..=last).step_by(step.unwrap_or(1) as usize) {
                set |= 1 << number;
            }
        }
        Some(set)
    }

    fn number(&self, text: &str) -> Option<u32> {
        let named = self.names.iter().zip(self.first..).find(|(name, _)| name.eq_ignore_ascii_case(text));
        let number = named.map(|(_, number)| number).or_else(|| number(text))?;
        (self.first..=self.last).contains(&number).then_some(number)
    }
}

/// Digits and nothing else: no sign, and few enough to be a number of a field.
fn number(text: &str) -> Option<u32> {
    let digits = (1..=4).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
    digits.then(|| text.parse().ok()).flatten()
}
