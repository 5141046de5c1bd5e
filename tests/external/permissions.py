"""The least policy, on clouds that enforce policies.

`permissions`, on ministack with `AUTH=true`: `ecs-drain iam` prints the policy, a user gets it, and `ecs-drain doctor`
makes every call with that user's key: none may be denied. Then each action is taken away in turn, and the doctor must
name it.

`asked`, on the same ministack: people who may pause and resume in the clusters `web-*` and nothing else, with the real
command line. ministack itself lets every key pass; `ministack_keys.py` tells it the key, and its own evaluator judges it.

`enforced`, on a moto that enforces the list of actions (it knows no resource but `*`, and no condition): a controller and
an operator with the keys of such users drain two instances, and make nearly every call that the controller ever makes.

ministack matches the resources of DynamoDB and SQS, and of the calls that name a group. It asks for `*` in most of ECS
and for a termination, which names the instance alone; those are widened to `*` here, and tests/all/templates.rs checks
what they are limited to. It also has an action of its own for a batch of deletions, where AWS has none.
"""

import http.client
import json
import subprocess

import fleet
from clouds import ACCOUNT, ENVIRONMENT, HERE, REGION, ROOT, TOOLS, Clouds, Table, free_port, listens, wait_for
from scenarios import DRAIN, Scenario, binary

USER = "ecs-drain"

CONFIGURATION = """\
[table]
name = "ecs-drain"
region = "us-east-1"
[[scope]]
region = "us-east-1"
hooks = ["ecs-drain"]
queue = "http://127.0.0.1:{port}/{account}/ecs-drain"
[policy]
strategy = "deregister"
standalone_tasks = {{ stop_after = "1h" }}
rebalance = "terminate"
"""


class Guarded:
    """A ministack that asks whether a call is allowed."""

    def __init__(self, clouds, name):
        self.clouds, self.port = clouds, free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        clouds.start(
            f"ministack-{name}",
            [TOOLS / "ministack/bin/python", HERE / "ministack_keys.py"],
            BIND_HOST="127.0.0.1",
            GATEWAY_PORT=str(self.port),
            MINISTACK_ACCOUNT_ID=ACCOUNT,
            IOT_MTLS_ENABLED="0",
            SFTP_ENABLED="0",
            LOG_LEVEL="WARNING",
            AUTH="true",
        )
        if not wait_for(lambda: listens(self.port), 30):
            raise RuntimeError(f"nothing listens on port {self.port} after 30 s; see {clouds.folder}")
        self.config = clouds.folder / f"{name}.toml"
        self.config.write_text(CONFIGURATION.format(port=self.port, account=ACCOUNT))
        self.key = ("test", "test")

    def run(self, command, key):
        """Runs a command with somebody's key; its exit code and what it prints."""
        environment = {
            **ENVIRONMENT,
            "HOME": str(self.clouds.folder),
            "AWS_ENDPOINT_URL": self.url,
            "AWS_ACCESS_KEY_ID": key[0],
            "AWS_SECRET_ACCESS_KEY": key[1],
        }
        done = subprocess.run(
            [str(word) for word in command],
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=120,
            check=False,
        )
        return done.returncode, done.stdout.decode(), done.stderr.decode()

    def aws(self, *words):
        """The aws command line, as root; its answer."""
        command = [TOOLS / "moto/bin/aws", "--endpoint-url", self.url, *words, "--output", "json"]
        code, out, err = self.run(command, ("test", "test"))
        if code != 0:
            raise RuntimeError(f"aws {' '.join(words)}: {err.strip()}")
        return json.loads(out or "null")

    def ours(self, *words):
        """Our program; exit code, output, errors."""
        return self.run([binary(), *words, "--config", self.config], self.key)

    def allow(self, policy):
        """Gives the user this policy, and no other."""
        document = json.dumps(as_ministack_reads_it(policy))
        self.aws(
            "iam", "put-user-policy", "--user-name", USER, "--policy-name", USER, "--policy-document", document
        )

    def failures(self):
        """What the doctor says does not work."""
        _, out, err = self.ours("doctor", "-o", "json")
        try:
            sections = json.loads(out)
        except ValueError:
            return [err.strip()]
        return [f["text"] for section in sections for f in section["findings"] if f["verdict"] == "failure"]


