//! Situations of a drain, each as a whole story on the simulated cloud.

use crate::endings::{ABANDONED_AND_RETAINED, BACK_FROM_THE_WARM_POOL, FORCED, STANDALONE_STOPPED};
use crate::harness::{HOOK, Run, Scenario, group, hook, nothing, our_hook, run, seconds};
use crate::operators::{CANCEL, KEEP, TERMINATE};
use crate::queue::SPOT;
use aws_simulator::autoscaling::How;
use aws_simulator::elb::{TargetGroupKind, TargetType};
use aws_simulator::spec::{
    ClassicSpec, ClusterSpec, GroupSpec, HookSpec, Network, ServiceSpec, StandaloneSpec,
    TargetGroupSpec, WarmPoolSpec,
};
use aws_simulator::{Cloud, Fault, Rule};
use ecs_drain_state::{Outcome, Phase};
use std::time::Duration;

pub const A: &str = "i-0000000000000000a";
pub const B: &str = "i-0000000000000000b";
pub const C: &str = "i-0000000000000000c";

/// Creates cluster `web` with the instances of one group, which has the ecs-drain hook.
pub fn cluster(cloud: &mut Cloud, ids: &[&str]) {
    cloud.add_cluster(&ClusterSpec::new("web"));
    cloud.add_group(group("web-group", "web", ids));
}

/// Creates cluster `web` with A and B, whose group has these hooks and no others.
pub fn cluster_under(cloud: &mut Cloud, hooks: Vec<HookSpec>) {
    cloud.add_cluster(&ClusterSpec::new("web"));
    cloud.add_group(GroupSpec { hooks, ..group("web-group", "web", &[A, B]) });
}

/// Creates cluster `web` with A and B, whose group returns them to its warm pool when it scales in.
pub fn cluster_with_warm_pool(cloud: &mut Cloud) {
    cloud.add_cluster(&ClusterSpec::new("web"));
    let warm_pool = Some(WarmPoolSpec { reuse_on_scale_in: true, min_size: 0 });
    cloud.add_group(GroupSpec { warm_pool, ..group("web-group", "web", &[A, B]) });
}

/// Creates a target group that its load balancer sends traffic to.
pub fn target_group(
    name: &str,
    kind: TargetGroupKind,
    target_type: TargetType,
    delay: Duration,
) -> TargetGroupSpec {
    TargetGroupSpec {
        name: name.to_owned(),
        kind,
        target_type,
        port: 80,
        deregistration_delay: delay,
        initial_time: seconds(10),
        attached: true,
        settle_time: None,
    }
}

fn terminate_a(cloud: &mut Cloud) {
    cloud.terminate(A, true).unwrap();
}

/// One replica service without a load balancer.
pub const PLAIN: Scenario = Scenario {
    name: "plain",
    config: "",
    world: |cloud| {
        cluster(cloud, &[A, B]);
        cloud.add_service(&ServiceSpec::replica("web", "api", 2).times(seconds(5), seconds(5)));
    },
    begin: terminate_a,
    ends: &[(A, Outcome::Drained)],
    or: None,
    within: seconds(900),
    meanwhile: nothing,
};

/// Behind an Application Load Balancer: instance targets on dynamic ports, several on each
/// instance.
pub const INSTANCE_TARGETS: Scenario = Scenario {
    name: "instance-targets",
    config: "",
    world: |cloud| {
        cloud.add_target_group(target_group(
            "web",
            TargetGroupKind::Application,
            TargetType::Instance,
            seconds(40),
        ));
        cluster(cloud, &[A, B]);
        cloud.add_service(
            &ServiceSpec::replica("web", "api", 4)
                .target_group("web")
                .times(seconds(5), seconds(5)),
        );
    },
    begin: terminate_a,
    ends: &[(A, Outcome::Drained)],
    or: None,
    within: seconds(900),
    meanwhile: nothing,
};

