//! Windows over changes of the clocks, against a clock that is watched minute by minute.
#![allow(clippy::unwrap_used)]

use super::*;
use jiff::civil::Date;
use std::collections::BTreeSet;

fn window(schedule: &str, minutes: i64, zone: &str) -> Arc<Window> {
    Arc::new(Window {
        name: schedule.to_owned(),
        schedule: Cron::parse(schedule).unwrap(),
        duration: SignedDuration::from_mins(minutes),
        zone: TimeZone::get(zone).unwrap(),
        reasons: vec![Reason::Request],
    })
}

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

/// Returns the end that is reported at a moment, or `open`.
fn until(windows: &[Arc<Window>], now: &str) -> String {
    closed_until(windows, Reason::Request, at(now))
        .map_or("open".to_owned(), |(_, until)| until.to_string())
}

#[track_caller]
fn check(schedule: &str, minutes: i64, zone: &str, table: &[(&str, &str)]) {
    let windows = [window(schedule, minutes, zone)];
    for (now, expected) in table {
        assert_eq!(until(&windows, now), *expected, "{schedule} in {zone} at {now}");
    }
}

#[test]
fn business_hours_keep_their_time_of_day_over_the_year() {
    check(
        "0 8 * * MON-FRI",
        600,
        "Europe/Berlin",
        &[
            // Friday in winter, and Monday in summer.
            ("2026-03-27T06:59:59Z", "open"),
            ("2026-03-27T07:00:00Z", "2026-03-27T17:00:00Z"),
            ("2026-03-27T16:59:59.999Z", "2026-03-27T17:00:00Z"),
            ("2026-03-27T17:00:00Z", "open"),
            ("2026-03-28T09:00:00Z", "open"),
            ("2026-03-30T06:00:00Z", "2026-03-30T16:00:00Z"),
            ("2026-03-30T05:59:59Z", "open"),
        ],
    );
}

#[test]
fn a_time_that_the_clocks_skip_is_the_end_of_the_gap() {
    check(
        "30 2 * * *",
        30,
        "Europe/Berlin",
        &[
            ("2026-03-29T00:59:59Z", "open"),
            ("2026-03-29T01:00:00Z", "2026-03-29T01:30:00Z"),
            ("2026-03-29T01:30:00Z", "open"),
        ],
    );
    check(
        "30 2 * * *",
        30,
        "America/New_York",
        &[("2026-03-08T06:59:59Z", "open"), ("2026-03-08T07:00:00Z", "2026-03-08T07:30:00Z")],
    );
    check(
        "15 2 * * *",
        30,
        "Australia/Lord_Howe",
        &[("2026-10-03T15:29:59Z", "open"), ("2026-10-03T15:30:00Z", "2026-10-03T16:00:00Z")],
    );
    // Samoa went from the 29th to the 31st, without the 30th.
    check(
        "0 8 30 12 *",
        60,
        "Pacific/Apia",
        &[("2011-12-30T09:59:59Z", "open"), ("2011-12-30T10:00:00Z", "2011-12-30T11:00:00Z")],
    );
}

#[test]
fn a_time_that_the_clocks_show_twice_is_the_first() {
    check(
        "30 2 * * *",
        30,
        "Europe/Berlin",
        &[
            ("2026-10-25T00:29:59Z", "open"),
            ("2026-10-25T00:30:00Z", "2026-10-25T01:00:00Z"),
            ("2026-10-25T01:30:00Z", "open"),
        ],
    );
    check(
        "30 1 * * *",
        30,
        "America/New_York",
        &[("2026-11-01T05:30:00Z", "2026-11-01T06:00:00Z"), ("2026-11-01T06:30:00Z", "open")],
    );
    check(
        "45 1 * * *",
        10,
        "Australia/Lord_Howe",
        &[("2026-04-04T14:45:00Z", "2026-04-04T14:55:00Z"), ("2026-04-04T15:15:00Z", "open")],
    );
}

