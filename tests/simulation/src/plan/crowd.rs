//! Crowds: hundreds of instances leave together under AWS's rates: of one cluster or of many, all
//! at once or in waves, under hooks of different timeouts and with budgets. Each decision is made
//! for hundreds of drains, and each read is shared by many.

use super::dice::Dice;
use super::{Asked, Balancing, Group, Happening, Plan, Service};
use crate::harness::HOOKS;
use ecs_drain_state::Then;

/// The prefix of the names of a crowd's clusters.
pub(super) const CLUSTER: &str = "crowd";

/// The ways in which a crowd leaves.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Way {
    /// Each instance by a scale-in of its own.
    ScaledIn,
    /// Each instance, and a new one takes its place.
    Replaced,
    /// Their groups decrease the desired capacity and choose the instances.
    Chosen,
    /// Operators request the drains.
    Ordered,
}

impl Dice {
    /// Adds clusters to a plan whose instances leave together.
    pub(super) fn crowd(&mut self, plan: &mut Plan) {
        plan.limits = true;
        // Many drains may run at once: one after the other they would take hours.
        plan.rules.hold_lifecycle = self.often(50);
        plan.rules.max_concurrent_service = "\"none\"";
        plan.rules.max_concurrent_group = "\"none\"";
        plan.rules.max_concurrent = self.one(&["50", "100", "\"50%\""]);
        let room = 40_u64.saturating_sub(plan.clusters.len() as u64);
        let clusters = self.one(&[1, 1, 2, 3, 10, 25, 37]).min(room.max(1));
        let each = (self.among(100, 300) / clusters).max(2);
        // A budget of half a cluster shrinks with the cluster; a cluster whose instances are
        // replaced keeps its size.
        let ways = [Way::ScaledIn, Way::ScaledIn, Way::Replaced, Way::Chosen, Way::Ordered];
        let (waves, apart, spread) =
            (self.one(&[1, 1, 3]), self.among(60, 180), self.one(&[0, 30, 120]));
        let at = self.among(30, 60);
        for number in 0..clusters {
            let cluster = format!("{CLUSTER}{number}");
            let id = |n: u64| format!("i-{:017x}", 0x100_0000 + (number << 12) + n);
            let instances: Vec<String> = (0..each).map(id).collect();
            let leave = self.among(each / 2 + 1, each);
            let way = self.one(&ways);
            if way == Way::Chosen {
                for wave in 1..=waves {
                    let desired = u32::try_from(each - leave * wave / waves).unwrap_or_default();
                    let (at, group) = (at + (wave - 1) * apart, cluster.clone());
                    plan.script.push((at, Happening::Capacity { group, desired }));
                }
            } else {
                for (n, instance) in
                    instances.iter().take(usize::try_from(leave).unwrap_or_default()).enumerate()
                {
                    let at = at + (n as u64 % waves) * apart + self.among(0, spread);
                    plan.script.push((at, self.one_leaves(way, instance)));
                }
            }
            for service in 0..self.among(1, 3) {
                plan.services.push(self.service_of_many(&cluster, service, each));
            }
            plan.groups.push(Group::plain(
                &cluster,
                instances,
                self.one(&HOOKS),
                self.one(&[300, 600, 1800, 3600]),
            ));
            plan.clusters.push(cluster);
        }
        plan.script.sort_by_key(|(at, _)| *at);
        plan.calm_at = plan.calm_at.max(at + (waves - 1) * apart + spread + 120);
    }

    fn one_leaves(&mut self, way: Way, instance: &str) -> Happening {
        let instance = instance.to_owned();
        match way {
            Way::Ordered => {
                let then = self.one(&[Then::Keep, Then::Terminate, Then::TerminateAndShrink]);
                Happening::Order { instance, what: Asked::Drain(then) }
            }
            Way::ScaledIn | Way::Replaced | Way::Chosen => {
                Happening::Terminate { instance, shrink: way != Way::Replaced }
            }
        }
    }

    /// Creates a service with at most one task for each instance.
    fn service_of_many(&mut self, cluster: &str, number: u64, instances: u64) -> Service {
        Service {
            cluster: cluster.to_owned(),
            name: format!("s{number}"),
            daemon: false,
            desired: u32::try_from(instances / self.among(1, 4)).unwrap_or_default().clamp(2, 150),
            percents: self.one(&[(100, 200), (50, 100), (0, 100)]),
            cpu: 128,
            start: self.among(1, 10),
            stop: self.one(&[1, 5, 30]),
            balancing: self.one(&[Balancing::None, Balancing::Application, Balancing::Application]),
            delay: self.one(&[10, 60, 120]),
            external: false,
        }
    }
}
