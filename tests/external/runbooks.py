"""The runbooks "Move the table" and "Restore" of docs/upgrade.md, followed word by word: their commands are taken
from the page, and run by a shell with the real `aws` and the real `ecs-drain`. What stands there in words, the test does.
"""

import os
import re
import stat
import subprocess
import time

from clouds import ACCOUNT, ENVIRONMENT, REGION, ROOT, TOOLS, wait_for
from fleet import HOOK
from scenarios import Scenario, binary

PAGE = ROOT / "docs" / "upgrade.md"
FAR = "eu-central-1"


def commands(begin, end):
    """The blocks of commands that stand between two texts of the page, in order."""
    text = PAGE.read_text()
    text = text[text.index(begin) :]
    return re.findall(r"```sh\n(.*?)```", text[: text.index(end)], re.DOTALL)


class Operator:
    """Who follows a runbook: a shell whose variables last from one block to the next, and the service's own process."""

    def __init__(self, scenario, **words):
        self.it, self.clouds = scenario, scenario.clouds
        self.words = {"CLUSTER": "tools", "SERVICE": scenario.name, "TASK_ROLE": scenario.name, **words}
        self.home = self.clouds.folder / f"{scenario.name}-desk"
        self.home.mkdir()
        # The page calls the configuration so; the table is the variables' there.
        (self.home / "ecs-drain.toml").write_text(
            re.sub(r"\[table\]\n.*?\n\[poll\]", "[poll]", scenario.controller.config.read_text(), flags=re.DOTALL)
        )
        self.variables = {"ECS_DRAIN_CONTROLLER": scenario.name, "ECS_DRAIN_TABLE": "ecs-drain"}
        self.variables["ECS_DRAIN_TABLE_REGION"] = REGION
        self.program("ecs-drain", f'exec {binary()} "$@"')
        self.program(
            "aws",
            f'cloud={self.clouds.moto}\n[ "$1" = dynamodb ] && cloud={self.clouds.table.url}\n'
            # Its calls are not the program's.
            "export AWS_ACCESS_KEY_ID=somebody\n"
            f'exec {TOOLS / "moto/bin/aws"} --endpoint-url "$cloud" "$@"',
        )
        self.make_service()

    def program(self, name, script):
        """A command that a runbook calls, as it reaches our clouds."""
        path = self.home / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)

    def make_service(self):
        """The service and the role that the commands are about; the processes of its task are the scenario's."""
        aws, name = self.clouds.aws, self.it.name
        if not aws("ecs", "describe-clusters", "--clusters", "tools", query="clusters"):
            aws("ecs", "create-cluster", "--cluster-name", "tools")
        aws(
            *("ecs", "create-service", "--cluster", "tools", "--service-name", name, "--task-definition", "web"),
            # moto starts no task of a service: with one it would never be stable.
            *("--desired-count", "0", "--launch-type", "EC2"),
        )
        aws("iam", "create-role", "--role-name", name, "--assume-role-policy-document", "{}")

    def follows(self, block):
        """Runs a block of the page; what it prints."""
        for word, is_here in self.words.items():
            block = re.sub(rf"\b{word}\b", is_here, block)
        kept = self.home / "variables"
        done = subprocess.run(
            ["bash", "-euc", f"{block}\nexport -p | grep ECS_DRAIN_ > {kept}"],
            cwd=self.home,
            env={
                **ENVIRONMENT,
                **self.it.controller.environment,
                **self.variables,
                "HOME": str(self.home),
                "PATH": f"{self.home}:{os.environ['PATH']}",
            },
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=120,
            check=False,
        )
        told = done.stdout.decode() + done.stderr.decode()
        first = block.strip().splitlines()[0]
        self.it.check(f"`{first}` and what follows works", done.returncode == 0, told)
        if done.returncode == 0:
            self.variables.update(re.findall(r'declare -x (\w+)="(.*)"', kept.read_text()))
        return told

    def deploys(self, **variables):
        """What the stack or the module does, and then ECS: a task with these variables, and only then no other one."""
        controller = self.it.controller
        old = controller.child
        controller.environment.update(variables)
        controller.start()
        time.sleep(5)
        self.it.check("the new task runs", controller.child.poll() is None, controller.child.poll())
        old.terminate()
        self.it.check("the old one ends", old.wait(40) == 0, old.returncode)


def held(it, instance):
    """An instance is held in spite of everything, and its standalone task keeps it from being empty."""
    it.check("the group holds it", it.fleet.members().get(instance) == "Terminating:Wait", it.fleet.members())


