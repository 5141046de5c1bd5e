//! Auto Scaling: reads of groups and instances, and lifecycle actions.

use super::told::{Told, ensure, refused, same};
use super::world::{Fleet, HOOK, Wanted, World};
use aws_sdk_autoscaling::types::AutoScalingGroup;
use std::collections::BTreeSet;

const NO_INSTANCE: &str = "i-0123456789abcdef0";
const TOKEN: &str = "bcd2f1b8-9a78-44d3-8a7a-4dd07d7cf635";
const NO_ACTION: &str = "No active Lifecycle Action found";

async fn group(w: &World, name: &str) -> Told<AutoScalingGroup> {
    let answer =
        w.autoscaling.describe_auto_scaling_groups().auto_scaling_group_names(name).send().await?;
    let found = answer.auto_scaling_groups.unwrap_or_default().pop();
    ensure!(found.is_some(), "{name} is not described");
    Ok(found.unwrap())
}

/// Returns the lifecycle state of an instance as its group shows it.
async fn state_in_group(w: &World, fleet: &Fleet, instance: &str) -> Told<Option<String>> {
    let group = group(w, &fleet.group).await?;
    let found = group.instances().iter().find(|found| found.instance_id() == Some(instance));
    Ok(found.and_then(|found| found.lifecycle_state()).map(|state| state.as_str().to_owned()))
}

async fn complete(w: &World, fleet: &Fleet, hook: &str, instance: &str, result: &str) -> Told {
    let complete = w.autoscaling.complete_lifecycle_action().auto_scaling_group_name(&fleet.group);
    let complete =
        complete.lifecycle_hook_name(hook).instance_id(instance).lifecycle_action_result(result);
    complete.send().await?;
    Ok(())
}

async fn beat(w: &World, fleet: &Fleet, hook: &str, instance: &str) -> Told {
    let beat =
        w.autoscaling.record_lifecycle_action_heartbeat().auto_scaling_group_name(&fleet.group);
    beat.lifecycle_hook_name(hook).instance_id(instance).send().await?;
    Ok(())
}

/// Complains unless no action of this hook is active for an instance, by both calls.
async fn none_active(w: &World, fleet: &Fleet, hook: &str, instance: &str) -> Told {
    let beat =
        w.autoscaling.record_lifecycle_action_heartbeat().auto_scaling_group_name(&fleet.group);
    let refusal =
        refused("a heartbeat", beat.lifecycle_hook_name(hook).instance_id(instance).send().await)?;
    refusal.is(400, "ValidationError")?;
    refusal.says(&format!("{NO_ACTION} with instance ID {instance}"))?;
    let complete = w.autoscaling.complete_lifecycle_action().auto_scaling_group_name(&fleet.group);
    let complete = complete
        .lifecycle_hook_name(hook)
        .instance_id(instance)
        .lifecycle_action_result("CONTINUE");
    let refusal = refused("a completion", complete.send().await)?;
    refusal.is(400, "ValidationError")?;
    refusal.says(&format!("{NO_ACTION} with instance ID {instance}"))
}

/// Not documented; unknown names are left out without an error.
pub async fn unknown_groups_are_left_out(w: &World) -> Told {
    let fleet = w.fleet().await?;
    let describe =
        w.autoscaling.describe_auto_scaling_groups().auto_scaling_group_names(&fleet.group);
    let answer = describe.auto_scaling_group_names("no-such-group").send().await?;
    let names =
        answer.auto_scaling_groups().iter().filter_map(|found| found.auto_scaling_group_name());
    same("groups", names.collect::<Vec<_>>(), [fleet.group.as_str()])
}

/// (Source: Auto Scaling API reference, DescribeAutoScalingInstances.)
pub async fn unknown_instances_are_left_out(w: &World) -> Told {
    let fleet = w.fleet().await?;
    let known = &fleet.members[0].ec2;
    let describe = w.autoscaling.describe_auto_scaling_instances().instance_ids(known);
    let answer = describe.instance_ids(NO_INSTANCE).send().await?;
    let shown = answer.auto_scaling_instances().iter().map(|found| {
        (found.instance_id(), found.auto_scaling_group_name(), found.lifecycle_state())
    });
    let wanted = (Some(known.as_str()), Some(fleet.group.as_str()), Some("InService"));
    same("instances", shown.collect::<Vec<_>>(), [wanted])
}

