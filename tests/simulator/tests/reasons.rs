//! The reasons why a drain makes no progress, the ends of an instance, and forbidden calls: the
//! situations that scenarios can create.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::time::Duration;

use aws_simulator::elb::TargetType;
use aws_simulator::spec::{
    DeploymentController, GroupSpec, HookSpec, Network, ServiceSpec, StandaloneSpec,
    TargetGroupSpec, WarmPoolSpec,
};
use aws_simulator::{BEGIN, Cloud, Delivery, Request};
use serde_json::{Value, json};

const CLUSTER: &str = "shop";
const GROUP: &str = "shop-asg";
const HOOK: &str = "ecs-drain";

fn seconds(n: u64) -> Duration {
    Duration::from_secs(n)
}

fn instance(n: u32) -> String {
    format!("i-{n:017x}")
}

fn group() -> GroupSpec {
    GroupSpec {
        name: GROUP.to_owned(),
        cluster: Some(CLUSTER.to_owned()),
        desired: 3,
        instance_ids: Some((1..=3).map(instance).collect()),
        hooks: vec![HookSpec { name: HOOK.to_owned(), ..HookSpec::default() }],
        capacity_provider: Some("shop-provider".to_owned()),
        ..GroupSpec::default()
    }
}

fn cloud_of(group: GroupSpec, describe: impl FnOnce(&mut Cloud)) -> Cloud {
    let mut cloud = Cloud::new(7, "2026-01-05T09:00:00Z".parse().unwrap()).unwrap();
    cloud.add_group(group);
    cloud.checkers.our_hook(HOOK);
    describe(&mut cloud);
    cloud.settle();
    cloud
}

fn cloud(describe: impl FnOnce(&mut Cloud)) -> Cloud {
    cloud_of(group(), describe)
}

fn send(cloud: &mut Cloud, request: Request) -> (u16, String) {
    let now = cloud.now();
    match cloud.handle(now, &request) {
        Delivery::Answer(reply) => (reply.status, reply.body),
        other @ (Delivery::Lost | Delivery::Never | Delivery::Waits(_) | Delivery::CallerDies) => {
            panic!("{other:?}")
        }
    }
}

fn ecs(cloud: &mut Cloud, operation: &str, mut body: Value) -> Value {
    if let Some(fields) = body.as_object_mut() {
        fields.insert("cluster".to_owned(), json!(CLUSTER));
    }
    let target = Some(format!("AmazonEC2ContainerServiceV20141113.{operation}"));
    let request =
        Request { controller: true, target, body: body.to_string().into(), ..Request::default() };
    let (status, body) = send(cloud, request);
    assert_eq!(status, 200, "{operation}: {body}");
    serde_json::from_str(&body).unwrap()
}

fn autoscaling(cloud: &mut Cloud, form: &str) -> (u16, String) {
    let body = format!("{form}&Version=2011-01-01").into_bytes().into();
    send(cloud, Request { controller: true, body, ..Request::default() })
}

fn container_instance(cloud: &Cloud, n: u32) -> String {
    let id = instance(n);
    let mut registered = cloud.world.ecs.instances_of(&id);
    registered.next().unwrap().1.id.clone()
}

fn set(cloud: &mut Cloud, n: u32, status: &str) {
    let id = container_instance(cloud, n);
    ecs(
        cloud,
        "UpdateContainerInstancesState",
        json!({ "containerInstances": [id], "status": status }),
    );
}

fn wait(cloud: &mut Cloud, n: u64) {
    cloud.advance(cloud.now() + seconds(n));
}

fn service(cloud: &mut Cloud, name: &str) -> Value {
    ecs(cloud, "DescribeServices", json!({ "services": [name] }))["services"][0].clone()
}

fn messages(service: &Value) -> Vec<String> {
    let events = service["events"].as_array().unwrap().iter();
    events.map(|event| event["message"].as_str().unwrap().to_owned()).collect()
}

fn on(cloud: &Cloud, n: u32, service: &str) -> usize {
    let running = cloud.containers_running(&instance(n));
    running.iter().filter(|container| container.service.as_deref() == Some(service)).count()
}

fn kinds(cloud: &Cloud) -> Vec<&'static str> {
    cloud.violations().iter().map(|violation| violation.checker).collect()
}

