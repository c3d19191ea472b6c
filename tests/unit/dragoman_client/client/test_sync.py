"""Tests the Python client around a sync: where a restarted program continues, and which events come during the sync."""

import asyncio
import base64
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from itertools import accumulate
from typing import Any, NamedTuple, cast

import msgspec
import pytest

from dragoman_client.client import Dragoman, MemoryStore, Store, text_of
from tests.support.waiting import until
from tests.unit.dragoman_client.client.played_server import ACCOUNT, PlayedServer, Sent, played
from tests.unit.dragoman_client.client.test_hostile import User

SYNCED = {"ev": "synced", "chats": 1}
Frame = dict[str, Any]


@pytest.fixture(autouse=True)
def _short_times(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dragoman_client.client.client._FIRST_DELAY_SECONDS", 0.01)
    monkeypatch.setattr("dragoman_client.client.client.RETRY_MS", 10)


def page(*heads: Frame, **more: Any) -> Frame:
    return {"epoch": "e1", "reset": False, "chats": [*heads], "gone": [], "away": [], **more}


def head(last: int, rev: int = 0, **more: Any) -> Frame:
    return {"chat": 5, "head": last, "first": 1, "rev": rev, **more}


def message(index: int, text: str = "") -> Frame:
    segments = [{"t": "text", "text": text or f"{index}"}]
    return {"ev": "message", "chat": 5, "index": index, "id": index, "sender": 34, "segments": segments}


def change(rev: int, index: int) -> Frame:
    return {"ev": "changed", "chat": 5, "rev": rev, "index": index, "kind": "recall", "by": ACCOUNT}


def answer(page: Frame) -> Frame:
    return {"re": "$id", **page}


def epoch_of(sync: Sent) -> str:
    return str(_known(sync)[0])


def position_of(sync: Sent) -> list[int]:
    return list(_known(sync)[1])


def _known(sync: Sent) -> list[Any]:
    text = sync.command["have"]
    return list(msgspec.msgpack.decode(base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))))


@asynccontextmanager
async def running(server: PlayedServer, store: Store) -> AsyncIterator[User]:
    async with Dragoman(server.url, store, token="t") as client:
        user = User(client)
        task = asyncio.create_task(user.take())
        yield user
        assert not task.done(), "only the test ends it"


class Return(NamedTuple):
    server: PlayedServer
    user: User
    sync: Sent

    async def given(self, *frames: Frame) -> list[tuple[Any, ...]]:
        """Returns the events until the end of the sync, as (kind, index). For a change, the index is its `rev`."""
        await self.sync.push(*frames)
        await until(lambda: self.user.given("synced"))
        return shown(self.user)


def shown(user: User) -> list[tuple[Any, ...]]:
    own = ("state", "head", "synced", "outcome")
    return [(one["ev"], one.get("index"), one.get("rev")) for one in user.events if one["ev"] not in own]


@asynccontextmanager
async def returned() -> AsyncIterator[Return]:
    """Starts another run of a client that has two messages of chat 5. The test replies to its commands."""
    store = MemoryStore()
    async with played() as server:
        server.replies["sync"] = [page(head(2)), message(1), message(2), SYNCED]
        async with running(server, store) as user:
            await user.is_online()
        del server.replies["sync"], server.replies["history"]
        async with running(server, store) as user:
            yield Return(server, user, await server.sent("sync"))


async def test_a_later_program_names_the_epoch() -> None:
    async with returned() as now:
        assert epoch_of(now.sync) == "e1"
        restored = page(head(2), epoch="e2", reset=True)
        assert await now.given(answer(restored), message(1), message(2), SYNCED) == [
            ("reset", None, None), ("message", 1, 0), ("message", 2, 0),
        ]  # fmt: skip


async def test_a_reset_in_a_later_page_forgets_what_was_collected_before_it() -> None:
    async with returned() as now:
        await now.sync.push(answer(page(head(4, 3), before=[7, 5], gone=[9])), message(3), message(4), SYNCED)
        last = await now.server.sent("sync")
        await last.push(answer(page(head(1), epoch="e2", reset=True)), message(1), SYNCED)
        await until(lambda: now.user.given("synced"))
        assert shown(now.user) == [("reset", None, None), ("message", 1, 0)]
        assert now.server.is_idle, "nothing is fetched"


