"""A moto server with `moto_plugin` and `moto_agents`, on loopback:  python moto_server.py -p PORT

Besides AWS's own interfaces it answers, for the tests:

| request | what it does |
| --- | --- |
| GET /plugin/calls, GET /plugin/events | what was called, and what happened |
| POST /plugin/delays {"cluster": …, "replace": …} | how long things take in a cluster, see `Delays` |
| POST /plugin/kill {"pid", "operation", "match", "nth", "when"} | ends a process at a chosen call, see `Kill` |
| POST /plugin/disarm {"pid"} | takes that back |
"""

import argparse
import json
import signal
import sys

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import WSGIRequestHandler, run_simple
from werkzeug.wrappers import Request, Response

import moto_agents  # noqa: F401  (importing it is enough)
import moto_plugin
from moto_world import Delays, Kill

WORLD = moto_plugin.WORLD


def control(request):
    """Answers a request of the tests' own."""
    with WORLD.lock:
        WORLD.settle()
        answer = {}
        match request.path:
            case "/plugin/calls":
                answer = WORLD.calls
            case "/plugin/events":
                answer = WORLD.events
            case "/plugin/delays":
                wanted = request.get_json()
                cluster = wanted.pop("cluster")
                WORLD.delays[cluster] = Delays(**wanted)
            case "/plugin/kill":
                WORLD.kills.append(Kill(**request.get_json()))
            case "/plugin/disarm":
                pid = request.get_json()["pid"]
                WORLD.kills = [kill for kill in WORLD.kills if kill.pid != pid]
            case _:
                return Response("no such request", status=404)
        return Response(json.dumps(answer), content_type="application/json")


def with_control(app):
    """The AWS services, and beside them the tests' own requests."""

    def answer(environ, start_response):
        if environ["PATH_INFO"].startswith("/plugin/"):
            return control(Request(environ))(environ, start_response)
        return app(environ, start_response)

    return answer


class Quiet(WSGIRequestHandler):
    """A handler that logs errors only."""

    protocol_version = "HTTP/1.1"

    def log_request(self, code="-", size="-"):
        if str(code).startswith("5"):
            super().log_request(code, size)


def main():
    """Serves until it is told to stop."""
    parser = argparse.ArgumentParser()
    parser.add_argument("-p", "--port", type=int, required=True)
    port = parser.parse_args().port
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    app = DomainDispatcherApplication(create_backend_app)
    run_simple("127.0.0.1", port, with_control(app), threaded=True, request_handler=Quiet)


if __name__ == "__main__":
    main()