#[test]
fn a_protected_task_stays_until_its_protection_ends() {
    let mut cloud = cloud(|cloud| cloud.add_service(&ServiceSpec::replica(CLUSTER, "web", 3)));
    cloud.checkers.allow_operator(instance(1));
    assert_eq!(cloud.protect_service_on(CLUSTER, "web", &instance(1), seconds(1200)), 1);
    let task = cloud.containers_running(&instance(1))[0].task.clone();
    let shown = ecs(&mut cloud, "GetTaskProtection", json!({ "tasks": [task] }));
    assert_eq!(shown["protectedTasks"][0]["protectionEnabled"], true);
    set(&mut cloud, 1, "DRAINING");
    wait(&mut cloud, 1190);
    assert_eq!(on(&cloud, 1, "web"), 1);
    wait(&mut cloud, 60);
    assert_eq!(on(&cloud, 1, "web"), 0);
}

#[test]
fn an_external_services_balancers_stand_in_its_task_set() {
    let mut cloud = cloud(|cloud| {
        let target_group = TargetGroupSpec { name: "api".to_owned(), ..TargetGroupSpec::default() };
        cloud.add_target_group(target_group);
        let spec = ServiceSpec::replica(CLUSTER, "api", 3).target_group("api").percents(100, 100);
        cloud.add_service(&spec.controller(DeploymentController::External));
    });
    cloud.checkers.allow_operator(instance(1));
    let shown = service(&mut cloud, "api");
    assert_eq!((&shown["loadBalancers"], &shown["deployments"]), (&json!([]), &json!([])));
    assert_eq!(shown["deploymentController"]["type"], "EXTERNAL");
    assert_eq!(
        shown["deploymentConfiguration"]["maximumPercent"], 200,
        "the defaults, whatever was asked for"
    );
    let set_of = &shown["taskSets"][0];
    assert_eq!(
        (&set_of["stabilityStatus"], &set_of["runningCount"]),
        (&json!("STEADY_STATE"), &json!(3))
    );
    assert!(set_of["loadBalancers"][0]["targetGroupArn"].as_str().unwrap().contains("/api/"));
    let task = cloud.containers_running(&instance(1))[0].task.clone();
    let tasks = ecs(&mut cloud, "DescribeTasks", json!({ "tasks": [task] }));
    assert_eq!(tasks["tasks"][0]["startedBy"], set_of["id"]);
    set(&mut cloud, 1, "DRAINING");
    assert_eq!(service(&mut cloud, "api")["taskSets"][0]["stabilityStatus"], "STABILIZING");
    wait(&mut cloud, 600);
    assert_eq!(on(&cloud, 1, "api"), 0, "100/200 lets it move where 100/100 would not");
}

#[test]
fn constraints_leave_a_task_without_a_place() {
    let mut cloud = cloud(|cloud| {
        cloud.set_attribute(&instance(1), "stack", "blue");
        cloud.set_attribute(&instance(2), "stack", "blue");
        cloud.add_service(
            &ServiceSpec::replica(CLUSTER, "blue", 2)
                .member_of("attribute:stack == blue")
                .distinct_instance(),
        );
        cloud.add_service(&ServiceSpec::replica(CLUSTER, "spread", 3).distinct_instance());
    });
    cloud.checkers.allow_operator(instance(1));
    assert_eq!((on(&cloud, 1, "blue"), on(&cloud, 2, "blue"), on(&cloud, 3, "blue")), (1, 1, 0));
    assert!(messages(&service(&mut cloud, "blue"))[0].ends_with("has reached a steady state."));
    set(&mut cloud, 1, "DRAINING");
    wait(&mut cloud, 600);
    let blue = service(&mut cloud, "blue");
    assert_eq!(blue["placementConstraints"].as_array().unwrap().len(), 2);
    let said = messages(&blue)[0].clone();
    assert!(said.contains("The closest matching (container-instance "), "{said}");
    assert!(said.contains("placement constraint unsatisfied.\" For more"), "{said}");
    assert_eq!((on(&cloud, 1, "blue"), on(&cloud, 1, "spread")), (1, 1));
}

