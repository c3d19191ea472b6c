import asyncio
import gzip
import json
import resource
from hashlib import sha256
from urllib.parse import quote

import pytest

from services.edge.http.responses import STATUS
from services.edge.identicons import avatar_png
from shared.contract.bots import TokenScope
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.ids import AccountId
from tests.unit.services.edge.gateway.raw import RawPeer
from tests.unit.services.edge.http.conftest import LIMIT, HttpSite
from tests.unit.services.edge.http.http_client import HttpReply, head_of, request

PNG = avatar_png("account", 7)
RATES = {
    "limits": {"rates": True, "requests_per_second": 0.001, "requests_burst": 3},
    "edge": {"trusted_proxies": ["127.0.0.0/8"]},
}
SIDE = int.from_bytes(PNG[16:20], "big")


def error_code(reply: HttpReply) -> str:
    """Returns the code of an error, which must be well-formed."""
    assert reply.headers["content-type"] == "application/json"
    assert reply.headers["cache-control"] == "no-store"
    error = json.loads(reply.body)
    assert error.keys() == {"error", "text"}
    assert error["text"]
    return str(error["error"])


def upload_head(size: int, **headers: str) -> bytes:
    """Returns the head of an upload whose body follows."""
    return request("POST", "/media", b"", Authorization="Bearer token-1", Content_Length=str(size), **headers)


async def test_a_bot_needs_the_scope_send(site: HttpSite) -> None:
    for scopes, status in (({TokenScope.READ, TokenScope.MANAGE}, 403), (set(), 403), ({TokenScope.SEND}, 201)):
        site.tokens.scopes = frozenset(scopes)
        assert (await site.post(PNG)).status == status


async def test_a_picture(site: HttpSite) -> None:
    reply = await site.post(PNG, "?name=" + quote("我的 头像.png"))
    assert reply.status == 201
    stored = json.loads(reply.body)
    assert stored == {
        "url": f"http://chat.test:8080/media/{stored['id']}", "name": "我的 头像.png", "size": len(PNG),
        "hash": sha256(PNG).hexdigest(), "mime": "image/png", "id": stored["id"],
        "width": SIDE, "height": SIDE,
    }  # fmt: skip
    assert reply.headers["location"] == f"/media/{stored['id']}"
    assert (await site.fetch("GET", f"/media/{stored['id']}")).body == PNG
    assert site.registry.get_sample_value("dragoman_edge_media_kept_total", {"kind": "image"}) == 1
    await site.until_temporary_files(0)


async def test_a_file_under_a_nonce_is_stored_once(site: HttpSite) -> None:
    both = await asyncio.gather(*(site.post(PNG, "?name=a.png&nonce=n1") for _ in range(2)))
    again = await site.post(PNG, "?name=a.png&nonce=n1")
    assert {(reply.status, reply.body) for reply in (*both, again)} == {(201, again.body)}
    for body, query in ((b"other", "?name=a.png&nonce=n1"), (PNG, "?name=b.png&nonce=n1")):
        other = await site.post(body, query)
        assert (other.status, error_code(other)) == (409, "conflict")
    assert (await site.post(b"other", "?nonce=n2")).status == 201
    assert error_code(await site.post(PNG, "?nonce=" + "n" * 65)) == "invalid"


async def test_a_file_in_chunks_without_a_name(site: HttpSite) -> None:
    body = b"5\r\nhello\r\n6\r\n world\r\n0\r\n\r\n"
    reply = await site.post(body, Transfer_Encoding="chunked")
    stored = json.loads(reply.body)
    assert (reply.status, stored["size"], stored["name"]) == (201, 11, f"file-{stored['id']}")
    assert (await site.fetch("GET", f"/media/{stored['id']}")).body == b"hello world"


@pytest.mark.parametrize(
    ("query", "name"),
    [("?name=..%2f..%2fetc%2fpasswd", "passwd"), ("?name=a%0d%0aSet-Cookie:%20b", "aSet-Cookie: b"),
     ("?name=x%00.png&name=y", "x.png"), ("?other=1&name=a%7Cb", "a|b")],
)  # fmt: skip
async def test_a_name_is_sanitized(site: HttpSite, query: str, name: str) -> None:
    reply = await site.post(PNG, query)
    stored = json.loads(reply.body)
    assert stored["name"] == name
    assert (await site.fetch("GET", f"/media/{stored['id']}")).status == 200


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic dG9rZW4tMTo=", "token-1", "Bearer wrong"])
async def test_a_valid_token_is_required(site: HttpSite, header: str | None) -> None:
    reply = await site.fetch("POST", "/media", PNG, **({} if header is None else {"Authorization": header}))
    assert (reply.status, error_code(reply)) == (401, "unauthenticated")
    assert reply.headers["www-authenticate"] == "Bearer"
    assert site.temporary_files() == 0


