//! The fleet of a seed, drawn by chance.

use super::{
    Balancing, Delivery, Group, Happening, On, Plan, Replica, Rules, Service, Strike, Task,
    WarmPool,
};
use crate::harness::HOOKS;
use aws_simulator::Fault;
use std::time::Duration;

/// The operations that faults are aimed at.
const OPERATIONS: [&str; 25] = [
    "BatchGetItem",
    "CompleteLifecycleAction",
    "DeregisterContainerInstance",
    "DescribeAutoScalingGroups",
    "DescribeAutoScalingInstances",
    "DescribeClusters",
    "DescribeContainerInstances",
    "DescribeInstanceHealth",
    "DescribeLifecycleHooks",
    "DescribeLoadBalancers",
    "DescribeServices",
    "DescribeTargetGroups",
    "DescribeTargetHealth",
    "DescribeTasks",
    "GetItem",
    "ListClusters",
    "ListContainerInstances",
    "ListTasks",
    "PutItem",
    "Query",
    "ReceiveMessage",
    "RecordLifecycleActionHeartbeat",
    "StopTask",
    "UpdateContainerInstancesState",
    "UpdateItem",
];

/// Reads that show if anything is left on an instance: they can fail for longer than both checks of
/// a drain take. Heartbeats, and the reads that show the need for them, cannot fail for longer than
/// a hook waits.
pub(super) const LOOKS: [&str; 10] = [
    "DescribeContainerInstances",
    "DescribeInstanceHealth",
    "DescribeLoadBalancers",
    "DescribeServices",
    "DescribeTargetHealth",
    "DescribeTasks",
    "ListClusters",
    "ListContainerInstances",
    "ListTasks",
    "UpdateContainerInstancesState",
];

/// Returns true if such a service can be moved at all: it may stop a task first, or start one
/// first.
pub fn can_move(desired: u32, (minimum, maximum): (u32, u32)) -> bool {
    desired == 0 || (desired * minimum).div_ceil(100) < desired || desired * maximum / 100 > desired
}

/// The number of wide fleets in a thousand: each takes as long as many others.
const WIDE_IN_THOUSAND: u64 = 25;

/// The number of crowds in a thousand: each takes as long as a hundred others.
const CROWDS_IN_THOUSAND: u64 = 4;

/// The number in a thousand whose table is restored from a backup.
const RESTORED_IN_THOUSAND: u64 = 50;

/// The number in a thousand whose configuration changes.
const DEPLOYED_IN_THOUSAND: u64 = 50;

/// The number in a thousand in which two controllers share the table.
const SHARED_IN_THOUSAND: u64 = 40;

/// The number in a thousand in which the program is upgraded.
const UPGRADED_IN_THOUSAND: u64 = 40;

/// The number in a thousand that have two scopes.
const SCOPES_IN_THOUSAND: u64 = 40;

/// The number in a thousand that are variations of a fleet with a rare situation.
const STEERED_IN_THOUSAND: u64 = 300;

/// Returns the fleet of a seed. docs/evidence.md lists its deliberate gaps.
pub fn plan(seed: u64) -> Plan {
    let mut steer = steer(seed);
    if steer.among(1, 1000) <= STEERED_IN_THOUSAND { steer.steered(seed) } else { fresh(seed) }
}

/// Returns true if the fleet of a seed is a variation of one with a rare situation.
pub fn is_variation(seed: u64) -> bool {
    steer(seed).among(1, 1000) <= STEERED_IN_THOUSAND
}

fn steer(seed: u64) -> Dice {
    Dice(fastrand::Rng::with_seed(seed ^ 0x0057_ee20))
}

