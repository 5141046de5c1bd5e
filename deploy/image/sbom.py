#!/usr/bin/env python3
"""The software bill of materials of the binary, as CycloneDX 1.5 JSON: every crate that is linked into it, AWS-LC (the C
library in one of them), Rust's standard library, and which of them depends on which.

    deploy/image/sbom.py TARGET [RUST] >ecs-drain.cdx.json

TARGET is such as x86_64-unknown-linux-gnu. RUST is the version of Rust that built the binary, such as 1.95.0; left out, it
is that of this machine's rustc. The time in the bill is SOURCE_DATE_EPOCH, or else the commit's.

It asks `cargo tree` for one package. Tools that read `cargo metadata` see the features of the whole workspace. Checksums
are those of Cargo.lock. The same commit gives the same bytes.
"""

import json
import os
import re
import subprocess
import sys
import tomllib
import uuid
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import quote

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = "ecs-drain"
CRATES_IO = "registry+https://github.com/rust-lang/crates.io-index"
# Our own repository, in Cargo.toml: where crates come from that have no registry.
GITHUB = "https://github.com/"
# The crate that has a C library in it, and where the library's version stands in the crate's sources.
AWS_LC, AWS_LC_VERSION = "aws-lc-sys", "aws-lc/include/openssl/base.h"
# Crates that say they link a library: that one, and the one above it, which has no C code of its own.
LINK = {AWS_LC, "aws-lc-rs"}


def main():
    """Prints it; the exit code."""
    if len(sys.argv) not in (2, 3) or sys.argv[1].startswith("-"):
        print(__doc__, file=sys.stderr)
        return 2
    target = sys.argv[1]
    rust = sys.argv[2] if len(sys.argv) == 3 else run("rustc", "--version").split()[1]
    try:
        print(json.dumps(bill(target, rust), indent=2))
    except ValueError as error:
        print(f"deploy/image/sbom.py: {error}", file=sys.stderr)
        return 1
    return 0


def run(*command):
    """What a command prints."""
    return subprocess.run(command, cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True).stdout


def linked(target):
    """What is linked into the binary: licence by name and version, and the same's dependencies. No build scripts, no
    macros. The first is the program."""
    command = ["cargo", "tree", "--locked", "--package", PACKAGE, "--target", target]
    tree = run(*command, "--edges", "normal,no-proc-macro", "--prefix", "depth", "--format", "{p}|{l}")
    licences, needs, above = {}, {}, []
    for line in filter(None, tree.splitlines()):
        # A package that has stood before ends with (*), and what it needs is not told again.
        depth, name, version, licence = re.fullmatch(r"(\d+)(\S+) v(\S+)[^|]*\|(.*?)(?: \(\*\))?", line).groups()
        del above[int(depth) :]
        one = (name, version)
        licences[one] = licence
        needs.setdefault(one, set())
        if above:
            needs[above[-1]].add(one)
        above.append(one)
    return licences, needs


def bill(target, rust):
    """The document."""
    licences, needs = linked(target)
    metadata = json.loads(run("cargo", "metadata", "--locked", "--format-version", "1", "--filter-platform", target))
    manifests = {(one["name"], one["version"]): one for one in metadata["packages"]}
    lock = tomllib.loads((ROOT / "Cargo.lock").read_text())
    locked = {(one["name"], one["version"]): one for one in lock["package"]}

    components = {one: crate(one, licences[one], manifests[one], locked[one]) for one in sorted(licences)}
    reference = {key: one["bom-ref"] for key, one in components.items()}
    depends = {reference[key]: {reference[other] for other in needs[key]} for key in components}
    program = next(one for one in components.values() if one["name"] == PACKAGE)
    further = [standard_library(rust)]
    depends[program["bom-ref"]].add(further[0]["bom-ref"])
    for key, one in components.items():
        if key[0] == AWS_LC:
            further.append(aws_lc(Path(manifests[key]["manifest_path"]).parent, one))
            depends[one["bom-ref"]].add(further[-1]["bom-ref"])

    others = [one for one in components.values() if one is not program] + further
    supplier = program["supplier"]
    document = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.5",
        "version": 1,
        "metadata": {
            "timestamp": moment().strftime("%Y-%m-%dT%H:%M:%SZ"),
            "tools": {
                "components": [{"type": "application", "name": "deploy/image/sbom.py", "version": program["version"]}]
            },
            "authors": [{"name": supplier["name"]}],
            "component": {**program, "type": "application"},
            "supplier": supplier,
            "properties": [{"name": "cargo:target", "value": target}],
        },
        "components": others,
        "dependencies": [
            {"ref": one["bom-ref"], "dependsOn": sorted(depends.get(one["bom-ref"], ()))} for one in [program, *others]
        ],
    }
    # From the contents. CycloneDX lets it be left out; the action that signs the bill does not.
    serial = uuid.uuid5(uuid.NAMESPACE_URL, json.dumps(document, sort_keys=True))
    return {"serialNumber": f"urn:uuid:{serial}", **document}


