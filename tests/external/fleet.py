"""What the tests drain: a cluster, its Auto Scaling group, services behind a target group and a classic load balancer.

All of it is made with the `aws` command line. Every name is the fleet's, so that many fleets stand in one cloud.
"""

import json
import threading

from clouds import ACCOUNT, REGION

HOOK = "ecs-drain"
FOREIGN_HOOK = "someone-elses"
TEMPLATE = "container-instances"
TASKS = "web"

_shared = threading.Lock()


def share(clouds):
    """Makes what all fleets use: a launch template and a task definition."""
    with _shared:
        image = clouds.aws("ec2", "describe-images", "--owners", "amazon", query="Images[0].ImageId")
        data = json.dumps({"ImageId": image, "InstanceType": "t3.micro"})
        clouds.aws("ec2", "create-launch-template", "--launch-template-name", TEMPLATE, "--launch-template-data", data)
        container = {"name": "web", "image": "web", "memory": 64, "portMappings": [{"containerPort": 80}]}
        clouds.aws(
            "ecs", "register-task-definition", "--family", TASKS, "--container-definitions", json.dumps([container])
        )
        clouds.subnet = clouds.aws("ec2", "describe-subnets", query="Subnets[0].SubnetId")
        clouds.vpc = clouds.aws("ec2", "describe-vpcs", query="Vpcs[0].VpcId")


