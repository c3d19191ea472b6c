"""The outbox: it is bounded, and a file keeps it over restarts. What it does on a connection is shown by the
conformance kit (tests/conformance)."""

import asyncio
from pathlib import Path

import pytest

from clients.errors import ClientError
from clients.resuming.connection import unavailable
from clients.resuming.outbox import FileStorage, MemoryStorage, Outbox, OutboxFull


def _fail(error: Exception) -> None:
    raise error


async def test_a_file_keeps_messages_and_their_nonces(tmp_path: Path) -> None:
    storage = FileStorage(tmp_path / "outbox.json")
    before = Outbox(storage, 10, _fail)
    before.add({"chat": 5, "text": "apple"})
    before.add({"chat": 5, "text": "pear", "nonce": "mine"})
    first = await before.first()
    after = Outbox(storage, 10, _fail)
    assert await after.first() == first
    after.complete(first, {"index": 7})
    assert (await after.first())["nonce"] == "mine"
    after.bind(12)
    last = Outbox(storage, 10, _fail)
    assert await last.first() == {"chat": 5, "text": "pear", "nonce": "mine"}
    assert last.account == 12


async def test_results_reach_the_sender() -> None:
    outbox = Outbox(MemoryStorage(), 10, _fail)
    stored, rejected, abandoned = (outbox.add({"chat": 5, "text": text}) for text in ("a", "b", "c"))
    outbox.complete(await outbox.first(), {"index": 7})
    outbox.complete(await outbox.first(), ClientError("no"))
    outbox.abandon(unavailable("the client has ended"))
    assert await stored == {"index": 7}
    with pytest.raises(ClientError, match="no"):
        await rejected
    with pytest.raises(ClientError, match="has ended"):
        await abandoned
    assert (await outbox.first())["text"] == "c"
    with pytest.raises(ClientError, match="has ended"):
        outbox.add({"chat": 5, "text": "d"})


async def test_it_is_bounded() -> None:
    outbox = Outbox(MemoryStorage(), 1, _fail)
    outbox.add({"chat": 5, "text": "apple"})
    with pytest.raises(OutboxFull):
        outbox.add({"chat": 5, "text": "pear"})


async def test_it_waits_for_a_message() -> None:
    outbox = Outbox(MemoryStorage(), 1, _fail)
    waiting = asyncio.create_task(outbox.first())
    await asyncio.sleep(0)
    outbox.add({"chat": 5, "text": "apple"})
    assert (await waiting)["text"] == "apple"
