//! The search of every state that can be reached, and of ways on which a drain goes round for ever.

use crate::controller::Begins;
use crate::state::{Faults, State};
use crate::world::Task;
use ecs_drain_state::Policy;
use std::collections::{HashMap, HashSet};
use std::thread;
use std::time::{Duration, Instant};

/// Maximum number of states in a layer of a limited search: each of them takes some kilobytes.
const MOST: usize = 400_000;

/// Result of a search.
#[derive(Debug, Default)]
pub struct Found {
    /// Number of states.
    pub states: usize,
    /// Number of ways from one state to another.
    pub transitions: usize,
    /// Number of steps to the farthest state.
    pub depth: usize,
    /// True if there are no further states.
    pub closed: bool,
    /// Number of ways on which an instance was released.
    pub completed: usize,
    /// Number of those on which something was left that a person's `ACTIVE` had let in, by its age
    /// in steps.
    pub excused: [usize; 16],
    /// A broken promise, and the way to it.
    pub broken: Option<String>,
    /// A way on which a drain goes round, without any fault, and the way to it.
    pub endless: Option<String>,
}

/// Input of a search.
#[derive(Clone, Debug)]
pub struct Model {
    /// The controller's policy.
    pub policy: Policy,
    /// Duration of a step.
    pub step: Duration,
    /// Maximum lag of a read, in steps.
    pub lag: usize,
    /// Number of steps after its placement in which a task that a person's `ACTIVE` let in may be
    /// overlooked.
    pub excuse: u8,
    /// The instances, by the beginning of their drains: one or two.
    pub begins: Vec<Begins>,
    /// Number of controllers: one or two.
    pub controllers: usize,
    /// The task that is there from the beginning.
    pub first: Task,
    /// True if someone else has set the container instances to `DRAINING` before.
    pub draining: bool,
    /// True if a person's change can stay; false if it lasts for less than a step.
    pub flips: bool,
    /// True if ECS places tasks by itself before the drain begins; false if only a person lets them
    /// in.
    pub ecs_places: bool,
    /// True if the search also checks that every way ends once nothing interferes.
    pub must_end: bool,
    /// Faults that can happen.
    pub faults: Faults,
    /// True if the search also checks that forgotten ages make no difference.
    pub remembers: bool,
    /// Maximum duration of the search.
    pub limit: Option<Duration>,
}

/// The states that follow from a part of a layer.
#[derive(Default)]
struct Part {
    transitions: usize,
    new: Vec<(u128, u128, State)>,
    endless: Option<u128>,
}

impl Model {
    /// Searches, breadth first, until every state was seen, a promise is broken, or the time is
    /// over.
    pub fn search(&self) -> Found {
        let until = self.limit.map(|limit| Instant::now() + limit);
        let mut found = Found::default();
        let mut from: HashMap<u128, u128> = HashMap::new();
        let workers = thread::available_parallelism().map_or(1, usize::from);
        let mut ends: Vec<HashSet<u128>> = vec![HashSet::new(); workers];
        let start = State::new(self);
        from.insert(start.key(), 0);
        let mut layer = vec![(start.key(), start)];
        while !layer.is_empty() {
            let share = layer.len().div_ceil(workers);
            let parts: Vec<Part> = thread::scope(|scope| {
                let known = &from;
                let each = layer.chunks(share).zip(&mut ends);
                let running: Vec<_> = each
                    .map(|(part, ends)| scope.spawn(move || self.follow(part, known, ends, until)))
                    .collect();
                running
                    .into_iter()
                    .map(|part| part.join().expect("a search that does not panic"))
                    .collect()
            });
            let mut next = Vec::new();
            for part in parts {
                found.transitions += part.transitions;
                if let Some(key) = part.endless {
                    found.endless = Some(self.explain(&from, key));
                    return found;
                }
                for (key, parent, new) in part.new {
                    if from.contains_key(&key) {
                        continue;
                    }
                    from.insert(key, parent);
                    if new.broken.is_some() {
                        found.broken = Some(self.explain(&from, key));
                        return found;
                    }
                    if let Some(left) = new.let_go {
                        found.completed += 1;
                        left.iter().for_each(|age| found.excused[usize::from(*age)] += 1);
                    }
                    if !new.is_over() {
                        next.push((key, new));
                    }
                }
            }
            found.states = from.len();
            if self.is_too_much(until, next.len()) {
                return found;
            }
            found.depth += usize::from(!next.is_empty());
            // The keys give the order, so that every run is the same.
            next.sort_by_key(|(key, _)| *key);
            layer = next;
        }
        found.closed = true;
        found
    }

    /// Returns the states that follow from these.
    fn follow(
        &self,
        layer: &[(u128, State)],
        known: &HashMap<u128, u128>,
        ends: &mut HashSet<u128>,
        until: Option<Instant>,
    ) -> Part {
        let mut part = Part::default();
        let mut met = HashSet::new();
        for (key, state) in layer {
            if self.is_too_much(until, part.new.len() * 2) {
                break;
            }
            if self.must_end && self.goes_round(state, *key, ends, &mut Vec::new()) {
                part.endless = Some(*key);
                return part;
            }
            for (new_key, mut new) in self.steps(state, false) {
                part.transitions += 1;
                if known.contains_key(&new_key) || !met.insert(new_key) {
                    continue;
                }
                if new.is_settled()
                    && let Some(what) = new.sites.iter().find_map(|site| site.left_behind())
                {
                    new.broken.get_or_insert(what);
                }
                part.new.push((new_key, *key, new));
            }
        }
        part
    }

    /// Returns whether a limited search ends here.
    fn is_too_much(&self, until: Option<Instant>, states: usize) -> bool {
        until.is_some_and(|until| Instant::now() > until || states > MOST)
    }

    /// Returns whether a way of steps without faults, on which the world moves on, comes back to an
    /// earlier state.
    fn goes_round(
        &self,
        state: &State,
        key: u128,
        ends: &mut HashSet<u128>,
        way: &mut Vec<u128>,
    ) -> bool {
        if state.is_settled() || state.broken.is_some() || ends.contains(&key) {
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

    /// Tells the way to a state, as a story.
    fn explain(&self, from: &HashMap<u128, u128>, key: u128) -> String {
        let mut way = vec![key];
        while let Some(before) = from.get(&way[way.len() - 1]).filter(|before| **before != 0) {
            way.push(*before);
        }
        way.reverse();
        let mut state = State::new(self);
        state.log = Some(Vec::new());
        let mut lines = Vec::new();
        for (step, key) in way.iter().enumerate().skip(1) {
            let n = state.turn;
            let next = self.steps(&state, false).into_iter().find(|(next, _)| next == key);
            state = next.expect("each state follows from the one before").1;
            let at = (step - 1) / self.begins.len() * self.step.as_secs() as usize;
            lines.push(format!("{at:>5} s  {}: {}", self.name(n), state.sites[n].world));
            lines.extend(state.log.iter().flatten().map(|line| format!("         {line}")));
            if let (Some(what), true) = (state.sites[n].left_behind(), state.is_settled()) {
                lines.push(format!("         BROKEN: {what}"));
            }
        }
        lines.push(format!("what may still go wrong: {}", state.left));
        lines.join("\n")
    }

    fn name(&self, n: usize) -> &'static str {
        ["instance a", "instance b"][n]
    }
}
