"""Resumable uploads on whole systems: another edge continues them. Files are in a directory, or in a bucket."""

import json
import socket
import time
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import closing
from hashlib import sha256
from http.client import HTTPConnection
from typing import NamedTuple
from urllib.parse import urlsplit

import pytest

from local.process_group import ProcessGroup
from tests.support.cluster import RELAXED, Cluster
from tests.support.servers import S3Server
from tests.support.waiting import WAIT_SECONDS
from tests.system.users import NativeUser

pytestmark = pytest.mark.xdist_group("system")

CONTENT = bytes(range(256)) * 80_000
"""20 MB, which is more than two parts of an upload."""
PART = 8 * 1024 * 1024
DAILY = 50_000_000
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


@pytest.fixture(scope="module")
def bucket_system(tmp_path_factory: pytest.TempPathFactory, process_group: ProcessGroup) -> Iterator[Cluster]:
    """A system with two edges, a bucket, and a quota."""
    directory = tmp_path_factory.mktemp("bucket")
    server = S3Server(directory / "s3", process_group)
    server.start()
    settings = [
        f"media.bucket_url=s3://{server.bucket()}/files", f"media.endpoint={server.endpoint}",
        "media.region=us-east-1", "media.access_key=key", "media.secret_key=hush",
        f"media.account_bytes_per_day={DAILY}",
    ]  # fmt: skip
    arguments = [word for setting in settings for word in ("--set", setting)]
    with Cluster(directory / "data", *RELAXED, *arguments) as cluster:
        yield cluster
    server.stop()


@pytest.fixture(params=["directory", "bucket"])
def cluster(request: pytest.FixtureRequest) -> Cluster:
    found: Cluster = request.getfixturevalue("system" if request.param == "directory" else "bucket_system")
    return found


def require_file(uploader: Uploader, edges: list[str], last: Reply) -> None:
    """Checks that the reply names the file, and that all edges serve it."""
    stored = json.loads(last.body)
    assert (last.status, stored["name"], stored["size"]) == (200, "holiday.mp4", len(CONTENT))
    assert stored["hash"] == sha256(CONTENT).hexdigest()
    for edge in edges:
        assert uploader.request(edge, "GET", f"/media/{stored['id']}").body == CONTENT


def test_an_upload_that_breaks_off_goes_on_at_the_other_edge(cluster: Cluster) -> None:
    here, there = cluster.edges
    uploader = Uploader(here)
    path = uploader.create(here)
    with uploader.begin(here, path, CONTENT[:12_000_000]):
        pass
    # the edge may not have read the last bytes that the uploader sent
    offset = uploader.await_offset(there, path, 11_500_000)
    assert offset <= 12_000_000
    last = uploader.patch(there, path, offset, CONTENT[offset:])
    require_file(uploader, cluster.edges, last)
    again = uploader.patch(here, path, len(CONTENT), b"")
    assert (again.status, json.loads(again.body)["id"]) == (200, json.loads(last.body)["id"])


def test_an_upload_goes_on_when_its_edge_is_killed(cluster: Cluster) -> None:
    here, there = cluster.edges
    uploader = Uploader(there)
    path = uploader.create(here)
    with uploader.begin(here, path, CONTENT[:12_000_000]):
        uploader.await_offset(there, path, PART)
        cluster.kill("edge-1")
    offset = uploader.offset(there, path)
    assert PART <= offset < 12_000_000
    require_file(uploader, [there], uploader.patch(there, path, offset, CONTENT[offset:]))
    cluster.wait_for_edges(WAIT_SECONDS)


def test_an_upload_is_terminated_at_the_other_edge(cluster: Cluster) -> None:
    here, there = cluster.edges
    uploader = Uploader(here)
    path = uploader.create(here, 10)
    assert uploader.patch(here, path, 0, b"12345").status == 204
    assert uploader.request(there, "DELETE", path).status == 204
    assert uploader.patch(here, path, 5, b"67890").status == 404


def test_unfinished_uploads_at_all_edges_stay_within_the_quota(bucket_system: Cluster) -> None:
    here, there = bucket_system.edges
    uploader = Uploader(here)
    uploader.create(here, DAILY - 10)
    reply = uploader.request(there, "POST", "/media/uploads", Upload_Length="11")
    assert (reply.status, json.loads(reply.body)["error"]) == (403, "limit")
    uploader.create(there, 10)
