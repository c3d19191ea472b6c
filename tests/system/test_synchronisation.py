"""A client returns to many chats.

The tests are about the pages of its sync, the text with its positions, and lists other than chats.
"""

import http.client
import json
from typing import Any
from urllib.parse import urlsplit

import pytest

from services.edge.canonical.positions import HEAD_CHARACTERS, Place, pack
from shared.contract.ids import ChatId
from tests.support.cluster import Cluster
from tests.support.waiting import WAIT_SECONDS
from tests.system.conftest import Enter, registered
from tests.system.users import NativeUser

pytestmark = pytest.mark.xdist_group("system")

CHATS = 24
LISTS = ("friends", "requests", "blocks", "settings")


@pytest.fixture
def bob(connect: Enter, ann: NativeUser) -> NativeUser:
    """The user Bob, who has many chats with Ann. Each has one message."""
    user = registered(connect)
    for number in range(CHATS):
        chat = ann.call("create", name=f"chat {number}", members=[user.number])["chat"]
        ann.do("send", chat=chat, text="first", nonce=f"first {number}")
    return user


class Keeper:
    """The state that a client keeps: the last index and the messages of each chat, and its lists."""

    def __init__(self, user: NativeUser) -> None:
        self._user = user
        self.epoch = ""
        self.heads: dict[int, dict[str, Any]] = {}
        self.messages: dict[tuple[int, int], str] = {}
        self.lists: dict[str, dict[str, Any]] = {}
        self.listed: list[int] = []
        """The chats in the last sync."""

    def sync(self, window: int = 5, **members: object) -> None:
        self.listed.clear()
        command = members | {"have": self.have(), "lists": self._states(), "window": window, "timeline": 2}
        before: list[int] | None = None
        while True:
            page = self._user.call("sync", **command, **({} if before is None else {"before": before}))
            assert "error" not in page, page
            assert not page["reset"]
            assert ("lists" in page) <= (before is None)
            self.epoch = page["epoch"]
            for head in page["chats"]:
                self.listed.append(head["chat"])
                self.heads[head["chat"]] = head
            while (event := json.loads(self._user.receive('{"ev":'))).get("ev") != "synced":
                self._take(event)
            self.lists |= page.get("lists", {})
            if (before := page.get("before")) is None:
                return

    def have(self) -> str:
        places = {ChatId(chat): _place(head) for chat, head in self.heads.items()}
        return pack(self.epoch, places)

    def _states(self) -> dict[str, int]:
        return {name: self.lists.get(name, {"state": 0})["state"] for name in LISTS}

    def _take(self, event: dict[str, Any]) -> None:
        if event["ev"] in ("message", "changed") and "segments" in event:
            self.messages[event["chat"], event["index"]] = event["segments"][0]["text"]


def _place(head: dict[str, Any]) -> Place:
    return Place(head["head"], head["rev"], head["state"] % 2**32)


def test_only_what_has_changed_comes_and_all_of_it(ann: NativeUser, bob: NativeUser, connect: Enter) -> None:
    back = connect()
    back.call("token", token=bob.token)
    keeper = Keeper(back)
    keeper.sync()
    chats = sorted(keeper.heads, reverse=True)[:CHATS]
    assert len(keeper.listed) == len({*keeper.listed}) == len(keeper.heads) >= CHATS
    assert all(keeper.messages[chat, 1] == "first" for chat in chats)
    keeper.sync()
    assert (keeper.listed, len(keeper.have()) < 24 * (CHATS + 4)) == ([], True)
    written, edited, renamed = chats[:7], chats[7:10], chats[10]
    for chat in written:
        ann.do("send", chat=chat, text="second", nonce=f"second {chat}")
    for chat in edited:
        ann.do("edit", chat=chat, index=1, text="edited", nonce=f"edit {chat}")
    ann.do("set_chat", chat=renamed, name="Pears")
    ann.do("befriend", account=bob.number)
    keeper.sync(window=3)
    assert sorted(keeper.listed) == sorted([*written, *edited, renamed])
    assert {keeper.messages[chat, 2] for chat in written} == {"second"}
    assert {keeper.messages[chat, 1] for chat in edited} == {"edited"}
    assert [one["account"] for one in keeper.lists["requests"]["friends"]] == [ann.number]
    fresh = Keeper(back)
    fresh.sync(window=500)
    assert [head | {"gap": None} for head in fresh.heads.values()] == [
        keeper.heads[chat] | {"gap": None} for chat in fresh.heads
    ]
    assert (fresh.lists, fresh.messages) == (keeper.lists, keeper.messages)


