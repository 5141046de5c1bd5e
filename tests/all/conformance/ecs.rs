//! ECS: its reads, and changes of container instances.

use super::told::{Complaint, Told, ensure, refused, same};
use super::world::{Fleet, World};
use aws_sdk_ecs::types::{ContainerInstance, ContainerInstanceStatus, Failure};
use std::collections::BTreeSet;

const NO_CLUSTER: &str = "no-such-cluster";

/// Returns an ARN of something that does not exist.
fn unknown(w: &World, kind: &str, cluster: &str, n: usize) -> String {
    w.ecs_arn(&format!("{kind}/{cluster}/{n:032x}"))
}

/// Returns the id, which is the end of the ARN, and the reason of each failure.
fn reasons(failures: &[Failure]) -> Vec<(&str, &str)> {
    let pairs =
        failures.iter().map(|failure| (failure.arn(), failure.reason().unwrap_or_default()));
    pairs.map(|(arn, reason)| (arn.map(last).unwrap_or_default(), reason)).collect()
}

fn last(arn: &str) -> &str {
    arn.rsplit('/').next().unwrap_or_default()
}

async fn listed(
    w: &World,
    cluster: &str,
    status: Option<&str>,
    filter: Option<&str>,
) -> Told<BTreeSet<String>> {
    let list =
        w.ecs.list_container_instances().cluster(cluster).set_filter(filter.map(str::to_owned));
    let answer = list.set_status(status.map(ContainerInstanceStatus::from)).send().await?;
    Ok(answer.container_instance_arns.unwrap_or_default().into_iter().collect())
}

async fn set(w: &World, cluster: &str, arns: &[&str], status: &str) -> Told<Vec<(String, String)>> {
    let update = w.ecs.update_container_instances_state().cluster(cluster).status(status.into());
    let arns = arns.iter().map(|arn| (*arn).to_owned()).collect();
    let answer = update.set_container_instances(Some(arns)).send().await?;
    let shown = answer.container_instances().iter().map(|found| {
        let words = |text: Option<&str>| text.unwrap_or_default().to_owned();
        (words(found.container_instance_arn()), words(found.status()))
    });
    Ok(shown.collect())
}

async fn described(w: &World, cluster: &str, arn: &str) -> Told<Option<ContainerInstance>> {
    let describe = w.ecs.describe_container_instances().cluster(cluster).container_instances(arn);
    Ok(describe.send().await?.container_instances.unwrap_or_default().pop())
}

async fn status_is(w: &World, fleet: &Fleet, n: usize, wanted: &str) -> Told {
    let found = described(w, &fleet.cluster, &fleet.members[n].arn).await?;
    same("status", found.and_then(|found| found.status).as_deref(), Some(wanted))
}

/// An unknown cluster is an exception. (Source: ECS API reference, errors of ListContainerInstances
/// and ListTasks.)
pub async fn lists_refuse_an_unknown_cluster(w: &World) -> Told {
    let answer = w.ecs.list_container_instances().cluster(NO_CLUSTER).send().await;
    refused("ListContainerInstances", answer)?.is(400, "ClusterNotFoundException")?;
    let answer = w.ecs.list_tasks().cluster(NO_CLUSTER).send().await;
    refused("ListTasks", answer)?.is(400, "ClusterNotFoundException")
}

/// (Source: ECS API reference, errors of DescribeContainerInstances, DescribeTasks and
/// DescribeServices.)
pub async fn descriptions_refuse_an_unknown_cluster(w: &World) -> Told {
    let (instance, task) =
        (unknown(w, "container-instance", NO_CLUSTER, 1), unknown(w, "task", NO_CLUSTER, 1));
    let answer = w
        .ecs
        .describe_container_instances()
        .cluster(NO_CLUSTER)
        .container_instances(instance)
        .send()
        .await;
    refused("DescribeContainerInstances", answer)?.is(400, "ClusterNotFoundException")?;
    let answer = w.ecs.describe_tasks().cluster(NO_CLUSTER).tasks(task).send().await;
    refused("DescribeTasks", answer)?.is(400, "ClusterNotFoundException")?;
    let answer = w.ecs.describe_services().cluster(NO_CLUSTER).services("web").send().await;
    refused("DescribeServices", answer)?.is(400, "ClusterNotFoundException")
}

