use serde_json::json;

use super::super::time::{format_time, parse_time};
use super::*;

fn time(text: &str) -> Time {
    parse_time(text).unwrap()
}

fn calendar(windows: &Value, blocked: &Value) -> Calendar {
    read(&json!({"timeWindows": windows, "blockedDates": blocked}), &mut Vec::new()).unwrap()
}

fn window_of(day: &str, from: (u32, u32), to: (u32, u32)) -> Value {
    json!({"day": day, "startTime": {"hour": from.0, "minute": from.1}, "endTime": {"hour": to.0, "minute": to.1}})
}

/// `open`, or why it is closed and when it opens next.
fn state(calendar: &Calendar, zone: Tz, now: &str) -> String {
    let now = time(now);
    let next =
        || calendar.next_opening(now, zone).map_or_else(|| "never".to_owned(), |it| format_time(it.from));
    match calendar.at(now, zone) {
        Ok(()) => "open".to_owned(),
        Err(ClosedReason::OutsideTimeWindow) => format!("window {}", next()),
        Err(ClosedReason::BlockedDate) => format!("blocked {}", next()),
    }
}

#[test]
fn without_windows_and_dates_it_is_always_open() {
    for flow in [json!({}), json!({"timeWindows": [], "blockedDates": null})] {
        let calendar = read(&flow, &mut Vec::new()).unwrap();
        assert!(calendar.is_always_open());
        assert_eq!(calendar.at(time("2026-11-21T10:00:00Z"), Tz::UTC), Ok(()));
    }
}

#[test]
fn a_window_is_wall_time_of_the_zone_and_its_end_is_outside() {
    // 2026-11-23 is a Monday; New York is five hours behind UTC.
    let calendar = calendar(&json!([window_of("MONDAY", (9, 0), (17, 30))]), &json!([]));
    for (now, expected) in [
        ("2026-11-23T13:59:59.999999Z", "window 2026-11-23T14:00:00.000000Z"),
        ("2026-11-23T14:00:00Z", "open"),
        ("2026-11-23T22:29:59.999999Z", "open"),
        ("2026-11-23T22:30:00Z", "window 2026-11-30T14:00:00.000000Z"),
        // Tuesday in UTC, still Monday there.
        ("2026-11-24T02:00:00Z", "window 2026-11-30T14:00:00.000000Z"),
    ] {
        assert_eq!(state(&calendar, Tz::US__Eastern, now), expected, "{now}");
    }
}

#[test]
fn a_window_without_times_is_the_whole_day_however_long_it_is() {
    let calendar = calendar(&json!([{"day": "SUNDAY"}, {"day": "SUNDAY", "startTime": null}]), &json!([]));
    let warsaw = Tz::Europe__Warsaw;
    // 23 hours on 2026-03-29, 25 on 2026-10-25.
    for (now, expected) in [
        ("2026-03-28T22:59:59Z", "window 2026-03-28T23:00:00.000000Z"),
        ("2026-03-28T23:00:00Z", "open"),
        ("2026-03-29T21:59:59Z", "open"),
        ("2026-03-29T22:00:00Z", "window 2026-04-04T22:00:00.000000Z"),
        ("2026-10-24T22:00:00Z", "open"),
        ("2026-10-25T22:59:59Z", "open"),
        ("2026-10-25T23:00:00Z", "window 2026-10-31T23:00:00.000000Z"),
    ] {
        assert_eq!(state(&calendar, warsaw, now), expected, "{now}");
    }
}

#[test]
fn a_change_of_the_clocks_moves_a_window_and_never_opens_one_twice() {
    let warsaw = Tz::Europe__Warsaw;
    let skipped = calendar(&json!([window_of("SUNDAY", (2, 15), (2, 45))]), &json!([]));
    // 02:15 to 02:45 does not exist that day: it is 03:15 to 03:45 instead.
    assert_eq!(state(&skipped, warsaw, "2026-03-29T01:14:59Z"), "window 2026-03-29T01:15:00.000000Z");
    assert_eq!(state(&skipped, warsaw, "2026-03-29T01:15:00Z"), "open");
    assert_eq!(state(&skipped, warsaw, "2026-03-29T01:45:00Z"), "window 2026-04-05T00:15:00.000000Z");
    // In autumn it happens twice, and only the first counts.
    assert_eq!(state(&skipped, warsaw, "2026-10-25T00:15:00Z"), "open");
    assert_eq!(state(&skipped, warsaw, "2026-10-25T01:15:00Z"), "window 2026-11-01T01:15:00.000000Z");
    // A start that is skipped comes out behind the end: closed that day.
    let turned = calendar(&json!([window_of("SUNDAY", (2, 30), (3, 15))]), &json!([]));
    assert_eq!(state(&turned, warsaw, "2026-03-29T01:10:00Z"), "window 2026-04-05T00:30:00.000000Z");
    // From before the change to after it a window is an hour shorter or longer.
    let across = calendar(&json!([window_of("SUNDAY", (1, 30), (3, 30))]), &json!([]));
    assert_eq!(state(&across, warsaw, "2026-03-29T01:29:59Z"), "open");
    assert_eq!(state(&across, warsaw, "2026-03-29T01:30:00Z"), "window 2026-04-04T23:30:00.000000Z");
    assert_eq!(state(&across, warsaw, "2026-10-25T02:29:59Z"), "open");
}

