//! Every state that can be reached, and whether a drain can go round in it for ever.

use crate::controller::Begins;
use crate::state::{Faults, State};
use crate::world::Task;
use ecs_drain_state::Policy;
use std::collections::{HashMap, HashSet};
use std::thread;
use std::time::{Duration, Instant};

/// How many states a layer of a search may have that is limited: each of them takes some kilobytes.
const MOST: usize = 400_000;

/// What a search found.
#[derive(Debug, Default)]
pub struct Found {
    /// States.
    pub states: usize,
    /// Ways from one state to another.
    pub transitions: usize,
    /// Steps to the farthest.
    pub depth: usize,
    /// Whether there is no other.
    pub closed: bool,
    /// Ways on which an instance was let go.
    pub completed: usize,
    /// Those on which something was left that a person's `ACTIVE` let in, by how many steps ago.
    pub excused: [usize; 16],
    /// What is broken, and how it came to that.
    pub broken: Option<String>,
    /// A way on which a drain goes round, without any fault, and how it came to that.
    pub endless: Option<String>,
}

/// The model.
#[derive(Clone, Debug)]
pub struct Model {
    /// What the controller believes.
    pub policy: Policy,
    /// How long a step takes.
    pub step: Duration,
    /// How many steps a read lags at most.
    pub lag: usize,
    /// For how many steps after its placement a task that a person's `ACTIVE` let in may be
    /// overlooked.
    pub excuse: u8,
    /// The instances, by how their drains begin: one or two.
    pub begins: Vec<Begins>,
    /// How many controllers there are: one or two.
    pub controllers: usize,
    /// The task that is there from the beginning.
    pub first: Task,
    /// Whether somebody has set the container instances to `DRAINING` before.
    pub draining: bool,
    /// Whether a person leaves it as it was made, or only for less than a step.
    pub flips: bool,
    /// Whether ECS places tasks by itself before the drain begins, or only what a person lets in.
    pub ecs_places: bool,
    /// Whether it is looked at, too, that every way ends once nothing interferes.
    pub must_end: bool,
    /// What can go wrong.
    pub faults: Faults,
    /// Whether it is looked at, too, that what is forgotten makes no difference.
    pub remembers: bool,
    /// How long it may take.
    pub limit: Option<Duration>,
}

/// What follows from a part of a layer.
#[derive(Default)]
struct Part {
    transitions: usize,
    new: Vec<(u128, u128, State)>,
    endless: Option<u128>,
}

impl Model {
    /// Searches, breadth first, until everything was seen, something is wrong, or the time is over.
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
            // The order is that of the keys, so that every run is the same.
            next.sort_by_key(|(key, _)| *key);
            layer = next;
        }
        found.closed = true;
        found
    }

    /// What follows from these states.
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

    /// Whether a search that is limited ends here.
    fn is_too_much(&self, until: Option<Instant>, states: usize) -> bool {
        until.is_some_and(|until| Instant::now() > until || states > MOST)
    }

    /// Whether a way of steps without faults, on which the world goes on, comes back to where it
    /// was.
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

    /// How a state came to be, as a story.
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
