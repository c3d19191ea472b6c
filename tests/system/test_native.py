"""Native clients in one chat with clients of older protocols: nonces, missed messages after an absence, and logins."""

import json
import secrets
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

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


def test_a_message_is_stored_once_under_its_nonce(ann: NativeUser, system: Cluster) -> None:
    with DialectUser(system.edges[0], "pipe") as pat:
        pat.register()
        chat = ann.call("open", account=pat.number)["chat"]
        sent = ann.call("send", chat=chat, text="hello", nonce="n")
        pat.receive(f"message|0|{ann.number}|", "|hello")
        assert ann.call("send", chat=chat, text="hello", nonce="n") | {"re": sent["re"]} == sent | {"again": True}
        assert ann.call("send", chat=chat, text="other", nonce="n")["error"]["code"] == "conflict"
        assert ann.call("send", to=pat.number, text="second", nonce="m")["index"] == sent["index"] + 1
        pat.request(f"send_message|0|{pat.number}|{ann.number}|0|Hi Ann|{pat.token}", "send_message_succ|")
        event = ann.event("message")
        assert (event["sender"], event["segments"]) == (pat.number, [{"t": "text", "text": "Hi Ann"}])


def test_a_message_is_forwarded_once(ann: NativeUser, connect: Enter, system: Cluster) -> None:
    bob = connect()
    bob.register()
    with DialectUser(system.edges[1], "pipe") as pat:
        pat.register()
        private = ann.call("open", account=pat.number)["chat"]
        fruit, foreign = (one.call("create", name="Fruit", members=[pat.number])["chat"] for one in (ann, bob))
        pat.request(f"send_message|0|{pat.number}|{ann.number}|0|Hi Ann|{pat.token}", "send_message_succ|")
        index = ann.event("message")["index"]
        command = {"chat": private, "index": index, "into": [fruit, foreign], "nonce": "n"}
        first, rejected = ann.call("forward", **command)["results"]
        pat.receive("message|1|", "Hi Ann")
        assert (first["index"], rejected["chat"], rejected["failure"]["code"]) == (1, foreign, "forbidden")
        assert ann.call("forward", **command)["results"] == [first | {"again": True}, rejected]
        assert ann.event("message")["chat"] == fruit
        assert ann.call("send", chat=fruit, text="last", nonce="n")["index"] == 2
        assert bob.call("forward", **command)["error"]["code"] == "forbidden"


def test_messages_are_found_in_the_own_chats(ann: NativeUser, connect: Enter) -> None:
    """Search indexes a message shortly after it is sent, and no longer finds a recalled message."""
    bob, eve = connect(), connect()
    bob.register()
    eve.register()
    chat = ann.call("create", name="Fruit", members=[bob.number])["chat"]
    for number, text in enumerate(["今天我们去公园吧", "meet me at the park", "公园 https://example.org"]):
        ann.call("send", chat=chat, text=text, nonce=str(number))
    deadline = time.monotonic() + WAIT_SECONDS
    while len(bob.call("search", query="园").get("hits", ())) < 2:
        assert time.monotonic() < deadline
        time.sleep(0.6)  # this keeps the requests below the rate limit
    hit = bob.call("search", query="公园", count=1, has="link")["hits"][0]
    assert (hit["chat"], hit["index"], hit["sender"], hit["marks"]) == (chat, 3, ann.number, [[0, 2]])
    first = bob.call("search", query="公园", count=1)
    rest = bob.call("search", query="公园", count=1, page=first["page"])
    assert [one["hits"][0]["index"] for one in (first, rest)] == [3, 1]
    assert eve.call("search", query="公园")["hits"] == []
    assert eve.call("search", query="公园", chat=chat)["error"]["field"] == "chat"
    assert ann.call("search", query="?!")["error"]["field"] == "query"
    ann.call("recall", chat=chat, index=3)
    assert [one["index"] for one in bob.call("search", query="公园")["hits"]] == [1]


