"""`dragoman` with tiny programs in the services' places: they answer /readyz, say hello, and take their time to end.

Run as a script with dragoman's own arguments.
"""

import http.server
import signal
import socketserver
import sys
import threading
from os import environ


class Ready(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Quiet."""


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = True
    daemon_threads = True


def say(text: str) -> None:
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


def stand_in(name: str) -> None:
    say(f"hello from {name} on {environ.get('DRAGOMAN_EDGE__PORT', 'no port')}")
    server = Server(("127.0.0.1", int(environ["DRAGOMAN_OPS__PORT"])), Ready)
    if "STUBBORN" in environ:
        signal.signal(signal.SIGTERM, lambda *_: say(f"not yet, says {name}"))
    else:
        signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    server.serve_forever(0.05)
    say(f"goodbye from {name}")


def run() -> None:
    from services.cli.main import main
    from services.cli.up_plan import PlannedProcess

    def command(part: PlannedProcess) -> list[str]:
        return [sys.executable, __file__, "stand-in", part.name]

    PlannedProcess.command = property(command)  # type: ignore[assignment,method-assign]
    main()


if sys.argv[1] == "stand-in":
    stand_in(sys.argv[2])
else:
    run()
