//! The clouds of a scenario, and the controller's configuration.

use crate::scenario::{Balancing, Job, Layout, Plot, Scenario};
use aws_simulator::elb::{TargetGroupKind, TargetType};
use aws_simulator::spec::{
    ClusterSpec, GroupSpec, HookSpec, Network, ServiceSpec, StandaloneSpec, TargetGroupSpec,
    WarmPoolSpec,
};
use aws_simulator::{BEGIN, CallInfo, Cloud, Fault, Matcher, Rule, Simulator, SimulatorConfig};
use ecs_drain::config::{Config, Given};
use ecs_drain::store::{Store, TableOptions};
use ecs_drain_simulation::harness::{
    CONFIG, HOOK, QUEUE, add_bus, group, hook, our_hook, seconds, store,
};
use std::sync::Arc;
use std::time::Duration;

/// CPU units and MiB of a task.
const SIZE: u32 = 256;

/// The number of tasks that one instance outside the hook has room for.
const ROOM: usize = 100;

/// The time from the controller's start to the first event.
pub const LEAD: Duration = seconds(120);

/// The time from the first event to the end of the first jobs, in seconds.
const FIRST_END: u64 = 300;

/// Creates the cloud of a scenario with its table, before the controller runs.
pub async fn set_up(scenario: &Scenario) -> (Simulator, Store) {
    let simulator = Simulator::new(SimulatorConfig::default()).expect("a simulator");
    simulator.set_up(|cloud| describe(scenario, cloud));
    let store = store(&simulator, "drains", "test").await;
    store.create_table(TableOptions::default()).await.expect("a table");
    (simulator, store)
}

/// Returns the configuration: the defaults, and the settings of the scenario.
pub fn config(scenario: &Scenario) -> Config {
    let mut text = CONFIG.to_owned();
    if scenario.layout.queue {
        text += &format!("queue = \"https://sqs.us-east-1.amazonaws.com/123456789012/{QUEUE}\"\n");
    }
    if scenario.plot == Plot::Rollout {
        text += "[policy]\nmax_concurrent = 1\n";
    }
    Config::parse(&text, scenario.name, &Given::default()).expect("a valid configuration")
}

/// Returns the instances that drain, over all clusters.
pub fn drains(layout: &Layout) -> Vec<String> {
    let first =
        |cluster| (0..share(layout.drains, layout.clusters, cluster)).map(move |n| id(cluster, n));
    (0..layout.clusters).flat_map(first).chain(strangers(layout)).collect()
}

/// Returns the instances under the hook that are in no cluster.
fn strangers(layout: &Layout) -> impl Iterator<Item = String> {
    (0..layout.strangers).map(|n| format!("i-ffffffff{n:09x}"))
}

/// Returns the instances under the hook that do not drain.
pub fn others(layout: &Layout) -> Vec<String> {
    let rest = |cluster| {
        let from = share(layout.drains, layout.clusters, cluster);
        (from..share(layout.instances, layout.clusters, cluster)).map(move |n| id(cluster, n))
    };
    (0..layout.clusters).flat_map(rest).collect()
}

/// Returns the id of a cluster's instance, by its number.
fn id(cluster: usize, number: usize) -> String {
    format!("i-{cluster:08x}{number:09x}")
}

/// Returns the size of one part of a whole that is divided evenly.
fn share(whole: usize, parts: usize, part: usize) -> usize {
    whole / parts + usize::from(part < whole % parts)
}

fn describe(scenario: &Scenario, cloud: &mut Cloud) {
    let layout = &scenario.layout;
    cloud.checkers.our_hook(HOOK);
    cloud.limits.enabled = true;
    if layout.queue {
        add_bus(cloud);
    }
    for cluster in 0..layout.clusters {
        add_cluster(scenario, cloud, cluster);
    }
    let ids: Vec<String> = strangers(layout).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    if !ids.is_empty() {
        let hooks = hooks(layout);
        cloud.add_group(GroupSpec {
            max: ids.len() as u32,
            hooks,
            cluster: None,
            ..group("strangers", "none", &ids)
        });
    }
    for cluster in 0..layout.clusters {
        add_jobs(layout, cloud, cluster);
        add_services(layout, cloud, cluster);
    }
    // All tasks run on the instances that will drain, before there is room elsewhere.
    cloud.advance(BEGIN - seconds(1800));
    if layout.target_groups > 0 {
        (0..layout.clusters).for_each(|cluster| add_room(layout, cloud, cluster));
    }
    if scenario.plot == Plot::FailingCalls {
        let one_in_a_hundred = |info: &CallInfo| info.number % 100 == 7;
        let fault = |number: u64| if number == 0 { Fault::FailAfter } else { Fault::Http500 };
        for half in 0..2 {
            let strikes =
                move |info: &CallInfo| one_in_a_hundred(info) && info.number / 100 % 2 == half;
            cloud.faults.add(Rule::new(Matcher::Predicate(Arc::new(strikes)), fault(half)));
        }
    }
}

