//! Facts from ECS's answers for a drain that does not move.

use super::super::views::{count, status, timestamp};
use super::rollout;
use crate::quote::shown;
use aws_sdk_ecs::types::{
    Attribute, ContainerDefinition, ContainerInstance, NetworkMode, PlacementConstraint,
    PortMapping, ProtectedTask, Resource, ResourceType, SchedulingStrategy, Service,
    TaskDefinition, TransportProtocol,
};
use ecs_drain_state::ContainerInstanceStatus;
use ecs_drain_state::budget::{DO_NOT_DISRUPT, DoNotDisrupt};
use ecs_drain_state::diagnosis::{
    Constraint, Controller, EventFacts, InstanceFacts, Need, Port, Protection, ServiceFacts,
};
use std::collections::BTreeSet;

/// Length to which the value of a tag is cut in a message.
const VALUE: usize = 60;

/// A container instance that may take tasks. (Source: ECS API reference, ContainerInstance.)
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct CapacityView {
    pub status: ContainerInstanceStatus,
    /// Its capacity.
    pub facts: InstanceFacts,
}

impl CapacityView {
    /// Reads the answer. Returns `None` if it does not identify the container instance.
    pub(super) fn read(from: ContainerInstance) -> Option<CapacityView> {
        let remaining = from.remaining_resources.unwrap_or_default();
        let named = |name: &str| remaining.iter().find(|resource| resource.name() == Some(name));
        let attributes = from.attributes.unwrap_or_default().into_iter();
        let facts = InstanceFacts {
            agent_connected: from.agent_connected,
            cpu: named("CPU").and_then(number),
            memory: named("MEMORY").and_then(number),
            ports_taken: named("PORTS").map(|tcp| {
                let udp = named("PORTS_UDP").into_iter().flat_map(|udp| ports(udp, Port::Udp));
                ports(tcp, Port::Tcp).chain(udp).collect()
            }),
            gpus: Some(named("GPU").map_or(0, |gpus| gpus.string_set_value().len())),
            capacity_provider: from.capacity_provider_name,
            attributes: attributes.map(|attribute| (attribute.name, attribute.value)).collect(),
            ec2_instance_id: from.ec2_instance_id?,
            arn: from.container_instance_arn?,
        };
        Some(CapacityView { status: status(from.status.unwrap_or_default()), facts })
    }
}

/// Returns the value of the resource's type. (Source: ECS API reference, Resource.)
fn number(resource: &Resource) -> Option<i64> {
    match resource.r#type() {
        Some("INTEGER") => Some(i64::from(resource.integer_value())),
        Some("LONG") => Some(resource.long_value()),
        Some(_) | None => None,
    }
}

/// Returns the reserved ports. The remaining resources `PORTS` and `PORTS_UDP` list what is
/// *reserved*. (Source: ECS API reference, ContainerInstance.)
fn ports(resource: &Resource, of: fn(u16) -> Port) -> impl Iterator<Item = Port> {
    resource.string_set_value().iter().filter_map(|port| port.parse().ok()).map(of)
}

/// State of a service. (Source: ECS API reference, Service.)
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct ServiceStateView {
    pub name: String,
    /// True if its scheduling strategy is `DAEMON`.
    pub daemon: bool,
    /// ARN of the task definition of new tasks.
    pub task_definition: Option<String>,
    /// ARN of the service deployment in progress, if any.
    pub deployment: Option<String>,
    /// Its tag `ecs-drain:do-not-disrupt`, if it counts. `None` also if tags were not asked for.
    pub kept: Option<DoNotDisrupt>,
    /// The tag and its mistake, if it does not count.
    pub bad_tag: Option<String>,
    /// Facts in the answer itself.
    pub facts: ServiceFacts,
}

