//! All scenarios. Their bounds are those of the design's table "Reach" where it has one.

use crate::scenario::{Balancing, Bounds, Job, Layout, Plot, Scenario, Trouble};

/// The duration of a drain alone, from the wait's beginning to its completion, in seconds: 300 s
/// for the targets, and the time that ECS and the proof add.
const ALONE: f64 = 345.0;

/// The bound for a wave of a thousand: the time of a drain alone, and 180 s.
const WAVE: f64 = ALONE + 180.0;

const fn layout(clusters: usize, drains: usize) -> Layout {
    Layout {
        clusters,
        instances: drains,
        drains,
        strangers: 0,
        tasks: 10,
        target_groups: 2 * clusters,
        balancing: Balancing::Application,
        heartbeat_timeout: 3600,
        another_hook: false,
        job: Job::None,
        queue: false,
        latency: 20,
    }
}

/// The bounds of every scenario: no call is throttled, and half of AWS's rates are left to others.
const ANYWHERE: Bounds = Bounds {
    throttled: Some(0),
    calls: None,
    writes: None,
    per_minute: None,
    busiest: Some(50.0),
    lag: None,
    slowest: None,
    draining: None,
    whole: None,
    memory: None,
};

/// Returns the bounds of a drain behind one Application Load Balancer: at most eight writes.
const fn lag(seconds: f64) -> Bounds {
    Bounds { lag: Some(seconds), writes: Some(8.0), ..ANYWHERE }
}

const fn wave(name: &'static str, about: &'static str, layout: Layout, bounds: Bounds) -> Scenario {
    Scenario {
        name,
        about,
        quick: false,
        layout,
        plot: Plot::Wave,
        limit: 3 * 3600,
        bounds,
        expected_misses: &[],
    }
}

/// Returns all scenarios, the small ones first.
pub fn scenarios() -> Vec<Scenario> {
    let mut all = waves();
    all.extend(spread());
    all.extend(others());
    all.extend(troubles());
    all.extend(heartbeats());
    for scenario in &mut all {
        scenario.expected_misses = expected_misses(scenario.name);
    }
    all
}

fn waves() -> Vec<Scenario> {
    let thousand = Bounds { whole: Some(WAVE), calls: Some(5.0), ..lag(180.0) };
    let calls = |most| Bounds { calls: Some(most), ..lag(15.0) };
    let network =
        Layout { drains: 10, target_groups: 1, balancing: Balancing::Network, ..layout(1, 100) };
    vec![
        wave("wave-1", "one drain", layout(1, 1), lag(15.0)),
        Scenario {
            quick: true,
            ..wave("wave-10", "10 drains in one cluster", layout(1, 10), calls(14.0))
        },
        Scenario {
            quick: true,
            ..wave("wave-100", "100 drains in one cluster", layout(1, 100), calls(8.0))
        },
        Scenario {
            quick: true,
            ..wave(
                "events-100",
                "100 drains in one cluster, with a queue of events",
                Layout { queue: true, ..layout(1, 100) },
                lag(12.0),
            )
        },
        wave("wave-300", "300 drains in one cluster", layout(1, 300), lag(45.0)),
        wave("wave-1000", "1,000 drains in one cluster", layout(1, 1000), thousand),
        wave("wave-1000-in-10", "1,000 drains in ten clusters", layout(10, 1000), thousand),
        Scenario {
            quick: true,
            ..wave(
                "network",
                "10 drains in a cluster of 1,000 awsvpc tasks behind a network load balancer",
                network,
                Bounds { writes: Some(12.0), ..ANYWHERE },
            )
        },
    ]
}

fn spread() -> Vec<Scenario> {
    let large = Layout { target_groups: 60, job: Job::Ends(3600), ..layout(50, 10_000) };
    vec![
        Scenario {
            quick: true,
            ..wave("wave-50-in-10", "50 drains in ten clusters", layout(10, 50), lag(15.0))
        },
        wave("wave-60-in-20", "60 drains in twenty clusters", layout(20, 60), lag(30.0)),
        Scenario {
            quick: true,
            ..wave(
                "wave-30-in-30",
                "one drain in each of 30 clusters, a target group or two each",
                Layout { target_groups: 45, ..layout(30, 30) },
                lag(30.0),
            )
        },
        wave(
            "wave-100-in-100",
            "one drain in each of 100 clusters, a target group or two each",
            Layout { target_groups: 150, ..layout(100, 100) },
            lag(60.0),
        ),
        wave(
            "wave-700-in-700",
            "one drain in each of 700 clusters, a target group or two each",
            Layout { target_groups: 1050, ..layout(700, 700) },
            lag(360.0),
        ),
        wave(
            "groups-2000",
            "one drain in each of 200 clusters, ten target groups each",
            Layout { target_groups: 2000, ..layout(200, 200) },
            // They last a quarter of an hour, and the remaining tasks are written every five
            // minutes, for people.
            Bounds { writes: Some(9.0), ..lag(1200.0) },
        ),
        Scenario {
            limit: 2 * 3600,
            ..wave(
                "spread-10000",
                "10,000 drains over 50 clusters and 60 target groups, endings spread over an hour",
                large,
                Bounds { memory: Some(64.0), ..lag(45.0) },
            )
        },
    ]
}