fn hooks(layout: &Layout) -> Vec<HookSpec> {
    let ours = our_hook(seconds(layout.heartbeat_timeout));
    let other = layout.another_hook.then(|| hook("backup", seconds(7200)));
    [ours].into_iter().chain(other).collect()
}

fn name(cluster: usize) -> String {
    format!("c{cluster}")
}

fn add_cluster(scenario: &Scenario, cloud: &mut Cloud, cluster: usize) {
    let layout = &scenario.layout;
    let name = name(cluster);
    cloud.add_cluster(&ClusterSpec::new(&name));
    let ids: Vec<String> =
        (0..share(layout.instances, layout.clusters, cluster)).map(|n| id(cluster, n)).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let room = u32::try_from(layout.tasks).unwrap() * SIZE;
    cloud.add_group(GroupSpec {
        max: u32::try_from(ids.len()).unwrap(),
        hooks: hooks(layout),
        warm_pool: (scenario.plot == Plot::Resting)
            .then_some(WarmPoolSpec { reuse_on_scale_in: true, min_size: 0 }),
        instance_cpu: room,
        instance_memory: room,
        ..group(&name, &name, &ids)
    });
}

/// Adds one job on each instance.
fn add_jobs(layout: &Layout, cloud: &mut Cloud, cluster: usize) {
    let duration = |number: usize| match layout.job {
        Job::Ends(over) => {
            // All clusters have early and late ends.
            let place = (number * layout.clusters + cluster) as u64;
            let over = over * place / layout.instances.max(1) as u64;
            Some(LEAD + seconds(FIRST_END + over))
        }
        Job::None | Job::Endless => None,
    };
    if layout.job == Job::None {
        return;
    }
    let cluster_name = name(cluster);
    for number in 0..share(layout.instances, layout.clusters, cluster) {
        let mut job = StandaloneSpec::new(&cluster_name, "job").on(id(cluster, number));
        (job.task.cpu, job.task.memory) = (SIZE, SIZE);
        job.task.duration = duration(number);
        cloud.run_task(&job).expect("room for the job");
    }
}

/// Adds a service behind each target group; together they fill the instances.
fn add_services(layout: &Layout, cloud: &mut Cloud, cluster: usize) {
    let groups = share(layout.target_groups, layout.clusters, cluster);
    let instances = share(layout.instances, layout.clusters, cluster);
    let tasks = layout.tasks - usize::from(layout.job != Job::None);
    for number in 0..groups {
        let name = format!("{}-{number}", name(cluster));
        let desired = u32::try_from(instances * share(tasks, groups, number)).unwrap();
        let targets = TargetGroupSpec { name: name.clone(), ..TargetGroupSpec::default() };
        // A drain may stop all tasks at once: its duration is that of its targets.
        let spec = ServiceSpec::replica(self::name(cluster), &name, desired)
            .percents(0, 100)
            .size(SIZE, SIZE);
        let spec = match layout.balancing {
            Balancing::Application => {
                cloud.add_target_group(targets);
                spec
            }
            Balancing::Network => {
                let (kind, settle_time) = (TargetGroupKind::Network, Some(seconds(120)));
                cloud.add_target_group(TargetGroupSpec {
                    kind,
                    target_type: TargetType::Ip,
                    settle_time,
                    ..targets
                });
                spec.network(Network::Awsvpc { container_port: 8080 })
            }
        };
        cloud.add_service(&spec.target_group(name));
    }
}

/// Adds instances outside the hook, with room for all tasks of the drains.
fn add_room(layout: &Layout, cloud: &mut Cloud, cluster: usize) {
    let tasks = layout.tasks * share(layout.instances, layout.clusters, cluster);
    let name = name(cluster);
    let ids: Vec<String> =
        (0..tasks.div_ceil(ROOM).max(1)).map(|n| format!("i-{cluster:08x}f{n:08x}")).collect();
    let ids: Vec<&str> = ids.iter().map(String::as_str).collect();
    let room = u32::try_from(ROOM).unwrap() * SIZE;
    cloud.add_group(GroupSpec {
        max: u32::try_from(ids.len()).unwrap(),
        hooks: Vec::new(),
        instance_cpu: room,
        instance_memory: room,
        ..group(&format!("{name}-room"), &name, &ids)
    });
}