/// The program recognises the error by its words, since its code has many meanings. (Source:
/// kubernetes-retired/kube-deploy#99, for both.)
pub async fn hooks_of_an_unknown_group_cannot_be_read(w: &World) -> Told {
    let answer = w
        .autoscaling
        .describe_lifecycle_hooks()
        .auto_scaling_group_name("no-such-group")
        .send()
        .await;
    let refusal = refused("DescribeLifecycleHooks", answer)?;
    refusal.is(400, "ValidationError")?;
    refusal.says("AutoScalingGroup name not found")
}

/// The same error as for its hooks.
pub async fn the_warm_pool_of_an_unknown_group_cannot_be_read(w: &World) -> Told {
    let answer =
        w.autoscaling.describe_warm_pool().auto_scaling_group_name("no-such-group").send().await;
    let refusal = refused("DescribeWarmPool", answer)?;
    refusal.is(400, "ValidationError")?;
    refusal.says("AutoScalingGroup name not found")
}

/// (Source: Auto Scaling API reference, DescribeAutoScalingInstances: at most 50 ids.)
pub async fn fifty_one_instances_are_too_many(w: &World) -> Told {
    let ids = (0..51).map(|n| format!("i-{n:017x}")).collect();
    let answer =
        w.autoscaling.describe_auto_scaling_instances().set_instance_ids(Some(ids)).send().await;
    refused("DescribeAutoScalingInstances of 51", answer)?.is(400, "ValidationError")
}

/// (Source: Auto Scaling API reference, DescribeAutoScalingGroups: `MaxRecords` and `NextToken`.)
pub async fn groups_come_in_pages(w: &World) -> Told {
    let ours = w.fleet().await?.group;
    let other = format!("{}-2", w.name);
    w.other_group(&other).await?;
    let (mut seen, mut token) = (Vec::new(), None);
    for _ in 0..1000 {
        let page = w
            .autoscaling
            .describe_auto_scaling_groups()
            .max_records(1)
            .set_next_token(token)
            .send()
            .await?;
        ensure!(
            page.auto_scaling_groups().len() <= 1,
            "a page of {}",
            page.auto_scaling_groups().len()
        );
        let names = page
            .auto_scaling_groups()
            .iter()
            .filter_map(|found| found.auto_scaling_group_name.clone());
        seen.extend(names.filter(|name| name.starts_with(&w.name)));
        token = page.next_token;
        if token.is_none() {
            break;
        }
    }
    let once =
        [ours, other].iter().all(|name| seen.iter().filter(|found| *found == name).count() == 1);
    ensure!(once, "not once each: {seen:?}");
    Ok(())
}

/// (Source: Auto Scaling API reference, DescribeAutoScalingInstances: `MaxRecords` and
/// `NextToken`.)
pub async fn instances_come_in_pages(w: &World) -> Told {
    let fleet = w.fleet().await?;
    let ids: Vec<String> = fleet.members.iter().map(|member| member.ec2.clone()).collect();
    let (mut seen, mut token) = (Vec::new(), None);
    loop {
        let describe =
            w.autoscaling.describe_auto_scaling_instances().set_instance_ids(Some(ids.clone()));
        let page = describe.max_records(2).set_next_token(token).send().await?;
        ensure!(
            page.auto_scaling_instances().len() <= 2,
            "a page of {}",
            page.auto_scaling_instances().len()
        );
        seen.extend(
            page.auto_scaling_instances().iter().filter_map(|found| found.instance_id.clone()),
        );
        token = page.next_token;
        if token.is_none() {
            break;
        }
        ensure!(seen.len() <= 3, "more than there are: {seen:?}");
    }
    same(
        "all pages",
        seen.into_iter().collect::<BTreeSet<_>>(),
        ids.into_iter().collect::<BTreeSet<_>>(),
    )
}

