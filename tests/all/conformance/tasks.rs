//! ECS: tasks, and their fate while their instance drains.

use super::told::{Complaint, Told, ensure, refused, same};
use super::world::{Fleet, Member, World};
use aws_sdk_ecs::types::{ContainerInstanceStatus, DesiredStatus, Task};
use std::collections::BTreeSet;

/// The states of a stopping task, in their order. (Source: ECS developer guide, "Task lifecycle".)
const WAY_OUT: [&str; 5] = ["RUNNING", "DEACTIVATING", "STOPPING", "DEPROVISIONING", "STOPPED"];

async fn listed(
    w: &World,
    fleet: &Fleet,
    on: &Member,
    desired: Option<DesiredStatus>,
) -> Told<BTreeSet<String>> {
    let list = w
        .ecs
        .list_tasks()
        .cluster(&fleet.cluster)
        .container_instance(&on.arn)
        .set_desired_status(desired);
    Ok(list.send().await?.task_arns.unwrap_or_default().into_iter().collect())
}

async fn drain(w: &World, fleet: &Fleet, member: &Member) -> Told {
    let update = w.ecs.update_container_instances_state().cluster(&fleet.cluster);
    update
        .status(ContainerInstanceStatus::Draining)
        .container_instances(&member.arn)
        .send()
        .await?;
    Ok(())
}

async fn stop(w: &World, fleet: &Fleet, task: &str, reason: &str) -> Told {
    w.ecs.stop_task().cluster(&fleet.cluster).task(task).reason(reason).send().await?;
    Ok(())
}

async fn known(w: &World, fleet: &Fleet, arn: &str) -> Told<Task> {
    w.task(&fleet.cluster, arn).await?.ok_or_else(|| Complaint(format!("{arn} is not described")))
}

/// Returns `runningTasksCount` and `pendingTasksCount` of a container instance.
async fn counted(w: &World, fleet: &Fleet, member: &Member) -> Told<(i32, i32)> {
    let describe = w
        .ecs
        .describe_container_instances()
        .cluster(&fleet.cluster)
        .container_instances(&member.arn);
    let answer = describe.send().await?;
    let counts = answer
        .container_instances()
        .first()
        .map(|c| (c.running_tasks_count(), c.pending_tasks_count()));
    counts.ok_or_else(|| Complaint("it is not described".to_owned()))
}

/// (Source: ECS API reference, Task.)
pub async fn a_task_says_where_it_runs(w: &World) -> Told {
    let fleet = w.fleet().await?;
    let member = &fleet.members[0];
    let task = w.standalone(&fleet, member).await?;
    let task = known(w, &fleet, &task).await?;
    same("containerInstanceArn", task.container_instance_arn(), Some(member.arn.as_str()))?;
    same("desiredStatus", task.desired_status(), Some("RUNNING"))?;
    same("group", task.group(), Some(format!("family:{}", w.family("batch")).as_str()))
}

/// (Source: ECS API reference, NetworkBinding.)
pub async fn a_task_shows_its_host_port(w: &World) -> Told {
    let fleet = w.fleet().await?;
    let task = w.standalone(&fleet, &fleet.members[0]).await?;
    let task = known(w, &fleet, &task).await?;
    let bindings = task.containers().iter().flat_map(|container| container.network_bindings());
    let ports: Vec<_> = bindings.filter_map(|binding| binding.host_port()).collect();
    ensure!(ports.len() == 1 && ports[0] > 0, "host ports: {ports:?}");
    Ok(())
}

