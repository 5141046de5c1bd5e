"""Lets moto's instances join clusters and its services start tasks, as on AWS, for the kit in tests/aws; importing this
file is enough.

| moto 5.2.1 with `moto_plugin` | with this file |
| --- | --- |
| instances boot no agent | one with the tag `ecs-drain-cluster` joins that cluster, as user data makes it do |
| services start nothing | in such a cluster they start their tasks, register them, and replace what drains |
| DescribeScalingActivities is always empty | the terminations that a hook held |
| a deleted group's instances are held by its hooks for ever | a forced deletion ends them; another is refused |
| a deleted service's tasks run on | they stop |

Clusters whose instances register by hand are left as they are.
"""

from datetime import datetime, timezone

from moto.autoscaling import models as autoscaling
from moto.autoscaling.exceptions import AutoscalingClientError
from moto.autoscaling.responses import AutoScalingResponse
from moto.core import DEFAULT_ACCOUNT_ID
from moto.core.responses import ActionResult
from moto.ecs import models as ecs
from moto.ecs.models import ecs_backends
from moto.elbv2 import elbv2_backends

from moto_plugin import WORLD, replaces
from moto_world import REGION

CLUSTER_TAG = "ecs-drain-cluster"

# Where a task of a service listens on its instance.
PORT = 32768

# The clusters that instances joined by themselves.
joined = set()


class ResourceInUse(AutoscalingClientError):
    """The group still has instances."""

    code = "ResourceInUse"
    message = "You cannot delete an AutoScalingGroup while there are instances still in the group."


@replaces(autoscaling.FakeAutoScalingGroup, "replace_autoscaling_group_instances")
def launch(old, self, count_needed, propagated_tags):
    before = {state.instance.id for state in self.instance_states}
    old(self, count_needed, propagated_tags)
    cluster = propagated_tags.get(CLUSTER_TAG)
    for state in self.instance_states:
        if cluster and state.instance.id not in before:
            WORLD.after(1, lambda _, instance=state.instance.id: join(cluster, instance))


def join(cluster, instance):
    """What an instance's agent does when it starts; then services that lack a task have room."""
    backend = ecs_backends[DEFAULT_ACCOUNT_ID][REGION]
    known = backend.clusters.get(cluster)
    if known is None or known.status != "ACTIVE":
        return
    joined.add(cluster)
    backend.register_container_instance(cluster, instance)
    for service in services(cluster):
        fill(service)


def services(cluster):
    """The services of a cluster that are not deleted."""
    found = ecs_backends[DEFAULT_ACCOUNT_ID][REGION].services.items()
    return [service for key, service in found if key.startswith(f"{cluster}:") and service.status == "ACTIVE"]


def fill(service):
    """Starts what a service lacks where there is room, and registers it."""
    backend = ecs_backends[DEFAULT_ACCOUNT_ID][REGION]
    cluster, group = service.cluster_name, f"service:{service.name}"
    running = [t for t in backend.tasks.get(cluster, {}).values() if t.group == group and t.desired_status == "RUNNING"]
    members = backend.container_instances.get(cluster, {}).values()
    taken = {task.container_instance_arn for task in running}
    free = [m for m in members if m.status == "ACTIVE" and m.container_instance_arn not in taken]
    for member in free[: max(0, int(service.desired_count) - len(running))]:
        backend.start_task(
            cluster, service.task_definition, [member.container_instance_arn], {}, "ecs-svc/1", group=group
        )
        for balancer in service.load_balancers or []:
            targets = elbv2_backends[DEFAULT_ACCOUNT_ID][REGION].target_groups.get(balancer.get("targetGroupArn"))
            if targets:
                targets.register([{"Id": member.ec2_instance_id, "Port": PORT}])


@replaces(ecs.EC2ContainerServiceBackend, "create_service")
def create_service(old, self, cluster_str, *args, **kwargs):
    service = old(self, cluster_str, *args, **kwargs)
    if service.cluster_name in joined:
        fill(service)
    return service


@replaces(ecs.EC2ContainerServiceBackend, "delete_service")
def delete_service(old, self, cluster_name, service_name, force):
    service = old(self, cluster_name, service_name, force)
    for task in self.tasks.get(service.cluster_name, {}).values():
        if service.cluster_name in joined and task.group == f"service:{service.name}":
            WORLD.stop(task, "ServiceSchedulerInitiated")
    return service


old_stop = WORLD.stop


def stop(task, why):
    """Stops a task; a service that lost one to its scheduler has another elsewhere."""
    old_stop(task, why)
    service = WORLD.service(task)
    if service and service.cluster_name in joined and service.status == "ACTIVE":
        fill(service)


WORLD.stop = stop


@replaces(AutoScalingResponse, "describe_scaling_activities")
def describe_scaling_activities(_, self):
    group = self._get_param("AutoScalingGroupName")
    ended = {event["instance"]: event["at"] for event in WORLD.events if event["what"] == "terminated"}
    shown = []
    for event in WORLD.events:
        if event["what"] == "waiting" and event["group"] == group:
            instance, end = event["instance"], ended.get(event["instance"])
            shown.append(
                {
                    "ActivityId": f"{group}-{instance}",
                    "AutoScalingGroupName": group,
                    "Description": f"Terminating EC2 instance: {instance}",
                    "Cause": "an instance was taken out of service in response to a user request",
                    "StartTime": datetime.fromtimestamp(event["at"], timezone.utc),
                    "EndTime": end and datetime.fromtimestamp(end, timezone.utc),
                    "StatusCode": "Successful" if end else "MidLifecycleAction",
                    "Progress": 100 if end else 60,
                }
            )
    return ActionResult({"Activities": shown[::-1]})


@replaces(AutoScalingResponse, "delete_auto_scaling_group")
def delete_auto_scaling_group(old, self):
    name = self._get_param("AutoScalingGroupName")
    group = self.autoscaling_backend.autoscaling_groups.get(name)
    if group and any(tag["Key"] == CLUSTER_TAG for tag in group.tags):
        if group.instance_states and not self._get_bool_param("ForceDelete", False):
            raise ResourceInUse()
        for key in [key for key in WORLD.actions if key[0] == name]:
            del WORLD.actions[key]
        for state in list(group.instance_states):
            WORLD.end_instance(group, state)
        group.desired_capacity = 0
    return old(self)
