"""The clouds that the tests run against: moto with our plug-in, ministack, and what stands between us and its DynamoDB.

Everything listens on loopback, on ports that were free a moment ago, and ends with `Clouds.close`.
"""

import http.client
import http.server
import json
import os
import re
import signal
import socket
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
TOOLS = ROOT / ".tools"
REGION = "us-east-1"
ACCOUNT = "123456789012"

# Nothing of the developer's own: no profile, no real credentials, no instance metadata.
ENVIRONMENT = {
    "PATH": os.environ["PATH"],
    "AWS_ACCESS_KEY_ID": "AKIADUMMY",
    "AWS_SECRET_ACCESS_KEY": "dummysecret",
    "AWS_REGION": REGION,
    "AWS_DEFAULT_REGION": REGION,
    "AWS_PAGER": "",
    "AWS_EC2_METADATA_DISABLED": "true",
    "AWS_CONFIG_FILE": "/dev/null",
    "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
    "PYTHONDONTWRITEBYTECODE": "1",
}


def free_port():
    """A port of the loopback interface that nobody listens on."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def wait_for(what, seconds, every=0.2):
    """Calls `what` until it answers something true; its last answer."""
    until = time.monotonic() + seconds
    while True:
        answer = what()
        if answer or time.monotonic() > until:
            return answer
        time.sleep(every)


@dataclass
class KillAtPhase:
    """End process `pid` when it writes that the drain of `instance` is in `phase`: before or after that is applied."""

    pid: int
    instance: str
    phase: str
    when: str


class Table:
    """A proxy in front of DynamoDB. It sees each write of a drain record, and can end the writer there."""

    def __init__(self, upstream):
        self.writes = []
        self.kills = []
        self.lock = threading.Lock()
        table = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self):
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                written = record_write(body)
                kill = table.kill_for(written) if written else None
                if kill and kill.when == "before":
                    os.kill(kill.pid, signal.SIGKILL)
                    self.close_connection = True
                    return
                status, headers, answer = forward(upstream, self.path, self.headers, body)
                if written and status == 200:
                    with table.lock:
                        table.writes.append({"at": time.time(), **written})
                if kill:
                    os.kill(kill.pid, signal.SIGKILL)
                    self.close_connection = True
                    return
                self.send_response(status)
                for name, value in headers:
                    if name.lower() not in ("content-length", "connection", "transfer-encoding", "server", "date"):
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(answer)))
                try:
                    self.end_headers()
                    self.wfile.write(answer)
                except ConnectionError:
                    # Who asked was killed elsewhere meanwhile.
                    self.close_connection = True

            def log_message(self, *_):
                pass

        self.server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()

    def kill_at(self, *kill):
        """Asks for a kill, see `KillAtPhase`."""
        with self.lock:
            self.kills.append(KillAtPhase(*kill))

    def kill_for(self, written):
        """The kill that a write sets off. Only once."""
        with self.lock:
            for kill in self.kills:
                if kill.phase == written["phase"] and written["key"].endswith("/" + kill.instance):
                    self.kills.remove(kill)
                    return kill
        return None

    def phases(self, instance):
        """Every write of an instance's record so far: time and phase."""
        with self.lock:
            return [(w["at"], w["phase"]) for w in self.writes if w["key"].endswith("/" + instance)]


def forward(upstream, path, headers, body):
    """Hands a request on, and brings back status, headers and body."""
    connection = http.client.HTTPConnection("127.0.0.1", upstream, timeout=30)
    try:
        # Its host too: that is signed.
        kept = {name: value for name, value in headers.items() if name.lower() != "connection"}
        connection.request("POST", path, body, kept)
        answer = connection.getresponse()
        return answer.status, answer.getheaders(), answer.read()
    finally:
        connection.close()


def record_write(body):
    """Key and phase of the drain record that a DynamoDB request writes, if it writes one."""
    request = json.loads(body or b"{}")
    if "Item" in request:
        key, phase = request["Item"].get("key"), request["Item"].get("phase")
    elif "UpdateExpression" in request:
        key, phase = request["Key"].get("key"), None
        for placeholder, name in request.get("ExpressionAttributeNames", {}).items():
            found = re.search(re.escape(placeholder) + r" = (:\w+)", request["UpdateExpression"])
            if name == "phase" and found:
                phase = request["ExpressionAttributeValues"][found[1]]
    else:
        return None
    return {"key": key["S"], "phase": phase["S"]} if key and phase else None


