//! Behaviour of groups, hooks and warm pools, tested on the state machine alone.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use super::*;
use crate::wire::query::Params;
use std::time::Duration;

fn at(seconds: u64) -> SimTime {
    SimTime::from_secs(seconds)
}

fn hook(name: &str, heartbeat_timeout: u64, default_result: LifecycleResult) -> HookSpec {
    HookSpec {
        name: name.to_owned(),
        heartbeat_timeout: Duration::from_secs(heartbeat_timeout),
        default_result,
        ..HookSpec::default()
    }
}

/// Creates a group `g` of `i-1` and `i-2` with a terminating hook `drain` of 600 s; its launches
/// are already reported.
fn world(spec: GroupSpec) -> AutoScaling {
    let mut asg = AutoScaling::new(crate::REGION, "2026-01-01T00:00:00Z".parse().unwrap(), 7);
    asg.add_group(GroupSpec {
        name: "g".to_owned(),
        max: 10,
        desired: 2,
        instance_ids: Some(vec!["i-1".to_owned(), "i-2".to_owned(), "i-3".to_owned()]),
        ..spec
    });
    asg.advance(at(0));
    asg
}

fn with_hook() -> GroupSpec {
    GroupSpec { hooks: vec![hook("drain", 600, LifecycleResult::Abandon)], ..GroupSpec::default() }
}

fn state(asg: &AutoScaling, id: &str) -> String {
    asg.lifecycle_state(id).unwrap_or_else(|| "gone".to_owned())
}

fn call(
    asg: &mut AutoScaling,
    now: SimTime,
    action: &str,
    pairs: &[(&str, &str)],
) -> Result<String, String> {
    asg.handle(now, action, &Params::from_pairs(pairs))
        .map_err(|error| format!("{}: {}", error.code, error.message))
}

fn complete(
    asg: &mut AutoScaling,
    now: SimTime,
    hook: &str,
    result: &str,
) -> Result<String, String> {
    let pairs = [
        ("AutoScalingGroupName", "g"),
        ("LifecycleHookName", hook),
        ("InstanceId", "i-1"),
        ("LifecycleActionResult", result),
    ];
    call(asg, now, "CompleteLifecycleAction", &pairs)
}

fn heartbeat(asg: &mut AutoScaling, now: SimTime) -> Result<String, String> {
    let pairs =
        [("AutoScalingGroupName", "g"), ("LifecycleHookName", "drain"), ("InstanceId", "i-1")];
    call(asg, now, "RecordLifecycleActionHeartbeat", &pairs)
}

fn contents(xml: &str, name: &str) -> Vec<String> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    xml.split(&open)
        .skip(1)
        .filter_map(|rest| rest.split(&close).next())
        .map(str::to_owned)
        .collect()
}

fn terminated(effects: &[Effect]) -> Vec<&str> {
    effects
        .iter()
        .filter_map(|effect| {
            if let Effect::Terminated { instance_id, .. } = effect {
                Some(instance_id)
            } else {
                None
            }
        })
        .map(String::as_str)
        .collect()
}

#[test]
fn a_termination_waits_for_its_hook_and_is_replaced() {
    let mut asg = world(with_hook());
    asg.terminate(at(10), "i-1", false).unwrap();
    assert_eq!(state(&asg, "i-1"), "Terminating");
    assert!(!asg.active_action(at(12), "g", "drain", "i-1"));
    assert_eq!(asg.next_event(at(10)), Some(at(13)));

    asg.advance(at(13));
    assert_eq!(state(&asg, "i-1"), "Terminating:Wait");
    assert!(asg.active_action(at(13), "g", "drain", "i-1"));
    assert_eq!(asg.instances("g").len(), 3, "the replacement is on its way");

    complete(&mut asg, at(100), "drain", "CONTINUE").unwrap();
    assert_eq!(state(&asg, "i-1"), "Terminating:Proceed");
    let effects = asg.advance(at(119));
    assert!(terminated(&effects).is_empty());
    assert!(matches!(effects.as_slice(), [Effect::Launched { .. }]), "{effects:?}");
    assert_eq!(terminated(&asg.advance(at(120))), ["i-1"]);
    assert_eq!(state(&asg, "i-1"), "gone");

    let [completion] = asg.completions() else { panic!("one completion") };
    assert_eq!((completion.at, completion.how), (at(100), How::Called));
    let states: Vec<String> =
        asg.instances("g").into_iter().map(|instance| instance.lifecycle_state).collect();
    assert_eq!(states, ["InService", "InService"]);
}

