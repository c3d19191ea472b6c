"""Overload of the message service: excess messages are rejected soon and in order; nothing else is affected."""

import asyncio

import pytest

from services.edge.client import request_reader
from shared.contract.message import PostMessages
from tests.unit.services.edge.conftest import EdgeCluster

TIMES = 60
_EVERY_SECONDS = 0.02


async def test_replies_keep_their_order_and_accepted_messages_are_delivered(
    cluster: EdgeCluster, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_reader, "_QUEUE_DELAY_LIMIT_SECONDS", 0.1)
    await cluster.add_edge()
    cluster.backend.add_chat(7, 1, 2)
    alice, bob = await cluster.client(1), await cluster.client(2)
    record, before = cluster.message.record, len(alice.replied_refs)

    async def slowly(request: object) -> None:
        await asyncio.sleep(0.2 if isinstance(request, PostMessages) else 0.0)
        await record(request)

    monkeypatch.setattr(cluster.message, "record", slowly)
    references = []
    for number in range(TIMES):
        references.append(alice.send(do="post", chat=7, text=f"{number}"))
        await asyncio.sleep(_EVERY_SECONDS)
    await alice.socket.until(lambda: len(alice.replied_refs) == before + TIMES)
    answered = alice.replied_refs[before:]
    assert all(answer in (None, reference) for answer, reference in zip(answered, references, strict=True))
    accepted = [str(number) for number, answer in enumerate(answered) if answer is not None]
    assert 0 < len(accepted) < TIMES
    assert {seen["error"] for seen in alice.seen if "re" in seen and seen["re"] is None} == {"unavailable"}
    await bob.until_texts(7, *accepted)
    monkeypatch.setattr(cluster.message, "record", record)
    assert await alice.post(7, "later") == len(accepted) + 1


async def test_a_stall_rejects_nothing(cluster: EdgeCluster) -> None:
    await cluster.add_edge()
    cluster.backend.add_chat(7, 1, 2)
    alice, bob = await cluster.client(1), await cluster.client(2)
    gate = cluster.message.block(PostMessages)
    references = [alice.send(do="post", chat=7, text="0")]
    await cluster.message.until_requested(PostMessages)
    references += [alice.send(do="post", chat=7, text=f"{number}") for number in range(1, 100)]
    await asyncio.sleep(1.0)
    gate.set()
    await alice.reply_to(references[-1])
    await bob.until_texts(7, *(f"{number}" for number in range(100)))
