#!/usr/bin/env python3
"""Checks the image's parts without a container engine: the Dockerfile, and the binary that goes into it.

    tests/image/check.py [BINARY]        for example target/release/ecs-drain

Of the Dockerfile: that its last stage is what deploy/image/README.md promises, that its builder is in step with
Cargo.toml, and that the licences of what is linked in are found. Of the binary: that it needs nothing that the base
image does not have, and that it answers in an empty root: nothing there but itself and its libraries, all of it
read-only, as user 65532, without environment, network, /proc, /dev and /tmp. That last part needs root (sudo); without,
it is left out, and that is said.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = ROOT / "deploy/image/Dockerfile"
LICENCES = ROOT / "deploy/image/licences"
MANIFEST = tomllib.loads((ROOT / "Cargo.toml").read_text())
USER = "65532:65532"
PROGRAM = "/usr/local/bin/ecs-drain"

# What may be linked dynamically, by Debian package. The base has more; more is not needed.
# Source: base/config.bzl and cc/config.bzl of GoogleContainerTools/distroless, "debian13".
LIBRARIES = {
    "libc.so.6": "libc6",
    "libm.so.6": "libc6",
    "ld-linux-x86-64.so.2": "libc6",
    "ld-linux-aarch64.so.1": "libc6",
    "libgcc_s.so.1": "libgcc-s1",
}

# The oldest host that the released binary is for: Amazon Linux 2023. The builder has 2.36, the base image 2.41.
# Source: Amazon Linux 2023 user guide, "Core toolchain packages glibc, gcc, binutils".
GLIBC = (2, 34)

# Crates whose packages have no licence text in them: CRATES says what their manifests say.
BRING_NONE = {"base64-simd", "vsimd"}

# The smallest configuration of the README.
CONFIGURATION = '[[scope]]\nregion = "eu-west-1"\nhooks = ["ecs-drain"]\n'


class Report:
    """One line a check, and how many held."""

    def __init__(self):
        self.passed, self.failed = 0, 0

    def check(self, what, holds, seen=""):
        """Notes whether it holds; what was seen is told where it does not."""
        if holds:
            self.passed += 1
            print(f"ok      {what}")
        else:
            self.failed += 1
            print(f"FAILED  {what}: {seen}" if seen else f"FAILED  {what}")

    def left_out(self, what, why):
        """Says what was not checked."""
        print(f"left out: {what} ({why})")


def main():
    """Checks; the exit code."""
    if len(sys.argv) > 2 or any(argument.startswith("-") for argument in sys.argv[1:]):
        print(__doc__, file=sys.stderr)
        return 2
    report = Report()
    dockerfile(report)
    context(report)
    licences(report)
    if len(sys.argv) == 2:
        binary = Path(sys.argv[1]).resolve()
        libraries = linked(report, binary)
        if os.geteuid() == 0:
            empty_root(report, binary, libraries)
        else:
            report.left_out("the binary in an empty root", "only root may do that")
    else:
        report.left_out("the binary", "none was given")
    print(f"{report.passed} passed, {report.failed} failed")
    return 1 if report.failed else 0


def instructions():
    """The stages of the Dockerfile: each a list of instructions and their text. The first is what precedes FROM."""
    text = re.sub(r"^\s*#.*\n", "", DOCKERFILE.read_text(), flags=re.MULTILINE)
    text = re.sub(r"\\\n\s*", "", text)
    stages = [[]]
    for line in filter(None, map(str.strip, text.splitlines())):
        name, _, rest = line.partition(" ")
        if name == "FROM":
            stages.append([])
        stages[-1].append((name, rest.strip()))
    return stages


def dockerfile(report):
    """The last stage is as promised, and the builder is in step."""
    stages = instructions()
    arguments = dict(rest.split("=", 1) for name, rest in stages[0] if name == "ARG")
    build, last = stages[1], stages[-1]
    one = {name: rest for name, rest in last if name not in ("COPY", "ARG", "ENV", "LABEL")}

    report.check("the last stage is on the base without a shell", one["FROM"] == "${RUNTIME_IMAGE}", one["FROM"])
    base = arguments["RUNTIME_IMAGE"]
    report.check("the base image", base.startswith("gcr.io/distroless/cc-debian13:nonroot"), base)
    report.check("USER is a number, and not root's", one.get("USER") == USER, one.get("USER"))
    entry = json.loads(one.get("ENTRYPOINT", "null"))
    report.check("ENTRYPOINT is the program, without a shell", entry == [PROGRAM], entry)
    command = json.loads(one.get("CMD", "null"))
    report.check("CMD is run", command == ["run"], command)
    report.check("STOPSIGNAL is SIGTERM", one.get("STOPSIGNAL") == "SIGTERM", one.get("STOPSIGNAL"))
    options, _, probe = one.get("HEALTHCHECK", "").partition("CMD")
    expected = {"--interval=30s", "--timeout=5s", "--start-period=60s", "--retries=3"}
    report.check("HEALTHCHECK is as often as the task definition's", set(options.split()) == expected, options)
    report.check("HEALTHCHECK needs no shell", probe.strip() == json.dumps([PROGRAM, "healthcheck"]), probe)
    listen = [rest for name, rest in last if name == "ENV"]
    report.check("HEALTHCHECK is answered, on loopback", listen == ["ECS_DRAIN_LISTEN=127.0.0.1:8080"], listen)
    others = [name for name, _ in last if name in ("RUN", "ADD", "EXPOSE", "VOLUME", "SHELL")]
    report.check("nothing runs in the last stage, and no port or volume is declared", not others, others)

    run = " ".join(rest for name, rest in build if name == "RUN")
    cargo = "cargo build --release --locked --no-default-features --package ecs-drain"
    report.check("it is built from the lock file, without the demo", cargo in run, run)
    rust = f"rust:{MANIFEST['workspace']['package']['rust-version']}-"
    report.check("the builder has the rust-version of Cargo.toml", rust in arguments["BUILD_IMAGE"], rust)


def context(report):
    """Every member of the workspace gets into the builder: cargo reads all their manifests."""
    lines = Path(f"{DOCKERFILE}.dockerignore").read_text().splitlines()
    let_in = [line[1:] for line in lines if line.startswith("!")]
    members = [member for member in MANIFEST["workspace"]["members"] if member != "."]
    wanted = ["Cargo.toml", "Cargo.lock", "LICENSE", "deploy/image/licences", "src", *members]
    missing = [one for one in wanted if one not in let_in]
    report.check("Dockerfile.dockerignore lets in what the build reads", not missing, missing)
    extra = [one for one in let_in if one not in wanted]
    report.check("and nothing else", not extra, extra)


def licences(report):
    """Every crate that is linked in has its licence texts in the image."""
    with tempfile.TemporaryDirectory() as folder:
        if shutil.which("cargo") is None:
            report.left_out("the licences", "there is no cargo")
            return
        ended = subprocess.run([LICENCES, folder], capture_output=True, text=True, check=False)
        if "build first" in ended.stderr:
            report.left_out("the licences", ended.stderr.strip())
            return
        report.check("deploy/image/licences finds every crate", ended.returncode == 0, ended.stderr.strip())
        texts = {path.name for path in Path(folder).iterdir()} - {"CRATES"}
        crates = [line.rsplit(": ", 1) for line in (Path(folder) / "CRATES").read_text().splitlines()]
        without = {crate.split()[0] for crate, named in crates if not set(named.split()) <= texts}
        named = ", ".join(sorted(BRING_NONE))
        report.check(f"every licence is there, but for those of {named}", without == BRING_NONE, without)


def linked(report, binary):
    """It needs no library and no version of the C library that the base has not; the libraries' files by name."""
    told = subprocess.run(["ldd", binary], capture_output=True, text=True, check=False)
    report.check("it is linked dynamically, and finds its libraries here", told.returncode == 0, told.stderr.strip())
    files = {}
    for line in told.stdout.splitlines():
        name, _, where = line.strip().partition(" => ")
        path = (where or name).split(" (")[0]
        # linux-vdso has no file: it comes with the kernel.
        if path.startswith("/"):
            files[Path(name.split(" (")[0]).name] = Path(path)
    unknown = sorted(set(files) - set(LIBRARIES))
    report.check("it needs only libraries that the base image has", not unknown, unknown)

    told = subprocess.run(["readelf", "--version-info", "--wide", binary], capture_output=True, text=True, check=True)
    versions = {tuple(map(int, one.split("."))) for one in re.findall(r"\bGLIBC_([0-9.]+)", told.stdout)}
    newest = max(versions, default=(0,))
    report.check(f"it needs glibc {dotted(GLIBC)} or older", newest <= GLIBC, dotted(newest))
    return files


