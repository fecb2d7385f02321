//! When a workflow's actions may run: its time windows and blocked dates, as wall time in the account's zone.
//!
//! A window is open from its start to just before its end, and never runs over midnight. Where the clocks go back it opens
//! at the first occurrence of its start and is over when its end has passed for the first time; the time before its start
//! that comes again in between is outside. What cannot be read makes
//! the whole calendar not understood, and then nothing is deleted.

use chrono::{Datelike, Days, Month, NaiveDate, NaiveTime, TimeDelta, Weekday};
use chrono_tz::Tz;
use serde_json::Value;

use super::criteria::{Finding, Severity};
use super::enrollment::EnrollmentKey;
use super::time::Time;
use super::wall::{again, start_of_day, to_utc};

/// What waits for one opening is spread over this long, or over the window where that is shorter.
const SPREAD: TimeDelta = TimeDelta::minutes(15);

/// How far ahead the next opening is looked for.
const HORIZON_DAYS: u64 = 366;

const MINUTES_OF_DAY: u32 = 24 * 60;

/// When actions may run. Without windows and blocked dates: at any time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Calendar {
    windows: Vec<Window>,
    blocked: Vec<BlockedDate>,
}

/// From minute to minute of every such day.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Window {
    day: Weekday,
    from: u32,
    to: u32,
}

/// One date, or one of every year.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct BlockedDate {
    day: u32,
    month: u32,
    year: Option<i32>,
}

/// Why nothing may run now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClosedReason {
    OutsideTimeWindow,
    BlockedDate,
}

/// A time without interruption in which actions may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Opening {
    pub from: Time,
    /// Just after its last moment.
    pub to: Time,
}

impl Opening {
    /// The enrollment's own moment after the opening, always the same: not all that waited comes at once.
    pub fn spread(&self, key: &EnrollmentKey) -> Time {
        let room = (self.to - self.from).min(SPREAD).num_milliseconds().max(1).unsigned_abs();
        let ids = [key.account_id, key.enrollment_id, key.action_id];
        // FNV-1a: the same on every machine, for ever.
        let hash =
            ids.into_iter().flat_map(i64::to_le_bytes).fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
                (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
            });
        self.from + TimeDelta::milliseconds(i64::try_from(hash % room).unwrap_or_default())
    }
}

impl Calendar {
    /// May actions run at any time?
    pub fn is_always_open(&self) -> bool {
        self.windows.is_empty() && self.blocked.is_empty()
    }

    /// May actions run now? A moment that is both outside of a window and on a blocked date is outside of a window.
    pub fn at(&self, now: Time, zone: Tz) -> Result<(), ClosedReason> {
        let today = now.with_timezone(&zone).date_naive();
        if !self.windows_of(today, zone).iter().any(|it| it.from <= now && now < it.to) {
            return Err(ClosedReason::OutsideTimeWindow);
        }
        if self.blocks(today) { Err(ClosedReason::BlockedDate) } else { Ok(()) }
    }

    /// The first opening after now; `None` where there is none within a year.
    pub fn next_opening(&self, now: Time, zone: Tz) -> Option<Opening> {
        let today = now.with_timezone(&zone).date_naive();
        (0..=HORIZON_DAYS)
            .filter_map(|days| today.checked_add_days(Days::new(days)))
            .filter(|day| !self.blocks(*day))
            .find_map(|day| {
                let later = self.windows_of(day, zone).into_iter().filter(|opening| opening.from > now);
                later.min_by_key(|opening| opening.from)
            })
    }

    fn blocks(&self, day: NaiveDate) -> bool {
        self.blocked.iter().any(|blocked| {
            (blocked.day, blocked.month) == (day.day(), day.month())
                && blocked.year.is_none_or(|year| year == day.year())
        })
    }

    /// The windows of a day, blocked or not. One that a change of the clocks turns inside out is closed that day.
    fn windows_of(&self, day: NaiveDate, zone: Tz) -> Vec<Opening> {
        let whole_day = [Window { day: day.weekday(), from: 0, to: MINUTES_OF_DAY }];
        let windows = if self.windows.is_empty() { &whole_day[..] } else { &self.windows };
        let of_day = windows.iter().filter(|window| window.day == day.weekday());
        of_day.filter_map(|window| openings(day, window, zone)).flatten().flatten().collect()
    }
}

/// When a window of a day is open: twice where the clocks go back in it to before its start.
fn openings(day: NaiveDate, window: &Window, zone: Tz) -> Option<[Option<Opening>; 2]> {
    let (from, to) = (at_minute(day, window.from, zone)?, at_minute(day, window.to, zone)?);
    let opening = |from: Time, to: Time| (from < to).then_some(Opening { from, to });
    let start = day.and_time(NaiveTime::from_num_seconds_from_midnight_opt(window.from * 60, 0)?);
    let Some(again) = again(start, zone).filter(|again| *again < to) else {
        return Some([opening(from, to), None]);
    };
    // The clock shows the start or more until it is put back, and less until the start comes again.
    let (mut before, mut after) = (0, (again - from).num_seconds());
    let is_before =
        |seconds: i64| (from + TimeDelta::seconds(seconds)).with_timezone(&zone).naive_local() < start;
    while before < after {
        let middle = before + (after - before) / 2;
        if is_before(middle) { after = middle } else { before = middle + 1 }
    }
    let put_back = from + TimeDelta::seconds(before);
    if put_back == again {
        Some([opening(from, to), None])
    } else {
        Some([opening(from, put_back), opening(again, to)])
    }
}

