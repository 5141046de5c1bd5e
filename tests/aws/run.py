"""The statements about AWS, and one drain of each strategy, on an account of your own.

    .tools/moto/bin/python tests/aws/run.py [plan]           what would be made, how long, and what it costs at most
    .tools/moto/bin/python tests/aws/run.py run --account ID --budget USD
    .tools/moto/bin/python tests/aws/run.py clean            what is left; with --run ID or --all it is removed

This kit was never run on AWS: it was tested against emulators alone. tests/aws/README.md says what it needs.
"""

import argparse
import math
import queue
import signal
import sys
import threading
import time
import traceback
from pathlib import Path

from botocore.exceptions import BotoCoreError, ClientError

import ground
from account import NEVER, ROOT, RUN, Account, Refused, new_run
from asking import Children, ask
from drains import Drain, Stopped
from left import MADE, Clusters, Left, Queues, Tables
from plan import INSTANCES, Plan, built, test_binary
from records import Records

# AWS makes them by itself where it may; the kit does not, because they stay.
ROLES = {
    "AWSServiceRoleForAutoScaling": "autoscaling.amazonaws.com",
    "AWSServiceRoleForECS": "ecs.amazonaws.com",
    "AWSServiceRoleForElasticLoadBalancing": "elasticloadbalancing.amazonaws.com",
}

# How long what is under way may take to end, in seconds.
THREADS = 120

# So many statements whose instances or balancers could not be made say that something is wrong with all of them.
UNMADE = 3


def amount(words):
    """A number above zero; no budget and no time is without bounds."""
    number = float(words)
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{words} is no amount")
    return number


