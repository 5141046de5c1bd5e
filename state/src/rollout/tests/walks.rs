//! Random rollouts: crashes at every step, lost answers, operators, and instances that leave. The
//! sum of desired capacity is kept, and no instance drains twice.

use super::super::{Action, Options, Stage, Surge, What};
use super::World;

struct Chance(u64);

impl Chance {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % limit
    }

    fn one_in(&mut self, n: u64) -> bool {
        self.below(n) == 0
    }
}

fn small(number: u64) -> u32 {
    u32::try_from(number).unwrap()
}

#[test]
fn capacity_is_as_before_and_no_instance_drains_twice() {
    let (mut replaced, mut undone) = (0, 0);
    for seed in 1..=600 {
        let world = walk(seed);
        match world.stage().as_str() {
            "Done: Replaced" => replaced += 1,
            "Done: Undone" | "Done: Aborted" => undone += 1,
            other => panic!("seed {seed} ended as {other}: {}", world.why),
        }
        assert_eq!(
            i64::from(world.desired),
            i64::from(world.rollout().groups["web"].before.unwrap_or(world.desired)) + world.others,
            "seed {seed}: {:#?}",
            world.rollout().history
        );
        let terminated = world.terminated.values().all(|times| *times == 1);
        assert!(terminated, "seed {seed}: {:?}", world.terminated);
        assert!(world.opened.values().all(|times| *times == 1), "seed {seed}: {:?}", world.opened);
    }
    assert!(replaced > 200 && undone > 100, "{replaced} {undone}: they prove little");
}

fn walk(seed: u64) -> World {
    let mut chance = Chance(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1);
    let (old, current) = (1 + small(chance.below(6)), small(chance.below(4)));
    let max = old + current + small(chance.below(8));
    let surge = match chance.below(4) {
        0 => Surge::All,
        1 => Surge::Count(1 + small(chance.below(3))),
        2 => Surge::Percent(50),
        _ => Surge::None,
    };
    let wave = 1 + small(chance.below(3));
    let mut world = World::new(old, current, max, Options { surge, wave, ..Options::default() });
    let mut changes = 0;
    for pass in 0..3_000 {
        world.launches = !chance.one_in(3);
        if world.rollout().is_done() && world.drains.values().all(|drain| drain.outcome.is_some()) {
            break;
        }
        let stopped = matches!(world.rollout().stage, Stage::Stopped { .. } | Stage::Paused { .. });
        let what = match chance.below(if stopped { 8 } else { 120 }) {
            0 => Some(What::Resume),
            1 if pass > 4 => Some(What::Undo),
            2 if pass > 4 => Some(What::Abort),
            3 => Some(What::Pause),
            _ => None,
        };
        if let Some(what) = what {
            world.ask(what);
        }
        // Others scale, where that is not at the moment of a lost answer.
        let sends = world.rollout().groups["web"]
            .raise
            .is_some_and(|raise| raise.state == super::super::ChangeState::Sending)
            || world.rollout().groups["web"].lower.is_some();
        let counted = world.rollout().groups["web"].before.is_some();
        if counted && !sends && changes < 2 && chance.one_in(60) {
            changes += 1;
            if chance.one_in(2) && world.desired < world.max {
                world.desired += 1;
                world.others += 1;
            } else if let Some(id) = idle(&world) {
                world.instances.remove(&id);
                world.desired -= 1;
                world.others -= 1;
            }
        }
        step(&mut world, &mut chance);
    }
    world
}

/// Returns an instance that others can terminate.
fn idle(world: &World) -> Option<String> {
    let busy = |id: &String| {
        let ordered = &world.rollout().groups["web"];
        let ordered = ordered.ordered().any(|(one, _)| one == id);
        ordered || world.drains.get(id).is_some_and(|drain| drain.outcome.is_none())
    };
    world.instances.keys().find(|id| !busy(id)).cloned()
}

/// Makes a pass that may die before the save, after it, or between two actions; an answer may be
/// lost.
fn step(world: &mut World, chance: &mut Chance) {
    let decision = world.decide();
    let stops = matches!(decision.rollout.stage, Stage::Stopped { .. } | Stage::Paused { .. });
    assert!(!stops || decision.actions.is_empty(), "a stop opens no drain");
    let ordered = decision.actions.iter().filter(|action| matches!(action, Action::Drain { .. }));
    for action in ordered {
        let Action::Drain { instance, then } = action else { continue };
        let group = &decision.rollout.groups["web"];
        assert!(group.ordered().any(|(id, saved)| id == instance && saved == *then));
    }
    if chance.one_in(12) {
        world.live();
        return;
    }
    world.save(&decision);
    for action in &decision.actions {
        if chance.one_in(12) {
            world.answers.clear();
            break;
        }
        world.act(action);
        if chance.one_in(12) {
            world.answers.clear();
        }
    }
    world.live();
}
