//! When a job is due: a cron expression of five fields in a time zone, and the last run.
//!
//! Days and hours are those of the zone's wall clocks. Where these are put forward, a time that is skipped comes
//! once, as the gap ends; where they are put back, a time that is shown twice comes once, the first time. An expression
//! for every hour is no appointment but a pace: it goes on through both, as every cron has it.

mod expression;
#[cfg(test)]
mod tests;

use chrono::{Days, LocalResult, NaiveDate, NaiveDateTime, TimeDelta, TimeZone, Timelike};
use chrono_tz::Tz;

use super::time::Time;
use super::wall::start_of_day;
use expression::Expression;

/// The longest time between two days that an expression names: a 29th of February that the turn of a century leaves
/// out is eight years away from the next.
const FURTHEST: u64 = 8 * 366;

/// A parsed expression in its zone.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// `None`: nothing is ever due.
    expression: Option<Expression>,
    zone: Tz,
}

impl Schedule {
    /// A schedule on which nothing is ever due.
    pub fn never() -> Self {
        Self { expression: None, zone: Tz::UTC }
    }

    /// Reads an expression: minute, hour, day of month, month, day of week with the field's usual meaning; or one of
    /// the words for what is usual.
    ///
    /// # Errors
    ///
    /// A sentence that says which field is wrong; or that no day is ever meant, such as a 30th of February.
    pub fn parse(expression: &str, zone: Tz) -> Result<Self, String> {
        let parsed = Expression::parse(expression)?;
        Ok(Self { expression: Some(parsed), zone })
    }

    /// The first time the job is to run strictly after `time`; `None` where it never is.
    pub fn next_after(&self, time: Time) -> Option<Time> {
        let expression = self.expression.as_ref()?;
        if expression.is_of_every_hour() {
            self.next_hourly(expression, time)
        } else {
            self.next_daily(expression, time)
        }
    }

    /// Is a run due at `now`, given the last one? However many were missed, they are made up by one.
    pub fn is_due(&self, last_run: Time, now: Time) -> bool {
        self.next_after(last_run).is_some_and(|next| next <= now)
    }

    /// Minute by minute as time goes by, whatever the clocks on the wall are put to meanwhile.
    fn next_hourly(&self, expression: &Expression, time: Time) -> Option<Time> {
        let limit = time.checked_add_days(Days::new(FURTHEST + 1))?;
        let mut next = time.with_second(0)?.with_nanosecond(0)? + TimeDelta::minutes(1);
        while next <= limit {
            let local = next.with_timezone(&self.zone);
            if !expression.has_day(local.date_naive()) {
                next = start_of_day(local.date_naive().checked_add_days(Days::new(1))?, self.zone)?
                    .max(next + TimeDelta::minutes(1));
            } else if expression.has_minute(local.minute()) {
                return Some(next);
            } else {
                next += TimeDelta::minutes(1);
            }
        }
        None
    }

    /// Day by day as the calendar has them, each time of day once.
    fn next_daily(&self, expression: &Expression, time: Time) -> Option<Time> {
        // From the day before: where clocks are put forward at midnight, a time of that day comes within the next.
        let mut day = time.with_timezone(&self.zone).date_naive().checked_sub_days(Days::new(1))?;
        let last = day.checked_add_days(Days::new(FURTHEST + 2))?;
        while day <= last {
            if expression.has_day(day)
                && let Some(next) = self.times_of(expression, day).find(|it| *it > time)
            {
                return Some(next);
            }
            day = day.checked_add_days(Days::new(1))?;
        }
        None
    }

    /// When the times of a day come, in order.
    fn times_of(&self, expression: &Expression, day: NaiveDate) -> impl Iterator<Item = Time> {
        expression
            .times()
            .filter_map(move |(hour, minute)| self.resolve_local(day.and_hms_opt(hour, minute, 0)?))
    }

    /// When the clocks on the wall show that for the first time, or have gone past it.
    fn resolve_local(&self, wall: NaiveDateTime) -> Option<Time> {
        // The longest gap is the day that Samoa left out.
        const LONGEST_GAP: i64 = 25 * 60;
        (0..LONGEST_GAP).find_map(|minutes| {
            match self.zone.from_local_datetime(&(wall + TimeDelta::minutes(minutes))) {
                LocalResult::Single(time) | LocalResult::Ambiguous(time, _) => Some(time.to_utc()),
                LocalResult::None => None,
            }
        })
    }
}
