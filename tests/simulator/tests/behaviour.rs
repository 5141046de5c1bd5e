//! The simulated cloud as the real SDK sees it, through its HTTP connector, under a paused clock.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use aws_config::SdkConfig;
use aws_config::timeout::TimeoutConfig;
use aws_sdk_ecs::config::retry::RetryConfig;
use aws_sdk_ecs::error::ProvideErrorMetadata;
use aws_sdk_ecs::types::{ContainerInstanceStatus, DesiredStatus};
use aws_simulator::dynamodb::Outage;
use aws_simulator::elb::TargetType;
use aws_simulator::server::{TimeScale, serve_until};
use aws_simulator::spec::{
    ClassicSpec, GroupSpec, HookSpec, Network, ServiceSpec, StandaloneSpec, TargetGroupSpec,
    WarmPoolSpec,
};
use aws_simulator::{Cloud, Fault, Rule, Simulator, SimulatorConfig};

const CLUSTER: &str = "shop";
const GROUP: &str = "shop-asg";
const HOOK: &str = "ecs-drain";

/// Creates one group of three instances under one hook.
fn group(cloud: &mut Cloud) {
    cloud.add_group(GroupSpec {
        name: GROUP.to_owned(),
        cluster: Some(CLUSTER.to_owned()),
        desired: 3,
        instance_ids: Some((1..=3).map(instance).collect()),
        hooks: vec![HookSpec { name: HOOK.to_owned(), ..HookSpec::default() }],
        ..GroupSpec::default()
    });
    cloud.checkers.our_hook(HOOK);
}

fn instance(n: u32) -> String {
    format!("i-{n:017x}")
}

fn simulator(describe: impl FnOnce(&mut Cloud)) -> Simulator {
    let simulator = Simulator::new(SimulatorConfig::default()).unwrap();
    simulator.set_up(|cloud| {
        group(cloud);
        describe(cloud);
    });
    simulator
}

async fn config(simulator: &Simulator, attempts: u32) -> SdkConfig {
    let timeouts =
        TimeoutConfig::builder().operation_attempt_timeout(Duration::from_secs(5)).build();
    aws_config::defaults(aws_config::BehaviorVersion::latest())
        .empty_test_environment()
        .test_credentials()
        .region("us-east-1")
        .http_client(simulator.http_client("a"))
        .time_source(simulator.time_source(0))
        .sleep_impl(aws_smithy_async::rt::sleep::TokioSleep::new())
        .timeout_config(timeouts)
        .retry_config(RetryConfig::standard().with_max_attempts(attempts))
        .stalled_stream_protection(
            aws_config::stalled_stream_protection::StalledStreamProtectionConfig::disabled(),
        )
        .load()
        .await
}

async fn ecs(simulator: &Simulator) -> aws_sdk_ecs::Client {
    aws_sdk_ecs::Client::new(&config(simulator, 1).await)
}

async fn container_instance(ecs: &aws_sdk_ecs::Client, ec2: &str) -> String {
    let filter = format!("ec2InstanceId=={ec2}");
    let listed =
        ecs.list_container_instances().cluster(CLUSTER).filter(filter).send().await.unwrap();
    listed.container_instance_arns()[0].clone()
}

async fn drain(ecs: &aws_sdk_ecs::Client, ec2: &str) -> String {
    let arn = container_instance(ecs, ec2).await;
    let set = ecs.update_container_instances_state().cluster(CLUSTER).container_instances(&arn);
    let answer = set.status(ContainerInstanceStatus::Draining).send().await.unwrap();
    assert!(answer.failures().is_empty());
    arn
}

async fn tasks(ecs: &aws_sdk_ecs::Client, arn: &str, desired: DesiredStatus) -> Vec<String> {
    let list = ecs.list_tasks().cluster(CLUSTER).container_instance(arn).desired_status(desired);
    list.send().await.unwrap().task_arns().to_vec()
}