def arguments(words):
    """What was asked for; without a command it is the plan."""
    if not words or words[0].startswith("-") and words[0] not in ("-h", "--help"):
        words = ["plan", *words]
    # Of all commands.
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--region", help="the region (default: the environment's)")
    shared.add_argument("--account", help="the id of the account that you mean")
    shared.add_argument("--endpoint-url", help="an emulator in the place of AWS")
    planned = argparse.ArgumentParser(add_help=False)
    planned.add_argument(
        "--only", nargs="+", default=[], metavar="WORD", help="statements, services, drain, deregister"
    )
    planned.add_argument("--at-once", type=int, default=3, help="how many jobs at a time (default: 3)")
    planned.add_argument("--minutes", type=amount, default=300, help="when it stops and cleans up (default: 300)")
    planned.add_argument("--instance-type", choices=INSTANCES, default="t3.micro", help="of the container instances")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser(
        "plan", parents=[shared, planned], description=NEVER, help="change nothing; say what it would do"
    )
    run = commands.add_parser("run", parents=[shared, planned], description=NEVER, help="do it")
    run.add_argument("--budget", type=amount, metavar="USD", help="what it may cost at most")
    run.add_argument("--records", type=Path, help="where answers are written (default: target/aws/RUN)")
    clean = commands.add_parser("clean", parents=[shared], description=NEVER, help="remove what is left")
    which = clean.add_mutually_exclusive_group()
    which.add_argument("--run", metavar="ID", help="of this run alone")
    which.add_argument("--all", action="store_true", help="of every run")
    return parser.parse_args(words)


def demand_account(account, wanted):
    """Refuses any account but the one that was named."""
    if not wanted:
        raise Refused(f"name the account that you mean: --account (these credentials are of {account.id})")
    if wanted != account.id:
        raise Refused(f"--account is {wanted}, but these credentials are of {account.id}")


def planned(account, asked, run):
    """The plan, and a refusal of words that choose nothing."""
    if test_binary() is None or not (built() / "ecs-drain").exists():
        raise Refused("the test binary is not built: cargo build --workspace --all-targets")
    plan = Plan(account, run, asked.only, max(1, asked.at_once), asked.minutes, asked.instance_type)
    if plan.unknown:
        raise Refused(f"no statement, service or strategy is called {', '.join(plan.unknown)}")
    return plan


def kinds_of(plan):
    """What is looked for: on an emulator, only services that were used."""
    if plan.account.endpoint and not plan.needs_ground:
        return [kind for kind, need in ((Clusters, "clusters"), (Tables, "tables"), (Queues, "queues"))
                if any(job.needs.get(need) for job in plan.jobs)]  # fmt: skip
    return None


def show_plan(asked):
    """Prints the plan. Changes nothing."""
    account = Account(asked.region, asked.endpoint_url)
    if asked.account:
        demand_account(account, asked.account)
    plan = planned(account, asked, "000000")
    print(plan)
    found, unseen = Left(account, kinds_of(plan)).find()
    runs = sorted({thing.of for _, thing in found if thing.of})
    print(f"\nleft of earlier runs: {', '.join(runs) or 'nothing'}")
    for kind, why in unseen.items():
        print(f"  but each {kind} could not be looked for: {why}")
    print(f"\nto do it: run --account {account.id} --budget {plan.cost + 0.005:.2f} with the same options")
    return 0


def missing_roles(account):
    """The commands that make the service-linked roles that are missing."""
    iam = account.client("iam")
    for role, service in ROLES.items():
        try:
            iam.get_role(RoleName=role)
        except iam.exceptions.NoSuchEntityException:
            yield f"aws iam create-service-linked-role --aws-service-name {service}"


def demand_all(account, asked, plan):
    """Refuses what must not begin."""
    if asked.budget is None:
        raise Refused(f"name what it may cost: --budget (at most {plan.cost:.2f} USD; see `plan`)")
    if asked.budget < plan.cost:
        raise Refused(f"it can cost {plan.cost:.2f} USD, and --budget is {asked.budget:.2f}; see `plan`")
    if not plan.jobs:
        raise Refused("nothing is chosen")
    missing = list(missing_roles(account)) if plan.needs_ground else []
    if missing:
        raise Refused(
            "\n  ".join(["service-linked roles are missing; make them, they stay and cost nothing:", *missing])
        )


class Run:
    """A run: its jobs one after the other, several at a time, and the end that it comes to."""

    def __init__(self, account, plan, records):
        self.account, self.plan, self.records = account, plan, records
        self.children, self.stop, self.errors = Children(), threading.Event(), []
        self.began = time.time()
        self.ends_at = self.began + plan.minutes * 60
        self.ground, self.kinds, self.threads = {}, kinds_of(plan), []

    def say(self, words):
        """Prints a line with its minute."""
        # In one piece, for several threads print.
        print(f"{(time.time() - self.began) / 60:6.1f} min  {words}\n", end="", flush=True)

    def play(self):
        """Everything, and in any case the clean-up; whether nothing is left."""
        try:
            if self.plan.needs_ground:
                self.say("making the network and the launch template")
                self.ground = ground.make(self.account, self.plan.run, self.plan.instance_type)
            self.play_jobs()
        except KeyboardInterrupt:
            self.errors.append("interrupted")
        except Exception as error:  # whatever it was: it ends with the clean-up
            self.errors.append(f"{type(error).__name__}: {error}")
        return self.clean_up()

    def play_jobs(self):
        """Takes job after job, several at once, until all are done or the time is up."""
        waiting = queue.SimpleQueue()
        for job in self.plan.jobs:
            waiting.put(job)
        for _ in range(self.plan.at_once):
            self.threads.append(threading.Thread(target=self.work, args=(waiting,), daemon=True))
            self.threads[-1].start()
        while any(thread.is_alive() for thread in self.threads):
            if time.time() > self.ends_at and not self.stop.is_set():
                self.errors.append(f"the {self.plan.minutes:g} minutes are used up")
                self.halt()
            time.sleep(0.2)

    def work(self, waiting):
        """Takes job after job. An error of one, or what it leaves, ends the run."""
        while not self.stop.is_set():
            try:
                job = waiting.get_nowait()
            except queue.Empty:
                return
            try:
                self.do(job)
            except (Stopped, InterruptedError):
                return
            except Exception as error:  # whatever it was: the run ends, and cleans up
                if not self.stop.is_set():
                    traceback.print_exc()
                    self.errors.append(f"{job.name}: {error}")
                    self.halt()
                return

    def do(self, job):
        """One job, and the removal of what it made."""
        self.say(f"{job.name} begins")
        if job.strategy:
            self.drain(job)
        else:
            ask(self.account, self.plan.run, self.ground, self.ends_at, job, self.children, self.records)
        if self.stop.is_set():
            return
        if len(self.records.unmade()) >= UNMADE:
            whys = "; ".join(f"{came['check']}: {came['complaint']}" for came in self.records.unmade())
            raise RuntimeError(f"nothing more is tried, because several could not be made: {whys}")

        def made_by_it(thing):
            return any(thing.name == prefix or thing.name.startswith(f"{prefix}-") for prefix in job.prefixes)

        kinds = [kind for kind in MADE if self.kinds is None or kind in self.kinds]
        removal = Left(self.account, kinds).remove(made_by_it, say=lambda _: None, stop=self.stop)
        if not removal and not self.stop.is_set():
            raise RuntimeError("it left: " + "; ".join(f"{what}: {why}" for what, why in removal.reasons()))
        self.say(f"{job.name} is done, and what it made is removed")

    def drain(self, job):
        """A drain; what does not hold is reported at the end."""
        what = (self.account, self.plan.run, self.ground, self.ends_at)
        drain = Drain(*what, job.name, job.strategy, self.children, self.stop)
        try:
            drain.play()
        except Exception as error:  # whatever it was: it ends the run, and is reported here too
            drain.check("it was played to its end", False, str(error) or type(error).__name__)
            raise
        finally:
            self.records.drained(job.strategy, drain.judged, drain.samples, drain.log)

    def halt(self):
        """Nothing more is begun, and what is under way ends."""
        self.stop.set()
        self.children.stop()

    def clean_up(self):
        """Ends what is under way, and removes all that carries this run's tag."""
        later = f"it cleans up; if you must, kill it (SIGKILL): `clean --run {self.plan.run}` goes on from there"
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: print(later, flush=True))
        self.halt()
        self.say("cleaning up")
        # What they make after the last look would be left.
        for thread in self.threads:
            thread.join(THREADS)
        removal = Left(self.account, self.kinds).remove(lambda thing: thing.of == self.plan.run)
        report(removal)
        return bool(removal)


