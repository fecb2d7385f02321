//! Expressions against times that another implementation works out, and against those worked out by hand.

use super::super::time::parse_time;
use super::*;

fn following(expression: &str, zone: &str, from: &str, count: usize) -> Vec<String> {
    let schedule = Schedule::parse(expression, zone.parse().unwrap()).unwrap();
    let next = |time: &Time| schedule.next_after(*time);
    let times = std::iter::successors(next(&parse_time(from).unwrap()), next).take(count);
    times.map(|time| time.format("%Y-%m-%dT%H:%MZ").to_string()).collect()
}

#[test]
fn the_next_times_are_those_of_the_table() {
    let mut cases = 0;
    for line in include_str!("cases.txt").lines().filter(|line| !line.is_empty() && !line.starts_with('#')) {
        let parts: Vec<&str> = line.split('|').map(str::trim).collect();
        let [expression, zone, from, expected] = parts[..] else { panic!("{line}") };
        let expected: Vec<&str> = expected.split_whitespace().collect();
        assert_eq!(following(expression, zone, from, expected.len()), expected, "{line}");
        cases += 1;
    }
    assert!(cases >= 80, "{cases} cases");
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
fn the_end_of_the_calendar_is_no_panic() {
    for expression in ["* * * * *", "0 0 29 2 *"] {
        let schedule = Schedule::parse(expression, Tz::UTC).unwrap();
        assert_eq!(schedule.next_after(Time::MAX_UTC), None);
        assert!(schedule.next_after(Time::MIN_UTC).is_none_or(|next| next > Time::MIN_UTC));
    }
    assert_eq!(Schedule::never().next_after(Time::UNIX_EPOCH), None);
}

#[test]
fn nonsense_is_refused_by_the_field_that_is_wrong() {
    for (expression, complaint) in [
        ("", "has 0 fields"),
        ("* * * *", "has 4 fields"),
        ("* * * * * *", "has 6 fields"),
        ("@reboot", "has 1 fields"),
        ("60 * * * *", "\"60\" in \"60 * * * *\" is no minute"),
        ("x * * * *", "is no minute"),
        ("+5 * * * *", "is no minute"),
        ("-5 * * * *", "is no minute"),
        ("5- * * * *", "is no minute"),
        ("*/0 * * * *", "is no minute"),
        ("*/ * * * *", "is no minute"),
        ("1,,2 * * * *", "is no minute"),
        ("1, * * * *", "is no minute"),
        ("**  * * * *", "is no minute"),
        ("0 24 * * *", "is no hour"),
        ("0 5-1 * * *", "is no hour"),
        ("0 0 0 * *", "is no day of month"),
        ("0 0 32 * *", "is no day of month"),
        ("0 0 L * *", "is no day of month"),
        ("0 0 ? * *", "is no day of month"),
        ("0 0 * 13 *", "is no month"),
        ("0 0 * january *", "is no month"),
        ("0 0 * * 8", "is no day of week"),
        ("0 0 * * 5-1", "is no day of week"),
        ("0 0 * * mon#2", "is no day of week"),
        ("0 0 30 2 *", "names a day that never comes"),
        ("0 0 31 2,4,6,9,11 *", "names a day that never comes"),
        ("0 0 4294967297 * *", "is no day of month"),
    ] {
        let said = Schedule::parse(expression, Tz::UTC).err().unwrap_or_default();
        assert!(said.contains(complaint), "{expression}: {said}");
    }
}
