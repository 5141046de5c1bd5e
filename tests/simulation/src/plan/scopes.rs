//! Two scopes, and one of the two does not answer for a while, not even whose it is. What fails in
//! one takes nothing from the other; and nothing is taken for its namesake there: in the second
//! region everything has the same names, from clusters to instances, as far as anything is drained
//! there.

use super::dice::Dice;
use super::{Happening, On, Plan, Strike};
use crate::harness::{FAR, NEAR};
use aws_simulator::Fault;

/// Ways in which a whole region can fail.
const AWAY: [Fault; 5] =
    [Fault::AccessDenied, Fault::FailBefore, Fault::Hang, Fault::Http500, Fault::Throttle];

impl Dice {
    /// Adds a second scope to a plan, and failures of whole scopes.
    pub(super) fn reach_far(&mut self, plan: &mut Plan) {
        plan.far = true;
        for _ in 0..self.among(1, 2) {
            // What shows that heartbeats are needed cannot fail for longer than a hook waits.
            let (region, span) = (if self.often(60) { FAR } else { NEAR }, self.among(20, 150));
            let from = if self.often(30) { 0 } else { self.in_mid_drain(plan) };
            let on = On::Region(region, from, from + span);
            plan.calm_at = plan.calm_at.max(from + span + 30);
            plan.faults.push(Strike { on, fault: self.one(&AWAY) });
            if self.often(40) {
                // It starts without one of its scopes.
                let replica = self.0.usize(..plan.replicas.len());
                plan.script.push((from + self.among(0, span), Happening::Kill { replica }));
            }
        }
        // Where a deadline or a configuration decides what is let go, judging it takes the
        // instance's own story.
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