def test_what_is_missing_after_an_absence(ann: NativeUser, connect: Enter) -> None:
    bob = connect()
    bob.register()
    chat = ann.call("create", name="Fruit", members=[bob.number])["chat"]
    for number in range(1, 7):
        ann.call("send", chat=chat, text=f"number {number}", nonce=str(number))
    back = connect()
    assert back.call("token", token=bob.token)["account"] == bob.number
    reply = back.call("sync", have={str(chat): [2], "999999": [5]}, timeline=2)
    ((head,), epoch) = (reply["chats"], reply["epoch"])
    assert (head["chat"], head["head"], head["gap"], head["unread"]) == (chat, 6, {"from": 3, "to": 4}, 6)
    assert (reply["gone"], reply["reset"]) == ([999999], False)
    assert [back.event("message")["index"] for _ in range(2)] == [5, 6]
    assert back.event("synced")["messages"] == 2
    assert [one["index"] for one in back.call("history", chat=chat, **{"from": 4}, count=2)["messages"]] == [4, 3]
    back.call("read", chat=chat, index=99)
    assert back.call("sync", epoch=epoch, have={str(chat): [6]}, timeline=0)["chats"] == []
    (head,) = back.call("sync", epoch="other", have={str(chat): [6]}, timeline=0)["chats"]
    assert (head["read"], head["unread"]) == (6, 0)


def test_a_sync_lists_what_else_has_changed_by_the_state_of_a_chat(ann: NativeUser, connect: Enter) -> None:
    """A sync lists each change of a chat's state separately.

    It omits changes that the client already has. A client that sends no states gets no such changes.
    """
    bob, back = connect(), connect()
    bob.register()
    back.call("token", token=bob.token)
    chat = ann.call("create", name="Fruit", members=[bob.number])["chat"]
    private = ann.call("open", account=bob.number)["chat"]
    for number in ("1", "2"):
        ann.call("send", chat=chat, text="hello", nonce=number)
    first = back.call("sync")
    heads = {head["chat"]: head for head in first["chats"]}
    have = {str(number): [head["head"], head["rev"]] for number, head in heads.items()}

    def changed(number: int) -> dict[str, Any]:
        """Returns what has changed in the chat summary. A sync must return the summary of this chat only."""
        states = {str(one): head["state"] for one, head in heads.items()}
        (head,) = back.call("sync", epoch=first["epoch"], have=have, states=states)["chats"]
        assert head["chat"] == number
        assert head["state"] != heads[number]["state"]
        before, heads[number] = heads[number] | {"state": None, "version": None}, head
        return {name: value for name, value in head.items() if before.get(name, "") not in (None, value)}

    ann.do("set_chat", chat=chat, name="Pears", topic="Green ones")
    assert changed(chat) == {"name": "Pears", "topic": "Green ones"}
    ann.do("role", chat=chat, account=bob.number, role="admin")
    assert changed(chat) == {"role": "admin"}
    ann.do("set_chat", chat=chat, receipts=False, join_policy="open")
    assert changed(chat) == {"receipts": False, "join_policy": "open"}
    ann.do("set_chat", chat=chat, recall_s=60)
    assert changed(chat) == {"recall_s": 60}
    bob.call("read", chat=chat, index=1)
    assert changed(chat) == {"read": 1, "unread": 1}
    bob.do("mute", chat=chat, until=2**52)
    assert changed(chat) == {"muted_until": 2**52}
    bob.do("mute", chat=private, until=0, mentions_only=True)
    assert changed(private) == {"mentions_only": True}
    ann.do("set_profile", nickname="Anna")
    (profile,) = bob.call("profiles", accounts=[ann.number])["profiles"]
    assert changed(private) == {"face": {**heads[private]["face"], "nickname": "Anna", "v": profile["v"]}}
    states = {str(one): head["state"] for one, head in heads.items()}
    assert back.call("sync", have=have, states=states)["chats"] == []
    assert back.call("sync", have=have)["chats"] == []
    ann.do("transfer", chat=chat, account=bob.number)
    assert changed(chat) == {"owner": bob.number, "role": "owner"}
    assert back.call("sync", have=have)["chats"] == []


