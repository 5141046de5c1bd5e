"""What a run left behind, found by its tag and by its names, and how it is removed.

Only what carries the kit's tag is removed. What has a name like the kit's and no tag is reported, and left alone.
"""

import re
import threading
import time
from dataclasses import dataclass

from account import CLUSTER_TAG, PATH, PREFIX, TAG

NAME = re.compile(rf"^{PREFIX}-([0-9a-f]{{6}})(-|$)")

# How long a whole clean-up may take, in seconds: the interfaces of a load balancer outlive it by minutes.
LIMIT = 30 * 60
STANDIN_LIMIT = 60

ENDED = ("INACTIVE", "DELETE_IN_PROGRESS")


@dataclass(frozen=True)
class Thing:
    """Something in the account."""

    kind: str
    id: str
    name: str
    # The value of the kit's tag; None without.
    run: str | None

    @property
    def of(self):
        """The run that made it, by its tag, or by its name where it has none."""
        found = NAME.match(self.name or "")
        return self.run or (found and found[1])

    def __str__(self):
        return f"{self.kind} {self.name or self.id}"


def as_dict(tags):
    """Tags as they come from different services."""
    if isinstance(tags, dict):
        return tags
    return {tag.get("Key", tag.get("key")): tag.get("Value", tag.get("value")) for tag in tags or []}


def named(name):
    """Whether a name is like the kit's."""
    return bool(NAME.match(name or ""))


class Kind:
    """A kind of thing: how all of it that may be the kit's is found, and how one is removed."""

    def __init__(self, account):
        self.account = account

    def thing(self, id, name, tags):
        """What was found."""
        return Thing(self.kind, id, name, as_dict(tags).get(TAG))


class Groups(Kind):
    """Auto Scaling groups, their instances and lifecycle actions with them."""

    kind = "Auto Scaling group"

    def find(self):
        for group in self.account.pages("autoscaling", "describe_auto_scaling_groups", "AutoScalingGroups"):
            name = group["AutoScalingGroupName"]
            if named(name) or TAG in as_dict(group.get("Tags")):
                yield self.thing(name, name, group.get("Tags"))

    def remove(self, thing):
        self.account.client("autoscaling").delete_auto_scaling_group(AutoScalingGroupName=thing.id, ForceDelete=True)


class Instances(Kind):
    """EC2 instances, also those that their group retains or lost."""

    kind = "instance"

    def find(self):
        alive = ["pending", "running", "shutting-down", "stopping", "stopped"]
        filters = [{"Name": "tag-key", "Values": [TAG]}, {"Name": "instance-state-name", "Values": alive}]
        for reservation in self.account.pages("ec2", "describe_instances", "Reservations", Filters=filters):
            for found in reservation["Instances"]:
                name = as_dict(found.get("Tags")).get(CLUSTER_TAG, "")
                yield self.thing(found["InstanceId"], name, found.get("Tags"))

    def remove(self, thing):
        self.account.client("ec2").terminate_instances(InstanceIds=[thing.id])


class Classic(Kind):
    """Classic load balancers."""

    kind = "classic load balancer"

    def find(self):
        balancers = self.account.pages("elb", "describe_load_balancers", "LoadBalancerDescriptions")
        for name in [found["LoadBalancerName"] for found in balancers if named(found["LoadBalancerName"])]:
            described = self.account.client("elb").describe_tags(LoadBalancerNames=[name])["TagDescriptions"]
            yield self.thing(name, name, described[0].get("Tags") if described else [])

    def remove(self, thing):
        self.account.client("elb").delete_load_balancer(LoadBalancerName=thing.id)


class Balancers(Kind):
    """Load balancers, their listeners with them."""

    kind, operation, key = "load balancer", "describe_load_balancers", "LoadBalancers"
    name, arn = "LoadBalancerName", "LoadBalancerArn"

    def find(self):
        all_of_them = self.account.pages("elbv2", self.operation, self.key)
        for found in [found for found in all_of_them if named(found[self.name])]:
            described = self.account.client("elbv2").describe_tags(ResourceArns=[found[self.arn]])["TagDescriptions"]
            yield self.thing(found[self.arn], found[self.name], described[0].get("Tags") if described else [])

    def remove(self, thing):
        self.account.client("elbv2").delete_load_balancer(LoadBalancerArn=thing.id)


class TargetGroups(Balancers):
    """Target groups."""

    kind, operation, key = "target group", "describe_target_groups", "TargetGroups"
    name, arn = "TargetGroupName", "TargetGroupArn"

    def remove(self, thing):
        self.account.client("elbv2").delete_target_group(TargetGroupArn=thing.id)


