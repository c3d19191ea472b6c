"""The outbox is bounded, a store keeps it over restarts, and rejected entries stay in it.

The conformance kit (tests/conformance) tests it on a connection.
"""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from dragoman_client.client import CommandRejected, FileStore, MemoryStore, OutboxFull, Store, StoreInUse
from dragoman_client.client.outbox import Outbox, QueuedCommand
from dragoman_client.errors import ClientError

NO = CommandRejected("forbidden", "no", reason="not_member")


def outbox(store: Store | None = None, limit: int = 10) -> Outbox:
    store = store or MemoryStore()
    return Outbox(store.load(), store.write, limit)


def taken(outbox: Outbox) -> list[QueuedCommand]:
    return list(outbox.take())


async def test_a_file_keeps_commands_and_their_nonces(tmp_path: Path) -> None:
    store = FileStore(tmp_path / "client.db")
    with pytest.raises(StoreInUse):
        FileStore(tmp_path / "client.db")
    before = outbox(store)
    before.add("send", {"chat": 5, "text": "apple"})
    before.add("send", {"chat": 5, "text": "pear", "nonce": "mine"})
    (first,) = taken(before)
    store.close()
    store = FileStore(tmp_path / "client.db")
    after = outbox(store)
    assert [one.draft for one in after.entries] == [first.draft, {"chat": 5, "text": "pear", "nonce": "mine"}]
    after.complete(taken(after)[0], {"index": 7})
    after.complete(taken(after)[0], NO)
    store.close()
    store = FileStore(tmp_path / "client.db")
    (rejected,) = outbox(store).entries
    assert rejected.error is not None
    assert (rejected.nonce, rejected.error.code, rejected.error.reason) == ("mine", "forbidden", "not_member")
    store.close()


async def test_lanes_do_not_wait_for_each_other() -> None:
    box = outbox()
    for op, draft in (("send", {"chat": 5, "text": "a"}), ("edit", {"chat": 5, "index": 1, "text": "b"}),
                      ("send", {"to": 9, "text": "c"}), ("read", {"chat": 5, "index": 3})):  # fmt: skip
        box.add(op, draft)
    assert [one.op for one in taken(box)] == ["send", "send", "read"]
    assert taken(box) == []
    box.complete(box.entries[0], {})
    assert [one.op for one in taken(box)] == ["edit"]
    box.release()
    assert [one.op for one in taken(box)] == ["edit", "send", "read"]


async def test_the_highest_read_position_is_enough() -> None:
    box = outbox()
    results: list[asyncio.Future[Any]] = [box.add("read", {"chat": 5, "index": index}) for index in (3, 7, 5)]
    (entry,) = taken(box)
    assert entry.draft == {"chat": 5, "index": 7}
    later = box.add("read", {"chat": 5, "index": 8})  # the command with index 7 is already in flight
    box.complete(entry, {"unread": 0})
    assert [await one for one in results] == [{"unread": 0}] * 3
    (entry,) = taken(box)
    box.complete(entry, NO)
    with pytest.raises(CommandRejected, match="no"):
        await later
    assert box.entries == []


async def test_results_reach_the_sender_and_what_is_rejected_stays() -> None:
    box = outbox()
    stored, rejected, abandoned = (box.add("send", {"chat": 5, "text": text, "nonce": text}) for text in "abc")
    box.complete(taken(box)[0], {"index": 7})
    box.complete(taken(box)[0], NO)
    assert await stored == {"index": 7}
    with pytest.raises(ClientError, match="no"):
        await rejected
    box.retry("b")
    again = box.add("send", {"chat": 5, "text": "b", "nonce": "b"})
    box.complete(taken(box)[0], {"index": 8})
    assert await again == {"index": 8}
    box.complete(taken(box)[0], NO)
    box.discard("c")
    assert box.entries == []
    with pytest.raises(CommandRejected):
        await abandoned
    box.abandon(ClientError("the client has ended"))
    with pytest.raises(ClientError, match="has ended"):
        box.add("send", {"chat": 5, "text": "d"})


async def test_recalls_and_reactions_wait_behind_their_message_and_do_not_stay_rejected() -> None:
    box = outbox()
    box.add("send", {"chat": 5, "text": "a"})
    drafts: dict[str, dict[str, Any]] = {
        "react": {"chat": 5, "index": 1, "emoji": "+"},
        "recall": {"chat": 5, "index": 1},
    }
    results = [box.add(op, draft) for op, draft in drafts.items()]
    box.complete(taken(box)[0], {})
    for op, draft in drafts.items():
        (entry,) = taken(box)
        assert (entry.op, entry.draft, entry.nonce) == (op, draft, "")
        box.complete(entry, NO)
    assert box.entries == []
    for result in results:
        with pytest.raises(CommandRejected):
            await result


async def test_it_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dragoman_client.client.outbox._MOST_REJECTED", 2)
    box = outbox(limit=1)
    for text in "abc":
        box.add("send", {"chat": 5, "text": text, "nonce": text})
        with pytest.raises(OutboxFull):
            box.add("send", {"chat": 5, "text": "pear"})
        box.complete(taken(box)[0], NO)
    assert [one.nonce for one in box.entries] == ["b", "c"]
