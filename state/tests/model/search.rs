//! Every state that can be reached, and whether a drain can go round in it for ever.

use crate::hash::Wide;
use crate::process::{Process, Sent};
use crate::world::{Act, Task, World};
use ecs_drain_state::{Kind, Order, Phase, Policy};
use jiff::Timestamp;
use std::collections::{BTreeMap, HashMap, HashSet};
use std::hash::Hash;
use std::time::Duration;

/// What can go wrong, and how often.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Faults {
    /// Acts of a person on the container instance.
    pub acts: u8,
    /// Acts of a person on the drain: a pause, and its end.
    pub pauses: u8,
    /// Crashes of the controller.
    pub crashes: u8,
    /// Reads that come a step later, and calls that wait a step for their permit.
    pub slow: u8,
}

/// The drain and its world.
#[derive(Clone, Debug)]
pub struct State {
    world: World,
    process: Process,
    left: Faults,
    /// What was completed, once it was.
    over: bool,
}

impl State {
    fn new(first: Task, lag: usize, faults: Faults) -> State {
        State { world: World::new(first, lag), process: Process::new(), left: faults, over: false }
    }

    /// A hash of all that makes a difference.
    fn key(&self) -> u128 {
        let mut hasher = Wide::default();
        (&self.world, self.left, self.over).hash(&mut hasher);
        self.process.hash(&mut hasher);
        hasher.wide()
    }

    /// Forgets what can make no difference. Of versions only the order counts.
    fn forget(&mut self, policy: &Policy) {
        self.process.forget(policy);
        let seen = self.process.drain.facts.instances.iter_mut().filter_map(|one| one.sight.as_mut());
        let mut versions: Vec<&mut i64> = seen.map(|(_, sight)| &mut sight.version).collect();
        versions.extend(self.world.past.iter_mut().map(|truth| &mut truth.version));
        let mut known: Vec<i64> = versions.iter().map(|version| **version).collect();
        known.sort_unstable();
        known.dedup();
        let rank = |version: i64| known.iter().position(|known| *known == version).unwrap_or(0);
        versions.into_iter().for_each(|version| *version = rank(*version) as i64);
    }
}

/// What a search found.
#[derive(Debug, Default)]
pub struct Found {
    /// States.
    pub states: usize,
    /// Steps to the farthest.
    pub depth: usize,
    /// Completions that were sent.
    pub completed: usize,
    /// Completions although something was left that a person's `ACTIVE` let in, by how many steps ago.
    pub excused: [usize; 16],
    /// A completion although something was left, and how it came to that.
    pub violation: Option<String>,
    /// A way on which a drain goes round, without any fault, and how it came to that.
    pub endless: Option<String>,
}

/// The model.
pub struct Model {
    /// What the controller believes.
    pub policy: Policy,
    /// How long a step takes.
    pub step: Duration,
    /// How many steps a read lags at most.
    pub lag: usize,
    /// For how many steps after its placement a task that a person's `ACTIVE` let in may be overlooked.
    pub excuse: u8,
    /// The task that is there from the beginning.
    pub first: Task,
    /// Whether a person leaves it as it was made, or only for less than a step.
    pub flips: bool,
    /// Whether ECS places tasks by itself before the drain begins, or only what a person lets in.
    pub ecs_places: bool,
    /// Whether it is looked at, too, that every way ends once nothing interferes.
    pub must_end: bool,
    /// What can go wrong.
    pub faults: Faults,
}

/// What one step can come to.
struct Steps {
    states: BTreeMap<u128, State>,
}

impl Steps {
    fn add(&mut self, policy: &Policy, mut state: State) -> u128 {
        state.forget(policy);
        let key = state.key();
        self.states.entry(key).or_insert(state);
        key
    }
}

impl Model {
    /// Searches, breadth first, until everything was seen or something is wrong.
    pub fn search(&self) -> Found {
        let mut found = Found::default();
        let mut from: HashMap<u128, u128> = HashMap::new();
        let mut ends = HashSet::new();
        let start = State::new(self.first, self.lag, self.faults);
        from.insert(start.key(), 0);
        let mut layer = vec![(start.key(), start)];
        while !layer.is_empty() {
            let mut next = Vec::new();
            for (key, state) in layer {
                if self.must_end && self.goes_round(&state, key, &mut ends, &mut Vec::new()) {
                    found.endless = Some(self.explain(&from, key));
                    return found;
                }
                for (new_key, new) in self.steps(&state, false) {
                    if from.contains_key(&new_key) {
                        continue;
                    }
                    from.insert(new_key, key);
                    if !new.over {
                        next.push((new_key, new));
                        continue;
                    }
                    found.completed += 1;
                    if new.world.is_empty() {
                        continue;
                    }
                    match new.world.excused() {
                        Some(age) if age <= self.excuse => found.excused[usize::from(age)] += 1,
                        _ => {
                            found.violation = Some(self.explain(&from, new_key));
                            return found;
                        }
                    }
                }
            }
            found.depth += usize::from(!next.is_empty());
            // The order is that of the keys, so that every run is the same.
            next.sort_by_key(|(key, _)| *key);
            layer = next;
        }
        found.states = from.len();
        found
    }