#[test]
fn an_action_that_is_over_is_not_found_again() {
    let mut asg = world(with_hook());
    let early = complete(&mut asg, at(5), "drain", "CONTINUE").unwrap_err();
    assert_eq!(early, "ValidationError: No active Lifecycle Action found with instance ID i-1");
    asg.terminate(at(10), "i-1", false).unwrap();
    asg.advance(at(13));
    let token = asg.pending_actions("i-1").pop().unwrap().token;
    assert_eq!(token.len(), 36);
    let pairs = [
        ("AutoScalingGroupName", "g"),
        ("LifecycleHookName", "drain"),
        ("LifecycleActionToken", token.as_str()),
        ("LifecycleActionResult", "CONTINUE"),
    ];
    call(&mut asg, at(20), "CompleteLifecycleAction", &pairs).unwrap();
    let late = call(&mut asg, at(21), "CompleteLifecycleAction", &pairs).unwrap_err();
    assert_eq!(
        late,
        format!("ValidationError: No active Lifecycle Action found with token {token}")
    );
    assert!(heartbeat(&mut asg, at(22)).unwrap_err().contains("No active Lifecycle Action found"));
}

#[test]
fn a_heartbeat_restarts_the_timer_but_not_past_the_global_timeout() {
    let mut asg = world(with_hook());
    asg.put_hook("g", hook("drain", 30, LifecycleResult::Continue));
    asg.terminate(at(10), "i-1", false).unwrap();
    asg.advance(at(13));
    for second in (20..3000).step_by(20) {
        heartbeat(&mut asg, at(second)).unwrap();
    }
    heartbeat(&mut asg, at(3000)).unwrap();
    let action = asg.pending_actions("i-1").pop().unwrap();
    assert_eq!(
        (action.expires_at, action.global_expires_at),
        (at(3013), at(3013)),
        "100 heartbeats of 30 s"
    );
    let effects = asg.advance(at(3013));
    let timed_out = Effect::HookTimedOut {
        group: "g".to_owned(),
        hook: "drain".to_owned(),
        instance_id: "i-1".to_owned(),
        result: LifecycleResult::Continue,
    };
    assert!(effects.contains(&timed_out), "{effects:?}");
    assert_eq!(state(&asg, "i-1"), "Terminating:Proceed");
}

#[test]
fn without_a_heartbeat_the_default_result_is_applied() {
    let mut asg = world(with_hook());
    asg.terminate(at(10), "i-1", false).unwrap();
    asg.advance(at(613));
    let [completion] = asg.completions() else { panic!("one completion") };
    assert_eq!(
        (completion.at, completion.how, completion.result),
        (at(613), How::TimedOut, LifecycleResult::Abandon)
    );
    assert_eq!(terminated(&asg.advance(at(633))), ["i-1"], "both results let it terminate");
}

#[test]
fn hooks_hold_in_parallel_and_the_last_one_releases() {
    let mut asg = world(with_hook());
    asg.put_hook("g", hook("ecs", 600, LifecycleResult::Continue));
    asg.terminate(at(10), "i-1", false).unwrap();
    asg.advance(at(13));
    complete(&mut asg, at(20), "drain", "CONTINUE").unwrap();
    assert_eq!(state(&asg, "i-1"), "Terminating:Wait");
    assert!(!asg.active_action(at(20), "g", "drain", "i-1"));
    complete(&mut asg, at(30), "ecs", "CONTINUE").unwrap();
    assert_eq!(state(&asg, "i-1"), "Terminating:Proceed");
}

