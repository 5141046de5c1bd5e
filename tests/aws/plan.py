"""What a run would make, for how long, and what that costs at most."""

import json
import os
import subprocess
from dataclasses import dataclass

from account import NEVER, PREFIX, ROOT

# USD in us-east-1, on demand, before tax and without any free tier. These are the list prices as they were known in
# 2025; they were not read from the pages named here when this was written. Look there before you trust the sum.
INSTANCES = {
    "t3.micro": 0.0104,
    "t3.small": 0.0208,
    "t2.micro": 0.0116,
}  # an hour; aws.amazon.com/ec2/pricing/on-demand
VOLUME = 0.08 * 30 / 730  # an hour of 30 GB of gp3; aws.amazon.com/ebs/pricing
ADDRESS = 0.005  # an hour of a public IPv4 address; aws.amazon.com/vpc/pricing
BALANCER = 0.0225 + 0.008  # an hour or a part, with one capacity unit; aws.amazon.com/elasticloadbalancing/pricing
CLASSIC = 0.025 + 0.008  # an hour or a part, with a GB of traffic; the same page
WRITES, READS = 1.25, 0.25  # a million request units; aws.amazon.com/dynamodb/pricing/on-demand, before their last cut
MESSAGES = 0.40  # a million requests; aws.amazon.com/sqs/pricing
PRICED = "us-east-1, as known in 2025"

# Other regions cost more; the dearest of those that every account has costs less than twice as much.
ELSEWHERE = 2

# How many request units all statements about DynamoDB use, with room: the largest writes 18,000 and reads 4,000.
UNITS = 0.2
REQUESTS = 0.1

# Hours in which a clean-up may still have things that cost.
CLEANING = 1

# vCPUs of the instance types above; the quota is "Running On-Demand Standard instances", L-1216C47A.
VCPUS = {"t3.micro": 2, "t3.small": 2, "t2.micro": 1}

STRATEGIES = ["drain", "deregister"]

# What a drain makes. A group of two: one leaves, the other takes its task.
DRAIN = {"clusters": 1, "groups": 1, "instances": 2, "target_groups": 1, "balancers": 1, "services": 1, "tables": 1}

# A terminated instance may be replaced before it is gone.
REPLACEMENT = 1

# Minutes, from what AWS's documents say of booting and of balancers; nobody measured them.
WITH_INSTANCES, WITHOUT, OF_A_DRAIN = 9, 15, 25

# Statements that read every group, cluster or classic load balancer of the region one by one, which takes requests from
# whoever else needs them there.
WHOLE_REGION = {
    "clusters_come_in_pages": ("ecs", "list_clusters", "clusterArns"),
    "groups_come_in_pages": ("autoscaling", "describe_auto_scaling_groups", "AutoScalingGroups"),
    "balancers_come_in_pages": ("elb", "describe_load_balancers", "LoadBalancerDescriptions"),
}
CROWDED = 20

# Statements that are asked in part on AWS.
IN_PART = {
    "a_task_names_its_service_and_that_its_balancers": "the service is behind a target group alone: behind a classic "
    "load balancer its tasks need a fixed port",
}


@dataclass
class Job:
    """What is made, asked and removed together: statements, or a drain."""

    name: str
    needs: dict
    # Each statement with the name that all it makes begins with.
    checks: list
    strategy: str | None = None

    @property
    def prefixes(self):
        """What the names of all it makes begin with."""
        return [name for _, name in self.checks] or [self.name]


def built():
    """Where cargo builds."""
    folder = ROOT / os.environ.get("CARGO_TARGET_DIR", "target")
    return folder / "debug"


def test_binary():
    """The newest test binary; None when none is built."""
    found = [path for path in built().glob("deps/all-*") if path.suffix == "" and os.access(path, os.X_OK)]
    return max(found, key=lambda path: path.stat().st_mtime, default=None)


def statements():
    """Every statement and what it makes, as it makes it on the simulator."""
    command = [test_binary(), "conformance::what_each_check_makes", "--exact", "--ignored", "--nocapture"]
    done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=120, check=True)
    lines = [line[5:] for line in done.stdout.decode().splitlines() if line.startswith("kit: ")]
    return [json.loads(line) for line in lines]


