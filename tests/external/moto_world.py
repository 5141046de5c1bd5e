"""The part of the cloud that moto does not model: lifecycle actions, tasks and targets that take time to leave.

One `World` is shared by every service of one moto server. It has no thread: what is due is carried out when the next
request comes in, in the order of its time, before that request is answered. `moto_plugin` connects it to moto.

It also keeps what the tests judge by: every call, and the true state of an instance at the moment it is let go.
"""

import heapq
import itertools
import json
import os
import re
import signal
import threading
import time
import uuid
from dataclasses import dataclass, field
from datetime import datetime, timezone

from moto.autoscaling.exceptions import ValidationError
from moto.autoscaling.models import autoscaling_backends
from moto.core import DEFAULT_ACCOUNT_ID
from moto.ec2 import ec2_backends
from moto.ecs.models import ecs_backends
from moto.elb.models import elb_backends
from moto.elbv2.models import elbv2_backends
from moto.sns.models import sns_backends

REGION = "us-east-1"

# What a process of ours says of itself in its user agent; the aws command line says "aws-cli".
OUR_AGENT = "aws-sdk-rust"


@dataclass
class Delays:
    """How long things take in one cluster, in seconds."""

    # From DRAINING until a service has replaced a task and begins to stop it.
    replace: float = 2
    # The task is DEACTIVATING, STOPPING, DEPROVISIONING for so long each.
    deactivating: float = 4
    stopping: float = 2
    deprovisioning: float = 1
    # From DEACTIVATING until the load balancer has let go of the target. ECS waits for that on the real AWS; here the
    # two are apart on purpose, since targets that outlive their task have been seen there.
    target: float = 5
    # From DRAINING until a standalone task ends by itself; None: never.
    standalone: float | None = None


@dataclass
class Action:
    """A lifecycle action: one hook holding one instance."""

    hook: object
    token: str
    due: float
    ends: float


@dataclass
class Kill:
    """End process `pid` at our `nth` call of `operation` that mentions `match`: `before` or `after` it is applied."""

    pid: int
    operation: str
    match: str
    nth: int
    when: str