#[test]
fn abandon_ends_the_actions_of_other_hooks() {
    let mut asg = world(with_hook());
    asg.put_hook("g", hook("other", 600, LifecycleResult::Continue));
    asg.terminate(at(10), "i-1", false).unwrap();
    asg.advance(at(13));
    complete(&mut asg, at(20), "other", "ABANDON").unwrap();
    assert_eq!(state(&asg, "i-1"), "Terminating:Proceed");
    let ends: Vec<(&str, How)> =
        asg.completions().iter().map(|end| (end.hook.as_str(), end.how)).collect();
    assert_eq!(ends, [("drain", How::OtherAbandoned), ("other", How::Called)]);
    assert!(heartbeat(&mut asg, at(21)).is_err());
}

#[test]
fn an_abandoned_instance_is_retained_where_the_group_says_so() {
    let mut asg = world(GroupSpec { terminate_hook_abandon_retain: true, ..with_hook() });
    asg.terminate(at(10), "i-1", false).unwrap();
    asg.advance(at(13));
    let first = asg.pending_actions("i-1").pop().unwrap().token;
    complete(&mut asg, at(20), "drain", "ABANDON").unwrap();
    asg.advance(at(10_000));
    assert_eq!(state(&asg, "i-1"), "Terminating:Retained");

    assert!(asg.terminate(at(10_000), "i-1", true).is_err(), "it does not count any more");
    asg.terminate(at(10_000), "i-1", false).unwrap();
    asg.advance(at(10_003));
    assert_eq!(state(&asg, "i-1"), "Terminating:Wait");
    assert_ne!(asg.pending_actions("i-1").pop().unwrap().token, first);
    complete(&mut asg, at(10_010), "drain", "CONTINUE").unwrap();
    assert_eq!(terminated(&asg.advance(at(10_030))), ["i-1"]);
}

#[test]
fn deleting_a_hook_continues_what_it_held() {
    let mut asg = world(with_hook());
    asg.terminate(at(10), "i-1", false).unwrap();
    asg.advance(at(13));
    let pairs = [("AutoScalingGroupName", "g"), ("LifecycleHookName", "drain")];
    call(&mut asg, at(20), "DeleteLifecycleHook", &pairs).unwrap();
    let [completion] = asg.completions() else { panic!("one completion") };
    assert_eq!((completion.how, completion.result), (How::HookDeleted, LifecycleResult::Continue));
    assert_eq!(state(&asg, "i-1"), "Terminating:Proceed");
}

#[test]
fn an_action_is_over_when_its_instance_is_sent_elsewhere() {
    let mut asg = world(with_hook());
    assert!(asg.replace_root_volume(at(10), "i-1"));
    asg.advance(at(13));
    assert_eq!(state(&asg, "i-1"), "ReplacingRootVolume:Wait");
    asg.terminate(at(20), "i-1", false).unwrap();
    assert_eq!(asg.pending_actions("i-1"), []);
    let [completion] = asg.completions() else { panic!("one completion") };
    assert_eq!((completion.at, completion.how), (at(20), How::Overtaken));
    asg.advance(at(23));
    assert_eq!(
        (state(&asg, "i-1").as_str(), asg.pending_actions("i-1").len()),
        ("Terminating:Wait", 1)
    );
}

#[test]
fn attached_balancers_drain_before_the_hook_starts() {
    let mut asg = world(GroupSpec { target_group_arns: vec!["arn:tg".to_owned()], ..with_hook() });
    asg.terminate(at(10), "i-1", false).unwrap();
    let effects = asg.advance(at(300));
    assert!(
        effects
            .iter()
            .any(|effect| matches!(effect, Effect::LeaveBalancers { instance_id, .. } if instance_id == "i-1"))
    );
    assert_eq!(state(&asg, "i-1"), "Terminating");
    let xml =
        call(&mut asg, at(300), "DescribeScalingActivities", &[("AutoScalingGroupName", "g")])
            .unwrap();
    assert_eq!(
        contents(&xml, "StatusCode").first().map(String::as_str),
        Some("WaitingForELBConnectionDraining")
    );
    asg.balancers_left(at(310), "i-1");
    assert_eq!(state(&asg, "i-1"), "Terminating:Wait");
}