/// (Source: ECS API reference, errors of UpdateContainerInstancesState, DeregisterContainerInstance
/// and StopTask.)
pub async fn changes_refuse_an_unknown_cluster(w: &World) -> Told {
    let (instance, task) =
        (unknown(w, "container-instance", NO_CLUSTER, 1), unknown(w, "task", NO_CLUSTER, 1));
    let update =
        w.ecs.update_container_instances_state().cluster(NO_CLUSTER).container_instances(&instance);
    let answer = update.status(ContainerInstanceStatus::Draining).send().await;
    refused("UpdateContainerInstancesState", answer)?.is(400, "ClusterNotFoundException")?;
    let answer = w
        .ecs
        .deregister_container_instance()
        .cluster(NO_CLUSTER)
        .container_instance(&instance)
        .send()
        .await;
    refused("DeregisterContainerInstance", answer)?.is(400, "ClusterNotFoundException")?;
    let answer = w.ecs.stop_task().cluster(NO_CLUSTER).task(task).send().await;
    refused("StopTask", answer)?.is(400, "ClusterNotFoundException")
}

/// Only DescribeClusters reports it as a failure. (Source: ECS developer guide, "API failure
/// reasons".)
pub async fn an_unknown_cluster_is_missing_in_describe_clusters(w: &World) -> Told {
    let known = w.cluster("known").await?;
    let answer = w.ecs.describe_clusters().clusters(&known).clusters(NO_CLUSTER).send().await?;
    let names: Vec<_> =
        answer.clusters().iter().filter_map(|cluster| cluster.cluster_name()).collect();
    same("clusters", names, [known.as_str()])?;
    let failures = reasons(answer.failures());
    let missing =
        matches!(&failures[..], [(id, reason)] if *id == NO_CLUSTER && *reason == "MISSING");
    ensure!(missing, "failures: {failures:?}");
    Ok(())
}

/// A cluster counts its container instances, `ACTIVE` and `DRAINING` ones. (Source: ECS API
/// reference, Cluster.)
pub async fn a_cluster_counts_its_container_instances(w: &World) -> Told {
    let fleet = w.fleet().await?;
    set(w, &fleet.cluster, &[&fleet.members[0].arn], "DRAINING").await?;
    let answer = w.ecs.describe_clusters().clusters(&fleet.cluster).send().await?;
    let counts: Vec<_> = answer
        .clusters()
        .iter()
        .map(|found| found.registered_container_instances_count())
        .collect();
    same("registeredContainerInstancesCount", counts, [3])
}

/// An unknown one is an entry of `failures`, in the same answer as the known ones. (Source: ECS
/// developer guide, "API failure reasons".)
pub async fn unknown_container_instances_are_missing_beside_known_ones(w: &World) -> Told {
    let fleet = w.fleet().await?;
    let gone = unknown(w, "container-instance", &fleet.cluster, 1);
    let describe = w.ecs.describe_container_instances().cluster(&fleet.cluster);
    let answer = describe
        .container_instances(&fleet.members[0].arn)
        .container_instances(&gone)
        .send()
        .await?;
    let found: Vec<_> = answer
        .container_instances()
        .iter()
        .filter_map(|found| found.container_instance_arn())
        .collect();
    same("container instances", found, [fleet.members[0].arn.as_str()])?;
    same("failures", reasons(answer.failures()), [(last(&gone), "MISSING")])
}

/// (Source: ECS developer guide, "API failure reasons".)
pub async fn unknown_tasks_are_missing_beside_known_ones(w: &World) -> Told {
    let fleet = w.fleet().await?;
    let (known, gone) =
        (w.standalone(&fleet, &fleet.members[0]).await?, unknown(w, "task", &fleet.cluster, 1));
    let answer =
        w.ecs.describe_tasks().cluster(&fleet.cluster).tasks(&known).tasks(&gone).send().await?;
    let found: Vec<_> = answer.tasks().iter().filter_map(|found| found.task_arn()).collect();
    same("tasks", found, [known.as_str()])?;
    same("failures", reasons(answer.failures()), [(last(&gone), "MISSING")])
}

/// (Source: ECS developer guide, "API failure reasons".)
pub async fn unknown_services_are_missing(w: &World) -> Told {
    let cluster = w.cluster("cluster").await?;
    let answer =
        w.ecs.describe_services().cluster(&cluster).services("no-such-service").send().await?;
    let failures = reasons(answer.failures());
    let missing =
        matches!(&failures[..], [(id, reason)] if *id == "no-such-service" && *reason == "MISSING");
    ensure!(missing && answer.services().is_empty(), "failures: {failures:?}");
    Ok(())
}

