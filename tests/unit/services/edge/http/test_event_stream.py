"""A stream of events begins at the place where its reader stopped. A `sync` may wait for an event."""

import asyncio
import json
from typing import Any

import pytest

from services.edge.canonical.positions import HEAD_CHARACTERS, Place, pack, unpack
from services.edge.http import operation_connection
from services.edge.http.event_stream import EventPositions, Wait, wait_of
from shared.contract.ids import ChatId
from tests.support.waiting import WAIT_SECONDS, until
from tests.unit.services.edge.gateway.raw import RawPeer
from tests.unit.services.edge.gateway.recording_endpoint import RecordingClient
from tests.unit.services.edge.http.conftest import HttpSite
from tests.unit.services.edge.http.http_client import head_of, request
from tests.unit.services.edge.http.test_operations import JSON, EchoServer, open_stream, post, server

__all__ = ["server"]

EVENTS = "/api/v1/events"


def sync_reply(chats: list[dict[str, int]], **members: object) -> bytes:
    return json.dumps(
        {"re": 0, "epoch": "e", "reset": False, "chats": chats, "gone": [], "away": []} | members
    ).encode()


def blocks(text: bytes) -> list[tuple[EventPositions | None, dict[str, Any]]]:
    """Returns the blocks of server-sent events: the positions in their ids, and their data."""
    found = []
    for block in text.decode().split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line)
        if "data" in fields:
            found.append((EventPositions.parse(fields["id"]) if "id" in fields else None, json.loads(fields["data"])))
    return found


def syncs(client: RecordingClient) -> list[dict[str, Any]]:
    frames = [json.loads(frame) for frame in client.events if isinstance(frame, bytes)]
    return [frame for frame in frames if frame["op"] == "sync"]


async def test_a_new_stream_begins_with_its_position_alone(site: HttpSite, server: EchoServer) -> None:
    server.replies["sync"] = sync_reply([{"chat": 5, "head": 120, "rev": 7}]), b'{"ev":"synced"}'
    async with await RawPeer.dial(site.port) as peer:
        assert (await open_stream(peer)).status == 200
        client = site.endpoint.clients[0]
        assert ("have" in syncs(client)[0], syncs(client)[0]["timeline"]) == (False, 0)
        await peer.until(b"id: ")
        client.socket.send((b'{"ev":"message","chat":5,"index":120}', b'{"ev":"message","chat":5,"index":121}'))
        client.socket.send((b'{"ev":"changed","chat":5,"index":3,"rev":8}', b'{"ev":"typing","chat":5}'))
        found = blocks(await peer.until(b'data: {"ev":"typing","chat":5}\n\n'))
    assert [event["ev"] for _, event in found] == ["message", "changed", "typing"]
    assert [event.get("index") for _, event in found] == [121, 3, None]
    ids = [None if positions is None else unpack(str(positions))[1] for positions, _ in found]
    assert ids == [{5: Place(121, 7)}, {5: Place(121, 8)}, None]


@pytest.mark.parametrize("way", ["header", "query", "body"])
async def test_a_stream_is_resumed(site: HttpSite, server: EchoServer, way: str) -> None:
    known = EventPositions("e")
    known.advance(b'{"ev":"message","chat":5,"index":120}')
    server.replies["sync"] = (
        sync_reply([{"chat": 5, "head": 121, "rev": 0}]), b'{"ev":"message","chat":5,"index":121}', b'{"ev":"synced"}'
    )  # fmt: skip
    async with await RawPeer.dial(site.port) as peer:
        if way == "body":
            body = json.dumps({"have": str(known)}).encode()
            peer.send(request("POST", EVENTS, body, Authorization="Bearer token-1", Content_Type="application/json"))
            assert (await head_of(peer)).status == 200
        else:
            by_header = way == "header"
            headers, path = ({"Last_Event_ID": str(known)}, EVENTS) if by_header else ({}, f"{EVENTS}?have={known}")
            assert (await open_stream(peer, path, **headers)).status == 200
        found = blocks(await peer.until(b'{"ev":"synced"}\n\n'))
        sync = syncs(site.endpoint.clients[0])[0]
    assert (sync["have"], sync["timeline"]) == (str(known), 100)
    assert [event["ev"] for _, event in found] == ["resumed", "message", "synced"]
    assert found[0][1]["chats"] == [{"chat": 5, "head": 121, "rev": 0}]
    assert [positions is None for positions, _ in found] == [True, True, False]
    assert found[2][0] is not None
    assert unpack(str(found[2][0]))[1] == {5: Place(121, 0)}


