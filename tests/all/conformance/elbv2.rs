//! Application and Network Load Balancers: a target group's reports on its targets.

use super::told::{Told, ensure, refused, same};
use super::world::World;
use aws_sdk_elasticloadbalancingv2::types::TargetDescription;
use std::collections::BTreeSet;

/// A port other than the target group's own.
const PORT: i32 = 8080;

/// Returns state and reason of a target that is named by id and port.
async fn asked(w: &World, arn: &str, id: &str, port: i32) -> Told<Vec<(String, String)>> {
    let target = TargetDescription::builder().id(id).port(port).build();
    let answer =
        w.elbv2.describe_target_health().target_group_arn(arn).targets(target).send().await?;
    let states = answer
        .target_health_descriptions()
        .iter()
        .filter_map(|described| described.target_health());
    let states = states.map(|health| {
        let state = health.state().map(|state| state.as_str()).unwrap_or_default().to_owned();
        (state, health.reason().map(|reason| reason.as_str()).unwrap_or_default().to_owned())
    });
    Ok(states.collect())
}

/// Creates an instance of a group of its own, healthy behind a target group on [`PORT`]; returns
/// the target group and the instance's id.
async fn healthy(w: &World) -> Told<(String, String)> {
    let fleet = w.fleet().await?;
    let (arn, id) = (w.target_group("targets", true).await?, fleet.members[0].ec2.clone());
    w.register(&arn, &id, Some(PORT)).await?;
    w.until("a healthy target", 90, async || {
        let targets = w.targets(&arn).await?;
        Ok(targets.iter().any(|target| target.2 == "healthy").then_some(()))
    })
    .await?;
    Ok((arn, id))
}

async fn deregister(w: &World, arn: &str, id: &str, port: Option<i32>) -> Told {
    let target = TargetDescription::builder().id(id).set_port(port).build();
    w.elbv2.deregister_targets().target_group_arn(arn).targets(target).send().await?;
    Ok(())
}

/// (Source: ELBv2 API reference, errors of all three calls.)
pub async fn an_unknown_target_group_is_not_found(w: &World) -> Told {
    let place = format!("{}:{}", w.region, w.account);
    let none = format!("arn:aws:elasticloadbalancing:{place}:targetgroup/none/0123456789abcdef");
    let answer = w.elbv2.describe_target_health().target_group_arn(&none).send().await;
    refused("DescribeTargetHealth", answer)?.is(400, "TargetGroupNotFound")?;
    let answer = w.elbv2.describe_target_groups().target_group_arns(&none).send().await;
    refused("DescribeTargetGroups", answer)?.is(400, "TargetGroupNotFound")?;
    let answer = w.elbv2.describe_target_group_attributes().target_group_arn(&none).send().await;
    refused("DescribeTargetGroupAttributes", answer)?.is(400, "TargetGroupNotFound")
}

/// (Source: ELBv2 API reference, TargetGroup and TargetGroupAttribute.)
pub async fn a_target_group_says_its_protocol_and_its_delay(w: &World) -> Told {
    let arn = w.target_group("targets", true).await?;
    let answer = w.elbv2.describe_target_groups().target_group_arns(&arn).send().await?;
    let shown = answer.target_groups().iter().map(|group| {
        (
            group.protocol().map(|protocol| protocol.as_str()),
            group.target_type().map(|kind| kind.as_str()),
            group.port(),
        )
    });
    same("target groups", shown.collect::<Vec<_>>(), [(Some("HTTP"), Some("instance"), Some(80))])?;
    let answer = w.elbv2.describe_target_group_attributes().target_group_arn(&arn).send().await?;
    let delay = answer
        .attributes()
        .iter()
        .find(|a| a.key() == Some("deregistration_delay.timeout_seconds"));
    same("the delay", delay.and_then(|attribute| attribute.value()), Some("5"))
}

/// It is no error. (Source: getmoto/moto#7692 and aws/aws-sdk-js#1593, answers of the real
/// service.)
pub async fn a_target_that_was_never_registered_is_unused(w: &World) -> Told {
    let fleet = w.fleet().await?;
    let arn = w.target_group("targets", true).await?;
    let states = asked(w, &arn, &fleet.members[0].ec2, PORT).await?;
    same("states", states, [("unused".to_owned(), "Target.NotRegistered".to_owned())])?;
    same("the list", w.targets(&arn).await?, [])
}

/// (Source: ELBv2 API reference, TargetHealth: `initial` with two reasons, then `healthy`.)
pub async fn a_new_target_is_initial_and_then_healthy(w: &World) -> Told {
    let fleet = w.fleet().await?;
    let (arn, id) = (w.target_group("targets", true).await?, &fleet.members[0].ec2);
    w.register(&arn, id, Some(PORT)).await?;
    let first = w.targets(&arn).await?;
    let [(known, PORT, state, reason)] = &first[..] else {
        ensure!(false, "listed: {first:?}");
        return Ok(());
    };
    let new =
        ["Elb.RegistrationInProgress", "Elb.InitialHealthChecking"].contains(&reason.as_str());
    ensure!(known == id && state == "initial" && new, "at first: {first:?}");
    w.until("a healthy target", 90, async || {
        Ok((w.targets(&arn).await? == [(id.clone(), PORT, "healthy".to_owned(), String::new())])
            .then_some(()))
    })
    .await
}

