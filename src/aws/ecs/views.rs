//! Facts from ECS's answers.

use aws_sdk_ecs::primitives::DateTime;
use aws_sdk_ecs::types::{
    Attachment, Container, ContainerInstance, DeploymentRolloutState, LoadBalancer,
    ResolvedConfiguration, SchedulingStrategy, Service, ServiceRevision, Task,
};
use ecs_drain_state::ContainerInstanceStatus;
use jiff::Timestamp;
use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::ops::RangeInclusive;

/// A container instance. (Source: ECS API reference, ContainerInstance.)
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerInstanceView {
    pub arn: String,
    /// Id of its EC2 instance. Several container instances can be one EC2 instance.
    pub ec2_instance_id: Option<String>,
    pub status: ContainerInstanceStatus,
    /// True if its agent is connected. If not, the states of its tasks are the last known ones.
    pub agent_connected: bool,
    /// Tasks whose desired status is `RUNNING`. Tasks that are being stopped are in neither count.
    pub running: u32,
    /// Tasks in `PENDING`.
    pub pending: u32,
    /// Attributes that have a value, such as `ecs.ami-id`.
    pub attributes: BTreeMap<String, String>,
    /// Version of its agent.
    pub agent_version: Option<String>,
    /// Time of its registration.
    pub registered_at: Option<Timestamp>,
    /// Version, which rises with every change that ECS also reports as an event.
    pub version: i64,
}

impl ContainerInstanceView {
    /// Reads the answer. Returns `None` if it does not identify the container instance.
    pub(super) fn read(from: ContainerInstance) -> Option<ContainerInstanceView> {
        let attributes = from.attributes.unwrap_or_default().into_iter();
        Some(ContainerInstanceView {
            status: status(from.status.unwrap_or_default()),
            ec2_instance_id: from.ec2_instance_id,
            agent_connected: from.agent_connected,
            running: count(from.running_tasks_count),
            pending: count(from.pending_tasks_count),
            registered_at: from.registered_at.as_ref().and_then(timestamp),
            attributes: attributes
                .filter_map(|attribute| Some((attribute.name, attribute.value?)))
                .collect(),
            agent_version: from.version_info.and_then(|info| info.agent_version),
            version: from.version,
            arn: from.container_instance_arn?,
        })
    }
}

pub(super) fn status(word: String) -> ContainerInstanceStatus {
    match word.as_str() {
        "ACTIVE" => ContainerInstanceStatus::Active,
        "DRAINING" => ContainerInstanceStatus::Draining,
        "INACTIVE" => ContainerInstanceStatus::Inactive,
        "REGISTRATION_FAILED" => ContainerInstanceStatus::RegistrationFailed,
        _ => ContainerInstanceStatus::Other(word),
    }
}

/// A task. (Source: ECS API reference, Task.)
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskView {
    pub arn: String,
    /// ARN of the container instance; `None` before it is placed.
    pub container_instance: Option<String>,
    /// ARN of its task definition.
    pub task_definition: Option<String>,
    /// Last status in ECS's word; empty if the answer has none. Only `STOPPED` means stopped.
    pub last_status: String,
    /// `RUNNING` or `STOPPED`.
    pub desired_status: String,
    /// `service:<name>` for a service's task. Any caller of RunTask may set another string, or that
    /// one.
    pub group: Option<String>,
    /// Id of the deployment for a service's task.
    pub started_by: Option<String>,
    /// Addresses of its own (network mode `awsvpc`), sorted.
    pub ips: Vec<String>,
    /// Ports of the instance that lead to it (network modes `bridge` and `host`), sorted.
    pub host_ports: Vec<u16>,
    /// `EC2`, `FARGATE`, …
    pub launch_type: Option<String>,
    /// Time at which ECS was asked to stop it.
    pub stopping_at: Option<Timestamp>,
    /// Time at which it became `STOPPED`.
    pub stopped_at: Option<Timestamp>,
    /// Version, which rises with every change that ECS also reports as an event.
    pub version: i64,
}

