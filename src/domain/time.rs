//! Times as everything outside sees them: RFC 3339, UTC, whole microseconds.

use chrono::{DateTime, Datelike, SecondsFormat, Utc};

/// An instant in UTC, never finer than a microsecond (PostgreSQL's resolution).
pub type Time = DateTime<Utc>;

/// The one text form: fixed width, so that it also sorts as text.
pub fn format_time(time: Time) -> String {
    time.to_rfc3339_opts(SecondsFormat::Micros, true)
}

/// Reads an RFC 3339 time with any offset; what is finer than a microsecond is cut off.
///
/// `None` where it is no such time, or one outside the years 1 to 9999 that both databases hold.
pub fn parse_time(text: &str) -> Option<Time> {
    let time = DateTime::parse_from_rfc3339(text).ok()?;
    let time = DateTime::from_timestamp_micros(time.timestamp_micros())?;
    (1..=9999).contains(&time.year()).then_some(time)
}

#[cfg(test)]
mod tests {
    use super::{format_time, parse_time};

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
}
