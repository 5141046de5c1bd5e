//! Plots: combinations that chance seldom makes. One busy instance leaves, and a call that its
//! drain depends on fails for as long as the drain takes.

use super::dice::{Dice, LOOKS};
use super::{Happening, On, Plan, Strike, Task};
use aws_simulator::Fault;

/// Faults that can make a read fail for long.
const BLIND: [Fault; 6] = [
    Fault::AccessDenied,
    Fault::FailBefore,
    Fault::Failures,
    Fault::Http500,
    Fault::PartialPage,
    Fault::Throttle,
];

/// The instance of a plot, and the moment at which it leaves.
struct Leaving {
    cluster: String,
    instance: String,
    at: u64,
}

impl Leaving {
    /// Returns a standalone task that runs there.
    fn task(&self, works: u64) -> Task {
        Task {
            cluster: self.cluster.clone(),
            instance: self.instance.clone(),
            works: Some(works),
            stop: 30,
        }
    }
}

impl Dice {
    /// Adds a plot to a plan.
    pub(super) fn plot(&mut self, plan: &mut Plan) {
        let mut in_clusters =
            plan.groups.iter().filter_map(|group| Some((group, group.cluster.clone()?)));
        let Some((group, cluster)) = in_clusters.next_back() else { return };
        let (instance, at) = (self.one(&group.instances), self.among(5, plan.calm_at - 180));
        let leaving = Leaving { cluster, instance, at };
        let terminate =
            Happening::Terminate { instance: leaving.instance.clone(), shrink: self.often(50) };
        plan.script.push((at, terminate));
        match self.among(0, 9) {
            0..5 => self.blind(plan, &leaving),
            5..7 => self.told_late(plan, &leaving),
            7..9 => self.just_before(plan, &leaving),
            _ => self.without_the_table(plan, &leaving),
        }
        plan.script.sort_by_key(|(at, _)| *at);
    }

    /// Makes one of the reads fail that show what is left, from the beginning until long after a
    /// drain could have ended.
    fn blind(&mut self, plan: &mut Plan, leaving: &Leaving) {
        plan.tasks.push(leaving.task(self.among(300, 400)));
        let from = leaving.at + self.among(0, 70);
        let until = from + self.among(120, 300);
        plan.calm_at = plan.calm_at.max(until);
        let on = On::Every(self.one(&LOOKS), from, until);
        plan.faults.push(Strike { on, fault: self.one(&BLIND) });
    }

    /// Makes calls to Auto Scaling fail for some time; meanwhile the instance is made `ACTIVE`, and
    /// works.
    fn told_late(&mut self, plan: &mut Plan, leaving: &Leaving) {
        plan.calm_at = plan.calm_at.max(leaving.at + 480);
        let on = On::Every("CompleteLifecycleAction", leaving.at, plan.calm_at);
        plan.faults.push(Strike {
            on,
            fault: self.one(&[Fault::Http500, Fault::FailBefore, Fault::Throttle]),
        });
        let active = leaving.at + self.among(240, 330);
        let by_hand = Happening::ByHand { instance: leaving.instance.clone(), active: true };
        plan.script.push((active, by_hand));
        for after in [1, 3, 6] {
            plan.script
                .push((active + after, Happening::RunTask(leaving.task(self.among(300, 400)))));
        }
    }

    /// Places a task at about the last possible moment, while every read lags.
    fn just_before(&mut self, plan: &mut Plan, leaving: &Leaving) {
        plan.read_lag = Some(60);
        let task = Happening::RunTask(leaving.task(self.among(200, 400)));
        plan.script.push((leaving.at + self.among(5, 70), task));
    }

    /// Restarts the controller just before the instance leaves, without a table for longer than the
    /// hook waits.
    fn without_the_table(&mut self, plan: &mut Plan, leaving: &Leaving) {
        let before = leaving.at.saturating_sub(4);
        plan.script.push((
            before,
            Happening::TableAway { span: self.among(320, 500), hangs: self.often(50) },
        ));
        plan.script.push((before + 1, Happening::Kill { replica: 0 }));
    }
}