/// (Source: Auto Scaling API reference, DescribeAutoScalingGroups and DescribeAutoScalingInstances:
/// `MaxRecords`.)
pub async fn a_page_is_of_a_hundred_groups_or_fifty_instances(w: &World) -> Told {
    w.autoscaling.describe_auto_scaling_groups().max_records(100).send().await?;
    let answer = w.autoscaling.describe_auto_scaling_groups().max_records(101).send().await;
    refused("DescribeAutoScalingGroups by 101", answer)?.is(400, "ValidationError")?;
    w.autoscaling.describe_auto_scaling_instances().max_records(50).send().await?;
    let answer = w.autoscaling.describe_auto_scaling_instances().max_records(51).send().await;
    refused("DescribeAutoScalingInstances by 51", answer)?.is(400, "ValidationError")
}

/// (Source: Auto Scaling API reference, DescribeAutoScalingGroups: InvalidNextToken.)
pub async fn a_token_that_is_none_is_refused(w: &World) -> Told {
    let answer = w.autoscaling.describe_auto_scaling_groups().next_token("no token").send().await;
    refused("DescribeAutoScalingGroups", answer)?.is(400, "InvalidNextToken")
}

/// (Source: Auto Scaling API reference, DescribeAutoScalingGroups: instances in a warm pool are not
/// returned.)
pub async fn members_of_a_warm_pool_are_read_apart(w: &World) -> Told {
    let fleet = w.fleet_of(Wanted { warm_pool: true, ..Wanted::default() }).await?;
    let described = group(w, &fleet.group).await?;
    same("instances of the group", described.instances().len(), 3)?;
    ensure!(
        described.warm_pool_configuration().is_some(),
        "the group does not say that it has a warm pool"
    );
    let pool =
        w.autoscaling.describe_warm_pool().auto_scaling_group_name(&fleet.group).send().await?;
    let states = pool
        .instances()
        .iter()
        .filter_map(|found| found.lifecycle_state())
        .map(|state| state.as_str());
    same("instances of the pool", states.collect::<Vec<_>>(), ["Warmed:Stopped"])
}

/// (Source: Auto Scaling API reference, DescribeAutoScalingGroups: `IncludeInstances`.)
pub async fn groups_can_be_read_without_their_instances(w: &World) -> Told {
    let fleet = w.fleet().await?;
    let describe =
        w.autoscaling.describe_auto_scaling_groups().auto_scaling_group_names(&fleet.group);
    let answer = describe.include_instances(false).send().await?;
    let shown = answer
        .auto_scaling_groups()
        .iter()
        .map(|found| (found.desired_capacity(), found.instances().len()));
    same("desired capacity and instances", shown.collect::<Vec<_>>(), [(Some(3), 0)])
}

/// The global timeout is the smaller of 48 hours and 100 heartbeat timeouts. (Source: Auto Scaling
/// API reference, LifecycleHook.)
pub async fn a_hook_says_how_long_it_holds(w: &World) -> Told {
    let fleet = w
        .fleet_of(Wanted {
            hooks: &[(HOOK, 120, "ABANDON"), ("longest", 7200, "CONTINUE")],
            ..Wanted::default()
        })
        .await?;
    let answer = w
        .autoscaling
        .describe_lifecycle_hooks()
        .auto_scaling_group_name(&fleet.group)
        .send()
        .await?;
    let shown: BTreeSet<_> = answer
        .lifecycle_hooks()
        .iter()
        .map(|hook| {
            (
                hook.lifecycle_hook_name(),
                hook.heartbeat_timeout(),
                hook.global_timeout(),
                hook.default_result(),
            )
        })
        .collect();
    let wanted = [
        (Some(HOOK), Some(120), Some(12_000), Some("ABANDON")),
        (Some("longest"), Some(7200), Some(172_800), Some("CONTINUE")),
    ];
    same("hooks", shown, BTreeSet::from(wanted))?;
    let terminating =
        |hook: &Option<String>| hook.as_deref() == Some("autoscaling:EC2_INSTANCE_TERMINATING");
    ensure!(
        answer.lifecycle_hooks().iter().all(|hook| terminating(&hook.lifecycle_transition)),
        "not terminating"
    );
    Ok(())
}