def empty_root(report, binary, libraries):
    """It answers where there is nothing but itself and its libraries."""
    version = MANIFEST["workspace"]["package"]["version"]
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        root.chmod(0o755)
        lay(binary, root / PROGRAM[1:])
        for path in libraries.values():
            lay(path, root / str(path)[1:])

        ended = within(root, "--version")
        report.check("--version, in an empty root", ended.stdout.strip() == f"ecs-drain {version}", told(ended))
        ended = within(root, "config", "check", ECS_DRAIN_CONFIG_TOML=CONFIGURATION)
        report.check("a configuration from the environment is read there", ended.returncode == 0, told(ended))
        ended = within(root, "healthcheck", ECS_DRAIN_LISTEN="127.0.0.1:8080")
        report.check("healthcheck fails where nobody answers", ended.returncode == 1, told(ended))
        ended = within(root, "demo", "--help")
        report.check("there is no demo in it, nor its simulator", ended.returncode == 2, told(ended))


def lay(path, there):
    """Copies a file, or what a link leads to."""
    there.parent.mkdir(parents=True, exist_ok=True)
    shutil.copy(path, there)
    there.chmod(0o755)


def within(root, *arguments, **environment):
    """Runs it in that root: read-only, as the image's user, in a network of its own that has not even loopback up."""
    script = 'mount --bind "$1" "$1" && mount -o remount,bind,ro "$1" && exec env -i "${@:2}"'
    variables = [f"{name}={value}" for name, value in environment.items()]
    program = [shutil.which("chroot"), f"--userspec={USER}", str(root), PROGRAM, *arguments]
    command = ["unshare", "--mount", "--net", "bash", "-c", script, "bash", str(root), *variables, *program]
    try:
        return subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=30, check=False
        )
    except subprocess.TimeoutExpired as late:
        return subprocess.CompletedProcess(command, -1, "", f"no answer within {late.timeout:.0f} s")


def dotted(version):
    """A version as it is written."""
    return ".".join(map(str, version))


def told(ended):
    """What it said, in a line."""
    return f"exit code {ended.returncode}: {' '.join((ended.stdout + ended.stderr).split())[:300]}"


if __name__ == "__main__":
    sys.exit(main())
