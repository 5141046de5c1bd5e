//! Classic load balancers: their lists, and their reports on instances.

use super::told::{Told, ensure, refused, same};
use super::world::World;
use aws_sdk_elasticloadbalancing::types::Instance;

const NO_BALANCER: &str = "no-such-balancer";

/// Returns id, state and description of an instance, or of all that are registered.
async fn states(w: &World, name: &str, id: Option<&str>) -> Told<Vec<(String, String, String)>> {
    let instances = id.map(|id| vec![Instance::builder().instance_id(id).build()]);
    let describe =
        w.elb.describe_instance_health().load_balancer_name(name).set_instances(instances);
    let answer = describe.send().await?;
    let words = |text: Option<&str>| text.unwrap_or_default().to_owned();
    let shown = answer
        .instance_states()
        .iter()
        .map(|s| (words(s.instance_id()), words(s.state()), words(s.description())));
    Ok(shown.collect())
}

/// Returns the instances that a balancer lists.
async fn listed(w: &World, name: &str) -> Told<Vec<String>> {
    let answer = w.elb.describe_load_balancers().load_balancer_names(name).send().await?;
    let instances =
        answer.load_balancer_descriptions().iter().flat_map(|balancer| balancer.instances());
    Ok(instances.filter_map(|instance| instance.instance_id.clone()).collect())
}

/// Creates a balancer with two instances in service; returns its name and their ids.
async fn in_service(w: &World) -> Told<(String, String, String)> {
    let fleet = w.fleet().await?;
    let (a, b) = (fleet.members[0].ec2.clone(), fleet.members[1].ec2.clone());
    let name = w.classic("balancer").await?;
    w.register_classic(&name, &a).await?;
    w.register_classic(&name, &b).await?;
    w.until("two in service", 90, async || {
        let states = states(w, &name, None).await?;
        Ok((states.iter().filter(|state| state.1 == "InService").count() == 2).then_some(()))
    })
    .await?;
    Ok((name, a, b))
}

/// Deregisters an instance. Returns those that remain, as in the answer.
async fn deregister(w: &World, name: &str, id: &str) -> Told<Vec<String>> {
    let instance = Instance::builder().instance_id(id).build();
    let deregister = w
        .elb
        .deregister_instances_from_load_balancer()
        .load_balancer_name(name)
        .instances(instance);
    let left = deregister.send().await?.instances.unwrap_or_default();
    Ok(left.into_iter().filter_map(|instance| instance.instance_id).collect())
}

/// The word on the wire differs from the model's. (Source: ELB API reference 2012-06-01, errors.)
pub async fn an_unknown_balancer_is_not_found(w: &World) -> Told {
    let answer = w.elb.describe_load_balancers().load_balancer_names(NO_BALANCER).send().await;
    refused("DescribeLoadBalancers", answer)?.is(400, "LoadBalancerNotFound")?;
    let answer = w.elb.describe_instance_health().load_balancer_name(NO_BALANCER).send().await;
    refused("DescribeInstanceHealth", answer)?.is(400, "LoadBalancerNotFound")
}

/// (Source: ELB API reference 2012-06-01, DescribeLoadBalancerAttributes.)
pub async fn an_unknown_balancer_has_no_attributes(w: &World) -> Told {
    let answer =
        w.elb.describe_load_balancer_attributes().load_balancer_name(NO_BALANCER).send().await;
    refused("DescribeLoadBalancerAttributes", answer)?.is(400, "LoadBalancerNotFound")
}

/// The program repeats the call in halves. (Source: ELB API reference 2012-06-01,
/// DescribeLoadBalancers.)
pub async fn one_unknown_name_fails_the_call(w: &World) -> Told {
    let name = w.classic("balancer").await?;
    let answer = w
        .elb
        .describe_load_balancers()
        .load_balancer_names(name)
        .load_balancer_names(NO_BALANCER)
        .send()
        .await;
    refused("DescribeLoadBalancers", answer)?.is(400, "LoadBalancerNotFound")
}

