//! Deployments during drains: every replica starts again, one after the other, with another
//! configuration. For a while both are in force, and a drain continues under other rules than it
//! began with.

use super::dice::Dice;
use super::{Happening, Plan, Revision, Rules};
use crate::harness::HOOKS;

impl Dice {
    /// Adds a deployment to a plan, and often its rollback.
    pub(super) fn reconfigure(&mut self, plan: &mut Plan) {
        for _ in 0..self.one(&[1, 1, 2]) {
            let revision = self.other(plan);
            plan.revisions.push(revision);
        }
        let mut at = self.in_mid_drain(plan);
        for number in 1..=plan.revisions.len() {
            at = self.roll_out(plan, number, at) + self.among(10, 200);
        }
        if self.often(40) {
            self.roll_out(plan, 0, at);
        }
        finish(plan);
    }

    /// Returns a moment at which a drain is probably in progress.
    pub(super) fn in_mid_drain(&mut self, plan: &Plan) -> u64 {
        let begins = |what: &Happening| {
            matches!(what, Happening::Terminate { .. } | Happening::Order { .. })
        };
        let begun: Vec<u64> =
            plan.script.iter().filter(|(_, what)| begins(what)).map(|(at, _)| *at).collect();
        match begun.is_empty() || self.often(20) {
            true => self.among(10, plan.calm_at - 60),
            false => self.one(&begun) + self.among(5, 240),
        }
    }

    /// Deploys a revision to every replica, one after the other; returns the moment of the last.
    pub(super) fn roll_out(&mut self, plan: &mut Plan, revision: usize, from: u64) -> u64 {
        let (mut at, apart) = (from, self.one(&[1, 30, 90]));
        // The newest first, or the oldest.
        let mut order: Vec<usize> = (0..plan.replicas.len()).collect();
        if self.often(50) {
            order.reverse();
        }
        for replica in order {
            plan.script.push((at, Happening::Deployed { replica, revision }));
            at += apart;
        }
        at
    }

    /// Returns the configuration with one change in its policy, its hooks, its groups or its
    /// clusters.
    fn other(&mut self, plan: &Plan) -> Revision {
        let mut other =
            plan.revisions.last().cloned().unwrap_or_else(|| Revision::first(&plan.rules));
        if self.often(70) {
            other.rules = self.other_rules(plan, &other.rules);
        }
        if self.often(30) {
            other.hooks = vec![self.one(&HOOKS)];
        }
        if self.often(30) {
            let left_out = self.one(&plan.groups).name;
            other.groups = Some(names(plan.groups.iter().map(|group| &group.name), &left_out));
        }
        if self.often(30) {
            let left_out = self.one(&plan.clusters);
            other.clusters = Some(names(plan.clusters.iter(), &left_out));
        }
        other.partial =
            other.hooks.len() < HOOKS.len() || other.groups.is_some() || other.clusters.is_some();
        other
    }

    /// Returns another policy than these rules, for the same instances.
    pub(super) fn other_rules(&mut self, plan: &Plan, before: &Rules) -> Rules {
        let rules = self.rules();
        // Tasks that end by no other means are stopped: tasks that work for ever exist only where a
        // policy stops them.
        let stop_after = rules.stop_after.or(before.stop_after);
        // With `keep`, an instance remains a target of its group's own balancer, and its drain
        // never ends by itself.
        let keeps =
            rules.rebalance == "keep" && plan.groups.iter().any(|group| group.attached.is_some());
        let rebalance = if keeps { before.rebalance } else { rules.rebalance };
        Rules { stop_after, rebalance, ..rules }
    }
}

/// Returns all of these names but one; if that leaves none, a name that does not exist.
fn names<'n>(all: impl Iterator<Item = &'n String>, left_out: &str) -> Vec<String> {
    let rest: Vec<String> = all.filter(|name| *name != left_out).cloned().collect();
    if rest.is_empty() { vec!["nothing".to_owned()] } else { rest }
}

/// Ends the last deployment before faults stop.
pub(super) fn finish(plan: &mut Plan) {
    plan.script.sort_by_key(|(at, _)| *at);
    let last = plan.script.last().map_or(0, |(at, _)| *at);
    plan.calm_at = plan.calm_at.max(last + 60);
}
