"""Tests how an upload goes on after a rejected request."""

import asyncio
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

import pytest

from dragoman_client.client.connection import CommandRejected
from dragoman_client.client.uploads import FileUpload

_FILE = b'{"url": "/media/1", "name": "a", "size": 1, "hash": "", "mime": "", "id": "1"}'
_REJECTION = b'{"error": "unauthenticated", "text": "the token has expired"}'


class _Server(BaseHTTPRequestHandler):
    """Takes no bytes with the token `old`, which expires while they are sent."""

    def do_POST(self) -> None:
        self._respond(201, b"", Location="/media/uploads/1")

    def do_HEAD(self) -> None:
        self._respond(200, b"", **{"Upload-Offset": "0"})

    def do_PATCH(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        is_old = self.headers["Authorization"] == "Bearer old"
        self._respond(*((401, _REJECTION) if is_old else (200, _FILE)))

    def _respond(self, status: int, body: bytes, **headers: str) -> None:
        self.send_response(status)
        for name, value in ({"Content-Length": str(len(body))} | headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        return


@pytest.fixture
def address() -> Iterator[str]:
    with HTTPServer(("127.0.0.1", 0), _Server) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"ws://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def upload(address: str, folder: Path, tokens: list[str]) -> str:
    """Uploads a file. The token is the next one of `tokens` at each look, and at last the last one."""
    path = folder / "a"
    path.write_bytes(b"a")
    sent = FileUpload(address, path, "", "n", lambda *_: None).send(lambda: tokens.pop(0) if tokens[1:] else tokens[0])
    return asyncio.run(sent)["id"]


def test_an_upload_goes_on_with_the_token_that_has_replaced_its_own(address: str, tmp_path: Path) -> None:
    assert upload(address, tmp_path, ["old", "old", "new"]) == "1"


def test_an_upload_ends_when_its_token_is_rejected(address: str, tmp_path: Path) -> None:
    with pytest.raises(CommandRejected, match="expired"):
        upload(address, tmp_path, ["old"])
