import asyncio
import shutil
from collections.abc import Callable
from contextlib import suppress
from urllib.parse import unquote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.edge.http.downloads import disposition
from services.edge.identicons import avatar_png
from services.edge.media.naming import safe_name
from shared.contract.model import Media
from tests.unit.services.edge.gateway.raw import SECONDS, RawPeer
from tests.unit.services.edge.http.browsing import head_of, request
from tests.unit.services.edge.http.conftest import HEAD_SECONDS, Site

PNG = avatar_png("chat", 1)
LARGE = bytes(range(256)) * 7_000


async def test_a_picture_is_shown(site: Site) -> None:
    media = await site.keep(PNG, '我 "x".png')
    answer = await site.browse("GET", f"/media/{media.id}")
    assert (answer.status, answer.body) == (200, PNG)
    assert answer.headers["content-type"] == "image/png"
    assert answer.headers["content-length"] == str(len(PNG))
    assert answer.headers["content-disposition"] == "inline; filename*=UTF-8''%E6%88%91%20%22x%22.png"
    assert answer.headers["etag"] == f'"{media.sha256}"'
    assert answer.headers["cache-control"] == "private, max-age=31536000, immutable"
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert "sandbox" in answer.headers["content-security-policy"]


@pytest.mark.parametrize(
    "content", [b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"<!doctype html><script>alert(1)</script>", b"%PDF-1.7"]
)
async def test_all_else_is_saved(site: Site, content: bytes) -> None:
    media = await site.keep(content, "picture.png")
    answer = await site.browse("GET", f"/media/{media.id}")
    assert answer.headers["content-disposition"].startswith("attachment; ")
    assert answer.headers["content-type"] in ("application/octet-stream", "application/pdf")
    assert answer.body == content


async def test_an_empty_file(site: Site) -> None:
    media = await site.keep(b"")
    answer = await site.browse("GET", f"/media/{media.id}")
    assert (answer.status, answer.headers["content-length"], answer.body) == (200, "0", b"")


async def test_a_head_says_the_same_without_the_bytes(site: Site) -> None:
    media = await site.keep(LARGE)
    head, get = [await site.browse(method, f"/media/{media.id}") for method in ("HEAD", "GET")]
    assert (head.status, head.headers, head.body) == (200, get.headers, b"")
    assert (await site.browse("HEAD", f"/media/{media.id}", Range="bytes=0-1")).status == 200


@pytest.mark.parametrize(
    ("asked", "start", "stop"),
    [
        ("bytes=0-0", 0, 1),
        ("bytes=1000-", 1000, None),
        ("bytes=-5", -5, None),
        ("bytes=262143-600000", 262_143, 600_001),
    ],
)
async def test_a_range(site: Site, asked: str, start: int, stop: int | None) -> None:
    media = await site.keep(LARGE)
    answer = await site.browse("GET", f"/media/{media.id}", Range=asked)
    part = LARGE[start:stop]
    assert (answer.status, answer.body) == (206, part)
    first = start % len(LARGE)
    assert answer.headers["content-range"] == f"bytes {first}-{first + len(part) - 1}/{len(LARGE)}"
    assert answer.headers["content-length"] == str(len(part))


async def test_no_part_of_it(site: Site) -> None:
    media = await site.keep(PNG)
    answer = await site.browse("GET", f"/media/{media.id}", Range=f"bytes={len(PNG)}-")
    assert (answer.status, answer.body) == (416, b"")
    assert answer.headers["content-range"] == f"bytes */{len(PNG)}"


async def test_a_range_holds_only_while_the_file_is_the_same(site: Site) -> None:
    media = await site.keep(PNG)
    for tag, status in ((f'"{media.sha256}"', 206), (f'W/"{media.sha256}"', 200), ('"other"', 200)):
        answer = await site.browse("GET", f"/media/{media.id}", Range="bytes=0-3", If_Range=tag)
        assert answer.status == status
    dated = await site.browse("GET", f"/media/{media.id}", Range="bytes=0-3", If_Range="Fri, 20 Nov 2026 10:00:00 GMT")
    assert dated.status == 200


@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_what_is_known_is_not_sent_again(site: Site, method: str) -> None:
    media = await site.keep(PNG)
    path, tag = f"/media/{media.id}", f'"{media.sha256}"'
    for known in (tag, f'"a", W/{tag}', "*"):
        answer = await site.browse(method, path, If_None_Match=known, Range="bytes=0-1")
        assert (answer.status, answer.body, answer.headers["etag"]) == (304, b"", tag)
    assert (await site.browse(method, path, If_None_Match='"other"')).status == 200


async def test_one_connection_asks_for_many(site: Site) -> None:
    media = await site.keep(PNG)
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
async def test_an_address_that_nobody_gave_is_not_found(site: Site, path: str) -> None:
    answer = await site.browse("GET", path)
    assert (answer.status, answer.body) == (404, b"Not found.\n")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS"])
async def test_a_file_never_changes(site: Site, method: str) -> None:
    media = await site.keep(PNG)
    answer = await site.browse(method, f"/media/{media.id}")
    assert (answer.status, answer.headers["allow"]) == (405, "GET, HEAD")