#[test]
fn tasks_that_cannot_start_are_retried_ever_more_slowly() {
    let mut cloud = cloud(|cloud| cloud.add_service(&ServiceSpec::replica(CLUSTER, "web", 3)));
    cloud.checkers.allow_operator(instance(1));
    cloud.fail_new_tasks(CLUSTER, "web", "CannotPullContainerError: no such image");
    set(&mut cloud, 1, "DRAINING");
    wait(&mut cloud, 1800);
    assert_eq!(on(&cloud, 1, "web"), 1, "nothing replaces it");
    let shown = service(&mut cloud, "web");
    let said = messages(&shown);
    let impaired = said
        .iter()
        .filter(|m| m.contains("is unable to consistently start tasks successfully."))
        .count();
    assert_eq!(impaired, 1);
    assert!(shown["deployments"][0]["failedTasks"].as_u64() > Some(3));
    assert!(said.len() < 40, "it is throttled: {}", said.len());
    let stopped =
        ecs(&mut cloud, "ListTasks", json!({ "serviceName": "web", "desiredStatus": "STOPPED" }));
    let task = stopped["taskArns"][0].clone();
    let tasks = ecs(&mut cloud, "DescribeTasks", json!({ "tasks": [task] }));
    assert_eq!(tasks["tasks"][0]["stopCode"], "TaskFailedToStart");
    assert_eq!(tasks["tasks"][0]["stoppedReason"], "CannotPullContainerError: no such image");
    cloud.heal(CLUSTER, "web");
    wait(&mut cloud, 300);
    assert_eq!(on(&cloud, 1, "web"), 0);
    assert!(messages(&service(&mut cloud, "web"))[0].ends_with("has reached a steady state."));
}

#[test]
fn targets_that_fail_their_health_checks_end_their_tasks() {
    let mut cloud = cloud(|cloud| {
        let target_type = TargetType::Ip;
        cloud.add_target_group(TargetGroupSpec {
            name: "api".to_owned(),
            target_type,
            ..TargetGroupSpec::default()
        });
        let network = Network::Awsvpc { container_port: 8080 };
        cloud.add_service(
            &ServiceSpec::replica(CLUSTER, "api", 3).network(network).target_group("api"),
        );
    });
    cloud.checkers.allow_operator(instance(1));
    cloud.fail_health_checks(CLUSTER, "api");
    set(&mut cloud, 1, "DRAINING");
    wait(&mut cloud, 120);
    let said = messages(&service(&mut cloud, "api"));
    assert!(
        said.iter().any(|m| m.contains("(port 8080) is unhealthy in (target-group arn:aws:")),
        "{said:?}"
    );
    wait(&mut cloud, 1800);
    assert_eq!(on(&cloud, 1, "api"), 1, "no replacement is ever healthy");
    cloud.heal(CLUSTER, "api");
    wait(&mut cloud, 900);
    assert_eq!(on(&cloud, 1, "api"), 0);
}

#[test]
fn a_full_cluster_shows_what_is_missing() {
    let mut cloud = cloud(|cloud| cloud.add_service(&ServiceSpec::replica(CLUSTER, "web", 3)));
    cloud.checkers.allow_operator(instance(1));
    cloud.fill_cluster(CLUSTER, &[&instance(1)]);
    set(&mut cloud, 1, "DRAINING");
    wait(&mut cloud, 120);
    let said = messages(&service(&mut cloud, "web"))[0].clone();
    assert!(
        said.contains(") has insufficient CPU units available. For more information"),
        "{said}"
    );
    let id = container_instance(&cloud, 2);
    let shown =
        ecs(&mut cloud, "DescribeContainerInstances", json!({ "containerInstances": [id] }));
    let shown = &shown["containerInstances"][0];
    assert_eq!(shown["remainingResources"][0]["integerValue"], 0);
    assert_eq!(shown["registeredResources"][0]["integerValue"], 4096);
    assert_eq!(shown["capacityProviderName"], "shop-provider");
    let attributes = shown["attributes"].as_array().unwrap();
    let value = |name: &str| {
        attributes.iter().find(|a| a["name"] == name).unwrap()["value"].as_str().unwrap()
    };
    assert_eq!(
        (value("ecs.ami-id"), value("ecs.availability-zone")),
        ("ami-0a1b2c3d4e5f60718", "us-east-1b")
    );
    let definition = service(&mut cloud, "web")["taskDefinition"].clone();
    let shown = ecs(&mut cloud, "DescribeTaskDefinition", json!({ "taskDefinition": definition }));
    assert_eq!(shown["taskDefinition"]["cpu"], "256");
    assert_eq!(
        shown["taskDefinition"]["containerDefinitions"][0]["portMappings"][0]["hostPort"],
        0
    );
}

#[test]
fn with_no_active_instance_there_is_no_closest_one() {
    let mut cloud = cloud(|cloud| cloud.add_service(&ServiceSpec::replica(CLUSTER, "web", 3)));
    for n in 1..=3 {
        cloud.checkers.allow_operator(instance(n));
        set(&mut cloud, n, "DRAINING");
    }
    wait(&mut cloud, 30);
    let said = messages(&service(&mut cloud, "web"))[0].clone();
    assert!(said.contains("Reason: No Container Instances were found in your cluster."), "{said}");
}

