import asyncio
import shutil
from contextlib import suppress
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.edge import gateway
from services.edge.http.downloads import ByteRange, RangeNotSatisfiable, disposition, parse_range
from services.edge.identicons import avatar_path, avatar_png
from services.edge.media.naming import safe_name
from shared.contract.model import Media
from tests.support.waiting import WAIT_SECONDS, until
from tests.unit.services.edge.gateway.raw import RawPeer
from tests.unit.services.edge.http.conftest import HEAD_SECONDS, HttpSite
from tests.unit.services.edge.http.http_client import head_of, request

PNG = avatar_png("chat", 1)
LARGE = bytes(range(256)) * 7_000


async def test_a_picture_is_displayed_inline(site: HttpSite) -> None:
    media = await site.store(PNG, '我 "x".png')
    reply = await site.fetch("GET", f"/media/{media.id}")
    assert (reply.status, reply.body) == (200, PNG)
    assert reply.headers["content-type"] == "image/png"
    assert reply.headers["content-length"] == str(len(PNG))
    assert reply.headers["content-disposition"] == "inline; filename*=UTF-8''%E6%88%91%20%22x%22.png"
    assert reply.headers["etag"] == f'"{media.sha256}"'
    assert reply.headers["cache-control"] == "private, max-age=31536000, immutable"
    assert reply.headers["accept-ranges"] == "bytes"
    assert reply.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in reply.headers["content-security-policy"]


@pytest.mark.parametrize(
    "content", [b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"<!doctype html><script>alert(1)</script>", b"%PDF-1.7"]
)
async def test_other_files_are_attachments(site: HttpSite, content: bytes) -> None:
    media = await site.store(content, "picture.png")
    reply = await site.fetch("GET", f"/media/{media.id}")
    assert reply.headers["content-disposition"].startswith("attachment; ")
    assert reply.headers["content-type"] in ("application/octet-stream", "application/pdf")
    assert reply.body == content