/// The instant of a minute of a day; its last is the first of the next.
fn at_minute(day: NaiveDate, minute: u32, zone: Tz) -> Option<Time> {
    if minute == MINUTES_OF_DAY {
        return start_of_day(day.succ_opt()?, zone);
    }
    to_utc(day.and_time(NaiveTime::from_num_seconds_from_midnight_opt(minute * 60, 0)?), zone)
}

/// Reads `timeWindows` and `blockedDates` of a definition and adds what is to be said about them; `None` where a part
/// is not understood.
pub fn read(flow: &Value, findings: &mut Vec<Finding>) -> Option<Calendar> {
    let windows = list(flow, "timeWindows", window, findings);
    let blocked = list(flow, "blockedDates", blocked_date, findings);
    Some(Calendar { windows: windows?, blocked: blocked? })
}

/// What cannot be read, or what is to be said about it all the same.
type Reading<T> = Result<(T, Option<&'static str>), &'static str>;

fn list<T>(
    flow: &Value,
    name: &str,
    read: fn(&Value) -> Reading<T>,
    findings: &mut Vec<Finding>,
) -> Option<Vec<T>> {
    let items = match flow.get(name) {
        None | Some(Value::Null) => &[][..],
        Some(Value::Array(items)) => items,
        Some(_) => {
            find(findings, format!("$.{name}"), Severity::Unsupported, "it is no list");
            return None;
        }
    };
    let mut found = Vec::with_capacity(items.len());
    for (index, item) in items.iter().enumerate() {
        let at = format!("$.{name}[{index}]");
        match read(item) {
            Ok((item, remark)) => {
                found.push(item);
                if let Some(says) = remark {
                    find(findings, at, Severity::Ambiguous, says);
                }
            }
            Err(says) => find(findings, at, Severity::Unsupported, says),
        }
    }
    (found.len() == items.len()).then_some(found)
}

fn find(findings: &mut Vec<Finding>, at: String, concern: Severity, says: &str) {
    findings.push(Finding { at, concern, says: says.to_owned() });
}

fn window(window: &Value) -> Reading<Window> {
    let [day, from, to] = members(window, ["day", "startTime", "endTime"])
        .ok_or("it has another shape than day, startTime and endTime")?;
    let day = day.and_then(Value::as_str).and_then(weekday).ok_or("its day is no day of the week")?;
    let (from, to) = match (from, to) {
        (None, None) => (0, MINUTES_OF_DAY),
        (Some(from), Some(to)) => {
            let from = minute_of_day(from).ok_or("its startTime is no hour and minute of a day")?;
            (from, minute_of_day(to).ok_or("its endTime is no hour and minute of a day")?)
        }
        _ => return Err("it has only one of startTime and endTime"),
    };
    if from >= to {
        return Err("it does not end after its start on the same day: write one window for each day");
    }
    let remark =
        (to == MINUTES_OF_DAY - 1).then_some("its end is exclusive: the last minute of the day is outside");
    Ok((Window { day, from, to }, remark))
}

/// Minutes since midnight; 24:00 is the end of the day.
fn minute_of_day(time: &Value) -> Option<u32> {
    let [hour, minute] = members(time, ["hour", "minute"])?;
    let hour = u32::try_from(hour?.as_u64()?).ok()?;
    let minute = u32::try_from(minute?.as_u64()?).ok()?;
    ((hour < 24 && minute < 60) || (hour, minute) == (24, 0)).then_some(hour * 60 + minute)
}

fn blocked_date(date: &Value) -> Reading<BlockedDate> {
    /// Has a 29th of February.
    const LEAP_YEAR: i32 = 2000;
    let [day, month, year] = members(date, ["dayOfMonth", "month", "year"])
        .ok_or("it has another shape than dayOfMonth, month and year")?;
    let day = day.and_then(Value::as_u64).and_then(|day| u32::try_from(day).ok());
    let month = month.and_then(Value::as_str).and_then(month_number);
    let year =
        year.map(|year| year.as_i64().and_then(|year| i32::try_from(year).ok()).ok_or("its year is no year"));
    let year = year.transpose()?;
    let (Some(day), Some(month)) = (day, month) else { return Err("it has no day and month") };
    NaiveDate::from_ymd_opt(year.unwrap_or(LEAP_YEAR), month, day).ok_or("the calendar has no such date")?;
    let remark = (year.is_none() && (day, month) == (29, 2)).then_some("it blocks a day of leap years only");
    Ok((BlockedDate { day, month, year }, remark))
}

/// The members of an object that has no others; null is absent.
fn members<'a, const N: usize>(object: &'a Value, names: [&str; N]) -> Option<[Option<&'a Value>; N]> {
    let object = object.as_object().filter(|it| it.keys().all(|name| names.contains(&name.as_str())))?;
    Some(names.map(|name| object.get(name).filter(|value| !value.is_null())))
}

/// The vendor writes days and months in capitals, in full.
fn weekday(name: &str) -> Option<Weekday> {
    let day: Weekday = name.parse().ok()?;
    (name.len() > 3 && name == name.to_uppercase()).then_some(day)
}

fn month_number(name: &str) -> Option<u32> {
    let month: Month = name.parse().ok()?;
    (name == month.name().to_uppercase()).then_some(month.number_from_month())
}

#[cfg(test)]
mod tests;
