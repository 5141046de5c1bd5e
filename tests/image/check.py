#!/usr/bin/env python3
"""Checks the image's parts without a container engine: the Dockerfile, and the binary that goes into it.

    tests/image/check.py [BINARY]        for example target/dist/ecs-drain

Of the Dockerfile: that its last stage is what deploy/image/README.md promises, that its builder is in step with
Cargo.toml, and that the licences of what is linked in are found. Of the bill of materials: that it has the elements that
the NTIA asks for, and is the same when it is made again. Of the binary: that it carries the list of its crates, that it
needs nothing that the base image does not have, and that it answers in an empty root: nothing there but itself and its
libraries, all of it read-only, as user 65532, without environment, network, /proc, /dev and /tmp. That last part needs
root (sudo); without, it is left out, and that is said.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import tomllib
import zlib
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
DOCKERFILE = ROOT / "deploy/image/Dockerfile"
LICENCES = ROOT / "deploy/image/licences"
BILL = ROOT / "deploy/image/sbom.py"
ARCHIVE = ROOT / "deploy/image/archive"
TEXTS = ROOT / "deploy/image/licence-texts"
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

# The most that the binary may have, in MB: what is added to it without need shows here.
MOST = 25

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
    bill = bill_of_materials(report)
    archive(report)
    if len(sys.argv) == 2:
        binary = Path(sys.argv[1]).resolve()
        carried(report, binary, bill)
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
    cargo = "cargo auditable build --profile dist --locked --package ecs-drain"
    report.check("it is built from the lock file, and carries the list of its crates", cargo in run, run)
    tool = re.search(r"cargo install cargo-auditable --version \$\{CARGO_AUDITABLE\} --locked", run)
    pinned = [rest for name, rest in build if name == "ARG" and re.fullmatch(r"CARGO_AUDITABLE=\d+\.\d+\.\d+", rest)]
    report.check("the tool for that has a version", tool and pinned, run)
    rust = f"rust:{MANIFEST['workspace']['package']['rust-version']}-"
    report.check("the builder has the rust-version of Cargo.toml", rust in arguments["BUILD_IMAGE"], rust)


def context(report):
    """Every member of the workspace gets into the builder: cargo reads all their manifests."""
    lines = Path(f"{DOCKERFILE}.dockerignore").read_text().splitlines()
    let_in = [line[1:] for line in lines if line.startswith("!")]
    members = [member for member in MANIFEST["workspace"]["members"] if member != "."]
    texts = ["LICENSE", "deploy/image/licence-texts", "deploy/image/licences"]
    wanted = ["Cargo.toml", "Cargo.lock", *texts, "src", *members]
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
        report.check("every licence is there, also the standard library's", not without and len(crates) > 1, without)
        unused = {path.name for path in TEXTS.iterdir()} - {f"{crate.split()[0]}.txt" for crate, _ in crates}
        report.check("no licence text was looked up for a crate that is not linked in", not unused, unused)


def bill_of_materials(report):
    """It has the elements that the NTIA asks for, and is the same when it is made again. The bill; None without cargo.

    Source: NTIA, "The Minimum Elements For a Software Bill of Materials", 2021: supplier, name, version, other unique
    identifiers, dependency relationship, author of the bill, timestamp.
    """
    if shutil.which("cargo") is None:
        report.left_out("the bill of materials", "there is no cargo")
        return None
    target = re.search(r"^host: (\S+)$", capture("rustc", "--version", "--verbose"), re.MULTILINE)[1]
    environment = {**os.environ, "SOURCE_DATE_EPOCH": "1700000000", "CARGO_NET_OFFLINE": "true"}
    made = [
        subprocess.run([BILL, target], env=environment, capture_output=True, text=True, check=False) for _ in range(2)
    ]
    if "offline" in made[0].stderr:
        report.left_out("the bill of materials", "crates are not downloaded: build first")
        return None
    report.check("deploy/image/sbom.py makes a bill of materials", made[0].returncode == 0, told(made[0]))
    if made[0].returncode != 0:
        return None
    report.check("the same one, when it is asked again", made[0].stdout == made[1].stdout)
    bill = json.loads(made[0].stdout)
    about = bill["metadata"]
    report.check("it has the time of the sources", about["timestamp"] == "2023-11-14T22:13:20Z", about["timestamp"])
    has = bool(about["authors"][0]["name"] and about["tools"]["components"][0]["name"] and about["supplier"]["name"])
    report.check("it names its author, its tool and the supplier", has, about)

    components = [about["component"], *bill["components"]]
    elements = ("name", "version", "purl", "licenses", "supplier")
    lacking = [f"{one['name']}: {each}" for one in components for each in elements if not one.get(each)]
    report.check("each component has name, version, package URL, licence and supplier", not lacking, lacking)
    needs = {one["ref"]: one["dependsOn"] for one in bill["dependencies"]}
    references = [one["bom-ref"] for one in components]
    report.check("each has a reference of its own", len(set(references)) == len(references))
    reached, look = set(), [about["component"]["bom-ref"]]
    while look:
        one = look.pop()
        if one not in reached:
            reached.add(one)
            look += needs.get(one, [])
    report.check("the program's dependencies lead to each", reached == set(references), reached ^ set(references))
    names = {one["name"] for one in components}
    missing = {"std", "aws-lc", "ecs-drain-state", "tokio"} - names
    report.check("the standard library, AWS-LC and the crate state are in it", not missing, missing)
    lock = tomllib.loads((ROOT / "Cargo.lock").read_text())
    ours = {package["name"] for package in lock["package"] if "source" not in package}
    called = [one["purl"] for one in components if one["name"] in ours and one["purl"].startswith("pkg:cargo/")]
    report.check("nothing of this workspace is called a package of crates.io", not called, called)
    return bill


def archive(report):
    """An archive's bytes follow from its contents: not from when, by whom and in which order they were written."""
    with tempfile.TemporaryDirectory() as folder:
        packed = []
        for when, names in ((1_000_000_000, "ab"), (1_500_000_000, "ba")):
            contents = Path(folder) / str(when) / "ecs-drain"
            contents.mkdir(parents=True)
            for name in names:
                (contents / name).write_text(f"the file {name}")
                (contents / name).chmod(0o755 if name == "a" else 0o664 if names == "ab" else 0o644)
                os.utime(contents / name, (when, when))
            into = Path(folder) / f"{when}.tar.gz"
            environment = {**os.environ, "SOURCE_DATE_EPOCH": "1700000000"}
            subprocess.run([ARCHIVE, into, contents], env=environment, check=True)
            packed.append(into.read_bytes())
        report.check("the same contents make the same archive", packed[0] == packed[1])
        listing = capture("tar", "--list", "--verbose", "--utc", "--file", into)
        entries = [line.split() for line in listing.splitlines()]
        plain = all(entry[1] == "0/0" and entry[3] == "2023-11-14" for entry in entries)
        executable = [entry[5] for entry in entries if entry[0] == "-rwxr-xr-x"]
        report.check("its entries belong to nobody, and have the time of the sources", plain, listing)
        report.check("what may be executed still may", executable == ["ecs-drain/a"], listing)


