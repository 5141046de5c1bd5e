//! The simulated clusters, the instances that leave, and the controller's configuration.

use aws_simulator::autoscaling::{LifecycleResult, Transition};
use aws_simulator::elb::{TargetGroupKind, TargetType};
use aws_simulator::spec::{
    ClassicSpec, ClusterSpec, GroupSpec, HookSpec, Network, ServiceSpec, StandaloneSpec,
    TargetGroupSpec,
};
use aws_simulator::{ACCOUNT, Cloud, REGION};
use ecs_drain_state::record;
use std::time::Duration;

/// The controller's configuration: its defaults, and a deadline for one group.
pub const CONFIG: &str = r#"
[table]
name = "ecs-drain"
region = "us-east-1"

[[scope]]
region = "us-east-1"
hooks = ["ecs-drain"]

[[override]]
groups = ["batch"]
deadline = "10m"
at_deadline = "continue"
"#;

/// The ecs-drain hook of every group.
pub const HOOK: &str = "ecs-drain";

/// The instances: group, its cluster, its size, and the number that leaves.
const GROUPS: [(&str, &str, usize, usize); 4] = [
    ("shop", "shop", 8, 5),
    ("media", "media", 6, 4),
    ("office", "office", 4, 2),
    ("batch", "office", 2, 1),
];

/// An instance that the scale-in terminates.
#[derive(Clone, Debug)]
pub struct Leaving {
    /// The EC2 instance id.
    pub instance: String,
    /// Its cluster.
    pub cluster: &'static str,
    /// Its special feature, for the opening.
    pub special: Option<&'static str>,
    /// True if its group has a deadline, so that it may be released with work on it.
    pub has_deadline: bool,
}

impl Leaving {
    /// Returns the key of its record.
    pub fn key(&self) -> String {
        record::key(ACCOUNT, REGION, &self.instance)
    }
}

/// Describes the world, before it settles.
pub fn describe(cloud: &mut Cloud, seed: u64) {
    cloud.checkers.our_hook(HOOK);
    balancers(cloud);
    for (group, cluster, size, _) in GROUPS {
        cloud.add_cluster(&ClusterSpec::new(cluster));
        cloud.add_group(GroupSpec {
            name: group.to_owned(),
            cluster: Some(cluster.to_owned()),
            desired: u32::try_from(size).unwrap_or(u32::MAX),
            hooks: vec![HookSpec {
                name: HOOK.to_owned(),
                transition: Transition::Terminating,
                heartbeat_timeout: seconds(300),
                default_result: LifecycleResult::Continue,
            }],
            launch_time: seconds(30),
            instance_ids: Some(ids(group, size, seed)),
            ..GroupSpec::default()
        });
    }
    services(cloud);
    cloud.run_task(
        &StandaloneSpec::new("shop", "monthly-report")
            .on(id("shop", 0, seed))
            .duration(seconds(420)),
    );
    // It never ends.
    cloud.run_task(&StandaloneSpec::new("office", "reindex").on(id("batch", 0, seed)));
}

fn balancers(cloud: &mut Cloud) {
    let mut target_group = |name: &str, kind, target_type, delay| {
        cloud.add_target_group(TargetGroupSpec {
            name: name.to_owned(),
            kind,
            target_type,
            port: 80,
            deregistration_delay: seconds(delay),
            initial_time: seconds(10),
            attached: true,
            settle_time: None,
        });
    };
    target_group("web", TargetGroupKind::Application, TargetType::Instance, 60);
    target_group("checkout", TargetGroupKind::Application, TargetType::Instance, 120);
    target_group("stream", TargetGroupKind::Network, TargetType::Ip, 60);
    target_group("live", TargetGroupKind::Network, TargetType::Ip, 300);
    cloud.add_classic(ClassicSpec {
        name: "intranet".to_owned(),
        connection_draining: Some(seconds(90)),
    });
}

fn services(cloud: &mut Cloud) {
    let awsvpc = Network::Awsvpc { container_port: 8080 };
    let fixed = Network::Bridge { container_port: 8080, host_port: 8080 };
    for service in [
        ServiceSpec::replica("shop", "web", 12).target_group("web"),
        ServiceSpec::replica("shop", "checkout", 6)
            .target_group("checkout")
            .times(seconds(15), seconds(20)),
        ServiceSpec::daemon("shop", "logs"),
        ServiceSpec::replica("media", "stream", 8).target_group("stream").network(awsvpc),
        ServiceSpec::replica("media", "live", 1).target_group("live").network(awsvpc),
        ServiceSpec::daemon("media", "logs"),
        ServiceSpec::replica("office", "intranet", 2).classic("intranet").network(fixed),
        ServiceSpec::replica("office", "mail", 4).times(seconds(10), seconds(45)),
    ] {
        cloud.add_service(&service);
    }
}

/// Chooses the instances that leave, after the world has settled: the placement of tasks is the
/// scheduler's choice.
pub fn choose(cloud: &Cloud, seed: u64) -> Vec<Leaving> {
    let mut leaving = Vec::new();
    for (group, cluster, size, leave) in GROUPS {
        let runs = |instance: &str, service: &str| {
            cloud.containers_running(instance).iter().any(|c| c.service.as_deref() == Some(service))
        };
        let mut members = ids(group, size, seed);
        // The interesting ones leave in any case; the order of the others is unchanged.
        members.sort_by_key(|instance| !(runs(instance, "live") || runs(instance, "intranet")));
        if let Some(first) = members.iter().position(|instance| *instance == id(group, 0, seed)) {
            let first = members.remove(first);
            members.insert(0, first);
        }
        leaving.extend(members.into_iter().take(leave).enumerate().map(|(n, instance)| Leaving {
            special: match group {
                "shop" if n == 0 => Some("runs a report of 7 minutes, a standalone task"),
                "media" if runs(&instance, "live") => {
                    Some("has a target that its balancer drains for 5 minutes")
                }
                "batch" if n == 0 => Some("runs an endless task; its deadline is after 10 minutes"),
                _ => None,
            },
            has_deadline: group == "batch",
            cluster,
            instance,
        }));
    }
    leaving
}

/// Returns the number of instances.
pub fn size() -> usize {
    GROUPS.iter().map(|(_, _, size, _)| size).sum()
}

/// Returns an instance that is still in service.
pub fn stays(cloud: &Cloud) -> Option<String> {
    let [(group, ..), ..] = GROUPS;
    cloud
        .instance_ids(group)
        .into_iter()
        .find(|id| cloud.lifecycle_state(id).as_deref() == Some("InService"))
}

/// Scales the groups in.
pub fn scale_in(cloud: &mut Cloud, leaving: &[Leaving]) -> Result<(), String> {
    for instance in leaving {
        if instance.has_deadline {
            // The deadline of the group's policy releases it with its task.
            cloud.checkers.may_be_premature(&instance.instance);
        }
        cloud.terminate(&instance.instance, true).map_err(|error| format!("{error:?}"))?;
    }
    Ok(())
}

fn ids(group: &str, size: usize, seed: u64) -> Vec<String> {
    (0..size).map(|n| id(group, n, seed)).collect()
}

/// Returns an instance id as EC2 writes them: `i-0` and 16 hexadecimal digits.
fn id(group: &str, n: usize, seed: u64) -> String {
    let salt = group
        .bytes()
        .fold(n as u64 + 1, |salt, byte| salt.wrapping_mul(31).wrapping_add(u64::from(byte)));
    let mut rng = fastrand::Rng::with_seed(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ salt);
    format!("i-0{:016x}", rng.u64(..))
}

const fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}