def report(removal):
    """Prints how a clean-up ended."""
    print(f"{removal.removed} things removed, {len(removal.left)} left")
    for what, why in removal.reasons():
        print(f"  LEFT {what}: {why}")
    for thing in removal.untagged:
        print(f"  not the kit's, for it has no tag; left alone: {thing}")


def do_run(asked):
    """Runs the plan; the exit code."""
    account = Account(asked.region, asked.endpoint_url)
    demand_account(account, asked.account)
    plan = planned(account, asked, new_run())
    demand_all(account, asked, plan)
    records = Records(asked.records or ROOT / "target" / "aws" / plan.run, account)
    print(f"{plan}\n\nrun {plan.run}; answers go to {records.folder}", flush=True)
    # What stops a service ends like Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    run = Run(account, plan, records)
    clean = run.play()
    told = tell(run, records)
    return told if clean else 1


def tell(run, records):
    """Prints what came of the run; the exit code."""
    place = f"the stand-in {run.account.endpoint}" if run.account.endpoint else "AWS"
    services = {said["check"]: said["service"] for said in run.plan.known}
    same = sum(1 for came in records.came.values() if not came["complaint"])
    differences, unmade = records.differences(), records.unmade()
    chosen = [check for job in run.plan.jobs for check, _ in job.checks]
    unasked = [check for check in chosen if check not in records.came]
    bad = [
        (strategy, judged)
        for strategy, all_of_it in records.drains.items()
        for judged in all_of_it
        if not judged["holds"]
    ]
    print(f"\n{len(chosen)} statements: {same} as {place} does, {len(differences)} differ,")
    print(f"{len(unmade)} could not be asked, {len(unasked)} were not reached")
    for came in [*differences, *unmade]:
        print(f"  {came['check']}: {came['complaint'][:300]}")
    for strategy, all_of_it in records.drains.items():
        print(f"drain with strategy {strategy}: {sum(1 for j in all_of_it if j['holds'])} of {len(all_of_it)} hold")
    for strategy, judged in bad:
        print(f"  NOT SO ({strategy}): {judged['what']}: {judged['detail']}")
    unplayed = [strategy for strategy in run.plan.strategies if not records.drains.get(strategy)]
    for strategy in unplayed:
        print(f"drain with strategy {strategy}: not played")
    for error in run.errors:
        print(f"STOPPED: {error}")
    page = records.write_statements(services, place)
    if page:
        print(f"for review: {page}")
    return 1 if differences or unmade or unasked or bad or unplayed or run.errors else 0


def do_clean(asked):
    """Removes what is left, or says what there is; the exit code."""
    account = Account(asked.region, asked.endpoint_url)
    left = Left(account)
    if not asked.run and not asked.all:
        found, unseen = left.find()
        print(f"account {account.id}, region {account.region}: {len(found)} things are left")
        for kind, why in unseen.items():
            print(f"  each {kind} could not be looked for: {why}")
        for _, thing in found:
            print(f"  {thing.of or '?'}  {thing}" + ("" if thing.run else "  (no tag: it will be left alone)"))
        if found:
            print(f"to remove it: clean --account {account.id} --run ID, or --all")
        return 1 if found or unseen else 0
    demand_account(account, asked.account)
    if asked.run and not RUN.fullmatch(asked.run):
        raise Refused(f"{asked.run} is no run: six hexadecimal digits")
    removal = left.remove(lambda thing: asked.all or thing.of == asked.run)
    report(removal)
    return 0 if removal and not removal.untagged else 1


def main():
    """Does what was asked; 0: all is well, 1: something is to be looked at, 2: refused, and nothing was changed."""
    asked = arguments(sys.argv[1:])
    try:
        return {"plan": show_plan, "run": do_run, "clean": do_clean}[asked.command](asked)
    except Refused as refusal:
        print(f"refused: {refusal}", file=sys.stderr)
    except (ClientError, BotoCoreError) as error:
        print(f"AWS refused or could not be reached: {error}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