#[test]
fn a_retained_instance_ends_only_by_a_new_termination() {
    let hook = HookSpec { name: HOOK.to_owned(), ..HookSpec::default() };
    let mut cloud = cloud_of(
        GroupSpec { terminate_hook_abandon_retain: true, hooks: vec![hook], ..group() },
        |_| {},
    );
    let target = instance(1);
    cloud.checkers.allow_terminate(&target);
    cloud.terminate(&target, false).unwrap();
    wait(&mut cloud, 10);
    let shown = autoscaling(&mut cloud, "Action=DescribeAutoScalingGroups").1;
    assert!(shown.contains("<TerminateHookAbandon>retain</TerminateHookAbandon>"), "{shown}");
    let first = cloud.world.autoscaling.pending_actions(&target)[0].token.clone();
    let abandon = format!(
        "Action=CompleteLifecycleAction&AutoScalingGroupName={GROUP}&LifecycleHookName={HOOK}&InstanceId={target}\
         &LifecycleActionResult=ABANDON"
    );
    assert_eq!(autoscaling(&mut cloud, &abandon).0, 200);
    wait(&mut cloud, 200);
    assert_eq!(cloud.lifecycle_state(&target).as_deref(), Some("Terminating:Retained"));
    assert_eq!(cloud.instance_ids(GROUP).len(), 4, "it does not count: it was replaced, and stays");
    let end = |decrement: bool| {
        format!(
            "Action=TerminateInstanceInAutoScalingGroup&InstanceId={target}&ShouldDecrementDesiredCapacity={decrement}"
        )
    };
    assert_eq!(autoscaling(&mut cloud, &end(true)).0, 400);
    let (status, activity) = autoscaling(&mut cloud, &end(false));
    assert_eq!((status, activity.contains("<StatusCode>InProgress</StatusCode>")), (200, true));
    wait(&mut cloud, 10);
    assert_eq!(cloud.lifecycle_state(&target).as_deref(), Some("Terminating:Wait"));
    assert_ne!(cloud.world.autoscaling.pending_actions(&target)[0].token, first);
    assert_eq!(kinds(&cloud), [""; 0]);
}

#[test]
fn a_termination_through_the_api_decrements_or_replaces() {
    let mut cloud = cloud(|_| {});
    cloud.checkers.allow_terminate(instance(1));
    cloud.checkers.allow_terminate(instance(2));
    for (n, decrement, serving) in [(1, "true", 2), (2, "false", 2)] {
        let form = format!(
            "Action=TerminateInstanceInAutoScalingGroup&InstanceId={}&ShouldDecrementDesiredCapacity={decrement}",
            instance(n)
        );
        assert_eq!(autoscaling(&mut cloud, &form).0, 200);
        wait(&mut cloud, 120);
        assert_eq!(cloud.lifecycle_state(&instance(n)).as_deref(), Some("Terminating:Wait"));
        let in_service = cloud
            .instance_ids(GROUP)
            .into_iter()
            .filter(|id| cloud.lifecycle_state(id).as_deref() == Some("InService"));
        assert_eq!(in_service.count(), serving);
    }
}

#[test]
fn instances_go_to_the_warm_pool_and_come_back() {
    let pool = WarmPoolSpec { reuse_on_scale_in: true, min_size: 0 };
    let mut cloud = cloud_of(GroupSpec { warm_pool: Some(pool), ..group() }, |_| {});
    let target = instance(1);
    assert!(!cloud.return_from_warm_pool(&target), "it is not there");
    assert!(cloud.return_to_warm_pool(&target));
    wait(&mut cloud, 10);
    assert_eq!(cloud.lifecycle_state(&target).as_deref(), Some("Warmed:Pending:Wait"));
    cloud.delete_hook(GROUP, HOOK);
    wait(&mut cloud, 60);
    assert_eq!(cloud.lifecycle_state(&target).as_deref(), Some("Warmed:Stopped"));
    let agent = |cloud: &Cloud| {
        cloud.world.ecs.instances_of(&instance(1)).next().unwrap().1.agent_connected
    };
    assert!(!agent(&cloud));
    assert!(cloud.return_from_warm_pool(&target));
    wait(&mut cloud, 120);
    assert_eq!(cloud.lifecycle_state(&target).as_deref(), Some("InService"));
    assert!(agent(&cloud));
}

