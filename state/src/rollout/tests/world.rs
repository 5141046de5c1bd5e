//! A small world for tests of rollouts: groups that keep their desired capacity, and drains that
//! end.

use super::super::{
    Action, CapacityAnswer, Decision, DrainSight, GroupSight, InstanceSight, MemberSight, Options,
    Request, Rollout, Selection, ShortService, Sight, Stage, Start, Traits, What, apply, decide,
};
use crate::phase::Outcome;
use crate::record::Then;
use jiff::{SignedDuration, Timestamp};
use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

/// Time between two passes.
pub const STEP: SignedDuration = SignedDuration::from_secs(15);

/// A drain of the world.
#[derive(Clone, Debug)]
pub struct Drain {
    pub id: String,
    pub then: Then,
    pub outcome: Option<Outcome>,
    pub asked: bool,
    pub age: u32,
    pub stuck_since: Option<Timestamp>,
}

/// One instance of a group.
#[derive(Clone, Debug)]
pub struct Instance {
    pub born: Timestamp,
    pub old: bool,
    pub fit: bool,
}

#[derive(Clone, Debug)]
pub struct World {
    pub now: Timestamp,
    pub desired: u32,
    pub max: u32,
    pub min: u32,
    pub instances: BTreeMap<String, Instance>,
    pub drains: BTreeMap<String, Drain>,
    pub short: Option<Vec<ShortService>>,
    pub refreshes: bool,
    pub paused: Option<String>,
    /// True if the group launches what it lacks.
    pub launches: bool,
    /// True if launched instances become fit.
    pub heals: bool,
    /// True if drains end.
    pub drains_end: bool,
    pub launched: u32,
    /// Number of drains that were opened for each instance, and of those that terminated it.
    pub opened: BTreeMap<String, u32>,
    pub terminated: BTreeMap<String, u32>,
    /// Greatest number of old instances that drained at once.
    pub most: usize,
    /// Desired capacity that others added or took.
    pub others: i64,
    pub table: Option<Rollout>,
    pub answers: BTreeMap<String, CapacityAnswer>,
    pub why: String,
}

pub fn start_at() -> Timestamp {
    "2026-01-05T09:00:00Z".parse().unwrap()
}

pub fn request(what: What, at: Timestamp) -> Request {
    Request {
        id: format!("request-{}-{}", what.name(), at.as_second()),
        controller: "main".into(),
        account: "123456789012".into(),
        region: "eu-west-1".into(),
        rollout: "january".into(),
        what,
        by: "Ada".into(),
        reason: None,
        at,
        schema: 1,
    }
}

pub fn start(old: &[String], options: Options) -> What {
    let old: BTreeSet<String> = old.iter().cloned().collect();
    What::Start(Box::new(Start {
        selection: Selection::Ami("ami-old".into()),
        options,
        groups: [("web".to_owned(), ("shop".to_owned(), old))].into(),
    }))
}

impl World {
    /// Creates a group with these old and current instances, and a rollout of the old ones.
    pub fn new(old: u32, current: u32, max: u32, options: Options) -> World {
        let now = start_at();
        let born = now - SignedDuration::from_hours(100);
        let of = |name: &str, count: u32, old: bool| -> Vec<(String, Instance)> {
            let one = |n| (format!("i-{name}{n:02}"), Instance { born, old, fit: true });
            (1..=count).map(one).collect()
        };
        let olds = of("old", old, true);
        let ids: Vec<String> = olds.iter().map(|(id, _)| id.clone()).collect();
        let mut world = World {
            now,
            desired: old + current,
            max,
            min: 0,
            instances: olds.into_iter().chain(of("current", current, false)).collect(),
            drains: BTreeMap::new(),
            short: Some(Vec::new()),
            refreshes: false,
            paused: None,
            launches: true,
            heals: true,
            drains_end: true,
            launched: 0,
            opened: BTreeMap::new(),
            terminated: BTreeMap::new(),
            most: 0,
            others: 0,
            table: None,
            answers: BTreeMap::new(),
            why: String::new(),
        };
        world.ask(start(&ids, options));
        world
    }

    /// Carries out a request.
    pub fn ask(&mut self, what: What) -> String {
        let request = request(what, self.now);
        match apply(&request, self.table.as_ref(), &BTreeMap::new(), self.now) {
            super::super::Applied::Created { rollout, answer }
            | super::super::Applied::Changed { rollout, answer } => {
                self.table = Some(*rollout);
                answer
            }
            super::super::Applied::Already { answer } => format!("already: {answer}"),
            super::super::Applied::Refused { answer } => format!("refused: {answer}"),
        }
    }

    pub fn rollout(&self) -> &Rollout {
        self.table.as_ref().unwrap()
    }