impl ServiceStateView {
    /// Reads the answer. Returns `None` if it does not identify the service.
    pub(super) fn read(from: Service) -> Option<ServiceStateView> {
        let percents = from.deployment_configuration();
        let facts = ServiceFacts {
            controller: controller(&from),
            desired: count(from.desired_count()),
            running: count(from.running_count()),
            pending: count(from.pending_count()),
            minimum_percent: percents
                .and_then(|percents| percents.minimum_healthy_percent())
                .map(count),
            maximum_percent: percents.and_then(|percents| percents.maximum_percent()).map(count),
            constraints: from.placement_constraints().iter().map(constraint).collect(),
            rollout: rollout::of_service(&from),
            events: from.events().iter().filter_map(event).collect(),
            need: None,
            placed_on: None,
            capacity_providers: from
                .capacity_provider_strategy()
                .iter()
                .map(|item| item.capacity_provider().to_owned())
                .collect(),
        };
        // A service of another deployment controller has its tasks in task sets; new tasks come
        // from the primary one.
        let primary = from.task_sets().iter().find(|set| set.status() == Some("PRIMARY"));
        let definition = primary.and_then(|set| set.task_definition()).or(from.task_definition());
        let name = from.service_name.clone()?;
        let tag = from.tags().iter().find(|tag| tag.key() == Some(DO_NOT_DISRUPT));
        let tag = tag.map(|tag| tag.value().unwrap_or_default());
        let (kept, bad_tag) = do_not_disrupt(&name, tag);
        Some(ServiceStateView {
            kept,
            bad_tag,
            daemon: from.scheduling_strategy() == Some(&SchedulingStrategy::Daemon),
            task_definition: definition.map(str::to_owned),
            deployment: from
                .current_service_deployment()
                .filter(|_| rollout::in_progress(&from))
                .map(str::to_owned),
            name,
            facts,
        })
    }
}

/// Reads the tag of a service. A value that is wrong does not count, and is the second answer.
fn do_not_disrupt(name: &str, tag: Option<&str>) -> (Option<DoNotDisrupt>, Option<String>) {
    match tag.map(DoNotDisrupt::read) {
        None => (None, None),
        Some(Ok(kept)) => (kept, None),
        Some(Err(allowed)) => {
            let value = shown(tag.unwrap_or_default(), VALUE);
            (None, Some(format!("{DO_NOT_DISRUPT} of service {name} is {value:?}: {allowed}")))
        }
    }
}

fn controller(service: &Service) -> Controller {
    match service.deployment_controller().map(|controller| controller.r#type().as_str()) {
        None | Some("ECS") => Controller::Ecs,
        Some("CODE_DEPLOY" | "EXTERNAL") => Controller::Outside,
        Some(other) => Controller::Other(other.to_owned()),
    }
}