#[test]
fn balancers_that_drain_early_do_not_shorten_the_beginning() {
    let mut asg = world(GroupSpec { classic_names: vec!["old".to_owned()], ..with_hook() });
    asg.terminate(at(10), "i-1", false).unwrap();
    asg.balancers_left(at(11), "i-1");
    assert_eq!(state(&asg, "i-1"), "Terminating");
    asg.advance(at(13));
    assert_eq!(state(&asg, "i-1"), "Terminating:Wait");
}

#[test]
fn the_group_runs_its_hook_for_an_instance_that_ec2_terminated() {
    let mut asg = world(with_hook());
    asg.ec2_terminated(at(10), "i-1");
    assert_eq!(state(&asg, "i-1"), "InService");
    let noticed = asg.next_event(at(10)).unwrap();
    assert!((at(70)..=at(130)).contains(&noticed), "{noticed:?}");
    asg.advance(noticed + at(3));
    assert_eq!(state(&asg, "i-1"), "Terminating:Wait");
    assert!(
        asg.instances("g")
            .iter()
            .any(|instance| instance.instance_id == "i-1" && !instance.healthy)
    );
}

#[test]
fn scale_in_returns_an_instance_to_a_warm_pool_that_reuses() {
    let pool = WarmPoolSpec { reuse_on_scale_in: true, min_size: 1 };
    let mut asg = world(GroupSpec { warm_pool: Some(pool), ..with_hook() });
    assert_eq!(state(&asg, "i-3"), "Warmed:Stopped");
    asg.protect("i-2", true);
    asg.set_desired(at(10), "g", 1).unwrap();
    asg.advance(at(13));
    assert_eq!(state(&asg, "i-1"), "Warmed:Pending:Wait");
    assert!(asg.active_action(at(13), "g", "drain", "i-1"));

    let group = call(&mut asg, at(13), "DescribeAutoScalingGroups", &[]).unwrap();
    assert_eq!(contents(&group, "InstanceId"), ["i-2"], "members of the warm pool are not shown");
    let pool =
        call(&mut asg, at(13), "DescribeWarmPool", &[("AutoScalingGroupName", "g")]).unwrap();
    assert_eq!(contents(&pool, "InstanceId"), ["i-1", "i-3"]);

    complete(&mut asg, at(20), "drain", "CONTINUE").unwrap();
    let effects = asg.advance(at(40));
    assert_eq!(effects, [Effect::Stopped { group: "g".to_owned(), instance_id: "i-1".to_owned() }]);
    asg.set_desired(at(50), "g", 2).unwrap();
    assert_eq!(state(&asg, "i-1"), "Pending", "it is reused");
    asg.advance(at(110));
    assert_eq!(state(&asg, "i-1"), "InService");
}

#[test]
fn a_root_volume_replacement_waits_under_the_terminating_hook_and_comes_back() {
    let mut asg = world(with_hook());
    assert!(asg.replace_root_volume(at(10), "i-1"));
    asg.advance(at(13));
    assert_eq!(state(&asg, "i-1"), "ReplacingRootVolume:Wait");
    assert_eq!(asg.instances("g").len(), 2, "it is not replaced");
    complete(&mut asg, at(20), "drain", "CONTINUE").unwrap();
    asg.advance(at(40));
    assert_eq!(state(&asg, "i-1"), "RootVolumeReplaced");
    asg.advance(at(45));
    assert_eq!(state(&asg, "i-1"), "Pending");
    let effects = asg.advance(at(105));
    assert_eq!(
        effects,
        [Effect::Launched { group: "g".to_owned(), instance_id: "i-1".to_owned() }]
    );
    assert_eq!(state(&asg, "i-1"), "InService");
}