    pub fn sight(&self) -> Sight {
        let group = GroupSight {
            desired: self.desired,
            max: self.max,
            min: self.min,
            refreshes: self.refreshes,
        };
        let member = MemberSight { group: "web".into(), in_service: true, leaves: false };
        let see = |one: &Instance| {
            let age = u64::try_from(self.now.duration_since(one.born).as_secs()).unwrap();
            let ami = if one.old { "ami-old" } else { "ami-new" };
            InstanceSight {
                traits: Traits {
                    ami: Some(ami.into()),
                    registered_at: Some(one.born),
                    ..Traits::default()
                },
                fit_for: one.fit.then(|| Duration::from_secs(age)),
                unfit: (!one.fit).then(|| "has no connected agent".to_owned()),
            }
        };
        let request_id = self.rollout().request_id();
        let drain = |drain: &Drain| DrainSight {
            ours: drain.id == request_id,
            then: Some(drain.then),
            outcome: drain.outcome,
            asked: drain.asked,
            held: drain.asked,
            cancelled: drain.outcome == Some(Outcome::Cancelled),
            stuck_since: drain.stuck_since,
            message: "a task is protected".into(),
        };
        Sight {
            groups: [("web".to_owned(), group)].into(),
            members: self.instances.keys().map(|id| (id.clone(), member.clone())).collect(),
            instances: self.instances.iter().map(|(id, one)| (id.clone(), see(one))).collect(),
            drains: self.drains.iter().map(|(id, one)| (id.clone(), drain(one))).collect(),
            short: self.short.clone(),
            paused: self.paused.clone(),
            answers: self.answers.clone(),
            refused: BTreeMap::new(),
        }
    }

    pub fn decide(&self) -> Decision {
        decide(self.rollout(), &self.sight(), self.now)
    }

    /// Saves a decision.
    pub fn save(&mut self, decision: &Decision) {
        self.why = decision.why.sentence();
        if decision.save {
            let updated_at = self.now;
            self.table = Some(Rollout { updated_at, ..decision.rollout.clone() });
            self.answers.clear();
        }
    }

    /// Carries out an action.
    pub fn act(&mut self, action: &Action) {
        match action {
            Action::SetDesired { from, to, .. } => {
                let sent = *from == self.desired && *to <= self.max && *to >= self.min;
                let answer = if sent { CapacityAnswer::Accepted } else { CapacityAnswer::NotSent };
                if sent {
                    self.desired = *to;
                }
                self.answers.insert("web".into(), answer);
            }
            Action::Drain { instance, then } => {
                let id = self.rollout().request_id();
                let there = self.drains.get(instance);
                if there.is_some_and(|drain| drain.id == id || drain.outcome.is_none()) {
                    return;
                }
                if !self.instances.contains_key(instance) {
                    return;
                }
                *self.opened.entry(instance.clone()).or_default() += 1;
                let drain = Drain {
                    id,
                    then: *then,
                    outcome: None,
                    asked: false,
                    age: 0,
                    stuck_since: None,
                };
                self.drains.insert(instance.clone(), drain);
            }
            Action::Cancel { instance } => {
                if let Some(drain) = self.drains.get_mut(instance).filter(|drain| !drain.asked) {
                    drain.outcome = Some(Outcome::Cancelled);
                }
            }
        }
    }

    /// Lets time pass: drains end, and the group launches what it lacks.
    pub fn live(&mut self) {
        self.now += STEP;
        let runs = self.drains.iter().filter(|(id, drain)| {
            drain.outcome.is_none() && self.instances.get(*id).is_some_and(|one| one.old)
        });
        self.most = self.most.max(runs.count());
        for (id, drain) in &mut self.drains {
            if drain.outcome.is_some() || !self.drains_end {
                continue;
            }
            drain.age += 1;
            if drain.age == 3 {
                drain.asked = true;
                if drain.then == Then::TerminateAndShrink {
                    self.desired -= 1;
                }
                self.instances.remove(id);
                *self.terminated.entry(id.clone()).or_default() += 1;
            }
            if drain.age == 5 {
                drain.outcome = Some(Outcome::Drained);
            }
        }
        while self.launches && self.instances.len() < usize::try_from(self.desired).unwrap() {
            self.launched += 1;
            let one = Instance { born: self.now, old: false, fit: self.heals };
            self.instances.insert(format!("i-new{:02}", self.launched), one);
        }
    }

    /// Makes one whole pass. Returns the names of the actions.
    pub fn pass(&mut self) -> Vec<Action> {
        let decision = self.decide();
        self.save(&decision);
        for action in &decision.actions {
            self.act(action);
        }
        self.live();
        decision.actions
    }

    /// Runs passes until the rollout rests, or this many were made.
    pub fn run(&mut self, passes: u32) {
        for _ in 0..passes {
            self.pass();
            let rests = matches!(self.rollout().stage, Stage::Stopped { .. } | Stage::Done { .. });
            if rests
                && self.drains.values().all(|drain| drain.outcome.is_some() || !self.drains_end)
            {
                self.pass();
                return;
            }
        }
    }

    /// Runs passes until the first drain begins.
    pub fn run_until_it_drains(&mut self) {
        for _ in 0..200 {
            if !self.drains.is_empty() {
                return;
            }
            self.pass();
        }
        panic!("no drain began: {}: {}", self.stage(), self.why);
    }

    pub fn old_left(&self) -> usize {
        self.instances.values().filter(|one| one.old).count()
    }

    pub fn stage(&self) -> String {
        let stage = &self.rollout().stage;
        if let Stage::Stopped { why } = stage {
            return format!("Stopped: {why}");
        }
        if let Stage::Done { outcome } = stage {
            return format!("Done: {}", outcome.name());
        }
        stage.name().to_owned()
    }
}
