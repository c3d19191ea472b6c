"""Tests the first page on a real port: its files, and which requests may kill a process."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from services.edge.http.first_page import FirstPage
from services.edge.http.web_files import FIRST_PAGE, WebFiles
from shared.settings.edge import EdgeSettings
from tests.unit.services.edge.gateway.conftest import pytest_asyncio_loop_factories
from tests.unit.services.edge.http.conftest import FakeLinks
from tests.unit.services.edge.http.http_client import HttpReply, fetch
from tests.unit.services.edge.http.test_app import app, gateway_of

__all__ = ["pytest_asyncio_loop_factories"]

HOST = "localhost:8080"
ORIGIN = f"http://{HOST}"
WANTED = {"kill": "message", "token": "t"}


class FakeSupervisor:
    """A fake supervisor that records the requests. `reply` is the line with which it replies."""

    def __init__(self) -> None:
        self.requests: list[dict[str, Any]] = []
        self.reply: dict[str, Any] = {
            "processes": [{"name": "message", "ready": True, "starts": 2}],
            "ready_seconds": 4,
            "dashboard": 8090,
        }

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.requests.append(json.loads(await reader.readline()))
        writer.write(json.dumps(self.reply).encode() + b"\n")
        writer.close()


@pytest.fixture
def supervisor() -> FakeSupervisor:
    return FakeSupervisor()


@pytest.fixture
async def port(supervisor: FakeSupervisor) -> AsyncIterator[int]:
    async with await asyncio.start_server(supervisor.serve, "127.0.0.1", 0) as server:
        settings = EdgeSettings(
            port=0, demo="on", supervisor_port=server.sockets[0].getsockname()[1], allowed_origins=[ORIGIN]
        )
        gateway = gateway_of(app(FakeLinks(None), FirstPage(settings)), settings)
        await gateway.start()
        yield gateway.port
        await gateway.close()


async def read(port: int, path: str, method: str = "GET", host: str = HOST, **headers: str) -> HttpReply:
    return await fetch(port, method, path, b"", Host=host, **headers)


async def kill(port: int, body: bytes = b"", host: str = HOST, origin: str = ORIGIN) -> HttpReply:
    return await fetch(port, "POST", "/web/api/kill", body or json.dumps(WANTED).encode(), Host=host, Origin=origin)


async def test_the_page_may_load_nothing_from_elsewhere(port: int) -> None:
    reply = await read(port, "/")
    assert reply.status == 200
    assert reply.headers["content-type"] == "text/html; charset=utf-8"
    policy = reply.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:;")
    assert "unsafe" not in policy
    assert b"http://" not in reply.body.replace(b"http://www.w3.org", b"")


async def test_a_file_is_sent_once_and_compressed(port: int) -> None:
    plain = await read(port, "/web/first_page.js")
    small = await read(port, "/web/first_page.js", Accept_Encoding="gzip, br")
    assert plain.headers["content-type"] == "text/javascript; charset=utf-8"
    assert gzip.decompress(small.body) == plain.body
    for rejected in ("identity, gzip;q=0", "gzip; q=0.000, br"):
        assert (await read(port, "/web/first_page.js", Accept_Encoding=rejected)).body == plain.body
    assert (await read(port, "/web/first_page.js", Accept_Encoding="br, gzip;q=0.5")).body == small.body
    assert plain.headers["etag"] == small.headers["etag"]
    assert plain.headers["etag"].startswith('W/"')
    same = await read(port, "/web/first_page.js", If_None_Match=plain.headers["etag"])
    assert (same.status, same.body) == (304, b"")
    assert "immutable" not in plain.headers["cache-control"]


def test_all_files_take_less_than_40_kb() -> None:
    files, headers = WebFiles(), {"accept-encoding": "gzip"}
    paths = ["/", *(f"/web/{path.relative_to(FIRST_PAGE)}" for path in FIRST_PAGE.rglob("*"))]
    assert 10_000 < sum(len(reply.body) for path in paths if (reply := files.find(path, headers))) < 40_000


@pytest.mark.parametrize(
    "path", ["/web/", "/web/package.json", "/web/../first_page.py", "/web/none.js", "/web/api/none"]
)
async def test_no_other_file(port: int, path: str) -> None:
    assert (await read(port, path)).status == 404


async def test_methods(port: int) -> None:
    assert (await fetch(port, "POST", "/", b"x", Host=HOST)).status == 405
    assert (await read(port, "/web/api/kill")).status == 405
    head = await read(port, "/", "HEAD")
    assert (head.status, int(head.headers["content-length"]) > 1000, head.body) == (200, True, b"")


async def test_the_system_as_the_supervisor_describes_it(port: int) -> None:
    view = json.loads((await read(port, "/web/api/system")).body)
    assert (view["edge"], view["supervised"], view["ready_seconds"]) == ("edge-1", True, 4)
    assert view["dashboard"] == 8090
    assert [one["name"] for one in view["processes"]] == ["message"]


async def test_the_way_of_a_message_is_requested_from_this_page_alone(port: int, supervisor: FakeSupervisor) -> None:
    wanted = {"token": "t", "chat": 5}
    for path, origin, status in (("way", ORIGIN, 200), ("way", "https://x.example", 403), ("kill", ORIGIN, 400)):
        body = json.dumps(wanted).encode()
        assert (await fetch(port, "POST", f"/web/api/{path}", body, Host=HOST, Origin=origin)).status == status
    assert supervisor.requests == [wanted]


async def test_a_kill_reaches_the_supervisor(port: int, supervisor: FakeSupervisor) -> None:
    assert (await kill(port)).status == 200
    assert supervisor.requests == [WANTED]


async def test_a_page_that_makes_its_name_lead_here_reads_nothing(port: int, supervisor: FakeSupervisor) -> None:
    for path in ("/", "/web/api/system"):
        rebound = await read(port, path, host="evil.example:8080")
        assert (rebound.status, b"edge.public_url" in rebound.body) == (421, True)
    assert supervisor.requests == []
    assert (await read(port, "/web/api/system", host="127.0.0.1:8080")).status == 200


@pytest.mark.parametrize(
    ("host", "origin"),
    [
        (HOST, ""),
        (HOST, "null"),
        (HOST, "https://elsewhere.example"),
        ("127.0.0.1:8080", "http://127.0.0.1:8080"),
        ("127.0.0.1:8080", ORIGIN),
        (HOST, f"https://{HOST}"),
    ],
)
async def test_no_other_page_kills(port: int, supervisor: FakeSupervisor, host: str, origin: str) -> None:
    assert (await kill(port, host=host, origin=origin)).status == 403
    assert supervisor.requests == []


@pytest.mark.parametrize(
    "body",
    [
        b"no JSON",
        b"[]",
        b'{"kill": 5}',
        b'{"token": "t"}',
        b'{"kill": "' + b"x" * 5000 + b'"}',
        b'{"kill": "\xff"}',
        b'{"x": ' + b"[" * 2000 + b"]" * 2000 + b"}",
    ],
)
async def test_malformed_kills(port: int, supervisor: FakeSupervisor, body: bytes) -> None:
    assert (await kill(port, body)).status == 400
    assert supervisor.requests == []


@pytest.mark.parametrize(("error", "status"), [("token", 403), ("process", 404)])
async def test_the_supervisor_s_decision(port: int, supervisor: FakeSupervisor, error: str, status: int) -> None:
    supervisor.reply["error"] = error
    reply = await kill(port)
    assert reply.status == status
    assert error in json.loads(reply.body)["error"]


async def test_without_a_supervisor() -> None:
    settings = EdgeSettings(port=0, demo="on", allowed_origins=[ORIGIN])
    gateway = gateway_of(app(FakeLinks(None), FirstPage(settings)), settings)
    await gateway.start()
    view = json.loads((await read(gateway.port, "/web/api/system")).body)
    assert (view["supervised"], view["processes"]) == (False, [])
    assert (await kill(gateway.port)).status == 503
    await gateway.close()


async def test_an_edge_without_the_page_only_greets() -> None:
    settings = EdgeSettings(port=0)
    gateway = gateway_of(app(FakeLinks(None)), settings)
    await gateway.start()
    assert (await read(gateway.port, "/")).body.startswith(b"Dragoman, a chat server.")
    assert (await read(gateway.port, "/web/first_page.js")).status == 404
    await gateway.close()