/// In the details of an attachment, in this spelling. (Source: ECS API reference, Attachment; ECS
/// developer guide, "ECS events", whose sample has them.)
pub async fn a_task_with_a_network_interface_shows_its_address(w: &World) -> Told {
    let fleet = w.fleet().await?;
    let task = w.standalone_with_address(&fleet).await?;
    let task = known(w, &fleet, &task).await?;
    let interfaces =
        task.attachments().iter().filter(|found| found.r#type() == Some("ElasticNetworkInterface"));
    let details: Vec<_> = interfaces.flat_map(|interface| interface.details()).collect();
    let address = details
        .iter()
        .find(|detail| detail.name() == Some("privateIPv4Address"))
        .and_then(|d| d.value());
    ensure!(
        address.is_some_and(|text| text.parse::<std::net::Ipv4Addr>().is_ok()),
        "details: {details:?}"
    );
    Ok(())
}

/// (Source: ECS API reference, Task: `group`; Service: `loadBalancers`.)
pub async fn a_task_names_its_service_and_that_its_balancers(w: &World) -> Told {
    let fleet = w.fleet().await?;
    let service = w.service(&fleet).await?;
    let task = known(w, &fleet, &service.task).await?;
    same("group", task.group(), Some("service:web"))?;
    ensure!(
        task.started_by().is_some_and(|by| by.starts_with("ecs-svc/")),
        "startedBy: {:?}",
        task.started_by()
    );
    let answer =
        w.ecs.describe_services().cluster(&fleet.cluster).services(&service.name).send().await?;
    let balancers: Vec<_> =
        answer.services().iter().flat_map(|found| found.load_balancers()).collect();
    let groups: Vec<_> =
        balancers.iter().filter_map(|balancer| balancer.target_group_arn()).collect();
    same("target groups", groups, [service.target_group.as_str()])?;
    let classic: Vec<_> =
        balancers.iter().filter_map(|balancer| balancer.load_balancer_name()).collect();
    same(
        "classic load balancers",
        classic,
        service.classic.as_deref().into_iter().collect::<Vec<_>>(),
    )
}

/// (Source: ECS API reference, ListTasks: `containerInstance`.)
pub async fn tasks_are_listed_by_container_instance(w: &World) -> Told {
    let fleet = w.fleet().await?;
    let task = w.standalone(&fleet, &fleet.members[0]).await?;
    let other = w.standalone(&fleet, &fleet.members[1]).await?;
    same("the first", listed(w, &fleet, &fleet.members[0], None).await?, BTreeSet::from([task]))?;
    same("the second", listed(w, &fleet, &fleet.members[1], None).await?, BTreeSet::from([other]))?;
    same("the third", listed(w, &fleet, &fleet.members[2], None).await?, BTreeSet::new())
}

/// (Source: ECS API reference, ListTasks: `serviceName`.)
pub async fn tasks_are_listed_by_service(w: &World) -> Told {
    let fleet = w.fleet().await?;
    let service = w.service(&fleet).await?;
    w.standalone(&fleet, &service.member).await?;
    let list =
        w.ecs.list_tasks().cluster(&fleet.cluster).service_name(&service.name).send().await?;
    same("tasks of the service", list.task_arns(), [service.task])
}

/// (Source: ECS API reference, ListTasks: `maxResults` and `nextToken`.)
pub async fn tasks_come_in_pages(w: &World) -> Told {
    let fleet = w.fleet().await?;
    let mut tasks = Vec::new();
    for member in &fleet.members {
        tasks.push(w.standalone(&fleet, member).await?);
    }
    let (mut seen, mut token) = (Vec::new(), None);
    loop {
        let page = w
            .ecs
            .list_tasks()
            .cluster(&fleet.cluster)
            .max_results(2)
            .set_next_token(token)
            .send()
            .await?;
        ensure!(page.task_arns().len() <= 2, "a page of {}", page.task_arns().len());
        seen.extend_from_slice(page.task_arns());
        token = page.next_token;
        if token.is_none() {
            break;
        }
        ensure!(seen.len() <= 3, "more than there are: {seen:?}");
    }
    seen.sort();
    tasks.sort();
    same("all pages", seen, tasks)
}

/// Without a desired status the list is of `RUNNING`: a task that is being stopped has left it
/// while its containers run. (Source: ECS API reference, ListTasks; aws-samples/ecs-cid-sample#27.)
pub async fn a_task_that_is_being_stopped_leaves_the_usual_list_at_once(w: &World) -> Told {
    let fleet = w.fleet().await?;
    let member = &fleet.members[0];
    let task = w.standalone(&fleet, member).await?;
    stop(w, &fleet, &task, "a check").await?;
    same("the usual list", listed(w, &fleet, member, None).await?, BTreeSet::new())?;
    let running = listed(w, &fleet, member, Some(DesiredStatus::Running)).await?;
    same("desired RUNNING", running, BTreeSet::new())?;
    let stopped = listed(w, &fleet, member, Some(DesiredStatus::Stopped)).await?;
    same("desired STOPPED", stopped, BTreeSet::from([task]))
}

/// ECS never desires a task `PENDING`. (Source: ECS API reference, ListTasks.)
pub async fn no_task_is_wanted_pending(w: &World) -> Told {
    let fleet = w.fleet().await?;
    w.standalone(&fleet, &fleet.members[0]).await?;
    let pending = listed(w, &fleet, &fleet.members[0], Some(DesiredStatus::Pending)).await?;
    same("desired PENDING", pending, BTreeSet::new())
}

/// Such a task is in neither count while its containers still run. (Source: ECS API reference,
/// ContainerInstance; aws-samples/ecs-cid-sample#29.)
pub async fn a_task_that_is_being_stopped_is_not_counted(w: &World) -> Told {
    let fleet = w.fleet().await?;
    let member = &fleet.members[0];
    let task = w.standalone(&fleet, member).await?;
    same("counted before", counted(w, &fleet, member).await?, (1, 0))?;
    stop(w, &fleet, &task, "a check").await?;
    let counted = counted(w, &fleet, member).await?;
    let status = w.last_status(&fleet.cluster, &task).await?;
    ensure!(status != "STOPPED", "it is STOPPED already");
    same("counted after", counted, (0, 0))
}

/// (Source: ECS API reference, StopTask and Task; ECS developer guide, "Task lifecycle".)
pub async fn a_stopped_task_goes_through_its_states_and_says_why(w: &World) -> Told {
    let fleet = w.fleet().await?;
    let task = w.standalone(&fleet, &fleet.members[0]).await?;
    stop(w, &fleet, &task, "a check").await?;
    same("desiredStatus", known(w, &fleet, &task).await?.desired_status(), Some("STOPPED"))?;
    leaves(w, &fleet, &task).await?;
    let task = known(w, &fleet, &task).await?;
    same("stopCode", task.stop_code().map(|code| code.as_str()), Some("UserInitiated"))?;
    same("stoppedReason", task.stopped_reason(), Some("a check"))
}

/// Waits until a task is stopped; complains about an unknown state, or a step back.
async fn leaves(w: &World, fleet: &Fleet, task: &str) -> Told {
    let (mut furthest, seconds) = (0, 90 * w.patience());
    for _ in 0..seconds {
        let status = w.last_status(&fleet.cluster, task).await?;
        let step = WAY_OUT.iter().position(|known| *known == status);
        let step = step.ok_or_else(|| Complaint(format!("{status:?} on the way out")))?;
        ensure!(step >= furthest, "{status} after {}", WAY_OUT[furthest]);
        furthest = step;
        if status == "STOPPED" {
            return Ok(());
        }
        w.pass(1).await;
    }
    Err(Complaint(format!("still {} after {seconds} s", WAY_OUT[furthest])))
}

/// The program recognises the error by its words, since its code has many meanings. (Source:
/// griptape-ai/griptape-nodes-engine#1454, for both.)
pub async fn an_unknown_task_cannot_be_stopped(w: &World) -> Told {
    let cluster = w.cluster("cluster").await?;
    let gone = w.ecs_arn(&format!("task/{cluster}/{:032x}", 1));
    let refusal = refused("StopTask", w.ecs.stop_task().cluster(&cluster).task(gone).send().await)?;
    refusal.is(400, "InvalidParameterException")?;
    refusal.says("the referenced task was not found")
}

/// (Source: getmoto/moto#5910, an answer of the real ECS.)
pub async fn an_unknown_task_definition_is_a_client_exception(w: &World) -> Told {
    let answer = w.ecs.describe_task_definition().task_definition("no-such-family:1").send().await;
    let refusal = refused("DescribeTaskDefinition", answer)?;
    refusal.is(400, "ClientException")?;
    refusal.says("unable to describe task definition")
}

/// (Source: ECS API reference, GetTaskProtection; ECS developer guide, "API failure reasons".)
pub async fn a_task_of_no_service_has_no_protection(w: &World) -> Told {
    let fleet = w.fleet().await?;
    let task = w.standalone(&fleet, &fleet.members[0]).await?;
    let answer = w.ecs.get_task_protection().cluster(&fleet.cluster).tasks(&task).send().await?;
    let failures: Vec<_> =
        answer.failures().iter().map(|failure| (failure.arn(), failure.reason())).collect();
    same("failures", failures, [(Some(task.as_str()), Some("TASK_NOT_VALID"))])
}

/// (Source: ECS API reference, UpdateTaskProtection and GetTaskProtection.)
pub async fn a_protected_task_says_until_when(w: &World) -> Told {
    let fleet = w.fleet().await?;
    let service = w.service(&fleet).await?;
    let update = w.ecs.update_task_protection().cluster(&fleet.cluster).tasks(&service.task);
    update.protection_enabled(true).expires_in_minutes(60).send().await?;
    let answer =
        w.ecs.get_task_protection().cluster(&fleet.cluster).tasks(&service.task).send().await?;
    let shown = answer
        .protected_tasks()
        .iter()
        .map(|task| (task.protection_enabled(), task.expiration_date().is_some()));
    same("protected tasks", shown.collect::<Vec<_>>(), [(true, true)])
}

/// (Source: ECS API reference, UpdateContainerInstancesState.)
pub async fn draining_leaves_tasks_of_no_service_alone(w: &World) -> Told {
    let fleet = w.fleet().await?;
    let member = &fleet.members[0];
    let task = w.standalone(&fleet, member).await?;
    drain(w, &fleet, member).await?;
    w.pass(10).await;
    let task = known(w, &fleet, &task).await?;
    same("states", (task.last_status(), task.desired_status()), (Some("RUNNING"), Some("RUNNING")))
}

/// The service's task passes through its states, and is in no count from the first of them on.
/// (Source: ECS developer guide, "Container instance draining" and "Task lifecycle"; ECS API
/// reference, Task: `stopCode`.)
pub async fn draining_moves_a_service_s_task_away(w: &World) -> Told {
    let fleet = w.fleet().await?;
    let service = w.service(&fleet).await?;
    drain(w, &fleet, &service.member).await?;
    w.until("a task that is on its way out", 90, async || {
        Ok((known(w, &fleet, &service.task).await?.desired_status() == Some("STOPPED"))
            .then_some(()))
    })
    .await?;
    same("counted", counted(w, &fleet, &service.member).await?, (0, 0))?;
    ensure!(w.last_status(&fleet.cluster, &service.task).await? != "STOPPED", "it stopped at once");
    leaves(w, &fleet, &service.task).await?;
    let code = known(w, &fleet, &service.task).await?.stop_code;
    same("stopCode", code.as_ref().map(|code| code.as_str()), Some("ServiceSchedulerInitiated"))
}

/// ECS waits until the load balancer has drained the target before it stops a task's containers.
/// (Source: ECS developer guide, "Load balancer connection draining".)
pub async fn a_service_s_targets_are_gone_before_its_task_is_stopped(w: &World) -> Told {
    let fleet = w.fleet().await?;
    let service = w.service(&fleet).await?;
    drain(w, &fleet, &service.member).await?;
    let (mut drained, seconds) = (false, 90 * w.patience());
    for _ in 0..seconds {
        let targets = w.targets(&service.target_group).await?;
        let ours: Vec<_> = targets.iter().filter(|target| target.0 == service.member.ec2).collect();
        drained |= ours.iter().any(|target| target.2 == "draining");
        // The targets are read again after the status: a target never comes back, so one that is
        // listed then was still registered when the task was `STOPPED`.
        if w.last_status(&fleet.cluster, &service.task).await? == "STOPPED" {
            let ours = w
                .targets(&service.target_group)
                .await?
                .into_iter()
                .find(|t| t.0 == service.member.ec2);
            ensure!(ours.is_none(), "the task is STOPPED, its target {ours:?}");
            ensure!(drained, "no target was ever draining");
            return Ok(());
        }
        w.pass(1).await;
    }
    Err(Complaint(format!("the task is not STOPPED after {seconds} s")))
}

/// (Source: ECS developer guide, "Container instance draining".)
pub async fn a_service_replaces_what_drains_elsewhere(w: &World) -> Told {
    let fleet = w.fleet().await?;
    let service = w.service(&fleet).await?;
    drain(w, &fleet, &service.member).await?;
    let new = w
        .until("another task of the service", 60, async || {
            let list = w
                .ecs
                .list_tasks()
                .cluster(&fleet.cluster)
                .service_name(&service.name)
                .send()
                .await?;
            Ok(list.task_arns.unwrap_or_default().into_iter().find(|task| *task != service.task))
        })
        .await?;
    let on = known(w, &fleet, &new).await?.container_instance_arn;
    ensure!(on.as_ref() != Some(&service.member.arn), "it was placed where it came from");
    Ok(())
}

/// (Source: ECS API reference, UpdateContainerInstancesState.)
pub async fn nothing_is_placed_on_an_instance_that_drains(w: &World) -> Told {
    let fleet = w.fleet().await?;
    w.standalone(&fleet, &fleet.members[1]).await?;
    drain(w, &fleet, &fleet.members[0]).await?;
    let family = w.family("batch");
    let run = w
        .ecs
        .run_task()
        .cluster(&fleet.cluster)
        .task_definition(&family)
        .group(format!("family:{family}"));
    let placed = run.count(6).send().await?.tasks.unwrap_or_default();
    let on: BTreeSet<_> =
        placed.into_iter().filter_map(|task| task.container_instance_arn).collect();
    ensure!(!on.is_empty(), "nothing was placed anywhere");
    ensure!(!on.contains(&fleet.members[0].arn), "placed on {on:?}");
    Ok(())
}
