//! Diagnoses against a simulated server: real requests, and the causes found in real answers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use crate::aws::{Environment, connect};
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_types::body::SdkBody;
use ecs_drain_state::record::Opening;
use ecs_drain_state::{Origin, Strategy};
use jiff::SignedDuration;
use serde_json::{Value, json};
use std::sync::{Arc, Mutex};

/// Function from an operation's name and its request to an answer: a status and a body.
type Answers = Box<dyn Fn(&str, &Value) -> (u16, Value) + Send + Sync>;

struct Line {
    answers: Answers,
    seen: Arc<Mutex<Vec<String>>>,
}

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Line")
    }
}

impl HttpConnector for Line {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let body = request.body().bytes().unwrap_or_default();
        let (status, answer) = match request.headers().get("x-amz-target") {
            Some(target) => {
                let operation = target.rsplit('.').next().unwrap();
                self.seen.lock().unwrap().push(operation.to_owned());
                let (status, answer) =
                    (self.answers)(operation, &serde_json::from_slice(body).unwrap());
                (status, answer.to_string())
            }
            None => (200, IDENTITY.to_owned()),
        };
        HttpConnectorFuture::ready(Ok(HttpResponse::new(
            status.try_into().unwrap(),
            SdkBody::from(answer),
        )))
    }
}

const IDENTITY: &str = "<GetCallerIdentityResponse><GetCallerIdentityResult><Account>123456789012</Account>\
    </GetCallerIdentityResult></GetCallerIdentityResponse>";

/// Creates a session whose ECS is `answers`. Returns it with the requested operations.
async fn session(
    answers: impl Fn(&str, &Value) -> (u16, Value) + Send + Sync + 'static,
) -> (Session, Arc<Mutex<Vec<String>>>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let connector =
        SharedHttpConnector::new(Line { answers: Box::new(answers), seen: seen.clone() });
    let client = http_client_fn(move |_, _| connector.clone());
    let environment =
        Environment { http_client: Some(client), isolated: true, ..Environment::default() };
    (connect(&environment, "eu-west-1", None).await.unwrap(), seen)
}

fn error(code: &str) -> (u16, Value) {
    (400, json!({ "__type": code, "message": "no" }))
}

/// Answers for a cluster with one other instance, which is full, and a service with one protected
/// task.
fn full_cluster(operation: &str, _: &Value) -> (u16, Value) {
    let resource =
        |name: &str, left: u32| json!({ "name": name, "type": "INTEGER", "integerValue": left });
    let instance = |id: &str| {
        json!({
            "containerInstanceArn": format!("arn:ci/web/{id}"), "ec2InstanceId": format!("i-{id}"), "status": "ACTIVE",
            "agentConnected": true, "remainingResources": [resource("CPU", 128), resource("MEMORY", 4096)],
        })
    };
    let answer = match operation {
        "DescribeServices" => json!({ "services": [{
            "serviceName": "shop", "desiredCount": 2, "runningCount": 2, "pendingCount": 0,
            "taskDefinition": "arn:td/shop:7", "placementConstraints": [{ "type": "distinctInstance" }],
        }] }),
        "DescribeTaskDefinition" => json!({ "taskDefinition": {
            "containerDefinitions": [{ "name": "app", "cpu": 256, "memory": 512, "stopTimeout": 90 }],
        } }),
        "ListContainerInstances" => {
            json!({ "containerInstanceArns": ["arn:ci/web/0", "arn:ci/web/1"] })
        }
        // The drained instance is still shown as ACTIVE, because reads lag.
        "DescribeContainerInstances" => {
            json!({ "containerInstances": [instance("0"), instance("1")] })
        }
        "GetTaskProtection" => json!({
            "protectedTasks": [{ "taskArn": "arn:task/web/t1", "protectionEnabled": true, "expirationDate": 4e9 }],
            "failures": [{ "arn": "arn:task/web/t2", "reason": "TASK_NOT_VALID" }],
        }),
        "ListTasks" => json!({ "taskArns": ["arn:task/web/t1"] }),
        "DescribeTasks" => json!({ "tasks": [
            { "taskArn": "arn:task/web/t1", "containerInstanceArn": "arn:ci/web/0", "lastStatus": "RUNNING" },
            { "taskArn": "arn:task/web/t3", "lastStatus": "STOPPING", "stoppingAt": 1e9, "taskDefinitionArn": "arn:td/shop:6" },
        ] }),
        other => panic!("{other} was asked for"),
    };
    (200, answer)
}