impl TaskView {
    /// Reads the answer. Returns `None` if it does not identify the task.
    pub(super) fn read(from: Task) -> Option<TaskView> {
        let containers = from.containers.unwrap_or_default();
        Some(TaskView {
            container_instance: from.container_instance_arn,
            task_definition: from.task_definition_arn,
            last_status: from.last_status.unwrap_or_default(),
            desired_status: from.desired_status.unwrap_or_default(),
            group: from.group,
            started_by: from.started_by,
            ips: ips(&from.attachments.unwrap_or_default(), &containers),
            host_ports: host_ports(&containers),
            launch_type: from.launch_type.map(|kind| kind.as_str().to_owned()),
            stopping_at: from.stopping_at.as_ref().and_then(timestamp),
            stopped_at: from.stopped_at.as_ref().and_then(timestamp),
            version: from.version,
            arn: from.task_arn?,
        })
    }
}

/// Converts a time. Returns `None` if it is outside of the calendar.
pub(super) fn timestamp(at: &DateTime) -> Option<Timestamp> {
    Timestamp::new(at.secs(), i32::try_from(at.subsec_nanos()).unwrap_or_default()).ok()
}

/// Returns the addresses of a task's own network interface. They are details of its attachment
/// (`privateIPv4Address`, …) and, spelled otherwise (`privateIpv4Address`, `ipv6Address`), of its
/// containers. Text that is no address is dropped.
fn ips(attachments: &[Attachment], containers: &[Container]) -> Vec<String> {
    let details = attachments.iter().flat_map(Attachment::details).filter_map(|detail| {
        let name = detail.name()?.to_ascii_lowercase();
        (name.ends_with("ipv4address") || name.ends_with("ipv6address"))
            .then(|| detail.value())
            .flatten()
    });
    let interfaces = containers.iter().flat_map(Container::network_interfaces);
    let own = interfaces
        .flat_map(|interface| [interface.private_ipv4_address(), interface.ipv6_address()])
        .flatten();
    let ips: BTreeSet<&str> =
        details.chain(own).filter(|ip| ip.parse::<IpAddr>().is_ok()).collect();
    ips.into_iter().map(str::to_owned).collect()
}

fn host_ports(containers: &[Container]) -> Vec<u16> {
    let bindings = containers.iter().flat_map(Container::network_bindings);
    let ports: BTreeSet<u16> = bindings
        .flat_map(|binding| {
            let port = binding
                .host_port()
                .and_then(|port| u16::try_from(port).ok())
                .filter(|port| *port != 0);
            let range = binding.host_port_range().and_then(port_range);
            port.into_iter().chain(range.into_iter().flatten())
        })
        .collect();
    ports.into_iter().collect()
}

/// Parses `32768-32770`.
fn port_range(text: &str) -> Option<RangeInclusive<u16>> {
    let (first, last) = text.split_once('-')?;
    Some(first.trim().parse().ok()?..=last.trim().parse().ok()?)
}

/// A service. (Source: ECS API reference, Service.)
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServiceView {
    pub name: String,
    /// True if its scheduling strategy is `DAEMON`.
    pub daemon: bool,
    /// ARNs of every target group that its tasks may be registered in, sorted. Includes the
    /// alternate ones of blue/green deployments, those of its task sets, and those of
    /// [`ServiceView::revisions`].
    pub target_groups: Vec<String>,
    /// Names of its classic load balancers, sorted.
    pub classic: Vec<String>,
    /// ARNs of its current revisions, if tasks may run with registrations other than the service's
    /// present ones: there are several revisions, or a deployment is in progress. Otherwise empty.
    pub revisions: Vec<String>,
    /// Ids of its present deployments and task sets, one of which is in `startedBy` of each task.
    pub deployments: Vec<String>,
}

impl ServiceView {
    /// Reads the answer. Returns `None` if it does not identify the service.
    pub(super) fn read(from: Service) -> Option<ServiceView> {
        let sets = from.task_sets().iter().flat_map(|set| set.load_balancers());
        let (target_groups, classic) = registrations(from.load_balancers().iter().chain(sets));
        let rolls_out = from
            .deployments()
            .iter()
            .any(|one| one.rollout_state() == Some(&DeploymentRolloutState::InProgress));
        let revisions = from.current_service_revisions();
        let deployments = from.deployments().iter().filter_map(|one| one.id());
        let deployments = deployments.chain(from.task_sets().iter().filter_map(|set| set.id()));
        let several = revisions.len() > 1 || from.deployments().len() > 1 || rolls_out;
        let revisions = revisions
            .iter()
            .filter(|_| several)
            .filter_map(|revision| revision.arn().map(str::to_owned));
        Some(ServiceView {
            daemon: from.scheduling_strategy() == Some(&SchedulingStrategy::Daemon),
            revisions: revisions.collect(),
            deployments: deployments.map(str::to_owned).collect(),
            target_groups: target_groups.into_iter().collect(),
            classic: classic.into_iter().collect(),
            name: from.service_name?,
        })
    }

