"""Tests `POST /api/v1/OPERATION`: which connection carries out an operation, and the status and the body of the
response.
"""

import asyncio
import json
from itertools import count
from typing import Any

import pytest

from services.edge.canonical.frames import Frame
from services.edge.canonical.transport import Reject
from services.edge.http import event_stream, operations
from tests.support.waiting import WAIT_SECONDS
from tests.unit.services.edge.gateway.raw import RawPeer
from tests.unit.services.edge.gateway.recording_endpoint import RecordingClient
from tests.unit.services.edge.http.conftest import HttpSite
from tests.unit.services.edge.http.http_client import HttpReply, head_of, request

JSON = "application/json"


NOTHING_NEW = b'{"re":0,"epoch":"e","reset":false,"chats":[],"gone":[],"away":[]}', b'{"ev":"synced"}'


class EchoServer:
    """Replies to the frames of all connections.

    The reply is the name of the operation, unless `replies` contains another one, or a list of replies to use up.
    """

    def __init__(self, site: HttpSite) -> None:
        self.replies: dict[str, tuple[bytes, ...] | list[tuple[bytes, ...]]] = {"sync": NOTHING_NEW}
        site.endpoint.on_connected = self._connected

    def _connected(self, client: RecordingClient) -> None:
        def answer(frame: Frame) -> None:
            assert isinstance(frame, bytes)
            name = json.loads(frame)["op"]
            reply = self.replies.get(name, (b'{"re":0,"name":"%b"}' % name.encode(),))
            client.socket.send(reply.pop(0) if isinstance(reply, list) else reply)

        client.on_frame = answer
        client.on_end = lambda: client.socket.close(1000, "all is answered")


@pytest.fixture
def server(site: HttpSite) -> EchoServer:
    return EchoServer(site)


async def post(site: HttpSite, operation: str, body: Any = None, token: str = "token-1", **headers: str) -> HttpReply:
    content = b"" if body is None else json.dumps(body).encode()
    named = {"Content_Type": JSON} | ({"Authorization": f"Bearer {token}"} if token else {}) | headers
    return await site.fetch("POST", f"/api/v1/{operation}", content, **named)


async def open_stream(peer: RawPeer, path: str = "/api/v1/events", **headers: str) -> HttpReply:
    peer.send(request("GET", path, b"", Authorization="Bearer token-1", **headers))
    return await head_of(peer)


async def test_a_reply_is_the_body(site: HttpSite, server: EchoServer) -> None:
    reply = await post(site, "history", {"chat": 5})
    assert (reply.status, json.loads(reply.body)) == (200, {"name": "history"})
    assert (reply.headers["content-type"], reply.headers["cache-control"]) == (JSON, "no-store")
    assert site.endpoint.clients[0].events[1] == b'{"op":"history","id":2,"chat": 5}'


async def test_replies_may_come_in_another_order(site: HttpSite) -> None:
    def answer(client: RecordingClient) -> None:
        waiting: list[bytes] = []

        def receive(frame: object) -> None:
            assert isinstance(frame, bytes)
            number = json.loads(frame)["id"]
            waiting.append(b'{"re":%d,"said":%d}' % (number, number))
            if number == 1 or len(waiting) == 3:
                client.socket.send(tuple(waiting[::-1]))
                waiting.clear()

        client.on_frame = receive

    site.endpoint.on_connected = answer
    replies = await asyncio.gather(*(post(site, "read", {"number": number}) for number in range(3)))
    sent = [json.loads(frame) for frame in site.endpoint.clients[0].events if isinstance(frame, bytes)]
    numbers = {command["number"]: command["id"] for command in sent if "number" in command}
    assert [json.loads(reply.body)["said"] for reply in replies] == [numbers[number] for number in range(3)]


async def test_what_may_succeed_later_has_a_time(site: HttpSite, server: EchoServer) -> None:
    server.replies["read"] = (b'{"re":0,"error":{"code":"rate_limited","text":"later","retry_ms":2400}}',)
    reply = await post(site, "read")
    assert (reply.status, reply.headers["retry-after"]) == (429, "3")


@pytest.mark.parametrize(
    ("path", "status", "code"), [("/api/v2/send", 404, "not_found"), ("/api/v1", 404, "not_found")]
)
async def test_an_unknown_path_of_the_api_is_an_error_of_the_api(
    site: HttpSite, path: str, status: int, code: str
) -> None:
    reply = await site.fetch("POST", path)
    assert (reply.status, json.loads(reply.body)["error"]["code"]) == (status, code)


