"""The kit for a real account (tests/aws) on clouds that others wrote: its plan, its refusals, a run with both drains,
runs that are killed, interrupted and out of time, and what each leaves behind."""

import json
import re
import signal
import subprocess
import sys
import threading
import time
import traceback

from clouds import ACCOUNT, ENVIRONMENT, ROOT, TOOLS, wait_for
from scenarios import target

NAME = "aws-kit"

# What the kit's calls are signed with, so that they are known.
KEY = "AKIAKIT"

# Where a statement is under way for ten seconds, with an instance that its hook holds.
SLOW = "a_terminated_instance_waits_under_its_hook"

# moto ignores the filter of ListContainerInstances; the others hold there.
DIFFERS = "a_filter_finds_ec2_instances"
HOLD = [
    "an_unknown_cluster_is_missing_in_describe_clusters",
    "draining_moves_a_service_s_task_away",
]

READS = ("Describe", "Get", "List", "AssumeRole")

# Calls that make nothing which could carry a tag.
UNTAGGABLE = {"CreateRoute", "RegisterTargets", "RegisterInstancesWithLoadBalancer"}

# A role that a real account has, and moto does not.
LINKED = ["AWSServiceRoleForECS", "AWSServiceRoleForElasticLoadBalancing", "AWSServiceRoleForAutoScaling"]


class Kit:
    """The kit as a process, on one cloud."""

    def __init__(self, clouds, report):
        self.clouds, self.report = clouds, report

    def check(self, what, holds, detail=""):
        """Notes a check; whether it holds."""
        self.report(NAME, what, bool(holds), detail)
        return holds

    def start(self, name, *words, url=None):
        """Starts the kit with an access key of its own."""
        command = [TOOLS / "moto/bin/python", ROOT / "tests/aws/run.py", *words]
        return subprocess.Popen(
            [str(word) for word in [*command, "--endpoint-url", url or self.clouds.moto]],
            env={
                **ENVIRONMENT,
                "HOME": str(self.clouds.folder),
                "AWS_ACCESS_KEY_ID": KEY + name.upper(),
                "CARGO_TARGET_DIR": str(target().resolve()),
            },
            stdin=subprocess.DEVNULL,
            stdout=open(self.clouds.folder / f"kit-{name}.log", "wb"),
            stderr=subprocess.STDOUT,
        )

    def say(self, name, *words, url=None, seconds=400):
        """Runs the kit to its end: exit code and what it printed."""
        child = self.start(name, *words, url=url)
        try:
            code = child.wait(seconds)
        except subprocess.TimeoutExpired:
            child.kill()
            code = child.wait()
        return code, self.said(name)

    def said(self, name):
        """What a process has printed."""
        return (self.clouds.folder / f"kit-{name}.log").read_text(errors="replace")

    def records(self, name):
        """Where a run writes its answers."""
        return self.clouds.folder / f"records-{name}"

    def run(self, name, *words):
        """The words of a run that is allowed."""
        return "run", "--account", ACCOUNT, "--budget", "20", "--records", self.records(name), *words

    def run_id(self, name):
        """The id of a run that has begun."""
        found = wait_for(lambda: re.search(r"^run ([0-9a-f]{6});", self.said(name), re.M), 60)
        return found and found[1]

    def calls(self, name=""):
        """The calls of a process, or of all."""
        return [call for call in self.clouds.plugin("calls") if (call["by"] or "").startswith(KEY + name.upper())]

    def changes(self, name):
        """The calls of a process that change something."""
        return [call["operation"] for call in self.calls(name) if not call["operation"].startswith(READS)]

    def left(self, run):
        """What is there of a run, by its names and addresses, and not by what the kit finds."""
        aws, prefix = self.clouds.aws, f"edkit-{run}"
        names = [
            *aws("autoscaling", "describe-auto-scaling-groups", query="AutoScalingGroups[].AutoScalingGroupName"),
            *aws("ec2", "describe-launch-templates", query="LaunchTemplates[].LaunchTemplateName"),
            *aws("ec2", "describe-security-groups", query="SecurityGroups[].GroupName"),
            *aws("iam", "list-roles", query="Roles[].RoleName"),
            *aws("iam", "list-instance-profiles", query="InstanceProfiles[].InstanceProfileName"),
            *aws("elbv2", "describe-load-balancers", query="LoadBalancers[].LoadBalancerName"),
            *aws("elbv2", "describe-target-groups", query="TargetGroups[].TargetGroupName"),
            *aws("dynamodb", "list-tables", query="TableNames"),
            *aws("ecs", "list-task-definitions", query="taskDefinitionArns"),
            *(aws("sqs", "list-queues", query="QueueUrls") or []),
        ]
        states = "Reservations[].Instances[?State.Name!='terminated'][].Tags[].Value"
        names += aws("ec2", "describe-instances", query=states)
        names += aws("ec2", "describe-vpcs", query="Vpcs[].Tags[].Value")
        clusters = aws("ecs", "list-clusters", query="clusterArns")
        alive = "clusters[?status=='ACTIVE'].clusterName"
        names += aws("ecs", "describe-clusters", "--clusters", *clusters, query=alive) if clusters else []
        return sorted({name for name in names if prefix in name})


