import asyncio
import json
import resource
from hashlib import sha256
from typing import Any
from urllib.parse import quote

import pytest

from services.edge.http.uploads import _STATUS
from services.edge.identicons import avatar_png
from shared.contract.errors import ErrorCode
from tests.unit.services.edge.gateway.raw import SECONDS, RawPeer
from tests.unit.services.edge.http.browsing import Answer, head_of, request
from tests.unit.services.edge.http.conftest import LIMIT, Site

PNG = avatar_png("account", 7)


def told(answer: Answer) -> str:
    """The error, checked for its form."""
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    error = json.loads(answer.body)
    assert error.keys() == {"error", "text"}
    assert error["text"]
    return str(error["error"])


def uploading(size: int, **headers: str) -> bytes:
    """The head of an upload whose body comes later."""
    return request("POST", "/media", b"", Authorization="Bearer token-1", Content_Length=str(size), **headers)


async def spooled(site: Site, count: int) -> None:
    async with asyncio.timeout(SECONDS):
        while site.spooled() != count:
            await asyncio.sleep(0.01)


async def test_a_picture(site: Site) -> None:
    answer = await site.post(PNG, "?name=" + quote("我的 头像.png"))
    assert answer.status == 201
    kept = json.loads(answer.body)
    assert kept == {
        "url": f"http://chat.test:8080/media/{kept['id']}", "name": "我的 头像.png", "size": len(PNG),
        "hash": sha256(PNG).hexdigest(), "mime": "image/png", "id": kept["id"],
    }  # fmt: skip
    assert answer.headers["location"] == f"/media/{kept['id']}"
    assert (await site.browse("GET", f"/media/{kept['id']}")).body == PNG
    assert site.registry.get_sample_value("dragoman_edge_media_kept_total", {"kind": "image"}) == 1
    await spooled(site, 0)


async def test_a_file_in_chunks_without_a_name(site: Site) -> None:
    body = b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"
    answer = await site.post(body, Transfer_Encoding="chunked")
    kept = json.loads(answer.body)
    assert (answer.status, kept["size"], kept["name"]) == (201, 11, f"file-{kept['id']}")
    assert (await site.browse("GET", f"/media/{kept['id']}")).body == b"hello world"


@pytest.mark.parametrize(
    ("query", "name"),
    [("?name=..%2f..%2fetc%2fpasswd", "passwd"), ("?name=a%0d%0aSet-Cookie:%20b", "aSet-Cookie: b"),
     ("?name=x%00.png&name=y", "x.png"), ("?other=1&name=a%7Cb", "a|b")],
)  # fmt: skip
async def test_a_name_is_made_safe(site: Site, query: str, name: str) -> None:
    answer = await site.post(PNG, query)
    kept = json.loads(answer.body)
    assert kept["name"] == name
    assert (await site.browse("GET", f"/media/{kept['id']}")).status == 200


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic dG9rZW4tMTo=", "token-1", "Bearer wrong"])
async def test_a_good_token_is_needed(site: Site, header: str | None) -> None:
    answer = await site.browse("POST", "/media", PNG, **({} if header is None else {"Authorization": header}))
    assert (answer.status, told(answer)) == (401, "unauthenticated")
    assert answer.headers["www-authenticate"] == "Bearer"
    assert site.spooled() == 0


async def test_without_auth_nothing_is_taken(site: Site) -> None:
    site.tokens.away = True
    answer = await site.post(PNG)
    assert (answer.status, told(answer), answer.headers["retry-after"]) == (503, "unavailable", "5")


async def test_a_token_revoked_meanwhile_is_refused(site: Site) -> None:
    async with await RawPeer.dial(site.port) as peer:
        peer.send(uploading(10), b"12345")
        await spooled(site, 1)
        site.tokens.revoked.add("token-1")
        peer.send(b"67890")
        assert (await head_of(peer)).status == 401
    await spooled(site, 0)
    assert list((site.directory / "blobs").iterdir()) == []


async def test_the_largest_file(site: Site) -> None:
    answer = await site.post(bytes(LIMIT))
    assert (answer.status, json.loads(answer.body)["size"]) == (201, LIMIT)


@pytest.mark.parametrize("cut", [-4, -3, -2, -1, 0])
async def test_a_large_body_may_come_with_a_part_of_its_head(site: Site, cut: int) -> None:
    """Only the head has the limit of a head."""
    head, body = uploading(100_000), bytes(100_000)
    async with await RawPeer.dial(site.port) as peer:
        peer.send(head[: cut or None])
        await asyncio.sleep(0.02)
        peer.send(head[len(head) + cut :] if cut else b"", body)
        assert (await head_of(peer)).status == 201


async def test_a_larger_file_is_refused_before_it_is_read(site: Site) -> None:
    async with await RawPeer.dial(site.port) as peer:
        peer.send(uploading(LIMIT + 1, Expect="100-continue"))
        answer = await head_of(peer)
        assert (answer.status, answer.headers["connection"]) == (413, "close")
        async with asyncio.timeout(1):  # no body is waited for
            answer.body = await peer.rest()
        assert told(answer) == "too_large"


