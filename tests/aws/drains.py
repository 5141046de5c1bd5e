"""One drain of each strategy: the real program, table and hook, judged by what AWS's APIs and the table say."""

import subprocess
import tempfile
import time
from datetime import datetime, timezone
from pathlib import Path

from account import CLUSTER_TAG, tags
from ground import CONTAINER
from plan import built

HOOK = "ecs-drain"

# The longest that a target drains, in seconds.
DELAY = 10

# How long each wait may take, in seconds: on AWS instances boot and balancers are built.
READY, READY_STANDIN = 900, 60
DRAINED, DRAINED_STANDIN = 1800, 420

SERVES = "echo well > /tmp/index.html; exec httpd -f -p 80 -h /tmp"

# Ends the program when the kit ends, however that comes about, and answers how it ended.
HELD = '"$@" & program=$!; cat >/dev/null; kill -TERM $program; wait $program'


class Stopped(Exception):
    """The run is stopped."""


class Drain:
    """A cluster of two instances, a service of one task behind a target group, and the program."""

    def __init__(self, account, run, ground, ends_at, name, strategy, children, stop):
        self.account, self.run, self.ground, self.ends_at = account, run, ground, ends_at
        self.name, self.strategy, self.children, self.stop = name, strategy, children, stop
        self.judged, self.samples, self.log = [], [], ""
        self.ecs, self.autoscaling = account.client("ecs"), account.client("autoscaling")
        self.elbv2, self.dynamodb = account.client("elbv2"), account.client("dynamodb")

    def check(self, what, holds, detail=None):
        """Notes what is judged."""
        self.judged.append({"what": what, "holds": bool(holds), "detail": None if holds else detail})
        return holds

    def wait_for(self, what, ready, seconds):
        """Asks until there is an answer."""
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            answer = ready()
            if answer:
                return answer
            if self.stop.wait(self.account.settle(5, 0.5)):
                raise Stopped()
        raise TimeoutError(f"{self.strategy}: {what}: not within {seconds} s")

    def play(self):
        """Makes all of it, drains, and judges."""
        seconds = self.account.settle(READY, READY_STANDIN)
        self.make()
        self.wait_for("two container instances", lambda: len(self.members()) == 2, seconds)
        self.make_service()
        self.task, self.member, self.instance = self.wait_for("a task behind its target", self.at_rest, seconds)
        self.other = next(i for arn, i in self.members().items() if arn != self.member)
        with tempfile.TemporaryDirectory(prefix=f"{self.name}-") as folder:
            program = self.start(Path(folder))
            try:
                self.autoscaling.terminate_instance_in_auto_scaling_group(
                    InstanceId=self.instance, ShouldDecrementDesiredCapacity=True
                )
                self.watch()
            finally:
                program.stdin.close()
                code = program.wait()
                self.children.ended(program)
                self.log = (Path(folder) / "log").read_text(errors="replace")
        self.check("the program ends with exit code 0", code == 0, code)
        self.judge()

    # What there is.

    def make(self):
        """The table, the cluster, and a group of two under the program's hook."""
        text = {"AttributeType": "S"}
        self.dynamodb.create_table(
            TableName=self.name,
            BillingMode="PAY_PER_REQUEST",
            AttributeDefinitions=[
                {"AttributeName": name, **text} for name in ("key", "unfinished_of", "unfinished", "cluster")
            ],
            KeySchema=[{"AttributeName": "key", "KeyType": "HASH"}],
            GlobalSecondaryIndexes=[
                index("unfinished", "unfinished_of", "unfinished"),
                index("by_cluster", "cluster", "key"),
            ],
            Tags=tags(self.run),
        )
        self.dynamodb.get_waiter("table_exists").wait(TableName=self.name, WaiterConfig={"Delay": 2})
        self.dynamodb.update_time_to_live(
            TableName=self.name, TimeToLiveSpecification={"Enabled": True, "AttributeName": "expires_at"}
        )
        self.ecs.create_cluster(clusterName=self.name, tags=small(tags(self.run)))
        on_group = {"ResourceId": self.name, "ResourceType": "auto-scaling-group", "PropagateAtLaunch": True}
        self.autoscaling.create_auto_scaling_group(
            AutoScalingGroupName=self.name,
            LaunchTemplate={"LaunchTemplateId": self.ground["launch_template"], "Version": "$Latest"},
            MinSize=0,
            MaxSize=2,
            DesiredCapacity=2,
            VPCZoneIdentifier=",".join(self.ground["subnets"]),
            Tags=[{**tag, **on_group} for tag in tags(self.run, **{CLUSTER_TAG: self.name})],
        )
        # Where the kit is killed, AWS itself ends the instances.
        self.autoscaling.put_scheduled_update_group_action(
            AutoScalingGroupName=self.name,
            ScheduledActionName="out-of-time",
            StartTime=datetime.fromtimestamp(self.ends_at, timezone.utc),
            MinSize=0,
            MaxSize=0,
            DesiredCapacity=0,
        )
        self.autoscaling.put_lifecycle_hook(
            AutoScalingGroupName=self.name,
            LifecycleHookName=HOOK,
            LifecycleTransition="autoscaling:EC2_INSTANCE_TERMINATING",
            HeartbeatTimeout=600,
            DefaultResult="CONTINUE",
        )

    def make_service(self):
        """A target group behind a balancer, and a service of one task behind that."""
        self.target_group = self.elbv2.create_target_group(
            Name=self.name,
            Protocol="HTTP",
            Port=80,
            VpcId=self.ground["vpc"],
            TargetType="instance",
            Tags=tags(self.run),
        )["TargetGroups"][0]["TargetGroupArn"]
        self.elbv2.modify_target_group_attributes(
            TargetGroupArn=self.target_group,
            Attributes=[{"Key": "deregistration_delay.timeout_seconds", "Value": str(DELAY)}],
        )
        balancer = self.elbv2.create_load_balancer(
            Name=self.name,
            Subnets=self.ground["subnets"],
            SecurityGroups=[self.ground["security_group"]],
            Scheme="internal",
            Tags=tags(self.run),
        )["LoadBalancers"][0]["LoadBalancerArn"]
        self.elbv2.create_listener(
            LoadBalancerArn=balancer,
            Protocol="HTTP",
            Port=80,
            DefaultActions=[{"Type": "forward", "TargetGroupArn": self.target_group}],
            Tags=tags(self.run),
        )
        container = {
            "name": "web",
            "image": CONTAINER,
            "memory": 64,
            "command": ["sh", "-c", SERVES],
            "portMappings": [{"containerPort": 80}],
        }
        self.ecs.register_task_definition(
            family=self.name,
            containerDefinitions=[container],
            requiresCompatibilities=["EC2"],
            tags=small(tags(self.run)),
        )
        self.ecs.create_service(
            cluster=self.name,
            serviceName="web",
            taskDefinition=self.name,
            desiredCount=1,
            launchType="EC2",
            loadBalancers=[{"targetGroupArn": self.target_group, "containerName": "web", "containerPort": 80}],
            tags=small(tags(self.run)),
        )

    def members(self):
        """The connected container instances, and their EC2 instances."""
        arns = self.ecs.list_container_instances(cluster=self.name)["containerInstanceArns"]
        if not arns:
            return {}
        shown = self.ecs.describe_container_instances(cluster=self.name, containerInstances=arns)
        connected = [found for found in shown["containerInstances"] if found["agentConnected"]]
        return {found["containerInstanceArn"]: found["ec2InstanceId"] for found in connected}

    def at_rest(self):
        """The service's task, and where it runs, once it and its target are healthy."""
        tasks = self.ecs.list_tasks(cluster=self.name, serviceName="web")["taskArns"]
        shown = self.ecs.describe_tasks(cluster=self.name, tasks=tasks)["tasks"] if tasks else []
        running = [task for task in shown if task["lastStatus"] == "RUNNING"]
        if len(running) != 1 or "healthy" not in self.targets().values():
            return None
        member = running[0]["containerInstanceArn"]
        return running[0]["taskArn"], member, self.members()[member]

    def targets(self):
        """The target group's instances and the states of their targets."""
        shown = self.elbv2.describe_target_health(TargetGroupArn=self.target_group)["TargetHealthDescriptions"]
        return {found["Target"]["Id"]: found["TargetHealth"]["State"] for found in shown}

    # The program.

    def start(self, folder):
        """Starts the program for this group alone."""
        config = folder / "config.toml"
        config.write_text(
            f'controller = "{self.name}"\n'
            f'[table]\nname = "{self.name}"\nregion = "{self.account.region}"\n'
            f'[[scope]]\nregion = "{self.account.region}"\nhooks = ["{HOOK}"]\ngroups = {{ names = ["{self.name}"] }}\n'
            f'[policy]\nstrategy = "{self.strategy}"\n'
        )
        environment = {"AWS_REGION": self.account.region}
        if self.account.endpoint:
            environment["AWS_ENDPOINT_URL"] = self.account.endpoint
        program = [built() / "ecs-drain"]
        ready = self.children.start(
            [*program, "init", "--check", "--config", config],
            environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        )  # fmt: skip
        said, _ = ready.communicate(timeout=120)
        self.children.ended(ready)
        self.check("`init --check` finds the table as it must be", ready.returncode == 0, said.decode(errors="replace"))
        with open(folder / "log", "wb") as log:
            return self.children.start(
                ["sh", "-c", HELD, "sh", *program, "run", "--config", config], environment, stdout=log, stderr=log
            )

    # What is seen.

    def record(self):
        """The drain's record; words only."""
        key = {"key": {"S": f"{self.account.id}/{self.account.region}/{self.instance}"}}
        item = self.dynamodb.get_item(TableName=self.name, Key=key, ConsistentRead=True).get("Item", {})
        return {name: value["S"] for name, value in item.items() if "S" in value}

    def sample(self):
        """What everything says now. The lifecycle state is read last: all else is older than that."""
        shown = self.ecs.describe_container_instances(cluster=self.name, containerInstances=[self.member])
        status = [found["status"] for found in shown["containerInstances"]]
        tasks = self.ecs.describe_tasks(cluster=self.name, tasks=[self.task])["tasks"]
        target = self.targets().get(self.instance)
        record = self.record()
        states = self.autoscaling.describe_auto_scaling_instances(InstanceIds=[self.instance])["AutoScalingInstances"]
        return {
            "at": time.time(),
            "container instance": status[0] if status else "MISSING",
            "task": tasks[0]["lastStatus"] if tasks else "MISSING",
            "target": target,
            "phase": record.get("phase"),
            "outcome": record.get("outcome"),
            "message": record.get("message"),
            "lifecycle": states[0]["LifecycleState"] if states else None,
        }

    def watch(self):
        """Looks again and again until the record is done and the instance has left its group."""
        until = time.monotonic() + self.account.settle(DRAINED, DRAINED_STANDIN)
        while time.monotonic() < until:
            self.samples.append(self.sample())
            if self.samples[-1]["phase"] == "Done" and self.samples[-1]["lifecycle"] is None:
                return
            if self.stop.wait(self.account.settle(5, 1)):
                raise Stopped()

    # What is judged.

    def judge(self):
        """Everything that is promised, by what was seen from outside."""
        waiting = [seen for seen in self.samples if seen["lifecycle"] == "Terminating:Wait"]
        last = self.samples[-1]
        self.check("the hook held the instance", waiting, self.samples[:3])
        gone = ["DRAINING"] if self.strategy == "drain" else ["INACTIVE", "MISSING"]
        self.check(
            "it was DRAINING while the hook held it", any(s["container instance"] == "DRAINING" for s in waiting)
        )
        empty = [
            seen
            for seen in waiting
            if seen["task"] == "STOPPED" and seen["target"] is None and seen["container instance"] in gone
        ]
        what = "DRAINING" if self.strategy == "drain" else "deregistered"
        self.check(f"{what}, its task STOPPED and its target gone while the hook still held it", empty, waiting[-1:])
        early = [
            seen for seen in self.samples if seen["lifecycle"] != "Terminating:Wait" and seen["target"] is not None
        ]
        released = [seen for seen in early if (seen["lifecycle"] or "").startswith("Terminating:Proceed")]
        self.check("no target was seen once the hook was completed", not released, released[:1])
        end = (last["phase"], last["outcome"])
        self.check("the record says Done, Drained", end == ("Done", "Drained"), (end, last["message"]))
        self.check("the instance has left its group", last["lifecycle"] is None, last["lifecycle"])
        ended = self.wait_for_activity()
        self.check("the group's activity says that it was terminated", ended == "Successful", ended)
        status = self.ecs.describe_container_instances(
            cluster=self.name, containerInstances=[arn for arn, i in self.members().items() if i == self.other]
        )["containerInstances"]
        self.check("the other instance is ACTIVE", [found["status"] for found in status] == ["ACTIVE"], status)
        moved = self.at_rest()
        self.check("the service's task runs on the other instance", moved and moved[2] == self.other, moved)

    def wait_for_activity(self):
        """The status of the activity that terminated the instance."""

        def ended():
            shown = self.autoscaling.describe_scaling_activities(AutoScalingGroupName=self.name)["Activities"]
            mine = [
                a for a in shown if self.instance in a["Description"] and a["Description"].startswith("Terminating")
            ]
            codes = [activity["StatusCode"] for activity in mine]
            return codes[0] if codes and codes[0] in ("Successful", "Failed", "Cancelled") else None

        try:
            return self.wait_for("an activity that ended", ended, self.account.settle(600, 20))
        except TimeoutError as error:
            return str(error)


def index(name, hash_key, range_key):
    """An index of keys only."""
    return {
        "IndexName": name,
        "KeySchema": [
            {"AttributeName": hash_key, "KeyType": "HASH"},
            {"AttributeName": range_key, "KeyType": "RANGE"},
        ],
        "Projection": {"ProjectionType": "KEYS_ONLY"},
    }


def small(tags):
    """Tags as ECS wants them."""
    return [{name.lower(): value for name, value in tag.items()} for tag in tags]
