"""A client returns to many chats.

The tests are about the pages of its sync, the text with its positions, and lists other than chats.
"""

import json
from typing import Any

import pytest

from services.edge.canonical.positions import Place, pack
from shared.contract.ids import ChatId
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