/// At most 100 container instances, or tasks, and 10 services are described at once. (Source: ECS
/// API reference, DescribeContainerInstances, DescribeTasks and DescribeServices.)
pub async fn descriptions_of_too_many_are_refused(w: &World) -> Told {
    let cluster = w.cluster("cluster").await?;
    let many = |kind: &str, most: usize| {
        (0..=most).map(|n| unknown(w, kind, &cluster, n)).collect::<Vec<_>>()
    };
    let describe = w.ecs.describe_container_instances().cluster(&cluster);
    let answer =
        describe.set_container_instances(Some(many("container-instance", 100))).send().await;
    refused("DescribeContainerInstances of 101", answer)?.is(400, "InvalidParameterException")?;
    let answer =
        w.ecs.describe_tasks().cluster(&cluster).set_tasks(Some(many("task", 100))).send().await;
    refused("DescribeTasks of 101", answer)?.is(400, "InvalidParameterException")?;
    let answer = w
        .ecs
        .describe_services()
        .cluster(&cluster)
        .set_services(Some(many("service", 10)))
        .send()
        .await;
    refused("DescribeServices of 11", answer)?.is(400, "InvalidParameterException")
}

/// Eleven are one too many, and none of them is changed. (Source: ECS API reference,
/// UpdateContainerInstancesState; the words are those of minamijoyo/myaws#25.)
pub async fn eleven_container_instances_are_too_many_to_change(w: &World) -> Told {
    let fleet = w.fleet().await?;
    let unknown = (0..8).map(|n| unknown(w, "container-instance", &fleet.cluster, n));
    let eleven: Vec<String> =
        fleet.members.iter().map(|member| member.arn.clone()).chain(unknown).collect();
    let update = w.ecs.update_container_instances_state().cluster(&fleet.cluster);
    let update =
        update.status(ContainerInstanceStatus::Draining).set_container_instances(Some(eleven));
    let refusal = refused("UpdateContainerInstancesState of 11", update.send().await)?;
    refusal.is(400, "InvalidParameterException")?;
    refusal.says("can have at most 10 items")?;
    status_is(w, &fleet, 0, "ACTIVE").await
}

/// (Source: ECS developer guide, "Cluster query language": `ec2InstanceId` with `==` and `in`.)
pub async fn a_filter_finds_ec2_instances(w: &World) -> Told {
    let fleet = w.fleet().await?;
    let [a, b, _] = &fleet.members[..] else { return Err(Complaint("not three".to_owned())) };
    let one = listed(w, &fleet.cluster, None, Some(&format!("ec2InstanceId=={}", b.ec2))).await?;
    same("==", one, BTreeSet::from([b.arn.clone()]))?;
    let two =
        listed(w, &fleet.cluster, None, Some(&format!("ec2InstanceId in [{}, {}]", a.ec2, b.ec2)))
            .await?;
    same("in", two, BTreeSet::from([a.arn.clone(), b.arn.clone()]))?;
    let none = listed(w, &fleet.cluster, None, Some("ec2InstanceId==i-0123456789abcdef0")).await?;
    same("an instance of no cluster", none, BTreeSet::new())
}

/// Without a status, all but `INACTIVE` ones are listed. (Source: ECS API reference,
/// ListContainerInstances.)
pub async fn a_list_without_a_status_has_draining_ones_too(w: &World) -> Told {
    let fleet = w.fleet().await?;
    set(w, &fleet.cluster, &[&fleet.members[0].arn], "DRAINING").await?;
    same("listed", listed(w, &fleet.cluster, None, None).await?.len(), 3)
}

/// (Source: ECS API reference, ListContainerInstances.)
pub async fn a_list_can_be_of_one_status(w: &World) -> Told {
    let fleet = w.fleet().await?;
    let first = fleet.members[0].arn.clone();
    set(w, &fleet.cluster, &[&first], "DRAINING").await?;
    let active = listed(w, &fleet.cluster, Some("ACTIVE"), None).await?;
    ensure!(active.len() == 2 && !active.contains(&first), "ACTIVE: {active:?}");
    same(
        "DRAINING",
        listed(w, &fleet.cluster, Some("DRAINING"), None).await?,
        BTreeSet::from([first]),
    )
}

/// (Source: ECS API reference, ListContainerInstances: `maxResults` and `nextToken`.)
pub async fn container_instances_come_in_pages(w: &World) -> Told {
    let fleet = w.fleet().await?;
    let (mut seen, mut token) = (Vec::new(), None);
    loop {
        let list = w
            .ecs
            .list_container_instances()
            .cluster(&fleet.cluster)
            .max_results(2)
            .set_next_token(token);
        let page = list.send().await?;
        ensure!(
            page.container_instance_arns().len() <= 2,
            "a page of {}",
            page.container_instance_arns().len()
        );
        seen.extend_from_slice(page.container_instance_arns());
        token = page.next_token;
        if token.is_none() {
            break;
        }
        ensure!(seen.len() <= 3, "more than there are: {seen:?}");
    }
    seen.sort();
    same(
        "all pages",
        seen,
        fleet.members.iter().map(|member| member.arn.clone()).collect::<Vec<_>>(),
    )
}

