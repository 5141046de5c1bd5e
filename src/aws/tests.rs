//! The SDK with a simulated server: real requests, and the results of real answers.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod permits;

use super::{AwsError, Beat, Desired, Environment, ErrorClass, Session, State, connect};
use crate::config::Role;
use aws_smithy_runtime_api::client::http::{
    HttpConnector, HttpConnectorFuture, SharedHttpClient, SharedHttpConnector, http_client_fn,
};
use aws_smithy_runtime_api::client::orchestrator::{HttpRequest, HttpResponse};
use aws_smithy_types::body::SdkBody;
use ecs_drain_state::{ActionResult, CompletionAnswer};
use std::sync::{Arc, Mutex};

type Answer = (u16, String);

/// Server of requests, which sees host, `x-amz-target` and body.
struct Line {
    answer: Box<dyn Fn(&str) -> Answer + Send + Sync>,
    seen: Arc<Mutex<Vec<String>>>,
}

impl std::fmt::Debug for Line {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Line")
    }
}

impl HttpConnector for Line {
    fn call(&self, request: HttpRequest) -> HttpConnectorFuture {
        let body = String::from_utf8_lossy(request.body().bytes().unwrap_or_default()).into_owned();
        let target = request.headers().get("x-amz-target").unwrap_or_default();
        let text = format!("{target} {body}");
        self.seen.lock().unwrap().push(text.clone());
        let (status, answer) = (self.answer)(&text);
        HttpConnectorFuture::ready(Ok(HttpResponse::new(
            status.try_into().unwrap(),
            SdkBody::from(answer),
        )))
    }
}

const IDENTITY: &str = "<GetCallerIdentityResponse><GetCallerIdentityResult><Account>123456789012</Account>\
    </GetCallerIdentityResult></GetCallerIdentityResponse>";

fn xml_error(code: &str, message: &str) -> Answer {
    let error = format!(
        "<ErrorResponse><Error><Code>{code}</Code><Message>{message}</Message></Error></ErrorResponse>"
    );
    (400, error)
}

