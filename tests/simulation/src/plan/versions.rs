//! Two versions of the program at once: it is upgraded during drains, and the newer one writes
//! records that the older one leaves alone. Often it is rolled back, and the records of the newer
//! one wait for its return.

use super::deployed::finish;
use super::dice::Dice;
use super::{Plan, Revision};
use ecs_drain_state::record::SCHEMA;

impl Dice {
    /// Adds an upgrade to a plan, and often a rollback. At the end all replicas run the newer
    /// version.
    pub(super) fn upgrade(&mut self, plan: &mut Plan) {
        if !plan.revisions.is_empty() {
            return;
        }
        plan.revisions.push(Revision { schema: SCHEMA + 1, ..Revision::first(&plan.rules) });
        let mut at = self.in_mid_drain(plan);
        for revision in [1, 0, 1, 0].into_iter().take(self.one(&[1, 2, 2, 3, 4])) {
            at = self.roll_out(plan, revision, at) + self.among(10, 200);
        }
        finish(plan);
    }
}