/// An instance in service has no action. (Source: the words of
/// spacelift-io/terraform-aws-spacelift-workerpool-on-ec2#197.)
pub async fn no_action_is_active_for_an_instance_in_service(w: &World) -> Told {
    let fleet = w.fleet().await?;
    none_active(w, &fleet, HOOK, &fleet.members[0].ec2).await
}

/// An instance that the group never had is refused in the same words.
pub async fn no_action_is_active_for_an_unknown_instance(w: &World) -> Told {
    let fleet = w.fleet().await?;
    none_active(w, &fleet, HOOK, NO_INSTANCE).await
}

/// A call that names an unknown group is refused as invalid. (Source: Auto Scaling API reference:
/// both calls have no error of their own for it.)
pub async fn an_action_of_an_unknown_group_is_invalid(w: &World) -> Told {
    let beat =
        w.autoscaling.record_lifecycle_action_heartbeat().auto_scaling_group_name("no-such-group");
    let answer = beat.lifecycle_hook_name(HOOK).instance_id(NO_INSTANCE).send().await;
    refused("a heartbeat", answer)?.is(400, "ValidationError")?;
    let complete =
        w.autoscaling.complete_lifecycle_action().auto_scaling_group_name("no-such-group");
    let complete = complete
        .lifecycle_hook_name(HOOK)
        .instance_id(NO_INSTANCE)
        .lifecycle_action_result("CONTINUE");
    refused("a completion", complete.send().await)?.is(400, "ValidationError")
}

/// A hook that is not the group's own is refused as invalid, and the wait continues.
pub async fn another_hook_s_name_ends_nothing(w: &World) -> Told {
    let fleet = w.fleet().await?;
    let instance = &fleet.members[0].ec2;
    w.held(instance).await?;
    let complete = w.autoscaling.complete_lifecycle_action().auto_scaling_group_name(&fleet.group);
    let complete = complete.lifecycle_hook_name("no-such-hook").instance_id(instance);
    let answer = complete.lifecycle_action_result("CONTINUE").send().await;
    refused("a completion", answer)?.is(400, "ValidationError")?;
    beat(w, &fleet, HOOK, instance).await
}

/// (Source: the words of department-of-veterans-affairs/va.gov-cms#1719.)
pub async fn a_wrong_token_ends_nothing(w: &World) -> Told {
    let fleet = w.fleet().await?;
    let instance = &fleet.members[0].ec2;
    w.held(instance).await?;
    let complete = w.autoscaling.complete_lifecycle_action().auto_scaling_group_name(&fleet.group);
    let complete = complete.lifecycle_hook_name(HOOK).lifecycle_action_token(TOKEN);
    let refusal =
        refused("a completion", complete.lifecycle_action_result("CONTINUE").send().await)?;
    refusal.is(400, "ValidationError")?;
    refusal.says(&format!("{NO_ACTION} with token {TOKEN}"))?;
    beat(w, &fleet, HOOK, instance).await
}

/// A terminating hook holds it, and both reads report that. (Source: EC2 Auto Scaling user guide,
/// "Lifecycle hooks".)
pub async fn a_terminated_instance_waits_under_its_hook(w: &World) -> Told {
    let fleet = w.fleet().await?;
    let instance = &fleet.members[0].ec2;
    w.held(instance).await?;
    same(
        "in its group",
        state_in_group(w, &fleet, instance).await?.as_deref(),
        Some("Terminating:Wait"),
    )?;
    w.pass(10).await;
    same("later", w.lifecycle_state(instance).await?.as_deref(), Some("Terminating:Wait"))
}

/// (Source: Auto Scaling API reference, TerminateInstanceInAutoScalingGroup:
/// `ShouldDecrementDesiredCapacity`.)
pub async fn a_termination_with_a_decrement_shrinks_the_group(w: &World) -> Told {
    let fleet = w.fleet().await?;
    w.held(&fleet.members[0].ec2).await?;
    same("desired capacity", group(w, &fleet.group).await?.desired_capacity(), Some(2))?;
    w.pass(20).await;
    same("instances", group(w, &fleet.group).await?.instances().len(), 3)
}