async def test_a_store_that_fails_is_told(site: Site) -> None:
    media = await site.keep(PNG)
    (site.directory / "blobs" / media.sha256).rename(site.directory / "away")
    assert (await site.browse("GET", f"/media/{media.id}")).status == 404
    (site.directory / "blobs" / media.sha256).mkdir()
    answer = await site.browse("GET", f"/media/{media.id}")
    assert (answer.status, answer.headers["retry-after"]) == (503, "5")
    shutil.rmtree(site.directory / "records")
    (site.directory / "records").write_bytes(b"in the way")
    assert (await site.browse("GET", "/media/" + "0" * 32)).status == 503


async def test_a_store_that_fails_half_way_breaks_the_connection(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    """Nothing else would tell that the rest is missing."""
    media = await site.keep(LARGE)
    async with await RawPeer.dial(site.port, receive_buffer=4096) as peer:
        peer.send(request("GET", f"/media/{media.id}"))
        assert (await head_of(peer)).headers["content-length"] == str(len(LARGE))
        with (site.directory / "blobs" / media.sha256).open("r+b") as blob:
            blob.truncate(600_000)
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await peer.exactly(len(LARGE))
    assert {record.name for record in caplog.records} <= {"services.edge.media.failures"}


# Slow clients, and those that leave


async def test_a_slow_reader_gets_all_of_it_and_holds_up_nobody(site: Site) -> None:
    """Longer than the time for a next request's head."""
    media = await site.keep(LARGE)
    async with await RawPeer.dial(site.port, receive_buffer=4096) as slow:
        slow.stop_reading()
        slow.send(request("GET", f"/media/{media.id}"))
        async with asyncio.timeout(SECONDS):
            for _ in range(20):
                assert (await site.browse("GET", f"/media/{media.id}")).body == LARGE
        slow.start_reading()
        await head_of(slow)
        for step in range(0, len(LARGE), 200_000):
            await asyncio.sleep(HEAD_SECONDS / 5)
            part = LARGE[step : step + 200_000]
            assert await slow.exactly(len(part)) == part


async def test_the_end_of_an_answer_may_be_read_slowly(site: Site) -> None:
    """What is left when the server has handed over all of it is more than the kernel takes."""
    media = await site.keep(LARGE[:600_000])
    async with await RawPeer.dial(site.port, receive_buffer=4096) as slow:
        slow.send(request("GET", f"/media/{media.id}"))
        await head_of(slow)
        read = 0
        while answers():
            assert await slow.exactly(1000) == LARGE[read : read + 1000]
            read += 1000
            await asyncio.sleep(0.001)
        slow.stop_reading()
        await asyncio.sleep(3 * HEAD_SECONDS)
        slow.start_reading()
        assert await slow.exactly(600_000 - read) == LARGE[read:600_000]


async def test_a_reader_that_stops_is_dropped(site: Site) -> None:
    media = await site.keep(LARGE)
    async with await RawPeer.dial(site.port, receive_buffer=4096) as peer:
        peer.stop_reading()
        peer.send(request("GET", f"/media/{media.id}"))
        await until(answers)
        await until(lambda: not answers())
        peer.start_reading()
        with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
            await peer.exactly(len(LARGE))


async def test_a_reader_that_leaves_frees_everything(site: Site) -> None:
    media = await site.keep(LARGE)
    for leave in (RawPeer.reset, RawPeer.end_writing):
        async with await RawPeer.dial(site.port, receive_buffer=4096) as peer:
            peer.stop_reading()
            peer.send(request("GET", f"/media/{media.id}"))
            await until(answers)
            await asyncio.sleep(0.1)  # until it waits for the client
            read = site.registry.get_sample_value("dragoman_edge_media_read_bytes_total")
            leave(peer)
            await until(lambda: not answers())
            assert site.registry.get_sample_value("dragoman_edge_media_read_bytes_total") == read


async def test_the_end_of_the_edge_does_not_wait_for_slow_readers(site: Site, caplog: pytest.LogCaptureFixture) -> None:
    media = await site.keep(LARGE)
    async with await RawPeer.dial(site.port, receive_buffer=4096) as peer:
        peer.send(request("GET", f"/media/{media.id}"))
        await head_of(peer)
        reading = asyncio.create_task(trickle(peer))
        async with asyncio.timeout(4):
            await site.gateway.close()
        assert answers() == []
        reading.cancel()
    assert caplog.records == []


async def trickle(peer: RawPeer) -> None:
    """So slowly that all of it takes long, and no piece of it too long."""
    with suppress(OSError, asyncio.IncompleteReadError):
        while True:
            await peer.exactly(30_000)
            await asyncio.sleep(0.1)


async def until(true: Callable[[], object]) -> None:
    async with asyncio.timeout(SECONDS):
        while not true():
            await asyncio.sleep(0.01)


def answers() -> list[str]:
    """Answers under way."""
    return [task.get_name() for task in asyncio.all_tasks() if task.get_name() in ("response", "disconnect")]


@given(st.text())
def test_any_name_goes_into_a_header_and_comes_out_again(name: str) -> None:
    safe = safe_name(name)
    header = disposition(Media("0" * 32, safe, 1, "0" * 64, "text/html"))
    assert header.isascii()
    assert header.isprintable()
    assert unquote(header.removeprefix("attachment; filename*=UTF-8''")) == safe
    assert not set(header.partition("''")[2]) & set(" \";,\\()<>@:/[]?={}'*")
