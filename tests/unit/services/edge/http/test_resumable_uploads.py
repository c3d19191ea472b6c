"""Tests resumable uploads (protocol tus) on one edge: each status, and the state after a disconnect."""

import asyncio
import json
import resource
from base64 import b64encode
from hashlib import sha1, sha256

import pytest

from services.edge import gateway
from services.edge.identicons import avatar_png
from services.edge.media.resumable import PART_BYTES
from services.edge.media.store import UPLOAD_KINDS
from shared.contract.bots import TokenScope
from tests.support.waiting import WAIT_SECONDS, until
from tests.unit.services.edge.gateway.raw import RawPeer
from tests.unit.services.edge.http.conftest import LIMIT, HttpSite
from tests.unit.services.edge.http.http_client import HttpReply, head_of, request

PNG = avatar_png("account", 7)
RATES = {"limits": {"rates": True, "requests_per_second": 0.001, "requests_burst": 3}}
SIDE = int.from_bytes(PNG[16:20], "big")
HALF = len(PNG) // 2
NAME = "filename " + b64encode("猫.png".encode()).decode()
DAY_MS = 86_400_000
OCTETS = "application/offset+octet-stream"


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gives clients more time, because on a slow machine the edge would store data too early."""
    monkeypatch.setattr("services.edge.http.resumable_uploads._SILENCE_SECONDS", WAIT_SECONDS)


def headers_of(token: str = "token-1", **headers: str) -> dict[str, str]:
    return {"Authorization": f"Bearer {token}", "Tus-Resumable": "1.0.0", **headers}


async def create(site: HttpSite, length: int, body: bytes = b"", **headers: str) -> HttpReply:
    named = headers_of(Upload_Length=str(length)) | headers
    return await site.fetch("POST", "/media/uploads", body, **named)


async def created(site: HttpSite, length: int, **headers: str) -> str:
    """Creates an upload, and returns its address."""
    reply = await create(site, length, b"", **headers)
    assert (reply.status, reply.body) == (201, b"")
    return reply.headers["location"]


async def patch(site: HttpSite, path: str, offset: int, body: bytes, **headers: str) -> HttpReply:
    named = {"Upload_Offset": str(offset), "Content_Type": OCTETS, **headers}
    return await site.fetch("PATCH", path, body, **headers_of(**named))


async def head(site: HttpSite, path: str, token: str = "token-1") -> HttpReply:
    return await site.fetch("HEAD", path, b"", **headers_of(token))


async def offset(site: HttpSite, path: str) -> int:
    return int((await head(site, path)).headers["upload-offset"])


def patch_head(path: str, size: int, start: int = 0, **headers: str) -> bytes:
    """Returns the head of a request whose body follows."""
    named = headers_of(Upload_Offset=str(start), Content_Type=OCTETS, Content_Length=str(size), **headers)
    return request("PATCH", path, b"", **named)


def error_code(reply: HttpReply, status: int) -> str:
    """Returns the code of an error, which must be well-formed."""
    assert (reply.status, reply.headers["tus-resumable"]) == (status, "1.0.0")
    assert (reply.headers["content-type"], reply.headers["cache-control"]) == ("application/json", "no-store")
    error = json.loads(reply.body)
    assert error.keys() == {"error", "text"}
    return str(error["error"])


async def until_offset(site: HttpSite, path: str, expected: int) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        while await offset(site, path) != expected:
            await asyncio.sleep(0.01)


def stored_uploads(site: HttpSite) -> int:
    return sum(path.is_file() for kind in UPLOAD_KINDS for path in (site.directory / kind).rglob("*"))


async def test_a_file_in_two_requests(site: HttpSite) -> None:
    reply = await create(site, len(PNG), Upload_Metadata=NAME)
    assert (reply.status, reply.headers["upload-offset"], reply.headers["tus-resumable"]) == (201, "0", "1.0.0")
    path = reply.headers["location"]
    first = await patch(site, path, 0, PNG[:HALF])
    assert (first.status, first.headers["upload-offset"], first.body) == (204, str(HALF), b"")
    assert "content-length" not in first.headers
    assert first.headers["upload-expires"] == reply.headers["upload-expires"]
    known = await head(site, path)
    assert (known.status, known.body, known.headers["cache-control"]) == (200, b"", "no-store")
    assert (known.headers["upload-offset"], known.headers["upload-length"]) == (str(HALF), str(len(PNG)))
    assert (known.headers["upload-metadata"], known.headers["upload-expires"]) == (
        NAME,
        first.headers["upload-expires"],
    )
    last = await patch(site, path, HALF, PNG[HALF:], Accept="application/json")
    stored = json.loads(last.body)
    assert (last.status, stored) == (200, {
        "url": f"http://chat.test:8080/media/{stored['id']}", "name": "猫.png", "size": len(PNG),
        "hash": sha256(PNG).hexdigest(), "mime": "image/png", "id": stored["id"],
        "width": SIDE, "height": SIDE,
    })  # fmt: skip
    assert (last.headers["upload-offset"], last.headers["content-location"]) == (
        str(len(PNG)),
        f"/media/{stored['id']}",
    )
    assert "upload-expires" not in last.headers
    assert (await site.fetch("GET", f"/media/{stored['id']}")).body == PNG
    await site.until_temporary_files(0)


async def test_an_upload_under_a_nonce_is_created_once(site: HttpSite) -> None:
    async def repeated(length: int = len(PNG), body: bytes = b"", **headers: str) -> HttpReply:
        named = headers_of(Upload_Length=str(length), Upload_Metadata=NAME) | headers
        return await site.fetch("POST", "/media/uploads?nonce=n1", body, **named)

    replies = await asyncio.gather(repeated(), repeated())
    assert {(reply.status, reply.headers["upload-offset"]) for reply in replies} == {(201, "0")}
    [path] = {reply.headers["location"] for reply in replies}
    await patch(site, path, 0, PNG[:HALF])
    again = await repeated(body=PNG[:HALF], Content_Type=OCTETS)
    assert (again.status, again.headers["location"], again.headers["upload-offset"]) == (201, path, str(HALF))
    stored = json.loads((await patch(site, path, HALF, PNG[HALF:], Accept="application/json")).body)
    finished = await repeated()
    assert (finished.headers["location"], json.loads(finished.body)["id"]) == (path, stored["id"])
    assert error_code(await repeated(length=7), 409) == "conflict"


async def test_a_finished_upload_names_its_file_again(site: HttpSite) -> None:
    """The response to the last request may have been lost."""
    path = await created(site, len(PNG))
    last = await patch(site, path, 0, PNG)
    assert (last.status, last.body) == (204, b"")
    known = await head(site, path)
    assert known.headers["content-location"] == last.headers["content-location"]
    assert (known.headers["upload-offset"], known.headers["upload-length"]) == (str(len(PNG)), str(len(PNG)))
    again = await patch(site, path, len(PNG), b"", Accept="application/json")
    assert (again.status, "/media/" + json.loads(again.body)["id"]) == (200, last.headers["content-location"])
    assert error_code(await patch(site, path, 0, PNG), 409) == "conflict"
    assert error_code(await patch(site, path, len(PNG), b"x"), 413) == "too_large"


async def test_a_whole_file_with_its_creation(site: HttpSite) -> None:
    reply = await create(site, len(PNG), PNG, Upload_Metadata=NAME, Content_Type=OCTETS)
    assert (reply.status, reply.headers["upload-offset"]) == (201, str(len(PNG)))
    stored = json.loads(reply.body)
    assert (stored["name"], stored["hash"]) == ("猫.png", sha256(PNG).hexdigest())
    assert reply.headers["content-location"] == f"/media/{stored['id']}"


async def test_a_part_with_the_creation(site: HttpSite) -> None:
    reply = await create(site, len(PNG), PNG[:HALF], Content_Type=OCTETS)
    assert (reply.status, reply.headers["upload-offset"], reply.body) == (201, str(HALF), b"")
    last = await patch(site, reply.headers["location"], HALF, PNG[HALF:])
    assert (last.status, last.headers["upload-offset"]) == (204, str(len(PNG)))


async def test_a_creation_that_fails_during_its_body_leaves_nothing(site: HttpSite) -> None:
    """If the creation fails, the client does not get the address of the upload."""
    wrong = f"sha1 {b64encode(bytes(20)).decode()}"
    assert (await create(site, 10, b"12345", Content_Type=OCTETS, Upload_Checksum=wrong)).status == 460
    assert stored_uploads(site) == 0
    async with await RawPeer.dial(site.port) as peer:
        named = headers_of(Upload_Length="10", Content_Type=OCTETS, Content_Length="10")
        peer.send(request("POST", "/media/uploads", b"", **named), b"12345")
        await site.until_temporary_files(1)
        assert stored_uploads(site) == 1
        peer.reset()
        await until(lambda: not stored_uploads(site))


async def test_a_body_in_chunks(site: HttpSite) -> None:
    path = await created(site, 11)
    reply = await patch(site, path, 0, b"5\r\nhello\r\n0\r\n\r\n", Transfer_Encoding="chunked")
    assert (reply.status, reply.headers["upload-offset"]) == (204, "5")
    assert error_code(await patch(site, path, 5, b"7\r\n world!\r\n0\r\n\r\n", Transfer_Encoding="chunked"), 413)
    assert await offset(site, path) == 5
    assert (await patch(site, path, 5, b"6\r\n world\r\n0\r\n\r\n", Transfer_Encoding="chunked")).status == 204
    assert await offset(site, path) == 11


async def test_an_empty_request_changes_nothing(site: HttpSite) -> None:
    path = await created(site, 10)
    reply = await patch(site, path, 0, b"")
    assert (reply.status, reply.headers["upload-offset"], stored_uploads(site)) == (204, "0", 1)


@pytest.mark.parametrize("path", ["/media/uploads", "/media/uploads/" + "0" * 32])
async def test_options_list_the_extensions(site: HttpSite, path: str) -> None:
    reply = await site.fetch("OPTIONS", path, Tus_Resumable="0.2.2")
    assert (reply.status, reply.body, reply.headers["tus-version"]) == (204, b"", "1.0.0")
    assert reply.headers["tus-extension"] == "creation,creation-with-upload,expiration,termination,checksum"
    assert reply.headers["tus-max-size"] == str(LIMIT)
    assert reply.headers["tus-checksum-algorithm"] == "sha1,sha256"
    assert not any(name.startswith("access-control") for name in reply.headers)


@pytest.mark.parametrize("version", ["", "0.2.2", "1.0.0, 1.0.0"])
async def test_another_version_of_the_protocol(site: HttpSite, version: str) -> None:
    path = await created(site, 10)
    named = {"Authorization": "Bearer token-1", **({"Tus-Resumable": version} if version else {})}
    for method, place in (("POST", "/media/uploads"), ("PATCH", path), ("DELETE", path)):
        reply = await site.fetch(method, place, b"", **named)
        assert (error_code(reply, 412), reply.headers["tus-version"]) == ("invalid", "1.0.0")
    reply = await site.fetch("HEAD", path, b"", **named)
    assert (reply.status, reply.body) == (412, b"")


async def test_methods_that_are_not_allowed(site: HttpSite) -> None:
    path = await created(site, 10)
    for method, place, allowed in (
        ("GET", path, "OPTIONS, HEAD, PATCH, DELETE"), ("POST", path, "OPTIONS, HEAD, PATCH, DELETE"),
        ("PATCH", "/media/uploads", "OPTIONS, POST"), ("DELETE", "/media/uploads", "OPTIONS, POST"),
    ):  # fmt: skip
        reply = await site.fetch(method, place, b"", **headers_of())
        assert (reply.status, reply.headers["allow"]) == (405, allowed)


async def test_a_client_without_patch_and_delete(site: HttpSite) -> None:
    path = await created(site, 10)
    named = headers_of(Upload_Offset="0", Content_Type=OCTETS)
    reply = await site.fetch("POST", path, b"12345", X_HTTP_Method_Override="PATCH", **named)
    assert (reply.status, reply.headers["upload-offset"]) == (204, "5")
    assert (await site.fetch("POST", path, b"", X_HTTP_Method_Override="DELETE", **headers_of())).status == 204
    assert (await head(site, path)).status == 404


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({}, 400, "invalid"),
        ({"Upload_Length": "many"}, 400, "invalid"),
        ({"Upload_Length": str(LIMIT + 1)}, 413, "too_large"),
        ({"Upload_Defer_Length": "1"}, 400, "invalid"),
        ({"Upload_Length": "9", "Upload_Concat": "partial"}, 400, "invalid"),
        ({"Upload_Length": "9", "Upload_Metadata": "a ###"}, 400, "invalid"),
    ],
)
async def test_a_creation_that_is_rejected(site: HttpSite, headers: dict[str, str], status: int, code: str) -> None:
    assert error_code(await site.fetch("POST", "/media/uploads", b"", **headers_of(**headers)), status) == code
    assert stored_uploads(site) == 0


async def test_the_type_of_the_body(site: HttpSite) -> None:
    path = await created(site, 10)
    for reply in (
        await patch(site, path, 0, b"12345", Content_Type="application/octet-stream"),
        await patch(site, path, 0, b"12345", Content_Encoding="gzip"),
        await create(site, 10, b"12345"),
    ):
        assert error_code(reply, 415) == "invalid"
    assert (await offset(site, path), stored_uploads(site)) == (0, 1)


async def test_another_offset(site: HttpSite) -> None:
    path = await created(site, 10)
    assert (await patch(site, path, 0, b"12345")).status == 204
    for wrong in (0, 4, 6, 10):
        assert error_code(await patch(site, path, wrong, b"6"), 409) == "conflict"
    reply = await site.fetch("PATCH", path, b"6", **headers_of(Content_Type=OCTETS))
    assert error_code(reply, 400) == "invalid"
    assert await offset(site, path) == 5


async def test_more_bytes_than_announced_are_rejected_before_they_are_read(site: HttpSite) -> None:
    path = await created(site, 10)
    async with await RawPeer.dial(site.port) as peer:
        peer.send(patch_head(path, 11, Expect="100-continue"))
        assert (await head_of(peer)).status == 413
    assert await offset(site, path) == 0


@pytest.mark.parametrize("algorithm", ["sha1", "sha256"])
async def test_a_checksum(site: HttpSite, algorithm: str) -> None:
    path = await created(site, len(PNG))
    digest = {"sha1": sha1, "sha256": sha256}[algorithm](PNG[:HALF]).digest()
    checksum = f"{algorithm} {b64encode(digest).decode()}"
    assert error_code(await patch(site, path, 0, PNG[1:HALF], Upload_Checksum=checksum), 460) == "conflict"
    assert await offset(site, path) == 0
    assert error_code(await patch(site, path, 0, PNG[:HALF], Upload_Checksum="crc32 AAAAAA=="), 400) == "invalid"
    assert (await patch(site, path, 0, PNG[:HALF], Upload_Checksum=checksum)).headers["upload-offset"] == str(HALF)
    await site.until_temporary_files(0)


async def test_an_unknown_or_foreign_upload(site: HttpSite) -> None:
    foreign = await created(site, 10)
    for path, token in (("/media/uploads/" + "0" * 32, "token-1"), (foreign, "token-2")):
        reply = await head(site, path, token)
        assert (reply.status, "upload-offset" in reply.headers) == (404, False)
        named = headers_of(token, Upload_Offset="0", Content_Type=OCTETS)
        assert error_code(await site.fetch("PATCH", path, b"1", **named), 404) == "not_found"
        assert error_code(await site.fetch("DELETE", path, b"", **headers_of(token)), 404) == "not_found"
    assert await offset(site, foreign) == 0


async def test_an_expired_upload(site: HttpSite) -> None:
    path = await created(site, 10)
    site.clock.ahead = DAY_MS
    reply = await head(site, path)
    assert (reply.status, "upload-offset" in reply.headers) == (410, False)
    assert error_code(await patch(site, path, 0, b"1"), 410) == "not_found"


async def test_a_terminated_upload(site: HttpSite) -> None:
    path = await created(site, 10)
    assert (await patch(site, path, 0, b"12345")).status == 204
    reply = await site.fetch("DELETE", path, b"", **headers_of())
    assert (reply.status, reply.body, reply.headers["tus-resumable"]) == (204, b"", "1.0.0")
    assert stored_uploads(site) == 0
    assert error_code(await patch(site, path, 5, b"6"), 404) == "not_found"


async def test_the_file_of_a_terminated_upload_stays(site: HttpSite) -> None:
    path = await created(site, len(PNG))
    media = (await patch(site, path, 0, PNG)).headers["content-location"]
    assert (await site.fetch("DELETE", path, b"", **headers_of())).status == 204
    assert ((await head(site, path)).status, (await site.fetch("GET", media)).body) == (404, PNG)


async def test_a_valid_token_is_required(site: HttpSite) -> None:
    path = await created(site, 10)
    for method, place in (("POST", "/media/uploads"), ("PATCH", path), ("DELETE", path)):
        reply = await site.fetch(method, place, Tus_Resumable="1.0.0", Authorization="Bearer wrong")
        assert (error_code(reply, 401), reply.headers["www-authenticate"]) == ("unauthenticated", "Bearer")
    site.tokens.away = True
    assert error_code(await create(site, 10), 503) == "unavailable"


async def test_a_bot_needs_the_scope_send(site: HttpSite) -> None:
    path = await created(site, 10)
    for scopes, status in (({TokenScope.READ, TokenScope.MANAGE}, 403), ({TokenScope.SEND}, 204)):
        site.tokens.scopes = frozenset(scopes)
        assert (await patch(site, path, 0, b"12345")).status == status


async def test_a_token_revoked_during_a_request_stores_nothing_at_a_disconnect(site: HttpSite) -> None:
    path = await created(site, 10)
    async with await RawPeer.dial(site.port) as peer:
        named = headers_of(Upload_Offset="0", Content_Type=OCTETS, Transfer_Encoding="chunked")
        peer.send(request("PATCH", path, b"", **named), b"a\r\n1234567890\r\n")
        await site.until_temporary_files(1)
        site.tokens.revoked.add("token-1")
        peer.reset()
        await site.until_temporary_files(0)
    site.tokens.revoked.clear()
    assert await offset(site, path) == 0
    assert list((site.directory / "blobs").iterdir()) == []


async def test_an_account_sends_at_most_four_files_at_once(site: HttpSite) -> None:
    """The limit counts resumable uploads and plain uploads together."""
    paths = [await created(site, 10) for _ in range(4)]
    peers = [await RawPeer.dial(site.port) for _ in paths]
    try:
        for peer, path in zip(peers, paths, strict=True):
            peer.send(patch_head(path, 10), b"12345")
        await site.until_temporary_files(4)
        assert error_code(await create(site, 10), 429) == "rate_limited"
        rejected = await site.post(PNG)
        assert (rejected.status, rejected.headers["retry-after"]) == (429, "1")
        assert (await site.post(PNG, token="token-2")).status == 201
        peers[0].send(b"67890")
        assert (await head_of(peers[0])).status == 204
        assert (await site.post(PNG)).status == 201
    finally:
        for peer in peers:
            peer.reset()
    await site.until_temporary_files(0)


@pytest.mark.parametrize("sections", [RATES])
async def test_an_address_is_rate_limited(site: HttpSite) -> None:
    assert [(await create(site, 10)).status for _ in range(3)] == [201] * 3
    assert error_code(await create(site, 10), 429) == "rate_limited"
    assert error_code(await site.fetch("OPTIONS", "/media/uploads"), 429) == "rate_limited"


@pytest.mark.parametrize("sections", [{"media": {"account_bytes_per_day": 10}}])
async def test_an_upload_fits_into_the_account_s_quota(site: HttpSite) -> None:
    assert error_code(await create(site, 11), 403) == "limit"
    path = await created(site, 10)
    assert error_code(await create(site, 1), 403) == "limit"
    assert (await patch(site, path, 0, b"12345")).status == 204
    assert (await patch(site, path, 5, b"67890")).status == 204
    assert (await site.post(b"1")).status == 403


async def test_a_disconnect_keeps_what_has_arrived(site: HttpSite) -> None:
    path, start = await created(site, len(PNG)), 0
    for leave in (RawPeer.reset, RawPeer.end_writing):
        async with await RawPeer.dial(site.port) as peer:
            peer.send(patch_head(path, len(PNG) - start, start), PNG[start : start + 100])
            await until(lambda: site.temporary_bytes() == 100)
            leave(peer)
            start += 100
            await until_offset(site, path, start)
    last = await patch(site, path, start, PNG[start:], Accept="application/json")
    assert json.loads(last.body)["hash"] == sha256(PNG).hexdigest()


async def test_a_disconnect_with_a_checksum_keeps_nothing(site: HttpSite) -> None:
    path = await created(site, 10)
    async with await RawPeer.dial(site.port) as peer:
        peer.send(patch_head(path, 10, Upload_Checksum=f"sha1 {b64encode(bytes(20)).decode()}"), b"12345")
        await site.until_temporary_files(1)
        peer.reset()
        await site.until_temporary_files(0)
    assert await offset(site, path) == 0


@pytest.mark.parametrize("stall_seconds", [1.0])
async def test_a_stalled_request_keeps_what_has_arrived(site: HttpSite) -> None:
    path = await created(site, 10)
    async with await RawPeer.dial(site.port) as peer:
        peer.send(patch_head(path, 10), b"12345")
        assert await peer.rest() == b""
    assert await offset(site, path) == 5


@pytest.mark.parametrize("sections", [{"limits": {"file_bytes": 3 * PART_BYTES}}])
async def test_full_parts_are_stored_while_a_request_arrives(site: HttpSite) -> None:
    """If the edge crashes, no more than one part is lost."""
    content = bytes(range(256)) * (PART_BYTES // 256) * 2 + b"rest"
    path = await created(site, len(content))
    async with await RawPeer.dial(site.port) as peer:
        peer.send(patch_head(path, len(content)), content[:-4])
        async with asyncio.timeout(WAIT_SECONDS):
            while (known := await offset(site, path)) < PART_BYTES:
                await asyncio.sleep(0.01)
        assert known < PART_BYTES + 1024 * 1024
        peer.send(b"rest")
        assert (await head_of(peer)).status == 204
    media = (await head(site, path)).headers["content-location"]
    assert (await site.fetch("GET", media)).body == content
    assert not any(path.is_file() for path in (site.directory / "parts").rglob("*"))


@pytest.mark.parametrize("sections", [{"limits": {"file_bytes": 3 * PART_BYTES}}])
async def test_the_last_part_is_not_stored_without_its_file(site: HttpSite) -> None:
    """A full part is not stored either. A client at the last offset would believe that the file is complete."""
    path, named = await created(site, PART_BYTES), headers_of(Upload_Offset="0", Content_Type=OCTETS)
    async with await RawPeer.dial(site.port) as peer:
        peer.send(request("PATCH", path, b"", **named, Transfer_Encoding="chunked"))
        peer.send(b"%x\r\n" % PART_BYTES, bytes(PART_BYTES), b"\r\n")
        await until(lambda: site.temporary_bytes() >= PART_BYTES)
        site.tokens.revoked.add("token-1")
        peer.send(b"0\r\n\r\n")
        assert (await head_of(peer)).status == 401
    site.tokens.revoked.clear()
    assert await offset(site, path) == 0
    assert list((site.directory / "blobs").iterdir()) == []


@pytest.mark.parametrize("sections", [{"limits": {"file_bytes": 3 * PART_BYTES}}])
async def test_parts_with_a_checksum_wait_for_the_last_byte(site: HttpSite) -> None:
    content = bytes(PART_BYTES + 1_000_000)
    path = await created(site, len(content) + 1)
    checksum = f"sha256 {b64encode(sha256(content).digest()).decode()}"
    assert (await patch(site, path, 0, content[:-1] + b"x", Upload_Checksum=checksum)).status == 460
    assert (await offset(site, path), site.temporary_files()) == (0, 0)
    reply = await patch(site, path, 0, content, Upload_Checksum=checksum)
    assert (reply.status, reply.headers["upload-offset"]) == (204, str(len(content)))
    assert (await patch(site, path, len(content), b"x")).status == 204


async def test_an_edge_that_ends_keeps_what_has_arrived(site: HttpSite, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gateway, "_REQUESTS_SECONDS", 0.3)
    path = await created(site, 10)
    async with await RawPeer.dial(site.port) as peer:
        peer.send(patch_head(path, 10), b"12345")
        await site.until_temporary_files(1)
        await site.gateway.close()
    (part,) = (part for part in (site.directory / "parts").rglob("*") if part.is_file())
    assert part.read_bytes() == b"12345"
    await site.until_temporary_files(0)


async def test_an_empty_file(site: HttpSite) -> None:
    """An empty file has nothing that could be continued."""
    reply = await create(site, 0)
    assert (reply.status, reply.headers["upload-offset"]) == (201, "0")
    assert (await site.fetch("GET", reply.headers["content-location"])).body == b""
    again = await head(site, reply.headers["location"])
    assert again.headers["content-location"] == reply.headers["content-location"]


async def test_what_came_before_a_silence_is_known(site: HttpSite, monkeypatch: pytest.MonkeyPatch) -> None:
    """When a client is silent, the edge stores the bytes that it has.

    So a phone can continue on a new connection. If the silent request continues, the edge also accepts that.
    """
    monkeypatch.setattr("services.edge.http.resumable_uploads._SILENCE_SECONDS", 0.1)
    path = await created(site, 10)
    async with await RawPeer.dial(site.port) as peer:
        peer.send(patch_head(path, 10), b"1234")
        await until_offset(site, path, 4)
        peer.send(b"56")
        await until_offset(site, path, 6)
        peer.send(b"7890")
        reply = await head_of(peer)
    assert (await site.fetch("GET", reply.headers["content-location"])).body == b"1234567890"


async def test_a_full_disk(site: HttpSite) -> None:
    path = await created(site, 200_000)
    assert (await patch(site, path, 0, bytes(20_000))).status == 204
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, hard))
    try:
        reply = await patch(site, path, 20_000, bytes(180_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert (error_code(reply, 503), reply.headers["retry-after"]) == ("unavailable", "5")
    await site.until_temporary_files(0)
    assert (await patch(site, path, await offset(site, path), bytes(180_000))).status == 204