def plan(kit):
    """The plan, which changes nothing, and what is refused."""
    code, told = kit.say("plan")
    kit.check(
        "`plan` is the default, and says account and region",
        code == 0 and f"account {ACCOUNT}, region us-east-1" in told,
        told,
    )
    kit.check("it says that it was never run on AWS", "never run on AWS" in told, told)
    cost = re.search(r"([0-9.]+)  in all", told)
    kit.check("it says what it costs", cost and 0 < float(cost[1]) < 50, told)
    page = re.search(r"the ([0-9]+) statements", (ROOT / "tests/aws/README.md").read_text())
    planned = f"{page and page[1]} statements about AWS, and 2 drains"
    kit.check("it plans as many statements as its page says, and both drains", planned in told, told)
    refusals = {
        "no-account": (["run", "--budget", "99"], "name the account"),
        "wrong-account": (
            ["run", "--account", "210987654321", "--budget", "99"],
            f"these credentials are of {ACCOUNT}",
        ),
        "no-budget": (["run", "--account", ACCOUNT], "name what it may cost"),
        "small-budget": (["run", "--account", ACCOUNT, "--budget", "0.5"], "it can cost"),
        "no-bounds": (["run", "--account", ACCOUNT, "--budget", "nan"], "nan is no amount"),
        "no-end": (["run", "--account", ACCOUNT, "--budget", "99", "--minutes", "inf"], "inf is no amount"),
        "no-such": (["run", "--account", ACCOUNT, "--budget", "99", "--only", "nothing"], "is called nothing"),
        "no-roles": (["run", "--account", ACCOUNT, "--budget", "99"], "aws iam create-service-linked-role"),
        "clean-account": (["clean", "--all"], "name the account"),
        "clean-wrong": (["clean", "--all", "--account", "210987654321"], f"these credentials are of {ACCOUNT}"),
    }
    for name, (words, why) in refusals.items():
        code, told = kit.say(name, *words)
        kit.check(f"refused, with the reason: {' '.join(words)}", code == 2 and why in told, f"{code}: {told}")
    changed = {name: kit.changes(name) for name in ["plan", *refusals]}
    kit.check("none of these changed anything", not any(changed.values()), changed)


def whole(kit):
    """A run to its end: statements, a difference, both drains, and nothing left."""
    code, told = kit.say("whole", *kit.run("whole", "--only", DIFFERS, *HOLD, "drain", "deregister"))
    run, folder = kit.run_id("whole"), kit.records("whole")
    kit.check("a difference makes the exit code 1", code == 1 and "STOPPED" not in told, told)
    counted = f"3 statements: {len(HOLD)} as the stand-in"
    kit.check(
        "it counts what holds and what differs", counted in told and "1 differ,\n0 could not be asked" in told, told
    )
    page = folder / "statements.md"
    text = page.read_text() if page.exists() else ""
    wanted = [f"## {DIFFERS}", "Cluster query language", "tests/all/conformance/ecs.rs:", "tests/simulator/src/ecs/",
              "src/aws/ecs/", "ListContainerInstances 200", "1 emulator is listed"]  # fmt: skip
    kit.check("the difference is a statement for review", all(words in text for words in wanted), text)
    kit.check("and no other is", text.count("## ") == 1, text)
    for strategy in ("drain", "deregister"):
        path = folder / f"drain-{strategy}.json"
        judged = json.loads(path.read_text())["judged"] if path.exists() else []
        bad = [judgement for judgement in judged if not judgement["holds"]]
        kit.check(f"the drain with strategy {strategy} is as promised", len(judged) == 11 and not bad, bad or told)
    written = {path.name: path.read_text() for path in folder.iterdir()}
    kit.check("every statement's answers are written", set(checks_of(written)) == {DIFFERS, *HOLD}, sorted(written))
    secret = re.compile(rf"{ACCOUNT}|AKIA|dummysecret|\bi-(?!0123456789abcdef0)[0-9a-f]{{17}}|arn:aws:|edkit-[0-9a-f]")
    named = {name: secret.findall(text)[:5] for name, text in written.items() if secret.search(text)}
    kit.check("what is written names no account, instance, ARN or key", not named, named)
    kit.check("nothing is left", not kit.left(run), kit.left(run))
    untagged = [
        call["operation"]
        for call in kit.calls("whole")
        if call["operation"].startswith(("Create", "Run", "Start", "RegisterTask"))
        and "ecs-drain-kit" not in call["body"]
    ]
    kit.check("all that it made carries its tag", set(untagged) <= UNTAGGABLE, untagged)


