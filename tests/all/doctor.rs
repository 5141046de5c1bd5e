//! `ecs-drain doctor`: its findings in a world that works, and in each that does not. The checkers
//! of a controller watch it: it changes nothing.

use crate::harness::{
    CONFIG, QUEUE, Scenario, add_queue, environment, group, seconds, set_up, store, virtual_time,
};
use crate::scenarios::{A, B, PLAIN, cluster};
use aws_simulator::spec::{ClusterSpec, ServiceSpec};
use aws_simulator::{Cloud, Fault, Feed, Rule, Simulator};
use ecs_drain::config::{Config, Given};
use ecs_drain::doctor::{Finding, Section, Verdict, examine};
use ecs_drain::iam::{Orders, Whom, policy, subject};
use std::sync::Arc;
use std::sync::atomic::AtomicI64;

/// Every feature that needs a permission of its own, except a role.
const EVERYTHING: &str = "queue = \"https://sqs.us-east-1.amazonaws.com/123456789012/ecs-drain\"\n[policy]\n\
                          strategy = \"deregister\"\nstandalone_tasks = { stop_after = \"1h\" }\nrebalance = \"terminate\"\n";

fn works(cloud: &mut Cloud) {
    cluster(cloud, &[A, B]);
    cloud.add_service(&ServiceSpec::replica("web", "api", 2).times(seconds(5), seconds(5)));
    add_queue(cloud, Feed::Sns { raw: true });
    cloud.send_message(QUEUE, "a message".to_owned()).unwrap();
}

fn config(more: &str) -> Config {
    Config::parse(&format!("{CONFIG}{more}"), "doctor", &Given::default()).unwrap()
}

async fn look(simulator: &Simulator, more: &str) -> Vec<Section> {
    examine(&config(more), &environment(simulator, "doctor", &Arc::new(AtomicI64::new(0)))).await
}

fn examined(world: fn(&mut Cloud), more: &str) -> Vec<Section> {
    virtual_time(1, || async {
        let (simulator, _) = set_up(&Scenario { world, ..PLAIN }, 1).await;
        look(&simulator, more).await
    })
}

fn findings(sections: &[Section]) -> Vec<&Finding> {
    sections.iter().flat_map(|section| &section.findings).collect()
}

/// Returns the findings that are worse than a note.
fn wrong(sections: &[Section]) -> Vec<String> {
    let wrong =
        findings(sections).into_iter().filter(|finding| finding.verdict >= Verdict::Warning);
    wrong.map(|finding| finding.text.clone()).collect()
}

#[track_caller]
fn says(sections: &[Section], verdict: Verdict, words: &str) -> Finding {
    let all = findings(sections);
    let found =
        all.iter().find(|finding| finding.verdict == verdict && finding.text.contains(words));
    (*found.unwrap_or_else(|| panic!("nothing says {words:?}: {all:#?}"))).clone()
}

#[test]
fn a_working_world_has_no_findings_and_is_not_changed() {
    virtual_time(1, || async {
        let (simulator, before) = set_up(&Scenario { world: works, ..PLAIN }, 1).await;
        // It tries two calls to check permissions, with an instance id and a group that do not exist.
        simulator.with(|cloud| {
            cloud.checkers.allow_terminate("i-00000000000000000");
            cloud.checkers.allow_rollout("ecs-drain-doctor", 0);
        });
        let sections = look(&simulator, EVERYTHING).await;
        assert_eq!(wrong(&sections), [""; 0]);
        says(&sections, Verdict::Fine, "cluster web: 2 instances, 1 services: all can be drained");
        says(&sections, Verdict::Fine, "group web-group: hook ecs-drain");
        assert_eq!(before.all().await.unwrap(), []);
        simulator.with(|cloud| {
            assert_eq!(cloud.violations(), []);
            assert_eq!(cloud.lifecycle_state(A).as_deref(), Some("InService"));
            // Seen, and still there for its receiver.
            assert_eq!(cloud.messages(QUEUE).len(), 1);
        });
        let session =
            ecs_drain::aws::connect(&crate::harness::somebody(&simulator), "us-east-1", None)
                .await
                .unwrap();
        let (active, _) = session.ecs.active_container_instances("web", 10).await.unwrap();
        assert_eq!(active.len(), 2, "both are ACTIVE");
    });
}

#[test]
fn each_permission_that_is_missing_is_named() {
    let allowed = policy(&subject(
        &config(EVERYTHING),
        Whom::Controller,
        "123456789012",
        "us-east-1",
        Orders::Keep,
    ));
    let actions: Vec<&str> =
        allowed.statement.iter().flat_map(|statement| statement.action.clone()).collect();
    assert!(actions.len() >= 35, "{actions:?}");
    for action in actions {
        let operation = match action.split_once(':').unwrap().1 {
            // IAM has one action for both operations. (Source: Service Authorization Reference,
            // SQS.)
            "DeleteMessage" => "DeleteMessageBatch",
            operation => operation,
        };
        virtual_time(1, || async {
            let (simulator, _) = set_up(&Scenario { world: works, ..PLAIN }, 1).await;
            simulator.with(|cloud| cloud.faults.add(Rule::on(operation, Fault::AccessDenied)));
            let sections = look(&simulator, EVERYTHING).await;
            let found = says(&sections, Verdict::Failure, action);
            let line = format!("allow it with {{\"Effect\":\"Allow\",\"Action\":\"{action}\"");
            assert!(found.text.contains(&line), "{}", found.text);
        });
    }
}