    /// Whether a way of steps without faults, on which the world goes on, comes back to where it was.
    fn goes_round(&self, state: &State, key: u128, ends: &mut HashSet<u128>, way: &mut Vec<u128>) -> bool {
        if state.over || ends.contains(&key) {
            return false;
        }
        way.push(key);
        for (next_key, next) in self.steps(state, true) {
            if way.contains(&next_key) || self.goes_round(&next, next_key, ends, way) {
                return true;
            }
        }
        way.pop();
        ends.insert(key);
        false
    }

    /// Every state that can follow in one step; or only those that follow without a fault.
    fn steps(&self, state: &State, fair: bool) -> Vec<(u128, State)> {
        let mut begun = Steps { states: BTreeMap::new() };
        let mut state = state.clone();
        state.process.age(self.step);
        if fair {
            state.world = state.world.progress();
            self.go_on(&mut state);
            self.begin(state, fair, &mut begun);
        } else {
            for act in [Act::Nothing, Act::Flip, Act::Blink, Act::Pause] {
                let blinks = act == Act::Blink && !state.world.truth().draining;
                let left = match act {
                    Act::Nothing => Some(state.left),
                    Act::Flip if !self.flips => None,
                    Act::Flip | Act::Blink => state.left.acts.checked_sub(1).map(|acts| Faults { acts, ..state.left }),
                    Act::Pause => state.left.pauses.checked_sub(1).map(|pauses| Faults { pauses, ..state.left }),
                };
                let Some(left) = left.filter(|_| !blinks) else { continue };
                for world in state.world.next(act, self.ecs_places) {
                    let mut next = State { world, left, ..state.clone() };
                    if act == Act::Pause {
                        self.pause(&mut next);
                    }
                    self.begin(next, fair, &mut begun);
                }
            }
        }
        // What a first round of reads shows can make others wanted, which come in the same step.
        let mut now: Vec<(State, Vec<Kind>)> = begun.states.into_values().map(|state| (state, Vec::new())).collect();
        let mut done = Steps { states: BTreeMap::new() };
        for _ in 0..3 {
            let mut read = Steps { states: BTreeMap::new() };
            let mut kinds_of: HashMap<u128, Vec<Kind>> = HashMap::new();
            for (state, met) in now {
                let wanted = state.process.wants();
                let wanted: Vec<Kind> = wanted.into_iter().filter(|kind| !met.contains(kind)).collect();
                if wanted.is_empty() || state.over {
                    done.add(&self.policy, state);
                    continue;
                }
                let kinds: Vec<Kind> = met.iter().chain(&wanted).copied().collect();
                for state in self.read(state, &wanted, fair) {
                    for state in self.act(state, fair) {
                        let key = read.add(&self.policy, state);
                        let fewest =
                            kinds_of.remove(&key).map_or_else(|| kinds.clone(), |known| known.min(kinds.clone()));
                        kinds_of.insert(key, fewest);
                    }
                }
            }
            now = read
                .states
                .into_iter()
                .map(|(key, state)| (state, kinds_of.remove(&key).unwrap_or_default()))
                .collect();
        }
        for (state, _) in now {
            done.add(&self.policy, state);
        }
        let mut all: Vec<_> = done.states.into_iter().collect();
        all.sort_by_key(|(key, _)| *key);
        all
    }

    fn pause(&self, state: &mut State) {
        let mut record = state.process.drain.record.clone();
        record.orders.pause = match record.orders.pause {
            None => Some(Order { by: "Ada".to_owned(), reason: None, at: Timestamp::UNIX_EPOCH }),
            Some(_) => None,
        };
        state.process.write(record);
    }

    /// A pause ends once nobody interferes any more.
    fn go_on(&self, state: &mut State) {
        if state.process.drain.record.orders.pause.is_some() {
            self.pause(state);
        }
    }