async def test_a_pasted_error_is_no_token(site: HttpSite) -> None:
    reply = await site.fetch("POST", "/media", PNG, Authorization='Bearer {"error":{"code":"conflict"}}')
    assert (reply.status, json.loads(reply.body)["text"]) == (401, "this is no token")


async def test_without_auth_uploads_are_unavailable(site: HttpSite) -> None:
    site.tokens.away = True
    reply = await site.post(PNG)
    assert (reply.status, error_code(reply), reply.headers["retry-after"]) == (503, "unavailable", "5")


async def test_a_token_revoked_during_the_upload_is_rejected(site: HttpSite) -> None:
    async with await RawPeer.dial(site.port) as peer:
        peer.send(upload_head(10), b"12345")
        await site.until_temporary_files(1)
        site.tokens.revoked.add("token-1")
        peer.send(b"67890")
        assert (await head_of(peer)).status == 401
    await site.until_temporary_files(0)
    assert list((site.directory / "blobs").iterdir()) == []


async def test_the_largest_file(site: HttpSite) -> None:
    reply = await site.post(bytes(LIMIT))
    assert (reply.status, json.loads(reply.body)["size"]) == (201, LIMIT)


@pytest.mark.parametrize("cut", [-4, -3, -2, -1, 0])
async def test_a_large_body_may_arrive_with_a_part_of_its_head(site: HttpSite, cut: int) -> None:
    """The size limit for heads does not count the body."""
    head, body = upload_head(100_000), bytes(100_000)
    async with await RawPeer.dial(site.port) as peer:
        peer.send(head[: cut or None])
        await asyncio.sleep(0.02)
        peer.send(head[len(head) + cut :] if cut else b"", body)
        assert (await head_of(peer)).status == 201


async def test_a_file_over_the_limit_is_rejected_before_it_is_read(site: HttpSite) -> None:
    async with await RawPeer.dial(site.port) as peer:
        peer.send(upload_head(LIMIT + 1, Expect="100-continue"))
        reply = await head_of(peer)
        assert (reply.status, reply.headers["connection"]) == (413, "close")
        async with asyncio.timeout(1):  # the response must not wait for the body
            reply.body = await peer.rest()
        assert error_code(reply) == "too_large"


async def test_the_error_reaches_a_client_that_sends_everything_first(site: HttpSite) -> None:
    reply = await site.post(bytes(5 * LIMIT))
    assert (reply.status, error_code(reply)) == (413, "too_large")


async def test_a_chunked_file_over_the_limit_is_rejected(site: HttpSite) -> None:
    chunk = b"%x\r\n%b\r\n" % (100_000, bytes(100_000))
    reply = await site.post(chunk * (LIMIT // 100_000 + 1) + b"0\r\n\r\n", Transfer_Encoding="chunked")
    assert (reply.status, error_code(reply)) == (413, "too_large")
    await site.until_temporary_files(0)


async def test_a_file_may_be_empty(site: HttpSite) -> None:
    for headers, body in (({"Content_Length": "0"}, b""), ({"Transfer_Encoding": "chunked"}, b"0\r\n\r\n")):
        reply = await site.post(body, **headers)
        stored = json.loads(reply.body)
        assert (reply.status, stored["size"], stored["hash"]) == (201, 0, sha256(b"").hexdigest())
        loaded = await site.fetch("GET", f"/media/{stored['id']}")
        assert (loaded.status, loaded.headers["content-length"], loaded.body) == (200, "0", b"")


@pytest.mark.parametrize(
    ("headers", "word"),
    [
        ({"Content_Type": "multipart/form-data; boundary=x"}, "form"), ({"Content_Type": "Multipart/Mixed"}, "form"),
        ({"Content_Encoding": "gzip"}, "Content-Encoding"),
        ({"Transfer_Encoding": "gzip, chunked"}, "Content-Encoding"),
    ],
)  # fmt: skip
async def test_a_body_that_is_not_the_file_itself(site: HttpSite, headers: dict[str, str], word: str) -> None:
    body = b"1\r\nx\r\n0\r\n\r\n" if "Transfer_Encoding" in headers else b"x"
    reply = await site.post(body, **headers)
    assert (reply.status, error_code(reply)) == (415, "invalid")
    assert word in json.loads(reply.body)["text"]


@pytest.mark.parametrize("name", ["Transfer-Encoding", "Content-Encoding"])
async def test_a_coding_may_be_in_a_header_of_its_own(site: HttpSite, name: str) -> None:
    head = request("POST", "/media", b"", Transfer_Encoding="chunked", Authorization="Bearer token-1")
    async with await RawPeer.dial(site.port) as peer:
        plain = b"" if name == "Transfer-Encoding" else b"Content-Encoding: identity\r\n"
        peer.send(
            head.replace(b"Transfer-", b"%b: gzip\r\n%bTransfer-" % (name.encode(), plain), 1), b"1\r\nx\r\n0\r\n\r\n"
        )
        assert (await head_of(peer)).status == 415


async def test_a_compressed_file_is_a_file(site: HttpSite) -> None:
    reply = await site.post(gzip.compress(b"x"), Content_Type="application/gzip", Content_Encoding="identity")
    assert (reply.status, json.loads(reply.body)["mime"]) == (201, "application/gzip")


async def test_a_request_without_a_file(site: HttpSite) -> None:
    reply = await site.post(b"")
    assert (reply.status, error_code(reply)) == (400, "invalid")


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "DELETE", "OPTIONS"])
async def test_only_post_is_allowed(site: HttpSite, method: str) -> None:
    reply = await site.fetch(method, "/media", Authorization="Bearer token-1")
    assert (reply.status, reply.headers["allow"]) == (405, "POST")


