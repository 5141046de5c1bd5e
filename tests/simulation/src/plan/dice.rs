//! The fleet of a seed.

use super::{Asked, Balancing, Delivery, Group, Happening, On, Plan, Replica, Rules, Service, Strike, Task, WarmPool};
use crate::harness::HOOKS;
use aws_simulator::Fault;
use ecs_drain_state::Then;
use std::time::Duration;

/// The operations that faults are aimed at.
const OPERATIONS: [&str; 23] = [
    "BatchGetItem",
    "CompleteLifecycleAction",
    "DeregisterContainerInstance",
    "DescribeAutoScalingGroups",
    "DescribeAutoScalingInstances",
    "DescribeClusters",
    "DescribeContainerInstances",
    "DescribeInstanceHealth",
    "DescribeLifecycleHooks",
    "DescribeServices",
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

/// Whether such a service can be moved at all: it may stop a task first, or start one first.
pub fn can_move(desired: u32, (minimum, maximum): (u32, u32)) -> bool {
    desired == 0 || (desired * minimum).div_ceil(100) < desired || desired * maximum / 100 > desired
}

/// The fleet of a seed. What it leaves out on purpose is written down in docs/reliability.md.
pub fn plan(seed: u64) -> Plan {
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
        faults: (0..dice.among(0, 25)).map(|_| dice.strike(calm_at)).collect(),
        read_lag: dice.often(40).then(|| dice.among(5, 60)),
        index_lag: if dice.often(30) { dice.among(1, 30) } else { 0 },
        queue: dice.often(60).then(|| dice.delivery()),
        limits: dice.often(30),
        rules,
        clusters,
        groups,
        calm_at,
    };
    plan.tasks = (0..dice.among(0, 3)).filter_map(|_| dice.task(&plan)).collect();
    plan.script = dice.script(&plan);
    plan
}

/// Whether Spot takes this instance at some time, or EC2 loses it.
fn dies(script: &[(u64, Happening)], of: &str) -> bool {
    script
        .iter()
        .any(|(_, what)| matches!(what, Happening::Spot { instance } | Happening::Dies { instance } if instance == of))
}

/// Chance, all of it from the seed.
struct Dice(fastrand::Rng);

impl Dice {
    fn among(&mut self, least: u64, most: u64) -> u64 {
        self.0.u64(least..=most)
    }

    /// So many times in a hundred.
    fn often(&mut self, percent: u64) -> bool {
        self.among(1, 100) <= percent
    }

    fn one<T: Clone>(&mut self, of: &[T]) -> T {
        of[self.0.usize(..of.len())].clone()
    }

    fn rules(&mut self) -> Rules {
        Rules {
            deregister: self.often(15),
            stop_after: self.often(40).then(|| self.among(0, 90)),
            deadline: self.often(20).then(|| (self.among(120, 900), self.one(&["continue", "abandon", "hold"]))),
            max_concurrent: self.one(&["1", "2", "\"50%\""]),
            max_concurrent_lifecycle: self.one(&["\"none\"", "\"none\"", "2", "\"50%\""]),
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
            other_hook: self.often(25).then(|| self.among(60, 400)),
            warm_pool: self
                .often(25)
                .then(|| WarmPool { rest: (0x80..0x80 + self.among(0, 2)).map(id).collect(), reuse: self.often(50) }),
            retains: self.often(30),
            attached: self.often(15).then(|| self.one(&[0, 20, 90])),
        }
    }

    fn services(&mut self, cluster: &str) -> Vec<Service> {
        let mut services: Vec<Service> = (0..self.among(1, 3)).map(|n| self.replica_service(cluster, n)).collect();
        if self.often(40) {
            let balancing = if self.often(20) { Balancing::Application } else { Balancing::None };
            let daemon = self.replica_service(cluster, 9);
            services.push(Service { name: "daemon".to_owned(), daemon: true, cpu: 64, balancing, ..daemon });
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
            external: self.often(10) && matches!(balancing, Balancing::Application | Balancing::Network { .. }),
        }
    }

    fn desired(&mut self) -> u32 {
        self.one(&[0, 1, 2, 2, 3, 4, 5])
    }

    fn percents(&mut self, desired: u32) -> (u32, u32) {
        let choice = self.one(&[(100, 200), (50, 100), (0, 100), (50, 200), (100, 150), (75, 125)]);
        if can_move(desired, choice) { choice } else { (100, 200) }
    }