#[test]
fn an_abandoned_launch_is_terminated_and_replaced() {
    let launching = HookSpec {
        transition: Transition::Launching,
        ..hook("init", 60, LifecycleResult::Abandon)
    };
    let mut asg = world(GroupSpec { hooks: vec![launching], ..GroupSpec::default() });
    asg.set_desired(at(10), "g", 3).unwrap();
    asg.advance(at(70));
    let waiting: Vec<GroupInstance> = asg
        .instances("g")
        .into_iter()
        .filter(|instance| instance.lifecycle_state == "Pending:Wait")
        .collect();
    let [instance] = waiting.as_slice() else { panic!("one launch waits: {waiting:?}") };
    asg.advance(at(130));
    assert_eq!(state(&asg, &instance.instance_id), "Terminating:Proceed");
    assert_eq!(asg.instances("g").len(), 4, "another one is launched");
}

#[test]
fn scale_in_passes_over_protected_instances() {
    let mut asg = world(GroupSpec::default());
    asg.protect("i-1", true);
    asg.protect("i-2", true);
    asg.set_desired(at(10), "g", 1).unwrap();
    asg.advance(at(100));
    assert_eq!(asg.instances("g").len(), 2);
    asg.terminate(at(100), "i-1", false).unwrap();
    assert_eq!(
        terminated(&asg.advance(at(200))),
        ["i-1"],
        "a user's request ignores the protection"
    );
}

#[test]
fn the_limits_of_a_group_are_kept() {
    let mut asg = world(GroupSpec { min: 2, ..with_hook() });
    assert!(asg.set_desired(at(10), "g", 11).is_err());
    let xml = [("InstanceId", "i-1"), ("ShouldDecrementDesiredCapacity", "true")];
    let error = call(&mut asg, at(10), "TerminateInstanceInAutoScalingGroup", &xml).unwrap_err();
    assert!(error.contains("desiredSize equals minSize (2)"), "{error}");
    let xml = [("InstanceId", "i-1"), ("ShouldDecrementDesiredCapacity", "false")];
    let activity = call(&mut asg, at(10), "TerminateInstanceInAutoScalingGroup", &xml).unwrap();
    assert_eq!(contents(&activity, "StatusCode"), ["InProgress"]);
    let again = call(&mut asg, at(11), "TerminateInstanceInAutoScalingGroup", &xml).unwrap_err();
    assert!(again.starts_with("ScalingActivityInProgress"), "{again}");
    let unknown = [("InstanceId", "i-9"), ("ShouldDecrementDesiredCapacity", "false")];
    let error =
        call(&mut asg, at(11), "TerminateInstanceInAutoScalingGroup", &unknown).unwrap_err();
    assert!(error.starts_with("ValidationError: Instance Id not found"), "{error}");
}

