//! Calls that are sent one by one, each with a permit of the rate limiter.

use super::*;
use crate::aws::Call;
use crate::aws::calls::{
    COMPLETE_LIFECYCLE_ACTION, DEREGISTER_CONTAINER_INSTANCE, DESCRIBE_CLUSTERS,
    DESCRIBE_CONTAINER_INSTANCES, DESCRIBE_LOAD_BALANCERS, DESCRIBE_SERVICES,
    DESCRIBE_TARGET_GROUPS, DESCRIBE_TARGET_HEALTH, DESCRIBE_TASKS, LIST_CLUSTERS,
    LIST_CONTAINER_INSTANCES, LIST_TASKS, RECORD_LIFECYCLE_ACTION_HEARTBEAT, STOP_TASK,
    TERMINATE_INSTANCE_IN_AUTO_SCALING_GROUP, UPDATE_CONTAINER_INSTANCES_STATE,
};
use std::time::Duration;
use tokio::time::Instant;

/// Uses up the burst of a call.
async fn exhaust(session: &Session, call: &'static Call) {
    let begun = Instant::now();
    while begun.elapsed().is_zero() {
        drop(session.permit(call).await);
    }
}

#[tokio::test(start_paused = true)]
async fn a_change_that_is_throttled_is_sent_once() {
    let (session, seen) = session(|request| {
        if request.contains("AmazonEC2ContainerService") {
            json_error("ThrottlingException", "Rate exceeded")
        } else {
            xml_error("Throttling", "Rate exceeded")
        }
    })
    .await;
    let sent = || std::mem::take(&mut *seen.lock().unwrap()).len();
    let (ecs, urgent) = (&session.ecs, &session.urgent);

    let permit = session.permit(&UPDATE_CONTAINER_INSTANCES_STATE).await;
    let error = ecs
        .set_state_of(permit, "web", &names(&["ci/1", "ci/2"]), State::Draining)
        .await
        .unwrap_err();
    assert_eq!((error.class, error.blames_a_member(), sent()), (ErrorClass::Throttled, false, 1));

    let permit = session.permit(&STOP_TASK).await;
    assert!(ecs.stop(permit, "web", "task/1", "why").await.is_err());
    assert_eq!(sent(), 1);

    let permit = session.permit(&DEREGISTER_CONTAINER_INSTANCE).await;
    assert!(ecs.deregister_one(permit, "web", "ci/1").await.is_err());
    assert_eq!(sent(), 1);

    let permit = session.permit(&RECORD_LIFECYCLE_ACTION_HEARTBEAT).await;
    assert!(urgent.beat(permit, "web", "hook", "i-1").await.is_err());
    assert_eq!(sent(), 1);

    let permit = session.permit(&COMPLETE_LIFECYCLE_ACTION).await;
    assert!(
        urgent.complete_action(permit, "web", "hook", "i-1", ActionResult::Continue).await.is_err()
    );
    assert_eq!(sent(), 1);

    let permit = session.permit(&TERMINATE_INSTANCE_IN_AUTO_SCALING_GROUP).await;
    assert!(urgent.terminate_one(permit, "web", "i-1", true).await.is_err());
    assert_eq!(sent(), 1);

    assert!(urgent.set_desired("web", 6).await.is_err());
    assert_eq!(sent(), 1);
}

#[tokio::test(start_paused = true)]
async fn no_active_action_is_an_answer_to_a_single_call_too() {
    let words = "No active Lifecycle Action found with instance ID i-1";
    let (session, _) = session(move |_| xml_error("ValidationError", words)).await;
    let permit = session.permit(&RECORD_LIFECYCLE_ACTION_HEARTBEAT).await;
    assert_eq!(
        session.urgent.beat(permit, "web", "hook", "i-1").await.unwrap(),
        Beat::NoActiveAction
    );
    let permit = session.permit(&COMPLETE_LIFECYCLE_ACTION).await;
    let told =
        session.urgent.complete_action(permit, "web", "hook", "i-1", ActionResult::Abandon).await;
    assert_eq!(told.unwrap(), CompletionAnswer::NoActiveAction);
}