async def test_a_position_that_is_too_long_for_a_head_is_an_event(site: HttpSite, server: EchoServer) -> None:
    chats = [{"chat": chat, "head": 1, "rev": 0, "state": 2**32 - 1} for chat in range(1, 401)]
    server.replies["sync"] = sync_reply(chats), b'{"ev":"synced"}'
    async with await RawPeer.dial(site.port) as peer:
        assert (await open_stream(peer)).status == 200
        (positions, event), *_ = blocks(await peer.until(b"}\n\n"))
    assert (positions, event["ev"], len(event["have"]) > HEAD_CHARACTERS) == (None, "cursor", True)
    assert unpack(event["have"]) == ("e", {chat["chat"]: Place(1, 0, 2**32 - 1) for chat in chats})


async def test_a_reader_of_a_restored_server_gets_all_pages(site: HttpSite, server: EchoServer) -> None:
    """After a restore, the first page of a complete sync replaces the requested page."""
    server.replies["sync"] = [
        (sync_reply([{"chat": 5, "head": 1, "rev": 0}], reset=True, before=[1, 5]), b'{"ev":"synced","n":1}'),
        (sync_reply([{"chat": 6, "head": 3, "rev": 0}]), b'{"ev":"synced","n":2}'),
    ]
    async with await RawPeer.dial(site.port) as peer:
        assert (await open_stream(peer, Last_Event_ID=pack("previous", {ChatId(5): Place(9, 0)}))).status == 200
        found = blocks(await peer.until(b'"n":2}\n\n'))
    assert ["have" in sync for sync in syncs(site.endpoint.clients[0])] == [True, False]
    assert found[-1][0] is not None
    assert unpack(str(found[-1][0])) == ("e", {5: Place(1, 0), 6: Place(3, 0)})


async def test_all_pages_come_before_what_is_pushed(site: HttpSite, server: EchoServer) -> None:
    pushed = b'{"ev":"message","chat":6,"index":3}', b'{"ev":"message","chat":6,"index":4}'
    server.replies["sync"] = [
        (*pushed, sync_reply([{"chat": 5, "head": 121, "rev": 0}], before=[1, 5]), b'{"ev":"synced","n":1}'),
        (*pushed, sync_reply([{"chat": 6, "head": 3, "rev": 0}]), b'{"ev":"synced","n":2}'),
    ]
    async with await RawPeer.dial(site.port) as peer:
        assert (await open_stream(peer, Last_Event_ID=str(EventPositions("e")))).status == 200
        found = blocks(await peer.until(b'"index":4}\n\n'))
    assert [event["ev"] for _, event in found] == ["resumed", "synced", "resumed", "synced", "message"]
    first, second = syncs(site.endpoint.clients[0])
    assert second == first | {"id": second["id"], "before": [1, 5]}


async def test_what_cannot_be_resumed_is_an_error(site: HttpSite, server: EchoServer) -> None:
    reply = await site.fetch("GET", EVENTS, Authorization="Bearer token-1", Last_Event_ID="forged")
    assert (reply.status, json.loads(reply.body)["error"]["field"]) == (400, "have")
    assert site.endpoint.clients == []
    server.replies["sync"] = (b'{"re":0,"error":{"code":"unavailable","text":"later"}}',)
    assert (await site.fetch("GET", EVENTS, Authorization="Bearer token-1")).status == 503
    await site.endpoint.clients[0].until_closed()


@pytest.mark.parametrize(
    "news",
    [
        sync_reply([{"chat": 5, "head": 1, "rev": 0}]), sync_reply([], gone=[5]), sync_reply([], reset=True),
        b'{"re":0,"error":{"code":"invalid","text":"no"}}',
    ],
)  # fmt: skip
async def test_what_is_there_is_not_waited_for(site: HttpSite, server: EchoServer, news: bytes) -> None:
    server.replies["sync"] = (news,)
    async with asyncio.timeout(WAIT_SECONDS):
        reply = await post(site, "sync", {"wait_ms": 10_000_000})
    assert reply.status in (200, 400)
    assert len(syncs(site.endpoint.clients[0])) == 1


