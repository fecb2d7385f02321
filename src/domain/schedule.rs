//! When a job is due: a cron expression of five fields in a time zone, and the last run.
//!
//! Minute, hour, day of month, month, day of week with the field's usual meaning: `*`, lists, ranges, steps,
//! names, 0 and 7 for Sunday, and where both days are restricted either of them will do. The `cron` crate
//! wants seconds, counts Sunday as 1 and asks for both days; this module translates.

use std::str::FromStr;

use chrono_tz::Tz;

use super::time::Time;

const DAYS: [&str; 7] = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"];

/// A parsed expression in its zone.
#[derive(Clone, Debug)]
pub struct Schedule {
    /// One, or two where the day of month and the day of week are both restricted.
    alternatives: Vec<cron::Schedule>,
    zone: Tz,
}

impl Schedule {
    /// A schedule on which nothing is ever due.
    pub fn never() -> Self {
        Self { alternatives: Vec::new(), zone: Tz::UTC }
    }

    /// Reads an expression.
    ///
    /// # Errors
    ///
    /// A sentence that says which field is wrong.
    pub fn parse(expression: &str, zone: Tz) -> Result<Self, String> {
        let expanded = match expression.trim() {
            "@hourly" => "0 * * * *",
            "@daily" | "@midnight" => "0 0 * * *",
            "@weekly" => "0 0 * * 0",
            "@monthly" => "0 0 1 * *",
            "@yearly" | "@annually" => "0 0 1 1 *",
            other => other,
        };
        let fields: Vec<&str> = expanded.split_whitespace().collect();
        let [minute, hour, day, month, weekday] = fields[..] else {
            return Err(format!("\"{expression}\" has {} fields where five are wanted", fields.len()));
        };
        let weekdays = weekdays(weekday)
            .ok_or_else(|| format!("\"{weekday}\" in \"{expression}\" is no day of the week"))?;
        // As in every cron: a field that starts with a star does not restrict.
        let days = match (day.starts_with('*'), weekday.starts_with('*')) {
            (false, false) => vec![(day, "*"), ("*", weekdays.as_str())],
            _ => vec![(day, weekdays.as_str())],
        };
        let alternatives = days
            .into_iter()
            .map(|(day, weekday)| {
                cron::Schedule::from_str(&format!("0 {minute} {hour} {day} {month} {weekday}"))
            })
            .collect::<Result<_, _>>()
            .map_err(|error| format!("\"{expression}\" is no cron expression of five fields ({error})"))?;
        Ok(Self { alternatives, zone })
    }

    /// The first time the job is to run strictly after `time`; `None` where it never is.
    pub fn next_after(&self, time: Time) -> Option<Time> {
        let local = time.with_timezone(&self.zone);
        self.alternatives
            .iter()
            .filter_map(|schedule| schedule.after(&local).next())
            .map(|next| next.to_utc())
            .min()
    }

    /// Is a run due at `now`, given the last one? However many were missed, they are made up by one.
    pub fn is_due(&self, last_run: Time, now: Time) -> bool {
        self.next_after(last_run).is_some_and(|next| next <= now)
    }
}

/// `1-5`, `mon,wed`, `*/2`, `0,7` → a list of names, which mean the same to everyone.
fn weekdays(field: &str) -> Option<String> {
    let mut chosen = [false; 7];
    for item in field.split(',') {
        let (range, step) = match item.split_once('/') {
            Some((range, step)) => (range, step.parse::<usize>().ok().filter(|step| *step > 0)?),
            None => (item, 1),
        };
        let (first, last) = match range.split_once('-') {
            _ if range == "*" => (0, 6),
            Some((first, last)) => (weekday(first)?, weekday(last)?),
            // `3/2` means from Wednesday on.
            None if item.contains('/') => (weekday(range)?, 6),
            None => (weekday(range)?, weekday(range)?),
        };
        if first > last {
            return None;
        }
        for day in (first..=last).step_by(step) {
            chosen[day % 7] = true;
        }
    }
    let names: Vec<&str> =
        DAYS.iter().zip(chosen).filter_map(|(name, chosen)| chosen.then_some(*name)).collect();
    Some(if names.len() == 7 { "*".to_owned() } else { names.join(",") })
}

fn weekday(text: &str) -> Option<usize> {
    match text.parse::<usize>() {
        Ok(number) => (number <= 7).then_some(number),
        Err(_) => DAYS.iter().position(|name| name.eq_ignore_ascii_case(text)),
    }
}

#[cfg(test)]
mod tests {
    use super::super::time::parse_time;
    use super::*;

    fn next(expression: &str, zone: Tz, after: &str) -> Option<String> {
        let schedule = Schedule::parse(expression, zone).unwrap();
        let next = schedule.next_after(parse_time(after).unwrap())?;
        Some(next.format("%Y-%m-%dT%H:%M:%SZ").to_string())
    }

    #[test]
    fn five_fields_mean_what_they_mean_everywhere() {
        // 2026-11-21 is a Saturday.
        for (expression, expected) in [
            ("17 2 * * *", "2026-11-22T02:17:00Z"),
            ("*/15 * * * *", "2026-11-21T10:15:00Z"),
            ("0 9-17/4 * * *", "2026-11-21T13:00:00Z"),
            ("0 0 * * 0", "2026-11-22T00:00:00Z"),
            ("0 0 * * 7", "2026-11-22T00:00:00Z"),
            ("0 0 * * 1", "2026-11-23T00:00:00Z"),
            ("0 0 * * mon-FRI", "2026-11-23T00:00:00Z"),
            ("0 0 * * 5-7", "2026-11-22T00:00:00Z"),
            ("0 0 1 jan *", "2027-01-01T00:00:00Z"),
            ("0 0 29 2 *", "2028-02-29T00:00:00Z"),
            // Either day will do: Monday comes before the 30th.
            ("0 0 30 * 1", "2026-11-23T00:00:00Z"),
            ("@daily", "2026-11-22T00:00:00Z"),
            ("@hourly", "2026-11-21T11:00:00Z"),
        ] {
            assert_eq!(
                next(expression, Tz::UTC, "2026-11-21T10:00:00Z").as_deref(),
                Some(expected),
                "{expression}"
            );
        }
    }

    #[test]
    fn hours_are_those_of_the_zone() {
        let warsaw = Tz::Europe__Warsaw;
        assert_eq!(
            next("0 2 * * *", warsaw, "2026-11-21T10:00:00Z").as_deref(),
            Some("2026-11-22T01:00:00Z")
        );
        assert_eq!(
            next("0 2 * * *", warsaw, "2026-07-21T10:00:00Z").as_deref(),
            Some("2026-07-22T00:00:00Z")
        );
    }

    #[test]
    fn missed_runs_are_made_up_by_one() {
        let daily = Schedule::parse("0 2 * * *", Tz::UTC).unwrap();
        let time = |text| parse_time(text).unwrap();
        let last = time("2026-11-18T02:00:05Z");
        assert!(!daily.is_due(last, time("2026-11-19T01:59:59Z")));
        assert!(daily.is_due(last, time("2026-11-19T02:00:00Z")));
        assert!(daily.is_due(last, time("2026-11-21T10:00:00Z")));
        assert!(!daily.is_due(time("2026-11-21T10:00:00Z"), time("2026-11-21T10:00:01Z")));
    }

    #[test]
    fn nonsense_is_refused() {
        for expression in
            ["", "* * * *", "* * * * * *", "60 * * * *", "0 0 * * 8", "0 0 * * 5-1", "x * * * *"]
        {
            assert!(Schedule::parse(expression, Tz::UTC).is_err(), "{expression}");
        }
    }
}