class Plan:
    """The jobs of a run, and what they come to."""

    def __init__(self, account, run, only, at_once, minutes, instance_type):
        self.account, self.run, self.at_once, self.minutes = account, run, at_once, minutes
        self.instance_type = instance_type
        self.known = known = statements()
        words = {said[key] for said in known for key in ("check", "service")} | set(STRATEGIES)
        self.unknown = sorted(set(only) - words)
        chosen = [said for said in known if not only or {said["check"], said["service"]} & set(only)]
        crowd = self.crowd(chosen)
        self.left_out = {check: why for check, why in crowd.items() if check not in only}
        self.strategies = [strategy for strategy in STRATEGIES if not only or strategy in only]
        self.jobs = list(self.make_jobs([said for said in chosen if said["check"] not in self.left_out]))

    def crowd(self, chosen):
        """Statements that would read a crowded region one by one, and why they are left out."""
        reasons = {}
        for said in chosen:
            if said["check"] in WHOLE_REGION:
                service, operation, key = WHOLE_REGION[said["check"]]
                others = sum(1 for _ in self.account.pages(service, operation, key))
                if others > CROWDED:
                    reasons[said["check"]] = f"it reads the {others} that are there one by one; name it with --only"
        return reasons

    def make_jobs(self, chosen):
        """Statements that need no instance together, and first; then the drains; then each other statement."""
        numbered = [(said, f"{PREFIX}-{self.run}-{n}") for n, said in enumerate(chosen)]
        plain = [(said, name) for said, name in numbered if not said["needs"]["instances"]]
        if plain:
            needs = sums(said["needs"] for said, _ in plain)
            yield Job("statements without instances", needs, [(said["check"], name) for said, name in plain])
        for strategy in self.strategies:
            yield Job(f"{PREFIX}-{self.run}-{strategy}", DRAIN, [], strategy)
        for said, name in numbered:
            if said["needs"]["instances"]:
                yield Job(said["check"], said["needs"], [(said["check"], name)])

    @property
    def needs_ground(self):
        """Whether a network is needed, and what stands on it."""
        kinds = ("groups", "target_groups", "classic")
        return any(job.needs.get(kind) for job in self.jobs for kind in kinds)

    @property
    def hours(self):
        """For how long there may be something that costs."""
        return self.minutes / 60 + CLEANING

    @property
    def likely_minutes(self):
        """How long it is likely to take."""
        of = {True: WITH_INSTANCES, False: WITHOUT}
        alone = sum(of[bool(job.needs.get("instances"))] for job in self.jobs if not job.strategy)
        return round((alone + OF_A_DRAIN * len(self.strategies)) / self.at_once) + 10

    def most_at_once(self, kind):
        """How many of a kind there are at a time, at most: a job's things are gone before another begins."""
        most = sorted((job.needs.get(kind, 0) for job in self.jobs), reverse=True)[: self.at_once]
        return sum(most) + (REPLACEMENT * sum(1 for n in most if n) if kind == "instances" else 0)

    def costs(self):
        """What it costs at most: what, how many, and USD."""
        hourly = INSTANCES[self.instance_type] + VOLUME + ADDRESS
        total = sums(job.needs for job in self.jobs)
        for what, kind, price in [
            (f"{self.instance_type} with volume and address", "instances", hourly),
            ("load balancers", "balancers", BALANCER),
            ("classic load balancers", "classic", CLASSIC),
        ]:
            most = self.most_at_once(kind)
            # Every one of them costs an hour at least, and an instance a minute.
            first = total.get(kind, 0) * (1 / 60 if kind == "instances" else 1)
            yield f"{what}, {most} at a time", total.get(kind, 0), (first + most * self.hours) * price
        if total.get("tables"):
            yield "tables, by request", total["tables"], UNITS * (WRITES + READS)
        if total.get("queues"):
            yield "queues, by request", total["queues"], REQUESTS * MESSAGES

    @property
    def factor(self):
        """By how much the region may be dearer than the one that is priced."""
        return 1 if self.account.region == "us-east-1" else ELSEWHERE

    @property
    def cost(self):
        """USD, at most."""
        return self.factor * sum(usd for _, _, usd in self.costs())

    @property
    def cost_of_death(self):
        """USD an hour for what balancers are left when the kit is killed; its groups end by themselves."""
        return self.factor * (self.most_at_once("balancers") * BALANCER + self.most_at_once("classic") * CLASSIC)

    def __str__(self):
        account, total = self.account, sums(job.needs for job in self.jobs)
        lines = [NEVER, ""]
        if account.endpoint:
            lines += [f"A STAND-IN, NOT AWS: {account.endpoint}"]
        lines += [f"account {account.id}, region {account.region}, as {account.caller}", ""]
        lines += [
            f"{sum(len(job.checks) for job in self.jobs)} statements about AWS, and {len(self.strategies)} drains"
        ]
        lines += [f"{len(self.jobs)} jobs, {self.at_once} at once; what one made is removed before the next begins", ""]
        lines += ["what is made in all:"]
        lines += [f"  {count:4} {kind.replace('_', ' ')}" for kind, count in total.items() if count]
        if self.needs_ground:
            lines += ["  a VPC with two subnets, a gateway, a route table and a security group, a launch template, a"]
            lines += ["  role and an instance profile; target groups, listeners and task definitions with the above"]
        if total.get("instances"):
            vcpus = self.most_at_once("instances") * VCPUS[self.instance_type]
            lines += [f"  needs a quota of {vcpus} vCPUs of standard on-demand instances (L-1216C47A)"]
        lines += [
            "",
            f"about {self.likely_minutes} minutes (estimated, never measured); {self.minutes} at most, then it",
        ]
        lines += ["stops and cleans up", "", f"at most, in USD (prices: {PRICED}):"]
        lines += [f"  {usd * self.factor:8.2f}  {count:4} {what}" for what, count, usd in self.costs()]
        lines += [f"  {self.cost:8.2f}  in all, for {self.hours:.1f} hours"]
        if self.factor != 1:
            lines += [f"            every price times {self.factor}, because {account.region} may be dearer"]
        if self.cost_of_death:
            lines += [f"  {self.cost_of_death:8.2f}  an hour more if the kit itself is killed, until `clean`"]
        for check, why in self.left_out.items():
            lines += ["", f"not asked: {check}: {why}"]
        chosen = {check for job in self.jobs for check, _ in job.checks}
        for check, why in IN_PART.items():
            if check in chosen:
                lines += ["", f"asked in part: {check}: {why}"]
        return "\n".join(lines)


def sums(needs):
    """Counts of several jobs, added up."""
    total = {}
    for some in needs:
        for kind, count in some.items():
            total[kind] = total.get(kind, 0) + count
    return total
