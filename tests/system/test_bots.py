"""Bots.

Their owner creates them over native. They use tokens with scopes, over HTTP and WebSocket, until the bots end.
"""

import http.client
import json
from typing import Any
from urllib.parse import urlsplit

import pytest

from dragoman_client.errors import ConnectionEnded
from tests.support.cluster import Cluster
from tests.support.native_http import post
from tests.support.waiting import WAIT_SECONDS
from tests.system.conftest import Enter
from tests.system.test_http_operations import EventStream
from tests.system.users import DialectUser, NativeUser

pytestmark = pytest.mark.xdist_group("system")


def make_bot(owner: NativeUser) -> int:
    account: int = owner.call("create_bot", nickname="Weather")["account"]
    return account


def token_of(owner: NativeUser, bot: int, *scopes: str) -> dict[str, Any]:
    made = owner.call("create_bot_token", account=bot, name="server", scopes=list(scopes))
    assert "error" not in made, made
    return made


def upload(edge: str, token: str) -> int:
    """Uploads a file, and returns the status of the response."""
    connection = http.client.HTTPConnection(urlsplit(edge).netloc, timeout=WAIT_SECONDS)
    try:
        connection.request("POST", "/media?name=a.txt", b"hello", {"Authorization": f"Bearer {token}"})
        return connection.getresponse().status
    finally:
        connection.close()


def close_code(user: NativeUser) -> int:
    """Waits for the end of the connection, and returns the close code."""
    try:
        while True:
            user.receive()
    except ConnectionEnded as ended:
        return ended.code


def is_forbidden(reply: dict[str, Any], scope: str) -> bool:
    error = reply["error"]
    return (error["code"], error["field"]) == ("forbidden", "scope") and scope in error["text"]


def test_a_bot_acts_within_the_scopes_of_its_token(ann: NativeUser, system: Cluster) -> None:
    one, other = system.edges[:2]
    bot = make_bot(ann)
    assert ann.call("profile", account=bot)["bot"] is True
    assert "bot" not in ann.call("profile", account=ann.number)
    chat = ann.call("create", name="Weather", members=[bot])["chat"]
    sender, reader = (token_of(ann, bot, scope)["token"] for scope in ("send", "read"))
    sent = post(other, "send", sender, chat=chat, text="Rain", nonce="n")
    assert sent.status == 200, sent.body
    assert ann.event("message")["sender"] == bot
    assert [one["sender"] for one in post(one, "history", reader, chat=chat).body["messages"]] == [bot]
    for operation, token, scope, members in (
        ("history", sender, "read", {"chat": chat}),
        ("sync", sender, "read", {"have": {}}),
        ("send", reader, "send", {"chat": chat, "text": "Sun", "nonce": "m"}),
        ("react", sender, "react", {"chat": chat, "index": 1, "emoji": "x"}),
        ("set_profile", reader, "manage", {"nickname": "Ann"}),
        ("password", sender, "", {"old": {"scheme": "plain", "value": "a"}, "new": {"scheme": "plain", "value": "b"}}),
        ("create_bot", sender, "", {"nickname": "Bot of a bot"}),
        ("logout", sender, "", {}),
    ):
        for edge in (one, other):
            rejected = post(edge, operation, token, **members)
            assert rejected.status == 403, (operation, rejected)
            assert is_forbidden(rejected.body, scope)
    assert (upload(one, sender), upload(one, reader)) == (201, 403)


def test_a_bot_keeps_its_mark_whatever_its_name(ann: NativeUser, system: Cluster) -> None:
    bot = make_bot(ann)
    manager = token_of(ann, bot, "manage")["token"]
    assert post(system.edges[0], "set_profile", manager, nickname="Ann", bot=False).status == 200
    profile = ann.call("profile", account=bot)
    assert (profile["nickname"], profile["bot"]) == ("Ann", True)
    ann.do("set_profile", bot=True)
    assert "bot" not in ann.call("profile", account=ann.number)


def test_a_connection_of_a_bot_is_limited_and_ends_with_its_token(
    ann: NativeUser, connect: Enter, system: Cluster
) -> None:
    bot = make_bot(ann)
    made, other = token_of(ann, bot, "send"), token_of(ann, bot, "send", "read")
    program, listener = connect(), connect()
    assert program.call("token", token=made["token"])["account"] == bot
    assert listener.call("token", token=other["token"])["sid"] == other["sid"]
    chat = ann.call("open", account=bot)["chat"]
    assert program.call("send", chat=chat, text="Rain", nonce="n")["index"] == 1
    assert is_forbidden(program.call("history", chat=chat), "read")
    assert is_forbidden(program.call("login", identifier="a", secret={"scheme": "plain", "value": "b"}), "")
    assert program.call("token", token=other["token"])["error"]["code"] == "unauthenticated"
    assert is_forbidden(program.call("history", chat=chat), "read")
    ann.call("send", chat=chat, text="Thanks", nonce="t")
    texts = [listener.event("message")["segments"][0]["text"] for _ in range(2)]
    assert texts == ["Rain", "Thanks"]
    program.call("ping")
    assert program.pending == []
    stream = EventStream(system.edges[0], other["token"])
    stream.next()
    ann.do("delete_bot_token", account=bot, sid=made["sid"])
    assert close_code(program) == 4003
    listener.call("ping")
    assert post(system.edges[1], "send", made["token"], chat=chat, text="a", nonce="a").status == 401
    ann.do("delete_bot", account=bot)
    assert stream.next("bye")["ev"] == "bye"
    stream.close()
    assert close_code(listener) == 4003
    assert post(system.edges[1], "friends", other["token"]).status == 401
    assert [one["account"] for one in ann.call("bots")["bots"]] == []


def test_older_protocols_admit_no_bot(ann: NativeUser, system: Cluster) -> None:
    bot = make_bot(ann)
    token = token_of(ann, bot, "send", "read", "react", "manage")["token"]
    with DialectUser(system.edges[0], "pipe") as pat:
        pat.register()
    with DialectUser(system.edges[0], "pipe") as user, DialectUser(system.edges[0], "pipe") as program:
        user.request(f"get_user_info|{pat.number}|{ann.number}|{pat.token}", "friend_detail_info|")
        program.request(f"get_user_info|{bot}|{ann.number}|{token}", "get_user_info_error|")
        program.request(f"send_message|0|{bot}|{ann.number}|0|Hi|{token}", "send_message_error|")
    assert token not in json.dumps(ann.call("bots"))