    fn task(&mut self, plan: &Plan) -> Option<Task> {
        let group = self.one(&plan.groups);
        let cluster = group.cluster.clone()?;
        let endless = plan.rules.stop_after.is_some() && self.often(50);
        let works = (!endless).then(|| self.among(10, 400));
        Some(Task { cluster, instance: self.one(&group.instances), works, stop: self.one(&[1, 10, 60]) })
    }

    fn replicas(&mut self, calm_at: u64) -> Vec<Replica> {
        let number = self.one(&[1, 1, 2, 2, 3]);
        let skewed = self.often(40).then(|| self.among(0, number - 1));
        let replica = |n: u64| Replica {
            starts: if n == 0 { 0 } else { self.among(0, 120) },
            retires: (n > 0 && self.often(50)).then(|| self.among(130, calm_at)),
            skew: if skewed == Some(n) { self.0.i64(-240_000..=240_000) } else { 0 },
            restart: self.among(1, 60),
        };
        (0..number).map(replica).collect()
    }

    fn delivery(&mut self) -> Delivery {
        let share = |dice: &mut Dice| dice.one(&[0.0, 0.1, 0.5, 1.0]);
        Delivery { lose: share(self), duplicate: share(self), late: self.one(&[1, 1, 30, 120]) }
    }

    fn strike(&mut self, calm_at: u64) -> Strike {
        let fault = match self.one(&Fault::ALL) {
            Fault::Stale(_) => Fault::Stale(Duration::from_secs(self.among(1, 60))),
            Fault::LateApply(_) => Fault::LateApply(Duration::from_secs(self.among(1, 45))),
            // A policy that someone changes, and changes back.
            Fault::AccessDenied => return self.spell(calm_at, Fault::AccessDenied),
            // Nobody dies for minutes on end.
            fault @ (Fault::CrashBefore | Fault::CrashAfter) => fault,
            fault if self.often(30) => return self.spell(calm_at, fault),
            fault => fault,
        };
        let on = if self.often(60) {
            On::Nth(self.one(&OPERATIONS), self.among(1, 12))
        } else {
            On::Call(self.among(1, 200 + 2 * calm_at))
        };
        Strike { on, fault }
    }

    fn spell(&mut self, calm_at: u64, fault: Fault) -> Strike {
        let from = self.among(0, calm_at - 60);
        let until = (from + self.among(5, 150)).min(calm_at);
        Strike { on: On::Every(self.one(&OPERATIONS), from, until), fault }
    }

    fn script(&mut self, plan: &Plan) -> Vec<(u64, Happening)> {
        let mut script = Vec::new();
        for _ in 0..self.among(2, 14) {
            let at = self.among(0, plan.calm_at - 60);
            self.happening(plan, at, &mut script);
        }
        // A dead instance whose agent ECS did not hear is a registration for ever, with tasks and targets.
        let is_taken = |of: &str| dies(&script, of);
        let unheard = |what: &Happening| matches!(what, Happening::Agent { instance, .. } if is_taken(instance));
        let mut script: Vec<_> = script.iter().filter(|(_, what)| !unheard(what)).cloned().collect();
        script.sort_by_key(|(at, _)| *at);
        script
    }

