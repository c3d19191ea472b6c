"""Tests which bytes the peer has certainly received when a connection ends."""

from collections.abc import Callable

import pytest

from tests.support.waiting import until
from tests.unit.services.edge.gateway.conftest import Start
from tests.unit.services.edge.gateway.raw import CLOSE, TEXT, RawPeer, closing, masked
from tests.unit.services.edge.gateway.recording_endpoint import RecordingClient, RecordingEndpoint

LARGE = b"x" * 200_000
PAGE = ("Origin: http://chat.test:8080",)


@pytest.mark.parametrize("end", [lambda peer: peer.send(closing(1000)), RawPeer.end_writing])
@pytest.mark.parametrize(("proxies", "unacknowledged"), [([], 0), (["127.0.0.0/8"], None)])
async def test_bytes_that_the_peer_has_read_are_acknowledged_unless_it_is_a_proxy(
    start: Start,
    endpoint: RecordingEndpoint,
    end: Callable[[RawPeer], None],
    proxies: list[str],
    unacknowledged: int | None,
) -> None:
    """The client may close without having read the bytes that a proxy still holds."""
    gateway = await start(trusted_proxies=proxies)
    async with await RawPeer.open(gateway.port) as peer:
        client = await endpoint.client()
        client.socket.send((b"hello",))
        assert await peer.frame() == (TEXT, b"hello")
        await until(lambda: client.socket.unacknowledged() == unacknowledged)
        end(peer)
        await client.until("peer_closing", "closed")
        assert client.unacknowledged_at == {"peer_closing": unacknowledged, "closed": None}


@pytest.mark.parametrize(
    ("headers", "ours", "theirs", "expected"),
    [
        (PAGE, 0, 1000, True),
        (PAGE, 0, 0, True),
        (PAGE, 1012, 1012, False),
        (PAGE, 1012, 1000, True),
        ((), 0, 1000, False),
        ((), 0, 0, False),
    ],
)
async def test_whether_a_page_has_closed_by_itself(
    start: Start, endpoint: RecordingEndpoint, headers: tuple[str, ...], ours: int, theirs: int, expected: bool
) -> None:
    """The peer sends a close frame with one of these codes (0: none).

    After the server's close frame, another code means that the peer had sent its frame before the server's arrived.
    """
    gateway = await start()
    async with await RawPeer.open(gateway.port, "/", *headers) as peer:
        client = await endpoint.client()
        assert not client.socket.closed_by_page
        if ours:
            client.socket.close(ours, "")
        if theirs:
            peer.send(closing(theirs))
        else:
            peer.end_writing()
        await client.until("peer_closing", "closed")
        assert client.socket.closed_by_page == expected


@pytest.mark.parametrize(("code", "unacknowledged"), [(1012, 0), (1000, None), (0, None)])
async def test_the_reply_to_our_close_frame_comes_after_everything_before_it(
    start: Start, endpoint: RecordingEndpoint, monkeypatch: pytest.MonkeyPatch, code: int, unacknowledged: int | None
) -> None:
    """The reply to a close frame repeats its code, or does not come (0).

    Another code means that the client closed by itself, before the server's frame arrived.
    """
    monkeypatch.setattr("services.edge.gateway.transport._CLOSING_SECONDS", 60 if code else 1)
    gateway = await start(trusted_proxies=["127.0.0.0/8"])
    async with await RawPeer.open(gateway.port) as proxy:
        client = await endpoint.client()
        client.socket.send((b"hello",))
        client.socket.close(1012, "")
        if code:
            proxy.send(closing(code))
        await client.until("peer_closing", "closed")
        assert client.unacknowledged_at["peer_closing"] == unacknowledged


async def test_bytes_that_the_peer_does_not_read_are_not_acknowledged(
    stalled_peer: RawPeer, endpoint: RecordingEndpoint
) -> None:
    client = await endpoint.client()
    client.socket.send((LARGE,) * 5)
    everything = 5 * (len(LARGE) + 10)
    assert client.socket.sent_bytes == everything
    unsent = client.socket.unsent()
    assert 0 < unsent < everything
    stalled_peer.send(closing(1000))
    await client.until("peer_closing")
    waiting = client.unacknowledged_at["peer_closing"]
    assert waiting is not None
    assert unsent < waiting <= everything


async def test_bytes_in_transit_when_the_peer_closes_may_still_arrive(
    stalled_peer: RawPeer, endpoint: RecordingEndpoint
) -> None:
    """Messages that are sent after the close frame do not arrive."""
    client = await endpoint.client()
    client.socket.send((LARGE,))
    stalled_peer.send(masked(TEXT, b"bye"), closing(1000))
    await client.until(b"bye")
    before = client.socket.sent_bytes
    client.socket.send((b"late",))
    late = client.socket.sent_bytes - before
    stalled_peer.start_reading()
    assert await stalled_peer.frame() == (TEXT, LARGE)
    assert await stalled_peer.frame() == (CLOSE, (1000).to_bytes(2, "big"))
    await client.until_closed()
    assert client.unacknowledged_at == {"peer_closing": late, "closed": None}
    assert late > 0


async def test_unacknowledged_bytes_are_unknown_after_a_reset(peer: RawPeer, client: RecordingClient) -> None:
    """The peer's kernel had acknowledged bytes that the peer never read. A reset follows the close frame."""
    client.socket.pause_reading()
    client.socket.send((b"unread",))
    await until(lambda: client.socket.unacknowledged() == 0)
    peer.send(closing(1000))
    peer.reset()
    await until(lambda: client.socket.unacknowledged() is None)
    client.socket.resume_reading()
    await client.until_closed()
    assert set(client.unacknowledged_at.values()) == {None}
