//! Creation of the resources of checks: directly in the simulator, through the API on other clouds.
//! On AWS they carry the kit's tag.

use super::aws::{CLUSTER_TAG, Ground};
use super::told::{Complaint, Told, ensure};
use super::world::{DRAINS, Fleet, Hook, Made, Member, Wanted, World};
use aws_sdk_autoscaling::operation::create_auto_scaling_group::builders::CreateAutoScalingGroupFluentBuilder as CreateGroup;
use aws_sdk_autoscaling::primitives::DateTime;
use aws_sdk_autoscaling::types::{
    InstanceLifecyclePolicy, LaunchTemplateSpecification, RetentionAction, RetentionTriggers,
};
use aws_sdk_dynamodb::types::{
    AttributeDefinition, BillingMode, GlobalSecondaryIndex, KeySchemaElement, KeyType, Projection,
    ProjectionType, ScalarAttributeType, TableStatus,
};
use aws_sdk_ecs::types::{
    AwsVpcConfiguration, Compatibility, ContainerDefinition, LaunchType, LoadBalancer,
    NetworkConfiguration, NetworkMode, PortMapping,
};
use aws_sdk_elasticloadbalancing::types::{
    ConnectionDraining, HealthCheck, Instance, Listener,
    LoadBalancerAttributes as ClassicAttributes,
};
use aws_sdk_elasticloadbalancingv2::types::{
    Action, ActionTypeEnum, LoadBalancerSchemeEnum, LoadBalancerStateEnum, ProtocolEnum,
    TargetDescription, TargetGroupAttribute, TargetTypeEnum,
};
use aws_sdk_sqs::types::QueueAttributeName;
use aws_simulator::autoscaling::{LifecycleResult, Transition};
use aws_simulator::spec::{
    ClassicSpec, ClusterSpec, GroupSpec, HookSpec, Network as TaskNetwork, QueueSpec, ServiceSpec,
    StandaloneSpec, TargetGroupSpec, TargetType, WarmPoolSpec,
};
use std::time::Duration;

/// Any image is enough where nothing boots.
const IMAGE: &str = "ami-0a1b2c3d4e5f60718";

const TERMINATING: &str = "autoscaling:EC2_INSTANCE_TERMINATING";

/// The command of a container on AWS: a page for the health checks of balancers.
const SERVES: &str = "echo well > /tmp/index.html; exec httpd -f -p 80 -h /tmp";

/// The network of balancers.
struct Place<'a> {
    vpc: &'a str,
    subnets: Vec<String>,
    security_groups: Option<Vec<String>>,
    scheme: Option<LoadBalancerSchemeEnum>,
}

/// The kit's tag as a service's own type; `None` where nothing is tagged.
macro_rules! tags {
    ($world:expr, $tag:path) => {
        $world.ground().map(|ground| {
            let (key, value) = &ground.tag;
            vec![<$tag>::builder().key(key).value(value).build()]
        })
    };
}

impl World {
    /// Returns the kit's resources, on AWS.
    fn ground(&self) -> Option<&Ground> {
        match &self.made {
            Made::Told(_) | Made::Asked(_) => None,
            Made::Launched(ground) => Some(ground),
        }
    }

    /// Creates a cluster without instances.
    pub async fn cluster(&self, name: &str) -> Told<String> {
        let name = format!("{}-{name}", self.name);
        self.needs.borrow_mut().clusters += 1;
        if let Made::Told(simulator) = &self.made {
            simulator.with(|cloud| cloud.add_cluster(&ClusterSpec::new(&name)));
            return Ok(name);
        }
        let create = self
            .ecs
            .create_cluster()
            .cluster_name(&name)
            .set_tags(tags!(self, aws_sdk_ecs::types::Tag));
        create.send().await.map_err(|error| Complaint::from(error).of_making())?;
        Ok(name)
    }