async def test_a_refusal_is_read_also_by_a_client_that_sends_all_first(site: Site) -> None:
    answer = await site.post(bytes(5 * LIMIT))
    assert (answer.status, told(answer)) == (413, "too_large")


async def test_a_larger_file_of_unknown_size_is_refused_when_it_shows(site: Site) -> None:
    chunk = b"%x\r\n%b\r\n" % (100_000, bytes(100_000))
    answer = await site.post(chunk * (LIMIT // 100_000 + 1) + b"0\r\n\r\n", Transfer_Encoding="chunked")
    assert (answer.status, told(answer)) == (413, "too_large")
    await spooled(site, 0)


async def test_an_empty_file_is_refused(site: Site) -> None:
    for answer in (await site.post(b""), await site.post(b"0\r\n\r\n", Transfer_Encoding="chunked")):
        assert (answer.status, told(answer)) == (400, "invalid")


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
async def test_nothing_but_a_post(site: Site, method: str) -> None:
    answer = await site.browse(method, "/media", Authorization="Bearer token-1")
    assert (answer.status, answer.headers["allow"]) == (405, "POST")


async def test_a_full_disk(site: Site) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        answer = await site.post(bytes(100_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (answer.status, told(answer)) == (503, "unavailable")
    await spooled(site, 0)
    assert (await site.post(bytes(100_000))).status == 201


# Clients that leave, stall or want too much


async def test_a_client_that_leaves_leaves_nothing(site: Site) -> None:
    for leave in (RawPeer.reset, RawPeer.end_writing):
        async with await RawPeer.dial(site.port) as peer:
            peer.send(uploading(1000), b"half")
            await spooled(site, 1)
            leave(peer)
            await spooled(site, 0)


async def test_a_client_that_sends_nothing_more_is_dropped(site: Site) -> None:
    async with await RawPeer.dial(site.port) as peer:
        peer.send(uploading(1000), b"half")
        await spooled(site, 1)
        assert await peer.rest() == b""
    await spooled(site, 0)


async def test_an_account_sends_a_few_files_at_a_time(site: Site) -> None:
    peers = [await RawPeer.dial(site.port) for _ in range(4)]
    try:
        for peer in peers:
            peer.send(uploading(10), b"12345")
        await spooled(site, 4)
        answer = await site.post(PNG)
        assert (answer.status, told(answer), answer.headers["retry-after"]) == (429, "rate_limited", "1")
        assert (await site.post(PNG, token="token-2")).status == 201
        peers[0].send(b"67890")
        assert (await head_of(peers[0])).status == 201
        assert (await site.post(PNG)).status == 201
    finally:
        for peer in peers:
            peer.reset()
    await spooled(site, 0)


class TestRates:
    @pytest.fixture
    def sections(self) -> dict[str, Any]:
        return {
            "limits": {"rates": True, "requests_per_second": 0.001, "requests_burst": 3},
            "edge": {"trusted_proxies": ["127.0.0.0/8"]},
        }

    async def test_an_account_waits(self, site: Site) -> None:
        """Whatever addresses it comes from."""
        answers = [await site.post(PNG, X_Forwarded_For=f"192.0.2.{number}") for number in range(4)]
        assert [answer.status for answer in answers] == [201, 201, 201, 429]
        assert told(answers[3]) == "rate_limited"

    async def test_an_address_waits(self, site: Site) -> None:
        """Also with tokens that are no good."""
        tokens = ("wrong", "token-1", "token-2", "token-3")
        answers = [await site.post(PNG, token=token, X_Forwarded_For="192.0.2.9") for token in tokens]
        assert [answer.status for answer in answers] == [401, 201, 201, 429]
        assert (await site.post(PNG, X_Forwarded_For="192.0.2.10")).status == 201


class TestAddress:
    @pytest.fixture
    def sections(self) -> dict[str, Any]:
        return {"edge": {"public_url": "https://files.example.com/"}}

    async def test_it_is_the_public_one(self, site: Site) -> None:
        kept = json.loads((await site.post(PNG)).body)
        assert kept["url"] == f"https://files.example.com/media/{kept['id']}"


class TestProxy:
    @pytest.fixture
    def sections(self) -> dict[str, Any]:
        return {"edge": {"trusted_proxies": ["127.0.0.0/8"]}}

    async def test_the_address_is_as_safe_as_the_client_s_way(self, site: Site) -> None:
        kept = json.loads((await site.post(PNG, X_Forwarded_For="192.0.2.1", X_Forwarded_Proto="https")).body)
        assert kept["url"] == f"https://chat.test:8080/media/{kept['id']}"


def test_every_error_has_its_status() -> None:
    assert set(_STATUS) == set(ErrorCode)
