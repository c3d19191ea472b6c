"""Native clients in one chat with clients of older protocols: logins, exports, and what the others have read."""

import json
import secrets
import time
from contextlib import suppress
from pathlib import Path

import pytest

from dragoman_client.errors import ConnectionEnded
from services.edge.dialects.native.operations import OPERATIONS
from tests.support.cluster import Cluster
from tests.support.waiting import WAIT_SECONDS
from tests.system.conftest import Enter, registered
from tests.system.operating import admin
from tests.system.users import DialectUser, NativeUser
from tests.vectors import load

pytestmark = pytest.mark.xdist_group("system")

_BAD_FRAMES = 60
"""The number of wrong frames that a test sends. It is above the limit, which is 51 and grows by one each second."""


@pytest.fixture
def ann(connect: Enter) -> NativeUser:
    registered(connect)  # this account uses the first edge, so that Ann is at the second
    return registered(connect)


def test_a_removed_member_gets_no_later_message(ann: NativeUser, connect: Enter, system: Cluster) -> None:
    bob = connect()
    bob.register()
    with DialectUser(system.edges[0], "pipe") as pat:
        pat.register()
        chat = ann.call("create", name="Fruit", members=[bob.number, pat.number])["chat"]
        ann.call("send", chat=chat, text="first", nonce="1")
        pat.receive(": first")
        version = ann.call("kick", chat=chat, account=pat.number)["version"]
        left = {"ev": "role", "chat": chat, "account": pat.number, "role": "left", "by": ann.number}
        assert bob.event("role") == left | {"version": version}
        ann.call("send", chat=chat, text="second", nonce="2")
        ann.call("send", to=pat.number, text="between us", nonce="3")
        pat.receive("|between us")
        assert not [frame for frame in pat.pending if "second" in frame]
        pat.request(f"send_message|1|{pat.number}|{chat}|0|still here|{pat.token}", "send_message_error|")
    assert [bob.event("message")["segments"][0]["text"] for _ in range(2)] == ["first", "second"]
    ann.do("transfer", chat=chat, account=bob.number)
    assert [(one["account"], one["role"]) for one in ann.call("members", chat=chat)["members"]] == [
        (ann.number, "admin"), (bob.number, "owner")
    ]  # fmt: skip
    bob.do("leave", chat=chat)
    assert bob.event("gone") == {"ev": "gone", "chat": chat, "why": "left"}
    assert ann.call("chat", chat=chat)["owner"] == ann.number
    assert bob.call("send", chat=chat, text="again", nonce="4")["error"]["code"] == "forbidden"


def test_an_operation_needs_a_login_if_its_table_requires_one(connect: Enter) -> None:
    """Without a login, wrong secrets and tokens also get the error `unauthenticated`, each with its own text."""
    frames = [one.frame for one in load("native").vectors if one.error is None and isinstance(one.frame, dict)]
    for operation in OPERATIONS:
        frame = next(frame for frame in frames if frame.get("op") == operation.name)
        error = json.loads(connect().request({**frame, "id": 1}, '{"re":1')).get("error", {})
        shown = error.get("code"), error.get("text")
        assert (shown == ("unauthenticated", "log in first")) is operation.needs_login, (operation.name, error)


def test_frames_that_are_no_objects_end_the_connection_at_their_limit(tmp_path: Path) -> None:
    with Cluster(tmp_path / "data", edges=1) as limited, NativeUser(limited.edges[0]) as user:
        user.register()
        with suppress(ConnectionEnded):
            for _ in range(_BAD_FRAMES):
                user.send("hello")
        bye = user.event("bye")
        answers = [json.loads(frame) for frame in user.pending]
        with pytest.raises(ConnectionEnded, match=r'"code":"invalid","retry_ms":60000') as ended:
            user.read()
        assert ended.value.code == 4008
        assert (bye["code"], bye["retry_ms"]) == ("invalid", 60_000)
        assert {answer["error"]["code"] for answer in answers} == {"invalid"}
        assert 50 < len(answers) < _BAD_FRAMES
        with NativeUser(limited.edges[0]) as again:
            assert again.call("token", token=user.token)["account"] == user.number