/// (Source: Auto Scaling API reference, TerminateInstanceInAutoScalingGroup:
/// `ShouldDecrementDesiredCapacity`.)
pub async fn a_termination_without_a_decrement_is_replaced(w: &World) -> Told {
    let fleet = w.fleet().await?;
    let instance = &fleet.members[0].ec2;
    let terminate = w.autoscaling.terminate_instance_in_auto_scaling_group().instance_id(instance);
    terminate.should_decrement_desired_capacity(false).send().await?;
    w.until("a replacement", 90, async || {
        let group = group(w, &fleet.group).await?;
        ensure!(
            group.desired_capacity() == Some(3),
            "desired capacity: {:?}",
            group.desired_capacity()
        );
        let state = |found: &aws_sdk_autoscaling::types::Instance| found.lifecycle_state.clone();
        let serving = group
            .instances()
            .iter()
            .filter(|found| state(found).is_some_and(|s| s.as_str() == "InService"));
        Ok((serving.count() == 3).then_some(()))
    })
    .await?;
    same("the old one", w.lifecycle_state(instance).await?.as_deref(), Some("Terminating:Wait"))
}

/// (Source: buildkite/elastic-ci-stack-for-aws#1261, for code and words.)
pub async fn a_group_of_its_smallest_size_cannot_be_shrunk(w: &World) -> Told {
    let fleet = w.fleet_of(Wanted { min: 3, ..Wanted::default() }).await?;
    let instance = &fleet.members[0].ec2;
    let terminate = w.autoscaling.terminate_instance_in_auto_scaling_group().instance_id(instance);
    let refusal =
        refused("a termination", terminate.should_decrement_desired_capacity(true).send().await)?;
    refusal.is(400, "ValidationError")?;
    refusal.says("desiredSize equals minSize")?;
    same("state", w.lifecycle_state(instance).await?.as_deref(), Some("InService"))
}

/// (Source: Auto Scaling API reference, TerminateInstanceInAutoScalingGroup: no error of its own
/// for it.)
pub async fn an_unknown_instance_cannot_be_terminated(w: &World) -> Told {
    let terminate =
        w.autoscaling.terminate_instance_in_auto_scaling_group().instance_id(NO_INSTANCE);
    let answer = terminate.should_decrement_desired_capacity(false).send().await;
    refused("a termination", answer)?.is(400, "ValidationError")
}

/// By instance id, and only once; then the instance leaves its group. (Source: Auto Scaling API
/// reference, CompleteLifecycleAction; convox/rack#2432 for the words.)
pub async fn a_completion_lets_go_and_is_taken_once(w: &World) -> Told {
    let fleet = w.fleet().await?;
    let instance = &fleet.members[0].ec2;
    w.held(instance).await?;
    complete(w, &fleet, HOOK, instance, "CONTINUE").await?;
    none_active(w, &fleet, HOOK, instance).await?;
    w.let_go(instance).await?;
    w.until("gone from its group", 90, async || {
        let gone = state_in_group(w, &fleet, instance).await?.is_none()
            && w.lifecycle_state(instance).await?.is_none();
        Ok(gone.then_some(()))
    })
    .await
}

/// On termination, both results release the instance. (Source: Auto Scaling API reference,
/// CompleteLifecycleAction.)
pub async fn an_abandoned_action_lets_go_too(w: &World) -> Told {
    let fleet = w.fleet().await?;
    let instance = &fleet.members[0].ec2;
    w.held(instance).await?;
    complete(w, &fleet, HOOK, instance, "ABANDON").await?;
    w.let_go(instance).await
}

/// Where the group retains abandoned instances, it keeps the instance and no longer counts it.
/// (Source: Auto Scaling API reference, RetentionTriggers; EC2 Auto Scaling user guide, "Instance
/// lifecycle policy".)
pub async fn an_abandoned_instance_is_retained_where_the_group_says_so(w: &World) -> Told {
    let fleet = w.fleet_of(Wanted { retains: true, ..Wanted::default() }).await?;
    let instance = &fleet.members[0].ec2;
    w.held(instance).await?;
    complete(w, &fleet, HOOK, instance, "ABANDON").await?;
    w.until("Terminating:Retained", 90, async || {
        Ok((w.lifecycle_state(instance).await?.as_deref() == Some("Terminating:Retained"))
            .then_some(()))
    })
    .await?;
    none_active(w, &fleet, HOOK, instance).await
}