/// (Source: ELB API reference 2012-06-01, DescribeLoadBalancers: `PageSize`, `Marker` and
/// `NextMarker`.)
pub async fn balancers_come_in_pages(w: &World) -> Told {
    let ours = [w.classic("a").await?, w.classic("b").await?];
    let (mut seen, mut marker) = (Vec::new(), None);
    for _ in 0..1000 {
        let page = w.elb.describe_load_balancers().page_size(1).set_marker(marker).send().await?;
        let names = page
            .load_balancer_descriptions()
            .iter()
            .filter_map(|found| found.load_balancer_name.clone());
        let names: Vec<_> = names.collect();
        ensure!(names.len() <= 1, "a page of {}", names.len());
        seen.extend(names.into_iter().filter(|name| name.starts_with(&w.name)));
        marker = page.next_marker;
        if marker.is_none() {
            break;
        }
    }
    let once = ours.iter().all(|name| seen.iter().filter(|found| *found == name).count() == 1);
    ensure!(once, "{ours:?} are not once each in {seen:?}");
    Ok(())
}

/// (Source: ELB API reference 2012-06-01, ConnectionDraining.)
pub async fn a_balancer_says_how_long_it_drains(w: &World) -> Told {
    let name = w.classic("balancer").await?;
    let answer = w.elb.describe_load_balancer_attributes().load_balancer_name(name).send().await?;
    let draining =
        answer.load_balancer_attributes().and_then(|attributes| attributes.connection_draining());
    same(
        "draining",
        draining.map(|draining| (draining.enabled(), draining.timeout())),
        Some((true, Some(5))),
    )
}

/// (Source: ELB API reference 2012-06-01, DescribeInstanceHealth.)
pub async fn registered_instances_are_listed_and_in_service(w: &World) -> Told {
    let (name, a, b) = in_service(w).await?;
    let mut wanted = vec![a.clone(), b.clone()];
    wanted.sort();
    let mut members = listed(w, &name).await?;
    members.sort();
    same("the list", members, wanted)?;
    same(
        "a stated one",
        states(w, &name, Some(&a)).await?,
        [(a, "InService".to_owned(), "N/A".to_owned())],
    )
}

/// (Source: boto/boto#2274: `InvalidInstance`, "Could not find EC2 instance".)
pub async fn an_instance_that_was_never_registered_is_invalid(w: &World) -> Told {
    let fleet = w.fleet().await?;
    let name = w.classic("balancer").await?;
    let instance = Instance::builder().instance_id(&fleet.members[0].ec2).build();
    let answer =
        w.elb.describe_instance_health().load_balancer_name(name).instances(instance).send().await;
    refused("DescribeInstanceHealth", answer)?.is(400, "InvalidInstance")
}

/// While connections drain it is still `InService`: only the description shows it. (Source: Classic
/// Load Balancer guide, "Configure connection draining".)
pub async fn a_deregistered_instance_drains_in_service(w: &World) -> Told {
    let (name, a, _) = in_service(w).await?;
    deregister(w, &name, &a).await?;
    let words = "Instance deregistration currently in progress.";
    same(
        "its state",
        states(w, &name, Some(&a)).await?,
        [(a, "InService".to_owned(), words.to_owned())],
    )
}

/// Afterwards it is in no list, and its description shows that. (Source: Classic Load Balancer
/// guide, "Configure connection draining"; ELB API reference 2012-06-01,
/// DeregisterInstancesFromLoadBalancer.)
pub async fn a_drained_instance_is_out_of_service_and_listed_no_more(w: &World) -> Told {
    let (name, a, b) = in_service(w).await?;
    deregister(w, &name, &a).await?;
    w.until("one that is listed", 60, async || {
        Ok((listed(w, &name).await? == [b.clone()]).then_some(()))
    })
    .await?;
    let words = "Instance is not currently registered with the LoadBalancer.";
    same(
        "its state",
        states(w, &name, Some(&a)).await?,
        [(a, "OutOfService".to_owned(), words.to_owned())],
    )
}

/// (Source: ELB API reference 2012-06-01, DeregisterInstancesFromLoadBalancer.)
pub async fn a_deregistration_answers_those_that_remain(w: &World) -> Told {
    let (name, a, b) = in_service(w).await?;
    same("the answer", deregister(w, &name, &a).await?, [b])
}
