//! Behaviour of load balancers, tested on the state machine alone.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use crate::REGION;
use crate::wire::query::Params;

const START: &str = "2026-01-01T00:00:00Z";

fn at(seconds: u64) -> SimTime {
    SimTime::from_secs(seconds)
}

fn target(id: &str, port: u16) -> Target {
    Target { id: id.to_owned(), port }
}

/// Creates one group with a delay of 300 s; `i-1:8080` is registered in it at second 0.
fn world(spec: TargetGroupSpec) -> (LoadBalancing, String) {
    let mut elb = LoadBalancing::new(REGION, START.parse().unwrap());
    let arn = elb.add_target_group(TargetGroupSpec { name: "web".to_owned(), ..spec });
    elb.register_target(at(0), &arn, target("i-1", 8080));
    (elb, arn)
}

/// Returns `state reason` of every target in DescribeTargetHealth, for the whole group or for the
/// named ones.
fn health(elb: &mut LoadBalancing, now: SimTime, arn: &str, named: &[(&str, &str)]) -> Vec<String> {
    let mut pairs = vec![("TargetGroupArn", arn)];
    pairs.extend(named);
    let xml = elb.handle_v2(now, "DescribeTargetHealth", &Params::from_pairs(&pairs)).unwrap();
    let states = contents(&xml, "State");
    let mut reasons = contents(&xml, "Reason").into_iter();
    states
        .into_iter()
        .map(|state| {
            if state == "healthy" {
                state
            } else {
                format!("{state} {}", reasons.next().unwrap_or_default())
            }
        })
        .collect()
}

/// Returns the text of every element with this name.
fn contents(xml: &str, name: &str) -> Vec<String> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    xml.split(&open)
        .skip(1)
        .filter_map(|rest| rest.split(&close).next())
        .map(str::to_owned)
        .collect()
}

fn connected(elb: &LoadBalancing, now: SimTime) -> Vec<String> {
    elb.connections(now, "i-1", &["10.0.0.1".to_owned()])
        .into_iter()
        .map(|connection| format!("{} {}", connection.balancer, connection.target))
        .collect()
}

const NAMED: [(&str, &str); 2] =
    [("Targets.member.1.Id", "i-1"), ("Targets.member.1.Port", "8080")];

#[test]
fn a_target_is_initial_then_healthy_then_draining_then_gone() {
    let (mut elb, arn) = world(TargetGroupSpec::default());
    assert_eq!(health(&mut elb, at(1), &arn, &[]), ["initial Elb.RegistrationInProgress"]);
    assert_eq!(health(&mut elb, at(6), &arn, &[]), ["initial Elb.InitialHealthChecking"]);
    assert_eq!(elb.next_event(at(1)), Some(at(10)));
    assert!(elb.is_healthy(at(10), &arn, &target("i-1", 8080)));

    elb.deregister_target(at(20), &arn, &target("i-1", 8080));
    assert_eq!(elb.next_event(at(20)), Some(at(320)));
    assert_eq!(health(&mut elb, at(319), &arn, &[]), ["draining Target.DeregistrationInProgress"]);
    assert_eq!(connected(&elb, at(319)), ["web i-1:8080"]);
    assert!(!elb.is_gone(at(319), &arn, &target("i-1", 8080)));

    elb.advance(at(320));
    assert!(health(&mut elb, at(320), &arn, &[]).is_empty());
    assert_eq!(health(&mut elb, at(320), &arn, &NAMED), ["unused Target.NotRegistered"]);
    assert!(connected(&elb, at(320)).is_empty());
    assert_eq!(elb.next_event(at(320)), None);
}

#[test]
fn a_target_that_was_never_registered_is_unused_and_no_error() {
    let (mut elb, arn) = world(TargetGroupSpec::default());
    let named = [("Targets.member.1.Id", "i-9"), ("Targets.member.1.Port", "80")];
    assert_eq!(health(&mut elb, at(1), &arn, &named), ["unused Target.NotRegistered"]);
}