fn record(instance: &str) -> Record {
    let opening = Opening {
        account: "1".to_owned(),
        region: "eu-west-1".to_owned(),
        instance_id: instance.to_owned(),
        controller: "ecs-drain".to_owned(),
        origin: Origin::Operator,
        strategy: Strategy::Drain,
        lifecycle: None,
        group: None,
        then: None,
        requested: None,
        container_instances: Vec::new(),
        deadline: None,
        margin: SignedDuration::ZERO,
    };
    Record::open(opening, Timestamp::UNIX_EPOCH)
}

fn sight(id: &str, kind: TaskKind, stopping: bool) -> StuckTask {
    let last_status = if stopping { "STOPPING" } else { "RUNNING" }.to_owned();
    let sight = TaskSight { last_status, stopping, kind, protected_until: None };
    StuckTask { arn: format!("arn:task/web/{id}"), cluster: "web".to_owned(), sight }
}

fn shop() -> TaskKind {
    TaskKind::Replica("shop".to_owned())
}

/// Returns the causes of stuck drains with these tasks, one instance each.
async fn causes(
    session: &Session,
    caches: &DiagnosisCache,
    tasks: Vec<Vec<StuckTask>>,
) -> Vec<Vec<String>> {
    let records: Vec<Record> = (0..tasks.len()).map(|n| record(&format!("i-{n}"))).collect();
    let stuck: Vec<Stuck> = records
        .iter()
        .zip(tasks)
        .map(|(record, tasks)| Stuck {
            record: record.clone(),
            policy: Policy::default(),
            tasks: Some(tasks),
            targets: Vec::new(),
            agent_lost_since: None,
        })
        .collect();
    let stuck: Vec<&Stuck> = stuck.iter().collect();
    let clock = Clock::start(None);
    let causes = diagnose(session, &clock, caches, &stuck).await;
    records
        .iter()
        .map(|r| causes[&r.key()].iter().map(|c| format!("{}: {c}", c.name())).collect())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_full_cluster_is_a_cause() {
    let (session, seen) = session(full_cluster).await;
    let tasks =
        vec![sight("t1", shop(), false), sight("t2", shop(), false), sight("t3", shop(), true)];
    let caches = DiagnosisCache::default();
    let said = causes(&session, &caches, vec![tasks.clone()]).await.remove(0);
    let names: Vec<&str> = said.iter().map(|text| text.split(':').next().unwrap()).collect();
    assert_eq!(names, ["NoRoom", "ProtectedTask", "StoppingLong"], "{said:#?}");
    assert!(
        said[0].contains("no other container instance has room")
            && said[0].contains("i-1, has 128 of the 256")
    );
    assert!(said[1].contains("task t1 of service shop is protected"), "{}", said[1]);
    assert!(
        said[2].contains("since 2001-09-09T01:46:40Z and is STOPPING")
            && said[2].contains("1 min 30 s (stopTimeout)")
    );
    // Both task definitions are already cached.
    seen.lock().unwrap().clear();
    causes(&session, &caches, vec![tasks]).await;
    assert!(!seen.lock().unwrap().iter().any(|operation| operation == "DescribeTaskDefinition"));
}

/// The last sight of a task can be minutes old; the cause rests on the read of now.
#[tokio::test(start_paused = true)]
async fn a_task_that_has_stopped_meanwhile_is_no_cause() {
    let stopped = |operation: &str, request: &Value| match operation {
        "DescribeTasks" => (
            200,
            json!({ "tasks": [
                { "taskArn": "arn:task/web/t3", "lastStatus": "STOPPED", "stoppingAt": 1e9 },
                { "taskArn": "arn:task/web/t4", "lastStatus": "DEPROVISIONING", "stoppingAt": 1e9 },
            ] }),
        ),
        _ => full_cluster(operation, request),
    };
    let (session, _) = session(stopped).await;
    let tasks = vec![sight("t3", shop(), true), sight("t4", shop(), true)];
    let said = causes(&session, &DiagnosisCache::default(), vec![tasks]).await.remove(0);
    assert_eq!(said.len(), 1, "{said:#?}");
    assert!(said[0].contains("task t4") && said[0].contains("is DEPROVISIONING"), "{}", said[0]);
}

#[tokio::test(start_paused = true)]
async fn drains_of_one_cluster_are_read_for_together() {
    let (session, seen) = session(full_cluster).await;
    let tasks =
        vec![vec![sight("t1", shop(), false)], vec![sight("t4", shop(), false)], Vec::new()];
    let said = causes(&session, &DiagnosisCache::default(), tasks).await;
    assert_eq!(said.iter().map(Vec::len).collect::<Vec<_>>(), [2, 1, 0], "{said:#?}");
    // A drain's own instance is not compared: the first one holds the service's only other task.
    assert!(said[0][0].contains("the closest, i-1, has 128"), "{said:#?}");
    assert!(
        said[1][0].starts_with("ConstraintUnmet: ") && said[1][0].contains("distinctInstance"),
        "{said:#?}"
    );
    let mut seen = seen.lock().unwrap().clone();
    seen.sort();
    assert_eq!(
        seen,
        [
            "DescribeContainerInstances",
            "DescribeServices",
            "DescribeTaskDefinition",
            "DescribeTasks",
            "GetTaskProtection",
            "ListContainerInstances",
            "ListTasks"
        ]
    );
}

/// A service whose deployment bakes, and one whose deployment waits at a hook. Only their
/// deployments are read.
#[tokio::test(start_paused = true)]
async fn deployments_that_wait_are_causes() {
    let (session, seen) = session(|operation, request| {
        let service = |name: &str, state: &str| {
            json!({
                "serviceName": name, "desiredCount": 4, "runningCount": 4, "currentServiceDeployment": format!("d/{name}"),
                "deployments": [{ "status": "PRIMARY", "rolloutState": state }],
                "currentServiceRevisions": [{ "arn": "r/1", "runningTaskCount": 2 }, { "arn": "r/2", "pendingTaskCount": 2 }],
                "deploymentConfiguration": {
                    "minimumHealthyPercent": 50, "bakeTimeInMinutes": 15,
                    "earlySuccessCriteria": { "enable": true, "sourceServiceRevisionCleanup": "DEFERRED" },
                },
            })
        };
        let answer = match operation {
            "DescribeServices" => json!({ "services": [
                service("shop", "IN_PROGRESS"), service("cart", "IN_PROGRESS"), service("mail", "COMPLETED"),
            ] }),
            "DescribeServiceDeployments" => {
                assert_eq!(request["serviceDeploymentArns"], json!(["d/cart", "d/shop"]));
                json!({ "serviceDeployments": [
                    { "serviceDeploymentArn": "d/shop", "lifecycleStage": "BAKE_TIME" },
                    { "serviceDeploymentArn": "d/cart", "lifecycleStage": "POST_SCALE_UP", "lifecycleHookDetails": [
                        { "hookId": "h-0", "status": "SUCCEEDED" },
                        { "hookId": "h-1", "status": "AWAITING_ACTION", "expiresAt": 4e9, "timeoutAction": "CONTINUE" },
                    ] },
                ] })
            }
            "GetTaskProtection" => json!({}),
            "ListContainerInstances" => json!({ "containerInstanceArns": ["arn:ci/web/1"] }),
            "DescribeContainerInstances" => json!({ "containerInstances": [] }),
            other => panic!("{other} was asked for"),
        };
        (200, answer)
    })
    .await;
    let of = |name: &str| TaskKind::Replica(name.to_owned());
    let tasks = vec![
        sight("t1", of("shop"), false),
        sight("t2", of("cart"), false),
        sight("t3", of("mail"), false),
    ];
    let said = causes(&session, &DiagnosisCache::default(), vec![tasks]).await.remove(0);
    let told = [
        "DeploymentPaused: the deployment of service cart is paused at POST_SCALE_UP by hook h-1 until 2096-10-02T07:06:40Z, \
         when ECS continues it; ",
        "DeploymentBaking: the deployment of service shop is baking (15 min): ",
        "CleanupDeferred: tasks of 2 revisions of service mail are running ",
    ];
    for (text, told) in said.iter().zip(told) {
        assert!(text.starts_with(told), "{text}");
    }
    assert_eq!(
        seen.lock()
            .unwrap()
            .iter()
            .filter(|operation| *operation == "DescribeServiceDeployments")
            .count(),
        1
    );
}

/// A standalone task, and a daemon that is not waited for, need no call.
#[tokio::test(start_paused = true)]
async fn standalone_tasks_and_daemons_need_no_call() {
    let (session, seen) = session(|operation, _| panic!("{operation} was asked for")).await;
    let tasks = vec![
        sight("t1", TaskKind::Standalone, false),
        sight("t2", TaskKind::Daemon("log".to_owned()), false),
    ];
    let said = causes(&session, &DiagnosisCache::default(), vec![tasks]).await;
    assert_eq!(said[0].len(), 1);
    assert!(said[0][0].starts_with("StandaloneTask: "), "{said:?}");
    assert!(seen.lock().unwrap().is_empty());
}

/// The cause has the IAM statement that would allow the call, and the diagnosis continues.
#[tokio::test(start_paused = true)]
async fn denied_calls_are_causes() {
    let (session, _) = session(|operation, request| match operation {
        "DescribeTaskDefinition" | "ListContainerInstances" => error("AccessDeniedException"),
        "GetTaskProtection" => error("UnsupportedFeatureException"),
        other => full_cluster(other, request),
    })
    .await;
    let said =
        causes(&session, &DiagnosisCache::default(), vec![vec![sight("t1", shop(), false)]]).await;
    let [definition, others] = said[0].as_slice() else { panic!("{said:#?}") };
    assert!(definition.contains(r#""Action":"ecs:DescribeTaskDefinition""#), "{definition}");
    assert!(others.contains(r#""Action":"ecs:ListContainerInstances""#), "{others}");
}

#[tokio::test(start_paused = true)]
async fn throttled_calls_are_a_cause() {
    let (session, _) = session(|_, _| error("ThrottlingException")).await;
    let said =
        causes(&session, &DiagnosisCache::default(), vec![vec![sight("t1", shop(), false)]]).await;
    let [throttled] = said[0].as_slice() else { panic!("{said:#?}") };
    assert!(
        throttled.starts_with(
            "Throttled: AWS throttles ecs:DescribeServices, ecs:GetTaskProtection, ecs:ListContainerInstances: "
        ),
        "{throttled}"
    );
}

/// Tasks that could not be read make no cause, and no call.
#[tokio::test(start_paused = true)]
async fn unknown_tasks_are_not_none() {
    let (session, _) = session(|operation, _| panic!("{operation} was asked for")).await;
    let (record, policy) = (record("i-0"), Policy::default());
    let key = record.key();
    let stuck = Stuck { record, policy, tasks: None, targets: Vec::new(), agent_lost_since: None };
    let causes =
        diagnose(&session, &Clock::start(None), &DiagnosisCache::default(), &[&stuck]).await;
    assert_eq!(causes.get(&key), Some(&Vec::new()));
}

/// Reads the first container instances, and reports whether there are more.
#[tokio::test(start_paused = true)]
async fn a_large_cluster_is_read_in_part() {
    let (session, _) = session(|operation, request| {
        assert_eq!((operation, request["status"].as_str()), ("ListContainerInstances", Some("ACTIVE")));
        let page: u32 = request["nextToken"].as_str().map_or(0, |token| token.parse().unwrap());
        let arns: Vec<String> = (0..100).map(|n| format!("arn:ci/web/{page}-{n}")).collect();
        let last = page == 6;
        (200, json!({ "containerInstanceArns": arns, "nextToken": (!last).then(|| (page + 1).to_string()) }))
    })
    .await;
    for (most, found) in [
        (500, (500, true)),
        (250, (250, true)),
        (700, (700, false)),
        (699, (699, true)),
        (900, (700, false)),
    ] {
        let (arns, more) = session.ecs.active_container_instances("web", most).await.unwrap();
        assert_eq!((arns.len(), more), found, "{most}");
    }
}

#[tokio::test(start_paused = true)]
async fn registered_container_instances() {
    let (session, _) = session(|_, request| {
        let cluster =
            |status: &str| (200, json!({ "clusters": [{ "status": status, "registeredContainerInstancesCount": 7 }] }));
        match request["clusters"][0].as_str().unwrap() {
            "web" => cluster("ACTIVE"),
            "old" => cluster("INACTIVE"),
            "gone" => (200, json!({ "failures": [{ "arn": "arn:cluster/gone", "reason": "MISSING" }] })),
            "odd" => (200, json!({ "failures": [{ "arn": "arn:cluster/odd", "reason": "INTERNAL" }] })),
            "silent" => (200, json!({})),
            _ => error("AccessDeniedException"),
        }
    })
    .await;
    let ecs = &session.ecs;
    assert_eq!(ecs.registered_container_instances("web").await.unwrap(), 7);
    assert_eq!(ecs.registered_container_instances("old").await.unwrap(), 0);
    assert_eq!(ecs.registered_container_instances("gone").await.unwrap(), 0);
    assert_eq!(
        ecs.registered_container_instances("odd").await.unwrap_err().class,
        ErrorClass::Invalid
    );
    assert_eq!(
        ecs.registered_container_instances("silent").await.unwrap_err().class,
        ErrorClass::Unavailable
    );
    assert_eq!(
        ecs.registered_container_instances("denied").await.unwrap_err().class,
        ErrorClass::Denied
    );
}

/// The page has every cause, in the order of the code.
#[test]
fn the_page_has_every_cause() {
    let page =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/diagnosis.md")).unwrap();
    let rows: Vec<&str> =
        page.lines().filter_map(|line| line.strip_prefix("| `")?.split('`').next()).collect();
    assert_eq!(rows, Cause::NAMES);
}
