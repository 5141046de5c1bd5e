"""The conformance suite of the test binary (tests/all/conformance) against the clouds that run here."""

import json
import os
import subprocess

from clouds import ENVIRONMENT
from scenarios import target

TEST = "conformance::every_cloud_does_as_aws_does_or_differs_as_listed"

# Most of it is waiting: hooks hold for 30 seconds at least.
LIMIT = 600


def test_binary():
    """The newest test binary. It was built before: asking cargo for it would wait for whatever builds now."""
    deps = target() / "debug/deps"
    found = [path for path in deps.glob("all-*") if path.suffix == "" and os.access(path, os.X_OK)]
    return max(found, key=lambda path: path.stat().st_mtime, default=None)


def conformance(clouds, report):
    """Runs every check on every cloud, and prints the table."""
    binary = test_binary()
    if binary is None:
        report("conformance", "the test binary is built", False, "cargo build --workspace --all-targets")
        return
    network = {"vpc": clouds.vpc, "subnet": clouds.subnet}
    others = [
        {"cloud": "moto", "url": clouds.moto, **network},
        {"cloud": "ministack", "url": f"http://127.0.0.1:{clouds.ministack_port}", **network},
    ]
    done = subprocess.run(
        [str(binary), TEST, "--exact", "--ignored", "--nocapture"],
        env={**ENVIRONMENT, "HOME": str(clouds.folder), "ECS_DRAIN_CONFORMANCE_CLOUDS": json.dumps(others)},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        timeout=LIMIT,
        check=False,
    )
    told = done.stdout.decode(errors="replace")
    print(told, flush=True)
    ran = "1 passed" in told or "1 failed" in told
    report("conformance", "the suite was run", ran, "no such test in the binary")
    report("conformance", "every cloud does as AWS does, or differs as listed", done.returncode == 0, "see the table")