def test_chats_that_have_come_and_gone_during_an_absence(ann: NativeUser, connect: Enter) -> None:
    bob, back = connect(), connect()
    bob.register()
    left, joined = (ann.call("create", name="Fruit", members=[bob.number])["chat"] for _ in range(2))
    ann.do("set_chat", chat=joined, join_policy="open")
    bob.do("leave", chat=joined)
    back.call("token", token=bob.token)
    heads = {head["chat"]: head for head in back.call("sync")["chats"]}
    assert (left in heads, joined in heads) == (True, False)
    bob.do("leave", chat=left)
    bob.call("join", chat=joined)
    have = {str(number): [head["head"], head["rev"]] for number, head in heads.items()}
    states = {str(number): head["state"] for number, head in heads.items()}
    reply = back.call("sync", have=have, states=states)
    assert ([head["chat"] for head in reply["chats"]], reply["gone"]) == ([joined], [left])


def test_a_sync_names_the_other_member_of_a_private_chat(ann: NativeUser, connect: Enter) -> None:
    bob = connect()
    bob.register()
    private = ann.call("open", account=bob.number)["chat"]
    group = ann.call("create", name="Fruit", members=[bob.number])["chat"]
    ann.call("send", chat=private, text="hello", nonce="1")
    reply = ann.call("sync", timeline=0)
    heads = {head["chat"]: head for head in reply["chats"]}
    assert heads[private]["members"] == ann.call("chat", chat=private)["members"] == [ann.number, bob.number]
    profile = ann.call("profile", account=bob.number)
    assert heads[private]["face"] == {name: profile[name] for name in ("nickname", "uuid", "v")}
    assert not {"members", "face"} & heads[group].keys()


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


def test_a_new_password_ends_every_other_login(ann: NativeUser, connect: Enter) -> None:
    other = connect()
    assert other.call("token", token=ann.token)["account"] == ann.number
    old = {"scheme": "plain", "value": ann.account.secret}
    new = {"scheme": "plain", "value": "a new password 99"}
    renewed = ann.call("password", old=old, new=new)
    assert renewed["sid"]
    assert other.event("bye")["code"] == "unauthenticated"
    with pytest.raises(ConnectionEnded):
        other.read()
    assert [one["here"] for one in ann.call("sessions")["sessions"]] == [True]
    assert connect().call("token", token=renewed["token"])["sid"] == renewed["sid"]
    assert connect().call("token", token=ann.token)["error"]["code"] == "unauthenticated"


def test_logins_have_the_names_of_their_devices(ann: NativeUser, connect: Enter) -> None:
    other = connect()
    secret = {"scheme": "plain", "value": ann.account.secret}
    login = other.call("login", identifier=str(ann.number), secret=secret, device="Ann's phone", refreshable=True)
    refreshed = other.call("refresh", refresh=login["refresh"])
    assert connect().call("token", token=refreshed["token"])["sid"] == login["sid"]
    assert [(one["device"], one["here"]) for one in ann.call("sessions")["sessions"]] == [
        ("Ann's phone", False), ("", True),
    ]  # fmt: skip
    renewed = other.call("password", old=secret, new={"scheme": "plain", "value": "a new password 99"})
    [left] = other.call("export")["sessions"]
    assert (left["sid"], left["device"], left["here"]) == (renewed["sid"], "Ann's phone", True)
    error = other.call("login", identifier="x", secret=secret, device="a\u202eb")["error"]
    assert (error["code"], error["field"]) == ("invalid", "device")


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


def test_a_token_alone_deletes_no_account(ann: NativeUser, connect: Enter) -> None:
    thief = connect()
    assert thief.call("token", token=ann.token)["account"] == ann.number
    assert thief.call("delete_account")["error"]["field"] == "secret"
    error = thief.call("delete_account", secret={"scheme": "plain", "value": "a guess"})["error"]
    assert (error["code"], error["field"]) == ("unauthenticated", "secret")
    assert ann.call("profile", account=ann.number)["deleted"] is False
    ann.do("delete_account", secret={"scheme": "plain", "value": ann.account.secret})
    assert thief.event("bye")["code"] == "unauthenticated"
    assert connect().call("token", token=ann.token)["error"]["code"] == "unauthenticated"


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


