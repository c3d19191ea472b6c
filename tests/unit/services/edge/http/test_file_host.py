"""Tests how IRC clients upload files."""

import base64
import json
from email.message import Message
from urllib.parse import urlsplit

import pytest

from services.edge.identicons import avatar_png
from tests.unit.services.edge.http.conftest import LIMIT, HttpSite
from tests.unit.services.edge.http.test_operations import EchoServer

PATH = "/media/filehost"
PNG = avatar_png("account", 7)

pytestmark = pytest.mark.parametrize("sections", [{"edge": {"allowed_origins": ["https://irc.example"]}}])


def basic(text: str) -> str:
    return f"Basic {base64.b64encode(text.encode()).decode()}"


@pytest.fixture
def server(site: HttpSite) -> EchoServer:
    server = EchoServer(site)
    server.replies["login"] = (b'{"re":0,"account":1,"token":"token-1"}',)
    return server


def performed(site: HttpSite) -> list[str]:
    frames = [event for client in site.endpoint.clients for event in client.events if isinstance(event, bytes)]
    return [json.loads(frame)["op"] for frame in frames]


async def test_a_name_and_a_password_log_in_for_one_upload(site: HttpSite, server: EchoServer) -> None:
    described = 'attachment; filename="me at sea.png"'
    reply = await site.fetch("POST", PATH, PNG, Authorization=basic("ann:or:ange"), Content_Disposition=described)
    stored = json.loads(reply.body)
    assert (reply.status, stored["name"], reply.headers["location"]) == (201, "me at sea.png", stored["url"])
    assert (await site.fetch("GET", urlsplit(stored["url"]).path)).body == PNG
    login = json.loads(site.endpoint.clients[0].events[0])  # type: ignore[arg-type]
    assert (login["identifier"], login["secret"]) == ("ann", {"scheme": "plain", "value": "or:ange"})
    assert performed(site) == ["login", "token", "logout"]


@pytest.mark.parametrize("name", ["idna''%FF", "punycode''%FF", "undefined''a", "a; filename*0=b"])
async def test_a_wrong_name_is_left_out(site: HttpSite, server: EchoServer, name: str) -> None:
    described = f"attachment; filename*={name}"
    reply = await site.fetch("POST", PATH, PNG, Authorization="Bearer token-1", Content_Disposition=described)
    assert (reply.status, json.loads(reply.body)["mime"]) == (201, "image/png")


async def test_a_long_name_is_not_parsed_whole(site: HttpSite, monkeypatch: pytest.MonkeyPatch) -> None:
    """The time to parse it grows with the square of its length."""
    parsed = []
    monkeypatch.setattr(Message, "get_filename", lambda message, *_: parsed.append(message["Content-Disposition"]))
    described = f'attachment; filename="{";" * 15_000}'
    reply = await site.fetch("POST", PATH, PNG, Authorization="Bearer wrong", Content_Disposition=described)
    assert (reply.status, [len(one) for one in parsed]) == (401, [1_024])


async def test_a_hash_counts_as_one_as_on_irc(site: HttpSite, server: EchoServer) -> None:
    assert (await site.fetch("POST", PATH, PNG, Authorization=basic(f"ann:{'0A' * 32}"))).status == 201
    login = json.loads(site.endpoint.clients[0].events[0])  # type: ignore[arg-type]
    assert login["secret"] == {"scheme": "sha256", "value": "0A" * 32}


async def test_a_token_needs_no_login(site: HttpSite, server: EchoServer) -> None:
    reply = await site.fetch("POST", PATH, PNG, Authorization="Bearer token-1")
    assert (reply.status, json.loads(reply.body)["mime"]) == (201, "image/png")
    assert performed(site) == []


@pytest.mark.parametrize(
    ("authorization", "login", "status"),
    [
        (basic("ann:no"), b'{"re":0,"error":{"code":"unauthenticated","text":"wrong"}}', 401),
        (basic("ann"), b'{"re":0,"error":{"code":"invalid","text":"no password"}}', 401),
        (basic("ann:orange"), b'{"re":0,"verification":{"id":"7"}}', 401),
        (basic("ann:orange"), b'{"re":0,"error":{"code":"rate_limited","text":"slow down"}}', 429),
        (basic("ann:orange"), b'{"re":0,"error":{"code":"unavailable","text":"later"}}', 503),
        ("Basic !", b"", 401),
        ("Basic /w==", b"", 401),
        ("Bearer wrong", b"", 401),
        ("", b"", 401),
    ],
)
async def test_a_failed_login_stores_nothing(
    site: HttpSite, server: EchoServer, authorization: str, login: bytes, status: int
) -> None:
    server.replies["login"] = (login,)
    assert (await site.fetch("POST", PATH, PNG, Authorization=authorization)).status == status
    assert "logout" not in performed(site)
    assert site.temporary_files() == 0


async def test_the_login_ends_although_the_upload_fails(site: HttpSite, server: EchoServer) -> None:
    reply = await site.fetch("POST", PATH, bytes(LIMIT + 1), Authorization=basic("ann:orange"))
    assert (reply.status, performed(site)) == (413, ["login", "token", "logout"])


@pytest.mark.parametrize(("origin", "readable"), [("https://irc.example", True), ("https://evil.example", False)])
async def test_the_page_of_an_allowed_origin_reads_the_address(
    site: HttpSite, server: EchoServer, origin: str, readable: bool
) -> None:
    preflight = await site.fetch("OPTIONS", PATH, Origin=origin)
    stored = await site.fetch("POST", PATH, PNG, Authorization="Bearer token-1", Origin=origin)
    for reply in (preflight, stored):
        assert reply.headers.get("access-control-allow-origin") == (origin if readable else None)
    assert "Authorization" in preflight.headers["access-control-allow-headers"]
    assert stored.headers.get("access-control-expose-headers") == ("Location" if readable else None)


async def test_a_client_sees_what_it_may_upload(site: HttpSite) -> None:
    reply = await site.fetch("OPTIONS", PATH)
    assert (reply.status, reply.headers["accept-post"]) == (204, "*/*")
