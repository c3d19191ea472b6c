"""Users are blocked. They are on two edges, and one has a client of an older protocol."""

import pytest

from tests.system.conftest import Users

pytestmark = pytest.mark.xdist_group("system")


def test_private_messages_and_requests_of_a_blocked_user_are_rejected(users: Users) -> None:
    ann, bob, pat = users
    group = ann.call("create", name="Fruit", members=[bob.number, pat.number])["chat"]
    chat = bob.call("send", to=ann.number, text="first", nonce="1")["chat"]
    private = f"send_message|0|{pat.number}|{ann.number}|0|hello|{pat.token}"
    pat.request(private, "send_message_succ|")
    for user in (bob, pat):
        ann.do("block", account=user.number)
    assert ann.call("blocks")["accounts"] == [bob.number, pat.number]
    pat.request(private, "send_message_error|this user does not accept your messages")
    error = bob.call("send", chat=chat, text="second", nonce="2")["error"]
    assert (error["code"], error["text"]) == ("forbidden", "this user does not accept your messages")
    assert bob.call("edit", chat=chat, index=1, text="second", nonce="3")["error"]["code"] == "forbidden"
    assert bob.call("send", to=ann.number, text="second", nonce="2")["error"]["code"] == "forbidden"
    assert bob.call("befriend", account=ann.number)["error"]["code"] == "forbidden"
    assert bob.call("send", chat=group, text="to all", nonce="4")["index"] == 1
    assert ann.call("send", chat=chat, text="from Ann", nonce="5")["index"] == 2
    ann.do("unblock", account=pat.number)
    pat.request(private, "send_message_succ|")
    assert bob.call("send", chat=chat, text="second", nonce="2")["error"]["code"] == "forbidden"
    texts = [ann.event("message")["segments"][0]["text"] for _ in range(4)]
    assert sorted(texts) == ["first", "hello", "hello", "to all"]
