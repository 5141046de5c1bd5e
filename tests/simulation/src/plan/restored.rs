//! A table restored from a backup while controllers run: records return to their earlier content,
//! with leases, requests and pauses; new records vanish.

use super::dice::Dice;
use super::{Happening, Plan};

impl Dice {
    /// Adds a restored table to a plan, mostly during a drain. The table is unavailable during the
    /// restore, or is exchanged in a moment.
    pub(super) fn restore(&mut self, plan: &mut Plan) {
        let begins = |what: &Happening| {
            matches!(what, Happening::Terminate { .. } | Happening::Order { .. })
        };
        let begun: Vec<u64> =
            plan.script.iter().filter(|(_, what)| begins(what)).map(|(at, _)| *at).collect();
        for _ in 0..self.one(&[1, 1, 2]) {
            let from = match begun.is_empty() || self.often(20) {
                true => self.among(10, plan.calm_at - 60),
                false => self.one(&begun) + self.among(5, 240),
            };
            let span = if self.often(50) { self.among(5, 150) } else { 0 };
            if span > 0 {
                plan.script.push((from, Happening::TableAway { span, hangs: self.often(40) }));
            }
            // A backup from before the beginning is an empty table.
            let back = self.one(&[5, 15, 60, 120, 300, 3600]);
            let back = span + self.among(back / 2, back);
            plan.script.push((from + span, Happening::TableRestored { back }));
            if self.often(30) {
                let replica = self.0.usize(..plan.replicas.len());
                plan.script.push((from + span + self.among(0, 10), Happening::Kill { replica }));
            }
            plan.calm_at = plan.calm_at.max(from + span + 60);
        }
        plan.script.sort_by_key(|(at, _)| *at);
    }
}