def populate(guarded):
    """A cluster, a group with our hook, a queue, the table; and a user with a key."""
    guarded.aws("ecs", "create-cluster", "--cluster-name", "web")
    template = json.dumps({"ImageId": "ami-12345678", "InstanceType": "t3.micro"})
    guarded.aws("ec2", "create-launch-template", "--launch-template-name", "web", "--launch-template-data", template)
    guarded.aws(
        *"autoscaling create-auto-scaling-group --auto-scaling-group-name web --min-size 0 --max-size 1".split(),
        *"--desired-capacity 0 --launch-template LaunchTemplateName=web --availability-zones us-east-1a".split(),
    )
    guarded.aws(
        *"autoscaling put-lifecycle-hook --auto-scaling-group-name web --lifecycle-hook-name ecs-drain".split(),
        *"--lifecycle-transition autoscaling:EC2_INSTANCE_TERMINATING --heartbeat-timeout 3600".split(),
        *"--default-result CONTINUE".split(),
    )
    guarded.aws("sqs", "create-queue", "--queue-name", "ecs-drain")
    code, _, err = guarded.ours("init")
    if code != 0:
        raise RuntimeError(f"init: {err}")
    guarded.aws("iam", "create-user", "--user-name", USER)
    key = guarded.aws("iam", "create-access-key", "--user-name", USER)["AccessKey"]
    guarded.key = (key["AccessKeyId"], key["SecretAccessKey"])


# What the clouds of others call a batch of deletions; on AWS sqs:DeleteMessage allows it.
BATCH = "sqs:DeleteMessageBatch"

# Statements that ministack knows no resource for.
WIDENED = ("ecs:", "autoscaling:TerminateInstanceInAutoScalingGroup")


def as_ministack_reads_it(policy):
    """The same policy in ministack's words."""
    statements = []
    for statement in policy["Statement"]:
        actions = list(statement["Action"])
        if "sqs:DeleteMessage" in actions:
            actions.append(BATCH)
        widened = any(action.startswith(WIDENED) for action in actions)
        statements.append({**statement, "Action": actions, **({"Resource": "*"} if widened else {})})
    return {**policy, "Statement": statements}


def without(policy, action):
    """The policy without one action."""
    left = [{**s, "Action": [a for a in s["Action"] if a != action]} for s in policy["Statement"]]
    return {**policy, "Statement": [statement for statement in left if statement["Action"]]}


def permissions(clouds, report):
    """The scenario."""

    def check(what, holds, detail=""):
        report("permissions", what, bool(holds), detail)

    guarded = Guarded(clouds, "permissions")
    populate(guarded)
    code, out, err = guarded.ours("iam", "--account", ACCOUNT)
    check("`iam` prints a policy", code == 0, err)
    policy = json.loads(out)
    other = {"Effect": "Allow", "Action": ["s3:ListAllMyBuckets"], "Resource": "*"}
    guarded.allow({"Version": "2012-10-17", "Statement": [other]})
    check("without it nothing is allowed", guarded.failures() != [])
    guarded.allow(policy)
    failures = guarded.failures()
    check("with it everything is", failures == [], failures)
    actions = sorted({action for statement in policy["Statement"] for action in statement["Action"]})
    check("it has every action", len(actions) >= 35, actions)
    for action in actions:
        guarded.allow(without(policy, action))
        failures = guarded.failures()
        named = [text for text in failures if f'allow it with {{"Effect":"Allow","Action":"{action}"' in text]
        check(f"{action} is named when it is taken away", named, failures)


def item(name):
    """A record of the fuzzer's seeds, as an item."""
    return json.loads((ROOT / "tests/fuzz/seeds/record/pending.json").read_text()) | {"controller": {"S": name}}


def put(guarded, item):
    """Writes an item, as root."""
    guarded.aws("dynamodb", "put-item", "--table-name", "ecs-drain", "--item", json.dumps(item))


def record(guarded, instance, cluster):
    """A record of an instance that is in this cluster."""
    text = json.dumps(item("default"))
    was = item("default")
    text = text.replace(was["instance_id"]["S"], instance).replace(f'"{was["cluster"]["S"]}"', f'"{cluster}"')
    put(guarded, json.loads(text))


def keys(guarded):
    """The keys of the requests and pauses in the table."""
    found = guarded.aws("dynamodb", "scan", "--table-name", "ecs-drain", "--projection-expression", "#key",
                        "--expression-attribute-names", '{"#key": "key"}')
    words = [item["key"]["S"] for item in found["Items"]]
    return sorted(word for word in words if word.startswith(("request/", "pause/")))