#[test]
fn a_draining_target_can_be_registered_again() {
    let (mut elb, arn) = world(TargetGroupSpec::default());
    elb.deregister_target(at(20), &arn, &target("i-1", 8080));
    elb.register_target(at(30), &arn, target("i-1", 8080));
    elb.advance(at(400));
    assert_eq!(health(&mut elb, at(400), &arn, &[]), ["healthy"]);
}

#[test]
fn a_terminated_instance_leaves_the_list_but_drains_for_ever_when_asked_for() {
    let (mut elb, arn) = world(TargetGroupSpec::default());
    elb.instance_gone(at(20), "i-1", &[]);
    assert!(health(&mut elb, at(21), &arn, &[]).is_empty());
    assert!(elb.is_gone(at(21), &arn, &target("i-1", 8080)));
    assert!(connected(&elb, at(21)).is_empty());
    elb.deregister_target(at(30), &arn, &target("i-1", 8080));
    elb.advance(at(4000));
    assert_eq!(
        health(&mut elb, at(4000), &arn, &NAMED),
        ["draining Target.DeregistrationInProgress"]
    );
}

#[test]
fn a_stopped_instance_stays_registered_and_cannot_be_registered_anew() {
    let (mut elb, arn) = world(TargetGroupSpec::default());
    elb.instance_stopped(at(20), "i-1", &[]);
    assert_eq!(health(&mut elb, at(21), &arn, &[]), ["unused Target.InvalidState"]);
    let params = Params::from_pairs(&[("TargetGroupArn", &arn), ("Targets.member.1.Id", "i-1")]);
    let error = elb.handle_v2(at(22), "RegisterTargets", &params).unwrap_err();
    assert_eq!((error.status, error.code.as_str()), (400, "InvalidTarget"));
    elb.instance_started(at(30), "i-1", &[]);
    assert_eq!(health(&mut elb, at(31), &arn, &[]), ["initial Elb.RegistrationInProgress"]);
}

#[test]
fn a_group_without_a_listener_calls_registered_targets_unused() {
    let (mut elb, arn) = world(TargetGroupSpec { attached: false, ..TargetGroupSpec::default() });
    assert_eq!(health(&mut elb, at(60), &arn, &[]), ["unused Target.NotInUse"]);
    assert!(!elb.is_gone(at(60), &arn, &target("i-1", 8080)));
    assert!(connected(&elb, at(60)).is_empty());
}

#[test]
fn an_unhealthy_target_still_counts_as_connected() {
    let (mut elb, arn) = world(TargetGroupSpec::default());
    elb.set_unhealthy(&arn, &target("i-1", 8080), true);
    assert_eq!(health(&mut elb, at(60), &arn, &[]), ["unhealthy Target.FailedHealthChecks"]);
    assert_eq!(connected(&elb, at(60)), ["web i-1:8080"]);
}

#[test]
fn the_addresses_of_a_dead_instance_stay_registered_and_get_no_traffic() {
    let mut elb = LoadBalancing::new(REGION, START.parse().unwrap());
    let arn = elb.add_target_group(TargetGroupSpec {
        target_type: TargetType::Ip,
        ..TargetGroupSpec::default()
    });
    elb.register_target(at(0), &arn, target("10.0.0.1", 80));
    elb.instance_gone(at(20), "i-1", &["10.0.0.1".to_owned()]);
    assert_eq!(health(&mut elb, at(60), &arn, &[]), ["unhealthy Target.Timeout"]);
    assert!(!elb.is_gone(at(60), &arn, &target("10.0.0.1", 80)));
    assert!(connected(&elb, at(60)).is_empty(), "as for an instance target whose instance is dead");
}

#[test]
fn a_network_load_balancer_delivers_for_a_while_to_a_target_that_its_api_no_longer_lists() {
    let (mut elb, arn) = world(TargetGroupSpec {
        kind: TargetGroupKind::Network,
        deregistration_delay: Duration::from_secs(10),
        settle_time: Some(Duration::from_secs(120)),
        ..TargetGroupSpec::default()
    });
    elb.deregister_target(at(20), &arn, &target("i-1", 8080));
    elb.advance(at(30));
    assert!(elb.is_gone(at(30), &arn, &target("i-1", 8080)));
    assert!(health(&mut elb, at(30), &arn, &[]).is_empty());
    assert_eq!(connected(&elb, at(139)), ["web i-1:8080"]);
    assert_eq!(elb.next_event(at(30)), Some(at(140)));
    assert!(connected(&elb, at(140)).is_empty());
}