/// awsvpc tasks behind a Network Load Balancer, and a classic load balancer with them.
pub const IP_AND_CLASSIC: Scenario = Scenario {
    name: "ip-and-classic",
    config: "",
    world: |cloud| {
        cloud.add_target_group(target_group(
            "tcp",
            TargetGroupKind::Network,
            TargetType::Ip,
            seconds(30),
        ));
        cloud.add_classic(ClassicSpec {
            name: "old".to_owned(),
            connection_draining: Some(seconds(30)),
        });
        cluster(cloud, &[A, B]);
        let awsvpc = Network::Awsvpc { container_port: 8080 };
        cloud.add_service(
            &ServiceSpec::replica("web", "tcp", 2).target_group("tcp").network(awsvpc),
        );
        let fixed = Network::Bridge { container_port: 8080, host_port: 8080 };
        cloud.add_service(&ServiceSpec::replica("web", "old", 1).classic("old").network(fixed));
    },
    begin: |cloud| {
        cloud.terminate(A, true).unwrap();
    },
    ends: &[(A, Outcome::Drained)],
    or: None,
    within: seconds(900),
    meanwhile: nothing,
};

/// A daemon that runs to the end, and a standalone task that ends by itself.
pub const DAEMON_AND_STANDALONE: Scenario = Scenario {
    name: "daemon-and-standalone",
    config: "",
    world: |cloud| {
        cluster(cloud, &[A, B]);
        cloud.add_service(&ServiceSpec::daemon("web", "logs"));
        cloud.run_task(&StandaloneSpec::new("web", "job").on(A).duration(seconds(120))).unwrap();
    },
    begin: terminate_a,
    ends: &[(A, Outcome::Drained)],
    or: None,
    within: seconds(900),
    meanwhile: nothing,
};

/// Another hook holds the instance too, and longer than the ecs-drain hook.
pub const ANOTHER_HOOK: Scenario = Scenario {
    name: "another-hook",
    config: "",
    world: |cloud| {
        cloud.add_cluster(&ClusterSpec::new("web"));
        let mut spec = group("web-group", "web", &[A, B]);
        spec.hooks.push(hook("backup", seconds(300)));
        cloud.add_group(spec);
        cloud.add_service(&ServiceSpec::replica("web", "api", 2).times(seconds(5), seconds(5)));
    },
    begin: terminate_a,
    ends: &[(A, Outcome::Drained)],
    or: None,
    within: seconds(900),
    meanwhile: nothing,
};

/// Two instances of one group at once.
pub const TWO_AT_ONCE: Scenario = Scenario {
    name: "two-at-once",
    config: "",
    world: |cloud| {
        cloud.add_target_group(target_group(
            "web",
            TargetGroupKind::Application,
            TargetType::Instance,
            seconds(30),
        ));
        cluster(cloud, &[A, B, C]);
        cloud.add_service(
            &ServiceSpec::replica("web", "api", 3)
                .target_group("web")
                .times(seconds(5), seconds(5)),
        );
    },
    begin: |cloud| {
        cloud.terminate(A, true).unwrap();
        cloud.terminate(B, true).unwrap();
    },
    ends: &[(A, Outcome::Drained), (B, Outcome::Drained)],
    or: None,
    within: seconds(900),
    meanwhile: nothing,
};

/// The instance never joined a cluster.
pub const NOT_IN_CLUSTER: Scenario = Scenario {
    name: "not-in-cluster",
    config: "[policy]\nnot_in_cluster_after = \"2m\"\n",
    world: |cloud| {
        cloud.add_cluster(&ClusterSpec::new("web"));
        let mut spec = group("web-group", "web", &[A]);
        spec.cluster = None;
        cloud.add_group(spec);
    },
    begin: terminate_a,
    ends: &[(A, Outcome::NotInCluster)],
    or: None,
    within: seconds(900),
    meanwhile: nothing,
};

/// The strategy `deregister`: a forced deregistration, after which ECS reports the tasks as stopped
/// while they run.
pub const DEREGISTER: Scenario = Scenario {
    name: "deregister",
    config: "[policy]\nstrategy = \"deregister\"\n",
    world: |cloud| {
        cloud.add_target_group(target_group(
            "web",
            TargetGroupKind::Application,
            TargetType::Instance,
            seconds(60),
        ));
        cluster(cloud, &[A, B]);
        cloud.add_service(
            &ServiceSpec::replica("web", "api", 2)
                .target_group("web")
                .times(seconds(5), seconds(5)),
        );
        cloud.run_task(&StandaloneSpec::new("web", "job").on(A).duration(seconds(60))).unwrap();
    },
    begin: terminate_a,
    ends: &[(A, Outcome::Drained)],
    or: None,
    within: seconds(900),
    meanwhile: nothing,
};