async def test_one_token_has_one_connection_and_logs_in_once(site: HttpSite, server: EchoServer) -> None:
    replies = await asyncio.gather(*(post(site, "read") for _ in range(5)), post(site, "read", token="token-2"))
    assert [reply.status for reply in replies] == [200] * 6
    frames = sorted((client.events for client in site.endpoint.clients), key=len)
    assert [len(events) for events in frames] == [2, 6]
    assert frames[0][0] == b'{"op":"token","id":1,"token":"token-2","overtaking":true}'
    assert site.endpoint.clients[0].handshake.path == "/ws/native"


async def test_without_a_token_each_has_its_own(site: HttpSite, server: EchoServer) -> None:
    for _ in range(2):
        assert (await post(site, "login", {"who": "ann"}, token="")).status == 200
    assert len(site.endpoint.clients) == 2
    for client in site.endpoint.clients:
        await client.until_closed()
        assert client.events[0] == b'{"op":"login","id":1,"who": "ann"}'


@pytest.mark.parametrize("operation", ["login", "register", "token", "recover"])
async def test_a_login_does_not_replace_that_of_a_shared_connection(
    site: HttpSite, server: EchoServer, operation: str
) -> None:
    await post(site, "read")
    assert (await post(site, operation, {"token": "token-2"})).status == 200
    own, other = site.endpoint.clients
    await other.until_closed()
    assert (len(own.events), len(other.events)) == (2, 4)


@pytest.mark.parametrize(
    ("code", "status"), [("invalid", 400), ("forbidden", 403), ("unsupported", 404), ("unavailable", 503)]
)
async def test_an_error_has_its_status(site: HttpSite, server: EchoServer, code: str, status: int) -> None:
    server.replies["send"] = (b'{"re":0,"error":{"code":"%b","text":"no"}}' % code.encode(),)
    reply = await post(site, "send")
    assert (reply.status, json.loads(reply.body)) == (status, {"error": {"code": code, "text": "no"}})


async def test_events_of_a_reply_are_in_the_body(site: HttpSite, server: EchoServer) -> None:
    server.replies["sync"] = (b'{"re":0,"chats":[]}', b'{"ev":"message"}', b'{"ev":"synced"}')
    events = [{"ev": "message"}, {"ev": "synced"}]
    assert json.loads((await post(site, "sync")).body) == {"chats": [], "events": events}


async def test_a_rejected_login_is_the_reply_and_is_tried_again(site: HttpSite, server: EchoServer) -> None:
    server.replies["token"] = (b'{"re":0,"error":{"code":"unavailable","text":"later"}}',)
    assert (await post(site, "read")).status == 503
    await site.endpoint.clients[0].until_closed()
    del server.replies["token"]
    assert (await post(site, "read")).status == 200


async def test_a_closed_connection_is_replaced(site: HttpSite, server: EchoServer) -> None:
    await post(site, "read")
    site.endpoint.clients[0].socket.close(4003, "logged out")
    await site.endpoint.clients[0].until_closed()
    assert (await post(site, "read")).status == 200
    assert len(site.endpoint.clients) == 2


async def test_a_bad_token_reaches_no_connection(site: HttpSite, server: EchoServer) -> None:
    reply = await post(site, "read", token="forged")
    assert (reply.status, reply.headers["www-authenticate"]) == (401, "Bearer")
    assert json.loads(reply.body)["error"]["code"] == "unauthenticated"
    site.tokens.revoked.add("token-1")
    assert (await post(site, "read", Authorization="Basic eA==")).status == 401
    assert (await post(site, "read")).status == 401
    assert site.endpoint.clients == []


async def test_no_reply_in_time_is_unavailable(
    site: HttpSite, server: EchoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(site.operations, "_request_seconds", 0.1)
    monkeypatch.setattr(operations, "_ALLOWANCE_SECONDS", 0.1)
    server.replies["send"] = ()
    reply = await asyncio.wait_for(post(site, "send"), WAIT_SECONDS)
    error = json.loads(reply.body)["error"]
    assert (reply.status, error["code"], error["unknown"]) == (503, "unavailable", True)


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [({"Content_Type": "text/plain"}, {}, 400), ({}, [1], 400), ({}, {"text": "x" * 300_000}, 413)],
    ids=["type", "list", "length"],
)
async def test_bad_requests(
    site: HttpSite, server: EchoServer, headers: dict[str, str], body: Any, status: int
) -> None:
    reply = await post(site, "send", body, **headers)
    assert (reply.status, set(json.loads(reply.body))) == (status, {"error"})