class Clusters(Kind):
    """Clusters, with their services, tasks and container instances."""

    kind = "cluster"

    def find(self):
        ecs = self.account.client("ecs")
        arns = list(self.account.pages("ecs", "list_clusters", "clusterArns"))
        for arn in [arn for arn in arns if named(arn.split("/")[-1])]:
            for found in ecs.describe_clusters(clusters=[arn], include=["TAGS"])["clusters"]:
                if found["status"] not in ENDED:
                    yield self.thing(arn, found["clusterName"], found.get("tags"))

    def remove(self, thing):
        ecs, cluster = self.account.client("ecs"), {"cluster": thing.id}
        for service in list(self.account.pages("ecs", "list_services", "serviceArns", **cluster)):
            described = ecs.describe_services(**cluster, services=[service])["services"]
            if described and described[0]["status"] == "ACTIVE":
                ecs.delete_service(**cluster, service=service, force=True)
        for task in list(self.account.pages("ecs", "list_tasks", "taskArns", **cluster)):
            ecs.stop_task(**cluster, task=task, reason="the kit cleans up")
        members = self.account.pages("ecs", "list_container_instances", "containerInstanceArns", **cluster)
        for member in list(members):
            ecs.deregister_container_instance(**cluster, containerInstance=member, force=True)
        ecs.delete_cluster(**cluster)


class Definitions(Kind):
    """Task definitions."""

    kind = "task definition"

    def find(self):
        ecs = self.account.client("ecs")
        families = self.account.pages("ecs", "list_task_definition_families", "families", familyPrefix=f"{PREFIX}-")
        for family in list(families):
            for status in ("ACTIVE", "INACTIVE"):
                listed = self.account.pages(
                    "ecs", "list_task_definitions", "taskDefinitionArns", familyPrefix=family, status=status
                )
                for arn in list(listed):
                    tags = ecs.describe_task_definition(taskDefinition=arn, include=["TAGS"]).get("tags")
                    yield self.thing(arn, family, tags)

    def remove(self, thing):
        ecs = self.account.client("ecs")
        if ecs.describe_task_definition(taskDefinition=thing.id)["taskDefinition"]["status"] == "ACTIVE":
            ecs.deregister_task_definition(taskDefinition=thing.id)
        ecs.delete_task_definitions(taskDefinitions=[thing.id])


class Tables(Kind):
    """DynamoDB tables."""

    kind = "table"

    def find(self):
        dynamodb = self.account.client("dynamodb")
        for name in [name for name in self.account.pages("dynamodb", "list_tables", "TableNames") if named(name)]:
            described = dynamodb.describe_table(TableName=name)["Table"]
            if described["TableStatus"] == "DELETING":
                continue
            tags = dynamodb.list_tags_of_resource(ResourceArn=described["TableArn"])["Tags"]
            yield self.thing(name, name, tags)

    def remove(self, thing):
        self.account.client("dynamodb").delete_table(TableName=thing.id)


class Queues(Kind):
    """SQS queues. They are listed for up to a minute after they were deleted."""

    kind = "queue"

    def find(self):
        sqs = self.account.client("sqs")
        for url in list(self.account.pages("sqs", "list_queues", "QueueUrls", QueueNamePrefix=f"{PREFIX}-")):
            try:
                tags = sqs.list_queue_tags(QueueUrl=url).get("Tags")
            except sqs.exceptions.QueueDoesNotExist:
                continue
            yield self.thing(url, url.split("/")[-1], tags)

    def remove(self, thing):
        self.account.client("sqs").delete_queue(QueueUrl=thing.id)


class Network(Kind):
    """Things of EC2 that are found by their tag alone; each sort has a row here, in the order in which they can go."""

    kind = "network"
    ROWS = [
        ("launch template", "launch_templates", "LaunchTemplates", "LaunchTemplateId"),
        ("network interface", "network_interfaces", "NetworkInterfaces", "NetworkInterfaceId"),
        ("volume", "volumes", "Volumes", "VolumeId"),
        ("security group", "security_groups", "SecurityGroups", "GroupId"),
        ("subnet", "subnets", "Subnets", "SubnetId"),
        ("route table", "route_tables", "RouteTables", "RouteTableId"),
        ("internet gateway", "internet_gateways", "InternetGateways", "InternetGatewayId"),
        ("VPC", "vpcs", "Vpcs", "VpcId"),
    ]

    def find(self):
        filters = [{"Name": "tag-key", "Values": [TAG]}]
        for kind, plural, key, id in self.ROWS:
            for found in list(self.account.pages("ec2", f"describe_{plural}", key, Filters=filters)):
                if "in-use" in (found.get("Status"), found.get("State")):
                    # A volume or an interface of an instance, which goes with it.
                    continue
                tags = as_dict(found.get("Tags") or found.get("TagSet"))
                name = tags.get("Name") or f"{PREFIX}-{tags.get(TAG)}"
                yield Thing(kind, found[id], name, tags.get(TAG))

    def remove(self, thing):
        ec2 = self.account.client("ec2")
        plural, id = next((row[1], row[3]) for row in self.ROWS if row[0] == thing.kind)
        if thing.kind == "internet gateway":
            described = ec2.describe_internet_gateways(InternetGatewayIds=[thing.id])["InternetGateways"]
            for attached in described[0].get("Attachments", []):
                ec2.detach_internet_gateway(InternetGatewayId=thing.id, VpcId=attached["VpcId"])
        if thing.kind == "route table":
            described = ec2.describe_route_tables(RouteTableIds=[thing.id])["RouteTables"]
            for association in described[0].get("Associations", []):
                ec2.disassociate_route_table(AssociationId=association["RouteTableAssociationId"])
        getattr(ec2, f"delete_{plural.removesuffix('s')}")(**{id: thing.id})


