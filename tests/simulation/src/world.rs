//! A plan's world: its configuration, its clouds, and the faults on its calls.

use crate::harness::{
    CONFIG, CONTROLLER, FAR, HOOK, HOOKS, QUEUE, add_bus, group, hook, seconds, store,
};
use crate::plan::{
    Asked, Balancing, Delivery, Feature, Group, Happening, On, Plan, Revision, Rules, Service,
    Strike, Task,
};
use aws_simulator::elb::{TargetGroupKind, TargetType};
use aws_simulator::spec::{
    ClassicSpec, ClusterSpec, DeploymentController, Network, ServiceSpec, StandaloneSpec,
};
use aws_simulator::spec::{TargetGroupSpec, WarmPoolSpec};
use aws_simulator::{
    BEGIN, Budget, CallInfo, Cloud, EventPlan, Matcher, RecordRules, Rule, Simulator,
    SimulatorConfig,
};
use ecs_drain::config::{Config, Given};
use ecs_drain::store::{Store, TableOptions};
use ecs_drain_state::Phase;
use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

/// The table of every fleet.
const TABLE: &str = "drains";

/// Creates the cloud of a plan, with its table, and that of its second region, before any
/// controller runs.
pub async fn set_up(plan: &Plan) -> (Simulator, Option<Simulator>, Store) {
    let config = SimulatorConfig { seed: plan.seed, ..SimulatorConfig::default() };
    let simulator = Simulator::new(config).expect("a simulator");
    simulator.set_up(|cloud| {
        judge_table(plan, cloud);
        describe(plan, cloud);
    });
    let far = plan
        .far
        .then(|| simulator.add_region(FAR, plan.seed ^ 0x0000_0fa2).expect("a second region"));
    if let Some(far) = &far {
        far.set_up(|cloud| describe(plan, cloud));
        far.with(|cloud| {
            let of_regions =
                plan.faults.iter().filter(|strike| matches!(strike.on, On::Region(..)));
            of_regions.for_each(|strike| cloud.faults.add(rule(strike)));
            cloud.faults.set_read_lag(plan.read_lag.map(seconds));
        });
    }
    let store = store(&simulator, TABLE, CONTROLLER).await.with_schema(plan.newest());
    store.create_table(TableOptions::default()).await.expect("a table");
    simulator.with(|cloud| {
        plan.faults.iter().for_each(|strike| cloud.faults.add(rule(strike)));
        cloud.faults.set_read_lag(plan.read_lag.map(seconds));
        if let Some(Delivery { lose, duplicate, late }) = plan.queue {
            let delay = (Duration::from_millis(200), seconds(late));
            cloud.events.plan = EventPlan { lose, duplicate, delay };
        }
    });
    (simulator, far, store)
}

pub fn config(plan: &Plan, revision: &Revision) -> Config {
    Config::parse(&config_text(plan, revision), "fleet", &Given::default())
        .expect("a valid configuration")
}

fn config_text(plan: &Plan, revision: &Revision) -> String {
    let rules = &revision.rules;
    let mut text = CONFIG.replace(&format!("{:?}", [HOOK]), &format!("{:?}", revision.hooks));
    let text_of = |controller: &str| format!("controller = {controller:?}");
    text = text.replace(&text_of(CONTROLLER), &text_of(revision.controller));
    // A message is deleted by the controller that takes it: each controller needs a queue of its
    // own.
    if plan.queue.is_some() && revision.controller == CONTROLLER {
        let _ =
            writeln!(text, "queue = \"https://sqs.us-east-1.amazonaws.com/123456789012/{QUEUE}\"");
    }
    if let Some(clusters) = &revision.clusters {
        let _ = writeln!(text, "clusters = {clusters:?}");
    }
    if let Some(groups) = &revision.groups {
        let _ = writeln!(text, "groups = {{ names = {groups:?} }}");
    }
    if plan.far {
        let _ = writeln!(text, "[[scope]]\nregion = {FAR:?}\nhooks = {:?}", revision.hooks);
    }
    let _ = writeln!(
        text,
        "[policy]\nagent_grace = \"1m\"\nnot_in_cluster_after = \"2m\"\npoll = \"{}s\"",
        rules.poll
    );
    let _ = writeln!(text, "max_concurrent = {}", rules.max_concurrent);
    let _ = writeln!(text, "max_concurrent_group = {}", rules.max_concurrent_group);
    let _ = writeln!(text, "max_concurrent_service = {}", rules.max_concurrent_service);
    let _ = writeln!(text, "hold_lifecycle = {}", rules.hold_lifecycle);
    let _ = writeln!(text, "rebalance = \"{}\"", rules.rebalance);
    if rules.deregister {
        text.push_str("strategy = \"deregister\"\n");
    }
    if let Some(after) = rules.stop_after {
        let _ = writeln!(text, "standalone_tasks = {{ stop_after = \"{after}s\" }}");
    }
    if let Some((deadline, then)) = rules.deadline {
        let _ = writeln!(text, "deadline = \"{deadline}s\"\nat_deadline = \"{then}\"");
    }
    text
}