#[test]
fn a_window_over_a_change_of_the_clocks_lasts_as_long_as_any_other() {
    let table = [
        ("2026-03-28T22:00:00Z", "2026-03-29T04:00:00Z"),
        ("2026-03-29T03:59:59Z", "2026-03-29T04:00:00Z"),
        ("2026-10-24T21:00:00Z", "2026-10-25T03:00:00Z"),
        ("2026-10-25T02:59:59Z", "2026-10-25T03:00:00Z"),
        ("2026-10-25T03:00:00Z", "open"),
    ];
    check("0 23 * * SAT", 360, "Europe/Berlin", &table);
}

#[test]
fn the_29th_of_february_is_in_leap_years() {
    check(
        "0 0 29 2 *",
        60,
        "UTC",
        &[
            ("2028-02-29T00:30:00Z", "2028-02-29T01:00:00Z"),
            ("2027-03-01T00:30:00Z", "open"),
            ("2027-02-28T00:30:00Z", "open"),
        ],
    );
}

#[test]
fn windows_that_follow_each_other_end_together() {
    let windows = [
        window("0 8 * * *", 600, "UTC"),
        // Begins as the first ends, and a third begins in it.
        window("0 18 * * 2", 60, "UTC"),
        window("30 18 * * *", 60, "UTC"),
    ];
    let of = |now| closed_until(&windows, Reason::Request, at(now)).unwrap();
    let (window, until) = of("2026-01-06T08:00:00Z");
    assert_eq!((window.name.as_str(), until), ("0 8 * * *", at("2026-01-06T19:30:00Z")));
    // On a Wednesday nothing is closed from 18:00 to 18:30.
    assert_eq!(of("2026-01-07T08:00:00Z").1, at("2026-01-07T18:00:00Z"));
    // Of two, the one that ends last is named.
    assert_eq!(of("2026-01-06T18:45:00Z").0.name, "30 18 * * *");
}

#[test]
fn a_window_closes_for_its_reasons_alone() {
    let windows = [window("0 * * * *", 30, "UTC")];
    let now = at("2026-01-06T08:10:00Z");
    assert!(is_closed(&windows, Reason::Request, now));
    assert!(!is_closed(&windows, Reason::ScaleIn, now));
    assert!(!is_closed(&windows, Reason::Rebalance, now));
}

/// The answer depends on the clock alone, whatever it showed before.
#[test]
fn a_clock_that_jumps_is_right_as_soon_as_it_is_right() {
    let windows = [window("0 8 * * *", 60, "UTC")];
    let asked = ["08:30", "23:00", "08:10", "07:59", "08:59", "09:00", "08:00"];
    let said = asked.map(|time| until(&windows, &format!("2026-01-06T{time}:00Z")));
    let closed = "2026-01-06T09:00:00Z";
    assert_eq!(said, [closed, "open", closed, "open", closed, "open", closed]);
}

/// A time is a beginning as soon as the clocks show it, or a later one, for the first time.
fn beginnings(window: &Window, from: Timestamp, minutes: i64) -> BTreeSet<Timestamp> {
    let mut shown = window.zone.to_datetime(from);
    let mut begun = BTreeSet::new();
    for minute in 1..minutes {
        let now = from + SignedDuration::from_mins(minute);
        let clock = window.zone.to_datetime(now);
        while shown < clock {
            shown = shown.checked_add(SignedDuration::from_mins(1)).unwrap();
            let on = |day: Date| window.schedule.is_on(day);
            if on(shown.date()) && window.schedule.times().contains(&shown.time()) {
                begun.insert(now);
            }
        }
    }
    begun
}