#[tokio::test(start_paused = true)]
async fn a_refused_batch_blames_a_member_and_is_left_to_the_caller() {
    let (session, seen) = session(refuse_bad).await;
    let permit = session.permit(&UPDATE_CONTAINER_INSTANCES_STATE).await;
    let error = session
        .ecs
        .set_state_of(permit, "web", &names(&["ci/1", "ci/bad"]), State::Draining)
        .await
        .unwrap_err();
    assert!(error.blames_a_member());
    assert_eq!(seen.lock().unwrap().len(), 1);
    let permit = session.permit(&UPDATE_CONTAINER_INSTANCES_STATE).await;
    let answers = session
        .ecs
        .set_state_of(permit, "web", &names(&["ci/1", "ci/missing"]), State::Active)
        .await;
    let answers = answers.unwrap();
    assert!(answers[0].1.is_ok());
    assert_eq!(answers[1].1.as_ref().unwrap_err().class, ErrorClass::NotFound);
}

#[tokio::test(start_paused = true)]
async fn a_task_that_is_gone_need_not_be_stopped() {
    let (session, _) =
        session(|_| json_error("InvalidParameterException", "The referenced task was not found."))
            .await;
    let permit = session.permit(&STOP_TASK).await;
    assert!(session.ecs.stop(permit, "web", "task/1", "why").await.is_ok());
}

