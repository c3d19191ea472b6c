"""A program without a WebSocket chats by HTTP requests with users of other protocols, on two edges."""

import http.client
import json
import secrets
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import pytest

from tests.drills.cluster import Cluster
from tests.support.waiting import WAIT_SECONDS
from tests.system.users import DialectUser

pytestmark = pytest.mark.xdist_group("system")


class Posted(NamedTuple):
    status: int
    body: dict[str, Any]


def post(edge: str, operation: str, token: str = "", **members: Any) -> Posted:
    headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {token}"} if token else {})
    connection = http.client.HTTPConnection(urlsplit(edge).netloc, timeout=WAIT_SECONDS)
    try:
        connection.request("POST", f"/api/v1/{operation}", json.dumps(members), headers)
        response = connection.getresponse()
        return Posted(response.status, json.loads(response.read()))
    finally:
        connection.close()


def register(edge: str) -> dict[str, Any]:
    username, secret = f"bot{secrets.token_hex(6)}", {"scheme": "plain", "value": secrets.token_hex(8)}
    registered = post(edge, "register", username=username, nickname="Bot", secret=secret)
    assert registered.status == 200, registered.body
    return registered.body


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


def test_a_token_ends_with_its_login(system: Cluster) -> None:
    one, other = system.edges[:2]
    token = register(one)["token"]
    for edge in (one, other):
        assert post(edge, "friends", token).status == 200
    assert post(one, "logout", token).status == 200
    assert post(one, "friends", token).status == 401
    assert post(one, "friends").body["error"]["code"] == "unauthenticated"
