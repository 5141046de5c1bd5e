//! The bench's quick scenarios: the controller's reach at AWS's published request rates, by calls,
//! throttled calls, hooks and virtual times. `cargo run --profile bench-run --bin bench` plays all
//! of them, and measures memory.

use ecs_drain_bench::play::play;
use ecs_drain_bench::report::report;
use ecs_drain_bench::scenario::Scenario;
use ecs_drain_bench::table::scenarios;
use std::collections::BTreeSet;

/// Plays a scenario and compares the bounds that it misses with those that it is expected to miss:
/// a bound that is met must leave the list.
fn misses_as_expected(scenario: &Scenario) {
    let figures = play(scenario, None, &|_, _| {}, |_| {});
    println!("{}", report(scenario, &figures));
    let missed: BTreeSet<&str> =
        figures.misses(scenario).into_iter().map(|(name, _)| name).collect();
    // Only the program measures memory.
    let expected: BTreeSet<&str> =
        scenario.expected_misses.iter().copied().filter(|name| *name != "memory").collect();
    assert_eq!(missed, expected, "missed, and expected to be missed: {}", scenario.name);
}

/// One test for each quick scenario, so that they run in parallel.
macro_rules! quick {
    ($($test:ident: $name:literal,)*) => {
        $(#[test]
        fn $test() {
            let scenario = scenarios().into_iter().find(|scenario| scenario.name == $name);
            misses_as_expected(&scenario.expect("a scenario of this name"));
        })*

        #[test]
        fn every_quick_scenario_is_played() {
            let quick: Vec<&str> = scenarios().iter().filter(|one| one.quick).map(|one| one.name).collect();
            assert_eq!(quick, [$($name),*]);
        }
    };
}

quick! {
    ten_drains: "wave-10",
    a_hundred_drains: "wave-100",
    a_hundred_drains_with_events: "events-100",
    awsvpc_tasks_behind_a_network_load_balancer: "network",
    fifty_drains_in_ten_clusters: "wave-50-in-10",
    thirty_clusters: "wave-30-in-30",
    an_instance_that_has_never_joined_one_of_700_clusters: "stranger-700",
    spot_interruptions_that_come_together: "spot-100",
    heartbeats_while_drains_end: "heartbeats-180-ending",
    heartbeats_while_another_hook_goes_on_holding: "heartbeats-600-another-hook",
    heartbeats_while_every_call_is_slow: "heartbeats-200-slow",
}