    /// One thing that happens, with what belongs to it.
    fn happening(&mut self, plan: &Plan, at: u64, script: &mut Vec<(u64, Happening)>) {
        let group = self.one(&plan.groups);
        let instance = self.one(&group.instances);
        // Where the group has no cluster nothing of ECS can happen to its instances.
        let cluster = group.cluster.clone().unwrap_or_else(|| plan.clusters[0].clone());
        let of_cluster: Vec<&Service> = plan.services.iter().filter(|s| s.cluster == cluster && !s.daemon).collect();
        let service = self.one(&of_cluster);
        let replica = self.0.usize(..plan.replicas.len());
        let later = (at + self.among(5, 150)).min(plan.calm_at - 1);
        match self.among(0, 99) {
            0..22 => script.push((at, Happening::Terminate { instance, shrink: self.often(60) })),
            // Whether a group takes such an instance from its own balancers is not documented.
            22..24 if group.attached.is_none() => script.push((at, Happening::RootVolume { instance })),
            22..24 => script.push((at, Happening::Terminate { instance, shrink: false })),
            24..26 => script.push((at, Happening::Dies { instance })),
            26..30 if group.warm_pool.is_some() => {
                if let Some(pool) = &group.warm_pool {
                    script.push((at, Happening::ToPool { instance: instance.clone() }));
                    let other = pool.rest.first().cloned().unwrap_or_else(|| instance.clone());
                    script.push((later, Happening::FromPool { instance: other }));
                }
            }
            26..28 => {
                let (healthy, warmup) = (self.one(&[50, 90, 100]), self.among(5, 60));
                script.push((at, Happening::Refresh { group: group.name.clone(), healthy, warmup }));
                if self.often(30) {
                    script.push((later, Happening::RefreshCancelled { group: group.name }));
                }
            }
            28..30 => {
                script.push((at, Happening::CapacityOut { group: group.name.clone() }));
                script.push((later, Happening::CapacityBack { group: group.name }));
            }
            30..31 => script.push((at, Happening::ByHand { instance, active: self.often(70) })),
            31..32 => {
                script.push((at, Happening::HookDeleted { group: group.name.clone() }));
                script.push((later, Happening::HookPut { group: group.name }));
            }
            32..35 => {
                let desired = self.among(1, group.instances.len() as u64) as u32;
                script.push((at, Happening::Capacity { group: group.name, desired }));
            }
            35..40 => {
                script.push((at, Happening::Agent { instance: instance.clone(), connected: false }));
                script.push((later, Happening::Agent { instance, connected: true }));
            }
            40..60 => self.orders(&instance, group.attached.is_some(), at, later, script),
            60..65 => script.push((at, Happening::Spot { instance })),
            65..69 if group.attached.is_none() || plan.rules.rebalance != "keep" => {
                script.push((at, Happening::Rebalance { instance }));
            }
            65..69 => script.push((at, Happening::Spot { instance })),
            69..73 => {
                let desired = self.desired();
                if service.balancing != Balancing::Classic && can_move(desired, service.percents) {
                    script.push((at, Happening::Desired { cluster, service: service.name.clone(), desired }));
                }
            }
            73..76 => {
                let service = service.name.clone();
                script.push((at, Happening::Trouble { cluster: cluster.clone(), service: service.clone() }));
                script.push((later, Happening::Heal { cluster, service }));
            }
            76..79 => {
                let span = self.among(10, 300);
                script.push((at, Happening::Protect { cluster, service: service.name.clone(), instance, span }));
            }
            79..82 if group.cluster.is_some() => script.push((at, Happening::RegistersAgain { cluster, instance })),
            79..85 => script.extend(self.task(plan).map(|task| (at, Happening::RunTask(task)))),
            85..90 => script.push((at, Happening::Kill { replica })),
            90..93 => script.push((at, Happening::Stop { replica, span: self.among(5, 120) })),
            93..95 => script.push((at, Happening::ClockJumps { replica, by: self.0.i64(-600_000..=600_000) })),
            95..98 => {
                let span = self.among(5, 200) * self.one(&[1, 1, 2]);
                script.push((at, Happening::TableAway { span, hangs: self.often(40) }));
            }
            _ => {
                script.push((at, Happening::Brake { on: true }));
                script.push((later, Happening::Brake { on: false }));
            }
        }
    }

    /// Operators order something, and may change their minds.
    ///
    /// Nobody takes an instance that is kept from a balancer of its group, so that no such drain ends by itself.
    fn orders(&mut self, instance: &str, attached: bool, at: u64, later: u64, script: &mut Vec<(u64, Happening)>) {
        let mut order =
            |at: u64, what: Asked| script.push((at, Happening::Order { instance: instance.to_owned(), what }));
        let then = self.one(&[Then::Keep, Then::Keep, Then::Terminate, Then::TerminateAndShrink]);
        let drain = Asked::Drain(if attached { Then::TerminateAndShrink } else { then });
        let between = self.among(at, later);
        match self.among(0, 10) {
            10 => order(at, Asked::Extend(self.among(60, 1200))),
            0..4 => order(at, drain),
            4..7 => {
                order(at, drain);
                order(between, Asked::Cancel);
                if self.often(50) {
                    order(later, drain);
                }
            }
            7 => {
                order(at, Asked::Hold);
                order(later, Asked::Resume);
            }
            8 => order(at, Asked::Retry),
            _ => {
                order(at, drain);
                order(later, Asked::Complete);
            }
        }
    }
}