def test_an_account_exports_what_it_sent_to_groups_that_it_has_left(ann: NativeUser, connect: Enter) -> None:
    bob = connect()
    bob.register()
    chat = ann.call("create", name="Fruit", members=[bob.number])["chat"]
    sent = [bob.call("send", chat=chat, text=f"mine {number}", nonce=str(number))["index"] for number in range(2)]
    ann.call("send", chat=chat, text="not his", nonce="0")
    bob.do("leave", chat=chat)
    ann.call("send", chat=chat, text="later", nonce="1")
    exported = bob.call("export")
    assert (chat in exported["chats"], exported["left_chats"]) == (False, [chat])
    page = bob.call("export_messages", chat=chat)
    assert ([one["index"] for one in page["messages"]], page["more"]) == (sent, False)
    ann.call("invite", chat=chat, account=bob.number)
    page = bob.call("export_messages", chat=chat)
    assert [one["index"] for one in page["messages"]] == sent, "of the previous membership, too"


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


def test_members_see_what_the_others_have_read(ann: NativeUser, connect: Enter) -> None:
    """Members see what others have read if the setting of the group allows it.

    An edge uses a new setting within ten seconds.
    """
    bob = connect()
    bob.register()
    chat = ann.call("create", name="Fruit", members=[bob.number])["chat"]
    ann.do("set_chat", chat=chat, receipts=False)
    assert bob.call("chat", chat=chat)["receipts"] is False
    assert bob.call("set_chat", chat=chat, receipts=True)["error"]["code"] == "forbidden"
    assert ann.call("send", chat=chat, text="hello", nonce="1")["index"] == 1
    bob.call("read", chat=chat, index=1)
    assert ann.call("readers", chat=chat, index=1)["error"]["code"] == "forbidden"
    ann.do("set_chat", chat=chat, receipts=True, name="Vegetables")
    assert bob.event("renamed")["name"] == "Vegetables"
    deadline = time.monotonic() + WAIT_SECONDS
    while (found := ann.call("readers", chat=chat, index=1)).get("accounts") != [bob.number]:
        assert time.monotonic() < deadline
        time.sleep(0.6)  # this keeps the requests below the rate limit
    assert (found["count"], found["more"]) == (1, False)
    ann.call("send", chat=chat, text="again", nonce="2")
    mention = {"t": "mention", "account": bob.number, "text": "@Bob"}
    ann.call("send", chat=chat, segments=[mention], nonce="3")
    read = bob.call("read", chat=chat, index=2)
    assert (read["unread"], read["mentions"]) == (1, 1)
    assert ann.event("receipts") == {"ev": "receipts", "chat": chat, "upto": [[bob.number, 2]]}


def test_the_settings_of_a_group(ann: NativeUser, connect: Enter, system: Cluster) -> None:
    """Members see new settings at once. A group that is opened can be joined from older protocols, too."""
    bob = connect()
    bob.register()
    chat = ann.call("create", name="Fruit", members=[bob.number], join_policy="closed")["chat"]
    with DialectUser(system.edges[1], "pipe") as pat:
        pat.register()
        pat.request(f"join_group|{pat.number}|{chat}|hi|{pat.token}", "join_group_error|")
        ann.do("set_chat", chat=chat, topic="Apples | pears", join_policy="open", avatar="https://example.org/a.png")
        changed = bob.event("settings")
        assert (changed["by"], changed["topic"], changed["join_policy"]) == (ann.number, "Apples | pears", "open")
        shown = bob.call("chat", chat=chat)
        assert {name: shown[name] for name in ("topic", "join_policy", "avatar", "receipts")} == {
            name: changed[name] for name in ("topic", "join_policy", "avatar", "receipts")
        }
        pat.request(f"join_group|{pat.number}|{chat}|hi|{pat.token}", "join_group_succ|")
    assert bob.call("set_chat", chat=chat, topic="mine")["error"]["code"] == "forbidden"
    assert ann.call("set_chat", chat=chat, topic="a\nb")["error"]["field"] == "topic"
    assert ann.call("set_chat", chat=chat, topic="x" * 1_025)["error"]["code"] == "too_large"
    ann.call("send", chat=chat, text="hello", nonce="1")
    head = next(one for one in bob.call("sync")["chats"] if one["chat"] == chat)
    assert (head["topic"], head["join_policy"], head["avatar"]) == ("Apples | pears", "open", changed["avatar"])