@dataclass
class World:
    """Everything that is in flight."""

    lock: threading.RLock = field(default_factory=threading.RLock)
    delays: dict[str, Delays] = field(default_factory=dict)
    # (group, instance) -> hook name -> action
    actions: dict[tuple[str, str], dict[str, Action]] = field(default_factory=dict)
    # (target group ARN or classic load balancer's name, instance)
    deregistering: set[tuple[str, str]] = field(default_factory=set)
    leaving: set[str] = field(default_factory=set)
    calls: list[dict] = field(default_factory=list)
    events: list[dict] = field(default_factory=list)
    kills: list[Kill] = field(default_factory=list)
    queue: list = field(default_factory=list)
    order: itertools.count = field(default_factory=itertools.count)

    # Time.

    def after(self, seconds, what):
        """Carries out `what(due)` in so many seconds."""
        self.at(time.monotonic() + seconds, what)

    def at(self, due, what):
        """Carries out `what(due)` at a moment of the monotonic clock."""
        heapq.heappush(self.queue, (due, next(self.order), what))

    def settle(self):
        """Carries out everything that is due."""
        while self.queue and self.queue[0][0] <= time.monotonic():
            due, _, what = heapq.heappop(self.queue)
            what(due)

    def event(self, what, **facts):
        """Notes something for the tests."""
        self.events.append({"at": time.time(), "what": what, **facts})

    # Calls.

    def called(self, operation, agent, authorization, body):
        """Notes a call, and whose access key signed it; the kill that it sets off, if any."""
        ours = OUR_AGENT in agent
        signed = re.search(r"Credential=([^/]+)/[^/]+/[^/]+/([^/]+)/", authorization)
        by, service = signed.groups() if signed else (None, None)
        self.calls.append(
            {"at": time.time(), "service": service, "operation": operation, "ours": ours, "by": by, "body": body}
        )
        hit = None
        for kill in self.kills if ours else []:
            if kill.operation == operation and kill.match in body:
                kill.nth -= 1
                hit = kill if kill.nth == 0 else hit
        if hit:
            self.kills.remove(hit)
        return hit

    def kill(self, kill):
        """Ends a process, as `kill -9` does."""
        self.event("killed", pid=kill.pid, operation=kill.operation, when=kill.when)
        try:
            os.kill(kill.pid, signal.SIGKILL)
        except ProcessLookupError:
            self.event("kill-missed", pid=kill.pid)

    # Lifecycle actions.

    def begin_termination(self, group, state):
        """The group takes an instance out of service: its terminating hooks hold it, or it ends at once."""
        backend = autoscaling_backends[DEFAULT_ACCOUNT_ID][REGION]
        hooks = [
            hook
            for hook in backend.describe_lifecycle_hooks(group.name)
            if hook.lifecycle_transition == "autoscaling:EC2_INSTANCE_TERMINATING"
        ]
        key = (group.name, state.instance.id)
        if not hooks:
            self.end_instance(group, state)
            return
        state.lifecycle_state = "Terminating:Wait"
        now = time.monotonic()
        self.actions[key] = {
            hook.name: Action(hook, str(uuid.uuid4()), now + hook.heartbeat_timeout, now + hook.global_timeout)
            for hook in hooks
        }
        self.event("waiting", group=group.name, instance=key[1], hooks=[hook.name for hook in hooks])
        for name, action in self.actions[key].items():
            self.watch(key, name)
            self.notify(
                action.hook,
                f"Auto Scaling:  Lifecycle action 'TERMINATING' for instance {key[1]} in progress.",
                LifecycleActionToken=action.token,
                LifecycleHookName=name,
                EC2InstanceId=key[1],
                LifecycleTransition=action.hook.lifecycle_transition,
                Origin="AutoScalingGroup",
                Destination="EC2",
            )

    def notify(self, hook, subject, **fields):
        """Tells the hook's topic something, if it has one. (Source of the fields: EC2 Auto Scaling user guide, "Prepare
        to add a lifecycle hook".)"""
        if hook.notification_target_arn is None:
            return
        now = datetime.now(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")
        message = {
            "AccountId": DEFAULT_ACCOUNT_ID,
            "RequestId": str(uuid.uuid4()),
            "AutoScalingGroupName": hook.auto_scaling_group_name,
            "Service": "AWS Auto Scaling",
            "Time": now,
            **fields,
        }
        topics = sns_backends[DEFAULT_ACCOUNT_ID][REGION]
        topics.publish(json.dumps(message), hook.notification_target_arn, subject=subject)

    def watch(self, key, name):
        """Applies the default result when the action's time is over."""

        def look(due):
            action = self.actions.get(key, {}).get(name)
            if action is None:
                return
            if due < action.due:
                self.at(min(action.due, action.ends), look)
                return
            self.event("expired", group=key[0], instance=key[1], hook=name, result=action.hook.default_result)
            self.finish(key, name, action.hook.default_result)

        action = self.actions[key][name]
        self.at(min(action.due, action.ends), look)

    def action(self, group, hook, instance, token):
        """The active action that a call names.

        AWS answers in these words (they are not in its API reference, but in its users' logs)."""
        for key, actions in self.actions.items():
            held = actions.get(hook)
            if key[0] == group and held and (instance == key[1] or (token and token == held.token)):
                return key, held
        named = f"token {token}" if token else f"instance ID {instance}"
        raise ValidationError(f"No active Lifecycle Action found with {named}")

    def heartbeat(self, group, hook, instance, token):
        """RecordLifecycleActionHeartbeat: the hook's time begins anew, but never beyond its global timeout."""
        key, held = self.action(group, hook, instance, token)
        held.due = min(time.monotonic() + held.hook.heartbeat_timeout, held.ends)
        self.event("heartbeat", group=group, instance=key[1], hook=hook)

    def complete(self, group, hook, result, instance, token):
        """CompleteLifecycleAction."""
        key, _ = self.action(group, hook, instance, token)
        tasks, targets = self.truth(key[1])
        self.event(
            "completed", group=group, instance=key[1], hook=hook, result=result, tasks=tasks, targets=targets
        )
        self.finish(key, hook, result)

    def finish(self, key, hook, result):
        """One hook is through with the instance. ABANDON ends the waits under the others too."""
        del self.actions[key][hook]
        if result == "ABANDON" or not self.actions[key]:
            del self.actions[key]
            group = autoscaling_backends[DEFAULT_ACCOUNT_ID][REGION].autoscaling_groups.get(key[0])
            state = next((s for s in group.instance_states if s.instance.id == key[1]), None) if group else None
            if state:
                state.lifecycle_state = "Terminating:Proceed"
                self.after(1, lambda _: self.end_instance(group, state))

    def end_instance(self, group, state):
        """The instance is terminated and leaves the group; its agent's last word takes it out of its cluster."""
        instance = state.instance.id
        group.instance_states = [s for s in group.instance_states if s is not state]
        ec2_backends[DEFAULT_ACCOUNT_ID][REGION].terminate_instances([instance])
        ecs = ecs_backends[DEFAULT_ACCOUNT_ID][REGION]
        for cluster, container, found in list(self.container_instances(instance)):
            for task in self.tasks(container.container_instance_arn):
                task.desired_status = task.last_status = "STOPPED"
            del ecs.container_instances[cluster][found]
        self.event("terminated", group=group.name, instance=instance)

    # Draining.

    def container_instances(self, instance):
        """Every registration of an EC2 instance: cluster, container instance, its id."""
        ecs = ecs_backends[DEFAULT_ACCOUNT_ID][REGION]
        for cluster, members in ecs.container_instances.items():
            for found, container in members.items():
                if container.ec2_instance_id == instance:
                    yield cluster, container, found

    def tasks(self, container_instance):
        """Every task of a container instance."""
        ecs = ecs_backends[DEFAULT_ACCOUNT_ID][REGION]
        return [
            task
            for tasks in ecs.tasks.values()
            for task in tasks.values()
            if task.container_instance_arn == container_instance
        ]

    def service(self, task):
        """The service of a task, if it has one."""
        ecs = ecs_backends[DEFAULT_ACCOUNT_ID][REGION]
        kind, _, name = task.group.partition(":")
        return ecs.services.get(f"{task.cluster_name}:{name}") if kind == "service" else None

    def drain(self, container):
        """A container instance became DRAINING: ECS moves its service tasks, daemons excepted: those stay."""
        for task in self.tasks(container.container_instance_arn):
            service, delays = self.service(task), self.delays.get(task.cluster_name, Delays())
            if service is None and delays.standalone is not None:
                self.after(delays.standalone, lambda _, task=task: self.stop(task, "EssentialContainerExited"))
            elif service is not None and service.scheduling_strategy != "DAEMON":
                self.after(delays.replace, lambda _, task=task: self.stop(task, "ServiceSchedulerInitiated"))

    def stop(self, task, why):
        """A task stops, as AWS documents it: DEACTIVATING, STOPPING, DEPROVISIONING, STOPPED. From its first moment on
        it is in no count of its container instance."""
        if task.task_arn in self.leaving or task.last_status == "STOPPED":
            return
        self.leaving.add(task.task_arn)
        delays = self.delays.get(task.cluster_name, Delays())
        task.desired_status, task.last_status, task.stop_code = "STOPPED", "DEACTIVATING", why
        ecs = ecs_backends[DEFAULT_ACCOUNT_ID][REGION]
        container = ecs.container_instances[task.cluster_name].get(task.container_instance_arn.split("/")[-1])
        if container:
            ecs.update_container_instance_resources(container, task.resource_requirements, removing=True)
            if why == "ServiceSchedulerInitiated":
                self.deregister(self.service(task), container.ec2_instance_id, delays.target)
        seconds = 0
        for length, status in [
            (delays.deactivating, "STOPPING"),
            (delays.stopping, "DEPROVISIONING"),
            (delays.deprovisioning, "STOPPED"),
        ]:
            seconds += length
            self.after(seconds, lambda _, status=status: setattr(task, "last_status", status))

    def deregister(self, service, instance, seconds):
        """ECS takes the instance out of its service's balancers: draining first, gone after so many seconds."""
        for balancer in service.load_balancers or []:
            name = balancer.get("targetGroupArn") or balancer["loadBalancerName"]
            self.deregistering.add((name, instance))
            self.after(seconds, lambda _, name=name: self.deregistered(name, instance))

    def deregistered(self, name, instance):
        """The balancer has let go of the instance."""
        self.deregistering.discard((name, instance))
        group = elbv2_backends[DEFAULT_ACCOUNT_ID][REGION].target_groups.get(name)
        if group and instance in group.targets:
            group.deregister([{"Id": instance}])
        if name in elb_backends[DEFAULT_ACCOUNT_ID][REGION].load_balancers:
            elb_backends[DEFAULT_ACCOUNT_ID][REGION].deregister_instances(name, [instance])

    def truth(self, instance):
        """What really is on an instance: tasks that matter, and balancers that know it."""
        tasks = [
            task.task_arn
            for _, container, _ in self.container_instances(instance)
            for task in self.tasks(container.container_instance_arn)
            if task.last_status != "STOPPED" and getattr(self.service(task), "scheduling_strategy", "") != "DAEMON"
        ]
        targets = [
            arn
            for arn, group in elbv2_backends[DEFAULT_ACCOUNT_ID][REGION].target_groups.items()
            if instance in group.targets
        ]
        targets += [
            name
            for name, balancer in elb_backends[DEFAULT_ACCOUNT_ID][REGION].load_balancers.items()
            if instance in balancer.instance_ids
        ]
        return tasks, targets


WORLD = World()