/// (Source: ECS API reference, ListClusters: `maxResults` and `nextToken`.)
pub async fn clusters_come_in_pages(w: &World) -> Told {
    let ours = [w.cluster("a").await?, w.cluster("b").await?];
    let (mut seen, mut token) = (Vec::new(), None);
    for _ in 0..1000 {
        let page = w.ecs.list_clusters().max_results(1).set_next_token(token).send().await?;
        ensure!(page.cluster_arns().len() <= 1, "a page of {}", page.cluster_arns().len());
        seen.extend(
            page.cluster_arns()
                .iter()
                .filter(|arn| arn.contains(&format!("/{}-", w.name)))
                .cloned(),
        );
        token = page.next_token;
        if token.is_none() {
            break;
        }
    }
    let found = ours
        .iter()
        .all(|name| seen.iter().filter(|arn| arn.ends_with(&format!("/{name}"))).count() == 1);
    ensure!(found, "{ours:?} are not once each in {seen:?}");
    Ok(())
}

/// The fields that the program reads. (Source: ECS API reference, ContainerInstance.)
pub async fn a_container_instance_names_its_ec2_instance(w: &World) -> Told {
    let fleet = w.fleet().await?;
    let member = &fleet.members[0];
    let found = described(w, &fleet.cluster, &member.arn).await?;
    let found = found.ok_or_else(|| Complaint("it is not described".to_owned()))?;
    same("ec2InstanceId", found.ec2_instance_id(), Some(member.ec2.as_str()))?;
    same("status", found.status(), Some("ACTIVE"))?;
    same("agentConnected", found.agent_connected(), true)?;
    same("tasks", (found.running_tasks_count(), found.pending_tasks_count()), (0, 0))
}

/// The answer shows the new status, a description soon after it too, and it can be undone. (Source:
/// ECS API reference, UpdateContainerInstancesState.)
pub async fn draining_is_shown_and_can_be_undone(w: &World) -> Told {
    let fleet = w.fleet().await?;
    let arn = fleet.members[0].arn.clone();
    for status in ["DRAINING", "ACTIVE"] {
        let answer = set(w, &fleet.cluster, &[&arn], status).await?;
        same("the answer", answer, [(arn.clone(), status.to_owned())])?;
        status_is(w, &fleet, 0, status).await?;
    }
    status_is(w, &fleet, 1, "ACTIVE").await
}

/// Not documented; drainers set it in each of their loops.
pub async fn draining_may_be_set_twice(w: &World) -> Told {
    let fleet = w.fleet().await?;
    let arn = fleet.members[0].arn.clone();
    for _ in 0..2 {
        let answer = set(w, &fleet.cluster, &[&arn], "DRAINING").await?;
        same("the answer", answer, [(arn.clone(), "DRAINING".to_owned())])?;
    }
    Ok(())
}

/// Each change that causes an event increases the version. (Source: ECS API reference,
/// ContainerInstance.)
pub async fn a_change_of_status_raises_the_version(w: &World) -> Told {
    let fleet = w.fleet().await?;
    let arn = &fleet.members[0].arn;
    let before = described(w, &fleet.cluster, arn).await?.map(|found| found.version());
    set(w, &fleet.cluster, &[arn], "DRAINING").await?;
    let after = described(w, &fleet.cluster, arn).await?.map(|found| found.version());
    ensure!(after > before, "{before:?} before, {after:?} after");
    Ok(())
}

/// An unknown one does not delay the others. (Source: ECS API reference,
/// UpdateContainerInstancesState: `failures`.)
pub async fn a_change_fails_for_the_unknown_alone(w: &World) -> Told {
    let fleet = w.fleet().await?;
    let gone = unknown(w, "container-instance", &fleet.cluster, 1);
    let update =
        w.ecs.update_container_instances_state().cluster(&fleet.cluster).container_instances(&gone);
    let update =
        update.container_instances(&fleet.members[0].arn).status(ContainerInstanceStatus::Draining);
    let answer = update.send().await?;
    same("failures", reasons(answer.failures()), [(last(&gone), "MISSING")])?;
    same("changed", answer.container_instances().len(), 1)?;
    status_is(w, &fleet, 0, "DRAINING").await
}