/// Returns a fleet that is no variation of another.
pub(super) fn fresh(seed: u64) -> Plan {
    let mut dice = Dice(fastrand::Rng::with_seed(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)));
    let calm_at = 60 * dice.among(4, 10);
    let clusters: Vec<String> = (0..dice.among(1, 3)).map(|n| format!("c{n}")).collect();
    let groups: Vec<Group> = (0..dice.among(1, 3)).map(|n| dice.group(n, &clusters)).collect();
    let rules = dice.rules();
    let mut plan = Plan {
        seed,
        services: clusters.iter().flat_map(|cluster| dice.services(cluster)).collect(),
        tasks: Vec::new(),
        replicas: dice.replicas(calm_at),
        script: Vec::new(),
        faults: Vec::new(),
        read_lag: dice.often(40).then(|| dice.among(5, 60)),
        index_lag: if dice.often(30) { dice.among(1, 30) } else { 0 },
        queue: dice.often(60).then(|| dice.delivery()),
        limits: dice.often(30),
        rules,
        revisions: Vec::new(),
        far: false,
        clusters,
        groups,
        calm_at,
    };
    plan.tasks = (0..dice.among(0, 3)).filter_map(|_| dice.task(&plan)).collect();
    plan.script = dice.script(&plan);
    plan.faults = (0..dice.among(0, 25)).map(|_| dice.strike(&plan)).collect();
    match dice.among(0, 99) {
        0..25 => dice.plot(&mut plan),
        25..65 => dice.stage(&mut plan),
        _ => {}
    }
    // Dice of their own, so that all other fleets stay the same.
    let mut wide = Dice(fastrand::Rng::with_seed(seed ^ 0x0077_1de0));
    if wide.among(1, 1000) <= WIDE_IN_THOUSAND {
        wide.widen(&mut plan);
    }
    let mut crowd = Dice(fastrand::Rng::with_seed(seed ^ 0x0c20_3d00));
    if crowd.among(1, 1000) <= CROWDS_IN_THOUSAND {
        crowd.crowd(&mut plan);
    }
    let mut restored = Dice(fastrand::Rng::with_seed(seed ^ 0x0032_5702));
    if restored.among(1, 1000) <= RESTORED_IN_THOUSAND {
        restored.restore(&mut plan);
    }
    let mut deployed = Dice(fastrand::Rng::with_seed(seed ^ 0x00de_9107));
    if deployed.among(1, 1000) <= DEPLOYED_IN_THOUSAND {
        deployed.reconfigure(&mut plan);
    }
    let mut shared = Dice(fastrand::Rng::with_seed(seed ^ 0x0005_4a2e));
    if shared.among(1, 1000) <= SHARED_IN_THOUSAND {
        shared.share(&mut plan);
    }
    let mut versions = Dice(fastrand::Rng::with_seed(seed ^ 0x0076_e251));
    if versions.among(1, 1000) <= UPGRADED_IN_THOUSAND {
        versions.upgrade(&mut plan);
    }
    let mut scopes = Dice(fastrand::Rng::with_seed(seed ^ 0x005c_09e5));
    if scopes.among(1, 1000) <= SCOPES_IN_THOUSAND {
        scopes.reach_far(&mut plan);
    }
    plan
}

/// The source of chance, seeded with the plan's seed.
pub(super) struct Dice(pub(super) fastrand::Rng);

impl Dice {
    pub(super) fn among(&mut self, least: u64, most: u64) -> u64 {
        self.0.u64(least..=most)
    }

    /// Returns true in this many of a hundred cases.
    pub(super) fn often(&mut self, percent: u64) -> bool {
        self.among(1, 100) <= percent
    }

