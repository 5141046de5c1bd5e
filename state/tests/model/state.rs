//! One state of the model: every instance with its record and the controllers' knowledge of it, and
//! the faults that are left.

use crate::controller::{Begins, Mind, WALL, hash_record, plain, which};
use crate::hash::Wide;
use crate::search::Model;
use crate::world::{Member, World};
use ecs_drain_state::{Action, Outcome, Policy, Record};
use std::fmt;
use std::hash::Hash;
use std::sync::Arc;

/// Faults and acts of people, each with the number of times that it can happen.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Faults {
    /// Acts of a person on a container instance.
    pub acts: u8,
    /// Pauses and resumes of a drain.
    pub pauses: u8,
    /// Cancellations of a drain.
    pub cancels: u8,
    /// Forced ends of a drain.
    pub forces: u8,
    /// Terminations by the group itself.
    pub terminations: u8,
    /// Deaths of the controller that leads.
    pub crashes: u8,
    /// Changes of the lease, even while the old leader is suspended before a save or with a call on
    /// its way.
    pub handovers: u8,
    /// Reads that come a step later, and calls that wait a step for their permit.
    pub slow: u8,
    /// Calls that get lost.
    pub lost: u8,
    /// Jumps of the wall clock, past every deadline or back.
    pub jumps: u8,
}

/// Lists the faults that can happen, with their numbers.
impl fmt::Display for Faults {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all = [
            (self.acts, "acts"),
            (self.pauses, "pauses"),
            (self.cancels, "cancels"),
            (self.forces, "forces"),
            (self.terminations, "terminations"),
            (self.crashes, "crashes"),
            (self.handovers, "handovers"),
            (self.slow, "slow"),
            (self.lost, "lost"),
            (self.jumps, "jumps"),
        ];
        let there: Vec<String> =
            all.iter().filter(|(n, _)| *n > 0).map(|(n, what)| format!("{n} {what}")).collect();
        f.write_str(
            if there.is_empty() { "no faults".to_owned() } else { there.join(", ") }.as_str(),
        )
    }
}

/// Unfinished work of a controller that does not lead any more.
#[derive(Clone, Debug)]
pub enum Late {
    /// It was suspended before it saved this record.
    Save(Box<Record>),
    /// Its call is on its way.
    Call(Action),
}

/// One instance.
#[derive(Clone, Debug)]
pub struct Site {
    /// The world of the instance.
    pub world: World,
    /// The record, as it is in the table.
    pub table: Arc<Record>,
    /// Knowledge of each controller about it.
    pub minds: [Option<Arc<Mind>>; 2],
    /// Unfinished work of the controller that does not lead. A save whose record has changed since
    /// fails, so it is dropped at once.
    pub late: Option<Late>,
}

impl Site {
    fn new(begins: Begins, n: usize, model: &Model) -> Site {
        let world = World::new(model.first, model.lag, begins.member(), model.draining);
        let table = Arc::new(plain(Record::open(begins.opening(n, &model.policy), WALL)));
        Site { world, table, minds: [None, None], late: None }
    }

    /// Returns whether its drain is over, and nothing waits.
    pub fn is_settled(&self) -> bool {
        self.table.is_done()
            && self.late.is_none()
            && !matches!(self.world.truth().member, Member::Waiting(_))
    }

    /// Returns a fault that remains although everything is over: a `DRAINING` set by ecs-drain on
    /// an instance that lives on.
    pub fn left_behind(&self) -> Option<&'static str> {
        let truth = self.world.truth();
        let lives_on = truth.member == Member::InService;
        let undone = self.table.outcome() == Some(Outcome::Cancelled) || self.table.lives_on();
        let ours = truth.draining && self.world.ours && !self.world.by_hand;
        (lives_on && undone && ours)
            .then_some("our DRAINING is left behind on an instance that lives on")
    }
}