def capture(*command):
    """What a command prints."""
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def carried(report, binary, bill):
    """The list of crates in the binary, and its size."""
    size = binary.stat().st_size
    report.check(f"the binary has at most {MOST} MB", size <= MOST * 1_000_000, f"{size:,} bytes")
    with tempfile.TemporaryDirectory() as folder:
        section, copy = Path(folder) / "section", Path(folder) / "copy"
        command = ["objcopy", "--dump-section", f".dep-v0={section}", binary, copy]
        ended = subprocess.run(command, capture_output=True, text=True, check=False)
        # objcopy only warns of a section that is not there.
        report.check("it carries the list of its crates (cargo auditable)", section.exists(), told(ended))
        if not section.exists():
            return
        packages = json.loads(zlib.decompress(section.read_bytes()))["packages"]
    listed = {(one["name"], one["version"]) for one in packages if one.get("kind", "runtime") == "runtime"}
    ours = {"ecs-drain", "ecs-drain-state"}
    report.check("the list has our own crates", ours <= {name for name, _ in listed}, listed)
    simulator = {"aws-simulator", "dynoxide-rs"} & {name for name, _ in listed}
    report.check("and none of the simulator", not simulator, simulator)
    if bill is None:
        return
    components = [bill["metadata"]["component"], *bill["components"]]
    billed = {(one["name"], one["version"]) for one in components if one["name"] not in ("std", "aws-lc")}
    # It may have more: what macros are made of, and what features of other members of the workspace would bring.
    report.check("and all of the bill of materials", billed <= listed, billed - listed)


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