class Clouds:
    """The running clouds, and the commands to look at them."""

    def __init__(self):
        self.folder = Path(tempfile.mkdtemp(prefix="ecs-drain-external-"))
        self.children = []
        self.moto_port, self.ministack_port = free_port(), free_port()
        self.start(
            "moto", [TOOLS / "moto/bin/python", HERE / "moto_server.py", "-p", self.moto_port], cwd=HERE
        )
        self.start(
            "ministack",
            [TOOLS / "ministack/bin/ministack"],
            BIND_HOST="127.0.0.1",
            GATEWAY_PORT=str(self.ministack_port),
            MINISTACK_ACCOUNT_ID=ACCOUNT,
            IOT_MTLS_ENABLED="0",
            SFTP_ENABLED="0",
            LOG_LEVEL="WARNING",
        )
        self.moto = f"http://127.0.0.1:{self.moto_port}"
        self.table = Table(self.ministack_port)
        for port in (self.moto_port, self.ministack_port):
            if not wait_for(lambda: listens(port), 30):
                raise RuntimeError(f"nothing listens on port {port} after 30 s; see {self.folder}")

    def start(self, name, command, cwd=None, **environment):
        """Starts a child; what it says is in `NAME.log`."""
        log = open(self.folder / f"{name}.log", "ab")
        child = subprocess.Popen(
            [str(word) for word in command],
            cwd=cwd or self.folder,
            env={**ENVIRONMENT, "HOME": str(self.folder), **environment},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        log.close()
        self.children.append(child)
        return child

    def close(self):
        """Ends every child."""
        for child in self.children:
            if child.poll() is None:
                child.terminate()
        for child in self.children:
            try:
                child.wait(10)
            except subprocess.TimeoutExpired:
                child.kill()
                child.wait(10)
        self.table.server.shutdown()

    def aws(self, *words, query=None, cloud="moto"):
        """Runs the aws command line; its answer."""
        command = [TOOLS / "moto/bin/aws", "--endpoint-url", self.moto if cloud == "moto" else self.table.url]
        command += [*words, "--output", "json", *(["--query", query] if query else [])]
        done = subprocess.run(
            [str(word) for word in command],
            env={**ENVIRONMENT, "HOME": str(self.folder)},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=60,
            check=False,
        )
        if done.returncode != 0:
            raise RuntimeError(f"aws {' '.join(map(str, words))}: {done.stderr.decode().strip()}")
        return json.loads(done.stdout or "null")

    def record(self, instance, **table):
        """The drain record of an instance, words only."""
        return self.item(f"{ACCOUNT}/{REGION}/{instance}", **table)

    def item(self, key, table="ecs-drain", region=REGION):
        """An item of a table, read by the aws command line; words only."""
        key = json.dumps({"key": {"S": key}})
        item = self.aws(
            *("dynamodb", "get-item", "--table-name", table, "--consistent-read", "--key", key, "--region", region),
            cloud="table",
        )
        return {name: value.get("S") for name, value in item["Item"].items()} if item else None

    def items(self, region):
        """The keys of everything in a region's table."""
        rows = self.aws(
            "dynamodb", "scan", "--table-name", "ecs-drain", "--region", region, query="Items[].key.S", cloud="table"
        )
        return rows

    def plugin(self, path, **body):
        """Asks our plug-in of moto."""
        connection = http.client.HTTPConnection("127.0.0.1", self.moto_port, timeout=30)
        try:
            kind = {"Content-Type": "application/json"}
            connection.request("POST" if body else "GET", f"/plugin/{path}", json.dumps(body), kind)
            return json.loads(connection.getresponse().read())
        finally:
            connection.close()

    def disarm(self, pid):
        """Takes back every kill of a process."""
        self.plugin("disarm", pid=pid)
        with self.table.lock:
            self.table.kills = [kill for kill in self.table.kills if kill.pid != pid]

    def events(self, group):
        """What happened to a group's instances, in order."""
        return [event for event in self.plugin("events") if event.get("group") == group]


def listens(port):
    """Whether something listens on a port of the loopback interface."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0
