"""A program that receives the requests of an outgoing webhook: an HTTP server that stores them."""

import base64
import hashlib
import hmac
import json
import ssl
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

from tests.support.waiting import WAIT_SECONDS


class Received(NamedTuple):
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def number(self) -> str:
        return self.headers["webhook-id"]

    @property
    def event(self) -> dict[str, Any]:
        event: dict[str, Any] = json.loads(self.body)
        return event

    def is_signed_by(self, secret: str) -> bool:
        """Checks the signature as a receiver does. Follows only the text of Standard Webhooks."""
        signed = b".".join([self.number.encode(), self.headers["webhook-timestamp"].encode(), self.body])
        digest = hmac.new(base64.b64decode(secret[len("whsec_") :]), signed, hashlib.sha256).digest()
        return self.headers["webhook-signature"].split(",") == ["v1", base64.b64encode(digest).decode()]


class WebhookReceiver:
    """A receiver.

    It listens while its context lasts, each time on the same port. `status_of` returns the status of each response.
    """

    def __init__(self, status_of: Callable[[Received], int] = lambda _: 200, tls: ssl.SSLContext | None = None) -> None:
        self.status_of = status_of
        self.received: list[Received] = []
        self.headers: dict[str, str] = {}
        """The headers of the responses."""
        self.port = 0
        self.begun = threading.Event()
        """Is set when a request has arrived, even if it has no response yet."""
        self._tls = tls
        self._arrived = threading.Condition()

    def __enter__(self) -> "WebhookReceiver":
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                fields = {name.lower(): value for name, value in self.headers.items()}
                status = receiver._receive(Received(self.path, fields, body))
                self.send_response(status)
                for name, value in receiver.headers.items():
                    self.send_header(name, value)
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Logs nothing to the terminal."""

        self._server = ThreadingHTTPServer(("127.0.0.1", self.port), Handler)
        self._server.daemon_threads = True
        if self._tls is not None:
            self._server.socket = self._tls.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="webhook receiver")
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def url(self, host: str = "127.0.0.1", path: str = "/listen?key=1") -> str:
        return f"{'http' if self._tls is None else 'https'}://{host}:{self.port}{path}"

    def _receive(self, request: Received) -> int:
        self.begun.set()
        status = self.status_of(request)
        with self._arrived:
            self.received.append(request)
            self._arrived.notify_all()
        return status

    def wait(self, condition: Callable[[list[Received]], object]) -> list[Received]:
        """Waits until the condition holds, and returns the received requests. Blocks."""
        with self._arrived:
            assert self._arrived.wait_for(lambda: condition(self.received), WAIT_SECONDS), self.received
            return list(self.received)