#[test]
fn an_instance_with_a_new_root_volume_registers_anew() {
    let mut cloud = cloud(|_| {});
    let before = container_instance(&cloud, 1);
    assert!(cloud.replace_root_volume(&instance(1)));
    wait(&mut cloud, 10);
    assert_eq!(cloud.lifecycle_state(&instance(1)).as_deref(), Some("ReplacingRootVolume:Wait"));
    cloud.delete_hook(GROUP, HOOK);
    wait(&mut cloud, 200);
    assert_eq!(cloud.lifecycle_state(&instance(1)).as_deref(), Some("InService"));
    let id = instance(1);
    let registered: Vec<_> =
        cloud.world.ecs.instances_of(&id).map(|(_, i)| (i.id.clone(), i.status.as_str())).collect();
    assert!(registered.contains(&(before, "INACTIVE")), "{registered:?}");
    assert_eq!(registered.iter().filter(|(_, status)| *status == "ACTIVE").count(), 1);
}

#[test]
fn a_stopped_task_is_judged() {
    let job = |n| StandaloneSpec::new(CLUSTER, "job").on(instance(n));
    let mut cloud = cloud(|cloud| {
        cloud.add_service(&ServiceSpec::replica(CLUSTER, "web", 3));
        cloud.run_task(&job(1)).unwrap();
        cloud.run_task(&job(1)).unwrap();
    });
    cloud.checkers.allow_operator(instance(1));
    let running = cloud.containers_running(&instance(1));
    let of = |service: bool| {
        running.iter().filter(move |c| c.service.is_some() == service).map(|c| c.task.clone())
    };
    let jobs: Vec<String> = of(false).collect();
    let web: Vec<String> = of(true).collect();
    let stop =
        |cloud: &mut Cloud, task: &str| drop(ecs(cloud, "StopTask", json!({ "task": task })));
    stop(&mut cloud, &jobs[0]);
    assert_eq!(kinds(&cloud), ["task stopped"], "never allowed");
    stop(&mut cloud, &jobs[0]);
    assert_eq!(kinds(&cloud).len(), 1, "it stops already");
    stop(&mut cloud, &web[0]);
    assert_eq!(kinds(&cloud).len(), 2, "a service's task");
    cloud.checkers.allow_stop_tasks(seconds(100));
    stop(&mut cloud, &jobs[1]);
    assert_eq!(kinds(&cloud).len(), 3, "the instance is not DRAINING");
    cloud.run_task(&job(1)).unwrap();
    wait(&mut cloud, 60);
    let late = cloud
        .containers_running(&instance(1))
        .iter()
        .find(|c| c.service.is_none())
        .unwrap()
        .task
        .clone();
    set(&mut cloud, 1, "DRAINING");
    wait(&mut cloud, 100);
    stop(&mut cloud, &late);
    assert_eq!(kinds(&cloud).len(), 3, "{:?}", cloud.violations());
}

#[test]
fn a_termination_is_judged() {
    let mut cloud = cloud(|cloud| cloud.add_service(&ServiceSpec::replica(CLUSTER, "web", 3)));
    let terminate = |n: u32| {
        let id = instance(n);
        format!(
            "Action=TerminateInstanceInAutoScalingGroup&InstanceId={id}&ShouldDecrementDesiredCapacity=false"
        )
    };
    autoscaling(&mut cloud, &terminate(1));
    assert_eq!(kinds(&cloud), ["foreign termination", "premature termination"]);
    cloud.checkers.allow_terminate(instance(2));
    cloud.checkers.allow_operator(instance(2));
    set(&mut cloud, 2, "DRAINING");
    wait(&mut cloud, 300);
    autoscaling(&mut cloud, &terminate(2));
    autoscaling(&mut cloud, &terminate(2));
    assert_eq!(kinds(&cloud).len(), 2, "{:?}", cloud.violations());
}

#[test]
fn a_draining_left_behind_shows_at_the_end() {
    let mut cloud = cloud(|_| {});
    cloud.checkers.allow_operator(instance(1));
    cloud.checkers.must_be_active(instance(1));
    set(&mut cloud, 1, "DRAINING");
    assert_eq!(kinds(&cloud), [""; 0]);
    let left = cloud.violations_at_end();
    assert_eq!(
        (left.len(), left[0].checker, left[0].text.as_str()),
        (1, "DRAINING left behind", "DRAINING in shop")
    );
    set(&mut cloud, 1, "ACTIVE");
    assert!(cloud.violations_at_end().is_empty());
    assert!(cloud.now() >= BEGIN);
}