def moment():
    """The time of the sources: a bill made later of the same ones is the same."""
    seconds = os.environ.get("SOURCE_DATE_EPOCH") or run("git", "log", "-1", "--format=%ct")
    return datetime.fromtimestamp(int(seconds), UTC)


def crate(key, licence, manifest, locked):
    """One crate. Those of the workspace have no checksum, and are named by their place in our repository: whether they
    are on crates.io, and what is there under their names, is no matter of the binary's."""
    name, version = key
    if locked.get("source") == CRATES_IO:
        purl = f"pkg:cargo/{name}@{quote(version, safe='')}"
    elif locked.get("source") is None:
        folder = Path(manifest["manifest_path"]).parent.relative_to(ROOT).as_posix()
        purl = f"pkg:github/{manifest['repository'].removeprefix(GITHUB)}@{run('git', 'rev-parse', 'HEAD').strip()}"
        purl += "" if folder == "." else f"#{folder}"
    else:
        raise ValueError(f"{name} {version} comes from {locked['source']}, for which it knows no package URL")
    if manifest["links"] and name not in LINK:
        raise ValueError(f"{name} {version} links the library {manifest['links']}, which would not be in the bill")
    # What manifests call authors are people, often with addresses, or nobody. Who publishes a crate is told by where.
    supplier = {"name": f"the authors of {name}"}
    if manifest["repository"]:
        supplier["url"] = [manifest["repository"]]
    one = {"type": "library", "bom-ref": purl, "supplier": supplier, "name": name, "version": version, "purl": purl}
    if licence:
        # An old way of writing it, with a slash, still stands in some manifests.
        one["licenses"] = [{"expression": re.sub(r"\s*/\s*", " OR ", licence)}]
    if checksum := locked.get("checksum"):
        one["hashes"] = [{"alg": "SHA-256", "content": checksum}]
    return one


def aws_lc(folder, crate_of_it):
    """The C library that its crate builds from sources."""
    text = (folder / AWS_LC_VERSION).read_text()
    found = re.search(r'^#define AWSLC_VERSION_NUMBER_STRING "([0-9.]+)"$', text, re.MULTILINE)
    if not found:
        raise ValueError(f"no version of AWS-LC in {folder / AWS_LC_VERSION}")
    purl = f"pkg:github/aws/aws-lc@v{found[1]}"
    supplier = {"name": "Amazon Web Services", "url": ["https://github.com/aws/aws-lc"]}
    one = {"type": "library", "bom-ref": purl, "supplier": supplier, "name": "aws-lc", "version": found[1]}
    return {**one, "purl": purl, "licenses": crate_of_it["licenses"]}


def standard_library(rust):
    """Rust's own, which every crate uses: linked in as it comes with the compiler, and in no lock file."""
    purl = f"pkg:github/rust-lang/rust@{rust}#library/std"
    supplier = {"name": "The Rust Project", "url": ["https://github.com/rust-lang/rust"]}
    one = {"type": "library", "bom-ref": purl, "supplier": supplier, "name": "std", "version": rust, "purl": purl}
    return {**one, "licenses": [{"expression": "MIT OR Apache-2.0"}]}


if __name__ == "__main__":
    sys.exit(main())
