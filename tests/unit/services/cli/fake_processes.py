"""Runs `dragoman` with tiny programs in place of the services. It is a script that accepts dragoman's own arguments.

Each program responds to /readyz, and writes a line when it starts and when it ends. It also writes its end to the file
ENDINGS, edges half a second later than others.
"""

import http.server
import signal
import socketserver
import sys
import threading
import time
from os import environ
from pathlib import Path


class ReadyHandler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Logs nothing."""


class OpsServer(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


def write(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def serve(name: str) -> None:
    server = OpsServer(("127.0.0.1", int(environ["DRAGOMAN_OPS__PORT"])), ReadyHandler)
    if "STUBBORN" in environ:
        signal.signal(signal.SIGTERM, lambda *_: write(f"{name} ignores SIGTERM"))
    else:
        signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    write(f"hello from {name} on {environ.get('DRAGOMAN_EDGE__PORT', 'no port')}")
    server.serve_forever(0.05)
    if "ENDINGS" in environ:
        if name.startswith("edge"):
            time.sleep(0.5)
        with Path(environ["ENDINGS"]).open("a") as endings:
            endings.write(f"{name}\n")
    write(f"goodbye from {name}")


def run() -> None:
    from dragoman.main import main
    from local.fork_server import ForkServer
    from local.up_plan import PlannedProcess

    def command(part: PlannedProcess) -> list[str]:
        return [sys.executable, "-IS", __file__, "fake", part.name]

    PlannedProcess.command = property(command)  # type: ignore[assignment,method-assign]
    ForkServer.is_supported = staticmethod(lambda: False)  # type: ignore[method-assign]
    main()


if sys.argv[1] == "fake":
    serve(sys.argv[2])
else:
    run()