def asked(clouds, report):
    """May pause and resume, may not force, and only in the clusters `web-*`."""

    def check(what, holds, detail=""):
        report("asked", what, bool(holds), detail)

    guarded = Guarded(clouds, "asked")
    populate(guarded)
    ours, theirs = "i-0000000000000000a", "i-0000000000000000b"
    record(guarded, ours, "web-a")
    record(guarded, theirs, "jobs")
    only = ("--for", "operator", "--may", "pause,resume", "--clusters", "web-*")
    code, out, err = guarded.ours("iam", "--account", ACCOUNT, *only)
    check("`iam` prints a policy", code == 0 and err == "", err)
    guarded.allow(json.loads(out))
    place = f"{ACCOUNT}/{REGION}"

    def allowed(*words):
        before = keys(guarded)
        code, out, err = guarded.ours(*words)
        # Where no controller runs, a request that was written is told with exit code 1.
        done = code == 0 or "the request is saved, but no controller" in err
        check(f"allowed: {' '.join(words)}", done and keys(guarded) != before, out + err)

    def refused(*words):
        before = keys(guarded)
        code, out, err = guarded.ours(*words)
        denied = code == 1 and "denied by IAM" in out + err and keys(guarded) == before
        check(f"refused: {' '.join(words)}", denied, out + err)

    allowed("pause", "--cluster", f"{place}/web-a", "--reason", "x")
    code, out, err = guarded.ours("get")
    check("`get` shows the pause", code == 0 and f"paused: cluster {place}/web-a" in out, out + err)
    allowed("resume", "--cluster", f"{place}/web-a")
    allowed("pause", ours, "--wait", "0")
    allowed("resume", ours, "--wait", "0")
    requests = [key.rsplit("/", 1)[0] for key in keys(guarded)]
    check(
        "the requests are for the cluster",
        requests == [f"request/default/{verb}/{place}/web-a" for verb in ("pause", "resume")],
        requests,
    )
    refused("force", ours, "--reason", "x", "--yes", "--wait", "0")
    refused("cancel", ours, "--wait", "0")
    refused("extend", ours, "--by", "1h", "--wait", "0")
    refused("pause", theirs, "--wait", "0")
    refused("resume", theirs, "--wait", "0")
    refused("pause", "--cluster", f"{place}/jobs")
    refused("pause", "--cluster", f"{place}/*")
    refused("pause", "--everything")
    # What somebody else has paused stays so.
    for paused in ("pause/default/*", f"pause/default/{place}/jobs"):
        put(guarded, {"key": {"S": paused}, "unfinished_of": {"S": "default"}, "unfinished": {"S": paused}})
    refused("resume", "--everything")
    refused("resume", "--cluster", f"{place}/jobs")
    # Past the command line: neither a record nor a lease, nor a request that names another cluster than its key.
    for key in (f"{place}/{ours}", "lease/default", f"request/default/force/{place}/web-a/1", f"request/other/pause/{place}/web-a/1"):
        words = ("dynamodb", "put-item", "--table-name", "ecs-drain", "--item", json.dumps({"key": {"S": key}}))
        command = [TOOLS / "moto/bin/aws", "--endpoint-url", guarded.url, *words]
        code, _, err = guarded.run(command, guarded.key)
        check(f"refused: an item {key}", code != 0 and "AccessDenied" in err, err)