/// The group deregisters the instance from its own balancers, and waits until they have drained it,
/// before any hook starts. (Source: EC2 Auto Scaling user guide, "Lifecycle hooks overview".)
pub async fn a_group_s_own_targets_are_gone_before_its_hook_holds(w: &World) -> Told {
    let arn = w.target_group("own", true).await?;
    let fleet = w.fleet_of(Wanted { target_group: Some(&arn), ..Wanted::default() }).await?;
    let instance = &fleet.members[0].ec2;
    w.until("three healthy targets", 90, async || {
        let healthy = w.targets(&arn).await?.iter().filter(|target| target.2 == "healthy").count();
        Ok((healthy == 3).then_some(()))
    })
    .await?;
    w.held(instance).await?;
    let targets = w.targets(&arn).await?;
    ensure!(
        targets.len() == 2 && targets.iter().all(|target| target.0 != *instance),
        "targets: {targets:?}"
    );
    Ok(())
}

/// (Source: EC2 Auto Scaling user guide, "Complete a lifecycle action": a heartbeat begins the
/// timeout anew.)
pub async fn a_heartbeat_holds_for_another_timeout_and_no_longer(w: &World) -> Told {
    let fleet =
        w.fleet_of(Wanted { hooks: &[(HOOK, 30, "CONTINUE")], ..Wanted::default() }).await?;
    let instance = &fleet.members[0].ec2;
    w.held(instance).await?;
    w.pass(15).await;
    beat(w, &fleet, HOOK, instance).await?;
    w.pass(20).await;
    // 35 s after its beginning, and 20 s after the heartbeat.
    same(
        "after the first timeout",
        w.lifecycle_state(instance).await?.as_deref(),
        Some("Terminating:Wait"),
    )?;
    w.let_go(instance).await?;
    none_active(w, &fleet, HOOK, instance).await
}

/// Each hook has an action of its own, and the group waits for all. (Source: ECS developer guide,
/// "Managed instance draining"; EC2 Auto Scaling user guide, "Lifecycle hooks": CONTINUE lets the
/// other hooks complete.)
pub async fn two_hooks_hold_until_both_continue(w: &World) -> Told {
    let fleet = w
        .fleet_of(Wanted {
            hooks: &[(HOOK, 3600, "CONTINUE"), ("other", 3600, "CONTINUE")],
            ..Wanted::default()
        })
        .await?;
    let instance = &fleet.members[0].ec2;
    w.held(instance).await?;
    complete(w, &fleet, HOOK, instance, "CONTINUE").await?;
    none_active(w, &fleet, HOOK, instance).await?;
    w.pass(10).await;
    same(
        "under the other",
        w.lifecycle_state(instance).await?.as_deref(),
        Some("Terminating:Wait"),
    )?;
    beat(w, &fleet, "other", instance).await?;
    complete(w, &fleet, "other", instance, "CONTINUE").await?;
    w.let_go(instance).await
}

/// (Source: EC2 Auto Scaling user guide, "Lifecycle hooks": ABANDON stops the other actions.)
pub async fn one_hook_that_abandons_ends_them_all(w: &World) -> Told {
    let fleet = w
        .fleet_of(Wanted {
            hooks: &[(HOOK, 3600, "CONTINUE"), ("other", 3600, "CONTINUE")],
            ..Wanted::default()
        })
        .await?;
    let instance = &fleet.members[0].ec2;
    w.held(instance).await?;
    complete(w, &fleet, "other", instance, "ABANDON").await?;
    none_active(w, &fleet, HOOK, instance).await?;
    w.let_go(instance).await
}

/// (Source: Auto Scaling API reference, DeleteLifecycleHook: terminating actions are completed with
/// CONTINUE.)
pub async fn a_deleted_hook_lets_go(w: &World) -> Told {
    let fleet = w.fleet().await?;
    let instance = &fleet.members[0].ec2;
    w.held(instance).await?;
    let delete = w.autoscaling.delete_lifecycle_hook().auto_scaling_group_name(&fleet.group);
    delete.lifecycle_hook_name(HOOK).send().await?;
    w.let_go(instance).await
}