def ends_well(it, instance, **table):
    """The drain ends as any other, and the instance was never let go before."""
    done = wait_for(lambda: (it.clouds.record(instance, **table) or {}).get("phase") == "Done", 300, every=1)
    record = it.clouds.record(instance, **table) or {}
    it.check("its drain is done, in the table of now", done and record.get("outcome") == "Drained", record)
    events = [e for e in it.clouds.events(it.name) if e["instance"] == instance]
    ours = [e for e in events if e["what"] == "completed" and e["hook"] == HOOK]
    it.check("completed exactly once, with CONTINUE", [e["result"] for e in ours] == ["CONTINUE"], ours)
    it.check("no task and no target was left then", ours and not ours[0]["tasks"] and not ours[0]["targets"], ours)
    it.check("no time ran out", not [e for e in events if e["what"] == "expired"], events)


def moving_the_table(clouds, report):
    """The table moves to another region while an instance waits."""
    it = Scenario(clouds, report, "moving", standalone=None)
    who = Operator(it)
    it.controller.start()
    leaving, staying = it.fleet.instances
    it.fleet.terminate(leaving)
    it.check("its drain begins", wait_for(lambda: it.phase(leaving) == "Waiting", 60), it.phase(leaving))
    make, look = commands("\n## Move the table\n", "\n## Uninstall\n")
    who.follows(make)
    held(it, leaving)
    policy = clouds.aws(
        "iam", "get-role-policy", "--role-name", it.name, "--policy-name", "ecs-drain-moved", query="PolicyDocument"
    )
    arns = {arn for statement in policy["Statement"] for arn in statement["Resource"] if ":dynamodb:" in arn}
    it.check("the role is allowed the new table alone", all(f":{FAR}:{ACCOUNT}:table/" in arn for arn in arns), arns)
    it.check("the new table is empty", not clouds.items(region=FAR), clouds.items(region=FAR))
    who.deploys(ECS_DRAIN_TABLE_REGION=FAR)
    who.follows(look)
    begun = wait_for(lambda: clouds.record(leaving, region=FAR), 60, every=1)
    it.check("its drain begins anew, in the new table", begun, clouds.items(region=FAR))
    it.fleet.end_standalone(leaving)
    ends_well(it, leaving, region=FAR)
    old = clouds.record(leaving)
    it.check("the old table is history", old and old["phase"] == "Waiting", old)
    it.untouched([staying])
    it.stops()


def restoring(clouds, report):
    """The service goes on with a restored table, in which a drain is unfinished that was cancelled meanwhile."""
    # The standalone task keeps the drain from ending before all is done that is done by hand.
    it = Scenario(clouds, report, "restoring", size=3, policy="max_concurrent = 2\n", standalone=None)
    who = Operator(it)
    it.controller.start()
    leaving, cancelled, staying = it.fleet.instances
    it.fleet.terminate(leaving)
    it.asks("drain", cancelled, "--then", "terminate", "--yes")
    for instance in (leaving, cancelled):
        it.check("its drain begins", wait_for(lambda i=instance: it.phase(i) == "Waiting", 60), it.phase(instance))
    protect, restore, pause, look = commands("\n## Back up\n", "\n## Lost table\n")
    who.follows(protect)
    told = who.follows(restore)
    it.check("the history can be read", leaving in told and cancelled in told, told)
    it.asks("cancel", cancelled)
    done = wait_for(lambda: it.phase(cancelled) == "Done", 120, every=1)
    it.check("after that moment a drain is cancelled", done, it.phase(cancelled))
    who.follows(pause)
    held(it, leaving)
    who.deploys(ECS_DRAIN_TABLE="ecs-drain-restored")
    look, resume = look.split("ecs-drain resume")
    told = who.follows(look)
    it.check("`get` says that everything is paused", "paused: everything" in told, told)
    renewed = wait_for(lambda: clouds.item(f"lease/{it.name}", table="ecs-drain-restored"), 40, every=1)
    it.check("a process has the restored table", renewed)
    paused = wait_for(lambda: restored(clouds, leaving).get("message", "").startswith("paused"), 60, every=1)
    it.check("and what is unfinished in it stands still", paused, restored(clouds, leaving))
    who.follows(f"ecs-drain cancel {cancelled} --config ecs-drain.toml")
    who.follows("ecs-drain resume" + resume)
    it.fleet.end_standalone(leaving)
    ends_well(it, leaving, table="ecs-drain-restored")
    done = wait_for(lambda: restored(clouds, cancelled).get("outcome") == "Cancelled", 60, every=1)
    it.check("the one that was cancelled is cancelled again", done, restored(clouds, cancelled))
    it.check("and it is in service", it.fleet.members().get(cancelled) == "InService", it.fleet.members())
    it.untouched([staying])
    it.stops()


def restored(clouds, instance):
    """The record of an instance in the restored table; empty without one."""
    return clouds.record(instance, table="ecs-drain-restored") or {}


RUNBOOKS = {"moving": moving_the_table, "restoring": restoring}