def test_an_operator_ends_a_connection_which_may_come_back(ann: NativeUser, connect: Enter, system: Cluster) -> None:
    admin(system, "user", "kick", ann.account.email, "--yes")
    bye = ann.event("bye")
    assert (bye["code"], bye["text"], bye["retry_ms"]) == ("unavailable", "disconnected by the operator", 10_000)
    with pytest.raises(ConnectionEnded, match=r'"code":"unavailable","retry_ms":10000') as ended:
        ann.read()
    assert ended.value.code == 1013
    assert connect().call("token", token=ann.token)["account"] == ann.number


def test_a_refresh_token_rotates_and_a_spent_one_ends_its_login(ann: NativeUser, connect: Enter) -> None:
    other = connect()
    secret = {"scheme": "plain", "value": ann.account.secret}
    login = other.call("login", identifier=str(ann.number), secret=secret, refreshable=True)
    second = connect().call("refresh", refresh=login["refresh"])
    assert connect().call("refresh", refresh=login["refresh"])["refresh"] == second["refresh"]
    assert other.call("token", token=second["token"])["sid"] == login["sid"]
    third = other.call("refresh", refresh=second["refresh"])
    assert third["refresh"] == second["refresh"], "it stays for a minute"
    older = login["refresh"].partition(".")[0] + "." + "0" * 64
    assert connect().call("refresh", refresh=older)["error"]["field"] == "refresh"
    assert other.event("bye")["code"] == "unauthenticated"
    for token in (login["token"], second["token"], third["token"]):
        assert connect().call("token", token=token)["error"]["code"] == "unauthenticated"
    assert connect().call("refresh", refresh=third["refresh"])["error"]["code"] == "unauthenticated"
    assert [one["here"] for one in ann.call("sessions")["sessions"]] == [True]


def test_an_account_exports_what_is_its_own(ann: NativeUser, connect: Enter) -> None:
    bob, eve = connect(), connect()
    bob.register()
    eve.register()
    chat = ann.call("create", name="Fruit", members=[bob.number])["chat"]
    for number in range(3):
        ann.call("send", chat=chat, text=f"mine {number}", nonce=str(number))
        bob.call("send", chat=chat, text=f"not mine {number}", nonce=str(number))
    ann.call("recall", chat=chat, index=1)
    ann.do("block", account=eve.number)
    exported = ann.call("export")
    assert (exported["account"], exported["username"]) == (ann.number, ann.account.name)
    assert exported["profile"]["nickname"] == ann.account.name
    assert exported["blocks"] == [eve.number]
    assert chat in exported["chats"]
    assert [one["here"] for one in exported["sessions"]] == [True]
    assert ann.token not in str(exported)
    page = ann.call("export_messages", chat=chat)
    assert [one["segments"] for one in page["messages"]] == [[]] + [
        [{"t": "text", "text": f"mine {number}"}] for number in (1, 2)
    ]
    assert (page["after"], page["more"]) == (6, False)
    assert ann.call("export_messages", chat=chat, after=3)["messages"] == page["messages"][2:]
    assert eve.call("export_messages", chat=chat)["error"]["code"] == "forbidden"


def test_what_arrives_in_another_dialect_is_unread_until_its_user_writes(
    ann: NativeUser, connect: Enter, system: Cluster
) -> None:
    """The test writes more messages until one is shown as read.

    An edge announces reads only when it has noticed a connection that displays them.
    """
    bob = connect()
    bob.register()
    chat = bob.call("open", account=ann.number)["chat"]
    with DialectUser(system.edges[0], "pipe") as other:
        token = other.request(f"login|{ann.number}|{ann.md5}", "login_succ|").split("|")[3]
        deadline = time.monotonic() + WAIT_SECONDS
        while time.monotonic() < deadline:
            index = bob.call("send", chat=chat, text="hello", nonce=secrets.token_hex(8))["index"]
            other.receive(f"message|0|{bob.number}|")
            assert {"chat": chat, "unread": 1, "mentions": 0} in ann.call("unread")["chats"]
            assert bob.call("readers", chat=chat, index=index)["accounts"] == []
            other.request(f"send_message|0|{ann.number}|{bob.number}|now|well|{token}", "send_message_succ|")
            try:
                event = json.loads(ann.receive('{"ev":"read"', seconds=5))
            except AssertionError:
                continue
            assert (event["chat"], event["unread"], event["mentions"]) == (chat, 0, 0)
            assert bob.call("readers", chat=chat, index=index)["accounts"] == [ann.number]
            break
        else:
            pytest.fail("not shown")