def checks_of(written):
    """The statements that answers were written of."""
    return [json.loads(line)["check"] for line in written.get("answers.jsonl", "").splitlines()]


def recorded(kit):
    """What is written of answers that no cloud here gives."""
    sys.path.append(str(ROOT / "tests/aws"))
    from records import Records

    account = type("Account", (), {"id": ACCOUNT})
    records, xml = Records(kit.records("made-up"), account), "<NextToken>bmV4dA==</NextToken><RequestId>r1</RequestId>"
    answer = {
        "check": "groups_come_in_pages",
        "nth": 1,
        "service": "Auto Scaling",
        "operation": "Describe",
        "status": 200,
    }
    records.take({**answer, "answer": "<Name>payroll</Name>"})
    records.take(
        {**answer, "check": "a", "answer": f"{xml} 10.0.3.4 i-0a1b2c3d4e5f60718 {ACCOUNT} i-0a1b2c3d4e5f60718"}
    )
    came = {"complaint": "refused with 403 AccessDenied (…) instead of 400", "listed": None, "unmade": False}
    records.take({**came, "check": "a"})
    said = [records.answers[check][0]["answer"] for check in ("groups_come_in_pages", "a")]
    kit.check("an answer that lists what else is there is not written", "payroll" not in said[0], said[0])
    wanted = "<NextToken><token 1></NextToken><RequestId><request 1></RequestId> <address 1> <id 1> <account> <id 1>"
    kit.check("tokens, addresses, ids and the account are placeholders", said[1] == wanted, said[1])
    kit.check("a call that was denied is no difference", not records.differences() and len(records.unmade()) == 1)


def waits(kit, run):
    """Whether an instance of a run waits under its hook."""
    states = kit.clouds.aws(
        "autoscaling", "describe-auto-scaling-groups",
        query=f"AutoScalingGroups[?starts_with(AutoScalingGroupName, 'edkit-{run}')].Instances[].LifecycleState",
    )  # fmt: skip
    return "Terminating:Wait" in states


def killed(kit):
    """A run whose process is killed in the middle, and the clean-up of what it left."""
    child = kit.start("killed", *kit.run("killed", "--only", SLOW))
    run = kit.run_id("killed")
    kit.check("a run begins, to be killed", run and wait_for(lambda: waits(kit, run), 60), kit.said("killed"))
    child.send_signal(signal.SIGKILL)
    child.wait()
    time.sleep(2)
    before = len(kit.calls("killed"))
    # The statement's next call comes ten seconds after its last one.
    time.sleep(12)
    kit.check("nothing of it goes on once it is killed", len(kit.calls("killed")) == before)
    there = kit.left(run)
    kinds = ["-group", "-cluster", f"edkit-{run}"]
    kit.check("a killed run leaves things", all(any(n.endswith(k) for n in there) for k in kinds), there)
    code, told = kit.say("list", "clean")
    kit.check(
        "`clean` alone lists them, and changes nothing", code == 1 and run in told and kit.left(run) == there, told
    )
    kit.check("it changes nothing", not kit.changes("list"), kit.changes("list"))
    code, told = kit.say("clean", "clean", "--account", ACCOUNT, "--run", run)
    kit.check("`clean --run` removes them", code == 0 and ", 0 left" in told and not kit.left(run), told)


def interrupted(kit):
    """Ctrl-C in the middle of a run."""
    child = kit.start("interrupted", *kit.run("interrupted", "--only", SLOW))
    run = kit.run_id("interrupted")
    kit.check("a run begins, to be interrupted", run and wait_for(lambda: waits(kit, run), 60), kit.said("interrupted"))
    child.send_signal(signal.SIGINT)
    code, told = child.wait(120), kit.said("interrupted")
    kit.check("Ctrl-C stops it", code == 1 and "STOPPED: interrupted" in told, told)
    kit.check("and it cleans up", ", 0 left" in told and not kit.left(run), told)