async def test_events_are_a_stream_until_the_connection_ends(site: HttpSite, server: EchoServer) -> None:
    async with await RawPeer.dial(site.port) as peer:
        head = await open_stream(peer)
        assert (head.status, head.headers["content-type"]) == (200, "text/event-stream")
        client = site.endpoint.clients[0]
        client.socket.send((b'{"ev":"message","index":1}', b'{"ev":"typing"}'))
        await peer.until(b'data: {"ev":"message","index":1}\n\ndata: {"ev":"typing"}\n\n')
        client.socket.send((b'{"ev":"bye"}',))
        client.socket.close(1012, "restarting")
        assert (await peer.until(b"0\r\n\r\n")).count(b'data: {"ev":"bye"}\n\n') == 1
        await client.until_closed()


async def test_unread_events_count_until_they_are_written(site: HttpSite, server: EchoServer) -> None:
    async with await RawPeer.dial(site.port, receive_buffer=4096) as peer:
        await open_stream(peer)
        client, event = site.endpoint.clients[0], b'{"ev":"message","chat":1,"index":%d,"text":"%b"}'
        peer.stop_reading()
        indexes = count(1)
        async with asyncio.timeout(WAIT_SECONDS):
            while client.socket.unsent() < 1_000_000:
                client.socket.send((event % (next(indexes), b"x" * 100_000),))
                await asyncio.sleep(0)
    await client.until_closed()


async def test_a_silent_stream_has_comments(
    site: HttpSite, server: EchoServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(event_stream, "_SILENCE_SECONDS", 0.01)
    async with await RawPeer.dial(site.port) as peer:
        await open_stream(peer)
        await peer.until(b":\n\n")
        peer.reset()
    await site.endpoint.clients[0].until_closed()


async def test_a_stream_needs_a_login(site: HttpSite, server: EchoServer) -> None:
    assert (await site.fetch("GET", "/api/v1/events")).status == 401
    reply = await site.fetch("PUT", "/api/v1/events", Authorization="Bearer token-1")
    assert (reply.status, reply.headers["allow"]) == (405, "GET, POST")
    error = json.loads(reply.body)["error"]
    assert len(error.pop("request")) == 32
    assert error == {"code": "invalid", "text": "the request needs the method GET, POST", "reason": "form"}
    server.replies["token"] = (b'{"re":0,"error":{"code":"rate_limited","text":"later"}}',)
    assert (await site.fetch("GET", "/api/v1/events", Authorization="Bearer token-1")).status == 429
    await site.endpoint.clients[0].until_closed()


async def test_other_methods_and_names_are_none(site: HttpSite) -> None:
    for method in ("GET", "OPTIONS"):
        reply = await site.fetch(method, "/api/v1/send")
        assert (reply.status, reply.headers["allow"]) == (405, "POST")
        error = json.loads(reply.body)["error"]
        assert (error["code"], error["text"]) == ("invalid", "the request needs the method POST")


@pytest.mark.parametrize(
    "name",
    [
        "fly", "Send", "send.", "send/", "send/me", "", "x" * 300, "%F0%9F%95%8A", "%00", "%FF", "%2Fsend", "se%20nd",
        "..", "../v1/fly", "send%0A",
    ],
)  # fmt: skip
async def test_an_unknown_operation_is_an_error_as_on_a_connection(site: HttpSite, name: str) -> None:
    """This holds for any method, token, content type and body."""
    wrong: dict[str, str] = {"Content_Type": JSON, "Authorization": "Bearer wrong"}
    for method, body, headers in (("POST", b"", {}), ("GET", b"", {}), ("PUT", b"{}", wrong), ("POST", b"[", {})):
        reply = await site.fetch(method, f"/api/v1/{name}", body, **headers)
        assert (reply.status, reply.headers["content-type"]) == (404, JSON)
        error = json.loads(reply.body)["error"]
        assert (error["code"], error["field"]) == ("unsupported", "op")
        assert error["request"]
    assert not site.endpoint.clients


async def test_a_name_may_be_encoded(site: HttpSite, server: EchoServer) -> None:
    assert (await post(site, "%73end")).status == 200


async def test_where_native_is_off_there_is_nothing(site: HttpSite) -> None:
    site.endpoint.decision = Reject(404, "no such path")
    assert (await post(site, "ping")).status == 404
    site.endpoint.decision = Reject(403, "pages of this origin may not connect")
    assert (await post(site, "ping")).status == 403


async def test_an_edge_that_stops_begins_nothing(site: HttpSite, server: EchoServer) -> None:
    site.operations.stop()
    assert (await post(site, "read")).status == 503
    assert site.endpoint.clients == []
