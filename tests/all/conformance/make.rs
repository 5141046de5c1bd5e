//! How things are made: the simulator is told, other clouds are asked.

use super::told::{Complaint, Told, ensure};
use super::world::{DRAINS, Fleet, Hook, Made, Member, Network, Wanted, World};
use aws_sdk_autoscaling::types::{InstanceLifecyclePolicy, RetentionAction, RetentionTriggers};
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, Projection, ProjectionType,
    ScalarAttributeType, TableStatus,
};
use aws_sdk_ecs::types::{
    AwsVpcConfiguration, Compatibility, ContainerDefinition, LaunchType, LoadBalancer, NetworkConfiguration,
    NetworkMode, PortMapping,
};
use aws_sdk_elasticloadbalancing::types::{
    ConnectionDraining, Instance, Listener, LoadBalancerAttributes as ClassicAttributes,
};
use aws_sdk_elasticloadbalancingv2::types::{
    Action, ActionTypeEnum, ProtocolEnum, TargetDescription, TargetGroupAttribute, TargetTypeEnum,
};
use aws_sdk_sqs::types::QueueAttributeName;
use aws_simulator::autoscaling::{LifecycleResult, Transition};
use aws_simulator::spec::{
    ClassicSpec, ClusterSpec, GroupSpec, HookSpec, Network as TaskNetwork, QueueSpec, ServiceSpec, StandaloneSpec,
    TargetGroupSpec, TargetType, WarmPoolSpec,
};
use std::time::Duration;

/// Any image will do: nothing boots.
const IMAGE: &str = "ami-0a1b2c3d4e5f60718";

const TERMINATING: &str = "autoscaling:EC2_INSTANCE_TERMINATING";

impl World {
    /// A cluster without instances.
    pub async fn cluster(&self, name: &str) -> Told<String> {
        let name = format!("{}-{name}", self.name);
        match &self.made {
            Made::Told(simulator) => simulator.with(|cloud| cloud.add_cluster(&ClusterSpec::new(&name))),
            Made::Asked(_) => drop(self.ecs.create_cluster().cluster_name(&name).send().await?),
        }
        Ok(name)
    }

    /// A group of three under our hook, and their cluster.
    pub async fn fleet(&self) -> Told<Fleet> {
        self.fleet_of(Wanted::default()).await
    }

    /// A group of three, and their cluster.
    pub async fn fleet_of(&self, wanted: Wanted<'_>) -> Told<Fleet> {
        let (cluster, group) = (self.cluster("cluster").await?, format!("{}-group", self.name));
        match &self.made {
            Made::Told(simulator) => {
                let spec = GroupSpec {
                    name: group.clone(),
                    cluster: Some(cluster.clone()),
                    min: u32::try_from(wanted.min).unwrap(),
                    max: 9,
                    desired: 3,
                    hooks: wanted.hooks.iter().map(hook_spec).collect(),
                    target_group_arns: wanted.target_group.iter().map(|arn| (*arn).to_owned()).collect(),
                    warm_pool: wanted.warm_pool.then_some(WarmPoolSpec { reuse_on_scale_in: false, min_size: 1 }),
                    terminate_hook_abandon_retain: wanted.retains,
                    launch_time: Duration::from_secs(10),
                    ..GroupSpec::default()
                };
                simulator.with(|cloud| cloud.add_group(spec));
                self.pass(1).await;
            }
            Made::Asked(_) => self.ask_for_group(&cluster, &group, &wanted).await?,
        }
        let members = self.members(&cluster).await?;
        ensure!(members.len() == 3, "prepared three container instances, but there are {members:?}");
        Ok(Fleet { cluster, group, members })
    }

    /// Another group, without instances.
    pub async fn other_group(&self, name: &str) -> Told {
        if let Made::Told(simulator) = &self.made {
            let spec = GroupSpec { name: name.to_owned(), ..GroupSpec::default() };
            simulator.with(|cloud| cloud.add_group(spec));
            return Ok(());
        }
        let launch = self.autoscaling.create_launch_configuration().launch_configuration_name(name);
        launch.image_id(IMAGE).instance_type("t3.micro").send().await?;
        let create = self.autoscaling.create_auto_scaling_group().auto_scaling_group_name(name);
        let create = create.launch_configuration_name(name).availability_zones("us-east-1a");
        create.min_size(0).max_size(9).desired_capacity(0).send().await?;
        Ok(())
    }