/// Every combination of schedules, durations and changes of the clocks, each quarter of an hour.
#[test]
fn windows_agree_with_a_clock_that_is_watched() {
    let changes = [
        ("Europe/Berlin", "2026-03-29T01:00:00Z"),
        ("Europe/Berlin", "2026-10-25T01:00:00Z"),
        ("America/New_York", "2026-03-08T07:00:00Z"),
        ("America/New_York", "2026-11-01T06:00:00Z"),
        ("Australia/Lord_Howe", "2026-04-04T15:00:00Z"),
        ("Australia/Lord_Howe", "2026-10-03T15:30:00Z"),
        ("America/Santiago", "2026-04-05T03:00:00Z"),
        ("Pacific/Apia", "2011-12-30T10:00:00Z"),
        ("UTC", "2028-02-29T00:00:00Z"),
    ];
    let schedules = [
        "30 2 * * *",
        "0 * * * *",
        "*/20 1-3 * * *",
        "0 0 * * *",
        "59 23 * * *",
        "0 8-18/2 * * MON-FRI",
        "15 1,2,3 1,29,30 * SUN",
    ];
    for (zone, change) in changes {
        let (change, days) = (at(change), |days: i64| SignedDuration::from_hours(24 * days));
        let from = change - days(9);
        for schedule in schedules {
            let begun = beginnings(&window(schedule, 1, zone), from, 12 * 24 * 60);
            for minutes in [1, 20, 90, 25 * 60, 7 * 24 * 60] {
                let windows = [window(schedule, minutes, zone)];
                let lasts = SignedDuration::from_mins(minutes);
                for quarter in -48..96 {
                    let now = change + SignedDuration::from_mins(15 * quarter);
                    let last = begun.range(..=now).next_back();
                    let end = last.map(|begin| *begin + lasts).filter(|end| *end > now);
                    let known = windows[0].end(now);
                    assert_eq!(known, end, "{schedule} for {minutes} min in {zone} at {now}");
                }
            }
        }
    }
}

/// Whatever the windows, the end that is reported lies ahead, and no window is closed then.
#[test]
fn the_end_is_later_and_outside_of_every_window() {
    let zones = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe"];
    let schedules =
        ["0 8 * * MON-FRI", "30 2 * * *", "*/30 1-4 * * *", "0 20 * * SUN", "0 0 1 * *"];
    let mut closed = 0;
    for (n, (a, b)) in schedules.iter().flat_map(|a| schedules.map(|b| (a, b))).enumerate() {
        let windows = [
            window(a, [1, 45, 600][n % 3], zones[n % 3]),
            window(b, [30, 700, 90, 200][n % 4], zones[n % 2]),
        ];
        for hour in 0..24 * 60 {
            // 61 minutes: every minute of an hour comes up.
            let now = at("2026-03-01T00:00:00Z") + SignedDuration::from_mins(61 * hour);
            let Some((window, until)) = closed_until(&windows, Reason::Request, now) else {
                assert!(!is_closed(&windows, Reason::Request, now));
                continue;
            };
            closed += 1;
            assert!(
                until > now && window.end(now).is_some_and(|end| end <= until),
                "{a} {b} {now}"
            );
            assert!(!is_closed(&windows, Reason::Request, until), "{a} {b} {now}");
        }
    }
    assert!(closed > 1000, "only {closed} moments were in a window");
}

#[test]
fn windows_that_never_open_are_noticed() {
    let never = |windows: &[Arc<Window>]| {
        let year = SignedDuration::from_hours(366 * 24);
        are_closed_for(windows, Reason::Request, at("2028-01-01T00:00:00Z"), year)
    };
    assert!(never(&[window("0 0 * * *", 24 * 60, "UTC")]));
    // One day has 25 hours.
    assert!(!never(&[window("0 0 * * *", 24 * 60, "Europe/Berlin")]));
    assert!(never(&[window("0 0 * * *", 25 * 60, "Europe/Berlin")]));
    assert!(!never(&[window("0 0 * * MON", 6 * 24 * 60, "UTC")]));
    assert!(never(&[
        window("0 0 * * MON", 6 * 24 * 60, "UTC"),
        window("0 0 * * SUN", 1440, "UTC")
    ]));
    // The search of the end of such a chain ends.
    let (_, until) =
        closed_until(&[window("* * * * *", 1, "UTC")], Reason::Request, at("2026-01-01T00:00:00Z"))
            .unwrap();
    assert!(until > at("2026-01-01T16:00:00Z"));
}