    pub(super) fn one<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.0.usize(..of.len())].clone()
    }

    pub(super) fn rules(&mut self) -> Rules {
        Rules {
            deregister: self.often(15),
            stop_after: self.often(40).then(|| self.among(0, 90)),
            deadline: self
                .often(20)
                .then(|| (self.among(120, 900), self.one(&["continue", "abandon", "hold"]))),
            max_concurrent: self.one(&["1", "2", "\"50%\""]),
            max_concurrent_group: self.one(&["\"none\"", "\"none\"", "1", "\"50%\""]),
            max_concurrent_service: self.one(&["\"none\"", "\"none\"", "1", "3", "\"50%\""]),
            hold_lifecycle: self.often(50),
            rebalance: self.one(&["ignore", "keep", "terminate"]),
            poll: self.one(&[5, 15, 30]),
        }
    }

    fn group(&mut self, number: u64, clusters: &[String]) -> Group {
        let id = |n: u64| format!("i-{:017x}", ((number + 1) << 8) | n);
        Group {
            name: format!("g{number}"),
            cluster: (!self.often(5)).then(|| self.one(clusters)),
            instances: (0..self.among(2, 6)).map(id).collect(),
            hook: self.one(&HOOKS).to_owned(),
            heartbeat_timeout: self.one(&[300, 600, 3600]),
            second_hook: None,
            other_hook: self.often(25).then(|| self.among(60, 400)),
            warm_pool: self.often(25).then(|| WarmPool {
                rest: (0x80..0x80 + self.among(0, 2)).map(id).collect(),
                reuse: self.often(50),
            }),
            retains: self.often(30),
            attached: self.often(15).then(|| self.one(&[0, 20, 90])),
        }
    }

    fn services(&mut self, cluster: &str) -> Vec<Service> {
        let mut services: Vec<Service> =
            (0..self.among(1, 3)).map(|n| self.replica_service(cluster, n)).collect();
        if self.often(40) {
            let balancing = if self.often(20) { Balancing::Application } else { Balancing::None };
            let daemon = self.replica_service(cluster, 9);
            services.push(Service {
                name: "daemon".to_owned(),
                daemon: true,
                cpu: 64,
                balancing,
                ..daemon
            });
        }
        services
    }

    fn replica_service(&mut self, cluster: &str, number: u64) -> Service {
        let settle = self.among(0, 120);
        let balancing = self.one(&[
            Balancing::None,
            Balancing::Application,
            Balancing::Application,
            Balancing::Network { settle },
            Balancing::Classic,
        ]);
        // A fixed port: one on an instance.
        let desired = if balancing == Balancing::Classic { 1 } else { self.desired() };
        Service {
            cluster: cluster.to_owned(),
            name: format!("s{number}"),
            daemon: false,
            desired,
            percents: self.percents(desired),
            cpu: self.one(&[128, 256, 1024]),
            start: self.among(1, 40),
            stop: self.one(&[1, 5, 30, 90]),
            balancing,
            delay: self.one(&[0, 10, 30, 120]),
            external: self.often(10)
                && matches!(balancing, Balancing::Application | Balancing::Network { .. }),
        }
    }

    pub(super) fn desired(&mut self) -> u32 {
        self.one(&[0, 1, 2, 2, 3, 4, 5])
    }

    fn percents(&mut self, desired: u32) -> (u32, u32) {
        let choice = self.one(&[(100, 200), (50, 100), (0, 100), (50, 200), (100, 150), (75, 125)]);
        if can_move(desired, choice) { choice } else { (100, 200) }
    }

    pub(super) fn task(&mut self, plan: &Plan) -> Option<Task> {
        let group = self.one(&plan.groups);
        let cluster = group.cluster.clone()?;
        let endless = plan.rules.stop_after.is_some() && self.often(50);
        let works = (!endless).then(|| self.among(10, 400));
        Some(Task {
            cluster,
            instance: self.one(&group.instances),
            works,
            stop: self.one(&[1, 10, 60]),
        })
    }

    fn replicas(&mut self, calm_at: u64) -> Vec<Replica> {
        let number = self.one(&[1, 1, 2, 2, 3]);
        let skewed = self.often(40).then(|| self.among(0, number - 1));
        let replica = |n: u64| Replica {
            starts: if n == 0 { 0 } else { self.among(0, 120) },
            retires: (n > 0 && self.often(50)).then(|| self.among(130, calm_at)),
            skew: if skewed == Some(n) { self.0.i64(-240_000..=240_000) } else { 0 },
            restart: self.among(1, 60),
            revision: 0,
        };
        (0..number).map(replica).collect()
    }

    fn delivery(&mut self) -> Delivery {
        let share = |dice: &mut Dice| dice.one(&[0.0, 0.1, 0.5, 1.0]);
        Delivery { lose: share(self), duplicate: share(self), late: self.one(&[1, 1, 30, 120]) }
    }

    pub(super) fn strike(&mut self, plan: &Plan) -> Strike {
        let fault = match self.one(&Fault::ALL) {
            Fault::Stale(_) => Fault::Stale(Duration::from_secs(self.among(1, 60))),
            Fault::LateApply(_) => Fault::LateApply(Duration::from_secs(self.among(1, 45))),
            // A permission that someone removes, and gives back.
            Fault::AccessDenied => return self.spell(plan, Fault::AccessDenied),
            // A process that dies at each call for minutes would prove nothing.
            fault @ (Fault::CrashBefore | Fault::CrashAfter) => fault,
            fault if self.often(30) => return self.spell(plan, fault),
            fault => fault,
        };
        let on = if self.often(60) {
            On::Nth(self.one(&OPERATIONS), self.among(1, 12))
        } else {
            On::Call(self.among(1, 200 + 2 * plan.calm_at))
        };
        Strike { on, fault }
    }

    /// Draws a fault that lasts for some time, often while a drain is in progress.
    fn spell(&mut self, plan: &Plan, fault: Fault) -> Strike {
        let begins = |what: &Happening| {
            matches!(what, Happening::Terminate { .. } | Happening::Order { .. })
        };
        let begun: Vec<u64> =
            plan.script.iter().filter(|(_, what)| begins(what)).map(|(at, _)| *at).collect();
        let from = match begun.is_empty() || self.often(40) {
            true => self.among(0, plan.calm_at - 60),
            false => self.one(&begun) + self.among(0, 90),
        };
        let (operation, span) = if self.often(40) {
            (self.one(&LOOKS), self.among(150, 400))
        } else {
            (self.one(&OPERATIONS), self.among(5, 150))
        };
        Strike { on: On::Every(operation, from, (from + span).min(plan.calm_at)), fault }
    }
}