/// (Source: moto's test_register_targets, whose assertions were run against AWS.)
pub async fn a_target_without_a_port_has_its_group_s(w: &World) -> Told {
    let fleet = w.fleet().await?;
    let (arn, id) = (w.target_group("targets", true).await?, &fleet.members[0].ec2);
    w.register(&arn, id, None).await?;
    let listed = w.targets(&arn).await?;
    same(
        "the list",
        listed.iter().map(|t| (t.0.as_str(), t.1)).collect::<Vec<_>>(),
        [(id.as_str(), 80)],
    )
}

/// (Source: ELBv2 API reference, RegisterTargets: the same instance may be registered several
/// times, with different ports.)
pub async fn two_ports_of_an_instance_are_two_targets(w: &World) -> Told {
    let fleet = w.fleet().await?;
    let (arn, id) = (w.target_group("targets", true).await?, &fleet.members[0].ec2);
    w.register(&arn, id, Some(PORT)).await?;
    w.register(&arn, id, Some(PORT + 1)).await?;
    let ports: BTreeSet<i32> = w.targets(&arn).await?.iter().map(|target| target.1).collect();
    same("ports", ports, BTreeSet::from([PORT, PORT + 1]))
}

/// It is still registered. (Source: ELBv2 API reference, TargetHealth: `Target.NotInUse`.)
pub async fn a_target_of_a_group_that_no_listener_uses_is_unused(w: &World) -> Told {
    let fleet = w.fleet().await?;
    let (arn, id) = (w.target_group("targets", false).await?, &fleet.members[0].ec2);
    w.register(&arn, id, Some(PORT)).await?;
    let wanted = (id.clone(), PORT, "unused".to_owned(), "Target.NotInUse".to_owned());
    same("the list", w.targets(&arn).await?, [wanted])
}

/// All at once, without pages. (Source: ELBv2 API reference, DescribeTargetHealth, which has no
/// marker.)
pub async fn all_targets_come_in_one_answer(w: &World) -> Told {
    let arn = w.target_group_of_addresses("addresses").await?;
    let targets = (0..500).map(|n| format!("10.0.{}.{}", n / 250, n % 250 + 4));
    let targets: Vec<_> =
        targets.map(|id| TargetDescription::builder().id(id).port(80).build()).collect();
    for some in targets.chunks(100) {
        let register =
            w.elbv2.register_targets().target_group_arn(&arn).set_targets(Some(some.to_vec()));
        register.send().await?;
    }
    same("listed", w.targets(&arn).await?.len(), 500)
}

/// It drains for the delay, even without requests in progress. (Source: Application Load Balancer
/// guide, "Edit target group attributes".)
pub async fn a_deregistered_target_drains(w: &World) -> Told {
    let (arn, id) = healthy(w).await?;
    deregister(w, &arn, &id, Some(PORT)).await?;
    let state = ("draining".to_owned(), "Target.DeregistrationInProgress".to_owned());
    same(
        "the list",
        w.targets(&arn).await?,
        [(id.clone(), PORT, state.0.clone(), state.1.clone())],
    )?;
    same("by id", asked(w, &arn, &id, PORT).await?, [state])
}

/// Afterwards it is in no list, and a query by id answers `unused`. (Source: moto's
/// test_register_targets, whose assertions were run against AWS.)
pub async fn a_drained_target_is_gone_from_the_list(w: &World) -> Told {
    let (arn, id) = healthy(w).await?;
    deregister(w, &arn, &id, Some(PORT)).await?;
    w.until("an empty list", 60, async || Ok(w.targets(&arn).await?.is_empty().then_some(())))
        .await?;
    let unused = ("unused".to_owned(), "Target.NotRegistered".to_owned());
    same("by id", asked(w, &arn, &id, PORT).await?, [unused])
}

/// (Source: ELBv2 API reference, DeregisterTargets.)
pub async fn an_unknown_target_is_deregistered_with_success(w: &World) -> Told {
    let fleet = w.fleet().await?;
    let arn = w.target_group("targets", true).await?;
    deregister(w, &arn, &fleet.members[0].ec2, Some(PORT)).await
}

/// The call succeeds and does nothing. (Source: ELBv2 API reference, DeregisterTargets;
/// chaostoolkit/chaostoolkit-aws#60.)
pub async fn without_its_port_a_target_is_not_deregistered(w: &World) -> Told {
    let (arn, id) = healthy(w).await?;
    deregister(w, &arn, &id, None).await?;
    w.pass(10).await;
    let listed = w.targets(&arn).await?;
    same("the list", listed, [(id, PORT, "healthy".to_owned(), String::new())])
}

/// It leaves the list, while a query by id shows it as draining for ever: so the program never
/// queries by id. (Source: moto's test_register_targets, whose assertions were run against AWS.)
pub async fn a_terminated_instance_leaves_the_list_and_never_stops_draining(w: &World) -> Told {
    let fleet = w.fleet().await?;
    let (arn, id) = (w.target_group("targets", true).await?, &fleet.members[0].ec2);
    w.register(&arn, id, Some(PORT)).await?;
    w.end(&fleet, id).await?;
    w.until("an empty list", 60, async || Ok(w.targets(&arn).await?.is_empty().then_some(())))
        .await?;
    w.pass(20).await;
    let draining = ("draining".to_owned(), "Target.DeregistrationInProgress".to_owned());
    same("by id", asked(w, &arn, id, PORT).await?, [draining])
}