/// ECS has no code of its own for it: the program recognises the error by its words. (Source: ECS
/// API reference, DeregisterContainerInstance, whose errors have none that is nearer.)
pub async fn an_unknown_container_instance_cannot_be_deregistered(w: &World) -> Told {
    let cluster = w.cluster("cluster").await?;
    let gone = unknown(w, "container-instance", &cluster, 1);
    let answer = w
        .ecs
        .deregister_container_instance()
        .cluster(&cluster)
        .container_instance(gone)
        .force(true);
    let refusal = refused("DeregisterContainerInstance", answer.send().await)?;
    refusal.is_one_of(400, &["InvalidParameterException", "ClientException"])?;
    refusal.says("not found")
}

/// (Source: ECS API reference, DeregisterContainerInstance: `force`; the words are those of its
/// users.)
pub async fn running_tasks_forbid_a_deregistration_without_force(w: &World) -> Told {
    let fleet = w.fleet().await?;
    let member = &fleet.members[0];
    w.standalone(&fleet, member).await?;
    let deregister = w
        .ecs
        .deregister_container_instance()
        .cluster(&fleet.cluster)
        .container_instance(&member.arn);
    let refusal = refused("DeregisterContainerInstance", deregister.send().await)?;
    refusal.is_one_of(400, &["InvalidParameterException", "ClientException"])?;
    refusal.says("found running tasks on the instance")?;
    status_is(w, &fleet, 0, "ACTIVE").await
}

/// It is never listed again. (Source: ECS API reference, ListContainerInstances.)
pub async fn a_deregistered_container_instance_is_listed_no_more(w: &World) -> Told {
    let fleet = w.fleet().await?;
    let arn = &fleet.members[0].arn;
    w.ecs
        .deregister_container_instance()
        .cluster(&fleet.cluster)
        .container_instance(arn)
        .send()
        .await?;
    let left = listed(w, &fleet.cluster, None, None).await?;
    ensure!(left.len() == 2 && !left.contains(arn), "{left:?}");
    let again =
        w.ecs.update_container_instances_state().cluster(&fleet.cluster).container_instances(arn);
    let again = again.status(ContainerInstanceStatus::Draining).send().await;
    // AWS does not document if it is an exception or a failure; it must not be a success.
    ensure!(
        again.is_err() || again.is_ok_and(|answer| answer.container_instances().is_empty()),
        "it drains"
    );
    Ok(())
}

/// For about an hour. (Source: ECS developer guide of 2023, "Container instance lifecycle".)
pub async fn a_deregistered_container_instance_is_inactive_for_a_while(w: &World) -> Told {
    let fleet = w.fleet().await?;
    let arn = &fleet.members[0].arn;
    let deregister =
        w.ecs.deregister_container_instance().cluster(&fleet.cluster).container_instance(arn);
    let answer = deregister.send().await?.container_instance;
    same("the answer", answer.and_then(|shown| shown.status).as_deref(), Some("INACTIVE"))?;
    status_is(w, &fleet, 0, "INACTIVE").await
}

/// ECS reports them as stopped whatever their containers do. (Source: aws/amazon-ecs-agent#125.)
pub async fn after_a_forced_deregistration_tasks_are_called_stopped(w: &World) -> Told {
    let fleet = w.fleet().await?;
    let member = &fleet.members[0];
    let task = w.standalone(&fleet, member).await?;
    let deregister = w
        .ecs
        .deregister_container_instance()
        .cluster(&fleet.cluster)
        .container_instance(&member.arn);
    deregister.force(true).send().await?;
    w.until("a task that is called STOPPED", 60, async || {
        Ok((w.last_status(&fleet.cluster, &task).await? == "STOPPED").then_some(()))
    })
    .await
}

/// With its agent connected it is deregistered, and its tasks are gone. (Source: ECS API reference,
/// DeregisterContainerInstance: a terminated instance with a connected agent is deregistered.)
pub async fn a_terminated_instance_leaves_its_cluster(w: &World) -> Told {
    let fleet = w.fleet().await?;
    let member = &fleet.members[0];
    let task = w.standalone(&fleet, member).await?;
    w.end(&fleet, &member.ec2).await?;
    w.until("gone from its cluster", 90, async || {
        Ok((!listed(w, &fleet.cluster, None, None).await?.contains(&member.arn)).then_some(()))
    })
    .await?;
    let task = w.task(&fleet.cluster, &task).await?.and_then(|task| task.last_status);
    ensure!(task.is_none() || task.as_deref() == Some("STOPPED"), "its task is {task:?}");
    Ok(())
}