def test_a_group_shows_earlier_messages_to_new_members(ann: NativeUser, connect: Enter, system: Cluster) -> None:
    """All protocols with a history show the earlier messages.

    These messages are not unread. Members who have left still see the same messages as before.
    """
    bob, cem = connect(), connect()
    for user in (bob, cem):
        user.register()
    chat = ann.call("create", name="Fruit", join_policy="approval")["chat"]
    link = ann.call("link", chat=chat)["link"]
    ann.call("send", chat=chat, text="apple", nonce="1")
    assert bob.call("join_link", link=link)["chat"] == chat
    ann.do("set_chat", chat=chat, history_for_new=True)
    assert bob.event("settings")["history_for_new"] is True
    ann.call("send", chat=chat, text="pear", nonce="2")
    assert cem.call("join_link", link=link)["chat"] == chat

    def seen(user: NativeUser) -> list[int]:
        return [one["index"] for one in user.call("history", chat=chat)["messages"]]

    assert (seen(cem), seen(bob)) == ([2, 1], [2])
    head = next(one for one in cem.call("sync")["chats"] if one["chat"] == chat)
    assert (head["first"], head["read"], head["unread"], head["history_for_new"]) == (1, 2, 0, True)
    with DialectUser(system.edges[0], "service") as sue, DialectUser(system.edges[1], "pipe") as pat:
        for one in (sue, pat):
            one.register()
        sue.send({"service_code": 6, "content": {"token": sue.token, "chat": chat}})
        pat.request(f"join_group|{pat.number}|{chat}||{pat.token}", "join_group_succ|")
        for one in (sue, pat):
            ann.receive('{"ev":"request"', f'"account":{one.number}')
            ann.do("answer_join", chat=chat, account=one.number, accept=True)
        page = {"service_code": 3, "content": {"token": sue.token, "chat": chat, "index": -1, "count": 9}}
        values = json.loads(sue.request(page, '"values"'))["content"]["values"]
        assert [value["content"] for value in values] == ["pear", "apple"]
        ann.call("send", chat=chat, text="plum", nonce="3")
        assert pat.receive(f"message|1|{chat}|").endswith(": plum"), "what is earlier is not unread"
    ann.do("set_chat", chat=chat, history_for_new=False, join_policy="open")
    dan = connect()
    dan.register()
    assert dan.call("join", chat=chat)["joined"] is True
    assert (seen(dan), seen(cem)) == ([], [3, 2, 1])
    ann.do("set_chat", chat=chat, history_for_new=None)
    assert "history_for_new" not in dan.call("chat", chat=chat)
    dan.do("leave", chat=chat)
    assert dan.call("join", chat=chat)["joined"] is True
    assert seen(dan) == [3, 2, 1], "as in any open group"


def test_a_reported_message_is_the_operator_s_to_judge(ann: NativeUser, connect: Enter, system: Cluster) -> None:
    """The operator sees the message as it was when it was reported, even after the sender has recalled it."""
    bob = connect()
    bob.register()
    chat = ann.call("create", name="Fruit", members=[bob.number])["chat"]
    index = bob.call("send", chat=chat, text="buy my watches", nonce="1")["index"]
    for _ in range(2):
        ann.do("report", chat=chat, index=index, reason="an advertisement")
    assert bob.call("report", chat=chat, index=index, reason="mine")["error"]["code"] == "invalid"
    assert bob.call("recall", chat=chat, index=index, nonce="2")["rev"] == 1
    (found,) = [one for one in json.loads(admin(system, "report", "list", "--json")) if one["chat"] == chat]
    assert (found["reporter"], found["sender"], found["reason"]) == (ann.number, bob.number, "an advertisement")
    assert found["content"] == [{"text": "buy my watches"}]
    (exported,) = ann.call("export")["reports"]
    assert (exported["chat"], exported["index"], exported["reason"]) == (chat, index, "an advertisement")
    admin(system, "report", "close", str(found["number"]), "--yes")
    assert ann.call("export")["reports"] == []
