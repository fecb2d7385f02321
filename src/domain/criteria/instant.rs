//! Values of properties as instants.

use chrono::{Datelike, NaiveDate, NaiveTime};

use crate::domain::time::{Time, parse_time};

/// A property's value as an instant: epoch milliseconds, an ISO date (its start in UTC) or an ISO date-time.
pub fn instant_of(value: &str) -> Option<Time> {
    let value = value.trim();
    if let Ok(milliseconds) = value.parse::<i64>() {
        return instant_of_millis(milliseconds);
    }
    iso_date(value).or_else(|| parse_time(value))
}

/// Epoch milliseconds as an instant. Seconds, and dates written 20261128, would fall into January 1970 and be long ago:
/// what lies before 1971 is taken only where it is the midnight with which the vendor writes a date. Times written
/// 20261128103000 would fall into centuries to come: what reads like one is none.
pub fn instant_of_millis(milliseconds: i64) -> Option<Time> {
    const DAY: i64 = 86_400_000;
    // The years of all other times; at the calendar's ends a zone's clock could leave it.
    let time = Time::from_timestamp_millis(milliseconds).filter(|time| (1..=9999).contains(&time.year()))?;
    let is_midnight = milliseconds % DAY == 0;
    let is_ambiguous =
        reads_like_a_time(milliseconds) || (reads_like_a_short_time(milliseconds) && !is_midnight);
    (!is_ambiguous && (time.year() >= 1971 || is_midnight)).then_some(time)
}

/// Is it 14 digits such as 20261128103000, of a time in these centuries?
fn reads_like_a_time(number: i64) -> bool {
    (1900..2200).contains(&(number / 10_000_000_000)) && reads_like_month_to_second(number)
}

/// Is it 12 digits such as 202611281030, without seconds, or 261128103000, without the century?
fn reads_like_a_short_time(number: i64) -> bool {
    let without_seconds =
        (1900..2200).contains(&(number / 100_000_000)) && reads_like_month_to_second(number * 100);
    let without_century =
        (100_000_000_000..1_000_000_000_000).contains(&number) && reads_like_month_to_second(number);
    without_seconds || without_century
}

/// Are the last ten digits month, day, hour, minute and second?
fn reads_like_month_to_second(number: i64) -> bool {
    let part = |divisor: i64| number / divisor % 100;
    (1..=12).contains(&part(100_000_000))
        && (1..=31).contains(&part(1_000_000))
        && part(10_000) < 24
        && part(100) < 60
        && part(1) < 60
}

/// The start in UTC of `2026-11-21`. [`NaiveDate`] itself would take signs, blanks and years of any length as well.
fn iso_date(text: &str) -> Option<Time> {
    let shape = |(index, byte): (usize, u8)| {
        if [4, 7].contains(&index) { byte == b'-' } else { byte.is_ascii_digit() }
    };
    if text.len() != "2026-11-21".len() || !text.bytes().enumerate().all(shape) {
        return None;
    }
    let date: NaiveDate = text.parse().ok()?;
    (date.year() > 0).then(|| date.and_time(NaiveTime::MIN).and_utc())
}