@pytest.mark.parametrize(
    ("content", "mime"),
    [
        (b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom", "video/mp4"),
        (b"\0\0\0\x18ftypM4A \0\0\0\0M4A isom", "audio/mp4"),
        (b"\x1a\x45\xdf\xa3\x8b\x42\x82\x84webm", "video/webm"),
    ],
)
async def test_videos_and_sounds_are_played_in_a_sandbox(site: HttpSite, content: bytes, mime: str) -> None:
    media = await site.store(content, "clip")
    reply = await site.fetch("GET", f"/media/{media.id}")
    assert (reply.headers["content-disposition"], reply.headers["content-type"]) == (
        "inline; filename*=UTF-8''clip", mime,
    )  # fmt: skip
    assert reply.headers["content-security-policy"] == "default-src 'none'; sandbox"


async def test_head_has_the_same_headers_without_the_body(site: HttpSite) -> None:
    media = await site.store(LARGE)
    head, get = [await site.fetch(method, f"/media/{media.id}") for method in ("HEAD", "GET")]
    dated = {"date": get.headers["date"]}
    assert (head.status, head.headers | dated, head.body) == (200, get.headers, b"")
    assert (await site.fetch("HEAD", f"/media/{media.id}", Range="bytes=0-1")).status == 200


@pytest.mark.parametrize(
    ("header", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=1000-", 1000, None),
        ("bytes=-5", -5, None),
        ("bytes=262143-600000", 262_143, 600_001),
    ],
)
async def test_a_range(site: HttpSite, header: str, start: int, stop: int | None) -> None:
    media = await site.store(LARGE)
    reply = await site.fetch("GET", f"/media/{media.id}", Range=header)
    part = LARGE[start:stop]
    assert (reply.status, reply.body) == (206, part)
    first = start % len(LARGE)
    assert reply.headers["content-range"] == f"bytes {first}-{first + len(part) - 1}/{len(LARGE)}"
    assert reply.headers["content-length"] == str(len(part))


async def test_an_unsatisfiable_range(site: HttpSite) -> None:
    media = await site.store(PNG)
    reply = await site.fetch("GET", f"/media/{media.id}", Range=f"bytes={len(PNG)}-")
    assert (reply.status, reply.body) == (416, b"")
    assert reply.headers["content-range"] == f"bytes */{len(PNG)}"


async def test_if_range_with_another_tag_returns_the_whole_file(site: HttpSite) -> None:
    media = await site.store(PNG)
    for tag, status in ((f'"{media.sha256}"', 206), (f'W/"{media.sha256}"', 200), ('"other"', 200)):
        reply = await site.fetch("GET", f"/media/{media.id}", Range="bytes=0-3", If_Range=tag)
        assert reply.status == status
    dated = await site.fetch("GET", f"/media/{media.id}", Range="bytes=0-3", If_Range="Fri, 20 Nov 2026 10:00:00 GMT")
    assert dated.status == 200


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_a_cached_file_is_not_sent_again(site: HttpSite, method: str) -> None:
    media = await site.store(PNG)
    path, tag = f"/media/{media.id}", f'"{media.sha256}"'
    for cached in (tag, f'"a", W/{tag}', "*"):
        reply = await site.fetch(method, path, If_None_Match=cached, Range="bytes=0-1")
        assert (reply.status, reply.body, reply.headers["etag"]) == (304, b"", tag)
    assert (await site.fetch(method, path, If_None_Match='"other"')).status == 200


async def test_one_connection_requests_many_files(site: HttpSite) -> None:
    media = await site.store(PNG)
    async with await RawPeer.dial(site.port) as peer:
        for _ in range(3):
            peer.send(request("GET", f"/media/{media.id}", Range="bytes=0-3"))
            assert (await head_of(peer)).status == 206
            assert await peer.some() == PNG[:4]


@pytest.mark.parametrize(
    "path",
    [
        "/media/" + "0" * 32, "/media/" + "A" * 32, "/media/" + "0" * 31, "/media/", "/media/" + "0" * 32 + "/",
        "/media/../../../../etc/passwd", "/media/%2e%2e%2f%2e%2e%2fetc%2fpasswd", "/media/..%2fspool",
        "/media/" + "0" * 32 + "%00", "/media//" + "0" * 32, "/media/" + "0" * 29 + "/..",
    ],
)  # fmt: skip
async def test_an_unknown_id_is_not_found(site: HttpSite, path: str) -> None:
    reply = await site.fetch("GET", path)
    assert (reply.status, reply.body) == (404, b"Not found.\n")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
async def test_a_file_cannot_be_changed(site: HttpSite, method: str) -> None:
    media = await site.store(PNG)
    reply = await site.fetch(method, f"/media/{media.id}")
    assert (reply.status, reply.headers["allow"]) == (405, "GET, HEAD")


async def test_a_failing_store_is_unavailable(site: HttpSite) -> None:
    media = await site.store(PNG)
    (site.directory / "blobs" / media.sha256).rename(site.directory / "away")
    assert (await site.fetch("GET", f"/media/{media.id}")).status == 404
    (site.directory / "blobs" / media.sha256).mkdir()
    reply = await site.fetch("GET", f"/media/{media.id}")
    assert (reply.status, reply.headers["retry-after"]) == (503, "5")
    shutil.rmtree(site.directory / "records")
    (site.directory / "records").write_bytes(b"in the way")
    assert (await site.fetch("GET", "/media/" + "0" * 32)).status == 503


async def test_a_failure_after_the_head_breaks_the_connection(site: HttpSite, caplog: pytest.LogCaptureFixture) -> None:
    """If data is missing at the end of a response, only a broken connection shows that to the client."""
    media = await site.store(LARGE)
    async with await RawPeer.dial(site.port, receive_buffer=4096) as peer:
        peer.send(request("GET", f"/media/{media.id}"))
        assert (await head_of(peer)).headers["content-length"] == str(len(LARGE))
        with (site.directory / "blobs" / media.sha256).open("r+b") as blob:
            blob.truncate(600_000)
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await peer.exactly(len(LARGE))
    assert {record.name for record in caplog.records} <= {"services.edge.media.store"}


async def test_a_slow_reader_receives_everything_and_delays_no_other(site: HttpSite) -> None:
    """The response takes longer than the head of the next request may take."""
    media = await site.store(LARGE)
    async with await RawPeer.dial(site.port, receive_buffer=4096) as slow:
        slow.stop_reading()
        slow.send(request("GET", f"/media/{media.id}"))
        async with asyncio.timeout(WAIT_SECONDS):
            for _ in range(20):
                assert (await site.fetch("GET", f"/media/{media.id}")).body == LARGE
        slow.start_reading()
        await head_of(slow)
        for step in range(0, len(LARGE), 200_000):
            await asyncio.sleep(HEAD_SECONDS / 5)
            part = LARGE[step : step + 200_000]
            assert await slow.exactly(len(part)) == part


async def test_the_end_of_a_response_may_be_read_slowly(site: HttpSite) -> None:
    """When the server has written everything, more bytes remain than the kernel accepts."""
    media = await site.store(LARGE[:600_000])
    async with await RawPeer.dial(site.port, receive_buffer=4096) as slow:
        slow.send(request("GET", f"/media/{media.id}"))
        await head_of(slow)
        read = 0
        while responses_in_flight():
            assert await slow.exactly(1000) == LARGE[read : read + 1000]
            read += 1000
            await asyncio.sleep(0.001)
        slow.stop_reading()
        await asyncio.sleep(3 * HEAD_SECONDS)
        slow.start_reading()
        assert await slow.exactly(600_000 - read) == LARGE[read:600_000]


@pytest.mark.parametrize("stall_seconds", [1.0])
async def test_a_reader_that_stops_is_dropped(site: HttpSite) -> None:
    media = await site.store(LARGE)
    async with await RawPeer.dial(site.port, receive_buffer=4096) as peer:
        peer.stop_reading()
        peer.send(request("GET", f"/media/{media.id}"))
        await until(responses_in_flight)
        await until(lambda: not responses_in_flight())
        peer.start_reading()
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await peer.exactly(len(LARGE))


@pytest.mark.parametrize("stall_seconds", [1.0])
async def test_a_disconnect_frees_everything(site: HttpSite) -> None:
    media = await site.store(LARGE)
    for leave in (RawPeer.reset, RawPeer.end_writing):
        async with await RawPeer.dial(site.port, receive_buffer=4096) as peer:
            peer.stop_reading()
            peer.send(request("GET", f"/media/{media.id}"))
            await until(responses_in_flight)
            await asyncio.sleep(0.1)  # gives the server time to fill the buffers and to wait for the client
            read = site.registry.get_sample_value("dragoman_edge_media_read_bytes_total")
            leave(peer)
            await until(lambda: not responses_in_flight())
            assert site.registry.get_sample_value("dragoman_edge_media_read_bytes_total") == read


async def test_the_shutdown_does_not_wait_for_slow_readers(
    site: HttpSite, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gateway, "_REQUESTS_SECONDS", 0.3)
    media = await site.store(LARGE)
    async with await RawPeer.dial(site.port, receive_buffer=4096) as peer:
        peer.send(request("GET", f"/media/{media.id}"))
        await head_of(peer)
        reading = asyncio.create_task(trickle(peer))
        async with asyncio.timeout(4):
            await site.gateway.close()
        assert responses_in_flight() == []
        reading.cancel()
    assert caplog.records == []


@pytest.mark.parametrize(
    "sections", [{"limits": {"rates": True, "page_requests_per_second": 0.001, "page_requests_burst": 5}}]
)
async def test_links_files_avatars_and_pages_beyond_the_rate_are_not_served(site: HttpSite) -> None:
    paths = ("/verify/ticket.code", f"/media/{'0' * 32}", avatar_path("account", 1), "/", "/media")
    served = [(await site.fetch("GET", path)).status for path in paths]
    rejected = [await site.fetch("GET", path) for path in paths]
    assert served == [200, 404, 200, 200, 405]
    assert [(reply.status, reply.headers["connection"]) for reply in rejected] == [(429, "close")] * 5


async def trickle(peer: RawPeer) -> None:
    """Reads so slowly that the whole response takes long, but no chunk times out."""
    with suppress(OSError, asyncio.IncompleteReadError):
        while True:
            await peer.exactly(30_000)
            await asyncio.sleep(0.1)


def responses_in_flight() -> list[str]:
    """Returns the tasks of responses in flight."""
    return [task.get_name() for task in asyncio.all_tasks() if "StreamingResponse" in task.get_name()]


@given(st.text())
def test_any_name_survives_the_header_s_encoding(name: str) -> None:
    safe = safe_name(name)
    header = disposition(Media("0" * 32, safe, 1, "0" * 64, "text/html"))
    assert header.isascii()
    assert header.isprintable()
    assert unquote(header.removeprefix("attachment; filename*=UTF-8''")) == safe
    assert not set(header.partition("''")[2]) & set(" \";,\\()<>@:/[]?={}'*")


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("bytes=0-0", (0, 1)),
        ("bytes=0-9", (0, 10)),
        ("bytes=3-", (3, 10)),
        ("bytes=9-9", (9, 10)),
        ("bytes=5-99999", (5, 10)),
        ("bytes=-3", (7, 10)),
        ("bytes=-99", (0, 10)),
        ("Bytes= 2-3 ", (2, 4)),
        *((header, None) for header in ("", "bytes", "bytes=", "bytes=-", "bytes=5-3", "bytes=0-1,3-4", "items=0-1")),
        *((header, None) for header in ("bytes=a-b", "bytes=+1-2", "bytes=٣-", "bytes=0x1-2", "0-1")),
        ("bytes=1-" + "9" * 5000, None),
    ],
)
def test_the_parts_of_a_range(header: str, expected: ByteRange | None) -> None:
    """None means the whole file, also if a header names several ranges."""
    assert parse_range(header, 10) == expected


@pytest.mark.parametrize(
    ("header", "size"),
    [
        *((header, 10) for header in ("bytes=10-", "bytes=10-20", "bytes=-0", "bytes=999999999999999999-")),
        *((header, 0) for header in ("bytes=0-", "bytes=-1", "bytes=0-0")),
    ],
)
def test_a_range_beyond_the_file(header: str, size: int) -> None:
    with pytest.raises(RangeNotSatisfiable):
        parse_range(header, size)


@given(st.one_of(st.text(), st.from_regex(r"bytes=[0-9]{0,20}-[0-9]{0,20}", fullmatch=True)), st.integers(0, 2**40))
def test_any_header_stays_within_the_file(header: str, size: int) -> None:
    try:
        selected = parse_range(header, size)
    except RangeNotSatisfiable:
        return
    assert selected is None or 0 <= selected.start < selected.stop <= size