class Profiles(Kind):
    """Instance profiles, which hold their role."""

    kind = "instance profile"

    def find(self):
        iam = self.account.client("iam")
        for found in list(self.account.pages("iam", "list_instance_profiles", "InstanceProfiles", PathPrefix=PATH)):
            name = found["InstanceProfileName"]
            described = iam.get_instance_profile(InstanceProfileName=name)["InstanceProfile"]
            yield self.thing(name, name, described.get("Tags"))

    def remove(self, thing):
        iam, name = self.account.client("iam"), {"InstanceProfileName": thing.id}
        for role in iam.get_instance_profile(**name)["InstanceProfile"]["Roles"]:
            iam.remove_role_from_instance_profile(**name, RoleName=role["RoleName"])
        iam.delete_instance_profile(**name)


class Roles(Kind):
    """Roles, with the policies that are attached to them."""

    kind = "role"

    def find(self):
        iam = self.account.client("iam")
        for found in list(self.account.pages("iam", "list_roles", "Roles", PathPrefix=PATH)):
            name = found["RoleName"]
            yield self.thing(name, name, iam.list_role_tags(RoleName=name)["Tags"])

    def remove(self, thing):
        iam, name = self.account.client("iam"), {"RoleName": thing.id}
        for policy in list(self.account.pages("iam", "list_attached_role_policies", "AttachedPolicies", **name)):
            iam.detach_role_policy(**name, PolicyArn=policy["PolicyArn"])
        iam.delete_role(**name)


# What statements and drains make, and what all of them stand on. In the order in which they can go.
MADE = [Groups, Instances, Classic, Balancers, TargetGroups, Clusters, Definitions, Tables, Queues]
GROUND = [Network, Profiles, Roles]


@dataclass
class Removal:
    """How a clean-up ended."""

    removed: int
    # What is still there, and why.
    left: dict
    # What has a name like the kit's and no tag.
    untagged: list
    # Kinds that could not be looked for, and why.
    unseen: dict

    def __bool__(self):
        return not self.left and not self.unseen

    def reasons(self):
        """What is not clean, and why."""
        yield from ((str(thing), why) for thing, why in self.left.items())
        yield from ((f"perhaps a {kind}", f"could not look: {why}") for kind, why in self.unseen.items())


class Left:
    """What is left in an account, of kinds of services that it has."""

    def __init__(self, account, kinds=None):
        self.account = account
        self.kinds = [kind(account) for kind in kinds or [*MADE, *GROUND]]

    def find(self, wanted=lambda _: True):
        """Everything that may be the kit's and is wanted, and the kinds that could not be looked for."""
        found, unseen = [], {}
        for kind in self.kinds:
            try:
                found += [(kind, thing) for thing in kind.find() if wanted(thing)]
            except Exception as error:  # whatever it was: the other kinds are looked for all the same
                unseen[kind.kind] = str(error)
        return found, unseen

    def remove(self, wanted, say=print, limit=None, stop=None):
        """Removes what is wanted, again and again until it is gone: one thing waits for another. The event `stop` ends
        the attempts."""
        until = time.monotonic() + (limit or self.account.settle(LIMIT, STANDIN_LIMIT))
        seen, stop = set(), stop or threading.Event()
        while True:
            found, unseen = self.find(wanted)
            untagged = [thing for _, thing in found if not thing.run]
            left = {thing: self.attempt(kind, thing) for kind, thing in found if thing.run}
            for thing in [thing for thing in left if thing not in seen]:
                say(f"  removing {thing}")
            seen |= left.keys()
            if not left and not unseen or time.monotonic() > until or stop.is_set():
                return Removal(len(seen - left.keys()), left, untagged, unseen)
            stop.wait(self.account.settle(10, 0.5))

    @staticmethod
    def attempt(kind, thing):
        """Removes a thing; what stands in the way."""
        try:
            kind.remove(thing)
            return "it is on its way out"
        except Exception as error:  # whatever it was: it is tried again, and reported
            return str(error)