fn others() -> Vec<Scenario> {
    vec![
        Scenario {
            plot: Plot::FailingCalls,
            ..wave(
                "failing-300-in-10",
                "300 drains in ten clusters, one call in a hundred fails",
                layout(10, 300),
                lag(45.0),
            )
        },
        Scenario {
            plot: Plot::Killed { at: 1800 },
            limit: 2 * 3600,
            ..wave(
                "killed-3000",
                "3,000 drains in ten clusters, endings spread over an hour; the process is killed in the middle",
                Layout { job: Job::Ends(3600), ..layout(10, 3000) },
                Bounds { slowest: Some(300.0), ..ANYWHERE },
            )
        },
        Scenario {
            plot: Plot::Killed { at: 900 },
            limit: 2 * 3600,
            ..wave(
                "killed-700-in-700",
                "one drain in each of 700 clusters, hooks of five minutes; the process is killed in the middle",
                Layout {
                    target_groups: 0,
                    tasks: 1,
                    job: Job::Ends(1800),
                    heartbeat_timeout: 300,
                    ..layout(700, 700)
                },
                // The next process does not know how much of AWS's burst the killed one has left.
                Bounds { slowest: Some(900.0), busiest: None, throttled: None, ..ANYWHERE },
            )
        },
        Scenario {
            plot: Plot::Rollout,
            limit: 2 * 3600,
            ..wave(
                "rollout-500",
                "an operator's rollout of 500, one at a time; two hours of it",
                layout(1, 500),
                Bounds { per_minute: Some(60.0), ..ANYWHERE },
            )
        },
        Scenario {
            plot: Plot::Resting,
            ..wave(
                "resting-300",
                "10 drains while 300 instances rest in a warm pool",
                Layout { drains: 10, ..layout(1, 310) },
                Bounds { per_minute: Some(60.0), ..lag(15.0) },
            )
        },
        Scenario {
            quick: true,
            ..wave(
                "stranger-700",
                "an instance that has never joined one of 700 clusters",
                Layout { strangers: 1, drains: 0, tasks: 1, target_groups: 0, ..layout(700, 700) },
                Bounds { whole: Some(1200.0), ..ANYWHERE },
            )
        },
        Scenario {
            quick: true,
            plot: Plot::Spot { over: 12 },
            limit: 60,
            ..wave(
                "spot-100",
                "100 Spot interruptions in twelve seconds, announced by the queue",
                Layout { queue: true, ..layout(10, 100) },
                Bounds { draining: Some(10.0), ..ANYWHERE },
            )
        },
        Scenario {
            plot: Plot::Spot { over: 120 },
            limit: 300,
            ..wave(
                "spot-1000",
                "1,000 Spot interruptions in two minutes, announced by the queue",
                Layout { queue: true, ..layout(10, 1000) },
                Bounds { draining: Some(20.0), busiest: None, ..ANYWHERE },
            )
        },
    ]
}

