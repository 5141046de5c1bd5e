"""Teaches moto what it lacks for the drain of a container instance; importing this file is enough.

| moto 5.2.1 | with this file |
| --- | --- |
| terminates an instance at once, whatever hooks its group has | a terminating hook holds it in `Terminating:Wait` |
| shrinks a group below its smallest size | refuses, in AWS's words |
| no CompleteLifecycleAction, no RecordLifecycleActionHeartbeat | both, with AWS's errors; heartbeat and global timeout, default result |
| DescribeLifecycleHooks invents a target, a role and a global timeout | its real values |
| hooks notify nobody | a hook's SNS topic is told of each action, and of the hook itself, as by AWS |
| `DRAINING` changes nothing but the status | service tasks leave, in AWS's states, with time |
| targets vanish at once | `draining` first; a classic load balancer says it in its description |
| ListTasks shows all tasks where no desired status is asked for | RUNNING only, as AWS does |
| DescribeTasks leaves out what it does not find | `failures` with MISSING |
| a container's `cpu` and `memory` are numbers, which a typed client cannot read | strings, as in the API's model |

Left as they are, because a client must stand them: ListContainerInstances ignores its filter, and so does ListTasks with
a service's name.
"""

import contextlib
import functools

from moto.autoscaling import models as autoscaling
from moto.autoscaling.exceptions import ValidationError
from moto.autoscaling.responses import AutoScalingResponse
from moto.core.responses import ActionResult, BaseResponse, EmptyResult
from moto.ecs import models as ecs
from moto.ecs.exceptions import InvalidParameterException
from moto.ecs.responses import EC2ContainerServiceResponse
from moto.elb.responses import ELBResponse
from moto.elbv2.models import FakeHealthStatus, FakeTargetGroup

from moto_world import WORLD


def replaces(owner, name):
    """Puts a function in the place of a method of moto's; the old method is its first argument."""

    def put(function):
        old = getattr(owner, name)
        setattr(owner, name, functools.wraps(old)(lambda *args, **kwargs: function(old, *args, **kwargs)))
        return function

    return put


# Every request: one at a time, what is due first, the tests' kills around it.


@replaces(BaseResponse, "call_action")
def call_action(old, self):
    operation = self._get_action()
    with contextlib.ExitStack() as held:
        held.enter_context(WORLD.lock)
        WORLD.settle()
        agent = self.headers.get("User-Agent", "") + self.headers.get("X-Amz-User-Agent", "")
        signed = self.headers.get("Authorization", "")
        kill = WORLD.called(operation, agent, signed, f"{self.body}{dict(self.querystring)}")
        if kill and kill.when == "before":
            WORLD.kill(kill)
            return 503, {}, ""
        if operation == "ReceiveMessage":
            # A long poll waits, and nobody else waits for it.
            held.close()
        answer = old(self)
        if kill:
            WORLD.kill(kill)
        return answer


# Auto Scaling.


@replaces(autoscaling.LifecycleHook, "__init__")
def hook_init(old, self, *args, **kwargs):
    old(self, *args, **kwargs)
    self.role_arn = self.notification_target_arn = None
    self.global_timeout = min(172800, 100 * self.heartbeat_timeout)


@replaces(AutoScalingResponse, "put_lifecycle_hook")
def put_lifecycle_hook(old, self):
    answer = old(self)
    group = self._get_param("AutoScalingGroupName")
    hook = self.autoscaling_backend.lifecycle_hooks[f"{group}_{self._get_param('LifecycleHookName')}"]
    hook.notification_target_arn = self._get_param("NotificationTargetARN")
    hook.role_arn = self._get_param("RoleARN")
    WORLD.notify(
        hook,
        f'Auto Scaling: test notification for group "{group}"',
        AutoScalingGroupARN=self.autoscaling_backend.autoscaling_groups[group].arn,
        Event="autoscaling:TEST_NOTIFICATION",
    )
    return answer


@replaces(autoscaling.AutoScalingBackend, "terminate_instance")
def terminate_instance(_, self, instance_id, should_decrement):
    for group in self.autoscaling_groups.values():
        for state in group.instance_states:
            if state.instance.id == instance_id:
                before = group.desired_capacity
                if should_decrement and before <= group.min_size:
                    raise ValidationError(
                        f"Currently, desiredSize equals minSize ({before}). Terminating instance without replacement "
                        "will violate group's min size constraint. Either set shouldDecrementDesiredCapacity flag to "
                        "false or lower group's min size."
                    )
                if state.lifecycle_state == "InService":
                    WORLD.begin_termination(group, state)
                    if should_decrement:
                        group.desired_capacity -= 1
                    # Launches the replacement that the desired capacity asks for.
                    group.set_desired_capacity(group.desired_capacity)
                return autoscaling.TerminateInstanceActivity(state.instance, before)
    raise ValidationError(f"Instance Id not found - No managed instance found for instance ID: {instance_id}")


@replaces(autoscaling.FakeAutoScalingGroup, "set_desired_capacity")
def set_desired_capacity(old, self, new_capacity):
    wanted = self.min_size if new_capacity is None else new_capacity
    free = [state for state in self.active_instances() if not state.protected_from_scale_in]
    for state in free[: max(0, len(self.active_instances()) - wanted)]:
        WORLD.begin_termination(self, state)
    if len(self.active_instances()) <= wanted:
        old(self, wanted)
    else:
        self.desired_capacity = wanted


