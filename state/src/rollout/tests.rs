//! Tests of rollouts: tables for each rule, then random worlds with crashes.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod requests;
mod stops;
mod walks;
mod world;

use super::{Action, Options, Stage, Surge, Turn, What};
use world::World;

fn surge(surge: Surge) -> Options {
    Options { surge, ..Options::default() }
}

#[test]
fn all_old_instances_drain_together_onto_new_ones() {
    let mut world = World::new(4, 2, 20, Options::default());
    world.run(100);
    assert_eq!(world.stage(), "Done: Replaced");
    assert_eq!((world.desired, world.old_left(), world.instances.len()), (6, 0, 6));
    assert_eq!((world.most, world.launched), (4, 4), "new capacity came first, and once");
}

#[test]
fn no_drain_begins_before_the_soak_has_passed() {
    let mut world = World::new(2, 0, 10, Options::default());
    world.run_until_it_drains();
    let born = world.instances["i-new01"].born;
    assert!(world.now.duration_since(born).as_secs() >= 120);
}

#[test]
fn a_maximum_without_room_for_all_makes_waves_that_give_back_at_the_end() {
    // (old, others, maximum) -> (largest wave, launched)
    for (old, others, max, most, launched) in
        [(5, 0, 7, 2, 5), (5, 1, 7, 1, 5), (6, 0, 9, 3, 6), (3, 0, 5, 2, 3)]
    {
        let mut world = World::new(old, others, max, Options::default());
        world.run(400);
        assert_eq!(world.stage(), "Done: Replaced", "{old} of {max}");
        assert_eq!(world.desired, old + others, "{old} of {max}");
        assert_eq!((world.most, world.launched), (most, launched), "{old} of {max}");
    }
}

#[test]
fn without_room_or_surge_one_instance_leaves_at_a_time() {
    for (max, options) in [(4, Options::default()), (9, surge(Surge::None))] {
        let mut world = World::new(4, 0, max, options);
        world.run(400);
        assert_eq!(world.stage(), "Done: Replaced");
        assert_eq!((world.desired, world.most, world.old_left()), (4, 1, 0));
    }
}

#[test]
fn surge_is_a_number_or_a_part() {
    let of = |surge: Surge| surge.of(10, 8);
    assert_eq!(of(Surge::All), 8);
    assert_eq!(of(Surge::Count(3)), 3);
    assert_eq!(of(Surge::Percent(25)), 3);
    assert_eq!(of(Surge::Percent(1)), 1);
    assert_eq!(of(Surge::None), 0);
    assert_eq!(Surge::Count(9).of(4, 100), 4);
}

#[test]
fn the_raise_is_saved_before_it_is_sent() {
    let mut world = World::new(2, 0, 10, Options::default());
    world.pass();
    let decision = world.decide();
    assert!(decision.save);
    let raise = Action::SetDesired { group: "web".into(), from: 2, to: 4 };
    assert_eq!(decision.actions, [raise]);
    let saved = decision.rollout.groups["web"].raise.unwrap();
    assert_eq!((saved.from, saved.to), (2, 4));
}

#[test]
fn a_raise_whose_answer_was_lost_is_settled_by_a_read() {
    // (applied, change by others) -> desired capacity at the end. Where a third value makes it
    // unsure, the group keeps at least the capacity before.
    for (applied, others, end) in
        [(true, 0_i64, 4_i64), (false, 0, 4), (true, 2, 6), (true, -1, 4), (false, 1, 4)]
    {
        let mut world = World::new(4, 0, 20, Options::default());
        world.pass();
        let decision = world.decide();
        world.save(&decision);
        if applied {
            world.desired = 8;
        }
        world.desired = u32::try_from(i64::from(world.desired) + others).unwrap();
        world.run(400);
        assert_eq!(world.stage(), "Done: Replaced", "{applied} {others}");
        assert_eq!(i64::from(world.desired), end, "{applied} {others}");
        assert!(world.launched <= 10, "it was never raised twice");
    }
}

#[test]
fn a_group_that_changed_before_the_call_is_counted_again() {
    let mut world = World::new(2, 0, 10, Options::default());
    world.pass();
    let decision = world.decide();
    world.save(&decision);
    world.desired = 5;
    world.act(&decision.actions[0]);
    world.run(200);
    assert_eq!((world.stage().as_str(), world.desired), ("Done: Replaced", 5));
}

#[test]
fn autoscaling_meanwhile_is_kept() {
    for change in [3_i64, -1] {
        let mut world = World::new(4, 2, 30, Options::default());
        world.run_until_it_drains();
        world.desired = u32::try_from(i64::from(world.desired) + change).unwrap();
        if change < 0 {
            world.instances.remove("i-current01");
        }
        world.run(300);
        assert_eq!(world.stage(), "Done: Replaced");
        assert_eq!(i64::from(world.desired), 6 + change);
    }
}