    async fn ask_for_group(&self, cluster: &str, group: &str, wanted: &Wanted<'_>) -> Told {
        let launch = self.autoscaling.create_launch_configuration().launch_configuration_name(group);
        launch.image_id(IMAGE).instance_type("t3.micro").send().await?;
        let mut create = self.autoscaling.create_auto_scaling_group().auto_scaling_group_name(group);
        create = create.launch_configuration_name(group).availability_zones("us-east-1a");
        create = create.min_size(wanted.min).max_size(9).desired_capacity(3);
        create = create.set_target_group_arns(wanted.target_group.map(|arn| vec![arn.to_owned()]));
        if wanted.retains {
            let triggers = RetentionTriggers::builder().terminate_hook_abandon(RetentionAction::Retain).build();
            let policy = InstanceLifecyclePolicy::builder().retention_triggers(triggers).build();
            create = create.instance_lifecycle_policy(policy);
        }
        create.send().await?;
        if wanted.warm_pool {
            self.autoscaling.put_warm_pool().auto_scaling_group_name(group).min_size(1).send().await?;
        }
        for (name, seconds, result) in wanted.hooks {
            let put = self.autoscaling.put_lifecycle_hook().auto_scaling_group_name(group).lifecycle_hook_name(*name);
            let put = put.lifecycle_transition(TERMINATING).heartbeat_timeout(*seconds);
            put.default_result(*result).send().await?;
        }
        let groups = self.autoscaling.describe_auto_scaling_groups().auto_scaling_group_names(group).send().await?;
        let instances = groups.auto_scaling_groups().iter().flat_map(|group| group.instances());
        for id in instances.filter_map(|instance| instance.instance_id()) {
            // What the agent of an instance does when it starts.
            let register = self.ecs.register_container_instance().cluster(cluster);
            register.instance_identity_document(format!(r#"{{"instanceId":"{id}"}}"#)).send().await?;
        }
        Ok(())
    }

    /// A target group for instances on port 80, whose targets drain for [`DRAINS`]; `attached`: a listener forwards to it.
    pub async fn target_group(&self, name: &str, attached: bool) -> Told<String> {
        self.target_group_of(name, attached, TargetType::Instance).await
    }

    /// The same for addresses, without a listener.
    pub async fn target_group_of_addresses(&self, name: &str) -> Told<String> {
        self.target_group_of(name, false, TargetType::Ip).await
    }

    async fn target_group_of(&self, name: &str, attached: bool, target_type: TargetType) -> Told<String> {
        let name = format!("{}-{name}", self.name);
        let network = match &self.made {
            Made::Told(simulator) => {
                let spec =
                    TargetGroupSpec { name, attached, target_type, deregistration_delay: DRAINS, ..Default::default() };
                return Ok(simulator.with(|cloud| cloud.add_target_group(spec)));
            }
            Made::Asked(network) => network,
        };
        let create = self.elbv2.create_target_group().name(&name).protocol(ProtocolEnum::Http).port(80);
        let create = create.vpc_id(&network.vpc).target_type(match target_type {
            TargetType::Instance => TargetTypeEnum::Instance,
            TargetType::Ip => TargetTypeEnum::Ip,
        });
        let made = create.send().await?;
        let arn = made.target_groups().first().and_then(|group| group.target_group_arn());
        let arn = arn.ok_or_else(|| Complaint("CreateTargetGroup names no ARN".to_owned()))?.to_owned();
        let delay = TargetGroupAttribute::builder()
            .key("deregistration_delay.timeout_seconds")
            .value(DRAINS.as_secs().to_string())
            .build();
        self.elbv2.modify_target_group_attributes().target_group_arn(&arn).attributes(delay).send().await?;
        if attached {
            self.ask_for_listener(&name, &arn, network).await?;
        }
        Ok(arn)
    }

    async fn ask_for_listener(&self, name: &str, target_group: &str, network: &Network) -> Told {
        let balancer = self.elbv2.create_load_balancer().name(name).subnets(&network.subnet).send().await?;
        let arn = balancer.load_balancers().first().and_then(|balancer| balancer.load_balancer_arn());
        let forward = Action::builder().r#type(ActionTypeEnum::Forward).target_group_arn(target_group).build();
        let create = self.elbv2.create_listener().set_load_balancer_arn(arn.map(str::to_owned));
        create.protocol(ProtocolEnum::Http).port(80).default_actions(forward).send().await?;
        Ok(())
    }

    /// Registers an instance with a target group.
    pub async fn register(&self, target_group: &str, id: &str, port: Option<i32>) -> Told {
        let target = TargetDescription::builder().id(id).set_port(port).build();
        self.elbv2.register_targets().target_group_arn(target_group).targets(target).send().await?;
        Ok(())
    }

    /// A classic load balancer whose instances drain for [`DRAINS`].
    pub async fn classic(&self, name: &str) -> Told<String> {
        let name = format!("{}-{name}", self.name);
        match &self.made {
            Made::Told(simulator) => {
                let spec = ClassicSpec { name: name.clone(), connection_draining: Some(DRAINS) };
                simulator.with(|cloud| cloud.add_classic(spec));
            }
            Made::Asked(_) => {
                let listener = Listener::builder().protocol("http").load_balancer_port(80).instance_port(80).build();
                let create = self.elb.create_load_balancer().load_balancer_name(&name);
                let create = create.availability_zones("us-east-1a").listeners(listener.unwrap());
                create.send().await?;
                let seconds = i32::try_from(DRAINS.as_secs()).unwrap();
                let draining = ConnectionDraining::builder().enabled(true).timeout(seconds).build();
                let attributes = ClassicAttributes::builder().connection_draining(draining).build();
                let modify = self.elb.modify_load_balancer_attributes().load_balancer_name(&name);
                modify.load_balancer_attributes(attributes).send().await?;
            }
        }
        Ok(name)
    }

    /// Registers an instance with a classic load balancer.
    pub async fn register_classic(&self, balancer: &str, id: &str) -> Told {
        let instance = Instance::builder().instance_id(id).build();
        let register = self.elb.register_instances_with_load_balancer().load_balancer_name(balancer);
        register.instances(instance).send().await?;
        Ok(())
    }

    /// Starts a task on a container instance; its ARN.
    pub(super) async fn start(&self, fleet: &Fleet, on: &Member, family: &str, group: &str, by: &str) -> Told<String> {
        let no_task = || Complaint("no task was started".to_owned());
        if let Made::Told(simulator) = &self.made {
            let spec = StandaloneSpec::new(&fleet.cluster, family).on(&on.ec2);
            return simulator.with(|cloud| cloud.run_task(&spec)).ok_or_else(no_task);
        }
        self.ask_for_definition(family, NetworkMode::Bridge).await?;
        let start = self.ecs.start_task().cluster(&fleet.cluster).task_definition(family);
        let started = start.group(group).started_by(by).container_instances(&on.arn).send().await?;
        started.tasks().first().and_then(|task| task.task_arn()).map(str::to_owned).ok_or_else(no_task)
    }

    /// Runs a task with a network interface of its own somewhere in the cluster; its ARN.
    pub(super) async fn run_with_address(&self, fleet: &Fleet) -> Told<String> {
        let no_task = || Complaint("no task was started".to_owned());
        let network = match &self.made {
            Made::Told(simulator) => {
                let mut spec = StandaloneSpec::new(&fleet.cluster, "own-address");
                spec.task.network = TaskNetwork::Awsvpc { container_port: 80 };
                return simulator.with(|cloud| cloud.run_task(&spec)).ok_or_else(no_task);
            }
            Made::Asked(network) => network,
        };
        self.ask_for_definition("own-address", NetworkMode::Awsvpc).await?;
        let subnets = AwsVpcConfiguration::builder().subnets(&network.subnet).build().unwrap();
        let run = self.ecs.run_task().cluster(&fleet.cluster).task_definition("own-address");
        let run = run.group("family:own-address").launch_type(LaunchType::Ec2);
        let run = run.network_configuration(NetworkConfiguration::builder().awsvpc_configuration(subnets).build());
        let started = run.send().await?;
        started.tasks().first().and_then(|task| task.task_arn()).map(str::to_owned).ok_or_else(no_task)
    }

    async fn ask_for_definition(&self, family: &str, mode: NetworkMode) -> Told {
        let port = PortMapping::builder().container_port(80).build();
        let container = ContainerDefinition::builder().name("web").image("web").memory(64).port_mappings(port).build();
        let register = self.ecs.register_task_definition().family(family).container_definitions(container);
        register.network_mode(mode).requires_compatibilities(Compatibility::Ec2).send().await?;
        Ok(())
    }

    pub(super) async fn make_service(&self, fleet: &Fleet, target_group: &str, classic: &str) -> Told {
        if let Made::Told(simulator) = &self.made {
            let spec = ServiceSpec::replica(&fleet.cluster, "web", 1);
            let spec = spec.target_group(format!("{}-web", self.name)).classic(classic);
            simulator.with(|cloud| cloud.add_service(&spec));
            return Ok(());
        }
        // The other clouds' services start nothing, and register nothing.
        self.ask_for_definition("web", NetworkMode::Bridge).await?;
        let port = LoadBalancer::builder().container_name("web").container_port(80);
        let create = self.ecs.create_service().cluster(&fleet.cluster).service_name("web").task_definition("web");
        let create = create.load_balancers(port.clone().target_group_arn(target_group).build());
        let create = create.load_balancers(port.load_balancer_name(classic).build());
        create.desired_count(1).launch_type(LaunchType::Ec2).send().await?;
        let first = fleet.members.first().ok_or_else(|| Complaint("no container instance".to_owned()))?;
        self.start(fleet, first, "web", "service:web", "ecs-svc/1").await?;
        self.register(target_group, &first.ec2, Some(32768)).await?;
        self.register_classic(classic, &first.ec2).await
    }

    /// A table like the program's own, ready: the key `key`, and an index `unfinished` of keys only.
    pub async fn table(&self) -> Told<String> {
        let table = format!("{}-table", self.name);
        let index = GlobalSecondaryIndex::builder()
            .index_name("unfinished")
            .key_schema(element("unfinished_of", KeyType::Hash))
            .key_schema(element("unfinished", KeyType::Range))
            .projection(Projection::builder().projection_type(ProjectionType::KeysOnly).build())
            .build();
        let mut create = self.dynamodb.create_table().table_name(&table).billing_mode(BillingMode::PayPerRequest);
        create = create.key_schema(element("key", KeyType::Hash)).global_secondary_indexes(index.unwrap());
        for name in ["key", "unfinished_of", "unfinished"] {
            let text = AttributeDefinition::builder().attribute_name(name).attribute_type(ScalarAttributeType::S);
            create = create.attribute_definitions(text.build().unwrap());
        }
        create.send().await?;
        self.until("a table that is ACTIVE", 60, async || {
            let described = self.dynamodb.describe_table().table_name(&table).send().await?;
            let status = described.table.and_then(|table| table.table_status);
            Ok((status == Some(TableStatus::Active)).then_some(()))
        })
        .await?;
        Ok(table)
    }

    /// A queue whose messages are hidden for so many seconds; its URL.
    pub async fn queue(&self, name: &str, hidden: u64) -> Told<String> {
        self.queue_with(name, hidden, None).await
    }

    /// The same; a message that was received `most` times goes to another queue, which is there already.
    pub async fn queue_with(&self, name: &str, hidden: u64, redrive: Option<(&str, u32)>) -> Told<String> {
        let name = format!("{}-{name}", self.name);
        let dead = redrive.map(|(dead, most)| (format!("{}-{dead}", self.name), most));
        if let Made::Told(simulator) = &self.made {
            let mut spec = QueueSpec { visibility_timeout: Duration::from_secs(hidden), ..QueueSpec::new(name) };
            if let Some((dead, most)) = dead {
                spec = spec.redrive(most, dead);
            }
            return Ok(simulator.with(|cloud| cloud.add_queue(spec)));
        }
        let mut create = self.sqs.create_queue().queue_name(name);
        create = create.attributes(QueueAttributeName::VisibilityTimeout, hidden.to_string());
        if let Some((dead, most)) = dead {
            let arn = format!("arn:aws:sqs:us-east-1:123456789012:{dead}");
            let policy = serde_json::json!({ "deadLetterTargetArn": arn, "maxReceiveCount": most });
            create = create.attributes(QueueAttributeName::RedrivePolicy, policy.to_string());
        }
        create.send().await?.queue_url.ok_or_else(|| Complaint("CreateQueue names no URL".to_owned()))
    }
}

fn hook_spec((name, seconds, result): &Hook) -> HookSpec {
    HookSpec {
        name: (*name).to_owned(),
        transition: Transition::Terminating,
        heartbeat_timeout: Duration::from_secs(u64::try_from(*seconds).unwrap()),
        default_result: if *result == "CONTINUE" { LifecycleResult::Continue } else { LifecycleResult::Abandon },
    }
}

fn element(name: &str, kind: KeyType) -> KeySchemaElement {
    KeySchemaElement::builder().attribute_name(name).key_type(kind).build().unwrap()
}
