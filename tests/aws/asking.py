"""The statements about AWS, asked by the Rust test binary, and children that end with the kit."""

import json
import os
import subprocess
import threading

from account import TAG
from ground import CONTAINER
from plan import test_binary

TEST = "conformance::aws_is_asked"


class Children:
    """Processes that are under way. They hold a pipe to the kit, and end when it ends, however that comes about."""

    def __init__(self):
        self.running, self.lock, self.stopped = set(), threading.Lock(), False

    def start(self, command, environment, **more):
        """Starts a child; none once all were stopped."""
        with self.lock:
            if self.stopped:
                raise InterruptedError("the run is stopped")
            child = subprocess.Popen(
                [str(word) for word in command],
                env={**os.environ, **environment},
                stdin=subprocess.PIPE,
                # The terminal's Ctrl-C is the kit's alone.
                start_new_session=True,
                **more,
            )
            self.running.add(child)
            return child

    def ended(self, child):
        """Forgets a child that has ended."""
        with self.lock:
            self.running.discard(child)

    def stop(self):
        """Ends all of them."""
        with self.lock:
            self.stopped = True
            for child in self.running:
                child.stdin.close()


def ask(account, run, ground, ends_at, job, children, records):
    """Asks a job's statements, and records every answer."""
    wanted = {
        "url": account.endpoint,
        "region": account.region,
        "account": account.id,
        "image": CONTAINER,
        "tag": [TAG, run],
        "ends_at": int(ends_at),
        "checks": job.checks,
        **ground,
    }
    child = children.start(
        [test_binary(), TEST, "--exact", "--ignored", "--nocapture"],
        {"ECS_DRAIN_CONFORMANCE_CLOUDS": json.dumps([wanted]), "AWS_REGION": account.region},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )
    said = []
    for line in child.stdout:
        line = line.decode(errors="replace").strip()
        if line.startswith("kit: "):
            records.take(json.loads(line[5:]))
        else:
            said.append(line)
    code = child.wait()
    children.ended(child)
    missing = [check for check, _ in job.checks if check not in records.came]
    if code != 0 or missing:
        raise RuntimeError(f"{job.name}: exit code {code}, nothing came of {missing}; it said: {' / '.join(said[-5:])}")