fn constraint(from: &PlacementConstraint) -> Constraint {
    rule(from.r#type().map(|kind| kind.as_str()), from.expression())
}

fn rule(kind: Option<&str>, expression: Option<&str>) -> Constraint {
    match (kind, expression) {
        (Some("distinctInstance"), _) => Constraint::DistinctInstance,
        (Some("memberOf"), Some(expression)) => Constraint::MemberOf(expression.to_owned()),
        (kind, _) => Constraint::Other(kind.unwrap_or("without a type").to_owned()),
    }
}

fn event(from: &aws_sdk_ecs::types::ServiceEvent) -> Option<EventFacts> {
    Some(EventFacts { at: timestamp(from.created_at()?)?, text: from.message()?.to_owned() })
}

/// Needs of a task definition. (Source: ECS API reference, TaskDefinition.)
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct TaskDefinitionView {
    /// Needs of one of its tasks.
    pub need: Need,
    /// Longest `stopTimeout` of its containers, in seconds, if any is set.
    pub stop_timeout_seconds: Option<u32>,
}

impl TaskDefinitionView {
    pub(super) fn read(from: TaskDefinition) -> TaskDefinitionView {
        let containers = from.container_definitions();
        let requires = from.requires_attributes().iter();
        let constraints = from.placement_constraints().iter();
        let need = Need {
            cpu: size(from.cpu(), containers, |container| container.cpu()),
            memory: size(from.memory(), containers, reserved_memory),
            ports: host_ports(from.network_mode(), containers),
            gpus: containers.iter().map(gpus).sum(),
            attributes: requires
                .map(|Attribute { name, value, .. }| (name.clone(), value.clone()))
                .collect(),
            constraints: constraints
                .map(|c| rule(c.r#type().map(|kind| kind.as_str()), c.expression()))
                .collect(),
        };
        let stop_timeout_seconds =
            containers.iter().filter_map(|container| container.stop_timeout()).max().map(count);
        TaskDefinitionView { need, stop_timeout_seconds }
    }
}

/// Returns the task's own size if it has one, else the sum over its containers. Returns `None` for
/// a word that is no number.
fn size(
    own: Option<&str>,
    containers: &[ContainerDefinition],
    of: fn(&ContainerDefinition) -> i32,
) -> Option<u32> {
    match own {
        Some(own) => own.trim().parse().ok(),
        None => Some(
            containers.iter().map(|container| count(of(container))).fold(0, u32::saturating_add),
        ),
    }
}

/// Returns the memory that a container takes from the instance: its reservation, or else its limit.
/// (Source: ECS API reference, ContainerDefinition.)
fn reserved_memory(container: &ContainerDefinition) -> i32 {
    container.memory_reservation().or(container.memory()).unwrap_or_default()
}

/// Returns the number of GPUs that a container needs. (Source: ECS API reference,
/// ResourceRequirement: the value of type `GPU` is their number.)
fn gpus(container: &ContainerDefinition) -> usize {
    let requirements = container.resource_requirements().iter();
    let gpus = requirements.filter(|one| *one.r#type() == ResourceType::Gpu);
    gpus.filter_map(|one| one.value().trim().parse::<usize>().ok()).sum()
}

/// Returns the ports of the instance that a task must have. In mode `host` they are those of its
/// containers, in the default mode those that are given. A task with its own network interface, or
/// with none, needs no port of the instance. (Source: ECS API reference, PortMapping.)
fn host_ports(mode: Option<&NetworkMode>, containers: &[ContainerDefinition]) -> BTreeSet<Port> {
    let fixed = |mapping: &&PortMapping| match mode.map(NetworkMode::as_str) {
        Some("awsvpc" | "none") => None,
        Some("host") => mapping.host_port().filter(|port| *port != 0).or(mapping.container_port()),
        Some(_) | None => mapping.host_port(),
    };
    let mappings = containers.iter().flat_map(ContainerDefinition::port_mappings);
    let ports = mappings.filter_map(|mapping| {
        let port = u16::try_from(fixed(&mapping)?).ok().filter(|port| *port != 0)?;
        let is_udp = mapping.protocol() == Some(&TransportProtocol::Udp);
        Some(if is_udp { Port::Udp(port) } else { Port::Tcp(port) })
    });
    ports.collect()
}

/// Reads the protection of a task. Returns `None` if the answer does not identify the task.
pub(super) fn protection(from: ProtectedTask) -> Option<(String, Protection)> {
    let until = from.expiration_date.as_ref().and_then(timestamp);
    let protection =
        if from.protection_enabled { Protection::On { until } } else { Protection::Off };
    Some((from.task_arn?, protection))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]
    use super::*;
    use aws_sdk_ecs::types::{
        DeploymentConfiguration, DeploymentController, DeploymentControllerType,
        PlacementConstraintType, ServiceEvent, TaskDefinitionPlacementConstraint,
        TaskDefinitionPlacementConstraintType, TaskSet,
    };

    fn strings(all: &[&str]) -> Option<Vec<String>> {
        Some(all.iter().map(|text| (*text).to_owned()).collect())
    }

    #[test]
    fn capacity_is_what_remains_and_ports_are_what_is_taken() {
        let resource = |name: &str, kind: &str| Resource::builder().name(name).r#type(kind);
        let attribute = |name: &str| Attribute::builder().name(name);
        let instance = ContainerInstance::builder()
            .container_instance_arn("c1")
            .ec2_instance_id("i-1")
            .status("ACTIVE")
            .agent_connected(true)
            .remaining_resources(resource("CPU", "INTEGER").integer_value(256).build())
            .remaining_resources(resource("MEMORY", "LONG").long_value(512).build())
            .remaining_resources(
                resource("PORTS", "STRINGSET").set_string_set_value(strings(&["22", "x"])).build(),
            )
            .remaining_resources(
                resource("PORTS_UDP", "STRINGSET").set_string_set_value(strings(&["53"])).build(),
            )
            .attributes(attribute("stack").value("prod").build().unwrap())
            .attributes(attribute("marked").build().unwrap())
            .build();
        let view = CapacityView::read(instance).unwrap();
        assert_eq!(view.status, ContainerInstanceStatus::Active);
        assert_eq!((view.facts.cpu, view.facts.memory), (Some(256), Some(512)));
        assert_eq!(view.facts.ports_taken, Some([Port::Tcp(22), Port::Udp(53)].into()));
        let attributes =
            [("marked".to_owned(), None), ("stack".to_owned(), Some("prod".to_owned()))];
        assert_eq!(view.facts.attributes, attributes.into());
    }

    /// A value that AWS omits is unknown, not zero.
    #[test]
    fn missing_capacity_is_unknown_and_not_zero() {
        let odd = Resource::builder().name("CPU").r#type("NEW").integer_value(0).build();
        let instance =
            ContainerInstance::builder().container_instance_arn("c1").ec2_instance_id("i-1");
        let facts = CapacityView::read(instance.remaining_resources(odd).build()).unwrap().facts;
        assert_eq!((facts.cpu, facts.memory, facts.ports_taken), (None, None, None));
        assert_eq!(
            CapacityView::read(ContainerInstance::builder().container_instance_arn("c1").build()),
            None
        );
    }

    #[test]
    fn a_service_and_its_rules() {
        let at = aws_sdk_ecs::primitives::DateTime::from_secs(60);
        let percents = DeploymentConfiguration::builder()
            .minimum_healthy_percent(50)
            .maximum_percent(150)
            .build();
        let distinct = PlacementConstraint::builder()
            .r#type(PlacementConstraintType::DistinctInstance)
            .build();
        let member = PlacementConstraint::builder()
            .r#type(PlacementConstraintType::MemberOf)
            .expression("a exists");
        let service = Service::builder()
            .service_name("shop")
            .task_definition("shop:7")
            .desired_count(3)
            .running_count(2)
            .pending_count(1)
            .deployment_configuration(percents)
            .placement_constraints(distinct)
            .placement_constraints(member.build())
            .placement_constraints(PlacementConstraint::builder().r#type("near".into()).build())
            .events(ServiceEvent::builder().created_at(at).message("it failed").build())
            .events(ServiceEvent::builder().message("without a time").build())
            .build();
        let view = ServiceStateView::read(service).unwrap();
        assert_eq!((view.name.as_str(), view.task_definition.as_deref()), ("shop", Some("shop:7")));
        let facts = view.facts;
        assert_eq!((facts.desired, facts.running, facts.pending), (3, 2, 1));
        assert_eq!((facts.minimum_percent, facts.maximum_percent), (Some(50), Some(150)));
        assert_eq!(facts.controller, Controller::Ecs);
        assert_eq!(
            facts.constraints,
            [
                Constraint::DistinctInstance,
                Constraint::MemberOf("a exists".to_owned()),
                Constraint::Other("near".to_owned())
            ]
        );
        let [event] = facts.events.as_slice() else { panic!("{:?}", facts.events) };
        assert_eq!((event.at.as_second(), event.text.as_str()), (60, "it failed"));
    }

    #[test]
    fn new_tasks_of_another_controller_come_from_the_primary_task_set() {
        let set =
            |status: &str, of: &str| TaskSet::builder().status(status).task_definition(of).build();
        let service = |kind| {
            let controller = DeploymentController::builder().r#type(kind).build().unwrap();
            let service = Service::builder()
                .service_name("shop")
                .task_definition("old")
                .deployment_controller(controller);
            ServiceStateView::read(
                service.task_sets(set("ACTIVE", "a")).task_sets(set("PRIMARY", "b")).build(),
            )
            .unwrap()
        };
        let external = service(DeploymentControllerType::External);
        assert_eq!(
            (external.facts.controller, external.task_definition.as_deref()),
            (Controller::Outside, Some("b"))
        );
        let new = service(DeploymentControllerType::from("NEW"));
        assert_eq!(new.facts.controller, Controller::Other("NEW".to_owned()));
    }

    fn mapping(container: i32, host: Option<i32>, protocol: TransportProtocol) -> PortMapping {
        PortMapping::builder()
            .container_port(container)
            .set_host_port(host)
            .protocol(protocol)
            .build()
    }

    fn containers() -> [ContainerDefinition; 2] {
        let app = ContainerDefinition::builder()
            .cpu(256)
            .memory(512)
            .memory_reservation(128)
            .stop_timeout(90)
            .port_mappings(mapping(80, Some(8080), TransportProtocol::Tcp))
            .port_mappings(mapping(81, Some(0), TransportProtocol::Tcp))
            .port_mappings(mapping(53, None, TransportProtocol::Udp));
        [app.build(), ContainerDefinition::builder().cpu(10).memory(64).stop_timeout(20).build()]
    }

    fn definition(mode: Option<NetworkMode>) -> TaskDefinitionView {
        let [app, side] = containers();
        let constraint = TaskDefinitionPlacementConstraint::builder()
            .r#type(TaskDefinitionPlacementConstraintType::MemberOf)
            .expression("a exists");
        let definition = TaskDefinition::builder()
            .set_network_mode(mode)
            .container_definitions(app)
            .container_definitions(side)
            .requires_attributes(Attribute::builder().name("docker").build().unwrap())
            .placement_constraints(constraint.build());
        TaskDefinitionView::read(definition.build())
    }

    /// A container with a reservation takes that much.
    #[test]
    fn a_task_needs_what_its_containers_need() {
        let view = definition(None);
        assert_eq!((view.need.cpu, view.need.memory), (Some(266), Some(192)));
        assert_eq!(view.stop_timeout_seconds, Some(90));
        assert_eq!(view.need.attributes, [("docker".to_owned(), None)]);
        assert_eq!(view.need.constraints, [Constraint::MemberOf("a exists".to_owned())]);
    }

    #[test]
    fn a_tasks_own_size_counts_where_it_has_one() {
        let [app, _] = containers();
        let read = |cpu: &str| {
            let definition = TaskDefinition::builder()
                .container_definitions(app.clone())
                .cpu(cpu)
                .memory("2048");
            TaskDefinitionView::read(definition.build()).need
        };
        assert_eq!((read("1024").cpu, read("1024").memory), (Some(1024), Some(2048)));
        assert_eq!(read("1 vCPU").cpu, None);
    }

    #[test]
    fn ports_of_the_instance_depend_on_the_network_mode() {
        let ports = |mode| definition(mode).need.ports.into_iter().collect::<Vec<_>>();
        assert_eq!(ports(None), [Port::Tcp(8080)]);
        assert_eq!(ports(Some(NetworkMode::Bridge)), [Port::Tcp(8080)]);
        assert_eq!(ports(Some(NetworkMode::Host)), [Port::Tcp(81), Port::Tcp(8080), Port::Udp(53)]);
        assert_eq!(ports(Some(NetworkMode::Awsvpc)), []);
        assert_eq!(ports(Some(NetworkMode::None)), []);
    }

    #[test]
    fn protection_has_an_end_or_none() {
        let task = |on: bool| ProtectedTask::builder().task_arn("t").protection_enabled(on);
        assert_eq!(protection(task(false).build()), Some(("t".to_owned(), Protection::Off)));
        assert_eq!(
            protection(task(true).build()),
            Some(("t".to_owned(), Protection::On { until: None }))
        );
        let until = aws_sdk_ecs::primitives::DateTime::from_secs(60);
        let Some((_, Protection::On { until })) =
            protection(task(true).expiration_date(until).build())
        else {
            panic!("protected")
        };
        assert_eq!(until.unwrap().as_second(), 60);
    }
}