async fn wait(seconds: u64) {
    tokio::time::sleep(Duration::from_secs(seconds)).await;
}

fn service_on(simulator: &Simulator, ec2: &str, service: &str) -> usize {
    simulator.with(|cloud| {
        let running = cloud.containers_running(ec2);
        running.iter().filter(|container| container.service.as_deref() == Some(service)).count()
    })
}

#[tokio::test(start_paused = true)]
async fn a_settled_world_is_at_rest() {
    let simulator = simulator(|cloud| {
        cloud.add_target_group(TargetGroupSpec {
            name: "web".to_owned(),
            ..TargetGroupSpec::default()
        });
        cloud.add_service(&ServiceSpec::replica(CLUSTER, "web", 3).target_group("web"));
        cloud.add_service(&ServiceSpec::daemon(CLUSTER, "agent"));
    });
    let ecs = ecs(&simulator).await;
    let services = ecs
        .describe_services()
        .cluster(CLUSTER)
        .services("web")
        .services("agent")
        .send()
        .await
        .unwrap();
    for service in services.services() {
        assert_eq!((service.desired_count(), service.running_count()), (3, 3), "{service:?}");
    }
    for n in 1..=3 {
        assert_eq!(service_on(&simulator, &instance(n), "web"), 1);
        assert_eq!(service_on(&simulator, &instance(n), "agent"), 1);
    }
    let elb = aws_sdk_elasticloadbalancingv2::Client::new(&config(&simulator, 1).await);
    let arn = simulator.with(|cloud| cloud.world.elb.arn_of("web").unwrap());
    let health = elb.describe_target_health().target_group_arn(arn).send().await.unwrap();
    let healthy = health.target_health_descriptions().iter().filter(|description| {
        description.target_health().unwrap().state().unwrap().as_str() == "healthy"
    });
    assert_eq!(healthy.count(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_drain_replaces_first_and_waits_for_the_deregistration_delay() {
    let simulator = simulator(|cloud| {
        cloud.add_target_group(TargetGroupSpec {
            name: "web".to_owned(),
            ..TargetGroupSpec::default()
        });
        cloud.add_service(&ServiceSpec::replica(CLUSTER, "web", 3).target_group("web"));
    });
    let ecs = ecs(&simulator).await;
    let arn = drain(&ecs, &instance(1)).await;

    wait(10).await;
    assert_eq!(
        tasks(&ecs, &arn, DesiredStatus::Running).await.len(),
        1,
        "no replacement is healthy yet"
    );

    wait(50).await;
    // The task has left the default listing and the counters, and it still answers requests.
    assert!(tasks(&ecs, &arn, DesiredStatus::Running).await.is_empty());
    let stopping = tasks(&ecs, &arn, DesiredStatus::Stopped).await;
    let described =
        ecs.describe_tasks().cluster(CLUSTER).set_tasks(Some(stopping)).send().await.unwrap();
    assert_eq!(described.tasks()[0].last_status(), Some("DEACTIVATING"));
    let instances = ecs.describe_container_instances().cluster(CLUSTER).container_instances(&arn);
    let shown = instances.send().await.unwrap().container_instances()[0].clone();
    assert_eq!((shown.running_tasks_count(), shown.pending_tasks_count()), (0, 0));
    assert_eq!(shown.status(), Some("DRAINING"));
    assert!(!simulator.with(|cloud| cloud.reasons_to_wait(&instance(1))).is_empty());

    wait(300).await;
    assert!(simulator.with(|cloud| cloud.reasons_to_wait(&instance(1))).is_empty());
    assert_eq!(
        service_on(&simulator, &instance(2), "web") + service_on(&simulator, &instance(3), "web"),
        3
    );
}

#[tokio::test(start_paused = true)]
async fn minimum_and_maximum_of_a_hundred_never_drain() {
    let simulator = simulator(|cloud| {
        cloud.add_service(&ServiceSpec::replica(CLUSTER, "web", 3).percents(100, 100));
    });
    let ecs = ecs(&simulator).await;
    drain(&ecs, &instance(1)).await;
    wait(24 * 3600).await;
    assert_eq!(service_on(&simulator, &instance(1), "web"), 1);
}

#[tokio::test(start_paused = true)]
async fn without_room_elsewhere_a_service_event_reports_it() {
    let simulator = simulator(|cloud| {
        cloud.add_service(&ServiceSpec::replica(CLUSTER, "web", 3).size(3000, 256));
    });
    let ecs = ecs(&simulator).await;
    drain(&ecs, &instance(1)).await;
    wait(600).await;
    assert_eq!(service_on(&simulator, &instance(1), "web"), 1);
    let services = ecs.describe_services().cluster(CLUSTER).services("web").send().await.unwrap();
    let message = services.services()[0].events()[0].message().unwrap().to_owned();
    assert!(message.starts_with(
        "(service web) was unable to place a task because no container instance met all"
    ));
    assert!(message.contains("has insufficient CPU units available"), "{message}");
}

#[tokio::test(start_paused = true)]
async fn standalone_tasks_stay_and_daemons_go_last() {
    let simulator = simulator(|cloud| {
        cloud.advance(Duration::from_secs(1));
        cloud.add_service(&ServiceSpec::replica(CLUSTER, "web", 3).percents(0, 100));
        cloud.add_service(&ServiceSpec::daemon(CLUSTER, "agent"));
        cloud
            .run_task(
                &StandaloneSpec::new(CLUSTER, "job")
                    .on(instance(1))
                    .duration(Duration::from_secs(900)),
            )
            .unwrap();
    });
    let ecs = ecs(&simulator).await;
    drain(&ecs, &instance(1)).await;
    wait(4).await;
    assert_eq!(service_on(&simulator, &instance(1), "agent"), 1, "the replica is still stopping");
    wait(60).await;
    assert_eq!(service_on(&simulator, &instance(1), "web"), 0);
    assert_eq!(service_on(&simulator, &instance(1), "agent"), 0);
    let left = simulator.with(|cloud| cloud.containers_running(&instance(1)));
    assert_eq!((left.len(), left[0].service.as_deref()), (1, None));
    wait(900).await;
    assert!(simulator.with(|cloud| cloud.containers_running(&instance(1))).is_empty());
}

#[tokio::test(start_paused = true)]
async fn awsvpc_tasks_are_ip_targets_with_addresses_of_their_own() {
    let simulator = simulator(|cloud| {
        cloud.add_target_group(TargetGroupSpec {
            name: "api".to_owned(),
            target_type: TargetType::Ip,
            ..TargetGroupSpec::default()
        });
        cloud.add_classic(ClassicSpec { name: "old".to_owned(), connection_draining: None });
        let network = Network::Awsvpc { container_port: 8080 };
        cloud.add_service(
            &ServiceSpec::replica(CLUSTER, "api", 3).network(network).target_group("api"),
        );
        let network = Network::Bridge { container_port: 80, host_port: 80 };
        cloud.add_service(&ServiceSpec::replica(CLUSTER, "old", 3).network(network).classic("old"));
    });
    let ecs = ecs(&simulator).await;
    let arn = container_instance(&ecs, &instance(2)).await;
    let listed = tasks(&ecs, &arn, DesiredStatus::Running).await;
    assert_eq!(listed.len(), 2);
    let described =
        ecs.describe_tasks().cluster(CLUSTER).set_tasks(Some(listed)).send().await.unwrap();
    let api = described.tasks().iter().find(|task| task.group() == Some("service:api")).unwrap();
    let attachment = &api.attachments()[0];
    assert_eq!(attachment.r#type(), Some("ElasticNetworkInterface"));
    let address =
        attachment.details().iter().find(|d| d.name() == Some("privateIPv4Address")).unwrap();
    let address = address.value().unwrap().to_owned();
    let connections = simulator.with(|cloud| {
        let addresses = cloud.world.ecs.addresses(&instance(2));
        cloud.world.elb.connections(cloud.now(), &instance(2), &addresses)
    });
    let targets: Vec<&str> =
        connections.iter().map(|connection| connection.target.as_str()).collect();
    assert_eq!(targets, [format!("{address}:8080").as_str(), instance(2).as_str()]);
    let old = described.tasks().iter().find(|task| task.group() == Some("service:old")).unwrap();
    assert_eq!(old.containers()[0].network_bindings()[0].host_port(), Some(80));
}

#[tokio::test(start_paused = true)]
async fn a_forced_deregistration_calls_tasks_stopped_that_run_on() {
    let simulator = simulator(|cloud| cloud.add_service(&ServiceSpec::replica(CLUSTER, "web", 3)));
    let ecs = ecs(&simulator).await;
    let arn = container_instance(&ecs, &instance(1)).await;
    let running = tasks(&ecs, &arn, DesiredStatus::Running).await;
    let deregister = ecs.deregister_container_instance().cluster(CLUSTER).container_instance(&arn);
    let refused = deregister.clone().send().await.unwrap_err().into_service_error();
    assert_eq!(refused.message(), Some("Found running tasks on the instance."));
    deregister.force(true).send().await.unwrap();

    let described =
        ecs.describe_tasks().cluster(CLUSTER).set_tasks(Some(running)).send().await.unwrap();
    assert_eq!(described.tasks()[0].last_status(), Some("STOPPED"));
    assert_eq!(service_on(&simulator, &instance(1), "web"), 1);
    let shown = ecs.describe_container_instances().cluster(CLUSTER).container_instances(&arn);
    assert_eq!(
        shown.clone().send().await.unwrap().container_instances()[0].status(),
        Some("INACTIVE")
    );
    wait(3700).await;
    assert_eq!(shown.send().await.unwrap().failures()[0].reason(), Some("MISSING"));
    assert_eq!(
        service_on(&simulator, &instance(1), "web"),
        1,
        "the truth outlives ECS's memory of it"
    );
}

#[tokio::test(start_paused = true)]
async fn a_disconnected_agent_freezes_the_task_states_in_ecs() {
    let simulator = simulator(|cloud| cloud.add_service(&ServiceSpec::replica(CLUSTER, "web", 3)));
    let ecs = ecs(&simulator).await;
    simulator.with(|cloud| cloud.set_agent_connected(&instance(1), false));
    simulator.with(|cloud| cloud.kill_instance(&instance(1)));
    wait(60).await;
    let arn = container_instance(&ecs, &instance(1)).await;
    assert_eq!(tasks(&ecs, &arn, DesiredStatus::Running).await.len(), 1);
    assert_eq!(service_on(&simulator, &instance(1), "web"), 0);
}

#[tokio::test(start_paused = true)]
async fn a_batch_of_eleven_is_refused_and_unknown_ids_are_failures() {
    let simulator = simulator(|_| {});
    let ecs = ecs(&simulator).await;
    let eleven = Some((0..11).map(|n| format!("{n:032x}")).collect());
    let update = ecs
        .update_container_instances_state()
        .cluster(CLUSTER)
        .status(ContainerInstanceStatus::Draining);
    let error = update
        .clone()
        .set_container_instances(eleven)
        .send()
        .await
        .unwrap_err()
        .into_service_error();
    assert_eq!(error.code(), Some("InvalidParameterException"));
    assert_eq!(error.message(), Some("instanceIds can have at most 10 items."));
    let known = container_instance(&ecs, &instance(1)).await;
    let answer =
        update.container_instances("0000").container_instances(known).send().await.unwrap();
    assert_eq!(
        (answer.container_instances().len(), answer.failures()[0].reason()),
        (1, Some("MISSING"))
    );
    let error = ecs.list_tasks().cluster("nowhere").send().await.unwrap_err().into_service_error();
    assert!(error.is_cluster_not_found_exception());
}

#[tokio::test(start_paused = true)]
async fn listings_are_paged() {
    let simulator = simulator(|cloud| {
        cloud.world.ecs.page_size = 2;
        cloud.add_service(&ServiceSpec::replica(CLUSTER, "web", 7));
    });
    let ecs = ecs(&simulator).await;
    let pages = ecs.list_tasks().cluster(CLUSTER).into_paginator().items().send();
    let arns: Vec<String> = pages.collect::<Result<_, _>>().await.unwrap();
    assert_eq!(arns.len(), 7);
    assert_eq!(simulator.with(|cloud| cloud.log.count("ListTasks")), 4);
}

#[tokio::test(start_paused = true)]
async fn a_stale_read_shows_the_world_of_an_earlier_moment() {
    let simulator = simulator(|_| {});
    let ecs = ecs(&simulator).await;
    simulator.with(|cloud| cloud.faults.set_read_lag(Some(Duration::ZERO)));
    let arn = drain(&ecs, &instance(1)).await;
    wait(10).await;
    let lag = |seconds| {
        Rule::on("DescribeContainerInstances", Fault::Stale(Duration::from_secs(seconds))).times(1)
    };
    for (seconds, status) in [(30, "ACTIVE"), (5, "DRAINING")] {
        simulator.with(|cloud| cloud.faults.add(lag(seconds)));
        let shown = ecs
            .describe_container_instances()
            .cluster(CLUSTER)
            .container_instances(&arn)
            .send()
            .await
            .unwrap();
        assert_eq!(shown.container_instances()[0].status(), Some(status));
    }
}

#[tokio::test(start_paused = true)]
async fn each_fault_does_what_its_name_says() {
    let applied = [
        (Fault::FailBefore, false),
        (Fault::FailAfter, true),
        (Fault::Http500, false),
        (Fault::Throttle, false),
        (Fault::AccessDenied, false),
        (Fault::Hang, false),
        (Fault::HangAfter, true),
        (Fault::LateApply(Duration::from_secs(60)), false),
    ];
    for (fault, expected) in applied {
        let simulator = simulator(|_| {});
        let ecs = ecs(&simulator).await;
        let arn = container_instance(&ecs, &instance(1)).await;
        simulator.with(|cloud| cloud.faults.add(Rule::on("UpdateContainerInstancesState", fault)));
        let set = ecs.update_container_instances_state().cluster(CLUSTER).container_instances(&arn);
        let answer = set.status(ContainerInstanceStatus::Draining).send().await;
        assert!(answer.is_err(), "{fault}");
        let drains = || {
            simulator.with(|cloud| cloud.container_instance_status(&instance(1))[0].1 == "DRAINING")
        };
        assert_eq!(drains(), expected, "{fault}");
        wait(120).await;
        assert_eq!(drains(), expected || matches!(fault, Fault::LateApply(_)), "{fault}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_crash_notifies_and_never_answers() {
    let simulator = simulator(|_| {});
    let ecs = ecs(&simulator).await;
    let number = simulator.with(|cloud| cloud.controller_calls()) + 1;
    simulator.with(|cloud| cloud.faults.add(Rule::at_call(number, Fault::CrashBefore)));
    let crashed = simulator.crash_notify("a");
    tokio::select! {
        biased;
        () = crashed.notified() => {}
        _ = ecs.list_clusters().send() => panic!("answered"),
    }
}

#[tokio::test(start_paused = true)]
async fn buckets_run_dry_and_refill() {
    let simulator = simulator(|cloud| cloud.limits.enabled = true);
    let ecs = ecs(&simulator).await;
    let mut throttled = 0;
    for _ in 0..300 {
        match ecs.list_tasks().cluster(CLUSTER).send().await {
            Ok(_) => {}
            Err(error) => {
                assert_eq!(error.code(), Some("ThrottlingException"));
                throttled += 1;
            }
        }
    }
    // 300 calls, one every 20 ms, in 6 seconds: 100 at once and 20 a second.
    assert!((70..=90).contains(&throttled), "{throttled}");
    wait(5).await;
    ecs.list_tasks().cluster(CLUSTER).send().await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn checkers_see_what_apis_hide() {
    let simulator = simulator(|cloud| {
        cloud.add_target_group(TargetGroupSpec {
            name: "web".to_owned(),
            ..TargetGroupSpec::default()
        });
        cloud.add_service(&ServiceSpec::replica(CLUSTER, "web", 3).target_group("web"));
    });
    let autoscaling = aws_sdk_autoscaling::Client::new(&config(&simulator, 1).await);
    let ecs = ecs(&simulator).await;
    drain(&ecs, &instance(2)).await;
    let kinds =
        || simulator.with(|cloud| cloud.violations().iter().map(|v| v.checker).collect::<Vec<_>>());
    assert_eq!(kinds(), ["foreign instance touched"]);

    simulator.with(|cloud| cloud.terminate(&instance(1), true).unwrap());
    wait(30).await;
    assert_eq!(
        simulator.with(|cloud| cloud.lifecycle_state(&instance(1))).as_deref(),
        Some("Terminating:Wait")
    );
    drain(&ecs, &instance(1)).await;
    assert_eq!(kinds().len(), 1);
    let beat = autoscaling.record_lifecycle_action_heartbeat().auto_scaling_group_name(GROUP);
    let _ = beat.lifecycle_hook_name("someone-else").instance_id(instance(1)).send().await;
    assert_eq!(kinds()[1..], ["foreign hook touched"]);
    let complete = autoscaling
        .complete_lifecycle_action()
        .auto_scaling_group_name(GROUP)
        .lifecycle_hook_name(HOOK);
    complete.instance_id(instance(1)).lifecycle_action_result("CONTINUE").send().await.unwrap();
    assert!(kinds()[2..].iter().all(|kind| *kind == "premature completion"), "{:?}", kinds());
    assert_eq!(kinds().len(), 4, "a container and its target");
    wait(120).await;
    assert!(simulator.with(|cloud| cloud.terminated_at(&instance(1))).is_some());
    assert!(!simulator.with(|cloud| cloud.losses().to_vec()).is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_hook_that_runs_out_is_a_violation_only_while_someone_was_up() {
    for (replicas, expected) in [(1, 1), (0, 0)] {
        let simulator = simulator(|_| {});
        simulator.with(|cloud| {
            cloud.set_replicas_up(replicas);
            cloud.terminate(&instance(1), true).unwrap();
        });
        wait(4000).await;
        let violations = simulator.with(|cloud| cloud.violations().to_vec());
        assert_eq!(violations.len(), expected, "{violations:?}");
        assert_eq!(simulator.with(|cloud| cloud.completed(&instance(1)).len()), 1);
    }
}

#[tokio::test(start_paused = true)]
async fn another_region_is_empty() {
    let simulator = simulator(|_| {});
    let config = config(&simulator, 1)
        .await
        .into_builder()
        .region(aws_config::Region::new("eu-west-1"))
        .build();
    let clusters = aws_sdk_ecs::Client::new(&config).list_clusters().send().await.unwrap();
    assert!(clusters.cluster_arns().is_empty());
    let clusters = ecs(&simulator).await.list_clusters().send().await.unwrap();
    assert_eq!(clusters.cluster_arns().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn an_index_lags_behind_its_table_and_a_table_can_be_away() {
    use aws_sdk_dynamodb::types::{
        AttributeDefinition, AttributeValue, BillingMode, GlobalSecondaryIndex, KeySchemaElement,
        KeyType, Projection, ProjectionType, ScalarAttributeType,
    };
    let simulator =
        simulator(|cloud| cloud.dynamodb.set_index_lag(Duration::from_secs(5)).unwrap());
    let dynamodb = aws_sdk_dynamodb::Client::new(&config(&simulator, 1).await);
    let attribute = |name: &str| {
        let definition = AttributeDefinition::builder().attribute_name(name);
        definition.attribute_type(ScalarAttributeType::S).build().unwrap()
    };
    let key = |name: &str| {
        KeySchemaElement::builder().attribute_name(name).key_type(KeyType::Hash).build().unwrap()
    };
    let keys_only = Projection::builder().projection_type(ProjectionType::KeysOnly).build();
    let index = GlobalSecondaryIndex::builder()
        .index_name("open")
        .key_schema(key("open"))
        .projection(keys_only);
    let table =
        dynamodb.create_table().table_name("drains").billing_mode(BillingMode::PayPerRequest);
    let table =
        table.attribute_definitions(attribute("pk")).attribute_definitions(attribute("open"));
    table
        .key_schema(key("pk"))
        .global_secondary_indexes(index.build().unwrap())
        .send()
        .await
        .unwrap();

    let text = |text: &str| AttributeValue::S(text.to_owned());
    let put =
        dynamodb.put_item().table_name("drains").item("pk", text("a")).item("open", text("yes"));
    let put = put.condition_expression("attribute_not_exists(pk)");
    put.clone().send().await.unwrap();
    let refused = put.clone().send().await.unwrap_err().into_service_error();
    assert!(refused.is_conditional_check_failed_exception(), "{refused:?}");

    let query = dynamodb
        .query()
        .table_name("drains")
        .index_name("open")
        .key_condition_expression("#o = :yes");
    let query = query
        .expression_attribute_names("#o", "open")
        .expression_attribute_values(":yes", text("yes"));
    assert_eq!(query.clone().send().await.unwrap().count(), 0);
    wait(6).await;
    assert_eq!(query.clone().send().await.unwrap().count(), 1);

    simulator.with(|cloud| cloud.take_table_away(Duration::from_secs(3600), Outage::Error));
    assert_eq!(query.clone().send().await.unwrap_err().code(), Some("InternalServerError"));
    simulator.with(|cloud| cloud.take_table_away(Duration::from_secs(60), Outage::Hang));
    assert!(query.clone().send().await.is_err());
    wait(60).await;
    query.send().await.unwrap();
}

/// One seed gives one history: the log of a busy hour is the same, byte for byte.
#[tokio::test(start_paused = true)]
async fn one_seed_gives_one_history() {
    let mut histories = Vec::new();
    for _ in 0..2 {
        let simulator = simulator(|cloud| {
            cloud.add_target_group(TargetGroupSpec {
                name: "web".to_owned(),
                ..TargetGroupSpec::default()
            });
            cloud.add_service(&ServiceSpec::replica(CLUSTER, "web", 6).target_group("web"));
            cloud.faults.set_read_lag(Some(Duration::from_secs(60)));
        });
        let ecs = ecs(&simulator).await;
        simulator.with(|cloud| cloud.terminate(&instance(3), false).unwrap());
        let arn = drain(&ecs, &instance(3)).await;
        for _ in 0..60 {
            let listed = tasks(&ecs, &arn, DesiredStatus::Stopped).await;
            if !listed.is_empty() {
                let described = ecs
                    .describe_tasks()
                    .cluster(CLUSTER)
                    .set_tasks(Some(listed))
                    .send()
                    .await
                    .unwrap();
                simulator.with(|cloud| {
                    cloud.faults.add(Rule::at_call(described.tasks().len() as u64, Fault::Hang))
                });
            }
            wait(60).await;
        }
        histories.push(simulator.with(|cloud| cloud.log.to_string()));
    }
    assert!(histories[0].lines().count() > 60);
    assert_eq!(histories[0], histories[1]);
}

/// An instance of a warm pool leaves service under the hook, is stopped, comes back and is the same
/// container instance.
#[tokio::test(start_paused = true)]
async fn an_instance_of_a_warm_pool_comes_back_as_it_was() {
    let simulator = Simulator::new(SimulatorConfig::default()).unwrap();
    simulator.set_up(|cloud| {
        cloud.add_group(GroupSpec {
            name: GROUP.to_owned(),
            cluster: Some(CLUSTER.to_owned()),
            desired: 2,
            instance_ids: Some((1..=2).map(instance).collect()),
            hooks: vec![HookSpec { name: HOOK.to_owned(), ..HookSpec::default() }],
            warm_pool: Some(WarmPoolSpec { reuse_on_scale_in: true, min_size: 0 }),
            ..GroupSpec::default()
        });
        cloud.checkers.our_hook(HOOK);
    });
    let config = config(&simulator, 1).await;
    let ecs = aws_sdk_ecs::Client::new(&config);
    simulator.with(|cloud| cloud.set_group_desired(GROUP, 1).unwrap());
    wait(60).await;
    let waits = |id: &String| {
        simulator.with(|cloud| cloud.lifecycle_state(id)).is_some_and(|s| s.ends_with(":Wait"))
    };
    let left = (1..=2).map(instance).find(waits).expect("one instance waits");
    drain(&ecs, &left).await;
    let complete = aws_sdk_autoscaling::Client::new(&config).complete_lifecycle_action();
    let complete =
        complete.auto_scaling_group_name(GROUP).lifecycle_hook_name(HOOK).instance_id(&left);
    complete.lifecycle_action_result("CONTINUE").send().await.unwrap();
    wait(300).await;
    assert_eq!(
        simulator.with(|cloud| cloud.lifecycle_state(&left)).as_deref(),
        Some("Warmed:Stopped")
    );
    simulator.with(|cloud| cloud.set_group_desired(GROUP, 2).unwrap());
    wait(300).await;
    assert_eq!(simulator.with(|cloud| cloud.lifecycle_state(&left)).as_deref(), Some("InService"));
    assert_eq!(
        simulator.with(|cloud| cloud.container_instance_status(&left)),
        [(CLUSTER.to_owned(), "DRAINING")]
    );
    let arn = container_instance(&ecs, &left).await;
    let undo = ecs.update_container_instances_state().cluster(CLUSTER).container_instances(arn);
    undo.status(ContainerInstanceStatus::Active).send().await.unwrap();
    assert_eq!(simulator.with(|cloud| cloud.violations().to_vec()), []);
}

#[tokio::test]
async fn a_socket_answers_as_the_connector_does() {
    let simulator = simulator(|_| {});
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = format!("http://{}", listener.local_addr().unwrap());
    let serve = serve_until(
        simulator.clone(),
        listener,
        TimeScale::Accelerated(60),
        std::future::pending(),
    );
    let ask = async {
        let config = aws_config::defaults(aws_config::BehaviorVersion::latest())
            .empty_test_environment()
            .test_credentials()
            .region("us-east-1")
            .endpoint_url(endpoint)
            .app_name(aws_config::AppName::new("ecs-drain").unwrap())
            .load()
            .await;
        let clusters = aws_sdk_ecs::Client::new(&config).list_clusters().send().await.unwrap();
        let groups = aws_sdk_autoscaling::Client::new(&config)
            .describe_auto_scaling_groups()
            .send()
            .await
            .unwrap();
        (clusters.cluster_arns().len(), groups.auto_scaling_groups().len())
    };
    tokio::select! {
        biased;
        served = serve => panic!("{served:?}"),
        found = ask => assert_eq!(found, (1, 1)),
    }
    let entries = simulator.peek(|cloud| cloud.log.entries().to_vec());
    assert!(
        entries.iter().all(|entry| entry.caller == "ecs-drain" && entry.number.is_some()),
        "{entries:?}"
    );
}