    /// What comes before a step's reads: a call that waited, or a crash; and decisions that need none.
    fn begin(&self, mut state: State, fair: bool, into: &mut Steps) {
        if !fair && state.left.crashes > 0 {
            let mut crashed = state.clone();
            crashed.left.crashes -= 1;
            crashed.process.crash();
            crashed.process.read_group(&self.policy);
            for state in self.act(crashed, fair) {
                into.add(&self.policy, state);
            }
        }
        if let Some(action) = state.process.queued.take() {
            let sent = state.process.send(&action, &self.policy, &mut state.world);
            state.over = sent == Sent::Completed;
        }
        state.process.read_group(&self.policy);
        for state in self.act(state, fair) {
            into.add(&self.policy, state);
        }
    }

    /// Reads what is wanted, each as of any moment that it can see.
    fn read(&self, state: State, wanted: &[Kind], fair: bool) -> Vec<State> {
        let mut all = vec![state];
        for kind in wanted {
            let mut next = Vec::with_capacity(all.len());
            for state in all {
                let answers = state.process.answers(*kind, &state.world.past);
                if !fair && state.left.slow > 0 {
                    let mut slow = state.clone();
                    slow.left.slow -= 1;
                    next.push(slow);
                }
                let mut answers = answers.into_iter().peekable();
                let mut state = Some(state);
                while let Some(answer) = answers.next() {
                    let of = if answers.peek().is_some() { state.clone() } else { state.take() };
                    let Some(mut read) = of else { break };
                    read.process.heed(&self.policy, answer);
                    next.push(read);
                }
            }
            all = next;
        }
        all
    }

    /// Decides, saves and sends, or dies or waits in between.
    fn act(&self, mut state: State, fair: bool) -> Vec<State> {
        if state.over {
            return vec![state];
        }
        let decision = state.process.decide(&self.policy);
        state.process.needs = decision.needs;
        if decision.save {
            state.process.write(decision.record.clone());
        }
        let Some(action) = decision.actions.first() else { return vec![state] };
        assert!(decision.actions.len() == 1, "one container instance needs one call");
        let mut all = Vec::new();
        if !fair && state.left.slow > 0 {
            let mut slow = state.clone();
            slow.left.slow -= 1;
            slow.process.queued = Some(action.clone());
            all.push(slow);
        }
        if !fair && state.left.crashes > 0 && decision.save {
            let mut crashed = state.clone();
            crashed.left.crashes -= 1;
            crashed.process.crash();
            all.push(crashed);
        }
        let sent = state.process.send(action, &self.policy, &mut state.world);
        assert!(
            sent != Sent::Refused || state.process.drain.record.phase() != Phase::Completing,
            "decided and refused"
        );
        state.over = sent == Sent::Completed;
        all.push(state);
        all
    }

    /// How a state came to be, a line a step.
    fn explain(&self, from: &HashMap<u128, u128>, key: u128) -> String {
        let mut way = vec![key];
        while let Some(before) = from.get(&way[way.len() - 1]).filter(|before| **before != 0) {
            way.push(*before);
        }
        way.reverse();
        let mut state = State::new(self.first, self.lag, self.faults);
        let mut lines = vec![self.show(0, &state)];
        for (step, key) in way.iter().enumerate().skip(1) {
            let next = self.steps(&state, false).into_iter().find(|(next, _)| next == key);
            state = next.expect("each state follows from the one before").1;
            lines.push(self.show(step, &state));
        }
        lines.join("\n")
    }

    fn show(&self, step: usize, state: &State) -> String {
        let record = &state.process.drain.record;
        let facts = &state.process.drain.facts;
        let seen = facts.instances.first().and_then(|one| one.sight.as_ref());
        let seen = seen
            .map_or_else(|| "nothing".to_owned(), |(_, s)| format!("{:?} live {} v{}", s.status, s.live, s.version));
        let tasks: Vec<_> = facts
            .tasks
            .iter()
            .map(|(arn, task)| format!("{arn}{}", if task.stopped.is_some() { " stopped" } else { "" }))
            .collect();
        format!(
            "{:>5} s  {}  | {} {}{}: saw {seen}, {tasks:?}, target {:?}; left {:?}",
            step * self.step.as_secs() as usize,
            state.world,
            record.phase(),
            if record.orders.pause.is_some() { "paused " } else { "" },
            if state.over { "COMPLETED" } else { "" },
            facts.targets.first().and_then(|target| target.sight.as_ref()).map(|(_, sight)| sight),
            state.left,
        )
    }
}