def test_a_client_with_very_many_chats_requests_some_of_them(ann: NativeUser, bob: NativeUser) -> None:
    keeper = Keeper(bob)
    keeper.sync(window=500)
    chats = sorted(keeper.heads)
    middle = chats[len(chats) // 2]
    for chat in (chats[-1], chats[-2], middle):
        ann.do("send", chat=chat, text="second", nonce=f"second {chat}")
    keeper.sync(among=[0, middle])
    assert keeper.listed == [middle]
    keeper.sync(among=[middle + 1, 2**53 - 1])
    assert keeper.listed == [chats[-2], chats[-1]]


def test_a_head_shows_the_last_message_that_its_member_may_see(ann: NativeUser, connect: Enter) -> None:
    bob, cem = registered(connect), registered(connect)
    chat = ann.call("create", name="Fruit", members=[bob.number], join_policy="open")["chat"]
    ann.do("set_chat", chat=chat, history_for_new=False)

    def last(user: NativeUser) -> dict[str, Any] | None:
        (head,) = (one for one in user.call("sync", timeline=0)["chats"] if one["chat"] == chat)
        found: dict[str, Any] | None = head.get("last")
        return found

    assert last(bob) is None
    index = ann.call("send", chat=chat, text="x" * 119 + "é!", nonce="1")["index"]
    assert last(bob) == {"index": index, "sender": ann.number, "text": "x" * 119 + "é", "kind": "text"}
    ann.do("edit", chat=chat, index=index, text="shorter", nonce="2")
    assert (last(bob) or {})["text"] == "shorter"
    cem.do("join", chat=chat)
    assert last(cem) is None
    ann.do("recall", chat=chat, index=index, nonce="3")
    assert last(bob) == {"index": index, "sender": ann.number, "text": "", "kind": "recalled"}


def test_a_stream_goes_on_from_a_position_in_the_body(ann: NativeUser, bob: NativeUser, system: Cluster) -> None:
    keeper = Keeper(bob)
    keeper.sync(window=500)
    chat = max(keeper.heads)
    places = {ChatId(one): _place(head) for one, head in keeper.heads.items()}
    gone = {ChatId(10**9 + number): Place(10**6, 10**6, 2**31) for number in range(400)}
    ann.do("send", chat=chat, text="second", nonce="second")
    address = urlsplit(system.edges[0])
    connection = http.client.HTTPConnection(str(address.hostname), address.port, timeout=WAIT_SECONDS)
    have = pack(keeper.epoch, places | gone)
    assert len(have) > HEAD_CHARACTERS
    headers = {"Authorization": f"Bearer {bob.token}", "Content-Type": "application/json"}
    connection.request("POST", "/api/v1/events", json.dumps({"have": have}), headers)
    response = connection.getresponse()
    assert response.status == 200
    events = (json.loads(line.removeprefix(b"data: ")) for line in response if line.startswith(b"data: "))
    resumed, message, synced = next(events), next(events), next(events)
    assert ([head["chat"] for head in resumed["chats"]], len(resumed["gone"])) == ([chat], len(gone))
    assert (message["chat"], message["index"], synced["ev"]) == (chat, 2, "synced")
    connection.close()
