"""Many notifications share work, are decided in pieces, and leave the CPU to messages."""

import asyncio
from itertools import product
from typing import Any

import pytest

from services.session.service import push_batch, push_delivery
from services.session.store import push_queue, push_turns
from services.session.store.push_turns import QueuedDevice
from shared.clock import now_ms
from shared.contract.body import pack_segments
from shared.contract.errors import ErrorCode, RequestError
from shared.contract.message import GetHistory
from shared.contract.model import Mention
from shared.contract.push import FindEndedLogins
from shared.contract.receipts import FindReadIndexes
from tests.support.waiting import WAIT_SECONDS
from tests.unit.services.session.service.test_push_delivery import Notifying, notifying, wait_with_one
from tests.unit.services.session.store_harness import ANN, BOB, CEM

__all__ = ["notifying"]


async def test_many_devices_share_requests_and_transactions(
    notifying: Notifying, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(push_batch, "FRESH_MS", 30_000)
    chat = (await notifying.store.create_group(ANN, BOB, CEM)).id
    devices = [await notifying.subscribe(one, f"{one}-{place}") for one in (BOB, CEM) for place in range(9)]
    await notifying.post_and_decide(chat)
    notifying.services.requests.clear()
    database, written = notifying.store.database, list[str]()
    write = database.write

    async def count(work: Any, *arguments: Any, **more: Any) -> Any:
        written.append(work.__name__)
        return await write(work, *arguments, **more)

    monkeypatch.setattr(database, "write", count)
    await notifying.send()
    assert sorted(notifying.services.sent) == [(device, str(chat)) for device in devices]
    assert [type(one) for one in notifying.services.requests] == [FindEndedLogins, FindReadIndexes, GetHistory]
    assert written[0] == "take_devices"
    assert {*written[1:]} == {"note_turns"}
    assert len(written) < len(devices) / 2


async def test_only_the_end_of_a_turn_that_frees_enough_places_searches_the_queue(
    notifying: Notifying, monkeypatch: pytest.MonkeyPatch
) -> None:
    chat, delivery = (await notifying.store.create_group(ANN, BOB, CEM)).id, notifying.delivery
    for account, place in product((BOB, CEM), range(9)):
        await notifying.subscribe(account, f"{account}-{place}")
    await notifying.post_and_decide(chat)
    accepted = asyncio.Semaphore(0)

    async def send(*_: object) -> None:
        await accepted.acquire()

    monkeypatch.setattr(notifying.services, "send", send)
    await delivery._start_sending()
    delivery._woken.clear()
    accepted.release()
    while len(delivery._tasks) == 18:
        await asyncio.sleep(0.01)
    assert not delivery._woken.is_set()
    for _ in range(17):
        accepted.release()
    await delivery._tasks.finish(WAIT_SECONDS)
    assert delivery._woken.is_set()


async def _sent_in_steps(notifying: Notifying, steps: int) -> list[int]:
    """Returns the number of notifications that were sent after each step."""
    sent = []
    for _ in range(steps):
        await notifying.delivery._start_sending()
        await notifying.delivery._tasks.finish(WAIT_SECONDS)
        sent.append(len(notifying.services.sent))
    return sent


async def test_one_search_of_the_queue_is_for_many_steps(notifying: Notifying, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(push_delivery, "_DEVICES", 2)
    monkeypatch.setattr(push_delivery, "_SEARCH_MS", 1_000_000)
    searches, find = list[list[QueuedDevice]](), push_turns.find_devices

    def count(*arguments: Any) -> list[QueuedDevice]:
        searches.append(find(*arguments))
        return searches[-1]

    monkeypatch.setattr(push_turns, "find_devices", count)
    chat = (await notifying.store.create_group(ANN, BOB, CEM)).id
    for place in range(5):
        await notifying.subscribe(BOB, f"{place}")
    await notifying.post_and_decide(chat)
    assert await _sent_in_steps(notifying, 2) == [2, 4]
    urgent = await notifying.subscribe(CEM, "of-cem")
    notifying.services.post(chat, body=pack_segments((Mention(CEM, "@cem"),)))
    await notifying.moved(chat)
    await notifying.decide()
    assert await _sent_in_steps(notifying, 4) == [6, 8, 10, 10]
    assert len(searches) == 2, "the second one follows the decision"
    assert urgent in {device for device, _ in notifying.services.sent[4:6]}, "what was found before does not delay it"


async def test_what_another_process_has_taken_is_not_taken_again(
    notifying: Notifying, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both processes have found the same devices."""
    monkeypatch.setattr(push_delivery, "_DEVICES", 2)
    chat = (await notifying.store.create_group(ANN, BOB)).id
    devices = [await notifying.subscribe(BOB, f"{place}") for place in range(4)]
    await notifying.post_and_decide(chat)
    other, now = notifying.make(), now_ms()
    other._queue = await notifying.store.database.read(push_turns.find_devices, now, (), 9)
    await notifying.send()
    assert [device for device, _ in notifying.services.sent] == devices[:2]
    await other._start_sending()
    await other._tasks.finish(WAIT_SECONDS)
    assert [device for device, _ in notifying.services.sent] == devices, "it takes the next ones in the same step"
    await other.close()


async def test_a_large_chat_is_decided_in_several_transactions(
    notifying: Notifying, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The process loses the database between two transactions, and then decides again."""
    monkeypatch.setattr(push_delivery, "_RECIPIENTS", 1)
    chat = (await notifying.store.create_group(ANN, BOB, CEM)).id
    bob, cem = await notifying.subscribe(BOB), await notifying.subscribe(CEM)
    notifying.services.post(chat)
    await notifying.moved(chat)
    finish, failures = push_queue.finish_chat, [RequestError(ErrorCode.UNAVAILABLE, "away")]

    def fail(*arguments: Any) -> None:
        if failures:
            raise failures.pop()
        finish(*arguments)

    monkeypatch.setattr(push_queue, "finish_chat", fail)
    with pytest.raises(RequestError):
        await notifying.decide()
    assert await notifying.waiting(bob) == {chat: 1}
    await notifying.send()
    assert notifying.services.sent == [(bob, str(chat))]
    later = now_ms() + 6_000
    monkeypatch.setattr(push_delivery, "now_ms", lambda: later)
    await notifying.decide()
    assert (await notifying.waiting(bob), await notifying.waiting(cem)) == ({}, {chat: 1})


async def test_notifications_take_less_of_the_cpu_while_users_send_messages(
    notifying: Notifying, monkeypatch: pytest.MonkeyPatch
) -> None:
    shares: list[float] = []

    async def rest(share: float) -> None:
        shares.append(share)

    monkeypatch.setattr(notifying.delivery._share, "rest", rest)
    await wait_with_one(notifying)
    await notifying.send()
    notifying.delivery._posted -= 60
    await wait_with_one(notifying)
    notifying.delivery._posted -= 60
    await notifying.send()
    assert shares == [push_delivery._SHARE_BESIDE_MESSAGES, push_delivery._SHARE]
