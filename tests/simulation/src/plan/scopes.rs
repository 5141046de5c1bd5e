//! Two scopes, of which one does not answer for a while, not even for its identity. A failure in
//! one must not affect the other; and no name may be taken for the same name in the other region,
//! which has all names of the first, from clusters to instances, as far as drains need them.

use super::dice::Dice;
use super::{Happening, On, Plan, Strike};
use crate::harness::{FAR, NEAR};
use aws_simulator::Fault;

/// Faults that can make a whole region fail.
const AWAY: [Fault; 5] =
    [Fault::AccessDenied, Fault::FailBefore, Fault::Hang, Fault::Http500, Fault::Throttle];

impl Dice {
    /// Adds a second scope to a plan, and failures of whole scopes.
    pub(super) fn reach_far(&mut self, plan: &mut Plan) {
        plan.far = true;
        for _ in 0..self.among(1, 2) {
            // Reads that show the need for heartbeats cannot fail for longer than a hook waits.
            let (region, span) = (if self.often(60) { FAR } else { NEAR }, self.among(20, 150));
            let from = if self.often(30) { 0 } else { self.in_mid_drain(plan) };
            let on = On::Region(region, from, from + span);
            plan.calm_at = plan.calm_at.max(from + span + 30);
            plan.faults.push(Strike { on, fault: self.one(&AWAY) });
            if self.often(40) {
                // It starts while one of its scopes does not answer.
                let replica = self.0.usize(..plan.replicas.len());
                plan.script.push((from + self.among(0, span), Happening::Kill { replica }));
            }
        }
        // Where a deadline or a configuration decides which instances are released, the verdict
        // needs the instance's own story.
        if plan.revisions.is_empty() && plan.rules.deadline.is_none() {
            for _ in 0..self.among(1, 4) {
                let group = self.one(&plan.groups);
                let (instance, at) = (self.one(&group.instances), self.among(0, plan.calm_at - 60));
                plan.script.push((at, Happening::LeavesFar { instance, shrink: self.often(60) }));
            }
        }
        plan.script.sort_by_key(|(at, _)| *at);
    }
}
