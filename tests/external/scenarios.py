"""What is shown against the clouds of others: one function a scenario, each with a fleet and a controller of its own."""

import functools
import json
import os
import signal
import subprocess
import time
from pathlib import Path

from clouds import ENVIRONMENT, ROOT, wait_for
from fleet import FOREIGN_HOOK, HOOK, Fleet

# A drain takes 60 s from DRAINING to its first look and 60 s more to its last, whatever the cloud does.
DRAIN = 300

# How far apart two looks at the groups are, at least, where a queue is to make them come sooner.
RARELY = 25

PHASES = ["Pending", "Deregistering", "Waiting", "Verifying", "Completing", "Done"]

# The only calls of ours that may change anything.
CHANGES = {"UpdateContainerInstancesState", "CompleteLifecycleAction", "RecordLifecycleActionHeartbeat"}
CHANGES |= {"ReceiveMessage", "DeleteMessageBatch"}


def target():
    """Where cargo builds."""
    folder = Path(os.environ.get("CARGO_TARGET_DIR", "target"))
    return folder if folder.is_absolute() else ROOT / folder


def binary():
    """The program under test."""
    return target() / "debug" / "ecs-drain"


class Controller:
    """`ecs-drain run` for one fleet; started again as often as it is killed."""

    def __init__(self, clouds, name, queue=None, policy=""):
        self.clouds, self.name, self.child = clouds, name, None
        groups = f"{RARELY}s" if queue else "2s"
        events = f'queue = "{queue}"\n' if queue else ""
        self.config = clouds.folder / f"{name}.toml"
        self.config.write_text(
            f'controller = "{name}"\n'
            '[table]\nname = "ecs-drain"\nregion = "us-east-1"\n'
            f'[poll]\ngroups = "{groups}"\n'
            f'[[scope]]\nregion = "us-east-1"\nhooks = ["{HOOK}"]\ngroups = {{ names = ["{name}"] }}\n'
            f'{events}[policy]\npoll = "1s"\n{policy}'
        )
        self.environment = {
            "AWS_ENDPOINT_URL_ECS": clouds.moto,
            "AWS_ENDPOINT_URL_AUTO_SCALING": clouds.moto,
            "AWS_ENDPOINT_URL_ELASTIC_LOAD_BALANCING": clouds.moto,
            "AWS_ENDPOINT_URL_ELASTIC_LOAD_BALANCING_V2": clouds.moto,
            "AWS_ENDPOINT_URL_SQS": clouds.moto,
            "AWS_ENDPOINT_URL_STS": clouds.moto,
            "AWS_ENDPOINT_URL_DYNAMODB": clouds.table.url,
            # Its calls are known by it.
            "AWS_ACCESS_KEY_ID": name,
        }

    def start(self):
        """Starts the process; its id."""
        command = [binary(), "run", "--config", self.config]
        self.child = self.clouds.start(f"{self.name}-controller", command, **self.environment)
        return self.child.pid

    def say(self, *words):
        """Runs another command of the program; what it prints."""
        child = subprocess.run(
            [binary(), *words, "--config", self.config],
            env={**ENVIRONMENT, "HOME": str(self.clouds.folder), **self.environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
            check=False,
        )
        return child.returncode, child.stdout.decode() + child.stderr.decode()

    def killed(self, seconds=DRAIN):
        """Waits until the process is killed; whether it was."""
        try:
            return self.child.wait(seconds) == -signal.SIGKILL
        except subprocess.TimeoutExpired:
            return False

    def stop(self):
        """SIGTERM, as ECS does it; the exit code."""
        self.child.terminate()
        try:
            return self.child.wait(40)
        except subprocess.TimeoutExpired:
            self.child.kill()
            return None


class Scenario:
    """A fleet, its controller, and what is checked of both."""

    def __init__(self, clouds, report, name, size=2, policy="", **fleet):
        self.clouds, self.report, self.name = clouds, report, name
        self.fleet = Fleet(clouds, name, size, **fleet)
        self.controller = Controller(clouds, name, self.fleet.queue, policy)

    def check(self, what, holds, detail=""):
        """Notes a check; whether it holds."""
        self.report(self.name, what, bool(holds), detail)
        return holds

    def phase(self, instance):
        """The phase that was last written."""
        phases = self.clouds.table.phases(instance)
        return phases[-1][1] if phases else None

    def killed(self, where, instance):
        """Waits until the controller is killed there; otherwise stops it, and nothing may kill it any more."""
        killed = self.check(f"killed {where}", self.controller.killed(), f"it is {self.phase(instance)}")
        if not killed:
            self.clouds.disarm(self.controller.child.pid)
            self.controller.stop()
        return killed

    def until_done(self, instance):
        """Waits until the drain is done."""
        done = wait_for(lambda: self.phase(instance) == "Done", DRAIN)
        return self.check(f"{instance} is done", done, f"it is {self.phase(instance)} after {DRAIN} s")

    def drained(self, instance):
        """Everything that is true of every drain that went well."""
        record = self.clouds.record(instance) or {}
        end = (record.get("phase"), record.get("outcome"))
        self.check("the table says Done, Drained", end == ("Done", "Drained"), f"{end}: {record.get('message')}")
        events = [e for e in self.clouds.events(self.name) if e["instance"] == instance]
        ours = [e for e in events if e["what"] == "completed" and e["hook"] == HOOK]
        self.check("completed exactly once, with CONTINUE", [e["result"] for e in ours] == ["CONTINUE"], ours)
        if not ours:
            return
        self.check("no task was left when it was completed", not ours[0]["tasks"], ours[0])
        self.check("no target was left when it was completed", not ours[0]["targets"], ours[0])
        intents = [at for at, phase in self.clouds.table.phases(instance) if phase == "Completing"]
        # A write that was killed after DynamoDB had it counts: its time is that of the answer.
        self.check("the intent was in the table before", intents and intents[0] <= ours[0]["at"], intents)
        beats = [e["at"] for e in events if e["what"] == "heartbeat" and e["hook"] == HOOK]
        self.check("heartbeats held it meanwhile", len(beats) >= 3, f"{len(beats)} heartbeats")
        self.check("no time ran out", not [e for e in events if e["what"] == "expired"])

    def untouched(self, instances):
        """Nothing was done to the fleet's other instances, to another's hook, or to anything else."""
        now, draining = self.fleet.members(), [e["container_instance"] for e in self.draining()]
        for instance in instances:
            state = (now.get(instance), self.fleet.status(instance), self.fleet.containers[instance] in draining)
            self.check(f"{instance} is untouched", state == ("InService", "ACTIVE", False), state)
        calls = [call for call in self.clouds.plugin("calls") if call["by"] == self.name]
        changes = {c["operation"] for c in calls if not c["operation"].startswith(("Describe", "List", "Get"))}
        self.check("nothing else was changed", changes <= CHANGES, sorted(changes - CHANGES))
        self.check("the foreign hook was never named", not any(FOREIGN_HOOK in call["body"] for call in calls))

    def looks(self):
        """When the controller looked at the groups."""
        calls = self.clouds.plugin("calls")
        return [c["at"] for c in calls if c["by"] == self.name and c["operation"] == "DescribeAutoScalingGroups"]

    def told_of(self, leaving):
        """The group terminates an instance just after it was looked at; a message makes the next look come sooner than
        it would come by itself."""
        looked = len(self.looks())
        wait_for(lambda: len(self.looks()) > looked, 2 * RARELY, every=0.5)
        self.fleet.terminate(leaving)
        begun = wait_for(lambda: self.phase(leaving), 2 * RARELY)
        events = self.clouds.events(self.name)
        waits = next(e["at"] for e in events if e["what"] == "waiting" and e["instance"] == leaving)
        looks = self.looks()
        before, after = [at for at in looks if at < waits][-1:], [at for at in looks if at >= waits][:1]
        apart = after[0] - before[0] if before and after else None
        self.check("a message begins its drain, not a poll", begun and apart and apart < RARELY, f"{apart} s apart")

    def asks(self, *words):
        """An operator's command, which the controller answers."""
        code, told = self.controller.say(*words)
        self.check(f"`{words[0]}` is carried out", code == 0, told)

    def ended(self, instance, outcome, status):
        """How an operator's drain ended, and what became of its instance."""
        if self.until_done(instance):
            record = self.clouds.record(instance)
            end, expected = (record["outcome"], self.fleet.status(instance)), (outcome, status)
            self.check(f"{instance} ends as {outcome}, {status}", end == expected, f"{end}: {record['message']}")
            self.check(f"{instance} was drained for an operator", record["origin"] == "operator", record["origin"])
            self.check(f"{instance} is in service", self.fleet.members().get(instance) == "InService")

    def draining(self):
        """Every change from ACTIVE to DRAINING in the fleet's cluster."""
        return [e for e in self.clouds.plugin("events") if e["what"] == "draining" and e["cluster"] == self.name]

    def gone(self, instance):
        """Auto Scaling went on and the instance has left its group."""
        gone = wait_for(lambda: instance not in self.fleet.members(), 15, every=1)
        self.check(f"{instance} has left the group", gone, self.fleet.members())

    def stops(self):
        """The controller is still there, and goes when it is told to."""
        code = self.controller.child.poll()
        if self.check("the controller still runs", code is None, f"exit code {code}"):
            code = self.controller.stop()
            self.check("SIGTERM ends it with exit code 0", code == 0, f"exit code {code}")


def plain(clouds, report):
    """One instance, with a standalone task that ends after 20 s and targets that stay long after their tasks."""
    it = Scenario(clouds, report, "plain", standalone=20, target=80)
    it.controller.start()
    leaving, staying = it.fleet.instances
    it.fleet.terminate(leaving)
    it.check("the group holds it in Terminating:Wait", it.fleet.members()[leaving] == "Terminating:Wait")
    it.check("its container instance is DRAINING", wait_for(lambda: it.fleet.status(leaving) == "DRAINING", 40, 1))
    waiting = wait_for(lambda: it.phase(leaving) == "Verifying", 120) and clouds.record(leaving)
    it.check("it is Verifying while a target is left", waiting and waiting["phase"] == "Verifying", it.phase(leaving))
    it.check("the group still holds it", it.fleet.members()[leaving] == "Terminating:Wait")
    if it.until_done(leaving):
        it.drained(leaving)
        it.gone(leaving)
    it.untouched([staying])
    code, told = it.controller.say("describe", leaving)
    it.check("`describe` tells how it ended", code == 0 and "Drained" in told, told)
    code, told = it.controller.say("get", "--all", "-o", "json")
    it.check("`get -o json` is JSON", code == 0 and leaving in told and json.loads(told) is not None, told)
    it.stops()


def killed_in_every_phase(clouds, report, when):
    """SIGKILL at the write that enters each phase in turn, `before` or `after` DynamoDB has applied it."""
    # Tasks and targets outlast every new start, so that no phase is passed over: one pass may walk through several.
    it = Scenario(clouds, report, f"phases-{when}", deactivating=45, target=45)
    leaving, staying = it.fleet.instances
    it.fleet.terminate(leaving)
    for number, phase in enumerate(PHASES):
        clouds.table.kill_at(it.controller.start(), leaving, phase, when)
        if not it.killed(f"{when} it wrote {phase}", leaving):
            break
        expected = phase if when == "after" else (PHASES[number - 1] if number else None)
        record = clouds.record(leaving)
        found = record and record["phase"]
        it.check(f"the table then says {expected}", found == expected, f"it says {found}")
    it.controller.start()
    if it.until_done(leaving):
        it.drained(leaving)
        it.gone(leaving)
    # Started again after everything was over, it must find nothing to do.
    time.sleep(15)
    it.check("started again, it does nothing more", it.phase(leaving) == "Done", it.phase(leaving))
    it.untouched([staying])
    it.stops()


def killed_at_calls(clouds, report):
    """SIGKILL at chosen calls, before and after AWS has applied them."""
    it = Scenario(clouds, report, "calls", deactivating=45, target=45)
    leaving, staying = it.fleet.instances
    it.fleet.terminate(leaving)
    for operation, when in [
        ("UpdateContainerInstancesState", "before"),
        ("UpdateContainerInstancesState", "after"),
        ("RecordLifecycleActionHeartbeat", "before"),
        ("RecordLifecycleActionHeartbeat", "after"),
        ("DescribeTasks", "after"),
        ("DescribeTargetHealth", "before"),
        ("CompleteLifecycleAction", "before"),
        ("CompleteLifecycleAction", "after"),
    ]:
        pid = it.controller.start()
        clouds.plugin("kill", pid=pid, operation=operation, match=it.name, nth=1, when=when)
        if not it.killed(f"{when} {operation}", leaving):
            break
    it.controller.start()
    if it.until_done(leaving):
        it.drained(leaving)
        it.gone(leaving)
    it.check("DRAINING was asked for once with effect", len(it.draining()) == 1, it.draining())
    it.untouched([staying])
    it.stops()


def another_hook(clouds, report):
    """The group has a second terminating hook, of someone else, which goes on holding the instance."""
    it = Scenario(clouds, report, "another-hook", foreign_hook=True)
    it.controller.start()
    leaving, staying = it.fleet.instances
    it.fleet.terminate(leaving)
    if it.until_done(leaving):
        it.drained(leaving)
    time.sleep(30)
    it.check("the other hook still holds it", it.fleet.members().get(leaving) == "Terminating:Wait")
    it.check("and for us it stays done", it.phase(leaving) == "Done", it.phase(leaving))
    it.untouched([staying])
    clouds.aws(
        *("autoscaling", "complete-lifecycle-action", "--auto-scaling-group-name", it.name, "--instance-id", leaving),
        *("--lifecycle-hook-name", FOREIGN_HOOK, "--lifecycle-action-result", "CONTINUE"),
    )
    it.gone(leaving)
    it.stops()


def scale_in(clouds, report):
    """The group's desired capacity goes from three to one: two instances at once, none replaced."""
    it = Scenario(clouds, report, "scale-in", size=3)
    it.controller.start()
    clouds.aws(
        "autoscaling", "set-desired-capacity", "--auto-scaling-group-name", it.name, "--desired-capacity", "1"
    )
    states = it.fleet.members()
    leaving = [instance for instance, state in states.items() if state == "Terminating:Wait"]
    it.check("two wait", len(leaving) == 2, states)
    for instance in leaving:
        if it.until_done(instance):
            it.drained(instance)
            it.gone(instance)
    it.untouched([instance for instance in it.fleet.instances if instance not in leaving])
    it.stops()


def events(clouds, report):
    """The hook's notifications through SNS and SQS: the first one in SNS's envelope, the second one raw."""
    it = Scenario(clouds, report, "events", size=3, notified=True)
    first, second, staying = it.fleet.instances
    it.check("the queue has the hook's test message", it.fleet.messages() == 1, it.fleet.messages())
    it.fleet.send("{ broken")
    it.controller.start()
    it.told_of(first)
    it.fleet.deliver_raw()
    it.told_of(second)
    for leaving in (first, second):
        if it.until_done(leaving):
            it.drained(leaving)
            it.gone(leaving)
    emptied = wait_for(lambda: it.fleet.messages() == 0, 120, every=1)
    it.check("no message is left in the queue", emptied, it.fleet.messages())
    dead = it.fleet.dead_letters()
    it.check("the broken one, and no other, is in the dead-letter queue", dead == ["{ broken"], dead)
    it.untouched([staying])
    it.stops()


def operator(clouds, report):
    """An operator drains two instances by the command line: one is paused for a moment and stays, one is cancelled."""
    it = Scenario(clouds, report, "operator", size=3, policy="max_concurrent = 2\n", standalone=20)
    kept, cancelled, staying = it.fleet.instances
    it.controller.start()
    it.check("the controller leads", wait_for(lambda: clouds.item("lease/operator"), 40, every=1))
    it.asks("drain", kept, cancelled, "--then", "keep", "--yes", "--reason", "new image")
    for instance in (kept, cancelled):
        draining = wait_for(lambda: it.fleet.status(instance) == "DRAINING", 40, every=1)
        it.check(f"{instance} is DRAINING", draining, it.fleet.status(instance))
    it.asks("pause", kept)
    paused = wait_for(lambda: "paused" in (clouds.record(kept) or {}).get("message", ""), 30, every=1)
    it.check("its record says that it is paused", paused, clouds.record(kept))
    code, told = it.controller.say("get")
    it.check("`get` shows both", code == 0 and kept in told and cancelled in told, told)
    it.asks("cancel", cancelled)
    it.asks("resume", kept)
    it.ended(kept, "Drained", "DRAINING")
    it.ended(cancelled, "Cancelled", "ACTIVE")
    code, told = it.controller.say("describe", kept)
    it.check("`describe` tells who asked and why", code == 0 and "new image" in told and "Drained" in told, told)
    completed = [e for e in clouds.events(it.name) if e["what"] in ("waiting", "completed")]
    it.check("nothing was terminated", not completed, completed)
    it.untouched([staying])
    it.stops()


SCENARIOS = {
    "plain": plain,
    "phases-after": functools.partial(killed_in_every_phase, when="after"),
    "phases-before": functools.partial(killed_in_every_phase, when="before"),
    "calls": killed_at_calls,
    "another-hook": another_hook,
    "scale-in": scale_in,
    "events": events,
    "operator": operator,
}
