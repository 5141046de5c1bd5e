#!/usr/bin/env python3
"""The software bill of materials of the binary: every crate that is linked into it, as CycloneDX 1.5 JSON.

    deploy/image/sbom.py x86_64-unknown-linux-gnu >ecs-drain.cdx.json

It asks `cargo tree` for one package with the features of the image. Tools that read `cargo metadata` see the features
of the whole workspace, and would list the simulator and its SQLite, which are not in the image. Checksums are those of
Cargo.lock. The same commit gives the same bytes.
"""

import json
import re
import subprocess
import sys
import tomllib
import uuid
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "ecs-drain"


def main():
    """Prints it; the exit code."""
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        print("usage: deploy/image/sbom.py TARGET", file=sys.stderr)
        return 2
    lock = tomllib.loads((ROOT / "Cargo.lock").read_text())
    checksums = {(package["name"], package["version"]): package.get("checksum") for package in lock["package"]}
    print(json.dumps(bill(linked(sys.argv[1]), checksums, sys.argv[1]), indent=2))
    return 0


def linked(target):
    """What is linked into the binary: licence by name and version. No build scripts, no macros."""
    command = ["cargo", "tree", "--locked", "--package", PACKAGE, "--no-default-features", "--target", target]
    command += ["--edges", "normal,no-proc-macro", "--prefix", "none", "--format", "{p}|{l}"]
    tree = subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout
    lines = (re.fullmatch(r"(\S+) v(\S+)[^|]*\|(.*?)(?: \(\*\))?", line) for line in tree.splitlines() if line)
    return {(line[1], line[2]): line[3] for line in lines}


def bill(crates, checksums, target):
    """The document."""
    components = [component(name, version, crates, checksums) for name, version in sorted(crates)]
    ours = next(one for one in components if one["name"] == PACKAGE)
    others = [one for one in components if one is not ours]
    metadata = {
        "component": {**ours, "type": "application"},
        "properties": [{"name": "cargo:target", "value": target}],
    }
    document = {"bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1, "metadata": metadata}
    document["components"] = others
    # From the contents. CycloneDX lets it be left out; the action that signs the bill does not.
    serial = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(document, sort_keys=True))
    return {"serialNumber": f"urn:uuid:{serial}", **document}


def component(name, version, crates, checksums):
    """One crate. Those of the workspace have no checksum."""
    purl = f"pkg:cargo/{name}@{version.replace('+', '%2B')}"
    one = {"type": "library", "bom-ref": purl, "name": name, "version": version, "purl": purl}
    if licence := crates[name, version]:
        # An old way of writing it, with a slash, still stands in some manifests.
        one["licenses"] = [{"expression": re.sub(r"\s*/\s*", " OR ", licence)}]
    if checksum := checksums[name, version]:
        one["hashes"] = [{"alg": "SHA-256", "content": checksum}]
    return one


if __name__ == "__main__":
    sys.exit(main())
