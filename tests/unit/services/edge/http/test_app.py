import asyncio
import http.client
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from services.edge.gateway import Gateway
from services.edge.http import HttpApp, VerificationResult
from services.edge.http.downloads import Downloads
from services.edge.http.uploads import HttpUploads
from services.edge.identicons import avatar_hash, avatar_path
from services.edge.media import MediaService
from services.edge.media.directory import DirectoryStore
from services.edge.media.disk import Disk
from services.edge.metrics import EdgeMetrics
from shared.contract.errors import ErrorCode, RequestError
from shared.settings import Edge, Limits, Settings
from shared.tokens import BadToken, Claims
from tests.unit.services.edge.gateway.recording import Recorder


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes


class Links:
    """What auth would say; `opened` are the links that were asked about."""

    def __init__(self, outcome: VerificationResult | None) -> None:
        self._outcome = outcome
        self.opened: list[tuple[str, str]] = []

    async def open(self, ticket: str, code: str) -> VerificationResult:
        self.opened.append((ticket, code))
        if self._outcome is None:
            raise RequestError(ErrorCode.UNAVAILABLE, "no answer in time")
        return self._outcome


def app(links: Links) -> HttpApp:
    """Without any file."""
    settings, disk = Settings(media={"directory": "/nowhere"}), Disk()
    room = MediaService(DirectoryStore(Path("/nowhere"), disk), settings, EdgeMetrics(CollectorRegistry()), disk)
    return HttpApp(links.open, Downloads(room), HttpUploads(room, check, settings))


async def check(_token: str, _seconds: float) -> Claims:
    raise BadToken("none is good")


async def ask(path: str, method: str = "GET", links: Links | None = None, **headers: str) -> Answer:
    sent: list[Mapping[str, Any]] = []

    async def send(message: Mapping[str, Any]) -> None:
        sent.append(message)

    async def receive() -> Mapping[str, Any]:
        return {"type": "http.disconnect"}

    named = [(name.replace("_", "-").encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "method": method, "path": path, "headers": named}
    await app(links or Links("passed"))(scope, receive, send)
    start, body = sent
    answered = {name.decode(): value.decode() for name, value in start["headers"]}
    return Answer(start["status"], answered, body["body"])


@pytest.mark.parametrize("path", [avatar_path("account", 1), avatar_path("chat", 2**53 - 1)])
async def test_avatars(path: str) -> None:
    answer = await ask(path)
    assert answer.status == 200
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["content-length"] == str(len(answer.body))
    assert "immutable" in answer.headers["cache-control"]
    kind, number = ("account", 1) if "account" in path else ("chat", 2**53 - 1)
    assert sha256(answer.body).hexdigest() == avatar_hash(kind, number)


async def test_an_avatar_that_is_known_is_not_sent_again() -> None:
    tag = (await ask(avatar_path("account", 1))).headers["etag"]
    again = await ask(avatar_path("account", 1), if_none_match=f'W/"other", {tag}')
    assert (again.status, again.body, again.headers["etag"]) == (304, b"", tag)
    other = await ask(avatar_path("account", 2), if_none_match=tag)
    assert other.status == 200


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_head_is_answered_as_a_get(method: str) -> None:
    """The server leaves the body out."""
    answer = await ask(avatar_path("account", 1), method)
    assert answer.status == 200
    assert int(answer.headers["content-length"]) > 1000


@pytest.mark.parametrize(
    "path",
    [
        "/avatar/account/0.png",
        "/avatar/account/01.png",
        "/avatar/account/-1.png",
        "/avatar/account/1",
        "/avatar/account/1.png/",
        "/avatar/account/1.png\n",
        "/avatar/account/٣.png",
        "/avatar/account/12345678901234567890.png",
        "/avatar/person/1.png",
        "/avatar/",
        "/verify/",
        "/verify/ticket",
        "/verify/a.b.c",
        "/verify/a/b.c",
        "/verify/" + "x" * 129 + ".code",
        "/favicon.ico",
        "//",
        "",
        "/../etc/passwd",
    ],
)
async def test_all_else_is_not_found(path: str) -> None:
    links = Links("passed")
    answer = await ask(path, links=links)
    assert (answer.status, answer.body) == (404, b"Not found.\n")
    assert links.opened == []


async def test_the_greeting() -> None:
    answer = await ask("/")
    assert answer.status == 200
    assert b"chat server" in answer.body
    assert answer.headers["content-type"] == "text/plain; charset=utf-8"


async def test_an_address_of_websockets_says_so() -> None:
    answer = await ask("/ws/ourchat-v2")
    assert (answer.status, answer.headers["upgrade"]) == (426, "websocket")
    assert (await ask("/wsx")).status == 404


@pytest.mark.parametrize(("outcome", "status"), [("passed", 200), ("wrong", 403), ("expired", 410), (None, 503)])
async def test_the_link_of_a_verification_mail(outcome: VerificationResult | None, status: int) -> None:
    links = Links(outcome)
    answer = await ask("/verify/ti-ck_et.C0de", links=links)
    assert links.opened == [("ti-ck_et", "C0de")]
    assert answer.status == status
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store"
    assert ("retry-after" in answer.headers) == (status == 503)
    assert b"C0de" not in answer.body


async def test_each_outcome_has_words_of_its_own() -> None:
    outcomes: list[VerificationResult | None] = ["passed", "wrong", "expired", None]
    pages = {(await ask("/verify/a.b", links=Links(outcome))).body for outcome in outcomes}
    assert len(pages) == 4


async def test_only_a_get_opens_a_link() -> None:
    for method in ("HEAD", "POST", "OPTIONS"):
        links = Links("passed")
        answer = await ask("/verify/a.b", method, links=links)
        assert (answer.status, answer.headers["allow"], links.opened) == (405, "GET", [])


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "get"])
async def test_nothing_can_be_changed(method: str) -> None:
    answer = await ask(avatar_path("account", 1), method)
    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")
    assert (await ask("/nowhere", method)).status == 404


@pytest.mark.parametrize("path", ["/", "/nowhere", avatar_path("chat", 1), "/verify/a.b", "/ws"])
async def test_every_answer_keeps_browsers_careful(path: str) -> None:
    headers = (await ask(path)).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["content-security-policy"].startswith("default-src 'none'")
    assert headers["referrer-policy"] == "no-referrer"


async def test_a_browser_sees_it_on_the_port_of_the_websockets() -> None:
    gateway = Gateway(Edge(port=0), Limits(), Recorder(), app(Links("wrong")))
    await gateway.start()

    def browse() -> list[tuple[int, int]]:
        connection = http.client.HTTPConnection("127.0.0.1", gateway.port, timeout=5)
        seen, tag = [], ""
        for method, path in (("GET", "/avatar/chat/1.png"), ("HEAD", "/avatar/chat/1.png"), ("GET", "/verify/a.b")):
            connection.request(method, path)
            response = connection.getresponse()
            seen.append((response.status, len(response.read())))
            tag = response.headers["etag"] or tag
        connection.request("GET", "/avatar/chat/1.png", headers={"If-None-Match": tag})
        response = connection.getresponse()
        seen.append((response.status, len(response.read())))
        connection.close()
        return seen

    try:
        (first, *rest) = await asyncio.to_thread(browse)
    finally:
        await gateway.close()
    assert first[0] == 200
    assert first[1] > 1000
    assert [rest[0], rest[1][0], rest[2]] == [(200, 0), 403, (304, 0)]
