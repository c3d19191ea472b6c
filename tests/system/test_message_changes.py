"""Native clients edit, recall, react to and pin messages, on two edges.

Clients of older protocols are in the same chats.
"""

import json

import pytest

from tests.support.cluster import Cluster
from tests.system.conftest import Enter
from tests.system.users import DialectUser, NativeUser, V2User

pytestmark = pytest.mark.xdist_group("system")


def again(connect: Enter, user: NativeUser) -> NativeUser:
    other = connect()
    assert other.call("token", token=user.token)["account"] == user.number
    return other


def test_older_protocols_show_the_text_as_it_is_now(ann: NativeUser, connect: Enter, system: Cluster) -> None:
    """A history, an unread message and a push after a login must show the present text, and never the earlier text."""
    with (
        DialectUser(system.edges[0], "service") as sue,
        DialectUser(system.edges[1], "pipe") as pat,
        V2User(system.edges[0]) as val,
    ):
        for user in (sue, pat, val):
            user.register()
        account = val.account
        val.connection.close()
        pat.connection.close()
        members = [sue.number, pat.number, account.number]
        chat = ann.call("create", name="Fruit", members=members)["chat"]
        for number, text in enumerate(("apple", "secret", "pear"), 1):
            ann.call("send", chat=chat, text=text, nonce=str(number))
        ann.call("edit", chat=chat, index=1, text="quince", nonce="e")
        ann.call("recall", chat=chat, index=2)
        ann.call("react", chat=chat, index=3, emoji="👍")
        page = {"service_code": 3, "content": {"token": sue.token, "chat": chat, "index": -1, "count": 9}}
        values = json.loads(sue.request(page, '"values"'))["content"]["values"]
        assert [value["content"] for value in values] == ["pear", "[撤回]", "quince"]
    with DialectUser(system.edges[1], "pipe") as back:
        back.account = pat.account
        back._request(back.codec.login(back.account))
        back.send("get_unread_message|")
        assert [back.receive(f"message|1|{chat}|").rsplit(": ")[-1] for _ in range(3)] == ["quince", "[撤回]", "pear"]
    with V2User(system.edges[0]) as back2:
        back2.login(account)
        texts = [back2.receive_where(lambda frame: frame["code"] == 0)["msg"][0]["text"] for _ in range(3)]
        assert texts == ["quince", "[撤回]", "pear"]


def test_a_client_that_was_away_gets_the_changes_it_lacks(ann: NativeUser, bob: NativeUser, connect: Enter) -> None:
    chat = ann.call("create", name="Fruit", members=[bob.number])["chat"]
    for number in range(1, 5):
        ann.call("send", chat=chat, text=f"number {number}", nonce=str(number))
    bob.call("sync")
    bob.event("synced")
    bob.connection.close()
    for text in ("a", "b", "c"):
        ann.call("edit", chat=chat, index=1, text=text, nonce=text)
    ann.call("recall", chat=chat, index=2)
    ann.call("react", chat=chat, index=3, emoji="👍")
    ann.call("pin", chat=chat, index=4)
    ann.call("send", chat=chat, text="number 5", nonce="5")
    ann.call("edit", chat=chat, index=5, text="number five", nonce="d")
    back = again(connect, bob)
    reply = back.call("sync", have={str(chat): [4, 0]})
    (head,) = reply["chats"]
    assert (head["chat"], head["rev"], head["pins"], head.get("changes_after")) == (chat, 7, [4], None)
    message = back.event("message")
    assert (message["index"], message["edited"], message["segments"][0]["text"]) == (5, True, "number five")
    changes = [back.event("changed") for _ in range(4)]
    assert [(one["rev"], one["index"], one["kind"]) for one in changes] == [
        (3, 1, "edit"), (4, 2, "recall"), (5, 3, "reaction"), (6, 4, "pin"),
    ]  # fmt: skip
    assert changes[0]["segments"] == [{"t": "text", "text": "c"}]
    assert back.event("synced")["changes"] == 4
    assert back.call("sync", have={str(chat): [5, 7]})["chats"] == []
    page = back.call("changes", chat=chat, after=5)
    assert ([one["rev"] for one in page["changes"]], page["rev"], page["more"]) == ([6, 7], 7, False)
    assert back.call("sync", have={str(chat): [5]})["chats"] == [], "a client without changes"
