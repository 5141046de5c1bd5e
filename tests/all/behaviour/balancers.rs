//! Load balancers: every target is seen gone, however it was registered and named.

use super::{
    api, cluster, elapsed, good, stray, target_group, terminate, told, two_with, until_cause,
    until_ended, until_record, world,
};
use crate::harness::{Scenario, group, our_completions, record, seconds, somebody};
use crate::operators::{drain, order_once};
use crate::scenarios::{A, B, C, IP_AND_CLASSIC, PLAIN};
use crate::story::{held, until_phase, while_running};
use aws_sdk_elasticloadbalancingv2::types::TargetDescription;
use aws_simulator::elb::{TargetGroupKind, TargetType};
use aws_simulator::spec::{Balancer, ClassicSpec, ClusterSpec, Network, TargetGroupSpec};
use aws_simulator::{BEGIN, Cloud, Fault, Rule, Simulator};
use ecs_drain_state::{Outcome, Phase, Record, Target, Then};
use jiff::SignedDuration;
use std::time::Duration;

const D: &str = "i-0000000000000000d";

/// Three tasks on the instance are three targets, and one registration of it.
#[test]
fn every_dynamic_port_counts() {
    let scenario = Scenario {
        world: |cloud| {
            cloud.add_target_group(target_group("web", seconds(100)));
            two_with(cloud, &api(6).target_group("web"));
        },
        begin: |cloud| {
            assert_eq!(cloud.world.elb.connections(cloud.now(), A, &[]).len(), 3);
            terminate(cloud, &[A]);
        },
        ..PLAIN
    };
    let ended = good(&scenario);
    assert_eq!(ended.record(A).unwrap().obligations.len(), 1);
    assert!(ended.at(A).unwrap() >= BEGIN + seconds(100));
}

#[test]
fn every_target_group_of_a_service_is_seen_gone() {
    let scenario = world(|cloud| {
        cloud.add_target_group(target_group("web", seconds(10)));
        cloud.add_target_group(target_group("admin", seconds(150)));
        two_with(cloud, &api(2).target_group("web").target_group("admin"));
    });
    let ended = good(&scenario);
    assert_eq!(ended.record(A).unwrap().obligations.len(), 2);
    assert!(ended.at(A).unwrap() >= BEGIN + seconds(150));
}

/// A deployment changed the service's target group and was complete before the old tasks were gone.
/// They stay registered in the old group, which only their revision names, and which drains for
/// longer than the new one. (Source: ECS developer guide, early success criteria.)
#[test]
fn tasks_of_an_earlier_revision_stay_registered_where_that_revision_says() {
    let changed = world(|cloud| {
        cloud.add_target_group(target_group("old", seconds(150)));
        cloud.add_target_group(target_group("new", seconds(10)));
        two_with(cloud, &api(2).target_group("old"));
    });
    let changed = Scenario {
        begin: |cloud| {
            assert!(cloud.change_balancers(
                "web",
                "api",
                &[Balancer::TargetGroup("new".to_owned())]
            ));
            terminate(cloud, &[A]);
        },
        ..changed
    };
    let deregistered =
        Scenario { config: "[policy]\nstrategy = \"deregister\"\n", ..changed.clone() };
    for scenario in [changed, deregistered] {
        let ended = good(&scenario);
        assert!(ended.count("DescribeServiceRevisions") > 0);
        let record = ended.record(A).unwrap();
        let groups: Vec<String> =
            record.obligations.iter().map(|o| o.balancer.to_string()).collect();
        assert!(groups.iter().any(|group| *group == "target group old"), "{groups:?}");
        assert!(ended.at(A).unwrap() >= BEGIN + seconds(150));
    }
}

/// ecs-drain has described the service for B's drain, when it named the old group alone. A minute
/// later the service was deployed again, and A runs a task of the new deployment, which is
/// registered in the new group.
#[test]
fn a_task_of_a_deployment_that_began_since_the_service_was_read_has_its_own_registrations() {
    let scenario = Scenario {
        world: |cloud| {
            cloud.add_target_group(target_group("old", seconds(10)));
            cloud.add_target_group(target_group("new", seconds(60)));
            cluster(cloud, &[A, B, C]);
            cloud.add_service(&api(3).target_group("old"));
        },
        begin: |cloud| terminate(cloud, &[B]),
        ..PLAIN
    };
    told(&scenario, async |simulator: Simulator, store| {
        tokio::time::sleep(seconds(60)).await;
        assert!(!record(&store, B).await.unwrap().obligations.is_empty(), "its service was read");
        simulator.with(|cloud| {
            assert!(cloud.change_balancers(
                "web",
                "api",
                &[Balancer::TargetGroup("new".to_owned())]
            ));
            cloud.set_service_desired("web", "api", 7);
        });
        tokio::time::sleep(seconds(30)).await;
        simulator.with(|cloud| terminate(cloud, &[A]));
        let begun = elapsed(&simulator);
        let ended = until_ended(&simulator, &store, Outcome::Drained).await;
        let groups: Vec<String> =
            ended.obligations.iter().map(|o| o.balancer.to_string()).collect();
        assert!(groups.iter().any(|group| *group == "target group new"), "{groups:?}");
        assert!(elapsed(&simulator) >= begun + seconds(60));
    });
}