#[test]
fn an_old_instance_that_leaves_by_itself_leaves_its_capacity_to_another() {
    let mut world = World::new(3, 0, 10, Options::default());
    while world.desired == 3 {
        world.pass();
    }
    // Scale-in by others.
    world.instances.remove("i-old02");
    world.desired -= 1;
    world.run(300);
    assert_eq!(world.stage(), "Done: Replaced");
    assert_eq!((world.desired, world.instances.len()), (2, 2));
    assert_eq!(world.rollout().groups["web"].old["i-old02"], Turn::Gone);
}

#[test]
fn an_abort_finishes_what_drains_and_gives_the_rest_back() {
    let mut world = World::new(6, 0, 8, Options::default());
    world.run_until_it_drains();
    world.ask(What::Abort);
    world.run(200);
    assert_eq!(world.stage(), "Done: Aborted");
    assert_eq!((world.desired, world.instances.len()), (6, 6));
    assert_eq!(world.old_left(), 4, "two were draining");
}

#[test]
fn an_undo_keeps_what_is_there() {
    let mut world = World::new(4, 0, 20, Options::default());
    world.run_until_it_drains();
    world.ask(What::Undo);
    world.run(200);
    assert_eq!(world.stage(), "Done: Undone");
    assert_eq!((world.desired, world.old_left(), world.instances.len()), (4, 4, 4));
    let turns = &world.rollout().groups["web"].old;
    assert!(turns.values().all(|turn| *turn == Turn::Kept), "{turns:?}");
}

#[test]
fn capacity_for_which_nothing_came_is_lowered_without_a_termination() {
    let mut world = World::new(3, 0, 20, Options::default());
    world.launches = false;
    world.run(400);
    assert!(world.stage().starts_with("Stopped: replacements of group web are missing"));
    assert_eq!((world.desired, world.drains.len()), (6, 0));
    world.ask(What::Undo);
    world.run(20);
    assert_eq!((world.stage().as_str(), world.desired), ("Done: Undone", 3));
    assert_eq!(world.old_left(), 3);
    assert!(world.terminated.is_empty());
}

#[test]
fn a_pause_begins_no_drain_and_a_resume_continues() {
    let mut world = World::new(4, 0, 6, Options::default());
    world.run_until_it_drains();
    world.ask(What::Pause);
    world.run(60);
    let opened = world.opened.len();
    assert_eq!((world.stage().as_str(), opened), ("Paused", 2));
    world.ask(What::Resume);
    world.run(300);
    assert_eq!((world.stage().as_str(), world.desired), ("Done: Replaced", 4));
}

#[test]
fn its_message_is_at_most_a_minute_old() {
    let mut world = World::new(2, 0, 10, Options::default());
    let mut messages = std::collections::BTreeSet::new();
    while world.opened.is_empty() {
        world.pass();
        let age = world.now.duration_since(world.rollout().updated_at);
        assert!(age.as_secs() < 75, "{age}: {}", world.rollout().message);
        messages.insert(world.rollout().message.clone());
    }
    assert!(messages.iter().any(|message| message.contains("has been fit for")), "{messages:?}");
}

#[test]
fn progress_and_its_estimate_are_counted() {
    let mut world = World::new(4, 0, 6, Options::default());
    assert_eq!(world.rollout().estimate(world.now), None);
    while world.rollout().progress().left == 0 {
        world.pass();
    }
    let progress = world.rollout().progress();
    assert_eq!((progress.total, progress.left, progress.surplus), (4, 2, 2));
    let took = world.now.duration_since(world.rollout().started_at.unwrap());
    let estimate = world.rollout().estimate(world.now).unwrap();
    assert!((estimate - took).abs().as_secs() <= 1, "half is left");
    assert_eq!(world.rollout().stage, Stage::Running);
}

#[test]
fn an_instance_is_fit_when_it_is_active_connected_and_runs_its_daemons() {
    use super::{InstanceSight, Traits};
    use crate::sight::ContainerInstanceStatus::{Active, Draining};
    let span = Some(std::time::Duration::from_secs(9));
    let judge = |status, connected, missing: &[String]| {
        let one = InstanceSight::judge(Traits::default(), &status, connected, missing).since(span);
        (one.fit_for, one.unfit.unwrap_or_default())
    };
    assert_eq!(judge(Active, true, &[]), (span, String::new()));
    assert_eq!(judge(Draining, true, &[]), (None, "is not ACTIVE".into()));
    assert_eq!(judge(Active, false, &[]), (None, "has no connected agent".into()));
    let missing = judge(Active, true, &["logs".into()]);
    assert_eq!(missing, (None, "runs no task of daemon service logs".into()));
}