/// Every story that the crash matrix plays again.
pub const MATRIX: &[&Scenario] = &[
    &PLAIN,
    &INSTANCE_TARGETS,
    &IP_AND_CLASSIC,
    &DAEMON_AND_STANDALONE,
    &ANOTHER_HOOK,
    &TWO_AT_ONCE,
    &NOT_IN_CLUSTER,
    &DEREGISTER,
    &KEEP,
    &TERMINATE,
    &CANCEL,
    &SPOT,
    &STANDALONE_STOPPED,
    &ABANDONED_AND_RETAINED,
    &BACK_FROM_THE_WARM_POOL,
    &FORCED,
];

#[track_caller]
fn good(scenario: &Scenario) -> crate::harness::Ended {
    let ended = run(scenario, &Run::default(), |_| {});
    ended.expect_good();
    ended
}

#[test]
fn a_replica_service_moves_away_and_the_instance_is_let_go() {
    let ended = good(&PLAIN);
    assert_eq!(ended.count("CompleteLifecycleAction"), 1, "told once");
    let record = ended.record(A).unwrap();
    assert_eq!(record.phase(), Phase::Done);
    assert_eq!(record.shown.tasks_left_count, 0);
}

#[test]
fn every_port_of_an_instance_is_seen_gone() {
    let ended = good(&INSTANCE_TARGETS);
    assert_eq!(ended.record(A).unwrap().obligations.len(), 1);
}

#[test]
fn ip_targets_and_classic_load_balancers_are_seen_gone() {
    let ended = good(&IP_AND_CLASSIC);
    // No target is read again and again while the tasks still run.
    assert!(ended.count("DescribeTargetHealth") < 30, "{}", ended.calls());
}

#[test]
fn a_daemon_does_not_hold_a_drain_up_and_a_standalone_task_does() {
    let ended = good(&DAEMON_AND_STANDALONE);
    assert!(
        ended.at(A).unwrap() >= aws_simulator::BEGIN + seconds(120),
        "the standalone task was waited for"
    );
    assert_eq!(ended.count("StopTask"), 0);
}

#[test]
fn another_hook_is_left_alone_and_ours_is_done_while_it_holds() {
    let ended = good(&ANOTHER_HOOK);
    let state = ended.simulator.peek(|cloud| cloud.lifecycle_state(A));
    assert_eq!(state.as_deref(), Some("Terminating:Wait"), "the other hook still holds it");
    ended.simulator.peek(|cloud| {
        for completion in cloud.completed(A) {
            assert_eq!((completion.hook.as_str(), completion.how), (HOOK, How::Called));
        }
    });
}

#[test]
fn strategy_deregister_waits_for_the_longest_delay_because_ecs_calls_running_tasks_stopped() {
    let ended = good(&DEREGISTER);
    assert_eq!(ended.count("DeregisterContainerInstance"), 1);
    let record = ended.record(A).unwrap();
    let deregistered = record.container_instances[0].deregistered_at.unwrap();
    let told = record.intent().unwrap().at;
    assert!(told.duration_since(deregistered).as_secs() >= 60, "{deregistered} to {told}");
}

/// ECS's counters leave such a task out, and so does the default listing; other tools release its
/// instance.
#[test]
fn a_task_that_takes_long_to_stop_is_waited_for_to_its_end() {
    let scenario = Scenario {
        world: |cloud| {
            cluster(cloud, &[A, B]);
            cloud.add_service(
                &ServiceSpec::replica("web", "api", 2).times(seconds(5), seconds(240)),
            );
        },
        ..PLAIN
    };
    let ended = good(&scenario);
    assert!(ended.at(A).unwrap() >= aws_simulator::BEGIN + seconds(240));
}

#[test]
fn two_instances_share_their_reads() {
    good(&TWO_AT_ONCE);
}

#[test]
fn an_instance_in_no_cluster_is_let_go_after_two_complete_searches_a_grace_apart() {
    let ended = good(&NOT_IN_CLUSTER);
    assert!(ended.at(A).unwrap() >= aws_simulator::BEGIN + seconds(120));
}

#[test]
fn two_replicas_that_overlap_drain_once() {
    let ended = run(&INSTANCE_TARGETS, &Run { replicas: 2, ..Run::default() }, |_| {});
    ended.expect_good();
}