#[test]
fn where_the_clocks_go_back_the_time_before_a_windows_start_does_not_come_into_it() {
    // In Warsaw 03:00 became 02:00 at 01:00Z on Sunday, 2026-10-25.
    for (zone, from, to, moments) in [
        (
            Tz::Europe__Warsaw,
            (2, 30),
            (3, 30),
            &[
                ("2026-10-25T00:29:59.999999Z", "window 2026-10-25T00:30:00.000000Z"),
                ("2026-10-25T00:30:00Z", "open"),
                ("2026-10-25T00:59:59.999999Z", "open"),
                // 02:00 to 02:30 for the second time.
                ("2026-10-25T01:00:00Z", "window 2026-10-25T01:30:00.000000Z"),
                ("2026-10-25T01:10:00Z", "window 2026-10-25T01:30:00.000000Z"),
                ("2026-10-25T01:29:59.999999Z", "window 2026-10-25T01:30:00.000000Z"),
                // From then on the clock shows a time of the window, whose end has not passed yet.
                ("2026-10-25T01:30:00Z", "open"),
                ("2026-10-25T02:29:59.999999Z", "open"),
                ("2026-10-25T02:30:00Z", "window 2026-11-01T01:30:00.000000Z"),
            ][..],
        ),
        // Its end passes for the first time before the clocks go back, and then it is over.
        (
            Tz::Europe__Warsaw,
            (1, 30),
            (2, 30),
            &[
                ("2026-10-25T00:29:59Z", "open"),
                ("2026-10-25T00:30:00Z", "window 2026-11-01T00:30:00.000000Z"),
                ("2026-10-25T01:10:00Z", "window 2026-11-01T00:30:00.000000Z"),
            ],
        ),
        (
            Tz::Europe__Warsaw,
            (2, 10),
            (2, 20),
            &[
                ("2026-10-25T00:15:00Z", "open"),
                ("2026-10-25T01:15:00Z", "window 2026-11-01T01:10:00.000000Z"),
            ],
        ),
        // From the very hour that comes twice: no time before its start comes again.
        (
            Tz::Europe__Warsaw,
            (2, 0),
            (4, 0),
            &[
                ("2026-10-25T00:00:00Z", "open"),
                ("2026-10-25T01:00:00Z", "open"),
                ("2026-10-25T02:59:59Z", "open"),
                ("2026-10-25T03:00:00Z", "window 2026-11-01T01:00:00.000000Z"),
            ],
        ),
        // 02:00 became 01:00 at 06:00Z on Sunday, 2026-11-01.
        (
            Tz::US__Eastern,
            (1, 15),
            (2, 0),
            &[
                ("2026-11-01T05:15:00Z", "open"),
                ("2026-11-01T06:05:00Z", "window 2026-11-01T06:15:00.000000Z"),
                ("2026-11-01T06:59:59Z", "open"),
                ("2026-11-01T07:00:00Z", "window 2026-11-08T06:15:00.000000Z"),
            ],
        ),
        // By half an hour: 02:00 became 01:30 at 15:00Z on Saturday, 2026-04-04.
        (
            Tz::Australia__Lord_Howe,
            (1, 45),
            (2, 15),
            &[
                ("2026-04-04T14:45:00Z", "open"),
                ("2026-04-04T15:05:00Z", "window 2026-04-04T15:15:00.000000Z"),
                ("2026-04-04T15:20:00Z", "open"),
                ("2026-04-04T15:45:00Z", "window 2026-04-11T15:15:00.000000Z"),
            ],
        ),
    ] {
        let calendar = calendar(&json!([window_of("SUNDAY", from, to)]), &json!([]));
        for (now, expected) in moments {
            assert_eq!(state(&calendar, zone, now), *expected, "{zone} {from:?} {now}");
        }
    }
}

#[test]
fn blocked_dates_are_of_one_year_or_of_every_year() {
    let dates = json!([{"dayOfMonth": 24, "month": "DECEMBER"}, {"dayOfMonth": 25, "month": "DECEMBER", "year": 2026}]);
    let any_time = calendar(&json!([]), &dates);
    for (now, expected) in [
        ("2026-12-23T23:00:00Z", "blocked 2026-12-25T23:00:00.000000Z"),
        ("2026-12-25T22:59:59Z", "blocked 2026-12-25T23:00:00.000000Z"),
        ("2026-12-25T23:00:00Z", "open"),
        ("2027-12-24T12:00:00Z", "blocked 2027-12-24T23:00:00.000000Z"),
        ("2027-12-24T23:00:00Z", "open"),
    ] {
        assert_eq!(state(&any_time, Tz::Europe__Warsaw, now), expected, "{now}");
    }
    // Thursday 2026-12-24: the window is asked before the date, and the next one is a week later.
    let thursdays = calendar(&json!([window_of("THURSDAY", (9, 0), (10, 0))]), &dates);
    assert_eq!(state(&thursdays, Tz::UTC, "2026-12-24T08:00:00Z"), "window 2026-12-31T09:00:00.000000Z");
    assert_eq!(state(&thursdays, Tz::UTC, "2026-12-24T09:30:00Z"), "blocked 2026-12-31T09:00:00.000000Z");
}

