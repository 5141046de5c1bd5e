"""The real binary against clouds that others wrote: moto (with our plug-in) and ministack's DynamoDB. Beside it, those
clouds and our simulator against AWS: the scenario `conformance`; and the kit for a real account: `aws-kit`.

    .tools/moto/bin/python tests/external/run.py [NAME...] [--keep-logs]

`tests/run` makes `.tools` and calls this. Without names all scenarios are run. Every scenario runs at the same time as
the others: most of a drain is waiting.
"""

import shutil
import signal
import sys
import threading
import time
import traceback

import fleet
from aws_kit import aws_kit
from clouds import Clouds
from conformance import conformance
from permissions import asked, enforced, permissions
from runbooks import RUNBOOKS
from scenarios import SCENARIOS, Controller, binary

# They ask so much of the clouds that the others beside them would run out of time.
HEAVY = {"conformance": conformance, "permissions": permissions}
ALL = {**SCENARIOS, **RUNBOOKS, "asked": asked, "enforced": enforced, "aws-kit": aws_kit, **HEAVY}

# Above the longest scenario's own limits.
LIMIT = 900


class Report:
    """One line a check, and how many held."""

    def __init__(self):
        self.passed, self.failed, self.lock = 0, 0, threading.Lock()
        self.failures = []

    def __call__(self, scenario, what, holds, detail=""):
        with self.lock:
            self.passed, self.failed = self.passed + holds, self.failed + (not holds)
            print(f"{'ok  ' if holds else 'FAIL'} {scenario}: {what}", flush=True)
            if not holds:
                self.failures.append(f"FAIL {scenario}: {what}")
                if detail != "":
                    print(f"     {detail}", flush=True)


def in_thread(name, clouds, report):
    """Runs a scenario; what goes wrong in it is a failure of its own."""

    def run():
        try:
            ALL[name](clouds, report)
        except Exception as error:  # whatever it was: the other scenarios go on
            traceback.print_exc()
            report(name, "ran to its end", False, error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    return thread


def together(names, clouds, report):
    """Runs these at the same time, and waits for all of them."""
    until = time.monotonic() + LIMIT
    threads = {name: in_thread(name, clouds, report) for name in names}
    for name, thread in threads.items():
        thread.join(max(0, until - time.monotonic()))
        if thread.is_alive():
            report(name, f"ended within {LIMIT} s", False)


def prepare(clouds, report):
    """The table, and what all fleets share."""
    fleet.share(clouds)
    first = Controller(clouds, "first")
    code, told = first.say("init")
    report("table", "`init` creates it", code == 0, told)
    code, told = first.say("init")
    report("table", "`init` again finds nothing to do", code == 0, told)
    tables = clouds.aws("dynamodb", "list-tables", query="TableNames", cloud="table")
    report("table", "it is there", tables == ["ecs-drain"], tables)


def main():
    """Runs everything; the exit code."""
    if not binary().exists():
        print(f"{binary()} is missing: cargo build --workspace --all-targets")
        return 1
    chosen = [name for name in sys.argv[1:] if not name.startswith("-")] or list(ALL)
    if not set(chosen) <= set(ALL):
        print(f"the scenarios are {', '.join(ALL)}")
        return 2
    # So that the children end too.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    # A shell starts what runs in the background with SIGINT ignored, and what is ignored stays so in children.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    report, clouds = Report(), Clouds()
    try:
        prepare(clouds, report)
        together([name for name in chosen if name not in HEAVY], clouds, report)
        together([name for name in chosen if name in HEAVY], clouds, report)
    finally:
        clouds.close()
        if report.failed or "--keep-logs" in sys.argv:
            print(f"logs: {clouds.folder}")
        else:
            shutil.rmtree(clouds.folder, ignore_errors=True)
    # Again, where a reader of a long log looks.
    print("\n".join(report.failures + [f"{report.passed} passed, {report.failed} failed"]))
    return 1 if report.failed else 0


if __name__ == "__main__":
    sys.exit(main())
