//! Two controllers on one table: their hooks meet on a group, each with its own, or, by mistake,
//! both are configured with the same ones. The controller that opens an instance's drain ends it;
//! the other one only holds the instance, and drains it afterwards.

use super::dice::Dice;
use super::{Plan, Replica, Revision};
use crate::harness::{CONTROLLER, HOOK, HOOKS, OTHER_CONTROLLER};

/// The hook of the other controller.
const OTHER_HOOK: &str = HOOKS[1];

impl Dice {
    /// Adds another controller to a plan, with one or two replicas.
    pub(super) fn share(&mut self, plan: &mut Plan) {
        if !plan.revisions.is_empty() {
            return;
        }
        let same = self.often(25);
        let first = Revision::first(&plan.rules);
        let rules = if self.often(50) {
            plan.rules.clone()
        } else {
            self.other_rules(plan, &plan.rules.clone())
        };
        let hooks = |hook| if same { HOOKS.to_vec() } else { vec![hook] };
        plan.revisions = vec![
            Revision { hooks: hooks(HOOK), controller: CONTROLLER, ..first.clone() },
            Revision { hooks: hooks(OTHER_HOOK), controller: OTHER_CONTROLLER, rules, ..first },
        ];
        for group in &mut plan.groups {
            if !same && self.often(60) {
                let other = if group.hook == HOOK { OTHER_HOOK } else { HOOK };
                group.second_hook = Some(other.to_owned());
            }
        }
        for replica in &mut plan.replicas {
            replica.revision = 1;
        }
        for _ in 0..self.one(&[1, 1, 2]) {
            // Before the first controller, with it, or later.
            let starts = self.one(&[0, 0, 20, 100]);
            plan.replicas.push(Replica {
                starts,
                retires: None,
                skew: 0,
                restart: self.among(1, 60),
                revision: 2,
            });
        }
    }
}