@replaces(autoscaling.AutoScalingBackend, "delete_lifecycle_hook")
def delete_lifecycle_hook(old, self, as_name, name):
    # AWS completes what a deleted terminating hook holds with CONTINUE.
    for key in [key for key, actions in WORLD.actions.items() if key[0] == as_name and name in actions]:
        WORLD.finish(key, name, "CONTINUE")
    old(self, as_name, name)


def complete_lifecycle_action(self):
    WORLD.complete(
        self._get_param("AutoScalingGroupName"),
        self._get_param("LifecycleHookName"),
        self._get_param("LifecycleActionResult"),
        self._get_param("InstanceId"),
        self._get_param("LifecycleActionToken"),
    )
    return EmptyResult()


def record_lifecycle_action_heartbeat(self):
    WORLD.heartbeat(
        self._get_param("AutoScalingGroupName"),
        self._get_param("LifecycleHookName"),
        self._get_param("InstanceId"),
        self._get_param("LifecycleActionToken"),
    )
    return EmptyResult()


AutoScalingResponse.complete_lifecycle_action = complete_lifecycle_action
AutoScalingResponse.record_lifecycle_action_heartbeat = record_lifecycle_action_heartbeat


# ECS. A task's status is what the world says; moto's own would move with each look.

ecs.Task.status = property(lambda self: self._status, lambda self, value: setattr(self, "_status", value))


@replaces(ecs.Container, "__init__")
def container_init(old, self, task_def):
    old(self, task_def)
    self.cpu, self.memory = (None if size is None else str(size) for size in (self.cpu, self.memory))


@replaces(ecs.EC2ContainerServiceBackend, "update_container_instances_state")
def update_container_instances_state(old, self, cluster_str, ids, status):
    if len(ids) > 10:
        raise InvalidParameterException("instanceIds can have at most 10 items.")
    cluster = self._get_cluster(cluster_str)
    members = self.container_instances.setdefault(cluster.name, {})
    before = {arn: getattr(members.get(arn.split("/")[-1]), "status", None) for arn in ids}
    answer = old(self, cluster_str, ids, status)
    for arn, was in before.items():
        if was == "ACTIVE" and status == "DRAINING":
            WORLD.event("draining", cluster=cluster.name, container_instance=arn)
            WORLD.drain(members[arn.split("/")[-1]])
    return answer


@replaces(ecs.EC2ContainerServiceBackend, "describe_container_instances")
def describe_container_instances(old, self, cluster_str, ids):
    self.container_instances.setdefault(self._get_cluster(cluster_str).name, {})
    return old(self, cluster_str, ids)


@replaces(ecs.EC2ContainerServiceBackend, "list_tasks")
def list_tasks(old, self, cluster, container_instance=None, family=None, by=None, service=None, desired=None):
    return old(self, cluster, container_instance, family, by, service, desired or "RUNNING")


@replaces(ecs.EC2ContainerServiceBackend, "stop_task")
def stop_task(_, self, cluster_str, task_str, reason):
    name = task_str.split("/")[-1]
    for task in self.tasks.get(self._get_cluster(cluster_str).name, {}).values():
        if task.id == name:
            WORLD.stop(task, "UserInitiated")
            task.stopped_reason = reason
            return task
    raise InvalidParameterException("The referenced task was not found.")


@replaces(EC2ContainerServiceResponse, "describe_tasks")
def describe_tasks(old, self):
    answer = old(self)
    found = {task.task_arn for task in answer.result["tasks"]}
    asked = self._get_param("tasks", [])
    missing = [arn for arn in asked if not any(arn in (have, have.split("/")[-1]) for have in found)]
    answer.result["failures"] = [{"arn": arn, "reason": "MISSING"} for arn in missing]
    return answer


# Load balancers.


@replaces(FakeTargetGroup, "health_for")
def health_for(old, self, target, ec2_backend):
    if target["Id"] in self.targets and (self.arn, target["Id"]) in WORLD.deregistering:
        return FakeHealthStatus(
            target["Id"],
            self.targets[target["Id"]]["Port"],
            self.health_check_port,
            "draining",
            "Target.DeregistrationInProgress",
            "Target deregistration is in progress",
        )
    return old(self, target, ec2_backend)


@replaces(ELBResponse, "describe_instance_health")
def describe_instance_health(_, self):
    name = self._get_param("LoadBalancerName")
    states = self.elb_backend.describe_instance_health(name, self._get_param("Instances", []))
    answers = []
    for state in states:
        answer = {"InstanceId": state["InstanceId"], "State": state["State"], "ReasonCode": "N/A", "Description": "N/A"}
        if (name, state["InstanceId"]) in WORLD.deregistering:
            answer["Description"] = "Instance deregistration currently in progress."
        elif state["State"] == "Unknown":
            answer["State"], answer["ReasonCode"] = "OutOfService", "Instance"
            answer["Description"] = "Instance is not currently registered with the LoadBalancer."
        answers.append(answer)
    return ActionResult({"InstanceStates": answers})


__all__ = ["WORLD"]