async def test_a_sync_waits_for_an_event(site: HttpSite, server: EchoServer) -> None:
    polling = asyncio.create_task(post(site, "sync", {"have": {}, "wait_ms": 10_000_000}))
    client = await waiting_client(site)
    assert (await post(site, "read")).status == 200
    client.socket.send((b'{"ev":"typing","chat":5}',))
    server.replies["sync"] = sync_reply([{"chat": 5, "head": 1, "rev": 0}]), b'{"ev":"message"}', b'{"ev":"synced"}'
    assert not polling.done()
    client.socket.send((b'{"ev":"message","chat":5,"index":1}',))
    async with asyncio.timeout(WAIT_SECONDS):
        body = json.loads((await polling).body)
    assert [event["ev"] for event in body["events"]] == ["message", "synced"]


@pytest.mark.parametrize("name", ["renamed", "settings", "role", "member", "profile", "read", "mute"])
async def test_a_sync_with_states_waits_for_what_changes_one(site: HttpSite, server: EchoServer, name: str) -> None:
    """A sync without states continues to wait."""
    polling = asyncio.create_task(post(site, "sync", {"states": {"5": 7}, "wait_ms": 10_000_000}))
    client = await waiting_client(site)
    other = asyncio.create_task(post(site, "sync", {"have": {"5": [1, 0]}, "wait_ms": 10_000_000}))
    while len(syncs(client)) < 2:
        await asyncio.sleep(0)
    assert (await post(site, "read")).status == 200
    server.replies["sync"] = sync_reply([{"chat": 5, "head": 1, "rev": 0}]), b'{"ev":"synced"}'
    assert not polling.done()
    client.socket.send((b'{"ev":"%b","chat":5}' % name.encode(),))
    async with asyncio.timeout(WAIT_SECONDS):
        assert len(json.loads((await polling).body)["chats"]) == 1
    assert not other.done()
    site.operations.stop()
    async with asyncio.timeout(WAIT_SECONDS):
        assert (await other).status == 200
    assert len(syncs(client)) == 3


async def test_few_syncs_wait_at_the_same_time(
    site: HttpSite, server: EchoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(operation_connection, "_WAITING_POLLS", 1)
    polling = asyncio.create_task(post(site, "sync", {"wait_ms": 10_000_000}))
    await waiting_client(site)
    assert (await post(site, "sync", {"wait_ms": 10_000_000})).status == 429
    site.operations.stop()
    assert (await polling).status == 200


async def test_the_end_of_the_time_is_the_first_reply(site: HttpSite, server: EchoServer) -> None:
    async with asyncio.timeout(WAIT_SECONDS):
        reply = await post(site, "sync", {"wait_ms": 10})
    assert (reply.status, json.loads(reply.body)["chats"]) == (200, [])
    assert len(syncs(site.endpoint.clients[0])) == 1


@pytest.mark.parametrize("end", ["stop", "close"])
async def test_a_sync_waits_no_longer_than_the_edge(site: HttpSite, server: EchoServer, end: str) -> None:
    polling = asyncio.create_task(post(site, "sync", {"wait_ms": 10_000_000}))
    client = await waiting_client(site)
    if end == "stop":
        site.operations.stop()
    else:
        client.socket.close(1012, "restarting")
    async with asyncio.timeout(WAIT_SECONDS):
        assert (await polling).status == 200


async def test_a_client_that_goes_waits_no_longer(site: HttpSite, server: EchoServer) -> None:
    async with await RawPeer.dial(site.port) as peer:
        body = json.dumps({"wait_ms": 10_000_000}).encode()
        peer.send(request("POST", "/api/v1/sync", body, Authorization="Bearer token-1", Content_Type=JSON))
        await waiting_client(site)
        peer.reset()
    connection, _ = site.operations._logins["token-1"]
    await until(lambda: not connection._polls)
    assert len(syncs(site.endpoint.clients[0])) == 1


async def waiting_client(site: HttpSite) -> RecordingClient:
    """Waits until a `sync` of `token-1` waits. Returns the client of its connection."""
    await until(lambda: "token-1" in site.operations._logins and site.operations._logins["token-1"][0]._polls)
    return site.endpoint.clients[0]


@pytest.mark.parametrize(
    "body", [b"{", b'{"wait_ms":"1"}', b'{"states":{"\xff":1}}', b'{"x":' + b"[" * 2000 + b"]" * 2000 + b"}"]
)
def test_a_body_that_will_be_rejected_does_not_wait(body: bytes) -> None:
    assert wait_of(body) == Wait()