/// Returns the days of 2026 (from 1 January) on which a schedule is.
fn days(schedule: &str) -> Vec<String> {
    let cron = Cron::parse(&format!("0 0 {schedule}")).unwrap();
    let mut day: Date = "2026-01-01".parse().unwrap();
    let mut days = Vec::new();
    while day.year() == 2026 {
        if cron.is_on(day) {
            days.push(day.to_string());
        }
        day = day.tomorrow().unwrap();
    }
    days
}

#[test]
fn days_are_the_days_of_cron() {
    assert_eq!(days("* * *").len(), 365);
    assert_eq!(days("31 * *").len(), 7);
    assert_eq!(days("29-31 2,3 *"), ["2026-03-29", "2026-03-30", "2026-03-31"]);
    for sunday in ["0", "7", "SUN", "sun"] {
        assert_eq!(days(&format!("* JAN {sunday}")).len(), 4);
        assert_eq!(days(&format!("* 1 {sunday}"))[0], "2026-01-04");
    }
    assert_eq!(days("* jan fri-sun"), days("* 1 5-7"));
    assert_eq!(days("* jan sun-mon"), days("* 1 0,1"));
    // Either kind of day, where both are limited; both, where one begins with `*`.
    assert_eq!(days("1 1 MON").len(), 5);
    assert_eq!(days("*/2 1 MON"), ["2026-01-05", "2026-01-19"]);
    assert_eq!(days("31 2 MON").len(), 4);
    assert_eq!(days("1-9/4 1 *"), ["2026-01-01", "2026-01-05", "2026-01-09"]);
}

#[test]
fn times_are_the_times_of_cron() {
    let times = |schedule: &str| {
        let cron = Cron::parse(&format!("{schedule} * * *")).unwrap();
        cron.times().iter().map(|time| time.strftime("%H:%M").to_string()).collect::<Vec<_>>()
    };
    assert_eq!(times("5 8"), ["08:05"]);
    assert_eq!(times("*/30 8-9"), ["08:00", "08:30", "09:00", "09:30"]);
    assert_eq!(times("50,10 23,0"), ["00:10", "00:50", "23:10", "23:50"]);
    assert_eq!(times("0 0-23/12,3"), ["00:00", "03:00", "12:00"]);
    assert_eq!(times("* *").len(), 1440);
}

#[test]
fn a_wrong_schedule_names_its_field() {
    let wrong = |text: &str| Cron::parse(text).unwrap_err();
    for text in ["", "0 8 * *", "0 0 8 * * *", "@daily"] {
        assert!(wrong(text).starts_with("a schedule has five fields"), "{text:?}");
    }
    for (text, field) in [
        ("60 8 * * *", "the minute is \"60\": it must be *, a value of 0 to 59, a range"),
        ("0 24 * * *", "the hour is \"24\""),
        ("0 8 0 * *", "the day of the month is \"0\": it must be *, a value of 1 to 31"),
        (
            "0 8 * 13 *",
            "the month is \"13\": it must be *, a value of 1 to 12 or a name such as FEB",
        ),
        (
            "0 8 * * 8",
            "the day of the week is \"8\": it must be *, a value of 0 to 7 or a name such as MON",
        ),
        ("0 8 * * MONDAY", "the day of the week is \"MONDAY\""),
        ("0 8 L * *", "the day of the month is \"L\""),
        ("+5 8 * * *", "the minute is \"+5\""),
        ("5/10 8 * * *", "the minute is \"5/10\""),
        ("*/0 8 * * *", "the minute is \"*/0\""),
        ("*/ 8 * * *", "the minute is \"*/\""),
        ("0,, 8 * * *", "the minute is \"\""),
        ("- 8 * * *", "the minute is \"-\""),
        ("0 18-8 * * *", "the hour \"18-8\" ends before it begins"),
        ("0 8 31 2 *", "none of its months has such a day"),
        ("0 8 31 4,6,9,11 *", "none of its months has such a day"),
    ] {
        assert!(wrong(text).starts_with(field), "{text:?}: {}", wrong(text));
    }
    assert!(Cron::parse("0 8 29 2 *").is_ok() && Cron::parse("0 8 31 2 MON").is_ok());
}
