"""A program without a WebSocket chats over HTTP requests with users of other protocols, on two edges."""

import http.client
import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.support.cluster import Cluster
from tests.support.native_http import post, register
from tests.support.waiting import WAIT_SECONDS
from tests.system.users import DialectUser

pytestmark = pytest.mark.xdist_group("system")


def test_a_program_chats(system: Cluster) -> None:
    one, other = system.edges[:2]
    bot = register(one)
    with DialectUser(other, "pipe") as pat:
        pat.register()
        chat = post(one, "open", bot["token"], account=pat.number).body["chat"]
        sent = post(one, "send", bot["token"], chat=chat, text="hello", nonce="n")
        assert sent.status == 200
        pat.receive(f"message|0|{bot['account']}|", "|hello")
        again = post(other, "send", bot["token"], chat=chat, text="hello", nonce="n")
        assert again.body == sent.body | {"again": True}
        assert post(one, "send", bot["token"], chat=chat, text="other", nonce="n").status == 409
        pat.request(f"send_message|0|{pat.number}|{bot['account']}|0|Hi bot|{pat.token}", "send_message_succ|")
    messages = post(other, "history", bot["token"], chat=chat).body["messages"]
    assert [one["segments"][0]["text"] for one in messages] == ["Hi bot", "hello"]
    synced = post(one, "sync", bot["token"], have={}).body
    assert [event["ev"] for event in synced["events"]] == ["message", "message", "synced"]


def test_events_come_as_a_stream(system: Cluster) -> None:
    one, other = system.edges[:2]
    bot, sender = register(one), register(other)
    connection = http.client.HTTPConnection(urlsplit(one).netloc, timeout=WAIT_SECONDS)
    connection.request("GET", "/api/v1/events", headers={"Authorization": f"Bearer {bot['token']}"})
    response = connection.getresponse()
    assert (response.status, response.getheader("content-type")) == (200, "text/event-stream")
    assert post(other, "send", sender["token"], to=bot["account"], text="hello", nonce="n").status == 200
    events = (json.loads(line.removeprefix(b"data: ")) for line in response if line.startswith(b"data: "))
    event = next(event for event in events if event["ev"] == "message")
    assert (event["sender"], event["segments"]) == (sender["account"], [{"t": "text", "text": "hello"}])
    assert post(one, "logout", bot["token"]).status == 200
    assert [event["ev"] for event in events][-1] == "bye"
    connection.close()


class EventStream:
    """A stream of events of the account that the token belongs to.

    `have` is the id of an event of an earlier stream.
    """

    def __init__(self, edge: str, token: str, have: str = "") -> None:
        self._connection = http.client.HTTPConnection(urlsplit(edge).netloc, timeout=WAIT_SECONDS)
        headers = {"Authorization": f"Bearer {token}"} | ({"Last-Event-ID": have} if have else {})
        self._connection.request("GET", "/api/v1/events", headers=headers)
        self._response = self._connection.getresponse()
        assert self._response.status == 200
        self.id = ""

    def next(self, *names: str) -> dict[str, Any]:
        """Returns the next event with one of these names. Without names, reads only the position in the stream."""
        for line in self._response:
            if line.startswith(b"id: "):
                self.id = line.removeprefix(b"id: ").strip().decode()
                if not names:
                    return {}
            elif line.startswith(b"data: "):
                event: dict[str, Any] = json.loads(line.removeprefix(b"data: "))
                if event["ev"] in names:
                    return event
        raise AssertionError("the stream has ended")

    def close(self) -> None:
        self._connection.close()


def content(event: dict[str, Any]) -> tuple[int, str]:
    return event["index"], event["segments"][0]["text"]


def test_a_stream_is_resumed_on_another_edge(system: Cluster) -> None:
    one, other = system.edges[:2]
    bot, sender = register(one), register(other)

    def send(text: str) -> dict[str, Any]:
        return post(other, "send", sender["token"], to=bot["account"], text=text, nonce=text).body

    chat = send("before")["chat"]
    stream = EventStream(one, bot["token"])
    stream.next()
    begun = stream.id
    send("first")
    assert content(stream.next("message")) == (2, "first")
    stream.close()
    send("second")
    post(other, "edit", sender["token"], chat=chat, index=1, text="earlier", nonce="e")
    resumed = EventStream(other, bot["token"], stream.id)
    assert [one["chat"] for one in resumed.next("resumed")["chats"]] == [chat]
    assert content(resumed.next("message")) == (3, "second")
    assert resumed.next("changed", "synced")["segments"] == [{"t": "text", "text": "earlier"}]
    assert resumed.next("synced", "message")["messages"] == 1
    send("third")
    assert content(resumed.next("message")) == (4, "third")
    resumed.close()
    again = EventStream(one, bot["token"], begun)
    assert [content(again.next("message"))[0] for _ in range(3)] == [2, 3, 4]
    again.close()


def test_a_sync_waits_for_a_message(system: Cluster) -> None:
    one, other = system.edges[:2]
    bot, sender = register(one), register(other)
    chat = post(other, "send", sender["token"], to=bot["account"], text="a", nonce="a").body["chat"]
    synced = post(one, "sync", bot["token"], have={}, wait_ms=30_000).body
    assert [event["ev"] for event in synced["events"]] == ["message", "synced"]
    have = {chat: [1, 0]}
    with ThreadPoolExecutor() as pool:
        waiting = pool.submit(post, one, "sync", bot["token"], epoch=synced["epoch"], have=have, wait_ms=30_000)
        assert post(other, "send", sender["token"], chat=chat, text="b", nonce="b").status == 200
        events = waiting.result().body["events"]
    assert [event.get("index") for event in events] == [2, None]
    assert post(one, "sync", bot["token"], epoch=synced["epoch"], have={chat: [2, 0]}, wait_ms=1).body["chats"] == []
