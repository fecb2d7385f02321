//! Times as everything outside sees them: RFC 3339, UTC, whole microseconds.

use std::time::Duration;

use chrono::{DateTime, Datelike, NaiveDate, NaiveTime, SecondsFormat, TimeDelta, Utc};

/// An instant in UTC, never finer than a microsecond (PostgreSQL's resolution).
pub type Time = DateTime<Utc>;

/// The one text form: fixed width, so that it also sorts as text.
pub fn format_time(time: Time) -> String {
    time.to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// As the vendor's API writes times: to the millisecond.
pub fn format_millis(time: Time) -> String {
    time.to_rfc3339_opts(SecondsFormat::Millis, true)
}

/// Reads an RFC 3339 time with any offset; what is finer than a microsecond is cut off.
///
/// `None` where it is no such time, or one outside the years 1 to 9999 that both databases hold.
pub fn parse_time(text: &str) -> Option<Time> {
    let time = DateTime::parse_from_rfc3339(text).ok()?;
    let time = DateTime::from_timestamp_micros(time.timestamp_micros())?;
    (1..=9999).contains(&time.year()).then_some(time)
}

/// How a person may write a time: what to say where it is none of these.
pub const SPOKEN_TIMES: &str = "write a time like 2026-11-21T10:00:00Z, 2026-11-21 10:00 or `yesterday 14:00` (UTC), or a \
                                period like 1h";

/// A time as a person writes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpokenTime {
    At(Time),
    /// So long before now or after it, whatever is asked for.
    Period(Duration),
}

impl SpokenTime {
    /// Reads an RFC 3339 time; a day (a date, `today`, `yesterday` or `tomorrow`) with or without a time of the day, in UTC;
    /// or a period (`1h`, `90d`).
    pub fn parse(text: &str, now: Time) -> Option<Self> {
        let text = text.trim();
        if let Some(time) = parse_time(text) {
            return Some(Self::At(time));
        }
        if let Ok(period) = humantime::parse_duration(text.strip_suffix(" ago").unwrap_or(text)) {
            return Some(Self::Period(period));
        }
        let (day, clock) = text.split_once([' ', 'T']).unwrap_or((text, "00:00"));
        let today = now.date_naive();
        let day = match day {
            "today" => today,
            "yesterday" => today.pred_opt()?,
            "tomorrow" => today.succ_opt()?,
            date => NaiveDate::parse_from_str(date, "%Y-%m-%d").ok().filter(|_| date.len() == 10)?,
        };
        let clock = clock.trim_start();
        let clock =
            NaiveTime::parse_from_str(clock, "%H:%M:%S").or(NaiveTime::parse_from_str(clock, "%H:%M"));
        let time = day.and_time(clock.ok()?).and_utc();
        (1..=9999).contains(&time.year()).then_some(Self::At(time))
    }

    /// The time itself; a period was that long ago.
    pub fn in_the_past(self, now: Time) -> Option<Time> {
        match self {
            Self::At(time) => Some(time),
            Self::Period(period) => now.checked_sub_signed(TimeDelta::from_std(period).ok()?),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::{SpokenTime, format_time, parse_time};

    #[test]
    fn one_text_form_whatever_comes_in() {
        for (text, expected) in [
            ("2026-11-21T10:00:00Z", "2026-11-21T10:00:00.000000Z"),
            ("2026-11-21T11:00:00.123456789+01:00", "2026-11-21T10:00:00.123456Z"),
            ("2016-12-31T23:59:60Z", "2017-01-01T00:00:00.000000Z"),
        ] {
            assert_eq!(parse_time(text).map(format_time).as_deref(), Some(expected), "{text}");
        }
    }

    #[test]
    fn what_is_no_time_is_none() {
        for text in ["", "yesterday", "2026-11-21", "2026-02-30T00:00:00Z", "0000-06-01T00:00:00Z"] {
            assert_eq!(parse_time(text), None, "{text}");
        }
    }

    #[test]
    fn times_are_read_as_people_write_them() {
        let now = parse_time("2026-11-28T22:15:00Z").unwrap();
        let at = |text| SpokenTime::parse(text, now).and_then(|time| time.in_the_past(now));
        for (text, expected) in [
            ("1h", "2026-11-28T21:15:00Z"),
            ("90m ago", "2026-11-28T20:45:00Z"),
            ("yesterday 14:00", "2026-11-27T14:00:00Z"),
            ("today", "2026-11-28T00:00:00Z"),
            ("2026-11-21", "2026-11-21T00:00:00Z"),
            ("2026-11-21 10:30", "2026-11-21T10:30:00Z"),
            ("2026-11-21T10:30:05", "2026-11-21T10:30:05Z"),
            ("2026-11-21T10:00:00+01:00", "2026-11-21T09:00:00Z"),
        ] {
            assert_eq!(at(text), parse_time(expected), "{text}");
        }
        for text in
            ["", "h", "14:00", "2026-02-30", "26-11-21", "yesterday 25:00", "noon", "2026-11-21 10:00 CET"]
        {
            assert_eq!(at(text), None, "{text}");
        }
        let day = Duration::from_hours(24);
        assert_eq!(SpokenTime::parse("1d", now), Some(SpokenTime::Period(day)));
    }
}