/// The drains and their world.
#[derive(Clone, Debug)]
pub struct State {
    /// The instances.
    pub sites: Vec<Site>,
    /// Index of the controller that leads.
    pub leader: usize,
    /// Index of the instance that has the next step.
    pub turn: usize,
    /// True if the wall clock has jumped ahead.
    pub ahead: bool,
    /// Faults that can still happen.
    pub left: Faults,
    /// True if nothing more is done in this step: the leader has died, or is suspended.
    pub halted: bool,
    /// Events of this step, in words. `None` unless a story is told.
    pub log: Option<Vec<String>>,
    /// Promise that this step broke.
    pub broken: Option<&'static str>,
    /// An instance that was released in this step. The inner value is the number of steps since a
    /// person's `ACTIVE` let in something that was left on it.
    pub let_go: Option<Option<u8>>,
}

impl State {
    /// Creates the first state.
    pub fn new(model: &Model) -> State {
        let sites = model.begins.iter().enumerate().map(|(n, begins)| Site::new(*begins, n, model));
        State {
            sites: sites.collect(),
            leader: 0,
            turn: 0,
            ahead: false,
            left: model.faults,
            halted: false,
            log: None,
            broken: None,
            let_go: None,
        }
    }

    /// Returns whether every drain is over.
    pub fn is_settled(&self) -> bool {
        self.sites.iter().all(Site::is_settled)
    }

    /// Returns whether nothing can happen any more.
    pub fn is_over(&self) -> bool {
        let can_wait = |site: &Site| site.world.truth().member == Member::InService;
        self.is_settled() && !(self.left.terminations > 0 && self.sites.iter().any(can_wait))
    }

    /// Returns the leader's knowledge of this instance.
    pub fn mind(&mut self, n: usize) -> &mut Mind {
        let site = &mut self.sites[n];
        let table = &site.table;
        let mind = Arc::make_mut(
            site.minds[self.leader].get_or_insert_with(|| Arc::new(Mind::new(table))),
        );
        mind.changed = true;
        mind
    }

    /// Notes an event, if a story is told.
    pub fn say(&mut self, what: impl FnOnce(&State) -> String) {
        if self.log.is_some() {
            let words = what(self);
            self.log.iter_mut().for_each(|log| log.push(words.clone()));
        }
    }

    /// Notes a broken promise; the first one stays.
    pub fn breaks(&mut self, what: &'static str) {
        self.say(|_| format!("BROKEN: {what}"));
        self.broken.get_or_insert(what);
    }

    /// Returns a hash of everything that makes a difference.
    pub fn key(&self) -> u128 {
        let mut hasher = Wide::default();
        (self.leader, self.turn, self.ahead, self.left).hash(&mut hasher);
        for site in &self.sites {
            site.world.hash(&mut hasher);
            hash_record(&site.table, &mut hasher);
            for mind in &site.minds {
                mind.is_some().hash(&mut hasher);
                mind.iter().for_each(|mind| mind.hash(&mut hasher));
            }
            match &site.late {
                None => 0_u8.hash(&mut hasher),
                Some(Late::Save(record)) => {
                    1_u8.hash(&mut hasher);
                    hash_record(record, &mut hasher);
                }
                Some(Late::Call(action)) => (2_u8, which(action)).hash(&mut hasher),
            }
        }
        hasher.wide()
    }

    /// Forgets everything that can make no difference. Of versions only the order counts.
    pub fn forget(&mut self, policy: &Policy) {
        for site in &mut self.sites {
            let settled = site.is_settled() && site.world.truth().member == Member::Absent;
            let minds = &mut site.minds;
            if settled {
                *minds = [None, None];
            }
            for mind in minds.iter_mut().flatten().filter(|mind| mind.changed) {
                Arc::make_mut(mind).forget(policy);
            }
            let seen = |mind: &Arc<Mind>| mind.versions().collect::<Vec<_>>();
            let mut known: Vec<i64> = minds.iter().flatten().flat_map(seen).collect();
            known.extend(site.world.past.iter().map(|truth| truth.version));
            known.sort_unstable();
            known.dedup();
            if known.iter().zip(0..).all(|(version, rank)| *version == rank) {
                continue;
            }
            let rank = |version: &mut i64| {
                *version = known.iter().position(|known| known == version).unwrap_or(0) as i64
            };
            minds.iter_mut().flatten().for_each(|mind| Arc::make_mut(mind).rank(rank));
            site.world.past.iter_mut().for_each(|truth| rank(&mut truth.version));
        }
    }
}