#[test]
fn deregistering_without_the_port_of_an_override_does_nothing() {
    let (mut elb, arn) = world(TargetGroupSpec::default());
    let params = Params::from_pairs(&[("TargetGroupArn", &arn), ("Targets.member.1.Id", "i-1")]);
    elb.handle_v2(at(20), "DeregisterTargets", &params).unwrap();
    assert_eq!(health(&mut elb, at(21), &arn, &[]), ["healthy"]);
    let mut pairs = vec![("TargetGroupArn", arn.as_str())];
    pairs.extend(NAMED);
    elb.handle_v2(at(22), "DeregisterTargets", &Params::from_pairs(&pairs)).unwrap();
    assert_eq!(health(&mut elb, at(23), &arn, &[]), ["draining Target.DeregistrationInProgress"]);
}

#[test]
fn one_unknown_target_group_fails_the_whole_call() {
    let (mut elb, arn) = world(TargetGroupSpec::default());
    let known = Params::from_pairs(&[("TargetGroupArns.member.1", &arn)]);
    let xml = elb.handle_v2(at(1), "DescribeTargetGroups", &known).unwrap();
    assert_eq!(contents(&xml, "TargetGroupArn"), [arn.as_str()]);
    let both = Params::from_pairs(&[
        ("TargetGroupArns.member.1", &arn),
        ("TargetGroupArns.member.2", "arn:x"),
    ]);
    assert_eq!(
        elb.handle_v2(at(1), "DescribeTargetGroups", &both).unwrap_err().code,
        "TargetGroupNotFound"
    );
    assert!(elb.delete_target_group(&arn));
    assert!(elb.is_gone(at(1), &arn, &target("i-1", 8080)));
    assert!(connected(&elb, at(1)).is_empty());
    let error = elb.handle_v2(
        at(1),
        "DescribeTargetHealth",
        &Params::from_pairs(&[("TargetGroupArn", &arn)]),
    );
    assert_eq!(error.unwrap_err().code, "TargetGroupNotFound");
}

#[test]
fn target_groups_and_load_balancers_are_paged_and_limited() {
    let mut elb = LoadBalancing::new(REGION, START.parse().unwrap());
    for n in 0..5 {
        elb.add_target_group(TargetGroupSpec {
            name: format!("tg-{n}"),
            ..TargetGroupSpec::default()
        });
    }
    let mut names = Vec::new();
    let mut marker = String::new();
    loop {
        let params = Params::from_pairs(&[("PageSize", "2"), ("Marker", &marker)]);
        let xml = elb.handle_v2(at(0), "DescribeTargetGroups", &params).unwrap();
        names.extend(contents(&xml, "TargetGroupName"));
        match contents(&xml, "NextMarker").pop() {
            Some(next) => marker = next,
            None => break,
        }
    }
    assert_eq!(names, ["tg-0", "tg-1", "tg-2", "tg-3", "tg-4"]);
    let fields: Vec<String> = (1..=21).map(|n| format!("LoadBalancerArns.member.{n}")).collect();
    let pairs: Vec<(&str, &str)> = fields.iter().map(|field| (field.as_str(), "arn:x")).collect();
    let error =
        elb.handle_v2(at(0), "DescribeLoadBalancers", &Params::from_pairs(&pairs)).unwrap_err();
    assert_eq!(error.code, "ValidationError");
    let error = elb
        .handle_v2(at(0), "DescribeLoadBalancers", &Params::from_pairs(&pairs[..1]))
        .unwrap_err();
    assert_eq!(error.code, "LoadBalancerNotFound");
}

