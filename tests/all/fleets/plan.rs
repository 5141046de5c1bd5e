//! What a fleet is and what happens to it: a plain value that follows from its seed, can be printed, and can be made
//! smaller.

use aws_simulator::Fault;
use ecs_drain_state::Then;
use std::fmt;
use std::time::Duration;

/// Everything about one run. Times are seconds since the scenario began.
#[derive(Clone, Debug)]
pub struct Plan {
    pub seed: u64,
    pub rules: Rules,
    pub clusters: Vec<String>,
    pub services: Vec<Service>,
    pub tasks: Vec<Task>,
    pub groups: Vec<Group>,
    pub replicas: Vec<Replica>,
    /// What happens, and when.
    pub script: Vec<(u64, Happening)>,
    pub faults: Vec<Strike>,
    /// The most that a read may lag while faults last.
    pub read_lag: Option<u64>,
    /// How far the table's index is behind, to the end.
    pub index_lag: u64,
    /// Events through a queue, and what becomes of them while faults last.
    pub queue: Option<Delivery>,
    /// When faults stop, and nothing more happens.
    pub calm_at: u64,
}

/// The one policy of the fleet.
#[derive(Clone, Debug)]
pub struct Rules {
    pub deregister: bool,
    /// Standalone tasks are stopped after so long; `None`: waited for.
    pub stop_after: Option<u64>,
    /// At this deadline instances are let go whatever is left.
    pub deadline: Option<u64>,
    pub max_concurrent: &'static str,
    pub max_concurrent_lifecycle: &'static str,
    pub rebalance: &'static str,
    pub poll: u64,
}

/// Where a service's tasks are registered.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Balancing {
    None,
    /// Instance targets on dynamic ports behind an application load balancer.
    Application,
    /// Targets by address behind a network load balancer, which may send connections for so long afterwards.
    Network {
        settle: u64,
    },
    /// A fixed port behind a classic load balancer.
    Classic,
}

#[derive(Clone, Debug)]
pub struct Service {
    pub cluster: String,
    pub name: String,
    pub daemon: bool,
    pub desired: u32,
    pub percents: (u32, u32),
    pub cpu: u32,
    pub start: u64,
    pub stop: u64,
    pub balancing: Balancing,
    /// How long its balancer drains a target.
    pub delay: u64,
}

/// A task of no service.
#[derive(Clone, Debug)]
pub struct Task {
    pub cluster: String,
    pub instance: String,
    /// How long it works; `None`: until it is stopped.
    pub works: Option<u64>,
    pub stop: u64,
}

#[derive(Clone, Debug)]
pub struct Group {
    pub name: String,
    /// `None`: its instances join no cluster.
    pub cluster: Option<String>,
    pub instances: Vec<String>,
    pub heartbeat_timeout: u64,
    /// Another's hook holds its instances for so long.
    pub other_hook: Option<u64>,
}

/// A controller. The first one never retires.
#[derive(Clone, Debug)]
pub struct Replica {
    pub starts: u64,
    /// When it is asked to shut down, as by a deployment.
    pub retires: Option<u64>,
    /// How far its clock is off, in milliseconds.
    pub skew: i64,
    /// How long it stays dead.
    pub restart: u64,
}

/// What becomes of events on their way to the queue.
#[derive(Clone, Copy, Debug)]
pub struct Delivery {
    pub lose: f64,
    pub duplicate: f64,
    pub late: u64,
}

/// What happens at one moment. What names an instance that is not there (any more) does nothing.
#[derive(Clone, Debug)]
pub enum Happening {
    /// A scale-in of this very instance.
    Terminate {
        instance: String,
        shrink: bool,
    },
    /// The group chooses.
    Capacity {
        group: String,
        desired: u32,
    },
    Agent {
        instance: String,
        connected: bool,
    },
    /// Spot warns, and takes the instance two minutes later.
    Spot {
        instance: String,
    },
    Rebalance {
        instance: String,
    },
    Order {
        instance: String,
        what: Asked,
    },
    Desired {
        cluster: String,
        service: String,
        desired: u32,
    },
    /// New tasks of the service do not start until it is healed.
    Trouble {
        cluster: String,
        service: String,
    },
    Heal {
        cluster: String,
        service: String,
    },
    /// Its tasks there are protected from scale-in for so long.
    Protect {
        cluster: String,
        service: String,
        instance: String,
        span: u64,
    },
    /// The agent lost its state, and registers the instance once more.
    RegistersAgain {
        cluster: String,
        instance: String,
    },
    RunTask(Task),
    /// The controller dies.
    Kill {
        replica: usize,
    },
    /// The controller stands still for so long, and goes on believing what it did.
    Stop {
        replica: usize,
        span: u64,
    },
    ClockJumps {
        replica: usize,
        by: i64,
    },
    TableAway {
        span: u64,
        hangs: bool,
    },
    /// Everything is held.
    Brake {
        on: bool,
    },
}

/// What an operator asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    Drain(Then),
    Cancel,
    Hold,
    Resume,
    Retry,
    Complete,
}

/// One thing that goes wrong with calls.
#[derive(Clone, Debug)]
pub struct Strike {
    pub on: On,
    pub fault: Fault,
}