    /// Adds the registrations of one of its revisions.
    pub(super) fn add(&mut self, revision: &RevisionView) {
        for (mine, more) in [
            (&mut self.target_groups, &revision.target_groups),
            (&mut self.classic, &revision.classic),
        ] {
            mine.extend(more.iter().cloned());
            mine.sort();
            mine.dedup();
        }
    }
}

/// A revision of a service: the definition of its tasks, and their registrations as long as they
/// run. It never changes. (Source: ECS API reference, ServiceRevision.)
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RevisionView {
    pub arn: String,
    /// ARNs of its target groups, sorted, including the alternate ones of blue/green deployments.
    pub target_groups: Vec<String>,
    /// Names of its classic load balancers, sorted.
    pub classic: Vec<String>,
}

impl RevisionView {
    /// Reads the answer. Returns `None` if it does not identify the revision.
    pub(super) fn read(from: ServiceRevision) -> Option<RevisionView> {
        let (mut target_groups, classic) = registrations(from.load_balancers().iter());
        let resolved = from
            .resolved_configuration()
            .map(ResolvedConfiguration::load_balancers)
            .unwrap_or_default();
        target_groups
            .extend(resolved.iter().filter_map(|one| one.target_group_arn().map(str::to_owned)));
        Some(RevisionView {
            target_groups: target_groups.into_iter().collect(),
            classic: classic.into_iter().collect(),
            arn: from.service_revision_arn?,
        })
    }
}

/// Returns the configured target groups, alternate ones included, and classic load balancers.
fn registrations<'a>(
    balancers: impl Iterator<Item = &'a LoadBalancer>,
) -> (BTreeSet<String>, BTreeSet<String>) {
    let (mut groups, mut classic) = (BTreeSet::new(), BTreeSet::new());
    for balancer in balancers {
        let advanced = balancer.advanced_configuration();
        let alternate = advanced.and_then(|advanced| advanced.alternate_target_group_arn());
        groups.extend(balancer.target_group_arn().into_iter().chain(alternate).map(str::to_owned));
        classic.extend(balancer.load_balancer_name().map(str::to_owned));
    }
    (groups, classic)
}