#[test]
fn what_never_opens_says_so() {
    let every_day: Vec<Value> = (1..=12)
        .flat_map(|month| (1..=31).map(move |day| (month, day)))
        .filter(|(month, day)| NaiveDate::from_ymd_opt(2000, *month, *day).is_some())
        .map(|(month, day)| {
            let name = Month::try_from(u8::try_from(month).unwrap()).unwrap().name().to_uppercase();
            json!({"dayOfMonth": day, "month": name})
        })
        .collect();
    let never = calendar(&json!([]), &json!(every_day));
    assert_eq!(state(&never, Tz::UTC, "2026-11-21T10:00:00Z"), "blocked never");
}

#[test]
fn those_who_wait_are_spread_over_a_quarter_of_an_hour_or_the_window_always_the_same() {
    let from = time("2026-11-23T09:00:00Z");
    let long = Opening { from, to: from + TimeDelta::hours(8) };
    let short = Opening { from, to: from + TimeDelta::minutes(2) };
    let key = |enrollment_id| EnrollmentKey { account_id: 1, enrollment_id, action_id: 1 };
    let moments = |opening: Opening| (1..=900).map(move |id| (opening.spread(&key(id)) - from).num_seconds());
    for (opening, seconds) in [(long, 900), (short, 120)] {
        assert!(moments(opening).all(|moment| (0..seconds).contains(&moment)));
        // No tenth of the time stays empty, none gets a third of all.
        for tenth in 0..10 {
            let within = moments(opening).filter(|moment| moment * 10 / seconds == tenth).count();
            assert!((20..300).contains(&within), "{within} in the tenth {tenth}");
        }
        assert_eq!(moments(opening).collect::<Vec<_>>(), moments(opening).collect::<Vec<_>>());
    }
}

#[test]
fn what_cannot_be_read_is_not_guessed_at() {
    let hours = |from: Value, to: Value| json!({"timeWindows": [{"day": "MONDAY", "startTime": from, "endTime": to}]});
    let at = |hour: u32, minute: u32| json!({"hour": hour, "minute": minute});
    for flow in [
        json!({"timeWindows": {"day": "MONDAY"}}),
        json!({"timeWindows": ["MONDAY"]}),
        json!({"timeWindows": [{}]}),
        json!({"timeWindows": [{"day": "Mon"}]}),
        json!({"timeWindows": [{"day": "MON"}]}),
        json!({"timeWindows": [{"day": "HOLIDAY"}]}),
        json!({"timeWindows": [{"day": "MONDAY", "except": true}]}),
        json!({"timeWindows": [{"day": "MONDAY"}, {"day": 2}]}),
        hours(at(9, 0), Value::Null),
        hours(Value::Null, at(17, 0)),
        hours(at(22, 0), at(6, 0)),
        hours(at(9, 0), at(9, 0)),
        hours(at(9, 60), at(17, 0)),
        hours(at(9, 0), at(24, 1)),
        hours(json!({"hour": 9}), at(17, 0)),
        hours(json!({"hour": "9", "minute": 0}), at(17, 0)),
        hours(json!({"hour": 9, "minute": 0, "second": 30}), at(17, 0)),
        json!({"blockedDates": "2026-12-24"}),
        json!({"blockedDates": [{"month": "MAY"}]}),
        json!({"blockedDates": [{"dayOfMonth": 1, "month": "May"}]}),
        json!({"blockedDates": [{"dayOfMonth": 1, "month": 5}]}),
        json!({"blockedDates": [{"dayOfMonth": 31, "month": "APRIL"}]}),
        json!({"blockedDates": [{"dayOfMonth": 29, "month": "FEBRUARY", "year": 2026}]}),
        json!({"blockedDates": [{"dayOfMonth": 1, "month": "MAY", "year": "2026"}]}),
    ] {
        let mut findings = Vec::new();
        assert_eq!(read(&flow, &mut findings), None, "{flow}");
        assert!(findings.iter().any(|finding| finding.concern == Severity::Unsupported), "{flow}");
    }
}

#[test]
fn ambiguous_windows_are_reported() {
    let flow = json!({"timeWindows": [window_of("MONDAY", (0, 0), (23, 59)), window_of("FRIDAY", (12, 0), (24, 0))],
        "blockedDates": [{"dayOfMonth": 29, "month": "FEBRUARY"}]});
    let mut findings = Vec::new();
    assert!(read(&flow, &mut findings).is_some());
    let places: Vec<&str> = findings.iter().map(|finding| finding.at.as_str()).collect();
    assert_eq!(places, ["$.timeWindows[0]", "$.blockedDates[0]"]);
    assert!(findings.iter().all(|finding| finding.concern == Severity::Ambiguous));
}