async def test_a_client_with_many_chats_names_them_range_by_range(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dragoman_client.client.ordering._MOST_CHATS", 2)
    store = MemoryStore()
    chats = {chat: msgspec.json.encode([chat, 0, 0, 0]) for chat in (5, 7, 8, 9, 11)}
    store.write({"epoch": b"e1", **{f"chat/{chat}": place for chat, place in chats.items()}})
    async with played() as server:
        del server.replies["sync"]
        async with running(server, store) as user:
            ranges = list[tuple[list[int], list[int]]]()
            for _ in range(3):
                sync = await server.sent("sync")
                steps = list(accumulate(_known(sync)[1][::4]))
                ranges.append((sync.command["among"], steps))
                await sync.push(answer(page()), SYNCED)
            await until(lambda: user.given("synced"))
    assert ranges == [([0, 7], [5, 7]), ([8, 10], [8, 9]), ([11, 2**53 - 1], [11])]


async def test_a_program_that_ends_during_its_first_sync_has_the_epoch_already() -> None:
    store = MemoryStore()
    async with played() as server:
        del server.replies["sync"]
        async with running(server, store) as user:
            await (await server.sent("sync")).push(answer(page(head(2), before=[7, 5])), message(1), message(2), SYNCED)
            await server.sent("sync")
            await until(lambda: user.given("head"))
        async with running(server, store):
            assert epoch_of(await server.sent("sync")) == "e1"


async def test_an_own_change_that_is_answered_during_a_sync_takes_none_of_its_changes_away() -> None:
    async with returned() as now:
        now.user.client.edit(chat=5, index=1, text="own")
        await (await now.server.sent("edit")).reply(rev=3, time=1)
        changes = [change(1, 1), change(2, 2), change(3, 1), change(4, 2)]
        assert await now.given(answer(page(head(2, 4))), *changes, SYNCED) == [
            ("changed", one["index"], one["rev"]) for one in changes
        ]


async def test_an_own_message_and_change_that_a_sync_lacks_are_fetched() -> None:
    async with returned() as now:
        now.user.client.edit(chat=5, index=1, text="own")
        await (await now.server.sent("edit")).reply(rev=1, time=1)
        now.user.client.send(chat=5, text="again")
        await (await now.server.sent("send")).reply(chat=5, index=3, id=3, time=1, again=True)
        await now.sync.push(answer(page(head(2))), SYNCED)
        await (await now.server.sent("changes")).reply(changes=[change(1, 1)], rev=1, more=False)
        await (await now.server.sent("history")).reply(messages=[message(3)], head=3, more=False, rev=1)
        await until(lambda: now.user.given("synced"))
        assert shown(now.user) == [("changed", 1, 1), ("message", 3, 1)]


async def test_of_two_copies_of_a_message_the_one_of_the_sync_is_given_whenever_the_other_one_comes() -> None:
    async with returned() as now:
        await now.sync.push(message(3))
        listed = [message(3, "edited"), message(4, "edited")]
        await now.given(answer(page(head(4, 2))), *listed, SYNCED, message(4), message(5))
        await until(lambda: len(now.user.given("message")) == 3)
        assert [(text_of(cast(Any, one)), one.get("rev")) for one in now.user.given("message")] == [
            ("edited", 2), ("edited", 2), ("5", None),
        ]  # fmt: skip


async def test_a_chat_that_the_account_leaves_during_a_sync_is_gone() -> None:
    async with returned() as now:
        await now.sync.push(message(3), {"ev": "gone", "chat": 5, "why": "kicked"})
        assert await now.given(answer(page(head(4))), message(4), SYNCED) == [("gone", None, None)]
        await now.sync.end(1001, "")
        assert position_of(await now.server.sent("sync")) == []


@pytest.mark.parametrize(("op", "missed"), [("history", message(4)), ("changes", change(2, 1))])
async def test_what_cannot_be_fetched_now_is_left_to_the_next_sync(op: str, missed: Frame) -> None:
    async with returned() as now:
        await now.given(answer(page()), SYNCED)
        await now.sync.push(missed)
        await (await now.server.sent(op)).push({"re": "$id", "error": {"code": "internal", "text": "no"}})
        again = await now.server.sent("sync")
        assert position_of(again) == [5, 2, 0, 0]
        assert shown(now.user) == []


@pytest.mark.parametrize("code", ["not_found", "forbidden"])
async def test_what_the_account_may_not_see_is_a_gap(code: str) -> None:
    async with returned() as now:
        await now.given(answer(page()), SYNCED)
        await now.sync.push(message(4))
        await (await now.server.sent("history")).push({"re": "$id", "error": {"code": code, "text": "no"}})
        await until(lambda: now.user.given("message"))
        assert [one[0] for one in shown(now.user)] == ["gap", "message"]