/// The deregistration delay is only shown: without permission to read it the drain continues, and
/// the read is repeated ever less often.
#[test]
fn a_deregistration_delay_that_cannot_be_read_holds_nothing_up() {
    let scenario = Scenario {
        world: |cloud| {
            cloud.add_target_group(target_group("web", seconds(1800)));
            two_with(cloud, &api(2).target_group("web"));
            cloud.faults.add(Rule::on("DescribeTargetGroupAttributes", Fault::AccessDenied));
        },
        within: seconds(3000),
        ..PLAIN
    };
    let ended = good(&scenario);
    let took = ended.at(A).unwrap() - BEGIN;
    assert!(took >= seconds(1800) && took < seconds(2300), "{took:?}");
    let asked = ended.count("DescribeTargetGroupAttributes");
    assert!((1..=6).contains(&asked), "asked {asked} times");
}

#[test]
fn the_address_of_an_awsvpc_task_is_seen_gone() {
    let scenario = world(|cloud| {
        let by_address =
            TargetGroupSpec { target_type: TargetType::Ip, ..target_group("web", seconds(100)) };
        cloud.add_target_group(by_address);
        two_with(
            cloud,
            &api(2).target_group("web").network(Network::Awsvpc { container_port: 8080 }),
        );
    });
    let ended = good(&scenario);
    let record = ended.record(A).unwrap();
    assert!(matches!(record.obligations[0].target, Target::Ip(_)), "{:?}", record.obligations);
    assert!(ended.at(A).unwrap() >= BEGIN + seconds(100));
}

/// ECS has deregistered the instance; someone registers it again, and the balancer reports it as
/// `OutOfService`.
#[test]
fn an_instance_that_a_classic_load_balancer_lists_as_out_of_service_is_not_gone() {
    told(&IP_AND_CLASSIC, async |simulator: Simulator, store| {
        // Its service may have run on the other instance.
        simulator.with(|cloud| cloud.world.elb.register_classic(cloud.now(), "old", A));
        until_phase(&simulator, &store, Phase::Verifying).await;
        simulator.with(|cloud| {
            let now = cloud.now();
            cloud.world.elb.register_classic(now, "old", A);
            cloud.world.elb.instance_stopped(now, A, &[]);
        });
        let listed = until_record(&simulator, &store, "OutOfService", |r| {
            r.shown.message.contains("OutOfService")
        })
        .await;
        assert!(
            listed.shown.message.contains("classic load balancer old"),
            "{}",
            listed.shown.message
        );
        assert!(held(&simulator));
        simulator.with(|cloud| cloud.world.elb.deregister_classic(cloud.now(), "old", A));
        until_ended(&simulator, &store, Outcome::Drained).await;
    });
}

/// AWS does not document if a classic load balancer still lists an instance whose connections
/// drain: here it does not.
#[test]
fn an_instance_that_drains_from_a_classic_load_balancer_is_waited_for_although_it_is_not_listed() {
    let scenario = Scenario {
        world: |cloud| {
            cloud.world.elb.classic_lists_draining = false;
            cloud.add_classic(ClassicSpec {
                name: "old".to_owned(),
                connection_draining: Some(seconds(400)),
            });
            cluster(cloud, &[A, B, C]);
            // One on each instance, two of which are enough.
            let fixed = Network::Bridge { container_port: 8080, host_port: 8080 };
            cloud.add_service(&api(3).percents(50, 200).classic("old").network(fixed));
        },
        ..PLAIN
    };
    told(&scenario, async |simulator: Simulator, store| {
        until_phase(&simulator, &store, Phase::Verifying).await;
        // The task is gone, and someone registers the instance for a moment.
        simulator.with(|cloud| {
            let now = cloud.now();
            cloud.world.elb.register_classic(now, "old", A);
            cloud.world.elb.deregister_classic(now, "old", A);
        });
        let begun = elapsed(&simulator);
        tokio::time::sleep(seconds(300)).await;
        assert!(held(&simulator));
        until_ended(&simulator, &store, Outcome::Drained).await;
        assert!(elapsed(&simulator) >= begun + seconds(400));
    });
}