#[tokio::test(start_paused = true)]
async fn the_permit_is_for_the_first_page_and_the_others_wait_for_their_turns() {
    let (session, seen) = session(|request| {
        let next = |page: &str| {
            (200, format!(r#"{{"clusterArns":["arn:c/{page}"],"nextToken":"page-{page}"}}"#))
        };
        match request {
            request if request.contains("page-b") => {
                (200, r#"{"clusterArns":["arn:c/c"]}"#.to_owned())
            }
            request if request.contains("page-a") => next("b"),
            _ => next("a"),
        }
    })
    .await;
    exhaust(&session, &LIST_CLUSTERS).await;
    let permit = session.permit(&LIST_CLUSTERS).await;
    let begun = Instant::now();
    assert_eq!(session.ecs.clusters(permit).await.unwrap(), ["a", "b", "c"]);
    assert_eq!(seen.lock().unwrap().len(), 3);
    // Ten a second.
    assert!(
        begun.elapsed() >= Duration::from_millis(200)
            && begun.elapsed() < Duration::from_millis(210)
    );
}

#[tokio::test(start_paused = true)]
async fn permits_are_given_out_at_the_familys_rate() {
    let (session, _) = session(|_| (200, "{}".to_owned())).await;
    exhaust(&session, &DESCRIBE_TARGET_HEALTH).await;
    let begun = Instant::now();
    for _ in 0..10 {
        drop(session.permit(&DESCRIBE_TARGET_GROUPS).await);
    }
    // Five a second, of both calls together.
    assert!(
        begun.elapsed() >= Duration::from_secs(2) && begun.elapsed() < Duration::from_millis(2050)
    );
    drop(session.permit(&DESCRIBE_LOAD_BALANCERS).await);
    assert!(
        begun.elapsed() < Duration::from_millis(2050),
        "classic load balancers have a bucket of their own"
    );
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_one_request() {
    fn answer(request: &str) -> Answer {
        let text = match request {
            request if request.contains("DescribeContainerInstances") => {
                r#"{"containerInstances":[{"containerInstanceArn":"ci/1","status":"DRAINING","version":7}],
                    "failures":[{"arn":"ci/2","reason":"MISSING"}]}"#
            }
            request if request.contains("DescribeTasks") => {
                r#"{"tasks":[{"taskArn":"t/1","lastStatus":"RUNNING"}],"failures":[{"arn":"t/2","reason":"MISSING"}]}"#
            }
            request if request.contains("DescribeServices") => {
                r#"{"services":[{"serviceName":"shop","schedulingStrategy":"DAEMON"}],"failures":[]}"#
            }
            request if request.contains("ListTasks") => r#"{"taskArns":["t/1"]}"#,
            _ => panic!("{request}"),
        };
        (200, text.to_owned())
    }
    let (session, seen) = session(answer).await;
    let ecs = &session.ecs;
    let permit = session.permit(&DESCRIBE_CONTAINER_INSTANCES).await;
    let described =
        ecs.container_instances(permit, "web", &names(&["ci/1", "ci/2", "ci/3"])).await.unwrap();
    assert_eq!(described.found[0].version, 7);
    assert_eq!((described.missing, described.failed.len()), (names(&["ci/2"]), 1));

    let permit = session.permit(&DESCRIBE_TASKS).await;
    let described = ecs.tasks(permit, "web", &names(&["t/1", "t/2"])).await.unwrap();
    assert_eq!((described.found[0].arn.as_str(), described.missing), ("t/1", names(&["t/2"])));

    let permit = session.permit(&DESCRIBE_SERVICES).await;
    let described = ecs.services(permit, "web", &names(&["shop"])).await.unwrap();
    assert!(described.found[0].daemon);

    let permit = session.permit(&LIST_TASKS).await;
    assert_eq!(ecs.tasks_of(permit, "web", Some("ci/1"), Desired::Stopped).await.unwrap(), ["t/1"]);
    let sent = std::mem::take(&mut *seen.lock().unwrap());
    assert_eq!(sent.len(), 4);
    assert!(
        sent[3].contains(r#""containerInstance":"ci/1""#) && sent[3].contains("STOPPED"),
        "{}",
        sent[3]
    );

    let permit = session.permit(&DESCRIBE_TASKS).await;
    assert!(ecs.tasks(permit, "web", &[]).await.unwrap().found.is_empty());
    assert!(seen.lock().unwrap().is_empty(), "nothing is asked for none");
}

#[tokio::test(start_paused = true)]
async fn without_ids_all_container_instances_of_a_cluster_are_listed() {
    let (session, seen) = session(|request| {
        if request.contains("gone") {
            json_error("ClusterNotFoundException", "Cluster not found.")
        } else {
            (200, r#"{"containerInstanceArns":["ci/1"]}"#.to_owned())
        }
    })
    .await;
    for (cluster, ids, found) in
        [("web", &["i-1", "i-2"][..], 1), ("web", &[], 1), ("gone", &[], 0)]
    {
        let permit = session.permit(&LIST_CONTAINER_INSTANCES).await;
        assert_eq!(
            session.ecs.registered(permit, cluster, &names(ids)).await.unwrap().len(),
            found
        );
    }
    let seen = seen.lock().unwrap();
    assert!(
        seen[0].contains("ec2InstanceId in [i-1, i-2]") && !seen[1].contains("filter"),
        "{seen:?}"
    );
}

#[tokio::test(start_paused = true)]
async fn the_sizes_of_clusters_come_together() {
    let (session, seen) = session(|_| {
        let answer = r#"{"clusters":[
            {"clusterName":"web","status":"ACTIVE","registeredContainerInstancesCount":12},
            {"clusterName":"old","status":"INACTIVE","registeredContainerInstancesCount":3}],
            "failures":[{"arn":"arn:aws:ecs:eu-west-1:1:cluster/gone","reason":"MISSING"},
                        {"arn":"arn:aws:ecs:eu-west-1:1:cluster/odd","reason":"INTERNAL"}]}"#;
        (200, answer.to_owned())
    })
    .await;
    let permit = session.permit(&DESCRIBE_CLUSTERS).await;
    let sizes = session
        .ecs
        .cluster_sizes(permit, &names(&["web", "old", "gone", "odd", "left-out"]))
        .await
        .unwrap();
    let sizes: Vec<(&str, u32)> = sizes.iter().map(|(name, size)| (name.as_str(), *size)).collect();
    assert_eq!(sizes, [("gone", 0), ("old", 0), ("web", 12)]);
    assert_eq!(seen.lock().unwrap().len(), 1);
}

#[tokio::test(start_paused = true)]
async fn one_unknown_target_group_does_not_hide_the_others() {
    let (session, seen) = session(|request| {
        if request.contains("gone") {
            return xml_error("TargetGroupNotFound", "One or more target groups not found");
        }
        let member = |(arn, protocol): (&str, &str)| {
            format!("<member><TargetGroupArn>{arn}</TargetGroupArn><Protocol>{protocol}</Protocol></member>")
        };
        let all = [("tg-http", "HTTP"), ("tg-tcp", "TCP"), ("tg-quic", "QUIC")];
        let members: String = all.into_iter().filter(|(arn, _)| request.contains(arn)).map(member).collect();
        let answer = format!(
            "<DescribeTargetGroupsResponse><DescribeTargetGroupsResult><TargetGroups>{members}</TargetGroups>\
             </DescribeTargetGroupsResult></DescribeTargetGroupsResponse>"
        );
        (200, answer)
    })
    .await;
    let permit = session.permit(&DESCRIBE_TARGET_GROUPS).await;
    let asked = names(&["tg-http", "tg-gone", "tg-tcp", "tg-quic"]);
    let kinds = session.elbv2.group_kinds(permit, &asked).await.unwrap();
    let kinds: Vec<(&str, bool)> =
        kinds.iter().map(|(arn, network)| (arn.as_str(), *network)).collect();
    assert_eq!(kinds, [("tg-http", false), ("tg-quic", true), ("tg-tcp", true)]);
    // Four, two, one, one, and the other two.
    assert_eq!(seen.lock().unwrap().len(), 5);
}

#[tokio::test(start_paused = true)]
async fn load_balancers_are_asked_for_nothing_when_none_are_named() {
    let (session, seen) = session(|request| panic!("{request}")).await;
    let permit = session.permit(&DESCRIBE_TARGET_GROUPS).await;
    assert!(session.elbv2.group_kinds(permit, &[]).await.unwrap().is_empty());
    let permit = session.permit(&DESCRIBE_LOAD_BALANCERS).await;
    assert!(session.elb.listed(permit, &[]).await.unwrap().is_empty());
    assert!(seen.lock().unwrap().is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_target_group_that_is_gone_has_no_targets() {
    let (session, _) = session(|_| xml_error("TargetGroupNotFound", "no")).await;
    let permit = session.permit(&DESCRIBE_TARGET_HEALTH).await;
    assert_eq!(session.elbv2.targets(permit, "arn:tg").await.unwrap(), None);
}

/// Answers for two services: one with tasks of two revisions, and one with tasks of its present
/// revision only.
fn rolling(request: &str, revisions: &str) -> Answer {
    let text = if request.contains("DescribeServiceRevisions") {
        revisions
    } else {
        r#"{"services":[
            {"serviceName":"shop","loadBalancers":[{"targetGroupArn":"tg/new"}],
             "currentServiceRevisions":[{"arn":"r/1"},{"arn":"r/2"}]},
            {"serviceName":"calm","loadBalancers":[{"targetGroupArn":"tg/calm"}],
             "currentServiceRevisions":[{"arn":"r/3"}]}],"failures":[]}"#
    };
    (200, text.to_owned())
}

#[tokio::test(start_paused = true)]
async fn a_service_registers_where_its_revisions_do() {
    let (session, seen) = session(|request| {
        let revisions = r#"{"serviceRevisions":[
            {"serviceRevisionArn":"r/1","loadBalancers":[{"targetGroupArn":"tg/old"},{"loadBalancerName":"classic"}]},
            {"serviceRevisionArn":"r/2","loadBalancers":[{"targetGroupArn":"tg/new"}]}],"failures":[]}"#;
        rolling(request, revisions)
    })
    .await;
    let permit = session.permit(&DESCRIBE_SERVICES).await;
    let services = session.ecs.services(permit, "web", &names(&["shop", "calm"])).await.unwrap();
    assert_eq!(services.found[0].target_groups, ["tg/new", "tg/old"]);
    assert_eq!(services.found[0].classic, ["classic"]);
    assert_eq!(services.found[1].target_groups, ["tg/calm"]);
    let seen = seen.lock().unwrap();
    assert_eq!(seen.len(), 2);
    assert!(seen[1].contains(r#"["r/1","r/2"]"#), "{}", seen[1]);
}

/// If one of its revisions is missing, a service's targets are unknown; those of other services are
/// known.
#[tokio::test(start_paused = true)]
async fn a_revision_that_was_not_read_fails_its_service_alone() {
    let answers: [fn(&str) -> Answer; 3] = [
        |request| {
            let missing = r#"{"serviceRevisions":[{"serviceRevisionArn":"r/1"}],
                "failures":[{"arn":"r/2","reason":"MISSING"}]}"#;
            rolling(request, missing)
        },
        |request| {
            rolling(request, r#"{"serviceRevisions":[{"serviceRevisionArn":"r/1"}],"failures":[]}"#)
        },
        |request| {
            if request.contains("DescribeServiceRevisions") {
                json_error("AccessDeniedException", "no")
            } else {
                rolling(request, "")
            }
        },
    ];
    for answer in answers {
        let (session, _) = session(answer).await;
        let services =
            session.ecs.describe_services("web", &names(&["shop", "calm"])).await.unwrap();
        assert_eq!(
            services.found.iter().map(|service| service.name.as_str()).collect::<Vec<_>>(),
            ["calm"]
        );
        assert_eq!(services.failed[0].0, "shop");
        assert!(
            services.failed[0].1.starts_with("its revision was not read: "),
            "{}",
            services.failed[0].1
        );
    }
}