class Enforcing(Clouds):
    """A moto of its own, with our plug-in, that also has the table; it enforces policies when it is told to."""

    def __init__(self, clouds):
        self.folder, self.children = clouds.folder, clouds.children
        self.moto_port = free_port()
        self.moto = f"http://127.0.0.1:{self.moto_port}"
        self.table = Table(self.moto_port)
        self.start(
            "moto-enforcing", [TOOLS / "moto/bin/python", HERE / "moto_server.py", "-p", self.moto_port], cwd=HERE
        )
        if not wait_for(lambda: listens(self.moto_port), 30):
            raise RuntimeError(f"nothing listens on port {self.moto_port} after 30 s; see {self.folder}")

    def enforce(self, on):
        """Whether a call needs a policy from now on."""
        connection = http.client.HTTPConnection("127.0.0.1", self.moto_port, timeout=30)
        try:
            connection.request("POST", "/moto-api/reset-auth", "0" if on else "inf", {"Content-Type": "text/plain"})
            answer = connection.getresponse()
            if answer.status != 200:
                raise RuntimeError(f"reset-auth: {answer.status} {answer.read()}")
        finally:
            connection.close()

    def user(self, name, policy):
        """Makes a user with a policy; the variables of its key."""
        document = {**policy, "Statement": [{**s, "Resource": "*"} for s in policy["Statement"]]}
        self.aws("iam", "create-user", "--user-name", name)
        self.aws(
            *("iam", "put-user-policy", "--user-name", name, "--policy-name", name),
            *("--policy-document", json.dumps(document)),
        )
        key = self.aws("iam", "create-access-key", "--user-name", name)["AccessKey"]
        return {"AWS_ACCESS_KEY_ID": key["AccessKeyId"], "AWS_SECRET_ACCESS_KEY": key["SecretAccessKey"]}


# Actions that these two drains have no occasion for; `permissions` has the doctor try them.
NO_OCCASION = {
    # An instance that has left its group meanwhile, and one of a warm pool.
    "autoscaling:DescribeAutoScalingInstances",
    "autoscaling:DescribeWarmPool",
    # A rollout.
    "autoscaling:DescribeInstanceRefreshes",
    "ecs:ListServices",
    # A drain that does not move, and is asked why.
    "ecs:DescribeClusters",
    "ecs:DescribeServiceDeployments",
    "ecs:DescribeServiceRevisions",
    "ecs:DescribeTaskDefinition",
    "ecs:GetTaskProtection",
}


def enforced(clouds, report):
    """One instance leaves its group, one is drained and terminated by an operator, and nothing is denied."""
    enforcing = Enforcing(clouds)
    fleet.share(enforcing)
    policy = 'strategy = "deregister"\nstandalone_tasks = { stop_after = "5s" }\n'
    it = Scenario(enforcing, report, "enforced", size=3, policy=policy, notified=True, standalone=None)
    enforcing.aws(
        *("elbv2", "modify-target-group-attributes", "--target-group-arn", it.fleet.target_group),
        *("--attributes", "Key=deregistration_delay.timeout_seconds,Value=30"),
    )
    code, told = it.controller.say("init")
    it.check("`init` makes the table", code == 0, told)
    printed = {
        "controller": it.controller.say("iam", "--account", ACCOUNT, "--allow-terminate"),
        "operator": it.controller.say("iam", "--account", ACCOUNT, "--for", "operator"),
    }
    policies = {whom: json.loads(told) for whom, (_, told) in printed.items()}
    allowed = {action for statement in policies["controller"]["Statement"] for action in statement["Action"]}
    policies["controller"]["Statement"].append({"Effect": "Allow", "Action": [BATCH]})
    keys = {whom: enforcing.user(whom, policies[whom]) for whom in policies}
    leaving, ordered, staying = it.fleet.instances
    it.fleet.terminate(leaving)
    enforcing.enforce(True)
    it.controller.environment |= keys["controller"]
    it.controller.start()
    it.controller.environment |= keys["operator"]
    it.until_done(leaving)
    it.asks("drain", ordered, "--then", "terminate", "--yes", "--reason", "new image")
    it.until_done(ordered)
    it.stops()
    enforcing.enforce(False)
    it.drained(leaving)
    record = enforcing.record(ordered) or {}
    end = (record.get("outcome"), it.fleet.members().get(ordered))
    it.check("the other one was drained, and has left its group", end == ("Drained", None), end)
    log = (enforcing.folder / "enforced-controller.log").read_text()
    denied = [line for line in log.splitlines() if "denied" in line.lower() or "not authorized" in line.lower()]
    it.check("nothing was denied", not denied, denied[:3])
    key = keys["controller"]["AWS_ACCESS_KEY_ID"]
    called = {call["operation"] for call in enforcing.plugin("calls") if call["by"] == key}
    called |= {"DeleteMessage"} if "DeleteMessageBatch" in called else set()
    never = {action for action in allowed if action.split(":")[1] not in called}
    it.check("every other action of the policy was used", never == NO_OCCASION, sorted(never ^ NO_OCCASION))
    it.check("the third instance is untouched", it.fleet.members().get(staying) == "InService")
