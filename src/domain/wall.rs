//! Wall-clock time: what a date and a time of day in a zone mean as an instant, and where calendar units begin.
//!
//! Zone rules come from the IANA database. A wall time that a change skips moves forward by the length of the gap
//! (02:30 becomes 03:30); one that occurs twice is its first occurrence.

use chrono::{Datelike, LocalResult, Months, NaiveDate, NaiveDateTime, NaiveTime, TimeDelta, TimeZone};
use chrono_tz::Tz;

use super::time::Time;

/// The zone of an account by the name it gives; one without a name has the vendor's own default, and one whose name
/// nobody knows has none.
pub fn zone_of_account(name: Option<&str>) -> Option<Tz> {
    name.map_or(Some(Tz::US__Eastern), |name| name.parse().ok())
}

/// A unit of the calendar. Weeks begin on Monday.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    Day,
    Week,
    Month,
    Quarter,
    Year,
}

/// The instant of a wall time; `None` beyond the calendar's end.
pub fn to_utc(wall: NaiveDateTime, zone: Tz) -> Option<Time> {
    match zone.from_local_datetime(&wall) {
        LocalResult::Single(time) | LocalResult::Ambiguous(time, _) => Some(time.to_utc()),
        // Read with the offset of before the gap, it comes out behind it by the gap's length. A day earlier the
        // old offset was in force: no zone has two changes within a day.
        LocalResult::None => {
            let before = wall.checked_sub_signed(TimeDelta::days(1))?;
            let before = zone.from_local_datetime(&before).earliest()?;
            before.to_utc().checked_add_signed(TimeDelta::days(1))
        }
    }
}

/// The second occurrence of a wall time, where the clocks go back over it.
pub fn again(wall: NaiveDateTime, zone: Tz) -> Option<Time> {
    match zone.from_local_datetime(&wall) {
        LocalResult::Ambiguous(_, time) => Some(time.to_utc()),
        LocalResult::Single(_) | LocalResult::None => None,
    }
}

/// The instant at which a day begins; where midnight is skipped, the first moment after the gap.
pub fn start_of_day(day: NaiveDate, zone: Tz) -> Option<Time> {
    to_utc(day.and_time(NaiveTime::MIN), zone)
}

/// The day on which the unit around a day begins; quarters and years begin with `first_month` (1 to 12).
pub fn start_of(unit: Unit, day: NaiveDate, first_month: u32) -> Option<NaiveDate> {
    // Months since the year began that the day belongs to.
    let into_year = (day.month() + 12 - first_month) % 12;
    let first_of_month = day.with_day(1)?;
    match unit {
        Unit::Day => Some(day),
        Unit::Week => {
            day.checked_sub_signed(TimeDelta::days(i64::from(day.weekday().num_days_from_monday())))
        }
        Unit::Month => Some(first_of_month),
        Unit::Quarter => first_of_month.checked_sub_months(Months::new(into_year % 3)),
        Unit::Year => first_of_month.checked_sub_months(Months::new(into_year)),
    }
}

/// A day, so many units later or earlier; the 31st becomes the last day of a shorter month.
pub fn shift(day: NaiveDate, unit: Unit, count: i64) -> Option<NaiveDate> {
    match unit {
        Unit::Day => day.checked_add_signed(TimeDelta::try_days(count)?),
        Unit::Week => day.checked_add_signed(TimeDelta::try_weeks(count)?),
        Unit::Month => shift_months(day, count),
        Unit::Quarter => shift_months(day, count.checked_mul(3)?),
        Unit::Year => shift_months(day, count.checked_mul(12)?),
    }
}

fn shift_months(day: NaiveDate, count: i64) -> Option<NaiveDate> {
    let months = Months::new(u32::try_from(count.unsigned_abs()).ok()?);
    if count < 0 { day.checked_sub_months(months) } else { day.checked_add_months(months) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::time::format_time;

    fn at(wall: &str, zone: Tz) -> String {
        let wall = NaiveDateTime::parse_from_str(wall, "%Y-%m-%d %H:%M").unwrap();
        format_time(to_utc(wall, zone).unwrap())
    }

    #[test]
    fn a_skipped_time_moves_on_and_a_doubled_one_is_its_first() {
        use chrono_tz::America::{New_York, Sao_Paulo};
        use chrono_tz::Europe::Warsaw;
        use chrono_tz::Pacific::Apia;
        for (wall, zone, expected) in [
            ("2026-03-29 01:59", Warsaw, "2026-03-29T00:59:00.000000Z"),
            ("2026-03-29 02:30", Warsaw, "2026-03-29T01:30:00.000000Z"),
            ("2026-03-29 03:30", Warsaw, "2026-03-29T01:30:00.000000Z"),
            ("2026-10-25 02:30", Warsaw, "2026-10-25T00:30:00.000000Z"),
            ("2026-10-25 03:00", Warsaw, "2026-10-25T02:00:00.000000Z"),
            ("2026-03-08 02:30", New_York, "2026-03-08T07:30:00.000000Z"),
            ("2026-11-01 01:30", New_York, "2026-11-01T05:30:00.000000Z"),
            ("2018-11-04 00:00", Sao_Paulo, "2018-11-04T03:00:00.000000Z"),
            ("2011-12-30 12:00", Apia, "2011-12-30T22:00:00.000000Z"),
        ] {
            assert_eq!(at(wall, zone), expected, "{wall} {zone}");
        }
    }

    #[test]
    fn units_begin_where_the_calendar_says() {
        let day = |text: &str| text.parse::<NaiveDate>().unwrap();
        for (unit, of, first_month, expected) in [
            (Unit::Week, "2027-01-03", 1, "2026-12-28"),
            (Unit::Week, "2026-12-28", 1, "2026-12-28"),
            (Unit::Quarter, "2026-03-31", 1, "2026-01-01"),
            (Unit::Quarter, "2026-03-31", 2, "2026-02-01"),
            (Unit::Quarter, "2026-01-31", 2, "2025-11-01"),
            (Unit::Year, "2026-03-31", 4, "2025-04-01"),
            (Unit::Year, "2026-04-01", 4, "2026-04-01"),
            (Unit::Month, "2024-02-29", 1, "2024-02-01"),
        ] {
            assert_eq!(start_of(unit, day(of), first_month), Some(day(expected)), "{of} {first_month}");
        }
        assert_eq!(shift(day("2024-02-29"), Unit::Year, 1), Some(day("2025-02-28")));
        assert_eq!(shift(day("2026-03-31"), Unit::Month, -1), Some(day("2026-02-28")));
        assert_eq!(shift(day("2026-03-31"), Unit::Day, i64::MAX), None);
    }
}
