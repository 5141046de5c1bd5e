//! Wide fleets: AWS's rates apply, and in each of many clusters one or two instances drain at about
//! the same time. All reads together need more than AWS allows at once; every drain must end all
//! the same.

use super::dice::Dice;
use super::{Balancing, Group, Happening, Plan, Service};
use crate::harness::HOOKS;

/// The smallest number of clusters of a wide fleet.
pub(super) const WIDE: usize = 10;

/// The largest number of clusters of a fleet.
const MOST: u64 = 40;

impl Dice {
    /// Adds clusters to a plan, each with a group of its own.
    pub(super) fn widen(&mut self, plan: &mut Plan) {
        plan.limits = true;
        let at = self.among(30, 60);
        for number in 0..self.among(WIDE as u64, MOST - plan.clusters.len() as u64) {
            let cluster = format!("w{number}");
            let id = |n: u64| format!("i-{:017x}", 0x10_0000 + (number << 8) + n);
            let instances: Vec<String> = (0..self.among(1, 3)).map(id).collect();
            let drained = instances.iter().take(self.among(1, 2) as usize);
            let script = drained.map(|instance| {
                (
                    at + self.among(0, 60),
                    Happening::Terminate { instance: instance.clone(), shrink: true },
                )
            });
            plan.script.extend(script);
            plan.services.push(self.wide_service(&cluster));
            plan.groups.push(Group::plain(&cluster, instances, self.one(&HOOKS), 3600));
            plan.clusters.push(cluster);
        }
        plan.script.sort_by_key(|(at, _)| *at);
        plan.calm_at = plan.calm_at.max(at + 120);
    }

    fn wide_service(&mut self, cluster: &str) -> Service {
        Service {
            cluster: cluster.to_owned(),
            name: "s0".to_owned(),
            daemon: false,
            desired: self.one(&[1, 2, 4]),
            percents: self.one(&[(100, 200), (0, 100)]),
            cpu: 128,
            start: self.among(1, 10),
            stop: self.one(&[1, 5, 30]),
            balancing: self.one(&[Balancing::None, Balancing::Application, Balancing::Application]),
            delay: self.one(&[10, 120, 300]),
            external: false,
        }
    }
}