pub(crate) fn json_error(code: &str, message: &str) -> Answer {
    (400, format!(r#"{{"__type":"{code}","message":"{message}"}}"#))
}

fn environment(
    answer: impl Fn(&str) -> Answer + Send + Sync + 'static,
) -> (Environment, Arc<Mutex<Vec<String>>>) {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let line = Line { answer: Box::new(answer), seen: seen.clone() };
    let connector = SharedHttpConnector::new(line);
    let client: SharedHttpClient = http_client_fn(move |_, _| connector.clone());
    (Environment { http_client: Some(client), isolated: true, ..Environment::default() }, seen)
}

/// Creates a session whose calls, except the first, are answered by `answer`. Returns it with the
/// requests.
pub(crate) async fn session(
    answer: impl Fn(&str) -> Answer + Send + Sync + 'static,
) -> (Session, Arc<Mutex<Vec<String>>>) {
    let (environment, seen) = environment(move |request| {
        if request.contains("GetCallerIdentity") {
            (200, IDENTITY.to_owned())
        } else {
            answer(request)
        }
    });
    let session = connect(&environment, "eu-west-1", None).await.unwrap();
    seen.lock().unwrap().clear();
    (session, seen)
}

fn names(all: &[&str]) -> Vec<String> {
    all.iter().map(|name| (*name).to_owned()).collect()
}

#[tokio::test(start_paused = true)]
async fn a_session_knows_its_account() {
    let (session, _) = session(|_| (200, "{}".to_owned())).await;
    assert_eq!((session.account.as_str(), session.region.as_str()), ("123456789012", "eu-west-1"));
}

#[tokio::test(start_paused = true)]
async fn a_role_that_may_not_be_assumed_is_named_with_what_allows_it() {
    let (environment, seen) = environment(|request| {
        assert!(request.contains("Action=AssumeRole"), "{request}");
        (403, xml_error("AccessDenied", "not authorized to perform: sts:AssumeRole").1)
    });
    let role =
        Role { arn: "arn:aws:iam::1:role/drain".to_owned(), external_id: Some("x-1".to_owned()) };
    let error = connect(&environment, "eu-west-1", Some(&role)).await.unwrap_err();
    assert!(seen.lock().unwrap()[0].contains("ExternalId=x-1"));
    assert_eq!(error.class, ErrorClass::Denied);
    let text = error.to_string();
    assert!(
        text.starts_with("sts:AssumeRole on role arn:aws:iam::1:role/drain: denied by IAM"),
        "{text}"
    );
    assert!(text.contains(r#""Resource":"arn:aws:iam::1:role/drain""#), "{text}");
}

#[tokio::test(start_paused = true)]
async fn no_credentials_is_said_so() {
    use aws_credential_types::provider::{ProvideCredentials, error::CredentialsError, future};
    #[derive(Debug)]
    struct Nobody;
    impl ProvideCredentials for Nobody {
        fn provide_credentials<'a>(&'a self) -> future::ProvideCredentials<'a>
        where
            Self: 'a,
        {
            future::ProvideCredentials::ready(Err(CredentialsError::not_loaded(
                "nothing in the chain",
            )))
        }
    }
    let (mut environment, seen) = environment(|_| panic!("nothing may be sent"));
    environment.credentials = Some(aws_sdk_ecs::config::SharedCredentialsProvider::new(Nobody));
    let error = connect(&environment, "eu-west-1", None).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Credentials);
    assert!(error.to_string().contains("nothing in the chain"), "{error}");
    assert!(seen.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn all_pages_are_read() {
    let (session, seen) = session(|request| {
        if request.contains("page-2") {
            (200, r#"{"clusterArns":["c/b"]}"#.to_owned())
        } else {
            (200, r#"{"clusterArns":["c/a"],"nextToken":"page-2"}"#.to_owned())
        }
    })
    .await;
    assert_eq!(session.ecs.list_clusters().await.unwrap(), ["c/a", "c/b"]);
    assert_eq!(seen.lock().unwrap().len(), 2);
}

#[tokio::test(start_paused = true)]
async fn an_absent_cluster_is_empty_and_a_denied_one_is_an_error() {
    let (session, _) = session(|request| {
        if request.contains("gone") {
            json_error("ClusterNotFoundException", "Cluster not found.")
        } else {
            json_error("AccessDeniedException", "no")
        }
    })
    .await;
    let ids = names(&["i-1"]);
    assert!(session.ecs.list_container_instances("gone", &ids).await.unwrap().is_empty());
    assert_eq!(session.ecs.describe_tasks("gone", &names(&["t"])).await.unwrap().missing, ["t"]);
    let error = session.ecs.list_container_instances("web", &ids).await.unwrap_err();
    assert_eq!(
        error.allow.as_deref(),
        Some(
            r#"{"Effect":"Allow","Action":"ecs:ListContainerInstances","Resource":"arn:aws:ecs:eu-west-1:123456789012:cluster/*"}"#
        )
    );
}

#[tokio::test(start_paused = true)]
async fn the_services_of_a_cluster_are_named_from_all_pages() {
    let (session, seen) = session(|request| {
        if request.contains("gone") {
            json_error("ClusterNotFoundException", "Cluster not found.")
        } else if request.contains("page-2") {
            (200, r#"{"serviceArns":["arn:aws:ecs:r:1:service/web/b"]}"#.to_owned())
        } else {
            (
                200,
                r#"{"serviceArns":["arn:aws:ecs:r:1:service/a"],"nextToken":"page-2"}"#.to_owned(),
            )
        }
    })
    .await;
    assert_eq!(session.ecs.list_services("web").await.unwrap(), ["a", "b"]);
    assert!(seen.lock().unwrap()[0].contains(r#""maxResults":100"#));
    assert!(session.ecs.list_services("gone").await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_desired_capacity_is_refused_outside_of_the_limits_and_can_be_set_later() {
    let (session, seen) = session(|request| {
        let answer = "<SetDesiredCapacityResponse/>".to_owned();
        if request.contains("DesiredCapacity=9") {
            xml_error("ValidationError", "New SetDesiredCapacity value 9 is above max value 8")
        } else if request.contains("DesiredCapacity=7") {
            xml_error("ScalingActivityInProgress", "Scaling activity in progress")
        } else {
            (200, answer)
        }
    })
    .await;
    session.urgent.set_desired("web", 6).await.unwrap();
    let sent = seen.lock().unwrap()[0].clone();
    assert!(sent.contains("DesiredCapacity=6") && sent.contains("HonorCooldown=false"), "{sent}");
    let refused = session.urgent.set_desired("web", 9).await.unwrap_err();
    assert_eq!(refused.class, ErrorClass::Invalid);
    let later = session.urgent.set_desired("web", 7).await.unwrap_err();
    assert!(later.class.is_transient());
    assert!(session.urgent.set_desired("web", u32::MAX).await.is_err());
    assert_eq!(seen.lock().unwrap().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn a_refresh_is_found_on_any_page() {
    let (session, _) = session(|request| {
        let page = |status: &str, next: &str| {
            let answer = format!(
                "<DescribeInstanceRefreshesResponse><DescribeInstanceRefreshesResult><InstanceRefreshes><member>\
                 <Status>{status}</Status></member></InstanceRefreshes>{next}\
                 </DescribeInstanceRefreshesResult></DescribeInstanceRefreshesResponse>"
            );
            (200, answer)
        };
        match request {
            request if request.contains("=gone") => {
                xml_error("ValidationError", "AutoScalingGroup name not found - no such group: gone")
            }
            request if request.contains("=calm") => page("Successful", ""),
            request if request.contains("page-2") => page("Baking", ""),
            _ => page("Failed", "<NextToken>page-2</NextToken>"),
        }
    })
    .await;
    assert!(session.autoscaling.refreshes("web").await.unwrap());
    assert!(!session.autoscaling.refreshes("calm").await.unwrap());
    assert!(!session.autoscaling.refreshes("gone").await.unwrap());
}

/// A proxy before AWS can lose a body and still return 200.
#[tokio::test(start_paused = true)]
async fn an_answer_that_lost_its_body_is_no_empty_list() {
    for lost in ["", "{}"] {
        let (session, _) = session(move |_| (200, lost.to_owned())).await;
        assert!(session.ecs.list_clusters().await.is_err());
        assert!(session.ecs.list_container_instances("web", &names(&["i-1"])).await.is_err());
        assert!(session.ecs.list_tasks("web", None, Desired::Running).await.is_err());
        assert!(session.ecs.list_services("web").await.is_err());
        assert!(session.elbv2.target_health("arn:aws:elasticloadbalancing:tg").await.is_err());
        assert!(session.autoscaling.groups(None, true).await.is_err());
        assert!(session.autoscaling.hooks("group").await.is_err());
        assert!(session.autoscaling.refreshes("group").await.is_err());
    }
    let (session, _) = session(|_| (200, r#"{"taskArns":[]}"#.to_owned())).await;
    assert!(session.ecs.list_tasks("web", None, Desired::Running).await.unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn container_instances_are_looked_for_fifty_a_call() {
    let (session, seen) =
        session(|_| (200, r#"{"containerInstanceArns":["ci/1"]}"#.to_owned())).await;
    let ids: Vec<String> = (0..120).map(|n| format!("i-{n}")).collect();
    assert_eq!(session.ecs.list_container_instances("web", &ids).await.unwrap(), ["ci/1"]);
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 3);
    assert!(seen[0].contains("ec2InstanceId in [i-0, i-1, "), "{}", seen[0]);
}

/// Answers UpdateContainerInstancesState as ECS would if `bad` could not be drained.
fn refuse_bad(request: &str) -> Answer {
    let body: serde_json::Value = serde_json::from_str(request.split_once(' ').unwrap().1).unwrap();
    let arns: Vec<&str> = body["containerInstances"]
        .as_array()
        .unwrap()
        .iter()
        .map(|a| a.as_str().unwrap())
        .collect();
    assert!(arns.len() <= 10);
    if arns.contains(&"ci/bad") {
        return json_error("InvalidParameterException", "not in a state that can be drained");
    }
    let (missing, set): (Vec<&str>, Vec<&str>) =
        arns.into_iter().partition(|arn| *arn == "ci/missing");
    let set: Vec<_> =
        set.iter().map(|arn| serde_json::json!({ "containerInstanceArn": arn })).collect();
    let failures: Vec<_> =
        missing.iter().map(|arn| serde_json::json!({ "arn": arn, "reason": "MISSING" })).collect();
    (200, serde_json::json!({ "containerInstances": set, "failures": failures }).to_string())
}

#[tokio::test(start_paused = true)]
async fn one_bad_container_instance_does_not_hold_up_the_others() {
    let (session, seen) = session(refuse_bad).await;
    let mut arns: Vec<String> = (0..23).map(|n| format!("ci/{n}")).collect();
    arns[4] = "ci/bad".to_owned();
    arns[20] = "ci/missing".to_owned();
    let answers = session.ecs.set_state("web", &arns, State::Draining).await.unwrap();
    assert_eq!(
        answers.iter().map(|(arn, _)| arn).collect::<Vec<_>>(),
        arns.iter().collect::<Vec<_>>()
    );
    let failed: Vec<(&str, ErrorClass)> = answers
        .iter()
        .filter_map(|(arn, answer)| Some((arn.as_str(), answer.as_ref().err()?.class)))
        .collect();
    assert_eq!(failed, [("ci/bad", ErrorClass::Invalid), ("ci/missing", ErrorClass::NotFound)]);
    // Three batches; the first one in halves down to one: 10 → 5+5 → 2+3 → 1+2 → 1+1.
    assert_eq!(seen.lock().unwrap().len(), 3 + 8);
}

#[tokio::test(start_paused = true)]
async fn throttling_that_the_sdk_does_not_know_is_tried_again() {
    let (session, seen) = session(|_| xml_error("RateExceeded", "Rate exceeded")).await;
    let error = session.autoscaling.groups(None, true).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Throttled);
    assert_eq!(seen.lock().unwrap().len(), 3);
    let (session, seen) = self::session(|_| xml_error("ValidationError", "no")).await;
    assert_eq!(
        session.autoscaling.groups(None, true).await.unwrap_err().class,
        ErrorClass::Invalid
    );
    assert_eq!(seen.lock().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn polls_that_are_throttled_leave_a_heartbeat_its_retries() {
    let (session, seen) = session(|_| xml_error("Throttling", "Rate exceeded")).await;
    for _ in 0..100 {
        session.autoscaling.hooks("web").await.unwrap_err();
    }
    assert!(seen.lock().unwrap().len() < 300, "the polls' retry quota must have run out");
    seen.lock().unwrap().clear();
    session.urgent.heartbeat("web", "hook", "i-1").await.unwrap_err();
    assert_eq!(seen.lock().unwrap().len(), 3);
}

#[tokio::test(start_paused = true)]
async fn no_active_action_is_an_answer() {
    let words = "No active Lifecycle Action found with instance ID i-1";
    let (session, seen) = session(move |_| xml_error("ValidationError", words)).await;
    assert_eq!(session.urgent.heartbeat("web", "hook", "i-1").await.unwrap(), Beat::NoActiveAction);
    let told = session.urgent.complete("web", "hook", "i-1", ActionResult::Abandon).await.unwrap();
    assert_eq!(told, CompletionAnswer::NoActiveAction);
    assert!(seen.lock().unwrap()[1].contains("LifecycleActionResult=ABANDON"));
}

#[tokio::test(start_paused = true)]
async fn one_unknown_classic_load_balancer_does_not_hide_the_others() {
    let (session, _) = session(|request| {
        if request.contains("gone") {
            return xml_error("LoadBalancerNotFound", "no");
        }
        let member = |name: &str| {
            format!(
                "<member><LoadBalancerName>{name}</LoadBalancerName><Instances><member><InstanceId>i-1</InstanceId>\
                 </member></Instances></member>"
            )
        };
        let members: String =
            ["a", "b"].into_iter().filter(|n| request.contains(&format!("={n}"))).map(member).collect();
        let answer = format!(
            "<DescribeLoadBalancersResponse><DescribeLoadBalancersResult><LoadBalancerDescriptions>{members}\
             </LoadBalancerDescriptions></DescribeLoadBalancersResult></DescribeLoadBalancersResponse>"
        );
        (200, answer)
    })
    .await;
    let members = session.elb.members(&names(&["a", "gone", "b"])).await.unwrap();
    let one = Some(names(&["i-1"]));
    assert_eq!(
        members.into_iter().collect::<Vec<_>>(),
        [("a".to_owned(), one.clone()), ("b".to_owned(), one), ("gone".to_owned(), None)]
    );
    let error: AwsError = session.elb.members(&names(&["c"])).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Unavailable);
}

#[tokio::test(start_paused = true)]
async fn a_deleted_target_group_is_none() {
    let (session, _) = session(|_| xml_error("TargetGroupNotFound", "no")).await;
    assert_eq!(session.elbv2.target_health("arn:tg").await.unwrap(), None);
    assert_eq!(session.elbv2.deregistration_delay("arn:tg").await.unwrap(), None);
}

#[tokio::test(start_paused = true)]
async fn a_call_that_hangs_ends() {
    #[derive(Debug)]
    struct Silence;
    impl HttpConnector for Silence {
        fn call(&self, _: HttpRequest) -> HttpConnectorFuture {
            HttpConnectorFuture::new(std::future::pending())
        }
    }
    let connector = SharedHttpConnector::new(Silence);
    let client = http_client_fn(move |_, _| connector.clone());
    let environment =
        Environment { http_client: Some(client), isolated: true, ..Environment::default() };
    let begun = tokio::time::Instant::now();
    let error = connect(&environment, "eu-west-1", None).await.unwrap_err();
    assert_eq!(error.class, ErrorClass::Unavailable);
    assert!(begun.elapsed().as_secs() <= 40);
}