/// Adds the judgement of the table, which is in one region, and of the rules that only that region
/// has.
fn judge_table(plan: &Plan, cloud: &mut Cloud) {
    cloud.checkers.records(record_rules().with_budget(budget(plan)));
    cloud.checkers.keep_writes();
    if plan.index_lag > 0 {
        cloud.dynamodb.set_index_lag(seconds(plan.index_lag)).expect("a lagging index");
    }
    if plan.has(Feature::Restored) {
        cloud.dynamodb.back_up();
    }
    if plan.queue.is_some() {
        add_bus(cloud);
    }
}

fn describe(plan: &Plan, cloud: &mut Cloud) {
    for hook in HOOKS {
        cloud.checkers.our_hook(hook);
    }
    // ecs-drain reads the group's hooks every two minutes, and the answer may lag.
    cloud.checkers.ends_unnoticed_for = seconds(180);
    cloud.limits.enabled = plan.limits;
    if let Some(after) = plan.policies().filter_map(|rules| rules.stop_after).min() {
        cloud.checkers.allow_stop_tasks(seconds(after));
    }
    for (number, cluster) in plan.clusters.iter().enumerate() {
        cloud.add_cluster(&ClusterSpec::new(cluster));
        // Room for all tasks, on an instance that no event touches.
        let mut rest =
            group(&format!("{cluster}-rest"), cluster, &[&format!("i-{:017x}", 0xf00 + number)]);
        rest.hooks.clear();
        (rest.instance_cpu, rest.instance_memory) = (65_536, 262_144);
        cloud.add_group(rest);
    }
    plan.groups.iter().for_each(|group| add_group(cloud, group));
    for (number, service) in plan.services.iter().enumerate() {
        add_service(cloud, service, u16::try_from(number).unwrap_or_default());
    }
    for task in &plan.tasks {
        run_task(cloud, task);
    }
}

/// Returns the rules for every write of a record.
fn record_rules() -> RecordRules {
    let from = Phase::ALL.into_iter().filter(|phase| *phase != Phase::Done);
    let moves = from.flat_map(|from| {
        let to = Phase::ALL.into_iter().filter(move |to| from.may_become(*to));
        to.map(move |to| (from.name(), to.name()))
    });
    RecordRules {
        table: TABLE,
        key: "key",
        others: &["lease/", "request/", "pause/", "rollout/", "status/"],
        phase: "phase",
        version: "version",
        generation: "generation",
        intent: ("intent", "result"),
        first: Phase::Pending.name(),
        last: Phase::Done.name(),
        completing: Phase::Completing.name(),
        returning: Phase::Returning.name(),
        moves: moves.collect(),
        through: &["Deregistering", "Waiting", "Verifying"],
        noted_before: &[("TerminateInstanceInAutoScalingGroup", "termination_asked_at")],
        paused: "pause",
        budget: None,
        deregistered: ("container_instances", "arn", "deregistered_at"),
    }
}

/// Returns the budgets of drains. A share is not judged: its whole becomes known late.
fn budget(plan: &Plan) -> Budget {
    // In the last part of its time, the drain of a lifecycle action begins whatever the budget is.
    let extended =
        |what: &Happening| matches!(what, Happening::Order { what: Asked::Extend(_), .. });
    // An older version cannot count the drains that a newer one has begun.
    let blind = plan.has(Feature::Versions);
    let hurry = plan.policies().any(|rules| rules.deadline.is_some()) || plan.happens(extended);
    // While two policies are in force the larger one counts; a share counts as no limit.
    let largest = |of: fn(&Rules) -> &'static str| {
        let all = plan.policies().map(|rules| of(rules).parse().ok());
        all.reduce(|one: Option<usize>, other| Some(one?.max(other?))).flatten()
    };
    Budget {
        controller: "controller",
        cluster: "cluster",
        group: "group",
        lifecycle: "lifecycle",
        exempt: ("origin", "spot-interruption"),
        holds_lifecycle: !hurry && plan.policies().all(|rules| rules.hold_lifecycle),
        over: ("retained_at", ("then", "leave")),
        of_cluster: largest(|rules| rules.max_concurrent).filter(|_| !blind),
        of_group: largest(|rules| rules.max_concurrent_group).filter(|_| !blind),
        of_service: largest(|rules| rules.max_concurrent_service).filter(|_| !blind),
    }
}

