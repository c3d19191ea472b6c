"""Typing, presence and read receipts between native users on two edges.

Users of older protocols are in the same chats.
"""

import pytest

from tests.support.cluster import Cluster
from tests.system.conftest import Users

pytestmark = pytest.mark.xdist_group("system")


def test_typing_is_shown_to_members_but_not_where_one_blocks_the_other(users: Users) -> None:
    ann, bob, pat = users
    group = ann.call("create", name="Fruit", members=[bob.number, pat.number])["chat"]
    bob.event("chat")
    chat = bob.call("send", to=ann.number, text="first", nonce="1")["chat"]
    ann.event("message")
    for one in (group, chat):
        bob.do("typing", chat=one)
        assert ann.event("typing") == {"ev": "typing", "chat": one, "account": bob.number, "ttl_ms": 6000}
    ann.do("block", account=bob.number)
    bob.do("typing", chat=group, on=False)
    assert ann.event("typing") == {"ev": "typing", "chat": group, "account": bob.number, "ttl_ms": 0}
    ann.do("typing", chat=chat)
    ann.do("typing", chat=group)
    assert bob.event("typing") == {"ev": "typing", "chat": group, "account": ann.number, "ttl_ms": 6000}
    bob.do("typing", chat=chat, on=False)
    ann.call("send", chat=group, text="hello", nonce="2")
    pat.receive(": hello")
    assert not any("typing" in frame for frame in pat.pending)
    assert not any("typing" in frame for frame in ann.pending)


def test_presence_of_a_watched_user_of_another_protocol(users: Users, system: Cluster) -> None:
    ann, bob, pat = users
    assert ann.call("watch", accounts=[bob.number, pat.number])["presence"] == [
        {"account": bob.number, "state": "unknown"},
        {"account": pat.number, "state": "unknown"},
    ]
    for user in (bob, pat):
        ann.call("open", account=user.number)
    watched = ann.call("watch", accounts=[bob.number, pat.number])["presence"]
    assert [one["state"] for one in watched] == ["active", "active"]
    bob.do("here", state="hidden")
    assert ann.event("presence") == {"ev": "presence", "account": bob.number, "state": "offline"}
    (own,) = bob.call("watch", accounts=[bob.number])["presence"]
    assert (own["state"], own["since"] > 0) == ("hidden", True)
    pat.connection.close()
    assert ann.event("presence") == {"ev": "presence", "account": pat.number, "state": "offline"}
    bob.do("here", state="away", text="lunch")
    shown = ann.event("presence")
    assert (shown["state"], shown["text"]) == ("away", "lunch")
    assert bob.event("presence")["state"] == "away"
    bob.do("block", account=ann.number)
    assert ann.event("presence") == {"ev": "presence", "account": bob.number, "state": "unknown"}
