"""Resumable uploads on a whole system: another edge continues them.

tests/unit/services/edge/media/test_resumable.py tests their rules with files in a directory and in a bucket.
"""

import json
import socket
import time
from base64 import b64encode
from collections.abc import Mapping
from contextlib import closing
from hashlib import sha256
from http.client import HTTPConnection
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest

from tests.support.cluster import Cluster
from tests.support.waiting import WAIT_SECONDS
from tests.system.users import NativeUser

pytestmark = pytest.mark.xdist_group("system")

CONTENT = bytes(range(256)) * 80_000
"""20 MB, which is more than two parts of an upload."""
PART = 8 * 1024 * 1024
NAME = "filename " + b64encode(b"holiday.mp4").decode()
TUS = {"Tus-Resumable": "1.0.0"}
OCTETS = "application/offset+octet-stream"


class Reply(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes


class Uploader:
    """Sends the upload requests of one account."""

    def __init__(self, edge: str) -> None:
        with NativeUser(edge) as user:
            user.register()
            self.number, self._token = user.number, user.token

    def request(self, edge: str, method: str, path: str, body: bytes = b"", **headers: str) -> Reply:
        named = {
            **TUS,
            "Authorization": f"Bearer {self._token}",
            **{key.replace("_", "-"): headers[key] for key in headers},
        }
        with closing(HTTPConnection(urlsplit(edge).netloc, timeout=WAIT_SECONDS)) as connection:
            connection.request(method, path, body, named)
            reply = connection.getresponse()
            return Reply(reply.status, {name.lower(): value for name, value in reply.getheaders()}, reply.read())

    def create(self, edge: str, length: int = len(CONTENT)) -> str:
        """Creates an upload, and returns its address."""
        reply = self.request(edge, "POST", "/media/uploads", Upload_Length=str(length), Upload_Metadata=NAME)
        assert (reply.status, reply.body) == (201, b"")
        return reply.headers["location"]

    def patch(self, edge: str, path: str, offset: int, body: bytes) -> Reply:
        headers = {"Content_Type": OCTETS, "Upload_Offset": str(offset), "Accept": "application/json"}
        return self.request(edge, "PATCH", path, body, **headers)

    def offset(self, edge: str, path: str) -> int:
        reply = self.request(edge, "HEAD", path)
        assert reply.status == 200
        return int(reply.headers["upload-offset"])

    def await_offset(self, edge: str, path: str, least: int) -> int:
        deadline = time.monotonic() + WAIT_SECONDS
        while (offset := self.offset(edge, path)) < least:
            assert time.monotonic() < deadline, offset
            time.sleep(0.05)
        return offset

    def begin(self, edge: str, path: str, body: bytes) -> socket.socket:
        """Sends a request for the whole file, but only a part of its content."""
        address = urlsplit(edge)
        head = [
            f"PATCH {path} HTTP/1.1", f"Host: {address.netloc}", f"Authorization: Bearer {self._token}",
            f"Content-Length: {len(CONTENT)}", "Upload-Offset: 0", f"Content-Type: {OCTETS}", "Tus-Resumable: 1.0.0",
            "", "",
        ]  # fmt: skip
        connection = socket.create_connection((address.hostname, address.port), WAIT_SECONDS)
        connection.sendall("\r\n".join(head).encode() + body)
        return connection


def require_file(uploader: Uploader, edges: list[str], last: Reply) -> None:
    """Checks that the reply names the file, and that all edges serve it."""
    stored = json.loads(last.body)
    assert (last.status, stored["name"], stored["size"]) == (200, "holiday.mp4", len(CONTENT))
    assert stored["hash"] == sha256(CONTENT).hexdigest()
    for edge in edges:
        assert uploader.request(edge, "GET", f"/media/{stored['id']}").body == CONTENT


def test_an_upload_that_breaks_off_goes_on_at_the_other_edge(system: Cluster) -> None:
    here, there = system.edges
    uploader = Uploader(here)
    path = uploader.create(here)
    with uploader.begin(here, path, CONTENT[:12_000_000]):
        pass
    # the edge may not have read the last bytes that the uploader sent
    offset = uploader.await_offset(there, path, 11_500_000)
    assert offset <= 12_000_000
    last = uploader.patch(there, path, offset, CONTENT[offset:])
    require_file(uploader, system.edges, last)
    again = uploader.patch(here, path, len(CONTENT), b"")
    assert (again.status, json.loads(again.body)["id"]) == (200, json.loads(last.body)["id"])


def test_an_upload_goes_on_when_its_edge_is_killed(system: Cluster) -> None:
    here, there = system.edges
    uploader = Uploader(there)
    path = uploader.create(here)
    with uploader.begin(here, path, CONTENT[:12_000_000]):
        uploader.await_offset(there, path, PART)
        system.kill("edge-1")
    offset = uploader.offset(there, path)
    assert PART <= offset < 12_000_000
    require_file(uploader, [there], uploader.patch(there, path, offset, CONTENT[offset:]))
    system.wait_for_edges(WAIT_SECONDS)
