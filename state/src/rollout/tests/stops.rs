//! The reasons for which a rollout stops by itself.

use super::super::{Options, ShortService, What};
use super::World;
use jiff::SignedDuration;
use std::time::Duration;

fn draining() -> World {
    let mut world = World::new(4, 0, 6, Options::default());
    world.run_until_it_drains();
    world
}

/// Checks that nothing begins once it has stopped.
fn stops(mut world: World, why: &str) {
    world.run(300);
    assert!(world.stage().starts_with(&format!("Stopped: {why}")), "{}", world.stage());
    let (opened, desired) = (world.opened.clone(), world.desired);
    for _ in 0..20 {
        assert_eq!(world.pass(), []);
    }
    assert_eq!((opened, desired), (world.opened.clone(), world.desired));
}

#[test]
fn replacements_that_never_become_fit_stop_it() {
    let mut world = World::new(2, 0, 10, Options::default());
    world.heals = false;
    stops(
        world,
        "replacements of group web are missing: 0 of 2 new instances of group web are fit; i-new02 has no connected agent",
    );
}

#[test]
fn the_time_of_a_pause_is_no_reason_to_stop() {
    let mut world = World::new(2, 0, 10, Options::default());
    world.heals = false;
    world.run(60);
    assert_eq!(world.stage(), "Running");
    world.paused = Some("Ada".to_owned());
    world.run(480);
    world.paused = None;
    world.instances.values_mut().for_each(|one| one.fit = true);
    world.run(300);
    assert_eq!((world.stage().as_str(), world.desired), ("Done: Replaced", 2));
}

#[test]
fn a_stuck_drain_stops_it_after_its_limit() {
    let mut world = draining();
    world.drains_end = false;
    let since = world.now - SignedDuration::from_mins(29);
    world.drains.values_mut().for_each(|drain| drain.stuck_since = Some(since));
    world.pass();
    assert_eq!(world.stage(), "Running");
    stops(world, "the drain of i-old01 is stuck: a task is protected");
}

#[test]
fn a_drain_that_its_deadline_ended_stops_it() {
    let mut world = draining();
    world.drains.values_mut().next().unwrap().outcome = Some(crate::phase::Outcome::TimedOut);
    stops(world, "the drain of i-old01 was ended by its deadline, with tasks left");
}

#[test]
fn a_cancelled_drain_stops_it_and_its_instance_is_kept() {
    let mut world = draining();
    world.drains.values_mut().next().unwrap().outcome = Some(crate::phase::Outcome::Cancelled);
    stops(world.clone(), "the drain of i-old01 was cancelled");
    world.run(100);
    world.ask(What::Resume);
    world.run(300);
    assert_eq!((world.stage().as_str(), world.desired), ("Done: Replaced", 4));
    assert!(world.instances.contains_key("i-old01"));
}

#[test]
fn a_service_that_stays_short_stops_it_unless_it_was_short_before() {
    let short = |service: &str| ShortService {
        cluster: "shop".into(),
        service: service.into(),
        running: 2,
        desired: 3,
        short_for: Duration::from_secs(1_800),
    };
    let mut world = World::new(4, 0, 6, Options::default());
    world.short = Some(vec![short("broken")]);
    world.run_until_it_drains();
    world.pass();
    assert_eq!(world.stage(), "Running");
    world.short = Some(vec![short("broken"), short("api")]);
    stops(world, "service api of cluster shop has run fewer than its 3 tasks for 30 min: 2");
}

#[test]
fn an_instance_refresh_stops_it() {
    let mut world = World::new(4, 0, 6, Options::default());
    world.refreshes = true;
    stops(world, "an instance refresh of group web runs");
}

#[test]
fn a_replacement_that_is_as_old_stops_it() {
    let mut world = World::new(4, 0, 6, Options::default());
    while world.launched == 0 {
        world.pass();
    }
    world.instances.get_mut("i-new01").unwrap().old = true;
    stops(world, "the new instance i-new01 of group web counts as old, too");
}

#[test]
fn services_that_cannot_be_read_delay_it() {
    let mut world = World::new(4, 0, 6, Options::default());
    world.short = None;
    world.run(50);
    assert_eq!(
        (world.stage().as_str(), world.why.as_str()),
        ("Counting", "its groups and services must be read")
    );
    assert_eq!(world.desired, 4);
}