class Fleet:
    """A cluster of `size` container instances under our hook. How long things take in it: see the plug-in's `Delays`."""

    def __init__(self, clouds, name, size, foreign_hook=False, notified=False, **delays):
        self.clouds, self.name = clouds, name
        self.queue = self.dead = self.topic = self.subscription = None
        if notified:
            self.make_queue()
        self.make_cluster(delays)
        self.make_balancers()
        self.make_group(size, [HOOK, FOREIGN_HOOK] if foreign_hook else [HOOK])
        self.instances = sorted(self.members())
        self.containers = {instance: self.register(instance) for instance in self.instances}
        self.make_services("standalone" in delays)

    def make_cluster(self, delays):
        """The cluster, and how long things take in it."""
        self.clouds.aws("ecs", "create-cluster", "--cluster-name", self.name)
        self.clouds.plugin("delays", cluster=self.name, **delays)

    def make_balancers(self):
        """A target group and a classic load balancer."""
        self.target_group = self.clouds.aws(
            *("elbv2", "create-target-group", "--name", self.name, "--protocol", "HTTP", "--port", "80"),
            *("--vpc-id", self.clouds.vpc, "--target-type", "instance"),
            query="TargetGroups[0].TargetGroupArn",
        )
        self.clouds.aws(
            *("elb", "create-load-balancer", "--load-balancer-name", self.name, "--availability-zones", "us-east-1a"),
            *("--listeners", "Protocol=http,LoadBalancerPort=80,InstancePort=80"),
        )

    def make_queue(self):
        """A topic for our hook, the queue that is subscribed to it, and a dead-letter queue."""
        sqs = f"arn:aws:sqs:{REGION}:{ACCOUNT}"
        self.dead = self.clouds.aws("sqs", "create-queue", "--queue-name", f"{self.name}-dead", query="QueueUrl")
        redrive = json.dumps({"deadLetterTargetArn": f"{sqs}:{self.name}-dead", "maxReceiveCount": "2"})
        self.queue = self.clouds.aws(
            *("sqs", "create-queue", "--queue-name", self.name),
            *("--attributes", json.dumps({"RedrivePolicy": redrive})),
            query="QueueUrl",
        )
        self.topic = self.clouds.aws("sns", "create-topic", "--name", self.name, query="TopicArn")
        self.subscription = self.clouds.aws(
            *("sns", "subscribe", "--topic-arn", self.topic, "--protocol", "sqs"),
            *("--notification-endpoint", f"{sqs}:{self.name}"),
            query="SubscriptionArn",
        )

    def deliver_raw(self):
        """From now on messages come without SNS's envelope."""
        self.clouds.aws(
            *("sns", "set-subscription-attributes", "--subscription-arn", self.subscription),
            *("--attribute-name", "RawMessageDelivery", "--attribute-value", "true"),
        )

    def messages(self):
        """How many messages are in the queue, hidden ones included."""
        names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
        counts = self.clouds.aws(
            *("sqs", "get-queue-attributes", "--queue-url", self.queue, "--attribute-names", *names), query="Attributes"
        )
        return sum(int(counts[name]) for name in names)

    def send(self, body):
        """Puts a message into the queue, whatever it says."""
        self.clouds.aws("sqs", "send-message", "--queue-url", self.queue, "--message-body", body)

    def dead_letters(self):
        """What is in the dead-letter queue and was not read before."""
        return self.clouds.aws("sqs", "receive-message", "--queue-url", self.dead, query="Messages[].Body") or []

    def make_group(self, size, hooks):
        """The Auto Scaling group and its terminating hooks."""
        self.clouds.aws(
            *("autoscaling", "create-auto-scaling-group", "--auto-scaling-group-name", self.name),
            *("--launch-template", f"LaunchTemplateName={TEMPLATE},Version=$Latest", "--min-size", "0"),
            *("--max-size", "9", "--desired-capacity", size, "--vpc-zone-identifier", self.clouds.subnet),
        )
        role = f"arn:aws:iam::{ACCOUNT}:role/notifies"
        target = ["--notification-target-arn", self.topic, "--role-arn", role] if self.topic else []
        for hook in hooks:
            self.clouds.aws(
                *("autoscaling", "put-lifecycle-hook", "--auto-scaling-group-name", self.name),
                *("--lifecycle-hook-name", hook, "--heartbeat-timeout", "60" if hook == HOOK else "3600"),
                *("--lifecycle-transition", "autoscaling:EC2_INSTANCE_TERMINATING", "--default-result", "ABANDON"),
                *target,
            )

    def register(self, instance):
        """What the ECS agent of an instance does when it starts."""
        identity = json.dumps({"instanceId": instance})
        return self.clouds.aws(
            "ecs", "register-container-instance", "--cluster", self.name, "--instance-identity-document", identity,
            query="containerInstance.containerInstanceArn",
        )  # fmt: skip

    def make_services(self, standalone):
        """A replica service behind both balancers, a daemon service, and perhaps a standalone task."""
        ports = {"containerName": "web", "containerPort": 80}
        balancers = [{"targetGroupArn": self.target_group, **ports}, {"loadBalancerName": self.name, **ports}]
        self.service("web", "REPLICA", "--load-balancers", json.dumps(balancers))
        self.service("agent", "DAEMON")
        tasks = [("service:web", "ecs-svc/1"), ("service:agent", "ecs-svc/2")]
        for group, by in [*tasks, *([("family:batch", "somebody")] if standalone else [])]:
            self.clouds.aws(
                *("ecs", "start-task", "--cluster", self.name, "--task-definition", TASKS, "--group", group),
                *("--started-by", by, "--container-instances", *self.containers.values()),
            )
        targets = [f"Id={instance},Port=32768" for instance in self.instances]
        self.clouds.aws("elbv2", "register-targets", "--target-group-arn", self.target_group, "--targets", *targets)
        self.clouds.aws(
            *("elb", "register-instances-with-load-balancer", "--load-balancer-name", self.name),
            *("--instances", *self.instances),
        )

    def service(self, name, strategy, *more):
        """A service; its tasks are started by hand, since moto starts none."""
        self.clouds.aws(
            *("ecs", "create-service", "--cluster", self.name, "--service-name", name, "--task-definition", TASKS),
            *("--desired-count", "1", "--launch-type", "EC2", "--scheduling-strategy", strategy, *more),
        )

    def members(self):
        """The group's instances and their lifecycle states."""
        rows = self.clouds.aws(
            "autoscaling", "describe-auto-scaling-groups", "--auto-scaling-group-names", self.name,
            query="AutoScalingGroups[].Instances[].[InstanceId,LifecycleState]",
        )  # fmt: skip
        return dict(rows)

    def terminate(self, instance):
        """Asks the group to terminate an instance and to replace it."""
        self.clouds.aws(
            *("autoscaling", "terminate-instance-in-auto-scaling-group", "--instance-id", instance),
            "--no-should-decrement-desired-capacity",
        )

    def end_standalone(self, instance):
        """Ends the standalone task of an instance, as its owner would."""
        tasks = self.clouds.aws(
            *("ecs", "list-tasks", "--cluster", self.name, "--started-by", "somebody"),
            *("--container-instance", self.containers[instance]),
            query="taskArns",
        )
        for task in tasks:
            self.clouds.aws("ecs", "stop-task", "--cluster", self.name, "--task", task, query="task.lastStatus")

    def status(self, instance):
        """The status of an instance's container instance; None when it is in the cluster no more."""
        rows = self.clouds.aws(
            "ecs", "describe-container-instances", "--cluster", self.name,
            "--container-instances", self.containers[instance], query="containerInstances[].status",
        )  # fmt: skip
        return rows[0] if rows else None