/// Returns `state: description` of the instances in DescribeInstanceHealth.
fn classic_health(
    elb: &mut LoadBalancing,
    now: SimTime,
    named: &[(&str, &str)],
) -> Result<Vec<String>, String> {
    let mut pairs = vec![("LoadBalancerName", "old")];
    pairs.extend(named);
    let xml = elb
        .handle_classic(now, "DescribeInstanceHealth", &Params::from_pairs(&pairs))
        .map_err(|error| format!("{}: {}", error.code, error.message))?;
    let descriptions = contents(&xml, "Description");
    Ok(contents(&xml, "State")
        .iter()
        .zip(descriptions)
        .map(|(state, text)| format!("{state}: {text}"))
        .collect())
}

#[test]
fn a_classic_load_balancer_calls_a_draining_instance_in_service() {
    let mut elb = LoadBalancing::new(REGION, START.parse().unwrap());
    elb.add_classic(ClassicSpec {
        name: "old".to_owned(),
        connection_draining: Some(Duration::from_secs(60)),
    });
    let named = [("Instances.member.1.InstanceId", "i-1")];
    let stranger = classic_health(&mut elb, at(0), &named);
    assert_eq!(stranger, Err("InvalidInstance: Could not find EC2 instance i-1.".to_owned()));

    elb.register_classic(at(0), "old", "i-1");
    let starting = ["OutOfService: Instance registration is still in progress.".to_owned()];
    assert_eq!(classic_health(&mut elb, at(1), &[]).unwrap(), starting);
    assert_eq!(classic_health(&mut elb, at(10), &[]).unwrap(), ["InService: N/A"]);

    let mut pairs = vec![("LoadBalancerName", "old")];
    pairs.extend(named);
    let xml = elb
        .handle_classic(at(20), "DeregisterInstancesFromLoadBalancer", &Params::from_pairs(&pairs))
        .unwrap();
    assert_eq!(xml, "<Instances></Instances>");
    let draining = ["InService: Instance deregistration currently in progress.".to_owned()];
    assert_eq!(classic_health(&mut elb, at(79), &named).unwrap(), draining);
    assert_eq!(connected(&elb, at(79)), ["old i-1"]);
    assert_eq!(elb.next_event(at(20)), Some(at(80)));

    let gone =
        ["OutOfService: Instance is not currently registered with the LoadBalancer.".to_owned()];
    assert_eq!(classic_health(&mut elb, at(80), &named).unwrap(), gone);
    assert!(classic_health(&mut elb, at(80), &[]).unwrap().is_empty());
    assert!(elb.classic_is_gone(at(80), "old", "i-1"));
    assert!(connected(&elb, at(80)).is_empty());
}

#[test]
fn a_classic_load_balancer_says_nothing_of_a_terminated_instance() {
    let mut elb = LoadBalancing::new(REGION, START.parse().unwrap());
    elb.add_classic(ClassicSpec { name: "old".to_owned(), connection_draining: None });
    elb.register_classic(at(0), "old", "i-1");
    elb.instance_gone(at(20), "i-1", &[]);
    let named = [("Instances.member.1.InstanceId", "i-1")];
    assert!(classic_health(&mut elb, at(21), &named).unwrap().is_empty());
    assert!(elb.classic_is_gone(at(21), "old", "i-1"));
}

#[test]
fn without_connection_draining_connections_are_cut_at_once() {
    let mut elb = LoadBalancing::new(REGION, START.parse().unwrap());
    elb.add_classic(ClassicSpec { name: "old".to_owned(), connection_draining: None });
    elb.register_classic(at(0), "old", "i-1");
    assert_eq!(connected(&elb, at(5)), ["old i-1"]);
    elb.deregister_classic(at(20), "old", "i-1");
    assert!(elb.classic_is_gone(at(20), "old", "i-1"));
    assert!(connected(&elb, at(20)).is_empty());
    let params = Params::from_pairs(&[("LoadBalancerName", "new")]);
    let error = elb.handle_classic(at(20), "DescribeLoadBalancerAttributes", &params).unwrap_err();
    assert_eq!(error.code, "LoadBalancerNotFound");
}