/// Returns scenarios with a failure that lasts for a while and must leave no trace: a quarter of an
/// hour later everything is normal again, and AWS's rates are never exceeded.
fn troubles() -> Vec<Scenario> {
    let row = |trouble, name, about, drains, clusters| {
        let layout =
            Layout { job: Job::Ends(7200), target_groups: clusters, ..layout(clusters, drains) };
        let span = if trouble == Trouble::AutoScalingHangs { 600 } else { 3600 };
        // A new process does not know how much of AWS's bursts is left, and throttled calls are so
        // by the plot.
        let bounds = match trouble {
            Trouble::TableAway | Trouble::AutoScalingHangs => ANYWHERE,
            Trouble::ReadsThrottled | Trouble::Kills => {
                Bounds { throttled: None, busiest: None, ..ANYWHERE }
            }
        };
        Scenario {
            plot: Plot::Troubled { trouble, from: 600, span },
            limit: 4 * 3600,
            ..wave(name, about, layout, Bounds { slowest: Some(900.0), ..bounds })
        }
    };
    vec![
        row(
            Trouble::TableAway,
            "table-away-100",
            "100 drains in five clusters, an hour without the table",
            100,
            5,
        ),
        row(
            Trouble::TableAway,
            "table-away-1000",
            "1,000 drains in ten clusters, an hour without the table",
            1000,
            10,
        ),
        row(
            Trouble::TableAway,
            "table-away-10000",
            "10,000 drains in 50 clusters, an hour without the table",
            10_000,
            50,
        ),
        row(
            Trouble::ReadsThrottled,
            "throttled-100",
            "100 drains in five clusters, an hour in which every read is throttled",
            100,
            5,
        ),
        row(
            Trouble::ReadsThrottled,
            "throttled-1000",
            "1,000 drains in ten clusters, an hour in which every read is throttled",
            1000,
            10,
        ),
        row(
            Trouble::ReadsThrottled,
            "throttled-10000",
            "10,000 drains in 50 clusters, an hour in which every read is throttled",
            10_000,
            50,
        ),
        row(
            Trouble::AutoScalingHangs,
            "hanging-100",
            "100 drains in five clusters, ten minutes in which Auto Scaling does not answer",
            100,
            5,
        ),
        row(
            Trouble::AutoScalingHangs,
            "hanging-1000",
            "1,000 drains in ten clusters, ten minutes in which Auto Scaling does not answer",
            1000,
            10,
        ),
        row(
            Trouble::AutoScalingHangs,
            "hanging-10000",
            "10,000 drains in 50 clusters, ten minutes in which Auto Scaling does not answer",
            10_000,
            50,
        ),
        row(
            Trouble::Kills,
            "killed-each-minute-100",
            "100 drains in five clusters, an hour in which the process is killed every minute",
            100,
            5,
        ),
        row(
            Trouble::Kills,
            "killed-each-minute-1000",
            "1,000 drains in ten clusters, an hour in which the process is killed every minute",
            1000,
            10,
        ),
        row(
            Trouble::Kills,
            "killed-each-minute-10000",
            "10,000 drains in 50 clusters, an hour in which the process is killed every minute",
            10_000,
            50,
        ),
    ]
}

fn heartbeats() -> Vec<Scenario> {
    let held = |name, about, layout: Layout, limit| {
        let layout = Layout { tasks: 1, target_groups: 0, job: Job::Endless, ..layout };
        Scenario {
            plot: Plot::Held,
            limit,
            ..wave(name, about, layout, Bounds { throttled: Some(0), busiest: None, ..ANYWHERE })
        }
    };
    let hour = layout(12, 12_000);
    let minute = Layout { heartbeat_timeout: 60, ..layout(1, 200) };
    let slow = |layout| Layout { latency: 15_000, ..layout };
    vec![
        held(
            "heartbeats-12000",
            "12,000 instances under hooks of an hour, for two hours",
            hour,
            2 * 3600,
        ),
        held("heartbeats-12000-slow", "the same while every call takes 15 s", slow(hour), 2 * 3600),
        held(
            "heartbeats-200",
            "200 instances under hooks of 60 s, for twenty minutes",
            minute,
            1200,
        ),
        Scenario {
            quick: true,
            limit: 1800,
            ..wave(
                "heartbeats-180-ending",
                "180 instances under hooks of 60 s, of which one ends every two seconds",
                Layout {
                    tasks: 1,
                    target_groups: 0,
                    job: Job::Ends(360),
                    heartbeat_timeout: 60,
                    ..layout(1, 180)
                },
                Bounds { throttled: Some(0), busiest: None, ..ANYWHERE },
            )
        },
        Scenario {
            quick: true,
            limit: 3000,
            ..wave(
                "heartbeats-600-another-hook",
                "600 instances under hooks of five minutes, of which one ends every three seconds and another hook holds on",
                Layout {
                    tasks: 1,
                    target_groups: 0,
                    job: Job::Ends(1800),
                    heartbeat_timeout: 300,
                    another_hook: true,
                    ..layout(1, 600)
                },
                Bounds { throttled: Some(0), busiest: None, ..ANYWHERE },
            )
        },
        Scenario {
            quick: true,
            ..held(
                "heartbeats-200-slow",
                "the same while every call takes 15 s",
                slow(minute),
                1200,
            )
        },
    ]
}

/// Returns the bounds that today's controller is known to miss.
fn expected_misses(name: &str) -> &'static [&'static str] {
    match name {
        "events-100" => &["lag"],
        "wave-700-in-700" => &["lag"],
        "spread-10000" => &["writes", "lag", "memory"],
        "table-away-10000" => &["slowest"],
        _ => &[],
    }
}