#[test]
fn features_that_are_off_need_no_permission() {
    let sections = examined(works, "");
    assert_eq!(wrong(&sections), [""; 0]);
    for action in ["ecs:StopTask", "ecs:DeregisterContainerInstance", "sqs:ReceiveMessage"] {
        assert!(
            !findings(&sections).iter().any(|finding| finding.text.contains(action)),
            "{action}"
        );
    }
}

/// Returns the findings where these calls are denied.
fn denied(operations: &[&str], more: &str) -> Vec<Section> {
    virtual_time(1, || async {
        let (simulator, _) = set_up(&Scenario { world: works, ..PLAIN }, 1).await;
        simulator.with(|cloud| {
            cloud.checkers.allow_terminate("i-00000000000000000");
            for operation in operations {
                cloud.faults.add(Rule::on(*operation, Fault::AccessDenied));
            }
        });
        look(&simulator, more).await
    })
}

#[test]
fn a_termination_that_is_denied_is_no_failure_where_nothing_terminates() {
    let sections = denied(&["TerminateInstanceInAutoScalingGroup"], "");
    assert_eq!(wrong(&sections), [""; 0]);
    let found = says(
        &sections,
        Verdict::Note,
        "not allowed: autoscaling:TerminateInstanceInAutoScalingGroup",
    );
    assert!(found.text.contains("--then terminate"), "{}", found.text);
    let sections =
        denied(&["TerminateInstanceInAutoScalingGroup"], "[policy]\nrebalance = \"terminate\"\n");
    says(&sections, Verdict::Failure, "autoscaling:TerminateInstanceInAutoScalingGroup");
}

/// The probe must name a group that the policy covers and that does not exist.
#[test]
fn the_permission_of_rollouts_is_tried_where_that_changes_nothing() {
    const CAPACITY: &str = "autoscaling:SetDesiredCapacity";
    let sections = denied(&["SetDesiredCapacity"], "");
    assert_eq!(wrong(&sections), [""; 0]);
    let found = says(&sections, Verdict::Note, &format!("not allowed: {CAPACITY}"));
    assert!(found.text.contains("rollouts"), "{}", found.text);
    says(&denied(&[], ""), Verdict::Fine, &format!("allowed: {CAPACITY}"));
}

#[test]
fn a_dry_run_needs_no_permission_for_changes() {
    const CHANGES: [&str; 11] = [
        "UpdateContainerInstancesState",
        "StopTask",
        "DeregisterContainerInstance",
        "RecordLifecycleActionHeartbeat",
        "CompleteLifecycleAction",
        "TerminateInstanceInAutoScalingGroup",
        "SetDesiredCapacity",
        "ReceiveMessage",
        "DeleteMessageBatch",
        "DescribeTable",
        "PutItem",
    ];
    let sections = virtual_time(1, || async {
        let (simulator, _) = set_up(&Scenario { world: works, ..PLAIN }, 1).await;
        simulator.with(|cloud| {
            for operation in CHANGES {
                cloud.faults.add(Rule::on(operation, Fault::AccessDenied));
            }
        });
        let dry = Config { dry_run: true, ..config(EVERYTHING) };
        examine(&dry, &environment(&simulator, "doctor", &Arc::new(AtomicI64::new(0)))).await
    });
    assert_eq!(wrong(&sections), [""; 0]);
    says(&sections, Verdict::Note, "not allowed: ecs:StopTask (needed once the dry run ends)");
    says(&sections, Verdict::Note, "dynamodb:PutItem");
}

#[test]
fn a_service_whose_tasks_can_never_move_is_named() {
    let sections = examined(
        |cloud| {
            cluster(cloud, &[A, B]);
            cloud.add_service(&ServiceSpec::replica("web", "api", 2).percents(100, 100));
        },
        "",
    );
    let found = says(&sections, Verdict::Warning, "service api cannot replace a task");
    assert!(found.text.contains("minimumHealthyPercent 100"), "{}", found.text);
}

#[test]
fn groups_without_the_hook_are_named_and_fail_when_there_is_no_other() {
    fn without(cloud: &mut Cloud) {
        cloud.add_cluster(&ClusterSpec::new("web"));
        let mut bare = group("bare", "web", &[A]);
        bare.hooks.clear();
        cloud.add_group(bare);
    }
    let sections = examined(without, "");
    says(&sections, Verdict::Warning, "group bare: no ecs-drain hook");
    says(&sections, Verdict::Failure, "no selected group has a configured hook (ecs-drain)");
    let sections = examined(
        |cloud| {
            without(cloud);
            cloud.add_group(group("web-group", "web", &[B]));
        },
        "",
    );
    says(&sections, Verdict::Warning, "group bare: no ecs-drain hook");
    assert!(
        findings(&sections).iter().all(|finding| finding.verdict < Verdict::Failure),
        "{:#?}",
        findings(&sections)
    );
}

#[test]
fn clusters_and_groups_that_do_not_exist_are_reported() {
    let sections = examined(works, "clusters = [\"wbe\"]\ngroups = { names = [\"none-*\"] }\n");
    says(&sections, Verdict::Failure, "`clusters` selects none of the 1 clusters here (wbe)");
    says(&sections, Verdict::Failure, "none of the 1 Auto Scaling groups here is selected");
}

#[test]
fn a_missing_table_is_reported_once() {
    virtual_time(1, || async {
        let simulator = Simulator::new(aws_simulator::SimulatorConfig::default()).unwrap();
        simulator.set_up(works);
        let sections = look(&simulator, "").await;
        assert_eq!(sections[0].findings.len(), 1, "{:#?}", sections[0]);
        says(&sections, Verdict::Failure, "create it with `ecs-drain init`");
        // The other checks run all the same.
        says(&sections, Verdict::Fine, "group web-group: hook ecs-drain");
        let _ = store(&simulator, "drains", "test").await;
    });
}