/// Which calls it strikes.
#[derive(Clone, Debug)]
pub enum On {
    /// The n-th of all.
    Call(u64),
    /// The n-th of an operation.
    Nth(&'static str, u64),
    /// Every one of an operation in this span.
    Every(&'static str, u64, u64),
}

impl Plan {
    /// How far two looks at a wall clock disagree at most: of two replicas, or before and after a jump.
    pub fn clocks_disagree(&self) -> Duration {
        let offsets = self.replicas.iter().enumerate().flat_map(|(n, replica)| {
            let jumps = self.script.iter().filter_map(move |(_, what)| match what {
                Happening::ClockJumps { replica, by } if *replica == n => Some(*by),
                _ => None,
            });
            let after = jumps.scan(replica.skew, |skew, by| {
                *skew += by;
                Some(*skew)
            });
            std::iter::once(replica.skew).chain(after)
        });
        let offsets: Vec<i64> = offsets.collect();
        let (least, most) = (offsets.iter().min(), offsets.iter().max());
        Duration::from_millis(least.zip(most).map_or(0, |(least, most)| most.abs_diff(*least)))
    }
}

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
        rules,
        clusters,
        groups,
        calm_at,
    };
    plan.tasks = (0..dice.among(0, 3)).filter_map(|_| dice.task(&plan)).collect();
    plan.script = dice.script(&plan);
    plan
}

/// Whether Spot takes this instance at some time.
fn spot_takes(script: &[(u64, Happening)], of: &str) -> bool {
    script.iter().any(|(_, what)| matches!(what, Happening::Spot { instance } if instance == of))
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
            deadline: self.often(10).then(|| self.among(300, 900)),
            max_concurrent: self.one(&["1", "2", "\"50%\""]),
            max_concurrent_lifecycle: self.one(&["\"none\"", "\"none\"", "2", "\"50%\""]),
            rebalance: self.one(&["ignore", "keep", "terminate"]),
            poll: self.one(&[5, 15, 30]),
        }
    }

    fn group(&mut self, number: u64, clusters: &[String]) -> Group {
        Group {
            name: format!("g{number}"),
            cluster: (!self.often(5)).then(|| self.one(clusters)),
            instances: (0..self.among(2, 6)).map(|n| format!("i-{:017x}", ((number + 1) << 8) | n)).collect(),
            heartbeat_timeout: self.one(&[300, 600, 3600]),
            other_hook: self.often(25).then(|| self.among(60, 400)),
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
            Fault::Throttle if self.often(50) => return self.spell(calm_at, Fault::Throttle),
            other => other,
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
        Strike { on: On::Every(self.one(&OPERATIONS), from, from + self.among(5, 60)), fault }
    }

    fn script(&mut self, plan: &Plan) -> Vec<(u64, Happening)> {
        let mut script = Vec::new();
        for _ in 0..self.among(2, 14) {
            let at = self.among(0, plan.calm_at - 60);
            self.happening(plan, at, &mut script);
        }
        // A dead instance whose agent ECS did not hear is a registration for ever, with tasks and targets.
        let is_taken = |of: &str| spot_takes(&script, of);
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
            0..30 => script.push((at, Happening::Terminate { instance, shrink: self.often(60) })),
            30..35 => {
                let desired = self.among(1, group.instances.len() as u64) as u32;
                script.push((at, Happening::Capacity { group: group.name, desired }));
            }
            35..40 => {
                script.push((at, Happening::Agent { instance: instance.clone(), connected: false }));
                script.push((later, Happening::Agent { instance, connected: true }));
            }
            40..60 => self.orders(&instance, at, later, script),
            60..65 => script.push((at, Happening::Spot { instance })),
            65..69 => script.push((at, Happening::Rebalance { instance })),
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
            95..98 => script.push((at, Happening::TableAway { span: self.among(5, 200), hangs: self.often(40) })),
            _ => {
                script.push((at, Happening::Brake { on: true }));
                script.push((later, Happening::Brake { on: false }));
            }
        }
    }

    /// Operators order something, and may change their minds.
    fn orders(&mut self, instance: &str, at: u64, later: u64, script: &mut Vec<(u64, Happening)>) {
        let mut order =
            |at: u64, what: Asked| script.push((at, Happening::Order { instance: instance.to_owned(), what }));
        let drain = Asked::Drain(self.one(&[Then::Keep, Then::Keep, Then::Terminate, Then::TerminateAndShrink]));
        let between = self.among(at, later);
        match self.among(0, 9) {
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

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Plan { seed, rules, clusters, calm_at, read_lag, index_lag, queue, .. } = self;
        writeln!(f, "seed {seed}, calm at {calm_at} s, clusters {clusters:?}")?;
        writeln!(f, "reads lag {read_lag:?}, index lags {index_lag}, queue {queue:?}\n{rules:?}")?;
        let mut lines = |kind: &str, items: Vec<String>| -> fmt::Result {
            items.iter().try_for_each(|item| writeln!(f, "  {kind} {item}"))
        };
        lines("", self.groups.iter().map(|item| format!("{item:?}")).collect())?;
        lines("", self.services.iter().map(|item| format!("{item:?}")).collect())?;
        lines("", self.tasks.iter().map(|item| format!("{item:?}")).collect())?;
        lines("", self.replicas.iter().map(|item| format!("{item:?}")).collect())?;
        lines("at", self.script.iter().map(|(at, what)| format!("{at:>4} s {what:?}")).collect())?;
        lines("", self.faults.iter().map(|item| format!("{item:?}")).collect())
    }
}