/// Converts a count. Counts are signed in the model and never negative.
pub(super) fn count(number: i32) -> u32 {
    u32::try_from(number).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use aws_sdk_ecs::types::builders::ServiceBuilder;
    use aws_sdk_ecs::types::{
        AdvancedConfiguration, Deployment, KeyValuePair, NetworkBinding, NetworkInterface,
        ServiceCurrentRevisionSummary, ServiceRevisionLoadBalancer, TaskSet,
    };

    #[test]
    fn unknown_statuses_are_kept_and_mean_nothing() {
        assert_eq!(status("DRAINING".to_owned()), ContainerInstanceStatus::Draining);
        assert_eq!(
            status("DEREGISTERING".to_owned()),
            ContainerInstanceStatus::Other("DEREGISTERING".to_owned())
        );
        for word in ["REGISTERING", "DEREGISTERING", "A_NEWER_ONE", ""] {
            assert!(!status(word.to_owned()).takes_no_work(), "{word}");
        }
        // A known status: it never takes a task, and exists until it is deregistered.
        let failed = status("REGISTRATION_FAILED".to_owned());
        assert_eq!(failed, ContainerInstanceStatus::RegistrationFailed);
        assert!(failed.takes_no_work() && !failed.is_gone());
        assert_eq!(ContainerInstanceView::read(ContainerInstance::builder().build()), None);
    }

    #[test]
    fn a_tasks_addresses_come_from_either_place() {
        let detail =
            |name: &str, value: &str| KeyValuePair::builder().name(name).value(value).build();
        let attachment = Attachment::builder()
            .r#type("ElasticNetworkInterface")
            .details(detail("privateIPv4Address", "10.0.0.7"))
            .details(detail("macAddress", "0a:1b"))
            .details(detail("subnetId", "subnet-1"))
            .build();
        let interface = NetworkInterface::builder()
            .private_ipv4_address("10.0.0.7")
            .ipv6_address("fd00::7")
            .build();
        let container = Container::builder().network_interfaces(interface).build();
        let task =
            Task::builder().task_arn("t").attachments(attachment).containers(container).build();
        assert_eq!(TaskView::read(task).unwrap().ips, ["10.0.0.7", "fd00::7"]);
    }

    #[test]
    fn host_ports_are_single_or_in_ranges() {
        let container = Container::builder()
            .network_bindings(NetworkBinding::builder().host_port(32768).build())
            .network_bindings(NetworkBinding::builder().host_port_range("40000-40002").build())
            .network_bindings(NetworkBinding::builder().host_port_range("nonsense").build())
            .build();
        assert_eq!(host_ports(&[container]), [32768, 40000, 40001, 40002]);
    }

    #[test]
    fn a_service_names_every_group_that_it_may_use() {
        let advanced = AdvancedConfiguration::builder().alternate_target_group_arn("green").build();
        let service = Service::builder()
            .service_name("web")
            .load_balancers(
                LoadBalancer::builder()
                    .target_group_arn("blue")
                    .advanced_configuration(advanced)
                    .build(),
            )
            .load_balancers(LoadBalancer::builder().load_balancer_name("old").build())
            .task_sets(
                TaskSet::builder()
                    .load_balancers(LoadBalancer::builder().target_group_arn("set").build())
                    .build(),
            )
            .build();
        let view = ServiceView::read(service).unwrap();
        assert_eq!(view.target_groups, ["blue", "green", "set"]);
        assert_eq!(view.classic, ["old"]);
        assert!(!view.daemon && view.revisions.is_empty());
    }

    #[test]
    fn a_service_names_what_started_its_tasks() {
        let deployment = |id: &str| Deployment::builder().id(id).build();
        let service = Service::builder()
            .service_name("web")
            .deployments(deployment("ecs-svc/2"))
            .deployments(deployment("ecs-svc/1"))
            .task_sets(TaskSet::builder().id("ecs-svc/3").build())
            .build();
        assert_eq!(
            ServiceView::read(service).unwrap().deployments,
            ["ecs-svc/2", "ecs-svc/1", "ecs-svc/3"]
        );
    }

    #[test]
    fn revisions_are_asked_for_while_tasks_of_several_can_run() {
        let revision = |arn: &str| ServiceCurrentRevisionSummary::builder().arn(arn).build();
        let deployment = |state| Deployment::builder().rollout_state(state).build();
        let service =
            || Service::builder().service_name("web").current_service_revisions(revision("r/1"));
        let asked = |service: ServiceBuilder| ServiceView::read(service.build()).unwrap().revisions;
        let done = deployment(DeploymentRolloutState::Completed);
        assert!(asked(service().deployments(done.clone())).is_empty());
        assert_eq!(
            asked(service().deployments(deployment(DeploymentRolloutState::InProgress))),
            ["r/1"]
        );
        assert_eq!(asked(service().deployments(done.clone()).deployments(done.clone())), ["r/1"]);
        assert_eq!(
            asked(service().current_service_revisions(revision("r/2")).deployments(done)),
            ["r/1", "r/2"]
        );
    }

    #[test]
    fn a_revisions_registrations_are_added() {
        let resolved =
            ServiceRevisionLoadBalancer::builder().target_group_arn("tg/resolved").build();
        let revision = ServiceRevision::builder()
            .service_revision_arn("r/1")
            .load_balancers(LoadBalancer::builder().target_group_arn("tg/old").build())
            .load_balancers(LoadBalancer::builder().load_balancer_name("classic").build())
            .resolved_configuration(
                ResolvedConfiguration::builder().load_balancers(resolved).build(),
            )
            .build();
        let service = Service::builder()
            .service_name("web")
            .load_balancers(LoadBalancer::builder().target_group_arn("tg/new").build())
            .build();
        let mut view = ServiceView::read(service).unwrap();
        let revision = RevisionView::read(revision).unwrap();
        view.add(&revision);
        view.add(&revision);
        assert_eq!(view.target_groups, ["tg/new", "tg/old", "tg/resolved"]);
        assert_eq!(view.classic, ["classic"]);
    }
}