async def test_a_full_disk(site: HttpSite) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        reply = await site.post(bytes(100_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (reply.status, error_code(reply)) == (503, "unavailable")
    await site.until_temporary_files(0)
    assert (await site.post(bytes(100_000))).status == 201


async def test_a_disconnect_removes_the_temporary_file(site: HttpSite) -> None:
    for leave in (RawPeer.reset, RawPeer.end_writing):
        async with await RawPeer.dial(site.port) as peer:
            peer.send(upload_head(1000), b"half")
            await site.until_temporary_files(1)
            leave(peer)
            await site.until_temporary_files(0)


@pytest.mark.parametrize("stall_seconds", [1.0])
async def test_a_stalled_upload_is_dropped(site: HttpSite) -> None:
    async with await RawPeer.dial(site.port) as peer:
        peer.send(upload_head(1000), b"half")
        await site.until_temporary_files(1)
        assert await peer.rest() == b""
    await site.until_temporary_files(0)


@pytest.mark.parametrize("sections", [RATES])
async def test_an_account_is_rate_limited(site: HttpSite) -> None:
    """The rate counts the account's uploads from all addresses together."""
    answers = [await site.post(PNG, X_Forwarded_For=f"192.0.2.{number}") for number in range(4)]
    assert [reply.status for reply in answers] == [201, 201, 201, 429]
    assert error_code(answers[3]) == "rate_limited"


@pytest.mark.parametrize("addresses", [["192.0.2.9"] * 4, [f"2001:db8::{number}" for number in range(4)]])
@pytest.mark.parametrize("sections", [RATES])
async def test_an_address_or_ipv6_subscriber_is_rate_limited(site: HttpSite, addresses: list[str]) -> None:
    """Requests with invalid tokens also count."""
    tokens = ("wrong", "token-1", "token-2", "token-3")
    clients = zip(tokens, addresses, strict=True)
    answers = [await site.post(PNG, token=token, X_Forwarded_For=address) for token, address in clients]
    assert [reply.status for reply in answers] == [401, 201, 201, 429]
    assert (await site.post(PNG, X_Forwarded_For="192.0.2.10")).status == 201


@pytest.mark.parametrize("sections", [{"media": {"account_bytes_per_day": 10}}])
async def test_an_unfinished_upload_takes_no_more_than_the_account_s_quota(site: HttpSite) -> None:
    reply = await site.post(b"12345678901")
    assert (reply.status, error_code(reply)) == (403, "limit")
    assert (await site.post(b"1234567890")).status == 201


async def test_beyond_the_quota_no_body_is_awaited(site: HttpSite, monkeypatch: pytest.MonkeyPatch) -> None:
    async def reject(_account: AccountId) -> None:
        raise RequestError(ErrorCode.LIMIT, "nothing more today")

    monkeypatch.setattr(site.media, "check_quota", reject)
    async with await RawPeer.dial(site.port) as peer:
        peer.send(upload_head(10))
        assert (await head_of(peer)).status == 403


@pytest.mark.parametrize("sections", [{"edge": {"public_url": "https://files.example.com/"}}])
async def test_the_url_is_the_public_one(site: HttpSite) -> None:
    stored = json.loads((await site.post(PNG)).body)
    assert stored["url"] == f"https://files.example.com/media/{stored['id']}"


@pytest.mark.parametrize("sections", [{"edge": {"trusted_proxies": ["127.0.0.0/8"]}}])
async def test_the_url_is_as_secure_as_the_client_s_connection(site: HttpSite) -> None:
    stored = json.loads((await site.post(PNG, X_Forwarded_For="192.0.2.1", X_Forwarded_Proto="https")).body)
    assert stored["url"] == f"https://chat.test:8080/media/{stored['id']}"


def test_every_error_has_its_status() -> None:
    assert set(STATUS) == set(ErrorCode)