/// Auto Scaling waits for the balancer before the ecs-drain hook starts.
#[test]
fn a_classic_load_balancer_of_the_group_that_does_not_list_what_drains_cuts_nothing_off() {
    good(&world(|cloud| {
        cloud.world.elb.classic_lists_draining = false;
        cloud.add_classic(ClassicSpec {
            name: "edge".to_owned(),
            connection_draining: Some(seconds(300)),
        });
        cloud.add_cluster(&ClusterSpec::new("web"));
        let mut spec = group("web-group", "web", &[A, B]);
        spec.classic_names = vec!["edge".to_owned()];
        cloud.add_group(spec);
        cloud.add_service(&api(2));
    }));
}

/// Adds a balancer that knows the instance through its Auto Scaling group, without a service.
fn balancer_of_the_group(cloud: &mut Cloud) {
    let arn = cloud.add_target_group(target_group("edge", seconds(300)));
    cloud.add_cluster(&ClusterSpec::new("web"));
    let mut spec = group("web-group", "web", &[A, B]);
    spec.target_group_arns = vec![arn];
    cloud.add_group(spec);
    cloud.add_service(&api(2));
}

/// Auto Scaling deregisters the instance before its hooks start: ecs-drain verifies that.
#[test]
fn a_balancer_attached_to_the_group_itself_is_looked_at_and_seen_gone() {
    let ended = good(&world(balancer_of_the_group));
    let record = ended.record(A).unwrap();
    assert_eq!(record.obligations.len(), 1);
    assert!(record.obligations[0].to_string().ends_with("in target group edge"));
    assert!(ended.count("DescribeTargetHealth") >= 2, "in each look of the proof");
}

/// Drains A by order in a group with a balancer of its own.
fn ordered(then: Then) -> (Record, Simulator) {
    let scenario = Scenario {
        world: |cloud| {
            balancer_of_the_group(cloud);
            cloud.checkers.allow_operator(A);
            cloud.checkers.allow_terminate(A);
        },
        begin: |_| {},
        ..PLAIN
    };
    while_running(&scenario, async |simulator: Simulator, store| {
        order_once(&simulator, &store, drain(then)).await;
        tokio::time::sleep(seconds(900)).await;
        record(&store, A).await.unwrap()
    })
}

/// The group deregisters the instance when it terminates it, and no other deregisters it before.
#[test]
fn an_order_to_terminate_does_not_wait_for_the_groups_own_balancer() {
    let (record, simulator) = ordered(Then::TerminateAndShrink);
    assert_eq!(record.outcome(), Some(Outcome::Drained), "{}", record.shown.message);
    simulator.peek(|cloud| {
        assert_eq!(cloud.violations_at_end(), []);
        assert!(cloud.losses().is_empty(), "{:?}", cloud.losses());
        assert_eq!(our_completions(cloud, A).len(), 1);
    });
}

#[test]
fn a_kept_instance_is_held_while_the_groups_own_balancer_lists_it() {
    let (record, simulator) = ordered(Then::Keep);
    assert_eq!((record.phase(), record.shown.why.as_str()), (Phase::Verifying, "TargetsLeft"));
    assert!(
        record.shown.message.contains("in target group edge is healthy"),
        "{}",
        record.shown.message
    );
    simulator.peek(|cloud| assert_eq!(cloud.violations_at_end(), []));
}

/// Someone registers the instance by hand and deregisters it at once: five minutes of draining
/// begin.
#[test]
fn the_deregistration_delay_is_shown_with_what_is_left_of_it() {
    told(&world(balancer_of_the_group), async |simulator: Simulator, store| {
        until_phase(&simulator, &store, Phase::Waiting).await;
        change(&simulator, "edge", |cloud, arn| {
            let now = cloud.now();
            cloud.world.elb.register_target(now, arn, stray(80));
            cloud.world.elb.deregister_target(now, arn, &stray(80));
        });
        let record = until_record(&simulator, &store, "draining", |r| {
            r.shown.message.contains("is draining")
        })
        .await;
        assert!(
            record.shown.message.contains("in target group edge is draining"),
            "{}",
            record.shown.message
        );
        assert!(
            record.shown.message.contains(", until ") && record.shown.message.contains(" at most"),
            "{}",
            record.shown.message
        );
        let target = &record.shown.targets_left[0];
        assert!(target.contains("draining") && target.ends_with(" at most"), "{target}");
        let (_, text) = until_cause(&simulator, &store, "TargetDelay").await;
        assert!(text.contains("the deregistration delay of 5 min"), "{text}");
        until_ended(&simulator, &store, Outcome::Drained).await;
    });
}

/// Applies a change to a target group.
fn change(simulator: &Simulator, name: &str, what: impl FnOnce(&mut Cloud, &str)) {
    simulator.with(|cloud| {
        let arn = cloud.world.elb.arn_of(name).unwrap();
        what(cloud, &arn);
    });
}

