"""Replies and mentions of native clients on two edges, and how clients of older protocols see them."""

import pytest

from tests.support.cluster import Cluster
from tests.system.users import DialectUser, NativeUser, V2User

pytestmark = [pytest.mark.xdist_group("system"), pytest.mark.timeout(120)]


def test_a_reply_and_its_quote(ann: NativeUser, bob: NativeUser, system: Cluster) -> None:
    with DialectUser(system.edges[1], "pipe") as pat:
        pat.register()
        chat = ann.call("create", name="Fruit", members=[bob.number, pat.number])["chat"]
        ann.call("send", chat=chat, text="see you\nat eight", nonce="1")
        sent = bob.call("send", chat=chat, text="fine", reply_to=1, nonce="2")
        repeated = bob.call("send", chat=chat, text="fine", reply_to=1, nonce="2")
        assert repeated == sent | {"re": repeated["re"], "again": True}
        assert bob.call("send", chat=chat, text="fine", nonce="2")["error"]["code"] == "conflict"
        quote = f"> {ann.account.name}: see you at eight"
        assert pat.receive("message|1|", "fine").endswith(f"{bob.account.name}: {quote}\nfine")
        assert ann.event("message")["reply_to"] == 1
        bob.call("edit", chat=chat, index=2, text="all right", nonce="e")
        assert ann.event("changed")["segments"] == [{"t": "text", "text": "all right"}]
        ann.call("recall", chat=chat, index=1)
        (edited, recalled) = bob.call("history", chat=chat, count=2)["messages"]
        assert (edited["reply_to"], edited["edited"], recalled["recalled"]) == (1, True, True)
        rejected = bob.call("send", chat=chat, text="what?", reply_to=9, nonce="3")["error"]
        assert (rejected["code"], rejected["field"]) == ("not_found", "reply_to")


def test_a_recalled_message_is_quoted_no_more(ann: NativeUser, system: Cluster) -> None:
    with V2User(system.edges[1]) as cid:
        account = cid.register().account
        chat = ann.call("open", account=account.number)["chat"]
        ann.call("send", chat=chat, text="a secret", nonce="1")
        cid.receive_where(lambda frame: "a secret" in str(frame))
    ann.call("send", chat=chat, text="did you read it?", reply_to=1, nonce="2")
    ann.call("recall", chat=chat, index=1)
    with V2User(system.edges[0]) as cid:
        cid.login(account)
        missed = cid.receive_where(lambda frame: "did you read it?" in str(frame))
        assert missed["msg"] == [{"type": 0, "text": f"> {ann.account.name}: [撤回]\ndid you read it?"}]
