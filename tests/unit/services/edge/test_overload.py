"""More is said than message can take: what is too much is refused soon, in its turn, and nothing else suffers."""

import asyncio

import pytest

from services.edge.client import request_reader
from shared.contract.message import PostMessages
from tests.unit.services.edge.conftest import Town

TIMES = 60
_EVERY_SECONDS = 0.02


async def test_answers_keep_their_order_and_what_was_not_refused_is_there(
    town: Town, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(request_reader, "_QUEUE_DELAY_LIMIT_SECONDS", 0.1)
    await town.edge()
    town.world.room(7, 1, 2)
    alice, bob = await town.device(1), await town.device(2)
    note, before = town.message.note, len(alice.answered)

    async def slowly(request: object) -> None:
        await asyncio.sleep(0.2 if isinstance(request, PostMessages) else 0.0)
        await note(request)

    monkeypatch.setattr(town.message, "note", slowly)
    said = []
    for number in range(TIMES):
        said.append(alice.say(do="post", chat=7, text=f"{number}"))
        await asyncio.sleep(_EVERY_SECONDS)
    await alice.wire.until(lambda: len(alice.answered) == before + TIMES)
    answered = alice.answered[before:]
    assert all(answer in (None, asked) for answer, asked in zip(answered, said, strict=True))
    taken = [str(number) for number, answer in enumerate(answered) if answer is not None]
    assert 0 < len(taken) < TIMES
    assert {seen["error"] for seen in alice.seen if "re" in seen and seen["re"] is None} == {"unavailable"}
    await bob.until_texts(7, *taken)
    monkeypatch.setattr(town.message, "note", note)
    assert await alice.post(7, "later") == len(taken) + 1


async def test_after_a_stall_nothing_is_refused(town: Town) -> None:
    await town.edge()
    town.world.room(7, 1, 2)
    alice, bob = await town.device(1), await town.device(2)
    gate = town.message.close(PostMessages)
    said = [alice.say(do="post", chat=7, text="0")]
    await town.message.until_asked(PostMessages)
    said += [alice.say(do="post", chat=7, text=f"{number}") for number in range(1, 100)]
    await asyncio.sleep(1.0)
    gate.set()
    await alice.answer(said[-1])
    await bob.until_texts(7, *(f"{number}" for number in range(100)))