/// Adds a Network Load Balancer that sends new connections for this long after a deregistration.
fn network(cloud: &mut Cloud, settle_time: Option<Duration>) {
    let kind = TargetGroupKind::Network;
    cloud.add_target_group(TargetGroupSpec {
        kind,
        settle_time,
        ..target_group("tcp", seconds(60))
    });
    two_with(cloud, &api(2).target_group("tcp"));
}

/// Returns the time between the first read without the target and the release of the instance.
fn settled(config: &'static str, world: fn(&mut Cloud)) -> SignedDuration {
    let ended = good(&Scenario { config, world, ..PLAIN });
    let record = ended.record(A).unwrap();
    assert_eq!(record.obligations[0].network, Some(true));
    record.intent().unwrap().at.duration_since(record.obligations[0].draining_since.unwrap())
}

/// The checkers report every connection that is cut off, even one that comes while the target is
/// `unused`.
#[test]
fn a_network_load_balancer_is_given_two_minutes_after_its_target_left() {
    let two_minutes = SignedDuration::from_mins(2);
    let by_default = settled("", |cloud| network(cloud, Some(seconds(120))));
    assert!(by_default >= two_minutes, "{by_default}");
    let at_once = settled("[policy]\nnetwork_settle = \"0s\"\n", |cloud| network(cloud, None));
    assert!(at_once < two_minutes, "the policy can give it none: {at_once}");
}

/// Registers or deregisters A as a person does.
async fn hand(simulator: &Simulator, register: bool) {
    let elb = aws_sdk_elasticloadbalancingv2::Client::new(
        &somebody(simulator).load(Some("us-east-1")).await,
    );
    let arn = simulator.peek(|cloud| cloud.world.elb.arn_of("web").unwrap());
    let target = TargetDescription::builder().id(A).port(9999).build();
    if register {
        elb.register_targets().target_group_arn(arn).targets(target).send().await.unwrap();
    } else {
        elb.deregister_targets().target_group_arn(arn).targets(target).send().await.unwrap();
    }
}

#[test]
fn a_target_that_comes_back_sends_the_drain_from_verifying_to_waiting() {
    let scenario = world(|cloud| {
        cloud.add_target_group(target_group("web", seconds(20)));
        two_with(cloud, &api(2).target_group("web"));
    });
    told(&scenario, async |simulator: Simulator, store| {
        until_phase(&simulator, &store, Phase::Verifying).await;
        tokio::time::sleep(seconds(10)).await;
        hand(&simulator, true).await;
        let (record, text) = until_cause(&simulator, &store, "TargetStays").await;
        assert!(text.contains("stays registered"), "{text}");
        let back =
            record.history.iter().find(|event| event.what.starts_with("it is in service again: "));
        assert_eq!(back.map(|event| event.phase), Some(Phase::Waiting), "{:#?}", record.history);
        assert!(held(&simulator));
        hand(&simulator, false).await;
        until_ended(&simulator, &store, Outcome::Drained).await;
    });
}

#[test]
fn a_target_group_deleted_in_mid_drain_is_gone() {
    let scenario = world(|cloud| {
        cloud.add_target_group(target_group("web", seconds(3600)));
        two_with(cloud, &api(2).target_group("web"));
    });
    told(&scenario, async |simulator: Simulator, store| {
        until_phase(&simulator, &store, Phase::Waiting).await;
        tokio::time::sleep(seconds(60)).await;
        assert!(held(&simulator), "it drains for an hour");
        change(&simulator, "web", |cloud, arn| assert!(cloud.world.elb.delete_target_group(arn)));
        until_ended(&simulator, &store, Outcome::Drained).await;
        assert!(elapsed(&simulator) < seconds(600));
    });
}

/// Returns the number of reads of a target group that four instances share, of which these leave.
fn looks(begin: fn(&mut Cloud), ends: &'static [(&'static str, Outcome)]) -> usize {
    let scenario = Scenario {
        world: |cloud| {
            cloud.add_target_group(target_group("web", seconds(40)));
            cluster(cloud, &[A, B, C, D]);
            cloud.add_service(&api(8).target_group("web"));
        },
        begin,
        ends,
        ..PLAIN
    };
    good(&scenario).count("DescribeTargetHealth")
}

#[test]
fn a_target_group_is_read_once_a_pass_however_many_instances_share_it() {
    let one = looks(|cloud| terminate(cloud, &[A]), &[(A, Outcome::Drained)]);
    let all = &[(A, Outcome::Drained), (B, Outcome::Drained), (C, Outcome::Drained)];
    let three = looks(|cloud| terminate(cloud, &[A, B, C]), all);
    assert!(three <= one * 2, "{one} for one instance, {three} for three");
}