def out_of_time(kit):
    """A run whose time is used up."""
    code, told = kit.say("late", *kit.run("late", "--only", SLOW, "--minutes", "0.15"))
    run = kit.run_id("late")
    kit.check("a run stops when its time is used up", code == 1 and "0.15 minutes are used up" in told, told)
    kit.check("then it cleans up too", ", 0 left" in told and not kit.left(run), told)


def ministack(kit):
    """The statements about DynamoDB and SQS on ministack, which has no instances: what is listed differs, no more."""
    url = f"http://127.0.0.1:{kit.clouds.ministack_port}"
    _, told = kit.say("ministack", *kit.run("ministack", "--only", "DynamoDB", "SQS"), url=url)
    path = kit.records("ministack") / "came.jsonl"
    came = [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []
    differ = {line["check"] for line in came if line["complaint"]}
    text = (ROOT / "tests/all/conformance/differs.rs").read_text().split("const MINISTACK")[1]
    listed = set(re.findall(r'^    \(\s*"([a-z0-9_]+)"', text, re.M))
    kit.check("on ministack the listed statements differ, and no others", came and differ == listed, differ ^ listed)
    kit.check("and nothing is left there", ", 0 left" in told, told)


def others(kit):
    """What somebody else has: with a name like the kit's, and without; never with its tag."""
    aws = kit.clouds.aws
    aws("ecs", "create-cluster", "--cluster-name", "edkit-abcdef-cluster")
    aws("sqs", "create-queue", "--queue-name", "edkit-abcdef-queue")
    aws("ecs", "create-cluster", "--cluster-name", "bystander")
    for role in LINKED:
        aws("iam", "create-role", "--role-name", role, "--assume-role-policy-document", "{}")


def nothing_else(kit):
    """What is somebody else's is still there, and reported; without it nothing is left."""
    aws, clean = kit.clouds.aws, ("clean", "--account", ACCOUNT, "--all")
    code, told = kit.say("all", *clean)
    named = ["left alone: cluster edkit-abcdef-cluster" in told, "left alone: queue edkit-abcdef-queue" in told]
    kit.check("what has the prefix and no tag is reported, and left alone", code == 1 and all(named), told)
    there = aws(
        "ecs", "describe-clusters", "--clusters", "edkit-abcdef-cluster", "bystander", query="clusters[].status"
    )
    kit.check("somebody else's clusters are still there", there == ["ACTIVE", "ACTIVE"], there)
    urls = aws("sqs", "list-queues", "--queue-name-prefix", "edkit-abcdef", query="QueueUrls") or []
    kit.check("and somebody else's queue", len(urls) == 1, urls)
    aws("ecs", "delete-cluster", "--cluster", "edkit-abcdef-cluster")
    aws("sqs", "delete-queue", "--queue-url", *urls)
    code, told = kit.say("end", *clean)
    kit.check("in the end nothing is left", code == 0 and "0 things removed, 0 left" in told, told)


# How a call is named in a policy, where that is not its own name.
ACTIONS = {
    "sqs:DeleteMessageBatch": "sqs:DeleteMessage",
    "sts:GetCallerIdentity": None,
}


def permissions(kit):
    """Every call that was made is allowed by the kit's policy."""
    policy = json.loads((ROOT / "tests/aws/policy.json").read_text())
    allowed = {action for statement in policy["Statement"] for action in statement["Action"]}
    made = {f"{call['service']}:{call['operation']}" for call in kit.calls()}
    wanted = {ACTIONS.get(call, call) for call in made} - {None}
    kit.check("the kit's policy names every call that it made", len(made) > 80 and wanted <= allowed, wanted - allowed)


def to_its_end(kit, part):
    """One part; what goes wrong in it is a failure of its own."""
    try:
        part(kit)
    except Exception as error:  # whatever it was: the other parts go on
        traceback.print_exc()
        kit.check(f"{part.__name__} ran to its end", False, error)


def aws_kit(clouds, report):
    """All of it; what mostly waits at the same time."""
    kit = Kit(clouds, report)
    recorded(kit)
    plan(kit)
    others(kit)
    parts = (whole, killed, interrupted, out_of_time, ministack)
    together = [threading.Thread(target=to_its_end, args=(kit, part)) for part in parts]
    for thread in together:
        thread.start()
    for thread in together:
        thread.join()
    nothing_else(kit)
    permissions(kit)