fn add_group(cloud: &mut Cloud, spec: &Group) {
    let ids: Vec<&str> = spec.instances.iter().map(String::as_str).collect();
    let mut made = group(&spec.name, "", &ids);
    made.cluster.clone_from(&spec.cluster);
    made.hooks = vec![hook(&spec.hook, seconds(spec.heartbeat_timeout))];
    made.hooks
        .extend(spec.second_hook.iter().map(|name| hook(name, seconds(spec.heartbeat_timeout))));
    made.hooks.extend(spec.other_hook.map(|timeout| hook("backup", seconds(timeout))));
    made.terminate_hook_abandon_retain = spec.retains;
    if let Some(pool) = &spec.warm_pool {
        let min_size = u32::try_from(pool.rest.len()).unwrap_or_default();
        made.warm_pool = Some(WarmPoolSpec { reuse_on_scale_in: pool.reuse, min_size });
        made.instance_ids.get_or_insert_default().extend(pool.rest.iter().cloned());
    }
    if let Some(delay) = spec.attached {
        let targets = TargetGroupSpec {
            name: spec.name.clone(),
            deregistration_delay: seconds(delay),
            ..TargetGroupSpec::default()
        };
        made.target_group_arns = vec![cloud.add_target_group(targets)];
    }
    cloud.add_group(made);
}

fn add_service(cloud: &mut Cloud, service: &Service, number: u16) {
    let Service { cluster, name, .. } = service;
    let balancer = format!("{cluster}-{name}");
    let mut spec = if service.daemon {
        ServiceSpec::daemon(cluster, name)
    } else {
        let (minimum, maximum) = service.percents;
        ServiceSpec::replica(cluster, name, service.desired).percents(minimum, maximum)
    };
    spec = spec.size(service.cpu, 128).times(seconds(service.start), seconds(service.stop));
    let targets = TargetGroupSpec {
        name: balancer.clone(),
        deregistration_delay: seconds(service.delay),
        ..TargetGroupSpec::default()
    };
    if service.external {
        spec = spec.controller(DeploymentController::External);
    }
    match service.balancing {
        Balancing::None => {}
        Balancing::Application => {
            cloud.add_target_group(targets);
            spec = spec.target_group(balancer);
        }
        Balancing::Network { settle } => {
            let settle_time = Some(seconds(settle));
            let kind = TargetGroupKind::Network;
            cloud.add_target_group(TargetGroupSpec {
                kind,
                target_type: TargetType::Ip,
                settle_time,
                ..targets
            });
            spec = spec.target_group(balancer).network(Network::Awsvpc { container_port: 8080 });
        }
        Balancing::Classic => {
            let connection_draining = (service.delay > 0).then(|| seconds(service.delay));
            cloud.add_classic(ClassicSpec { name: balancer.clone(), connection_draining });
            let host_port = 8000 + number;
            spec =
                spec.classic(balancer).network(Network::Bridge { container_port: 8080, host_port });
        }
    }
    cloud.add_service(&spec);
}

/// Runs a task, if the instance is there and has room.
pub fn run_task(cloud: &mut Cloud, task: &Task) {
    let mut spec = StandaloneSpec::new(&task.cluster, "job").on(&task.instance);
    spec.task.duration = task.works.map(seconds);
    spec.task.stop_time = seconds(task.stop);
    (spec.task.cpu, spec.task.memory) = (64, 64);
    cloud.run_task(&spec);
}

fn rule(strike: &Strike) -> Rule {
    let fault = strike.fault;
    match strike.on {
        On::Call(number) => Rule::at_call(number, fault),
        On::Nth(operation, n) => Rule::new(Matcher::NthOf(operation.to_owned(), n), fault),
        On::Every(operation, from, until) => {
            Rule::on(operation, fault).between(BEGIN + seconds(from), BEGIN + seconds(until))
        }
        On::Region(region, from, until) => {
            let there =
                move |info: &CallInfo| info.region == region && info.service.as_str() != "dynamodb";
            let rule = Rule::new(Matcher::Predicate(Arc::new(there)), fault);
            rule.between(BEGIN + seconds(from), BEGIN + seconds(until))
        }
        On::Share(operation, from, until, percent) => {
            let chosen = move |info: &CallInfo| {
                info.operation == operation && falls(info.of_operation) < percent
            };
            let rule = Rule::new(Matcher::Predicate(Arc::new(chosen)), fault);
            rule.between(BEGIN + seconds(from), BEGIN + seconds(until))
        }
        On::Listing(desired, from, until) => {
            let of_state = move |call: &CallInfo| {
                call.operation == "ListTasks" && call.summary.contains(desired)
            };
            let rule = Rule::new(Matcher::Predicate(Arc::new(of_state)), fault);
            rule.between(BEGIN + seconds(from), BEGIN + seconds(until))
        }
    }
}

/// Returns a number below a hundred that looks like chance, always the same for the same call.
fn falls(number: u64) -> u64 {
    fastrand::Rng::with_seed(number.wrapping_mul(0x9e37_79b9_7f4a_7c15)).u64(..100)
}