#[test]
fn reads_filter_page_and_pass_over_unknown_names() {
    let mut asg =
        world(GroupSpec { tags: [("Env".to_owned(), "prod".to_owned())].into(), ..with_hook() });
    for name in ["a", "b", "c"] {
        asg.add_group(GroupSpec { name: name.to_owned(), ..GroupSpec::default() });
    }
    let names = |xml: &str| contents(xml, "AutoScalingGroupName");
    let tagged =
        [("Filters.member.1.Name", "tag:Env"), ("Filters.member.1.Values.member.1", "prod")];
    assert_eq!(names(&call(&mut asg, at(1), "DescribeAutoScalingGroups", &tagged).unwrap()), ["g"]);
    let lower =
        [("Filters.member.1.Name", "tag:Env"), ("Filters.member.1.Values.member.1", "Prod")];
    assert!(names(&call(&mut asg, at(1), "DescribeAutoScalingGroups", &lower).unwrap()).is_empty());
    let some = [("AutoScalingGroupNames.member.1", "zz"), ("AutoScalingGroupNames.member.2", "b")];
    assert_eq!(names(&call(&mut asg, at(1), "DescribeAutoScalingGroups", &some).unwrap()), ["b"]);

    let first = call(&mut asg, at(1), "DescribeAutoScalingGroups", &[("MaxRecords", "3")]).unwrap();
    assert_eq!(names(&first), ["a", "b", "c"]);
    let token = contents(&first, "NextToken").pop().unwrap();
    let second =
        [("MaxRecords", "3"), ("NextToken", token.as_str()), ("IncludeInstances", "false")];
    let second = call(&mut asg, at(1), "DescribeAutoScalingGroups", &second).unwrap();
    assert_eq!((names(&second), contents(&second, "InstanceId").len()), (vec!["g".to_owned()], 0));
    let wrong =
        call(&mut asg, at(1), "DescribeAutoScalingGroups", &[("NextToken", "xyz")]).unwrap_err();
    assert!(wrong.starts_with("InvalidNextToken"), "{wrong}");

    let ids = [("InstanceIds.member.1", "i-2"), ("InstanceIds.member.2", "i-9")];
    let xml = call(&mut asg, at(1), "DescribeAutoScalingInstances", &ids).unwrap();
    assert_eq!(
        (contents(&xml, "InstanceId"), contents(&xml, "HealthStatus")),
        (vec!["i-2".into()], vec!["HEALTHY".into()])
    );
    let hooks =
        call(&mut asg, at(1), "DescribeLifecycleHooks", &[("AutoScalingGroupName", "g")]).unwrap();
    assert_eq!(contents(&hooks, "GlobalTimeout"), ["60000"]);
    assert!(
        call(&mut asg, at(1), "DescribeLifecycleHooks", &[("AutoScalingGroupName", "zz")]).is_err()
    );
}

#[test]
fn hooks_are_put_and_changed_through_the_api() {
    let mut asg = world(GroupSpec::default());
    let put = [
        ("AutoScalingGroupName", "g"),
        ("LifecycleHookName", "new"),
        ("LifecycleTransition", "autoscaling:EC2_INSTANCE_TERMINATING"),
    ];
    call(&mut asg, at(1), "PutLifecycleHook", &put).unwrap();
    let change =
        [("AutoScalingGroupName", "g"), ("LifecycleHookName", "new"), ("HeartbeatTimeout", "7200")];
    call(&mut asg, at(1), "PutLifecycleHook", &change).unwrap();
    let xml =
        call(&mut asg, at(1), "DescribeLifecycleHooks", &[("AutoScalingGroupName", "g")]).unwrap();
    assert_eq!(contents(&xml, "GlobalTimeout"), ["172800"]);
    assert_eq!(contents(&xml, "DefaultResult"), ["ABANDON"]);
    let short =
        [("AutoScalingGroupName", "g"), ("LifecycleHookName", "new"), ("HeartbeatTimeout", "29")];
    assert!(call(&mut asg, at(1), "PutLifecycleHook", &short).is_err());
}

#[test]
fn a_deleted_group_takes_its_instances_with_it() {
    let mut asg = world(with_hook());
    asg.terminate(at(10), "i-1", false).unwrap();
    asg.delete_group(at(20), "g");
    let effects = asg.advance(at(20));
    assert_eq!(
        terminated(&effects).len(),
        3,
        "the replacement that was on its way too: {effects:?}"
    );
    assert_eq!((asg.next_event(at(20)), asg.group_of("i-1")), (None, None));
    assert!(complete(&mut asg, at(21), "drain", "CONTINUE").unwrap_err().contains("no such group"));
}

#[test]
fn one_seed_gives_one_world() {
    let run = |seed| {
        let mut asg =
            AutoScaling::new(crate::REGION, "2026-01-01T00:00:00Z".parse().unwrap(), seed);
        asg.add_group(GroupSpec { name: "g".to_owned(), desired: 3, ..with_hook() });
        asg.set_desired(at(5), "g", 6).unwrap();
        let effects = asg.advance(at(500));
        (effects, asg.instances("g"))
    };
    assert_eq!(run(1), run(1));
    assert_ne!(run(1), run(2));
    let (_, instances) = run(1);
    assert!(instances.iter().all(
        |instance| instance.instance_id.len() == 19 && instance.instance_id.starts_with("i-0")
    ));
}