/// The shortest heartbeat timeout that Auto Scaling allows, and a drain much longer than it.
#[test]
fn heartbeats_hold_the_instance_beyond_its_hooks_timeout() {
    let scenario = Scenario {
        world: |cloud| {
            cluster_under(cloud, vec![our_hook(seconds(30))]);
            cloud
                .run_task(&StandaloneSpec::new("web", "job").on(A).duration(seconds(600)))
                .unwrap();
        },
        within: seconds(1500),
        ..PLAIN
    };
    good(&scenario);
}

/// An hour without the table costs time, not instances.
#[test]
fn an_hour_without_the_table() {
    let scenario = Scenario {
        world: |cloud| {
            cluster_under(cloud, vec![our_hook(seconds(120))]);
            cloud.add_service(&ServiceSpec::replica("web", "api", 2));
        },
        within: seconds(5400),
        ..PLAIN
    };
    let ended = run(&scenario, &Run::default(), |cloud| {
        cloud.take_table_away(seconds(3600), aws_simulator::dynamodb::Outage::Error);
    });
    ended.expect_good();
    assert!(ended.at(A).unwrap() > aws_simulator::BEGIN + seconds(3600));
}

#[test]
fn every_read_lags_by_up_to_a_minute() {
    for seed in 1..=10 {
        let ended = run(&INSTANCE_TARGETS, &Run { seed, ..Run::default() }, |cloud| {
            cloud.faults.set_read_lag(Some(seconds(60)));
        });
        ended.expect_good();
    }
}

#[test]
fn a_denied_action_is_in_the_record_and_nothing_is_let_go() {
    let scenario = Scenario { ends: &[(A, Outcome::WaitLost)], within: seconds(300), ..PLAIN };
    let ended = run(&scenario, &Run::default(), |cloud| {
        cloud.faults.add(Rule::on("UpdateContainerInstancesState", Fault::AccessDenied));
    });
    let record = ended.record(A).unwrap();
    assert_eq!(record.phase(), Phase::Deregistering);
    let error = record.last_error.unwrap().what;
    assert!(error.contains("ecs:UpdateContainerInstancesState"), "{error}");
    assert_eq!(ended.count("CompleteLifecycleAction"), 0);
}

/// Another account's scope is reached through its role, and is another account's.
#[test]
fn a_scope_with_a_role_works_in_the_roles_account() {
    crate::harness::virtual_time(1, || async {
        let (simulator, _) = crate::harness::set_up(&PLAIN, 1).await;
        let environment = crate::harness::environment(&simulator, "replica-0", &Default::default());
        let arn = "arn:aws:iam::210987654321:role/ecs-drain".to_owned();
        let role = ecs_drain::config::Role { arn, external_id: Some("shared".to_owned()) };
        let session =
            ecs_drain::aws::connect(&environment, "us-east-1", Some(&role)).await.unwrap();
        assert_eq!(session.account, "210987654321");
        assert!(
            session.ecs.list_clusters().await.unwrap().is_empty(),
            "the clusters of our own account are not seen"
        );
    });
}

/// The table's index shows everything half a minute late.
#[test]
fn an_index_that_lags_costs_nothing() {
    let scenario = Scenario {
        world: |cloud| {
            cloud.dynamodb.set_index_lag(seconds(30)).unwrap();
            (TWO_AT_ONCE.world)(cloud);
        },
        ..TWO_AT_ONCE
    };
    for restart in [1, 2] {
        let ended = run(&scenario, &Run { replicas: restart, ..Run::default() }, |cloud| {
            // It dies in the middle: the next life begins with what the index shows.
            cloud.faults.add(Rule::at_call(80, Fault::CrashAfter));
        });
        ended.expect_good();
    }
}

/// Every list comes one item a page.
#[test]
fn every_page_of_every_list_is_read() {
    let scenario = Scenario {
        world: |cloud| {
            (TWO_AT_ONCE.world)(cloud);
            cloud.world.ecs.page_size = 1;
            cloud.world.elb.page_size = 1;
            cloud.world.autoscaling.page_size = 1;
        },
        ..TWO_AT_ONCE
    };
    good(&scenario);
}

/// AWS's published request rates hold, and no call meets them.
#[test]
fn no_call_is_throttled_at_awss_own_rates() {
    let scenario = Scenario {
        world: |cloud| {
            (TWO_AT_ONCE.world)(cloud);
            cloud.limits.enabled = true;
        },
        ..TWO_AT_ONCE
    };
    let ended = good(&scenario);
    assert_eq!(ended.simulator.peek(|cloud| cloud.limits.throttled()), 0);
}