    /// Creates a group of three under the ecs-drain hook, and their cluster.
    pub async fn fleet(&self) -> Told<Fleet> {
        self.fleet_of(Wanted::default()).await
    }

    /// Creates a group of three, and their cluster.
    pub async fn fleet_of(&self, wanted: Wanted<'_>) -> Told<Fleet> {
        self.fleet_at_rest(wanted).await.map_err(Complaint::of_making)
    }

    async fn fleet_at_rest(&self, wanted: Wanted<'_>) -> Told<Fleet> {
        self.needs.borrow_mut().groups += 1;
        self.needs.borrow_mut().instances += 3 + u32::from(wanted.warm_pool);
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
                    target_group_arns: wanted
                        .target_group
                        .iter()
                        .map(|arn| (*arn).to_owned())
                        .collect(),
                    warm_pool: wanted
                        .warm_pool
                        .then_some(WarmPoolSpec { reuse_on_scale_in: false, min_size: 1 }),
                    terminate_hook_abandon_retain: wanted.retains,
                    launch_time: Duration::from_secs(10),
                    ..GroupSpec::default()
                };
                simulator.with(|cloud| cloud.add_group(spec));
                self.pass(1).await;
            }
            Made::Asked(_) => {
                self.ask_for_group(&cluster, &group, &wanted).await?;
                self.register_all(&cluster, &group).await?;
            }
            Made::Launched(_) => {
                self.ask_for_group(&cluster, &group, &wanted).await?;
                self.launched(&cluster, &group, wanted.warm_pool).await?;
            }
        }
        let members = self.members(&cluster).await?;
        ensure!(
            members.len() == 3,
            "prepared three container instances, but there are {members:?}"
        );
        Ok(Fleet { cluster, group, members })
    }

    /// Creates another group, without instances.
    pub async fn other_group(&self, name: &str) -> Told {
        if let Made::Told(simulator) = &self.made {
            let spec = GroupSpec { name: name.to_owned(), ..GroupSpec::default() };
            simulator.with(|cloud| cloud.add_group(spec));
            return Ok(());
        }
        self.needs.borrow_mut().groups += 1;
        self.create_group(name, 0, 0, None, |create| create).await.map_err(Complaint::of_making)
    }

    /// Calls CreateAutoScalingGroup with a launch configuration that starts nothing, or on AWS with
    /// the kit's launch template.
    async fn create_group(
        &self,
        name: &str,
        min: i32,
        desired: i32,
        cluster: Option<&str>,
        more: impl FnOnce(CreateGroup) -> CreateGroup,
    ) -> Told {
        let create = self.autoscaling.create_auto_scaling_group().auto_scaling_group_name(name);
        let create = create.min_size(min).max_size(9).desired_capacity(desired);
        let Some(ground) = self.ground() else {
            let launch =
                self.autoscaling.create_launch_configuration().launch_configuration_name(name);
            launch.image_id(IMAGE).instance_type("t3.micro").send().await?;
            let create = create.launch_configuration_name(name).availability_zones("us-east-1a");
            more(create).send().await?;
            return Ok(());
        };
        let template =
            LaunchTemplateSpecification::builder().launch_template_id(&ground.launch_template);
        let mut create = create.launch_template(template.version("$Latest").build());
        create = create.vpc_zone_identifier(ground.subnets.join(","));
        let tag = (ground.tag.0.as_str(), ground.tag.1.as_str());
        for (key, value) in [tag].into_iter().chain(cluster.map(|cluster| (CLUSTER_TAG, cluster))) {
            let tag = aws_sdk_autoscaling::types::Tag::builder()
                .resource_id(name)
                .resource_type("auto-scaling-group");
            create = create.tags(tag.key(key).value(value).propagate_at_launch(true).build());
        }
        more(create).send().await?;
        // If the kit is killed, AWS itself terminates the instances.
        let end =
            self.autoscaling.put_scheduled_update_group_action().auto_scaling_group_name(name);
        let end = end
            .scheduled_action_name("out-of-time")
            .start_time(DateTime::from_secs(ground.ends_at));
        end.min_size(0).max_size(0).desired_capacity(0).send().await?;
        Ok(())
    }

    async fn ask_for_group(&self, cluster: &str, group: &str, wanted: &Wanted<'_>) -> Told {
        self.create_group(group, wanted.min, 3, Some(cluster), |create| {
            let create =
                create.set_target_group_arns(wanted.target_group.map(|arn| vec![arn.to_owned()]));
            if !wanted.retains {
                return create;
            }
            let triggers = RetentionTriggers::builder()
                .terminate_hook_abandon(RetentionAction::Retain)
                .build();
            create.instance_lifecycle_policy(
                InstanceLifecyclePolicy::builder().retention_triggers(triggers).build(),
            )
        })
        .await?;
        if wanted.warm_pool {
            self.autoscaling
                .put_warm_pool()
                .auto_scaling_group_name(group)
                .min_size(1)
                .send()
                .await?;
        }
        for (name, seconds, result) in wanted.hooks {
            let put = self
                .autoscaling
                .put_lifecycle_hook()
                .auto_scaling_group_name(group)
                .lifecycle_hook_name(*name);
            let put = put.lifecycle_transition(TERMINATING).heartbeat_timeout(*seconds);
            put.default_result(*result).send().await?;
        }
        Ok(())
    }

    /// Registers a group's instances, as their agents do when they start.
    async fn register_all(&self, cluster: &str, group: &str) -> Told {
        let groups = self
            .autoscaling
            .describe_auto_scaling_groups()
            .auto_scaling_group_names(group)
            .send()
            .await?;
        let instances = groups.auto_scaling_groups().iter().flat_map(|group| group.instances());
        for id in instances.filter_map(|instance| instance.instance_id()) {
            let register = self.ecs.register_container_instance().cluster(cluster);
            register
                .instance_identity_document(format!(r#"{{"instanceId":"{id}"}}"#))
                .send()
                .await?;
        }
        Ok(())
    }

    /// Waits until a group's three instances are in service and their agents connected, and its
    /// warm pool is filled.
    async fn launched(&self, cluster: &str, group: &str, warm_pool: bool) -> Told {
        self.until("three container instances", 120, async || {
            let arns = self
                .ecs
                .list_container_instances()
                .cluster(cluster)
                .send()
                .await?
                .container_instance_arns;
            let arns = arns.unwrap_or_default();
            if arns.len() < 3 {
                return Ok(None);
            }
            let describe = self.ecs.describe_container_instances().cluster(cluster);
            let shown = describe.set_container_instances(Some(arns)).send().await?;
            let ready = shown.container_instances().iter().filter(|found| found.agent_connected());
            Ok((ready.count() == 3).then_some(()))
        })
        .await?;
        self.until("three instances in service", 120, async || {
            let groups = self
                .autoscaling
                .describe_auto_scaling_groups()
                .auto_scaling_group_names(group)
                .send()
                .await?;
            let instances = groups.auto_scaling_groups().iter().flat_map(|group| group.instances());
            let states = instances.filter_map(|instance| instance.lifecycle_state());
            Ok((states.filter(|state| state.as_str() == "InService").count() == 3).then_some(()))
        })
        .await?;
        if !warm_pool {
            return Ok(());
        }
        self.until("an instance that rests in the warm pool", 120, async || {
            let pool =
                self.autoscaling.describe_warm_pool().auto_scaling_group_name(group).send().await?;
            let states = pool.instances().iter().filter_map(|found| found.lifecycle_state());
            Ok(states
                .map(|state| state.as_str())
                .any(|state| state == "Warmed:Stopped")
                .then_some(()))
        })
        .await
    }

    /// Creates a target group for instances on port 80, whose targets drain for [`DRAINS`];
    /// `attached`: a listener forwards to it.
    pub async fn target_group(&self, name: &str, attached: bool) -> Told<String> {
        self.target_group_of(name, attached, TargetType::Instance).await
    }

    /// Creates a target group for addresses, without a listener.
    pub async fn target_group_of_addresses(&self, name: &str) -> Told<String> {
        self.target_group_of(name, false, TargetType::Ip).await
    }

    async fn target_group_of(
        &self,
        name: &str,
        attached: bool,
        target_type: TargetType,
    ) -> Told<String> {
        let name = format!("{}-{name}", self.name);
        self.needs.borrow_mut().target_groups += 1;
        self.needs.borrow_mut().balancers += u32::from(attached);
        if let Made::Told(simulator) = &self.made {
            let spec = TargetGroupSpec {
                name,
                attached,
                target_type,
                deregistration_delay: DRAINS,
                ..Default::default()
            };
            return Ok(simulator.with(|cloud| cloud.add_target_group(spec)));
        }
        self.ask_for_target_group(&name, attached, target_type).await.map_err(Complaint::of_making)
    }

    async fn ask_for_target_group(
        &self,
        name: &str,
        attached: bool,
        target_type: TargetType,
    ) -> Told<String> {
        let place = self.place();
        let create =
            self.elbv2.create_target_group().name(name).protocol(ProtocolEnum::Http).port(80);
        let create = create.vpc_id(place.vpc).target_type(match target_type {
            TargetType::Instance => TargetTypeEnum::Instance,
            TargetType::Ip => TargetTypeEnum::Ip,
        });
        let made =
            create.set_tags(tags!(self, aws_sdk_elasticloadbalancingv2::types::Tag)).send().await?;
        let arn = made.target_groups().first().and_then(|group| group.target_group_arn());
        let arn =
            arn.ok_or_else(|| Complaint("CreateTargetGroup names no ARN".to_owned()))?.to_owned();
        let delay = TargetGroupAttribute::builder()
            .key("deregistration_delay.timeout_seconds")
            .value(DRAINS.as_secs().to_string())
            .build();
        self.elbv2
            .modify_target_group_attributes()
            .target_group_arn(&arn)
            .attributes(delay)
            .send()
            .await?;
        if attached {
            self.ask_for_listener(name, &arn, &place).await?;
        }
        Ok(arn)
    }

    /// Returns the network of balancers; those on AWS are internal.
    fn place(&self) -> Place<'_> {
        match &self.made {
            Made::Told(_) => unreachable!("the simulator is told"),
            Made::Asked(network) => Place {
                vpc: &network.vpc,
                subnets: vec![network.subnet.clone()],
                security_groups: None,
                scheme: None,
            },
            Made::Launched(ground) => Place {
                vpc: &ground.vpc,
                subnets: ground.subnets.clone(),
                security_groups: Some(vec![ground.security_group.clone()]),
                scheme: Some(LoadBalancerSchemeEnum::Internal),
            },
        }
    }

    async fn ask_for_listener(&self, name: &str, target_group: &str, place: &Place<'_>) -> Told {
        let create =
            self.elbv2.create_load_balancer().name(name).set_subnets(Some(place.subnets.clone()));
        let create = create
            .set_security_groups(place.security_groups.clone())
            .set_scheme(place.scheme.clone());
        let create = create.set_tags(tags!(self, aws_sdk_elasticloadbalancingv2::types::Tag));
        let balancer = create.send().await?;
        let arn =
            balancer.load_balancers().first().and_then(|balancer| balancer.load_balancer_arn());
        let forward = Action::builder()
            .r#type(ActionTypeEnum::Forward)
            .target_group_arn(target_group)
            .build();
        let create = self.elbv2.create_listener().set_load_balancer_arn(arn.map(str::to_owned));
        let create = create.set_tags(tags!(self, aws_sdk_elasticloadbalancingv2::types::Tag));
        create.protocol(ProtocolEnum::Http).port(80).default_actions(forward).send().await?;
        if self.ground().is_none() {
            return Ok(());
        }
        self.until("a load balancer that is active", 60, async || {
            let shown = self.elbv2.describe_load_balancers().names(name).send().await?;
            let state =
                shown.load_balancers().first().and_then(|balancer| balancer.state()?.code());
            Ok((state == Some(&LoadBalancerStateEnum::Active)).then_some(()))
        })
        .await
    }

    /// Registers an instance with a target group.
    pub async fn register(&self, target_group: &str, id: &str, port: Option<i32>) -> Told {
        let target = TargetDescription::builder().id(id).set_port(port).build();
        self.elbv2.register_targets().target_group_arn(target_group).targets(target).send().await?;
        Ok(())
    }

    /// Creates a classic load balancer whose instances drain for [`DRAINS`].
    pub async fn classic(&self, name: &str) -> Told<String> {
        let name = format!("{}-{name}", self.name);
        self.needs.borrow_mut().classic += 1;
        if let Made::Told(simulator) = &self.made {
            let spec = ClassicSpec { name: name.clone(), connection_draining: Some(DRAINS) };
            simulator.with(|cloud| cloud.add_classic(spec));
            return Ok(name);
        }
        self.ask_for_classic(&name).await.map_err(Complaint::of_making)?;
        Ok(name)
    }

    async fn ask_for_classic(&self, name: &str) -> Told {
        let listener = Listener::builder()
            .protocol("http")
            .load_balancer_port(80)
            .instance_port(80)
            .build()
            .unwrap();
        let create = self.elb.create_load_balancer().load_balancer_name(name).listeners(listener);
        match self.ground() {
            None => drop(create.availability_zones("us-east-1a").send().await?),
            Some(ground) => {
                let create = create.scheme("internal").set_subnets(Some(ground.subnets.clone()));
                let create = create.security_groups(&ground.security_group);
                let tag = aws_sdk_elasticloadbalancing::types::Tag::builder()
                    .key(&ground.tag.0)
                    .value(&ground.tag.1);
                create.tags(tag.build().unwrap()).send().await?;
                // AWS's default takes five minutes.
                let check = HealthCheck::builder().target("TCP:80").interval(5).timeout(4);
                let check = check.healthy_threshold(2).unhealthy_threshold(2).build().unwrap();
                self.elb
                    .configure_health_check()
                    .load_balancer_name(name)
                    .health_check(check)
                    .send()
                    .await?;
            }
        }
        let seconds = i32::try_from(DRAINS.as_secs()).unwrap();
        let draining = ConnectionDraining::builder().enabled(true).timeout(seconds).build();
        let attributes = ClassicAttributes::builder().connection_draining(draining).build();
        let modify = self.elb.modify_load_balancer_attributes().load_balancer_name(name);
        modify.load_balancer_attributes(attributes).send().await?;
        Ok(())
    }

    /// Registers an instance with a classic load balancer.
    pub async fn register_classic(&self, balancer: &str, id: &str) -> Told {
        let instance = Instance::builder().instance_id(id).build();
        let register =
            self.elb.register_instances_with_load_balancer().load_balancer_name(balancer);
        register.instances(instance).send().await?;
        Ok(())
    }

    /// Starts a task on a container instance; returns its ARN.
    pub(super) async fn start(
        &self,
        fleet: &Fleet,
        on: &Member,
        family: &str,
        group: &str,
        by: &str,
    ) -> Told<String> {
        let no_task = || Complaint("no task was started".to_owned());
        if let Made::Told(simulator) = &self.made {
            let spec = StandaloneSpec::new(&fleet.cluster, family).on(&on.ec2);
            return simulator.with(|cloud| cloud.run_task(&spec)).ok_or_else(no_task);
        }
        self.ask_for_definition(family, NetworkMode::Bridge).await?;
        let start = self.ecs.start_task().cluster(&fleet.cluster).task_definition(family);
        let start = start.set_tags(tags!(self, aws_sdk_ecs::types::Tag));
        let started = start.group(group).started_by(by).container_instances(&on.arn).send().await?;
        started
            .tasks()
            .first()
            .and_then(|task| task.task_arn())
            .map(str::to_owned)
            .ok_or_else(no_task)
    }

    /// Runs a task with a network interface of its own somewhere in the cluster; returns its ARN.
    pub(super) async fn run_with_address(&self, fleet: &Fleet) -> Told<String> {
        let no_task = || Complaint("no task was started".to_owned());
        let family = self.family("own-address");
        if let Made::Told(simulator) = &self.made {
            let mut spec = StandaloneSpec::new(&fleet.cluster, family);
            spec.task.network = TaskNetwork::Awsvpc { container_port: 80 };
            return simulator.with(|cloud| cloud.run_task(&spec)).ok_or_else(no_task);
        }
        self.ask_for_definition(&family, NetworkMode::Awsvpc).await?;
        let place = self.place();
        let subnets = AwsVpcConfiguration::builder().set_subnets(Some(place.subnets));
        let subnets = subnets.set_security_groups(place.security_groups).build().unwrap();
        let run = self.ecs.run_task().cluster(&fleet.cluster).task_definition(&family);
        let run = run.group(format!("family:{family}")).launch_type(LaunchType::Ec2);
        let run = run.network_configuration(
            NetworkConfiguration::builder().awsvpc_configuration(subnets).build(),
        );
        let started = run.set_tags(tags!(self, aws_sdk_ecs::types::Tag)).send().await?;
        started
            .tasks()
            .first()
            .and_then(|task| task.task_arn())
            .map(str::to_owned)
            .ok_or_else(no_task)
    }

    async fn ask_for_definition(&self, family: &str, mode: NetworkMode) -> Told {
        let port = PortMapping::builder().container_port(80).build();
        let mut container =
            ContainerDefinition::builder().name("web").image("web").memory(64).port_mappings(port);
        if let Some(ground) = self.ground() {
            container = container
                .image(&ground.image)
                .command("sh")
                .command("-c")
                .command(SERVES)
                .stop_timeout(5);
        }
        let register = self
            .ecs
            .register_task_definition()
            .family(family)
            .container_definitions(container.build());
        let register = register.set_tags(tags!(self, aws_sdk_ecs::types::Tag));
        register.network_mode(mode).requires_compatibilities(Compatibility::Ec2).send().await?;
        Ok(())
    }

    pub(super) async fn make_service(
        &self,
        fleet: &Fleet,
        target_group: &str,
        classic: Option<&str>,
    ) -> Told {
        if let Made::Told(simulator) = &self.made {
            let spec = ServiceSpec::replica(&fleet.cluster, "web", 1)
                .target_group(format!("{}-web", self.name));
            let spec = classic.into_iter().fold(spec, |spec, classic| spec.classic(classic));
            simulator.with(|cloud| cloud.add_service(&spec));
            return Ok(());
        }
        let family = self.family("web");
        self.ask_for_definition(&family, NetworkMode::Bridge).await?;
        let port = LoadBalancer::builder().container_name("web").container_port(80);
        let create = self
            .ecs
            .create_service()
            .cluster(&fleet.cluster)
            .service_name("web")
            .task_definition(&family);
        let mut create = create.load_balancers(port.clone().target_group_arn(target_group).build());
        if let Some(classic) = classic {
            create = create.load_balancers(port.load_balancer_name(classic).build());
        }
        let create = create.set_tags(tags!(self, aws_sdk_ecs::types::Tag));
        create.desired_count(1).launch_type(LaunchType::Ec2).send().await?;
        let Made::Asked(_) = self.made else { return Ok(()) };
        // The emulators' services start no tasks, and register no targets.
        let first =
            fleet.members.first().ok_or_else(|| Complaint("no container instance".to_owned()))?;
        self.start(fleet, first, &family, "service:web", "ecs-svc/1").await?;
        self.register(target_group, &first.ec2, Some(32768)).await?;
        if let Some(classic) = classic {
            self.register_classic(classic, &first.ec2).await?;
        }
        Ok(())
    }

    /// Creates a table like the program's own, and waits until it is ready: the key `key`, and an
    /// index `unfinished` of keys only.
    pub async fn table(&self) -> Told<String> {
        self.needs.borrow_mut().tables += 1;
        let table = format!("{}-table", self.name);
        let index = GlobalSecondaryIndex::builder()
            .index_name("unfinished")
            .key_schema(element("unfinished_of", KeyType::Hash))
            .key_schema(element("unfinished", KeyType::Range))
            .projection(Projection::builder().projection_type(ProjectionType::KeysOnly).build())
            .build();
        let mut create = self
            .dynamodb
            .create_table()
            .table_name(&table)
            .billing_mode(BillingMode::PayPerRequest);
        create = create
            .key_schema(element("key", KeyType::Hash))
            .global_secondary_indexes(index.unwrap());
        for name in ["key", "unfinished_of", "unfinished"] {
            let text = AttributeDefinition::builder()
                .attribute_name(name)
                .attribute_type(ScalarAttributeType::S);
            create = create.attribute_definitions(text.build().unwrap());
        }
        if let Some(ground) = self.ground() {
            let tag =
                aws_sdk_dynamodb::types::Tag::builder().key(&ground.tag.0).value(&ground.tag.1);
            create = create.tags(tag.build().unwrap());
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

    /// Creates a queue whose messages are hidden for this many seconds; returns its URL.
    pub async fn queue(&self, name: &str, hidden: u64) -> Told<String> {
        self.queue_with(name, hidden, None).await
    }

    /// Creates a queue whose messages move to another, existing queue after `most` receives;
    /// returns its URL.
    pub async fn queue_with(
        &self,
        name: &str,
        hidden: u64,
        redrive: Option<(&str, u32)>,
    ) -> Told<String> {
        self.needs.borrow_mut().queues += 1;
        let name = format!("{}-{name}", self.name);
        let dead = redrive.map(|(dead, most)| (format!("{}-{dead}", self.name), most));
        if let Made::Told(simulator) = &self.made {
            let mut spec = QueueSpec {
                visibility_timeout: Duration::from_secs(hidden),
                ..QueueSpec::new(name)
            };
            if let Some((dead, most)) = dead {
                spec = spec.redrive(most, dead);
            }
            return Ok(simulator.with(|cloud| cloud.add_queue(spec)));
        }
        let mut create = self.sqs.create_queue().queue_name(name);
        create = create.attributes(QueueAttributeName::VisibilityTimeout, hidden.to_string());
        if let Some((dead, most)) = dead {
            let arn = format!("arn:aws:sqs:{}:{}:{dead}", self.region, self.account);
            let policy = serde_json::json!({ "deadLetterTargetArn": arn, "maxReceiveCount": most });
            create = create.attributes(QueueAttributeName::RedrivePolicy, policy.to_string());
        }
        if let Some(ground) = self.ground() {
            create = create.tags(&ground.tag.0, &ground.tag.1);
        }
        create
            .send()
            .await?
            .queue_url
            .ok_or_else(|| Complaint("CreateQueue names no URL".to_owned()))
    }
}

fn hook_spec((name, seconds, result): &Hook) -> HookSpec {
    HookSpec {
        name: (*name).to_owned(),
        transition: Transition::Terminating,
        heartbeat_timeout: Duration::from_secs(u64::try_from(*seconds).unwrap()),
        default_result: if *result == "CONTINUE" {
            LifecycleResult::Continue
        } else {
            LifecycleResult::Abandon
        },
    }
}

fn element(name: &str, kind: KeyType) -> KeySchemaElement {
    KeySchemaElement::builder().attribute_name(name).key_type(kind).build().unwrap()
}
